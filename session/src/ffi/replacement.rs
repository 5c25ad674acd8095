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
use std::ptr::{self, NonNull};

use super::sys::{self, sqlite3, sqlite3_stmt};

/// A statement that does nothing, and whose recompilation reveals that a function was replaced.
pub(super) struct ReplacementDetector {
    statement: NonNull<sqlite3_stmt>,
    /// How often it had been recompiled when no replacement was in progress.
    recompilations: c_int,
}

// SAFETY: every method that uses the statement requires that the caller holds the connection's
// mutex, which serializes all threads. SQLite ties no statement to a thread.
unsafe impl Send for ReplacementDetector {}

impl ReplacementDetector {
    /// # Safety
    ///
    /// `db` must be open, its mutex must be held, and the detector must be dropped before the
    /// connection closes.
    pub(super) unsafe fn new(db: NonNull<sqlite3>) -> Option<Self> {
        let mut statement = ptr::null_mut();
        let query = c"SELECT 1".as_ptr();
        // SAFETY: the caller guarantees that `db` is open. The query is a C string with a static
        // lifetime, for which the length -1 is allowed; `statement` is a local variable, and the
        // function accepts a null pointer for the tail.
        unsafe {
            sys::sqlite3_prepare_v3(
                db.as_ptr(),
                query,
                -1,
                sys::PREPARE_PERSISTENT,
                &raw mut statement,
                ptr::null_mut(),
            )
        };
        Some(Self { statement: NonNull::new(statement)?, recompilations: 0 })
    }

    /// Returns whether no replacement has begun since the last [`reset`](Self::reset).
    ///
    /// # Safety
    ///
    /// The connection's mutex must be held.
    pub(super) unsafe fn is_unchanged(&self) -> bool {
        // SAFETY: the caller guarantees that the mutex is held.
        self.recompilations == unsafe { self.run_and_count() }
    }

    /// Records the current state as one in which no replacement is in progress.
    ///
    /// # Safety
    ///
    /// The connection's mutex must be held.
    pub(super) unsafe fn reset(&mut self) {
        // SAFETY: the caller guarantees that the mutex is held.
        self.recompilations = unsafe { self.run_and_count() };
    }

    /// Runs the statement, which recompiles it if it has expired, and returns how often it has been
    /// recompiled.
    ///
    /// # Safety
    ///
    /// The connection's mutex must be held.
    unsafe fn run_and_count(&self) -> c_int {
        let statement = self.statement.as_ptr();
        // SAFETY: the statement is valid until `self` is dropped, and its connection is open until
        // then, as `new` requires. It calls no function, so running it is sound even during a
        // replacement.
        // SAFETY: the statement is not finalized before `self` is gone.
        unsafe { sys::sqlite3_step(statement) };
        // SAFETY: the statement is valid until `self` is dropped.
        unsafe { sys::sqlite3_reset(statement) };
        // SAFETY: the statement is valid until `self` is dropped. The last argument leaves the
        // counter unchanged.
        unsafe { sys::sqlite3_stmt_status(statement, sys::STMTSTATUS_REPREPARE, 0) }
    }
}

impl Drop for ReplacementDetector {
    fn drop(&mut self) {
        // SAFETY: `new` prepared the statement, nobody uses it after this, and its connection is
        // still open, as `new` requires.
        unsafe { sys::sqlite3_finalize(self.statement.as_ptr()) };
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
