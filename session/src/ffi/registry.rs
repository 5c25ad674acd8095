//! What hangs on a connection: the list of its sessions, as
//! [client data](https://www.sqlite.org/c3ref/get_clientdata.html).
//!
//! SQLite announces a close ([`SQLITE_TRACE_CLOSE`](https://www.sqlite.org/c3ref/c_trace.html)), and frees client data inside
//! `sqlite3_close`, while the handle still works. There the sessions are deleted and told that their connection is gone.
//!
//! Locks are taken in this order: the state of a session, the connection's mutex, the list. Closing comes with the mutex
//! and wants the state; therefore nobody waits for the mutex who has the state: see [`session`](super::session).

use core::ffi::{c_int, c_uint, c_void};
use std::boxed::Box;
use std::collections::BTreeSet;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::callback;
use super::canary::Canary;
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
    canary: Mutex<Option<Canary>>,
    /// The thread on which a statement of the connection was last begun, other than by a session.
    last_thread: AtomicUsize,
}

/// What tells a thread from all others that live.
pub(super) fn this_thread() -> usize {
    std::thread_local! {
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| core::ptr::from_ref(mark).addr())
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
        let registry = Box::into_raw(Box::new(Self {
            db,
            sessions: Mutex::default(),
            canary: Mutex::default(),
            last_thread: AtomicUsize::new(this_thread()),
        }));
        lock(&LIVE).insert(db.as_ptr().addr());
        // SAFETY: as above. The data is a `Registry` from a box, which `closed` takes back; SQLite calls it exactly once,
        // also if it fails to keep the data.
        let code = unsafe { sys::sqlite3_set_clientdata(db.as_ptr(), NAME.as_ptr(), registry.cast(), Some(closed)) };
        if code != sys::SQLITE_OK {
            return Err(code);
        }
        // SAFETY: SQLite has the registry now, which lives until `closed`.
        let code = unsafe { &*registry }.trace(sys::TRACE_CLOSE | sys::TRACE_STMT);
        if code == sys::SQLITE_OK { Ok(()) } else { Err(code) }
    }

    /// Has SQLite call `traced` for these events.
    fn trace(&self, events: c_uint) -> c_int {
        let context = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the connection is open as long as there is a registry, and after `closed`, when it is gone, SQLite calls
        // nothing of the connection. `traced` only reads it.
        unsafe { sys::sqlite3_trace_v2(self.db.as_ptr(), events, Some(traced), context) }
    }

    /// Has SQLite say nothing of the statements that follow: those of a session, which are not to be noted, or many on a thread
    /// that is noted already. To be called when the connection is borrowed or its mutex held. The guards of two threads
    /// may overlap; the first that is dropped ends both.
    pub(super) fn untraced(&self) -> Untraced<'_> {
        self.trace(sys::TRACE_CLOSE);
        Untraced(self)
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

    /// Whether no function of the connection's has begun to be replaced since [`note_rest`](Self::note_rest) was called last.
    ///
    /// # Safety
    ///
    /// The connection must be open and its mutex held.
    pub(super) unsafe fn is_unchanged(&self) -> bool {
        // SAFETY: the caller's promise.
        lock(&self.canary).as_ref().is_some_and(|canary| unsafe { canary.sings() })
    }

    /// Notes that nothing of the connection's is being replaced now.
    ///
    /// # Safety
    ///
    /// The connection must be open, its mutex held, and nobody inside SQLite's code on it.
    pub(super) unsafe fn note_rest(&self) {
        let mut canary = lock(&self.canary);
        match &mut *canary {
            // SAFETY: the caller's promise.
            Some(canary) => unsafe { canary.reset() },
            // SAFETY: the caller's promise; `close` finalizes it.
            none => *none = unsafe { Canary::new(self.db) },
        }
    }

    /// The thread on which a statement of the connection was last begun, other than by a session.
    pub(super) fn last_thread(&self) -> usize {
        self.last_thread.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, session: Arc<Shared>) {
        lock(&self.sessions).push(session);
    }

    pub(super) fn remove(&self, session: &Arc<Shared>) {
        lock(&self.sessions).retain(|other| !Arc::ptr_eq(session, other));
    }

    /// Deletes all sessions and tells them that their connection is gone; and finalizes the canary, which would keep it open. To
    /// be called with the connection's mutex held.
    fn close(&self) {
        let sessions = core::mem::take(&mut *lock(&self.sessions));
        // first all are told, so that a thread which works with one of them does not wait for this one
        let remains: Vec<_> = sessions.iter().map(|session| session.connection_closed()).collect();
        for remains in remains {
            // What is dropped here, a table filter, is the user's and may do anything, even panic. Nobody is left to tell;
            // the process goes on.
            if let Err(payload) = callback::run(self.db.as_ptr(), || drop(remains)) {
                callback::discard(payload);
            }
        }
        drop(lock(&self.canary).take());
    }

    /// The sessions that nobody else holds any more: their owners dropped them when they could not be deleted.
    pub(super) fn abandoned(&self) -> Vec<Arc<Shared>> {
        lock(&self.sessions).iter().filter(|session| Arc::strong_count(session) == 1).cloned().collect()
    }
}

/// While this lives, the thread on which statements are begun is not noted.
pub(super) struct Untraced<'a>(&'a Registry);

impl Drop for Untraced<'_> {
    fn drop(&mut self) {
        self.0.trace(sys::TRACE_CLOSE | sys::TRACE_STMT);
    }
}

/// A connection that is known to be open, and that cannot be closed by another thread for as long as this lives.
pub(super) struct Pinned {
    _held: mutex::Held,
}

/// Pins a connection of whose address nothing is known, if it has a registry.
pub(super) fn pin(db: NonNull<sqlite3>) -> Option<Pinned> {
    let mut patience = mutex::Patience::default();
    loop {
        let live = lock(&LIVE);
        if !live.contains(&db.as_ptr().addr()) {
            return None;
        }
        // SAFETY: the connection is open: closing it would first have called `closed`, which waits for `LIVE`.
        if let Some(held) = unsafe { mutex::try_enter(db.as_ptr()) } {
            return Some(Pinned { _held: held });
        }
        drop(live);
        if !patience.wait() {
            return None;
        }
    }
}

/// SQLite's call at the very beginning of `sqlite3_close`, with the connection's mutex held.
///
/// A close that then fails, because a statement was forgotten, comes no further than here; but Diesel gives the connection
/// up all the same, and with it the memory of a deserialized database, so that no session may read from it any more.
fn closing(registry: &Registry) {
    if callback::is_inside(registry.db.as_ptr()) {
        // Closed by a function of the connection's own, which SQLite called from the midst of a session's work. There is no
        // way back from here on which nothing is freed that SQLite is about to read.
        std::eprintln!(
            "a SqliteConnection was dropped by one of its own functions, in the midst of its session's work"
        );
        std::process::abort();
    }
    registry.close();
}

/// SQLite's call when a statement begins, and when the connection is about to be closed.
unsafe extern "C" fn traced(event: c_uint, registry: *mut c_void, _: *mut c_void, _: *mut c_void) -> c_int {
    // SAFETY: the context is the registry, which lives until `closed`. There are only shared references to it.
    let registry = unsafe { &*registry.cast::<Registry>() };
    if event == sys::TRACE_CLOSE {
        closing(registry);
    } else {
        registry.last_thread.store(this_thread(), Ordering::Relaxed);
    }
    0
}

/// SQLite's call when the connection closes: within `sqlite3_close`, with the connection's mutex held.
unsafe extern "C" fn closed(data: *mut c_void) {
    // SAFETY: the data is that which `ensure` made with `Box::into_raw`, and SQLite calls this once.
    let registry = unsafe { Box::from_raw(data.cast::<Registry>()) };
    lock(&LIVE).remove(&registry.db.as_ptr().addr());
    registry.close();
}
