//! Where rebased changes are written: to new memory, or into that of the changes themselves.

use alloc::vec::Vec;

/// Changes that are read in pieces, and what becomes of them.
pub(super) trait Room {
    /// What has not been read, and where that is appended to which the next piece comes.
    fn parts(&mut self) -> (&[u8], &mut Vec<u8>);

    /// So many bytes have been read. Those from `same` on stay as they are, and come after what was appended.
    fn advance(&mut self, same: usize, read: usize);

    /// What has become of all.
    fn into_bytes(self) -> Vec<u8>;
}

/// New memory.
pub(super) struct Fresh<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Fresh<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, out: Vec::with_capacity(bytes.len()) }
    }
}

impl Room for Fresh<'_> {
    fn parts(&mut self) -> (&[u8], &mut Vec<u8>) {
        (self.rest, &mut self.out)
    }

    fn advance(&mut self, same: usize, read: usize) {
        self.out.extend_from_slice(self.rest.get(same..read).unwrap_or_default());
        self.rest = self.rest.get(read..).unwrap_or_default();
    }

    fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

/// The memory of the changes: what becomes of them is written over what has been read. What does not fit there waits.
pub(super) struct Same {
    bytes: Vec<u8>,
    /// Up to there they have been read.
    at: usize,
    /// Up to there the result is written.
    end: usize,
    waiting: Vec<u8>,
    /// So many of those that wait have been written.
    written: usize,
}

impl Same {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0, end: 0, waiting: Vec::new(), written: 0 }
    }

    /// Writes of what waits as much as fits before `limit`. Says whether that was all.
    fn write(&mut self, limit: usize) -> bool {
        let waiting = self.waiting.get(self.written..).unwrap_or_default();
        let room = self.bytes.get_mut(self.end..limit).unwrap_or_default();
        let count = waiting.len().min(room.len());
        if let (Some(room), Some(waiting)) = (room.get_mut(..count), waiting.get(..count)) {
            room.copy_from_slice(waiting);
        }
        self.end = self.end.saturating_add(count);
        self.written = self.written.saturating_add(count);
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
        } else if self.written > self.waiting.len() / 2 {
            self.waiting.drain(..self.written);
            self.written = 0;
        }
        self.waiting.is_empty()
    }
}

impl Room for Same {
    fn parts(&mut self) -> (&[u8], &mut Vec<u8>) {
        (self.bytes.get(self.at..).unwrap_or_default(), &mut self.waiting)
    }

    fn advance(&mut self, same: usize, read: usize) {
        let (start, end) = (self.at.saturating_add(same), self.at.saturating_add(read).min(self.bytes.len()));
        self.at = end;
        if self.write(start) {
            if self.end != start && start < end {
                self.bytes.copy_within(start..end, self.end);
            }
            self.end = self.end.saturating_add(end.saturating_sub(start));
        } else {
            self.waiting.extend_from_slice(self.bytes.get(start..end).unwrap_or_default());
            self.write(end);
        }
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.end);
        self.bytes.extend_from_slice(self.waiting.get(self.written..).unwrap_or_default());
        self.bytes
    }
}
