//! Finds the address of a connection from within SQLite: through a VFS to which SQLite passes the
//! address, and through an SQL function. Both store the address where [`capture`] finds it. Called
//! by [`handle`](super::handle).
//!
//! The VFS contains only empty files that cannot be written. When SQLite opens a database file, it
//! passes the connection's address to the file's `xFileControl` with
//! [`SQLITE_FCNTL_PDB`](https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html). Unlike an
//! SQL function, the application cannot replace this.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use std::boxed::Box;
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use super::sys::{self, sqlite3};

/// The name of the VFS, of the SQL function and of the client data. The version separates two
/// releases of this crate in one program.
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

/// Runs `work`. Returns its result, and the connection that reported its address during the call,
/// if exactly one did, once.
pub(super) fn capture<R>(work: impl FnOnce() -> R) -> (R, Option<NonNull<sqlite3>>) {
    /// Restores the previous state, also when `work` panics. Instrumentation of the application
    /// runs in `work`, and may call `capture` too.
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

fn report(db: *mut sqlite3) {
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
    unsafe extern "C" fn report_connection(
        context: *mut sys::sqlite3_context,
        _: c_int,
        _: *mut *mut sys::sqlite3_value,
    ) {
        // SAFETY: SQLite passes the context of the running function.
        report(unsafe { sys::sqlite3_context_db_handle(context) });
    }
    // SAFETY: the caller guarantees that `db` is open. The name is a C string with a static
    // lifetime, `report_connection` has the expected type, and there is no user data and so no
    // destructor.
    unsafe {
        sys::sqlite3_create_function_v2(
            db,
            NAME.as_ptr(),
            0,
            sys::SQLITE_UTF8 | sys::SQLITE_DIRECTONLY,
            ptr::null_mut(),
            Some(report_connection),
            None,
            None,
            None,
        )
    }
}

/// Registers the VFS, once per process and not as the default.
pub(super) fn register_vfs() -> Result<(), c_int> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: `sqlite3_vfs` is a C struct of integers, pointers and optional functions, for
        // which zero is a valid value.
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
        // SAFETY: the struct is leaked, so it is valid forever, and every function that SQLite
        // calls is set.
        unsafe { sys::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) }
    });
    if code == sys::SQLITE_OK { Ok(()) } else { Err(code) }
}

/// The I/O methods, a struct of constants that SQLite only reads.
struct Methods(sys::sqlite3_io_methods);

// SAFETY: the struct contains integers and function pointers, and is never written to.
unsafe impl Sync for Methods {}

static METHODS: Methods = {
    // SAFETY: `sqlite3_io_methods` is a C struct of integers and optional functions, for which zero
    // is a valid value.
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
    // SAFETY: SQLite passes `szOsFile` writable bytes at `file`, which is the size of
    // `sqlite3_file`.
    unsafe { (*file).pMethods = &raw const METHODS.0 };
    if !flags_out.is_null() {
        // SAFETY: the pointer is not null, so SQLite passes a writable `int`.
        unsafe { *flags_out = flags };
    }
    sys::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut sys::sqlite3_vfs, _: *const c_char, _: c_int) -> c_int {
    sys::SQLITE_OK
}

unsafe extern "C" fn access(_: *mut sys::sqlite3_vfs, _: *const c_char, _: c_int, exists: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a writable `int` for the result: the file does not exist.
    unsafe { *exists = 0 };
    sys::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut sys::sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes the name as a C string that is valid during the call.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if usize::try_from(size).map_or(true, |size| size < name.len()) {
        return sys::SQLITE_ERROR;
    }
    // SAFETY: SQLite passes `size` writable bytes at `out`, which is at least the length of `name`,
    // as checked above. SQLite's two buffers do not overlap.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
    sys::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut sys::sqlite3_vfs, size: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite passes `size` writable bytes at `out`. Nothing depends on their values, since
    // the files are never written.
    unsafe { ptr::write_bytes(out, 0, usize::try_from(size).unwrap_or(0)) };
    size
}

unsafe extern "C" fn sleep(_: *mut sys::sqlite3_vfs, _: c_int) -> c_int {
    0
}

unsafe extern "C" fn current_time(_: *mut sys::sqlite3_vfs, time: *mut f64) -> c_int {
    // SAFETY: SQLite passes a writable `double` for the result.
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
    // SAFETY: SQLite passes `size` writable bytes at `out`. A short read must fill the buffer with
    // zeros.
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
    // SAFETY: SQLite passes a writable integer for the result.
    unsafe { *size = 0 };
    sys::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut sys::sqlite3_file, locked: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a writable `int` for the result.
    unsafe { *locked = 0 };
    sys::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut sys::sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    if operation != sys::SQLITE_FCNTL_PDB {
        return sys::SQLITE_NOTFOUND;
    }
    // SAFETY: for this operation SQLite passes a `sqlite3**` that points to the connection.
    report(unsafe { *argument.cast::<*mut sqlite3>() });
    sys::SQLITE_OK
}
