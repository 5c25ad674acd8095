#![allow(unused_imports)]

use diesel_sqlite_session::{Change, Patch, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
    }
}

struct Email(String);

impl<'a> diesel_sqlite_session::typed::FromSqlValue<'a, diesel::sql_types::Nullable<diesel::sql_types::Text>> for Email {
    fn from_sql_value(
        _: diesel_sqlite_session::Value<'a>,
    ) -> Result<Self, diesel_sqlite_session::typed::ValueError> {
        Ok(Self(String::new()))
    }
}

#[derive(Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    email: Email,
}

fn main() {}

