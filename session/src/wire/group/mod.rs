//! Many changes to the same rows as one change for each: builders and concatenation, by the rules of SQLite's changegroup.

pub(in crate::wire) mod builder;
#[cfg(test)]
mod builder_tests;
pub(in crate::wire) mod concat;
pub(in crate::wire) mod fold;
pub(in crate::wire) mod index;
pub(in crate::wire) mod merge;
pub(in crate::wire) mod pad;
pub(in crate::wire) mod rank;
