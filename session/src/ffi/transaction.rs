//! What holds together everything that one apply reads and writes.

use core::ffi::CStr;
use std::ptr;

use super::callback;
use super::error::SqliteError;
use super::handle::Handle;
use super::registry::{Registry, Untraced};
use super::statement::Connection;
use super::sys::{self, sqlite3};

/// A transaction of its own, a savepoint in the user's, or the user's own. Dropped, it is undone; meanwhile the connection is on
/// the list of [`callback`].
pub(crate) struct Transaction<'conn> {
    db: *mut sqlite3,
    commit: Option<&'static CStr>,
    undo: Option<&'static CStr>,
    /// Whether it is in a transaction of the user's.
    is_inside: bool,
    /// Whether that defers all foreign keys. SQLite's apply does so meanwhile, and then turns it off for good: what is broken until
    /// then could never be mended.
    defers: bool,
    // functions of the connection's may be called, by triggers and at the end
    _inside: callback::Inside,
    _untraced: Option<Untraced<'conn>>,
}

/// Why there is no transaction.
pub(crate) enum NotBegun {
    /// Inside a callback of the same connection.
    Busy,
    Failed(SqliteError),
}

impl<'conn> Transaction<'conn> {
    /// Begins one in which no other connection can change what has been read, if there can be one: a savepoint in a transaction,
    /// and elsewhere a transaction that keeps other writers away from the first. Such a one is none for whoever may not write, and
    /// it would lock attached databases too.
    pub(crate) fn begin_still(handle: Handle<'conn>, writes: bool) -> Result<Option<Self>, NotBegun> {
        if handle.is_in_transaction() {
            let undo = c"ROLLBACK TO diesel_sqlite_session_apply; RELEASE diesel_sqlite_session_apply";
            return Self::start(handle, Some(SAVEPOINT), Some(RELEASE), Some(undo)).map(Some);
        }
        if !writes || Connection::from(handle).has_attached() {
            return Ok(None);
        }
        match Self::start(handle, Some(c"BEGIN IMMEDIATE"), Some(c"COMMIT"), Some(c"ROLLBACK")) {
            // whether anything is to be written is yet to be seen
            Err(NotBegun::Failed(failure)) if failure.code & 0xff == sys::SQLITE_READONLY => Ok(None),
            begun => begun.map(Some),
        }
    }

    /// Whether it is in a transaction of the user's.
    pub(super) fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// Begins one, outside of any other, that takes locks as they are needed.
    pub(crate) fn begin(handle: Handle<'conn>) -> Result<Self, NotBegun> {
        Self::start(handle, Some(SAVEPOINT), Some(RELEASE), Some(c"ROLLBACK"))
    }

    /// Takes that of the user as it is, and undoes nothing.
    pub(crate) fn of_the_user(handle: Handle<'conn>) -> Result<Self, NotBegun> {
        Self::start(handle, None, None, None)
    }

    fn start(
        handle: Handle<'conn>,
        begin: Option<&CStr>,
        commit: Option<&'static CStr>,
        undo: Option<&'static CStr>,
    ) -> Result<Self, NotBegun> {
        let db = handle.as_ptr();
        if callback::is_inside(db) {
            return Err(NotBegun::Busy);
        }
        let _inside = callback::enter(db);
        let _untraced = handle.registry().map(Registry::untraced);
        let is_inside = handle.is_in_transaction();
        let mut defers = false;
        if is_inside {
            let read =
                Connection::from(handle).for_each("PRAGMA defer_foreign_keys", |row| defers = row.integer(0) != 0);
            read.map_err(NotBegun::Failed)?;
        }
        if let Some(begin) = begin {
            // SAFETY: the connection is open and borrowed for longer than this lives.
            unsafe { execute(db, begin) }.map_err(NotBegun::Failed)?;
        }
        Ok(Self { db, commit, undo, is_inside, defers, _inside, _untraced })
    }

    /// Ends it. Where that fails it is undone.
    pub(crate) fn commit(mut self) -> Result<(), SqliteError> {
        if let Some(commit) = self.commit {
            // SAFETY: as above.
            unsafe { execute(self.db, commit) }?;
        }
        self.undo = None;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(undo) = self.undo {
            // Where the commit met a reader the transaction is still there; after some errors, SQLite has rolled back already.
            // SAFETY: as above.
            let _ = unsafe { execute(self.db, undo) };
        }
        if self.defers {
            // SAFETY: as above.
            let _ = unsafe { execute(self.db, c"PRAGMA defer_foreign_keys = ON") };
        }
    }
}

const SAVEPOINT: &CStr = c"SAVEPOINT diesel_sqlite_session_apply";
const RELEASE: &CStr = c"RELEASE diesel_sqlite_session_apply";

/// Runs SQL without a result.
///
/// # Safety
///
/// `db` must be open and borrowed.
unsafe fn execute(db: *mut sqlite3, sql: &CStr) -> Result<(), SqliteError> {
    // SAFETY: the connection is open, and the SQL a C string; no callback is given.
    let code = unsafe { sys::sqlite3_exec(db, sql.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
    // SAFETY: as above.
    if code == sys::SQLITE_OK { Ok(()) } else { Err(unsafe { SqliteError::of(db, code) }) }
}
