//! Values that SQLite holds, as those of [`wire`](crate::wire).

use core::ffi::{c_int, c_uchar};
use core::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;

use super::sys::{self, sqlite3_value};
use crate::wire::Value;

/// SQLite had no memory for a value in the form that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoMemory;

/// A value that SQLite holds, for as long as the lifetime says, and that nobody else uses.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    value: NonNull<sqlite3_value>,
    _held: PhantomData<&'a ()>,
}

impl<'a> Held<'a> {
    /// # Safety
    ///
    /// `value` must be a [protected](https://www.sqlite.org/c3ref/value.html) value that stays what it is for the lifetime that
    /// the caller chooses.
    pub(super) unsafe fn new(value: NonNull<sqlite3_value>) -> Self {
        Self { value, _held: PhantomData }
    }

    pub(super) fn as_ptr(self) -> *mut sqlite3_value {
        self.value.as_ptr()
    }

    pub(super) fn read(self) -> Result<Value<'a>, NoMemory> {
        let value = self.as_ptr();
        // SAFETY: a protected value, says the caller of `new`; so in all that follows.
        let class = unsafe { sys::sqlite3_value_type(value) };
        let bytes = |start: *const c_uchar| {
            // SAFETY: as above; asked for after the pointer, as SQLite wants it.
            let length = unsafe { sys::sqlite3_value_bytes(value) };
            // SAFETY: SQLite has just given both; the value stays what it is.
            unsafe { held_bytes(start, length) }
        };
        Ok(match class {
            // SAFETY: as above.
            sys::SQLITE_INTEGER => Value::Integer(unsafe { sys::sqlite3_value_int64(value) }),
            // SAFETY: as above.
            sys::SQLITE_FLOAT => Value::Real(unsafe { sys::sqlite3_value_double(value) }),
            sys::SQLITE_TEXT => {
                // SAFETY: as above.
                let start = unsafe { sys::sqlite3_value_text(value) };
                // even an empty text has an address
                if start.is_null() { Err(NoMemory) } else { bytes(start).map(Value::Text) }?
            }
            // SAFETY: as above.
            sys::SQLITE_BLOB => Value::Blob(bytes(unsafe { sys::sqlite3_value_blob(value) }.cast())?),
            _ => Value::Null,
        })
    }
}

/// Bytes that SQLite gives by pointer and length. It gives no pointer where there are none, and where it has no memory.
///
/// # Safety
///
/// `start` must be null or point to so many bytes, which stay what they are for the lifetime that the caller chooses.
pub(super) unsafe fn held_bytes<'a>(start: *const c_uchar, length: c_int) -> Result<&'a [u8], NoMemory> {
    match (start.is_null(), usize::try_from(length)) {
        (_, Ok(0)) => Ok(&[]),
        // SAFETY: the caller's promise.
        (false, Ok(length)) => Ok(unsafe { slice::from_raw_parts(start, length) }),
        _ => Err(NoMemory),
    }
}
