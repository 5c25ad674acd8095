//! The change at which SQLite's changeset iterator stands during a callback.

use core::ffi::{CStr, c_int};
use core::marker::PhantomData;
use std::borrow::Cow;
use std::ptr::{self, NonNull};
use std::vec::Vec;

use super::error::SqliteError;
use super::statement::{RowValues, Statement};
use super::sys::{self, sqlite3_changeset_iter, sqlite3_value};
use super::value::{OutOfMemory, ProtectedValue, bytes_from_raw};
use crate::wire::codec::append::{write_change, write_header, write_value};
use crate::wire::{Format, Operation};

/// A change that SQLite is about to apply, or cannot apply. Valid during the callback that receives
/// it.
pub(crate) struct PendingChange<'a> {
    iter: *mut sqlite3_changeset_iter,
    table: &'a CStr,
    key_ordinals: &'a [u8],
    operation: Operation,
    indirect: bool,
    _borrowed: PhantomData<&'a ()>,
}

impl<'a> PendingChange<'a> {
    /// Returns the change at which `iter` is positioned, or `None` if SQLite does not describe it.
    ///
    /// # Safety
    ///
    /// `iter` must be a valid iterator, positioned at a change, and must not be moved or freed
    /// during `'a`.
    pub(super) unsafe fn new(iter: *mut sqlite3_changeset_iter) -> Option<Self> {
        let (mut table, mut columns, mut operation, mut indirect) = (ptr::null(), 0, 0, 0);
        // SAFETY: the caller guarantees that the iterator is positioned at a change. The other four
        // pointers point to local variables of the expected types.
        let code = unsafe {
            sys::sqlite3changeset_op(iter, &raw mut table, &raw mut columns, &raw mut operation, &raw mut indirect)
        };
        let mut ordinals = ptr::null_mut();
        // SAFETY: the caller guarantees that the iterator is positioned at a change. `ordinals` is
        // a local variable of the expected type, and the function accepts a null pointer for the
        // number of columns.
        let key_code = unsafe { sys::sqlite3changeset_pk(iter, &raw mut ordinals, ptr::null_mut()) };
        if code != sys::SQLITE_OK || key_code != sys::SQLITE_OK || table.is_null() {
            return None;
        }
        Some(Self {
            iter,
            // SAFETY: SQLite succeeded and set `table` to a C string that is valid until the
            // iterator is moved.
            table: unsafe { CStr::from_ptr(table) },
            // SAFETY: SQLite succeeded and set `ordinals` to an array with a byte for each of the
            // `columns` columns, which is valid until the iterator is moved.
            key_ordinals: unsafe { bytes_from_raw(ordinals, columns) }.ok()?,
            operation: u8::try_from(operation).ok().and_then(Operation::from_byte)?,
            indirect: indirect != 0,
            _borrowed: PhantomData,
        })
    }

    pub(crate) fn table(&self) -> Cow<'a, str> {
        self.table.to_string_lossy()
    }

    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    fn old_value(&self, column: usize) -> Option<ProtectedValue<'a>> {
        // SAFETY: `sqlite3changeset_old` is a function that reads a value of an iterator.
        unsafe { self.value(column, sys::sqlite3changeset_old) }
    }

    fn new_value(&self, column: usize) -> Option<ProtectedValue<'a>> {
        // SAFETY: `sqlite3changeset_new` is a function that reads a value of an iterator.
        unsafe { self.value(column, sys::sqlite3changeset_new) }
    }

    /// Returns a value of a column, if the change contains one.
    ///
    /// # Safety
    ///
    /// `read` must be `sqlite3changeset_old` or `sqlite3changeset_new`.
    unsafe fn value(
        &self,
        column: usize,
        read: unsafe extern "C" fn(*mut sqlite3_changeset_iter, c_int, *mut *mut sqlite3_value) -> c_int,
    ) -> Option<ProtectedValue<'a>> {
        let mut value = ptr::null_mut();
        // SAFETY: the iterator is positioned at a change, as `new` requires. `read` is a function
        // that reads a value, as this function requires, and rejects columns that do not exist.
        // `value` is a local variable of the expected type.
        let code = unsafe { read(self.iter, c_int::try_from(column).ok()?, &raw mut value) };
        let value = NonNull::new(value).filter(|_| code == sys::SQLITE_OK)?;
        // SAFETY: SQLite returned a protected value, which belongs to the iterator and is valid
        // until the iterator is moved.
        Some(unsafe { ProtectedValue::new(value) })
    }

    /// Returns the values of the primary key, in column order.
    fn key(&self) -> impl Iterator<Item = ProtectedValue<'a>> {
        let is_insert = self.operation == Operation::Insert;
        let columns = self.key_ordinals.iter().enumerate().filter(|(_, place)| **place != 0);
        columns.filter_map(move |(column, _)| if is_insert { self.new_value(column) } else { self.old_value(column) })
    }

    /// Appends a section header and the change. Returns the position of the change in `out`.
    pub(crate) fn write(&self, format: Format, out: &mut Vec<u8>) -> Result<usize, OutOfMemory> {
        write_header(format, &self.table(), self.key_ordinals, out);
        let start = out.len();
        write_change(self.operation, self.indirect, out);
        let mut write = |value: Option<ProtectedValue<'_>>| {
            write_value(value.map(ProtectedValue::read).transpose()?, out);
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

    /// Reads the row that has the primary key of this change. `statement` needs a parameter for
    /// each column of the key.
    pub(crate) fn row<R>(
        &self,
        statement: &mut Statement<'_>,
        read: impl FnOnce(&RowValues<'_>) -> R,
    ) -> Result<Option<R>, SqliteError> {
        statement.first_row(self.key(), read)
    }
}
