//! `sqlite3changeset_apply` with a Rust closure as its conflict handler.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::string::String;

use super::handle::Handle;
use super::registry::Registry;
use super::sys::{self, sqlite3, sqlite3_changeset_iter};
use super::{Failure, callback};
use crate::apply::{ConflictAction, ConflictType};

/// Why an apply came to nothing.
pub(crate) enum ApplyFailure {
    /// The handler answered [`ConflictAction::Abort`].
    Aborted,
    /// The handler panicked.
    Panicked,
    /// The handler answered [`ConflictAction::Replace`] where SQLite does not take it.
    IllegalReplace { conflict: ConflictType, table: Option<String> },
    /// A constraint or trigger rolled the transaction back in the midst.
    RolledBack { table: Option<String> },
    /// More bytes than C's `int` counts.
    TooLarge,
    /// Inside a callback of the same connection.
    Busy,
    /// SQLite failed.
    Sqlite { failure: Failure, table: Option<String> },
}

struct Context<'a> {
    db: *mut sqlite3,
    handler: &'a mut dyn FnMut(ConflictType) -> ConflictAction,
    /// The table whose changes are being applied.
    table: Option<String>,
    /// Why the handler ended it.
    end: Option<End>,
}

enum End {
    Aborted,
    Panicked,
    IllegalReplace(ConflictType),
    RolledBack,
}

impl Context<'_> {
    /// Whether the savepoint of the apply is gone.
    fn is_rolled_back(&mut self) -> bool {
        // SAFETY: the connection is open: SQLite is applying to it.
        let gone = unsafe { sys::sqlite3_get_autocommit(self.db) } != 0;
        if gone && self.end.is_none() {
            self.end = Some(End::RolledBack);
        }
        gone
    }
}

/// SQLite's options of applying.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    /// UPDATEs that are in each other's way are conflicts, and not resolved by deleting a row and inserting it again. Older
    /// libraries do not know that and do not resolve them.
    pub(crate) no_update_loop: bool,
}

/// Applies bytes that `wire` has checked to the `main` database.
pub(crate) fn apply(
    handle: Handle<'_>,
    bytes: &[u8],
    flags: Flags,
    handler: &mut dyn FnMut(ConflictType) -> ConflictAction,
) -> Result<(), ApplyFailure> {
    let db = handle.as_ptr();
    if callback::is_inside(db) {
        return Err(ApplyFailure::Busy);
    }
    let Ok(size) = c_int::try_from(bytes.len()) else {
        return Err(ApplyFailure::TooLarge);
    };
    // functions of the connection's may be called, by triggers
    let _inside = callback::enter(db);
    let _untraced = handle.registry().map(Registry::untraced);
    // SAFETY: the connection is open.
    let in_transaction = unsafe { sys::sqlite3_get_autocommit(db) } == 0;
    let mut context = Context { db, handler, table: None, end: None };
    // SAFETY: the connection is open and borrowed. The length is that of `bytes`, which SQLite only reads, though it asks for
    // a mutable pointer. The functions have the types that SQLite calls, with a pointer to `context`, to which nothing else
    // refers until the call is over. No rebase data is asked for.
    let code = unsafe {
        sys::sqlite3changeset_apply_v2(
            db,
            size,
            bytes.as_ptr().cast_mut().cast(),
            Some(begin_table),
            Some(resolve),
            (&raw mut context).cast(),
            ptr::null_mut(),
            ptr::null_mut(),
            if flags.no_update_loop { sys::CHANGESETAPPLY_NOUPDATELOOP } else { 0 },
        )
    };
    let Context { table, end, .. } = context;
    // SAFETY: the connection is open.
    let failure = (code != sys::SQLITE_OK).then(|| unsafe { Failure::of(db, code) });
    // SAFETY: as above.
    let left_open = unsafe { sys::sqlite3_get_autocommit(db) } == 0;
    if code != sys::SQLITE_OK && !in_transaction && left_open {
        // Where the commit met a reader, SQLite's savepoint is still there, as a transaction that nobody knows of.
        // SAFETY: the connection is open, and the statement a C string; no callback is given.
        unsafe { sys::sqlite3_exec(db, c"ROLLBACK".as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
    }
    match end {
        Some(End::Aborted) => Err(ApplyFailure::Aborted),
        Some(End::Panicked) => Err(ApplyFailure::Panicked),
        Some(End::IllegalReplace(conflict)) => Err(ApplyFailure::IllegalReplace { conflict, table }),
        Some(End::RolledBack) => Err(ApplyFailure::RolledBack { table }),
        None => failure.map_or(Ok(()), |failure| Err(ApplyFailure::Sqlite { failure, table })),
    }
}

/// SQLite's call at the first change of each table: not to filter, but to know where it is.
unsafe extern "C" fn begin_table(context: *mut c_void, table: *const c_char) -> c_int {
    // SAFETY: the context is that of the running `apply`.
    let context = unsafe { &mut *context.cast::<Context<'_>>() };
    // SAFETY: SQLite gives a C string.
    let table = unsafe { CStr::from_ptr(table) };
    context.table = Some(table.to_string_lossy().into_owned());
    let go_on = !context.is_rolled_back();
    go_on.into()
}

/// SQLite's question what to do about a conflict.
unsafe extern "C" fn resolve(context: *mut c_void, conflict: c_int, _: *mut sqlite3_changeset_iter) -> c_int {
    // SAFETY: the context is that of the running `apply`.
    let context = unsafe { &mut *context.cast::<Context<'_>>() };
    if context.is_rolled_back() {
        return sys::SQLITE_CHANGESET_ABORT;
    }
    let Some(conflict) = ConflictType::from_raw(conflict) else {
        context.end = Some(End::Aborted);
        return sys::SQLITE_CHANGESET_ABORT;
    };
    match callback::run(context.db, || (context.handler)(conflict)) {
        Ok(ConflictAction::Omit) => return sys::SQLITE_CHANGESET_OMIT,
        Ok(ConflictAction::Replace) if conflict.takes_replace() => return sys::SQLITE_CHANGESET_REPLACE,
        Ok(ConflictAction::Replace) => context.end = Some(End::IllegalReplace(conflict)),
        Ok(ConflictAction::Abort) => context.end = Some(End::Aborted),
        Err(payload) => {
            callback::discard(payload);
            context.end = Some(End::Panicked);
        }
    }
    sys::SQLITE_CHANGESET_ABORT
}
