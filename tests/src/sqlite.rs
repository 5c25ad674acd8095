//! SQLite's session functions as the referee: safe wrappers of the C calls that the tests compare
//! with.
//!
//! This module and its submodules contain all `unsafe` code of the tests and benchmarks.

use std::ffi::{CStr, CString, c_int, c_uchar, c_void};
use std::ptr;

use libsqlite3_sys as ffi;

use crate::change::{Change, Owned};

mod applying;
mod changegroup;
pub mod connection;

pub use applying::{Answer, Applied, Flags, Kind, Question};
pub use changegroup::Changegroup;

/// The version of SQLite that libsqlite3-sys bundles.
pub const BUNDLED_VERSION: &str = match ffi::SQLITE_VERSION.to_str() {
    Ok(version) => version,
    Err(_) => panic!("a version is ASCII"),
};

/// Returns the version of the SQLite that this process has loaded.
///
/// # Panics
///
/// If SQLite's version is not ASCII.
pub fn version() -> &'static str {
    // SAFETY: SQLite returns a constant C string.
    unsafe { CStr::from_ptr(ffi::sqlite3_libversion()) }.to_str().expect("a version is ASCII")
}

/// Returns the version of the SQLite that this process has loaded as one number, such as 3,053,002.
pub fn version_number() -> c_int {
    // SAFETY: the function has no preconditions: it only returns a number.
    unsafe { ffi::sqlite3_libversion_number() }
}

/// Returns whether sessions record all tables correctly. Before SQLite 3.49, generating changes fails
/// with `SQLITE_SCHEMA` for generated columns, and in a table WITHOUT ROWID integers become reals if
/// another column has the type REAL.
pub fn records_all_tables() -> bool {
    version_number() >= 3_049_000
}

/// Returns whether a bound BLOB becomes text in the encoding of the database. Before SQLite 3.51 it is
/// read as UTF-8, so that an index of an expression of it can contradict its table.
pub fn converts_bound_blobs() -> bool {
    version_number() >= 3_051_000
}

/// An error code of SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub c_int);

fn ok(code: c_int) -> Result<(), Code> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(Code(code)) }
}

/// A connection to a database.
pub struct Database {
    handle: *mut ffi::sqlite3,
}

impl Database {
    /// Opens an empty database.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn new() -> Self {
        Self::open(":memory:")
    }

    /// Opens the database file `name`, or an empty database for `:memory:`.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn open(name: &str) -> Self {
        let name = CString::new(name).expect("no NUL in a file name");
        let mut handle = ptr::null_mut();
        // SAFETY: the name is a C string and `handle` may be written to.
        let code = unsafe { ffi::sqlite3_open(name.as_ptr(), &raw mut handle) };
        assert_eq!(code, ffi::SQLITE_OK);
        Self { handle }
    }

    /// Runs `statements`.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's message.
    pub fn execute(&self, sql: &str) -> Result<(), String> {
        let c_sql = CString::new(sql).map_err(|error| error.to_string())?;
        // SAFETY: the handle is open, `c_sql` is a C string, and no callback is given.
        let code = unsafe { ffi::sqlite3_exec(self.handle, c_sql.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
        ok(code).map_err(|_| {
            // SAFETY: the handle is open; the message is a C string and is copied before the next
            // call.
            let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.handle)) };
            format!("{}: {sql}", message.to_string_lossy())
        })
    }

    /// Creates a session that records every table.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn track(&self) -> Session<'_> {
        self.session(false)
    }

    /// Creates a session that records every table; tables without a primary key by their rowids.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn track_rowids(&self) -> Session<'_> {
        self.session(true)
    }

    fn session(&self, rowids: bool) -> Session<'_> {
        const SQLITE_SESSION_OBJCONFIG_ROWID: c_int = 2;
        let mut handle = ptr::null_mut();
        let mut rowids = c_int::from(rowids);
        // SAFETY: the handle is open, the schema's name is a C string, `handle` may be written to,
        // and the option is an int. A null table name means every table.
        unsafe {
            assert_eq!(ffi::sqlite3session_create(self.handle, c"main".as_ptr(), &raw mut handle), ffi::SQLITE_OK);
            let option = (&raw mut rowids).cast();
            assert_eq!(
                ffi::sqlite3session_object_config(handle, SQLITE_SESSION_OBJCONFIG_ROWID, option),
                ffi::SQLITE_OK
            );
            assert_eq!(ffi::sqlite3session_attach(handle, ptr::null()), ffi::SQLITE_OK);
        }
        Session { handle, _database: self }
    }

    /// Applies a changeset or patchset and aborts at the first conflict.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's code.
    pub fn apply(&self, bytes: &[u8]) -> Result<(), Code> {
        unsafe extern "C" fn abort(_: *mut c_void, _: c_int, _: *mut ffi::sqlite3_changeset_iter) -> c_int {
            ffi::SQLITE_CHANGESET_ABORT
        }
        // SAFETY: the handle is open; the length is that of `bytes`, which SQLite only reads; the
        // callback has the type that SQLite calls.
        ok(unsafe {
            ffi::sqlite3changeset_apply(
                self.handle,
                length(bytes),
                bytes.as_ptr().cast_mut().cast(),
                None,
                Some(abort),
                ptr::null_mut(),
            )
        })
    }
}

impl Database {
    /// Applies a changeset, omits the changes that conflict, and returns the rebase data.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's code.
    pub fn apply_omitting(&self, bytes: &[u8]) -> Result<Vec<u8>, Code> {
        unsafe extern "C" fn omit(_: *mut c_void, _: c_int, _: *mut ffi::sqlite3_changeset_iter) -> c_int {
            ffi::SQLITE_CHANGESET_OMIT
        }
        // SAFETY: as in `apply`; the last pointers are those that `output` passes.
        output(|size, rebase| unsafe {
            ffi::sqlite3changeset_apply_v2(
                self.handle,
                length(bytes),
                bytes.as_ptr().cast_mut().cast(),
                None,
                Some(omit),
                ptr::null_mut(),
                rebase,
                size,
                0,
            )
        })
    }
}

impl Database {
    /// Applies a changeset or patchset with `SQLITE_CHANGESETAPPLY_IGNORENOOP` and omits the
    /// changes that conflict. Returns the kinds of the conflicts and the rebase data.
    ///
    /// # Errors
    ///
    /// Fails with SQLite's code.
    pub fn apply_ignoring_noops(&self, bytes: &[u8]) -> Result<(Vec<c_int>, Vec<u8>), Code> {
        unsafe extern "C" fn omit(kinds: *mut c_void, kind: c_int, _: *mut ffi::sqlite3_changeset_iter) -> c_int {
            // SAFETY: the pointer is that to `kinds` below, to which nothing else refers meanwhile.
            unsafe { &mut *kinds.cast::<Vec<c_int>>() }.push(kind);
            ffi::SQLITE_CHANGESET_OMIT
        }
        let mut kinds: Vec<c_int> = Vec::new();
        let context = (&raw mut kinds).cast();
        // SAFETY: as in `apply_omitting`.
        let rebase = output(|size, rebase| unsafe {
            ffi::sqlite3changeset_apply_v2(
                self.handle,
                length(bytes),
                bytes.as_ptr().cast_mut().cast(),
                None,
                Some(omit),
                context,
                rebase,
                size,
                ffi::SQLITE_CHANGESETAPPLY_IGNORENOOP as c_int,
            )
        })?;
        Ok((kinds, rebase))
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: opened in `new` and closed only here; sessions borrow the database and so are
        // gone.
        unsafe { ffi::sqlite3_close(self.handle) };
    }
}

/// A session of the C API.
pub struct Session<'a> {
    handle: *mut ffi::sqlite3_session,
    _database: &'a Database,
}

impl Session<'_> {
    /// Returns the recorded changes as a changeset.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn changeset(&self) -> Vec<u8> {
        // SAFETY: the session is open; the pointers are those that `output` passes.
        output(|size, bytes| unsafe { ffi::sqlite3session_changeset(self.handle, size, bytes) }).unwrap()
    }

    /// Returns the recorded changes as a patchset.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn patchset(&self) -> Vec<u8> {
        // SAFETY: the session is open; the pointers are those that `output` passes.
        output(|size, bytes| unsafe { ffi::sqlite3session_patchset(self.handle, size, bytes) }).unwrap()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `Database::track`, deleted only here, and the database is still open.
        unsafe { ffi::sqlite3session_delete(self.handle) };
    }
}

/// Returns a copy of the buffer that a call allocates, and frees the buffer.
fn output(call: impl FnOnce(*mut c_int, *mut *mut c_void) -> c_int) -> Result<Vec<u8>, Code> {
    let (mut size, mut bytes) = (0, ptr::null_mut());
    ok(call(&raw mut size, &raw mut bytes))?;
    if bytes.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: SQLite says that `size` bytes begin there; they are copied before they are freed.
    let copy = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(size).unwrap()) }.to_vec();
    // SAFETY: SQLite allocated the buffer and leaves it to the caller.
    unsafe { ffi::sqlite3_free(bytes) };
    Ok(copy)
}

fn length(bytes: &[u8]) -> c_int {
    c_int::try_from(bytes.len()).expect("SQLite counts bytes in an int")
}

/// Calls `sqlite3changeset_invert`.
///
/// # Errors
///
/// Fails with SQLite's code.
pub fn invert(bytes: &[u8]) -> Result<Vec<u8>, Code> {
    // SAFETY: the length is that of `bytes`, which SQLite only reads; the others are those that
    // `output` passes.
    output(|size, out| unsafe { ffi::sqlite3changeset_invert(length(bytes), bytes.as_ptr().cast(), size, out) })
}

/// Calls `sqlite3changeset_concat`.
///
/// # Errors
///
/// Fails with SQLite's code.
pub fn concat(first: &[u8], second: &[u8]) -> Result<Vec<u8>, Code> {
    // SAFETY: the lengths are those of the slices, which SQLite only reads; the others are those
    // that `output` passes.
    output(|size, out| unsafe {
        ffi::sqlite3changeset_concat(
            length(first),
            first.as_ptr().cast_mut().cast(),
            length(second),
            second.as_ptr().cast_mut().cast(),
            size,
            out,
        )
    })
}

/// Calls `sqlite3changegroup_add` with each part and returns the result of
/// `sqlite3changegroup_output`.
///
/// # Errors
///
/// Fails with SQLite's code.
pub fn group<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Code> {
    let mut group = ptr::null_mut();
    // SAFETY: `group` may be written to.
    ok(unsafe { ffi::sqlite3changegroup_new(&raw mut group) })?;
    let added = parts.into_iter().try_for_each(|part| {
        // SAFETY: the group is new; the length is that of `part`, which SQLite only reads.
        ok(unsafe { ffi::sqlite3changegroup_add(group, length(part), part.as_ptr().cast_mut().cast()) })
    });
    let grouped = added.and_then(|()| {
        // SAFETY: the group has not been deleted; the others are those that `output` passes.
        output(|size, out| unsafe { ffi::sqlite3changegroup_output(group, size, out) })
    });
    // SAFETY: created above and not used after this.
    unsafe { ffi::sqlite3changegroup_delete(group) };
    grouped
}

/// Configures a rebaser with `on` and calls `sqlite3rebaser_rebase`.
///
/// # Errors
///
/// Fails with SQLite's code.
pub fn rebase(changeset: &[u8], on: &[u8]) -> Result<Vec<u8>, Code> {
    rebase_on_all(changeset, [on])
}

/// Configures a rebaser with each of `all` in order and calls `sqlite3rebaser_rebase`.
///
/// # Errors
///
/// Fails with SQLite's code.
pub fn rebase_on_all<'a>(changeset: &[u8], all: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Code> {
    with_rebaser(all, |rebaser| {
        // SAFETY: the rebaser is there; the length is that of `changeset`, which SQLite only reads;
        // the others are those that `output` passes.
        output(|size, out| unsafe {
            ffi::sqlite3rebaser_rebase(rebaser, length(changeset), changeset.as_ptr().cast(), size, out)
        })
    })
}

/// Returns the length of what [`rebase`] returns, without copying it.
///
/// # Errors
///
/// Fails with SQLite's code.
pub fn rebased_length(changeset: &[u8], on: &[u8]) -> Result<usize, Code> {
    with_rebaser([on], |rebaser| {
        let (mut size, mut bytes) = (0, ptr::null_mut());
        // SAFETY: the rebaser is there; the length is that of `changeset`, which SQLite only reads;
        // the others may be written to.
        ok(unsafe {
            ffi::sqlite3rebaser_rebase(
                rebaser,
                length(changeset),
                changeset.as_ptr().cast(),
                &raw mut size,
                &raw mut bytes,
            )
        })?;
        // SAFETY: SQLite allocated the buffer, if there is one, and leaves it to the caller.
        unsafe { ffi::sqlite3_free(bytes) };
        Ok(usize::try_from(size).unwrap())
    })
}

fn with_rebaser<'a, T>(
    all: impl IntoIterator<Item = &'a [u8]>,
    work: impl FnOnce(*mut ffi::sqlite3_rebaser) -> Result<T, Code>,
) -> Result<T, Code> {
    let mut rebaser = ptr::null_mut();
    // SAFETY: `rebaser` may be written to.
    ok(unsafe { ffi::sqlite3rebaser_create(&raw mut rebaser) })?;
    let configured = all.into_iter().try_for_each(|on| {
        // SAFETY: the rebaser has been created; the length is that of `on`, which SQLite only
        // reads.
        ok(unsafe { ffi::sqlite3rebaser_configure(rebaser, length(on), on.as_ptr().cast()) })
    });
    let result = configured.and_then(|()| work(rebaser));
    // SAFETY: created above and not used after this.
    unsafe { ffi::sqlite3rebaser_delete(rebaser) };
    result
}

/// Reads bytes with `sqlite3changeset_next`. Returns the changes, and SQLite's code for the first
/// element that it does not read.
pub fn read(bytes: &[u8]) -> (Vec<Change>, Result<(), Code>) {
    let mut changes = Vec::new();
    let end = for_each(bytes, |iterator| changes.push(iterator.change()));
    (changes, end)
}

/// Returns the changes that [`read`] finds, sorted.
pub fn read_sorted(bytes: &[u8]) -> Vec<Change> {
    let mut changes = read(bytes).0;
    changes.sort_by_cached_key(|change| format!("{change:?}"));
    changes
}

/// Reads every value of every change as a C program would. Returns a sum that depends on all of
/// them.
///
/// # Errors
///
/// Fails with SQLite's code for the first element that SQLite does not read.
pub fn sum_of_values(bytes: &[u8]) -> Result<u64, Code> {
    sum(bytes, weigh)
}

/// Returns the same sum as [`sum_of_values`], but copies each text to a `String`, as a program that
/// keeps the values would.
///
/// # Errors
///
/// Fails with SQLite's code for the first element that SQLite does not read.
///
/// # Panics
///
/// If a text is not UTF-8.
pub fn sum_of_owned_values(bytes: &[u8]) -> Result<u64, Code> {
    sum(bytes, |value| match owned(value) {
        Owned::Integer(integer) => integer as u64,
        Owned::Real(bits) => bits,
        Owned::Text(bytes) => {
            // the copy must not be optimized away
            let text = std::hint::black_box(String::from_utf8(bytes).expect("UTF-8"));
            weight_of_bytes(text.as_bytes())
        }
        Owned::Blob(bytes) => weight_of_bytes(&std::hint::black_box(bytes)),
        Owned::Null => 1,
    })
}

fn sum(bytes: &[u8], weigh: impl Fn(*mut ffi::sqlite3_value) -> u64) -> Result<u64, Code> {
    let mut sum = 0u64;
    for_each(bytes, |iterator| sum = sum.wrapping_add(iterator.sum(&weigh)))?;
    Ok(sum)
}

fn for_each(bytes: &[u8], mut visit: impl FnMut(&Iterator)) -> Result<(), Code> {
    let mut handle = ptr::null_mut();
    // SAFETY: the length is that of `bytes`, which SQLite only reads, and which outlives the
    // iterator.
    ok(unsafe { ffi::sqlite3changeset_start(&raw mut handle, length(bytes), bytes.as_ptr().cast_mut().cast()) })?;
    loop {
        // SAFETY: the iterator has been started and not been finalized.
        let code = unsafe { ffi::sqlite3changeset_next(handle) };
        if code != ffi::SQLITE_ROW {
            // SAFETY: as above; it is not used after this.
            unsafe { ffi::sqlite3changeset_finalize(handle) };
            return if code == ffi::SQLITE_DONE { Ok(()) } else { Err(Code(code)) };
        }
        visit(&Iterator { handle });
    }
}

/// An iterator that is positioned at a change.
struct Iterator {
    handle: *mut ffi::sqlite3_changeset_iter,
}

type Side = unsafe extern "C" fn(*mut ffi::sqlite3_changeset_iter, c_int, *mut *mut ffi::sqlite3_value) -> c_int;

impl Iterator {
    /// Returns the table, the number of columns, the operation, and the indirect flag.
    fn operation(&self) -> (&CStr, c_int, c_int, bool) {
        let (mut table, mut columns, mut operation, mut indirect) = (ptr::null(), 0, 0, 0);
        // SAFETY: the iterator stands on a change; the name is a C string that lives until the next
        // step.
        unsafe {
            ffi::sqlite3changeset_op(
                self.handle,
                &raw mut table,
                &raw mut columns,
                &raw mut operation,
                &raw mut indirect,
            );
            (CStr::from_ptr(table), columns, operation, indirect != 0)
        }
    }

    fn value(&self, side: Side, column: c_int) -> *mut ffi::sqlite3_value {
        let mut value = ptr::null_mut();
        // SAFETY: the iterator stands on a change and the column is one of its table's; on any
        // error `value` stays null.
        unsafe { side(self.handle, column, &raw mut value) };
        value
    }

    fn change(&self) -> Change {
        let (table, columns, operation, indirect) = self.operation();
        let mut key: *mut c_uchar = ptr::null_mut();
        // SAFETY: the iterator stands on a change; the array has a byte for each column and lives
        // until the next step.
        let key = unsafe {
            ffi::sqlite3changeset_pk(self.handle, &raw mut key, ptr::null_mut());
            std::slice::from_raw_parts(key, usize::try_from(columns).unwrap())
        };
        let side = |side: Side| {
            (0..columns)
                .map(|column| {
                    let value = self.value(side, column);
                    (!value.is_null()).then(|| owned(value))
                })
                .collect()
        };
        Change {
            table: table.to_bytes().to_vec(),
            key: key.to_vec(),
            operation,
            indirect,
            old: side(ffi::sqlite3changeset_old),
            new: side(ffi::sqlite3changeset_new),
        }
    }

    fn sum(&self, weigh: impl Fn(*mut ffi::sqlite3_value) -> u64) -> u64 {
        let (_, columns, operation, _) = self.operation();
        let mut sum = 0u64;
        let sides: &[Side] = match operation {
            ffi::SQLITE_INSERT => &[ffi::sqlite3changeset_new],
            ffi::SQLITE_DELETE => &[ffi::sqlite3changeset_old],
            _ => &[ffi::sqlite3changeset_old, ffi::sqlite3changeset_new],
        };
        for side in sides {
            for column in 0..columns {
                let value = self.value(*side, column);
                if !value.is_null() {
                    sum = sum.wrapping_add(weigh(value));
                }
            }
        }
        sum
    }
}

/// Returns the bytes of a text or blob.
///
/// # Safety
///
/// `value` must be valid and must not change while the slice lives.
unsafe fn bytes_of<'a>(value: *mut ffi::sqlite3_value) -> &'a [u8] {
    // SAFETY: the caller guarantees that `value` is valid. SQLite requires this order of the calls:
    // the pointer first, then the length.
    unsafe {
        let start = ffi::sqlite3_value_blob(value);
        let size = usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap();
        if start.is_null() { &[] } else { std::slice::from_raw_parts(start.cast(), size) }
    }
}

fn owned(value: *mut ffi::sqlite3_value) -> Owned {
    // SAFETY: the value belongs to the change on which the iterator stands, and is only read.
    unsafe {
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => Owned::Integer(ffi::sqlite3_value_int64(value)),
            ffi::SQLITE_FLOAT => Owned::Real(ffi::sqlite3_value_double(value).to_bits()),
            ffi::SQLITE_TEXT => Owned::Text(bytes_of(value).to_vec()),
            ffi::SQLITE_BLOB => Owned::Blob(bytes_of(value).to_vec()),
            _ => Owned::Null,
        }
    }
}

fn weigh(value: *mut ffi::sqlite3_value) -> u64 {
    // SAFETY: as in `owned`.
    unsafe {
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => ffi::sqlite3_value_int64(value) as u64,
            ffi::SQLITE_FLOAT => ffi::sqlite3_value_double(value).to_bits(),
            ffi::SQLITE_TEXT | ffi::SQLITE_BLOB => weight_of_bytes(bytes_of(value)),
            _ => 1,
        }
    }
}

fn weight_of_bytes(bytes: &[u8]) -> u64 {
    bytes.len() as u64 + u64::from(bytes.first().copied().unwrap_or(0))
}
