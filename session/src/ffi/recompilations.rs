//! A kept statement, and how often SQLite has compiled it again. Used by
//! [`replacement`](super::replacement) and [`schema_watch`](super::schema_watch).

use core::ffi::c_int;
use std::ptr::NonNull;

use super::statement::Connection;
use super::sys::{self, sqlite3_stmt};

/// A query without functions that is kept to find out whether SQLite compiles it again.
pub(super) struct CountedQuery {
    statement: NonNull<sqlite3_stmt>,
}

// SAFETY: `run` requires that the caller holds the connection's mutex, which serializes all threads,
// and the query is dropped under the same condition. SQLite ties no statement to a thread.
unsafe impl Send for CountedQuery {}

impl CountedQuery {
    /// Returns `None` if the query cannot be prepared.
    ///
    /// # Safety
    ///
    /// The query must be dropped before the connection closes, while its mutex is held.
    pub(super) unsafe fn new(connection: Connection<'_>, sql: &str) -> Option<Self> {
        let statement = connection.prepare_raw(sql, sys::PREPARE_PERSISTENT).ok()?;
        Some(Self { statement })
    }

    /// Runs the query, which compiles it again if it has expired, and returns how often it has been
    /// compiled again. Returns `None` if it fails.
    ///
    /// # Safety
    ///
    /// The connection's mutex must be held.
    pub(super) unsafe fn run(&self) -> Option<c_int> {
        let statement = self.statement.as_ptr();
        // SAFETY: the statement is valid until `self` is dropped, and its connection is open until
        // then, as `new` requires. The caller holds the mutex. The query calls no function, so
        // running it is sound even while one is replaced.
        let code = unsafe { sys::sqlite3_step(statement) };
        // SAFETY: the statement is valid until `self` is dropped.
        unsafe { sys::sqlite3_reset(statement) };
        // SAFETY: the statement is valid until `self` is dropped. The last argument leaves the
        // counter unchanged.
        let count = unsafe { sys::sqlite3_stmt_status(statement, sys::STMTSTATUS_REPREPARE, 0) };
        matches!(code, sys::SQLITE_DONE | sys::SQLITE_ROW).then_some(count)
    }
}

impl Drop for CountedQuery {
    fn drop(&mut self) {
        // SAFETY: `new` prepared the statement, nobody uses it after this, and its connection is
        // still open, as `new` requires.
        unsafe { sys::sqlite3_finalize(self.statement.as_ptr()) };
    }
}
