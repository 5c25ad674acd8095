//! The database to which hostile bytes are applied, and its content.

use std::collections::{BTreeMap, BTreeSet};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Change, Tracked, Value};

use crate::plan::Plan;
use crate::sqlite::{converts_bound_blobs, records_all_tables};

diesel::table! {
    /// Rows of tenants, which no trigger and no foreign key touches.
    notes (id) {
        /// The primary key.
        id -> BigInt,
        /// The tenant.
        tenant -> BigInt,
        /// The text.
        text -> Nullable<Text>,
    }
}

diesel::table! {
    /// Rows with triggers and with foreign key actions.
    books (id) {
        /// The primary key.
        id -> BigInt,
        /// Deleted with its author.
        author -> Nullable<BigInt>,
        /// Set to NULL when the editor is deleted.
        editor -> Nullable<BigInt>,
        /// Some titles start a trigger.
        title -> Text,
    }
}

diesel::table! {
    /// Rows whose primary key has two columns in another order than the table.
    loans (place, book) {
        /// The book, which cannot be deleted while it is lent.
        book -> BigInt,
        /// The place.
        place -> Text,
        /// A unique value.
        n -> Nullable<BigInt>,
        /// Any bytes.
        data -> Nullable<Binary>,
    }
}

/// A row of `notes`.
#[derive(Clone, Debug, PartialEq, Tracked)]
#[diesel(table_name = notes)]
pub struct Note {
    pub(super) id: i64,
    pub(super) tenant: i64,
    pub(super) text: Option<String>,
}

/// A row of `books`.
#[derive(Clone, Debug, PartialEq, Tracked)]
#[diesel(table_name = books)]
pub struct Book {
    id: i64,
    author: Option<i64>,
    editor: Option<i64>,
    title: String,
}

/// A row of `loans`.
#[derive(Clone, Debug, PartialEq, Tracked)]
#[diesel(table_name = loans)]
pub struct Loan {
    book: i64,
    place: String,
    n: Option<i64>,
    data: Option<Vec<u8>>,
}

/// The tables that a guarded apply may change.
#[derive(Debug, Tracked)]
pub enum Shop {
    /// See [`notes`].
    Notes(Change<notes::table>),
    /// See [`books`].
    Books(Change<books::table>),
    /// See [`loans`].
    Loans(Change<loans::table>),
}

/// The tenant whose notes a guarded apply may change.
pub(super) const MINE: i64 = 1;

/// A table with its recorded columns and key ordinals.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) columns: &'static str,
    pub(super) key: &'static [u8],
}

const fn shape(name: &'static str, columns: &'static str, key: &'static [u8]) -> Shape {
    Shape { name, columns, key }
}

pub(super) const TABLES: &[Shape] = &[
    shape("notes", "id, tenant, text", &[1, 0, 0]),
    shape("books", "id, author, editor, title", &[1, 0, 0, 0]),
    shape("loans", "book, place, n, data", &[2, 1, 0, 0]),
    shape("authors", "id, name, books", &[1, 0, 0]),
    shape("tree", "id, parent, pos", &[1, 0, 0]),
    shape("pairs", "a, b, pos, v", &[1, 2, 0, 0]),
    shape("strict", "id, n, r, t, b", &[1, 0, 0, 0, 0]),
    shape("words", "word, n", &[1, 0]),
    shape("swaps", "id, v, w, x", &[1, 0, 0, 0]),
    shape("secret", "id, a, b", &[1, 0, 0]),
    shape("log", "id, line", &[1, 0]),
];

/// The parts of the content that a guarded apply must not change, directly or by a trigger or
/// foreign key.
const GUARDED: [&str; 9] =
    ["of others", "secret", "tree", "pairs", "strict", "words", "swaps", "sqlite_stat1", "schema"];

const SCHEMA: &str = "
CREATE TABLE notes (id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, size INTEGER AS (length(text)) STORED, text TEXT,
  UNIQUE (tenant, text), CHECK (text <> 'never'));
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, loud TEXT AS (upper(name)), books INTEGER DEFAULT 0);
CREATE INDEX loud_names ON authors (loud, length(name));
CREATE TABLE books (id INTEGER PRIMARY KEY, author INTEGER REFERENCES authors ON DELETE CASCADE ON UPDATE CASCADE,
  editor INTEGER REFERENCES authors ON DELETE SET NULL, title TEXT NOT NULL);
CREATE UNIQUE INDEX titles ON books (title) WHERE editor IS NOT NULL;
CREATE TABLE loans (book INTEGER REFERENCES books ON DELETE RESTRICT, place TEXT, n INTEGER UNIQUE, data BLOB,
  PRIMARY KEY (place, book)) WITHOUT ROWID;
CREATE TABLE tree (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES tree ON DELETE CASCADE, pos INTEGER UNIQUE);
CREATE TABLE pairs (a, b, pos INTEGER UNIQUE ON CONFLICT ABORT, v UNIQUE, PRIMARY KEY (a, b));
CREATE TABLE strict (id INT PRIMARY KEY, n INT, r REAL UNIQUE, t TEXT CHECK (t IS NULL OR length(t) < 20), b BLOB, g ANY AS (n + r)) STRICT;
CREATE TABLE words (word TEXT COLLATE NOCASE PRIMARY KEY, n NUMERIC UNIQUE ON CONFLICT IGNORE) WITHOUT ROWID;
CREATE TABLE swaps (id INTEGER PRIMARY KEY, v UNIQUE, w UNIQUE ON CONFLICT REPLACE, x UNIQUE ON CONFLICT IGNORE);
CREATE TABLE secret (id INTEGER PRIMARY KEY, a TEXT, b UNIQUE);
CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, line);
CREATE TABLE nokey (a, b);
CREATE VIEW shelf AS SELECT * FROM books;
CREATE TRIGGER author_gone AFTER DELETE ON authors BEGIN INSERT INTO log (line) VALUES ('gone ' || old.id); END;
CREATE TRIGGER book_in AFTER INSERT ON books BEGIN
  UPDATE authors SET books = books + 1 WHERE id = new.author;
  INSERT INTO log (line) VALUES (new.title);
  SELECT RAISE(ABORT, 'stopped') WHERE new.title = 'stop';
END;
CREATE TRIGGER book_changed BEFORE UPDATE ON books BEGIN
  SELECT CASE new.title WHEN 'stop' THEN RAISE(ABORT, 'stopped') WHEN 'pass' THEN RAISE(IGNORE) END;
  DELETE FROM books WHERE id = new.id AND new.title = 'gone';
END;
CREATE TRIGGER book_out BEFORE DELETE ON books BEGIN
  SELECT RAISE(IGNORE) WHERE old.title = 'stays';
  UPDATE authors SET books = books - 1 WHERE id = old.author;
  DELETE FROM books WHERE author = old.author AND title = 'sequel';
END;
CREATE TRIGGER loan_in BEFORE INSERT ON loans BEGIN
  DELETE FROM loans WHERE n = new.n AND place <> new.place;
END;
";

/// The generated columns in [`SCHEMA`], and the index of one.
const GENERATED: [&str; 4] = [
    " size INTEGER AS (length(text)) STORED,",
    " loud TEXT AS (upper(name)),",
    "CREATE INDEX loud_names ON authors (loud, length(name));",
    ", g ANY AS (n + r)",
];

const ROWS: &str = "
INSERT INTO notes (id, tenant, text) VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'a'), (4, 2, 'c'), (5, 2, NULL), (6, 1, NULL);
INSERT INTO authors (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, NULL);
INSERT INTO books VALUES (1, 1, 2, 'a'), (2, 1, NULL, 'a'), (3, 2, 1, 'stays'), (4, 3, NULL, 'sequel'), (5, 3, 3, 'b'), (6, NULL, NULL, 'c');
INSERT INTO loans VALUES (1, 'a', 1, x'00'), (2, 'a', 2, NULL), (3, 'b', NULL, x'ff00'), (6, 'c', 3, 'text');
INSERT INTO tree VALUES (1, NULL, 1), (2, 1, 2), (3, 1, 3), (4, 2, 4), (5, NULL, 5);
INSERT INTO pairs VALUES (1, 1, 1, 'a'), (1, 2, 2, 'b'), ('a', 'b', 3, 'c'), (x'00', 0.5, 4, NULL);
INSERT INTO strict VALUES (1, 1, 1.0, 'a', x'00'), (2, 2, 2.5, NULL, NULL), (3, NULL, NULL, 'c', x'01');
INSERT INTO words VALUES ('a', 1), ('b', 2.5), ('c', 'text');
INSERT INTO swaps VALUES (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3), (4, 'a', 'a', NULL), (5, 'b', 'b', 'b');
INSERT INTO secret VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', NULL);
";

/// A database, as the statements that create it.
pub(super) struct Replica {
    pub(super) foreign_keys: bool,
    /// The edits that only the replica has.
    edits: Vec<String>,
    set_up: String,
}

impl Replica {
    pub(super) fn new(plan: &mut Plan<'_>) -> Self {
        let foreign_keys = !plan.chance(6);
        let mut set_up = String::new();
        if plan.chance(2) && converts_bound_blobs() {
            set_up.push_str("PRAGMA encoding = 'UTF-16le';");
        }
        if foreign_keys {
            set_up.push_str("PRAGMA foreign_keys = ON;");
        }
        set_up.push_str(SCHEMA);
        set_up.push_str(ROWS);
        if plan.chance(2) {
            set_up.push_str("ANALYZE;");
        }
        if plan.chance(3) {
            // with the names of tables in `main`
            set_up.push_str("CREATE TEMP TABLE notes (id INTEGER PRIMARY KEY, tenant, text); INSERT INTO temp.notes VALUES (1, 2, 't');");
            set_up.push_str("CREATE TEMP TABLE pairs (a, b, pos, v, PRIMARY KEY (a, b)); INSERT INTO temp.pairs VALUES (1, 1, 1, 1);");
        }
        let edits = (0..plan.below(16)).map(|_| edit(plan)).collect();
        Self { foreign_keys, edits, set_up }
    }

    /// Opens a source of changes: the replica without its edits, and without generated columns if
    /// SQLite cannot record them.
    pub(super) fn open_source(&self) -> SqliteConnection {
        let mut schema = SCHEMA.to_string();
        if !records_all_tables() {
            for generated in GENERATED {
                schema = schema.replace(generated, "");
            }
        }
        let mut conn = SqliteConnection::establish(":memory:").expect("SQLite opens");
        exec(&mut conn, &schema).and_then(|()| exec(&mut conn, ROWS)).expect("the schema is right");
        conn
    }

    pub(super) fn open(&self) -> SqliteConnection {
        let mut conn = SqliteConnection::establish(":memory:").expect("SQLite opens");
        exec(&mut conn, &self.set_up).expect("the schema is right");
        for edit in &self.edits {
            try_edit(&mut conn, edit);
        }
        conn
    }
}

/// Runs `statements`.
pub(super) fn exec(conn: &mut SqliteConnection, statements: &str) -> QueryResult<()> {
    conn.batch_execute(statements)
}

/// Runs an edit, which can violate a constraint.
pub(super) fn try_edit(conn: &mut SqliteConnection, edit: &str) {
    if exec(conn, edit).is_err() {
        // in case it failed inside a savepoint
        let _ = exec(conn, "ROLLBACK");
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

/// Returns the rows of a query whose only column is named `line`.
pub(super) fn lines(conn: &mut SqliteConnection, query: &str) -> Vec<String> {
    let rows = diesel::sql_query(query).load::<Line>(conn).unwrap_or_else(|error| panic!("{error}: {query}"));
    rows.into_iter().map(|row| row.line).collect()
}

/// Returns an SQL statement that changes one or a few rows.
pub(super) fn edit(plan: &mut Plan<'_>) -> String {
    let table = &TABLES[plan.below(TABLES.len())];
    let columns: Vec<&str> = table.columns.split(", ").collect();
    let key = table.key.iter().position(|place| *place == 1).expect("each has a key");
    match plan.below(10) {
        kind @ 0..=2 => {
            let is_key = |column: usize| table.key[column] != 0;
            let value = |column| if is_key(column) { key_literal(plan) } else { literal(plan) };
            let values: Vec<&str> = (0..columns.len()).map(value).collect();
            let or = if kind == 0 { "REPLACE" } else { "IGNORE" };
            format!("INSERT OR {or} INTO {} ({}) VALUES ({})", table.name, table.columns, values.join(", "))
        }
        kind @ 3..=6 => {
            let (set, to, of) = (columns[plan.below(columns.len())], literal(plan), key_literal(plan));
            let by = if kind == 3 { "<=" } else { "=" };
            format!("UPDATE OR IGNORE {} SET {set} = {to} WHERE {} {by} {of}", table.name, columns[key])
        }
        7 => {
            // two rows exchange a value
            let last = if table.columns.contains("pos") { "pos" } else { columns[columns.len() - 1] };
            let [a, b] = [key_literal(plan), key_literal(plan)];
            let name = table.name;
            let k = columns[key];
            format!(
                "SAVEPOINT x; CREATE TEMP TABLE IF NOT EXISTS held (v); DELETE FROM held; \
                 INSERT INTO held SELECT {last} FROM main.{name} WHERE {k} = {a}; \
                 UPDATE OR IGNORE main.{name} SET {last} = 77 WHERE {k} = {a}; \
                 UPDATE OR IGNORE main.{name} SET {last} = (SELECT v FROM held) WHERE {k} = {b}; \
                 UPDATE OR IGNORE main.{name} SET {last} = {b} WHERE {k} = {a}; RELEASE x"
            )
        }
        _ => format!("DELETE FROM {} WHERE {} = {}", table.name, columns[key], key_literal(plan)),
    }
}

/// Returns a literal that is usually an existing key.
fn key_literal(plan: &mut Plan<'_>) -> &'static str {
    const KEYS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "8", "'a'"];
    if plan.chance(13) { KEYS[plan.below(KEYS.len())] } else { literal(plan) }
}

fn literal(plan: &mut Plan<'_>) -> &'static str {
    const LITERALS: [&str; 24] = [
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "'a'",
        "'b'",
        "'c'",
        "'d'",
        "NULL",
        "'A'",
        "'stop'",
        "'pass'",
        "'gone'",
        "'stays'",
        "'sequel'",
        "2.5",
        "x'00'",
        "x'ff'",
        "9223372036854775807",
        "'1'",
        "1.0",
    ];
    LITERALS[plan.below(LITERALS.len())]
}

/// The content of a database: the rows of each table.
#[derive(Clone)]
pub(super) struct Content(BTreeMap<&'static str, Vec<String>>);

impl Content {
    pub(super) fn read(conn: &mut SqliteConnection) -> Self {
        let mut content = BTreeMap::new();
        let more = [("authors", "loud"), ("notes", "size"), ("strict", "g")];
        for table in TABLES {
            let generated = more.iter().filter(|(name, _)| *name == table.name).map(|(_, column)| *column);
            let columns: Vec<&str> = table.columns.split(", ").chain(generated).collect();
            content.insert(table.name, rows(conn, &format!("main.{}", table.name), &columns));
        }
        content.insert("schema", rows(conn, "main.sqlite_schema", &["type", "name", "tbl_name", "rootpage", "sql"]));
        content.insert("sqlite_sequence", rows(conn, "main.sqlite_sequence", &["name", "seq"]));
        content.insert("nokey", rows(conn, "main.nokey", &["a", "b"]));
        let others = "(SELECT * FROM main.notes WHERE tenant IS NOT 1)";
        content.insert("of others", rows(conn, others, &["id", "tenant", "size", "text"]));
        let optional =
            [("sqlite_stat1", "main.sqlite_stat1"), ("temp.notes", "temp.notes"), ("temp.pairs", "temp.pairs")];
        let there = lines(
            conn,
            "SELECT name AS line FROM main.sqlite_schema WHERE name = 'sqlite_stat1' \
             UNION ALL SELECT 'temp.' || name FROM temp.sqlite_schema",
        );
        for (name, table) in optional.into_iter().filter(|(name, _)| there.iter().any(|there| there == name)) {
            let columns: &[&str] = match name {
                "sqlite_stat1" => &["tbl", "idx", "stat"],
                "temp.notes" => &["id", "tenant", "text"],
                _ => &["a", "b", "pos", "v"],
            };
            content.insert(name, rows(conn, table, columns));
        }
        Self(content)
    }

    /// Compares the parts for which `is_compared` returns true.
    pub(super) fn expect(&self, other: &Self, is_compared: impl Fn(&str) -> bool, promise: &str, context: &str) {
        for name in self.0.keys().chain(other.0.keys()).filter(|name| is_compared(name)) {
            let (ours, theirs) = (self.0.get(name), other.0.get(name));
            if ours == theirs {
                continue;
            }
            let (ours, theirs) = (ours.cloned().unwrap_or_default(), theirs.cloned().unwrap_or_default());
            let lost: Vec<_> = ours.iter().filter(|row| !theirs.contains(row)).collect();
            let new: Vec<_> = theirs.iter().filter(|row| !ours.contains(row)).collect();
            panic!("{promise}: {name}: lost {lost:?}, new {new:?}: {context}");
        }
    }
}

/// The tables with an integer key in the first column to which no trigger adds rows.
const KEYED: [&str; 7] = ["notes", "authors", "books", "tree", "strict", "swaps", "secret"];

impl Content {
    /// Checks that every row existed before or is inserted by a change.
    pub(super) fn expect_keys_of(&self, before: &Self, changes: &[(String, Value<'_>)], context: &str) {
        let keys = |content: &Self, table| -> BTreeSet<String> {
            content.0[table].iter().filter_map(|row| row.split(' ').next()).map(String::from).collect()
        };
        for table in KEYED {
            let mut known = keys(before, table);
            let mut of_table = changes.iter().filter(|(name, _)| name.eq_ignore_ascii_case(table));
            // a column can convert other values to integers
            let all_integers = of_table.all(|(_, key)| {
                let Value::Integer(key) = key else { return false };
                known.insert(key.to_string());
                true
            });
            let new: Vec<String> = keys(self, table).difference(&known).cloned().collect();
            assert!(new.is_empty() || !all_integers, "rows out of nothing in {table}: {new:?}: {context}");
        }
    }
}

/// Returns whether a guarded apply must not change a part of the content.
pub(super) fn is_guarded(name: &str) -> bool {
    GUARDED.contains(&name)
}

/// Returns the sorted rows with the storage class and all bytes of every value.
fn rows(conn: &mut SqliteConnection, table: &str, columns: &[&str]) -> Vec<String> {
    let shown: Vec<String> = columns
        .iter()
        .map(|c| {
            format!(
                "CASE typeof({c}) WHEN 'text' THEN 't' || hex({c}) WHEN 'blob' THEN 'b' || hex({c}) ELSE quote({c}) END"
            )
        })
        .collect();
    lines(conn, &format!("SELECT {} AS line FROM {table} ORDER BY 1", shown.join(" || ' ' || ")))
}
