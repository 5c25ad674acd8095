//! SQLite's bytes and strings as Rust values.

use core::ffi::{CStr, c_char, c_int, c_uchar};
use std::slice;
use std::string::String;

/// The error of a conversion for which SQLite ran out of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemory;

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
