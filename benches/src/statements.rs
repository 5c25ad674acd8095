//! The table that sessions record in the benchmarks, and the SQL text that changes the table, the
//! same for every contestant.

use std::fmt::Write;

diesel::table! {
    /// The table in Diesel's schema.
    items (id) {
        /// The primary key.
        id -> Integer,
        /// The name: see the function `name`.
        name -> Text,
        /// The quantity: see the function `quantity`.
        quantity -> Nullable<Integer>,
    }
}

/// The `CREATE TABLE` statement.
pub const SCHEMA: &str = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, quantity INTEGER)";

/// A query that returns every value of the table as one text.
pub const CONTENTS: &str = "SELECT coalesce(group_concat(id || ',' || quote(name) || ',' || quote(quantity), ';'), '') \
                            FROM (SELECT * FROM items ORDER BY id)";

/// Returns the name of an item.
pub fn name(id: i32) -> String {
    format!("item number {id}")
}

/// Returns the quantity of an item: NULL for every tenth item.
pub fn quantity(id: i32) -> Option<i32> {
    (id % 10 != 0).then_some(id * 3 % 1000)
}

fn insert(sql: &mut String, id: i32) {
    let quantity = quantity(id).map_or_else(|| String::from("NULL"), |quantity| quantity.to_string());
    write!(sql, "INSERT INTO items VALUES ({id}, '{}', {quantity});", name(id))
        .expect("writing to a String does not fail");
}

/// Returns SQL that inserts the items 1 to `rows` in a transaction.
pub fn inserts(rows: i32) -> String {
    let mut sql = String::from("BEGIN;");
    for id in 1..=rows {
        insert(&mut sql, id);
    }
    sql + "COMMIT"
}

/// Returns SQL that changes a table of the items 1 to `rows`: INSERTs of other items, UPDATEs and
/// DELETEs in turn, `rows` in all.
pub fn mixed(rows: i32) -> String {
    let mut sql = String::from("BEGIN;");
    for id in 1..=rows {
        match id % 3 {
            0 => insert(&mut sql, rows + id),
            1 => write!(sql, "UPDATE items SET quantity = {} WHERE id = {id};", 1000 + id)
                .expect("writing to a String does not fail"),
            _ => write!(sql, "DELETE FROM items WHERE id = {id};").expect("writing to a String does not fail"),
        }
    }
    sql + "COMMIT"
}
