//! Inverting changesets: this crate into new memory (`ours`), into reused memory (`ours_into`) and
//! in place (`ours_in_place`), and SQLite.
//!
//! All outputs are the same bytes. The timed part includes dropping the output. `ours_in_place`
//! inverts a copy that is made outside of the timed part, since a program that inverts in place
//! does not need the input afterwards.

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
