//! The databases and changes: what a replica contains, and what is recorded at the source.

use std::fmt;
use std::ops::Range;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use diesel_sqlite_session::{Changeset, SqliteSessionExt};
use diesel_sqlite_session_benches::raw::Decision;

/// Where the databases are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    File,
    Memory,
}

const PLACES: [Place; 2] = [Place::File, Place::Memory];

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::File { "WAL file" } else { "memory" })
    }
}

/// Which connections the changes are applied on.
#[derive(Clone, Copy)]
pub(crate) enum Connections {
    /// One connection for all changes, which has applied them before.
    Kept,
    /// A new connection and database for each apply, so that each is the first of its connection.
    New,
    /// The same, after a session of the connection: its handle is known to this crate, as it is to
    /// SQLite.
    NewWithHandle,
    /// A new connection and database for each apply, after the changes of the SQL and their
    /// inverse.
    NewAfter(&'static str),
}

/// What the conflict handlers decide.
#[derive(Clone, Copy)]
pub(crate) struct Conflicts {
    pub(crate) decision: Decision,
    /// Whether SQLite returns the rebase data too.
    pub(crate) is_rebase_data_returned: bool,
}

/// SQL that is recorded at the source.
struct Recording {
    /// The name in the table.
    label: &'static str,
    sql: String,
    /// The name of the inverse in the table. Without a name, the inverse is not applied.
    inverse: Option<&'static str>,
}

/// A changeset, and its name in the table.
pub(crate) struct Step {
    pub(crate) label: &'static str,
    pub(crate) changeset: Changeset,
}

/// A replica, and the changes to apply.
pub(crate) struct Case {
    name: &'static str,
    pub(crate) changes: usize,
    pub(crate) place: Place,
    schema: &'static str,
    /// SQL that fills the replica before the changes.
    replica: String,
    /// SQL that fills the source before the changes.
    source: String,
    recordings: Vec<Recording>,
    pub(crate) connections: Connections,
    pub(crate) conflicts: Conflicts,
    /// A query that returns the contents as one text.
    pub(crate) contents: &'static str,
    /// The columns of the table, if prepared statements alone apply the changes too.
    pub(crate) bare_columns: &'static [&'static str],
}

const ABORT: Conflicts = Conflicts { decision: Decision::Abort, is_rebase_data_returned: false };

impl Case {
    fn new(name: &'static str, changes: usize, place: Place, schema: &'static str, before: String) -> Self {
        Self {
            name,
            changes,
            place,
            schema,
            replica: before.clone(),
            source: before,
            recordings: Vec::new(),
            connections: Connections::Kept,
            conflicts: ABORT,
            contents: CONTENTS,
            bare_columns: &[],
        }
    }

    fn record(mut self, label: &'static str, sql: String, inverse: Option<&'static str>) -> Self {
        self.recordings.push(Recording { label, sql, inverse });
        self
    }

    fn on(mut self, connections: Connections) -> Self {
        self.connections = connections;
        self
    }

    /// Returns the text by which cases are selected.
    pub(crate) fn title(&self) -> String {
        format!("{} changes, {}, {}", self.changes, self.name, self.place)
    }

    /// Returns the name in the table of the changes with a label.
    pub(crate) fn row_name(&self, label: &str) -> String {
        if label.is_empty() { self.name.to_string() } else { format!("{label}, {}", self.name) }
    }

    /// Returns the SQL that makes the replica in an empty database.
    pub(crate) fn replica(&self) -> String {
        let mode = if self.place == Place::File { "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;" } else { "" };
        format!("{mode} PRAGMA foreign_keys = ON; BEGIN; {}; {}; COMMIT", self.schema, self.replica)
    }

    /// Records the changes, each from the same contents of the source.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for recording in &self.recordings {
            let changeset = self.changeset(&recording.sql);
            assert_eq!(changeset.records().count(), self.changes, "changes of {}", self.row_name(recording.label));
            let inverse = recording.inverse.map(|label| Step { label, changeset: changeset.invert() });
            steps.push(Step { label: recording.label, changeset });
            steps.extend(inverse);
        }
        steps
    }

    /// Returns the changes that SQL makes to the source.
    pub(crate) fn changeset(&self, sql: &str) -> Changeset {
        let mut source = SqliteConnection::establish(":memory:").unwrap();
        let before = format!("PRAGMA foreign_keys = ON; BEGIN; {}; {}; COMMIT", self.schema, self.source);
        source.batch_execute(&before).unwrap();
        let mut session = source.create_session().unwrap();
        session.attach_by_name("t").unwrap();
        source.batch_execute(&format!("BEGIN; {sql}; COMMIT")).unwrap();
        session.changeset().unwrap()
    }
}

/// A table with a kind of primary key.
struct Keys {
    name: &'static str,
    schema: &'static str,
    /// The SQL expression of the key of row `i`.
    key: &'static str,
}

/// `+id` sorts the rows without the index, which is faster with random keys.
const CONTENTS: &str =
    "SELECT coalesce(group_concat(quote(id) || quote(name) || quote(n)), '') FROM (SELECT * FROM t ORDER BY +id)";

const INTEGERS: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)";

const ASCENDING: Keys = Keys { name: "ascending integer keys", schema: INTEGERS, key: "i" };

const RANDOM: Keys = Keys { name: "random integer keys", schema: INTEGERS, key: "i * 2654435761 % 4294967296" };

const BLOBS: Keys = Keys {
    name: "random 16-byte keys",
    schema: "CREATE TABLE t (id BLOB PRIMARY KEY NOT NULL, name TEXT, n INTEGER)",
    key: "CAST(printf('%08x%08x', i * 2654435761 % 4294967296, i * 2246822519 % 4294967296) AS BLOB)",
};

/// Returns a common table expression `n` of `count` numbers after `after`.
fn numbers(after: usize, count: usize) -> String {
    let (first, last) = (after + 1, after + count);
    format!("WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})")
}

impl Keys {
    /// Returns SQL that inserts `count` rows after row `after`.
    fn insert(&self, after: usize, count: usize) -> String {
        format!("{} INSERT INTO t SELECT {}, 'value of row ' || i, i FROM n", numbers(after, count), self.key)
    }

    /// Returns INSERTs, DELETEs and UPDATEs on a connection that has applied before.
    fn warm(&self, rows: usize, changes: usize, place: Place) -> Case {
        let case = Case::new(self.name, changes, place, self.schema, self.insert(0, rows));
        Case { bare_columns: &["id", "name", "n"], ..case }
            .record("INSERTs", self.insert(rows, changes), Some("DELETEs"))
            .record("UPDATEs", format!("UPDATE t SET n = -n WHERE n <= {changes}"), Some("UPDATEs"))
    }

    fn first(&self, rows: usize, changes: usize, place: Place, connections: Connections) -> Case {
        let name = match connections {
            Connections::NewWithHandle => "first apply after a session",
            _ => "first apply on the connection",
        };
        Case::new(name, changes, place, self.schema, self.insert(0, rows))
            .record("INSERTs", self.insert(rows, changes), None)
            .record("UPDATEs", format!("UPDATE t SET n = -n WHERE n <= {changes}"), None)
            .record("DELETEs", format!("DELETE FROM t WHERE n <= {changes}"), None)
            .on(connections)
    }

    fn million(&self, changes: usize, place: Place) -> Case {
        Case::new(self.name, changes, place, self.schema, String::new())
            .record("INSERTs", self.insert(0, changes), None)
            .on(Connections::NewAfter("INSERT INTO t VALUES (-1, 'first', 0)"))
    }
}

/// Returns the case for `scripts/apply-instructions`, and the range of its steps: changes of a kind,
/// and their inverse.
pub(crate) fn counted(kind: &str, changes: usize) -> Option<(Case, Range<usize>)> {
    let warm = |keys: &Keys| keys.warm(1_000.max(changes), changes, Place::Memory);
    Some(match kind {
        "inserts" => (warm(&ASCENDING), 0..2),
        "updates" => (warm(&ASCENDING), 2..4),
        "blob-inserts" => (warm(&BLOBS), 0..2),
        "blob-updates" => (warm(&BLOBS), 2..4),
        "mixed" => (mixed(changes, Place::Memory), 0..2),
        _ => return None,
    })
}

fn unique_to_free_values(changes: usize, place: Place) -> Case {
    Case {
        contents: UNIQUE_CONTENTS,
        bare_columns: &["id", "place"],
        ..Case::new("UNIQUE column to free values", changes, place, UNIQUE, places(changes))
    }
    .record("UPDATEs", "UPDATE t SET place = place + 1000000".to_string(), Some("UPDATEs"))
}

fn unique_shifted(changes: usize, place: Place) -> Case {
    // two steps, since one UPDATE would violate the UNIQUE constraint
    let shift = "UPDATE t SET place = -place; UPDATE t SET place = 1 - place".to_string();
    Case {
        contents: UNIQUE_CONTENTS,
        ..Case::new("`place = place + 1`, UNIQUE", changes, place, UNIQUE, places(changes))
    }
    .record("UPDATEs", shift, Some("UPDATEs"))
}

const UNIQUE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, place INTEGER NOT NULL UNIQUE)";

const UNIQUE_CONTENTS: &str = "SELECT group_concat(id || ',' || place) FROM (SELECT * FROM t ORDER BY id)";

fn places(rows: usize) -> String {
    format!("{} INSERT INTO t SELECT i, i FROM n", numbers(0, rows))
}

fn mixed(changes: usize, place: Place) -> Case {
    const SCHEMA: &str = "
        CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        CREATE TABLE t (
            id INTEGER PRIMARY KEY,
            owner INTEGER NOT NULL REFERENCES owners ON DELETE CASCADE,
            name TEXT NOT NULL,
            n INTEGER NOT NULL
        );
        CREATE INDEX by_owner ON t (owner);
        CREATE INDEX by_name ON t (name);
        CREATE TABLE totals (owner INTEGER PRIMARY KEY, n INTEGER NOT NULL);
        CREATE TRIGGER added AFTER INSERT ON t BEGIN UPDATE totals SET n = n + new.n WHERE owner = new.owner; END;
    ";
    const CONTENTS: &str = "SELECT
        (SELECT group_concat(quote(id) || quote(owner) || quote(name) || quote(n)) FROM (SELECT * FROM t ORDER BY id))
        || (SELECT group_concat(owner || ',' || n) FROM (SELECT * FROM totals ORDER BY owner))";
    let third = changes / 3;
    let before = format!(
        "{} INSERT INTO owners SELECT i, 'owner ' || i FROM n;
        INSERT INTO totals SELECT id, 0 FROM owners;
        {} INSERT INTO t SELECT i * 2, 1 + i % 100, 'name ' || (i * 7919 % 65521), i FROM n",
        numbers(0, 100),
        numbers(0, changes),
    );
    let recorded = format!(
        "{} INSERT INTO t SELECT i * 2 + 1, 1 + i % 100, 'new ' || (i * 7919 % 65521), i FROM n;
        UPDATE t SET name = 'other ' || id WHERE id % 4 = 0 AND id <= {last};
        DELETE FROM t WHERE id % 4 = 2 AND id <= {last}",
        numbers(0, changes - 2 * third),
        last = third * 4,
    );
    Case { contents: CONTENTS, ..Case::new("mixed changes, triggers, foreign keys", changes, place, SCHEMA, before) }
        .record("", recorded, Some(""))
}

/// Returns changes that all conflict: INSERTs find a row, UPDATEs find other values, DELETEs find
/// no row. Applied again, they have the same conflicts.
fn conflicting(name: &'static str, changes: usize, place: Place, conflicts: Conflicts) -> Case {
    let (all, last) = (2 * changes, 3 * changes);
    let case = Case::new(name, changes, place, INTEGERS, ASCENDING.insert(0, all) + "; UPDATE t SET n = n + 1000000");
    // of three parts of the rows, the source lacks the first, and the replica lacks the last
    let case = Case { source: ASCENDING.insert(changes, all), conflicts, ..case }
        .record("INSERTs", ASCENDING.insert(0, changes), None)
        .record("UPDATEs", format!("UPDATE t SET n = -n WHERE id <= {all}"), None);
    if conflicts.decision == Decision::Replace {
        return case;
    }
    case.record("DELETEs", format!("DELETE FROM t WHERE id > {all} AND id <= {last}"), None)
}

fn conflicts(changes: usize, place: Place) -> [Case; 4] {
    [
        ("all in conflict, omitted", Decision::Omit, false),
        ("all in conflict, omitted, SQLite with rebase data", Decision::Omit, true),
        ("all in conflict, replaced", Decision::Replace, false),
        ("all in conflict, replaced, SQLite with rebase data", Decision::Replace, true),
    ]
    .map(|(name, decision, is_rebase_data_returned)| {
        conflicting(name, changes, place, Conflicts { decision, is_rebase_data_returned })
    })
}

/// Returns the cases of the table, apart from those of [`million`].
pub(crate) fn all() -> Vec<Case> {
    of_sizes(10_000, &[1, 3, 10, 100, 1_000, 10_000], 2_000, &[10, 100, 1_000, 10_000], 1_000)
}

/// Returns the cases for `--test`.
pub(crate) fn small() -> Vec<Case> {
    let mut cases = of_sizes(100, &[1, 100], 100, &[10, 100], 100);
    cases.extend([ASCENDING, RANDOM, BLOBS].map(|keys| keys.million(2_000, Place::File)));
    cases
}

/// Returns the cases of 1,000,000 rows.
pub(crate) fn million() -> Vec<Case> {
    PLACES.into_iter().flat_map(|place| [BLOBS, RANDOM, ASCENDING].map(|keys| keys.million(1_000_000, place))).collect()
}

fn of_sizes(rows: usize, sizes: &[usize], shifted: usize, mixed_sizes: &[usize], conflicting: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for place in PLACES {
        for keys in [ASCENDING, BLOBS] {
            cases.extend(sizes.iter().map(|changes| keys.warm(rows, *changes, place)));
        }
        cases.extend(sizes.iter().map(|changes| unique_to_free_values(*changes, place)));
        cases.push(unique_shifted(shifted, place));
        cases.extend(mixed_sizes.iter().map(|changes| mixed(*changes, place)));
        cases.extend(conflicts(conflicting, place));
        for connections in [Connections::New, Connections::NewWithHandle] {
            cases.extend([1, 100].map(|changes| ASCENDING.first(rows.min(1_000), changes, place, connections)));
        }
    }
    cases
}
