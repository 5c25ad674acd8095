//! The order of the changes of a section, by which two sections are merged without looking up keys.
//!
//! SQLite's sessions and changegroups write the changes of a table in the order of their hash
//! table: by the bucket, which is the lower bits of a hash of the key. Changes that were added in
//! the order of an integer key have the order of that key. In both cases each change has a
//! [rank](Order::rank), which depends on its key alone and never decreases from one change to the
//! next. Equal keys have equal ranks. So the changes to a row are close to each other in one
//! section, and have the same rank in two.
//!
//! [`orders_of`] guesses the order of a section from its first changes. [`OrderedRecords`] verifies
//! it while it reads, and fails at the first change out of order. Concatenation and the merge
//! matcher of the rebaser call it.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::key::{KeyFields, key_span};
use super::merge::sets_anything;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::{BLOB, INTEGER, REAL, TEXT};
use crate::wire::codec::walk::Walker;

/// An order of changes by their keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::wire) enum Order {
    /// By the integer that is the whole primary key, in the first column.
    Integer,
    /// By the bits of SQLite's hash that this mask selects.
    Buckets(u32),
}

/// The number of changes that are fetched into the cache at once.
const BATCH: usize = 64;

/// The distance of the two bytes of a change that are read to fetch it.
const CACHE_LINE: usize = 64;

/// The error of input that has no order, or that is unusual in another way: the caller must take
/// the general path.
#[derive(Debug)]
pub(in crate::wire) struct NeedsFallback;

impl Order {
    /// Returns the rank of the change that begins at `change`.
    ///
    /// # Errors
    ///
    /// Fails if the order is that of an integer key and the key is not an integer.
    #[inline(always)]
    pub(in crate::wire) fn rank(self, change: Cursor<'_>, table: KeyedTable<'_>) -> Result<u64, NeedsFallback> {
        match (self, table.integer(change)) {
            (Self::Integer, Some(integer)) => Ok(integer.wrapping_add(1 << 63)),
            (Self::Integer, None) => Err(NeedsFallback),
            (Self::Buckets(mask), Some(integer)) => Ok(u64::from(hash_integer(integer) & mask)),
            (Self::Buckets(mask), None) => Ok(u64::from(hash(table.key(change)) & mask)),
        }
    }
}

/// A table with what is needed to find the keys of its changes.
#[derive(Clone, Copy)]
pub(in crate::wire) struct KeyedTable<'a> {
    pub(in crate::wire) header: Header<'a>,
    pub(in crate::wire) format: Format,
    /// See [`key_span`](fn@key_span).
    key_span: usize,
    /// The number of columns of the primary key.
    key_columns: usize,
}

impl<'a> KeyedTable<'a> {
    pub(in crate::wire) fn new(header: Header<'a>, format: Format) -> Self {
        let key_columns = header.key.iter().filter(|ordinal| **ordinal != 0).count();
        Self { header, format, key_span: key_span(header.key), key_columns }
    }

    /// Returns the key of the change that begins at `change`.
    #[inline(always)]
    pub(in crate::wire) fn key(self, change: Cursor<'a>) -> KeyFields<'a> {
        KeyFields::new(change.rest(), 0, self.header.key, self.key_span, self.format)
    }

    /// Returns the key of the change that begins at `change`, if it is an integer in the first
    /// column.
    #[inline(always)]
    fn integer(self, change: Cursor<'_>) -> Option<u64> {
        match change.rest().first_chunk::<11>() {
            Some([_, _, INTEGER, integer @ ..]) if self.key_span == 1 => Some(u64::from_be_bytes(*integer)),
            _ => None,
        }
    }

    /// Returns whether two changes concern the same row.
    #[inline(always)]
    pub(in crate::wire) fn is_same_row(self, one: Cursor<'a>, other: Cursor<'a>) -> bool {
        match (self.integer(one), self.integer(other)) {
            (Some(one), Some(other)) => one == other,
            _ => self.key(one).compare(self.key(other)) == Ordering::Equal,
        }
    }
}

/// Continues a hash: `HASH_APPEND` in sqlite3session.c.
#[inline(always)]
fn append(hash: u32, add: u32) -> u32 {
    (hash << 3) ^ hash ^ add
}

#[inline(always)]
fn append_eight(hash: u32, eight: u64) -> u32 {
    append(append(hash, eight as u32), (eight >> 32) as u32)
}

#[inline(always)]
fn hash_integer(integer: u64) -> u32 {
    append_eight(append(0, INTEGER.into()), integer)
}

/// Returns all bits of SQLite's hash of a key: `sessionChangeHash` in sqlite3session.c.
fn hash(key: KeyFields<'_>) -> u32 {
    key.fold(0, |hash, field| {
        let mut field = Cursor::new(field);
        let class = field.byte().unwrap_or_default();
        let hash = append(hash, class.into());
        match class {
            INTEGER | REAL => append_eight(hash, field.eight().map_or(0, u64::from_be_bytes)),
            TEXT | BLOB => {
                field.varint();
                field.rest().iter().fold(hash, |hash, byte| append(hash, (*byte).into()))
            }
            _ => hash,
        }
    })
}

/// A set of orders: a bit for each number of bits of the hash, and a bit for integer keys.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Orders(u64);

const BY_INTEGER: u64 = 1 << 33;

impl Orders {
    /// Returns the finest order that both sets contain.
    pub(in crate::wire) fn common(self, other: Self) -> Option<Order> {
        Self(self.0 & other.0).finest()
    }

    /// Returns the order that distinguishes most changes.
    pub(in crate::wire) fn finest(self) -> Option<Order> {
        if self.0 & BY_INTEGER != 0 {
            return Some(Order::Integer);
        }
        let bits = self.0.checked_ilog2()?;
        Some(Order::Buckets(u32::MAX.checked_shr(32u32.saturating_sub(bits)).unwrap_or(0)))
    }
}

/// Returns the orders that the changes from `changes` on can have, judged by the first of them.
///
/// If the section is longer, its first changes also appear to be in the order of fewer bits,
/// because they are all in the first buckets. So the largest possible number of bits is returned.
pub(in crate::wire) fn orders_of(table: KeyedTable<'_>, changes: Cursor<'_>) -> Orders {
    /// The number of changes that are examined.
    const FIRST: usize = 1024;
    /// The smallest number of bits: for fewer buckets, merging by order is not worth it.
    const FEWEST_BITS: u32 = 8;
    let mut walk = Walker::at(changes, table.format);
    let (mut orders, mut last) = (BY_INTEGER, None);
    for bits in FEWEST_BITS..=32 {
        orders |= 1 << bits;
    }
    for _ in 0..FIRST {
        let start = walk.position();
        if !walk.is_at_record() || walk.record(table.header).is_none() {
            return Orders(orders);
        }
        let integer = table.integer(start);
        let hash = integer.map_or_else(|| hash(table.key(start)), hash_integer);
        if integer.is_none() {
            orders &= !BY_INTEGER;
        }
        if let Some((last_integer, last_hash)) = last {
            if integer.map(signed) <= last_integer {
                orders &= !BY_INTEGER;
            }
            let mut mask = (1u32 << FEWEST_BITS).wrapping_sub(1);
            for bits in FEWEST_BITS..=32 {
                if hash & mask < last_hash & mask {
                    orders &= !(1 << bits);
                }
                mask = mask << 1 | 1;
            }
        }
        last = Some((integer.map(signed), hash));
    }
    let most_bits = (orders & !BY_INTEGER).checked_ilog2().map_or(0, |bits| 1 << bits);
    Orders(orders & BY_INTEGER | most_bits)
}

fn signed(integer: u64) -> i64 {
    integer as i64
}

/// A change with its position and its rank.
#[derive(Clone, Copy)]
pub(in crate::wire) struct RankedRecord<'a> {
    pub(in crate::wire) start: Cursor<'a>,
    /// The start of its last record.
    last_record: Cursor<'a>,
    pub(in crate::wire) end: Cursor<'a>,
    pub(in crate::wire) rank: u64,
    /// Its number in the section, if the section was [sorted](SortedRecords); otherwise 0.
    pub(in crate::wire) number: u32,
    pub(in crate::wire) operation: Operation,
    pub(in crate::wire) indirect: bool,
}

impl<'a> RankedRecord<'a> {
    #[inline(always)]
    pub(in crate::wire) fn record(&self) -> RawRecord<'a> {
        let mut body = self.start;
        body.byte();
        body.byte();
        let (before, after) = (self.last_record.since(body), self.end.since(self.last_record));
        RawRecord { operation: self.operation, indirect: self.indirect, before, after }
    }

    /// Returns whether the change is an UPDATE that sets no column.
    #[inline]
    pub(in crate::wire) fn sets_nothing(&self, table: KeyedTable<'_>) -> bool {
        self.operation == Operation::Update && !sets_anything(table.header.key, table.format, self.record())
    }
}

/// The changes of a section in an order, at most one for each row.
pub(in crate::wire) trait RankedRecords<'a> {
    /// Returns the current change, or `None` at the end of the section.
    fn current(&self) -> Option<&RankedRecord<'a>>;

    /// Moves to the next change.
    ///
    /// # Errors
    ///
    /// Fails if its row may have had a change before, if its rank is lower than the rank before it,
    /// or if its flag is neither 0 nor 1.
    fn advance(&mut self) -> Result<(), NeedsFallback>;

    /// Returns the end of the section, if all changes have been read.
    fn end(&self) -> Cursor<'a>;
}

/// The changes of a section whose bytes have the order.
pub(in crate::wire) struct OrderedRecords<'a> {
    reader: RankReader<'a>,
    rest: Cursor<'a>,
}

impl<'a> OrderedRecords<'a> {
    /// Starts at the first change.
    ///
    /// # Errors
    ///
    /// The same as [`advance`](RankedRecords::advance).
    pub(in crate::wire) fn new(
        table: KeyedTable<'a>,
        order: Order,
        changes: Cursor<'a>,
    ) -> Result<Self, NeedsFallback> {
        let mut walk = Self { reader: RankReader::new(table, order), rest: changes };
        walk.advance()?;
        Ok(walk)
    }
}

impl<'a> RankedRecords<'a> for OrderedRecords<'a> {
    #[inline(always)]
    fn current(&self) -> Option<&RankedRecord<'a>> {
        self.reader.current()
    }

    #[inline(never)]
    fn advance(&mut self) -> Result<(), NeedsFallback> {
        if let Some(end) = self.reader.read(self.rest, 0)? {
            self.rest = end;
        }
        Ok(())
    }

    fn end(&self) -> Cursor<'a> {
        self.rest
    }
}

/// The changes of a section whose bytes have another order: an index of 16 bytes for each change
/// sorts them.
pub(in crate::wire) struct SortedRecords<'a> {
    reader: RankReader<'a>,
    changes: Cursor<'a>,
    end: Cursor<'a>,
    /// For each change its rank, and its number and offset in the section, 32 bits each.
    index: Vec<(u64, u64)>,
    next: usize,
}

impl<'a> SortedRecords<'a> {
    /// Sorts the section and starts at the first change in the order.
    ///
    /// # Errors
    ///
    /// The same as [`advance`](RankedRecords::advance), and if the section has 4 GiB or more.
    pub(in crate::wire) fn new(
        table: KeyedTable<'a>,
        order: Order,
        changes: Cursor<'a>,
    ) -> Result<Self, NeedsFallback> {
        let (mut index, mut walk) = (Vec::new(), Walker::at(changes, table.format));
        for number in 0u32.. {
            let start = walk.position();
            if !walk.is_at_record() {
                break;
            }
            walk.record(table.header).ok_or(NeedsFallback)?;
            let offset = u32::try_from(start.after(changes)).map_err(|_| NeedsFallback)?;
            index.push((order.rank(start, table)?, u64::from(number) << 32 | u64::from(offset)));
        }
        index.sort_unstable();
        let end = walk.position();
        let mut sorted = Self { reader: RankReader::new(table, order), changes, end, index, next: 0 };
        sorted.advance()?;
        Ok(sorted)
    }

    /// Returns the number of changes.
    pub(in crate::wire) fn len(&self) -> usize {
        self.index.len()
    }

    /// Returns the change of an entry of the index.
    #[inline(always)]
    fn at(&self, (_, number_and_offset): (u64, u64)) -> Cursor<'a> {
        Cursor::new(self.changes.rest().get(number_and_offset as u32 as usize..).unwrap_or_default())
    }

    /// Fetches the next changes into the cache. They are scattered in memory; fetched together,
    /// none waits for another.
    #[inline(never)]
    fn fetch(&self) {
        let next = self.index.get(self.next..).unwrap_or_default().iter().take(BATCH);
        let bytes = next.map(|entry| {
            let byte = |at: usize| self.at(*entry).rest().get(at).copied().unwrap_or(0);
            byte(0) ^ byte(CACHE_LINE)
        });
        core::hint::black_box(bytes.fold(0, |all, byte| all ^ byte));
    }
}

impl<'a> RankedRecords<'a> for SortedRecords<'a> {
    #[inline(always)]
    fn current(&self) -> Option<&RankedRecord<'a>> {
        self.reader.current()
    }

    #[inline(never)]
    fn advance(&mut self) -> Result<(), NeedsFallback> {
        if self.next % BATCH == 0 {
            self.fetch();
        }
        let (start, number) = match self.index.get(self.next) {
            Some(entry) => (self.at(*entry), (entry.1 >> 32) as u32),
            None => (Cursor::new(&[]), 0),
        };
        self.next = self.next.saturating_add(1);
        self.reader.read(start, number).map(|_| ())
    }

    fn end(&self) -> Cursor<'a> {
        self.end
    }
}

/// Reads changes, and verifies that each concerns a new row and that the ranks do not fall.
///
/// The reader keeps the current change in place. Returned by value, each change would be copied.
struct RankReader<'a> {
    table: KeyedTable<'a>,
    order: Order,
    /// The last change that was read. Valid if `has_current`.
    current: RankedRecord<'a>,
    has_current: bool,
    /// The changes that have the same rank as `current`, which is the last of them.
    run: [Cursor<'a>; LONGEST_RUN],
    run_length: usize,
}

/// The largest number of changes with one rank. SQLite's hash tables have about twice as many
/// buckets as changes.
const LONGEST_RUN: usize = 32;

impl<'a> RankReader<'a> {
    fn new(table: KeyedTable<'a>, order: Order) -> Self {
        let nothing = Cursor::new(&[]);
        let current = RankedRecord {
            start: nothing,
            last_record: nothing,
            end: nothing,
            rank: 0,
            number: 0,
            operation: Operation::Insert,
            indirect: false,
        };
        Self { table, order, current, has_current: false, run: [nothing; LONGEST_RUN], run_length: 0 }
    }

    #[inline(always)]
    fn current(&self) -> Option<&RankedRecord<'a>> {
        if self.has_current { Some(&self.current) } else { None }
    }

    /// Reads the change that begins at `start`. Returns its end, or `None` if no change begins
    /// there.
    ///
    /// Does not use a [`Walker`], because this is the innermost loop.
    #[inline(always)]
    fn read(&mut self, start: Cursor<'a>, number: u32) -> Result<Option<Cursor<'a>>, NeedsFallback> {
        let Some(&[operation, flag, ..]) = start.rest().first_chunk::<2>() else {
            self.has_current = false;
            return Ok(None);
        };
        let Some(operation) = Operation::from_byte(operation) else {
            self.has_current = false;
            return Ok(None);
        };
        let mut end = start;
        end.byte();
        end.byte();
        let mut middle = end;
        let columns = self.table.header.key.len();
        match (operation, self.table.format) {
            (Operation::Delete, Format::Patchset) => end.skip_values(self.table.key_columns).ok_or(NeedsFallback)?,
            (Operation::Update, Format::Changeset) => {
                end.skip_values(columns).ok_or(NeedsFallback)?;
                middle = end;
                end.skip_values(columns).ok_or(NeedsFallback)?;
            }
            _ => end.skip_values(columns).ok_or(NeedsFallback)?,
        }
        let rank = self.order.rank(start, self.table)?;
        if flag > 1 || rank < self.current.rank {
            return Err(NeedsFallback);
        }
        if rank != self.current.rank {
            self.run_length = 0;
        } else if self.run_length > 0 {
            self.check_new_row(start)?;
        }
        let slot = self.run.get_mut(self.run_length).ok_or(NeedsFallback)?;
        *slot = start;
        self.run_length = self.run_length.wrapping_add(1);
        self.current = RankedRecord { start, last_record: middle, end, rank, number, operation, indirect: flag != 0 };
        self.has_current = true;
        Ok(Some(end))
    }

    /// Fails if an earlier change of the run concerns the same row.
    #[inline(never)]
    fn check_new_row(&self, change: Cursor<'a>) -> Result<(), NeedsFallback> {
        let run = self.run.get(..self.run_length).unwrap_or_default();
        if run.iter().any(|other| self.table.is_same_row(*other, change)) { Err(NeedsFallback) } else { Ok(()) }
    }
}

/// Returns the bucket of the change that begins at `change`, for a hash table of 2^`bits` buckets.
#[cfg(test)]
pub(in crate::wire) fn bucket_of(table: KeyedTable<'_>, change: Cursor<'_>, bits: u32) -> u32 {
    hash(table.key(change)) & ((1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_sqlite() {
        // computed manually, as in sessionChangeHash: ((h << 3) ^ h) ^ added
        let change = [0x12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 3, 1, b'a'];
        let table = |key| KeyedTable::new(Header { name: "t", key }, Format::Changeset);
        let cursor = Cursor::new(&change);
        let low = 9 ^ 5;
        assert_eq!(bucket_of(table(&[1, 0]), cursor, 31), low << 3 ^ low);
        assert_eq!(hash_integer(5), low << 3 ^ low);
        let text = 3 << 3 ^ 3 ^ u32::from(b'a');
        assert_eq!(bucket_of(table(&[0, 1]), cursor, 31), text);
    }
}
