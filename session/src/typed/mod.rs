//! Changes as typed Rust values, over Diesel's `table!` schemas.
//!
//! This module requires Diesel, but neither a backend nor SQLite.
//!
//! ```
//! # #[cfg(feature = "derive")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use diesel_sqlite_session::{Change, Changeset, Tracked};
//!
//! diesel::table! {
//!     users (id) {
//!         id -> Integer,
//!         name -> Text,
//!     }
//! }
//!
//! #[derive(Debug, PartialEq, Tracked)]
//! #[diesel(table_name = users)]
//! pub struct User {
//!     id: i32,
//!     name: String,
//! }
//!
//! let (ada, lovelace) = (User { id: 1, name: "Ada".into() }, User { id: 1, name: "Ada Lovelace".into() });
//! let changeset = Changeset::builder().update(&ada, &lovelace).build()?;
//! for change in changeset.changes::<Change<users::table>>() {
//!     match change? {
//!         Change::Insert(user) => println!("inserted {user:?}"),
//!         Change::Update(user) => assert_eq!(user.name.new_value(), Some(&"Ada Lovelace".into())),
//!         Change::Delete(user) => println!("deleted {user:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "derive"))]
//! # fn main() {}
//! ```
//!
//! # Rows and companions
//!
//! `#[derive(Tracked)]` on a row struct `User` generates two companions. [The guide to the
//! derive](crate::_documentation::derive) covers all attributes.
//!
//! | | INSERT | UPDATE | DELETE |
//! |---|---|---|---|
//! | [`Change<T>`](Change), of a changeset | `User` | `UserUpdate`: the values of the key, a [`Field`] for each other column | `User` |
//! | [`Patch<T>`](Patch), of a patchset | `User` | `UserPatch`: the values of the key, an `Option` for each other column | the key |
//!
//! [`Field::changed`] returns the old and the new value of a column, and [`Field::against`] does a
//! three-way merge. [`Change::key`], [`Change::operation`] and [`Change::table`] work for each kind
//! of change.
//!
//! # Sets of tables
//!
//! A set is an enum with a variant for each table, or a single [`Change`] or [`Patch`]. It
//! implements [`TrackedSet`]. The iterators below fail on tables outside of the set; their method
//! `skip_unknown_tables` skips these instead.
//!
//! | source | iterator |
//! |---|---|
//! | [`Changeset`](crate::Changeset) | [`changes::<Set>()`](crate::Changeset::changes) |
//! | [`Patchset`](crate::Patchset) | [`patches::<Set>()`](crate::Patchset::patches) |
//! | [`ChangesetReader`](crate::ChangesetReader) and [`PatchsetReader`](crate::PatchsetReader) | [`changes::<Set>()`](crate::ChangesetReader::changes), [`patches::<Set>()`](crate::PatchsetReader::patches) |
//! | a single [`Record`](crate::Record) | [`change::<Set>()`](crate::Record::change), [`patch::<Set>()`](crate::Record::patch) |
//! | one column of a record | [`new_column(users::name)`](crate::Record::new_column), [`old_column(users::name)`](crate::Record::old_column) |
//!
//! Typed rows are written with [`insert`](crate::wire::Builder::insert),
//! [`update`](crate::wire::Builder::update) and [`delete`](crate::wire::Builder::delete) of a
//! builder.
//!
//! # Types of columns
//!
//! [`FromSqlValue`] reads a value and [`ToSqlValue`] writes it. Both list the types and their
//! features: numbers, `String` and `&str`, `Vec<u8>` and `&[u8]`, dates and times of `chrono` and
//! `time`, `Uuid`, `serde_json::Value` and `BigDecimal`. With the feature `sqlite`, a type that has
//! only Diesel's `FromSql` and `ToSql` works too. [`RustType`] defines the types that the derive of
//! a whole schema uses.
//!
//! # Errors
//!
//! [`DecodeError`] names the table, the column and the byte offset; [`DecodeErrorKind`] describes
//! the mismatch. [`ValueError`] is the error of a single value. [`ReadChangeError`] adds the errors
//! of a reader.

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

pub use crate::wire::TableInfo;
pub use build::Edit;
pub use change::{Change, Patch, Tracked};
pub use column::RecordColumn;
pub use error::{DecodeError, DecodeErrorKind, ValueError};
pub use field::{Against, Field};
pub use set::{Changes, FromChanges, FromPatches, FromRecords, Patches, TrackedSet, TypedRecords};
pub use stream::{ReadChangeError, ReadChanges, ReadPatches, ReadRecords};
#[cfg(feature = "sqlite")]
pub(crate) use table::check;
pub use value::{CowValue, FromSqlValue, RustType, ToSqlValue};
