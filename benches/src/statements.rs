//! The table that sessions record in the benchmarks, and the SQL that changes it: the same text for every contestant.

use std::fmt::Write;

diesel::table! {
    /// The table, for Diesel.
    items (id) {
        /// The key.
        id -> Integer,
        /// See `name`.
        name -> Text,
        /// See `quantity`.
        quantity -> Nullable<Integer>,
    }
}

/// The table.
pub const SCHEMA: &str = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, quantity INTEGER)";

/// A query for one text that holds every value of the table.
pub const CONTENTS: &str = "SELECT coalesce(group_concat(id || ',' || quote(name) || ',' || quote(quantity), ';'), '') \
                            FROM (SELECT * FROM items ORDER BY id)";

/// The name of an item.
pub fn name(id: i32) -> String {
    format!("item number {id}")
}

/// How many there are of an item: NULL for every tenth.
pub fn quantity(id: i32) -> Option<i32> {
    (id % 10 != 0).then_some(id * 3 % 1000)
}

fn insert(sql: &mut String, id: i32) {
    let quantity = quantity(id).map_or_else(|| String::from("NULL"), |quantity| quantity.to_string());
    write!(sql, "INSERT INTO items VALUES ({id}, '{}', {quantity});", name(id)).expect("a String takes everything");
}

/// INSERTs of the items 1 to `rows`, in a transaction.
pub fn inserts(rows: i32) -> String {
    let mut sql = String::from("BEGIN;");
    for id in 1..=rows {
        insert(&mut sql, id);
    }
    sql + "COMMIT"
}

/// To a table of the items 1 to `rows`: an INSERT of another, an UPDATE and a DELETE by turns, `rows` in all.
pub fn mixed(rows: i32) -> String {
    let mut sql = String::from("BEGIN;");
    for id in 1..=rows {
        match id % 3 {
            0 => insert(&mut sql, rows + id),
            1 => write!(sql, "UPDATE items SET quantity = {} WHERE id = {id};", 1000 + id)
                .expect("a String takes everything"),
            _ => write!(sql, "DELETE FROM items WHERE id = {id};").expect("a String takes everything"),
        }
    }
    sql + "COMMIT"
}
