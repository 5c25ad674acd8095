//! The C functions, from the library of the target: libsqlite3-sys, or sqlite-wasm-rs in browsers.
//!
//! On native targets the functions of the session extension and `sqlite3_set_clientdata` are
//! declared here, because the bindings of libsqlite3-sys for a system library are for SQLite 3.34
//! and lack some of them. `build.rs` checks that the library has them.

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
mod native {
    use core::ffi::{c_char, c_int, c_void};

    pub(crate) use libsqlite3_sys::{
        SQLITE_AUTH, SQLITE_BLOB, SQLITE_CONSTRAINT, SQLITE_DIRECTONLY, SQLITE_DONE, SQLITE_ERROR, SQLITE_FCNTL_PDB,
        SQLITE_FLOAT, SQLITE_INTEGER, SQLITE_IOERR_SHORT_READ, SQLITE_MISUSE, SQLITE_NOMEM, SQLITE_NOTFOUND,
        SQLITE_NULL, SQLITE_OK, SQLITE_ROW, SQLITE_TEXT, SQLITE_TOOBIG, SQLITE_UTF8, sqlite3, sqlite3_bind_blob,
        sqlite3_bind_double, sqlite3_bind_int64, sqlite3_bind_null, sqlite3_bind_text, sqlite3_changes,
        sqlite3_clear_bindings, sqlite3_column_blob, sqlite3_column_bytes, sqlite3_column_double, sqlite3_column_int64,
        sqlite3_column_text, sqlite3_column_type, sqlite3_compileoption_used, sqlite3_context,
        sqlite3_context_db_handle, sqlite3_create_function_v2, sqlite3_db_filename, sqlite3_db_mutex,
        sqlite3_db_readonly, sqlite3_db_status, sqlite3_errcode, sqlite3_errmsg, sqlite3_errstr, sqlite3_exec,
        sqlite3_extended_errcode, sqlite3_file, sqlite3_finalize, sqlite3_free, sqlite3_get_autocommit, sqlite3_int64,
        sqlite3_io_methods, sqlite3_libversion_number, sqlite3_mutex, sqlite3_mutex_enter, sqlite3_mutex_leave,
        sqlite3_mutex_try, sqlite3_next_stmt, sqlite3_prepare_v3, sqlite3_reset, sqlite3_step, sqlite3_stmt,
        sqlite3_stmt_busy, sqlite3_stmt_status, sqlite3_table_column_metadata, sqlite3_test_control,
        sqlite3_total_changes, sqlite3_trace_v2, sqlite3_value, sqlite3_vfs, sqlite3_vfs_register,
    };

    /// A session.
    #[repr(C)]
    pub(crate) struct sqlite3_session {
        _opaque: [u8; 0],
    }

    pub(crate) type Output = Option<unsafe extern "C" fn(*mut c_void, *const c_void, c_int) -> c_int>;
    pub(crate) type TableFilter = Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>;

    unsafe extern "C" {
        pub(crate) fn sqlite3_get_clientdata(db: *mut sqlite3, name: *const c_char) -> *mut c_void;
        pub(crate) fn sqlite3_set_clientdata(
            db: *mut sqlite3,
            name: *const c_char,
            data: *mut c_void,
            destructor: Option<unsafe extern "C" fn(*mut c_void)>,
        ) -> c_int;
        pub(crate) fn sqlite3_preupdate_hook(
            db: *mut sqlite3,
            hook: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *mut sqlite3,
                    c_int,
                    *const c_char,
                    *const c_char,
                    super::sqlite3_int64,
                    super::sqlite3_int64,
                ),
            >,
            context: *mut c_void,
        ) -> *mut c_void;
        pub(crate) fn sqlite3session_create(
            db: *mut sqlite3,
            schema: *const c_char,
            session: *mut *mut sqlite3_session,
        ) -> c_int;
        pub(crate) fn sqlite3session_delete(session: *mut sqlite3_session);
        pub(crate) fn sqlite3session_attach(session: *mut sqlite3_session, table: *const c_char) -> c_int;
        pub(crate) fn sqlite3session_table_filter(
            session: *mut sqlite3_session,
            filter: TableFilter,
            context: *mut c_void,
        );
        pub(crate) fn sqlite3session_changeset(
            session: *mut sqlite3_session,
            size: *mut c_int,
            bytes: *mut *mut c_void,
        ) -> c_int;
        pub(crate) fn sqlite3session_patchset(
            session: *mut sqlite3_session,
            size: *mut c_int,
            bytes: *mut *mut c_void,
        ) -> c_int;
        pub(crate) fn sqlite3session_changeset_strm(
            session: *mut sqlite3_session,
            output: Output,
            context: *mut c_void,
        ) -> c_int;
        pub(crate) fn sqlite3session_patchset_strm(
            session: *mut sqlite3_session,
            output: Output,
            context: *mut c_void,
        ) -> c_int;
        pub(crate) fn sqlite3session_isempty(session: *mut sqlite3_session) -> c_int;
        pub(crate) fn sqlite3session_enable(session: *mut sqlite3_session, enable: c_int) -> c_int;
        pub(crate) fn sqlite3session_indirect(session: *mut sqlite3_session, indirect: c_int) -> c_int;
        pub(crate) fn sqlite3session_memory_used(session: *mut sqlite3_session) -> super::sqlite3_int64;
        pub(crate) fn sqlite3session_changeset_size(session: *mut sqlite3_session) -> super::sqlite3_int64;
        pub(crate) fn sqlite3session_object_config(
            session: *mut sqlite3_session,
            option: c_int,
            argument: *mut c_void,
        ) -> c_int;
        pub(crate) fn sqlite3session_diff(
            session: *mut sqlite3_session,
            from: *const c_char,
            table: *const c_char,
            message: *mut *mut c_char,
        ) -> c_int;
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use native::*;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod wasm {
    use core::ffi::c_int;
    use core::ptr;

    pub(crate) use sqlite_wasm_rs::{
        SQLITE_AUTH, SQLITE_BLOB, SQLITE_CONSTRAINT, SQLITE_DIRECTONLY, SQLITE_DONE, SQLITE_ERROR, SQLITE_FCNTL_PDB,
        SQLITE_FLOAT, SQLITE_INTEGER, SQLITE_IOERR_SHORT_READ, SQLITE_MISUSE, SQLITE_NOMEM, SQLITE_NOTFOUND,
        SQLITE_NULL, SQLITE_OK, SQLITE_ROW, SQLITE_TEXT, SQLITE_TOOBIG, SQLITE_UTF8, sqlite3, sqlite3_bind_blob,
        sqlite3_bind_double, sqlite3_bind_int64, sqlite3_bind_null, sqlite3_bind_text, sqlite3_changes,
        sqlite3_clear_bindings, sqlite3_column_blob, sqlite3_column_bytes, sqlite3_column_double, sqlite3_column_int64,
        sqlite3_column_text, sqlite3_column_type, sqlite3_compileoption_used, sqlite3_context,
        sqlite3_context_db_handle, sqlite3_create_function_v2, sqlite3_db_filename, sqlite3_db_readonly,
        sqlite3_db_status, sqlite3_errcode, sqlite3_errmsg, sqlite3_errstr, sqlite3_exec, sqlite3_extended_errcode,
        sqlite3_file, sqlite3_finalize, sqlite3_free, sqlite3_get_autocommit, sqlite3_get_clientdata, sqlite3_int64,
        sqlite3_io_methods, sqlite3_libversion_number, sqlite3_mutex, sqlite3_next_stmt, sqlite3_prepare_v3,
        sqlite3_preupdate_hook, sqlite3_reset, sqlite3_session, sqlite3_set_clientdata, sqlite3_step, sqlite3_stmt,
        sqlite3_stmt_busy, sqlite3_stmt_status, sqlite3_table_column_metadata, sqlite3_test_control,
        sqlite3_total_changes, sqlite3_trace_v2, sqlite3_value, sqlite3_vfs, sqlite3_vfs_register,
        sqlite3session_attach, sqlite3session_changeset, sqlite3session_changeset_size, sqlite3session_changeset_strm,
        sqlite3session_create, sqlite3session_delete, sqlite3session_diff, sqlite3session_enable,
        sqlite3session_indirect, sqlite3session_isempty, sqlite3session_memory_used, sqlite3session_object_config,
        sqlite3session_patchset, sqlite3session_patchset_strm, sqlite3session_table_filter,
    };

    // sqlite-wasm-rs compiles SQLite without mutexes. It declares their functions anyway, but a
    // module that uses them cannot be loaded. There is no mutex, so these functions have nothing to
    // do.

    pub(crate) unsafe fn sqlite3_db_mutex(_: *mut sqlite3) -> *mut sqlite3_mutex {
        ptr::null_mut()
    }
    pub(crate) unsafe fn sqlite3_mutex_enter(_: *mut sqlite3_mutex) {}
    pub(crate) unsafe fn sqlite3_mutex_leave(_: *mut sqlite3_mutex) {}
    pub(crate) unsafe fn sqlite3_mutex_try(_: *mut sqlite3_mutex) -> c_int {
        SQLITE_OK
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) use wasm::*;

/// `SQLITE_SESSION_OBJCONFIG_SIZE`
pub(crate) const OBJCONFIG_SIZE: core::ffi::c_int = 1;
/// `SQLITE_SESSION_OBJCONFIG_ROWID`
pub(crate) const OBJCONFIG_ROWID: core::ffi::c_int = 2;
/// `SQLITE_TRACE_STMT`
pub(crate) const TRACE_STMT: core::ffi::c_uint = 1;
/// `SQLITE_TRACE_CLOSE`
pub(crate) const TRACE_CLOSE: core::ffi::c_uint = 8;
/// `SQLITE_DBSTATUS_LOOKASIDE_HIT`, `SQLITE_DBSTATUS_LOOKASIDE_MISS_SIZE`,
/// `SQLITE_DBSTATUS_LOOKASIDE_MISS_FULL`: the number of memory allocations of the connection.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) const DBSTATUS_LOOKASIDE: [core::ffi::c_int; 3] = [4, 5, 6];
/// `SQLITE_STMTSTATUS_REPREPARE`
pub(crate) const STMTSTATUS_REPREPARE: core::ffi::c_int = 5;
/// `SQLITE_DBSTATUS_DEFERRED_FKS`
pub(crate) const DBSTATUS_DEFERRED_FKS: core::ffi::c_int = 10;
/// `SQLITE_PREPARE_PERSISTENT`
pub(crate) const PREPARE_PERSISTENT: core::ffi::c_uint = 1;
/// `SQLITE_TESTCTRL_FK_NO_ACTION`
pub(crate) const TESTCTRL_FK_NO_ACTION: core::ffi::c_int = 7;
/// `SQLITE_DBSTATUS_CACHE_USED`
pub(crate) const DBSTATUS_CACHE_USED: core::ffi::c_int = 1;
/// `SQLITE_DBSTATUS_CACHE_USED_SHARED`
pub(crate) const DBSTATUS_CACHE_USED_SHARED: core::ffi::c_int = 11;
