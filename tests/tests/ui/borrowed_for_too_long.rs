#![allow(unused_imports)]

use diesel_sqlite_session::{Change, Patch, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
    }
}

use diesel_sqlite_session::Changeset;

#[derive(Tracked)]
#[diesel(table_name = users)]
pub struct User<'a> {
    id: i32,
    name: &'a str,
    email: Option<&'a str>,
}

fn first(changeset: Changeset) -> Option<Change<User<'static>>> {
    changeset.changes().next()?.ok()
}

fn main() {}

