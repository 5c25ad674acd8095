#![allow(unused_imports)]

use diesel_sqlite_session::{Change, Patch, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
    }
}

#[derive(Debug, Tracked)]
pub struct User {
    id: i32,
    name: String,
    email: Option<String>,
}

#[derive(Debug, Tracked)]
enum Set {
    Users(Change<User>),
}

fn used(update: UserUpdate) -> bool {
    update.name.is_changed()
}

fn main() {}

