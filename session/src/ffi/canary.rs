//! Whether a function or collation of the connection may just be being replaced, further up on this thread's stack.
//!
//! SQLite drops the old one while it can still be called. What it owned is the user's, and may use a session when it is
//! dropped; SQL that is run then could call it half dropped. The connection's mutex does not tell: it is recursive, and held by
//! this very thread. But before it replaces one, SQLite marks all statements as out of date. So a statement that is not has
//! been compiled since the last replacement began; and that it has ended is known when another thread can have the mutex.

use core::ffi::c_int;
use std::ptr::{self, NonNull};

use super::sys::{self, sqlite3, sqlite3_stmt};

/// A statement that does nothing.
pub(super) struct Canary {
    statement: NonNull<sqlite3_stmt>,
    /// How often it had been compiled again when nothing was being replaced.
    compiled: c_int,
}

// SAFETY: the statement is used only by who holds the connection's mutex.
unsafe impl Send for Canary {}

impl Canary {
    /// # Safety
    ///
    /// `db` must be open, its mutex held, and the canary finalized before it closes.
    pub(super) unsafe fn new(db: NonNull<sqlite3>) -> Option<Self> {
        let mut statement = ptr::null_mut();
        let query = c"SELECT 1".as_ptr();
        // SAFETY: the connection is open; the query is a C string; `statement` may be written to.
        unsafe { sys::sqlite3_prepare_v2(db.as_ptr(), query, -1, &raw mut statement, ptr::null_mut()) };
        Some(Self { statement: NonNull::new(statement)?, compiled: 0 })
    }

    /// Whether nothing has begun to be replaced since the last [`reset`](Self::reset).
    ///
    /// # Safety
    ///
    /// The connection's mutex must be held.
    pub(super) unsafe fn sings(&self) -> bool {
        // SAFETY: the statement is the connection's, which is open as long as there is a canary. It has no function in it.
        self.compiled == unsafe { self.count() }
    }

    /// To be called when nothing is being replaced.
    ///
    /// # Safety
    ///
    /// The connection's mutex must be held.
    pub(super) unsafe fn reset(&mut self) {
        // SAFETY: as above.
        self.compiled = unsafe { self.count() };
    }

    /// Runs the statement, which compiles it again if it is out of date, and tells how often that has been done.
    unsafe fn count(&self) -> c_int {
        let statement = self.statement.as_ptr();
        // SAFETY: the statement is not finalized before `self` is gone.
        unsafe { sys::sqlite3_step(statement) };
        // SAFETY: as above.
        unsafe { sys::sqlite3_reset(statement) };
        // SAFETY: as above.
        unsafe { sys::sqlite3_stmt_status(statement, sys::STMTSTATUS_REPREPARE, 0) }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        // SAFETY: the connection is open: the registry drops the canary before it closes.
        unsafe { sys::sqlite3_finalize(self.statement.as_ptr()) };
    }
}

/// Whether nobody is inside SQLite's code on the connection, this thread neither.
///
/// # Safety
///
/// `db` must be open, and must stay so until the answer is there. This thread must not have taken the mutex by itself.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(super) unsafe fn is_nobody_inside(db: NonNull<sqlite3>) -> bool {
    struct Address(NonNull<sqlite3>);
    // SAFETY: only the mutex is used, which is there for all threads.
    unsafe impl Send for Address {}
    let address = Address(db);
    let try_it = move || {
        let address = address;
        // SAFETY: the connection is open, says the caller, who waits for this thread.
        unsafe { super::mutex::try_enter(address.0.as_ptr()) }.is_some()
    };
    let thread = std::thread::Builder::new().name("diesel-sqlite-session".into()).spawn(try_it);
    thread.is_ok_and(|thread| thread.join().unwrap_or(false))
}

/// Without threads there is no other way than to believe it.
///
/// # Safety
///
/// None is needed here.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(super) unsafe fn is_nobody_inside(_: NonNull<sqlite3>) -> bool {
    true
}
