//! Random databases and edits as SQL, so that a failure can be read and repeated by hand.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

use crate::change::{Change, Owned};
use crate::sqlite::{Database, read_sorted, records_all_tables};

/// A schema, the rows before the session, and the edits that the session records.
#[derive(Clone, Debug)]
pub struct History {
    /// `CREATE` statements.
    pub schema: Vec<String>,
    /// The statements before the session starts.
    pub before: Vec<String>,
    /// The statements that the session records.
    pub edits: Vec<String>,
}

/// Returns a configuration of `cases` cases that are the same each time, so that a new failure
/// comes from a change of the code.
///
/// The variable `PROPTEST_CASES` runs that many other cases, `PROPTEST_RNG_SEED` those of a seed. A
/// failure prints its input as SQL, bytes or a plan. Inputs worth keeping become named tests or
/// files in `tests/corpus`; no seeds are stored.
#[must_use]
pub fn config(cases: u32) -> ProptestConfig {
    let given = ProptestConfig { max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() || std::env::var_os("PROPTEST_RNG_SEED").is_some() {
        given
    } else {
        ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), ..given }
    }
}

/// A changeset and the patchset of the same changes.
pub type Recorded = (Vec<u8>, Vec<u8>);

impl History {
    /// Returns what SQLite records, as a changeset and as a patchset.
    ///
    /// # Panics
    ///
    /// If a statement fails for another reason than its values.
    pub fn record(&self) -> (Vec<u8>, Vec<u8>) {
        let database = self.start();
        let session = database.track();
        run(&database, &self.edits);
        (session.changeset(), session.patchset())
    }

    /// Returns the database before the session starts.
    ///
    /// # Panics
    ///
    /// If a statement fails for another reason than its values.
    pub fn start(&self) -> Database {
        let database = Database::new();
        for statement in &self.schema {
            database.execute(statement).unwrap();
        }
        run(&database, &self.before);
        database
    }

    /// Returns the database before the edits, without its triggers: the changes contain their
    /// effects.
    ///
    /// # Panics
    ///
    /// If a statement fails for another reason than its values.
    pub fn replica(&self) -> Database {
        let database = self.start();
        for trigger in database.texts("SELECT name FROM sqlite_schema WHERE type = 'trigger'") {
            database.execute(&format!("DROP TRIGGER \"{trigger}\"")).unwrap();
        }
        database
    }

    /// Deletes every row of `database` and returns the rows bit for bit, as a session records the
    /// deletions. Rows with NULL in the key are not included.
    ///
    /// # Panics
    ///
    /// If SQLite cannot delete the rows.
    pub fn rows(&self, database: &Database) -> Vec<Change> {
        let session = database.track();
        for table in database.texts("SELECT name FROM sqlite_schema WHERE type = 'table'") {
            database.execute(&format!("DELETE FROM \"{table}\"")).unwrap();
        }
        read_sorted(&session.changeset())
    }

    /// Returns the rows of a [replica](Self::replica) that has applied `parts` in order, or `None`
    /// if one of them conflicts.
    ///
    /// # Panics
    ///
    /// If a statement fails for another reason than its values.
    pub fn rows_after<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<Change>> {
        let database = self.replica();
        parts.into_iter().try_for_each(|part| database.apply(part)).ok()?;
        Some(self.rows(&database))
    }

    /// Returns what SQLite records in `count` sessions one after another, and the final database.
    ///
    /// # Panics
    ///
    /// If a statement fails for another reason than its values.
    pub fn record_parts(&self, count: usize) -> (Vec<Recorded>, Database) {
        let database = self.start();
        let bounds = (0..count).map(|part| self.edits.len() * part / count..self.edits.len() * (part + 1) / count);
        let record = |edits: Range<usize>| {
            let session = database.track();
            run(&database, &self.edits[edits]);
            (session.changeset(), session.patchset())
        };
        let parts = bounds.map(record).collect();
        (parts, database)
    }
}

fn run(database: &Database, statements: &[String]) {
    for statement in statements {
        if let Err(message) = database.execute(statement) {
            // text in an INTEGER PRIMARY KEY, or NULL in the key of a WITHOUT ROWID table under OR
            // REPLACE
            let expected = ["datatype mismatch", "NOT NULL constraint failed"];
            assert!(expected.iter().any(|reason| message.starts_with(reason)), "{message}");
        }
    }
}

/// A database with several replicas, and the edits of each replica.
#[derive(Clone, Debug)]
pub struct Fork {
    /// `CREATE` statements.
    pub schema: Vec<String>,
    /// The statements with which all replicas begin. They can fail.
    pub before: Vec<String>,
    /// The statements of each replica. They can fail.
    pub edits: Vec<Vec<String>>,
}

#[derive(Clone, Debug)]
struct Table {
    name: &'static str,
    columns: Vec<&'static str>,
    key: Vec<usize>,
    without_rowid: bool,
    generated: Option<Index>,
    trigger: bool,
}

impl Table {
    fn create(&self) -> Vec<String> {
        let mut parts: Vec<String> =
            self.columns.iter().enumerate().map(|(i, affinity)| format!("c{i} {affinity}")).collect();
        if let Some(index) = self.generated {
            parts.insert(index.index(parts.len() + 1), "g GENERATED ALWAYS AS (typeof(c0))".into());
        }
        let key: Vec<String> = self.key.iter().map(|column| format!("c{column}")).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        let tail = if self.without_rowid { " WITHOUT ROWID" } else { "" };
        let mut statements = vec![format!("CREATE TABLE \"{}\" ({}){tail}", self.name, parts.join(", "))];
        if self.trigger {
            statements.push(format!(
                "CREATE TRIGGER \"on {0}\" AFTER INSERT ON \"{0}\" BEGIN INSERT INTO log (line) VALUES (new.c0); END",
                self.name
            ));
        }
        statements
    }
}

/// Any SQL literal.
fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("NULL".to_string()),
        4 => (0i64..5).prop_map(|integer| integer.to_string()),
        1 => any::<i64>().prop_map(|integer| format!("({integer})").replace("(-9223372036854775808)", "(-9223372036854775807 - 1)")),
        3 => (0..4).prop_map(|text| format!("'k{text}'")),
        1 => (0usize..300).prop_map(|length| format!("'{}'", "é".repeat(length))),
        1 => select(vec!["0.5", "-0.0", "9e999", "-9e999", "1e300", "2.0", "''", "x''", "CAST(x'ff00fe' AS TEXT)"])
            .prop_map(String::from),
        1 => vec(any::<u8>(), 0..200).prop_map(|bytes| {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{digits}'")
        }),
    ]
}

fn table(name: &'static str) -> impl Strategy<Value = Table> {
    let affinity = select(vec!["INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", ""]);
    (vec(affinity, 1..7), any::<bool>(), proptest::option::weighted(0.3, any::<Index>()), any::<bool>()).prop_flat_map(
        move |(columns, without_rowid, generated, trigger)| {
            let positions: Vec<usize> = (0..columns.len()).collect();
            let most = columns.len().min(3);
            (Just(positions).prop_shuffle(), 1..=most).prop_map(move |(mut key, count)| {
                key.truncate(count);
                let generated = generated.filter(|_| records_all_tables());
                let without_rowid = without_rowid && (records_all_tables() || !columns.contains(&"REAL"));
                Table { name, columns: columns.clone(), key, without_rowid, generated, trigger }
            })
        },
    )
}

/// Names of tables that require quoting or are not ASCII.
const NAMES: [&str; 3] = ["items", "a table", "Tabelle für Ünïcode"];

/// A statement of one of `kinds`: 0 to 2 insert, 3 to 6 update, 7 deletes.
fn edit(tables: Vec<Table>, kinds: Range<u8>) -> impl Strategy<Value = String> {
    (any::<Index>(), kinds, any::<Index>(), any::<Index>(), vec(literal(), 8)).prop_map(
        move |(table, kind, first, second, literals)| {
            let table = &tables[table.index(tables.len())];
            let name = table.name;
            let columns: Vec<String> = (0..table.columns.len()).map(|column| format!("c{column}")).collect();
            let (set, by) = (&columns[first.index(columns.len())], &columns[second.index(columns.len())]);
            let values = literals[..columns.len()].join(", ");
            let (a, b) = (&literals[6], &literals[7]);
            let columns = columns.join(", ");
            match kind {
                0..=1 => format!("INSERT OR IGNORE INTO \"{name}\" ({columns}) VALUES ({values})"),
                2 => format!("INSERT OR REPLACE INTO \"{name}\" ({columns}) VALUES ({values})"),
                3..=4 => format!("UPDATE OR IGNORE \"{name}\" SET {set} = {a} WHERE {by} >= {b}"),
                5 => format!("UPDATE OR IGNORE \"{name}\" SET {set} = {a} WHERE {by} = {b}"),
                6 => format!("UPDATE OR IGNORE \"{name}\" SET {set} = {a}"),
                _ => format!("DELETE FROM \"{name}\" WHERE {by} = {b}"),
            }
        },
    )
}

/// Any history: one to three tables with keys of one to three columns in any order, every storage
/// class, generated columns, WITHOUT ROWID, triggers.
pub fn history() -> impl Strategy<Value = History> {
    (table(NAMES[0]), table(NAMES[1]), table(NAMES[2]), 1usize..4).prop_flat_map(|(a, b, c, count)| {
        let tables: Vec<Table> = [a, b, c].into_iter().take(count).collect();
        let mut schema = vec!["CREATE TABLE log (id INTEGER PRIMARY KEY, line)".to_string()];
        schema.extend(tables.iter().flat_map(Table::create));
        let before = vec(edit(tables.clone(), 0..3), 0..30);
        let edits = vec(edit(tables, 0..8), 0..20);
        (Just(schema), before, edits).prop_map(|(schema, before, edits)| History { schema, before, edits })
    })
}

/// Any edits of `replicas` replicas, with tables as in a [`history`].
pub fn fork(replicas: usize) -> impl Strategy<Value = Fork> {
    (table(NAMES[0]), table(NAMES[1]), 1usize..3).prop_flat_map(move |(a, b, count)| {
        let tables: Vec<Table> = [a, b].into_iter().take(count).collect();
        let mut schema = vec!["CREATE TABLE log (id INTEGER PRIMARY KEY, line)".to_string()];
        schema.extend(tables.iter().flat_map(Table::create));
        let before = vec(edit(tables.clone(), 0..3), 0..30);
        let edits = vec(vec(edit(tables, 0..8), 1..10), replicas);
        (Just(schema), before, edits).prop_map(|(schema, before, edits)| Fork { schema, before, edits })
    })
}

/// The tables of [`change`], each with its key ordinals.
pub const TABLES: [(&str, &[u8]); 6] = [
    ("t", &[1, 0, 0]),
    ("T", &[1, 0, 0]),
    ("pairs", &[0, 2, 1, 0]),
    ("last", &[0, 0, 1]),
    ("only a key", &[1]),
    ("Ünïcode", &[2, 1]),
];

/// A value of any storage class, often one of a few that are easily confused.
pub fn value() -> impl Strategy<Value = Owned> {
    prop_oneof![
        Just(Owned::Null),
        (0i64..3).prop_map(Owned::Integer),
        select(vec![1.0, 0.0, -0.0, f64::INFINITY]).prop_map(|real| Owned::Real(f64::to_bits(real))),
        select(vec!["", "a", "é"]).prop_map(|text| Owned::Text(text.into())),
        (120usize..140).prop_map(|length| Owned::Text(vec![b'x'; length])),
        vec(0u8..2, 0..2).prop_map(Owned::Blob),
        Just(Owned::Text(vec![0xff])),
    ]
}

/// A value for a key: one of a few, some of which look alike.
pub fn key_value() -> impl Strategy<Value = Owned> {
    select(vec![
        Owned::Integer(1),
        Owned::Integer(-2),
        Owned::Real(f64::to_bits(1.0)),
        Owned::Text(b"1".to_vec()),
        Owned::Blob(b"1".to_vec()),
        Owned::Text(vec![b'k'; 130]),
    ])
}

/// A change of any kind to a row of any of [`TABLES`], whether or not such a row exists.
pub fn change() -> impl Strategy<Value = Change> {
    let values = || (vec(value(), 4), vec(0u8..8, 4));
    let keys = prop_oneof![3 => Just(vec![Owned::Integer(1); 4]), 2 => vec(key_value(), 4)];
    (select(TABLES.to_vec()), select(vec![18, 23, 9]), any::<bool>(), keys, values(), vec(value(), 4)).prop_map(
        |((table, key), operation, indirect, keys, (old, kinds), new)| {
            let side = |values: &[Owned]| {
                let column = |(column, place): (usize, &u8)| {
                    Some(if *place == 0 { values[column].clone() } else { keys[column].clone() })
                };
                key.iter().enumerate().map(column).collect::<Vec<_>>()
            };
            let (mut old, mut new) = (side(&old), side(&new));
            match operation {
                18 => old.fill(None),
                9 => new.fill(None),
                _ => {
                    for column in 0..key.len() {
                        match (kinds[column], key[column] != 0) {
                            // as the rebaser writes it
                            (0, _) => {}
                            (_, true) => new[column] = None,
                            // without the old value or without the new value
                            (1, _) => old[column] = None,
                            (2, _) => new[column] = None,
                            (3 | 4, _) => (old[column], new[column]) = (None, None),
                            _ => {}
                        }
                    }
                }
            }
            Change { table: table.into(), key: key.into(), operation, indirect, old, new }
        },
    )
}

/// A change to some bytes.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// Replaces a byte.
    Set(Index, u8),
    /// Removes up to this many bytes.
    Remove(Index, usize),
    /// Inserts bytes.
    Insert(Index, Vec<u8>),
    /// Copies up to this many bytes to another place.
    Copy(Index, Index, usize),
    /// Removes all bytes from here on.
    Cut(Index),
}

impl Mutation {
    /// Applies the mutation to `bytes`.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match self {
            Self::Set(index, byte) => {
                if !bytes.is_empty() {
                    let at = index.index(bytes.len());
                    bytes[at] = *byte;
                }
            }
            Self::Remove(index, count) => {
                let start = at(index, bytes);
                let end = bytes.len().min(start + count);
                bytes.drain(start..end);
            }
            Self::Insert(index, new) => {
                let start = at(index, bytes);
                bytes.splice(start..start, new.iter().copied());
            }
            Self::Copy(from, to, count) => {
                let start = at(from, bytes);
                let end = bytes.len().min(start + count);
                let piece = bytes[start..end].to_vec();
                let to = at(to, bytes);
                bytes.splice(to..to, piece);
            }
            Self::Cut(index) => bytes.truncate(at(index, bytes)),
        }
    }
}

/// Any mutation, mostly with bytes that have a meaning in the format.
pub fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || {
        prop_oneof![
            4 => select(vec![0u8, 1, 2, 3, 4, 5, 6, 9, 0x12, 0x17, b'T', b'P', 0x7f, 0x80, 0xff]),
            1 => any::<u8>()
        ]
    };
    prop_oneof![
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => (any::<Index>(), 1usize..12).prop_map(|(at, count)| Mutation::Remove(at, count)),
        2 => (any::<Index>(), vec(byte(), 1..12)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (any::<Index>(), any::<Index>(), 1usize..40).prop_map(|(from, to, count)| Mutation::Copy(from, to, count)),
        1 => any::<Index>().prop_map(Mutation::Cut),
    ]
}
