//! Changes as typed Rust values, over Diesel's `table!` schemas. This stands on [`wire`](crate::wire) and on Diesel's types
//! and columns, and knows nothing of SQLite's C API.
//!
//! - [`change`]: [`Tracked`], which the derive implements, and [`Change`] and [`Patch`]
//! - [`build`]: typed rows into the builders of changesets and patchsets
//! - [`set`]: sets of tables, and the iterators over their changes
//! - [`value`]: one value, by the SQL type of its column; [`via_diesel`] for types that have only Diesel's traits
//! - [`record`]: one record as a typed value; [`stream`]: those of a source, one by one
//! - [`column`](mod@column): one column of a record that is not read as a row
//! - [`table`]: names, columns and keys, as constants; [`diesel_internal`]: what they need of `diesel::internal`
//! - `json`: changes as JSON and back, with the feature `serde`
//! - [`reader`], [`encode`], [`private`]: what the derive's code calls

mod build;
mod change;
mod column;
mod diesel_internal;
mod encode;
mod error;
mod field;
#[cfg(feature = "serde")]
#[doc(hidden)]
pub mod json;
#[doc(hidden)]
pub mod private;
mod reader;
mod record;
mod set;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod value;
#[cfg(feature = "sqlite")]
mod via_diesel;

pub use build::Edit;
pub use change::{Change, Patch, Tracked};
pub use column::RecordColumn;
pub use error::{DecodeError, DecodeErrorKind, ValueError};
pub use field::{Against, Field};
pub use set::{Changes, FromChanges, FromPatches, Patches, TrackedSet};
pub use stream::{ReadChangeError, ReadChanges, ReadPatches};
pub use table::TableInfo;
pub use value::{CowValue, FromSqlValue, RustType, ToSqlValue};
