//! The `sqlite3*` of a Diesel connection, which Diesel 2.3 does not give.
//!
//! The first time it is learnt by attaching a database through the VFS of [`probe`], for about 7 µs; after that an SQL
//! function that is then added tells it for about 1 µs. Where Diesel has `with_raw_connection`, [`with_handle`] can be five
//! lines.

use core::marker::PhantomData;
use std::format;
use std::ptr::NonNull;
use std::string::{String, ToString};
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;

use super::error::HandleError;
use super::registry::{self, Registry};
use super::sys::{self, sqlite3};
use super::{mutex, probe};

/// SQLite 3.44, which brought `sqlite3_set_clientdata`.
const OLDEST: i32 = 3_044_000;

/// The open connection behind a `SqliteConnection` that is mutably borrowed, and that has a registry.
#[derive(Clone, Copy)]
pub(crate) struct Handle<'conn> {
    db: NonNull<sqlite3>,
    _borrowed: PhantomData<&'conn mut SqliteConnection>,
}

impl<'conn> Handle<'conn> {
    /// Open for as long as `self` lives.
    pub(super) fn as_ptr(self) -> *mut sqlite3 {
        self.db.as_ptr()
    }

    pub(super) fn as_non_null(self) -> NonNull<sqlite3> {
        self.db
    }

    pub(crate) fn is_in_transaction(self) -> bool {
        // SAFETY: the connection is open for as long as `self` lives.
        unsafe { sys::sqlite3_get_autocommit(self.as_ptr()) == 0 }
    }

    pub(super) fn registry(self) -> Option<&'conn Registry> {
        // SAFETY: the connection is open for as long as it is borrowed.
        unsafe { Registry::of(self.db) }
    }
}

/// Calls `work` with the handle of `connection`.
pub(crate) fn with_handle<R>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(Handle<'_>) -> R,
) -> Result<R, HandleError> {
    let handle = |db| Handle { db, _borrowed: PhantomData };
    if let Some((db, _pinned)) = ask(connection) {
        return Ok(work(handle(db)));
    }
    let db = attach(connection)?;
    // SAFETY: `attach` has just learnt the address from this very connection, which is borrowed.
    unsafe { prepare(db) }?;
    let _pinned = registry::pin(db);
    // SAFETY: the connection is open and, being borrowed, in nobody's use.
    if let Some(registry) = unsafe { Registry::of(db) } {
        // SAFETY: as above.
        unsafe { registry.note_rest() };
    }
    Ok(work(handle(db)))
}

/// Asks the SQL function of an earlier call.
///
/// A user could have put another function in its place, and that could have called ours on another connection. Therefore only
/// a connection that is open and has a registry is accepted, and it is pinned; whoever runs a user's code on it notes that, so
/// that this code cannot close it.
fn ask(connection: &mut SqliteConnection) -> Option<(NonNull<sqlite3>, registry::Pinned)> {
    let query = concat!("SELECT \"diesel_sqlite_session_", env!("CARGO_PKG_VERSION"), "\"()");
    let (result, db) = probe::capture(|| connection.batch_execute(query));
    let db = result.ok().and(db)?;
    Some((db, registry::pin(db)?))
}

/// Attaches an empty database whose VFS is told the address, and detaches it.
fn attach(connection: &mut SqliteConnection) -> Result<NonNull<sqlite3>, HandleError> {
    // SAFETY: this only reads a number.
    let version = unsafe { sys::sqlite3_libversion_number() };
    if version < OLDEST {
        return Err(HandleError::TooOld { version });
    }
    probe::register_vfs()
        .map_err(|code| HandleError::Refused { message: format!("the VFS is refused: code {code}") })?;
    // a name of its own, so that connections with a shared cache do not share the probe
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
        (Ok(()), None) => Err(HandleError::Refused { message: String::from("SQLite did not tell its address") }),
        (Err(error), db) => {
            if db.is_some() {
                // attached, but not detached
                let _ = connection.batch_execute(&format!("DETACH \"{alias}\""));
            }
            Err(match error.to_string() {
                message if message.contains("too many attached databases") => HandleError::TooManyAttached,
                // Diesel has no code of it
                message if message.contains("is locked") => HandleError::Locked { message },
                message => HandleError::Refused { message },
            })
        }
    }
}

/// Readies a connection for the fast look-up and for sessions.
///
/// # Safety
///
/// `db` must be open, and in no other thread's use.
unsafe fn prepare(db: NonNull<sqlite3>) -> Result<(), HandleError> {
    // SAFETY: the caller's promise.
    match unsafe { mutex::check(db.as_ptr()) } {
        Ok(()) => {}
        Err(mutex::Unfit::Missing) => return Err(HandleError::NotSerialized),
        Err(mutex::Unfit::NoTry) => {
            return Err(HandleError::Refused { message: "this SQLite has no sqlite3_mutex_try".to_string() });
        }
    }
    let refused = |code: i32| HandleError::Refused { message: format!("out of memory: code {code}") };
    // SAFETY: the caller's promise.
    unsafe { Registry::ensure(db) }.map_err(refused)?;
    // SAFETY: the caller's promise. Where the function cannot be added, the next look-up is a slow one again.
    unsafe { probe::add_function(db.as_ptr()) };
    Ok(())
}
