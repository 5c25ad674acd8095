//! Sessions and applying: ours on Diesel's connection, SQLite's C functions, and with the feature `peers` rusqlite.
//!
//! All are the same SQLite, and have run the same SQL text. Before anything is timed, all must have recorded the same bytes,
//! and applying them must have made the same tables. Connections are opened, and tables filled, outside of what is timed.

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

/// A connection in memory, and what is measured on it.
trait Contestant {
    const NAME: &str;
    type Session<'a>
    where
        Self: 'a;
    /// Changes as the contestant gives them and takes them.
    type Changes;
    type Patches;

    fn open() -> Self;
    fn execute(&self, sql: &str);
    fn contents(&self) -> String;
    /// Creates a session and attaches the table.
    fn track(&self) -> Self::Session<'_>;
    fn changeset(session: &mut Self::Session<'_>) -> Self::Changes;
    fn patchset(session: &mut Self::Session<'_>) -> Self::Patches;
    /// The bytes of the changeset and of the patchset.
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
            // with the connection's mutex, as Diesel opens it
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

        /// rusqlite's `Changeset` does not show its bytes; only a stream does.
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

/// What SQL is run before a session is there, and what is recorded.
struct Script {
    rows: i32,
    before: String,
    recorded: String,
    /// Whether the contestants have been found to agree.
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

    /// A connection that has made the changes, and its session.
    fn recorded<R, C: Contestant>(&self, work: impl FnOnce(&mut C::Session<'_>) -> R) -> R {
        self.check();
        let connection = self.seeded::<C>();
        let mut session = connection.track();
        connection.execute(&self.recorded);
        work(&mut session)
    }

    /// A connection as it is before the changes.
    fn seeded<C: Contestant>(&self) -> C {
        let connection = C::with_table();
        connection.execute(&self.before);
        connection
    }

    /// The bytes that a contestant records, and the table that it has at the end; its replica must have the same.
    fn outcome<C: Contestant>(&self) -> (Vec<u8>, Vec<u8>, String) {
        let (source, replica) = (self.seeded::<C>(), self.seeded::<C>());
        let mut session = source.track();
        source.execute(&self.recorded);
        let (changeset, patchset) = C::bytes(&mut session);
        replica.apply(&C::changeset(&mut session));
        let contents = source.contents();
        assert!(replica.contents() == contents, "{}: another table on the replica", C::NAME);
        (changeset, patchset, contents)
    }

    /// Makes sure, once, that all contestants do the same: where a benchmark runs, and not where one is only named.
    fn check(&self) {
        if self.checked.replace(true) {
            return;
        }
        let expected = self.outcome::<Raw>();
        assert!(!expected.0.is_empty() && !expected.1.is_empty() && !expected.2.is_empty());
        assert!(self.outcome::<Ours>() == expected, "ours has other bytes, or another table, than SQLite");
        #[cfg(feature = "peers")]
        assert!(
            self.outcome::<peers::Rusqlite>() == expected,
            "rusqlite has other bytes, or another table, than SQLite"
        );
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

/// The first session on a connection. A session may borrow its connection, which `iter_batched` does not take.
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

/// A session on a connection that had one before.
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

/// The first apply on a connection.
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

/// An apply on a connection that had one before, as a replica that is kept up to date.
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

/// The first apply of bytes that come from elsewhere, which ours checks before; the others take them as they are.
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

/// Everything from the first session to its changeset: statements are run by the contestants' own means.
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

/// From a table that is tracked to a replica that has its rows.
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
    // `cargo bench -- --test` runs each once: small inputs do
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

    // at 100,000 rows, recording takes SQLite seconds
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
