//! Queries through the handle: of a table's columns and of single rows, where no `SqliteConnection`
//! is available.

use core::ffi::{CStr, c_int};
use core::marker::PhantomData;
use std::borrow::Cow;
use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::string::String;
use std::vec::Vec;

use super::error::SqliteError;
use super::handle::Handle;
use super::sys::{self, sqlite3, sqlite3_stmt};
use super::value::{OutOfMemory, ProtectedValue, bytes_from_raw};
use crate::wire::Value;

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
                // SAFETY: the connection is open, as `new` requires.
                code => return Err(unsafe { SqliteError::of(self.db.as_ptr(), code) }),
            }
        }
    }

    pub(crate) fn prepare(self, query: &str) -> Result<Statement<'conn>, SqliteError> {
        let db = self.db.as_ptr();
        let size = c_int::try_from(query.len()).unwrap_or(c_int::MAX);
        let mut raw = ptr::null_mut();
        // SAFETY: the connection is open, as `new` requires. The query's length is passed, so it
        // need not end in NUL. `raw` is a local variable, and the function accepts a null pointer
        // for the tail.
        let code = unsafe { sys::sqlite3_prepare_v2(db, query.as_ptr().cast(), size, &raw mut raw, ptr::null_mut()) };
        match NonNull::new(raw).filter(|_| code == sys::SQLITE_OK) {
            Some(raw) => Ok(Statement { raw, connection: self }),
            // SAFETY: the connection is open, as `new` requires.
            None => Err(unsafe { SqliteError::of(db, code) }),
        }
    }

    /// Returns whether the connection has opened the schema `temp`. A query would open it.
    pub(crate) fn has_temp(self) -> bool {
        // SAFETY: the connection is open, as `new` requires. The name is a C string. -1 means that
        // there is no such schema.
        unsafe { sys::sqlite3_db_readonly(self.db.as_ptr(), c"temp".as_ptr()) != -1 }
    }

    /// Returns whether the connection has a schema of that name. Every connection has `temp`, but a
    /// query would open it.
    pub(crate) fn has_schema(self, schema: &CStr) -> bool {
        // SAFETY: the connection is open, as `new` requires. The name is a C string. -1 means that
        // there is no such schema.
        let is_there = || unsafe { sys::sqlite3_db_readonly(self.db.as_ptr(), schema.as_ptr()) != -1 };
        schema.to_bytes().eq_ignore_ascii_case(b"temp") || is_there()
    }

    /// Returns whether a schema is stored in a file, that is, neither in memory nor temporary.
    pub(super) fn is_in_file(self, schema: &str) -> bool {
        let Ok(schema) = CString::new(schema) else { return false };
        // SAFETY: the connection is open, as `new` requires. The name is a C string.
        let name = unsafe { sys::sqlite3_db_filename(self.db.as_ptr(), schema.as_ptr()) };
        // SAFETY: the pointer is not null, so SQLite returned a C string, which is valid as long as
        // the database is attached.
        !name.is_null() && unsafe { *name } != 0
    }

    /// Returns whether the connection has a schema besides `main`.
    pub(crate) fn has_other_schemas(self) -> bool {
        self.has_temp() || self.has_attached()
    }

    /// Returns whether the connection has a schema besides `main` and `temp`.
    pub(crate) fn has_attached(self) -> bool {
        // SAFETY: the connection is open, as `new` requires. Any number is allowed: 0 is `main`, 1
        // `temp`, others are attached.
        !unsafe { sys::sqlite3_db_name(self.db.as_ptr(), 2) }.is_null()
    }

    /// Returns the collation of a column of a table in `main`.
    pub(crate) fn collation(self, table: &str, column: &str) -> Result<String, SqliteError> {
        let db = self.db.as_ptr();
        let (Ok(table), Ok(column)) = (CString::new(table), CString::new(column)) else {
            // SAFETY: the connection is open, as `new` requires.
            return Err(unsafe { SqliteError::of(db, sys::SQLITE_MISUSE) });
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
            // SAFETY: the connection is open, as `new` requires.
            return Err(unsafe { SqliteError::of(db, code) });
        }
        // SAFETY: SQLite returned a C string that is valid until the next call on the connection.
        // It is copied before that.
        Ok(unsafe { CStr::from_ptr(collation) }.to_string_lossy().into_owned())
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
pub(crate) struct Statement<'conn> {
    raw: NonNull<sqlite3_stmt>,
    connection: Connection<'conn>,
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: `prepare` made the statement, and nobody uses it after this.
        unsafe { sys::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

impl Statement<'_> {
    /// Binds the values, runs the statement and reads its first row, if there is one.
    pub(super) fn first_row<'v, R>(
        &mut self,
        values: impl Iterator<Item = ProtectedValue<'v>>,
        read: impl FnOnce(&RowValues<'_>) -> R,
    ) -> Result<Option<R>, SqliteError> {
        let done = self.step_with(values).map(|has_row| has_row.then(|| read(&RowValues { statement: self })));
        // SAFETY: the statement is valid. The result is ignored: it repeats the error of the step.
        unsafe { sys::sqlite3_reset(self.raw.as_ptr()) };
        // SAFETY: the statement is valid. After this it holds no reference to the values.
        unsafe { sys::sqlite3_clear_bindings(self.raw.as_ptr()) };
        done
    }

    fn step_with<'v>(&mut self, values: impl Iterator<Item = ProtectedValue<'v>>) -> Result<bool, SqliteError> {
        // SAFETY: the connection is open, as `Connection::new` requires.
        let failed = |code| Err(unsafe { SqliteError::of(self.connection.db.as_ptr(), code) });
        for (number, value) in (1..).zip(values) {
            // SAFETY: the statement is valid and reset. The value is protected and valid, as
            // `ProtectedValue` guarantees.
            let code = unsafe { sys::sqlite3_bind_value(self.raw.as_ptr(), number, value.as_ptr()) };
            if code != sys::SQLITE_OK {
                return failed(code);
            }
        }
        // SAFETY: the statement is valid.
        match unsafe { sys::sqlite3_step(self.raw.as_ptr()) } {
            sys::SQLITE_ROW => Ok(true),
            sys::SQLITE_DONE => Ok(false),
            code => failed(code),
        }
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
    statement: &'a Statement<'a>,
}

impl RowValues<'_> {
    /// Returns the value of a column.
    pub(crate) fn value(&self, column: c_int) -> Result<Value<'_>, OutOfMemory> {
        let raw = self.statement.raw.as_ptr();
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
