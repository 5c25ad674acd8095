//! Pads changes of a table that has grown to its present columns, as `sqlite3changegroup_add` does
//! after `sqlite3changegroup_schema`.
//!
//! [`TableChanges`](super::table_changes::TableChanges) calls [`pad`] for tables with declared
//! defaults.

use alloc::vec::Vec;

use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::encode::{EncodeError, EncodeResult, write_row};
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Format;
use crate::wire::codec::value::{UNDEFINED, Value};
use crate::wire::codec::walk::Layout;

/// The default values of the last columns of a table, encoded.
#[derive(Clone)]
pub(in crate::wire) struct Defaults {
    bytes: Vec<u8>,
    /// The offset of each value in `bytes`.
    starts: Vec<usize>,
}

impl Defaults {
    /// Encodes the default values of the columns from number `before` on.
    ///
    /// # Errors
    ///
    /// Fails if a value is too long.
    pub(in crate::wire) fn new(before: usize, values: &[Value<'_>]) -> EncodeResult<Self> {
        let (mut bytes, mut starts) = (Vec::new(), Vec::with_capacity(values.len()));
        for (column, value) in (before..).zip(values) {
            starts.push(bytes.len());
            write_row(&[0], core::slice::from_ref(value), &mut bytes)
                .map_err(|error| EncodeError { column: Some(column), ..*error })?;
        }
        Ok(Self { bytes, starts })
    }

    /// Returns the number of columns that have a default value.
    pub(in crate::wire) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Returns the encoded values of the last `count` columns.
    fn last(&self, count: usize) -> &[u8] {
        let first = self.starts.len().saturating_sub(count);
        self.starts.get(first).and_then(|start| self.bytes.get(*start..)).unwrap_or_default()
    }
}

/// Adds `missing` columns to the last change of `bytes`, which begins at `start` and has the
/// columns of `header`.
///
/// A record of a whole row gets the default values; in any other record the columns are not
/// recorded. None of the columns is part of the primary key.
pub(in crate::wire) fn pad(
    bytes: &mut Vec<u8>,
    start: usize,
    header: Header<'_>,
    format: Format,
    missing: usize,
    defaults: &Defaults,
) {
    let mut cursor = Cursor::new(bytes.get(start..).unwrap_or_default());
    let Some(record) = check::read_checked(&mut cursor, header, format) else {
        return; // not reached: the change is well-formed
    };
    let unrecorded = || core::iter::repeat_n(UNDEFINED, missing);
    match Layout::of(record.operation, format) {
        Layout::Row => bytes.extend_from_slice(defaults.last(missing)),
        Layout::Key => {}
        Layout::KeyAndNew => bytes.extend(unrecorded()),
        Layout::OldAndNew => {
            let middle = bytes.len().saturating_sub(record.after.len());
            bytes.splice(middle..middle, unrecorded());
            bytes.extend(unrecorded());
        }
    }
}
