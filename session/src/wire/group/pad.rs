//! Changes of a table that has got more columns since, made as wide as it is now: as `sqlite3changegroup_add` does it with
//! `sqlite3changegroup_schema`.

use alloc::vec::Vec;

use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::encode::{EncodeError, EncodeResult, write_row};
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::value::{UNDEFINED, Value};

/// What the last columns of a table hold by default, encoded.
#[derive(Clone)]
pub(in crate::wire) struct Defaults {
    bytes: Vec<u8>,
    /// Where each of them begins.
    starts: Vec<usize>,
}

impl Defaults {
    /// Of a table whose columns before these are so many.
    pub(in crate::wire) fn new(before: usize, values: &[Value<'_>]) -> EncodeResult<Self> {
        let (mut bytes, mut starts) = (Vec::new(), Vec::with_capacity(values.len()));
        for (column, value) in (before..).zip(values) {
            starts.push(bytes.len());
            write_row(&[0], core::slice::from_ref(value), &mut bytes)
                .map_err(|error| EncodeError { column: Some(column), ..*error })?;
        }
        Ok(Self { bytes, starts })
    }

    pub(in crate::wire) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Those of the last so many columns.
    fn last(&self, count: usize) -> &[u8] {
        let first = self.starts.len().saturating_sub(count);
        self.starts.get(first).and_then(|start| self.bytes.get(*start..)).unwrap_or_default()
    }
}

/// Adds `missing` columns to the change that begins at `start` and ends the bytes, and which has the columns of `header`: with
/// the defaults where a whole row is recorded, else not recorded. None of them is in the key.
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
        return; // a change that was appended whole does not come here
    };
    let unrecorded = || core::iter::repeat_n(UNDEFINED, missing);
    match (record.operation, format) {
        (Operation::Insert, _) | (Operation::Delete, Format::Changeset) => {
            bytes.extend_from_slice(defaults.last(missing));
        }
        (Operation::Delete, Format::Patchset) => {}
        (Operation::Update, Format::Patchset) => bytes.extend(unrecorded()),
        (Operation::Update, Format::Changeset) => {
            let middle = bytes.len().saturating_sub(record.after.len());
            bytes.splice(middle..middle, unrecorded());
            bytes.extend(unrecorded());
        }
    }
}
