//! Hooks, limits, settings and functions of a connection, as an application can install them in C.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use diesel::SqliteConnection;
use libsqlite3_sys as ffi;

/// A connection that [`connect`](super::connect) has opened. It must not be used after the connection
/// has been closed.
///
/// Installed functions are kept until the process ends.
#[derive(Clone, Copy)]
pub struct Hooks(*mut ffi::sqlite3);

type Authorize = Box<dyn FnMut(c_int, &str, &str) -> c_int>;
type Function = Box<dyn FnMut(i64) -> Result<i64, c_int>>;

/// Keeps a value for ever, where a leak check finds it.
fn keep<T>(value: T) -> *mut c_void {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let kept: *mut c_void = Box::into_raw(Box::new(value)).cast();
    KEPT.lock().unwrap().push(kept.expose_provenance());
    kept
}

impl Hooks {
    /// Returns the hooks of a connection.
    ///
    /// # Panics
    ///
    /// If [`connect`](super::connect) did not open the connection.
    pub fn of(connection: &mut SqliteConnection) -> Self {
        super::with_handle(connection, Self)
    }

    /// Installs an authorizer. It receives the action and its first two arguments, and returns
    /// `SQLITE_OK`, `SQLITE_DENY` or `SQLITE_IGNORE`.
    pub fn authorize(self, function: impl FnMut(c_int, &str, &str) -> c_int + 'static) {
        unsafe extern "C" fn call(
            context: *mut c_void,
            action: c_int,
            first: *const c_char,
            second: *const c_char,
            _: *const c_char,
            _: *const c_char,
        ) -> c_int {
            // SAFETY: SQLite passes null or a C string.
            let text = |text: *const c_char| match text.is_null() {
                true => String::new(),
                // SAFETY: the pointer is not null, so it is a C string.
                false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
            };
            // SAFETY: the context is the leaked box.
            let function = unsafe { &mut *context.cast::<Authorize>() };
            function(action, &text(first), &text(second))
        }
        let boxed: Authorize = Box::new(function);
        // SAFETY: the connection is open, and the context lives forever.
        unsafe { ffi::sqlite3_set_authorizer(self.0, Some(call), keep(boxed)) };
    }

    /// Removes the authorizer.
    pub fn authorize_all(self) {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_set_authorizer(self.0, None, ptr::null_mut()) };
    }

    /// Sets a limit, and returns the previous one.
    pub fn limit(self, which: c_int, limit: c_int) -> c_int {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_limit(self.0, which, limit) }
    }

    /// Sets a setting of `sqlite3_db_config` that is on or off.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn configure(self, which: c_int, on: bool) {
        // SAFETY: the connection is open, and these settings take an integer and a pointer.
        let code = unsafe { ffi::sqlite3_db_config(self.0, which, c_int::from(on), ptr::null_mut::<c_int>()) };
        assert_eq!(code, ffi::SQLITE_OK);
    }

    /// Interrupts the running statements.
    pub fn interrupt(self) {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_interrupt(self.0) };
    }

    /// Installs a progress handler, which interrupts by returning `true`.
    pub fn progress(self, every: c_int, function: impl FnMut() -> bool + 'static) {
        unsafe extern "C" fn call(context: *mut c_void) -> c_int {
            // SAFETY: the context is the leaked box.
            let function = unsafe { &mut *context.cast::<Box<dyn FnMut() -> bool>>() };
            c_int::from(function())
        }
        let boxed: Box<dyn FnMut() -> bool> = Box::new(function);
        // SAFETY: the connection is open, and the context lives forever.
        unsafe { ffi::sqlite3_progress_handler(self.0, every, Some(call), keep(boxed)) };
    }

    /// Removes the progress handler.
    pub fn no_progress(self) {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_progress_handler(self.0, 0, None, ptr::null_mut()) };
    }

    /// Installs a commit hook, which refuses by returning `true`.
    pub fn on_commit(self, function: impl FnMut() -> bool + 'static) {
        unsafe extern "C" fn call(context: *mut c_void) -> c_int {
            // SAFETY: the context is the leaked box.
            let function = unsafe { &mut *context.cast::<Box<dyn FnMut() -> bool>>() };
            c_int::from(function())
        }
        let boxed: Box<dyn FnMut() -> bool> = Box::new(function);
        // SAFETY: the connection is open, and the context lives forever.
        unsafe { ffi::sqlite3_commit_hook(self.0, Some(call), keep(boxed)) };
    }

    /// Installs a preupdate hook, which is called for each change of a row.
    pub fn on_preupdate(self, function: impl FnMut() + 'static) {
        unsafe extern "C" fn call(
            context: *mut c_void,
            _: *mut ffi::sqlite3,
            _: c_int,
            _: *const c_char,
            _: *const c_char,
            _: ffi::sqlite3_int64,
            _: ffi::sqlite3_int64,
        ) {
            // SAFETY: the context is the leaked box.
            let function = unsafe { &mut *context.cast::<Box<dyn FnMut()>>() };
            function();
        }
        let boxed: Box<dyn FnMut()> = Box::new(function);
        // SAFETY: the connection is open, and the context lives forever.
        unsafe { ffi::sqlite3_preupdate_hook(self.0, Some(call), keep(boxed)) };
    }

    /// Removes the preupdate hook, whatever it is.
    pub fn no_preupdate(self) {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_preupdate_hook(self.0, None, ptr::null_mut()) };
    }

    /// Installs a WAL hook that runs a checkpoint after each commit.
    pub fn checkpoint_after_commits(self) {
        unsafe extern "C" fn call(_: *mut c_void, db: *mut ffi::sqlite3, _: *const c_char, _: c_int) -> c_int {
            let none = ptr::null_mut();
            // SAFETY: SQLite passes the open connection.
            unsafe { ffi::sqlite3_wal_checkpoint_v2(db, c"main".as_ptr(), ffi::SQLITE_CHECKPOINT_TRUNCATE, none, none) }
        }
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_wal_hook(self.0, Some(call), ptr::null_mut()) };
    }

    /// Adds an SQL function of an integer, which can return any error code.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn function(self, name: &str, flags: c_int, function: impl FnMut(i64) -> Result<i64, c_int> + 'static) {
        unsafe extern "C" fn call(
            context: *mut ffi::sqlite3_context,
            _: c_int,
            arguments: *mut *mut ffi::sqlite3_value,
        ) {
            // SAFETY: SQLite passes the context of the running function, whose user data is the
            // leaked box, and one argument.
            unsafe {
                let function = &mut *ffi::sqlite3_user_data(context).cast::<Function>();
                match function(ffi::sqlite3_value_int64(*arguments)) {
                    Ok(value) => ffi::sqlite3_result_int64(context, value),
                    Err(code) => ffi::sqlite3_result_error_code(context, code),
                }
            }
        }
        let name = CString::new(name).unwrap();
        let boxed: Function = Box::new(function);
        // SAFETY: the connection is open, the name is a C string, and the user data lives forever.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                self.0,
                name.as_ptr(),
                1,
                ffi::SQLITE_UTF8 | flags,
                keep(boxed),
                Some(call),
                None,
                None,
                None,
            )
        };
        assert_eq!(code, ffi::SQLITE_OK);
    }

    /// Steps a query once and leaves it open. Returns what resets it.
    ///
    /// # Panics
    ///
    /// If SQLite fails.
    pub fn open_query(self, sql: &str) -> impl FnOnce() {
        let mut statement = ptr::null_mut();
        let sql = CString::new(sql).unwrap();
        // SAFETY: the connection is open, and the SQL is a C string.
        unsafe {
            let code = ffi::sqlite3_prepare_v2(self.0, sql.as_ptr(), -1, &raw mut statement, ptr::null_mut());
            assert_eq!(code, ffi::SQLITE_OK);
            assert_eq!(ffi::sqlite3_step(statement), ffi::SQLITE_ROW);
        }
        move || {
            // SAFETY: the statement is valid and is finalized once.
            unsafe { ffi::sqlite3_finalize(statement) };
        }
    }

    /// Returns the number of statements of the connection that are running.
    pub fn running(self) -> usize {
        let (mut count, mut statement) = (0, ptr::null_mut());
        loop {
            // SAFETY: the connection is open, and `statement` is null or one of its statements.
            statement = unsafe { ffi::sqlite3_next_stmt(self.0, statement) };
            if statement.is_null() {
                return count;
            }
            // SAFETY: the statement is valid.
            count += usize::from(unsafe { ffi::sqlite3_stmt_busy(statement) } != 0);
        }
    }

    /// Returns whether the connection is in a transaction.
    pub fn is_in_transaction(self) -> bool {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_get_autocommit(self.0) == 0 }
    }
}
