//! Concatenating changesets: this crate, SQLite's changegroup and `sqlite3changeset_concat`.
//!
//! The benchmark first checks that all outputs contain the same changes. The timed part neither
//! drops nor copies the output: SQLite's output stays in SQLite's memory. `ours_into` reuses the
//! memory of the previous iteration.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, ChangesetRef, Value};
use diesel_sqlite_session_benches::data::{Event, events, shuffle};
use diesel_sqlite_session_benches::raw;
use diesel_sqlite_session_tests::group::changes;
use diesel_sqlite_session_tests::sqlite;

const EVENTS: TableInfo<'_> = TableInfo::new("events", &[1, 0, 0]);

/// `cargo bench -- --test` runs each benchmark once: use small inputs.
pub(crate) fn rows() -> i64 {
    if std::env::args().any(|argument| argument == "--test") { 1_000 } else { 1_000_000 }
}

pub(crate) fn configure(group: &mut BenchmarkGroup<'_, WallTime>, rows: i64) {
    group.throughput(Throughput::Elements(rows.unsigned_abs()));
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
}

/// Panics if the two changesets do not contain the same changes, in any order.
fn assert_same_set(name: &str, found: &[u8], expected: &[u8]) {
    assert!(changes(found) == changes(expected), "{name} and SQLite produce different changes");
}

fn values((id, name, at): &Event) -> [Value<'_>; 3] {
    [(*id).into(), name.as_str().into(), (*at).into()]
}

pub(crate) fn inserts(rows: &[Event]) -> Changeset {
    let builder = rows.iter().fold(Changeset::builder(), |builder, row| builder.insert_values(EVENTS, &values(row)));
    builder.build().unwrap()
}

/// Deletes every third row, and changes the name of the others.
pub(crate) fn edits(rows: &[Event]) -> Changeset {
    let mut builder = Changeset::builder();
    for row in rows {
        builder = if row.0 % 3 == 0 {
            builder.delete_values(EVENTS, &values(row))
        } else {
            let after = (row.0, format!("event number {} as it is now", row.0), row.2);
            builder.update_values(EVENTS, &values(row), &values(&after))
        };
    }
    builder.build().unwrap()
}

/// Returns the changeset in the order of SQLite's hash table, the order that a session writes.
pub(crate) fn recorded(changeset: &Changeset) -> Changeset {
    Changeset::try_from(sqlite::group([changeset.as_bytes()]).unwrap()).unwrap()
}

pub(crate) fn concat(criterion: &mut Criterion) {
    let count = rows();
    let rows = events(count);
    let (half, other_half) = rows.split_at(rows.len() / 2);
    // - insert_then_edit: INSERTs, then edits of the same rows
    // - insert_then_edit_unordered: the edits are in random order, so that this crate needs an
    //   index
    // - few_edits, few_inserts_first: one side has 1 % of the rows, and SQLite's hash table has
    //   fewer buckets
    // - other_rows, other_rows_ascending: no row has two changes
    // - inverse: the changes cancel out
    let (inserted, edited) = (inserts(&rows), edits(&rows));
    let mut order = rows.clone();
    shuffle(&mut order);
    let few: Vec<Event> = rows.iter().filter(|row| row.0 % 100 == 0).cloned().collect();
    let cases = [
        ("insert_then_edit", recorded(&inserted), recorded(&edited)),
        ("insert_then_edit_unordered", recorded(&inserted), edits(&order)),
        ("few_edits", recorded(&inserted), recorded(&edits(&few))),
        ("few_inserts_first", recorded(&inserts(&few)), recorded(&edited)),
        ("other_rows", recorded(&inserts(half)), recorded(&inserts(other_half))),
        ("other_rows_ascending", inserts(half), inserts(other_half)),
        ("inverse", recorded(&edited), recorded(&edited).invert()),
    ];
    let mut group = criterion.benchmark_group(format!("concat_{count}"));
    configure(&mut group, count);
    for (name, first, second) in &cases {
        let ours = |first: ChangesetRef<'_>, second: ChangesetRef<'_>| first.concat(second).unwrap();
        let parts = [first.as_bytes(), second.as_bytes()];
        let grouped = || raw::group(black_box(parts));
        let concatenated = || raw::concat(black_box(parts[0]), black_box(parts[1]));
        let made = ours(first.into(), second.into());
        assert_same_set("ours", made.as_bytes(), &grouped());
        assert_same_set("ours", made.as_bytes(), &concatenated());
        group.bench_function(BenchmarkId::new("ours", name), |b| {
            b.iter_with_large_drop(|| ours(black_box(first).into(), black_box(second).into()));
        });
        let mut target = Changeset::new();
        group.bench_function(BenchmarkId::new("ours_into", name), |b| {
            b.iter(|| black_box(first).concat_into(black_box(second), &mut target).unwrap());
        });
        drop(target);
        group.bench_function(BenchmarkId::new("ours_checking", name), |b| {
            let parse = |bytes| ChangesetRef::parse(black_box(bytes)).unwrap();
            b.iter_with_large_drop(|| ours(parse(parts[0]), parse(parts[1])));
        });
        group.bench_function(BenchmarkId::new("sqlite_c_changegroup", name), |b| b.iter_with_large_drop(grouped));
        group.bench_function(BenchmarkId::new("sqlite_c_concat", name), |b| b.iter_with_large_drop(concatenated));
    }
    group.finish();
}
