//! The format itself: checks, reads and writes bytes. The other folders of `wire` use it; it
//! imports nothing from them.
//!
//! - [`cursor`], [`value`], [`header`], [`record`], [`section`], [`set`]: the parts of a set, from
//!   bytes up
//! - [`check`]: what is well-formed; [`walk`]: the walk over bytes that have been checked
//! - [`reader`]: input larger than memory; [`unread`]: records that are read once, into typed rows
//! - [`encode`]: rows of values as records; [`append`]: sections and records from parts
//! - [`kind`], [`table_info`], [`error`]: the types that every folder shares

#[cfg(feature = "sqlite")]
pub(crate) mod append;
pub(in crate::wire) mod check;
pub(in crate::wire) mod cursor;
pub(in crate::wire) mod encode;
pub(in crate::wire) mod error;
pub(in crate::wire) mod header;
pub(in crate::wire) mod kind;
#[cfg(feature = "std")]
pub(crate) mod reader;
pub(in crate::wire) mod record;
pub(in crate::wire) mod section;
pub(in crate::wire) mod set;
pub(in crate::wire) mod table_info;
#[cfg(test)]
mod tests;
#[cfg(feature = "typed")]
pub(crate) mod unread;
pub(in crate::wire) mod value;
pub(in crate::wire) mod walk;
