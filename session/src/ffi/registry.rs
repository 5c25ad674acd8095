//! The list of a connection's sessions, and the statements that it keeps, stored at the connection
//! as [client data](https://www.sqlite.org/c3ref/get_clientdata.html).
//!
//! SQLite announces a close ([`SQLITE_TRACE_CLOSE`](https://www.sqlite.org/c3ref/c_trace.html)) and
//! frees client data inside `sqlite3_close`, while the handle still works. At that point the
//! sessions are deleted and marked closed.
//!
//! Lock order: the state of a session, the connection's mutex, the list. A close holds the mutex
//! and waits for the state. Therefore no thread waits for the mutex while it holds the state: see
//! [`session`](super::session).

use core::ffi::{CStr, c_int, c_uint, c_void};
use std::boxed::Box;
use std::collections::BTreeSet;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::callback;
use super::hook::HookChain;
use super::mutex;
use super::probe::NAME;
use super::replacement::ReplacementDetector;
use super::schema_watch::{KnownSchema, SchemaWatches};
use super::session::SharedSession;
use super::statement::Connection;
use super::statements::StatementStore;
use super::sys::{self, sqlite3};

/// The addresses of all connections that have a registry. Only these addresses are known to be
/// valid.
static LIVE: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// The number of these addresses.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Returns whether any connection has a registry.
pub(super) fn is_any_live() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sessions of one connection, and the statements that it keeps for applying.
pub(super) struct Registry {
    db: NonNull<sqlite3>,
    sessions: Mutex<Vec<Arc<SharedSession>>>,
    detector: Mutex<Option<ReplacementDetector>>,
    statements: Mutex<Option<StatementStore>>,
    watches: Mutex<SchemaWatches>,
    hooks: Mutex<HookChain>,
    /// How often statements may have been compiled for another database than the current one: when a
    /// database was attached, or the trace function was not called.
    replacements: AtomicUsize,
    /// The number of replacements when the statements were kept.
    kept_after: AtomicUsize,
    /// Whether a session was dropped and could not be disabled at that time.
    has_abandoned: AtomicBool,
    /// The number of calls of the trace function.
    traced: AtomicUsize,
    /// Whether the trace function is not called for statements.
    is_paused: AtomicBool,
    /// The number of traced statements that may have changed a schema.
    schema_statements: AtomicUsize,
    /// The thread that last started a statement of the connection, not counting statements of
    /// sessions.
    last_thread: AtomicUsize,
}

/// Returns a number that differs between all running threads.
pub(super) fn this_thread() -> usize {
    std::thread_local! {
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| core::ptr::from_ref(mark).addr())
}

impl Registry {
    /// Adds a registry to the connection, if it has none yet.
    ///
    /// # Safety
    ///
    /// `db` must be open, and no other thread may use it.
    pub(super) unsafe fn ensure(db: NonNull<sqlite3>) -> Result<(), i32> {
        // SAFETY: the caller guarantees that `db` is open. The name is a C string.
        let present = unsafe { sys::sqlite3_get_clientdata(db.as_ptr(), NAME.as_ptr()) };
        if !present.is_null() {
            return Ok(());
        }
        let registry = Box::into_raw(Box::new(Self {
            db,
            sessions: Mutex::default(),
            detector: Mutex::default(),
            statements: Mutex::default(),
            watches: Mutex::default(),
            hooks: Mutex::default(),
            replacements: AtomicUsize::new(0),
            kept_after: AtomicUsize::new(0),
            has_abandoned: AtomicBool::new(false),
            traced: AtomicUsize::new(0),
            is_paused: AtomicBool::new(false),
            schema_statements: AtomicUsize::new(0),
            last_thread: AtomicUsize::new(this_thread()),
        }));
        lock(&LIVE).insert(db.as_ptr().addr());
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller guarantees that `db` is open. The name is a C string. The data is a
        // `Registry` from a box, which `destroy` takes back. SQLite calls `destroy` exactly once,
        // even if storing the data fails.
        let code = unsafe { sys::sqlite3_set_clientdata(db.as_ptr(), NAME.as_ptr(), registry.cast(), Some(destroy)) };
        if code != sys::SQLITE_OK {
            return Err(code);
        }
        // SAFETY: SQLite has stored the registry, and it is valid until `destroy` runs, which is
        // when the connection closes.
        let code = unsafe { &*registry }.trace(sys::TRACE_CLOSE | sys::TRACE_STMT);
        if code == sys::SQLITE_OK { Ok(()) } else { Err(code) }
    }

    /// Makes SQLite call `traced` for these events.
    fn trace(&self, events: c_uint) -> c_int {
        let context = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the connection is open as long as the registry exists. After `destroy` the
        // connection is gone, and SQLite no longer calls `traced`. `traced` only reads the
        // registry, so the cast to a mutable pointer is harmless.
        unsafe { sys::sqlite3_trace_v2(self.db.as_ptr(), events, Some(traced), context) }
    }

    /// Stops recording the thread of statements until the guard is dropped: for statements of a
    /// session, which do not count, and for many statements on a thread that is already recorded.
    /// The connection must be borrowed or its mutex held, and nobody may be inside SQLite's code on
    /// it. If the guards of two threads overlap, the first drop ends both.
    ///
    /// Returns `None` if another trace function has taken the place of this one.
    pub(super) fn pause_tracing(&self) -> Option<TracingPaused<'_>> {
        let before = self.traced.load(Ordering::Relaxed);
        let last_thread = self.last_thread();
        if let Some(detector) = lock(&self.detector).as_ref() {
            // SAFETY: the caller has borrowed the connection or holds its mutex. The detector's
            // statement calls no function, and reads no database.
            unsafe { detector.is_unchanged() };
        }
        self.last_thread.store(last_thread, Ordering::Relaxed);
        (self.traced.load(Ordering::Relaxed) != before).then(|| self.pause())
    }

    /// Reinstalls the trace function, which another one may have replaced. The connection must be
    /// borrowed.
    pub(super) fn take_trace(&self) {
        self.trace(sys::TRACE_CLOSE | sys::TRACE_STMT);
    }

    /// Does the same as [`pause_tracing`](Self::pause_tracing), for a caller that has seen
    /// [`traced`](Self::traced) grow.
    pub(super) fn pause(&self) -> TracingPaused<'_> {
        self.is_paused.store(true, Ordering::Relaxed);
        self.trace(sys::TRACE_CLOSE);
        TracingPaused(self)
    }

    /// Returns a number that grows with each statement of the connection, unless another trace
    /// function has taken the place of this one.
    pub(super) fn traced(&self) -> usize {
        self.traced.load(Ordering::Relaxed)
    }

    /// Takes the statements that were kept for applying, unless they are outdated.
    pub(super) fn take_statements(&self) -> Option<StatementStore> {
        let replacements = self.replacements();
        let kept = lock(&self.statements).take();
        kept.filter(|_| self.kept_after.swap(replacements, Ordering::Relaxed) == replacements)
    }

    /// Returns the chain of the sessions. The connection's mutex must be held.
    pub(super) fn hooks(&self) -> MutexGuard<'_, HookChain> {
        lock(&self.hooks)
    }

    fn replacements(&self) -> usize {
        self.replacements.load(Ordering::Relaxed)
    }

    /// Calls `work` with what is known of a schema.
    ///
    /// # Safety
    ///
    /// The connection must be open and its mutex held.
    pub(super) unsafe fn with_schema<R>(&self, schema: &CStr, work: impl FnOnce(&mut KnownSchema) -> R) -> R {
        // `work` runs SQL, during which nothing is locked
        let mut watches = core::mem::take(&mut *lock(&self.watches));
        // SAFETY: the connection is open as long as the registry exists.
        let connection = unsafe { Connection::new(self.db) };
        let before = self.traced();
        // called after a query
        let replacements = || {
            if self.traced() == before && !self.is_paused.load(Ordering::Relaxed) {
                self.replacements.fetch_add(1, Ordering::Relaxed);
                self.take_trace();
            }
            self.replacements()
        };
        // SAFETY: the caller guarantees that the mutex is held. `close` drops the watches before the
        // connection closes, which it cannot do meanwhile.
        let done = unsafe {
            watches.with(connection, schema, replacements, |known| {
                known.statements = self.schema_statements();
                work(known)
            })
        };
        *lock(&self.watches) = watches;
        done
    }

    /// Returns whether no statement that may change a schema has been traced since a schema had this
    /// version.
    pub(super) fn is_version(&self, schema: &CStr, version: u64) -> bool {
        let statements = self.schema_statements();
        lock(&self.watches)
            .last_known(schema)
            .is_some_and(|known| (known.version, known.statements) == (version, statements))
    }

    fn schema_statements(&self) -> usize {
        self.schema_statements.load(Ordering::Relaxed)
    }

    /// Keeps statements for the next apply.
    pub(super) fn put_statements(&self, statements: StatementStore) {
        *lock(&self.statements) = Some(statements);
    }

    /// Returns the connection's registry.
    ///
    /// # Safety
    ///
    /// `db` must be open, and stay open during `'a`.
    pub(super) unsafe fn of<'a>(db: NonNull<sqlite3>) -> Option<&'a Self> {
        // SAFETY: the caller guarantees that `db` is open. The name is a C string.
        let data = unsafe { sys::sqlite3_get_clientdata(db.as_ptr(), NAME.as_ptr()) };
        // SAFETY: only `ensure` stores data under this name, which contains the crate's version. So
        // the data is a `Registry`, which is valid until the connection closes, and of which only
        // shared references exist.
        NonNull::new(data).map(|data| unsafe { data.cast::<Self>().as_ref() })
    }

    /// Returns whether no replacement of a function has begun since the last
    /// [`note_idle`](Self::note_idle).
    ///
    /// # Safety
    ///
    /// The connection must be open and its mutex held.
    pub(super) unsafe fn is_unchanged(&self) -> bool {
        // SAFETY: the caller guarantees that the mutex is held.
        lock(&self.detector).as_ref().is_some_and(|detector| unsafe { detector.is_unchanged() })
    }

    /// Records that no function of the connection is being replaced now.
    ///
    /// # Safety
    ///
    /// The connection must be open, its mutex must be held, and nobody may be inside SQLite's code
    /// on it.
    pub(super) unsafe fn note_idle(&self) {
        match &mut *lock(&self.detector) {
            // SAFETY: the caller guarantees that the mutex is held.
            Some(detector) => unsafe { detector.reset() },
            // SAFETY: as this function requires.
            none => *none = unsafe { self.new_detector() },
        }
    }

    /// Prepares the detection of functions that are replaced, for the first session.
    ///
    /// # Safety
    ///
    /// The requirements of [`note_idle`](Self::note_idle).
    pub(super) unsafe fn watch_functions(&self) {
        let mut detector = lock(&self.detector);
        if detector.is_none() {
            // SAFETY: as this function requires.
            *detector = unsafe { self.new_detector() };
        }
    }

    /// # Safety
    ///
    /// The connection must be open and its mutex held.
    unsafe fn new_detector(&self) -> Option<ReplacementDetector> {
        // SAFETY: the connection is open as long as the registry exists.
        let connection = unsafe { Connection::new(self.db) };
        // SAFETY: `close` drops the detector before the connection closes, with its mutex held.
        unsafe { ReplacementDetector::new(connection) }
    }

    /// Returns the thread that last started a statement of the connection, not counting statements
    /// of sessions.
    pub(super) fn last_thread(&self) -> usize {
        self.last_thread.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, session: Arc<SharedSession>) {
        lock(&self.sessions).push(session);
    }

    pub(super) fn remove(&self, session: &Arc<SharedSession>) {
        lock(&self.sessions).retain(|other| !Arc::ptr_eq(session, other));
    }

    /// Deletes all sessions and marks them closed, and finalizes the statements, which would keep
    /// the connection open. The connection's mutex must be held.
    fn close(&self) {
        let sessions = core::mem::take(&mut *lock(&self.sessions));
        // all sessions are marked first, so that a thread that uses one of them does not wait for
        // this thread
        let filters: Vec<_> = sessions.iter().map(|session| session.connection_closed()).collect();
        for filters in filters {
            // A table filter that is dropped here belongs to the application and may do anything,
            // even panic. There is no caller to report the panic to, so the process continues.
            if let Err(payload) = callback::run(self.db.as_ptr(), || drop(filters)) {
                callback::discard(payload);
            }
        }
        drop(lock(&self.detector).take());
        drop(core::mem::take(&mut *lock(&self.watches)));
        drop(lock(&self.statements).take());
    }

    /// Records that a session was dropped and could not be disabled.
    pub(super) fn note_abandoned(&self) {
        self.has_abandoned.store(true, Ordering::Relaxed);
    }

    /// Disables the sessions that could not be disabled when they were dropped. The connection's
    /// mutex must be held.
    fn disable_abandoned(&self) {
        let sessions = lock(&self.sessions).clone();
        if sessions.iter().all(|session| session.disable_if_abandoned()) {
            self.has_abandoned.store(false, Ordering::Relaxed);
        }
    }

    /// Returns the sessions without an owner: their owners dropped them at a time when they could
    /// not be deleted.
    pub(super) fn abandoned(&self) -> Vec<Arc<SharedSession>> {
        lock(&self.sessions).iter().filter(|session| Arc::strong_count(session) == 1).cloned().collect()
    }
}

/// Stops recording the thread of statements until dropped.
pub(super) struct TracingPaused<'a>(&'a Registry);

impl Drop for TracingPaused<'_> {
    fn drop(&mut self) {
        self.0.trace(sys::TRACE_CLOSE | sys::TRACE_STMT);
        self.0.is_paused.store(false, Ordering::Relaxed);
    }
}

/// Keeps other threads from closing a connection, which is known to be open, until dropped.
pub(super) struct PinnedConnection {
    _held: mutex::MutexGuard,
}

/// Pins the connection at an address of unknown origin, if there is one with a registry.
pub(super) fn pin(db: NonNull<sqlite3>) -> Option<PinnedConnection> {
    let mut backoff = mutex::Backoff::default();
    loop {
        let live = lock(&LIVE);
        if !live.contains(&db.as_ptr().addr()) {
            return None;
        }
        // SAFETY: the connection is open, because its address is in `LIVE`, which is locked:
        // closing the connection would first call `destroy`, which removes the address under this
        // lock.
        if let Some(held) = unsafe { mutex::try_enter(db.as_ptr()) } {
            return Some(PinnedConnection { _held: held });
        }
        drop(live);
        if !backoff.wait() {
            return None;
        }
    }
}

/// Handles the beginning of `sqlite3_close`, with the connection's mutex held.
///
/// If the close then fails, because of an unfinalized statement, the sessions end nevertheless.
/// Diesel drops the connection in any case, and with it the memory of a deserialized database. So
/// no session may read from the connection any more.
fn close_connection(registry: &Registry) {
    if callback::is_inside(registry.db.as_ptr()) {
        // The connection is being closed by one of its own functions, which SQLite called in the
        // middle of a session's work. Returning from here would free memory that SQLite is about to
        // read.
        std::eprintln!("a SqliteConnection was dropped by one of its own functions while a session was using it");
        std::process::abort();
    }
    registry.close();
}

/// Receives trace events: a statement starts, or the connection is about to close.
unsafe extern "C" fn traced(event: c_uint, registry: *mut c_void, _: *mut c_void, sql: *mut c_void) -> c_int {
    // SAFETY: the context is the registry, which `trace` passed and which is valid until `destroy`
    // runs. Only shared references to it exist.
    let registry = unsafe { &*registry.cast::<Registry>() };
    if event == sys::TRACE_CLOSE {
        close_connection(registry);
    } else {
        registry.last_thread.store(this_thread(), Ordering::Relaxed);
        // the connection's mutex is held
        registry.traced.store(registry.traced().wrapping_add(1), Ordering::Relaxed);
        if !sql.is_null() {
            // SAFETY: for the start of a statement SQLite passes its SQL as a C string, which is valid
            // during the call.
            let sql = unsafe { CStr::from_ptr(sql.cast()) }.to_bytes();
            if may_change_schema(sql) {
                registry.schema_statements.fetch_add(1, Ordering::Relaxed);
                // in this form `sqlite3_deserialize` runs an ATTACH
                if sql.get(..6).is_some_and(|word| word.eq_ignore_ascii_case(b"ATTACH")) {
                    registry.replacements.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if registry.has_abandoned.load(Ordering::Relaxed) {
            registry.disable_abandoned();
        }
    }
    0
}

/// Returns whether a statement may change a schema, by its first letters. SQLite writes `-- ` before
/// statements that run inside another one, and before the names of triggers.
fn may_change_schema(sql: &[u8]) -> bool {
    let sql = sql.strip_prefix(b"-- ").unwrap_or(sql);
    let is_harmless = sql.first_chunk().is_some_and(|word: &[u8; 4]| {
        matches!(
            // in upper case, if they are letters
            &word.map(|letter| letter & 0xdf),
            b"SELE"
                | b"INSE"
                | b"UPDA"
                | b"DELE"
                | b"REPL"
                | b"WITH"
                | b"VALU"
                | b"SAVE"
                | b"RELE"
                | b"ROLL"
                | b"BEGI"
                | b"COMM"
                | b"TRIG"
        )
    });
    // SQLite's sessions read the columns of a table by this pragma, with the name of the schema
    let is_table_info = || {
        let name = sql.iter().position(|byte| *byte == b'.').and_then(|point| sql.get(point..));
        name.is_some_and(|name| name.starts_with(b".table_xinfo("))
    };
    !is_harmless && !is_table_info()
}

/// Receives the registry when the connection closes: within `sqlite3_close`, with the connection's
/// mutex held.
unsafe extern "C" fn destroy(data: *mut c_void) {
    let data = data.cast::<Registry>();
    // SAFETY: `ensure` made the data with `Box::into_raw`, and SQLite calls this destructor once. Only
    // shared references to it exist.
    let registry = unsafe { &*data };
    lock(&LIVE).remove(&registry.db.as_ptr().addr());
    COUNT.fetch_sub(1, Ordering::Relaxed);
    registry.close();
    // SAFETY: the data came from a box. Nothing refers to it: the sessions are gone.
    drop(unsafe { Box::from_raw(data) });
}
