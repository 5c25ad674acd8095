//! Writing and reading typed changes as JSON, in the [format](crate::wire::json) of untyped
//! changes. The code of the derive writes and reads single fields. This module determines the
//! structure around them.
//!
//! - [`write`]: writing changes to any serializer
//! - [`plain`]: the serializer of a field, which preserves large numbers and infinities
//! - [`read`]: reading changes from any deserializer, through a [`tree`], because members can have
//!   any order

pub mod plain;
pub mod read;
pub mod tree;
pub mod write;

pub use plain::Plainly;
pub use read::{FromJson, Parsed, ReadJson, Unread};
pub use serde;
pub use tree::{Error, Tree};
pub use write::{Part, Parts, Side, WriteJson};

use core::marker::PhantomData;

/// A field of the type `T` in JSON.
///
/// The derive's code calls `write` and `read`. For blobs, these are inherent methods, which take
/// precedence over the methods of the traits [`plain::WriteSerde`] and [`read::ReadSerde`].
pub struct Field<T>(PhantomData<fn() -> T>);

impl<T> Field<T> {
    pub const NEW: Self = Self(PhantomData);
}
