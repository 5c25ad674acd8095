//! The few queries that are made through the handle: of a table's columns, where no `SqliteConnection` is at hand.

use core::ffi::{c_char, c_int};
use core::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::string::String;
use std::vec::Vec;

use super::handle::Handle;
use super::sys::{self, sqlite3, sqlite3_stmt};
use super::{Failure, text};

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

    /// Runs a query whose parameters are text, and maps its rows.
    pub(crate) fn rows<R>(
        self,
        query: &str,
        parameters: &[&str],
        mut row: impl FnMut(&Row<'_>) -> R,
    ) -> Result<Vec<R>, Failure> {
        let statement = self.prepare(query, parameters)?;
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

    fn prepare(self, query: &str, parameters: &[&str]) -> Result<Statement, Failure> {
        let db = self.db.as_ptr();
        let size = |text: &str| c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        let mut raw = ptr::null_mut();
        // SAFETY: the connection is open; the query's length is given; `raw` may be written to; the tail is not asked for.
        let code =
            unsafe { sys::sqlite3_prepare_v2(db, query.as_ptr().cast(), size(query), &raw mut raw, ptr::null_mut()) };
        let Some(raw) = NonNull::new(raw).filter(|_| code == sys::SQLITE_OK) else {
            // SAFETY: the connection is open.
            return Err(unsafe { Failure::of(db, code) });
        };
        let statement = Statement { raw };
        for (index, parameter) in (1..).zip(parameters) {
            let start = parameter.as_ptr().cast::<c_char>();
            // SAFETY: the statement has not been stepped; the length is that of the text, which SQLite copies.
            let code =
                unsafe { sys::sqlite3_bind_text(raw.as_ptr(), index, start, size(parameter), sys::SQLITE_TRANSIENT()) };
            if code != sys::SQLITE_OK {
                // SAFETY: the connection is open.
                return Err(unsafe { Failure::of(db, code) });
            }
        }
        Ok(statement)
    }

    /// A statement that does nothing: while it exists, `sqlite3_close` refuses, whatever a callback of the user's may try.
    pub(super) fn keep_open(self) -> Result<Statement, Failure> {
        self.prepare("SELECT 1", &[])
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

pub(super) struct Statement {
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
    pub(crate) fn text(&self, column: c_int) -> String {
        // SAFETY: as above.
        let start = unsafe { sys::sqlite3_column_text(self.statement.raw.as_ptr(), column) };
        // SAFETY: null or a C string, which is copied before the statement moves on.
        unsafe { text(start.cast()) }
    }
}
