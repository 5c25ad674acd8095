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
pub struct User<'a> {
    id: i32,
    name: &'a str,
    email: Option<&'a str>,
}

#[derive(Tracked)]
#[diesel(table_name = users)]
struct Other<'a> {
    id: i32,
    name: &'a str,
    email: Option<&'a str>,
}

#[derive(Tracked)]
enum Set<'a> {
    Users(Change<User<'a>>),
    Again(Change<Other<'a>>),
}

fn main() {}

