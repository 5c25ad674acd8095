//! Queries through the handle, where no `SqliteConnection` is available.

use core::ffi::{CStr, c_int, c_uint};
use core::marker::PhantomData;
use std::borrow::Cow;
use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::string::String;
use std::vec::Vec;

use super::error::SqliteError;
use super::handle::Handle;
use super::statements::ActiveStatement;
use super::sys::{self, sqlite3, sqlite3_stmt};
use super::value::{OutOfMemory, bytes_from_raw, text_from_raw};
use crate::wire::Value;

/// Returns the version of the SQLite library, as in `3_044_000`.
pub(crate) fn library_version() -> i32 {
    // SAFETY: the function has no preconditions: it only returns a number.
    unsafe { sys::sqlite3_libversion_number() }
}

/// An open connection that nobody else uses during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Connection<'a> {
    db: NonNull<sqlite3>,
    _open: PhantomData<&'a ()>,
}

impl<'conn> From<Handle<'conn>> for Connection<'conn> {
    fn from(handle: Handle<'conn>) -> Self {
        Self { db: handle.as_non_null(), _open: PhantomData }
    }
}

impl<'conn> Connection<'conn> {
    /// # Safety
    ///
    /// `db` must be open, and stay open and unused by others during `'conn`.
    pub(super) unsafe fn new(db: NonNull<sqlite3>) -> Self {
        Self { db, _open: PhantomData }
    }

    /// Runs a query and maps its rows.
    pub(crate) fn rows<R>(self, query: &str, mut row: impl FnMut(&Row<'_>) -> R) -> Result<Vec<R>, SqliteError> {
        let mut rows = Vec::new();
        self.for_each(query, |found| rows.push(row(found)))?;
        Ok(rows)
    }

    /// Runs a query and calls `row` with each row.
    pub(crate) fn for_each(self, query: &str, mut row: impl FnMut(&Row<'_>)) -> Result<(), SqliteError> {
        let statement = self.prepare(query)?;
        loop {
            // SAFETY: the statement is valid until it is dropped.
            match unsafe { sys::sqlite3_step(statement.raw.as_ptr()) } {
                sys::SQLITE_ROW => row(&Row { statement: &statement }),
                sys::SQLITE_DONE => return Ok(()),
                code => return Err(self.last_error(code)),
            }
        }
    }

    fn prepare(self, query: &str) -> Result<Statement<'conn>, SqliteError> {
        Ok(Statement { raw: self.prepare_raw(query, 0)?, _connection: PhantomData })
    }

    /// Prepares a statement, which the caller finalizes before the connection closes.
    pub(super) fn prepare_raw(self, query: &str, flags: c_uint) -> Result<NonNull<sqlite3_stmt>, SqliteError> {
        let db = self.db.as_ptr();
        let size = c_int::try_from(query.len()).unwrap_or(c_int::MAX);
        let (query, mut raw) = (query.as_ptr().cast(), ptr::null_mut());
        // SAFETY: the connection is open, as `new` requires. The query's length is passed, so it
        // need not end in NUL. `raw` is a local variable, and the function accepts a null pointer
        // for the tail.
        let code = unsafe { sys::sqlite3_prepare_v3(db, query, size, flags, &raw mut raw, ptr::null_mut()) };
        NonNull::new(raw).filter(|_| code == sys::SQLITE_OK).ok_or_else(|| self.last_error(code))
    }

    /// Runs statements that return no rows.
    pub(crate) fn execute(self, sql: &CStr) -> Result<(), SqliteError> {
        let (db, none) = (self.db.as_ptr(), ptr::null_mut());
        // SAFETY: the connection is open, as `new` requires. The SQL is a C string, and the
        // callback, its argument and the place for a message may be null.
        let code = unsafe { sys::sqlite3_exec(db, sql.as_ptr(), None, none, ptr::null_mut()) };
        if code == sys::SQLITE_OK { Ok(()) } else { Err(self.last_error(code)) }
    }

    /// Returns the error of the last call, which returned `code`.
    #[cold]
    pub(super) fn last_error(self, code: c_int) -> SqliteError {
        // SAFETY: the connection is open, as `new` requires.
        unsafe { SqliteError::of(self.db.as_ptr(), code) }
    }

    /// Returns the extended result code of the last call.
    pub(super) fn extended_code(self) -> c_int {
        // SAFETY: the connection is open, as `new` requires.
        unsafe { sys::sqlite3_extended_errcode(self.db.as_ptr()) }
    }

    /// Returns how many rows the last statement has changed.
    #[inline]
    pub(super) fn changes(self) -> c_int {
        // SAFETY: the connection is open, as `new` requires.
        unsafe { sys::sqlite3_changes(self.db.as_ptr()) }
    }

    pub(crate) fn is_in_transaction(self) -> bool {
        // SAFETY: the connection is open, as `new` requires.
        unsafe { sys::sqlite3_get_autocommit(self.db.as_ptr()) == 0 }
    }

    /// Returns whether `main` can be rolled back: it cannot with `PRAGMA journal_mode = OFF`.
    pub(crate) fn can_roll_back(self) -> Result<bool, SqliteError> {
        let modes = self.rows("PRAGMA main.journal_mode", |row| row.text(0).eq_ignore_ascii_case("off"))?;
        Ok(modes == [false])
    }

    /// Returns whether the transaction violates foreign keys that are checked at its end
    /// ([`SQLITE_DBSTATUS_DEFERRED_FKS`](https://www.sqlite.org/c3ref/c_dbstatus_options.html)).
    pub(crate) fn violates_deferred_keys(self) -> bool {
        let (mut violates, mut unused) = (0, 0);
        // SAFETY: the connection is open, as `new` requires. Both numbers are local variables.
        unsafe {
            sys::sqlite3_db_status(self.db.as_ptr(), sys::DBSTATUS_DEFERRED_FKS, &raw mut violates, &raw mut unused, 0)
        };
        violates != 0
    }

    /// Returns whether the connection shares the page cache of a database with another connection,
    /// and thereby its schema.
    pub(crate) fn shares_cache(self) -> bool {
        let used = |counter| {
            let (mut used, mut unused) = (0, 0);
            // SAFETY: the connection is open, as `new` requires. Both numbers are local variables.
            unsafe { sys::sqlite3_db_status(self.db.as_ptr(), counter, &raw mut used, &raw mut unused, 0) };
            used
        };
        // the second counter divides a cache among its connections
        used(sys::DBSTATUS_CACHE_USED) != used(sys::DBSTATUS_CACHE_USED_SHARED)
    }

    /// Sets whether statements that are compiled from now on, for a schema that is read from now
    /// on, leave out foreign key actions. Returns whether the library has this switch.
    pub(crate) fn disable_foreign_key_actions(self, is_disabled: bool) -> bool {
        // SAFETY: the option is a C string.
        if unsafe { sys::sqlite3_compileoption_used(c"UNTESTABLE".as_ptr()) } != 0 {
            return false;
        }
        let (db, value) = (self.db.as_ptr(), c_int::from(is_disabled));
        // SAFETY: the connection is open, as `new` requires. This operation takes a connection and
        // an `int`.
        unsafe { sys::sqlite3_test_control(sys::TESTCTRL_FK_NO_ACTION, db, value) };
        true
    }

    /// Returns whether the connection has opened the schema `temp`. A query would open it.
    pub(crate) fn has_temp(self) -> bool {
        // SAFETY: the connection is open, as `new` requires. The name is a C string. -1 means that
        // there is no such schema.
        unsafe { sys::sqlite3_db_readonly(self.db.as_ptr(), c"temp".as_ptr()) != -1 }
    }

    /// Returns whether the connection has a schema of that name. Every connection has `main`, and
    /// `temp`, but a query would open that.
    pub(crate) fn has_schema(self, schema: &CStr) -> bool {
        let name = schema.to_bytes();
        if name == b"main" || name.eq_ignore_ascii_case(b"temp") {
            return true;
        }
        // SAFETY: the connection is open, as `new` requires. The name is a C string. -1 means that
        // there is no such schema.
        unsafe { sys::sqlite3_db_readonly(self.db.as_ptr(), schema.as_ptr()) != -1 }
    }

    /// Returns whether a schema is stored in a file, that is, neither in memory nor temporary.
    pub(super) fn is_in_file(self, schema: &CStr) -> bool {
        // SAFETY: the connection is open, as `new` requires. The name is a C string.
        let name = unsafe { sys::sqlite3_db_filename(self.db.as_ptr(), schema.as_ptr()) };
        // SAFETY: the pointer is not null, so SQLite returned a C string, which is valid as long as
        // the database is attached.
        !name.is_null() && unsafe { *name } != 0
    }

    /// Returns the collation of a column of a table in `main`.
    pub(crate) fn collation(self, table: &str, column: &str) -> Result<String, SqliteError> {
        let db = self.db.as_ptr();
        let (Ok(table), Ok(column)) = (CString::new(table), CString::new(column)) else {
            return Err(SqliteError::of_code(sys::SQLITE_MISUSE));
        };
        let mut collation = ptr::null();
        // SAFETY: the connection is open, as `new` requires. The names are C strings, and
        // `collation` is a local variable. The other pointers may be null:
        // <https://www.sqlite.org/c3ref/table_column_metadata.html>.
        let code = unsafe {
            sys::sqlite3_table_column_metadata(
                db,
                c"main".as_ptr(),
                table.as_ptr(),
                column.as_ptr(),
                ptr::null_mut(),
                &raw mut collation,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if code != sys::SQLITE_OK || collation.is_null() {
            return Err(self.last_error(code));
        }
        // SAFETY: SQLite returned a C string that is valid until the next call on the connection.
        Ok(unsafe { text_from_raw(collation) })
    }

    /// Returns whether a statement of the connection has been stepped and not run to its end.
    pub(super) fn is_busy(self) -> bool {
        let mut statement = ptr::null_mut();
        loop {
            // SAFETY: the connection is open, as `new` requires. `statement` is null or a statement
            // of the connection.
            statement = unsafe { sys::sqlite3_next_stmt(self.db.as_ptr(), statement) };
            if statement.is_null() {
                return false;
            }
            // SAFETY: the statement belongs to the connection, and nobody else uses the connection,
            // as `new` requires.
            if unsafe { sys::sqlite3_stmt_busy(statement) } != 0 {
                return true;
            }
        }
    }
}

/// A prepared statement.
struct Statement<'conn> {
    raw: NonNull<sqlite3_stmt>,
    _connection: PhantomData<Connection<'conn>>,
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: `prepare` made the statement, and nobody uses it after this.
        unsafe { sys::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

/// The current row of a statement.
pub(crate) struct Row<'a> {
    statement: &'a Statement<'a>,
}

impl Row<'_> {
    /// Returns an integer, or 0 if the column does not exist or is NULL.
    pub(crate) fn integer(&self, column: c_int) -> i64 {
        // SAFETY: the statement is at a row, and any column number is allowed.
        unsafe { sys::sqlite3_column_int64(self.statement.raw.as_ptr(), column) }
    }

    pub(crate) fn is_null(&self, column: c_int) -> bool {
        // SAFETY: the statement is at a row, and any column number is allowed.
        unsafe { sys::sqlite3_column_type(self.statement.raw.as_ptr(), column) == sys::SQLITE_NULL }
    }

    /// Returns a text, or an empty one if the column does not exist or is NULL.
    pub(crate) fn text(&self, column: c_int) -> Cow<'_, str> {
        // SAFETY: the statement is at a row, and any column number is allowed.
        let start = unsafe { sys::sqlite3_column_text(self.statement.raw.as_ptr(), column) };
        if start.is_null() {
            return Cow::Borrowed("");
        }
        // SAFETY: SQLite returned a C string that is valid until the statement moves on or the
        // column is converted. The statement does not move while `self` exists, and nothing else
        // converts the column.
        unsafe { CStr::from_ptr(start.cast()) }.to_string_lossy()
    }
}

/// The current row of a statement. Reading a column does not convert its value, so it can be read
/// again.
pub(crate) struct RowValues<'a> {
    statement: &'a ActiveStatement<'a>,
}

impl<'a> RowValues<'a> {
    /// The statement must be at a row.
    pub(super) fn new(statement: &'a ActiveStatement<'a>) -> Self {
        Self { statement }
    }

    /// Returns the value of a column.
    pub(crate) fn value(&self, column: c_int) -> Result<Value<'_>, OutOfMemory> {
        let raw = self.statement.as_ptr();
        let bytes = |start: *const u8| {
            // SAFETY: the statement is at a row. The length is requested after the pointer, as
            // SQLite requires.
            let length = unsafe { sys::sqlite3_column_bytes(raw, column) };
            // SAFETY: SQLite returned the pointer and the length of the same value. They are valid
            // until the statement moves on, which it does not while `self` exists.
            unsafe { bytes_from_raw(start, length) }
        };
        // SAFETY: the statement is at a row, and any column number is allowed.
        Ok(match unsafe { sys::sqlite3_column_type(raw, column) } {
            // SAFETY: the statement is at a row, and the column exists, as its type is not NULL.
            sys::SQLITE_INTEGER => Value::Integer(unsafe { sys::sqlite3_column_int64(raw, column) }),
            // SAFETY: the statement is at a row, and the column exists, as its type is not NULL.
            sys::SQLITE_FLOAT => Value::Real(unsafe { sys::sqlite3_column_double(raw, column) }),
            sys::SQLITE_TEXT => {
                // SAFETY: the statement is at a row, and the column exists, as its type is not
                // NULL.
                let start = unsafe { sys::sqlite3_column_text(raw, column) };
                // even an empty text has an address
                if start.is_null() { Err(OutOfMemory) } else { bytes(start).map(Value::Text) }?
            }
            // SAFETY: the statement is at a row, and the column exists, as its type is not NULL.
            sys::SQLITE_BLOB => Value::Blob(bytes(unsafe { sys::sqlite3_column_blob(raw, column) }.cast())?),
            _ => Value::Null,
        })
    }
}
