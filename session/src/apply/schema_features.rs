//! What the database's own SQL contains that affects an apply: triggers, conflict clauses, foreign
//! keys, collations.

use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::vec::Vec;

use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::schema::TableKind;

/// The tables of `main`, and the relevant clauses of its SQL. Table names are in lower case.
#[derive(Default)]
pub(super) struct SchemaFeatures {
    /// The tables and views of `main`.
    tables: BTreeMap<String, Table>,
    /// The tables with triggers, and whether one of these fires on UPDATEs.
    triggers: BTreeMap<String, bool>,
    /// Whether a trigger can fail without undoing its work, by itself or through the constraints of
    /// a table that it changes.
    triggers_fail: bool,
    /// Whether the database has foreign keys.
    references: bool,
    /// Whether the connection has temporary triggers.
    temporary_triggers: bool,
}

/// The clauses in the SQL of a table.
struct Table {
    kind: TableKind,
    /// `ON CONFLICT` with `ROLLBACK`, `FAIL`, `IGNORE` or `REPLACE`.
    has_conflict_clause: bool,
    references: bool,
    collates: bool,
    checks: bool,
    /// Whether the table is `STRICT`.
    is_strict: bool,
    is_autoincrement: bool,
}

impl SchemaFeatures {
    pub(super) fn read(connection: Connection<'_>) -> Result<Self, SqliteError> {
        let (mut features, mut tables_fail) = (Self::default(), false);
        let query = "SELECT type, tbl_name, sql FROM main.sqlite_schema";
        connection.for_each(query, |row| tables_fail |= features.add(&row.text(0), &row.text(1), &row.text(2)))?;
        if connection.has_temp() {
            let query = "SELECT tbl_name, sql FROM temp.sqlite_schema WHERE type = 'trigger'";
            connection.for_each(query, |row| {
                features.temporary_triggers = true;
                features.add_trigger(&row.text(0), &row.text(1));
            })?;
            // a temporary trigger can write to tables of any schema
            tables_fail |= features.temporary_triggers;
        }
        features.triggers_fail |= !features.triggers.is_empty() && tables_fail;
        Ok(features)
    }

    /// Adds a table, view or trigger, but no index. Returns whether a constraint of the table can
    /// fail without undoing the statement's earlier work.
    fn add(&mut self, kind: &str, name: &str, text: &str) -> bool {
        match kind {
            "index" => return false,
            "trigger" => {
                self.add_trigger(name, text);
                return false;
            }
            _ => {}
        }
        let sql = Sql::new(text);
        if let Some(kind) = TableKind::of(kind, text) {
            let clauses = [Word::Rollback, Word::Fail, Word::Ignore, Word::Replace];
            let table = Table {
                kind,
                has_conflict_clause: sql.has_clause(&clauses, &["conflict"]),
                references: sql.has(Word::References),
                collates: sql.has(Word::Collate),
                checks: sql.has(Word::Check),
                is_strict: sql.has(Word::Strict) && sql.ends_with_option(Word::Strict),
                is_autoincrement: sql.has(Word::Autoincrement),
            };
            self.references |= table.references;
            self.tables.insert(name.to_ascii_lowercase(), table);
        }
        sql.has_clause(&[Word::Fail], &["conflict"])
    }

    fn add_trigger(&mut self, table: &str, text: &str) {
        let sql = Sql::new(text);
        self.triggers_fail |= sql.has_clause(&[Word::Fail], &["raise", "or"]);
        *self.triggers.entry(table.to_ascii_lowercase()).or_default() |= sql.is_update_trigger();
    }

    /// Returns the kind of the table, if it exists. The name must be in lower case.
    pub(super) fn kind(&self, table: &str) -> Option<TableKind> {
        self.tables.get(table).map(|table| table.kind)
    }

    /// Returns whether the table's SQL contains a collation. The name must be in lower case.
    pub(super) fn has_collations(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.collates)
    }

    /// Returns whether the table can have CHECK constraints. The name must be in lower case.
    pub(super) fn has_checks(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.checks)
    }

    /// Returns whether the table is `STRICT`. The name must be in lower case.
    pub(super) fn is_strict(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.is_strict)
    }

    /// Returns whether a constraint of the table has a conflict clause other than ABORT. The name
    /// must be in lower case.
    pub(super) fn has_conflict_clause(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.has_conflict_clause)
    }

    /// Returns whether the table has triggers. The name must be in lower case.
    pub(super) fn has_triggers(&self, table: &str) -> bool {
        self.triggers.contains_key(table)
    }

    /// Returns whether the table has triggers that fire on UPDATEs. The name must be in lower case.
    pub(super) fn has_update_triggers(&self, table: &str) -> bool {
        self.triggers.get(table).is_some_and(|on_update| *on_update)
    }

    /// Returns whether `INSERT OR FAIL` of many rows is, up to the row that fails, the same as the
    /// INSERTs one by one. The name must be in lower case.
    ///
    /// `OR FAIL` does not concern immediate foreign keys and the types of a `STRICT` table, and
    /// the last number of `AUTOINCREMENT` is written after all rows.
    pub(super) fn can_fail_between_rows(&self, table: &str) -> bool {
        !self.triggers.contains_key(table)
            && !self.temporary_triggers
            && self
                .tables
                .get(table)
                .is_some_and(|table| !table.references && !table.is_strict && !table.is_autoincrement)
    }

    /// Returns whether a change to the table can fail and nevertheless be made. The name must be in
    /// lower case.
    ///
    /// The causes are `RAISE(FAIL)`, `OR FAIL` or `ON CONFLICT FAIL` in what a trigger does, also
    /// in a trigger of a table that foreign key actions change. They leave the row and what
    /// triggers did before.
    pub(super) fn can_fail_half_way(&self, table: &str) -> bool {
        self.triggers_fail && (self.references || self.triggers.contains_key(table))
    }

    /// Returns whether the database has foreign keys.
    pub(super) fn has_references(&self) -> bool {
        self.references
    }

    /// Returns whether the connection has temporary triggers, which can refer to tables of any
    /// schema.
    pub(super) fn has_temporary_triggers(&self) -> bool {
        self.temporary_triggers
    }
}

/// A foreign key of a table in `main`. Table names are in lower case.
pub(super) struct ForeignKey {
    pub(super) child: String,
    pub(super) parent: String,
    /// The referenced column, or `None` for the primary key.
    pub(super) parent_column: Option<String>,
    pub(super) acts_on_update: bool,
    pub(super) acts_on_delete: bool,
}

impl ForeignKey {
    /// Returns the foreign keys of all tables, with an item for each column, if foreign keys are
    /// enforced.
    ///
    /// A pragma in a FROM clause is not used: after `sqlite3_deserialize`, it reads freed memory.
    pub(super) fn read_enforced(
        connection: Connection<'_>,
        features: &SchemaFeatures,
    ) -> Result<Vec<Self>, SqliteError> {
        let mut keys = Vec::new();
        if !connection.rows("PRAGMA foreign_keys", |row| row.integer(0))?.contains(&1) {
            return Ok(keys);
        }
        for (child, _) in features.tables.iter().filter(|(_, table)| table.references) {
            let list = format!("PRAGMA main.foreign_key_list('{}')", child.replace('\'', "''"));
            connection.for_each(&list, |row| {
                keys.push(Self {
                    child: child.clone(),
                    parent: row.text(2).to_ascii_lowercase(),
                    parent_column: (!row.is_null(4)).then(|| row.text(4).into_owned()),
                    acts_on_update: !row.text(5).eq_ignore_ascii_case("NO ACTION"),
                    acts_on_delete: !row.text(6).eq_ignore_ascii_case("NO ACTION"),
                });
            })?;
        }
        Ok(keys)
    }

    pub(super) fn acts(&self) -> bool {
        self.acts_on_update || self.acts_on_delete
    }
}

/// Returns whether the order of the changes to a table can be observed. The name must be in lower
/// case.
///
/// This is the case with triggers, which may read other rows, and with foreign key actions on the
/// table itself or on a table with triggers. `keys` are the foreign keys whose actions run.
pub(super) fn shows_order(features: &SchemaFeatures, keys: &[ForeignKey], table: &str) -> bool {
    if features.has_triggers(table) {
        return true;
    }
    // the tables that foreign key actions change, directly and indirectly
    let (mut found, mut next) = (BTreeSet::new(), Vec::from([table]));
    while let Some(parent) = next.pop() {
        for key in keys.iter().filter(|key| key.acts() && key.parent == parent) {
            if found.insert(key.child.as_str()) {
                next.push(&key.child);
            }
        }
    }
    found.into_iter().any(|child| child == table || features.has_triggers(child))
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
    Check,
    Strict,
    Autoincrement,
}

impl Word {
    const ALL: [(Self, &str); 9] = [
        (Self::Rollback, "rollback"),
        (Self::Fail, "fail"),
        (Self::Ignore, "ignore"),
        (Self::Replace, "replace"),
        (Self::References, "references"),
        (Self::Collate, "collate"),
        (Self::Check, "check"),
        (Self::Strict, "strict"),
        (Self::Autoincrement, "autoincrement"),
    ];

    fn bit(self) -> u16 {
        1 << self as u8
    }

    fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, word)| word.eq_ignore_ascii_case(text)).map(|(word, _)| word)
    }
}

/// SQL, and the set of words that occur anywhere in it.
struct Sql<'a> {
    text: &'a str,
    words: u16,
}

impl<'a> Sql<'a> {
    /// Finds the words in one pass. Most SQL contains none of them.
    fn new(text: &'a str) -> Self {
        let mut words = 0;
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if matches!(first.to_ascii_lowercase(), b'a' | b'r' | b'f' | b'i' | b'c' | b's') {
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

    /// Returns whether a word is among the options after the columns of a table.
    fn ends_with_option(&self, option: Word) -> bool {
        let (mut rest, mut depth, mut has_columns) = (self.text, 0u32, false);
        core::iter::from_fn(|| next_token(&mut rest)).any(|token| {
            match token {
                Token::Other('(') => depth = depth.saturating_add(1),
                Token::Other(')') => (depth, has_columns) = (depth.saturating_sub(1), true),
                Token::Word(word) => return has_columns && depth == 0 && Word::of(word) == Some(option),
                _ => {}
            }
            false
        })
    }

    /// Returns whether the SQL creates a trigger that fires on UPDATEs.
    fn is_update_trigger(&self) -> bool {
        let mut rest = self.text;
        let mut words = core::iter::from_fn(|| next_word(&mut rest));
        let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
        // the name of the trigger, if it is not quoted, precedes the event
        let mut event = None;
        for word in words.by_ref().take_while(|word| !is(word, "on")) {
            if ["delete", "insert", "update"].iter().any(|other| is(word, other)) {
                event = Some(word);
            }
        }
        event.is_none_or(|event| is(event, "update"))
    }
}

/// Returns whether SQL contains one of the names, quoted or not.
pub(super) fn mentions(sql: &str, names: &[&str]) -> bool {
    let mut rest = sql;
    core::iter::from_fn(|| next_token(&mut rest)).any(|token| token.is_one_of(names))
}

/// Returns whether the definition of a column in the SQL of its table contains one of the names.
pub(super) fn definition_mentions(sql: &str, column: &str, names: &[&str]) -> bool {
    let (mut rest, mut depth, mut is_start, mut is_found) = (sql, 0u32, false, false);
    while let Some(token) = next_token(&mut rest) {
        match token {
            Token::Other('(') => {
                depth = depth.saturating_add(1);
                is_start = depth == 1;
                continue;
            }
            Token::Other(')') => depth = depth.saturating_sub(1),
            Token::Other(',') if depth == 1 => {
                (is_start, is_found) = (true, false);
                continue;
            }
            _ => {}
        }
        if is_start {
            is_found = token.is_one_of(&[column]);
        } else if is_found && token.is_one_of(names) {
            return true;
        }
        is_start = false;
    }
    false
}

/// The terms of an index, and the condition of a partial one, as its SQL contains them.
pub(super) struct IndexTerms<'a> {
    pub(super) terms: Vec<&'a str>,
    pub(super) condition: Option<&'a str>,
}

impl<'a> IndexTerms<'a> {
    /// Finds the terms in a CREATE INDEX.
    pub(super) fn parse(sql: &'a str) -> Option<Self> {
        let mut rest = sql;
        // the names of the index and of the table come before the terms
        while !matches!(next_token(&mut rest)?, Token::Other('(')) {}
        let (mut terms, mut depth, mut start, mut end) = (Vec::new(), 0u32, rest, rest);
        let between = |start: &'a str, end: &str| start.get(..start.len().checked_sub(end.len())?);
        loop {
            match next_token(&mut rest)? {
                Token::Other('(') => depth = depth.saturating_add(1),
                Token::Other(')') if depth > 0 => depth = depth.saturating_sub(1),
                Token::Other(separator @ (',' | ')')) if depth == 0 => {
                    terms.push(between(start, end)?);
                    if separator == ')' {
                        break;
                    }
                    (start, end) = (rest, rest);
                    continue;
                }
                // the direction at the end of a term is not part of its value
                Token::Word(word) if depth == 0 && ["asc", "desc"].iter().any(|it| it.eq_ignore_ascii_case(word)) => {
                    continue;
                }
                _ => {}
            }
            end = rest;
        }
        let condition = match next_token(&mut rest) {
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("where") => Some(rest),
            _ => None,
        };
        Some(Self { terms, condition })
    }
}

/// A part of SQL that is neither space nor a comment.
#[derive(Clone, Copy)]
enum Token<'a> {
    Word(&'a str),
    /// A quoted name or a string, without its quotes. A doubled quote ends it.
    Quoted(&'a str),
    Other(char),
}

impl Token<'_> {
    fn is_one_of(self, names: &[&str]) -> bool {
        match self {
            Self::Word(text) => names.iter().any(|name| name.eq_ignore_ascii_case(text)),
            // of a name that contains a quote, only the beginning is compared
            Self::Quoted(text) => names.iter().any(|name| {
                let beginning = name.split(['"', '\'', '`']).next().unwrap_or_default();
                name.eq_ignore_ascii_case(text) || (beginning != *name && beginning.eq_ignore_ascii_case(text))
            }),
            Self::Other(_) => false,
        }
    }
}

/// Returns the next word of SQL that is not in a comment, a string or a quoted name.
fn next_word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    loop {
        if let Token::Word(word) = next_token(rest)? {
            return Some(word);
        }
    }
}

/// Returns the next token of SQL.
fn next_token<'a>(rest: &mut &'a str) -> Option<Token<'a>> {
    loop {
        let first = rest.chars().next()?;
        // what is between the start and the end, and what follows
        let until = |end: &str, from: usize| {
            let tail = rest.get(from..).unwrap_or_default();
            let at = tail.find(end).unwrap_or(tail.len());
            (tail.get(..at).unwrap_or_default(), tail.get(at.saturating_add(end.len())..).unwrap_or_default())
        };
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let (token, tail) = match first {
            _ if rest.starts_with("--") => (None, until("\n", 2).1),
            _ if rest.starts_with("/*") => (None, until("*/", 2).1),
            // a doubled quote begins another string immediately, which ends where the whole string
            // ends
            '\'' | '"' | '`' | '[' => {
                let end = if first == '[' { "]" } else { rest.get(..1).unwrap_or_default() };
                let (quoted, tail) = until(end, 1);
                (Some(Token::Quoted(quoted)), tail)
            }
            _ if is_word(first) => {
                let (word, tail) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
                (Some(Token::Word(word)), tail)
            }
            _ => {
                let tail = rest.get(first.len_utf8()..).unwrap_or_default();
                ((!first.is_whitespace()).then_some(Token::Other(first)), tail)
            }
        };
        *rest = tail;
        if token.is_some() {
            return token;
        }
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
            assert!(Sql::new(sql).has_clause(&[Word::Rollback], &["conflict", "or", "raise"]), "{sql}");
        }
        for sql in [
            "rollback TEXT, conflict TEXT",
            "x DEFAULT 'ON CONFLICT ROLLBACK'",
            "x -- ON CONFLICT ROLLBACK\n",
            "x /* ON CONFLICT ROLLBACK",
            "\"on conflict rollback\" TEXT",
            "or_rollback TEXT",
        ] {
            assert!(!Sql::new(sql).has_clause(&[Word::Rollback], &["conflict", "or", "raise"]), "{sql}");
        }
    }

    #[test]
    fn the_event_of_a_trigger_is_found() {
        for (sql, expected) in [
            ("CREATE TRIGGER t AFTER UPDATE ON x BEGIN DELETE FROM y; END", true),
            ("CREATE TRIGGER update_x BEFORE UPDATE OF \"delete\" ON x BEGIN SELECT 1; END", true),
            ("CREATE TRIGGER \"update\" INSTEAD OF INSERT ON x BEGIN UPDATE y SET a = 1; END", false),
            ("CREATE TRIGGER t AFTER INSERT ON x BEGIN UPDATE y SET a = 1; END", false),
            ("CREATE TRIGGER t /* UPDATE */ DELETE ON x BEGIN SELECT 1; END", false),
        ] {
            assert_eq!(Sql::new(sql).is_update_trigger(), expected, "{sql}");
        }
    }

    #[test]
    fn options_of_a_table_follow_its_columns() {
        assert!(Sql::new("CREATE TABLE t(a INT) STRICT").ends_with_option(Word::Strict));
        assert!(Sql::new("CREATE TABLE t(a INT CHECK (a > 0)) WITHOUT ROWID, strict").ends_with_option(Word::Strict));
        assert!(Sql::new("CREATE TABLE \")\"(a INT) STRICT -- (only numbers)").ends_with_option(Word::Strict));
        assert!(Sql::new("CREATE TABLE t(a INT) /* :) */ STRICT /* ) */").ends_with_option(Word::Strict));
        assert!(!Sql::new("CREATE TABLE strict(a INT) -- STRICT").ends_with_option(Word::Strict));
        assert!(!Sql::new("CREATE TABLE t(strict INT)").ends_with_option(Word::Strict));
    }

    #[test]
    fn the_definition_of_a_generated_column_is_found() {
        let sql = "CREATE TABLE t (id INT, \"u\" INT CHECK (u IN (1, 2)), w AS (v || id), 'x y' INT AS (\"u\" * (2, 3)) STORED, UNIQUE (u))";
        assert!(definition_mentions(sql, "x y", &["u"]) && definition_mentions(sql, "W", &["a", "V"]));
        assert!(!definition_mentions(sql, "w", &["u"]) && !definition_mentions(sql, "x y", &["v", "id"]));
        assert!(mentions("CREATE INDEX i ON t ([u] + 0)", &["U"]) && !mentions("CREATE INDEX i ON t (v) -- u", &["u"]));
    }

    #[test]
    fn the_terms_of_an_index_are_found() {
        let terms = |sql| IndexTerms::parse(sql).map(|index| (index.terms, index.condition));
        let trim = |found: Option<(Vec<&'static str>, Option<&'static str>)>| {
            let (terms, condition) = found.unwrap();
            (terms.iter().map(|term| term.trim()).collect::<Vec<_>>(), condition.map(str::trim))
        };
        let sql = "CREATE UNIQUE INDEX \"i(\" ON [t)](a DESC, lower(b, ',') COLLATE nocase asc, c) WHERE d IN (1, 2)";
        assert_eq!(trim(terms(sql)), (vec!["a", "lower(b, ',') COLLATE nocase", "c"], Some("d IN (1, 2)")));
        assert_eq!(trim(terms("CREATE UNIQUE INDEX i ON t (u + 0)")), (vec!["u + 0"], None));
        assert!(terms("CREATE UNIQUE INDEX i ON t").is_none());
    }
}
