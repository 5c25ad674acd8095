//! What becomes of one change on top of another one.

use alloc::vec::Vec;

use super::resolutions::REPLACED;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Operation;
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::{Presence, UNDEFINED};
use crate::wire::group::merge::put;

/// What was made of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebased {
    /// It stays as it is; nothing has been appended.
    AsItStands,
    /// What has been appended, if anything.
    Otherwise,
}

/// What a change is rebased on.
#[derive(Clone, Copy)]
pub(super) struct Remote<'a> {
    /// Its flag says whether any resolution of the row replaced.
    record: RawRecord<'a>,
    /// Whether there was one resolution alone, which stands in the record as it came. If it replaced, then with every value.
    is_alone: bool,
}

impl<'a> Remote<'a> {
    /// A row's only resolution.
    pub(super) fn alone(record: RawRecord<'a>) -> Self {
        Self { record, is_alone: true }
    }

    /// What all resolutions of a row come to, with `REPLACED` for what was replaced.
    pub(super) fn of_all(record: RawRecord<'a>) -> Self {
        Self { record, is_alone: false }
    }
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
    #[inline]
    pub(super) fn rebase(self, remote: Remote<'_>, out: &mut Vec<u8>) -> Result<Rebased, BuildError> {
        use Operation::{Delete, Insert, Update};
        let Remote { record: remote, is_alone } = remote;
        let all_replaced = is_alone && remote.indirect;
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
            (Update, _) => self.update(remote, all_replaced, out),
            (Delete, _) if all_replaced => return Ok(Rebased::AsItStands),
            (Delete, _) => {
                self.begin(Delete, out);
                overlay(key, remote.after, local.after, out);
            }
        }
        Ok(Rebased::Otherwise)
    }

    /// Appends an UPDATE from the remote's values, without the columns that it has replaced, if it still sets any.
    fn update(self, remote: RawRecord<'_>, all_replaced: bool, out: &mut Vec<u8>) {
        let Self { header: Header { key, .. }, record: local, .. } = self;
        let start = out.len();
        self.begin(Operation::Update, out);
        let is_replaced = |theirs: &[u8]| theirs == [REPLACED] || all_replaced && theirs != [UNDEFINED];
        let mut sets = false;
        let (mut mine, mut theirs) = (Cursor::new(local.before), Cursor::new(remote.after));
        for place in key {
            let (mine, theirs) = (mine.field().unwrap_or(&[UNDEFINED]), theirs.field().unwrap_or(&[UNDEFINED]));
            let is_there = mine != [UNDEFINED];
            let old = match theirs {
                _ if *place != 0 => mine,
                [UNDEFINED] => mine,
                _ if is_there && !is_replaced(theirs) => theirs,
                _ => &[UNDEFINED],
            };
            sets |= *place == 0 && old != [UNDEFINED];
            put(old, out);
        }
        if !sets {
            out.truncate(start);
            return;
        }
        let (mut mine, mut theirs) = (Cursor::new(local.after), Cursor::new(remote.after));
        for place in key {
            let (mine, theirs) = (mine.field().unwrap_or(&[UNDEFINED]), theirs.field().unwrap_or(&[UNDEFINED]));
            put(if *place == 0 && is_replaced(theirs) { &[UNDEFINED] } else { mine }, out);
        }
    }

    /// Refuses a row whose key is NULL: an UPDATE may record such a new key, an INSERT not.
    fn check_key(self, row: &[u8]) -> Result<(), BuildError> {
        let mut row = Cursor::new(row);
        for (column, place) in self.header.key.iter().enumerate() {
            if row.skip_value() != Ok(Presence::Value) && *place != 0 {
                return Err(BuildError::new(BuildErrorKind::NullKey, self.header.name, Some(column)));
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
        put(over.or(under).unwrap_or(&[UNDEFINED]), out);
    }
}
