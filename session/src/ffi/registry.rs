//! What hangs on a connection: the list of its sessions, as
//! [client data](https://www.sqlite.org/c3ref/get_clientdata.html).
//!
//! SQLite frees client data inside `sqlite3_close`, while the handle still works. That is where the sessions are deleted
//! and told that their connection is gone.
//!
//! Locks are taken in this order: the state of a session, the connection's mutex, the list. Closing comes with the mutex
//! and wants the state; therefore nobody waits for the mutex who has the state: see [`session`](super::session).

use core::ffi::c_void;
use std::boxed::Box;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::callback;
use super::mutex;
use super::probe::NAME;
use super::session::Shared;
use super::sys::{self, sqlite3};

/// The connections that have a registry, by address: those of which an address can be trusted.
static LIVE: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sessions of one connection.
pub(super) struct Registry {
    db: NonNull<sqlite3>,
    sessions: Mutex<Vec<Arc<Shared>>>,
}

impl Registry {
    /// Hangs a registry on the connection, if there is none yet.
    ///
    /// # Safety
    ///
    /// `db` must be open, and in no other thread's use.
    pub(super) unsafe fn ensure(db: NonNull<sqlite3>) -> Result<(), i32> {
        // SAFETY: `db` is open, says the caller; the name is a C string.
        let present = unsafe { sys::sqlite3_get_clientdata(db.as_ptr(), NAME.as_ptr()) };
        if !present.is_null() {
            return Ok(());
        }
        let registry = Box::into_raw(Box::new(Self { db, sessions: Mutex::default() }));
        lock(&LIVE).insert(db.as_ptr().addr());
        // SAFETY: as above. The data is a `Registry` from a box, which `closed` takes back; SQLite calls it exactly once,
        // also if it fails to keep the data.
        let code = unsafe { sys::sqlite3_set_clientdata(db.as_ptr(), NAME.as_ptr(), registry.cast(), Some(closed)) };
        if code == sys::SQLITE_OK { Ok(()) } else { Err(code) }
    }

    /// The connection's registry.
    ///
    /// # Safety
    ///
    /// `db` must be open and stay so while the reference lives.
    pub(super) unsafe fn of<'a>(db: NonNull<sqlite3>) -> Option<&'a Self> {
        // SAFETY: `db` is open, says the caller; the name is a C string.
        let data = unsafe { sys::sqlite3_get_clientdata(db.as_ptr(), NAME.as_ptr()) };
        // SAFETY: under this name there is nothing but a `Registry`, which lives until the connection closes, and to which
        // there are only shared references.
        NonNull::new(data).map(|data| unsafe { data.cast::<Self>().as_ref() })
    }

    pub(super) fn add(&self, session: Arc<Shared>) {
        lock(&self.sessions).push(session);
    }

    pub(super) fn remove(&self, session: &Arc<Shared>) {
        lock(&self.sessions).retain(|other| !Arc::ptr_eq(session, other));
    }

    /// The sessions that nobody else holds any more: their owners dropped them when they could not be deleted.
    pub(super) fn abandoned(&self) -> Vec<Arc<Shared>> {
        lock(&self.sessions).iter().filter(|session| Arc::strong_count(session) == 1).cloned().collect()
    }
}

/// A connection that is known to be open, and that cannot be closed by another thread for as long as this lives.
pub(super) struct Pinned {
    _held: mutex::Held,
}

/// Pins a connection of whose address nothing is known, if it has a registry.
pub(super) fn pin(db: NonNull<sqlite3>) -> Option<Pinned> {
    for turn in 0..100_000 {
        let live = lock(&LIVE);
        if !live.contains(&db.as_ptr().addr()) {
            return None;
        }
        // SAFETY: the connection is open: closing it would first have called `closed`, which waits for `LIVE`.
        if let Some(held) = unsafe { mutex::try_enter(db.as_ptr()) } {
            return Some(Pinned { _held: held });
        }
        drop(live);
        if turn > 100 {
            std::thread::sleep(std::time::Duration::from_micros(50));
        } else {
            std::thread::yield_now();
        }
    }
    None
}

/// SQLite's call when the connection closes: within `sqlite3_close`, with the connection's mutex held.
unsafe extern "C" fn closed(data: *mut c_void) {
    // SAFETY: the data is that which `ensure` made with `Box::into_raw`, and SQLite calls this once.
    let registry = unsafe { Box::from_raw(data.cast::<Registry>()) };
    lock(&LIVE).remove(&registry.db.as_ptr().addr());
    let sessions = core::mem::take(&mut *lock(&registry.sessions));
    // first all are told, so that a thread which works with one of them does not wait for this one
    let remains: Vec<_> = sessions.iter().map(|session| session.connection_closed()).collect();
    for remains in remains {
        // What is dropped here, a table filter, is the user's and may do anything, even panic. Nobody is left to tell; the
        // process goes on.
        if let Err(payload) = callback::run(registry.db.as_ptr(), || drop(remains)) {
            callback::discard(payload);
        }
    }
}
