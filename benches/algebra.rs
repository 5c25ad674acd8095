//! Operations on whole changesets: this crate and SQLite's functions, on the same bytes.

#[path = "algebra/concat.rs"]
mod concat;
#[path = "algebra/invert.rs"]
mod invert;
#[path = "algebra/rebase.rs"]
mod rebase;
#[path = "algebra/shape.rs"]
mod shape;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, concat::concat, invert::invert, rebase::rebase, shape::shape);
criterion_main!(benches);
