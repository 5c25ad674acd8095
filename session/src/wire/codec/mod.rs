//! The format itself: bytes that are checked, read and written. The other folders of `wire` stand on it; it imports none of them.

pub(in crate::wire) mod check;
pub(in crate::wire) mod cursor;
pub(in crate::wire) mod encode;
pub(in crate::wire) mod error;
pub(in crate::wire) mod header;
pub(in crate::wire) mod kind;
#[cfg(feature = "sqlite")]
pub(crate) mod raw;
#[cfg(feature = "std")]
pub(in crate::wire) mod reader;
pub(in crate::wire) mod record;
pub(in crate::wire) mod section;
pub(in crate::wire) mod set;
#[cfg(feature = "typed")]
pub(crate) mod source;
pub(in crate::wire) mod table_info;
#[cfg(test)]
mod tests;
pub(in crate::wire) mod value;
pub(in crate::wire) mod walk;
