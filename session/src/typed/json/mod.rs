//! Typed changes as JSON and back, in the [form](crate::wire::json) that untyped ones have. The derive's code says how one field is
//! written and read; which of them stand where is decided here.
//!
//! - [`write`]: changes to any serializer
//! - [`plain`]: the serializer of one field, which keeps large numbers and infinities safe
//! - [`read`]: JSON to changes, by way of [`tree`], since its members come in any order

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

/// A field of the type `T` in JSON. For blobs the methods are of the type itself, which go before those of the traits
/// [`plain::WriteSerde`] and [`read::ReadSerde`].
pub struct Field<T>(PhantomData<fn() -> T>);

impl<T> Field<T> {
    pub const NEW: Self = Self(PhantomData);
}
