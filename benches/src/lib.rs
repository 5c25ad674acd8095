//! What the benchmarks measure with.

pub mod data;
pub mod raw;
pub mod statements;
