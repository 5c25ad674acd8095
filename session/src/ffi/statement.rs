//! The few queries that are made through the handle: of a table's columns and of single rows, where no `SqliteConnection` is at
//! hand.

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
use super::value::{Held, NoMemory, held_bytes};
use crate::wire::Value;

/// An open connection that nobody else uses meanwhile.
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
    /// `db` must be open and stay so for the lifetime that the caller chooses.
    pub(super) unsafe fn new(db: NonNull<sqlite3>) -> Self {
        Self { db, _open: PhantomData }
    }

    /// Runs a query and maps its rows.
    pub(crate) fn rows<R>(self, query: &str, mut row: impl FnMut(&Row<'_>) -> R) -> Result<Vec<R>, SqliteError> {
        let mut rows = Vec::new();
        self.for_each(query, |found| rows.push(row(found)))?;
        Ok(rows)
    }

    /// Runs a query and calls `row` with each of its rows.
    pub(crate) fn for_each(self, query: &str, mut row: impl FnMut(&Row<'_>)) -> Result<(), SqliteError> {
        let statement = self.prepare(query)?;
        loop {
            // SAFETY: the statement is prepared, and finalized only when dropped.
            match unsafe { sys::sqlite3_step(statement.raw.as_ptr()) } {
                sys::SQLITE_ROW => row(&Row { statement: &statement }),
                sys::SQLITE_DONE => return Ok(()),
                // SAFETY: the connection is open.
                code => return Err(unsafe { SqliteError::of(self.db.as_ptr(), code) }),
            }
        }
    }

    pub(crate) fn prepare(self, query: &str) -> Result<Statement<'conn>, SqliteError> {
        let db = self.db.as_ptr();
        let size = c_int::try_from(query.len()).unwrap_or(c_int::MAX);
        let mut raw = ptr::null_mut();
        // SAFETY: the connection is open; the query's length is given; `raw` may be written to; the tail is not asked for.
        let code = unsafe { sys::sqlite3_prepare_v2(db, query.as_ptr().cast(), size, &raw mut raw, ptr::null_mut()) };
        match NonNull::new(raw).filter(|_| code == sys::SQLITE_OK) {
            Some(raw) => Ok(Statement { raw, connection: self }),
            // SAFETY: the connection is open.
            None => Err(unsafe { SqliteError::of(db, code) }),
        }
    }

    /// Whether the connection has tables in the schema `temp`. To ask for them would make it one.
    pub(crate) fn has_temp(self) -> bool {
        // SAFETY: the connection is open; the name is a C string. -1 stands for a schema that is not there.
        unsafe { sys::sqlite3_db_readonly(self.db.as_ptr(), c"temp".as_ptr()) != -1 }
    }

    /// Whether the connection has a schema of that name. It always has `temp`, but to ask for that would make it one.
    pub(crate) fn has_schema(self, schema: &CStr) -> bool {
        // SAFETY: the connection is open; the name is a C string. -1 stands for a schema that is not there.
        let is_there = || unsafe { sys::sqlite3_db_readonly(self.db.as_ptr(), schema.as_ptr()) != -1 };
        schema.to_bytes().eq_ignore_ascii_case(b"temp") || is_there()
    }

    /// Whether a schema is in a file, and not in memory or temporary.
    pub(super) fn is_in_file(self, schema: &str) -> bool {
        let Ok(schema) = CString::new(schema) else { return false };
        // SAFETY: the connection is open; the name is a C string.
        let name = unsafe { sys::sqlite3_db_filename(self.db.as_ptr(), schema.as_ptr()) };
        // SAFETY: SQLite gives null or a C string, which is there as long as the database is.
        !name.is_null() && unsafe { *name } != 0
    }

    /// Whether the connection has another schema than `main`.
    pub(crate) fn has_other_schemas(self) -> bool {
        self.has_temp() || self.has_attached()
    }

    /// Whether the connection has another schema than `main` and `temp`.
    pub(crate) fn has_attached(self) -> bool {
        // SAFETY: the connection is open; any number may be asked for. 0 is `main`, 1 `temp`, and others are attached.
        !unsafe { sys::sqlite3_db_name(self.db.as_ptr(), 2) }.is_null()
    }

    /// The collation of a column of a table in `main`.
    pub(crate) fn collation(self, table: &str, column: &str) -> Result<String, SqliteError> {
        let db = self.db.as_ptr();
        let (Ok(table), Ok(column)) = (CString::new(table), CString::new(column)) else {
            // SAFETY: the connection is open.
            return Err(unsafe { SqliteError::of(db, sys::SQLITE_MISUSE) });
        };
        let mut collation = ptr::null();
        // SAFETY: the connection is open, the names are C strings, `collation` may be written to, and what is not asked for is
        // null, as <https://www.sqlite.org/c3ref/table_column_metadata.html> allows.
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
            // SAFETY: as above.
            return Err(unsafe { SqliteError::of(db, code) });
        }
        // SAFETY: SQLite has just given a C string, which stays until the next call; it is copied before.
        Ok(unsafe { CStr::from_ptr(collation) }.to_string_lossy().into_owned())
    }

    /// Whether a statement has been stepped and is not yet at its end.
    pub(super) fn is_busy(self) -> bool {
        let mut statement = ptr::null_mut();
        loop {
            // SAFETY: the connection is open; `statement` is null or one of its statements.
            statement = unsafe { sys::sqlite3_next_stmt(self.db.as_ptr(), statement) };
            if statement.is_null() {
                return false;
            }
            // SAFETY: a statement of the connection, and its mutex is held or the connection borrowed.
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
        // SAFETY: prepared by `prepare`, and not used after this.
        unsafe { sys::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

impl Statement<'_> {
    /// Runs the statement with these values in the place of its parameters, and reads its first row, if it has one.
    pub(super) fn first_row<'v, R>(
        &mut self,
        values: impl Iterator<Item = Held<'v>>,
        read: impl FnOnce(&RowValues<'_>) -> R,
    ) -> Result<Option<R>, SqliteError> {
        let done = self.step_with(values).map(|has_row| has_row.then(|| read(&RowValues { statement: self })));
        // SAFETY: the statement is prepared. What it returns is the error that stepping it had, if any.
        unsafe { sys::sqlite3_reset(self.raw.as_ptr()) };
        // SAFETY: as above; the values may be gone from here on.
        unsafe { sys::sqlite3_clear_bindings(self.raw.as_ptr()) };
        done
    }

    fn step_with<'v>(&mut self, values: impl Iterator<Item = Held<'v>>) -> Result<bool, SqliteError> {
        // SAFETY: the connection is open.
        let failed = |code| Err(unsafe { SqliteError::of(self.connection.db.as_ptr(), code) });
        for (number, value) in (1..).zip(values) {
            // SAFETY: the statement is prepared and reset, and the value is held.
            let code = unsafe { sys::sqlite3_bind_value(self.raw.as_ptr(), number, value.as_ptr()) };
            if code != sys::SQLITE_OK {
                return failed(code);
            }
        }
        // SAFETY: the statement is prepared.
        match unsafe { sys::sqlite3_step(self.raw.as_ptr()) } {
            sys::SQLITE_ROW => Ok(true),
            sys::SQLITE_DONE => Ok(false),
            code => failed(code),
        }
    }
}

/// A row on which a statement stands.
pub(crate) struct Row<'a> {
    statement: &'a Statement<'a>,
}

impl Row<'_> {
    /// An integer; 0 where there is none.
    pub(crate) fn integer(&self, column: c_int) -> i64 {
        // SAFETY: the statement stands on a row; any column may be asked for.
        unsafe { sys::sqlite3_column_int64(self.statement.raw.as_ptr(), column) }
    }

    pub(crate) fn is_null(&self, column: c_int) -> bool {
        // SAFETY: as above.
        unsafe { sys::sqlite3_column_type(self.statement.raw.as_ptr(), column) == sys::SQLITE_NULL }
    }

    /// Text; empty where there is none.
    pub(crate) fn text(&self, column: c_int) -> Cow<'_, str> {
        // SAFETY: as above.
        let start = unsafe { sys::sqlite3_column_text(self.statement.raw.as_ptr(), column) };
        if start.is_null() {
            return Cow::Borrowed("");
        }
        // SAFETY: a C string, which stays where it is until the statement moves on: not before `self` is gone. Nothing else
        // asks for the column in another form.
        unsafe { CStr::from_ptr(start.cast()) }.to_string_lossy()
    }
}

/// A row on which a statement stands, whose columns are read as what they are, and so can be read again.
pub(crate) struct RowValues<'a> {
    statement: &'a Statement<'a>,
}

impl RowValues<'_> {
    /// The value of a column.
    pub(crate) fn value(&self, column: c_int) -> Result<Value<'_>, NoMemory> {
        let raw = self.statement.raw.as_ptr();
        let bytes = |start: *const u8| {
            // SAFETY: the statement stands on a row; asked for after the pointer, as SQLite wants it.
            let length = unsafe { sys::sqlite3_column_bytes(raw, column) };
            // SAFETY: SQLite has just given both; they stay until the statement moves on: not before `self` is gone.
            unsafe { held_bytes(start, length) }
        };
        // SAFETY: the statement stands on a row; any column may be asked for. So in all that follows.
        Ok(match unsafe { sys::sqlite3_column_type(raw, column) } {
            // SAFETY: as above.
            sys::SQLITE_INTEGER => Value::Integer(unsafe { sys::sqlite3_column_int64(raw, column) }),
            // SAFETY: as above.
            sys::SQLITE_FLOAT => Value::Real(unsafe { sys::sqlite3_column_double(raw, column) }),
            sys::SQLITE_TEXT => {
                // SAFETY: as above.
                let start = unsafe { sys::sqlite3_column_text(raw, column) };
                // even an empty text has an address
                if start.is_null() { Err(NoMemory) } else { bytes(start).map(Value::Text) }?
            }
            // SAFETY: as above.
            sys::SQLITE_BLOB => Value::Blob(bytes(unsafe { sys::sqlite3_column_blob(raw, column) }.cast())?),
            _ => Value::Null,
        })
    }
}
