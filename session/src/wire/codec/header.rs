//! The header that begins each table section.

use super::check::{Fault, FaultAt};
use super::cursor::Cursor;
use super::error::ParseErrorKind;

/// The most columns that SQLite's reader takes.
pub(in crate::wire) const MAX_COLUMNS: u64 = 65_536;

/// What a table header says, after its first byte.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Header<'a> {
    pub(in crate::wire) name: &'a str,
    /// A byte for each column: its place in the key, or 0.
    pub(in crate::wire) key: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads and checks a header whose first byte, which says the format, has been read.
    pub(in crate::wire) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let start = *cursor;
        let Some(columns) = cursor.varint() else {
            return Err(FaultAt::end(start, 1));
        };
        let count = match usize::try_from(columns) {
            Ok(count) if (1..=MAX_COLUMNS).contains(&columns) => count,
            _ => return Err(FaultAt::new(ParseErrorKind::ColumnCount(columns), start)),
        };
        let flags = *cursor;
        let Some(key) = cursor.take(count) else {
            // the ordinals, and the NUL that ends the name
            return Err(FaultAt::end(flags, count.saturating_sub(cursor.remaining()).saturating_add(1)));
        };
        if key.iter().all(|&place| place == 0) {
            return Err(FaultAt::new(ParseErrorKind::NoPrimaryKey, flags));
        }
        let name_start = *cursor;
        let Some(length) = cursor.rest().iter().position(|&byte| byte == 0) else {
            return Err(FaultAt::end_of_name(name_start));
        };
        let name = cursor.take(length).unwrap_or_default();
        cursor.byte();
        match core::str::from_utf8(name) {
            Ok(name) => Ok(Self { name, key }),
            Err(_) => Err(FaultAt::new(ParseErrorKind::TableName, name_start)),
        }
    }
}

/// Returns the positions of the primary key's columns, in the order of the table's columns.
pub(in crate::wire) fn key_columns(key: &[u8]) -> impl Iterator<Item = usize> + use<'_> {
    key.iter().enumerate().filter(|(_, place)| **place != 0).map(|(column, _)| column)
}
