//! The resolutions of one table: one for each row, merged from all that were added, with an index.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::UNDEFINED;
use crate::wire::group::index::{Filter, Index, MOST_ROWS, Seed};
use crate::wire::group::key::{KeyFields, key_span};

/// The number of changes that are looked up together.
pub(super) const BLOCK: usize = 32;

/// The lookup of a change's resolution.
pub(super) struct Lookup<'a> {
    pub(super) start: Cursor<'a>,
    pub(super) end: Cursor<'a>,
    pub(super) hash: u32,
    pub(super) found: Match,
}

/// What a lookup has found so far.
#[derive(Clone, Copy)]
pub(super) enum Match {
    /// The resolution is that of this row.
    Row(usize),
    /// The resolution is likely that of this row, which has the same hash.
    Likely(usize),
    /// The index has to be searched.
    Unknown,
    /// There is no resolution.
    None,
}

/// The code of a replaced column, which takes the place of its value. No value starts with this
/// byte.
pub(super) const REPLACED: u8 = 0xff;

/// The number of unused bytes above which a table's bytes are compacted, if they are also more than
/// half of all bytes.
const MIN_WASTE: usize = 64 * 1024;

/// The resolutions of one table, at most one for each row.
#[derive(Clone)]
pub(super) struct Resolutions {
    pub(super) name: Box<str>,
    pub(super) key: Box<[u8]>,
    /// The number of columns up to the last column of the key.
    key_span: usize,
    /// For each row the operation, whether it replaced the row, and for each column a value,
    /// `UNDEFINED` or `REPLACED`.
    bytes: Vec<u8>,
    /// The start of each row's resolution in `bytes`.
    pub(super) rows: Vec<usize>,
    index: Index,
    /// A filter of the rows that may have a resolution.
    pub(super) filter: Filter,
    /// The number of unused bytes.
    waste: usize,
}

impl Resolutions {
    pub(super) fn new(header: Header<'_>) -> Self {
        Self {
            name: header.name.into(),
            key: header.key.into(),
            key_span: key_span(header.key),
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

    /// Returns the resolution of a row.
    pub(super) fn of_row(&self, row: usize) -> Option<RawRecord<'_>> {
        self.at(self.start_of(row)?)
    }

    fn at(&self, start: usize) -> Option<RawRecord<'_>> {
        check::read_checked(&mut Cursor::new(self.bytes.get(start..)?), self.header(), Format::Changeset)
    }

    /// Returns the key of a record that has a field for each column.
    #[cfg(feature = "std")]
    pub(super) fn key_of<'a>(&self, record: &'a [u8], key: &'a [u8]) -> KeyFields<'a> {
        KeyFields::of_record(record, key, self.key_span)
    }

    /// Returns the key of a change, from its encoding in a changeset.
    #[inline]
    pub(super) fn key_at<'a>(&self, change: &'a [u8], key: &'a [u8]) -> KeyFields<'a> {
        KeyFields::of_record(change.get(2..).unwrap_or_default(), key, self.key_span)
    }

    /// Returns the start of a row's resolution.
    #[inline]
    pub(super) fn start_of(&self, row: usize) -> Option<usize> {
        self.rows.get(row).copied()
    }

    /// Returns the row with a key.
    #[inline]
    pub(super) fn find(&self, wanted: KeyFields<'_>, hash: u32) -> Option<usize> {
        self.index.find(hash, |row| self.has_key(row, wanted))
    }

    #[inline]
    pub(super) fn has_key(&self, row: usize, wanted: KeyFields<'_>) -> bool {
        self.start_of(row).is_some_and(|at| {
            KeyFields::new(&self.bytes, at, &self.key, self.key_span, Format::Changeset).compare(wanted)
                == Ordering::Equal
        })
    }

    /// Finds likely rows for all lookups with an unknown result, and loads their resolutions into
    /// the cache.
    ///
    /// Each step reads memory for all lookups, so that the processor waits for many cache misses at
    /// once.
    pub(super) fn look_ahead(&self, block: &mut [Lookup<'_>]) {
        for lookup in block.iter_mut() {
            if let Match::Unknown = lookup.found {
                lookup.found = match self.index.first_candidate(lookup.hash) {
                    Some(Some(row)) => Match::Likely(row),
                    Some(None) => Match::Unknown,
                    None => Match::None,
                };
            }
        }
        let bytes = block.iter().filter_map(|lookup| match lookup.found {
            Match::Likely(row) => self.bytes.get(self.start_of(row)?),
            _ => None,
        });
        core::hint::black_box(bytes.fold(0, |sum: u8, byte| sum ^ byte));
    }

    /// Adds resolutions. Returns `None` if the table has too many rows. `merged` is scratch memory.
    pub(super) fn add(&mut self, block: &[RawRecord<'_>], seed: Seed, merged: &mut Vec<u8>) -> Option<()> {
        let mut hashes = [0; BLOCK];
        for (hash, record) in hashes.iter_mut().zip(block) {
            *hash = KeyFields::of_record(record.after, &self.key, self.key_span).hash(seed);
        }
        // loads the index into the cache, as `look_ahead` does
        let guesses = hashes.iter().zip(block).filter_map(|(hash, _)| self.index.first_candidate(*hash)?);
        core::hint::black_box(guesses.fold(0, |sum, row| sum ^ row));
        hashes.iter().zip(block).try_for_each(|(hash, record)| self.add_one(*record, *hash, merged))
    }

    fn add_one(&mut self, second: RawRecord<'_>, hash: u32, merged: &mut Vec<u8>) -> Option<()> {
        let (new, start) = (self.rows.len(), self.bytes.len());
        if new >= MOST_ROWS {
            return None;
        }
        let (rows, bytes) = (&self.rows, &self.bytes);
        let wanted = KeyFields::of_record(second.after, &self.key, self.key_span);
        let has_key = |row: usize| {
            rows.get(row).is_some_and(|at| {
                KeyFields::new(bytes, *at, &self.key, self.key_span, Format::Changeset).compare(wanted)
                    == Ordering::Equal
            })
        };
        let Some((_, row)) = self.index.find_or_insert(hash, new, has_key) else {
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
                if let Some(row_start) = self.rows.get_mut(row) {
                    *row_start = start;
                }
                self.bytes.extend_from_slice(merged);
            }
        }
        if self.waste > MIN_WASTE && self.waste > self.bytes.len() / 2 {
            self.compact();
        }
        Some(())
    }

    /// Removes unused bytes.
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

/// Returns whether a table has the same columns and key columns as rebase data with the key
/// ordinals `key`.
pub(super) fn has_same_columns(key: &[u8], header: Header<'_>) -> bool {
    let is_key = |ordinal: &u8| *ordinal != 0;
    key.iter().map(is_key).eq(header.key.iter().map(is_key))
}

/// Appends a row's merged resolution: `second` over `first`, if the row has one.
fn append(key: &[u8], first: Option<RawRecord<'_>>, second: RawRecord<'_>, out: &mut Vec<u8>) {
    let was_replaced = first.is_some_and(|first| first.indirect);
    out.extend_from_slice(&[second.operation.to_byte(), u8::from(second.indirect || was_replaced)]);
    if first.is_none() && !second.indirect {
        out.extend_from_slice(second.after);
        return;
    }
    let (mut under, mut over) = (Cursor::new(first.map_or(&[][..], |first| first.after)), Cursor::new(second.after));
    for ordinal in key {
        let (under, over) = (under.field(), over.field().unwrap_or(&[UNDEFINED]));
        let is_set = under.is_some() || over != [UNDEFINED];
        out.extend_from_slice(match under {
            Some(under) if under == [REPLACED] => under,
            _ if *ordinal == 0 && second.indirect && is_set => &[REPLACED],
            Some(under) if over == [UNDEFINED] => under,
            _ => over,
        });
    }
}
