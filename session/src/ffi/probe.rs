//! How the address of a connection is learnt from within SQLite: a VFS that SQLite tells it, and an SQL function that
//! asks for it. Both put it where [`capture`] finds it.
//!
//! The VFS has nothing but empty files that cannot be written. Whenever SQLite opens a database file, it passes
//! [`SQLITE_FCNTL_PDB`](https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html) with the connection's address to the
//! file's `xFileControl`. No other code can stand in for that, as it could for an SQL function.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use std::boxed::Box;
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use super::sys::{self, sqlite3};

/// The name of the VFS, of the SQL function and of the client data. The version keeps two releases of this crate in one
/// program apart.
pub(super) const NAME: &CStr =
    match CStr::from_bytes_with_nul(concat!("diesel_sqlite_session_", env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("a version without a NUL"),
    };

#[derive(Clone, Copy)]
struct Captured {
    armed: bool,
    count: u32,
    db: *mut sqlite3,
}

const NOTHING: Captured = Captured { armed: false, count: 0, db: ptr::null_mut() };

std::thread_local! {
    static CAPTURED: Cell<Captured> = const { Cell::new(NOTHING) };
}

/// Runs `work`, and gives its result and the connection that made itself known meanwhile, if exactly one did, once.
pub(super) fn capture<R>(work: impl FnOnce() -> R) -> (R, Option<NonNull<sqlite3>>) {
    /// Puts back what was there before, also when `work` panics: a user's instrumentation runs in it, and may come here too.
    struct Restore(Captured);
    impl Drop for Restore {
        fn drop(&mut self) {
            CAPTURED.set(self.0);
        }
    }
    let _restore = Restore(CAPTURED.replace(Captured { armed: true, ..NOTHING }));
    let result = work();
    let captured = CAPTURED.get();
    (result, NonNull::new(captured.db).filter(|_| captured.armed && captured.count == 1))
}

fn found(db: *mut sqlite3) {
    let mut captured = CAPTURED.get();
    captured.count = captured.count.saturating_add(1);
    captured.db = db;
    CAPTURED.set(captured);
}

/// Adds the SQL function to a connection.
///
/// # Safety
///
/// `db` must be open.
pub(super) unsafe fn add_function(db: *mut sqlite3) -> c_int {
    unsafe extern "C" fn tell(context: *mut sys::sqlite3_context, _: c_int, _: *mut *mut sys::sqlite3_value) {
        // SAFETY: SQLite gives the context of the running function.
        found(unsafe { sys::sqlite3_context_db_handle(context) });
    }
    // SAFETY: `db` is open, says the caller; the name is a C string; there is no data to be freed.
    unsafe {
        sys::sqlite3_create_function_v2(
            db,
            NAME.as_ptr(),
            0,
            sys::SQLITE_UTF8 | sys::SQLITE_DIRECTONLY,
            ptr::null_mut(),
            Some(tell),
            None,
            None,
            None,
        )
    }
}

/// Registers the VFS, once in a process and not as the default.
pub(super) fn register_vfs() -> Result<(), c_int> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: `sqlite3_vfs` is a C struct of integers, pointers and optional functions: all zeros are valid.
        let mut vfs: sys::sqlite3_vfs = unsafe { MaybeUninit::zeroed().assume_init() };
        vfs.iVersion = 1;
        vfs.szOsFile = size_of::<sys::sqlite3_file>() as c_int;
        vfs.mxPathname = 512;
        vfs.zName = NAME.as_ptr();
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        vfs.xAccess = Some(access);
        vfs.xFullPathname = Some(full_pathname);
        vfs.xRandomness = Some(randomness);
        vfs.xSleep = Some(sleep);
        vfs.xCurrentTime = Some(current_time);
        vfs.xGetLastError = Some(last_error);
        // SAFETY: the struct lives to the end of the process, and every function that SQLite calls is set.
        unsafe { sys::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) }
    });
    if code == sys::SQLITE_OK { Ok(()) } else { Err(code) }
}

/// A struct of constants that SQLite only reads.
struct Methods(sys::sqlite3_io_methods);

// SAFETY: it holds integers and functions, and is never written to.
unsafe impl Sync for Methods {}

static METHODS: Methods = {
    // SAFETY: `sqlite3_io_methods` is a C struct of integers and optional functions: all zeros are valid.
    let mut methods: sys::sqlite3_io_methods = unsafe { MaybeUninit::zeroed().assume_init() };
    methods.iVersion = 1;
    methods.xClose = Some(nothing);
    methods.xRead = Some(read);
    methods.xWrite = Some(write);
    methods.xTruncate = Some(truncate);
    methods.xSync = Some(int_argument);
    methods.xFileSize = Some(file_size);
    methods.xLock = Some(int_argument);
    methods.xUnlock = Some(int_argument);
    methods.xCheckReservedLock = Some(check_reserved_lock);
    methods.xFileControl = Some(file_control);
    methods.xSectorSize = Some(nothing);
    methods.xDeviceCharacteristics = Some(nothing);
    Methods(methods)
};

unsafe extern "C" fn open(
    _: *mut sys::sqlite3_vfs,
    _: *const c_char,
    file: *mut sys::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives `szOsFile` bytes at `file` for the VFS to fill.
    unsafe { (*file).pMethods = &raw const METHODS.0 };
    if !flags_out.is_null() {
        // SAFETY: not null, and so a place for the flags.
        unsafe { *flags_out = flags };
    }
    sys::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut sys::sqlite3_vfs, _: *const c_char, _: c_int) -> c_int {
    sys::SQLITE_OK
}

unsafe extern "C" fn access(_: *mut sys::sqlite3_vfs, _: *const c_char, _: c_int, exists: *mut c_int) -> c_int {
    // SAFETY: SQLite gives a place for the answer: there is no such file.
    unsafe { *exists = 0 };
    sys::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut sys::sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a C string.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if usize::try_from(size).map_or(true, |size| size < name.len()) {
        return sys::SQLITE_ERROR;
    }
    // SAFETY: there are `size` bytes at `out`, which is enough, and SQLite's two buffers do not overlap.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
    sys::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut sys::sqlite3_vfs, size: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite gives `size` bytes at `out`. The files are never written, so nothing depends on the bytes.
    unsafe { ptr::write_bytes(out, 0, usize::try_from(size).unwrap_or(0)) };
    size
}

unsafe extern "C" fn sleep(_: *mut sys::sqlite3_vfs, _: c_int) -> c_int {
    0
}

unsafe extern "C" fn current_time(_: *mut sys::sqlite3_vfs, time: *mut f64) -> c_int {
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *time = 0.0 };
    sys::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut sys::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

unsafe extern "C" fn nothing(_: *mut sys::sqlite3_file) -> c_int {
    0
}

unsafe extern "C" fn int_argument(_: *mut sys::sqlite3_file, _: c_int) -> c_int {
    sys::SQLITE_OK
}

unsafe extern "C" fn read(_: *mut sys::sqlite3_file, out: *mut c_void, size: c_int, _: sys::sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives `size` bytes at `out`; a short read must leave zeros.
    unsafe { ptr::write_bytes(out.cast::<u8>(), 0, usize::try_from(size).unwrap_or(0)) };
    sys::SQLITE_IOERR_SHORT_READ
}

unsafe extern "C" fn write(_: *mut sys::sqlite3_file, _: *const c_void, _: c_int, _: sys::sqlite3_int64) -> c_int {
    sys::SQLITE_ERROR
}

unsafe extern "C" fn truncate(_: *mut sys::sqlite3_file, _: sys::sqlite3_int64) -> c_int {
    sys::SQLITE_OK
}

unsafe extern "C" fn file_size(_: *mut sys::sqlite3_file, size: *mut sys::sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *size = 0 };
    sys::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut sys::sqlite3_file, locked: *mut c_int) -> c_int {
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *locked = 0 };
    sys::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut sys::sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    if operation != sys::SQLITE_FCNTL_PDB {
        return sys::SQLITE_NOTFOUND;
    }
    // SAFETY: with this operation the argument is a `sqlite3**`.
    found(unsafe { *argument.cast::<*mut sqlite3>() });
    sys::SQLITE_OK
}
