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
#[tracked(update = Changed, patch = Changed)]
pub struct User {
    id: i32,
    name: String,
    email: Option<String>,
}

fn used(change: Change<users::table>) {
    if let Change::Update(user) = change {
        println!("{}", user.id);
    }
}

fn main() {}

