#![allow(unused_imports)]

use diesel_sqlite_session::{Change, Patch, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
    }
}

#[derive(Tracked)]
enum Set {
    Users(users::table),
    Named { users: Change<users::table> },
    Two(Change<users::table>, Change<users::table>),
    Unit,
}

fn used(changeset: &diesel_sqlite_session::Changeset) -> usize {
    changeset.changes::<Set>().count()
}

fn main() {}

