//! SQLite's [session extension](https://www.sqlite.org/sessionintro.html) for people who write
//! [Diesel](https://diesel.rs): track what changes in a database, read the changes as typed Rust
//! values, apply them elsewhere.
//!
//! ```
//! # #[cfg(feature = "derive")]
//! # mod example {
//! use diesel_sqlite_session::{Change, Changeset, DecodeError, Tracked};
//!
//! diesel::table! {
//!     users (id) {
//!         id -> Integer,
//!         name -> Text,
//!     }
//! }
//!
//! #[derive(Tracked)]
//! #[diesel(table_name = users)]
//! pub struct User {
//!     id: i32,
//!     name: String,
//! }
//!
//! /// The tables to track: a variant for each.
//! #[derive(Tracked)]
//! enum Blog {
//!     Users(Change<users::table>),
//! }
//!
//! # #[allow(dead_code)]
//! fn log(changeset: &Changeset) -> Result<(), DecodeError> {
//!     for change in changeset.changes::<Blog>() {
//!         match change? {
//!             Blog::Users(Change::Insert(user)) => println!("{} joined", user.name),
//!             Blog::Users(Change::Update(user)) => println!("user {}: {:?}", user.id, user.name.changed()),
//!             Blog::Users(Change::Delete(user)) => println!("{} left", user.name),
//!         }
//!     }
//!     Ok(())
//! }
//! # }
//! ```
//!
//! A *changeset* contains the INSERTs, UPDATEs and DELETEs of a database, with old and new values.
//! A *patchset* contains the new values only. Neither has anything to do with Diesel's trait
//! `AsChangeset`, which describes the columns that one UPDATE statement sets.
//!
//! # Guide
//!
//! | to | use |
//! |---|---|
//! | describe tables as Rust types | `#[derive(Tracked)]`: [`Tracked`] and [its guide][_documentation::derive] |
//! | record changes | [`SqliteSessionExt::capture`] for a closure, [`SqliteSessionExt::write`] for a write transaction, [`Session`] for a connection |
//! | read changes | [`Changeset::changes`] as [`Change`]s, [`Changeset::records`](wire::Set::records) without types; module [`typed`] |
//! | apply changes and decide conflicts | [`SqliteSessionExt::apply`], [`Conflict`]; module [`apply`] |
//! | build, merge, invert, rebase or filter changes, write SQL and JSON | [Changes as data][_documentation::changes_as_data]; module [`wire`] |
//! | sync replicas | [the replication protocol][_documentation::replication] |
//! | keep a database in a browser | [In the browser][_documentation::browser] |
//! | find the counterpart of a function of SQLite | [the 59 session functions][_documentation::functions] |
//! | read or write the bytes yourself | [the format](_documentation::format) |
//!
//! [How do I …?][_documentation::how_do_i] answers the first questions with code: undo, audit logs,
//! storing changesets, last writer wins, upserts, connection pools, limits on untrusted input.
//!
//! # Building
//!
//! SQLite must be 3.44 or later and compiled with the session extension. The build script checks
//! the linked library, and prints what to do if the extension is missing.
//!
//! - **Bundled SQLite** (feature `bundled`) requires a C compiler and these lines in
//!   `.cargo/config.toml`:
//!
//!   ```toml
//!   [env]
//!   LIBSQLITE3_FLAGS = "-DSQLITE_ENABLE_SESSION -DSQLITE_ENABLE_PREUPDATE_HOOK"
//!   ```
//!
//!   If several connections of a program are busy at once, add `-USQLITE_ENABLE_MEMORY_MANAGEMENT`.
//!   libsqlite3-sys turns this option on, and with it [all page caches share one
//!   limit](https://www.sqlite.org/compile.html#enable_memory_management): a busy connection evicts
//!   the pages of the others.
//!
//! - **System SQLite** (without `bundled`): Debian and other distributions compile it with the
//!   extension. Applying is the same with every version. Sessions have a fault of SQLite before
//!   3.49: they fail for tables with generated columns, and record wrong old values in tables
//!   `WITHOUT ROWID` that have a column of type `REAL`.
//! - **wasm32-unknown-unknown**: sqlite-wasm-rs includes the extension. See [In the
//!   browser][_documentation::browser].
//!
//! # Features
//!
//! Each rung of the ladder includes the rungs above it:
//!
//! | rung | default | adds | requires |
//! |---|---|---|---|
//! | (none) | | [`wire`]: reading, checking, building and rewriting changesets | `alloc` |
//! | `std` | yes | `ChangesetReader` and `PatchsetReader`, for input larger than memory | `std` |
//! | `typed` | yes | [`typed`]: changes as Rust values, without the macro | Diesel, without a backend |
//! | `derive` | yes | `#[derive(Tracked)]` | a procedural macro |
//!
//! Beside the ladder:
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `sqlite` | yes | sessions and applying on `SqliteConnection`; implies `typed`; requires SQLite |
//! | `bundled` | | compiles SQLite from source; implies `sqlite` |
//! | `buildtime_bindgen` | | generates the bindings with libclang, instead of `LIBSQLITE3_FLAGS`; implies `sqlite` |
//! | `serde` | | JSON for changes, untyped and typed: see `wire::json`; requires neither `std` nor `typed` |
//! | `chrono`, `time` | | dates and times of these crates in typed changes; each implies `typed` |
//! | `serde_json` | | `serde_json::Value` for `Json` and `Jsonb`; implies `typed` |
//! | `numeric` | | `bigdecimal::BigDecimal` for `Numeric`; implies `typed` |
//! | `uuid` | | `uuid::Uuid` for `Binary` and `Text`; implies `typed` |
//! | `wasm-bindgen` | yes | on `wasm32-unknown-unknown`, the clock and random numbers of JavaScript; no effect elsewhere |
//!
//! The features for types have the names of Diesel's own features and turn them on. The exception
//! is `uuid`, which Diesel does not support on SQLite. `FromSqlValue` lists all types.
//!
//! # What to know about SQLite
//!
//! | SQLite | this crate |
//! |---|---|
//! | SQLite does not record tables without a primary key, or rows with NULL in it. | Attaching such a table is an error. `untracked_tables` lists tables that `attach_all` skips. Rows with NULL in their key are not recorded. |
//! | Records contain no column names. | Attaching compares `table!` with the database. Applying compares the number of columns and the primary key, and also the `table!` of each table that has a handler, a filter or `only`. |
//! | What `sqlite3changeset_apply` does depends on the version, above all where rows exchange UNIQUE values. | Applying is done by statements of this crate, the same with every version. Module [`apply`] lists the differences. |
//! | An apply silently skips tables that do not fit. | An apply fails before anything is written. |
//! | An apply fires triggers and foreign key actions again, although their effects are in the changeset too. | `without_foreign_key_actions` turns these actions off. `ignore_noops` accepts what triggers have done already. Or create no triggers on the replica. |
//! | A changeset that is applied twice conflicts with itself. SQLite's own flag against this, `SQLITE_CHANGESETAPPLY_IGNORENOOP`, also drops some changes that are not there yet. | `ignore_noops` compares the values. |
//! | A session returns all changes since its beginning at each call. | `take_changeset` returns the changes since the last call. |
//! | A session records the shadow tables of FTS5, and `sqlite_stat1` after ANALYZE. | Attach tables one by one, or set a table filter. |
//! | A table's own `ON CONFLICT` clauses act before a conflict is reported. | They do not act on changes that are applied. |
//! | An apply sets `defer_foreign_keys`, leaves it off, and forgets violations of the transaction. | Foreign keys are deferred only where one is concerned. The value is restored, and violations that existed before are kept. |
//! | A connection has one preupdate hook. | A session uses it. Install no preupdate hook of your own on the connection: it is noticed and removed (`SessionError::OtherHook`). |
//! | A connection has one trace function (`sqlite3_trace_v2`). | This crate uses it from the first session or apply on, to learn that the connection closes. Install none of your own after that. |
//!
#![cfg_attr(not(all(feature = "derive", feature = "sqlite")), doc = include_str!("docs/links.md"))]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
#![recursion_limit = "256"]

extern crate alloc;
#[cfg(all(feature = "std", not(test)))]
extern crate std;

/// The guides: documentation pages without code.
///
/// - `how_do_i`: recipes for undo, audit logs, storage, upserts, pools and other tasks
/// - `derive`: `#[derive(Tracked)]` with all attributes and errors
/// - `changes_as_data`: concatenate, invert, rebase, filter, rename, sort and split changesets,
///   write SQL and JSON
/// - `replication`: a sync protocol for a hub and replicas that converges
/// - `browser`: databases that outlive a web page, with a complete example
/// - `functions`: SQLite's 59 session functions and their counterparts
/// - `format`: the byte format of changesets and patchsets
///
/// Which pages exist depends on the features: `format` needs none, `derive` needs `typed`,
/// `functions` needs `sqlite`, and the others need `derive` and `sqlite`.
pub mod _documentation {
    #[cfg(all(feature = "derive", feature = "sqlite"))]
    #[doc = include_str!("docs/browser.md")]
    pub mod browser {}
    #[cfg(all(feature = "derive", feature = "sqlite"))]
    #[doc = include_str!("docs/changes_as_data.md")]
    pub mod changes_as_data {}
    #[cfg(feature = "typed")]
    #[doc = include_str!("docs/derive.md")]
    pub mod derive {}
    #[doc = include_str!("docs/format.md")]
    pub mod format {}
    #[cfg(feature = "sqlite")]
    #[doc = include_str!("docs/functions.md")]
    pub mod functions {}
    #[cfg(all(feature = "derive", feature = "sqlite"))]
    #[doc = include_str!("docs/how_do_i.md")]
    pub mod how_do_i {}
    #[cfg(all(feature = "derive", feature = "sqlite"))]
    #[doc = include_str!("docs/replication.md")]
    pub mod replication {}
}
#[cfg(feature = "sqlite")]
pub mod apply;
#[cfg(feature = "sqlite")]
mod ext;
#[cfg(feature = "sqlite")]
mod ffi;
#[cfg(feature = "sqlite")]
mod schema;
#[cfg(feature = "sqlite")]
pub mod session;
#[cfg(feature = "typed")]
pub mod typed;
#[cfg(feature = "typed")]
#[path = "ffi/utf8.rs"]
mod utf8;
pub mod wire;

#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use apply::{ApplyError, ApplyReport, Conflict, ConflictAction, ConflictType};
#[cfg(feature = "derive")]
#[doc(inline)]
pub use diesel_sqlite_session_derive::Tracked;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use ext::SqliteSessionExt;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use schema::SchemaMismatch;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use session::{Session, SessionError};
/// What the derive's code refers to: not for users.
#[cfg(feature = "typed")]
#[doc(hidden)]
pub use typed::private as __private;
#[cfg(feature = "typed")]
#[doc(inline)]
pub use typed::{Change, DecodeError, Field, Patch, Tracked};
#[doc(inline)]
pub use wire::{Changeset, ChangesetRef, Format, Operation, ParseError, Patchset, PatchsetRef, Record, Value};
#[cfg(feature = "std")]
#[doc(inline)]
pub use wire::{ChangesetReader, PatchsetReader};
