//! Generating the changeset of a session on a database file. SQLite looks up each changed row in
//! the order of its hash table.
//!
//! ```sh
//! cargo bench -p diesel-sqlite-session-benches --bench generation                 # 1,000, 100,000 and 1,000,000 rows
//! cargo bench -p diesel-sqlite-session-benches --bench generation -- '/100000$'   # only 100,000 rows
//! ```
//!
//! `ours` enlarges the page cache to the size of the file during the call if that is faster
//! (`Session::set_cache_limit`). `ours_cache_alone` does not, and `sqlite_c` is SQLite's own call.
//! All return the same bytes.
//!
//! Each connection is the only connection of the process, except in `beside_another`: there,
//! another connection has read a whole table before. libsqlite3-sys compiles SQLite such that all
//! connections share the memory of their page caches.

use std::cell::{LazyCell, RefCell};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Session, SqliteSessionExt};
use diesel_sqlite_session_benches::raw;

/// A table, and the changes that are recorded.
struct Case {
    name: &'static str,
    table: &'static str,
    /// The key of row `i`.
    key: &'static str,
    /// Whether the session records UPDATEs instead of INSERTs.
    is_update: bool,
}

const RANDOM: &str = "CAST(printf('%08x%08x', i * 2654435761 % 4294967296, i) AS BLOB)";

const CASES: &[Case] = &[
    Case {
        name: "insert_blob_key_without_rowid",
        table: "k BLOB PRIMARY KEY NOT NULL, name TEXT, n INTEGER) WITHOUT ROWID",
        key: RANDOM,
        is_update: false,
    },
    Case {
        name: "insert_blob_key",
        table: "k BLOB PRIMARY KEY NOT NULL, name TEXT, n INTEGER)",
        key: RANDOM,
        is_update: false,
    },
    Case {
        name: "insert_integer_key",
        table: "k INTEGER PRIMARY KEY, name TEXT, n INTEGER)",
        key: "i",
        is_update: false,
    },
    Case {
        name: "update_blob_key",
        table: "k BLOB PRIMARY KEY NOT NULL, name TEXT, n INTEGER)",
        key: RANDOM,
        is_update: true,
    },
];

impl Case {
    fn create(&self) -> String {
        format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE t ({}", self.table)
    }

    fn insert(&self, rows: u64) -> String {
        format!(
            "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             SELECT {}, 'item number ' || i, i FROM n",
            self.key
        )
    }

    /// Returns the SQL that runs before the session starts, and the SQL that the session records.
    fn statements(&self, rows: u64) -> [String; 2] {
        let (create, insert) = (self.create(), self.insert(rows));
        if self.is_update { [create + ";" + &insert, "UPDATE t SET n = n + 1".into()] } else { [create, insert] }
    }
}

/// The default limit.
const LIMIT: u64 = 128 << 20;

fn sizes() -> &'static [u64] {
    // `cargo bench -- --test` runs each benchmark once: use small inputs. The second size is large
    // enough for a larger cache.
    let small = std::env::args().any(|argument| argument == "--test");
    if small { &[1_000, 60_000] } else { &[1_000, 100_000, 1_000_000] }
}

/// A connection to a file, and its session with recorded changes.
struct Ours {
    _connection: SqliteConnection,
    session: RefCell<Session>,
}

impl Ours {
    fn open(file: &str, [before, recorded]: &[String; 2], expected: &[u8]) -> Self {
        let mut connection = SqliteConnection::establish(file).unwrap();
        connection.batch_execute(before).unwrap();
        let mut session = connection.create_session().unwrap();
        session.attach_by_name("t").unwrap();
        connection.batch_execute(recorded).unwrap();
        for limit in [LIMIT, 0] {
            session.set_cache_limit(limit);
            assert!(session.changeset().unwrap().as_bytes() == expected, "the same bytes");
        }
        Self { _connection: connection, session: session.into() }
    }
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, rows: u64, case: &Case) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let statements = case.statements(rows);
    let in_c = |name: &str| {
        let connection = raw::Connection::open_file(&file(name));
        connection.execute(&statements[0]);
        connection
    };
    let in_c_bytes = || {
        let connection = in_c("expected.sqlite");
        let session = connection.track(c"t");
        connection.execute(&statements[1]);
        session.changeset().to_vec()
    };
    // lazy, so that files are filled only for benchmarks that run
    let ours = LazyCell::new(|| Ours::open(&file("ours.sqlite"), &statements, &in_c_bytes()));
    let contestants = [("ours", LIMIT), ("ours_cache_alone", 0)];
    for (name, limit) in contestants {
        group.bench_function(BenchmarkId::new(name, rows), |b| {
            let mut session = ours.session.borrow_mut();
            session.set_cache_limit(limit);
            b.iter_with_large_drop(|| session.changeset().unwrap());
        });
    }
    for (name, limit) in contestants {
        group.bench_function(BenchmarkId::new(format!("beside_another/{name}"), rows), |b| {
            let mut session = ours.session.borrow_mut();
            let other = raw::Connection::open_file(&file("ours.sqlite"));
            other.text("SELECT CAST(sum(length(name)) AS TEXT) FROM t NOT INDEXED");
            session.set_cache_limit(limit);
            b.iter_with_large_drop(|| session.changeset().unwrap());
        });
    }
    drop(ours);
    let connection = LazyCell::new(|| in_c("c.sqlite"));
    let session = LazyCell::new(|| {
        let session = connection.track(c"t");
        connection.execute(&statements[1]);
        session
    });
    group.bench_function(BenchmarkId::new("sqlite_c", rows), |b| b.iter_with_large_drop(|| session.changeset()));
}

fn generation(criterion: &mut Criterion) {
    for case in CASES {
        let mut group = criterion.benchmark_group(format!("generate/{}", case.name));
        for &rows in sizes() {
            group.throughput(Throughput::Elements(rows));
            group.sample_size(if rows > 10_000 { 10 } else { 50 }).measurement_time(Duration::from_secs(3));
            measure(&mut group, rows, case);
        }
        group.finish();
    }
}

criterion_group!(benches, generation);
criterion_main!(benches);
