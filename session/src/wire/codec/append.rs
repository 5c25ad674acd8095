//! Sections and changes as bytes, as applying passes them on: of checked records, or of values that SQLite gives.

use alloc::vec::Vec;

use super::cursor::Cursor;
use super::header::Header;
use super::kind::{Format, Operation};
pub(crate) use super::reader::Limits;
use super::record::Record;
#[cfg(feature = "typed")]
use super::record::Records;
use super::value::{UNDEFINED, Value};

/// Appends what a section begins with.
pub(crate) fn write_header(format: Format, table: &str, key_ordinals: &[u8], out: &mut Vec<u8>) {
    Header { name: table, key: key_ordinals }.write(format, out);
}

/// Appends what a change begins with. Its values are to follow.
pub(crate) fn write_change(operation: Operation, indirect: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&[operation.to_byte(), u8::from(indirect)]);
}

/// Appends a value, or that there is none.
pub(crate) fn write_value(value: Option<Value<'_>>, out: &mut Vec<u8>) {
    match value {
        Some(value) => value.write(out),
        None => out.push(UNDEFINED),
    }
}

/// The changes of bytes that have been put together here. Where they are not well-formed, it ends.
pub(crate) fn records(bytes: &[u8], format: Format) -> Records<'_> {
    Records::new(bytes, format)
}

impl Record<'_> {
    /// Appends the change as it stands.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (_, _, raw) = self.parts();
        write_change(raw.operation, raw.indirect, out);
        out.extend_from_slice(raw.before);
        out.extend_from_slice(raw.after);
    }

    /// The columns of an UPDATE: the ordinal in the key, and the values before and after it. As [`old_values`](Self::old_values) and
    /// [`new_values`](Self::new_values) give them, in one pass.
    pub(crate) fn update_columns(&self) -> impl Iterator<Item = (u8, Option<Value<'_>>, Option<Value<'_>>)> {
        let (header, format, raw) = self.parts();
        let (mut before, mut after) = (Cursor::new(raw.before), Cursor::new(raw.after));
        header.key.iter().map(move |ordinal| {
            let new = after.value();
            match format {
                // an old value without a new one is hidden
                Format::Changeset => (*ordinal, before.value().filter(|_| *ordinal != 0 || new.is_some()), new),
                Format::Patchset if *ordinal != 0 => (*ordinal, new, None),
                Format::Patchset => (*ordinal, None, new),
            }
        })
    }

    /// Appends the UPDATE of a changeset with what it sets alone: without the values that its key has after it, and without
    /// columns that are the same before and after.
    pub(crate) fn write_set_columns(&self, out: &mut Vec<u8>) {
        let (_, _, raw) = self.parts();
        write_change(raw.operation, raw.indirect, out);
        for (ordinal, old, new) in self.update_columns() {
            write_value(old.filter(|_| ordinal != 0 || old != new), out);
        }
        for (ordinal, old, new) in self.update_columns() {
            write_value(new.filter(|_| ordinal == 0 && old != new), out);
        }
    }
}
