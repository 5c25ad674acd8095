//! Detects that a function or collation of the connection is being replaced, further up on this
//! thread's stack.
//!
//! SQLite drops the old function while statements can still call it. Its user data belongs to the
//! application and may use a session when it is dropped; SQL that is run then could call the
//! half-dropped function. The mutex of the connection does not help: it is recursive, and this very
//! thread holds it.
//!
//! Before replacing a function, SQLite marks all statements as expired. A statement that has not
//! expired was therefore compiled after the last replacement began. That the replacement has ended
//! is known once another thread can take the mutex.

use core::ffi::c_int;
use std::ptr::NonNull;

use super::recompilations::CountedQuery;
use super::statement::Connection;
use super::sys::sqlite3;

/// A query that does nothing, and whose recompilation reveals that a function was replaced.
pub(super) struct ReplacementDetector {
    query: CountedQuery,
    /// How often it had been recompiled when no replacement was in progress.
    recompilations: Option<c_int>,
}

impl ReplacementDetector {
    /// # Safety
    ///
    /// The detector must be dropped before the connection closes, while its mutex is held.
    pub(super) unsafe fn new(connection: Connection<'_>) -> Option<Self> {
        // SAFETY: as this function requires.
        let query = unsafe { CountedQuery::new(connection, "SELECT 1") }?;
        Some(Self { query, recompilations: Some(0) })
    }

    /// Returns whether no replacement has begun since the last [`reset`](Self::reset).
    ///
    /// # Safety
    ///
    /// The connection's mutex must be held.
    pub(super) unsafe fn is_unchanged(&self) -> bool {
        // SAFETY: the caller guarantees that the mutex is held.
        let recompilations = unsafe { self.query.run() };
        recompilations.is_some() && recompilations == self.recompilations
    }

    /// Records the current state as one in which no replacement is in progress.
    ///
    /// # Safety
    ///
    /// The connection's mutex must be held.
    pub(super) unsafe fn reset(&mut self) {
        // SAFETY: the caller guarantees that the mutex is held.
        self.recompilations = unsafe { self.query.run() };
    }
}

/// Returns whether no thread, this one included, is inside SQLite's code on the connection.
///
/// # Safety
///
/// `db` must be open and stay open until the function returns. This thread must not hold the mutex
/// on its own account.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(super) unsafe fn is_idle(db: NonNull<sqlite3>) -> bool {
    struct Address(NonNull<sqlite3>);
    // SAFETY: the other thread uses the pointer only to try the connection's mutex, which any
    // thread may do.
    unsafe impl Send for Address {}
    let address = Address(db);
    let try_it = move || {
        let address = address;
        // SAFETY: the caller guarantees that the connection stays open until this thread has ended,
        // since it is joined below.
        unsafe { super::mutex::try_enter(address.0.as_ptr()) }.is_some()
    };
    let thread = std::thread::Builder::new().name("diesel-sqlite-session".into()).spawn(try_it);
    thread.is_ok_and(|thread| thread.join().unwrap_or(false))
}

/// Returns `true`: without threads there is no second thread that could try the mutex.
///
/// # Safety
///
/// Always safe to call. It is `unsafe` only to match the version for targets with threads.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(super) unsafe fn is_idle(_: NonNull<sqlite3>) -> bool {
    true
}
