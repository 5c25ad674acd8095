#![allow(unused_imports)]

use diesel_sqlite_session::{Change, Patch, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
    }
}

pub struct Secret(String);

#[derive(Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    #[tracked(skip)]
    email: Secret,
}

fn main() {}

