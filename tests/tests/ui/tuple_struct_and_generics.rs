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
pub struct Tuple(i32, String, Option<String>);

#[derive(Tracked)]
#[diesel(table_name = users)]
pub struct User<T> {
    id: i32,
    name: T,
    email: Option<String>,
}

fn main() {}

