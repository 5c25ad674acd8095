//! Data, SQL statements and C calls that the benchmarks share.

pub mod data;
pub mod raw;
pub mod statements;
