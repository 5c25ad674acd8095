//! The mutex of a connection, [`sqlite3_db_mutex`](https://www.sqlite.org/c3ref/db_mutex.html).
//!
//! It is recursive. On a target without threads there is none, and none is needed.

use std::ptr::NonNull;

use super::sys::{self, sqlite3, sqlite3_mutex};

/// The mutex, held by this thread.
pub(super) struct Held {
    mutex: Option<NonNull<sqlite3_mutex>>,
}

/// Takes the mutex if it is free, or held by this thread already.
///
/// # Safety
///
/// `db` must be open, and must stay so until the answer has been given and dropped.
pub(super) unsafe fn try_enter(db: *mut sqlite3) -> Option<Held> {
    // SAFETY: `db` is open, says the caller.
    let mutex = unsafe { sys::sqlite3_db_mutex(db) };
    let Some(mutex) = NonNull::new(mutex) else {
        return Some(Held { mutex: None });
    };
    // SAFETY: the mutex of an open connection is valid.
    let code = unsafe { sys::sqlite3_mutex_try(mutex.as_ptr()) };
    (code == sys::SQLITE_OK).then_some(Held { mutex: Some(mutex) })
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mutex) = self.mutex {
            // SAFETY: this thread took it in `try_enter`; `Held` is not `Send`, and the connection is still open.
            unsafe { sys::sqlite3_mutex_leave(mutex.as_ptr()) };
        }
    }
}

/// Why the connection's mutex does not do.
pub(super) enum Unfit {
    /// There is none, though there are threads.
    Missing,
    /// `sqlite3_mutex_try` never succeeds, as in some builds for Windows.
    NoTry,
}

/// Whether sessions on other threads than the connection's can be kept apart by the mutex.
///
/// # Safety
///
/// `db` must be open.
pub(super) unsafe fn check(db: *mut sqlite3) -> Result<(), Unfit> {
    if cfg!(all(target_family = "wasm", target_os = "unknown", not(target_feature = "atomics"))) {
        return Ok(());
    }
    // SAFETY: `db` is open, says the caller.
    let mutex = unsafe { sys::sqlite3_db_mutex(db) };
    if mutex.is_null() {
        return Err(Unfit::Missing);
    }
    // SAFETY: the mutex of an open connection is valid; it is left again below.
    unsafe { sys::sqlite3_mutex_enter(mutex) };
    // SAFETY: as above. It is recursive and this thread holds it, so this must succeed.
    let tried = unsafe { sys::sqlite3_mutex_try(mutex) };
    if tried == sys::SQLITE_OK {
        // SAFETY: this thread has taken it twice by now; here it leaves it the first time.
        unsafe { sys::sqlite3_mutex_leave(mutex) };
    }
    // SAFETY: this thread took it above.
    unsafe { sys::sqlite3_mutex_leave(mutex) };
    if tried == sys::SQLITE_OK { Ok(()) } else { Err(Unfit::NoTry) }
}
