//! SQLite's C API behind safe functions: the crate's only `unsafe` code, apart from `utf8.rs`.
//!
//! - [`handle`]: the `sqlite3*` of a `SqliteConnection`; [`probe`] finds it
//! - [`registry`]: what belongs to a connection, and is closed with it
//! - [`session`]: `sqlite3_session` objects that may outlive their connection; [`cache`]: a larger
//!   page cache for them; [`hook`]: the preupdate hook, through which they record
//! - [`statements`]: the prepared statements of an apply; [`transaction`]: the transaction around it
//! - [`statement`], [`value`]: queries through the handle, and their values
//! - [`schema_watch`]: whether the schema may have changed, and what is known of it;
//!   [`recompilations`]: the kept queries that tell
//! - [`mutex`], [`replacement`], [`callback`]: whether the connection may be used now; panics stay
//!   out of C
//! - [`sys`]: the C functions; [`error`]: result codes as errors
//!
//! Of the modules above, only types and functions of `wire` are used here. `utf8.rs` is a module of
//! the crate root, because typed changes need it without SQLite.

#![allow(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]

pub(crate) mod cache;
pub(crate) mod callback;
pub(crate) mod error;
pub(crate) mod handle;
mod hook;
mod mutex;
mod probe;
mod recompilations;
mod registry;
mod replacement;
pub(crate) mod schema_watch;
pub(crate) mod session;
pub(crate) mod statement;
pub(crate) mod statements;
mod sys;
pub(crate) mod transaction;
mod value;
