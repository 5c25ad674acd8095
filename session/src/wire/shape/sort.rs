//! The changes of each section in the order of their keys, as an index of the table in SQLite has them.
//!
//! A section is sorted through an index of 16 bytes a change: where the change is, and a number that is made of the start of
//! its key, so that most comparisons look at nothing else. What is still equal then gets a number of what comes next in the
//! key. A start that all texts or all blobs have in common is passed over.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::walk::Walker;
use crate::wire::codec::header::{Header, key_columns};
use crate::wire::codec::kind::{Format, Operation};
#[cfg(feature = "sqlite")]
use crate::wire::codec::record::Record;
use crate::wire::codec::value::Value;
#[cfg(feature = "sqlite")]
use crate::wire::codec::value::{BLOB, INTEGER, TEXT};

/// A number that orders as the keys do, as far as it goes; and the [`Place`] of the change, which keeps the order of equals.
type Entry = (u64, u64);

/// Where in the section a change begins, and in the lowest 16 bits how long it is, unless it is longer than they can say. No
/// address has more than the other 48.
struct Place;

impl Place {
    const BITS: u32 = 16;
    const LONG: u64 = 0xffff;

    fn of(start: usize, length: usize) -> u64 {
        ((start as u64) << Self::BITS) | (length as u64).min(Self::LONG)
    }

    fn start(place: u64) -> usize {
        usize::try_from(place >> Self::BITS).unwrap_or(usize::MAX)
    }

    /// If it is short enough to be known.
    fn length(place: u64) -> Option<usize> {
        usize::try_from(place & Self::LONG).ok().filter(|length| *length as u64 != Self::LONG)
    }
}

/// So few are sorted by comparing them.
const FEW: usize = 8;

/// So many times numbers are made of the same changes, then they are compared: bytes from strangers must not decide how often.
const DEEPEST: usize = 16;

/// So many changes are fetched from memory at once.
pub(crate) const TOGETHER: usize = 64;

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

/// The sections of checked bytes, each with the places of its changes.
#[cfg(feature = "sqlite")]
pub(crate) struct SortableSections<'a> {
    all: &'a [u8],
    rest: Cursor<'a>,
    format: Format,
}

#[cfg(feature = "sqlite")]
impl<'a> SortableSections<'a> {
    pub(crate) fn new(bytes: &'a [u8], format: Format) -> Self {
        Self { all: bytes, rest: Cursor::new(bytes), format }
    }

    /// Goes to the next section, whose memory is that of the last one.
    pub(crate) fn advance(&mut self, last: Option<SortedSection<'a>>) -> Option<SortedSection<'a>> {
        let mut index = last.map(|last| last.index).unwrap_or_default();
        let offset = self.all.len().saturating_sub(self.rest.remaining());
        let (section, head) = Section::read(&mut self.rest, self.format, &mut index)?;
        Some(SortedSection { section, offset: offset.saturating_add(head), index })
    }
}

/// The changes of a section, which can be sorted.
#[cfg(feature = "sqlite")]
pub(crate) struct SortedSection<'a> {
    section: Section<'a>,
    /// Where the changes begin.
    offset: usize,
    index: Vec<Entry>,
}

/// Storage classes: a bit for each of their codes.
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
    pub(crate) fn table(&self) -> &'a str {
        self.section.header.name
    }

    /// How many changes there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Of which classes the values of the key are: for each of its columns, in the table's order.
    pub(crate) fn key_classes(&self) -> Vec<KeyClasses> {
        let section = &self.section;
        let mut classes: Vec<KeyClasses> = key_columns(section.header.key).map(|_| KeyClasses(0)).collect();
        for (_, place) in &self.index {
            let (mut record, is_key_alone) = section.key_record(*place);
            let mut seen = classes.iter_mut();
            for place in section.header.key {
                let class = record.peek().unwrap_or_default();
                if (*place != 0 || !is_key_alone) && record.pass_values(1).is_none() {
                    break;
                }
                if *place != 0 {
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

    /// A change, by its place in the order.
    pub(crate) fn record(&self, at: usize) -> Option<Record<'a>> {
        let Section { header, format, .. } = self.section;
        let (_, place) = self.index.get(at)?;
        let raw = Walker::at(self.section.change(*place), format).record(header)?;
        Some(Record::new(header, format, raw, self.offset.saturating_add(Place::start(*place))))
    }

    /// Appends what the section begins with.
    pub(crate) fn write_header(&self, out: &mut Vec<u8>) {
        self.section.header.write(self.section.format, out);
    }

    /// The bytes of a change, by its place in the order.
    #[inline]
    pub(crate) fn change(&self, at: usize) -> Option<&'a [u8]> {
        self.index.get(at).map(|(_, place)| self.section.whole(*place))
    }

    /// Has some changes in the cache, by their places in the order.
    pub(crate) fn fetch(&self, places: impl Iterator<Item = usize>) {
        self.section.fetch(places.filter_map(|at| self.index.get(at)));
    }
}

#[cfg(feature = "sqlite")]
impl Record<'_> {
    /// Whether the key is above that of another change of the same section.
    pub(crate) fn is_above(&self, other: &Record<'_>) -> bool {
        fn key<'a>(record: &Record<'a>) -> Vec<Value<'a>> {
            record.key_values().collect()
        }
        if let (&[place, ..], Some(one), Some(other)) =
            (self.key_ordinals(), self.key_values().next(), other.key_values().next())
        {
            // the first column is most often the first of the key, and different
            if place == 1 && compare(one, other).is_ne() {
                return compare(one, other).is_gt();
            }
        }
        let mut order: Vec<(u8, usize)> =
            self.key_columns().filter_map(|column| self.key_ordinals().get(column).copied()).zip(0..).collect();
        order.sort_unstable();
        let (one, other) = (key(self), key(other));
        let pairs = order.iter().filter_map(|(_, at)| one.get(*at).zip(other.get(*at)));
        pairs.map(|(one, other)| compare(*one, *other)).find(|order| order.is_ne()).is_some_and(Ordering::is_gt)
    }
}

struct Section<'a> {
    header: Header<'a>,
    format: Format,
    /// The bytes after the header.
    changes: &'a [u8],
}

impl<'a> Section<'a> {
    /// Reads a section, and where its changes are. Gives the length of its header too.
    fn read(rest: &mut Cursor<'a>, format: Format, index: &mut Vec<Entry>) -> Option<(Self, usize)> {
        index.clear();
        let mut walk = Walker::at(*rest, format);
        let header = walk.header()?;
        let head = walk.position().since(*rest).len();
        let changes = walk.position();
        while walk.is_at_record() {
            let change = walk.position();
            walk.record(header)?;
            index.push((0, Place::of(change.since(changes).len(), walk.position().since(change).len())));
        }
        *rest = walk.position();
        Some((Self { header, format, changes: rest.since(changes) }, head))
    }

    fn sort(&self, index: &mut [Entry]) {
        let mut order: Vec<(usize, usize)> = key_columns(self.header.key).enumerate().collect();
        // stable: where places are equal, the columns' order stays
        order.sort_by_key(|(_, column)| self.header.key.get(*column));
        Sorter { section: self, order, one: Vec::new(), other: Vec::new() }.sort(index, 0, 0, 0);
    }

    fn write(&self, index: &[Entry], out: &mut Vec<u8>) {
        for (at, (_, place)) in index.iter().enumerate() {
            if at % TOGETHER == 0 {
                self.fetch(index.iter().skip(at).take(TOGETHER));
            }
            out.extend_from_slice(self.whole(*place));
        }
    }

    /// Reads a byte at both ends of each change, which stand anywhere in memory: so none waits for another to come from there.
    #[inline]
    fn fetch<'i>(&self, entries: impl Iterator<Item = &'i Entry>) {
        let ends = entries.map(|(_, place)| {
            let start = Place::start(*place);
            let end = start.saturating_add(Place::length(*place).unwrap_or(0)).saturating_sub(1);
            let byte = |at: usize| self.changes.get(at).copied().unwrap_or(0);
            byte(start) ^ byte(end)
        });
        core::hint::black_box(ends.fold(0, |all, ends| all ^ ends));
    }

    /// From where a change begins.
    #[inline]
    fn change(&self, place: u64) -> Cursor<'a> {
        Cursor::new(self.changes.get(Place::start(place)..).unwrap_or_default())
    }

    /// The bytes of a change.
    #[inline]
    fn whole(&self, place: u64) -> &'a [u8] {
        let change = self.change(place);
        match Place::length(place) {
            Some(length) => change.rest().get(..length).unwrap_or_default(),
            None => {
                let mut walk = Walker::at(change, self.format);
                walk.record(self.header);
                walk.position().since(change)
            }
        }
    }

    /// The record that has the key of a change, and whether it has nothing else.
    #[inline]
    fn key_record(&self, place: u64) -> (Cursor<'a>, bool) {
        let mut record = self.change(place);
        let operation = record.byte();
        record.byte(); // indirect flag
        let is_delete = operation == Some(Operation::Delete.to_byte());
        (record, is_delete && self.format == Format::Patchset)
    }

    /// The value of one of the key's columns.
    #[inline]
    fn value(&self, place: u64, (in_key, in_row): (usize, usize)) -> Value<'a> {
        let (mut record, is_key_alone) = self.key_record(place);
        let passed = record.pass_values(if is_key_alone { in_key } else { in_row });
        passed.and_then(|()| record.value()).unwrap_or(Value::Null)
    }

    /// The values of the key, in the order of the columns.
    fn key(&self, place: u64, values: &mut Vec<Value<'a>>) {
        let (mut record, is_key_alone) = self.key_record(place);
        values.clear();
        for place in self.header.key {
            if *place != 0 {
                values.push(record.value().unwrap_or(Value::Null));
            } else if !is_key_alone {
                record.pass_values(1);
            }
        }
    }
}

/// What the numbers of a run of changes are made of.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    /// Of a whole integer or real: equals are equal.
    Whole,
    /// Of integers and reals as reals, which is not exact.
    Rounded,
    /// Of seven bytes of text or of a blob, behind so many that all have in common.
    Bytes(usize),
    /// Of what kind of value it is.
    Rank,
}

struct Sorter<'s, 'a> {
    section: &'s Section<'a>,
    /// The columns of the key, most significant first: their places among its values and in a row.
    order: Vec<(usize, usize)>,
    one: Vec<Value<'a>>,
    other: Vec<Value<'a>>,
}

impl Sorter<'_, '_> {
    /// Sorts changes whose keys are equal in so many columns, and in so many bytes of the next.
    fn sort(&mut self, run: &mut [Entry], columns: usize, bytes: usize, depth: usize) {
        let Some(&column) = self.order.get(columns) else {
            return; // they are equal, and in order
        };
        if run.len() <= FEW || depth >= DEEPEST {
            return self.compare_all(run, columns);
        }
        let made = self.number(run, column, bytes);
        run.sort_unstable();
        for equal in run.chunk_by_mut(|one, other| one.0 == other.0) {
            let [(number, _), _, ..] = *equal else { continue };
            let deeper = depth.saturating_add(1);
            match made {
                Made::Rounded => self.compare_all(equal, columns),
                Made::Rank => self.sort(equal, columns, bytes, deeper),
                Made::Bytes(common) if has_more(number) => {
                    self.sort(equal, columns, bytes.saturating_add(common).saturating_add(CHUNK), deeper);
                }
                Made::Bytes(_) | Made::Whole => self.sort(equal, columns.saturating_add(1), 0, deeper),
            }
        }
    }

    /// Makes the numbers, of the values of one column from this byte on.
    fn number(&self, run: &mut [Entry], column: (usize, usize), from: usize) -> Made {
        let mut ranks = [false; 5];
        let mut first: Option<&[u8]> = None;
        let mut common = usize::MAX;
        for (number, place) in run.iter_mut() {
            let value = self.section.value(*place, column);
            let seen = match value {
                Value::Null => 0,
                Value::Integer(_) => 1,
                Value::Real(_) => 2,
                Value::Text(_) => 3,
                Value::Blob(_) => 4,
            };
            if let Some(seen) = ranks.get_mut(seen) {
                *seen = true;
            }
            *number = match value {
                Value::Null => 0,
                Value::Integer(integer) => number_of_integer(integer),
                Value::Real(real) => number_of_real(real),
                Value::Text(bytes) | Value::Blob(bytes) => {
                    let bytes = bytes.get(from..).unwrap_or_default();
                    let first = *first.get_or_insert(bytes);
                    if common > 0 {
                        common = first.iter().zip(bytes).take(common).take_while(|(one, other)| one == other).count();
                    }
                    number_of_bytes(bytes)
                }
            };
        }
        let (made, anew): (Made, fn(Value<'_>, usize) -> u64) = match ranks {
            [false, _, false, false, false] | [false, false, _, false, false] => return Made::Whole,
            [false, false, false, _, false] | [false, false, false, false, _] if common == 0 => return Made::Bytes(0),
            [false, false, false, _, false] | [false, false, false, false, _] => {
                (Made::Bytes(common), |value, from| {
                    number_of_bytes(value.as_bytes().and_then(|bytes| bytes.get(from..)).unwrap_or_default())
                })
            }
            [false, _, _, false, false] => (Made::Rounded, |value, _| match value {
                Value::Integer(integer) => number_of_real(integer as f64),
                Value::Real(real) => number_of_real(real),
                _ => 0,
            }),
            _ => (Made::Rank, |value, _| u64::from(rank(value))),
        };
        let from = from.saturating_add(if let Made::Bytes(common) = made { common } else { 0 });
        for (number, place) in run {
            *number = anew(self.section.value(*place, column), from);
        }
        made
    }

    /// Sorts changes whose keys are equal in so many columns by comparing the others.
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

/// How many bytes a number is made of. Its lowest byte says how many there were, so that `a` comes before `a\0`.
const CHUNK: usize = 7;

#[inline]
fn number_of_bytes(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk::<8>() {
        return (u64::from_be_bytes(*eight) & !0xff) | 8;
    }
    let mut eight = [0; 8];
    eight.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(eight) | bytes.len() as u64
}

/// Whether there are bytes behind those that the number is made of.
fn has_more(number: u64) -> bool {
    number & 0xff == 8
}

#[inline]
fn number_of_integer(integer: i64) -> u64 {
    (integer as u64) ^ (1 << 63)
}

#[inline]
fn number_of_real(real: f64) -> u64 {
    // -0.0 is equal to 0.0
    let bits = if real == 0.0 { 0 } else { real.to_bits() };
    if bits >> 63 == 0 { bits | (1 << 63) } else { !bits }
}

/// Numbers come before text, and text before blobs.
fn rank(value: Value<'_>) -> u8 {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    }
}

/// Compares two values as SQLite does with the collation BINARY.
fn compare(one: Value<'_>, other: Value<'_>) -> Ordering {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(&other),
        (Value::Real(one), Value::Real(other)) => number_of_real(one).cmp(&number_of_real(other)),
        (Value::Integer(one), Value::Real(other)) => compare_mixed(one, other),
        (Value::Real(one), Value::Integer(other)) => compare_mixed(other, one).reverse(),
        (Value::Text(one), Value::Text(other)) | (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)),
    }
}

/// Exactly: neither of the two types has all numbers of the other.
fn compare_mixed(integer: i64, real: f64) -> Ordering {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if real >= END {
        return Ordering::Less;
    }
    if real < -END {
        return Ordering::Greater;
    }
    let whole = real as i64;
    // where the whole parts are the same, the fraction decides
    integer.cmp(&whole).then_with(|| number_of_real(whole as f64).cmp(&number_of_real(real)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_reals_compare_exactly() {
        use Ordering::{Equal, Greater, Less};
        for (integer, real, expected) in [
            (1, 1.0, Equal),
            (1, 1.5, Less),
            (-1, -1.5, Greater),
            (0, -0.0, Equal),
            (0, -0.5, Greater),
            (i64::MAX, 9_223_372_036_854_775_808.0, Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Equal),
            ((1 << 53) + 1, 9_007_199_254_740_992.0, Greater),
            (i64::MIN, f64::NEG_INFINITY, Greater),
            (i64::MAX, f64::INFINITY, Less),
        ] {
            assert_eq!(compare(Value::Integer(integer), Value::Real(real)), expected, "{integer} {real}");
            assert_eq!(compare(Value::Real(real), Value::Integer(integer)), expected.reverse(), "{integer} {real}");
        }
    }

    #[test]
    fn numbers_order_as_the_values_do() {
        let reals = [f64::NEG_INFINITY, -2.0, -0.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, 1e300, f64::INFINITY];
        assert!(reals.windows(2).all(|pair| number_of_real(pair[0]) < number_of_real(pair[1])));
        assert_eq!(number_of_real(-0.0), number_of_real(0.0));
        let texts = ["", "\0", "\0\0", "a", "a\0", "aaaaaa", "aaaaaaa", "aaaaaaab", "b"];
        assert!(
            texts.windows(2).all(|pair| { number_of_bytes(pair[0].as_bytes()) < number_of_bytes(pair[1].as_bytes()) })
        );
        assert!(number_of_integer(i64::MIN) < number_of_integer(-1) && number_of_integer(-1) < number_of_integer(0));
    }
}
