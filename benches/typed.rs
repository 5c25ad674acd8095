//! Reading typed rows, owned and borrowed, compared with SQLite's C iterator, and with the feature
//! `peers` sqlite-diff-rs.
//!
//! Every contestant reads every value. The benchmark first checks that all read the same values.
//! `sqlite_c_iterator` reads texts in place, as borrowed rows do; `sqlite_c_iterator_owned` makes a
//! `String` of each, as owned rows do.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use diesel_sqlite_session::{Change, Changeset, ChangesetRef, Tracked};
use diesel_sqlite_session_benches::data;
use diesel_sqlite_session_tests::sqlite;

diesel::table! {
    /// The table of `data::narrow_inserts`.
    events (id) {
        /// The primary key.
        id -> BigInt,
        /// Some text.
        name -> Text,
        /// A number.
        value -> BigInt,
    }
}

/// A row with an owned text.
#[derive(Tracked)]
#[diesel(table_name = events)]
pub struct Event {
    id: i64,
    name: String,
    value: i64,
}

/// A row with a borrowed text.
#[derive(Tracked)]
#[diesel(table_name = events)]
pub struct EventRef<'a> {
    id: i64,
    name: &'a str,
    value: i64,
}

/// Returns the same sum of the values as the benchmark `wire`.
fn weigh(id: i64, name: &str, value: i64) -> u64 {
    let text = name.len() as u64 + u64::from(name.as_bytes().first().copied().unwrap_or(0));
    (id as u64).wrapping_add(text).wrapping_add(value as u64)
}

fn owned(changeset: ChangesetRef<'_>) -> u64 {
    changeset.changes::<Change<events::table>>().fold(0, |sum, change| match change.unwrap() {
        Change::Insert(Event { id, name, value }) => sum.wrapping_add(weigh(id, &name, value)),
        Change::Update(_) | Change::Delete(_) => panic!("all changes are INSERTs"),
    })
}

fn borrowed(changeset: ChangesetRef<'_>) -> u64 {
    changeset.changes::<Change<EventRef<'_>>>().fold(0, |sum, change| match change.unwrap() {
        Change::Insert(EventRef { id, name, value }) => sum.wrapping_add(weigh(id, name, value)),
        Change::Update(_) | Change::Delete(_) => panic!("all changes are INSERTs"),
    })
}

fn typed(criterion: &mut Criterion) {
    // `cargo bench -- --test` runs each benchmark once: use small inputs
    let small = std::env::args().any(|argument| argument == "--test");
    let rows = if small { 1_000 } else { 1_000_000 };
    let bytes = Changeset::try_from(data::narrow_inserts(rows)).unwrap().into_bytes();
    let bytes = bytes.as_slice();
    let changeset = ChangesetRef::parse(bytes).unwrap();
    let expected = sqlite::sum_of_values(bytes).unwrap();
    assert_eq!((owned(changeset), borrowed(changeset)), (expected, expected));
    assert_eq!(sqlite::sum_of_owned_values(bytes).unwrap(), expected);

    let mut group = criterion.benchmark_group(format!("typed_inserts_{rows}"));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    group.bench_function("owned", |b| b.iter(|| owned(black_box(changeset))));
    group.bench_function("borrowed", |b| b.iter(|| borrowed(black_box(changeset))));
    group.bench_function("check_and_owned", |b| b.iter(|| owned(ChangesetRef::parse(black_box(bytes)).unwrap())));
    group.bench_function("check_and_borrowed", |b| {
        b.iter(|| borrowed(ChangesetRef::parse(black_box(bytes)).unwrap()));
    });
    group.bench_function("sqlite_c_iterator", |b| b.iter(|| sqlite::sum_of_values(black_box(bytes)).unwrap()));
    group.bench_function("sqlite_c_iterator_owned", |b| {
        b.iter(|| sqlite::sum_of_owned_values(black_box(bytes)).unwrap());
    });
    #[cfg(feature = "peers")]
    group.bench_function("sqlite_diff_rs_parse", |b| {
        b.iter(|| sqlite_diff_rs::ParsedDiffSet::parse(black_box(bytes)).is_ok());
    });
    group.finish();
}

criterion_group!(benches, typed);
criterion_main!(benches);
