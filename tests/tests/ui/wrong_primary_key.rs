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
#[diesel(table_name = users, primary_key(name))]
pub struct User {
    id: i32,
    name: String,
    email: Option<String>,
}

diesel::table! {
    seats (row, flight) {
        flight -> Text,
        row -> Integer,
    }
}

#[derive(Tracked)]
#[diesel(table_name = seats, primary_key(flight, row))]
pub struct Seat {
    flight: String,
    row: i32,
}

fn main() {}

