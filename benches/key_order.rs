//! Applying the changes of a session to a file in WAL mode: this crate with its own order (`ours`),
//! this crate in the order of the session's hash table (`ours_in_given_order`), and
//! `sqlite3changeset_apply`, on the same bytes.
//!
//! ```text
//! cargo bench -p diesel-sqlite-session-benches --bench key_order
//! ```
//!
//! The timed part does not include opening and closing the file, and the connection has been used
//! before. The benchmark checks that the first apply results in the same file contents as SQLite.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use diesel_sqlite_session::{Changeset, SqliteSessionExt};
use diesel_sqlite_session_benches::raw;

/// A replica, and the changes to apply.
struct Case {
    name: &'static str,
    rows: usize,
    schema: &'static str,
    /// SQL that fills the database before the changes.
    before: String,
    recorded: String,
    /// A query that returns the final contents as one text.
    contents: &'static str,
}

/// Returns a common table expression `n` of the numbers from 1 to `rows`.
fn count(rows: usize) -> String {
    format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})")
}

/// A pseudo-random blob, the same in every run.
const HASH: &str = "CAST(printf('%08x%08x', i * 2654435761 % 4294967296, i * 2246822519 % 4294967296) AS BLOB)";

fn inserts(rows: usize, name: &'static str, schema: &'static str, key: &str) -> Case {
    Case {
        name,
        rows,
        schema,
        before: String::new(),
        recorded: format!("{} INSERT INTO t SELECT {key}, 'value of row ' || i, i * 7 FROM n", count(rows)),
        contents: "SELECT count(*) || ' ' || sum(n) FROM t",
    }
}

fn unique(rows: usize) -> Case {
    Case {
        name: "unique_column_shifted",
        rows,
        schema: "CREATE TABLE t (id INTEGER PRIMARY KEY, place INTEGER NOT NULL UNIQUE)",
        before: format!("{} INSERT INTO t SELECT i, i FROM n", count(rows)),
        // two steps, since one UPDATE would violate the UNIQUE constraint
        recorded: "UPDATE t SET place = -place; UPDATE t SET place = 1 - place".to_string(),
        contents: "SELECT count(*) || ' ' || sum(id * place) FROM t",
    }
}

fn mixed(rows: usize) -> Case {
    let third = rows / 3;
    Case {
        name: "mixed_with_triggers_and_foreign_keys",
        rows,
        schema: "
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
        ",
        before: format!(
            "{} INSERT INTO owners SELECT i, 'owner ' || i FROM n LIMIT 100;
            INSERT INTO totals SELECT id, 0 FROM owners;
            {} INSERT INTO t SELECT i * 2, 1 + i % 100, 'name ' || (i * 7919 % 65521), i FROM n",
            count(100),
            count(rows * 2),
        ),
        recorded: format!(
            "{} INSERT INTO t SELECT i * 2 + 1, 1 + i % 100, 'new ' || (i * 7919 % 65521), i FROM n;
            UPDATE t SET name = 'other ' || id WHERE id % 4 = 0 AND id <= {};
            DELETE FROM t WHERE id % 4 = 2 AND id <= {}",
            count(third),
            third * 4,
            third * 4,
        ),
        contents: "SELECT count(*) || ' ' || sum(n) || ' ' || sum(length(name)) FROM t",
    }
}

impl Case {
    /// Returns the changes, and the path of a file in the state before them.
    fn prepare(&self, directory: &Path) -> (Changeset, PathBuf) {
        let before = directory.join("before.db");
        let _ = fs::remove_file(&before);
        let mut conn = SqliteConnection::establish(before.to_str().unwrap()).unwrap();
        conn.batch_execute(&format!("PRAGMA foreign_keys = ON; BEGIN; {}; {}; COMMIT", self.schema, self.before))
            .unwrap();
        conn.batch_execute("VACUUM").unwrap();
        let mut source = SqliteConnection::establish(":memory:").unwrap();
        source
            .batch_execute(&format!("PRAGMA foreign_keys = ON; BEGIN; {}; {}; COMMIT", self.schema, self.before))
            .unwrap();
        let mut session = source.create_session().unwrap();
        session.attach_by_name("t").unwrap();
        source.batch_execute(&format!("BEGIN; {}; COMMIT", self.recorded)).unwrap();
        (session.changeset().unwrap(), before)
    }
}

const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON";

/// Makes the connection read the schema and write once.
const USE: &str = "CREATE TABLE used (id INTEGER); INSERT INTO used VALUES (1); SELECT count(*) FROM t";

/// Copies of the file, opened by the contestants.
struct Copies<'a> {
    before: &'a Path,
    directory: &'a Path,
    count: Cell<usize>,
}

impl Copies<'_> {
    fn next(&self) -> PathBuf {
        self.count.set(self.count.get() + 1);
        let copy = self.directory.join(format!("copy-{}.db", self.count.get() % 2));
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", copy.display()));
        }
        fs::copy(self.before, &copy).unwrap();
        copy
    }

    fn ours(&self) -> SqliteConnection {
        let mut conn = SqliteConnection::establish(self.next().to_str().unwrap()).unwrap();
        conn.batch_execute(PRAGMAS).unwrap();
        conn.batch_execute(USE).unwrap();
        // looks up the handle of the connection
        conn.apply(&Changeset::default()).run().unwrap();
        conn
    }

    fn raw(&self) -> raw::Connection {
        let connection = raw::Connection::open_file(self.next().to_str().unwrap());
        connection.execute(PRAGMAS);
        connection.execute(USE);
        connection
    }
}

fn apply(conn: &mut SqliteConnection, changeset: &Changeset, keeps_order: bool) {
    let apply = conn.apply(changeset);
    let apply = if keeps_order { apply.keep_order() } else { apply };
    let report = apply.run().unwrap();
    assert_eq!((report.replaced(), report.omitted()), (0, 0));
}

fn key_order(criterion: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let sizes: &[usize] = if is_test { &[100, 1_000] } else { &[100, 300, 1_000, 3_000, 10_000, 1_000_000] };
    let mut cases = Vec::new();
    for &rows in sizes {
        let integers = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)";
        cases.push(inserts(rows, "blob_keys", "CREATE TABLE t (id BLOB PRIMARY KEY, name TEXT, n INTEGER)", HASH));
        cases.push(inserts(rows, "integer_keys", integers, "i"));
        cases.push(inserts(rows, "random_integer_keys", integers, "i * 2654435761 % 4294967296"));
    }
    cases.push(unique(if is_test { 100 } else { 2_000 }));
    cases.extend(sizes.iter().filter(|rows| **rows <= 10_000).map(|rows| mixed(*rows)));
    for case in cases {
        let mut group = criterion.benchmark_group(format!("apply_{}", case.name));
        group.throughput(Throughput::Elements(case.rows as u64));
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        if case.rows > 10_000 {
            group.sampling_mode(SamplingMode::Flat);
        }
        let (changeset, before) = case.prepare(directory);
        let copies = Copies { before: &before, directory, count: Cell::new(0) };
        let expected = {
            let replica = copies.raw();
            replica.apply(changeset.as_bytes());
            replica.text(case.contents)
        };
        for (name, keeps_order) in [("ours", false), ("ours_in_given_order", true)] {
            let mut replica = copies.ours();
            apply(&mut replica, &changeset, keeps_order);
            let path = directory.join(format!("copy-{}.db", copies.count.get() % 2));
            assert_eq!(raw::Connection::open_file(path.to_str().unwrap()).text(case.contents), expected, "{name}");
            drop(replica);
            group.bench_function(BenchmarkId::new(name, case.rows), |b| {
                b.iter_batched(
                    || copies.ours(),
                    |mut conn| {
                        apply(&mut conn, &changeset, keeps_order);
                        conn
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        group.bench_function(BenchmarkId::new("sqlite_c", case.rows), |b| {
            b.iter_batched(
                || copies.raw(),
                |connection| {
                    connection.apply(changeset.as_bytes());
                    connection
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, key_order);
criterion_main!(benches);
