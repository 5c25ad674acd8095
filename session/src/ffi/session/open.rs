//! A session while its connection is open. Every function requires that the connection's mutex is
//! held.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::boxed::Box;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;

use super::super::cache::{CacheLimit, EnlargedCache};
use super::super::callback;
use super::super::error::SqliteError;
use super::super::registry::Registry;
use super::super::schema_watch::KnownSchema;
use super::super::statement::Connection;
use super::super::sys::{self, sqlite3, sqlite3_session};
use super::{ObjectConfig, Setup};
use crate::wire::Format;

/// The application's table filter.
pub(super) type FilterFn = Box<dyn FnMut(&str) -> bool + Send>;

pub(super) struct Filter {
    pub(super) filter: FilterFn,
    pub(super) db: *mut sqlite3,
    pub(super) panicked: Arc<AtomicBool>,
}

/// A session whose connection is open.
pub(super) struct OpenSession {
    pub(super) session: NonNull<sqlite3_session>,
    pub(super) db: NonNull<sqlite3>,
    /// What SQLite's filter callback receives, if a filter is set.
    pub(super) filter: Option<NonNull<Filter>>,
    /// The connection's registry, which exists longer: see [`registry`](Self::registry).
    pub(super) registry: NonNull<Registry>,
}

// SAFETY: the pointers are used only by code that holds the state's lock and the connection's
// mutex, on whichever thread. SQLite ties neither sessions nor connections to a thread. The filter
// is `Send` itself.
unsafe impl Send for OpenSession {}

impl OpenSession {
    /// Returns the connection's registry.
    pub(super) fn registry(&self) -> &Registry {
        // SAFETY: the registry exists until the connection has closed, and only shared references to it
        // exist. Before that, `Registry::close` takes this value out of the state that owns it.
        unsafe { self.registry.as_ref() }
    }

    /// Converts the result code of a call on the session.
    fn done(&self, code: c_int) -> Result<(), SqliteError> {
        // SAFETY: the connection of an open session is open.
        if code == sys::SQLITE_OK { Ok(()) } else { Err(unsafe { SqliteError::of(self.db.as_ptr(), code) }) }
    }

    pub(super) fn configure(&self, option: ObjectConfig) -> Result<(), SqliteError> {
        let mut on: c_int = 1;
        let option = match option {
            ObjectConfig::Size => sys::OBJCONFIG_SIZE,
            ObjectConfig::Rowid => sys::OBJCONFIG_ROWID,
        };
        // SAFETY: the session is open. Both options expect a pointer to an `int`, which is a local
        // variable.
        self.done(unsafe { sys::sqlite3session_object_config(self.session.as_ptr(), option, (&raw mut on).cast()) })
    }

    pub(super) fn attach(&self, table: Option<&CStr>) -> Result<(), SqliteError> {
        let table = table.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: the session is open. The name is null, which means all tables, or a C string.
        self.done(unsafe { sys::sqlite3session_attach(self.session.as_ptr(), table) })
    }

    pub(super) fn generate(&self, format: Format, limit: &CacheLimit<'_>) -> Result<Vec<u8>, SqliteError> {
        // restored at the very end, when the error has been read
        let _cache = self.enlarge_cache(limit);
        let (mut size, mut bytes) = (0, ptr::null_mut());
        let code = self.without_recording(|session| match format {
            // SAFETY: the session is open, and the other two pointers point to local variables.
            Format::Changeset => unsafe { sys::sqlite3session_changeset(session, &raw mut size, &raw mut bytes) },
            // SAFETY: the session is open, and the other two pointers point to local variables.
            Format::Patchset => unsafe { sys::sqlite3session_patchset(session, &raw mut size, &raw mut bytes) },
        });
        let mut copy = Vec::new();
        if let (Ok(size), false) = (usize::try_from(size), bytes.is_null()) {
            // SAFETY: SQLite set `bytes` to an allocation of `size` bytes. They are copied before
            // they are freed.
            copy.extend_from_slice(unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), size) });
        }
        // SAFETY: the pointer is null or was allocated by SQLite and handed over to the caller. It
        // is not used again.
        unsafe { sys::sqlite3_free(bytes) };
        self.done(code?).map(|()| copy)
    }

    /// Replaces this session by a new one that has recorded nothing, with the same settings. The
    /// connection's mutex must be held, and no statement may be running. [`records`](Self::records)
    /// must have returned `true` just before.
    pub(super) fn restart(&mut self, setup: &Setup<'_>) -> Result<(), SqliteError> {
        // SAFETY: the connection of an open session is open, its mutex is held, and no statement is
        // running. `records` has just verified the hook.
        let session = match unsafe { self.registry().hooks().add(self.db, setup.schema) } {
            Ok(session) => session,
            Err(code) => return self.done(code),
        };
        let other = Self { session, db: self.db, filter: None, registry: self.registry };
        if let Err(failure) = self.set_up(&other, setup) {
            // `other` does not own the filter
            other.delete();
            return Err(failure);
        }
        let old = core::mem::replace(&mut self.session, other.session);
        // SAFETY: the old session is valid, one of the chain, and nothing refers to it any more.
        // SQLite's pointer to the filter is valid: the filter is still owned by `self`. No statement
        // has run since the hook was verified.
        unsafe { self.registry().hooks().remove(old) };
        Ok(())
    }

    /// Returns whether the session has recorded everything since it was created. No statement may be
    /// running.
    pub(super) fn records(&self) -> bool {
        // SAFETY: the connection of an open session is open, its mutex is held, and no statement is
        // running.
        unsafe { self.registry().hooks().records(self.db, self.session) }
    }

    /// Applies this session's settings to another session of the same connection.
    fn set_up(&self, other: &Self, setup: &Setup<'_>) -> Result<(), SqliteError> {
        setup.options.iter().try_for_each(|option| other.configure(*option))?;
        let (from, to) = (self.session.as_ptr(), other.session.as_ptr());
        if let Some(filter) = self.filter {
            // SAFETY: the other session is open. The function has the expected type. The filter is
            // owned by `self`; the other session either replaces this one or is deleted before the
            // filter is dropped.
            unsafe { sys::sqlite3session_table_filter(to, Some(filter_table), filter.as_ptr().cast()) };
        }
        setup.tables.iter().try_for_each(|table| other.attach(Some(table)))?;
        if setup.all {
            other.attach(None)?;
        }
        // SAFETY: the session is open. The function only reads a flag.
        let enabled = unsafe { sys::sqlite3session_enable(from, -1) };
        // SAFETY: the session is open. The function only reads a flag.
        let indirect = unsafe { sys::sqlite3session_indirect(from, -1) };
        // SAFETY: the other session is open. The function only sets a flag.
        unsafe { sys::sqlite3session_enable(to, enabled) };
        // SAFETY: the other session is open. The function only sets a flag.
        unsafe { sys::sqlite3session_indirect(to, indirect) };
        Ok(())
    }

    /// Runs SQLite's session code without recording.
    ///
    /// The code may call functions of the application: collations, and functions in DEFAULT
    /// clauses. On a connection that is not borrowed, these could change the database and thereby
    /// free memory that the code uses. Therefore recording is disabled meanwhile, and a change in
    /// that time is an error.
    pub(super) fn without_recording(
        &self,
        work: impl FnOnce(*mut sqlite3_session) -> c_int,
    ) -> Result<c_int, SqliteError> {
        let (session, db) = (self.session.as_ptr(), self.db.as_ptr());
        let _inside = callback::enter(db);
        // SAFETY: the connection of an open session is open.
        let before = unsafe { sys::sqlite3_total_changes(db) };
        // SAFETY: the connection of an open session is open.
        let was_autocommit = unsafe { sys::sqlite3_get_autocommit(db) } != 0;
        // SAFETY: the session is open. The function only reads a flag.
        let enabled = unsafe { sys::sqlite3session_enable(session, -1) };
        // SAFETY: the session is open. The function only sets a flag.
        unsafe { sys::sqlite3session_enable(session, 0) };
        let code = work(session);
        // SAFETY: the session is still open: it is borrowed by `self`. The function only sets a
        // flag.
        unsafe { sys::sqlite3session_enable(session, enabled) };
        // SAFETY: the connection of an open session is open.
        let after = unsafe { sys::sqlite3_total_changes(db) };
        // SAFETY: the connection of an open session is open.
        let is_autocommit = unsafe { sys::sqlite3_get_autocommit(db) } != 0;
        if was_autocommit && !is_autocommit {
            // A change made meanwhile could not be committed, and SQLite's savepoint has become a
            // transaction without an owner.
            // SAFETY: the connection is open. The SQL is a C string, and the other pointers may be
            // null.
            unsafe { sys::sqlite3_exec(db, c"ROLLBACK".as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
        }
        if before == after {
            return Ok(code);
        }
        let message = "a function of the connection changed the database meanwhile; the change was not recorded".into();
        Err(SqliteError { code: sys::SQLITE_MISUSE, message })
    }

    /// Stops recording.
    pub(super) fn disable(&self) {
        // SAFETY: the session is open, and the mutex is held. The function only sets a flag.
        unsafe { sys::sqlite3session_enable(self.session.as_ptr(), 0) };
    }

    /// Calls `work` with the connection, and with what is known of a schema.
    pub(super) fn with_schema<R>(&self, schema: &CStr, work: impl FnOnce(Connection<'_>, &mut KnownSchema) -> R) -> R {
        let _inside = callback::enter(self.db.as_ptr());
        // SAFETY: the connection of an open session is open, and its mutex is held for as long as
        // `self` is borrowed.
        let connection = unsafe { Connection::new(self.db) };
        // SAFETY: the connection is open and its mutex held.
        unsafe { self.registry().with_schema(schema, |known| work(connection, known)) }
    }

    /// Enlarges the page cache, if that pays off for the recorded changes.
    pub(super) fn enlarge_cache(&self, limit: &CacheLimit<'_>) -> Option<EnlargedCache<'_>> {
        let inside = callback::enter(self.db.as_ptr());
        // SAFETY: the session is open. The function only reads.
        let used = unsafe { sys::sqlite3session_memory_used(self.session.as_ptr()) };
        // SAFETY: the connection of an open session is open. All callers come through
        // `RawSession::with`, which holds the mutex for as long as `self` is borrowed.
        let connection = unsafe { Connection::new(self.db) };
        EnlargedCache::enlarge(connection, inside, limit, u64::try_from(used).unwrap_or(0))
    }

    /// Deletes the session. Returns whether it has recorded everything since it was created, and its
    /// filter. The connection's mutex must be held, and no statement may be running.
    pub(super) fn delete(self) -> (bool, Option<Filter>) {
        let filter = self.filter;
        // SAFETY: the session is valid, and nobody uses it after this, because `self` is consumed. The
        // mutex is held, and no statement is running.
        let has_recorded = unsafe { self.registry().hooks().delete(self.db, self.session) };
        // SAFETY: the pointer came from `Box::into_raw`, and SQLite's copy of it is gone with the
        // session.
        (has_recorded, filter.map(|filter| *unsafe { Box::from_raw(filter.as_ptr()) }))
    }
}

// SAFETY: a boxed filter has one owner at a time, and its closure is `Send`. Its pointer is only
// compared, never dereferenced.
unsafe impl Send for Filter {}

/// The filters of deleted sessions, to be dropped without any lock.
#[derive(Default)]
pub(crate) struct DroppedFilters(pub(super) Vec<Filter>);

/// Receives SQLite's question whether to record a table, at the first change to the table.
pub(super) unsafe extern "C" fn filter_table(context: *mut c_void, table: *const c_char) -> c_int {
    // SAFETY: the context is the `Filter` of this session, valid as long as the session has it.
    // SQLite calls this from a statement on the connection, under its mutex. The filter cannot run
    // another statement on the connection, so nothing else refers to the `Filter` meanwhile.
    let filter = unsafe { &mut *context.cast::<Filter>() };
    // SAFETY: SQLite passes the table's name as a C string that is valid during the call.
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
