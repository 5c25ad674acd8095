#![allow(unused_imports)]

use diesel_sqlite_session::Tracked;

#[derive(Tracked)]
#[tracked(schema = "src/schema.rs")]
pub struct Shop;

#[derive(Tracked)]
pub struct Nothing;

fn main() {}
