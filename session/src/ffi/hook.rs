//! The preupdate hook of a connection, through which SQLite's sessions record.
//!
//! A connection has [one such hook](https://www.sqlite.org/c3ref/preupdate_blobwrite.html). SQLite's
//! sessions form a chain: the hook is that of the newest one, which links to the one before. SQLite
//! follows these links without checking whose hook it is. So before a session is created, deleted
//! or read, the hook must be known to be that of the chain: otherwise changes are missing, and SQLite
//! would take the data of another hook for a session.
//!
//! The hook can be read only by replacing it. To restore it, a session is created on top of it and
//! deleted again. Called by [`session`](super::session) and [`registry`](super::registry).

use core::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::vec::Vec;

use super::sys::{self, sqlite3, sqlite3_session};

/// The sessions of a connection in the order of SQLite's chain, the newest last.
#[derive(Default)]
pub(super) struct HookChain {
    sessions: Vec<NonNull<sqlite3_session>>,
}

// SAFETY: the pointers are used only by code that holds the connection's mutex, on whichever thread.
unsafe impl Send for HookChain {}

/// The reason why no session was created.
pub(super) enum HookError {
    /// The connection had another preupdate hook, which has been removed.
    OtherHook,
    /// SQLite failed with this code.
    Sqlite(c_int),
}

unsafe extern "C" fn nothing(
    _: *mut c_void,
    _: *mut sqlite3,
    _: c_int,
    _: *const c_char,
    _: *const c_char,
    _: sys::sqlite3_int64,
    _: sys::sqlite3_int64,
) {
}

impl HookChain {
    /// Returns whether the hook is that of the chain. If it is not, removes the other hook, and
    /// forgets the sessions: none of them records any more.
    ///
    /// # Safety
    ///
    /// The connection must be open, its mutex held, and nobody inside SQLite's code on it.
    unsafe fn verify(&mut self, db: NonNull<sqlite3>) -> bool {
        let head = self.sessions.last().copied();
        // SAFETY: the caller guarantees that the connection is open. There may be no hook, and its
        // context may be null.
        let found = unsafe { sys::sqlite3_preupdate_hook(db.as_ptr(), None, ptr::null_mut()) };
        if found != head.map_or(ptr::null_mut(), |head| head.as_ptr().cast()) {
            self.sessions.clear();
            return false;
        }
        // SAFETY: as this function requires. The head is a session that has not been deleted.
        head.is_none_or(|head| unsafe { self.restore(db, head) })
    }

    /// Makes the hook that of `head` again. If SQLite has no memory, forgets the sessions.
    ///
    /// # Safety
    ///
    /// The requirements of [`verify`](Self::verify). `head` must be the newest session of the chain.
    unsafe fn restore(&mut self, db: NonNull<sqlite3>, head: NonNull<sqlite3_session>) -> bool {
        // SAFETY: the caller guarantees that the connection is open. The function does nothing.
        unsafe { sys::sqlite3_preupdate_hook(db.as_ptr(), Some(nothing), head.as_ptr().cast()) };
        let mut top = ptr::null_mut();
        // SAFETY: the connection is open. The name is a C string, and `top` is a local variable. The
        // context of the hook is a session, to which SQLite links the new one.
        let code = unsafe { sys::sqlite3session_create(db.as_ptr(), c"main".as_ptr(), &raw mut top) };
        if code != sys::SQLITE_OK || top.is_null() {
            // SAFETY: the caller guarantees that the connection is open.
            unsafe { sys::sqlite3_preupdate_hook(db.as_ptr(), None, ptr::null_mut()) };
            self.sessions.clear();
            return false;
        }
        // SAFETY: the session has just been created and is not used again. SQLite makes the hook that
        // of the session to which it is linked.
        unsafe { sys::sqlite3session_delete(top) };
        true
    }

    /// Returns whether a session has recorded everything since it was created.
    ///
    /// # Safety
    ///
    /// The requirements of [`verify`](Self::verify).
    pub(super) unsafe fn records(&mut self, db: NonNull<sqlite3>, session: NonNull<sqlite3_session>) -> bool {
        // SAFETY: as this function requires.
        unsafe { self.verify(db) };
        self.sessions.contains(&session)
    }

    /// Creates a session.
    ///
    /// # Safety
    ///
    /// The requirements of [`verify`](Self::verify).
    pub(super) unsafe fn create(
        &mut self,
        db: NonNull<sqlite3>,
        schema: &CStr,
    ) -> Result<NonNull<sqlite3_session>, HookError> {
        // SAFETY: as this function requires.
        if !unsafe { self.verify(db) } {
            return Err(HookError::OtherHook);
        }
        // SAFETY: as this function requires. The hook is that of the chain.
        unsafe { self.add(db, schema) }.map_err(HookError::Sqlite)
    }

    /// Creates a session on top of a hook that has been verified.
    ///
    /// # Safety
    ///
    /// The requirements of [`verify`](Self::verify). The hook must be that of the chain: a call that
    /// verified it has succeeded, and no SQL has run since.
    pub(super) unsafe fn add(
        &mut self,
        db: NonNull<sqlite3>,
        schema: &CStr,
    ) -> Result<NonNull<sqlite3_session>, c_int> {
        let mut session = ptr::null_mut();
        // SAFETY: the connection is open. The name is a C string, and `session` is a local variable.
        // The context of the hook is null or a session.
        let code = unsafe { sys::sqlite3session_create(db.as_ptr(), schema.as_ptr(), &raw mut session) };
        let created = NonNull::new(session).filter(|_| code == sys::SQLITE_OK).ok_or(code)?;
        self.sessions.push(created);
        Ok(created)
    }

    /// Deletes a session. Returns whether it has recorded everything since it was created.
    ///
    /// # Safety
    ///
    /// The requirements of [`verify`](Self::verify). The session must be valid, and must not be used
    /// afterwards.
    pub(super) unsafe fn delete(&mut self, db: NonNull<sqlite3>, session: NonNull<sqlite3_session>) -> bool {
        let head = self.sessions.last().copied();
        // SAFETY: the caller guarantees that the connection is open. There may be no hook, and its
        // context may be null.
        let found = unsafe { sys::sqlite3_preupdate_hook(db.as_ptr(), None, ptr::null_mut()) };
        if found != head.map_or(ptr::null_mut(), |head| head.as_ptr().cast()) {
            self.sessions.clear();
        }
        if let Some(head) = self.sessions.last().copied().filter(|_| self.sessions.contains(&session)) {
            // SAFETY: the caller guarantees that the connection is open. The function does nothing, and
            // is replaced by the next call.
            unsafe { sys::sqlite3_preupdate_hook(db.as_ptr(), Some(nothing), head.as_ptr().cast()) };
            // SAFETY: the context of the hook is the newest session of the chain, in which SQLite finds
            // the session. It makes the hook that of the newest one that remains.
            unsafe { self.remove(session) };
            return true;
        }
        // SAFETY: the session is valid. There is no hook, so SQLite follows no link.
        unsafe { sys::sqlite3session_delete(session.as_ptr()) };
        if let Some(head) = self.sessions.last().copied() {
            // SAFETY: as this function requires. The head is a session that has not been deleted.
            unsafe { self.restore(db, head) };
        }
        false
    }

    /// Deletes a session of the chain. The context of the hook is the newest session.
    ///
    /// # Safety
    ///
    /// The requirements of [`delete`](Self::delete). The context of the hook must be the newest session
    /// of the chain, and the session one of the chain.
    pub(super) unsafe fn remove(&mut self, session: NonNull<sqlite3_session>) {
        self.sessions.retain(|known| *known != session);
        // SAFETY: the session is valid. The hook is that of the chain, in which SQLite finds it.
        unsafe { sys::sqlite3session_delete(session.as_ptr()) };
    }
}
