//! What the tests, the fuzz targets and the benchmarks share: SQLite as the referee, changes as both sides see them, and
//! databases at random.

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub mod agree;
pub mod change;
pub mod group;
pub mod hostile;
pub mod random;
pub mod rebasing;
pub mod shape;
pub mod sqlite;

diesel::table! {
    /// A table of this crate, for another to track.
    foreign (id) {
        /// Its key.
        id -> Integer,
    }
}
