//! What the database's own SQL can do to an apply that SQLite does not reckon with.

use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;

use crate::ffi::Failure;
use crate::ffi::statement::Connection;
use crate::schema::Kind;

/// What a database has, and what its SQL says.
#[derive(Default)]
pub(super) struct Clauses {
    /// The tables and views of `main`, by their names in lower case.
    tables: BTreeMap<String, Kind>,
    /// The tables whose constraints can roll the whole transaction back, in lower case. SQLite would go on applying without a
    /// transaction, and what it applies then would stay.
    rollback_tables: BTreeSet<String>,
    /// Whether a trigger can, or can change a table whose constraints can.
    rollback_triggers: bool,
    /// The tables that have triggers, in lower case.
    triggers: BTreeSet<String>,
    /// Whether a foreign key says what a DELETE does.
    references: bool,
}

impl Clauses {
    pub(super) fn read(connection: Connection<'_>) -> Result<Self, Failure> {
        let mut clauses = Self::default();
        let mut read = |query: &str, temporary: bool| {
            connection.rows(query, |row| clauses.add(&row.text(0), &row.text(1), &row.text(2), temporary))
        };
        read("SELECT type, tbl_name, sql FROM main.sqlite_schema", false)?;
        if connection.has_temp() {
            read("SELECT type, tbl_name, sql FROM temp.sqlite_schema", true)?;
        }
        clauses.rollback_triggers |= !clauses.triggers.is_empty() && !clauses.rollback_tables.is_empty();
        Ok(clauses)
    }

    fn add(&mut self, kind: &str, table: &str, sql: &str, temporary: bool) {
        let table = table.to_ascii_lowercase();
        let rolls_back = has_rollback_clause(sql);
        if kind == "trigger" {
            self.triggers.insert(table);
            self.rollback_triggers |= rolls_back;
            return;
        }
        self.references |= has(sql, b"references") && has(sql, b"delete");
        if rolls_back {
            self.rollback_tables.insert(table.clone());
        }
        let kind = match kind {
            "view" => Kind::View,
            // SQLite writes these words so, whatever the user wrote
            "table" if sql.starts_with("CREATE VIRTUAL TABLE") => Kind::Virtual,
            "table" => Kind::Table,
            _ => return,
        };
        if !temporary {
            self.tables.insert(table, kind);
        }
    }

    /// Of which kind the table is, if it is there. The name is in lower case.
    pub(super) fn kind(&self, table: &str) -> Option<Kind> {
        self.tables.get(table).copied()
    }

    /// Whether a change of the table can roll the whole transaction back. The name is in lower case.
    pub(super) fn can_roll_back(&self, table: &str) -> bool {
        self.rollback_triggers || self.rollback_tables.contains(table)
    }

    /// Whether the table may have an UPDATE made by way of a DELETE and an INSERT. SQLite does so where UPDATEs are in each
    /// other's way; but the DELETE fires triggers and foreign key actions, and SQLite names the table without its schema. The
    /// name is in lower case.
    pub(super) fn allow_update_loop(&self, connection: Connection<'_>, table: &str) -> Result<bool, Failure> {
        if self.triggers.contains(table) {
            return Ok(false);
        }
        if self.references && connection.rows("PRAGMA foreign_keys", |row| row.integer(0))?.contains(&1) {
            return Ok(false);
        }
        if !connection.has_other_schemas() {
            return Ok(true);
        }
        let list = format!("PRAGMA table_list('{}')", table.replace('\'', "''"));
        Ok(connection.rows(&list, |_| ())?.len() == 1)
    }
}

/// Whether SQL says ON CONFLICT ROLLBACK, RAISE(ROLLBACK) or OR ROLLBACK. A name with the word in it is none.
fn has_rollback_clause(sql: &str) -> bool {
    // most have not even the word
    if !has(sql, b"rollback") {
        return false;
    }
    // with comments, too: what looks like one may be in a string
    says_rollback(sql) || says_rollback(&without_comments(sql))
}

/// Whether SQL has these letters in it, in whichever case.
fn has(sql: &str, word: &[u8]) -> bool {
    sql.as_bytes().windows(word.len()).any(|letters| letters.eq_ignore_ascii_case(word))
}

fn says_rollback(sql: &str) -> bool {
    let mut before = "";
    for word in sql.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()) {
        if word.eq_ignore_ascii_case("rollback")
            && ["conflict", "or", "raise"].iter().any(|clause| before.eq_ignore_ascii_case(clause))
        {
            return true;
        }
        before = word;
    }
    false
}

/// SQL with a space in the place of each comment.
fn without_comments(sql: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(sql.len()), sql);
    while let Some(start) = [rest.find("--"), rest.find("/*")].into_iter().flatten().min() {
        let (code, comment) = rest.split_at(start);
        out.push_str(code);
        out.push(' ');
        let (end, length) = if comment.starts_with("--") { (comment.find('\n'), 1) } else { (comment.find("*/"), 2) };
        rest = end.and_then(|end| comment.get(end.saturating_add(length)..)).unwrap_or_default();
    }
    out.push_str(rest);
    out
}
