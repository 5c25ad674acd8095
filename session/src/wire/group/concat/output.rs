//! How a section of two inputs is written: what becomes of the first one's changes, then those of the second that remain.

use alloc::vec::Vec;

use super::bit_set::BitSet;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::walk::Walker;
use crate::wire::group::rank::{KeyedTable, RankedRecord, NeedsFallback};

/// Which changes of the second input are to be written behind the first: those of rows that it has not.
pub(super) trait Remaining<'a> {
    /// One is found to be such, or not to be. They are told in their order.
    fn settle(&mut self, change: &RankedRecord<'a>, stays: bool);

    fn write(self, changes: Cursor<'a>, end: Cursor<'a>, table: KeyedTable<'a>, out: &mut Vec<u8>) -> Result<(), NeedsFallback>;
}

/// Of a section that stands in the order: pieces of it, and where those begin that stand together.
#[derive(Default)]
pub(super) struct RemainingRanges<'a> {
    pieces: Vec<&'a [u8]>,
    begin: Option<Cursor<'a>>,
}

impl<'a> Remaining<'a> for RemainingRanges<'a> {
    #[inline(always)]
    fn settle(&mut self, change: &RankedRecord<'a>, stays: bool) {
        if stays {
            if self.begin.is_none() {
                self.begin = Some(change.start);
            }
        } else if let Some(begin) = self.begin.take() {
            self.pieces.push(change.start.since(begin));
        }
    }

    fn write(self, _: Cursor<'a>, end: Cursor<'a>, _: KeyedTable<'a>, out: &mut Vec<u8>) -> Result<(), NeedsFallback> {
        let last = self.begin.map(|begin| end.since(begin));
        self.pieces.into_iter().chain(last).for_each(|piece| out.extend_from_slice(piece));
        Ok(())
    }
}

/// Of one that does not: a bit for each change that is gone.
pub(super) struct RemainingByNumber(pub(super) BitSet);

impl<'a> Remaining<'a> for RemainingByNumber {
    #[inline(always)]
    fn settle(&mut self, change: &RankedRecord<'a>, stays: bool) {
        if !stays {
            self.0.set(change.number as usize, true);
        }
    }

    fn write(self, changes: Cursor<'a>, end: Cursor<'a>, table: KeyedTable<'a>, out: &mut Vec<u8>) -> Result<(), NeedsFallback> {
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

/// What becomes of the changes of the first input.
pub(super) trait Replacements<'a> {
    /// A change that begins there is replaced: by what is appended to this.
    fn begin<'o>(&'o mut self, change: Cursor<'a>, out: &'o mut Vec<u8>) -> &'o mut Vec<u8>;

    /// What is replaced ends there.
    fn end(&mut self, end: Cursor<'a>);

    /// The section ends there.
    fn write(self, changes: Cursor<'a>, end: Cursor<'a>, out: &mut Vec<u8>);
}

/// Of a section that stands in the order: it is written on the way, up to what has not been copied yet.
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

/// Of one that does not: what is replaced, and by what.
#[derive(Default)]
pub(super) struct DeferredReplacements<'a> {
    replaced: Vec<Replaced<'a>>,
    by: Vec<u8>,
}

/// A part of the section, and where in what was written stands what comes in its stead.
struct Replaced<'a> {
    start: Cursor<'a>,
    end: Cursor<'a>,
    by: (usize, usize),
}

impl<'a> Replacements<'a> for DeferredReplacements<'a> {
    fn begin<'o>(&'o mut self, change: Cursor<'a>, _: &'o mut Vec<u8>) -> &'o mut Vec<u8> {
        self.replaced.push(Replaced { start: change, end: change, by: (self.by.len(), self.by.len()) });
        &mut self.by
    }

    fn end(&mut self, end: Cursor<'a>) {
        if let Some(last) = self.replaced.last_mut() {
            last.end = end;
            last.by.1 = self.by.len();
        }
    }

    fn write(mut self, changes: Cursor<'a>, end: Cursor<'a>, out: &mut Vec<u8>) {
        self.replaced.sort_unstable_by_key(|replaced| core::cmp::Reverse(replaced.start.remaining()));
        let mut same = changes;
        for replaced in self.replaced {
            out.extend_from_slice(replaced.start.since(same));
            out.extend_from_slice(self.by.get(replaced.by.0..replaced.by.1).unwrap_or_default());
            same = replaced.end;
        }
        out.extend_from_slice(end.since(same));
    }
}
