//! Building changesets: this crate from values and from typed rows, SQLite's session around
//! prepared INSERTs, and with the feature `peers` rusqlite and sqlite-diff-rs. Building from
//! records: this crate and SQLite's changegroup.
//!
//! The benchmark first checks that all outputs contain the same changes. The timed part includes
//! dropping the output and the builder, as in a program. If they were kept, each iteration would
//! get fresh memory, and the page faults would dominate.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diesel_sqlite_session::typed::Edit;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, ChangesetRef};
use diesel_sqlite_session_benches::data::{self, Event, shuffle};
use diesel_sqlite_session_benches::raw;
use diesel_sqlite_session_tests::sqlite;

const SCHEMA: &str = "CREATE TABLE events (id INTEGER PRIMARY KEY, name TEXT NOT NULL, at INTEGER NOT NULL)";
const INSERT: &str = "INSERT INTO events VALUES (?1, ?2, ?3)";

fn ours(rows: &[Event]) -> Changeset {
    const EVENTS: TableInfo<'_> = TableInfo::new("events", &[1, 0, 0]);
    let mut builder = Changeset::builder();
    for (id, name, at) in rows {
        builder = builder.insert_values(EVENTS, &[(*id).into(), name.as_str().into(), (*at).into()]);
    }
    builder.build().unwrap()
}

mod typed {
    #![allow(missing_docs)]

    use diesel_sqlite_session::Tracked;

    diesel::table! {
        events (id) {
            id -> BigInt,
            name -> Text,
            at -> BigInt,
        }
    }

    /// A row of the table.
    #[derive(Tracked)]
    #[diesel(table_name = events)]
    pub struct Row {
        pub id: i64,
        pub name: String,
        pub at: i64,
    }
}
use typed::Row;

impl From<&Event> for Row {
    fn from((id, name, at): &Event) -> Self {
        Self { id: *id, name: name.clone(), at: *at }
    }
}

fn ours_of_rows(rows: &[Row]) -> Changeset {
    let mut builder = Changeset::builder();
    builder.extend(rows.iter().map(Edit::Insert));
    builder.build().unwrap()
}

fn ours_of_records(changeset: ChangesetRef<'_>) -> Changeset {
    changeset.records().fold(Changeset::builder(), |builder, record| builder.record(&record)).build().unwrap()
}

/// Inserts the rows in one transaction.
fn raw_session(rows: &[Event]) -> (raw::Buffer, raw::Connection) {
    let connection = raw::Connection::open();
    connection.execute(SCHEMA);
    let session = connection.track(c"events");
    connection.execute("BEGIN");
    connection.insert_each(INSERT, rows);
    connection.execute("COMMIT");
    let changeset = session.changeset();
    drop(session);
    (changeset, connection)
}

#[cfg(feature = "peers")]
mod peers {
    use diesel_sqlite_session_benches::data::Event;
    use rusqlite::Connection;
    use rusqlite::session::{Changeset, Session};
    use sqlite_diff_rs::{ChangesetFormat, DiffOps, DiffSetBuilder, Insert, TableSchema, Value};

    type Builder<'a> = DiffSetBuilder<ChangesetFormat, TableSchema<&'a str>, &'a str, &'a [u8]>;

    pub(super) fn sqlite_diff_rs(rows: &[Event]) -> (Vec<u8>, Builder<'_>) {
        let events = TableSchema::new("events", 3, vec![1, 0, 0]);
        let mut builder = Builder::new();
        for (id, name, at) in rows {
            let insert = Insert::<_, &str, &[u8]>::from(events.clone());
            let insert = insert.set(0, *id).unwrap().set(1, Value::Text(name.as_str())).unwrap().set(2, *at).unwrap();
            builder = builder.insert(insert);
        }
        (builder.build(), builder)
    }

    fn record<T>(rows: &[Event], take: impl FnOnce(&mut Session<'_>) -> T) -> (T, Connection) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(super::SCHEMA).unwrap();
        let taken = {
            let mut session = Session::new(&connection).unwrap();
            session.attach(Some("events")).unwrap();
            connection.execute_batch("BEGIN").unwrap();
            let mut insert = connection.prepare(super::INSERT).unwrap();
            for (id, name, at) in rows {
                insert.execute((id, name.as_str(), at)).unwrap();
            }
            drop(insert);
            connection.execute_batch("COMMIT").unwrap();
            take(&mut session)
        };
        (taken, connection)
    }

    pub(super) fn rusqlite_session(rows: &[Event]) -> (Changeset, Connection) {
        record(rows, |session| session.changeset().unwrap())
    }

    /// Streams the bytes: rusqlite's `Changeset` does not expose them.
    pub(super) fn rusqlite_bytes(rows: &[Event]) -> Vec<u8> {
        let mut bytes = Vec::new();
        record(rows, |session| session.changeset_strm(&mut bytes).unwrap());
        bytes
    }
}

/// Panics if the two changesets do not contain the same changes, in any order.
fn assert_same_set(name: &str, found: &[u8], expected: &[u8]) {
    fn changes(bytes: &[u8]) -> (&[u8], Vec<&[u8]>) {
        let changeset = ChangesetRef::parse(bytes).unwrap();
        let ends: Vec<usize> = changeset.records().map(|record| record.offset()).chain([bytes.len()]).collect();
        let header = &bytes[..ends[0]];
        let mut changes: Vec<&[u8]> = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        changes.sort_unstable();
        (header, changes)
    }
    assert!(changes(found) == changes(expected), "{name} and SQLite produce different changes");
}

fn inserts(group: &mut BenchmarkGroup<'_, WallTime>, order: &str, rows: &[Event]) {
    let expected = raw_session(rows).0;
    assert_same_set("ours", ours(rows).as_bytes(), &expected);
    group.bench_function(BenchmarkId::new("ours", order), |b| b.iter(|| ours(black_box(rows))));
    let typed: Vec<Row> = rows.iter().map(Row::from).collect();
    assert_same_set("ours of rows", ours_of_rows(&typed).as_bytes(), &expected);
    group.bench_function(BenchmarkId::new("ours_of_rows", order), |b| b.iter(|| ours_of_rows(black_box(&typed))));
    drop(typed);
    group.bench_function(BenchmarkId::new("sqlite_c_session", order), |b| {
        b.iter(|| raw_session(black_box(rows)));
    });
    #[cfg(feature = "peers")]
    {
        assert_same_set("sqlite-diff-rs", &peers::sqlite_diff_rs(rows).0, &expected);
        assert_same_set("rusqlite", &peers::rusqlite_bytes(rows), &expected);
        group.bench_function(BenchmarkId::new("sqlite_diff_rs", order), |b| {
            b.iter(|| peers::sqlite_diff_rs(black_box(rows)));
        });
        group.bench_function(BenchmarkId::new("rusqlite_session", order), |b| {
            b.iter(|| peers::rusqlite_session(black_box(rows)));
        });
    }
}

/// Measures building from records in the order that a session writes.
fn records(group: &mut BenchmarkGroup<'_, WallTime>, rows: &[Event]) {
    let recorded = raw_session(rows).0;
    let changeset = ChangesetRef::parse(&recorded).unwrap();
    let grouped = || sqlite::group([changeset.as_bytes()]).unwrap();
    assert_same_set("ours", ours_of_records(changeset).as_bytes(), &grouped());
    group.bench_function("ours", |b| b.iter(|| ours_of_records(black_box(changeset))));
    group.bench_function("sqlite_c_changegroup", |b| b.iter(grouped));
}

fn builder(criterion: &mut Criterion) {
    // `cargo bench -- --test` runs each benchmark once: use small inputs
    let sizes: &[i64] =
        if std::env::args().any(|argument| argument == "--test") { &[1_000] } else { &[1_000, 1_000_000] };
    for &size in sizes {
        let mut rows = data::events(size);
        let configure = |group: &mut BenchmarkGroup<'_, WallTime>| {
            group.throughput(Throughput::Elements(size.unsigned_abs()));
            group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
        };
        let mut group = criterion.benchmark_group(format!("build_inserts_{size}"));
        configure(&mut group);
        inserts(&mut group, "ascending", &rows);
        shuffle(&mut rows);
        // new texts, so that they are in memory in the order of the rows again
        rows = rows.to_vec();
        inserts(&mut group, "shuffled", &rows);
        group.finish();
        let mut group = criterion.benchmark_group(format!("build_of_records_{size}"));
        configure(&mut group);
        records(&mut group, &rows);
        group.finish();
    }
}

criterion_group!(benches, builder);
criterion_main!(benches);
