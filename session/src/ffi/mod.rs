//! The only `unsafe` code: SQLite's C API, each piece behind a safe face. (And `utf8.rs`, which has nothing to do with C and is a
//! module of the crate by itself, so that it is there without SQLite.)
//!
//! - [`handle`]: the `sqlite3*` of a `SqliteConnection`, by way of [`probe`]
//! - [`registry`]: what hangs on a connection and is told when it closes
//! - [`session`]: `sqlite3_session` objects that may outlive their connection; [`cache`]: the page cache while they read rows
//! - [`apply`]: `sqlite3changeset_apply` with Rust closures to decide; [`value`]: the values that it shows them; [`transaction`]:
//!   what holds it all together
//! - [`statement`]: the few queries that need the handle
//! - [`canary`]: whether a function of the connection's may just be being replaced
//! - [`callback`]: what every function that C calls has in common: no unwinding into C, no way back into a busy object

#![allow(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]

pub(crate) mod apply;
pub(crate) mod cache;
mod callback;
mod canary;
pub(crate) mod conflict;
pub(crate) mod error;
pub(crate) mod handle;
mod mutex;
mod probe;
mod registry;
pub(crate) mod session;
pub(crate) mod statement;
mod sys;
pub(crate) mod transaction;
pub(crate) mod value;

use core::ffi::{CStr, c_char};
use std::string::String;

/// A copy of a C string.
///
/// # Safety
///
/// `start` must be null or a C string.
unsafe fn text(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: not null, and so a C string, says the caller.
    let text = unsafe { CStr::from_ptr(start) };
    text.to_string_lossy().into_owned()
}
