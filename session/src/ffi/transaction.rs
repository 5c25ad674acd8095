//! The transaction around everything that one apply reads and writes. Called by `apply::driver`.

use core::ffi::CStr;
use std::ptr;

use super::callback;
use super::error::SqliteError;
use super::handle::Handle;
use super::registry::{Registry, TracingPaused};
use super::statement::Connection;
use super::sys::{self, sqlite3};

/// A new transaction, a savepoint in the application's transaction, or the application's
/// transaction itself.
///
/// Dropping it rolls back. Until then the connection is on the list of [`callback`].
pub(crate) struct Transaction<'conn> {
    db: *mut sqlite3,
    commit: Option<&'static CStr>,
    undo: Option<&'static CStr>,
    /// Whether the connection was already in a transaction of the application.
    is_inside: bool,
    /// Whether that transaction defers all foreign keys (`PRAGMA defer_foreign_keys`). SQLite's
    /// apply turns this on, and off at the end, after which existing violations could never be
    /// repaired. Dropping restores it.
    defers: bool,
    // triggers, and SQLite at the commit, may call functions of the application
    _inside: callback::CallbackGuard,
    _tracing_paused: Option<TracingPaused<'conn>>,
}

/// The reason why a transaction did not begin.
pub(crate) enum BeginError {
    /// The call comes from a callback of the same connection.
    Busy,
    Failed(SqliteError),
}

impl<'conn> Transaction<'conn> {
    /// Begins a transaction in which no other connection can change what has been read: a savepoint
    /// inside a transaction, or `BEGIN IMMEDIATE` outside, which excludes other writers from the
    /// start. Returns `None` if the latter is not appropriate: nothing may be written, or databases
    /// are attached, which it would lock too.
    pub(crate) fn begin_exclusive(handle: Handle<'conn>, writes: bool) -> Result<Option<Self>, BeginError> {
        if handle.is_in_transaction() {
            let undo = c"ROLLBACK TO diesel_sqlite_session_apply; RELEASE diesel_sqlite_session_apply";
            return Self::start(handle, Some(SAVEPOINT), Some(RELEASE), Some(undo)).map(Some);
        }
        if !writes || Connection::from(handle).has_attached() {
            return Ok(None);
        }
        match Self::start(handle, Some(c"BEGIN IMMEDIATE"), Some(c"COMMIT"), Some(c"ROLLBACK")) {
            // a read-only database: whether there is anything to write is not known yet
            Err(BeginError::Failed(failure)) if failure.code & 0xff == sys::SQLITE_READONLY => Ok(None),
            begun => begun.map(Some),
        }
    }

    /// Returns whether the connection was already in a transaction of the application.
    pub(super) fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// Begins a transaction, outside of any other, that takes locks when they are needed.
    pub(crate) fn begin(handle: Handle<'conn>) -> Result<Self, BeginError> {
        Self::start(handle, Some(SAVEPOINT), Some(RELEASE), Some(c"ROLLBACK"))
    }

    /// Uses the application's transaction as it is. Dropping does not roll back.
    pub(crate) fn join(handle: Handle<'conn>) -> Result<Self, BeginError> {
        Self::start(handle, None, None, None)
    }

    fn start(
        handle: Handle<'conn>,
        begin: Option<&CStr>,
        commit: Option<&'static CStr>,
        undo: Option<&'static CStr>,
    ) -> Result<Self, BeginError> {
        let db = handle.as_ptr();
        if callback::is_inside(db) {
            return Err(BeginError::Busy);
        }
        let _inside = callback::enter(db);
        let _tracing_paused = handle.registry().map(Registry::pause_tracing);
        let is_inside = handle.is_in_transaction();
        let mut defers = false;
        if is_inside {
            let read =
                Connection::from(handle).for_each("PRAGMA defer_foreign_keys", |row| defers = row.integer(0) != 0);
            read.map_err(BeginError::Failed)?;
        }
        if let Some(begin) = begin {
            // SAFETY: `handle` proves that the connection is open and borrowed.
            unsafe { execute(db, begin) }.map_err(BeginError::Failed)?;
        }
        Ok(Self { db, commit, undo, is_inside, defers, _inside, _tracing_paused })
    }

    /// Commits the transaction, or releases the savepoint. Rolls back on failure.
    pub(crate) fn commit(mut self) -> Result<(), SqliteError> {
        if let Some(commit) = self.commit {
            // SAFETY: the connection is open and borrowed during `'conn`, of which `start` got a
            // handle.
            unsafe { execute(self.db, commit) }?;
        }
        self.undo = None;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(undo) = self.undo {
            // If a reader blocked the commit, the transaction still exists. After some errors
            // SQLite has already rolled back.
            // SAFETY: the connection is open and borrowed during `'conn`, of which `start` got a
            // handle.
            let _ = unsafe { execute(self.db, undo) };
        }
        if self.defers {
            // SAFETY: the connection is open and borrowed during `'conn`, of which `start` got a
            // handle.
            let _ = unsafe { execute(self.db, c"PRAGMA defer_foreign_keys = ON") };
        }
    }
}

const SAVEPOINT: &CStr = c"SAVEPOINT diesel_sqlite_session_apply";
const RELEASE: &CStr = c"RELEASE diesel_sqlite_session_apply";

/// Runs SQL that returns no rows.
///
/// # Safety
///
/// `db` must be open and borrowed.
unsafe fn execute(db: *mut sqlite3, sql: &CStr) -> Result<(), SqliteError> {
    // SAFETY: the caller guarantees that the connection is open and borrowed. The SQL is a C
    // string, and the callback, its argument and the place for a message may be null.
    let code = unsafe { sys::sqlite3_exec(db, sql.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
    // SAFETY: the caller guarantees that the connection is open.
    if code == sys::SQLITE_OK { Ok(()) } else { Err(unsafe { SqliteError::of(db, code) }) }
}
