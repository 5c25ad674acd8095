//! Thin wrappers around SQLite's C functions: the calls of a program in C.

use std::ffi::{CStr, CString, c_int, c_void};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::ptr;

use diesel_sqlite_session::Value;
use libsqlite3_sys as ffi;

use crate::data::Event;

/// An open database.
pub struct Connection {
    handle: *mut ffi::sqlite3,
}

impl Connection {
    /// Opens an in-memory database with Diesel's flags.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    pub fn open() -> Self {
        Self::open_file(":memory:")
    }

    /// Opens a file with Diesel's flags.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    pub fn open_file(name: &str) -> Self {
        let name = CString::new(name).unwrap();
        let flags = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE | ffi::SQLITE_OPEN_URI;
        let mut handle = ptr::null_mut();
        // SAFETY: the name is a C string, `handle` may be written to, and null stands for the
        // default VFS.
        let code = unsafe { ffi::sqlite3_open_v2(name.as_ptr(), &raw mut handle, flags, ptr::null()) };
        assert_eq!(code, ffi::SQLITE_OK);
        Self { handle }
    }

    /// Runs statements.
    ///
    /// # Panics
    ///
    /// Panics if a statement fails.
    pub fn execute(&self, sql: &str) {
        let sql = CString::new(sql).unwrap();
        // SAFETY: the handle is open, `sql` is a C string, and no callback is given.
        let code = unsafe { ffi::sqlite3_exec(self.handle, sql.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
        assert_eq!(code, ffi::SQLITE_OK);
    }

    /// Returns the text that a query returns.
    ///
    /// # Panics
    ///
    /// Panics if the query fails or returns no row.
    pub fn text(&self, query: &str) -> String {
        let query = CString::new(query).unwrap();
        let mut statement = ptr::null_mut();
        // SAFETY: the handle is open, `query` is a C string, `statement` may be written to. The
        // statement is stepped, read and finalized while the handle is open; the text is a C string
        // that is copied before that.
        unsafe {
            let (start, tail) = (query.as_ptr(), ptr::null_mut());
            assert_eq!(ffi::sqlite3_prepare_v2(self.handle, start, -1, &raw mut statement, tail), ffi::SQLITE_OK);
            assert_eq!(ffi::sqlite3_step(statement), ffi::SQLITE_ROW);
            let text = CStr::from_ptr(ffi::sqlite3_column_text(statement, 0).cast()).to_str().unwrap().to_owned();
            ffi::sqlite3_finalize(statement);
            text
        }
    }

    /// Runs a prepared statement for each row, with the values of the row as parameters 1 to 3.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    pub fn insert_each(&self, sql: &str, rows: &[Event]) {
        let sql = CString::new(sql).unwrap();
        let mut statement = ptr::null_mut();
        // SAFETY: the handle is open, `sql` is a C string, `statement` may be written to.
        let prepared =
            unsafe { ffi::sqlite3_prepare_v2(self.handle, sql.as_ptr(), -1, &raw mut statement, ptr::null_mut()) };
        assert_eq!(prepared, ffi::SQLITE_OK);
        for (id, name, at) in rows {
            let length = c_int::try_from(name.len()).unwrap();
            // SAFETY: the statement is prepared; the length is that of the text, which lives until
            // the statement has been reset and is bound again before the next step.
            unsafe {
                ffi::sqlite3_bind_int64(statement, 1, *id);
                ffi::sqlite3_bind_text(statement, 2, name.as_ptr().cast(), length, ffi::SQLITE_STATIC());
                ffi::sqlite3_bind_int64(statement, 3, *at);
                assert_eq!(ffi::sqlite3_step(statement), ffi::SQLITE_DONE);
                ffi::sqlite3_reset(statement);
            }
        }
        // SAFETY: prepared above and not used after this.
        unsafe { ffi::sqlite3_finalize(statement) };
    }

    /// Creates a session on one table.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    pub fn track(&self, table: &CStr) -> Session<'_> {
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is open, the names are C strings, and `handle` may be written to.
        unsafe {
            assert_eq!(ffi::sqlite3session_create(self.handle, c"main".as_ptr(), &raw mut handle), ffi::SQLITE_OK);
            assert_eq!(ffi::sqlite3session_attach(handle, table.as_ptr()), ffi::SQLITE_OK);
        }
        Session { handle, _connection: PhantomData }
    }

    /// Creates a session on one table of a connection of Diesel.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    ///
    /// # Safety
    ///
    /// The connection must be open, and stay open as long as the session exists.
    pub unsafe fn track_on<'a>(db: *mut ffi::sqlite3, table: &CStr) -> Session<'a> {
        let connection = ManuallyDrop::new(Self { handle: db });
        let session = connection.track(table);
        let handle = session.handle;
        mem::forget(session);
        Session { handle, _connection: PhantomData }
    }

    /// Applies a changeset or patchset. Every conflict aborts.
    ///
    /// # Panics
    ///
    /// Panics if the apply fails.
    pub fn apply(&self, bytes: &[u8]) {
        self.apply_with(bytes, Decision::Abort);
    }

    /// Applies a changeset or patchset with `sqlite3changeset_apply`, and decides all conflicts in
    /// the same way. Returns the number of conflicts.
    ///
    /// # Panics
    ///
    /// Panics if the apply fails.
    pub fn apply_with(&self, bytes: &[u8], decision: Decision) -> u64 {
        let mut handler = Handler { decision, conflicts: 0 };
        let (context, decide) = ((&raw mut handler).cast(), Some(decide as Decide));
        // SAFETY: the handle is open; the length is that of `bytes`, which SQLite only reads; the
        // callback has the type that SQLite calls, and its context lives until the call returns.
        let code =
            unsafe { ffi::sqlite3changeset_apply(self.handle, length(bytes), start(bytes), None, decide, context) };
        assert_eq!(code, ffi::SQLITE_OK);
        handler.conflicts
    }

    /// Applies a changeset with `sqlite3changeset_apply_v2`, which also returns the rebase data.
    /// Returns the number of conflicts, and the rebase data.
    ///
    /// # Panics
    ///
    /// Panics if the apply fails.
    pub fn apply_for_rebase(&self, bytes: &[u8], decision: Decision) -> (u64, Buffer) {
        let mut handler = Handler { decision, conflicts: 0 };
        let (context, decide) = ((&raw mut handler).cast(), Some(decide as Decide));
        // SAFETY: as in `apply_with`; `output` passes valid pointers.
        let rebase_data = output(|size, data| unsafe {
            let (size_in, bytes) = (length(bytes), start(bytes));
            ffi::sqlite3changeset_apply_v2(self.handle, size_in, bytes, None, decide, context, data, size, 0)
        });
        (handler.conflicts, rebase_data)
    }
}

/// The decision about every conflict of an apply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Rolls back the apply.
    Abort,
    /// Skips the change.
    Omit,
    /// Overwrites the row.
    Replace,
}

/// The context of [`decide`].
struct Handler {
    decision: Decision,
    conflicts: u64,
}

type Decide = unsafe extern "C" fn(*mut c_void, c_int, *mut ffi::sqlite3_changeset_iter) -> c_int;

unsafe extern "C" fn decide(context: *mut c_void, _: c_int, _: *mut ffi::sqlite3_changeset_iter) -> c_int {
    // SAFETY: the context is the handler that the apply was called with; nothing else uses it
    // during the call.
    let handler = unsafe { &mut *context.cast::<Handler>() };
    handler.conflicts += 1;
    match handler.decision {
        Decision::Abort => ffi::SQLITE_CHANGESET_ABORT,
        Decision::Omit => ffi::SQLITE_CHANGESET_OMIT,
        Decision::Replace => ffi::SQLITE_CHANGESET_REPLACE,
    }
}

/// A prepared statement.
pub struct Statement<'a> {
    handle: *mut ffi::sqlite3_stmt,
    _connection: PhantomData<&'a Connection>,
}

impl Connection {
    /// Prepares a statement.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    pub fn prepare(&self, sql: &str) -> Statement<'_> {
        let sql = CString::new(sql).unwrap();
        let (mut handle, flags) = (ptr::null_mut(), ffi::SQLITE_PREPARE_PERSISTENT);
        // SAFETY: the connection is open, `sql` is a C string, `handle` may be written to, and the
        // tail may be null.
        let code =
            unsafe { ffi::sqlite3_prepare_v3(self.handle, sql.as_ptr(), -1, flags, &raw mut handle, ptr::null_mut()) };
        assert_eq!(code, ffi::SQLITE_OK);
        Statement { handle, _connection: PhantomData }
    }

    /// Returns the number of rows that the last statement has changed.
    pub fn changes(&self) -> i32 {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_changes(self.handle) }
    }
}

impl Statement<'_> {
    /// Runs the statement with these values as its parameters.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    pub fn run(&self, values: &[Value<'_>]) {
        for (number, value) in (1..).zip(values) {
            let bytes = |bytes: &[u8]| (bytes.as_ptr().cast(), length(bytes));
            // SAFETY: the statement is prepared and has been reset. The values live until it has been
            // reset again, and are forgotten below.
            let code = unsafe {
                match value {
                    Value::Null => ffi::sqlite3_bind_null(self.handle, number),
                    Value::Integer(value) => ffi::sqlite3_bind_int64(self.handle, number, *value),
                    Value::Real(value) => ffi::sqlite3_bind_double(self.handle, number, *value),
                    Value::Text(text) => {
                        let (start, length) = bytes(text);
                        ffi::sqlite3_bind_text(self.handle, number, start, length, ffi::SQLITE_STATIC())
                    }
                    Value::Blob(blob) => {
                        let (start, length) = (blob.as_ptr().cast(), length(blob));
                        ffi::sqlite3_bind_blob(self.handle, number, start, length, ffi::SQLITE_STATIC())
                    }
                }
            };
            assert_eq!(code, ffi::SQLITE_OK);
        }
        // SAFETY: the statement is prepared.
        unsafe {
            assert_eq!(ffi::sqlite3_step(self.handle), ffi::SQLITE_DONE);
            ffi::sqlite3_reset(self.handle);
            ffi::sqlite3_clear_bindings(self.handle);
        }
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement was prepared by `Connection::prepare`, whose connection is open.
        unsafe { ffi::sqlite3_finalize(self.handle) };
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened in `open` and closed only here; sessions borrow the connection and so are
        // gone.
        unsafe { ffi::sqlite3_close(self.handle) };
    }
}

/// A session of SQLite.
pub struct Session<'a> {
    handle: *mut ffi::sqlite3_session,
    _connection: PhantomData<&'a Connection>,
}

impl Session<'_> {
    /// Returns the recorded changes as a changeset.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    pub fn changeset(&self) -> Buffer {
        // SAFETY: the session is open; `output` passes valid pointers.
        output(|size, bytes| unsafe { ffi::sqlite3session_changeset(self.handle, size, bytes) })
    }

    /// Returns the recorded changes as a patchset.
    ///
    /// # Panics
    ///
    /// Panics if SQLite returns an error.
    pub fn patchset(&self) -> Buffer {
        // SAFETY: the session is open; `output` passes valid pointers.
        output(|size, bytes| unsafe { ffi::sqlite3session_patchset(self.handle, size, bytes) })
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `Connection::track`, deleted only here, and the connection is still
        // open.
        unsafe { ffi::sqlite3session_delete(self.handle) };
    }
}

fn length(bytes: &[u8]) -> c_int {
    c_int::try_from(bytes.len()).unwrap()
}

fn start(bytes: &[u8]) -> *mut c_void {
    bytes.as_ptr().cast_mut().cast()
}

/// Calls `sqlite3changeset_invert`.
///
/// # Panics
///
/// Panics if SQLite returns an error.
pub fn invert(bytes: &[u8]) -> Buffer {
    // SAFETY: the length is that of `bytes`, which SQLite only reads; `output` passes valid
    // pointers.
    output(|size, out| unsafe { ffi::sqlite3changeset_invert(length(bytes), start(bytes), size, out) })
}

/// Calls `sqlite3changeset_concat`.
///
/// # Panics
///
/// Panics if SQLite returns an error.
pub fn concat(one: &[u8], other: &[u8]) -> Buffer {
    // SAFETY: the lengths are those of the slices, which SQLite only reads; `output` passes valid
    // pointers.
    output(|size, out| unsafe {
        ffi::sqlite3changeset_concat(length(one), start(one), length(other), start(other), size, out)
    })
}

/// Calls `sqlite3changegroup_add` for each part, then `sqlite3changegroup_output`.
///
/// # Panics
///
/// Panics if SQLite returns an error.
pub fn group<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Buffer {
    let mut group = ptr::null_mut();
    // SAFETY: `group` may be written to.
    assert_eq!(unsafe { ffi::sqlite3changegroup_new(&raw mut group) }, ffi::SQLITE_OK);
    for part in parts {
        // SAFETY: the group has been made; the length is that of `part`, which SQLite only reads.
        assert_eq!(unsafe { ffi::sqlite3changegroup_add(group, length(part), start(part)) }, ffi::SQLITE_OK);
    }
    // SAFETY: the group has not been deleted; `output` passes valid pointers.
    let grouped = output(|size, out| unsafe { ffi::sqlite3changegroup_output(group, size, out) });
    // SAFETY: made above and not used after this.
    unsafe { ffi::sqlite3changegroup_delete(group) };
    grouped
}

/// Calls `sqlite3rebaser_rebase` with a rebaser that is configured with `on`.
///
/// # Panics
///
/// Panics if SQLite returns an error.
pub fn rebase(changeset: &[u8], on: &[u8]) -> Buffer {
    let mut rebaser = ptr::null_mut();
    // SAFETY: `rebaser` may be written to.
    assert_eq!(unsafe { ffi::sqlite3rebaser_create(&raw mut rebaser) }, ffi::SQLITE_OK);
    // SAFETY: the rebaser has been made; the length is that of `on`, which SQLite only reads.
    assert_eq!(unsafe { ffi::sqlite3rebaser_configure(rebaser, length(on), start(on)) }, ffi::SQLITE_OK);
    // SAFETY: the rebaser has not been deleted; the length is that of `changeset`, which SQLite
    // only reads; `output` passes valid pointers.
    let rebased = output(|size, out| unsafe {
        ffi::sqlite3rebaser_rebase(rebaser, length(changeset), start(changeset), size, out)
    });
    // SAFETY: made above and not used after this.
    unsafe { ffi::sqlite3rebaser_delete(rebaser) };
    rebased
}

/// Bytes that SQLite allocated, without a copy.
pub struct Buffer {
    start: *mut c_void,
    size: usize,
}

fn output(call: impl FnOnce(*mut c_int, *mut *mut c_void) -> c_int) -> Buffer {
    let (mut size, mut start) = (0, ptr::null_mut());
    assert_eq!(call(&raw mut size, &raw mut start), ffi::SQLITE_OK);
    Buffer { start, size: usize::try_from(size).unwrap() }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: SQLite returned a pointer to `size` bytes, which are freed only when the buffer
        // is dropped.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.size) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: null, or allocated by SQLite and owned by this buffer.
        unsafe { ffi::sqlite3_free(self.start) };
    }
}
