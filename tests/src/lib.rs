//! What tests, fuzz targets and benchmarks share: SQLite as the referee, changes as plain data, and
//! random databases.

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub mod agree;
pub mod apply_agree;
pub mod change;
pub mod group;
pub mod hostile;
mod plan;
pub mod random;
pub mod rebasing;
pub mod shape;
pub mod sqlite;

diesel::table! {
    /// A table that another crate tries to track.
    foreign (id) {
        /// The primary key.
        id -> Integer,
    }
}
