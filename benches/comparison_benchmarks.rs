//! Sessions and applying: this crate on Diesel's connection, SQLite's C functions, and with the
//! feature `peers` rusqlite.
//!
//! All contestants link the same SQLite and run the same SQL text. The benchmark first checks that
//! all record the same bytes and that applying them results in the same tables. The timed part
//! includes neither opening connections nor filling tables.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Changeset, ConflictAction, Patchset, SqliteSessionExt};
use diesel_sqlite_session_benches::raw;
use diesel_sqlite_session_benches::statements::{self, items};

/// An in-memory connection, and the operations that are measured on it.
trait Contestant {
    const NAME: &str;
    type Session<'a>
    where
        Self: 'a;
    /// The contestant's own type of a changeset.
    type Changes;
    type Patches;

    fn open() -> Self;
    fn execute(&self, sql: &str);
    fn contents(&self) -> String;
    /// Creates a session and attaches the table.
    fn track(&self) -> Self::Session<'_>;
    fn changeset(session: &mut Self::Session<'_>) -> Self::Changes;
    fn patchset(session: &mut Self::Session<'_>) -> Self::Patches;
    /// Returns the bytes of the changeset and of the patchset.
    fn bytes(session: &mut Self::Session<'_>) -> (Vec<u8>, Vec<u8>);
    fn apply(&self, changes: &Self::Changes);

    fn with_table() -> Self
    where
        Self: Sized,
    {
        let connection = Self::open();
        connection.execute(statements::SCHEMA);
        connection
    }
}

struct Ours {
    connection: RefCell<SqliteConnection>,
}

impl Contestant for Ours {
    const NAME: &str = "ours";
    type Session<'a> = diesel_sqlite_session::Session;
    type Changes = Changeset;
    type Patches = Patchset;

    fn open() -> Self {
        Self { connection: RefCell::new(SqliteConnection::establish(":memory:").unwrap()) }
    }

    fn execute(&self, sql: &str) {
        self.connection.borrow_mut().batch_execute(sql).unwrap();
    }

    fn contents(&self) -> String {
        let query = diesel::dsl::sql::<diesel::sql_types::Text>(&format!("({})", statements::CONTENTS));
        diesel::select(query).get_result(&mut *self.connection.borrow_mut()).unwrap()
    }

    fn track(&self) -> Self::Session<'_> {
        let mut session = self.connection.borrow_mut().create_session().unwrap();
        session.attach::<items::table>().unwrap();
        session
    }

    fn changeset(session: &mut Self::Session<'_>) -> Changeset {
        session.changeset().unwrap()
    }

    fn patchset(session: &mut Self::Session<'_>) -> Patchset {
        session.patchset().unwrap()
    }

    fn bytes(session: &mut Self::Session<'_>) -> (Vec<u8>, Vec<u8>) {
        (Self::changeset(session).into_bytes(), Self::patchset(session).into_bytes())
    }

    fn apply(&self, changes: &Changeset) {
        self.connection.borrow_mut().apply_changeset(changes, |_| ConflictAction::Abort).unwrap();
    }
}

struct Raw {
    connection: raw::Connection,
}

impl Contestant for Raw {
    const NAME: &str = "sqlite_c";
    type Session<'a> = raw::Session<'a>;
    type Changes = raw::Buffer;
    type Patches = raw::Buffer;

    fn open() -> Self {
        Self { connection: raw::Connection::open() }
    }

    fn execute(&self, sql: &str) {
        self.connection.execute(sql);
    }

    fn contents(&self) -> String {
        self.connection.text(statements::CONTENTS)
    }

    fn track(&self) -> Self::Session<'_> {
        self.connection.track(c"items")
    }

    fn changeset(session: &mut Self::Session<'_>) -> raw::Buffer {
        session.changeset()
    }

    fn patchset(session: &mut Self::Session<'_>) -> raw::Buffer {
        session.patchset()
    }

    fn bytes(session: &mut Self::Session<'_>) -> (Vec<u8>, Vec<u8>) {
        (session.changeset().to_vec(), session.patchset().to_vec())
    }

    fn apply(&self, changes: &raw::Buffer) {
        self.connection.apply(changes);
    }
}

#[cfg(feature = "peers")]
mod peers {
    use diesel_sqlite_session_benches::statements;
    use rusqlite::session::{Changeset, ConflictAction, Session};
    use rusqlite::{Connection, OpenFlags};

    pub(super) struct Rusqlite {
        connection: Connection,
    }

    impl super::Contestant for Rusqlite {
        const NAME: &str = "rusqlite";
        type Session<'a> = Session<'a>;
        type Changes = Changeset;
        type Patches = Changeset;

        fn open() -> Self {
            // with the mutex of the connection, as in Diesel
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_URI
                | OpenFlags::SQLITE_OPEN_FULL_MUTEX;
            Self { connection: Connection::open_in_memory_with_flags(flags).unwrap() }
        }

        fn execute(&self, sql: &str) {
            self.connection.execute_batch(sql).unwrap();
        }

        fn contents(&self) -> String {
            self.connection.query_row(statements::CONTENTS, [], |row| row.get(0)).unwrap()
        }

        fn track(&self) -> Session<'_> {
            let mut session = Session::new(&self.connection).unwrap();
            session.attach(Some("items")).unwrap();
            session
        }

        fn changeset(session: &mut Session<'_>) -> Changeset {
            session.changeset().unwrap()
        }

        fn patchset(session: &mut Session<'_>) -> Changeset {
            session.patchset().unwrap()
        }

        /// Streams the bytes: rusqlite's `Changeset` does not expose them.
        fn bytes(session: &mut Session<'_>) -> (Vec<u8>, Vec<u8>) {
            let (mut changeset, mut patchset) = (Vec::new(), Vec::new());
            session.changeset_strm(&mut changeset).unwrap();
            session.patchset_strm(&mut patchset).unwrap();
            (changeset, patchset)
        }

        fn apply(&self, changes: &Changeset) {
            let filter = None::<fn(&str) -> bool>;
            self.connection.apply(changes, filter, |_, _| ConflictAction::SQLITE_CHANGESET_ABORT).unwrap();
        }
    }
}

/// The SQL that runs before the session starts, and the SQL that the session records.
struct Script {
    rows: i32,
    before: String,
    recorded: String,
    /// Whether the results of the contestants have been compared.
    checked: Cell<bool>,
}

impl Script {
    fn inserts(rows: i32) -> Self {
        Self { rows, before: String::new(), recorded: statements::inserts(rows), checked: Cell::new(false) }
    }

    fn mixed(rows: i32) -> Self {
        let (before, recorded) = (statements::inserts(rows), statements::mixed(rows));
        Self { rows, before, recorded, checked: Cell::new(false) }
    }

    /// Makes the changes on a new connection and calls `work` with its session.
    fn recorded<R, C: Contestant>(&self, work: impl FnOnce(&mut C::Session<'_>) -> R) -> R {
        self.check();
        let connection = self.seeded::<C>();
        let mut session = connection.track();
        connection.execute(&self.recorded);
        work(&mut session)
    }

    /// Returns a connection in the state before the changes.
    fn seeded<C: Contestant>(&self) -> C {
        let connection = C::with_table();
        connection.execute(&self.before);
        connection
    }

    /// Returns the bytes that a contestant records and the final contents of its table. Panics if
    /// its replica differs.
    fn outcome<C: Contestant>(&self) -> (Vec<u8>, Vec<u8>, String) {
        let (source, replica) = (self.seeded::<C>(), self.seeded::<C>());
        let mut session = source.track();
        source.execute(&self.recorded);
        let (changeset, patchset) = C::bytes(&mut session);
        replica.apply(&C::changeset(&mut session));
        let contents = source.contents();
        assert!(replica.contents() == contents, "{}: the replica differs", C::NAME);
        (changeset, patchset, contents)
    }

    /// Checks once that all contestants have the same results. Benchmarks that do not run skip this
    /// check.
    fn check(&self) {
        if self.checked.replace(true) {
            return;
        }
        let expected = self.outcome::<Raw>();
        assert!(!expected.0.is_empty() && !expected.1.is_empty() && !expected.2.is_empty());
        assert!(self.outcome::<Ours>() == expected, "this crate and SQLite differ");
        #[cfg(feature = "peers")]
        assert!(self.outcome::<peers::Rusqlite>() == expected, "rusqlite and SQLite differ");
    }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Runs one benchmark for every contestant.
macro_rules! each {
    ($bench:ident($group:expr $(, $argument:expr)*)) => {
        $bench::<Ours>($group $(, $argument)*);
        $bench::<Raw>($group $(, $argument)*);
        #[cfg(feature = "peers")]
        $bench::<peers::Rusqlite>($group $(, $argument)*);
    };
}

/// Measures the first session on a connection. `iter_batched` does not allow a session that borrows
/// its connection.
fn track_first<C: Contestant>(group: &mut Group<'_>) {
    group.bench_function(C::NAME, |b| {
        b.iter_custom(|iterations| {
            let mut sum = Duration::ZERO;
            for _ in 0..iterations {
                let connection = C::with_table();
                let start = Instant::now();
                let session = black_box(connection.track());
                sum += start.elapsed();
                drop(session);
            }
            sum
        });
    });
}

/// Measures another session on a connection.
fn track_again<C: Contestant>(group: &mut Group<'_>) {
    let connection = C::with_table();
    drop(connection.track());
    group.bench_function(C::NAME, |b| b.iter_batched(|| (), |()| connection.track(), BatchSize::PerIteration));
}

fn generate_changeset<C: Contestant>(group: &mut Group<'_>, script: &Script) {
    group.bench_function(BenchmarkId::new(C::NAME, script.rows), |b| {
        script.recorded::<_, C>(|session| b.iter_with_large_drop(|| C::changeset(session)));
    });
}

fn generate_patchset<C: Contestant>(group: &mut Group<'_>, script: &Script) {
    group.bench_function(BenchmarkId::new(C::NAME, script.rows), |b| {
        script.recorded::<_, C>(|session| b.iter_with_large_drop(|| C::patchset(session)));
    });
}

/// Measures the first apply on a connection.
fn apply<C: Contestant>(group: &mut Group<'_>, script: &Script) {
    group.bench_function(BenchmarkId::new(C::NAME, script.rows), |b| {
        let changes = script.recorded::<_, C>(C::changeset);
        b.iter_batched_ref(
            || script.seeded::<C>(),
            |replica| replica.apply(black_box(&changes)),
            BatchSize::PerIteration,
        );
    });
}

/// Measures another apply on a connection, as on a replica that is kept up to date.
fn apply_again<C: Contestant>(group: &mut Group<'_>, script: &Script) {
    group.bench_function(BenchmarkId::new(C::NAME, script.rows), |b| {
        let changes = script.recorded::<_, C>(C::changeset);
        let replica = script.seeded::<C>();
        replica.apply(&changes);
        b.iter_batched(
            || {
                replica.execute("DELETE FROM items");
                replica.execute(&script.before);
            },
            |()| replica.apply(black_box(&changes)),
            BatchSize::PerIteration,
        );
    });
}

/// Measures the first apply of untrusted bytes. This crate checks them first; the other contestants
/// do not.
fn apply_bytes(group: &mut Group<'_>, script: &Script) {
    group.bench_function(BenchmarkId::new("ours_from_bytes", script.rows), |b| {
        script.check();
        let bytes = script.outcome::<Raw>().0;
        b.iter_batched_ref(
            || script.seeded::<Ours>().connection.into_inner(),
            |replica| replica.apply_changeset(black_box(&bytes), |_| ConflictAction::Abort).unwrap(),
            BatchSize::PerIteration,
        );
    });
}

/// Measures a session from its creation to its changeset, including the recorded statements.
fn record<C: Contestant>(group: &mut Group<'_>, script: &Script) {
    group.bench_function(BenchmarkId::new(C::NAME, script.rows), |b| {
        script.check();
        b.iter_batched_ref(
            || script.seeded::<C>(),
            |connection| {
                let mut session = connection.track();
                connection.execute(&script.recorded);
                C::changeset(&mut session)
            },
            BatchSize::PerIteration,
        );
    });
}

/// Measures a whole replication: recording the rows, and applying them to a replica.
fn replicate<C: Contestant>(group: &mut Group<'_>, script: &Script) {
    group.bench_function(BenchmarkId::new(C::NAME, script.rows), |b| {
        script.check();
        b.iter_batched_ref(
            || (script.seeded::<C>(), script.seeded::<C>()),
            |(source, replica)| {
                let mut session = source.track();
                source.execute(&script.recorded);
                replica.apply(&C::changeset(&mut session));
            },
            BatchSize::PerIteration,
        );
    });
}

fn configure(group: &mut Group<'_>, rows: i32) {
    group.throughput(Throughput::Elements(rows.unsigned_abs().into()));
    group.sample_size(if rows > 10_000 { 10 } else { 20 });
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
}

fn comparison(criterion: &mut Criterion) {
    // `cargo bench -- --test` runs each benchmark once: use small inputs
    let small = std::env::args().any(|argument| argument == "--test");
    let sizes: &[i32] = if small { &[100] } else { &[10, 100, 500, 10_000, 100_000] };

    let mut group = criterion.benchmark_group("create_and_attach_first");
    each!(track_first(&mut group));
    group.finish();
    let mut group = criterion.benchmark_group("create_and_attach_again");
    each!(track_again(&mut group));
    group.finish();

    let scripts: Vec<Script> = sizes.iter().map(|&rows| Script::inserts(rows)).collect();
    let mut group = criterion.benchmark_group("changeset");
    for script in &scripts {
        configure(&mut group, script.rows);
        each!(generate_changeset(&mut group, script));
    }
    group.finish();
    let mut group = criterion.benchmark_group("patchset");
    for script in &scripts {
        configure(&mut group, script.rows);
        each!(generate_patchset(&mut group, script));
    }
    group.finish();
    let mut group = criterion.benchmark_group("apply_first");
    for script in &scripts {
        configure(&mut group, script.rows);
        each!(apply(&mut group, script));
        apply_bytes(&mut group, script);
    }
    group.finish();
    let mut group = criterion.benchmark_group("apply_again");
    for script in &scripts {
        configure(&mut group, script.rows);
        each!(apply_again(&mut group, script));
    }
    group.finish();

    let script = Script::inserts(100);
    let mut group = criterion.benchmark_group("replication");
    configure(&mut group, script.rows);
    each!(replicate(&mut group, &script));
    group.finish();

    // recording 100,000 rows takes seconds in SQLite
    for &rows in sizes.iter().filter(|rows| **rows <= 10_000) {
        let script = Script::mixed(rows);
        let mut group = criterion.benchmark_group("mixed_record_and_changeset");
        configure(&mut group, rows);
        each!(record(&mut group, &script));
        group.finish();
        let mut group = criterion.benchmark_group("mixed_apply_again");
        configure(&mut group, rows);
        each!(apply_again(&mut group, &script));
        group.finish();
    }
}

criterion_group!(benches, comparison);
criterion_main!(benches);
