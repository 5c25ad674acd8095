//! What is known of the rows of one table: one resolution for each, made of all that were added, and an index of them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::UNDEFINED;
use crate::wire::group::fold::{KeyFields, lead_of};
use crate::wire::group::index::{Filter, Index, MOST_ROWS, Seed};

/// How many changes are looked up at once.
pub(super) const BLOCK: usize = 32;

/// A change that is looked up.
pub(super) struct Pending<'a> {
    pub(super) start: Cursor<'a>,
    pub(super) end: Cursor<'a>,
    pub(super) hash: u32,
    pub(super) place: Place,
}

/// What is known of where the resolution for a change is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// It is that of this row.
    Row(usize),
    /// If there is one, it is to be searched.
    Unknown,
    /// It may be that of this row, as the hash is the same.
    Maybe(usize),
    /// There is none.
    Nowhere,
}

/// In the place of a column's value: it was replaced. No value begins so.
pub(super) const REPLACED: u8 = 0xff;

/// Where this much of a table's bytes is no longer in use, and half of them, they are put together.
const LITTLE_WASTE: usize = 64 * 1024;

/// The resolutions of one table, at most one for each row.
#[derive(Clone)]
pub(super) struct Resolutions {
    pub(super) name: Box<str>,
    pub(super) key: Box<[u8]>,
    /// How many columns there are up to the last one of the key.
    lead: usize,
    /// Of each row the operation, whether it replaced, and a value for each column, nothing or `REPLACED`.
    bytes: Vec<u8>,
    /// Where each row's begin.
    pub(super) rows: Vec<usize>,
    index: Index,
    /// Of which rows there may be a resolution.
    pub(super) filter: Filter,
    /// Bytes that are no longer in use.
    waste: usize,
}

impl Resolutions {
    pub(super) fn new(header: Header<'_>) -> Self {
        Self {
            name: header.name.into(),
            key: header.key.into(),
            lead: lead_of(header.key),
            bytes: Vec::new(),
            rows: Vec::new(),
            index: Index::default(),
            filter: Filter::default(),
            waste: 0,
        }
    }

    fn header(&self) -> Header<'_> {
        Header { name: &self.name, key: &self.key }
    }

    /// The resolution of a row.
    pub(super) fn of_row(&self, row: usize) -> Option<RawRecord<'_>> {
        self.at(self.start_of(row)?)
    }

    fn at(&self, start: usize) -> Option<RawRecord<'_>> {
        check::extent(&mut Cursor::new(self.bytes.get(start..)?), self.header(), Format::Changeset)
    }

    /// The key of a record with a value for each column.
    #[cfg(feature = "std")]
    pub(super) fn key_of<'a>(&self, record: &'a [u8], key: &'a [u8]) -> KeyFields<'a> {
        KeyFields::of_record(record, key, self.lead)
    }

    /// The key of a changeset's change.
    #[inline]
    pub(super) fn key_at<'a>(&self, change: &'a [u8], key: &'a [u8]) -> KeyFields<'a> {
        KeyFields::of_record(change.get(2..).unwrap_or_default(), key, self.lead)
    }

    /// Where a row's resolution begins.
    #[inline]
    pub(super) fn start_of(&self, row: usize) -> Option<usize> {
        self.rows.get(row).copied()
    }

    /// The row with a key.
    #[inline]
    pub(super) fn find(&self, wanted: KeyFields<'_>, hash: u32) -> Option<usize> {
        self.index.find(hash, |row| self.has_key(row, wanted))
    }

    #[inline]
    pub(super) fn has_key(&self, row: usize, wanted: KeyFields<'_>) -> bool {
        self.start_of(row).is_some_and(|at| {
            KeyFields::new(&self.bytes, at, &self.key, self.lead, Format::Changeset).compare(wanted) == Ordering::Equal
        })
    }

    /// Finds where the resolutions of some changes may begin. Each step reads memory for all of them: the processor waits for many
    /// places at once then, and not for one after another.
    pub(super) fn look_ahead(&self, block: &mut [Pending<'_>]) {
        for change in block.iter_mut() {
            if let Place::Unknown = change.place {
                change.place = match self.index.guess(change.hash) {
                    Some(Some(row)) => Place::Maybe(row),
                    Some(None) => Place::Unknown,
                    None => Place::Nowhere,
                };
            }
        }
        let bytes = block.iter().filter_map(|change| match change.place {
            Place::Maybe(row) => self.bytes.get(self.start_of(row)?),
            _ => None,
        });
        core::hint::black_box(bytes.fold(0, |sum: u8, byte| sum ^ byte));
    }

    /// Adds some resolutions; `None` if there are too many. `merged` is memory to work in.
    pub(super) fn add(&mut self, block: &[RawRecord<'_>], seed: Seed, merged: &mut Vec<u8>) -> Option<()> {
        let mut hashes = [0; BLOCK];
        for (hash, record) in hashes.iter_mut().zip(block) {
            *hash = KeyFields::of_record(record.after, &self.key, self.lead).hash(seed);
        }
        // as in `look_ahead`
        let guesses = hashes.iter().zip(block).filter_map(|(hash, _)| self.index.guess(*hash)?);
        core::hint::black_box(guesses.fold(0, |sum, row| sum ^ row));
        hashes.iter().zip(block).try_for_each(|(hash, record)| self.add_one(*record, *hash, merged))
    }

    fn add_one(&mut self, second: RawRecord<'_>, hash: u32, merged: &mut Vec<u8>) -> Option<()> {
        let (new, start) = (self.rows.len(), self.bytes.len());
        if new >= MOST_ROWS {
            return None;
        }
        let (rows, bytes) = (&self.rows, &self.bytes);
        let wanted = KeyFields::of_record(second.after, &self.key, self.lead);
        let is_it = |row: usize| {
            rows.get(row).is_some_and(|at| {
                KeyFields::new(bytes, *at, &self.key, self.lead, Format::Changeset).compare(wanted) == Ordering::Equal
            })
        };
        let Some((_, row)) = self.index.find_or_insert(hash, new, is_it) else {
            append(&self.key, None, second, &mut self.bytes);
            self.rows.push(start);
            self.index.add_to(&mut self.filter, hash);
            return Some(());
        };
        let at = self.start_of(row)?;
        let Some(first) = self.at(at).filter(|first| !(first.operation == Operation::Delete && first.indirect)) else {
            return Some(());
        };
        merged.clear();
        append(&self.key, Some(first), second, merged);
        let length = first.after.len().saturating_add(2);
        match self.bytes.get_mut(at..at.saturating_add(length)) {
            Some(old) if old.len() == merged.len() => old.copy_from_slice(merged),
            _ => {
                self.waste = self.waste.saturating_add(length);
                if let Some(place) = self.rows.get_mut(row) {
                    *place = start;
                }
                self.bytes.extend_from_slice(merged);
            }
        }
        if self.waste > LITTLE_WASTE && self.waste > self.bytes.len() / 2 {
            self.compact();
        }
        Some(())
    }

    #[cold]
    fn compact(&mut self) {
        let mut out = Vec::with_capacity(self.bytes.len().saturating_sub(self.waste));
        let mut starts = Vec::with_capacity(self.rows.len());
        for start in &self.rows {
            starts.push(out.len());
            if let Some(record) = self.at(*start) {
                out.extend_from_slice(&[record.operation.to_byte(), record.indirect.into()]);
                out.extend_from_slice(record.after);
            }
        }
        (self.rows, self.bytes, self.waste) = (starts, out, 0);
    }
}

/// Whether a table has as many columns as in rebase data with this key, and the same in its key.
pub(super) fn fits(key: &[u8], header: Header<'_>) -> bool {
    let is_key = |place: &u8| *place != 0;
    key.iter().map(is_key).eq(header.key.iter().map(is_key))
}

/// Appends a resolution as it is kept: the second of a row over the first, if there is one.
fn append(key: &[u8], first: Option<RawRecord<'_>>, second: RawRecord<'_>, out: &mut Vec<u8>) {
    let was_replaced = first.is_some_and(|first| first.indirect);
    out.extend_from_slice(&[second.operation.to_byte(), u8::from(second.indirect || was_replaced)]);
    if first.is_none() && !second.indirect {
        out.extend_from_slice(second.after);
        return;
    }
    let (mut under, mut over) = (Cursor::new(first.map_or(&[][..], |first| first.after)), Cursor::new(second.after));
    for place in key {
        let (under, over) = (under.field(), over.field().unwrap_or(&[UNDEFINED]));
        let is_set = under.is_some() || over != [UNDEFINED];
        out.extend_from_slice(match under {
            Some(under) if under == [REPLACED] => under,
            _ if *place == 0 && second.indirect && is_set => &[REPLACED],
            Some(under) if over == [UNDEFINED] => under,
            _ => over,
        });
    }
}
