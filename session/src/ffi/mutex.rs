//! The mutex of a connection, [`sqlite3_db_mutex`](https://www.sqlite.org/c3ref/db_mutex.html).
//!
//! The mutex is recursive. A target without threads has no mutex and needs none.

use std::ptr::NonNull;
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
use std::time::{Duration, Instant};

use super::sys::{self, sqlite3, sqlite3_mutex};

/// Holds the mutex on this thread until dropped.
pub(super) struct MutexGuard {
    mutex: Option<NonNull<sqlite3_mutex>>,
}

/// Takes the mutex if it is free or already held by this thread.
///
/// # Safety
///
/// `db` must be open, and stay open until the returned guard is dropped.
pub(super) unsafe fn try_enter(db: *mut sqlite3) -> Option<MutexGuard> {
    // SAFETY: the caller guarantees that `db` is open.
    let mutex = unsafe { sys::sqlite3_db_mutex(db) };
    let Some(mutex) = NonNull::new(mutex) else {
        return Some(MutexGuard { mutex: None });
    };
    // SAFETY: the connection owns the mutex and is open, so the mutex is valid.
    let code = unsafe { sys::sqlite3_mutex_try(mutex.as_ptr()) };
    (code == sys::SQLITE_OK).then_some(MutexGuard { mutex: Some(mutex) })
}

impl Drop for MutexGuard {
    fn drop(&mut self) {
        if let Some(mutex) = self.mutex {
            // SAFETY: this thread took the mutex in `try_enter`, since `MutexGuard` is not `Send`.
            // The connection, and the mutex with it, is still there, as `try_enter` requires.
            unsafe { sys::sqlite3_mutex_leave(mutex.as_ptr()) };
        }
    }
}

/// The reason why a connection's mutex cannot protect sessions.
pub(super) enum MutexError {
    /// There is no mutex, although there are threads.
    Missing,
    /// `sqlite3_mutex_try` never succeeds, as in some builds for Windows.
    TryUnsupported,
}

/// Checks that the mutex can synchronize sessions on other threads with the connection.
///
/// # Safety
///
/// `db` must be open.
pub(super) unsafe fn check(db: *mut sqlite3) -> Result<(), MutexError> {
    if cfg!(all(target_family = "wasm", target_os = "unknown", not(target_feature = "atomics"))) {
        return Ok(());
    }
    // SAFETY: the caller guarantees that `db` is open.
    let mutex = unsafe { sys::sqlite3_db_mutex(db) };
    if mutex.is_null() {
        return Err(MutexError::Missing);
    }
    // SAFETY: the connection owns the mutex and is open, so the mutex is valid. It is released
    // below.
    unsafe { sys::sqlite3_mutex_enter(mutex) };
    // SAFETY: the mutex is valid. It is recursive and this thread holds it, so a working `try`
    // succeeds.
    let tried = unsafe { sys::sqlite3_mutex_try(mutex) };
    if tried == sys::SQLITE_OK {
        // SAFETY: this thread holds the mutex twice, and releases it once here.
        unsafe { sys::sqlite3_mutex_leave(mutex) };
    }
    // SAFETY: this thread has held the mutex since `sqlite3_mutex_enter`.
    unsafe { sys::sqlite3_mutex_leave(mutex) };
    if tried == sys::SQLITE_OK { Ok(()) } else { Err(MutexError::TryUnsupported) }
}

/// A wait loop with growing pauses, for as long as another thread uses the connection.
///
/// SQLite's mutex is not fair: a tight loop would starve the other thread. The loop ends after five
/// seconds, because two threads that wait for each other inside functions of their connections
/// would otherwise wait forever. On targets without threads it ends at once.
#[derive(Default)]
pub(super) struct Backoff {
    turn: u32,
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    since: Option<Instant>,
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl Backoff {
    const MAX_WAIT: Duration = Duration::from_secs(5);

    /// Waits a little. Returns `false` when the time is up.
    pub(super) fn wait(&mut self) -> bool {
        self.turn = self.turn.saturating_add(1);
        match self.turn {
            0..20 => std::hint::spin_loop(),
            20..100 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
        self.turn < 100 || self.since.get_or_insert_with(Instant::now).elapsed() < Self::MAX_WAIT
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl Backoff {
    pub(super) fn wait(&mut self) -> bool {
        self.turn = self.turn.saturating_add(1);
        false
    }
}

/// Detects that the message of the connection's latest error may not have been read yet.
///
/// Diesel reads the message after the failed call has released the mutex, and the next error on the
/// connection frees the message. Diesel takes about a microsecond. An error that has stayed the
/// latest for a while has therefore been read:
///
/// - after a second, if the connection was last used on another thread, which the system may have
///   suspended
/// - at once, if a constraint was violated and the connection was last used on this thread, which has
///   continued since: only a statement that ran violates a constraint
/// - after ten milliseconds, if the connection was last used on this thread: a statement that failed
///   to compile could belong to another thread
/// - at once, if there is no other thread
#[derive(Default)]
pub(super) struct ErrorMonitor {
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    latest: Option<(ErrorFingerprint, Instant)>,
}

/// The error code and the connection's memory counters. Each failing statement changes this value.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
type ErrorFingerprint = (core::ffi::c_int, [core::ffi::c_int; 3]);

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl ErrorMonitor {
    const READ_AFTER: Duration = Duration::from_secs(1);
    const READ_AFTER_HERE: Duration = Duration::from_millis(10);

    /// Returns whether the message of the latest error has surely been read. `used_here` is true if
    /// the connection was last used on this thread.
    ///
    /// # Safety
    ///
    /// `db` must be open, and its mutex must be held.
    pub(super) unsafe fn is_read(&mut self, db: *mut sqlite3, used_here: bool) -> bool {
        // SAFETY: the caller guarantees that `db` is open.
        let code = unsafe { sys::sqlite3_extended_errcode(db) };
        if matches!(code & 0xff, sys::SQLITE_OK | sys::SQLITE_ROW | sys::SQLITE_DONE) {
            return true;
        }
        if used_here && code & 0xff == sys::SQLITE_CONSTRAINT {
            return true;
        }
        let fingerprint = (
            code,
            sys::DBSTATUS_LOOKASIDE.map(|counter| {
                let (mut current, mut highest) = (0, 0);
                // SAFETY: `db` is open. Both numbers are local variables. For these counters the
                // highest value is the count.
                unsafe { sys::sqlite3_db_status(db, counter, &raw mut current, &raw mut highest, 0) };
                highest
            }),
        );
        match self.latest {
            Some((before, since)) if before == fingerprint => {
                since.elapsed() >= if used_here { Self::READ_AFTER_HERE } else { Self::READ_AFTER }
            }
            _ if is_only_thread() => true,
            _ => {
                self.latest = Some((fingerprint, Instant::now()));
                false
            }
        }
    }
}

/// Returns whether the process is known to have no other thread.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
fn is_only_thread() -> bool {
    cfg!(target_os = "linux") && std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.take(2).count() == 1)
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl ErrorMonitor {
    /// Returns `true`: without threads nobody else can be reading.
    ///
    /// # Safety
    ///
    /// Always safe to call. It is `unsafe` only to match the version for targets with threads.
    pub(super) unsafe fn is_read(&mut self, _: *mut sqlite3, _: bool) -> bool {
        true
    }
}
