//! Concatenation of inputs in memory by a hash join: the same bytes as a [`Fold`] makes, in less
//! time.
//!
//! A [`Fold`] looks up each change when it is added, anywhere in memory. The join first computes
//! the hashes of all keys, in one pass over the inputs. It partitions them by their upper bits, so
//! that each part fits into a processor's cache, and links the changes with equal hashes in each
//! part. A second pass writes the output. Changes without a link are copied, many at a time.
//!
//! Unusual inputs, and those with errors, are left to the [`Fold`]: [`join`] returns `None`.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::bit_set::BitSet;
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::walk::Walker;
use crate::wire::group::fold::Fold;
use crate::wire::group::index::Seed;
use crate::wire::group::key::{KeyFields, key_span};
use crate::wire::group::merge::{Merged, merge, sets_anything};

/// A change with the hash of its table and key.
#[derive(Clone, Copy)]
struct Item {
    hash: u64,
    number: u32,
}

/// A section of one input.
struct Section<'a> {
    table: usize,
    header: Header<'a>,
    /// The number of the first change.
    first: usize,
    /// The number after that of the last change.
    end: usize,
    /// The offset at which the last change ends.
    end_offset: usize,
}

struct Join<'a> {
    format: Format,
    /// The inputs with their offsets. All offsets count the inputs as if they were concatenated.
    inputs: Vec<(usize, &'a [u8])>,
    sections: Vec<Section<'a>>,
    /// The offset of each change.
    starts: Vec<u32>,
    /// The changes, partitioned by the upper bits of their hashes.
    parts: Vec<Vec<Item>>,
    /// The changes that are not copied: those that are not the first of their row, and UPDATEs that
    /// set nothing.
    dropped: BitSet,
    /// The changes that have a link.
    linked: BitSet,
    /// For each change the number of the next change to the row plus 1, or 0.
    links: Vec<u32>,
}

/// Concatenates inputs whose bytes have been checked.
///
/// Returns `None`, possibly after it has written a part, if
///
/// - a table has other columns or another key in one input than in another;
/// - a flag is neither 0 nor 1;
/// - the inputs have 4 GiB or more;
/// - two different keys have the same hash.
pub(super) fn join(inputs: &[&[u8]], format: Format, out: &mut Vec<u8>) -> Option<()> {
    join_by(inputs, format, Seed::new(), out)
}

fn join_by(inputs: &[&[u8]], format: Format, seed: Seed, out: &mut Vec<u8>) -> Option<()> {
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
        parts: Vec::new(),
        dropped: BitSet::default(),
        linked: BitSet::default(),
        links: Vec::new(),
    };
    join.read(seed, begin)?;
    join.link();
    out.reserve(begin);
    join.write(out)
}

impl<'a> Join<'a> {
    /// Numbers the changes and computes the hashes of their keys.
    fn read(&mut self, seed: Seed, length: usize) -> Option<()> {
        /// The bytes of input for one part: some thousand changes, whose items and slots fit into a
        /// cache.
        const PART: usize = 256 * 1024;
        let bits = (length / PART).checked_ilog2().map_or(0, |bits| bits.saturating_add(1)).min(8);
        self.parts.resize(1 << bits, Vec::new());
        let part_of = |hash: u64| (hash >> 1 >> 63u32.saturating_sub(bits)) as usize;
        let mut names = Fold::new(self.format);
        let mut no_ops = Vec::new();
        for (base, bytes) in &self.inputs {
            let at = |cursor: Cursor<'_>| base.saturating_add(bytes.len()).saturating_sub(cursor.remaining());
            let mut walk = Walker::new(bytes, self.format);
            while !walk.is_at_end() {
                let Some(header) = walk.header_with_records() else { break };
                let table = names.number(header)?;
                let (first, key_span) = (self.starts.len(), key_span(header.key));
                let start_hash = seed.add(seed.start(), &table.to_le_bytes());
                while walk.is_at_record() {
                    let start = walk.position();
                    let record = walk.record(header)?;
                    if start.rest().get(1).is_none_or(|flag| *flag > 1) {
                        return None;
                    }
                    let number = u32::try_from(self.starts.len()).ok()?;
                    self.starts.push(u32::try_from(at(start)).ok()?);
                    if record.operation == Operation::Update && !sets_anything(header.key, self.format, record) {
                        no_ops.push(number);
                        continue;
                    }
                    let key = KeyFields::new(start.rest(), 0, header.key, key_span, self.format);
                    let hash = key.whole_hash(seed, start_hash);
                    self.parts.get_mut(part_of(hash))?.push(Item { hash, number });
                }
                self.sections.push(Section {
                    table,
                    header,
                    first,
                    end: self.starts.len(),
                    end_offset: at(walk.position()),
                });
            }
        }
        self.dropped = BitSet::new(self.starts.len());
        self.linked = BitSet::new(self.starts.len());
        for number in no_ops {
            self.dropped.set(number as usize, true);
        }
        Some(())
    }

    /// Links the changes that have equal hashes.
    fn link(&mut self) {
        self.links = vec![0; self.starts.len()];
        let mut slots = Vec::new();
        for part in core::mem::take(&mut self.parts) {
            self.link_part(&part, &mut slots);
        }
    }

    /// Links the changes of one part, which are in the order of the inputs.
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
                        *link = item.number.wrapping_add(1);
                    }
                    self.linked.set(last.number as usize, true);
                    self.dropped.set(item.number as usize, true);
                    break;
                }
                at = at.wrapping_add(1) & mask;
            }
        }
    }

    /// Returns the number of the next change to the row.
    #[inline]
    fn next_of(&self, number: usize) -> Option<usize> {
        let next = self.links.get(number)?.checked_sub(1)?;
        Some(next as usize)
    }

    /// Returns the bytes from a change on.
    #[inline]
    fn change(&self, number: usize) -> &'a [u8] {
        self.rest(self.starts.get(number).map_or(usize::MAX, |at| *at as usize))
    }

    /// Returns the bytes from an offset on.
    #[inline]
    fn rest(&self, at: usize) -> &'a [u8] {
        let input = match &self.inputs[..] {
            [one] => Some(one),
            [one, other] => Some(if at < other.0 { one } else { other }),
            all => all.get(all.partition_point(|(begin, _)| *begin <= at).wrapping_sub(1)),
        };
        input.and_then(|(begin, bytes)| bytes.get(at.saturating_sub(*begin)..)).unwrap_or_default()
    }

    /// Writes the output.
    fn write(mut self, out: &mut Vec<u8>) -> Option<()> {
        let mut sections = core::mem::take(&mut self.sections);
        sections.sort_by_key(|section| section.table);
        let mut scratch = Vec::new();
        for sections in sections.chunk_by(|one, other| one.table == other.table) {
            let start = out.len();
            sections.first()?.header.write(self.format, out);
            let header_end = out.len();
            for section in sections {
                self.write_section(section, out, &mut scratch)?;
            }
            if out.len() == header_end {
                out.truncate(start);
            }
        }
        Some(())
    }

    /// Writes the changes of a section, merged with the changes that they are linked to.
    fn write_section(&mut self, section: &Section<'a>, out: &mut Vec<u8>, scratch: &mut Vec<u8>) -> Option<()> {
        let start_of = |join: &Self, number: usize| match number < section.end {
            true => join.starts.get(number).map_or(0, |at| *at as usize),
            false => section.end_offset,
        };
        // the offset of the bytes that have not been copied
        let mut begin = start_of(self, section.first);
        let mut number = section.first;
        while number < section.end {
            let dropped = self.dropped.word(number) >> (number % 64);
            let linked = self.linked.word(number) >> (number % 64);
            if number == section.first || number % 64 == 0 {
                self.fetch(linked & !dropped, number);
            }
            let special = linked | dropped;
            if special & 1 == 0 {
                let ordinary = (special.trailing_zeros() as usize).min(64usize.saturating_sub(number % 64));
                number = number.saturating_add(ordinary).min(section.end);
                continue;
            }
            let (at, next) = (start_of(self, number), number.saturating_add(1));
            out.extend_from_slice(self.rest(begin).get(..at.saturating_sub(begin))?);
            begin = start_of(self, next);
            if dropped & 1 == 0 {
                self.write_row(section.header, number, at, out, scratch)?;
            }
            number = next;
        }
        out.extend_from_slice(self.rest(begin).get(..section.end_offset.saturating_sub(begin))?);
        Some(())
    }

    /// Fetches into the cache the changes to which the changes of one word are linked, all at once.
    #[inline]
    fn fetch(&self, mut word: u64, first: usize) {
        let mut sum = 0u8;
        while word != 0 {
            if let Some(next) = self.next_of(first.saturating_add(word.trailing_zeros() as usize)) {
                sum ^= self.change(next).first().copied().unwrap_or(0);
            }
            word &= word.wrapping_sub(1);
        }
        core::hint::black_box(sum);
    }

    #[inline(always)]
    fn record<'b>(&self, bytes: &'b [u8], header: Header<'b>) -> Option<RawRecord<'b>> {
        check::read_checked_inline(&mut Cursor::new(bytes), header, self.format)
    }

    /// Writes the result of merging the changes to one row.
    fn write_row(
        &mut self,
        header: Header<'a>,
        number: usize,
        at: usize,
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Option<()> {
        let (start, key_span) = (out.len(), key_span(header.key));
        let first_bytes = self.rest(at);
        let first_key = KeyFields::new(first_bytes, 0, header.key, key_span, self.format);
        let mut next = self.next_of(number);
        let mut is_merged = false;
        while let Some(number) = next {
            let bytes = self.change(number);
            if first_key.compare(KeyFields::new(bytes, 0, header.key, key_span, self.format)) != Ordering::Equal {
                return None;
            }
            if is_merged {
                scratch.clear();
                scratch.extend_from_slice(out.get(start..)?);
                out.truncate(start);
            }
            let first = self.record(if is_merged { scratch } else { first_bytes }, header)?;
            let second = self.record(bytes, header)?;
            next = self.next_of(number);
            match merge(header.key, self.format, first, second, out) {
                Merged::First if is_merged => out.extend_from_slice(scratch),
                Merged::First => {}
                Merged::Combined => is_merged = true,
                Merged::Nothing => {
                    // the next change becomes the first of the row, at its own position
                    if let Some(number) = next {
                        self.dropped.set(number, false);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Changeset, TableInfo, Value};

    /// Returns three inputs with changes of all kinds to many rows of two tables, in no order.
    fn inputs(rows: usize) -> [Changeset; 3] {
        let tables = [TableInfo::new("t", &[0, 1]), TableInfo::new("other", &[1, 0])];
        let mut numbers =
            core::iter::successors(Some(7u64), |last| Some(last.wrapping_mul(6_364_136_223_846_793_005) + 1))
                .map(|number| (number >> 33) as usize);
        let mut next = move |below: usize| numbers.next().unwrap() % below;
        core::array::from_fn(|_| {
            let mut builder = Changeset::builder();
            for _ in 0..rows {
                let table = next(2);
                let (key, text) = (Value::from(next(rows) as i64), alloc::format!("{:1$}", next(9), next(40)));
                let row = |text| if table == 0 { [text, key] } else { [key, text] };
                let (one, other) = (row("".into()), row(text.as_str().into()));
                builder = builder.indirect(next(2) == 0);
                builder = match next(3) {
                    0 => builder.insert_values(tables[table], &other),
                    1 => builder.update_values(tables[table], &one, &other),
                    _ => builder.delete_values(tables[table], &other),
                };
            }
            builder.build().unwrap()
        })
    }

    fn joined(inputs: &[&[u8]]) -> Option<Vec<u8>> {
        joined_by(inputs, Seed::new())
    }

    fn joined_by(inputs: &[&[u8]], seed: Seed) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        join_by(inputs, Format::Changeset, seed, &mut out).map(|()| out)
    }

    #[test]
    fn joining_returns_the_bytes_of_the_builder() {
        for rows in if cfg!(miri) { [3, 100] } else { [3, 20_000] } {
            let inputs = inputs(rows);
            let all = joined(&inputs.each_ref().map(|input| input.as_bytes())).unwrap();
            let built = inputs.iter().fold(Changeset::builder(), |builder, input| builder.add(input));
            assert!(all == built.build().unwrap().into_bytes());
            let alone = joined(&[inputs[0].as_bytes()]).unwrap();
            assert!(alone == inputs[0].as_bytes());
        }
        assert_eq!(joined(&[]), Some(Vec::new()));
        assert_eq!(joined(&[b"", b"T\x01\x01t\0"]), Some(Vec::new()));
    }

    #[test]
    fn colliding_keys_and_unusual_flags_are_left_to_the_builder() {
        let table = TableInfo::new("t", &[1]);
        let insert = |key: i64| Changeset::builder().insert_values(table, &[key.into()]).build().unwrap();
        let (one, other) = (insert(1), insert(2));
        let same = joined_by(&[one.as_bytes(), one.as_bytes()], Seed::that_collides());
        assert_eq!(same.as_deref(), Some(one.as_bytes()));
        assert_eq!(joined_by(&[one.as_bytes(), other.as_bytes()], Seed::that_collides()), None);
        assert_eq!(one.concat(&other).unwrap().records().count(), 2);
        let mut flagged = one.clone().into_bytes();
        flagged[6] = 7;
        assert_eq!(joined(&[&flagged]), None);
        let flagged = Changeset::try_from(flagged).unwrap().concat(&other).unwrap();
        assert!(flagged.records().next().unwrap().indirect());
        assert_eq!(flagged.as_bytes()[6], 1);
    }
}
