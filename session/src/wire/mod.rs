//! SQLite's changesets and patchsets, read, checked and built in pure Rust: no SQLite, no `std`, no dependency, no `unsafe`.
//!
//! [`Changeset`] and [`Patchset`] own their bytes, [`ChangesetRef`] and [`PatchsetRef`] borrow them. Making one of them checks
//! everything in one pass; after that reading cannot fail and copies nothing:
//!
//! ```
//! use diesel_sqlite_session::{Changeset, Operation, Value};
//!
//! let bytes = b"T\x03\x01\x00\x00users\0\
//!     \x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada\x05\
//!     \x17\x00\x01\0\0\0\0\0\0\0\x02\x00\x05\x00\x00\x03\x0fbob@example.org";
//! let changeset = Changeset::try_from(bytes.to_vec())?;
//!
//! for table in changeset.tables() {
//!     assert_eq!((table.name(), table.column_count()), ("users", 3));
//!     assert_eq!(table.key_columns().collect::<Vec<_>>(), [0]);
//! }
//! let [insert, update] = &changeset.records().collect::<Vec<_>>()[..] else { unreachable!() };
//! assert_eq!(insert.operation(), Operation::Insert);
//! assert_eq!(insert.new_values().collect::<Vec<_>>(), [Some(1.into()), Some("Ada".into()), Some(Value::Null)]);
//! assert_eq!((update.old_value(2), update.old_value(1)), (Some(Value::Null), None));
//! assert_eq!(update.to_string(), "UPDATE users(2, _, NULL -> 'bob@example.org')");
//! # Ok::<(), diesel_sqlite_session::ParseError>(())
//! ```
//!
//! [`ChangesetBuilder`] and [`PatchsetBuilder`] make them of values, and put the changes of several together, as
//! [`Changeset::concat`] and [`Patchset::concat`] do: by [these rules](ChangesetBuilder#folding).
//! [`Changeset::filter_records`] and its neighbours take parts of them, rename their tables, put them in the order of their keys and
//! cut them in pieces; [`Changeset::to_sql`] writes them as SQL.
//!
//! # The format
//!
//! What follows is the whole of it, so that another reader or writer can be made from this page. All numbers of more than
//! one byte are big-endian.
//!
//! ```text
//! changeset = { section }                       whose headers begin with 'T'
//! patchset  = { section }                       whose headers begin with 'P'
//! section   = header { change }
//! header    = 'T' | 'P'                         1 byte: 0x54 | 0x50
//!             column-count                      varint, 1 to 65536
//!             key-ordinals                      1 byte for each column
//!             table-name 0x00                   UTF-8, without the schema's name
//! change    = operation indirect record...      1 byte, 1 byte, 1 or 2 records
//! record    = { value }                         one for each column, or for each of the key's columns
//! value     = 0x00                              not recorded
//!           | 0x01 integer                      8 bytes, two's complement
//!           | 0x02 real                         8 bytes, IEEE 754 binary64
//!           | 0x03 length text                  varint, so many bytes
//!           | 0x04 length blob                  varint, so many bytes
//!           | 0x05                              NULL
//! ```
//!
//! No bytes at all are a changeset, and a patchset, without a change. There is no length, checksum or version anywhere, and
//! nothing that ends the input: a section ends where the next header or the input's end is. That works because the first
//! byte of a header is none of the three operations. It also means that a changeset cut off between two changes is a
//! well-formed changeset: whoever sends one must say how long it is.
//!
//! ## The header
//!
//! Columns are those of the table's declaration, in that order, without generated columns and without the hidden columns of
//! virtual tables. There are no column names: two databases must agree on what the third column is. A database whose table
//! has more columns at the end than the changeset can still take it; SQLite fills in their defaults.
//!
//! A *key ordinal* is the column's place in the primary key, counted from 1, or 0 where it is not part of the key: `PRIMARY
//! KEY (b, a)` on columns `a, b, c` gives `02 01 00`. SQLite's documentation calls the bytes flags, and geodiff and others
//! write 1 for each column of a key; SQLite's reader cares about zero or not, while
//! [`sqlite3changeset_apply`](https://www.sqlite.org/session/sqlite3changeset_apply.html) ignores a table, without an error,
//! whose bytes differ from its own. A key that names a column twice leaves a gap: `PRIMARY KEY (a, a, b)` gives `01 03`.
//!
//! A table without a primary key is not recorded, unless the session was told to
//! ([`SQLITE_SESSION_OBJCONFIG_ROWID`](https://www.sqlite.org/session/c_session_objconfig_rowid.html)): then its rowid
//! stands before the other columns, with ordinal 1. `sqlite_stat1`, which declares no key, is recorded with the key
//! `(tbl, idx)`, and with an empty blob where `idx` is NULL.
//!
//! SQLite writes one section for each table that has changes. Others may write several for one table, or empty ones.
//!
//! ## Integers of variable length
//!
//! A varint has 1 to 9 bytes. The low seven bits of each of the first eight are value, most significant first, and the high
//! bit says that another byte follows; the ninth is all value. SQLite writes the shortest form and reads any.
//!
//! ```text
//! 0x05                 5
//! 0x81 0x00          128
//! 0x82 0x80 0x01   32769
//! ```
//!
//! ## Changes
//!
//! The operation is INSERT 0x12, UPDATE 0x17 or DELETE 0x09, as `SQLITE_INSERT` and the others in `sqlite3.h`. The second
//! byte is not 0 for an *indirect* change: made by a trigger or a foreign key action. Then come the records:
//!
//! | | changeset | patchset |
//! |---|---|---|
//! | INSERT | the new row | the new row |
//! | DELETE | the old row | the values of the key alone, in the order of the columns |
//! | UPDATE | two records: `old`, then `new` | one record |
//!
//! A *row* has every value. In a changeset's UPDATE, `old` has the values of the key and the old values of the columns that
//! changed, `new` has the new values of the columns that changed; all others are *not recorded*. In a patchset's UPDATE, the
//! one record has the values of the key and the new values of the columns that changed. SQLite's rebaser, where it makes an
//! UPDATE of two INSERTs, records the whole row on both sides, key and unchanged columns too.
//!
//! NULL is never in a key, since SQLite records no row with NULL in its key. A change of a key is a DELETE and an INSERT. Where
//! the new key is *equal* to the old one without being the same (`'ada'` and `'Ada'` under `COLLATE NOCASE`; 1 and 1.0 in a
//! column without a type) it is an UPDATE and an INSERT, and the UPDATE has the new key: in a changeset among the new values,
//! in a patchset in the place of the old key. Applying never sets a column of the key, and an UPDATE that sets no other is an
//! error in SQLite.
//!
//! A session writes one section for each table, in the order in which the tables first changed, and at most one change for
//! each row, in the order of a hash table. So the order says nothing; where another writer has several changes of one row, it
//! does. (A row can be there twice if its key was at one time 4 and at another 4.0, and even if it was always 4 in a column
//! of type REAL: SQLite takes them for two keys while it records, and for one while it writes.)
//!
//! ## What looks like it
//!
//! The rebase data of [`sqlite3changeset_apply_v2`](https://www.sqlite.org/session/sqlite3changeset_apply.html) begin like a
//! changeset, but the second byte of a change says how a conflict was resolved, and INSERTs can lack values. They are no
//! changeset, and refused where it shows. [`RebaseData`] describes them, and [`Rebaser`] takes them.
//!
//! # What is refused
//!
//! Whatever SQLite's own iterator,
//! [`sqlite3changeset_next`](https://www.sqlite.org/session/sqlite3changeset_next.html), does not read to the end is refused,
//! and what is accepted is read exactly as by it. The following it reads, and is refused here (tests hold SQLite to each
//! line, except that on length, which takes gigabytes):
//!
//! | refused | what SQLite does with it |
//! |---|---|
//! | a patchset as a changeset, or the reverse ([`WrongFormat`](ParseErrorKind::WrongFormat)) | finds out by itself; the types here do not |
//! | sections of both formats ([`WrongFormat`](ParseErrorKind::WrongFormat)) | applies it, but neither inverts nor concatenates it |
//! | a table without a key ([`NoPrimaryKey`](ParseErrorKind::NoPrimaryKey)) | never writes one; ignores it on applying |
//! | a value that is not recorded in an INSERT, a DELETE or the key of an UPDATE ([`MissingValue`](ParseErrorKind::MissingValue)) | fails in the midst of applying, `SQLITE_CORRUPT` |
//! | NULL in a key ([`NullKey`](ParseErrorKind::NullKey)) | never writes one; an INSERT into a table with `INTEGER PRIMARY KEY` takes the next free rowid, one more row with every try |
//! | a NaN in a key ([`NullKey`](ParseErrorKind::NullKey)) | reads it as NULL |
//! | a value of a type above 5 ([`ValueType`](ParseErrorKind::ValueType)) | reads it as NULL |
//! | a text or blob of more than [`MAX_VALUE_LENGTH`] bytes ([`ValueLength`](ParseErrorKind::ValueLength)) | reads it as NULL |
//! | a table name that is not UTF-8 ([`TableName`](ParseErrorKind::TableName)) | takes it like any other, and writes it if a table is called so; neither Rust's strings nor Diesel can name such a table |
//!
//! And these are accepted and read as SQLite reads them, though its sessions do not write them:
//!
//! - A NaN outside a key reads as NULL.
//! - An UPDATE with an old value for a column that has no new one, and is not in the key: the old value is hidden. SQLite's
//!   rebaser wrote such at one time.
//! - An UPDATE with a new value without the old one. It applies without a look at what it overwrites.
//! - An UPDATE with any new value for its key, even NULL. Applying passes over it.
//! - Varints that are longer than needed, any indirect flag that is not 0, and text that is not UTF-8, which SQLite stores and
//!   records as it stands: see [`Value::as_str`].
//!
//! Two things are not looked for, as SQLite does not mind them: several changes of one row, and several sections of one table.
#![cfg_attr(feature = "serde", doc = "\n# JSON\n\nChanges as JSON and back: [`json`].\n")]
#![cfg_attr(
    feature = "std",
    doc = "# Streams\n\nFor input larger than memory: [`ChangesetReader`] and [`PatchsetReader`]."
)]
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
pub(crate) use codec::section::SectionId;
#[cfg(feature = "sqlite")]
pub(crate) use shape::sort::{KeyClasses, SortableSections, SortedSection, TOGETHER};

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
