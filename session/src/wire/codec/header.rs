//! The header of a section: the table's name, column count and key ordinals.
//!
//! [`check::header`](super::check::header) reads headers; [`Header::write`] writes them.

use super::check::ParseFault;
use super::cursor::Cursor;
use super::error::ParseErrorKind;

/// The largest column count that SQLite reads.
pub(in crate::wire) const MAX_COLUMNS: u64 = 65_536;

/// A header, without its first byte, which is the format.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Header<'a> {
    pub(in crate::wire) name: &'a str,
    /// The key ordinals: a byte for each column, its position in the primary key counted from 1, or 0.
    pub(in crate::wire) key: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads and checks a header whose first byte, the format, has been read.
    ///
    /// # Errors
    ///
    /// Fails with the kinds that concern a table: column count, primary key, name, end of the input.
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

/// Returns the positions of the primary key's columns, in the order of the table's columns.
pub(in crate::wire) fn key_columns(key: &[u8]) -> impl Iterator<Item = usize> + use<'_> {
    key.iter().enumerate().filter(|(_, ordinal)| **ordinal != 0).map(|(column, _)| column)
}
