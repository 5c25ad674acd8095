//! The header of a section: the table's name, column count and key ordinals.
//!
//! [`check::header`](super::check::header) reads headers; [`Header::write`] writes them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::check::ParseFault;
use super::cursor::Cursor;
use super::encode::{EncodeError, EncodeResult};
use super::error::{BuildErrorKind, ParseErrorKind};
use super::kind::Format;
use super::value::write_varint;

/// The largest column count that SQLite reads.
pub(in crate::wire) const MAX_COLUMNS: u64 = 65_536;

/// A header, without its first byte, which is the format.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Header<'a> {
    pub(in crate::wire) name: &'a str,
    /// The key ordinals: a byte for each column, its position in the primary key counted from 1, or
    /// 0.
    pub(in crate::wire) key: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads and checks a header whose first byte, the format, has been read.
    ///
    /// # Errors
    ///
    /// Fails with the kinds that concern a table: column count, primary key, name, end of the
    /// input.
    pub(in crate::wire) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Box<ParseFault>> {
        let start = *cursor;
        let Some(columns) = cursor.varint() else {
            return Err(ParseFault::end(start, 1));
        };
        let count = match usize::try_from(columns) {
            Ok(count) if (1..=MAX_COLUMNS).contains(&columns) => count,
            _ => return Err(ParseFault::new(ParseErrorKind::ColumnCount(columns), start)),
        };
        let flags = *cursor;
        let Some(key) = cursor.take(count) else {
            // the key ordinals, and the NUL that ends the name
            return Err(ParseFault::end(flags, count.saturating_sub(cursor.remaining()).saturating_add(1)));
        };
        if key.iter().all(|&ordinal| ordinal == 0) {
            return Err(ParseFault::new(ParseErrorKind::NoPrimaryKey, flags));
        }
        let name_start = *cursor;
        let Some(length) = cursor.rest().iter().position(|&byte| byte == 0) else {
            return Err(ParseFault::end_of_name(name_start));
        };
        let name = cursor.take(length).unwrap_or_default();
        cursor.byte();
        match core::str::from_utf8(name) {
            Ok(name) => Ok(Self { name, key }),
            Err(_) => Err(ParseFault::new(ParseErrorKind::TableName, name_start)),
        }
    }
}

impl Header<'_> {
    /// Checks a header that was made by a builder: rejects what [`read`](Self::read) would reject.
    ///
    /// # Errors
    ///
    /// Fails with the kind for the column count, the primary key or the name.
    pub(in crate::wire) fn check(self) -> EncodeResult<()> {
        if self.key.is_empty() || self.key.len() as u64 > MAX_COLUMNS {
            return Err(EncodeError::new(BuildErrorKind::ColumnCount(self.key.len())));
        }
        if self.key.iter().all(|ordinal| *ordinal == 0) {
            return Err(EncodeError::new(BuildErrorKind::NoPrimaryKey));
        }
        if self.name.contains('\0') { Err(EncodeError::new(BuildErrorKind::TableName)) } else { Ok(()) }
    }

    /// Appends the header, with the byte of the format.
    pub(in crate::wire) fn write(self, format: Format, out: &mut Vec<u8>) {
        out.push(format.to_byte());
        write_varint(out, self.key.len() as u64);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.name.as_bytes());
        out.push(0);
    }
}

/// Returns the positions of the primary key's columns, in the order of the table's columns.
pub(in crate::wire) fn key_columns(key: &[u8]) -> impl Iterator<Item = usize> + use<'_> {
    key.iter().enumerate().filter(|(_, ordinal)| **ordinal != 0).map(|(column, _)| column)
}
