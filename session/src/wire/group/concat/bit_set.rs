//! Sets of changes, by their numbers.

use alloc::vec;
use alloc::vec::Vec;

/// One bit for each change.
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

    /// The word in which a change's bit is.
    #[inline]
    pub(super) fn word(&self, number: usize) -> u64 {
        self.0.get(number / 64).copied().unwrap_or(0)
    }
}
