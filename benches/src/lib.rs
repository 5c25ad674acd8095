//! What the benchmarks measure with.

pub mod data;
