//! Writing changes as text: as SQL, and with the feature `serde` as JSON.

#[cfg(feature = "serde")]
pub mod json;
pub(in crate::wire) mod sql;
