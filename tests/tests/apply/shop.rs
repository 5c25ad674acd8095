//! The small shop of the tests of conflicts, filters, options and streams.

use diesel::prelude::*;
use diesel_sqlite_session::apply::Decision;
use diesel_sqlite_session::{Change, Changeset, Conflict, Tracked};

use crate::common::{lines, open};

diesel::table! {
    items (id) {
        id -> Integer,
        name -> Text,
        n -> BigInt,
    }
}
diesel::table! {
    notes (id) {
        id -> Integer,
        item -> Integer,
    }
}

#[derive(Debug, Clone, PartialEq, Insertable, Tracked)]
#[diesel(table_name = items)]
pub struct Item {
    pub id: i32,
    pub name: String,
    pub n: i64,
}

#[derive(Debug, Clone, PartialEq, Tracked)]
#[diesel(table_name = notes)]
pub struct Note {
    pub id: i32,
    pub item: i32,
}

#[derive(Debug, Tracked)]
#[allow(dead_code)]
pub(super) enum Shop {
    Items(Change<items::table>),
    Notes(Change<notes::table>),
}

pub(super) const ITEMS: &str =
    "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, n BIGINT NOT NULL CHECK (n < 1000));
    CREATE TABLE notes (id INTEGER PRIMARY KEY, item INTEGER NOT NULL REFERENCES items (id));";

pub(super) fn item(id: i32, name: &str, n: i64) -> Item {
    Item { id, name: name.into(), n }
}

pub(super) fn shop(rows: &[Item]) -> SqliteConnection {
    let mut conn = open(ITEMS);
    diesel::insert_into(items::table).values(rows).execute(&mut conn).unwrap();
    conn
}

pub(super) fn rows(conn: &mut SqliteConnection) -> Vec<String> {
    lines(conn, "SELECT id || ' ' || name || ' ' || n AS line FROM items ORDER BY id")
}

/// Answers any conflict: replaces if `replace` and the kind allow it, otherwise omits.
pub(super) fn answer<'a>(conflict: &Conflict<'a, Change<items::table>>, replace: bool) -> Decision<'a> {
    match conflict {
        Conflict::Data(c) | Conflict::Conflict(c) if replace => c.replace(),
        Conflict::Data(c) | Conflict::Conflict(c) => c.omit(),
        Conflict::NotFound(c) => c.omit(),
        Conflict::Constraint(c) => c.omit(),
    }
}

pub(super) fn updated(before: &Item, after: &Item) -> Changeset {
    Changeset::builder().update(before, after).build().unwrap()
}

pub(super) fn inserted(item: &Item) -> Changeset {
    Changeset::builder().insert(item).build().unwrap()
}
