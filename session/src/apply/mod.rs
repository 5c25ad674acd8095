//! Applying changesets and patchsets, with typed conflict handlers.
//!
//! [`conn.apply(&changeset)`](crate::SqliteSessionExt::apply) returns an [`Apply`]. Its methods set
//! handlers, filters, options and limits; [`run`](Apply::run) applies the changes to the `main`
//! database and returns an [`ApplyReport`].
//!
//! ```
//! use diesel::connection::SimpleConnection;
//! use diesel::prelude::*;
//! use diesel_sqlite_session::wire::TableInfo;
//! use diesel_sqlite_session::{Changeset, ConflictAction, ConflictType, SqliteSessionExt};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut conn = SqliteConnection::establish(":memory:")?;
//! conn.batch_execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, 'Ada')")?;
//! let users = TableInfo::new("users", &[1, 0]);
//! let changeset = Changeset::builder()
//!     .insert_values(users, &[1.into(), "Ada Lovelace".into()])
//!     .insert_values(users, &[2.into(), "Bob".into()])
//!     .build()?;
//! let report = conn
//!     .apply(&changeset)
//!     .otherwise(|kind| match kind {
//!         ConflictType::Data | ConflictType::Conflict => ConflictAction::Replace, // last writer wins
//!         _ => ConflictAction::Abort,
//!     })
//!     .run()?;
//! assert_eq!(report.to_string(), "users: 1 applied, 1 replaced");
//! # Ok(())
//! # }
//! ```
//!
//! | item | use |
//! |---|---|
//! | [`SqliteSessionExt::apply`](crate::SqliteSessionExt::apply), [`Apply`] | Applies changes. [`ApplyInput`] lists what can be applied. |
//! | [`SqliteSessionExt::apply_changeset`](crate::SqliteSessionExt::apply_changeset), [`apply_patchset`](crate::SqliteSessionExt::apply_patchset) | Apply changes, with decisions by the kind of conflict alone. [`SetInput`] lists what can be applied. |
//! | [`Apply::on_conflict`], [`Conflict`] | Typed conflict handlers. Each [`Conflict`] contains a [`RowConflict`], [`NotFoundConflict`] or [`ConstraintConflict`], whose methods return a [`Decision`]. |
//! | [`Apply::otherwise`], [`ConflictType`], [`ConflictAction`] | Decisions by the kind of conflict. |
//! | [`Apply::try_otherwise`], [`UntypedConflict`] | Decisions about untyped changes of any table. |
//! | [`Apply::on_foreign_keys`], [`ForeignKeyConflict`] | Decisions about foreign key violations: each [`ForeignKeyViolation`] is listed, and the methods return a [`ForeignKeyDecision`]. |
//! | [`Apply::only`], [`Apply::filter`] | Restrict the tables and changes. |
//! | [`Apply::on_progress`], [`Progress`] | Progress and cancellation. |
//! | [`ApplyReport`], [`TableReport`] | The number of applied, replaced, omitted and skipped changes, and the rebase data. |
//! | [`ApplyError`] | The errors, with [`SchemaMismatch`], [`Limit`], [`HandleError`] and [`SqliteError`]. |
//! | [`AppliedTable`], [`TypedChange`], [`TypedFormat`] | Bounds of the typed methods, implemented by this crate. |
//!
//! # Checks before anything is written
//!
//! Changes in memory have already been checked to be well-formed; a stream is checked while it is
//! read. Then each section is compared with the database, before the first change is written, or in
//! a stream when the section begins. The following are [`ApplyError::SchemaMismatch`]:
//!
//! - The table does not exist, has too few columns, or has another primary key.
//! - The key has another collation than its columns, as in `(k TEXT COLLATE NOCASE, PRIMARY KEY (k
//!   COLLATE BINARY))`: SQLite would apply one change to several rows.
//! - The table has a typed handler or filter or is named by [`Apply::only`], and differs from its
//!   `table!`.
//!
//! Additional columns of a table get their default values. Changes to `sqlite_stat1` are skipped if
//! the database has no such table.
//!
//! # Transactions
//!
//! - **Either all changes are applied, or none.** The exceptions are [`Apply::without_savepoint`]
//!   and `PRAGMA journal_mode = OFF`, which disables rollback.
//! - **Inside a transaction** a savepoint is used. What the transaction did before is kept, unless
//!   the error is [`ApplyError::RolledBack`].
//! - **Outside of a transaction**, changes in memory are checked and applied in a transaction that
//!   excludes other writers from the start, like [`BEGIN
//!   IMMEDIATE`](https://www.sqlite.org/lang_transaction.html). It waits for other writers as long
//!   as `PRAGMA busy_timeout` allows.
//! - **With attached databases**, which would be locked too, and **for a stream**, which may be
//!   slow, `main` is read first and locked with the first change. If the schema changes in between,
//!   the error is [`ApplyError::SchemaChanged`].
//! - In the previous case, and in a transaction of yours that has only read so far, SQLite does not
//!   wait for other writers, whatever `busy_timeout` is. In WAL mode it fails with `SQLITE_BUSY` if
//!   another connection has written since the read. So if several connections write, start with
//!   [`immediate_transaction`](diesel::SqliteConnection::immediate_transaction) and apply inside
//!   it.
//! - During the apply SQLite sets
//!   [`defer_foreign_keys`](https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys). Inside a
//!   transaction, its previous value is restored.
//!
//! # Conflicts
//!
//! A conflict is decided by the handler of its table, or else by the handler of
//! [`Apply::otherwise`]. Without a handler the apply fails with [`ApplyError::ConflictAborted`].
//! [`Conflict`] describes when each kind occurs, and what a handler can rely on.
//!
//! # Order
//!
//! The order of the changes to a table is undefined: a session writes them in the order of its hash
//! table. Tables are applied in the order of the changes. To be faster, the changes to one table
//! are reordered in two cases:
//!
//! | changes in a section | order |
//! |---|---|
//! | 1,000 or more | by primary key, which suits a large b-tree |
//! | 32 or more, and some need a value of a UNIQUE index that others release, as in `SET place = place + 1` | each change after the change that releases the value it needs. SQLite would retry repeatedly. |
//!
//! The original order is kept if the difference could be observed, or is unknown:
//!
//! - in tables with triggers, `ON CONFLICT REPLACE` or `ON CONFLICT IGNORE`
//! - in tables that could treat two primary keys as equal: with a collation other than `BINARY`,
//!   with reals, or with values of other storage classes than the columns store, such as texts in
//!   an `INTEGER` column
//! - in tables that are changed by foreign key actions when they are changed themselves, or whose
//!   foreign key actions change a table with triggers
//! - in a section of a patchset that changes values of a UNIQUE index, since it does not contain
//!   the released values
//! - in streams
//!
//! Reordering uses 16 bytes of memory for each change of one section. [`Apply::keep_order`]
//! disables it.
//!
//! # What differs from the changes alone
//!
//! - **Conflict clauses and triggers**: a table's own `ON CONFLICT IGNORE`, `REPLACE` and `FAIL`,
//!   and `RAISE(IGNORE)` in its triggers, take effect before SQLite reports a conflict.
//! - **Triggers and foreign key actions** of the database run, even if the changes already contain
//!   what they did at the source. [`Apply::ignore_noops`] ignores changes that have already been
//!   made; [`Apply::without_foreign_key_actions`] disables the actions.
//! - **Keys that change to an equal key**: an UPDATE that only replaces the key by an [equal
//!   one](crate::_documentation::format#keys), such as 1 by 1.0, is skipped, because SQLite cannot
//!   apply it. The INSERT that SQLite records with it is a [`ConflictType::Conflict`].
//! - **Unchanged columns**: a column with the same old and new value in an UPDATE, as after a
//!   rebase, is neither compared nor set. It is a [`Field::Unchanged`](crate::Field::Unchanged).
//! - **UPDATEs that block each other**, as when two rows exchange unique values, are applied by
//!   deleting a row and inserting it again, with SQLite 3.53 or later. They are conflicts of the
//!   kind [`ConflictType::Constraint`] instead if that could have other effects: the table has
//!   triggers, `ON CONFLICT REPLACE` or `IGNORE`, or more columns than the changes; the database
//!   has foreign keys and they are enabled; another schema has a table of the same name; or the
//!   changes are a stream.
//! - **Invalid UTF-8** is applied unchanged. A collation registered through Diesel aborts the
//!   process when it receives such a text. For bytes from untrusted sources, check
//!   [`Value::as_str`](crate::Value::as_str) for columns with such a collation.
//! - **FTS5** caches its shadow tables. Changes applied to these are invisible to a connection that
//!   has used the FTS5 table, and its next INSERT corrupts the table. Track the tables that contain
//!   the text instead.
//!
//! # Further reading
//!
//! - [How do I …](crate::_documentation::how_do_i): short recipes
//! - [Replication](crate::_documentation::replication): replicas that synchronize through a hub,
//!   and which decisions about conflicts let them converge
//! - SQLite: [`sqlite3changeset_apply`](https://www.sqlite.org/session/sqlite3changeset_apply.html)

mod builder;
mod check;
mod conflict;
mod conflict_type;
mod counts;
mod driver;
mod engine;
mod error;
mod exchange;
mod foreign_keys;
mod handlers;
mod input;
mod order;
mod progress;
mod queue;
mod report;
mod row_id;
mod schema_features;
mod target;
mod typed;

pub use self::builder::Apply;
pub use self::conflict::{
    ConflictAction, ConflictType, ForeignKeyConflict, ForeignKeyDecision, ForeignKeyViolation, UntypedConflict,
};
pub(crate) use self::driver::run_by_kind;
pub use self::error::ApplyError;
pub use self::input::{ApplyInput, SetInput};
pub use self::progress::Progress;
pub use self::report::{ApplyReport, TableReport};
pub use self::typed::{
    AppliedTable, Conflict, ConstraintConflict, Decision, NotFoundConflict, RowConflict, TypedChange, TypedFormat,
};
pub use crate::ffi::error::{HandleError, SqliteError};
pub use crate::schema::SchemaMismatch;
pub use crate::wire::Limit;
