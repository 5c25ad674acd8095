//! `sqlite3_session` objects that may outlive their connection, move between threads and be dropped at any time.
//!
//! An operation takes the session's state, sees whether it is still open, and then tries for the connection's mutex. It never
//! waits for the mutex while it has the state: closing the connection comes with the mutex and wants the state.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::boxed::Box;
use std::ffi::CString;
use std::io::Write;
use std::panic::resume_unwind;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::vec::Vec;

use super::cache::{CacheLimit, LargerCache};
use super::error::SqliteError;
use super::handle::Handle;
use super::registry::{Registry, lock, this_thread};
use super::statement::Connection;
use super::sys::{self, sqlite3, sqlite3_session};
use super::{callback, canary, mutex};
use crate::wire::{Format, ParseError};

/// Why an operation was not done at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// The connection has been closed.
    Closed,
    /// A callback of the connection is running on this thread.
    Busy,
}

/// A table filter of the user's.
type FilterFn = Box<dyn FnMut(&str) -> bool + Send>;

struct Filter {
    filter: FilterFn,
    db: *mut sqlite3,
    panicked: Arc<AtomicBool>,
}

/// A session whose connection is open.
struct Open {
    session: NonNull<sqlite3_session>,
    db: NonNull<sqlite3>,
    /// What SQLite has a pointer to, if a filter is set.
    filter: Option<NonNull<Filter>>,
}

// SAFETY: the pointers are used only by who holds the state's lock and the connection's mutex, whichever the thread; the
// filter is `Send` itself.
unsafe impl Send for Open {}

/// What a session and its connection's registry have in common.
pub(super) struct Shared {
    state: Mutex<Option<Open>>,
}

impl Shared {
    /// The registry's call, from within `sqlite3_close`. What is given back is the user's, and may do anything when it is
    /// dropped: all other sessions should know before.
    pub(super) fn connection_closed(&self) -> Remains {
        let open = lock(&self.state).take();
        Remains(open.and_then(Open::delete_but_filter).into_iter().collect())
    }

    /// Runs `work` on the open session, with the connection's mutex held.
    fn with<R>(&self, needs: Needs, work: impl FnOnce(&mut Option<Open>) -> R) -> Result<R, Unavailable> {
        let (mut patience, mut error) = (mutex::Patience::default(), mutex::ErrorRead::default());
        let mut nobody_inside = false;
        loop {
            let nested = callback::is_inside_any();
            let mut state = match self.state(nested) {
                Some(state) => state,
                None => return Err(Unavailable::Busy),
            };
            let Some(db) = state.as_ref().map(|open| open.db) else {
                return Err(Unavailable::Closed);
            };
            if needs != Needs::Flags && callback::is_inside(db.as_ptr()) {
                return Err(Unavailable::Busy);
            }
            // SAFETY: the connection is open: closing it would first have taken the session out of `state`, which is locked.
            // The mutex is left before `state` is: it is declared later.
            let held = unsafe { mutex::try_enter(db.as_ptr()) };
            let hindrance = match &held {
                None => Some(Hindrance::Mutex),
                Some(_) if needs != Needs::Rest => None,
                // SAFETY: as above, and the mutex is held. What was found out about this thread still holds.
                Some(_) => unsafe { hindrance(db, &mut error, nobody_inside) },
            };
            if hindrance.is_none() {
                // SAFETY: as above. The registry lives as long as the connection, which cannot close before `held` is given up.
                let registry = unsafe { Registry::of(db) }.filter(|_| needs == Needs::Rest);
                let _untraced = registry.map(Registry::untraced);
                return Ok(work(&mut state));
            }
            drop(held);
            if hindrance == Some(Hindrance::Replacement) {
                // SAFETY: the connection stays open while `state` is locked. The mutex has just been left.
                nobody_inside = unsafe { canary::is_nobody_inside(db) };
                if nobody_inside {
                    continue;
                }
            }
            drop(state);
            // Inside a callback, who holds the mutex, or has a statement with rows, may wait for this very callback to end.
            if (nested && hindrance != Some(Hindrance::Error)) || !patience.wait() {
                return Err(Unavailable::Busy);
            }
        }
    }

    fn state(&self, nested: bool) -> Option<MutexGuard<'_, Option<Open>>> {
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

/// What an operation needs of the connection, apart from its mutex.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: it only reads or sets flags, and may run inside a callback.
    Flags,
    /// That SQLite's session code is not at work on it, further up on this thread's stack.
    Session,
    /// Also that nobody is in the midst of anything on it: the operation runs SQL on a connection that it has not borrowed.
    Rest,
}

/// Why an operation cannot begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hindrance {
    /// Another thread works with the connection.
    Mutex,
    /// A statement has begun: Diesel reads the values of its rows without the mutex, or it runs now, further up on this thread's
    /// stack, with what called us as one of its functions.
    Rows,
    /// An error may not have been read yet: Diesel reads its message without the mutex.
    Error,
    /// A function or collation has been replaced, or is just being replaced, further up on this thread's stack.
    Replacement,
}

/// What keeps an operation from running SQL on a connection that it has not borrowed.
///
/// # Safety
///
/// `db` must be open and its mutex held. `nobody_inside` says that this thread is not inside SQLite's code on it.
unsafe fn hindrance(db: NonNull<sqlite3>, error: &mut mutex::ErrorRead, nobody_inside: bool) -> Option<Hindrance> {
    // SAFETY: the caller's promise.
    if unsafe { Connection::new(db) }.is_busy() {
        return Some(Hindrance::Rows);
    }
    // SAFETY: the caller's promise.
    let registry = unsafe { Registry::of(db) }?;
    let used_here = registry.last_thread() == this_thread();
    // SAFETY: the caller's promise.
    if !unsafe { error.is_sure(db.as_ptr(), used_here) } {
        return Some(Hindrance::Error);
    }
    // what follows runs a statement
    let _untraced = registry.untraced();
    if nobody_inside {
        // SAFETY: the caller's promise.
        unsafe { registry.note_rest() };
        return None;
    }
    // SAFETY: the caller's promise.
    let is_unchanged = unsafe { registry.is_unchanged() };
    (!is_unchanged).then_some(Hindrance::Replacement)
}

/// A session; deleted when dropped or when its connection closes, whichever comes first.
pub(crate) struct RawSession {
    shared: Arc<Shared>,
    filter_panicked: Arc<AtomicBool>,
}

impl RawSession {
    /// Also gives what is left of sessions that could not be deleted when they were dropped: it is the user's, and to be
    /// dropped when the connection is no longer held.
    pub(crate) fn create(handle: Handle<'_>, schema: &CStr) -> (Result<Self, CreateError>, Remains) {
        let mut remains = Remains::default();
        (Self::create_here(handle, schema, &mut remains), remains)
    }

    fn create_here(handle: Handle<'_>, schema: &CStr, remains: &mut Remains) -> Result<Self, CreateError> {
        if callback::is_inside(handle.as_ptr()) {
            return Err(CreateError::Unavailable(Unavailable::Busy));
        }
        let Some(registry) = handle.registry() else {
            return Err(CreateError::Unavailable(Unavailable::Closed));
        };
        bury_abandoned(registry, remains);
        let mut session = ptr::null_mut();
        // SAFETY: the connection is open, the name is a C string, and `session` may be written to.
        let code = unsafe { sys::sqlite3session_create(handle.as_ptr(), schema.as_ptr(), &raw mut session) };
        let Some(session) = NonNull::new(session).filter(|_| code == sys::SQLITE_OK) else {
            // SAFETY: the connection is open.
            return Err(CreateError::Sqlite(unsafe { SqliteError::of(handle.as_ptr(), code) }));
        };
        let open = Open { session, db: handle.as_non_null(), filter: None };
        let shared = Arc::new(Shared { state: Mutex::new(Some(open)) });
        registry.add(Arc::clone(&shared));
        Ok(Self { shared, filter_panicked: Arc::default() })
    }

    /// Whether the connection has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state(callback::is_inside_any()).is_some_and(|state| state.is_none())
    }

    /// Whether a table filter has panicked, and so decided nothing, since this was asked last.
    pub(crate) fn take_filter_panic(&self) -> bool {
        self.filter_panicked.swap(false, Ordering::Relaxed)
    }

    /// Runs `work` with the session, the connection's mutex held.
    fn with<R>(&self, needs: Needs, work: impl FnOnce(&mut Open) -> R) -> Result<R, Unavailable> {
        let done = self.shared.with(needs, |state| state.as_mut().map(work))?;
        done.ok_or(Unavailable::Closed)
    }

    /// Runs queries on the connection.
    pub(crate) fn query<R>(&self, work: impl FnOnce(Connection<'_>) -> R) -> Result<R, Unavailable> {
        self.with(Needs::Rest, |open| {
            let _inside = callback::enter(open.db.as_ptr());
            // SAFETY: the connection of an open session is open, and its mutex is held for as long as `work` runs.
            work(unsafe { Connection::new(open.db) })
        })
    }

    /// Attaches a table, or all of them.
    pub(crate) fn attach(&self, table: Option<&CStr>) -> Result<Result<(), SqliteError>, Unavailable> {
        self.with(Needs::Session, |open| open.attach(table))
    }

    pub(crate) fn set_filter(&self, filter: FilterFn) -> Result<(), Unavailable> {
        let panicked = Arc::clone(&self.filter_panicked);
        let old = self.with(Needs::Session, |open| {
            let filter = Box::into_raw(Box::new(Filter { filter, db: open.db.as_ptr(), panicked }));
            // SAFETY: the session is open; the function has the type that SQLite calls, with a pointer that is valid until
            // the session is deleted or has another filter.
            unsafe { sys::sqlite3session_table_filter(open.session.as_ptr(), Some(filter_table), filter.cast()) };
            let old = core::mem::replace(&mut open.filter, NonNull::new(filter));
            // SAFETY: it came from `Box::into_raw`, and SQLite has just been given another.
            old.map(|old| unsafe { Box::from_raw(old.as_ptr()) })
        })?;
        // with no lock held: what it owns is the user's
        drop(old);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> Result<bool, Unavailable> {
        // SAFETY: the session is open. This only reads, and so may run inside a callback.
        self.with(Needs::Flags, |open| unsafe { sys::sqlite3session_isempty(open.session.as_ptr()) } != 0)
    }

    /// Sets and reads the enabled flag; with -1 only reads.
    pub(crate) fn enable(&self, flag: c_int) -> Result<bool, Unavailable> {
        // SAFETY: the session is open. This sets a flag, and so may run inside a callback.
        self.with(Needs::Flags, |open| unsafe { sys::sqlite3session_enable(open.session.as_ptr(), flag) } != 0)
    }

    /// Sets and reads the indirect flag; with -1 only reads.
    pub(crate) fn indirect(&self, flag: c_int) -> Result<bool, Unavailable> {
        // SAFETY: as in `enable`.
        self.with(Needs::Flags, |open| unsafe { sys::sqlite3session_indirect(open.session.as_ptr(), flag) } != 0)
    }

    pub(crate) fn memory_used(&self) -> Result<i64, Unavailable> {
        // SAFETY: as in `is_empty`.
        self.with(Needs::Flags, |open| unsafe { sys::sqlite3session_memory_used(open.session.as_ptr()) })
    }

    pub(crate) fn changeset_size(&self) -> Result<i64, Unavailable> {
        // SAFETY: as in `is_empty`.
        self.with(Needs::Flags, |open| unsafe { sys::sqlite3session_changeset_size(open.session.as_ptr()) })
    }

    pub(crate) fn configure(&self, option: ObjectConfig) -> Result<Result<(), SqliteError>, Unavailable> {
        self.with(Needs::Session, |open| open.configure(option))
    }

    /// Records how the table differs from that of another schema.
    pub(crate) fn diff(&self, from: &CStr, table: &CStr) -> Result<Result<(), SqliteError>, Unavailable> {
        self.with(Needs::Rest, |open| {
            let mut message: *mut c_char = ptr::null_mut();
            let code = open.alone(|session| {
                // SAFETY: the session is open, the names are C strings, and `message` may be written to.
                unsafe { sys::sqlite3session_diff(session, from.as_ptr(), table.as_ptr(), &raw mut message) }
            })?;
            if code == sys::SQLITE_OK {
                return Ok(());
            }
            // SAFETY: the connection of an open session is open.
            let mut failure = unsafe { SqliteError::of(open.db.as_ptr(), code) };
            if !message.is_null() {
                // SAFETY: SQLite wrote a C string there.
                failure.message = unsafe { super::text(message) };
                // SAFETY: SQLite allocated it and leaves it to the caller.
                unsafe { sys::sqlite3_free(message.cast()) };
            }
            Err(failure)
        })
    }

    /// The changes, in memory.
    pub(crate) fn generate(
        &self,
        format: Format,
        limit: &CacheLimit<'_>,
    ) -> Result<Result<Vec<u8>, SqliteError>, Unavailable> {
        self.with(Needs::Rest, |open| open.generate(format, limit))
    }

    /// The same, checked, and the session begins anew. Where anything fails, it goes on as it was.
    pub(crate) fn take<T>(
        &self,
        format: Format,
        limit: &CacheLimit<'_>,
        setup: &Setup<'_>,
        check: impl FnOnce(Vec<u8>) -> Result<T, ParseError>,
    ) -> Result<Result<T, TakeError>, Unavailable> {
        // nobody can change anything in between: the mutex is held
        self.with(Needs::Rest, |open| {
            let changes = check(open.generate(format, limit)?)?;
            open.begin_anew(setup)?;
            Ok(changes)
        })
    }

    /// The changes, written piece by piece. `handle` must be that of the session's own connection.
    pub(crate) fn stream(
        &self,
        handle: Handle<'_>,
        format: Format,
        limit: &CacheLimit<'_>,
        writer: &mut dyn Write,
    ) -> Result<Result<(), StreamError>, Unavailable> {
        let result = self.with(Needs::Session, |open| {
            let db = open.db.as_ptr();
            if db != handle.as_ptr() {
                return Err(StreamFailure::OtherConnection);
            }
            // as above
            let _cache = open.larger_cache(limit);
            let mut output = Output { writer, db, error: None, panic: None };
            let context = (&raw mut output).cast::<c_void>();
            let code = open.alone(|session| match format {
                // SAFETY: the session is open; the function has the type that SQLite calls, with a pointer to `output`, to
                // which nothing else refers until the call is over.
                Format::Changeset => unsafe { sys::sqlite3session_changeset_strm(session, Some(write), context) },
                // SAFETY: as above.
                Format::Patchset => unsafe { sys::sqlite3session_patchset_strm(session, Some(write), context) },
            });
            match (output.panic, output.error, code) {
                (Some(panic), ..) => Err(StreamFailure::Panic(panic)),
                (None, Some(error), _) => Err(StreamFailure::Error(StreamError::Io(error))),
                (None, None, Ok(sys::SQLITE_OK)) => Ok(()),
                (None, None, Ok(code)) => {
                    // SAFETY: the connection of an open session is open.
                    let failure = unsafe { SqliteError::of(db, code) };
                    Err(StreamFailure::Error(StreamError::Sqlite(failure)))
                }
                (None, None, Err(failure)) => Err(StreamFailure::Error(StreamError::Sqlite(failure))),
            }
        })?;
        match result {
            Ok(()) => Ok(Ok(())),
            Err(StreamFailure::Panic(payload)) => resume_unwind(payload),
            Err(StreamFailure::Error(error)) => Ok(Err(error)),
            Err(StreamFailure::OtherConnection) => Ok(Err(StreamError::OtherConnection)),
        }
    }
}

/// Options of a session that must be set before a table is attached.
#[derive(Clone, Copy)]
pub(crate) enum ObjectConfig {
    /// Keep count of the size that a changeset would have.
    Size,
    /// Record tables without a key by their rowids.
    Rowid,
}

/// What a session was told to record, except by its filter and flags.
pub(crate) struct Setup<'a> {
    pub(crate) schema: &'a CStr,
    pub(crate) options: &'a [ObjectConfig],
    pub(crate) tables: &'a [CString],
    /// Whether it records all tables.
    pub(crate) all: bool,
}

/// Why there is no session.
pub(crate) enum CreateError {
    Unavailable(Unavailable),
    Sqlite(SqliteError),
}

/// Why changes were not taken out of a session.
pub(crate) enum TakeError {
    Sqlite(SqliteError),
    Malformed(ParseError),
}

impl From<SqliteError> for TakeError {
    fn from(failure: SqliteError) -> Self {
        Self::Sqlite(failure)
    }
}

impl From<ParseError> for TakeError {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

/// Why a stream of changes was not written to its end.
pub(crate) enum StreamError {
    Io(std::io::Error),
    Sqlite(SqliteError),
    OtherConnection,
}

enum StreamFailure {
    Error(StreamError),
    Panic(callback::Payload),
    OtherConnection,
}

impl Drop for RawSession {
    fn drop(&mut self) {
        // Where it cannot be deleted now, the session stays in the registry, disabled if that can be done at once, until the
        // next one is created or the connection closes.
        let deleted = self.shared.with(Needs::Flags, |state| {
            let db = state.as_ref()?.db;
            // SAFETY: the connection of an open session is open, and its mutex is held.
            let connection = unsafe { Connection::new(db) };
            if callback::is_inside(db.as_ptr()) || connection.is_busy() {
                if let Some(open) = state {
                    // SAFETY: the session is open; this sets a flag.
                    unsafe { sys::sqlite3session_enable(open.session.as_ptr(), 0) };
                }
                return None;
            }
            let open = state.take()?;
            // SAFETY: as above, and the mutex keeps the connection open.
            if let Some(registry) = unsafe { Registry::of(db) } {
                registry.remove(&self.shared);
            }
            Some(open.delete_but_filter())
        });
        // with no lock held: what a filter owns is the user's
        drop(deleted);
    }
}

impl Open {
    /// What the code of a call means.
    fn done(&self, code: c_int) -> Result<(), SqliteError> {
        // SAFETY: the connection of an open session is open.
        if code == sys::SQLITE_OK { Ok(()) } else { Err(unsafe { SqliteError::of(self.db.as_ptr(), code) }) }
    }

    fn configure(&self, option: ObjectConfig) -> Result<(), SqliteError> {
        let mut on: c_int = 1;
        let option = match option {
            ObjectConfig::Size => sys::OBJCONFIG_SIZE,
            ObjectConfig::Rowid => sys::OBJCONFIG_ROWID,
        };
        // SAFETY: the session is open; both options take a pointer to an int.
        self.done(unsafe { sys::sqlite3session_object_config(self.session.as_ptr(), option, (&raw mut on).cast()) })
    }

    fn attach(&self, table: Option<&CStr>) -> Result<(), SqliteError> {
        let table = table.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: the session is open; the name is null or a C string.
        self.done(unsafe { sys::sqlite3session_attach(self.session.as_ptr(), table) })
    }

    fn generate(&self, format: Format, limit: &CacheLimit<'_>) -> Result<Vec<u8>, SqliteError> {
        // put back at the very end, when a failure has been read
        let _cache = self.larger_cache(limit);
        let (mut size, mut bytes) = (0, ptr::null_mut());
        let code = self.alone(|session| match format {
            // SAFETY: the session is open, and the others may be written to.
            Format::Changeset => unsafe { sys::sqlite3session_changeset(session, &raw mut size, &raw mut bytes) },
            // SAFETY: as above.
            Format::Patchset => unsafe { sys::sqlite3session_patchset(session, &raw mut size, &raw mut bytes) },
        });
        let mut copy = Vec::new();
        if let (Ok(size), false) = (usize::try_from(size), bytes.is_null()) {
            // SAFETY: SQLite says that so many bytes begin there; they are copied before they are freed.
            copy.extend_from_slice(unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), size) });
        }
        // SAFETY: null, or allocated by SQLite and left to the caller.
        unsafe { sys::sqlite3_free(bytes) };
        self.done(code?).map(|()| copy)
    }

    /// Puts a session into the place of this one that has recorded nothing, and records the same. The caller holds the connection's
    /// mutex, and the connection runs no statement.
    fn begin_anew(&mut self, setup: &Setup<'_>) -> Result<(), SqliteError> {
        let mut session = ptr::null_mut();
        // SAFETY: the connection is open, the name is a C string, and `session` may be written to.
        let code = unsafe { sys::sqlite3session_create(self.db.as_ptr(), setup.schema.as_ptr(), &raw mut session) };
        self.done(code)?;
        let Some(session) = NonNull::new(session) else { return self.done(sys::SQLITE_NOMEM) };
        let other = Self { session, db: self.db, filter: None };
        if let Err(failure) = self.set_up(&other, setup) {
            // it has no filter of its own
            other.delete_but_filter();
            return Err(failure);
        }
        let old = core::mem::replace(&mut self.session, other.session);
        // SAFETY: the session was open, and nothing refers to it any more. The filter, to which it has a pointer, is still there.
        unsafe { sys::sqlite3session_delete(old.as_ptr()) };
        Ok(())
    }

    /// Has another session of the same connection record what this one does.
    fn set_up(&self, other: &Self, setup: &Setup<'_>) -> Result<(), SqliteError> {
        setup.options.iter().try_for_each(|option| other.configure(*option))?;
        let (from, to) = (self.session.as_ptr(), other.session.as_ptr());
        if let Some(filter) = self.filter {
            // SAFETY: the session is open; the function has the type that SQLite calls. The pointer is valid for as long as this
            // session's filter, whose place the other one takes or is deleted before.
            unsafe { sys::sqlite3session_table_filter(to, Some(filter_table), filter.as_ptr().cast()) };
        }
        setup.tables.iter().try_for_each(|table| other.attach(Some(table)))?;
        if setup.all {
            other.attach(None)?;
        }
        // SAFETY: the session is open; this reads a flag.
        let enabled = unsafe { sys::sqlite3session_enable(from, -1) };
        // SAFETY: as above.
        let indirect = unsafe { sys::sqlite3session_indirect(from, -1) };
        // SAFETY: the other one is open too; this sets a flag.
        unsafe { sys::sqlite3session_enable(to, enabled) };
        // SAFETY: as above.
        unsafe { sys::sqlite3session_indirect(to, indirect) };
        Ok(())
    }

    /// Runs SQLite's session code, in which functions of the user's may be called: collations, and those in DEFAULT clauses.
    /// Where the connection is not borrowed they could change it, and with it what that code has pointers to. Therefore
    /// nothing is recorded meanwhile, and if there was something to record, that is an error.
    fn alone(&self, work: impl FnOnce(*mut sqlite3_session) -> c_int) -> Result<c_int, SqliteError> {
        let (session, db) = (self.session.as_ptr(), self.db.as_ptr());
        let _inside = callback::enter(db);
        // SAFETY: the connection of an open session is open.
        let before = unsafe { sys::sqlite3_total_changes(db) };
        // SAFETY: as above.
        let was_autocommit = unsafe { sys::sqlite3_get_autocommit(db) } != 0;
        // SAFETY: the session is open; this reads a flag.
        let enabled = unsafe { sys::sqlite3session_enable(session, -1) };
        // SAFETY: as above; this sets it.
        unsafe { sys::sqlite3session_enable(session, 0) };
        let code = work(session);
        // SAFETY: as above.
        unsafe { sys::sqlite3session_enable(session, enabled) };
        // SAFETY: as above.
        let after = unsafe { sys::sqlite3_total_changes(db) };
        // SAFETY: as above.
        let is_autocommit = unsafe { sys::sqlite3_get_autocommit(db) } != 0;
        if was_autocommit && !is_autocommit {
            // What was changed could not be committed, and SQLite's savepoint is a transaction that nobody knows of.
            // SAFETY: the connection is open, and the statement a C string; no callback is given.
            unsafe { sys::sqlite3_exec(db, c"ROLLBACK".as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
        }
        if before == after {
            return Ok(code);
        }
        let message = "a function of the connection changed the database meanwhile, unrecorded".into();
        Err(SqliteError { code: sys::SQLITE_MISUSE, message })
    }

    /// A larger page cache, if it pays for what was recorded.
    fn larger_cache(&self, limit: &CacheLimit<'_>) -> Option<LargerCache<'_>> {
        let inside = callback::enter(self.db.as_ptr());
        // SAFETY: the session is open.
        let used = unsafe { sys::sqlite3session_memory_used(self.session.as_ptr()) };
        // SAFETY: the connection of an open session is open, and its mutex is held for as long as `self` is borrowed: by
        // `RawSession::with`, from which all calls come.
        let connection = unsafe { Connection::new(self.db) };
        LargerCache::of(connection, inside, limit, u64::try_from(used).unwrap_or(0))
    }

    /// Deletes the session, and leaves dropping the filter to the caller. The caller holds the connection's mutex, and the
    /// connection runs no statement.
    fn delete_but_filter(self) -> Option<Filter> {
        let filter = self.filter;
        // SAFETY: the session is open, and nobody uses it after this: `self` is gone.
        unsafe { sys::sqlite3session_delete(self.session.as_ptr()) };
        // SAFETY: it came from `Box::into_raw`, and SQLite's pointer to it is gone with the session.
        filter.map(|filter| *unsafe { Box::from_raw(filter.as_ptr()) })
    }
}

// SAFETY: as a boxed filter it is owned by one thread; the pointer in it is only compared.
unsafe impl Send for Filter {}

/// The filters of deleted sessions.
#[derive(Default)]
pub(crate) struct Remains(Vec<Filter>);

/// Deletes the sessions whose owners are gone.
fn bury_abandoned(registry: &Registry, remains: &mut Remains) {
    for shared in registry.abandoned() {
        let buried = shared.with(Needs::Session, |state| {
            let db = state.as_ref()?.db;
            // SAFETY: the connection of an open session is open, and its mutex is held.
            if unsafe { Connection::new(db) }.is_busy() {
                return None;
            }
            registry.remove(&shared);
            state.take()?.delete_but_filter()
        });
        remains.0.extend(buried.ok().flatten());
    }
}

/// SQLite's question whether to record a table, at the first change of the table.
unsafe extern "C" fn filter_table(context: *mut c_void, table: *const c_char) -> c_int {
    // SAFETY: the context is the `Filter` of this session. SQLite calls this in a statement on the connection, under its
    // mutex, and the filter has no way to run another statement on it: nobody else refers to the `Filter`.
    let filter = unsafe { &mut *context.cast::<Filter>() };
    // SAFETY: SQLite gives a C string.
    let table = unsafe { CStr::from_ptr(table) }.to_string_lossy();
    match callback::run(filter.db, || (filter.filter)(&table)) {
        Ok(record) => record.into(),
        Err(payload) => {
            callback::discard(payload);
            filter.panicked.store(true, Ordering::Relaxed);
            0
        }
    }
}

/// Where the pieces of a stream go, and what came of it.
struct Output<'a> {
    writer: &'a mut dyn Write,
    db: *mut sqlite3,
    error: Option<std::io::Error>,
    panic: Option<callback::Payload>,
}

/// SQLite's next piece of a changeset.
unsafe extern "C" fn write(context: *mut c_void, bytes: *const c_void, size: c_int) -> c_int {
    // SAFETY: the context is the `Output` of the call that is running, to which nothing else refers meanwhile.
    let output = unsafe { &mut *context.cast::<Output<'_>>() };
    let Ok(size) = usize::try_from(size) else {
        return sys::SQLITE_ERROR;
    };
    // SAFETY: SQLite gives so many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), size) };
    match callback::run(output.db, || output.writer.write_all(bytes)) {
        Ok(Ok(())) => sys::SQLITE_OK,
        Ok(Err(error)) => {
            output.error = Some(error);
            sys::SQLITE_ERROR
        }
        Err(payload) => {
            output.panic = Some(payload);
            sys::SQLITE_ERROR
        }
    }
}
