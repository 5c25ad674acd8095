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
//! The changes are applied by prepared statements of this crate, not by SQLite's
//! [`sqlite3changeset_apply`](https://www.sqlite.org/session/sqlite3changeset_apply.html). Applying
//! is the same with every SQLite from 3.44 on, native and wasm. Where changes in memory and streams
//! differ, this page says so.
//!
//! # Checks before anything is written
//!
//! Changes in memory have already been checked to be well-formed; a stream is checked while it is
//! read. Then each section is compared with the database: before the first change is written, or in
//! a stream when the section begins. `main` is locked at that time, so that its schema cannot
//! change any more. The following are [`ApplyError::SchemaMismatch`]:
//!
//! - The table does not exist, has too few columns, or has another primary key.
//! - The key has another collation than its columns, as in `(k TEXT COLLATE NOCASE, PRIMARY KEY (k
//!   COLLATE BINARY))`: one change could be applied to several rows.
//! - The table has a typed handler or filter or is named by [`Apply::only`], and differs from its
//!   `table!`.
//!
//! Additional columns of a table get their default values. Changes to `sqlite_stat1` are skipped if
//! the database has no such table.
//!
//! # Transactions
//!
//! - **Either all changes are applied, or none.** The exceptions are [`Apply::without_savepoint`],
//!   [`ApplyError::NotRolledBack`], and `PRAGMA journal_mode = OFF`, which disables rollback.
//! - **Inside a transaction** a savepoint is used. What the transaction did before is kept, unless
//!   the error is [`ApplyError::RolledBack`].
//! - **Outside of a transaction** one is begun and committed.
//! - **The write lock** is taken by the first statement of the apply, a DELETE of no row, or `PRAGMA
//!   incremental_vacuum(1)` if a trigger of the table cannot be compiled. It locks `main` alone and
//!   checks its schema in the same step. It waits for other writers as long as
//!   `PRAGMA busy_timeout` allows. Attached databases are not locked.
//! - **A stream** is read in chunks of 16 KiB. Limits and [`Apply::only`] are checked when a chunk is
//!   read, which takes no lock. `main` is locked at the first change that is not skipped.
//! - **In a transaction of yours that has only read so far**, SQLite does not wait for other
//!   writers, whatever `busy_timeout` is. In WAL mode it fails with `SQLITE_BUSY` if another
//!   connection has written since the read. So if several connections write, start with
//!   [`immediate_transaction`](diesel::SqliteConnection::immediate_transaction) and apply inside
//!   it.
//!
//! # Foreign keys
//!
//! If foreign keys are enforced, they are checked after all changes have been applied, also those
//! with `RESTRICT`. [`Apply::on_foreign_keys`] decides about violations.
//!
//! - Foreign keys are deferred, as by [`PRAGMA
//!   defer_foreign_keys`](https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys), only if
//!   one concerns a table with changes: the table has a foreign key, is referenced by one, or has
//!   triggers. At the end the previous value is restored.
//! - What your transaction violated before the apply is neither forgotten nor counted as a
//!   violation of the apply. If there is any such violation, `PRAGMA foreign_key_check` runs before
//!   and after the changes to tell them apart.
//! - [Accepted](ForeignKeyConflict::accept) violations are not checked again, not even at COMMIT.
//!   But if your transaction had violations before the apply, SQLite cannot tell them apart, and
//!   checks all of them at COMMIT.
//! - The violations of a foreign key of a table `WITHOUT ROWID` are only counted, because SQLite does
//!   not name their rows. If the apply repairs one that existed before and causes another one,
//!   COMMIT fails instead of the apply.
//! - If violations of your transaction remain after the apply, all foreign keys stay deferred until
//!   the transaction ends. Otherwise SQLite would forget them.
//!
//! # Conflicts
//!
//! A conflict is decided by the handler of its table, or else by the handler of
//! [`Apply::otherwise`]. Without a handler the apply fails with [`ApplyError::ConflictAborted`].
//! [`Conflict`] describes when each kind occurs, and what a handler can rely on.
//!
//! # Order
//!
//! Tables are applied in the order of the changes. The order of the changes to one table is
//! undefined: a session writes them in the order of its hash table. The changes of one row always
//! keep their order. The others are reordered in two cases:
//!
//! - **Key order.** If a section in memory contains 1,000 changes or more, they are applied in the
//!   order of their primary keys, which suits a large b-tree. A stream is applied as it is read.
//! - **UNIQUE values.** A change that needs a value which another row still has, as in `SET place =
//!   place + 1`, waits for the change of that row. It waits at most until the next table begins.
//!   This applies to streams too.
//!
//! Key order is not used if triggers, foreign key actions or equal keys could show the difference:
//!
//! - in tables with triggers
//! - in tables that are changed by foreign key actions when they are changed themselves, or whose
//!   foreign key actions change a table with triggers
//! - in tables that could treat two primary keys as equal: with a collation other than `BINARY`,
//!   with reals, or with values of other storage classes than the columns store, such as texts in
//!   an `INTEGER` column; also with texts in a database in UTF-16, which replaces invalid
//!   characters
//!
//! It does decide which of two changes is applied if both need the same UNIQUE value. It uses 16
//! bytes of memory for each change of one section. [`Apply::keep_order`] disables it.
//!
//! Changes that wait are kept in memory, also those of a stream.
//!
//! From 64 changes in memory, INSERTs that follow each other are run 32 rows at a time, with
//! [`INSERT OR FAIL`](https://www.sqlite.org/lang_conflict.html): the rows before one that has a
//! conflict stay, and the rest is inserted one by one. Tables with triggers are excluded. In tables
//! with foreign keys, in `STRICT` tables, with `AUTOINCREMENT`, and from SQLite 3.54 on with an
//! `INTEGER PRIMARY KEY`, SQLite copies the pages that the statement changes, in order to undo it.
//! There, only changes in key order are batched, and only if there are many for the size of the
//! database.
//!
//! # Exchanged UNIQUE values
//!
//! UPDATEs can exchange UNIQUE values so that each waits for another, as in `SET place = 3 -
//! place`. Then the values of one row are replaced by free ones until the other rows have been
//! updated: NULL, or a marker where the column is `NOT NULL`. CHECK constraints are not checked for
//! this one statement. Sessions do not record the free values; an update hook sees one more UPDATE.
//! Either all UPDATEs of the cycle are applied, or none of them.
//!
//! | the UPDATEs that exchange values | result |
//! |---|---|
//! | a swap of two rows, a rotation of any number of rows, circles that share rows | applied |
//! | with CHECK, NOT NULL, `STRICT`, `WITHOUT ROWID`, several indexes, further columns | applied |
//! | with triggers on INSERT or DELETE | applied; these triggers do not fire |
//! | rows with children by `ON DELETE CASCADE`, `SET NULL` or `RESTRICT` | applied; no child is changed |
//! | in several sections of one table, without another table in between | applied |
//! | the table has a trigger on UPDATE, of any column, also a temporary one | [`Constraint`](ConflictType::Constraint) |
//! | a foreign key with an action `ON UPDATE`, also `RESTRICT`, refers to a column that is exchanged, and actions are [enabled](Apply::without_foreign_key_actions) | `Constraint` |
//! | a generated column, a partial index or an index with an expression mentions a column that is exchanged | `Constraint` |
//! | one UPDATE of the cycle has another conflict | that conflict; if its row keeps its value, `Constraint` for the UPDATEs that wait for the value |
//! | [`Apply::without_update_loop`], or `PRAGMA journal_mode = OFF` | `Constraint` |
//!
//! UPDATEs that do not form a cycle are not affected by these rules: they are applied one after
//! the other, and their triggers see only the old and the new values.
//!
//! # What differs from the changes alone
//!
//! - **Triggers and foreign key actions** of the database run, even if the changes already contain
//!   what they did at the source. [`Apply::ignore_noops`] ignores changes that have already been
//!   made; [`Apply::without_foreign_key_actions`] disables the actions.
//! - **Errors in triggers**:
//!
//!   | a trigger runs | effect |
//!   |---|---|
//!   | `RAISE(ABORT)`, `RAISE(FAIL)`, or a statement that violates a constraint | The change is undone, with all that its triggers did. It has a conflict of the kind [`ConflictType::Constraint`]. |
//!   | `RAISE(ROLLBACK)`, or a statement with `OR ROLLBACK` or `ON CONFLICT ROLLBACK` that violates a constraint | The apply ends with [`ApplyError::RolledBack`]. |
//!   | `RAISE(IGNORE)` | An INSERT counts as applied. An UPDATE or DELETE has a conflict of the kind [`ConflictType::Data`]. |
//!
//! - **A table's own `ON CONFLICT` clauses** do not act on the changes: whatever they are, a
//!   violated constraint is a conflict. They act on what triggers write. In a table with such a
//!   clause and with triggers, an INSERT that is ignored, by whichever cause, is a conflict of the
//!   kind `Constraint`. If a UNIQUE constraint of that table concerns columns that the changes do
//!   not contain, the clauses in its triggers do not act either.
//! - **Blocked changes** that do not wait for a UNIQUE value are tried again after the other
//!   changes of their table, since a trigger or a foreign key action can have made them possible:
//!   in rounds, as long as a round applies a change, and once more before the handler is called. A
//!   table has at most 100,000 attempts and 32 for each change.
//! - **Key columns with a collation defined by the application**: this crate cannot tell which texts are
//!   equal. While one change of the table waits, all following changes whose keys differ only in such
//!   texts wait too. So a change that needs a later change, for example one that frees a UNIQUE value,
//!   has a conflict of the kind [`ConflictType::Constraint`].
//! - **Keys that change to an equal key**: an UPDATE that only replaces the key by an [equal
//!   one](crate::_documentation::format#keys), such as 1 by 1.0, is skipped. The INSERT that SQLite
//!   records with it is a [`ConflictType::Conflict`].
//! - **Unchanged columns**: a column with the same old and new value in an UPDATE, as after a
//!   rebase, is neither compared nor set. It is a [`Field::Unchanged`](crate::Field::Unchanged).
//! - **Invalid UTF-8** is applied unchanged. A collation registered through Diesel aborts the
//!   process when it receives such a text. For bytes from untrusted sources, check
//!   [`Value::as_str`](crate::Value::as_str) for columns with such a collation.
//! - **FTS5** caches its shadow tables. Changes applied to these are invisible to a connection that
//!   has used the FTS5 table, and its next INSERT corrupts the table. Track the tables that contain
//!   the text instead.
//!
//! # What differs from sqlite3changeset_apply
//!
//! Tests apply the same changes with
//! [`sqlite3changeset_apply_v2`](https://www.sqlite.org/session/sqlite3changeset_apply.html), and
//! compare databases, conflicts and rebase data. These differences are intended. The second column
//! names a test in `tests/tests/apply`.
//!
//! | difference | test |
//! |---|---|
//! | A table that does not fit the changes is an error. SQLite skips it. | `applying::a_schema_mismatch_names_table_and_column` |
//! | [Key bytes](crate::_documentation::format#header) only tell which columns are the primary key, as in the changesets of geodiff and sqldiff (`01 01` for two columns). SQLite skips a table whose bytes are not the positions in the key. | `semantics::sqlite_skips_a_table_whose_key_has_another_order` |
//! | [Exchanged values](#exchanged-unique-values) have the same result with every version. SQLite's result depends on its version. | `exchanges` |
//! | A table's own `ON CONFLICT` clauses do not act. | `applying::a_conflict_clause_of_the_table_does_not_act` |
//! | `RAISE(FAIL)` leaves nothing of its change. | `applying::a_trigger_that_fails_halfway_leaves_nothing` |
//! | A `Data` conflict with the decision `replace` is asked about once. SQLite asks again at each attempt. | `conflicts::a_change_can_conflict_several_times_and_counts_once` |
//! | Later changes of a row wait behind an earlier one that is blocked. SQLite tries them before it. | `faults::the_changes_of_one_row_keep_their_order` |
//! | An INSERT that has deleted a row and is then omitted is an error, [`ApplyError::ReplacedRowLost`]. SQLite loses the row. | `conflicts::a_row_is_not_lost_between_replace_and_omit` |
//! | A row that cannot be deleted for an INSERT with the decision `replace` is a conflict of the kind `Constraint`. SQLite ends the apply. | `semantics::sqlite_ends_the_apply_if_a_row_cannot_be_deleted_for_an_insert` |
//! | The number of attempts to apply changes that a trigger blocks has a limit. In SQLite the time is quadratic. | `hostile_engine::a_tree_that_a_trigger_protects_is_deleted` |
//! | An UPDATE of the key alone is skipped. SQLite fails. | `applying::a_key_that_changed_to_an_equal_key_is_applied` |
//! | A column with the same old and new value is not compared. | `hostile::an_unchanged_column_is_not_written` |
//! | `ignore_noops` is also correct for names that need quotes and for rows of NULLs. | `options::ignoring_noops_works_with_any_column_names` |
//! | Violations of foreign keys that existed before in the transaction are not those of the apply. | `foreign_keys::violations_of_the_caller_are_neither_forgotten_nor_taken_for_those_of_the_apply` |
//! | Changes to tables of 1,000 columns are applied. SQLite fails ("Expression tree is too large"). | `faults::tables_with_many_columns_are_recorded_and_applied` |
//!
//! # Kept statements
//!
//! The first apply on a connection reads the schema and compiles the statements that it needs. The
//! connection keeps up to 128 statements, those used last, and what has been read of the schema. A
//! later apply with the same tables and columns then does neither.
//!
//! - **The schema can change at any time**, by any connection. SQLite's check of the schema when
//!   `main` is locked also shows whether what was kept is outdated. Then it is read again. The same
//!   happens after `ATTACH`, `VACUUM`, flag pragmas such as `foreign_keys`, and
//!   [`sqlite3_deserialize`](https://www.sqlite.org/c3ref/deserialize.html).
//! - **An [authorizer](https://www.sqlite.org/c3ref/set_authorizer.html)** is asked when a statement
//!   is compiled. Kept statements are compiled again after an authorizer has been set, but not if
//!   one that is set decides otherwise than before. Some versions of SQLite (3.44, 3.50) do not
//!   compile them again when an authorizer is removed: set one that allows everything instead.
//! - **Nothing is kept** if the connection has temporary triggers, or if foreign key actions had to
//!   be [disabled](Apply::without_foreign_key_actions).
//! - **Between two applies** no statement is active or refers to bytes of the changes. So none of
//!   them blocks a schema change or `VACUUM`.
//! - **When the connection closes**, the statements are finalized. SQLite announces this to the
//!   function of [`sqlite3_trace_v2`](https://www.sqlite.org/c3ref/trace_v2.html), of which a
//!   connection has only one. A function of yours loses its place at the next apply. Install none
//!   after the last apply: Diesel panics when it drops a connection that has statements.
//!
//! # Further reading
//!
//! - [How do I …](crate::_documentation::how_do_i): short recipes
//! - [Replication](crate::_documentation::replication): replicas that synchronize through a hub,
//!   and which decisions about conflicts let them converge
//! - SQLite:
//!   [`sqlite3changeset_apply`](https://www.sqlite.org/session/sqlite3changeset_apply.html), the
//!   counterpart in C

mod builder;
mod check;
mod conflict;
mod conflict_type;
mod counts;
mod driver;
mod engine;
mod error;
mod foreign_keys;
mod handlers;
mod input;
mod order;
mod progress;
mod queue;
mod report;
mod row_id;
mod schema_features;
mod target_table;
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
