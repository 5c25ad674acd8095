//! The output of two merged sections: the changes of the first with their replacements, then those
//! changes of the second that remain.
//!
//! Each part has two implementations. The first writes on the way and requires that the section is
//! read in the order of its bytes. The second is for a section that was sorted, and writes at the
//! end.

use alloc::vec::Vec;

use super::bit_set::BitSet;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::walk::Walker;
use crate::wire::group::rank::{KeyedTable, NeedsFallback, RankedRecord};

/// The changes of the second section that remain: those to rows that the first section does not
/// have.
pub(super) trait Remaining<'a> {
    /// Records whether a change remains. The calls are in the order in which the changes are read.
    fn record(&mut self, change: &RankedRecord<'a>, remains: bool);

    /// Appends the changes that remain. The section goes from `changes` to `end`.
    fn write(
        self,
        changes: Cursor<'a>,
        end: Cursor<'a>,
        table: KeyedTable<'a>,
        out: &mut Vec<u8>,
    ) -> Result<(), NeedsFallback>;
}

/// The remaining changes of a section in order, as ranges of its bytes.
#[derive(Default)]
pub(super) struct RemainingRanges<'a> {
    ranges: Vec<&'a [u8]>,
    /// The start of the range that has not ended.
    begin: Option<Cursor<'a>>,
}

impl<'a> Remaining<'a> for RemainingRanges<'a> {
    #[inline(always)]
    fn record(&mut self, change: &RankedRecord<'a>, remains: bool) {
        if remains {
            if self.begin.is_none() {
                self.begin = Some(change.start);
            }
        } else if let Some(begin) = self.begin.take() {
            self.ranges.push(change.start.since(begin));
        }
    }

    fn write(self, _: Cursor<'a>, end: Cursor<'a>, _: KeyedTable<'a>, out: &mut Vec<u8>) -> Result<(), NeedsFallback> {
        let last = self.begin.map(|begin| end.since(begin));
        self.ranges.into_iter().chain(last).for_each(|range| out.extend_from_slice(range));
        Ok(())
    }
}

/// The remaining changes of a sorted section: the set contains the numbers of all others.
pub(super) struct RemainingByNumber(pub(super) BitSet);

impl<'a> Remaining<'a> for RemainingByNumber {
    #[inline(always)]
    fn record(&mut self, change: &RankedRecord<'a>, remains: bool) {
        if !remains {
            self.0.set(change.number as usize, true);
        }
    }

    fn write(
        self,
        changes: Cursor<'a>,
        end: Cursor<'a>,
        table: KeyedTable<'a>,
        out: &mut Vec<u8>,
    ) -> Result<(), NeedsFallback> {
        let (mut walk, mut number, mut same) = (Walker::at(changes, table.format), 0, changes);
        while walk.position().remaining() > end.remaining() {
            let start = walk.position();
            walk.record(table.header).ok_or(NeedsFallback)?;
            if self.0.get(number) {
                out.extend_from_slice(start.since(same));
                same = walk.position();
            }
            number = number.saturating_add(1);
        }
        out.extend_from_slice(end.since(same));
        Ok(())
    }
}

/// The replacements of changes of the first section.
pub(super) trait Replacements<'a> {
    /// Begins the replacement of the change at `change`. The caller appends it to the bytes
    /// returned.
    fn begin<'o>(&'o mut self, change: Cursor<'a>, out: &'o mut Vec<u8>) -> &'o mut Vec<u8>;

    /// Ends the replacement: the bytes up to `end` are replaced.
    fn end(&mut self, end: Cursor<'a>);

    /// Appends the rest of the section, which goes from `changes` to `end`.
    fn write(self, changes: Cursor<'a>, end: Cursor<'a>, out: &mut Vec<u8>);
}

/// The replacements in a section in order, written at once. Holds the start of the bytes that have
/// not been copied.
pub(super) struct ImmediateReplacements<'a>(pub(super) Cursor<'a>);

impl<'a> Replacements<'a> for ImmediateReplacements<'a> {
    #[inline(always)]
    fn begin<'o>(&'o mut self, change: Cursor<'a>, out: &'o mut Vec<u8>) -> &'o mut Vec<u8> {
        out.extend_from_slice(change.since(self.0));
        out
    }

    #[inline(always)]
    fn end(&mut self, end: Cursor<'a>) {
        self.0 = end;
    }

    fn write(self, _: Cursor<'a>, end: Cursor<'a>, out: &mut Vec<u8>) {
        out.extend_from_slice(end.since(self.0));
    }
}

/// The replacements in a sorted section, written at the end.
#[derive(Default)]
pub(super) struct DeferredReplacements<'a> {
    replaced: Vec<Replaced<'a>>,
    /// The bytes of all replacements.
    replacements: Vec<u8>,
}

/// A part of the section, and the range of `replacements` that replaces it.
struct Replaced<'a> {
    start: Cursor<'a>,
    end: Cursor<'a>,
    range: (usize, usize),
}

impl<'a> Replacements<'a> for DeferredReplacements<'a> {
    fn begin<'o>(&'o mut self, change: Cursor<'a>, _: &'o mut Vec<u8>) -> &'o mut Vec<u8> {
        self.replaced.push(Replaced {
            start: change,
            end: change,
            range: (self.replacements.len(), self.replacements.len()),
        });
        &mut self.replacements
    }

    fn end(&mut self, end: Cursor<'a>) {
        if let Some(last) = self.replaced.last_mut() {
            last.end = end;
            last.range.1 = self.replacements.len();
        }
    }

    fn write(mut self, changes: Cursor<'a>, end: Cursor<'a>, out: &mut Vec<u8>) {
        self.replaced.sort_unstable_by_key(|replaced| core::cmp::Reverse(replaced.start.remaining()));
        let mut same = changes;
        for replaced in self.replaced {
            out.extend_from_slice(replaced.start.since(same));
            out.extend_from_slice(self.replacements.get(replaced.range.0..replaced.range.1).unwrap_or_default());
            same = replaced.end;
        }
        out.extend_from_slice(end.since(same));
    }
}
