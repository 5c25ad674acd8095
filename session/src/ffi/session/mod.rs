//! `sqlite3_session` objects that may outlive their connection, move between threads and be dropped
//! at any time.
//!
//! - [`shared`]: the state that a session shares with its connection's registry, and its locks
//! - [`open`]: the session while its connection is open
//! - [`stream`]: changes written to a `Write`

mod open;
mod shared;
mod stream;

use core::ffi::{CStr, c_char};
use std::boxed::Box;
use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

pub(crate) use self::open::DroppedFilters;
use self::open::{Filter, FilterFn, OpenSession, filter_table};
use self::shared::Requires;
pub(super) use self::shared::SharedSession;
pub(crate) use self::shared::Unavailable;
pub(crate) use self::stream::StreamError;
use super::cache::CacheLimit;
use super::callback;
use super::error::SqliteError;
use super::handle::Handle;
use super::hook::HookError;
use super::registry::Registry;
use super::schema_watch::KnownSchema;
use super::statement::Connection;
use super::sys;
use super::value::text_from_raw;
use crate::wire::{Format, ParseError};

/// A session. It is deleted when it is dropped or its connection closes, whichever comes first.
pub(crate) struct RawSession {
    shared: Arc<SharedSession>,
    /// Set by a table filter that panicked.
    filter_panicked: Option<Arc<AtomicBool>>,
}

impl RawSession {
    /// Creates a session. Also returns the filters of earlier sessions that could not be deleted
    /// when they were dropped. They belong to the application; drop them after releasing the
    /// connection.
    pub(crate) fn create(handle: Handle<'_>, schema: &CStr) -> (Result<Self, CreateError>, DroppedFilters) {
        let mut filters = DroppedFilters::default();
        (Self::create_here(handle, schema, &mut filters), filters)
    }

    fn create_here(handle: Handle<'_>, schema: &CStr, filters: &mut DroppedFilters) -> Result<Self, CreateError> {
        if callback::is_inside(handle.as_ptr()) {
            return Err(CreateError::Unavailable(Unavailable::Busy));
        }
        let Some(registry) = handle.registry() else {
            return Err(CreateError::Unavailable(Unavailable::Closed));
        };
        // SAFETY: `handle` proves that the connection is open, and that nobody else uses it. This
        // thread is not inside SQLite's code on it, as was checked above.
        unsafe { registry.watch_functions() };
        delete_abandoned(registry, filters);
        // SAFETY: `handle` proves that the connection is open, and that nobody else uses it. This
        // thread is not inside SQLite's code on it, as was checked above.
        let created = unsafe { registry.hooks().create(handle.as_non_null(), schema) };
        let session = created.map_err(|error| match error {
            HookError::OtherHook => CreateError::OtherHook,
            // SAFETY: `handle` proves that the connection is open.
            HookError::Sqlite(code) => CreateError::Sqlite(unsafe { SqliteError::of(handle.as_ptr(), code) }),
        })?;
        let open = OpenSession { session, db: handle.as_non_null(), filter: None, registry: registry.into() };
        let shared = Arc::new(SharedSession { state: Mutex::new(Some(open)), is_abandoned: AtomicBool::new(false) });
        registry.add(Arc::clone(&shared));
        Ok(Self { shared, filter_panicked: None })
    }

    /// Returns whether the connection has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state(callback::is_inside_any()).is_some_and(|state| state.is_none())
    }

    /// Returns whether a table filter has panicked since the last call.
    pub(crate) fn take_filter_panic(&self) -> bool {
        self.filter_panicked.as_ref().is_some_and(|panicked| panicked.swap(false, Ordering::Relaxed))
    }

    /// Runs `work` on the session, with the connection's mutex held.
    fn with<R>(&self, requires: Requires, work: impl FnOnce(&mut OpenSession) -> R) -> Result<R, Unavailable> {
        let done = self.shared.with(requires, |state| state.as_mut().map(work))?;
        done.ok_or(Unavailable::Closed)
    }

    /// Runs `work`, which runs SQL, on the session. The connection is borrowed if there is a `handle`,
    /// which must be its own. Otherwise waits until nobody uses the connection.
    fn with_connection<R>(
        &self,
        handle: Option<Handle<'_>>,
        work: impl FnOnce(&mut OpenSession) -> R,
    ) -> Result<R, Unavailable> {
        let Some(handle) = handle else { return self.with(Requires::IdleConnection, work) };
        self.with(Requires::Connection(handle.as_non_null()), work)
    }

    /// Runs queries on the connection. `work` also receives what is known of a schema.
    pub(crate) fn query<R>(
        &self,
        handle: Option<Handle<'_>>,
        schema: &CStr,
        work: impl FnOnce(Connection<'_>, &mut KnownSchema) -> R,
    ) -> Result<R, Unavailable> {
        self.with_connection(handle, |open| open.with_schema(schema, work))
    }

    /// Attaches a table, or all tables if `table` is `None`.
    pub(crate) fn attach(&self, table: Option<&CStr>) -> Result<Result<(), SqliteError>, Unavailable> {
        self.with(Requires::NoCallback, |open| open.attach(table))
    }

    pub(crate) fn set_filter(&mut self, filter: FilterFn) -> Result<(), Unavailable> {
        let panicked = Arc::clone(self.filter_panicked.get_or_insert_default());
        let old = self.with(Requires::NoCallback, |open| {
            let filter = Box::into_raw(Box::new(Filter { filter, db: open.db.as_ptr(), panicked }));
            // SAFETY: the session is open. `filter_table` has the expected type and expects the
            // `Filter`, which is valid until the session is deleted or has another filter.
            unsafe { sys::sqlite3session_table_filter(open.session.as_ptr(), Some(filter_table), filter.cast()) };
            let old = core::mem::replace(&mut open.filter, NonNull::new(filter));
            // SAFETY: the pointer came from `Box::into_raw`, and SQLite has just replaced its copy,
            // so nobody uses it any more.
            old.map(|old| unsafe { Box::from_raw(old.as_ptr()) })
        })?;
        // The filter belongs to the application. It is dropped without any lock.
        drop(old);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> Result<bool, Unavailable> {
        // SAFETY: the session is open and the mutex held. The function only reads, so it may run
        // inside a callback.
        self.with(Requires::Nothing, |open| unsafe { sys::sqlite3session_isempty(open.session.as_ptr()) } != 0)
    }

    /// Sets whether the session records.
    pub(crate) fn enable(&self, enabled: bool) -> Result<(), Unavailable> {
        let enable = |open: &mut OpenSession| {
            // SAFETY: the session is open and the mutex held. The function only sets a flag, so it
            // may run inside a callback.
            unsafe { sys::sqlite3session_enable(open.session.as_ptr(), enabled.into()) };
        };
        self.with(Requires::Nothing, enable)
    }

    /// Sets whether all changes are indirect.
    pub(crate) fn indirect(&self, indirect: bool) -> Result<(), Unavailable> {
        let mark = |open: &mut OpenSession| {
            // SAFETY: the session is open and the mutex held. The function only sets a flag, so it
            // may run inside a callback.
            unsafe { sys::sqlite3session_indirect(open.session.as_ptr(), indirect.into()) };
        };
        self.with(Requires::Nothing, mark)
    }

    pub(crate) fn memory_used(&self) -> Result<i64, Unavailable> {
        // SAFETY: the session is open and the mutex held. The function only reads, so it may run
        // inside a callback.
        self.with(Requires::Nothing, |open| unsafe { sys::sqlite3session_memory_used(open.session.as_ptr()) })
    }

    pub(crate) fn changeset_size(&self) -> Result<i64, Unavailable> {
        // SAFETY: the session is open and the mutex held. The function only reads, so it may run
        // inside a callback.
        self.with(Requires::Nothing, |open| unsafe { sys::sqlite3session_changeset_size(open.session.as_ptr()) })
    }

    pub(crate) fn configure(&self, option: ObjectConfig) -> Result<Result<(), SqliteError>, Unavailable> {
        self.with(Requires::NoCallback, |open| open.configure(option))
    }

    /// Records the differences between a table and the table of the same name in the schema `from`.
    pub(crate) fn diff(
        &self,
        handle: Option<Handle<'_>>,
        from: &CStr,
        table: &CStr,
    ) -> Result<Result<(), SqliteError>, Unavailable> {
        self.with_connection(handle, |open| {
            let mut message: *mut c_char = ptr::null_mut();
            let code = open.without_recording(|session| {
                // SAFETY: the session is open, the names are C strings, and `message` is a local
                // variable.
                unsafe { sys::sqlite3session_diff(session, from.as_ptr(), table.as_ptr(), &raw mut message) }
            })?;
            if code == sys::SQLITE_OK {
                return Ok(());
            }
            // SAFETY: the connection of an open session is open.
            let mut failure = unsafe { SqliteError::of(open.db.as_ptr(), code) };
            if !message.is_null() {
                // SAFETY: SQLite set the pointer to a C string, which is copied before it is freed.
                failure.message = unsafe { text_from_raw(message) };
                // SAFETY: SQLite allocated the message with `sqlite3_malloc` and hands it over to
                // the caller.
                unsafe { sys::sqlite3_free(message.cast()) };
            }
            Err(failure)
        })
    }

    /// Returns the recorded changes. After they have been read, `verify` looks at the schema.
    pub(crate) fn generate<E>(
        &self,
        handle: Option<Handle<'_>>,
        format: Format,
        limit: &CacheLimit<'_>,
        verify: impl FnOnce(Connection<'_>, &mut KnownSchema) -> Result<(), E>,
    ) -> Result<Result<Vec<u8>, TakeError<E>>, Unavailable> {
        self.with_connection(handle, |open| {
            let changes = open.generate(format, limit)?;
            open.with_schema(limit.schema, verify).map_err(TakeError::Schema)?;
            if open.records() { Ok(changes) } else { Err(TakeError::OtherHook) }
        })
    }

    /// Returns the recorded changes, and deletes the session unless that fails. After the changes have
    /// been read, `verify` looks at the schema, unless it is known to have this version: the session was
    /// created in the same transaction, and no statement since then may have changed the schema.
    pub(crate) fn finish<E>(
        &self,
        handle: Handle<'_>,
        format: Format,
        limit: &CacheLimit<'_>,
        version: u64,
        verify: impl FnOnce(Connection<'_>, &mut KnownSchema) -> Result<(), E>,
    ) -> Result<Result<Vec<u8>, TakeError<E>>, Unavailable> {
        let changes = self.with_connection(Some(handle), |open| {
            let changes = open.generate(format, limit)?;
            if !open.registry().is_version(limit.schema, version) {
                open.with_schema(limit.schema, verify).map_err(TakeError::Schema)?;
            }
            Ok(changes)
        })?;
        let changes = match changes {
            Ok(changes) => changes,
            Err(error) => return Ok(Err(error)),
        };
        let has_recorded = match self.delete() {
            Some((has_recorded, _filter)) => has_recorded,
            None => self.with(Requires::NoCallback, |open| open.records())?,
        };
        Ok(if has_recorded { Ok(changes) } else { Err(TakeError::OtherHook) })
    }

    /// Deletes the session, unless the connection is in use. Does not wait. Returns whether the session
    /// has recorded everything since it was created, and its filter, which belongs to the application.
    fn delete(&self) -> Option<(bool, Option<Filter>)> {
        self.shared.with_now(|state| {
            let open = state.as_ref()?;
            // SAFETY: the connection of an open session is open, and its mutex is held.
            let connection = unsafe { Connection::new(open.db) };
            if callback::is_inside(open.db.as_ptr()) || connection.is_busy() {
                open.disable();
                return None;
            }
            let open = state.take()?;
            open.registry().remove(&self.shared);
            Some(open.delete())
        })?
    }

    /// Returns the recorded changes, checked by `check`, and restarts the session. On failure the
    /// session stays as it was. After the changes have been read, `verify` looks at the schema.
    pub(crate) fn take<T, E>(
        &self,
        handle: Option<Handle<'_>>,
        format: Format,
        limit: &CacheLimit<'_>,
        setup: &Setup<'_>,
        check: impl FnOnce(Vec<u8>) -> Result<T, ParseError>,
        verify: impl FnOnce(Connection<'_>, &mut KnownSchema) -> Result<(), E>,
    ) -> Result<Result<T, TakeError<E>>, Unavailable> {
        // nothing can be recorded in between: the mutex is held
        self.with_connection(handle, |open| {
            let changes = check(open.generate(format, limit)?)?;
            open.with_schema(limit.schema, verify).map_err(TakeError::Schema)?;
            if !open.records() {
                return Err(TakeError::OtherHook);
            }
            open.restart(setup)?;
            Ok(changes)
        })
    }
}

/// Options that must be set before the first table is attached.
#[derive(Clone, Copy)]
pub(crate) enum ObjectConfig {
    /// Tracks the size of the changeset.
    Size,
    /// Records tables without a primary key by their rowids.
    Rowid,
}

/// What a session records, apart from its filter and flags.
pub(crate) struct Setup<'a> {
    pub(crate) schema: &'a CStr,
    pub(crate) options: &'a [ObjectConfig],
    pub(crate) tables: &'a [CString],
    /// Whether the session records all tables.
    pub(crate) all: bool,
}

/// The reason why no session was created.
pub(crate) enum CreateError {
    /// The connection had another preupdate hook.
    OtherHook,
    Unavailable(Unavailable),
    Sqlite(SqliteError),
}

/// The reason why no changes were taken.
pub(crate) enum TakeError<E> {
    Sqlite(SqliteError),
    Malformed(ParseError),
    /// The schema has changed.
    Schema(E),
    /// Another preupdate hook has taken the place of the session's.
    OtherHook,
}

impl<E> From<SqliteError> for TakeError<E> {
    fn from(failure: SqliteError) -> Self {
        Self::Sqlite(failure)
    }
}

impl<E> From<ParseError> for TakeError<E> {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

impl Drop for RawSession {
    /// Does not wait. A session that cannot be deleted now stays in the registry until the next
    /// session is created or the connection closes. It is disabled now, or when the thread that uses
    /// the connection runs the next statement.
    fn drop(&mut self) {
        self.shared.is_abandoned.store(true, Ordering::Release);
        let deleted = self.delete();
        if deleted.is_none() {
            if let Some(open) = self.shared.state(true).as_deref().and_then(Option::as_ref) {
                open.registry().note_abandoned();
            }
        }
        // The filter belongs to the application. It is dropped without any lock.
        drop(deleted);
    }
}

/// Deletes the sessions whose owners are gone.
fn delete_abandoned(registry: &Registry, filters: &mut DroppedFilters) {
    for shared in registry.abandoned() {
        let buried = shared.with(Requires::NoCallback, |state| {
            let db = state.as_ref()?.db;
            // SAFETY: the connection of an open session is open, and its mutex is held.
            if unsafe { Connection::new(db) }.is_busy() {
                return None;
            }
            registry.remove(&shared);
            state.take()?.delete().1
        });
        filters.0.extend(buried.ok().flatten());
    }
}
