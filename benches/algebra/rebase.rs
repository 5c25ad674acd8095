//! Rebasing changesets: this crate into new memory, this crate in place, and SQLite's rebaser.
//! Inputs and outputs are the same bytes.
//!
//! The timed part includes dropping the output. `ours_in_place` rebases a copy that is made outside
//! of the timed part, since a program that rebases in place does not need the input afterwards.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use diesel_sqlite_session::wire::{RebaseData, Rebaser, TableInfo};
use diesel_sqlite_session::{Changeset, ChangesetRef, Operation, Record, Value};
use diesel_sqlite_session_benches::raw;
use diesel_sqlite_session_tests::sqlite;

const EVENTS: TableInfo<'_> = TableInfo::new("events", &[1, 0, 0]);

/// Returns `rows` changes, one third each of INSERTs, UPDATEs and DELETEs, in the order that a
/// session writes.
fn local(rows: i64) -> Changeset {
    let mut builder = Changeset::builder();
    for id in 0..rows {
        let (old, new) = (format!("event number {id}"), format!("event number {id}, edited"));
        let before: [Value<'_>; 3] = [id.into(), old.as_str().into(), (id * 1000).into()];
        let after: [Value<'_>; 3] = [id.into(), new.as_str().into(), (id * 1000).into()];
        builder = match id % 3 {
            0 => builder.insert_values(EVENTS, &before),
            1 => builder.update_values(EVENTS, &before, &after),
            _ => builder.delete_values(EVENTS, &before),
        };
    }
    let recorded = sqlite::group([builder.build().unwrap().as_bytes()]).unwrap();
    Changeset::try_from(recorded).unwrap()
}

/// Returns rebase data with conflicts in one of `one_in` rows. Half of the remote changes replaced
/// the row, one fifth are DELETEs.
fn data(local: &Changeset, one_in: usize) -> RebaseData {
    let key = |record: Record<'_>| match record.key_values().next() {
        Some(Value::Integer(id)) => id,
        _ => unreachable!("the key is an integer"),
    };
    let mut bytes = b"T\x03\x01\0\0events\0".to_vec();
    for record in local.records().step_by(one_in) {
        let id = key(record);
        let (operation, replaced) =
            if id % 5 == 0 { (Operation::Delete, id % 2 == 0) } else { (Operation::Insert, id % 4 < 2) };
        bytes.extend_from_slice(&[operation.to_byte(), u8::from(replaced), 1]);
        bytes.extend_from_slice(&id.to_be_bytes());
        let text = format!("remote event number {id}");
        bytes.extend_from_slice(&[3, u8::try_from(text.len()).unwrap()]);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(5);
    }
    RebaseData::try_from(bytes).unwrap()
}

pub(super) fn rebase(criterion: &mut Criterion) {
    // `cargo bench -- --test` runs each benchmark once: use small inputs
    let small = std::env::args().any(|argument| argument == "--test");
    let rows = if small { 1_000 } else { 1_000_000 };
    let local = local(rows);
    for one_in in [1000, 10, 1] {
        let data = data(&local, one_in);
        let (changes, on) = (local.as_bytes(), data.as_bytes());
        let rebased = local.rebase(&data).unwrap();
        assert!(*raw::rebase(changes, on) == *rebased.as_bytes(), "this crate and SQLite rebase to different bytes");
        assert!(
            local.clone().into_rebased(&data).unwrap() == rebased,
            "in place and into new memory produce different bytes"
        );
        drop(rebased);
        let mut group = criterion.benchmark_group(format!("rebase_{rows}_rows_one_in_{one_in}_in_conflict"));
        group.throughput(Throughput::Elements(rows.unsigned_abs()));
        group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
        group.bench_function("ours", |b| b.iter(|| black_box(&local).rebase(black_box(&data)).unwrap()));
        group.bench_function("ours_in_place", |b| {
            let in_place = |local: Changeset| drop(black_box(local.into_rebased(black_box(&data)).unwrap()));
            b.iter_batched(|| local.clone(), in_place, BatchSize::PerIteration);
        });
        // a `Rebaser` indexes the rebase data, which can then be in any order
        group.bench_function("ours_by_a_rebaser", |b| {
            b.iter(|| {
                let mut rebaser = Rebaser::new();
                rebaser.add(black_box(&data)).unwrap();
                rebaser.rebase(black_box(&local)).unwrap()
            });
        });
        group.bench_function("ours_with_the_checks", |b| {
            b.iter(|| {
                let data = RebaseData::try_from(black_box(on)).unwrap();
                ChangesetRef::parse(black_box(changes)).unwrap().rebase(&data).unwrap()
            });
        });
        group.bench_function("sqlite3rebaser", |b| {
            b.iter(|| raw::rebase(black_box(changes), black_box(on)));
        });
        group.finish();
    }
}
