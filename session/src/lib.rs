//! SQLite's [session extension](https://www.sqlite.org/sessionintro.html) for people who write
//! [Diesel](https://diesel.rs): what changes in a database is recorded, taken as a changeset or patchset, and applied to
//! another one.
//!
//! - `#[derive(Tracked)]` makes of a table's changes typed Rust values: `Change<users::table>`, and enums of them that the compiler
//!   checks a `match` on. See the trait [`Tracked`] for everything that it can do.
//! - On any `SqliteConnection`, the trait [`SqliteSessionExt`] has `create_session`, `capture`, `apply` and `diff`.
//! - A [`Session`] records the changes of the tables that are attached to it. `attach_set` and `attach` compare them with `table!`,
//!   `attach_by_name` and `attach_all` do not.
//! - An [`Apply`] makes changes elsewhere: a handler for each table is given a [`Conflict`], the typed change and the row in its way;
//!   filters, limits and options; and a report. `apply_changeset` and `apply_patchset` are its short forms, by kind of conflict.
//! - [`wire`] checks, reads and builds changesets and patchsets in pure Rust, without SQLite, more than ten times as fast as
//!   SQLite's own iterator reads them.
//! - Changes are data: put together, inverted, rebased, filtered, sorted, split, written as SQL and JSON. In [`_documentation`] are
//!   a page with an example of each, and a list of SQLite's 59 session functions with what does their work here.
//! - Replicas that edit the same rows apart from each other become the same again through a hub: a page there says how, and by which
//!   answers to conflicts.
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
//! # Building
//!
//! SQLite must have been compiled with the session extension, and be of version 3.44 or later. The build script looks at the
//! library that is linked and says what to do if it has not.
//!
//! - **Bundled**, with `libsqlite3-sys = { version = "*", features = ["bundled"] }` or this crate's feature `bundled`: a C compiler
//!   and these lines in `.cargo/config.toml` are all that it takes:
//!
//!   ```toml
//!   [env]
//!   LIBSQLITE3_FLAGS = "-DSQLITE_ENABLE_SESSION -DSQLITE_ENABLE_PREUPDATE_HOOK"
//!   ```
//!
//!   Where several connections of a program are busy at once, add `-USQLITE_ENABLE_MEMORY_MANAGEMENT`: with it, as libsqlite3-sys
//!   compiles SQLite, [their page caches share one room](https://www.sqlite.org/compile.html#enable_memory_management), and a busy
//!   connection crowds out the pages of the others.
//!
//! - **The system's library**: Debian's and others have the extension.
//! - **wasm32-unknown-unknown**: sqlite-wasm-rs has it. A panic in a handler, filter or writer ends a module that is compiled
//!   with `panic = "abort"`, as is usual there.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `std` | yes | `ChangesetReader` and `PatchsetReader` over `std::io::Read` |
//! | `derive` | yes | `#[derive(Tracked)]` and changes as typed values: needs Diesel, but neither a backend nor SQLite |
//! | `sqlite` | yes | `Session` and `SqliteSessionExt`: needs Diesel and SQLite |
//! | `wasm-bindgen` | yes | on `wasm32-unknown-unknown` the clock and random numbers from JavaScript, elsewhere nothing |
//! | `chrono`, `time` | | dates and times of these crates in typed changes, and `derive` |
//! | `serde_json` | | `serde_json::Value` for `Json` and `Jsonb` in typed changes, and `derive` |
//! | `numeric` | | `bigdecimal::BigDecimal` for `Numeric` in typed changes, and `derive` |
//! | `uuid` | | `uuid::Uuid` for `Binary` and `Text` in typed changes, and `derive` |
//! | `serde` | | changes as JSON and back, untyped and, with `derive`, typed: see `wire::json`; it needs neither `std` nor `derive` |
//! | `bundled` | | compiles SQLite from source |
//! | `buildtime_bindgen` | | takes libsqlite3-sys's own `session` feature, which needs libclang, in the place of `LIBSQLITE3_FLAGS` |
//!
//! The features of types are called as Diesel's own, and turn them on, but for `uuid`, which Diesel does not have on SQLite:
//! `FromSqlValue` lists the types.
//!
//! Without any, the crate is `no_std`, needs `alloc`, has no dependency and compiles no C.
//!
//! # What to know about SQLite
//!
//! | SQLite | here |
//! |---|---|
//! | does not record tables without a primary key, nor rows with NULL in it | attaching such a table is an error, `untracked_tables` lists them; such rows are not recorded |
//! | has no column names in its records | attaching compares `table!` with the database; applying compares the number of columns and the key, and where a handler, a filter or `only` names the table's type, its `table!` |
//! | leaves out, with success, what does not fit the replica | an error, before anything is written |
//! | fires triggers and foreign key actions again on applying; what they did on the source is in the changes too | so a row can be changed twice: `Apply::without_foreign_key_actions`, and against triggers `Apply::ignore_noops`, or none at the replica |
//! | records the shadow tables of FTS5, and `sqlite_stat1` after ANALYZE | a table filter, or attaching by table |
//! | sets `defer_foreign_keys` while applying, and leaves it off | in a transaction, it is then as it was |
//! | takes an INSERT, UPDATE or DELETE that is there already for a conflict, or with `SQLITE_CHANGESETAPPLY_IGNORENOOP` some that are not there for done | `Apply::ignore_noops` compares the values |
//! | gives a session's changes from its beginning, at each call | `Session::take_changeset` begins anew |
//! | gives a connection one preupdate hook | sessions take it |
//!
#![cfg_attr(not(all(feature = "derive", feature = "sqlite")), doc = include_str!("docs/links.md"))]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
#![recursion_limit = "256"]

extern crate alloc;
#[cfg(all(feature = "std", not(test)))]
extern crate std;

/// Pages of documentation, without code: with the features `derive` and `sqlite`, which they are about.
#[cfg(all(feature = "derive", feature = "sqlite"))]
pub mod _documentation {
    #[doc = include_str!("docs/algebra.md")]
    pub mod algebra {}
    #[doc = include_str!("docs/functions.md")]
    pub mod functions {}
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
pub use apply::{ApplyError, ApplyReport, Conflict, ConflictAction, ConflictType};
#[cfg(feature = "derive")]
pub use diesel_sqlite_session_derive::Tracked;
#[cfg(feature = "sqlite")]
pub use ext::SqliteSessionExt;
#[cfg(feature = "sqlite")]
pub use schema::SchemaMismatch;
#[cfg(feature = "sqlite")]
pub use session::{Session, SessionError};
/// What the derive's code refers to: not for users.
#[cfg(feature = "typed")]
#[doc(hidden)]
pub use typed::private as __private;
#[cfg(feature = "typed")]
pub use typed::{Change, DecodeError, Field, Patch, Tracked};
pub use wire::{Changeset, ChangesetRef, Format, Operation, ParseError, Patchset, PatchsetRef, Record, Value};
#[cfg(feature = "std")]
pub use wire::{ChangesetReader, PatchsetReader};
