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
#[tracked(skp(email))]
pub struct User {
    id: i32,
    name: String,
    #[diesel(column_name = name)]
    other: String,
    #[tracked(skip, default)]
    email: Option<String>,
}

fn main() {}

