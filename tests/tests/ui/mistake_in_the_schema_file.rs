#![allow(unused_imports)]

use diesel_sqlite_session::{Changeset, Tracked};

#[derive(Tracked)]
#[tracked(schema = "../../../tmp/no_arrow.rs", module = crate::schema)]
pub struct Shop;

fn used(changeset: &Changeset) -> usize {
    changeset.changes::<ShopChange>().count()
}

fn main() {}
