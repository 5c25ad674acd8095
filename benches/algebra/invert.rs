//! Inverses: ours, ours in memory that was written to before, ours in the memory of the changeset, and SQLite's.
//!
//! All are the same bytes. What is made is dropped within what is timed. What is inverted in its own memory is a copy, which is made
//! outside of what is timed: a program that does so has no further use for what it inverts.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion};
use diesel_sqlite_session::Changeset;
use diesel_sqlite_session_benches::data::events;
use diesel_sqlite_session_benches::raw;

use super::concat::{configure, edits, inserts, recorded, rows};

pub(crate) fn invert(criterion: &mut Criterion) {
    let count = rows();
    let rows = events(count);
    let mut group = criterion.benchmark_group(format!("invert_{count}"));
    configure(&mut group, count);
    for (name, changeset) in [("inserts", recorded(&inserts(&rows))), ("edits", recorded(&edits(&rows)))] {
        let theirs = || raw::invert(black_box(changeset.as_bytes()));
        let inverse = changeset.invert();
        assert!(inverse.as_bytes() == &*theirs() && changeset.clone().into_inverted() == inverse);
        drop(inverse);
        group.bench_function(BenchmarkId::new("ours", name), |b| b.iter(|| black_box(&changeset).invert()));
        let mut target = Changeset::new();
        group.bench_function(BenchmarkId::new("ours_into", name), |b| {
            b.iter(|| black_box(&changeset).invert_into(&mut target));
        });
        drop(target);
        group.bench_function(BenchmarkId::new("ours_in_place", name), |b| {
            let in_place = |changeset: Changeset| drop(black_box(changeset.into_inverted()));
            b.iter_batched(|| changeset.clone(), in_place, BatchSize::PerIteration);
        });
        group.bench_function(BenchmarkId::new("sqlite_c_invert", name), |b| b.iter(theirs));
    }
    group.finish();
}
