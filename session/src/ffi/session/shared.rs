//! The state that a session shares with its connection's registry.
//!
//! An operation locks the state, checks that the session is still open, and then tries to take the
//! connection's mutex. It never waits for the mutex while it holds the lock: a close holds the
//! mutex and waits for the lock.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::super::registry::{Registry, TracingPaused, lock, this_thread};
use super::super::statement::Connection;
use super::super::sys::sqlite3;
use super::super::{callback, mutex, replacement};
use super::open::{DroppedFilters, OpenSession};

/// The reason why an operation did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// The connection has been closed.
    Closed,
    /// The connection is in use: for example, a callback of the connection is running on this
    /// thread.
    Busy,
    /// The borrowed connection is not that of the session.
    OtherConnection,
    /// Another trace function has taken the place of this crate's, so that nothing shows whether the
    /// connection is still there.
    OtherTrace,
}

/// The state that a session and its connection's registry share.
pub(in super::super) struct SharedSession {
    pub(super) state: Mutex<Option<OpenSession>>,
    /// Whether the session has been dropped, and is disabled as soon as possible.
    pub(super) is_abandoned: AtomicBool,
}

impl SharedSession {
    /// Deletes the session, because its connection is closing. Called by the registry within
    /// `sqlite3_close`. The returned filter belongs to the application and may do anything when it
    /// is dropped: first all other sessions must be marked closed.
    pub(in super::super) fn connection_closed(&self) -> DroppedFilters {
        let open = lock(&self.state).take();
        DroppedFilters(open.and_then(|open| open.delete().1).into_iter().collect())
    }

    /// Runs `work` on the open session, with the connection's mutex held.
    pub(super) fn with<R>(
        &self,
        requires: Requires,
        work: impl FnOnce(&mut Option<OpenSession>) -> R,
    ) -> Result<R, Unavailable> {
        let (mut backoff, mut error) = (mutex::Backoff::default(), mutex::ErrorMonitor::default());
        let mut is_idle = false;
        loop {
            let nested = callback::is_inside_any();
            let mut state = match self.state(nested) {
                Some(state) => state,
                None => return Err(Unavailable::Busy),
            };
            let Some((db, registry)) = state.as_ref().map(|open| (open.db, open.registry)) else {
                return Err(Unavailable::Closed);
            };
            if matches!(requires, Requires::Connection(borrowed) if borrowed != db) {
                return Err(Unavailable::OtherConnection);
            }
            if requires != Requires::Nothing && callback::is_inside(db.as_ptr()) {
                return Err(Unavailable::Busy);
            }
            // SAFETY: the connection is open, because closing it would first take the session out
            // of `state`, which is locked. The guard is declared after `state`, so the mutex is
            // released before the connection can close.
            let held = unsafe { mutex::try_enter(db.as_ptr()) };
            let ready = match &held {
                None => Err(Obstacle::Mutex),
                Some(_) if requires != Requires::IdleConnection => Ok(None),
                Some(_) => {
                    // SAFETY: the registry exists until the connection has closed, which it cannot while
                    // its mutex is held.
                    let registry = unsafe { registry.as_ref() };
                    // SAFETY: the connection is open and its mutex is held until `held` is dropped,
                    // after the result. `is_idle` still holds: this thread has done nothing since.
                    unsafe { when_idle(db, registry, &mut error, is_idle) }.map(Some)
                }
            };
            let obstacle = match ready {
                Ok(_tracing_paused) => return Ok(work(&mut state)),
                Err(obstacle) => obstacle,
            };
            drop(held);
            if obstacle == Obstacle::Replacement {
                // SAFETY: the connection stays open while `state` is locked. This thread has just
                // released the mutex.
                is_idle = unsafe { replacement::is_idle(db) };
                if is_idle {
                    continue;
                }
            }
            drop(state);
            if obstacle == Obstacle::OtherTrace {
                return Err(Unavailable::OtherTrace);
            }
            // What this thread holds is not released while it waits. Inside a callback, the holder of
            // the mutex or of the statement may be waiting for this very callback to end.
            let is_own = obstacle == Obstacle::OwnRows;
            if is_own || (nested && obstacle != Obstacle::Error) || !backoff.wait() {
                return Err(Unavailable::Busy);
            }
        }
    }

    /// Runs `work` on the open session with the connection's mutex held, unless another thread holds
    /// it. Does not wait.
    pub(super) fn with_now<R>(&self, work: impl FnOnce(&mut Option<OpenSession>) -> R) -> Option<R> {
        let mut state = self.state(callback::is_inside_any())?;
        let db = state.as_ref()?.db;
        // SAFETY: the connection is open, because closing it would first take the session out of
        // `state`, which is locked. The guard is declared after `state`, so the mutex is released
        // before the connection can close.
        let _held = unsafe { mutex::try_enter(db.as_ptr()) }?;
        Some(work(&mut state))
    }

    /// Disables the session if it has been dropped. Returns `false` if it must be tried again
    /// later. The connection's mutex must be held.
    pub(in super::super) fn disable_if_abandoned(&self) -> bool {
        if !self.is_abandoned.load(Ordering::Acquire) {
            return true;
        }
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => PoisonError::into_inner(state),
            Err(TryLockError::WouldBlock) => return false,
        };
        if let Some(open) = &*state {
            open.disable();
        }
        true
    }

    pub(super) fn state(&self, nested: bool) -> Option<MutexGuard<'_, Option<OpenSession>>> {
        if !nested {
            return Some(lock(&self.state));
        }
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(PoisonError::into_inner(state)),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// What an operation requires of the connection, in addition to its mutex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Requires {
    /// Nothing: the operation only reads or sets flags, and may run inside a callback.
    Nothing,
    /// SQLite's session code is not running on the connection, further up on this thread's stack.
    NoCallback,
    /// The same, and the session is one of this connection, which is borrowed.
    Connection(NonNull<sqlite3>),
    /// Also, nobody is in the middle of using the connection: the operation runs SQL on a
    /// connection that is not borrowed.
    IdleConnection,
}

/// The reason why an operation cannot start now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// Another thread is using the connection.
    Mutex,
    /// A statement is active: Diesel reads the values of its rows without the mutex, or the
    /// statement is running further up on this thread's stack and has called one of its functions,
    /// which called this crate.
    Rows,
    /// The same, and this thread was the last one to start a statement: the active one is its own.
    OwnRows,
    /// The message of an error may not have been read yet, which Diesel does without the mutex.
    Error,
    /// A function or collation has been replaced, or is being replaced further up on this thread's
    /// stack.
    Replacement,
    /// Another trace function has taken the place of this crate's, which would have noticed that the
    /// connection was closed.
    OtherTrace,
}

/// Pauses the recording of threads for an operation that runs SQL on a connection that is not
/// borrowed. Fails if something keeps the operation from running.
///
/// # Safety
///
/// `db` must be open, with this registry, and its mutex must be held until the result is dropped.
/// `is_idle` may be true only if this thread is not inside SQLite's code on it.
unsafe fn when_idle<'a>(
    db: NonNull<sqlite3>,
    registry: &'a Registry,
    error: &mut mutex::ErrorMonitor,
    is_idle: bool,
) -> Result<TracingPaused<'a>, Obstacle> {
    // SAFETY: the caller guarantees that the connection is open and its mutex held.
    let is_busy = unsafe { Connection::new(db) }.is_busy();
    let used_here = registry.last_thread() == this_thread();
    if is_busy {
        return Err(if used_here { Obstacle::OwnRows } else { Obstacle::Rows });
    }
    // SAFETY: the caller guarantees that the connection is open and its mutex held.
    if !unsafe { error.is_read(db.as_ptr(), used_here) } {
        return Err(Obstacle::Error);
    }
    // the detector below runs a statement
    let tracing_paused = registry.pause_tracing().ok_or(Obstacle::OtherTrace)?;
    if is_idle {
        // SAFETY: the caller guarantees that the connection is open, its mutex held, and nobody
        // inside SQLite's code on it: this thread is not, as `is_idle` says, and no other thread
        // can be while the mutex is held.
        unsafe { registry.note_idle() };
        return Ok(tracing_paused);
    }
    // SAFETY: the caller guarantees that the connection is open and its mutex held.
    let is_unchanged = unsafe { registry.is_unchanged() };
    if is_unchanged { Ok(tracing_paused) } else { Err(Obstacle::Replacement) }
}
