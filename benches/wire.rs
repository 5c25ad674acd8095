//! Reading changesets: this crate, SQLite's C iterator, and with the feature `peers` rusqlite and
//! sqlite-diff-rs.
//!
//! Every contestant reads every value. The benchmark first checks that all read the same values.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use diesel_sqlite_session::{Changeset, ChangesetReader, ChangesetRef, Operation, Value};
use diesel_sqlite_session_benches::{data, raw};
use diesel_sqlite_session_tests::sqlite;

fn weigh(value: Option<Value<'_>>) -> u64 {
    match value {
        None => 0,
        Some(Value::Null) => 1,
        Some(Value::Integer(integer)) => integer as u64,
        Some(Value::Real(real)) => real.to_bits(),
        Some(Value::Text(bytes) | Value::Blob(bytes)) => {
            bytes.len() as u64 + u64::from(bytes.first().copied().unwrap_or(0))
        }
    }
}

/// Returns a sum that depends on every recorded value.
fn sum_of_values(changeset: ChangesetRef<'_>) -> u64 {
    let mut sum = 0u64;
    for record in changeset.records() {
        if record.operation() != Operation::Insert {
            sum = record.old_values().fold(sum, |sum, value| sum.wrapping_add(weigh(value)));
        }
        if record.operation() != Operation::Delete {
            sum = record.new_values().fold(sum, |sum, value| sum.wrapping_add(weigh(value)));
        }
    }
    sum
}

fn streamed_sum(bytes: &[u8]) -> u64 {
    let mut reader = ChangesetReader::new(bytes);
    let mut sum = 0u64;
    while let Some(record) = reader.next_record().unwrap() {
        sum = record.old_values().chain(record.new_values()).fold(sum, |sum, value| sum.wrapping_add(weigh(value)));
    }
    sum
}

#[cfg(feature = "peers")]
mod peers {
    use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
    use rusqlite::session::ChangesetIter;
    use rusqlite::types::ValueRef;

    fn weigh(value: ValueRef<'_>) -> u64 {
        match value {
            ValueRef::Null => 1,
            ValueRef::Integer(integer) => integer as u64,
            ValueRef::Real(real) => real.to_bits(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                bytes.len() as u64 + u64::from(bytes.first().copied().unwrap_or(0))
            }
        }
    }

    /// Reads only INSERTs: rusqlite does not distinguish a value that is not recorded. It iterates
    /// over bytes only as a stream.
    pub(super) fn rusqlite_sum(mut bytes: &[u8]) -> u64 {
        let input: &mut dyn std::io::Read = &mut bytes;
        let mut iterator = ChangesetIter::start_strm(&input).unwrap();
        let mut sum = 0u64;
        while let Some(item) = iterator.next().unwrap() {
            let columns = item.op().unwrap().number_of_columns();
            for column in 0..columns {
                sum = sum.wrapping_add(weigh(item.new_value(column as usize).unwrap()));
            }
        }
        sum
    }

    /// Only parses, without reading: sqlite-diff-rs copies all values as it parses.
    pub(super) fn sqlite_diff_rs(bytes: &[u8]) -> bool {
        sqlite_diff_rs::ParsedDiffSet::parse(bytes).is_ok()
    }
}

fn group(criterion: &mut Criterion, name: &str, bytes: &[u8], narrow: bool) {
    let expected = sqlite::sum_of_values(bytes).unwrap();
    let changeset = ChangesetRef::parse(bytes).unwrap();
    assert_eq!(sum_of_values(changeset), expected);
    assert_eq!(streamed_sum(bytes), expected);
    assert_eq!(sqlite::invert(bytes).unwrap(), changeset.invert().into_bytes());

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    group.bench_function("check", |b| b.iter(|| ChangesetRef::parse(black_box(bytes)).unwrap()));
    group.bench_function("read", |b| b.iter(|| sum_of_values(black_box(changeset))));
    group.bench_function("check_and_read", |b| {
        b.iter(|| sum_of_values(ChangesetRef::parse(black_box(bytes)).unwrap()));
    });
    group.bench_function("stream", |b| b.iter(|| streamed_sum(black_box(bytes))));
    group.bench_function("sqlite_c_iterator", |b| b.iter(|| sqlite::sum_of_values(black_box(bytes)).unwrap()));
    group.bench_function("invert", |b| b.iter(|| black_box(changeset).invert()));
    group.bench_function("invert_in_place", |b| {
        // the copy is not timed, since a program that inverts in place does not need the input
        // afterwards
        let in_place = |changeset: Changeset| drop(black_box(changeset.into_inverted()));
        b.iter_batched(|| changeset.into_owned(), in_place, BatchSize::PerIteration);
    });
    group.bench_function("sqlite_c_invert", |b| b.iter(|| raw::invert(black_box(bytes))));
    #[cfg(feature = "peers")]
    {
        if narrow {
            assert_eq!(peers::rusqlite_sum(bytes), expected);
            group.bench_function("rusqlite_iterator", |b| b.iter(|| peers::rusqlite_sum(black_box(bytes))));
        }
        assert!(peers::sqlite_diff_rs(bytes));
        group.bench_function("sqlite_diff_rs_parse", |b| b.iter(|| peers::sqlite_diff_rs(black_box(bytes))));
    }
    let _ = narrow;
    group.finish();
}

fn wire(criterion: &mut Criterion) {
    // `cargo bench -- --test` runs each benchmark once: use small inputs
    let small = std::env::args().any(|argument| argument == "--test");
    let rows = if small { 1_000 } else { 1_000_000 };
    let narrow = Changeset::try_from(data::narrow_inserts(rows)).unwrap().into_bytes();
    group(criterion, &format!("narrow_inserts_{rows}"), &narrow, true);
    let wide = data::wide_mixed(rows / 10);
    group(criterion, &format!("wide_mixed_{}", rows / 10), &wide, false);
}

criterion_group!(benches, wire);
criterion_main!(benches);
