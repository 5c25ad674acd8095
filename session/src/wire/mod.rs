//! Changesets and patchsets in pure Rust: reading, checking, building, merging and rewriting,
//! without SQLite.
//!
//! This module works without any feature: it requires `alloc`, but neither `std`, nor a dependency,
//! nor C. It contains no `unsafe`.
//!
//! [`Changeset`] and [`Patchset`] own their bytes, [`ChangesetRef`] and [`PatchsetRef`] borrow
//! them. Their constructors check all bytes in one pass. After that, reading cannot fail and copies
//! nothing:
//!
//! ```
//! use diesel_sqlite_session::{Changeset, Operation, Value};
//!
//! let bytes = b"T\x03\x01\x00\x00users\0\
//!     \x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada\x05\
//!     \x17\x00\x01\0\0\0\0\0\0\0\x02\x00\x05\x00\x00\x03\x0fbob@example.org";
//! let changeset = Changeset::try_from(bytes.to_vec())?;
//!
//! for section in changeset.sections() {
//!     assert_eq!((section.table(), section.column_count()), ("users", 3));
//!     assert_eq!(section.key_columns().collect::<Vec<_>>(), [0]);
//! }
//! let [insert, update] = &changeset.records().collect::<Vec<_>>()[..] else { unreachable!() };
//! assert_eq!(insert.operation(), Operation::Insert);
//! assert_eq!(insert.new_values().collect::<Vec<_>>(), [Some(1.into()), Some("Ada".into()), Some(Value::Null)]);
//! assert_eq!((update.old_value(2), update.old_value(1)), (Some(Value::Null), None));
//! assert_eq!(update.to_string(), "UPDATE users(2, _, NULL -> 'bob@example.org')");
//! # Ok::<(), diesel_sqlite_session::ParseError>(())
//! ```
//!
//! A set consists of [`Section`]s, one for each table. A section consists of [`Record`]s, one for
//! each change. A record contains the old and new [`Value`]s of the columns.
//!
//! # Tasks
//!
//! | task | items |
//! |---|---|
//! | check and read bytes | [`Changeset::try_from`](Set), [`ChangesetRef::parse`]; [`records`](Set::records), [`sections`](Set::sections) |
#![cfg_attr(
    feature = "std",
    doc = "| read input larger than memory, with limits | [`ChangesetReader`], [`PatchsetReader`] |"
)]
#![cfg_attr(
    not(feature = "std"),
    doc = "| read input larger than memory, with limits | `ChangesetReader`, `PatchsetReader` (feature `std`) |"
)]
//! | build from values | [`Changeset::builder`](Set::builder), [`Patchset::builder`](Set::builder), [`TableInfo`] |
//! | concatenate or merge | [`concat`](Changeset::concat), [`concat_all`](Changeset::concat_all), [`Builder::add`]; by [these rules](Builder#folding) |
//! | invert (undo) | [`Changeset::invert`], [`Changeset::into_inverted`] |
//! | rebase local changes onto remote changes | [`Changeset::rebase`], [`Rebaser`], [`RebaseData`] |
//! | filter, rename, sort, split | [`filter_tables`](Changeset::filter_tables), [`filter_records`](Changeset::filter_records), [`rename_tables`](Changeset::rename_tables), [`sort_by_key`](Changeset::sort_by_key), [`split`](Changeset::split) |
//! | write SQL text | [`Changeset::to_sql`], [`Record::to_sql`](Record::to_sql) |
#![cfg_attr(feature = "serde", doc = "| write and read JSON | [`json`] |")]
#![cfg_attr(not(feature = "serde"), doc = "| write and read JSON | `json` (feature `serde`) |")]
//! | handle errors | [`ParseError`] and [`ParseErrorKind`] of bytes, [`BuildError`] and [`BuildErrorKind`] of building and rewriting |
//!
//! To read changes as values of your own types, see the module `typed`.
//!
//! # Changeset or patchset
//!
//! | | changeset | patchset |
//! |---|---|---|
//! | UPDATE | primary key, old and new values of the changed columns | primary key, new values of the changed columns |
//! | DELETE | the whole old row | primary key |
//! | invert, rebase | yes | no |
//! | conflicts with other values in the row | detected | not detected: the last writer wins |
//!
//! The formats are types: [`Set<F>`](Set) is [`Changeset`] or [`Patchset`], and the same holds for
//! [`SetRef`], `Reader` and [`Builder`].
//!
//! # Format
//!
//! [The format page](crate::_documentation::format) describes the bytes completely, and lists [the
//! rejected input](crate::_documentation::format#what-is-refused).
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

pub(crate) mod codec;
mod group;
mod rebase;
mod shape;
mod text;

#[cfg(feature = "sqlite")]
pub(crate) use shape::invert::inverted;
#[cfg(feature = "sqlite")]
pub(crate) use shape::sort::{FETCH_COUNT, KeyClasses, SortedSection};

pub use codec::error::{BuildError, BuildErrorKind, Limit, ParseError, ParseErrorKind};
pub use codec::kind::{Format, Operation};
#[cfg(feature = "std")]
pub use codec::reader::{ChangesetReader, PatchsetReader, Reader};
pub use codec::record::{Record, Records, Values};
pub use codec::section::{Section, Sections};
pub use codec::set::{
    Changeset, ChangesetFormat, ChangesetRef, Patchset, PatchsetFormat, PatchsetRef, Set, SetFormat, SetRef,
};
pub use codec::table_info::TableInfo;
pub use codec::value::{MAX_VALUE_LENGTH, Value};
pub use group::builder::{Builder, ChangesetBuilder, PatchsetBuilder};
pub use rebase::{RebaseData, Rebaser};
#[cfg(feature = "serde")]
pub use text::json;
pub use text::sql::{SqlScript, SqlStatement};
