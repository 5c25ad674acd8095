//! Appends sections and changes to a buffer, from checked records or from values that SQLite
//! returns.
//!
//! Applying and rebasing call these functions. They check nothing: the caller appends the parts of
//! a well-formed set in order.

use alloc::vec::Vec;

use super::cursor::Cursor;
use super::header::Header;
use super::kind::{Format, Operation};
use super::record::Record;
#[cfg(feature = "typed")]
use super::record::Records;
use super::value::{Value, write_field};

/// Appends the header of a section.
pub(crate) fn write_header(format: Format, table: &str, key_ordinals: &[u8], out: &mut Vec<u8>) {
    Header { name: table, key: key_ordinals }.write(format, out);
}

/// Appends the operation and the flag of a change. Its values must follow.
pub(crate) fn write_change(operation: Operation, indirect: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&[operation.to_byte(), u8::from(indirect)]);
}

/// Appends a value, or the byte of a value that is not recorded.
pub(crate) fn write_value(value: Option<Value<'_>>, out: &mut Vec<u8>) {
    write_field(out, value);
}

/// Returns the records of bytes that were appended here. The iterator ends where they are not
/// well-formed.
pub(crate) fn records(bytes: &[u8], format: Format) -> Records<'_> {
    Records::new(bytes, format)
}

impl<'a> Record<'a> {
    /// Calls `visit` with the columns of an UPDATE that its key or a new value concerns: column, key
    /// ordinal, old value and new value, as [`update_columns`](Self::update_columns) returns them.
    #[inline(always)]
    pub(crate) fn for_each_update(&self, mut visit: impl FnMut(usize, u8, Option<Value<'a>>, Option<Value<'a>>)) {
        let (header, format, raw) = self.parts();
        let (mut before, mut after) = (Cursor::new(raw.before), Cursor::new(raw.after));
        for (column, ordinal) in header.key.iter().enumerate() {
            let new = after.value();
            let (old, new) = match (format, *ordinal) {
                // a patchset has no old values, and nothing to skip
                (_, 0) if new.is_none() => {
                    before.field();
                    continue;
                }
                (Format::Patchset, 0) => (None, new),
                (Format::Patchset, _) => (new, None),
                (Format::Changeset, _) => (before.value(), new),
            };
            // one call, so that it is compiled into this loop
            visit(column, *ordinal, old, new);
        }
    }
}

impl Record<'_> {
    /// Appends the change byte for byte.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (_, _, raw) = self.parts();
        write_change(raw.operation, raw.indirect, out);
        out.extend_from_slice(raw.before);
        out.extend_from_slice(raw.after);
    }

    /// Returns the columns of an UPDATE: key ordinal, old value and new value.
    ///
    /// The values are those of [`old_values`](Self::old_values) and
    /// [`new_values`](Self::new_values), read in one pass.
    pub(crate) fn update_columns(&self) -> impl Iterator<Item = (u8, Option<Value<'_>>, Option<Value<'_>>)> {
        let (header, format, raw) = self.parts();
        let (mut before, mut after) = (Cursor::new(raw.before), Cursor::new(raw.after));
        header.key.iter().map(move |ordinal| {
            let new = after.value();
            match format {
                // an old value without a new value is not returned
                Format::Changeset => (*ordinal, before.value().filter(|_| *ordinal != 0 || new.is_some()), new),
                Format::Patchset if *ordinal != 0 => (*ordinal, new, None),
                Format::Patchset => (*ordinal, None, new),
            }
        })
    }
}
