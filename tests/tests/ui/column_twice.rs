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
    #[diesel(column_name = name)]
    other: String,
    email: Option<String>,
}

fn used(change: Change<users::table>) {
    if let Change::Insert(user) = change {
        println!("{} {}", user.id, user.other);
    }
}

fn main() {}

