//! A set of changes, by their numbers. The join and the replacements of sorted sections use it.

use alloc::vec;
use alloc::vec::Vec;

/// A set of numbers, with a bit for each.
#[derive(Default)]
pub(super) struct BitSet(Vec<u64>);

impl BitSet {
    pub(super) fn new(count: usize) -> Self {
        Self(vec![0; (count / 64).saturating_add(1)])
    }

    #[inline]
    pub(super) fn set(&mut self, number: usize, value: bool) {
        if let Some(word) = self.0.get_mut(number / 64) {
            let bit = 1 << (number % 64);
            *word = if value { *word | bit } else { *word & !bit };
        }
    }

    #[inline]
    pub(super) fn get(&self, number: usize) -> bool {
        self.word(number) >> (number % 64) & 1 != 0
    }

    /// Returns the word that contains the bit of `number`.
    #[inline]
    pub(super) fn word(&self, number: usize) -> u64 {
        self.0.get(number / 64).copied().unwrap_or(0)
    }
}
