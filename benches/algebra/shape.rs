//! Filtering, sorting, splitting and renaming whole changesets, and writing them as SQL.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, Operation, Value};
use diesel_sqlite_session_benches::data::shuffle;

/// `cargo bench -- --test` runs each benchmark once: use small inputs.
fn rows() -> i64 {
    if std::env::args().any(|argument| argument == "--test") { 1_000 } else { 1_000_000 }
}

/// Returns INSERTs of (key, text, integer) in an order like that of a session, with keys from
/// `key`.
fn unsorted(rows: i64, key: impl Fn(u64) -> Key) -> Changeset {
    const EVENTS: TableInfo<'_> = TableInfo::new("events", &[1, 0, 0]);
    let mut order: Vec<i64> = (0..rows).collect();
    shuffle(&mut order);
    let mut builder = Changeset::builder();
    for row in order {
        let (key, name) = (key(row.unsigned_abs()), format!("event number {row}"));
        let key = match &key {
            Key::Integer(integer) => Value::Integer(*integer),
            Key::Text(text) => text.as_str().into(),
            Key::Blob(blob) => Value::Blob(blob),
        };
        builder = builder.insert_values(EVENTS, &[key, name.as_str().into(), (row * 1000).into()]);
    }
    builder.build().unwrap()
}

enum Key {
    Integer(i64),
    Text(String),
    Blob([u8; 16]),
}

/// Returns pseudo-random bits, different for each number.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn blob(row: u64) -> Key {
    let mut blob = [0; 16];
    blob[..8].copy_from_slice(&scatter(row).to_be_bytes());
    blob[8..].copy_from_slice(&scatter(row + (1 << 40)).to_be_bytes());
    Key::Blob(blob)
}

/// Returns whether the keys ascend. All keys have one type.
fn is_sorted(changeset: &Changeset) -> bool {
    let key = |record: diesel_sqlite_session::Record<'_>| match record.new_value(0) {
        Some(Value::Integer(integer)) => ((integer as u64) ^ (1 << 63)).to_be_bytes().to_vec(),
        key => key.and_then(Value::as_bytes).unwrap_or_default().to_vec(),
    };
    changeset.records().map(key).is_sorted()
}

pub(crate) fn shape(criterion: &mut Criterion) {
    let rows = rows();
    let integers = unsorted(rows, |row| Key::Integer(row as i64));
    let sets = [
        ("integers", integers.clone()),
        ("blobs_16", unsorted(rows, blob)),
        ("texts", unsorted(rows, |row| Key::Text(format!("customer/{}", scatter(row) % 100_000_000)))),
        ("sorted", integers.sort_by_key()),
    ];
    let mut group = criterion.benchmark_group(format!("shape_{rows}"));
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    for (name, set) in &sets {
        let sorted = set.sort_by_key();
        assert!(is_sorted(&sorted) && sorted.records().count() == set.records().count());
        group.throughput(Throughput::Bytes(set.as_bytes().len() as u64));
        group.bench_function(BenchmarkId::new("sort_by_key", name), |b| {
            b.iter_with_large_drop(|| black_box(set).sort_by_key());
        });
    }

    let set = &sets[0].1;
    let is_even = |value: Option<Value<'_>>| value.and_then(Value::as_integer).is_some_and(|integer| integer % 2 == 0);
    let half = set.filter_records(|record| is_even(record.new_value(0)));
    assert_eq!(half.records().count() as i64, rows / 2);
    group.throughput(Throughput::Bytes(set.as_bytes().len() as u64));
    group.bench_function("filter_records/by_operation", |b| {
        b.iter_with_large_drop(|| black_box(set).filter_records(|record| record.operation() == Operation::Insert));
    });
    group.bench_function("filter_records/by_key", |b| {
        b.iter_with_large_drop(|| black_box(set).filter_records(|record| is_even(record.new_value(0))));
    });
    group.bench_function("filter_tables", |b| {
        b.iter_with_large_drop(|| black_box(set).filter_tables(|name| name == "events"));
    });
    group.bench_function("rename_tables", |b| {
        b.iter_with_large_drop(|| black_box(set).rename_tables(|_| Some("things")).unwrap());
    });
    assert!(set.split(1 << 20).flat_map(Changeset::into_bytes).count() >= set.as_bytes().len());
    group.bench_function("split/1_MiB", |b| b.iter(|| black_box(set).split(1 << 20).count()));
    group.bench_function("split_tables", |b| b.iter(|| black_box(set).split_tables().count()));
    let columns = [TableInfo::from_columns("events", &["id", "name", "at"])];
    group.bench_function("to_sql", |b| {
        b.iter_with_large_drop(|| black_box(set).to_sql(columns).unwrap().to_string());
    });
    group.finish();
}
