//! The rules for one local change and the remote resolution of its row.

use alloc::vec::Vec;

use super::resolutions::REPLACED;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Operation;
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::{FieldKind, UNDEFINED};
use crate::wire::group::merge::append_field;

/// The result of rebasing a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The change stays unchanged. Nothing has been appended.
    Unchanged,
    /// The change is replaced by the bytes that were appended, or dropped if there are none.
    Rewritten,
}

/// The remote resolution that a local change is rebased onto.
#[derive(Clone, Copy)]
pub(super) struct RemoteChange<'a> {
    /// The indirect flag is set if any resolution of the row replaced it.
    record: RawRecord<'a>,
    /// Whether the row has a single resolution, which the record contains as it was read. If it
    /// replaced the row, it replaced every column that it has a value for.
    is_single: bool,
}

impl<'a> RemoteChange<'a> {
    /// Creates the remote change of a row with a single resolution.
    pub(super) fn single(record: RawRecord<'a>) -> Self {
        Self { record, is_single: true }
    }

    /// Creates the remote change of a row from its merged resolutions. Replaced columns contain
    /// [`REPLACED`].
    pub(super) fn merged(record: RawRecord<'a>) -> Self {
        Self { record, is_single: false }
    }
}

/// A local change to rebase.
#[derive(Clone, Copy)]
pub(super) struct LocalChange<'a> {
    pub(super) header: Header<'a>,
    /// The byte of the indirect flag.
    pub(super) indirect: u8,
    pub(super) record: RawRecord<'a>,
}

impl LocalChange<'_> {
    fn begin(self, operation: Operation, out: &mut Vec<u8>) {
        out.extend_from_slice(&[operation.to_byte(), self.indirect]);
    }

    #[cfg(feature = "std")]
    pub(super) fn write(self, out: &mut Vec<u8>) {
        self.begin(self.record.operation, out);
        out.extend_from_slice(self.record.before);
        out.extend_from_slice(self.record.after);
    }

    /// Appends the change rebased onto `remote`.
    #[inline]
    pub(super) fn rebase(self, remote: RemoteChange<'_>, out: &mut Vec<u8>) -> Result<Outcome, BuildError> {
        use Operation::{Delete, Insert, Update};
        let RemoteChange { record: remote, is_single } = remote;
        let all_replaced = is_single && remote.indirect;
        let Self { header: Header { key, .. }, record: local, .. } = self;
        match (local.operation, remote.operation) {
            (Insert, Delete) => return Ok(Outcome::Unchanged),
            (Delete, Delete) => {}
            (Insert, _) => {
                // an UPDATE of the key alone cannot be applied
                if !remote.indirect && key.contains(&0) {
                    self.begin(Update, out);
                    out.extend_from_slice(remote.after);
                    out.extend_from_slice(local.after);
                }
            }
            (Update, Delete) => {
                if !remote.indirect {
                    self.begin(Insert, out);
                    let row = out.len();
                    overlay(key, local.after, remote.after, out);
                    self.check_key(out.get(row..).unwrap_or_default())?;
                }
            }
            (Update, _) => self.update(remote, all_replaced, out),
            (Delete, _) if all_replaced => return Ok(Outcome::Unchanged),
            (Delete, _) => {
                self.begin(Delete, out);
                overlay(key, remote.after, local.after, out);
            }
        }
        Ok(Outcome::Rewritten)
    }

    /// Appends an UPDATE whose old values are those of `remote`, without the columns that `remote`
    /// replaced. Appends nothing if no column is left.
    fn update(self, remote: RawRecord<'_>, all_replaced: bool, out: &mut Vec<u8>) {
        let Self { header: Header { key, .. }, record: local, .. } = self;
        let start = out.len();
        self.begin(Operation::Update, out);
        let is_replaced = |theirs: &[u8]| theirs == [REPLACED] || all_replaced && theirs != [UNDEFINED];
        let mut sets = false;
        let (mut mine, mut theirs) = (Cursor::new(local.before), Cursor::new(remote.after));
        for ordinal in key {
            let (mine, theirs) = (mine.field().unwrap_or(&[UNDEFINED]), theirs.field().unwrap_or(&[UNDEFINED]));
            let has_old = mine != [UNDEFINED];
            let old = match theirs {
                _ if *ordinal != 0 => mine,
                [UNDEFINED] => mine,
                _ if has_old && !is_replaced(theirs) => theirs,
                _ => &[UNDEFINED],
            };
            sets |= *ordinal == 0 && old != [UNDEFINED];
            append_field(old, out);
        }
        if !sets {
            out.truncate(start);
            return;
        }
        let (mut mine, mut theirs) = (Cursor::new(local.after), Cursor::new(remote.after));
        for ordinal in key {
            let (mine, theirs) = (mine.field().unwrap_or(&[UNDEFINED]), theirs.field().unwrap_or(&[UNDEFINED]));
            append_field(if *ordinal == 0 && is_replaced(theirs) { &[UNDEFINED] } else { mine }, out);
        }
    }

    /// Rejects a row with NULL in its key. An UPDATE may contain such a new key, an INSERT may not.
    fn check_key(self, row: &[u8]) -> Result<(), BuildError> {
        let mut row = Cursor::new(row);
        for (column, ordinal) in self.header.key.iter().enumerate() {
            if row.check_value() != Ok(FieldKind::Value) && *ordinal != 0 {
                return Err(BuildError::new(BuildErrorKind::NullKey, self.header.name, Some(column)));
            }
        }
        Ok(())
    }
}

/// Appends a record with the values of `over`, and of `under` where `over` has none.
fn overlay(key: &[u8], over: &[u8], under: &[u8], out: &mut Vec<u8>) {
    let (mut over, mut under) = (Cursor::new(over), Cursor::new(under));
    for _ in key {
        let (over, under) = (over.field(), under.field());
        let over = over.filter(|over| *over != [UNDEFINED] && *over != [REPLACED]);
        append_field(over.or(under).unwrap_or(&[UNDEFINED]), out);
    }
}
