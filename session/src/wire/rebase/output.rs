//! The buffer of a rebase: the changes that have not been read yet, and the rebased changes.
//!
//! [`NewOutput`] writes the rebased changes to new memory. [`InPlaceOutput`] writes them into the
//! memory of the input.

use alloc::vec::Vec;

/// The unread input and the output of a rebase.
pub(super) trait Output {
    /// Returns the unread input, and the buffer to append rebased changes to.
    fn parts(&mut self) -> (&[u8], &mut Vec<u8>);

    /// Marks the next `read` bytes of the input as read.
    ///
    /// The bytes from `unchanged` to `read` are unchanged. They are written after the bytes that
    /// were appended.
    fn advance(&mut self, unchanged: usize, read: usize);

    /// Returns all rebased changes.
    fn into_bytes(self) -> Vec<u8>;
}

/// Output to new memory.
pub(super) struct NewOutput<'a> {
    input: &'a [u8],
    out: Vec<u8>,
}

impl<'a> NewOutput<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, out: Vec::with_capacity(input.len()) }
    }
}

impl Output for NewOutput<'_> {
    fn parts(&mut self) -> (&[u8], &mut Vec<u8>) {
        (self.input, &mut self.out)
    }

    fn advance(&mut self, unchanged: usize, read: usize) {
        self.out.extend_from_slice(self.input.get(unchanged..read).unwrap_or_default());
        self.input = self.input.get(read..).unwrap_or_default();
    }

    fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

/// Output into the memory of the input: it overwrites bytes that have been read. Bytes that do not
/// fit there yet are pending.
pub(super) struct InPlaceOutput {
    bytes: Vec<u8>,
    /// The end of the bytes that have been read.
    read_end: usize,
    /// The end of the output.
    written_end: usize,
    pending: Vec<u8>,
    /// The number of pending bytes that have been written.
    pending_written: usize,
}

impl InPlaceOutput {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, read_end: 0, written_end: 0, pending: Vec::new(), pending_written: 0 }
    }

    /// Writes as many pending bytes as fit before `limit`. Returns whether all were written.
    fn write_pending(&mut self, limit: usize) -> bool {
        let pending = self.pending.get(self.pending_written..).unwrap_or_default();
        let room = self.bytes.get_mut(self.written_end..limit).unwrap_or_default();
        let count = pending.len().min(room.len());
        if let (Some(room), Some(pending)) = (room.get_mut(..count), pending.get(..count)) {
            room.copy_from_slice(pending);
        }
        self.written_end = self.written_end.saturating_add(count);
        self.pending_written = self.pending_written.saturating_add(count);
        if self.pending_written == self.pending.len() {
            self.pending.clear();
            self.pending_written = 0;
        } else if self.pending_written > self.pending.len() / 2 {
            self.pending.drain(..self.pending_written);
            self.pending_written = 0;
        }
        self.pending.is_empty()
    }
}

impl Output for InPlaceOutput {
    fn parts(&mut self) -> (&[u8], &mut Vec<u8>) {
        (self.bytes.get(self.read_end..).unwrap_or_default(), &mut self.pending)
    }

    fn advance(&mut self, unchanged: usize, read: usize) {
        let start = self.read_end.saturating_add(unchanged);
        let end = self.read_end.saturating_add(read).min(self.bytes.len());
        self.read_end = end;
        if self.write_pending(start) {
            if self.written_end != start && start < end {
                self.bytes.copy_within(start..end, self.written_end);
            }
            self.written_end = self.written_end.saturating_add(end.saturating_sub(start));
        } else {
            self.pending.extend_from_slice(self.bytes.get(start..end).unwrap_or_default());
            self.write_pending(end);
        }
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.written_end);
        self.bytes.extend_from_slice(self.pending.get(self.pending_written..).unwrap_or_default());
        self.bytes
    }
}
