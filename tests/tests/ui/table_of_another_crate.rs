#![allow(unused_imports)]

use diesel_sqlite_session::Tracked;
use diesel_sqlite_session_tests::foreign;

#[derive(Tracked)]
#[diesel(table_name = foreign)]
pub struct Foreign {
    id: i32,
}

fn main() {}
