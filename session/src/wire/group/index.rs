//! A small hash index from the hash of a key to the number of its row.
//!
//! The index does not hold keys: the caller compares them. It uses open addressing with one word
//! for each slot. The upper half of a slot is the hash, the lower half the row's number plus one; 0
//! is an empty slot. The upper bits of its hash determine the home of a slot. So the index grows by
//! moving the slots in the order of memory, and reads and hashes no key again.
//!
//! The fold and the rebaser use it, for rows and for the names of tables.

use alloc::vec;
use alloc::vec::Vec;

/// The largest number of rows that an index can hold.
pub(in crate::wire) const MOST_ROWS: usize = 0xc000_0000;

const EMPTY: u64 = 0;
const FEWEST_SLOTS: usize = 16;

/// An index with fewer slots (16 KiB) grows by the factor 4, a larger one by 2.
const SMALL_SLOTS: usize = 2048;

/// The position of a row in an index. It is valid until the index changes.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Slot(usize);

/// A hash index: see the [module](self).
#[derive(Clone, Default)]
pub(in crate::wire) struct Index {
    /// The number of slots is 0 or a power of two.
    slots: Vec<u64>,
    /// The home of a slot is its word shifted right by this many bits.
    shift: u32,
    used: usize,
    /// The largest number of used slots before the index grows: three quarters.
    max_used: usize,
}

impl Index {
    /// Returns the row with this hash for which `is_it` returns true. If there is none, inserts row
    /// `new` and returns `None`.
    #[inline]
    pub(in crate::wire) fn find_or_insert(
        &mut self,
        hash: u32,
        new: usize,
        mut is_it: impl FnMut(usize) -> bool,
    ) -> Option<(Slot, usize)> {
        self.make_room(1);
        let tag = u64::from(hash) << 32;
        let mut at = self.home(tag);
        loop {
            let slot = self.slots.get(at).copied().unwrap_or(EMPTY);
            if slot == EMPTY {
                break;
            }
            if slot >> 32 == u64::from(hash) {
                let row = row_of(slot);
                if is_it(row) {
                    return Some((Slot(at), row));
                }
            }
            at = self.after(at);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = tag | (new as u64).wrapping_add(1) & 0xffff_ffff;
            self.used = self.used.saturating_add(1);
        }
        None
    }

    /// Grows until `more` further rows fit.
    #[inline]
    pub(in crate::wire) fn make_room(&mut self, more: usize) {
        while self.used.saturating_add(more) > self.max_used {
            self.grow();
        }
    }

    /// Reads the slot at which the search for a hash begins, to fetch it into the cache.
    #[inline]
    pub(in crate::wire) fn home_slot(&self, hash: u32) -> u64 {
        self.slots.get(self.home(u64::from(hash) << 32)).copied().unwrap_or(EMPTY)
    }

    /// Returns the row with this hash for which `is_it` returns true.
    #[inline]
    pub(in crate::wire) fn find(&self, hash: u32, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut at = self.home(u64::from(hash) << 32);
        loop {
            let slot = self.slots.get(at).copied().unwrap_or(EMPTY);
            if slot == EMPTY {
                return None;
            }
            if slot >> 32 == u64::from(hash) && is_it(row_of(slot)) {
                return Some(row_of(slot));
            }
            at = self.after(at);
        }
    }

    /// Returns `None` if the slot at which the search for a hash begins is empty: no row has the
    /// hash. Otherwise returns the row in the slot, or `Some(None)` if the slot has another hash.
    #[inline]
    pub(in crate::wire) fn first_candidate(&self, hash: u32) -> Option<Option<usize>> {
        let slot = self.slots.get(self.home(u64::from(hash) << 32)).copied().unwrap_or(EMPTY);
        (slot != EMPTY).then(|| (slot >> 32 == u64::from(hash)).then(|| row_of(slot)))
    }

    /// Adds the hash of the last inserted row to `filter`. Refills the filter if the index has
    /// grown.
    #[inline]
    pub(in crate::wire) fn add_to(&self, filter: &mut Filter, hash: u32) {
        if filter.words.len() == self.slots.len().div_ceil(8) {
            filter.add(hash);
        } else {
            self.refill(filter);
        }
    }

    #[cold]
    fn refill(&self, filter: &mut Filter) {
        // eight bits for each slot, in the same order
        let shift = self.shift.saturating_sub(32).saturating_sub(3);
        *filter = Filter { words: vec![0; self.slots.len().div_ceil(8)], shift };
        self.slots.iter().filter(|slot| **slot != EMPTY).for_each(|slot| filter.add((slot >> 32) as u32));
    }

    /// Removes a row. Moves the slots after it that are not at their homes.
    pub(in crate::wire) fn remove(&mut self, Slot(mut hole): Slot) {
        let mut at = hole;
        loop {
            at = self.after(at);
            let slot = self.slots.get(at).copied().unwrap_or(EMPTY);
            if slot == EMPTY || at == hole {
                break;
            }
            let away = self.distance(self.home(slot), at);
            if away >= self.distance(hole, at) {
                self.set_slot(hole, slot);
                hole = at;
            }
        }
        self.set_slot(hole, EMPTY);
        self.used = self.used.saturating_sub(1);
    }

    fn set_slot(&mut self, at: usize, slot: u64) {
        if let Some(target) = self.slots.get_mut(at) {
            *target = slot;
        }
    }

    #[inline]
    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.mask()
    }

    /// Returns the number of slots from `from` to `to`.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    /// Returns the position at which the search for a slot begins.
    #[inline]
    fn home(&self, slot: u64) -> usize {
        (slot >> (self.shift & 63)) as usize
    }

    #[cold]
    fn grow(&mut self) {
        let times = if self.slots.len() < SMALL_SLOTS { 4 } else { 2 };
        let count = self.slots.len().saturating_mul(times).max(FEWEST_SLOTS);
        let old = core::mem::replace(&mut self.slots, vec![EMPTY; count]);
        self.max_used = (count / 4).saturating_mul(3);
        self.shift = 64u32.saturating_sub(count.trailing_zeros());
        for slot in old.into_iter().filter(|slot| *slot != EMPTY) {
            let mut at = self.home(slot);
            while self.slots.get(at).is_some_and(|taken| *taken != EMPTY) {
                at = self.after(at);
            }
            self.set_slot(at, slot);
        }
    }
}

/// A summary of the hashes in an index, an eighth of its size: a fast answer to look-ups that fail.
#[derive(Clone, Default)]
pub(in crate::wire) struct Filter {
    words: Vec<u64>,
    shift: u32,
}

impl Filter {
    fn add(&mut self, hash: u32) {
        let bit = hash >> (self.shift & 31);
        if let Some(word) = self.words.get_mut(bit as usize / 64) {
            *word |= 1 << (bit & 63);
        }
    }

    /// Returns whether there may be a row with this hash: true for about one in ten absent hashes
    /// too.
    #[inline]
    pub(in crate::wire) fn may_have(&self, hash: u32) -> bool {
        let bit = hash >> (self.shift & 31);
        self.words.get(bit as usize / 64).is_some_and(|word| word >> (bit & 63) & 1 != 0)
    }
}

#[inline]
fn row_of(slot: u64) -> usize {
    (slot as u32).wrapping_sub(1) as usize
}

/// A keyed hash function: an attacker who chooses keys cannot make them collide.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Seed(u64, u64);

impl Seed {
    /// Creates a random secret.
    #[cfg(feature = "std")]
    pub(in crate::wire) fn new() -> Self {
        use std::hash::BuildHasher;
        let random = std::hash::RandomState::new();
        Self(random.hash_one(0u8), random.hash_one(1u8))
    }

    /// Returns a fixed secret, because there is no source of randomness without `std`.
    ///
    /// Keys can be chosen to collide with it: adding them takes quadratic time.
    #[cfg(not(feature = "std"))]
    pub(in crate::wire) fn new() -> Self {
        Self(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344)
    }

    /// Creates a secret for which all small integers have the same hash.
    #[cfg(test)]
    pub(in crate::wire) fn that_collides() -> Self {
        Self(0, 1)
    }

    /// Returns the hash of nothing, which [`add`](Self::add) continues.
    #[inline]
    pub(in crate::wire) fn start(self) -> u64 {
        self.0
    }

    /// Adds bytes to a hash. As in wyhash, each two words are combined with the secret and the
    /// hash, and multiplied; the result is the XOR of the halves of the product.
    #[inline]
    pub(in crate::wire) fn add(self, hash: u64, bytes: &[u8]) -> u64 {
        let mut hash = hash ^ bytes.len() as u64;
        let mut rest = bytes;
        while let Some((block, after)) = rest.split_first_chunk::<16>() {
            let (one, two) = ends(block);
            hash = mix(one ^ self.1, two ^ hash);
            rest = after;
        }
        let (one, two) = ends(rest);
        mix(one ^ self.1, two ^ hash)
    }

    /// Returns the hash of a table's name, without regard to the case of ASCII letters.
    pub(in crate::wire) fn of_name(self, name: &str) -> u32 {
        self.finish(name.as_bytes().chunks(16).fold(self.start(), |hash, chunk| {
            let mut lower = [0; 16];
            lower.iter_mut().zip(chunk).for_each(|(lower, byte)| *lower = byte.to_ascii_lowercase());
            self.add(hash, &lower)
        }))
    }

    /// Returns the hash as an [`Index`] requires it.
    #[inline]
    pub(in crate::wire) fn finish(self, hash: u64) -> u32 {
        (self.finish_whole(hash) >> 32) as u32
    }

    /// Returns all bits of the hash.
    #[inline]
    pub(in crate::wire) fn finish_whole(self, hash: u64) -> u64 {
        mix(hash ^ self.0, self.1 | 1)
    }
}

/// Returns the first eight and the last eight of at most 16 bytes. They overlap if there are fewer.
#[inline]
fn ends(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
    } else {
        // of 0 to 3 bytes: the first, the middle and the last
        let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
        (byte(0) << 16 | byte(bytes.len() / 2) << 8 | byte(bytes.len().wrapping_sub(1)), 0)
    }
}

/// Returns whether two slices are equal, without a function call for short slices, such as most
/// names and key ordinals.
#[inline]
pub(in crate::wire) fn are_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && if one.len() <= 16 { ends(one) == ends(other) } else { one == other }
}

#[inline]
fn mix(one: u64, two: u64) -> u64 {
    let product = u128::from(one).wrapping_mul(u128::from(two));
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks an index over numbers whose hashes the test determines.
    fn check(count: usize, hash: impl Fn(usize) -> u32) {
        let (mut index, mut filter) = (Index::default(), Filter::default());
        for row in 0..count {
            assert!(index.find_or_insert(hash(row), row, |found| found == row).is_none());
            index.add_to(&mut filter, hash(row));
        }
        for row in (0..count).step_by(3) {
            let (slot, found) = index.find_or_insert(hash(row), usize::MAX, |found| found == row).unwrap();
            assert_eq!(found, row);
            index.remove(slot);
        }
        assert_eq!(index.used, count - count.div_ceil(3));
        for row in 0..count {
            assert!(filter.may_have(hash(row)));
            assert!(index.first_candidate(hash(row)).is_some() || row % 3 == 0);
            assert_eq!(index.find(hash(row), |found| found == row), (row % 3 != 0).then_some(row));
            let found = index.find_or_insert(hash(row), row, |found| found == row);
            assert_eq!(found.map(|(_, row)| row), (row % 3 != 0).then_some(row));
        }
        assert_eq!(index.used, count);
    }

    #[test]
    fn rows_are_found_until_they_are_removed() {
        assert_eq!(Index::default().find(7, |_| true), None);
        let seed = Seed::new();
        let count = if cfg!(miri) { 200 } else { 10_000 };
        check(count, |row| seed.finish(seed.add(seed.start(), &row.to_be_bytes())));
    }

    #[test]
    fn rows_whose_hashes_collide_are_found_too() {
        check(200, |_| u32::MAX);
        check(200, |row| (row as u32) << 30);
        check(200, |row| row as u32);
    }

    #[test]
    fn short_and_long_bytes_are_compared_whole() {
        let bytes = [7u8; 40];
        for length in 0..bytes.len() - 1 {
            assert!(are_equal(&bytes[..length], &bytes[1..=length]));
            assert!(!are_equal(&bytes[..length], &bytes[..=length]));
            for changed in 0..length {
                let mut other = bytes;
                other[changed] = 8;
                assert!(!are_equal(&bytes[..length], &other[..length]));
            }
        }
    }

    #[test]
    fn every_byte_and_its_place_is_in_the_hash() {
        let seed = Seed::new();
        let hash = |parts: &[&[u8]]| parts.iter().fold(seed.start(), |hash, part| seed.add(hash, part));
        let bytes = [7u8; 100];
        let mut seen = Vec::new();
        for length in 0..bytes.len() {
            seen.push(hash(&[&bytes[..length]]));
            for changed in 0..length {
                let mut bytes = bytes;
                bytes[changed] = 8;
                seen.push(hash(&[&bytes[..length]]));
            }
        }
        seen.push(hash(&[b"ab", b"c"]));
        seen.push(hash(&[b"a", b"bc"]));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
