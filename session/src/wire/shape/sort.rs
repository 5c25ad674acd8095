//! Sorting the changes of each section by key, in the order of the table's index in SQLite.
//!
//! A section is sorted through an index of 16 bytes for each change: the location of the change,
//! and a prefix of its key. Most comparisons need only the prefix. Changes with equal prefixes get
//! a new prefix from the following part of the key, and are sorted again. Leading bytes that all
//! texts or all blobs share are skipped.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::value_order::{
    PREFIX_BYTES, class_rank, compare, has_more_bytes, prefix_of_bytes, prefix_of_integer, prefix_of_real,
};
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::{Header, key_columns};
use crate::wire::codec::kind::{Format, Operation};
#[cfg(feature = "sqlite")]
use crate::wire::codec::record::Record;
#[cfg(feature = "sqlite")]
use crate::wire::codec::section;
use crate::wire::codec::value::Value;
#[cfg(feature = "sqlite")]
use crate::wire::codec::value::{BLOB, INTEGER, TEXT};
use crate::wire::codec::walk::Walker;

/// A prefix of a change's key, and the packed [`Location`] of the change, which makes the sort
/// stable.
type Entry = (u64, u64);

/// The location of a change in its section, packed into 64 bits.
///
/// The upper 48 bits are the start. No address has more bits. The lower 16 bits are the length, or
/// [`Self::LONG`] if the change is longer.
struct Location;

impl Location {
    const BITS: u32 = 16;
    const LONG: u64 = 0xffff;

    fn pack(start: usize, length: usize) -> u64 {
        ((start as u64) << Self::BITS) | (length as u64).min(Self::LONG)
    }

    fn start(location: u64) -> usize {
        usize::try_from(location >> Self::BITS).unwrap_or(usize::MAX)
    }

    /// Returns the length, or `None` if it does not fit into 16 bits.
    fn length(location: u64) -> Option<usize> {
        usize::try_from(location & Self::LONG).ok().filter(|length| *length as u64 != Self::LONG)
    }
}

/// The number of changes up to which keys are compared as a whole.
const FEW: usize = 8;

/// The number of times that a change gets a new prefix. After that, keys are compared as a whole.
/// Untrusted input must not decide the depth of the recursion.
const MAX_DEPTH: usize = 16;

/// The number of changes that are loaded into the cache at once.
pub(crate) const FETCH_COUNT: usize = 64;

/// Sorts the changes of each section of checked bytes.
pub(in crate::wire) fn sort(bytes: &[u8], format: Format) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = Cursor::new(bytes);
    let mut index = Vec::new();
    loop {
        let start = rest;
        let Some((section, head)) = Section::read(&mut rest, format, &mut index) else { break };
        out.extend_from_slice(start.rest().get(..head).unwrap_or_default());
        section.sort(&mut index);
        section.write(&index, &mut out);
    }
    out
}

/// A section whose changes can be sorted.
#[cfg(feature = "sqlite")]
pub(crate) struct SortedSection<'a> {
    section: Section<'a>,
    /// The offset of the changes in the set.
    offset: usize,
    index: Vec<Entry>,
}

/// A set of storage classes, with a bit for each code.
#[cfg(feature = "sqlite")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyClasses(u8);

#[cfg(feature = "sqlite")]
impl KeyClasses {
    pub(crate) const INTEGERS: Self = Self::of(INTEGER);
    pub(crate) const TEXTS: Self = Self::of(TEXT);
    pub(crate) const BLOBS: Self = Self::of(BLOB);

    const fn of(code: u8) -> Self {
        Self(if code < 8 { 1 << code } else { 0 })
    }
}

#[cfg(feature = "sqlite")]
impl<'a> SortedSection<'a> {
    /// Finds the changes of a section.
    pub(crate) fn new(section: &section::Section<'a>) -> Self {
        let offset = section.total.saturating_sub(section.rest.remaining());
        let (mut rest, mut index) = (section.rest, Vec::new());
        let section = Section::read_changes(section.header, &mut rest, section.format, &mut index);
        Self { section, offset, index }
    }

    /// Returns the number of changes.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Returns the storage classes of the values in each key column, in the order of the table.
    pub(crate) fn key_classes(&self) -> Vec<KeyClasses> {
        let section = &self.section;
        let mut classes: Vec<KeyClasses> = key_columns(section.header.key).map(|_| KeyClasses(0)).collect();
        for (_, location) in &self.index {
            let (mut record, is_key_alone) = section.key_record(*location);
            let mut seen = classes.iter_mut();
            for ordinal in section.header.key {
                let class = record.peek().unwrap_or_default();
                if (*ordinal != 0 || !is_key_alone) && record.skip_values(1).is_none() {
                    break;
                }
                if *ordinal != 0 {
                    if let Some(seen) = seen.next() {
                        seen.0 |= KeyClasses::of(class).0;
                    }
                }
            }
        }
        classes
    }

    /// Sorts the changes by their keys.
    pub(crate) fn sort(&mut self) {
        self.section.sort(&mut self.index);
    }

    /// Returns the change at a position in the order.
    pub(crate) fn record(&self, at: usize) -> Option<Record<'a>> {
        let Section { header, format, .. } = self.section;
        let (_, location) = self.index.get(at)?;
        let raw = Walker::at(self.section.change(*location), format).record(header)?;
        Some(Record::new(header, format, raw, self.offset.saturating_add(Location::start(*location))))
    }

    /// Loads the changes at some positions in the order into the cache.
    pub(crate) fn fetch(&self, positions: impl Iterator<Item = usize>) {
        self.section.fetch(positions.filter_map(|at| self.index.get(at)));
    }
}

/// A section of checked bytes.
struct Section<'a> {
    header: Header<'a>,
    format: Format,
    /// The bytes after the header.
    changes: &'a [u8],
}

impl<'a> Section<'a> {
    /// Reads a section, and the locations of its changes into `index`. Also returns the length of
    /// the header.
    fn read(rest: &mut Cursor<'a>, format: Format, index: &mut Vec<Entry>) -> Option<(Self, usize)> {
        index.clear();
        let mut walk = Walker::at(*rest, format);
        let header = walk.header()?;
        let head = walk.position().since(*rest).len();
        *rest = walk.position();
        Some((Self::read_changes(header, rest, format, index), head))
    }

    /// Reads the locations of a section's changes into `index`.
    fn read_changes(header: Header<'a>, rest: &mut Cursor<'a>, format: Format, index: &mut Vec<Entry>) -> Self {
        let changes = *rest;
        let mut walk = Walker::at(changes, format);
        while walk.is_at_record() {
            let change = walk.position();
            if walk.record(header).is_none() {
                break; // unreachable with checked bytes
            }
            index.push((0, Location::pack(change.since(changes).len(), walk.position().since(change).len())));
        }
        *rest = walk.position();
        Self { header, format, changes: rest.since(changes) }
    }

    fn sort(&self, index: &mut [Entry]) {
        let mut order: Vec<(usize, usize)> = key_columns(self.header.key).enumerate().collect();
        // stable: columns with equal ordinals stay in order
        order.sort_by_key(|(_, column)| self.header.key.get(*column));
        Sorter { section: self, order, one: Vec::new(), other: Vec::new() }.sort(index, 0, 0, 0);
    }

    fn write(&self, index: &[Entry], out: &mut Vec<u8>) {
        for (at, (_, location)) in index.iter().enumerate() {
            if at % FETCH_COUNT == 0 {
                self.fetch(index.iter().skip(at).take(FETCH_COUNT));
            }
            out.extend_from_slice(self.whole(*location));
        }
    }

    /// Loads changes at scattered locations into the cache. Reads a byte at both ends of each
    /// change, so that the processor waits for all of them at once.
    #[inline]
    fn fetch<'i>(&self, entries: impl Iterator<Item = &'i Entry>) {
        let ends = entries.map(|(_, location)| {
            let start = Location::start(*location);
            let end = start.saturating_add(Location::length(*location).unwrap_or(0)).saturating_sub(1);
            let byte = |at: usize| self.changes.get(at).copied().unwrap_or(0);
            byte(start) ^ byte(end)
        });
        core::hint::black_box(ends.fold(0, |all, ends| all ^ ends));
    }

    /// Returns a cursor at the start of a change.
    #[inline]
    fn change(&self, location: u64) -> Cursor<'a> {
        Cursor::new(self.changes.get(Location::start(location)..).unwrap_or_default())
    }

    /// Returns the bytes of a change.
    #[inline]
    fn whole(&self, location: u64) -> &'a [u8] {
        let change = self.change(location);
        match Location::length(location) {
            Some(length) => change.rest().get(..length).unwrap_or_default(),
            None => {
                let mut walk = Walker::at(change, self.format);
                walk.record(self.header);
                walk.position().since(change)
            }
        }
    }

    /// Returns the record that contains the key of a change, and whether it contains nothing else.
    #[inline]
    fn key_record(&self, location: u64) -> (Cursor<'a>, bool) {
        let mut record = self.change(location);
        let operation = record.byte();
        record.byte(); // indirect flag
        let is_delete = operation == Some(Operation::Delete.to_byte());
        (record, is_delete && self.format == Format::Patchset)
    }

    /// Returns the value of a key column, given by its positions in the key and in the row.
    #[inline]
    fn value(&self, location: u64, (in_key, in_row): (usize, usize)) -> Value<'a> {
        let (mut record, is_key_alone) = self.key_record(location);
        let passed = record.skip_values(if is_key_alone { in_key } else { in_row });
        passed.and_then(|()| record.value()).unwrap_or(Value::Null)
    }

    /// Reads the values of the key into `values`, in the order of the columns.
    fn key(&self, location: u64, values: &mut Vec<Value<'a>>) {
        let (mut record, is_key_alone) = self.key_record(location);
        values.clear();
        for ordinal in self.header.key {
            if *ordinal != 0 {
                values.push(record.value().unwrap_or(Value::Null));
            } else if !is_key_alone {
                record.skip_values(1);
            }
        }
    }
}

/// What the prefixes of a run of changes consist of.
#[derive(Clone, Copy, PartialEq)]
enum PrefixKind {
    /// All values are integers, or all are reals. Values with equal prefixes are equal.
    Whole,
    /// Integers and reals, rounded to reals.
    Rounded,
    /// The [`PREFIX_BYTES`] bytes of texts or blobs that follow this number of shared bytes.
    Bytes(usize),
    /// The class of each value.
    Class,
}

/// Sorts the index of a section.
struct Sorter<'s, 'a> {
    section: &'s Section<'a>,
    /// The positions of the key columns in the key and in the row, most significant column first.
    order: Vec<(usize, usize)>,
    one: Vec<Value<'a>>,
    other: Vec<Value<'a>>,
}

impl Sorter<'_, '_> {
    /// Sorts changes whose keys are equal in the first `columns` columns and in the first `bytes`
    /// bytes of the next column.
    fn sort(&mut self, run: &mut [Entry], columns: usize, bytes: usize, depth: usize) {
        let Some(&column) = self.order.get(columns) else {
            return; // all keys are equal, and in order
        };
        if run.len() <= FEW || depth >= MAX_DEPTH {
            return self.compare_all(run, columns);
        }
        let kind = self.set_prefixes(run, column, bytes);
        run.sort_unstable();
        for equal in run.chunk_by_mut(|one, other| one.0 == other.0) {
            let [(prefix, _), _, ..] = *equal else { continue };
            let deeper = depth.saturating_add(1);
            match kind {
                PrefixKind::Rounded => self.compare_all(equal, columns),
                PrefixKind::Class => self.sort(equal, columns, bytes, deeper),
                PrefixKind::Bytes(common) if has_more_bytes(prefix) => {
                    self.sort(equal, columns, bytes.saturating_add(common).saturating_add(PREFIX_BYTES), deeper);
                }
                PrefixKind::Bytes(_) | PrefixKind::Whole => self.sort(equal, columns.saturating_add(1), 0, deeper),
            }
        }
    }

    /// Sets the prefixes to those of the values in one column, from byte `from` on.
    fn set_prefixes(&self, run: &mut [Entry], column: (usize, usize), from: usize) -> PrefixKind {
        let mut types = [false; 5];
        let mut first: Option<&[u8]> = None;
        let mut common = usize::MAX;
        for (prefix, location) in run.iter_mut() {
            let value = self.section.value(*location, column);
            let seen = match value {
                Value::Null => 0,
                Value::Integer(_) => 1,
                Value::Real(_) => 2,
                Value::Text(_) => 3,
                Value::Blob(_) => 4,
            };
            if let Some(seen) = types.get_mut(seen) {
                *seen = true;
            }
            *prefix = match value {
                Value::Null => 0,
                Value::Integer(integer) => prefix_of_integer(integer),
                Value::Real(real) => prefix_of_real(real),
                Value::Text(bytes) | Value::Blob(bytes) => {
                    let bytes = bytes.get(from..).unwrap_or_default();
                    let first = *first.get_or_insert(bytes);
                    if common > 0 {
                        common = first.iter().zip(bytes).take(common).take_while(|(one, other)| one == other).count();
                    }
                    prefix_of_bytes(bytes)
                }
            };
        }
        let (kind, prefix_of): (PrefixKind, fn(Value<'_>, usize) -> u64) = match types {
            [false, _, false, false, false] | [false, false, _, false, false] => return PrefixKind::Whole,
            [false, false, false, _, false] | [false, false, false, false, _] if common == 0 => {
                return PrefixKind::Bytes(0);
            }
            [false, false, false, _, false] | [false, false, false, false, _] => {
                (PrefixKind::Bytes(common), |value, from| {
                    prefix_of_bytes(value.as_bytes().and_then(|bytes| bytes.get(from..)).unwrap_or_default())
                })
            }
            [false, _, _, false, false] => (PrefixKind::Rounded, |value, _| match value {
                Value::Integer(integer) => prefix_of_real(integer as f64),
                Value::Real(real) => prefix_of_real(real),
                _ => 0,
            }),
            _ => (PrefixKind::Class, |value, _| u64::from(class_rank(value))),
        };
        let from = from.saturating_add(if let PrefixKind::Bytes(common) = kind { common } else { 0 });
        for (prefix, location) in run {
            *prefix = prefix_of(self.section.value(*location, column), from);
        }
        kind
    }

    /// Sorts changes whose keys are equal in the first `columns` columns, by comparing the other
    /// columns.
    fn compare_all(&mut self, run: &mut [Entry], columns: usize) {
        let Self { section, order, one, other } = self;
        run.sort_unstable_by(|(_, first), (_, second)| {
            section.key(*first, one);
            section.key(*second, other);
            for (in_key, _) in order.iter().skip(columns) {
                if let (Some(one), Some(other)) = (one.get(*in_key), other.get(*in_key)) {
                    match compare(*one, *other) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    }
                }
            }
            first.cmp(second)
        });
    }
}
