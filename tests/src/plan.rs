//! Plans: strings of bytes that decide everything about a case, so that both proptest and a fuzzer
//! can make cases.

/// Decisions from bytes. After the last byte it returns 0, which chooses the simplest case.
#[derive(Clone)]
pub(crate) struct Plan<'a>(pub(crate) &'a [u8]);

impl<'a> Plan<'a> {
    /// Returns the next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let high = if bound > 256 { usize::from(self.byte()) << 8 } else { 0 };
        (high | usize::from(self.byte())) % bound.max(1)
    }

    /// Returns one of several values.
    pub(crate) fn pick<'t, T: ?Sized>(&mut self, among: &[&'t T]) -> &'t T {
        among[self.below(among.len())]
    }

    /// Returns true in `sixteenths` of 16 cases.
    pub(crate) fn chance(&mut self, sixteenths: u8) -> bool {
        self.byte() % 16 >= 16 - sixteenths
    }

    /// Returns all bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
