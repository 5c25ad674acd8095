//! Inputs that are all in memory, put together at once: the same bytes as of [`Fold`], in less time.
//!
//! [`Fold`] looks up each change as it comes, somewhere in memory. Here the hashes of all keys are taken first, from one end of
//! the inputs to the other, and dealt out by their upper bits into parts that a processor's cache holds; in each part, changes
//! with the same hash are linked. Then all is written, again from one end to the other: what is linked to nothing is copied as it
//! stands, many changes at a time.
//!
//! Whatever is out of the ordinary is left to [`Fold`], errors too: then there is [no answer](join).

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::cursor::Cursor;
use super::fold::{Fold, KeyFields, lead_of};
use super::index::Seed;
use super::merge::{Merged, merge, sets_anything};
use super::record::RawRecord;
use super::table::Header;
use super::{Format, Operation, check};

/// A change, by the hash of its table and key.
#[derive(Clone, Copy, Default)]
struct Item {
    hash: u64,
    number: u32,
    at: u32,
}

/// Changes that stand together: one table's, of one input.
struct Section<'a> {
    table: usize,
    header: Header<'a>,
    /// The numbers of the first one and of the one after the last.
    first: usize,
    end: usize,
    /// Where the last one ends.
    end_at: usize,
}

/// One bit for each change.
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; (count / 64).saturating_add(1)])
    }

    #[inline]
    fn set(&mut self, number: usize, value: bool) {
        if let Some(word) = self.0.get_mut(number / 64) {
            let bit = 1 << (number % 64);
            *word = if value { *word | bit } else { *word & !bit };
        }
    }

    #[inline]
    fn get(&self, number: usize) -> bool {
        self.word(number) >> (number % 64) & 1 != 0
    }

    /// The word in which a change's bit is.
    #[inline]
    fn word(&self, number: usize) -> u64 {
        self.0.get(number / 64).copied().unwrap_or(0)
    }
}

struct Join<'a> {
    format: Format,
    /// The inputs, and where each begins if they are counted as one.
    inputs: Vec<(usize, &'a [u8])>,
    sections: Vec<Section<'a>>,
    /// Where each change begins.
    starts: Vec<u32>,
    items: Vec<Item>,
    /// The changes that are not written where they stand: another one is the first of their row, or they set nothing.
    dropped: Bits,
    /// The changes that are dropped or linked to a next one.
    special: Bits,
    /// Where the next change of the row is, and its number and 1: see [`Link`].
    links: Vec<u64>,
}

/// The next change of a row.
#[derive(Clone, Copy)]
struct Link {
    at: usize,
    number: usize,
}

/// Puts inputs together whose bytes have been checked. There is no answer for those that do not fit together, with flags that
/// are neither 0 nor 1, of 4 GiB or more, or where two keys have the same hash.
pub(super) fn join(inputs: &[&[u8]], format: Format) -> Option<Vec<u8>> {
    let mut begin = 0usize;
    let mut placed = Vec::with_capacity(inputs.len());
    for input in inputs {
        placed.push((begin, *input));
        begin = begin.checked_add(input.len())?;
    }
    u32::try_from(begin).ok()?;
    let mut join = Join {
        format,
        inputs: placed,
        sections: Vec::new(),
        starts: Vec::new(),
        items: Vec::new(),
        dropped: Bits(Vec::new()),
        special: Bits(Vec::new()),
        links: Vec::new(),
    };
    join.read()?;
    join.link();
    join.write(begin)
}

impl<'a> Join<'a> {
    /// Numbers the changes and takes the hashes of their keys.
    fn read(&mut self) -> Option<()> {
        let seed = Seed::new();
        let mut names = Fold::new(self.format);
        let mut idle = Vec::new();
        for (base, bytes) in &self.inputs {
            let at = |cursor: Cursor<'_>| base.saturating_add(bytes.len()).saturating_sub(cursor.remaining());
            let mut cursor = Cursor::new(bytes);
            while cursor.peek().is_some() {
                let header = check::section(&mut cursor, self.format).ok()?;
                if cursor.peek().and_then(Operation::from_byte).is_none() {
                    continue;
                }
                let table = names.number(header)?;
                let (first, lead) = (self.starts.len(), lead_of(header.key));
                let start_hash = seed.add(seed.start(), &table.to_le_bytes());
                while cursor.peek().and_then(Operation::from_byte).is_some() {
                    let start = cursor;
                    let record = check::extent(&mut cursor, header, self.format)?;
                    if start.rest().get(1).is_none_or(|flag| *flag > 1) {
                        return None;
                    }
                    let (number, at) = (u32::try_from(self.starts.len()).ok()?, u32::try_from(at(start)).ok()?);
                    self.starts.push(at);
                    if record.operation == Operation::Update && !sets_anything(header.key, self.format, record) {
                        idle.push(number);
                        continue;
                    }
                    let key = KeyFields::new(start.rest(), 0, header.key, lead, self.format);
                    self.items.push(Item { hash: key.whole_hash(seed, start_hash), number, at });
                }
                self.sections.push(Section { table, header, first, end: self.starts.len(), end_at: at(cursor) });
            }
        }
        self.dropped = Bits::new(self.starts.len());
        self.special = Bits::new(self.starts.len());
        for number in idle {
            self.dropped.set(number as usize, true);
            self.special.set(number as usize, true);
        }
        Some(())
    }

    /// Links the changes that have the same hash.
    fn link(&mut self) {
        /// So many items take 64 KiB, and as much again to find them.
        const PART: usize = 4096;
        let items = core::mem::take(&mut self.items);
        self.links = vec![0; self.starts.len()];
        let bits = (items.len() / PART).checked_ilog2().map_or(0, |bits| bits.saturating_add(1)).min(11);
        let part_of = |hash: u64| (hash >> 1 >> 63u32.saturating_sub(bits)) as usize;
        let mut ends = vec![0usize; 1 << bits];
        for item in &items {
            if let Some(count) = ends.get_mut(part_of(item.hash)) {
                *count = count.saturating_add(1);
            }
        }
        let mut sum = 0usize;
        for end in &mut ends {
            sum = sum.saturating_add(core::mem::replace(end, sum));
        }
        let mut parts = vec![Item::default(); items.len()];
        for item in &items {
            if let Some(place) = ends.get_mut(part_of(item.hash)) {
                if let Some(slot) = parts.get_mut(*place) {
                    *slot = *item;
                }
                *place = place.saturating_add(1);
            }
        }
        drop(items);
        let (mut slots, mut begin) = (Vec::new(), 0);
        for end in ends {
            self.link_part(parts.get(begin..end).unwrap_or_default(), &mut slots);
            begin = end;
        }
    }

    /// Links the changes of one part, which are in order.
    fn link_part(&mut self, part: &[Item], slots: &mut Vec<u32>) {
        let count = part.len().saturating_mul(2).next_power_of_two();
        let mask = count.wrapping_sub(1);
        slots.clear();
        slots.resize(count, 0);
        for (now, item) in (1u32..).zip(part) {
            let mut at = item.hash as usize & mask;
            while let Some(slot) = slots.get_mut(at) {
                let Some(last) = part.get((*slot as usize).wrapping_sub(1)) else {
                    *slot = now;
                    break;
                };
                if last.hash == item.hash {
                    *slot = now;
                    if let Some(link) = self.links.get_mut(last.number as usize) {
                        *link = u64::from(item.at) << 32 | u64::from(item.number.wrapping_add(1));
                    }
                    self.special.set(last.number as usize, true);
                    self.special.set(item.number as usize, true);
                    self.dropped.set(item.number as usize, true);
                    break;
                }
                at = at.wrapping_add(1) & mask;
            }
        }
    }

    fn link_of(&self, number: usize) -> Option<Link> {
        let link = self.links.get(number).copied().unwrap_or(0);
        let number = (link as u32).checked_sub(1)? as usize;
        Some(Link { at: (link >> 32) as usize, number })
    }

    /// All bytes from there on.
    #[inline]
    fn rest(&self, at: usize) -> &'a [u8] {
        let input = match &self.inputs[..] {
            [one] => Some(one),
            [one, other] => Some(if at < other.0 { one } else { other }),
            all => all.get(all.partition_point(|(begin, _)| *begin <= at).wrapping_sub(1)),
        };
        input.and_then(|(begin, bytes)| bytes.get(at.saturating_sub(*begin)..)).unwrap_or_default()
    }

    fn write(mut self, most: usize) -> Option<Vec<u8>> {
        let mut sections = core::mem::take(&mut self.sections);
        sections.sort_by_key(|section| section.table);
        let mut out = Vec::with_capacity(most);
        let mut scratch = Vec::new();
        for sections in sections.chunk_by(|one, other| one.table == other.table) {
            let start = out.len();
            sections.first()?.header.write(self.format, &mut out);
            let header_end = out.len();
            for section in sections {
                self.write_section(section, &mut out, &mut scratch)?;
            }
            if out.len() == header_end {
                out.truncate(start);
            }
        }
        out.shrink_to_fit();
        Some(out)
    }

    fn write_section(&mut self, section: &Section<'a>, out: &mut Vec<u8>, scratch: &mut Vec<u8>) -> Option<()> {
        let start_of = |join: &Self, number: usize| match number < section.end {
            true => join.starts.get(number).map_or(0, |at| *at as usize),
            false => section.end_at,
        };
        // where what has not been copied yet begins
        let mut begin = start_of(self, section.first);
        let mut number = section.first;
        while number < section.end {
            let special = self.special.word(number) >> (number % 64);
            if number == section.first || number % 64 == 0 {
                self.touch(special & !(self.dropped.word(number) >> (number % 64)), number);
            }
            if special & 1 == 0 {
                let ordinary = (special.trailing_zeros() as usize).min(64usize.saturating_sub(number % 64));
                number = number.saturating_add(ordinary).min(section.end);
                continue;
            }
            let (at, next) = (start_of(self, number), number.saturating_add(1));
            if self.dropped.get(number) || self.link_of(number).is_some() {
                out.extend_from_slice(self.rest(begin).get(..at.saturating_sub(begin))?);
                begin = start_of(self, next);
                if !self.dropped.get(number) {
                    self.write_row(section.header, number, at, out, scratch)?;
                }
            }
            number = next;
        }
        out.extend_from_slice(self.rest(begin).get(..section.end_at.saturating_sub(begin))?);
        Some(())
    }

    /// Reads a byte of each change to which those of one word are linked: the processor gets them while it waits for the first.
    #[inline]
    fn touch(&self, mut word: u64, first: usize) {
        let mut sum = 0u8;
        while word != 0 {
            if let Some(link) = self.link_of(first.saturating_add(word.trailing_zeros() as usize)) {
                sum ^= self.rest(link.at).first().copied().unwrap_or(0);
            }
            word &= word.wrapping_sub(1);
        }
        core::hint::black_box(sum);
    }

    fn record<'b>(&self, bytes: &'b [u8], header: Header<'b>) -> Option<RawRecord<'b>> {
        check::extent(&mut Cursor::new(bytes), header, self.format)
    }

    /// Writes what the changes to one row come to.
    fn write_row(
        &mut self,
        header: Header<'a>,
        number: usize,
        at: usize,
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Option<()> {
        let (start, lead) = (out.len(), lead_of(header.key));
        let first_bytes = self.rest(at);
        let first_key = KeyFields::new(first_bytes, 0, header.key, lead, self.format);
        let mut next = self.link_of(number);
        let mut is_merged = false;
        while let Some(link) = next {
            let bytes = self.rest(link.at);
            if first_key.compare(KeyFields::new(bytes, 0, header.key, lead, self.format)) != Ordering::Equal {
                return None;
            }
            if is_merged {
                scratch.clear();
                scratch.extend_from_slice(out.get(start..)?);
                out.truncate(start);
            }
            let first = self.record(if is_merged { scratch } else { first_bytes }, header)?;
            let second = self.record(bytes, header)?;
            next = self.link_of(link.number);
            match merge(header.key, self.format, first, second, out) {
                Merged::First if is_merged => out.extend_from_slice(scratch),
                Merged::First => {}
                Merged::One => is_merged = true,
                Merged::Nothing => {
                    // what comes then begins a row anew, where it stands
                    if let Some(link) = next {
                        self.dropped.set(link.number, false);
                    }
                    return Some(());
                }
            }
        }
        if !is_merged {
            let first = self.record(first_bytes, header)?;
            out.extend_from_slice(&[first.operation.to_byte(), u8::from(first.indirect)]);
            out.extend_from_slice(first.before);
            out.extend_from_slice(first.after);
        }
        Some(())
    }
}
