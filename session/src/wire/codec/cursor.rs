//! A position in bytes: every read either moves forward or returns `None` and moves nothing.
//!
//! All code of `wire` that interprets bytes reads through [`Cursor`], so that no input can panic.

/// A position in bytes, held as the bytes after it.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(in crate::wire) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Returns the bytes that have not been read.
    #[inline]
    pub(in crate::wire) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Returns the number of bytes that have not been read.
    #[inline]
    pub(in crate::wire) fn remaining(self) -> usize {
        self.rest.len()
    }

    /// Returns the next byte without moving.
    #[inline]
    pub(in crate::wire) fn peek(self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    pub(in crate::wire) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    #[inline]
    pub(in crate::wire) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline]
    pub(in crate::wire) fn eight(&mut self) -> Option<[u8; 8]> {
        let (taken, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(*taken)
    }

    /// Reads a [varint](crate::_documentation::format#varints): 1 to 9 bytes, 64 bits.
    #[inline(always)]
    pub(in crate::wire) fn varint(&mut self) -> Option<u64> {
        let (&first, rest) = self.rest.split_first()?;
        let (value, rest) = if first < 0x80 { (u64::from(first), rest) } else { long_varint(first, rest)? };
        self.rest = rest;
        Some(value)
    }

    /// Returns the number of bytes between `earlier` and this position.
    #[inline]
    pub(in crate::wire) fn after(self, earlier: Cursor<'_>) -> usize {
        earlier.remaining().saturating_sub(self.remaining())
    }

    /// Returns the bytes between `earlier` and this position.
    #[inline]
    pub(in crate::wire) fn since(self, earlier: Cursor<'a>) -> &'a [u8] {
        let length = earlier.remaining().saturating_sub(self.remaining());
        earlier.rest.get(..length).unwrap_or_default()
    }
}

/// Reads the rest of a varint whose first byte has the continuation bit.
///
/// It takes the bytes, not the cursor. A cursor whose address is taken would not stay in registers
/// in any loop that reads values.
fn long_varint(first: u8, mut rest: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = u64::from(first & 0x7f);
    for _ in 0..7 {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, rest));
        }
    }
    // the ninth byte has no continuation bit: all of its bits belong to the value
    let (&byte, after) = rest.split_first()?;
    Some(((value << 8) | u64::from(byte), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
        let mut cursor = Cursor::new(bytes);
        let value = cursor.varint()?;
        Some((value, bytes.len() - cursor.remaining()))
    }

    #[test]
    fn varints_have_one_to_nine_bytes() {
        assert_eq!(varint(&[0x7f, 0xff]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0x80, 0x05]), Some((5, 2)), "longer than needed");
        assert_eq!(varint(&[0x82, 0x80, 0x01]), Some((32769, 3)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0xff; 8]), None);
        assert_eq!(varint(&[]), None);
    }

    #[test]
    fn reading_past_the_end_moves_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!(cursor.take(4), None);
        assert_eq!(cursor.eight(), None);
        let mut cut = Cursor::new(&[0x81, 0x82]);
        assert_eq!((cut.varint(), cut.remaining()), (None, 2));
        assert_eq!(cursor.take(2), Some(&[1, 2][..]));
        assert_eq!((cursor.peek(), cursor.byte(), cursor.byte()), (Some(3), Some(3), None));
    }
}
