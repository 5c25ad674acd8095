//! Clauses in the database's own SQL that affect an apply in ways that SQLite's session extension
//! does not consider.

use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::vec::Vec;

use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::schema::TableKind;

/// The tables of a database, and the relevant clauses of its SQL. Table names are in lower case.
#[derive(Default)]
pub(super) struct SchemaFeatures {
    /// The tables and views of `main`.
    tables: BTreeMap<String, TableKind>,
    /// The tables whose constraints can roll back the whole transaction. SQLite would continue to
    /// apply without a transaction, and what it applies then would remain.
    rollback_tables: BTreeSet<String>,
    /// Whether a trigger can roll back the whole transaction, by itself or through the constraints
    /// of a table that it changes.
    rollback_triggers: bool,
    /// Whether a trigger can fail without undoing its work, by itself or through the constraints of
    /// a table that it changes.
    fail_triggers: bool,
    /// Whether a constraint of a table can fail without undoing the statement's earlier work.
    fail_tables: bool,
    /// The tables whose constraints can delete another row or ignore a row.
    replacing_tables: BTreeSet<String>,
    /// The tables whose constraints or triggers can ignore an INSERT without an error.
    ignoring_tables: BTreeSet<String>,
    /// The tables with triggers.
    triggers: BTreeSet<String>,
    /// The tables whose SQL contains a collation.
    collated: BTreeSet<String>,
    /// Whether the database has foreign keys.
    references: bool,
}

impl SchemaFeatures {
    pub(super) fn read(connection: Connection<'_>) -> Result<Self, SqliteError> {
        let mut features = Self::default();
        let mut read = |query: &str, temporary: bool| {
            connection.rows(query, |row| features.add(&row.text(0), &row.text(1), &row.text(2), temporary))
        };
        // the SQL of an index contains none of the clauses
        read("SELECT type, tbl_name, sql FROM main.sqlite_schema WHERE type <> 'index'", false)?;
        if connection.has_temp() {
            read("SELECT type, tbl_name, sql FROM temp.sqlite_schema WHERE type <> 'index'", true)?;
            // a temporary trigger can write to tables of any schema
            let triggers = connection.rows("SELECT 1 FROM temp.sqlite_schema WHERE type = 'trigger'", |_| ())?;
            let schemas = if triggers.is_empty() { Vec::new() } else { Self::schemas(connection)? };
            for schema in schemas.iter().filter(|schema| !["main", "temp"].contains(&schema.as_str())) {
                let query = format!("SELECT type, sql FROM \"{}\".sqlite_schema", schema.replace('"', "\"\""));
                connection.rows(&query, |row| features.add_attached(&row.text(0), &row.text(1)))?;
            }
        }
        features.rollback_triggers |= !features.triggers.is_empty() && !features.rollback_tables.is_empty();
        features.fail_triggers |= !features.triggers.is_empty() && features.fail_tables;
        Ok(features)
    }

    fn schemas(connection: Connection<'_>) -> Result<Vec<String>, SqliteError> {
        connection.rows("PRAGMA database_list", |row| row.text(1).into_owned())
    }

    /// Adds an object of an attached schema, to whose tables no changes are applied.
    fn add_attached(&mut self, kind: &str, sql: &str) {
        let sql = Sql::new(sql);
        self.rollback_triggers |= sql.rolls_back();
        let after: &[&str] = if kind == "trigger" { &["raise", "or"] } else { &["conflict"] };
        self.fail_triggers |= sql.has_clause(&[Word::Fail], after);
    }

    fn add(&mut self, kind: &str, table: &str, text: &str, temporary: bool) {
        let table = table.to_ascii_lowercase();
        let sql = Sql::new(text);
        let rolls_back = sql.rolls_back();
        if kind == "trigger" {
            if sql.has_clause(&[Word::Ignore], &["raise"]) {
                self.ignoring_tables.insert(table.clone());
            }
            self.triggers.insert(table);
            self.rollback_triggers |= rolls_back;
            self.fail_triggers |= sql.has_clause(&[Word::Fail], &["raise", "or"]);
            return;
        }
        self.references |= sql.has(Word::References);
        if rolls_back {
            self.rollback_tables.insert(table.clone());
        }
        self.fail_tables |= sql.has_clause(&[Word::Fail], &["conflict"]);
        if sql.has_clause(&[Word::Replace, Word::Ignore], &["conflict"]) {
            self.replacing_tables.insert(table.clone());
        }
        if sql.has_clause(&[Word::Ignore], &["conflict"]) {
            self.ignoring_tables.insert(table.clone());
        }
        if kind == "table" && !temporary && sql.has(Word::Collate) {
            self.collated.insert(table.clone());
        }
        if let (Some(kind), false) = (TableKind::of(kind, text), temporary) {
            self.tables.insert(table, kind);
        }
    }

    /// Returns the kind of the table, if it exists. The name must be in lower case.
    pub(super) fn kind(&self, table: &str) -> Option<TableKind> {
        self.tables.get(table).copied()
    }

    /// Returns whether the table's SQL contains a collation. The name must be in lower case.
    pub(super) fn has_collations(&self, table: &str) -> bool {
        self.collated.contains(table)
    }

    /// Returns whether a change to the table can roll back the whole transaction. The name must be
    /// in lower case.
    pub(super) fn can_roll_back(&self, table: &str) -> bool {
        self.rollback_triggers || self.rollback_tables.contains(table)
    }

    /// Returns whether a change to the table can fail and nevertheless be made. The name must be in
    /// lower case.
    ///
    /// The causes are `RAISE(FAIL)`, `OR FAIL` or `ON CONFLICT FAIL` in what a trigger does, also
    /// in a trigger of a table that foreign key actions change. They leave the row and what
    /// triggers did before.
    pub(super) fn can_fail_half_way(&self, table: &str) -> bool {
        self.fail_triggers && (self.references || self.triggers.contains(table))
    }

    /// Returns whether an INSERT into the table can be ignored without an error, by `ON CONFLICT
    /// IGNORE` or `RAISE(IGNORE)`. The name must be in lower case.
    pub(super) fn can_ignore(&self, table: &str) -> bool {
        self.ignoring_tables.contains(table)
    }

    /// Returns whether SQLite may replace an UPDATE of the table by a DELETE and an INSERT. The
    /// name must be in lower case.
    ///
    /// SQLite does so if UPDATEs block each other. But the DELETE fires triggers and foreign key
    /// actions, and SQLite names the table without its schema. It also does not check whether the
    /// INSERT was ignored, or whether a constraint has replaced the row. Then the row would be
    /// lost, or a row of NULLs would be made.
    pub(super) fn allow_update_loop(&self, connection: Connection<'_>, table: &str) -> Result<bool, SqliteError> {
        if self.triggers.contains(table) || self.replacing_tables.contains(table) {
            return Ok(false);
        }
        if self.references && enforces_foreign_keys(connection)? {
            return Ok(false);
        }
        if !connection.has_other_schemas() {
            return Ok(true);
        }
        let list = format!("PRAGMA table_list('{}')", table.replace('\'', "''"));
        Ok(connection.rows(&list, |_| ())?.len() == 1)
    }

    /// Returns whether the order of the changes to the table can be observed. The name must be in
    /// lower case.
    ///
    /// This is the case with triggers, which may read other rows; with constraints that replace or
    /// ignore rows; and with foreign key actions on the table itself or on another such table.
    pub(super) fn shows_order(
        &self,
        connection: Connection<'_>,
        table: &str,
        foreign_key_actions: bool,
    ) -> Result<bool, SqliteError> {
        let shows = |table: &str| self.triggers.contains(table) || self.replacing_tables.contains(table);
        if shows(table) {
            return Ok(true);
        }
        if !(self.references && foreign_key_actions && enforces_foreign_keys(connection)?) {
            return Ok(false);
        }
        let acted_on = self.acted_on(connection, table)?;
        Ok(acted_on.iter().any(|other| other == table || shows(other)))
    }

    /// Returns the tables that foreign key actions change when a table is changed, directly and
    /// indirectly, in lower case.
    fn acted_on(&self, connection: Connection<'_>, table: &str) -> Result<BTreeSet<String>, SqliteError> {
        let mut actions: Vec<(String, &str)> = Vec::new();
        for child in self.tables.iter().filter(|(_, kind)| **kind == TableKind::Table).map(|(child, _)| child) {
            let list = format!("PRAGMA main.foreign_key_list('{}')", child.replace('\'', "''"));
            let parents = connection.rows(&list, |row| {
                let acts = [row.text(5), row.text(6)].iter().any(|action| !action.eq_ignore_ascii_case("NO ACTION"));
                acts.then(|| row.text(2).to_ascii_lowercase())
            })?;
            actions.extend(parents.into_iter().flatten().map(|parent| (parent, child.as_str())));
        }
        let mut found = BTreeSet::new();
        let mut next = Vec::from([String::from(table)]);
        while let Some(parent) = next.pop() {
            for (_, child) in actions.iter().filter(|(of, _)| *of == parent) {
                if found.insert(String::from(*child)) {
                    next.push(String::from(*child));
                }
            }
        }
        Ok(found)
    }
}

fn enforces_foreign_keys(connection: Connection<'_>) -> Result<bool, SqliteError> {
    Ok(connection.rows("PRAGMA foreign_keys", |row| row.integer(0))?.contains(&1))
}

/// A word to look for in SQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    Rollback,
    Fail,
    Ignore,
    Replace,
    References,
    Collate,
}

impl Word {
    const ALL: [(Self, &str); 6] = [
        (Self::Rollback, "rollback"),
        (Self::Fail, "fail"),
        (Self::Ignore, "ignore"),
        (Self::Replace, "replace"),
        (Self::References, "references"),
        (Self::Collate, "collate"),
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, word)| word.eq_ignore_ascii_case(text)).map(|(word, _)| word)
    }
}

/// SQL, and the set of words that occur anywhere in it.
struct Sql<'a> {
    text: &'a str,
    words: u8,
}

impl<'a> Sql<'a> {
    /// Finds the words in one pass. Most SQL contains none of them.
    fn new(text: &'a str) -> Self {
        let mut words = 0;
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if matches!(first.to_ascii_lowercase(), b'r' | b'f' | b'i' | b'c') {
                let starts =
                    |word: &str| rest.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()));
                let found = Word::ALL.iter().filter(|(_, word)| starts(word));
                words = found.fold(words, |words, (word, _)| words | word.bit());
            }
            rest = after;
        }
        Self { text, words }
    }

    /// Returns whether the word occurs anywhere, even in a name or string.
    fn has(&self, word: Word) -> bool {
        self.words & word.bit() != 0
    }

    /// Returns whether one of the words follows one of the words in `after`. Names and strings do
    /// not count.
    fn has_clause(&self, words: &[Word], after: &[&str]) -> bool {
        if !words.iter().any(|word| self.has(*word)) {
            return false;
        }
        let (mut before, mut rest) = ("", self.text);
        while let Some(word) = next_word(&mut rest) {
            let is_one = Word::of(word).is_some_and(|word| words.contains(&word));
            if is_one && after.iter().any(|clause| before.eq_ignore_ascii_case(clause)) {
                return true;
            }
            before = word;
        }
        false
    }

    /// Returns whether the SQL contains ON CONFLICT ROLLBACK, RAISE(ROLLBACK) or OR ROLLBACK.
    fn rolls_back(&self) -> bool {
        self.has_clause(&[Word::Rollback], &["conflict", "or", "raise"])
    }
}

/// Returns the next word of SQL that is not in a comment, a string or a quoted name.
fn next_word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    loop {
        let first = rest.chars().next()?;
        let after = |end: &str, from: usize| {
            let tail = rest.get(from..).unwrap_or_default();
            tail.find(end).and_then(|at| tail.get(at.saturating_add(end.len())..)).unwrap_or_default()
        };
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        *rest = match first {
            _ if rest.starts_with("--") => after("\n", 2),
            _ if rest.starts_with("/*") => after("*/", 2),
            // a doubled quote begins another string immediately, which ends where the whole string
            // ends
            '\'' => after("'", 1),
            '"' => after("\"", 1),
            '`' => after("`", 1),
            '[' => after("]", 1),
            _ if is_word(first) => {
                let (word, tail) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
                *rest = tail;
                return Some(word);
            }
            _ => rest.get(first.len_utf8()..).unwrap_or_default(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_whichever_case() {
        for (word, text) in Word::ALL {
            assert!(Sql::new(&format!("x{}", text.to_uppercase())).has(word) && Sql::new(text).has(word), "{text}");
            assert_eq!(Word::of(text), Some(word));
        }
    }

    #[test]
    fn clauses_are_found_in_sql_and_nowhere_else() {
        for sql in [
            "x UNIQUE ON CONFLICT ROLLBACK",
            "x UNIQUE ON CONFLICT/* hard */rollback",
            "w DEFAULT '--', UNIQUE (v) ON CONFLICT -- hard\nROLLBACK",
            "\"a/*b\", UNIQUE (v) ON CONFLICT /* hard */ ROLLBACK",
            "WHEN new.v <> '--' BEGIN SELECT RAISE(/* hard */ ROLLBACK, 'no') WHERE new.id = 2; END",
            "INSERT OR ROLLBACK INTO t VALUES ('it''s --', [-- ], `/*`)",
        ] {
            assert!(Sql::new(sql).rolls_back(), "{sql}");
        }
        for sql in [
            "rollback TEXT, conflict TEXT",
            "x DEFAULT 'ON CONFLICT ROLLBACK'",
            "x -- ON CONFLICT ROLLBACK\n",
            "x /* ON CONFLICT ROLLBACK",
            "\"on conflict rollback\" TEXT",
            "or_rollback TEXT",
        ] {
            assert!(!Sql::new(sql).rolls_back(), "{sql}");
        }
    }
}
