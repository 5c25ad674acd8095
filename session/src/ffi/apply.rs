//! `sqlite3changeset_apply` in its variants, with a [`Judge`] in Rust to decide.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::marker::PhantomData;
use std::borrow::Cow;
use std::ptr::{self, NonNull};
use std::string::String;
use std::vec::Vec;

use super::callback;
use super::conflict::{ConflictAction, ConflictType};
use super::error::SqliteError;
use super::handle::Handle;
use super::statement::{RowValues, Statement};
use super::sys::{self, sqlite3, sqlite3_changeset_iter, sqlite3_value};
use super::transaction::Transaction;
use super::value::{Held, NoMemory, held_bytes};
use crate::wire::codec::raw::{write_change, write_header, write_value};
use crate::wire::{Format, Operation};

/// Decides, while SQLite applies. An error ends the apply, which leaves nothing behind; a panic does so too.
pub(crate) trait Judge {
    /// Why it ends the apply.
    type Stop;

    /// The changes that follow are of this table.
    fn begin_table(&mut self, table: &str);

    /// What is to become of a change that cannot be made as it is.
    fn conflict(&mut self, conflict: ConflictType, change: &Applied<'_>) -> Result<ConflictAction, Self::Stop>;

    /// Whether broken foreign keys may stay so. SQLite says that there are some, but not how many.
    fn foreign_keys(&mut self) -> Result<(), Self::Stop>;

    /// Whether a change is to be made at all. Asked only if [`Options::filter`] is set.
    fn takes(&mut self, change: &Applied<'_>) -> Result<bool, Self::Stop>;

    /// Everything has been applied, and is about to be released.
    fn finish(&mut self) -> Result<(), Self::Stop>;

    /// The next bytes of a streamed input, at most so many; none at its end.
    fn read(&mut self, most: usize) -> Result<&[u8], Self::Stop>;
}

/// Why an apply came to nothing.
pub(crate) enum Ended<S> {
    /// The judge ended it.
    Stopped(S),
    /// The judge panicked.
    Panicked,
    /// A constraint or trigger rolled the transaction back in the midst, or SQLite did, which then has failed.
    RolledBack { table: Option<String>, failure: Option<SqliteError> },
    /// SQLite failed.
    Sqlite { failure: SqliteError, table: Option<String> },
}

/// What is to be applied. It has been checked by `wire`, or will be before it is given.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    Bytes(&'a [u8]),
    /// What the judge [reads](Judge::read).
    Stream,
}

/// SQLite's [options](https://www.sqlite.org/session/c_changesetapply_fknoaction.html) of applying, and what is asked besides.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    /// The inverse is applied. For changesets alone.
    pub(crate) invert: bool,
    /// There is no savepoint, so that a failed apply is not undone.
    pub(crate) no_savepoint: bool,
    /// Foreign keys are checked, but do nothing of themselves.
    pub(crate) no_foreign_key_actions: bool,
    /// UPDATEs that are in each other's way are conflicts, and not resolved by deleting a row and inserting it again. Older
    /// libraries do not know that and do not resolve them.
    pub(crate) no_update_loop: bool,
    /// The judge is asked about each change.
    pub(crate) filter: bool,
    /// Rebase data are wanted.
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

/// Whether the library can ask about each change.
pub(crate) const CAN_FILTER: bool = cfg!(apply_v3);

struct Context<'a, J: Judge> {
    db: *mut sqlite3,
    judge: &'a mut J,
    /// The table whose changes are being applied.
    table: Option<String>,
    /// Why it is to end.
    end: Option<End<J::Stop>>,
}

enum End<S> {
    Stopped(S),
    Panicked,
    RolledBack,
    /// SQLite asks what it never should.
    Unknown,
}

impl<J: Judge> Context<'_, J> {
    /// Calls the judge, unless the apply is to end. Without an answer it is.
    fn ask<R>(&mut self, question: impl FnOnce(&mut J) -> Result<R, J::Stop>) -> Option<R> {
        // SAFETY: the connection is open: SQLite is applying to it.
        if unsafe { sys::sqlite3_get_autocommit(self.db) } != 0 && self.end.is_none() {
            // the savepoint is gone, and with it the transaction
            self.end = Some(End::RolledBack);
        }
        if self.end.is_some() {
            return None;
        }
        match callback::run(self.db, || question(self.judge)) {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(stop)) => self.end = Some(End::Stopped(stop)),
            Err(payload) => {
                callback::discard(payload);
                self.end = Some(End::Panicked);
            }
        }
        None
    }

    fn begin_table(&mut self, table: &str) {
        self.table = Some(table.into());
        self.ask(|judge| {
            judge.begin_table(table);
            Ok(())
        });
    }
}

/// Applies changes to the `main` database, in a transaction of the same connection. Gives the rebase data, if there are any and they
/// are wanted.
pub(crate) fn apply<J: Judge>(
    handle: Handle<'_>,
    transaction: &Transaction<'_>,
    input: Input<'_>,
    options: Options,
    judge: &mut J,
) -> Result<Vec<u8>, Ended<J::Stop>> {
    let db = handle.as_ptr();
    let mut context = Context { db, judge, table: None, end: None };
    let (mut rebase, mut rebase_size) = (ptr::null_mut(), 0);
    // SAFETY: the connection is open and borrowed. Nothing else refers to `context` until the call is over.
    let code = unsafe { call(db, input, options, &raw mut context, &raw mut rebase, &raw mut rebase_size) };
    let Context { table, end, judge, .. } = context;
    // SAFETY: the connection is open.
    let failure = (code != sys::SQLITE_OK).then(|| unsafe { SqliteError::of(db, code) });
    let is_gone = transaction.is_inside() && !handle.is_in_transaction();
    let mut rebase_data = Vec::new();
    if !rebase.is_null() {
        // SAFETY: SQLite has just given so many bytes.
        let bytes = unsafe { held_bytes(rebase.cast_const().cast(), rebase_size) };
        rebase_data.extend_from_slice(bytes.unwrap_or_default());
        // SAFETY: SQLite allocated it and leaves it to the caller.
        unsafe { sys::sqlite3_free(rebase) };
    }
    let end = match (end, &failure) {
        (None, None) => match callback::run(db, || judge.finish()) {
            Ok(Ok(())) => None,
            Ok(Err(stop)) => Some(End::Stopped(stop)),
            Err(payload) => {
                callback::discard(payload);
                Some(End::Panicked)
            }
        },
        (end, _) => end,
    };
    match (end, failure) {
        (Some(End::Stopped(stop)), _) => Err(Ended::Stopped(stop)),
        (Some(End::Panicked), _) => Err(Ended::Panicked),
        (Some(End::RolledBack), _) => Err(Ended::RolledBack { table, failure: None }),
        // out of memory or space: SQLite ends any transaction then
        (_, Some(failure)) if is_gone => Err(Ended::RolledBack { table, failure: Some(failure) }),
        (_, Some(failure)) => Err(Ended::Sqlite { failure, table }),
        (Some(End::Unknown), None) => {
            // SAFETY: the connection is open.
            let failure = unsafe { SqliteError::of(db, sys::SQLITE_MISUSE) };
            Err(Ended::Sqlite { failure, table })
        }
        (None, None) => Ok(rebase_data),
    }
}

/// The variant of the call that the input and the options need.
///
/// # Safety
///
/// `db` must be open and borrowed, and nothing else may refer to what `context` points to.
unsafe fn call<J: Judge>(
    db: *mut sqlite3,
    input: Input<'_>,
    options: Options,
    context: *mut Context<'_, J>,
    rebase: *mut *mut c_void,
    rebase_size: *mut c_int,
) -> c_int {
    let (rebase, rebase_size) = if options.rebase { (rebase, rebase_size) } else { (ptr::null_mut(), ptr::null_mut()) };
    let (conflict, context, flags) = (Some(resolve::<J> as _), context.cast::<c_void>(), options.flags());
    // more than a C `int` counts goes as a stream, which the judge can give too
    let bytes = match input {
        Input::Bytes(bytes) => c_int::try_from(bytes.len()).ok().map(|size| (size, bytes.as_ptr().cast_mut().cast())),
        Input::Stream => None,
    };
    #[cfg(apply_v3)]
    if options.filter {
        let filter = Some(filter::<J> as _);
        return match bytes {
            // SAFETY: as below.
            Some((size, bytes)) => unsafe {
                sys::sqlite3changeset_apply_v3(db, size, bytes, filter, conflict, context, rebase, rebase_size, flags)
            },
            // SAFETY: as below.
            None => unsafe {
                sys::sqlite3changeset_apply_v3_strm(
                    db,
                    Some(read::<J>),
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
    let table = Some(begin_table::<J> as _);
    match bytes {
        // SAFETY: the connection is open and borrowed, says the caller. The size is that of the bytes, which SQLite only reads,
        // though it asks for a mutable pointer. The functions have the types that SQLite calls, with a pointer to `context`.
        // The rebase data are asked for by two pointers that may be written to, or by none.
        Some((size, bytes)) => unsafe {
            sys::sqlite3changeset_apply_v2(db, size, bytes, table, conflict, context, rebase, rebase_size, flags)
        },
        // SAFETY: as above.
        None => unsafe {
            sys::sqlite3changeset_apply_v2_strm(
                db,
                Some(read::<J>),
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

/// SQLite's call at the first change of each table: not to filter, but to know where it is.
unsafe extern "C" fn begin_table<J: Judge>(context: *mut c_void, table: *const c_char) -> c_int {
    // SAFETY: the context is that of the running `apply`.
    let context = unsafe { &mut *context.cast::<Context<'_, J>>() };
    // SAFETY: SQLite gives a C string.
    let table = unsafe { CStr::from_ptr(table) };
    context.begin_table(&table.to_string_lossy());
    context.end.is_none().into()
}

/// SQLite's question whether to make a change at all.
#[cfg(apply_v3)]
unsafe extern "C" fn filter<J: Judge>(context: *mut c_void, iter: *mut sqlite3_changeset_iter) -> c_int {
    // SAFETY: the context is that of the running `apply`.
    let context = unsafe { &mut *context.cast::<Context<'_, J>>() };
    // SAFETY: SQLite gives an iterator that stands on a change until this returns.
    let Some(change) = (unsafe { Applied::new(iter) }) else {
        context.end.get_or_insert(End::Unknown);
        return 0;
    };
    if context.table.as_deref().is_none_or(|table| !table.eq_ignore_ascii_case(&change.table())) {
        context.begin_table(&change.table());
    }
    context.ask(|judge| judge.takes(&change)).unwrap_or(false).into()
}

/// SQLite's question what to do about a conflict.
unsafe extern "C" fn resolve<J: Judge>(
    context: *mut c_void,
    conflict: c_int,
    iter: *mut sqlite3_changeset_iter,
) -> c_int {
    // SAFETY: the context is that of the running `apply`.
    let context = unsafe { &mut *context.cast::<Context<'_, J>>() };
    let answer = match ConflictType::from_raw(conflict) {
        // the iterator stands on nothing
        Some(ConflictType::ForeignKey) => context.ask(J::foreign_keys).map(|()| ConflictAction::Omit),
        Some(conflict) => {
            // SAFETY: for all others it stands on a change until this returns.
            let change = unsafe { Applied::new(iter) };
            change.and_then(|change| context.ask(|judge| judge.conflict(conflict, &change)))
        }
        None => None,
    };
    match answer {
        Some(ConflictAction::Omit) => sys::SQLITE_CHANGESET_OMIT,
        Some(ConflictAction::Replace) => sys::SQLITE_CHANGESET_REPLACE,
        Some(ConflictAction::Abort) => sys::SQLITE_CHANGESET_ABORT,
        None => {
            context.end.get_or_insert(End::Unknown);
            sys::SQLITE_CHANGESET_ABORT
        }
    }
}

/// SQLite's request for the next bytes of a stream.
unsafe extern "C" fn read<J: Judge>(context: *mut c_void, space: *mut c_void, size: *mut c_int) -> c_int {
    // SAFETY: the context is that of the running `apply`.
    let context = unsafe { &mut *context.cast::<Context<'_, J>>() };
    // SAFETY: SQLite says here how much space there is, and reads here how much was given.
    let size = unsafe { &mut *size };
    let most = usize::try_from(*size).unwrap_or(0);
    *size = 0;
    let given = context.ask(|judge| {
        let bytes = judge.read(most)?;
        let length = bytes.len().min(most);
        // SAFETY: there is space for `most` bytes, which nobody else knows of.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), space.cast(), length) };
        Ok(length)
    });
    let Some(given) = given.and_then(|given| c_int::try_from(given).ok()) else {
        return sys::SQLITE_ABORT;
    };
    *size = given;
    sys::SQLITE_OK
}

/// A change that SQLite is about to make, or cannot.
pub(crate) struct Applied<'a> {
    iter: *mut sqlite3_changeset_iter,
    table: &'a CStr,
    key_ordinals: &'a [u8],
    operation: Operation,
    indirect: bool,
    _held: PhantomData<&'a ()>,
}

impl<'a> Applied<'a> {
    /// # Safety
    ///
    /// `iter` must stand on a change, and stay there for the lifetime that the caller chooses.
    unsafe fn new(iter: *mut sqlite3_changeset_iter) -> Option<Self> {
        let (mut table, mut columns, mut operation, mut indirect) = (ptr::null(), 0, 0, 0);
        // SAFETY: the iterator stands on a change, says the caller; all pointers may be written to.
        let code = unsafe {
            sys::sqlite3changeset_op(iter, &raw mut table, &raw mut columns, &raw mut operation, &raw mut indirect)
        };
        let mut ordinals = ptr::null_mut();
        // SAFETY: as above.
        let key_code = unsafe { sys::sqlite3changeset_pk(iter, &raw mut ordinals, ptr::null_mut()) };
        if code != sys::SQLITE_OK || key_code != sys::SQLITE_OK || table.is_null() {
            return None;
        }
        Some(Self {
            iter,
            // SAFETY: SQLite has just given a C string, which stays as long as the iterator stands.
            table: unsafe { CStr::from_ptr(table) },
            // SAFETY: SQLite gives a byte for each column, which stay as long.
            key_ordinals: unsafe { held_bytes(ordinals, columns) }.ok()?,
            operation: u8::try_from(operation).ok().and_then(Operation::from_byte)?,
            indirect: indirect != 0,
            _held: PhantomData,
        })
    }

    pub(crate) fn table(&self) -> Cow<'a, str> {
        self.table.to_string_lossy()
    }

    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    fn old_value(&self, column: usize) -> Option<Held<'a>> {
        // SAFETY: the iterator stands on a change; SQLite refuses columns that are not there.
        unsafe { self.value(column, sys::sqlite3changeset_old) }
    }

    fn new_value(&self, column: usize) -> Option<Held<'a>> {
        // SAFETY: as above.
        unsafe { self.value(column, sys::sqlite3changeset_new) }
    }

    /// # Safety
    ///
    /// `read` must be one of SQLite's functions that read a value of an iterator.
    unsafe fn value(
        &self,
        column: usize,
        read: unsafe extern "C" fn(*mut sqlite3_changeset_iter, c_int, *mut *mut sqlite3_value) -> c_int,
    ) -> Option<Held<'a>> {
        let mut value = ptr::null_mut();
        // SAFETY: the iterator stands on a change; `value` may be written to.
        let code = unsafe { read(self.iter, c_int::try_from(column).ok()?, &raw mut value) };
        let value = NonNull::new(value).filter(|_| code == sys::SQLITE_OK)?;
        // SAFETY: SQLite gives a protected value, which is the iterator's as long as it stands.
        Some(unsafe { Held::new(value) })
    }

    /// The values of the key, in the order of the columns.
    fn key(&self) -> impl Iterator<Item = Held<'a>> {
        let is_insert = self.operation == Operation::Insert;
        let columns = self.key_ordinals.iter().enumerate().filter(|(_, place)| **place != 0);
        columns.filter_map(move |(column, _)| if is_insert { self.new_value(column) } else { self.old_value(column) })
    }

    /// Appends the change, behind a header of its section. Gives where it begins.
    pub(crate) fn write(&self, format: Format, out: &mut Vec<u8>) -> Result<usize, NoMemory> {
        write_header(format, &self.table(), self.key_ordinals, out);
        let start = out.len();
        write_change(self.operation, self.indirect, out);
        let mut write = |value: Option<Held<'_>>| {
            write_value(value.map(Held::read).transpose()?, out);
            Ok(())
        };
        let columns = || self.key_ordinals.iter().map(|place| *place != 0).enumerate();
        match (self.operation, format) {
            (Operation::Insert, _) => columns().try_for_each(|(column, _)| write(self.new_value(column)))?,
            (Operation::Delete, Format::Changeset) => {
                columns().try_for_each(|(column, _)| write(self.old_value(column)))?;
            }
            (Operation::Delete, Format::Patchset) => {
                columns().filter(|(_, is_key)| *is_key).try_for_each(|(column, _)| write(self.old_value(column)))?;
            }
            (Operation::Update, Format::Changeset) => {
                columns().try_for_each(|(column, _)| write(self.old_value(column)))?;
                columns().try_for_each(|(column, _)| write(self.new_value(column)))?;
            }
            (Operation::Update, Format::Patchset) => columns().try_for_each(|(column, is_key)| {
                write(if is_key { self.old_value(column) } else { self.new_value(column) })
            })?,
        }
        Ok(start)
    }

    /// Reads the row that has the key of this change, by a statement with a parameter for each column of the key.
    pub(crate) fn row<R>(
        &self,
        statement: &mut Statement<'_>,
        read: impl FnOnce(&RowValues<'_>) -> R,
    ) -> Result<Option<R>, SqliteError> {
        statement.first_row(self.key(), read)
    }
}
