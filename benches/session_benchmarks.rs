//! Sessions and applying on Diesel's connection, from 10 to 100,000 rows.
//!
//! The timed part includes neither opening connections nor filling tables.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{ConflictAction, Session, SqliteSessionExt};
use diesel_sqlite_session_benches::statements::{self, items};

fn open() -> SqliteConnection {
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    connection.batch_execute(statements::SCHEMA).unwrap();
    connection
}

fn track(connection: &mut SqliteConnection) -> Session {
    let mut session = connection.create_session().unwrap();
    session.attach::<items::table>().unwrap();
    session
}

/// Returns a connection after `rows` INSERTs, and the session that recorded them.
fn recorded(rows: i32) -> (SqliteConnection, Session) {
    let mut connection = open();
    let session = track(&mut connection);
    connection.batch_execute(&statements::inserts(rows)).unwrap();
    (connection, session)
}

fn insert(connection: &mut SqliteConnection, id: i32) {
    diesel::insert_into(items::table)
        .values((items::id.eq(id), items::name.eq(statements::name(id)), items::quantity.eq(statements::quantity(id))))
        .execute(connection)
        .unwrap();
}

/// Makes the changes of `statements::mixed` to a table of 100 rows: INSERTs, UPDATEs and DELETEs in
/// turn.
fn mix(connection: &mut SqliteConnection) {
    for id in 1..=100 {
        match id % 3 {
            0 => insert(connection, 100 + id),
            1 => {
                diesel::update(items::table.find(id)).set(items::quantity.eq(1000 + id)).execute(connection).unwrap();
            }
            _ => {
                diesel::delete(items::table.find(id)).execute(connection).unwrap();
            }
        }
    }
}

fn sizes() -> &'static [i32] {
    // `cargo bench -- --test` runs each benchmark once: use small inputs
    let small = std::env::args().any(|argument| argument == "--test");
    if small { &[10, 100] } else { &[10, 100, 500, 100_000] }
}

fn creation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session");
    // the first call on a connection looks up its handle and registers a faster way to find it
    // again
    group.bench_function("create_first", |b| {
        b.iter_batched_ref(open, |connection| connection.create_session().unwrap(), BatchSize::PerIteration);
    });
    let mut connection = open();
    let _first = connection.create_session().unwrap();
    group.bench_function("create", |b| {
        b.iter_batched(|| (), |()| connection.create_session().unwrap(), BatchSize::PerIteration);
    });
    group.bench_function("attach", |b| {
        let mut connection = open();
        b.iter_batched_ref(
            || connection.create_session().unwrap(),
            |session| session.attach::<items::table>().unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Runs a benchmark for each size, `each(bencher, rows)`.
fn by_size(criterion: &mut Criterion, name: &str, mut each: impl FnMut(&mut Bencher<'_>, i32)) {
    let mut group = criterion.benchmark_group(name);
    for &rows in sizes() {
        group.throughput(Throughput::Elements(rows.unsigned_abs().into()));
        group.sample_size(if rows > 1000 { 10 } else { 50 }).measurement_time(Duration::from_secs(3));
        group.bench_function(BenchmarkId::from_parameter(rows), |b| each(b, rows));
    }
    group.finish();
}

fn generation(criterion: &mut Criterion) {
    by_size(criterion, "generate_changeset", |b, rows| {
        let (_connection, mut session) = recorded(rows);
        b.iter_with_large_drop(|| session.changeset().unwrap());
    });
    by_size(criterion, "generate_patchset", |b, rows| {
        let (_connection, mut session) = recorded(rows);
        b.iter_with_large_drop(|| session.patchset().unwrap());
    });
}

fn applying(criterion: &mut Criterion) {
    let abort = |_| ConflictAction::Abort;
    by_size(criterion, "apply_changeset", |b, rows| {
        let (_connection, mut session) = recorded(rows);
        let changeset = session.changeset().unwrap();
        let apply = |replica: &mut SqliteConnection| replica.apply_changeset(black_box(&changeset), abort).unwrap();
        b.iter_batched_ref(open, apply, BatchSize::PerIteration);
    });
    by_size(criterion, "apply_patchset", |b, rows| {
        let (_connection, mut session) = recorded(rows);
        let patchset = session.patchset().unwrap();
        let apply = |replica: &mut SqliteConnection| replica.apply_patchset(black_box(&patchset), abort).unwrap();
        b.iter_batched_ref(open, apply, BatchSize::PerIteration);
    });
}

fn mixed(criterion: &mut Criterion) {
    let seeded = || {
        let mut connection = open();
        connection.batch_execute(&statements::inserts(100)).unwrap();
        connection
    };
    let tracked = || {
        let mut connection = seeded();
        let session = track(&mut connection);
        (connection, session)
    };
    let mut group = criterion.benchmark_group("mixed_100");
    group.sample_size(50);
    // `unrecorded` is the time of Diesel and SQLite without a session
    group.bench_function("unrecorded", |b| b.iter_batched_ref(seeded, mix, BatchSize::PerIteration));
    group.bench_function("record", |b| {
        b.iter_batched_ref(tracked, |(connection, _)| mix(connection), BatchSize::PerIteration);
    });
    let (mut connection, mut session) = tracked();
    mix(&mut connection);
    group.bench_function("generate_changeset", |b| b.iter_with_large_drop(|| session.changeset().unwrap()));
    let changeset = session.changeset().unwrap();
    group.bench_function("apply_changeset", |b| {
        b.iter_batched_ref(
            seeded,
            |replica| replica.apply_changeset(black_box(&changeset), |_| ConflictAction::Abort).unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn replication(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replication");
    group.throughput(Throughput::Elements(100)).sample_size(50);
    group.bench_function("patchset_100", |b| {
        b.iter_batched_ref(
            || (open(), open()),
            |(source, replica)| {
                let mut session = track(source);
                for id in 1..=100 {
                    insert(source, id);
                }
                let patchset = session.patchset().unwrap();
                replica.apply_patchset(&patchset, |_| ConflictAction::Abort).unwrap();
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, creation, generation, applying, mixed, replication);
criterion_main!(benches);
