//! The few queries that are made through the handle: of a table's columns, where no `SqliteConnection` is at hand.

use core::ffi::{CStr, c_int};
use core::marker::PhantomData;
use std::borrow::Cow;
use std::ptr::{self, NonNull};
use std::vec::Vec;

use super::Failure;
use super::handle::Handle;
use super::sys::{self, sqlite3, sqlite3_stmt};

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

impl Connection<'_> {
    /// # Safety
    ///
    /// `db` must be open and stay so for the lifetime that the caller chooses.
    pub(super) unsafe fn new(db: NonNull<sqlite3>) -> Self {
        Self { db, _open: PhantomData }
    }

    /// Runs a query and maps its rows.
    pub(crate) fn rows<R>(self, query: &str, mut row: impl FnMut(&Row<'_>) -> R) -> Result<Vec<R>, Failure> {
        let statement = self.prepare(query)?;
        let mut rows = Vec::new();
        loop {
            // SAFETY: the statement is prepared, and finalized only when dropped.
            match unsafe { sys::sqlite3_step(statement.raw.as_ptr()) } {
                sys::SQLITE_ROW => rows.push(row(&Row { statement: &statement })),
                sys::SQLITE_DONE => return Ok(rows),
                // SAFETY: the connection is open.
                code => return Err(unsafe { Failure::of(self.db.as_ptr(), code) }),
            }
        }
    }

    fn prepare(self, query: &str) -> Result<Statement, Failure> {
        let db = self.db.as_ptr();
        let size = c_int::try_from(query.len()).unwrap_or(c_int::MAX);
        let mut raw = ptr::null_mut();
        // SAFETY: the connection is open; the query's length is given; `raw` may be written to; the tail is not asked for.
        let code = unsafe { sys::sqlite3_prepare_v2(db, query.as_ptr().cast(), size, &raw mut raw, ptr::null_mut()) };
        match NonNull::new(raw).filter(|_| code == sys::SQLITE_OK) {
            Some(raw) => Ok(Statement { raw }),
            // SAFETY: the connection is open.
            None => Err(unsafe { Failure::of(db, code) }),
        }
    }

    /// Whether the connection has tables in the schema `temp`. To ask for them would make it one.
    pub(crate) fn has_temp(self) -> bool {
        // SAFETY: the connection is open; the name is a C string. -1 stands for a schema that is not there.
        unsafe { sys::sqlite3_db_readonly(self.db.as_ptr(), c"temp".as_ptr()) != -1 }
    }

    /// Whether the connection has another schema than `main`.
    pub(crate) fn has_other_schemas(self) -> bool {
        // SAFETY: the connection is open; any number may be asked for. 0 is `main`, 1 `temp`, and others are attached.
        self.has_temp() || !unsafe { sys::sqlite3_db_name(self.db.as_ptr(), 2) }.is_null()
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

struct Statement {
    raw: NonNull<sqlite3_stmt>,
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: prepared by `prepare`, and not used after this.
        unsafe { sys::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

/// A row on which a statement stands.
pub(crate) struct Row<'a> {
    statement: &'a Statement,
}

impl Row<'_> {
    /// An integer; 0 where there is none.
    pub(crate) fn integer(&self, column: c_int) -> i64 {
        // SAFETY: the statement stands on a row; any column may be asked for.
        unsafe { sys::sqlite3_column_int64(self.statement.raw.as_ptr(), column) }
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
