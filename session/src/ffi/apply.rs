//! `sqlite3changeset_apply` in its variants, with the callbacks as methods of an [`ApplyHandler`].
//!
//! Invariant: a callback never unwinds into C, and after an error or a panic no further method of
//! the handler is called. Called by `apply::driver`.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::string::String;
use std::vec::Vec;

use super::callback;
use super::conflict::{ConflictAction, ConflictType};
use super::error::SqliteError;
use super::handle::Handle;
use super::pending_change::PendingChange;
use super::sys::{self, sqlite3, sqlite3_changeset_iter};
use super::transaction::Transaction;
use super::value::bytes_from_raw;

/// The decisions that SQLite asks for while it applies changes.
///
/// An error or a panic of any method ends the apply.
pub(crate) trait ApplyHandler {
    /// The reason for ending the apply.
    type Error;

    /// Starts the changes of another table.
    fn begin_table(&mut self, table: &str);

    /// Decides what to do about a change that cannot be applied as it is.
    fn on_conflict(
        &mut self,
        conflict: ConflictType,
        change: &PendingChange<'_>,
    ) -> Result<ConflictAction, Self::Error>;

    /// Accepts foreign key violations, or fails. SQLite reports that some exist, but not how many.
    fn on_foreign_keys(&mut self) -> Result<(), Self::Error>;

    /// Returns whether to apply a change at all. Called only if [`Options::filter`] is set.
    fn accepts(&mut self, change: &PendingChange<'_>) -> Result<bool, Self::Error>;

    /// Runs when everything has been applied and nothing is committed yet.
    fn before_commit(&mut self) -> Result<(), Self::Error>;

    /// Returns the next bytes of a streamed input, at most `max`. Returns no bytes at the end of
    /// the input.
    fn read_input(&mut self, max: usize) -> Result<&[u8], Self::Error>;
}

/// The reason why an apply failed.
pub(crate) enum ApplyFailure<E> {
    /// The handler returned an error.
    Handler(E),
    /// The handler panicked.
    HandlerPanicked,
    /// The transaction was rolled back during the apply: by a constraint or trigger, or by SQLite
    /// after `failure`.
    RolledBack { table: Option<String>, failure: Option<SqliteError> },
    /// SQLite failed.
    Sqlite { failure: SqliteError, table: Option<String> },
}

/// The changes to apply. `wire` checks them before SQLite reads them.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    Bytes(&'a [u8]),
    /// The bytes that [`ApplyHandler::read_input`] returns.
    Stream,
}

/// SQLite's [apply flags](https://www.sqlite.org/session/c_changesetapply_fknoaction.html), and
/// further options.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    /// Applies the inverse. For changesets only.
    pub(crate) invert: bool,
    /// Uses no savepoint: a failed apply is not rolled back.
    pub(crate) no_savepoint: bool,
    /// Checks foreign keys, but disables their actions.
    pub(crate) no_foreign_key_actions: bool,
    /// Reports UPDATEs that block each other as conflicts, instead of replacing them by a DELETE
    /// and an INSERT. Older libraries ignore the flag, and never replace them.
    pub(crate) no_update_loop: bool,
    /// Calls the handler for each change.
    pub(crate) filter: bool,
    /// Requests rebase data.
    pub(crate) rebase: bool,
}

impl Options {
    fn flags(self) -> c_int {
        [
            (self.invert, sys::CHANGESETAPPLY_INVERT),
            (self.no_foreign_key_actions, sys::CHANGESETAPPLY_FKNOACTION),
            (self.no_update_loop, sys::CHANGESETAPPLY_NOUPDATELOOP),
        ]
        .into_iter()
        .fold(sys::CHANGESETAPPLY_NOSAVEPOINT, |flags, (is_set, flag)| if is_set { flags | flag } else { flags })
    }
}

/// Whether the library can call a filter for each change.
pub(crate) const CAN_FILTER: bool = cfg!(apply_v3);

/// The state that the C callbacks of one apply share.
struct Context<'a, H: ApplyHandler> {
    db: *mut sqlite3,
    handler: &'a mut H,
    /// The table whose changes are being applied.
    table: Option<String>,
    /// The reason for ending the apply, once there is one.
    abort_reason: Option<AbortReason<H::Error>>,
}

/// The reason for which a callback asks SQLite to end the apply.
enum AbortReason<E> {
    Handler(E),
    HandlerPanicked,
    RolledBack,
    /// SQLite made a call that its documentation rules out.
    UnexpectedCall,
}

impl<H: ApplyHandler> Context<'_, H> {
    /// Calls the handler, unless the apply is already being ended. `None` means that the apply must
    /// end.
    fn call_handler<R>(&mut self, call: impl FnOnce(&mut H) -> Result<R, H::Error>) -> Option<R> {
        // SAFETY: `db` is the connection that SQLite is applying to in a call below us on the
        // stack, so it is open.
        if unsafe { sys::sqlite3_get_autocommit(self.db) } != 0 && self.abort_reason.is_none() {
            // the savepoint is gone, and the transaction with it
            self.abort_reason = Some(AbortReason::RolledBack);
        }
        if self.abort_reason.is_some() {
            return None;
        }
        match callback::run(self.db, || call(self.handler)) {
            Ok(Ok(result)) => return Some(result),
            Ok(Err(error)) => self.abort_reason = Some(AbortReason::Handler(error)),
            Err(payload) => {
                callback::discard(payload);
                self.abort_reason = Some(AbortReason::HandlerPanicked);
            }
        }
        None
    }

    fn begin_table(&mut self, table: &str) {
        self.table = Some(table.into());
        self.call_handler(|handler| {
            handler.begin_table(table);
            Ok(())
        });
    }
}

/// Applies changes to the `main` database, in `transaction`. Returns the rebase data, which is
/// empty if it was not requested or there is none.
pub(crate) fn apply<H: ApplyHandler>(
    handle: Handle<'_>,
    transaction: &Transaction<'_>,
    input: Input<'_>,
    options: Options,
    handler: &mut H,
) -> Result<Vec<u8>, ApplyFailure<H::Error>> {
    let db = handle.as_ptr();
    let mut context = Context { db, handler, table: None, abort_reason: None };
    let (mut rebase, mut rebase_size) = (ptr::null_mut(), 0);
    // SAFETY: `handle` proves that the connection is open and borrowed. The three pointers point to
    // local variables that outlive the call, and nothing else refers to `context` until it returns.
    let code = unsafe { apply_variant(db, input, options, &raw mut context, &raw mut rebase, &raw mut rebase_size) };
    let Context { table, abort_reason, handler, .. } = context;
    // SAFETY: `handle` proves that the connection is open. No call on it came in between.
    let failure = (code != sys::SQLITE_OK).then(|| unsafe { SqliteError::of(db, code) });
    let is_gone = transaction.is_inside() && !handle.is_in_transaction();
    let mut rebase_data = Vec::new();
    if !rebase.is_null() {
        // SAFETY: SQLite allocated `rebase_size` bytes at `rebase` for us. They are copied before
        // they are freed below.
        let bytes = unsafe { bytes_from_raw(rebase.cast_const().cast(), rebase_size) };
        rebase_data.extend_from_slice(bytes.unwrap_or_default());
        // SAFETY: SQLite allocated `rebase` with `sqlite3_malloc` and hands it over to the caller.
        // It is not used again.
        unsafe { sys::sqlite3_free(rebase) };
    }
    let abort_reason = match (abort_reason, &failure) {
        (None, None) => match callback::run(db, || handler.before_commit()) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(AbortReason::Handler(error)),
            Err(payload) => {
                callback::discard(payload);
                Some(AbortReason::HandlerPanicked)
            }
        },
        (abort_reason, _) => abort_reason,
    };
    match (abort_reason, failure) {
        (Some(AbortReason::Handler(error)), _) => Err(ApplyFailure::Handler(error)),
        (Some(AbortReason::HandlerPanicked), _) => Err(ApplyFailure::HandlerPanicked),
        (Some(AbortReason::RolledBack), _) => Err(ApplyFailure::RolledBack { table, failure: None }),
        // out of memory or disk space: SQLite rolls back the whole transaction
        (_, Some(failure)) if is_gone => Err(ApplyFailure::RolledBack { table, failure: Some(failure) }),
        (_, Some(failure)) => Err(ApplyFailure::Sqlite { failure, table }),
        (Some(AbortReason::UnexpectedCall), None) => {
            // SAFETY: `handle` proves that the connection is open.
            let failure = unsafe { SqliteError::of(db, sys::SQLITE_MISUSE) };
            Err(ApplyFailure::Sqlite { failure, table })
        }
        (None, None) => Ok(rebase_data),
    }
}

/// Calls the variant of `sqlite3changeset_apply` that the input and the options require.
///
/// # Safety
///
/// `db` must be open and borrowed. `context`, `rebase` and `rebase_size` must be valid for reads
/// and writes, and nothing else may refer to what `context` points to.
unsafe fn apply_variant<H: ApplyHandler>(
    db: *mut sqlite3,
    input: Input<'_>,
    options: Options,
    context: *mut Context<'_, H>,
    rebase: *mut *mut c_void,
    rebase_size: *mut c_int,
) -> c_int {
    let (rebase, rebase_size) = if options.rebase { (rebase, rebase_size) } else { (ptr::null_mut(), ptr::null_mut()) };
    let (conflict, context, flags) = (Some(on_conflict::<H> as _), context.cast::<c_void>(), options.flags());
    // more bytes than a C `int` can count are passed as a stream: `read_input` returns them too
    let bytes = match input {
        Input::Bytes(bytes) => c_int::try_from(bytes.len()).ok().map(|size| (size, bytes.as_ptr().cast_mut().cast())),
        Input::Stream => None,
    };
    #[cfg(apply_v3)]
    if options.filter {
        let filter = Some(filter::<H> as _);
        return match bytes {
            // SAFETY: the caller guarantees that the connection is open and borrowed. `size` is the
            // length of `bytes`, which SQLite only reads, although the parameter is mutable. The
            // callbacks have the expected types and expect `context`, which is valid for the whole
            // call. The rebase pointers are both null or both writable.
            Some((size, bytes)) => unsafe {
                sys::sqlite3changeset_apply_v3(db, size, bytes, filter, conflict, context, rebase, rebase_size, flags)
            },
            // SAFETY: the caller guarantees that the connection is open and borrowed. The
            // callbacks, among them the reader, have the expected types and expect `context`, which
            // is valid for the whole call. The rebase pointers are both null or both writable.
            None => unsafe {
                sys::sqlite3changeset_apply_v3_strm(
                    db,
                    Some(read_input::<H>),
                    context,
                    filter,
                    conflict,
                    context,
                    rebase,
                    rebase_size,
                    flags,
                )
            },
        };
    }
    let table = Some(begin_table::<H> as _);
    match bytes {
        // SAFETY: the caller guarantees that the connection is open and borrowed. `size` is the
        // length of `bytes`, which SQLite only reads, although the parameter is mutable. The
        // callbacks have the expected types and expect `context`, which is valid for the whole
        // call. The rebase pointers are both null or both writable.
        Some((size, bytes)) => unsafe {
            sys::sqlite3changeset_apply_v2(db, size, bytes, table, conflict, context, rebase, rebase_size, flags)
        },
        // SAFETY: the caller guarantees that the connection is open and borrowed. The callbacks,
        // among them the reader, have the expected types and expect `context`, which is valid for
        // the whole call. The rebase pointers are both null or both writable.
        None => unsafe {
            sys::sqlite3changeset_apply_v2_strm(
                db,
                Some(read_input::<H>),
                context,
                table,
                conflict,
                context,
                rebase,
                rebase_size,
                flags,
            )
        },
    }
}

/// Receives the table filter call, which SQLite makes at the first change of each table. It only
/// records the table.
unsafe extern "C" fn begin_table<H: ApplyHandler>(context: *mut c_void, table: *const c_char) -> c_int {
    // SAFETY: `context` is what `apply_variant` passed to SQLite: the `Context<H>` of the running
    // `apply`, to which nothing else refers. SQLite runs the callbacks of an apply one after the
    // other, on this thread.
    let context = unsafe { &mut *context.cast::<Context<'_, H>>() };
    // SAFETY: SQLite passes the table's name as a C string that is valid during the callback.
    let table = unsafe { CStr::from_ptr(table) };
    context.begin_table(&table.to_string_lossy());
    context.abort_reason.is_none().into()
}

/// Receives SQLite's question whether to apply a change at all.
#[cfg(apply_v3)]
unsafe extern "C" fn filter<H: ApplyHandler>(context: *mut c_void, iter: *mut sqlite3_changeset_iter) -> c_int {
    // SAFETY: `context` is what `apply_variant` passed to SQLite: the `Context<H>` of the running
    // `apply`, to which nothing else refers. SQLite runs the callbacks of an apply one after the
    // other, on this thread.
    let context = unsafe { &mut *context.cast::<Context<'_, H>>() };
    // SAFETY: SQLite passes a valid iterator, positioned at a change, and does not move it until
    // this function returns.
    let Some(change) = (unsafe { PendingChange::new(iter) }) else {
        context.abort_reason.get_or_insert(AbortReason::UnexpectedCall);
        return 0;
    };
    if context.table.as_deref().is_none_or(|table| !table.eq_ignore_ascii_case(&change.table())) {
        context.begin_table(&change.table());
    }
    context.call_handler(|handler| handler.accepts(&change)).unwrap_or(false).into()
}

/// Receives a conflict, and returns the handler's decision.
unsafe extern "C" fn on_conflict<H: ApplyHandler>(
    context: *mut c_void,
    conflict: c_int,
    iter: *mut sqlite3_changeset_iter,
) -> c_int {
    // SAFETY: `context` is what `apply_variant` passed to SQLite: the `Context<H>` of the running
    // `apply`, to which nothing else refers. SQLite runs the callbacks of an apply one after the
    // other, on this thread.
    let context = unsafe { &mut *context.cast::<Context<'_, H>>() };
    let action = match ConflictType::from_raw(conflict) {
        // the iterator is at no change
        Some(ConflictType::ForeignKey) => context.call_handler(H::on_foreign_keys).map(|()| ConflictAction::Omit),
        Some(conflict) => {
            // SAFETY: for all other conflicts SQLite passes a valid iterator, positioned at the
            // change, and does not move it until this function returns.
            let change = unsafe { PendingChange::new(iter) };
            change.and_then(|change| context.call_handler(|handler| handler.on_conflict(conflict, &change)))
        }
        None => None,
    };
    match action {
        Some(ConflictAction::Omit) => sys::SQLITE_CHANGESET_OMIT,
        Some(ConflictAction::Replace) => sys::SQLITE_CHANGESET_REPLACE,
        Some(ConflictAction::Abort) => sys::SQLITE_CHANGESET_ABORT,
        None => {
            context.abort_reason.get_or_insert(AbortReason::UnexpectedCall);
            sys::SQLITE_CHANGESET_ABORT
        }
    }
}

/// Receives SQLite's request for the next bytes of a stream.
unsafe extern "C" fn read_input<H: ApplyHandler>(context: *mut c_void, buffer: *mut c_void, size: *mut c_int) -> c_int {
    // SAFETY: `context` is what `apply_variant` passed to SQLite: the `Context<H>` of the running
    // `apply`, to which nothing else refers. SQLite runs the callbacks of an apply one after the
    // other, on this thread.
    let context = unsafe { &mut *context.cast::<Context<'_, H>>() };
    // SAFETY: SQLite passes a pointer to an initialized `int`, which holds the size of `buffer` and
    // receives the number of bytes written. Nothing else refers to it during the callback.
    let size = unsafe { &mut *size };
    let max = usize::try_from(*size).unwrap_or(0);
    *size = 0;
    let written = context.call_handler(|handler| {
        let bytes = handler.read_input(max)?;
        let length = bytes.len().min(max);
        // SAFETY: `bytes` is valid for `length` bytes, `buffer` for `max`, which is not less.
        // SQLite's buffer overlaps with no memory that Rust code can refer to.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast(), length) };
        Ok(length)
    });
    let Some(written) = written.and_then(|written| c_int::try_from(written).ok()) else {
        return sys::SQLITE_ABORT;
    };
    *size = written;
    sys::SQLITE_OK
}
