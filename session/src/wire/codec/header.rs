//! The header that begins each table section.

use core::fmt;

use super::check::{Fault, FaultAt};
use super::cursor::Cursor;
use super::error::ParseErrorKind;
use super::record::Records;
use super::kind::{Format, Operation};

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

/// Which section of the bytes a change is in, to tell whether another is in the same one.
#[cfg(feature = "sqlite")]
#[derive(Clone, Copy)]
pub(crate) struct Section<'a>(&'a [u8]);

#[cfg(feature = "sqlite")]
impl<'a> Section<'a> {
    #[inline]
    pub(in crate::wire) fn of(header: Header<'a>) -> Self {
        Self(header.key)
    }
}

/// Each section has key ordinals of its own: where they stand among the bytes tells it from all others.
#[cfg(feature = "sqlite")]
impl PartialEq for Section<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

/// One section of a changeset or patchset: a table's header and the changes that follow it.
///
/// A table can have more than one section, and a section can be without changes; SQLite writes one for each table
/// that has changed.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    pub(in crate::wire) header: Header<'a>,
    pub(in crate::wire) format: Format,
    /// The bytes after the header, up to the end of the input.
    pub(in crate::wire) rest: Cursor<'a>,
    /// The length of the whole input.
    pub(in crate::wire) total: usize,
}

impl<'a> Table<'a> {
    /// The table's name, without its schema. SQLite compares table names without regard to the case of ASCII letters.
    pub fn name(&self) -> &'a str {
        self.header.name
    }

    /// How many columns each record has.
    pub fn column_count(&self) -> usize {
        self.header.key.len()
    }

    /// For each column its place in the primary key, counted from 1, or 0 where it is not part of the key: for
    /// `PRIMARY KEY (b, a)` on columns `a, b, c` that is `[2, 1, 0]`.
    ///
    /// Software other than SQLite may write 1 for every column of the key, and a key that names a column twice leaves a
    /// gap, so only "0 or not" is certain.
    pub fn key_ordinals(&self) -> &'a [u8] {
        self.header.key
    }

    /// The positions of the primary key's columns, counted from 0, in the order of the table's columns.
    pub fn key_columns(&self) -> impl Iterator<Item = usize> + use<'a> {
        key_columns(self.header.key)
    }

    /// The changes of this section.
    pub fn records(&self) -> Records<'a> {
        Records::of_section(self)
    }
}

pub(in crate::wire) fn key_columns(key: &[u8]) -> impl Iterator<Item = usize> + use<'_> {
    key.iter().enumerate().filter(|(_, place)| **place != 0).map(|(column, _)| column)
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name())
            .field("key_ordinals", &self.key_ordinals())
            .finish_non_exhaustive()
    }
}

/// The table sections of a changeset or patchset, in the order of the bytes: see [`Table`].
///
/// To find the next section, the changes of the last one are skipped. If you read them too and do not need the sections as
/// such, `records()` is faster.
#[derive(Clone)]
#[must_use = "iterators are lazy"]
pub struct Tables<'a> {
    format: Format,
    rest: Cursor<'a>,
    total: usize,
    last: Option<Header<'a>>,
}

impl<'a> Tables<'a> {
    pub(in crate::wire) fn new(bytes: &'a [u8], format: Format) -> Self {
        Self { format, rest: Cursor::new(bytes), total: bytes.len(), last: None }
    }
}

impl<'a> Iterator for Tables<'a> {
    type Item = Table<'a>;

    fn next(&mut self) -> Option<Table<'a>> {
        if let Some(header) = self.last {
            while self.rest.peek().is_some_and(|byte| Operation::from_byte(byte).is_some()) {
                super::check::extent(&mut self.rest, header, self.format)?;
            }
        }
        Format::from_byte(self.rest.byte()?)?;
        let header = Header::read(&mut self.rest).ok()?;
        self.last = Some(header);
        Some(Table { header, format: self.format, rest: self.rest, total: self.total })
    }
}

impl core::iter::FusedIterator for Tables<'_> {}

impl fmt::Debug for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
