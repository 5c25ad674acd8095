//! SQLite's functions on a Diesel connection, which Diesel 2.3 does not offer: result codes,
//! deserializing, backups, traces.
//!
//! A connection that [`connect`] opens has an SQL function that reports the connection's address.

pub mod hooks;

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use libsqlite3_sys as ffi;

thread_local! {
    static IS_OPENING: Cell<bool> = const { Cell::new(false) };
    static REPORTED: Cell<*mut ffi::sqlite3> = const { Cell::new(ptr::null_mut()) };
}

unsafe extern "C" fn report(context: *mut ffi::sqlite3_context, _: c_int, _: *mut *mut ffi::sqlite3_value) {
    // SAFETY: SQLite passes the context of the running function.
    REPORTED.set(unsafe { ffi::sqlite3_context_db_handle(context) });
}

/// Called by SQLite for every new connection of the process.
unsafe extern "C" fn opened(db: *mut ffi::sqlite3, _: *mut *mut c_char, _: *const ffi::sqlite3_api_routines) -> c_int {
    if !IS_OPENING.get() {
        return ffi::SQLITE_OK;
    }
    // SAFETY: SQLite passes an open connection. The name is a C string, `report` has the expected
    // type, and there is no user data.
    unsafe {
        ffi::sqlite3_create_function_v2(
            db,
            c"address_of_this_connection".as_ptr(),
            0,
            ffi::SQLITE_UTF8,
            ptr::null_mut(),
            Some(report),
            None,
            None,
            None,
        )
    }
}

/// Opens a connection for which the other functions of this module work.
///
/// # Panics
///
/// If Diesel or SQLite fails.
pub fn connect(url: &str) -> SqliteConnection {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    // SAFETY: `opened` has the type that SQLite calls and lives as long as the process.
    let code = REGISTERED.get_or_init(|| unsafe { ffi::sqlite3_auto_extension(Some(opened)) });
    assert_eq!(*code, ffi::SQLITE_OK);
    IS_OPENING.set(true);
    let connection = SqliteConnection::establish(url);
    IS_OPENING.set(false);
    connection.unwrap()
}

/// Calls `work` with the handle, which is open and not in use by another thread.
fn with_handle<R>(connection: &mut SqliteConnection, work: impl FnOnce(*mut ffi::sqlite3) -> R) -> R {
    REPORTED.set(ptr::null_mut());
    connection.batch_execute("SELECT address_of_this_connection()").unwrap();
    let db = REPORTED.replace(ptr::null_mut());
    assert!(!db.is_null());
    work(db)
}

/// Returns the address of a connection, which is valid as long as the connection is.
///
/// # Panics
///
/// If [`connect`] did not open the connection.
pub fn address(connection: &mut SqliteConnection) -> *mut ffi::sqlite3 {
    with_handle(connection, |db| db)
}

/// Turns extended result codes on or off.
///
/// # Panics
///
/// If [`connect`] did not open the connection.
pub fn set_extended_result_codes(connection: &mut SqliteConnection, on: bool) {
    // SAFETY: the handle is open.
    let code = with_handle(connection, |db| unsafe { ffi::sqlite3_extended_result_codes(db, c_int::from(on)) });
    assert_eq!(code, ffi::SQLITE_OK);
}

/// Returns the number of prepared statements of the connection, Diesel's included.
///
/// # Panics
///
/// If [`connect`] did not open the connection.
pub fn statement_count(connection: &mut SqliteConnection) -> usize {
    with_handle(connection, |db| {
        let mut count = 0;
        // SAFETY: the handle is open, and a null pointer asks for the first statement.
        let mut statement = unsafe { ffi::sqlite3_next_stmt(db, ptr::null_mut()) };
        while !statement.is_null() {
            count += 1;
            // SAFETY: as above; the statement belongs to the connection and nobody finalizes it
            // meanwhile.
            statement = unsafe { ffi::sqlite3_next_stmt(db, statement) };
        }
        count
    })
}

/// Returns the content of the `main` database as a file would contain it.
///
/// # Panics
///
/// If SQLite fails, or if [`connect`] did not open the connection.
pub fn serialize(connection: &mut SqliteConnection) -> Vec<u8> {
    with_handle(connection, |db| {
        let mut size = 0;
        // SAFETY: the handle is open, the schema's name is a C string, and `size` may be written
        // to.
        let bytes = unsafe { ffi::sqlite3_serialize(db, c"main".as_ptr(), &raw mut size, 0) };
        assert!(!bytes.is_null());
        // SAFETY: SQLite says that `size` bytes begin there; they are copied before they are freed.
        let copy = unsafe { std::slice::from_raw_parts(bytes, usize::try_from(size).unwrap()) }.to_vec();
        // SAFETY: SQLite allocated the buffer and leaves it to the caller.
        unsafe { ffi::sqlite3_free(bytes.cast()) };
        copy
    })
}

/// Replaces the `main` database by one in memory with this content, which can be written to.
///
/// # Panics
///
/// If SQLite fails, or if [`connect`] did not open the connection.
pub fn deserialize(connection: &mut SqliteConnection, content: &[u8]) {
    let size = ffi::sqlite3_int64::try_from(content.len()).unwrap();
    let flags = ffi::SQLITE_DESERIALIZE_FREEONCLOSE | ffi::SQLITE_DESERIALIZE_RESIZEABLE;
    let code = with_handle(connection, |db| {
        // SAFETY: the function has no preconditions.
        let buffer = unsafe { ffi::sqlite3_malloc64(content.len() as ffi::sqlite3_uint64) }.cast::<u8>();
        assert!(!buffer.is_null());
        // SAFETY: the buffer is new and has the length of `content`.
        unsafe { ptr::copy_nonoverlapping(content.as_ptr(), buffer, content.len()) };
        // SAFETY: the handle is open, the schema's name is a C string, and the buffer is one of
        // SQLite's allocator, which the flag makes SQLite's own.
        unsafe { ffi::sqlite3_deserialize(db, c"main".as_ptr(), buffer, size, size, flags as c_uint) }
    });
    assert_eq!(code, ffi::SQLITE_OK);
}

/// Copies the `main` database of `from` over that of `connection` with SQLite's backup functions.
///
/// # Panics
///
/// If SQLite fails, or if [`connect`] did not open both connections.
pub fn restore(connection: &mut SqliteConnection, from: &mut SqliteConnection) {
    let source = with_handle(from, |db| db);
    let code = with_handle(connection, |db| {
        // SAFETY: both handles are open, mutably borrowed and distinct, and the names are C
        // strings.
        let backup = unsafe { ffi::sqlite3_backup_init(db, c"main".as_ptr(), source, c"main".as_ptr()) };
        assert!(!backup.is_null());
        // SAFETY: the backup has been started and is finished only here.
        unsafe {
            assert_eq!(ffi::sqlite3_backup_step(backup, -1), ffi::SQLITE_DONE);
            ffi::sqlite3_backup_finish(backup)
        }
    });
    assert_eq!(code, ffi::SQLITE_OK);
}

/// Installs a trace that does nothing, which takes the place of any other trace.
///
/// # Panics
///
/// If SQLite fails, or if [`connect`] did not open the connection.
pub fn trace(connection: &mut SqliteConnection) {
    unsafe extern "C" fn ignore(_: c_uint, _: *mut c_void, _: *mut c_void, _: *mut c_void) -> c_int {
        0
    }
    // SAFETY: the handle is open, and the callback has the type that SQLite calls.
    let code = with_handle(connection, |db| unsafe {
        ffi::sqlite3_trace_v2(db, ffi::SQLITE_TRACE_STMT as c_uint, Some(ignore), ptr::null_mut())
    });
    assert_eq!(code, ffi::SQLITE_OK);
}
