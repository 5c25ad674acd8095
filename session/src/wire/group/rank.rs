//! The order in which a table's changes stand, where it shows that no row has two, and lets two inputs be read side by side.
//!
//! SQLite's sessions and changegroups write a table's changes in the order of their hash table: by the bucket, which is the lower
//! bits of a hash of the key. Whoever builds changes in the order of an integer key writes them in that order. Either way each
//! change has a [rank](Order::rank) that is a function of its key alone and never falls from one change to the next. Equal keys
//! have equal ranks, so those of a row are neighbours in one input, and at the same ordinal in two.
//!
//! Whether an input has such an order is guessed by its [first changes](orders_of), and found out on the way: [`OrderedRecords`] ends where
//! it has not.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::key::{KeyFields, key_span};
use super::merge::sets_anything;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::walk::Walker;
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::{BLOB, INTEGER, REAL, TEXT};

/// An order of changes by their keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::wire) enum Order {
    /// By the integer that is the whole key.
    Integer,
    /// By these bits of SQLite's hash.
    Buckets(u32),
}

/// So many changes that stand anywhere in memory are fetched at once, and of each so many bytes from its start.
const TOGETHER: usize = 64;
const CACHE_LINE: usize = 64;

/// There is no such order, or the input is out of the ordinary in another way.
#[derive(Debug)]
pub(in crate::wire) struct NeedsFallback;

impl Order {
    /// The rank of the change that begins there.
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

/// A table, and how to find the key of its changes.
#[derive(Clone, Copy)]
pub(in crate::wire) struct KeyedTable<'a> {
    pub(in crate::wire) header: Header<'a>,
    pub(in crate::wire) format: Format,
    key_span: usize,
    /// How many columns the key has.
    keys: usize,
}

impl<'a> KeyedTable<'a> {
    pub(in crate::wire) fn new(header: Header<'a>, format: Format) -> Self {
        let keys = header.key.iter().filter(|ordinal| **ordinal != 0).count();
        Self { header, format, key_span: key_span(header.key), keys }
    }

    /// The key of the change that begins there.
    #[inline(always)]
    pub(in crate::wire) fn key(self, change: Cursor<'a>) -> KeyFields<'a> {
        KeyFields::new(change.rest(), 0, self.header.key, self.key_span, self.format)
    }

    /// The key of the change that begins there, if it is the first value, and an integer.
    #[inline(always)]
    fn integer(self, change: Cursor<'_>) -> Option<u64> {
        match change.rest().first_chunk::<11>() {
            Some([_, _, INTEGER, integer @ ..]) if self.key_span == 1 => Some(u64::from_be_bytes(*integer)),
            _ => None,
        }
    }

    /// Whether two changes are of one row.
    #[inline(always)]
    pub(in crate::wire) fn is_same_row(self, one: Cursor<'a>, other: Cursor<'a>) -> bool {
        match (self.integer(one), self.integer(other)) {
            (Some(one), Some(other)) => one == other,
            _ => self.key(one).compare(self.key(other)) == Ordering::Equal,
        }
    }
}

/// `HASH_APPEND` in sqlite3session.c.
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

/// `sessionChangeHash` in sqlite3session.c, all bits of it.
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

/// The orders in which some changes stand: a bit for each number of bits of the hash, and one for integers.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Orders(u64);

const BY_INTEGER: u64 = 1 << 33;

impl Orders {
    /// One that two parts have in common.
    pub(in crate::wire) fn common(self, other: Self) -> Option<Order> {
        Self(self.0 & other.0).finest()
    }

    /// The one that tells most changes apart.
    pub(in crate::wire) fn finest(self) -> Option<Order> {
        if self.0 & BY_INTEGER != 0 {
            return Some(Order::Integer);
        }
        let bits = self.0.checked_ilog2()?;
        Some(Order::Buckets(u32::MAX.checked_shr(32u32.saturating_sub(bits)).unwrap_or(0)))
    }
}

/// The orders in which the changes of a section may stand that begin there.
///
/// If there are many, their first ones are too few to tell all bits of the hash. Those of a table with more buckets are in order by
/// fewer bits too, as long as the first buckets last; so then it is the most bits that count.
pub(in crate::wire) fn orders_of(table: KeyedTable<'_>, changes: Cursor<'_>) -> Orders {
    /// So many are looked at.
    const FIRST: usize = 1024;
    /// A table with fewer buckets is not worth it.
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

/// A change, where it stands and by its rank.
#[derive(Clone, Copy)]
pub(in crate::wire) struct RankedRecord<'a> {
    pub(in crate::wire) start: Cursor<'a>,
    /// Where the last of its records begins.
    middle: Cursor<'a>,
    pub(in crate::wire) end: Cursor<'a>,
    pub(in crate::wire) rank: u64,
    /// Its ordinal in the section, where it was [sorted](SortedRecords).
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
        let (before, after) = (self.middle.since(body), self.end.since(self.middle));
        RawRecord { operation: self.operation, indirect: self.indirect, before, after }
    }

    /// Whether it is an UPDATE that sets nothing.
    #[inline]
    pub(in crate::wire) fn sets_nothing(&self, table: KeyedTable<'_>) -> bool {
        self.operation == Operation::Update && !sets_anything(table.header.key, table.format, self.record())
    }
}

/// The changes of a section in an order, of each row one.
pub(in crate::wire) trait RankedRecords<'a> {
    /// The change that was read last, unless all have been read.
    fn current(&self) -> Option<&RankedRecord<'a>>;

    /// Goes on to the next change. There is an error if its row may have had one, its rank is below that of the last one, or its
    /// flag is neither 0 nor 1.
    fn advance(&mut self) -> Result<(), NeedsFallback>;

    /// Where the section ends, when all have been read.
    fn end(&self) -> Cursor<'a>;
}

/// The changes of a section that stand in an order.
pub(in crate::wire) struct OrderedRecords<'a> {
    reader: RankReader<'a>,
    rest: Cursor<'a>,
}

impl<'a> OrderedRecords<'a> {
    /// Begins with the first change. For errors see [`advance`](RankedRecords::advance).
    pub(in crate::wire) fn new(table: KeyedTable<'a>, order: Order, changes: Cursor<'a>) -> Result<Self, NeedsFallback> {
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

/// The changes of a section that stand in another order than is needed: an index of 16 bytes for each brings them into it.
pub(in crate::wire) struct SortedRecords<'a> {
    reader: RankReader<'a>,
    changes: Cursor<'a>,
    end: Cursor<'a>,
    /// The rank of each change, its number in the section and where there it begins, which are 32 bits each.
    index: Vec<(u64, u64)>,
    next: usize,
}

impl<'a> SortedRecords<'a> {
    /// Begins with the first change in the order. For errors see [`advance`](RankedRecords::advance); sections of 4 GiB have none.
    pub(in crate::wire) fn new(table: KeyedTable<'a>, order: Order, changes: Cursor<'a>) -> Result<Self, NeedsFallback> {
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

    /// How many changes there are.
    pub(in crate::wire) fn len(&self) -> usize {
        self.index.len()
    }

    /// The change of an entry of the index.
    #[inline(always)]
    fn at(&self, (_, ordinal): (u64, u64)) -> Cursor<'a> {
        Cursor::new(self.changes.rest().get(ordinal as u32 as usize..).unwrap_or_default())
    }

    /// Has the next changes in the cache: they stand anywhere in memory, and so none waits for another to come from there.
    #[inline(never)]
    fn fetch(&self) {
        let next = self.index.get(self.next..).unwrap_or_default().iter().take(TOGETHER);
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
        if self.next % TOGETHER == 0 {
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

/// Reads changes, and looks whether each has a row of its own and a rank that is not below the last one. What it reads it leaves
/// where it can be asked for: returned, as by [`check::read_checked`], it would be copied for each change.
struct RankReader<'a> {
    table: KeyedTable<'a>,
    order: Order,
    /// The last change that was read, unless there was none.
    current: RankedRecord<'a>,
    is_there: bool,
    /// Those that have the same rank.
    run: [Cursor<'a>; LONGEST_RUN],
    run_length: usize,
}

/// So many changes may have one rank. SQLite gives a table twice as many buckets as it has changes.
const LONGEST_RUN: usize = 32;

impl<'a> RankReader<'a> {
    fn new(table: KeyedTable<'a>, order: Order) -> Self {
        let nothing = Cursor::new(&[]);
        let current = RankedRecord {
            start: nothing,
            middle: nothing,
            end: nothing,
            rank: 0,
            number: 0,
            operation: Operation::Insert,
            indirect: false,
        };
        Self { table, order, current, is_there: false, run: [nothing; LONGEST_RUN], run_length: 0 }
    }

    #[inline(always)]
    fn current(&self) -> Option<&RankedRecord<'a>> {
        if self.is_there { Some(&self.current) } else { None }
    }

    /// Reads the change that begins there. Gives where it ends, if there was one.
    #[inline(always)]
    fn read(&mut self, start: Cursor<'a>, number: u32) -> Result<Option<Cursor<'a>>, NeedsFallback> {
        let Some(&[operation, flag, ..]) = start.rest().first_chunk::<2>() else {
            self.is_there = false;
            return Ok(None);
        };
        let Some(operation) = Operation::from_byte(operation) else {
            self.is_there = false;
            return Ok(None);
        };
        let mut end = start;
        end.byte();
        end.byte();
        let mut middle = end;
        let columns = self.table.header.key.len();
        match (operation, self.table.format) {
            (Operation::Delete, Format::Patchset) => end.skip_values(self.table.keys).ok_or(NeedsFallback)?,
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
            self.look_for_twin(start)?;
        }
        let ordinal = self.run.get_mut(self.run_length).ok_or(NeedsFallback)?;
        *ordinal = start;
        self.run_length = self.run_length.wrapping_add(1);
        self.current = RankedRecord { start, middle, end, rank, number, operation, indirect: flag != 0 };
        self.is_there = true;
        Ok(Some(end))
    }

    /// Fails if there was a change of the same row.
    #[inline(never)]
    fn look_for_twin(&self, change: Cursor<'a>) -> Result<(), NeedsFallback> {
        let run = self.run.get(..self.run_length).unwrap_or_default();
        if run.iter().any(|other| self.table.is_same_row(*other, change)) { Err(NeedsFallback) } else { Ok(()) }
    }
}

/// The bucket of the change that begins there, of so many bits.
#[cfg(test)]
pub(in crate::wire) fn bucket_of(table: KeyedTable<'_>, change: Cursor<'_>, bits: u32) -> u32 {
    hash(table.key(change)) & ((1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_sqlite() {
        // computed by hand after sessionChangeHash: ((h << 3) ^ h) ^ what is added
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
