//! SQLite's C API behind safe functions: the crate's only `unsafe` code, apart from `utf8.rs`.
//!
//! - [`handle`]: the `sqlite3*` of a `SqliteConnection`; [`probe`] finds it
//! - [`registry`]: the sessions of a connection, which it closes with the connection
//! - [`session`]: `sqlite3_session` objects that may outlive their connection; [`cache`]: a larger
//!   page cache for them
//! - [`apply`]: `sqlite3changeset_apply` with Rust callbacks; [`pending_change`]: the change that a
//!   callback decides about;
//!   [`transaction`]: the transaction around an apply; [`conflict`]: kinds of conflict and decisions
//! - [`statement`], [`value`]: queries through the handle, and their values
//! - [`mutex`], [`replacement`], [`callback`]: whether the connection may be used now; panics stay
//!   out of C
//! - [`sys`]: the C functions; [`error`]: result codes as errors
//!
//! Of the modules above, only types and functions of `wire` are used here. `utf8.rs` is a module of
//! the crate root, because typed changes need it without SQLite.

#![allow(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]

pub(crate) mod apply;
pub(crate) mod cache;
mod callback;
pub(crate) mod conflict;
pub(crate) mod error;
pub(crate) mod handle;
mod mutex;
pub(crate) mod pending_change;
mod probe;
mod registry;
mod replacement;
pub(crate) mod session;
pub(crate) mod statement;
mod sys;
pub(crate) mod transaction;
pub(crate) mod value;
