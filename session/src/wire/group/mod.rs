//! Builders and concatenation: merges changes to at most one for each row, by the rules of SQLite's
//! [changegroup](https://www.sqlite.org/session/changegroup.html).
//!
//! - [`merge`]: the rules for two changes to one row
//! - [`builder`] → [`fold`] → [`table_changes`]: changes that are added one by one; [`pad`]:
//!   columns that older changes lack
//! - [`concat`](mod@concat): whole sets, merged without a builder where possible; [`rank`]: the
//!   order of their changes
//! - [`key`], [`index`]: primary keys as bytes, and the hash index of rows

pub(in crate::wire) mod builder;
#[cfg(test)]
mod builder_tests;
pub(in crate::wire) mod concat;
pub(in crate::wire) mod fold;
pub(in crate::wire) mod index;
pub(in crate::wire) mod key;
pub(in crate::wire) mod merge;
pub(in crate::wire) mod pad;
pub(in crate::wire) mod rank;
pub(in crate::wire) mod table_changes;
