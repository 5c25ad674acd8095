//! Changes as text: SQL, and JSON with the feature `serde`.

#[cfg(feature = "serde")]
pub mod json;
pub(in crate::wire) mod sql;
