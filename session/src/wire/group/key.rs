//! The primary key of a change, read from its encoded bytes: compared and hashed without decoding.
//!
//! Two changes concern the same row if the bytes of their keys are equal. The fold, concatenation
//! and rebasing find rows by it.

use core::cmp::Ordering;

use super::index::Seed;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::walk::Layout;

/// Returns the number of columns up to and including the last column of the primary key.
pub(in crate::wire) fn key_span(key: &[u8]) -> usize {
    key.iter().rposition(|place| *place != 0).map_or(0, |last| last.saturating_add(1))
}

/// The encoded values of the primary key of a change: an iterator over fields.
#[derive(Clone, Copy)]
pub(in crate::wire) struct KeyFields<'a> {
    values: Cursor<'a>,
    /// The key ordinals of the columns up to the last one of the primary key.
    ordinals: &'a [u8],
    /// Whether the record contains the primary key alone: [`Layout::Key`].
    key_only: bool,
}

impl<'a> KeyFields<'a> {
    /// Returns the key of a record with a field for each column.
    #[inline]
    pub(in crate::wire) fn of_record(record: &'a [u8], key: &'a [u8], key_span: usize) -> Self {
        Self { values: Cursor::new(record), ordinals: key.get(..key_span).unwrap_or(key), key_only: false }
    }

    /// Returns the key of the change that begins at `at`. `key_span` must be
    /// [`key_span(key)`](key_span).
    #[inline]
    pub(in crate::wire) fn new(bytes: &'a [u8], at: usize, key: &'a [u8], key_span: usize, format: Format) -> Self {
        let mut values = Cursor::new(bytes.get(at..).unwrap_or_default());
        let operation = values.byte().and_then(Operation::from_byte);
        values.byte();
        let key_only = operation.is_some_and(|operation| Layout::of(operation, format) == Layout::Key);
        Self { values, ordinals: key.get(..key_span).unwrap_or(key), key_only }
    }

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some((ordinal, rest)) = self.ordinals.split_first() {
            self.ordinals = rest;
            if *ordinal != 0 {
                return self.values.field();
            }
            if !self.key_only {
                self.values.field();
            }
        }
        None
    }

    /// Calls `work` with each field.
    #[inline]
    pub(in crate::wire) fn fold<T>(mut self, first: T, mut work: impl FnMut(T, &'a [u8]) -> T) -> T {
        let mut folded = first;
        while let Some(field) = self.next() {
            folded = work(folded, field);
        }
        folded
    }

    /// Compares two keys by the bytes of their fields: a total order, but not the order of SQLite.
    #[inline]
    pub(in crate::wire) fn compare(mut self, mut other: KeyFields<'_>) -> Ordering {
        while let (Some(one), Some(other)) = (self.next(), other.next()) {
            match order(one, other) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        Ordering::Equal
    }

    #[inline]
    pub(super) fn is_below(self, other: KeyFields<'_>) -> bool {
        self.compare(other) == Ordering::Less
    }

    /// Returns all bits of the hash, which continues the hash `start`.
    #[inline]
    pub(in crate::wire) fn whole_hash(mut self, seed: Seed, start: u64) -> u64 {
        let mut hash = start;
        while let Some(field) = self.next() {
            hash = seed.add(hash, field);
        }
        seed.finish_whole(hash)
    }

    /// Returns the hash as an [`Index`](super::index::Index) takes it.
    #[inline]
    pub(in crate::wire) fn hash(mut self, seed: Seed) -> u32 {
        let mut hash = seed.start();
        while let Some(field) = self.next() {
            hash = seed.add(hash, field);
        }
        seed.finish(hash)
    }
}

/// Compares encoded values, without a function call for numbers, which are most keys.
#[inline]
fn order(one: &[u8], other: &[u8]) -> Ordering {
    if let (Ok([class, one @ ..]), Ok([other_class, other @ ..])) =
        (<[u8; 9]>::try_from(one), <[u8; 9]>::try_from(other))
    {
        return (class, u64::from_be_bytes(one)).cmp(&(other_class, u64::from_be_bytes(other)));
    }
    one.cmp(other)
}
