//! SQLite's changegroup with all of its functions.

use std::ffi::{c_int, c_void};
use std::ptr;

use libsqlite3_sys as ffi;

use super::{Code, Database, Iterator, length, ok, output};
use crate::change::Change;

/// A changegroup of the C API.
pub struct Changegroup<'a> {
    handle: *mut ffi::sqlite3_changegroup,
    _database: Option<&'a Database>,
}

/// The source of a C stream: the bytes, and the maximum number of bytes that one call returns.
struct Source<'a>(&'a [u8], usize);

unsafe extern "C" fn read(source: *mut c_void, buffer: *mut c_void, size: *mut c_int) -> c_int {
    // SAFETY: SQLite passes on the pointer from `add_stream`, and nothing else refers to the source
    // meanwhile.
    let (source, size) = unsafe { (&mut *source.cast::<Source<'_>>(), &mut *size) };
    let room = usize::try_from(*size).unwrap_or(0).min(source.1);
    let (now, later) = source.0.split_at(source.0.len().min(room));
    source.0 = later;
    *size = length(now);
    // SAFETY: the buffer has room for the number of bytes that `size` contained, which is not less.
    unsafe { ptr::copy_nonoverlapping(now.as_ptr(), buffer.cast(), now.len()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn write(target: *mut c_void, bytes: *const c_void, size: c_int) -> c_int {
    // SAFETY: SQLite passes on the pointer from `output_stream`, and a pointer to `size`
    // initialized bytes.
    let (target, bytes) = unsafe {
        let size = usize::try_from(size).unwrap_or(0);
        (&mut *target.cast::<Vec<u8>>(), std::slice::from_raw_parts(bytes.cast::<u8>(), size))
    };
    target.extend_from_slice(bytes);
    ffi::SQLITE_OK
}

impl<'a> Changegroup<'a> {
    /// Calls `sqlite3changegroup_new`, and `sqlite3changegroup_schema` if there is a database. The
    /// database must contain every table: otherwise SQLite reads a null pointer.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn new(database: Option<&'a Database>) -> Self {
        let mut handle = ptr::null_mut();
        // SAFETY: `handle` may be written to.
        assert_eq!(unsafe { ffi::sqlite3changegroup_new(&raw mut handle) }, ffi::SQLITE_OK);
        if let Some(database) = database {
            // SAFETY: the group is new, the database is open and outlives the group, the schema's
            // name is a C string.
            let code = unsafe { ffi::sqlite3changegroup_schema(handle, database.handle, c"main".as_ptr()) };
            assert_eq!(code, ffi::SQLITE_OK);
        }
        Self { handle, _database: database }
    }

    /// Calls `sqlite3changegroup_add`.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's code.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Code> {
        // SAFETY: the group has not been deleted; the length is that of `bytes`, which SQLite only
        // reads.
        ok(unsafe { ffi::sqlite3changegroup_add(self.handle, length(bytes), bytes.as_ptr().cast_mut().cast()) })
    }

    /// Calls `sqlite3changegroup_add_strm` with a source that returns `at_a_time` bytes at a time.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's code.
    pub fn add_stream(&mut self, bytes: &[u8], at_a_time: usize) -> Result<(), Code> {
        let mut source = Source(bytes, at_a_time);
        // SAFETY: the group has not been deleted; the source lives until the call returns, and the
        // callback takes it.
        ok(unsafe { ffi::sqlite3changegroup_add_strm(self.handle, Some(read), (&raw mut source).cast()) })
    }

    /// Calls `sqlite3changegroup_add_change` with each change for which `is_wanted` returns true.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's code.
    pub fn add_changes(&mut self, bytes: &[u8], mut is_wanted: impl FnMut(&Change) -> bool) -> Result<(), Code> {
        let mut added = Ok(());
        super::for_each(bytes, |iterator: &Iterator| {
            if added.is_ok() && is_wanted(&iterator.change()) {
                // SAFETY: the group has not been deleted, and the iterator stands on a change.
                added = ok(unsafe { ffi::sqlite3changegroup_add_change(self.handle, iterator.handle) });
            }
        })?;
        added
    }

    /// Calls `sqlite3changegroup_output`.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's code.
    pub fn output(&self) -> Result<Vec<u8>, Code> {
        // SAFETY: the group has not been deleted; the pointers are those that `output` passes.
        output(|size, out| unsafe { ffi::sqlite3changegroup_output(self.handle, size, out) })
    }

    /// Calls `sqlite3changegroup_output_strm`.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's code.
    pub fn output_stream(&self) -> Result<Vec<u8>, Code> {
        let mut out = Vec::new();
        // SAFETY: the group has not been deleted; `out` lives until the call returns, and the
        // callback takes it.
        ok(unsafe { ffi::sqlite3changegroup_output_strm(self.handle, Some(write), (&raw mut out).cast()) })?;
        Ok(out)
    }
}

impl Drop for Changegroup<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `new` and deleted only here.
        unsafe { ffi::sqlite3changegroup_delete(self.handle) };
    }
}

impl Database {
    /// Returns the first column of a query as text.
    ///
    /// # Panics
    ///
    /// If the query fails.
    pub fn texts(&self, query: &str) -> Vec<String> {
        let query = std::ffi::CString::new(query).unwrap();
        let (mut statement, mut texts) = (ptr::null_mut(), Vec::new());
        // SAFETY: the handle is open, `query` is a C string, `statement` may be written to; it is
        // stepped, read and finalized while the handle is open, and each text is copied before the
        // next step.
        unsafe {
            let (start, tail) = (query.as_ptr(), ptr::null_mut());
            let code = ffi::sqlite3_prepare_v2(self.handle, start, -1, &raw mut statement, tail);
            assert_eq!(code, ffi::SQLITE_OK, "{query:?}");
            while ffi::sqlite3_step(statement) == ffi::SQLITE_ROW {
                let text = ffi::sqlite3_column_text(statement, 0);
                let size = usize::try_from(ffi::sqlite3_column_bytes(statement, 0)).unwrap();
                let bytes = if text.is_null() { &[][..] } else { std::slice::from_raw_parts(text, size) };
                texts.push(String::from_utf8_lossy(bytes).into_owned());
            }
            assert_eq!(ffi::sqlite3_finalize(statement), ffi::SQLITE_OK, "{query:?}");
        }
        texts
    }

    /// Returns the rows of every table, with the storage class of each value.
    ///
    /// # Panics
    ///
    /// If SQLite cannot read the rows.
    pub fn contents(&self) -> Vec<String> {
        let tables = self.texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
        let rows = |table: &String| {
            let columns = self.texts(&format!("SELECT name FROM pragma_table_xinfo('{table}')"));
            let shown: Vec<String> =
                columns.iter().map(|name| format!("typeof({name}) || hex({name}) || quote({name})")).collect();
            let mut rows =
                self.texts(&format!("SELECT '{table}: ' || {} FROM \"{table}\"", shown.join(" || ', ' || ")));
            rows.sort_unstable();
            rows
        };
        tables.iter().flat_map(rows).collect()
    }
}
