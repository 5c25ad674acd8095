#![allow(unused_imports)]

use diesel_sqlite_session::{Change, Patch, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
    }
}

use diesel_sqlite_session::{Changeset, Patchset};

#[derive(Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    email: Option<String>,
}

fn changes(changeset: &Changeset) {
    let _ = changeset.changes::<Patch<users::table>>();
}

fn patches(patchset: &Patchset) {
    let _ = patchset.patches::<Change<users::table>>();
}

fn main() {}

