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
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    email: Option<String>,
}

diesel::table! {
    ids (id) {
        id -> Integer,
    }
}

#[derive(Tracked)]
#[diesel(table_name = ids)]
pub struct Id {
    id: i32,
}

#[derive(Tracked)]
enum Set {
    Users(Change<users::table>),
    Ids(Patch<ids::table>),
}

fn main() {}

