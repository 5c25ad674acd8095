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
#[tracked(skp(email), row_olny, colour = red, default)]
pub struct User {
    id: i32,
    #[tracked(defualt)]
    name: String,
    #[tracked(row_only)]
    email: Option<String>,
}

fn main() {}

