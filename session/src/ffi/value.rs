//! SQLite's values and strings as Rust values.

use core::ffi::{CStr, c_char, c_int, c_uchar};
use core::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;
use std::string::String;

use super::sys::{self, sqlite3_value};
use crate::wire::Value;

/// The error of a conversion for which SQLite ran out of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemory;

/// A protected value that SQLite owns. It stays unchanged during `'a`, and nobody else uses it.
#[derive(Clone, Copy)]
pub(super) struct ProtectedValue<'a> {
    value: NonNull<sqlite3_value>,
    _borrowed: PhantomData<&'a ()>,
}

impl<'a> ProtectedValue<'a> {
    /// # Safety
    ///
    /// `value` must be a [protected](https://www.sqlite.org/c3ref/value.html) value that stays
    /// valid and unchanged, and that nobody else uses, during `'a`.
    pub(super) unsafe fn new(value: NonNull<sqlite3_value>) -> Self {
        Self { value, _borrowed: PhantomData }
    }

    pub(super) fn as_ptr(self) -> *mut sqlite3_value {
        self.value.as_ptr()
    }

    pub(super) fn read(self) -> Result<Value<'a>, OutOfMemory> {
        let value = self.as_ptr();
        // SAFETY: the value is valid and protected, as `new` requires.
        let class = unsafe { sys::sqlite3_value_type(value) };
        let bytes = |start: *const c_uchar| {
            // SAFETY: the value is valid and protected. The length is requested after the pointer,
            // as SQLite requires.
            let length = unsafe { sys::sqlite3_value_bytes(value) };
            // SAFETY: SQLite returned the pointer and the length of the same value, which stays
            // unchanged during `'a`.
            unsafe { bytes_from_raw(start, length) }
        };
        Ok(match class {
            // SAFETY: the value is valid and protected, as `new` requires.
            sys::SQLITE_INTEGER => Value::Integer(unsafe { sys::sqlite3_value_int64(value) }),
            // SAFETY: the value is valid and protected, as `new` requires.
            sys::SQLITE_FLOAT => Value::Real(unsafe { sys::sqlite3_value_double(value) }),
            sys::SQLITE_TEXT => {
                // SAFETY: the value is valid and protected, as `new` requires.
                let start = unsafe { sys::sqlite3_value_text(value) };
                // even an empty text has an address
                if start.is_null() { Err(OutOfMemory) } else { bytes(start).map(Value::Text) }?
            }
            // SAFETY: the value is valid and protected, as `new` requires.
            sys::SQLITE_BLOB => Value::Blob(bytes(unsafe { sys::sqlite3_value_blob(value) }.cast())?),
            _ => Value::Null,
        })
    }
}

/// Returns bytes that SQLite describes by pointer and length. SQLite returns a null pointer for no
/// bytes, and if it is out of memory.
///
/// # Safety
///
/// `start` must be null, or valid for reads of `length` bytes, which must not change during `'a`.
pub(super) unsafe fn bytes_from_raw<'a>(start: *const c_uchar, length: c_int) -> Result<&'a [u8], OutOfMemory> {
    match (start.is_null(), usize::try_from(length)) {
        (_, Ok(0)) => Ok(&[]),
        // SAFETY: the pointer is not null, so the caller guarantees that `length` bytes are valid
        // and unchanged during `'a`.
        (false, Ok(length)) => Ok(unsafe { slice::from_raw_parts(start, length) }),
        _ => Err(OutOfMemory),
    }
}

/// Returns a copy of a C string, or an empty string for a null pointer.
///
/// # Safety
///
/// `start` must be null or a valid C string.
pub(super) unsafe fn text_from_raw(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: the pointer is not null, so the caller guarantees that it is a valid C string. It is
    // copied here.
    let text = unsafe { CStr::from_ptr(start) };
    text.to_string_lossy().into_owned()
}
