//! The `sqlite3*` of a Diesel connection, which Diesel 2.3 does not expose.
//!
//! The first look-up attaches a database through the VFS of [`probe`], which takes about 7 µs. It
//! also adds an SQL function, by which later look-ups take about 1 µs. Once Diesel has
//! `with_raw_connection`, [`with_handle`] needs only five lines.

use core::marker::PhantomData;
use std::format;
use std::ptr::NonNull;
use std::string::{String, ToString};
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::{Connection, SimpleConnection};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, SqliteConnection};

use super::error::{HandleError, SqliteError};
use super::registry::{self, Registry};
use super::statement::library_version;
use super::sys::{self, sqlite3};
use super::{mutex, probe};

/// SQLite 3.44, the first version with `sqlite3_set_clientdata`.
const MIN_VERSION: i32 = 3_044_000;

/// The open connection behind a mutably borrowed `SqliteConnection`. It has a registry.
#[derive(Clone, Copy)]
pub(crate) struct Handle<'conn> {
    db: NonNull<sqlite3>,
    _borrowed: PhantomData<&'conn mut SqliteConnection>,
}

impl<'conn> Handle<'conn> {
    /// Returns the connection, which is open during `'conn`.
    pub(super) fn as_ptr(self) -> *mut sqlite3 {
        self.db.as_ptr()
    }

    pub(super) fn as_non_null(self) -> NonNull<sqlite3> {
        self.db
    }

    pub(crate) fn is_in_transaction(self) -> bool {
        // SAFETY: the connection is mutably borrowed for `'conn`, so nobody can close it.
        unsafe { sys::sqlite3_get_autocommit(self.as_ptr()) == 0 }
    }

    /// Reinstalls the trace function of the registry, which another one may have replaced.
    pub(crate) fn take_trace(self) {
        if let Some(registry) = self.registry() {
            registry.take_trace();
        }
    }

    pub(super) fn registry(self) -> Option<&'conn Registry> {
        // SAFETY: the connection is mutably borrowed for `'conn`, so nobody can close it while the
        // reference exists.
        unsafe { Registry::of(self.db) }
    }
}

/// Calls `work` with the handle of `connection`.
pub(crate) fn with_handle<R>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(Handle<'_>) -> R,
) -> Result<R, HandleError> {
    let handle = |db| Handle { db, _borrowed: PhantomData };
    if let Some((db, _pinned)) = query_function(connection) {
        return Ok(work(handle(db)));
    }
    let db = attach_probe(connection)?;
    // SAFETY: SQLite has just reported `db` as the address of this connection, which is mutably
    // borrowed: it is open, and no other thread uses it.
    unsafe { prepare(db) }?;
    let _pinned = registry::pin(db);
    Ok(work(handle(db)))
}

/// A call of the SQL function. Diesel keeps the prepared statement.
struct FunctionQuery;

impl QueryId for FunctionQuery {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Sqlite> for FunctionQuery {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        pass.push_sql(concat!("SELECT \"diesel_sqlite_session_", env!("CARGO_PKG_VERSION"), "\"()"));
        Ok(())
    }
}

/// Returns the connection's address from the SQL function that an earlier call added.
///
/// The application could have replaced the function by one that calls ours on another connection.
/// Therefore the address is accepted only if the connection is open and has a registry, and the
/// connection is pinned. Code of the application that runs on a connection is marked by
/// [`callback`](super::callback), so that it cannot close the connection.
fn query_function(connection: &mut SqliteConnection) -> Option<(NonNull<sqlite3>, registry::PinnedConnection)> {
    if !registry::is_any_live() {
        // no connection has the function
        return None;
    }
    let (result, db) = probe::capture(|| connection.execute_returning_count(&FunctionQuery));
    let db = result.ok().and(db)?;
    Some((db, registry::pin(db)?))
}

/// Attaches an empty database whose VFS receives the connection's address, and detaches it again.
fn attach_probe(connection: &mut SqliteConnection) -> Result<NonNull<sqlite3>, HandleError> {
    let version = library_version();
    if version < MIN_VERSION {
        return Err(HandleError::TooOld { version });
    }
    probe::register_vfs().map_err(|code| refused("registering the VFS", code))?;
    // a unique name, so that connections with a shared cache do not share the probe
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = env!("CARGO_PKG_VERSION");
    let alias = format!("diesel_sqlite_session_{name}_{number}");
    let query = format!(
        "ATTACH 'file:/{alias}?vfs=diesel_sqlite_session_{name}&cache=private' AS \"{alias}\"; DETACH \"{alias}\""
    );
    let (result, db) = probe::capture(|| connection.batch_execute(&query));
    match (result, db) {
        (Ok(()), Some(db)) => Ok(db),
        (Ok(()), None) => {
            Err(HandleError::Refused { message: String::from("SQLite did not report the connection's address") })
        }
        (Err(error), db) => {
            if db.is_some() {
                // attached, but not detached
                let _ = connection.batch_execute(&format!("DETACH \"{alias}\""));
            }
            Err(match error.to_string() {
                message if message.contains("too many attached databases") => HandleError::TooManyAttached,
                // Diesel reports no result code
                message if message.contains("is locked") => HandleError::Locked { message },
                message => HandleError::Refused { message },
            })
        }
    }
}

/// Returns the error of a failed call, with SQLite's general message for the code.
fn refused(operation: &str, code: i32) -> HandleError {
    HandleError::Refused { message: format!("{operation}: {}", SqliteError::of_code(code)) }
}

/// Prepares a connection for the fast look-up and for sessions.
///
/// # Safety
///
/// `db` must be open, and no other thread may use it.
unsafe fn prepare(db: NonNull<sqlite3>) -> Result<(), HandleError> {
    // SAFETY: the caller guarantees that `db` is open.
    match unsafe { mutex::check(db.as_ptr()) } {
        Ok(()) => {}
        Err(mutex::MutexError::Missing) => return Err(HandleError::NotSerialized),
        Err(mutex::MutexError::TryUnsupported) => {
            return Err(HandleError::Refused { message: "this SQLite does not support sqlite3_mutex_try".to_string() });
        }
    }
    // SAFETY: the caller guarantees that `db` is open and that no other thread uses it.
    unsafe { Registry::ensure(db) }.map_err(|code| refused("registering the connection", code))?;
    // SAFETY: the caller guarantees that `db` is open. If the function cannot be added, the next
    // look-up is a slow one again.
    unsafe { probe::add_function(db.as_ptr()) };
    Ok(())
}
