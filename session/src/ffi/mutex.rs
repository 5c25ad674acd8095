//! The mutex of a connection, [`sqlite3_db_mutex`](https://www.sqlite.org/c3ref/db_mutex.html).
//!
//! It is recursive. On a target without threads there is none, and none is needed.

use std::ptr::NonNull;
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
use std::time::{Duration, Instant};

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

/// Waiting for what another thread does to a connection, with pauses that grow, since SQLite's mutex is not fair: a tight loop
/// here would starve the other. It ends after five seconds: two threads that wait for each other inside functions of
/// their connections would otherwise wait for ever. Where there are no threads it ends at once.
#[derive(Default)]
pub(super) struct Patience {
    turn: u32,
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    since: Option<Instant>,
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl Patience {
    const LONGEST: Duration = Duration::from_secs(5);

    /// Waits a little. `false` when it is at its end.
    pub(super) fn wait(&mut self) -> bool {
        self.turn = self.turn.saturating_add(1);
        match self.turn {
            0..20 => std::hint::spin_loop(),
            20..100 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
        self.turn < 100 || self.since.get_or_insert_with(Instant::now).elapsed() < Self::LONGEST
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl Patience {
    pub(super) fn wait(&mut self) -> bool {
        self.turn = self.turn.saturating_add(1);
        false
    }
}

/// Waiting until whoever met an error on the connection has surely read SQLite's message of it.
///
/// Diesel reads the message after the call that failed has given the mutex back, and the next error on the connection frees
/// it. It does so within a microsecond or so; after a while in which nothing else was done on the connection, what is to be seen
/// is an error that was read long ago. That is a second where the connection is used on another thread, which the system may
/// suspend; and ten milliseconds where it was last used on this one, which has come further since, and only a statement that
/// did not even compile could have been another's.
#[derive(Default)]
pub(super) struct ErrorRead {
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    seen: Option<(Trace, Instant)>,
}

/// What every failing statement leaves other than the one before: the error code, and how often the connection took memory.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
type Trace = (core::ffi::c_int, [core::ffi::c_int; 3]);

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl ErrorRead {
    const LONG_AGO: Duration = Duration::from_secs(1);
    const LONG_AGO_HERE: Duration = Duration::from_millis(10);

    /// Whether no error of the connection can be in the midst of being read. `used_here` says that the connection was last used
    /// on this thread.
    ///
    /// # Safety
    ///
    /// `db` must be open, and its mutex held.
    pub(super) unsafe fn is_sure(&mut self, db: *mut sqlite3, used_here: bool) -> bool {
        // SAFETY: `db` is open, says the caller.
        let code = unsafe { sys::sqlite3_extended_errcode(db) };
        if matches!(code & 0xff, sys::SQLITE_OK | sys::SQLITE_ROW | sys::SQLITE_DONE) {
            return true;
        }
        let trace = (
            code,
            sys::DBSTATUS_LOOKASIDE.map(|counter| {
                let (mut current, mut highest) = (0, 0);
                // SAFETY: `db` is open; both numbers may be written to. These counters tell their number as the highest.
                unsafe { sys::sqlite3_db_status(db, counter, &raw mut current, &raw mut highest, 0) };
                highest
            }),
        );
        match self.seen {
            Some((before, since)) if before == trace => {
                since.elapsed() >= if used_here { Self::LONG_AGO_HERE } else { Self::LONG_AGO }
            }
            _ => {
                self.seen = Some((trace, Instant::now()));
                false
            }
        }
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl ErrorRead {
    /// Where there are no threads, nobody else can be reading.
    ///
    /// # Safety
    ///
    /// None is needed here.
    pub(super) unsafe fn is_sure(&mut self, _: *mut sqlite3, _: bool) -> bool {
        true
    }
}
