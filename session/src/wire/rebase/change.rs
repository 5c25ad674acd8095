//! What becomes of one change on top of another one.

use alloc::vec::Vec;

use super::error::{RebaseError, shortened};
use super::resolutions::REPLACED;
use crate::wire::Operation;
use crate::wire::cursor::Cursor;
use crate::wire::record::RawRecord;
use crate::wire::table::Header;
use crate::wire::value::{Presence, UNDEFINED};

/// What was made of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebased {
    /// It stays as it is; nothing has been appended.
    AsItStands,
    /// What has been appended, if anything.
    Otherwise,
}

/// A change that is to be rebased.
#[derive(Clone, Copy)]
pub(super) struct Local<'a> {
    pub(super) header: Header<'a>,
    /// The flag's byte.
    pub(super) indirect: u8,
    pub(super) record: RawRecord<'a>,
}

impl Local<'_> {
    fn begin(self, operation: Operation, out: &mut Vec<u8>) {
        out.extend_from_slice(&[operation.to_byte(), self.indirect]);
    }

    #[cfg(feature = "std")]
    pub(super) fn write(self, out: &mut Vec<u8>) {
        self.begin(self.record.operation, out);
        out.extend_from_slice(self.record.before);
        out.extend_from_slice(self.record.after);
    }

    /// Appends what becomes of the change on top of a remote one.
    pub(super) fn rebase(self, remote: RawRecord<'_>, out: &mut Vec<u8>) -> Result<Rebased, RebaseError> {
        use Operation::{Delete, Insert, Update};
        let Self { header: Header { key, .. }, record: local, .. } = self;
        match (local.operation, remote.operation) {
            (Insert, Delete) => return Ok(Rebased::AsItStands),
            (Delete, Delete) => {}
            (Insert, _) => {
                // an UPDATE of nothing but a key could not be applied
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
            (Update, _) => self.update(remote, out),
            (Delete, _) => {
                self.begin(Delete, out);
                overlay(key, remote.after, local.after, out);
            }
        }
        Ok(Rebased::Otherwise)
    }

    /// Appends an UPDATE from the remote's values, without the columns that it has replaced, if it still sets any.
    fn update(self, remote: RawRecord<'_>, out: &mut Vec<u8>) {
        let Self { header: Header { key, .. }, record: local, .. } = self;
        let start = out.len();
        self.begin(Operation::Update, out);
        let mut sets = false;
        let (mut mine, mut theirs) = (Cursor::new(local.before), Cursor::new(remote.after));
        for place in key {
            let (mine, theirs) = (mine.field().unwrap_or(&[UNDEFINED]), theirs.field().unwrap_or(&[UNDEFINED]));
            let is_there = mine != [UNDEFINED];
            let old = match theirs {
                _ if *place != 0 => mine,
                [UNDEFINED] => mine,
                [REPLACED] => &[UNDEFINED],
                _ if is_there => theirs,
                _ => &[UNDEFINED],
            };
            sets |= *place == 0 && old != [UNDEFINED];
            out.extend_from_slice(old);
        }
        if !sets {
            out.truncate(start);
            return;
        }
        let (mut mine, mut theirs) = (Cursor::new(local.after), Cursor::new(remote.after));
        for place in key {
            let (mine, theirs) = (mine.field().unwrap_or(&[UNDEFINED]), theirs.field());
            out.extend_from_slice(if *place == 0 && theirs == Some(&[REPLACED]) { &[UNDEFINED] } else { mine });
        }
    }

    /// Refuses a row whose key is NULL: an UPDATE may record such a new key, an INSERT not.
    fn check_key(self, row: &[u8]) -> Result<(), RebaseError> {
        let mut row = Cursor::new(row);
        for (column, place) in self.header.key.iter().enumerate() {
            if row.skip_value() != Ok(Presence::Value) && *place != 0 {
                return Err(RebaseError::NullKey { table: shortened(self.header), column });
            }
        }
        Ok(())
    }
}

/// Appends a record of the values of `over` where it has any, else of `under`.
fn overlay(key: &[u8], over: &[u8], under: &[u8], out: &mut Vec<u8>) {
    let (mut over, mut under) = (Cursor::new(over), Cursor::new(under));
    for _ in key {
        let (over, under) = (over.field(), under.field());
        let over = over.filter(|over| *over != [UNDEFINED] && *over != [REPLACED]);
        out.extend_from_slice(over.or(under).unwrap_or(&[UNDEFINED]));
    }
}
