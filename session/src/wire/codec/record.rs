//! Records: the public view of one change, and the iterators over records and their values.
//!
//! All of it requires bytes that have been checked, so nothing here can fail.

use core::fmt;
use core::iter::FusedIterator;

use super::check;
use super::cursor::Cursor;
use super::header::{Header, key_columns};
use super::kind::{Format, Operation};
use super::section::Section;
use super::value::Value;
use super::walk::Layout;

/// The parts of a change, as [`check::record`] returns them.
#[derive(Clone, Copy)]
pub(in crate::wire) struct RawRecord<'a> {
    pub(in crate::wire) operation: Operation,
    pub(in crate::wire) indirect: bool,
    /// The old values of a changeset's UPDATE; otherwise empty.
    pub(in crate::wire) before: &'a [u8],
    /// The new values of a changeset's UPDATE; otherwise the only record: see [`Layout`].
    pub(in crate::wire) after: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// Returns the record that contains the primary key. The change must be a changeset's.
    #[cfg(feature = "std")]
    pub(in crate::wire) fn key_record(&self) -> &'a [u8] {
        if self.operation == Operation::Update { self.before } else { self.after }
    }
}

/// One change to one row, borrowed from the bytes of a changeset or patchset.
///
/// Columns are counted from 0 in the order of the table's declaration, generated columns excluded.
/// The operation and the format determine which values are recorded:
///
/// | | `old_value` | `new_value` |
/// |---|---|---|
/// | INSERT | none | every column |
/// | DELETE, changeset | every column | none |
/// | DELETE, patchset | the primary key | none |
/// | UPDATE, changeset | the primary key and the columns that changed | the columns that changed |
/// | UPDATE, patchset | the primary key | the columns that changed |
///
/// A value that is not recorded is `None`. NULL is a value: `Some(Value::Null)`.
///
/// An UPDATE can also contain a new value for its primary key, or equal old and new values of a
/// column that did not change. This occurs in changesets that SQLite rebased, and where a key
/// changed to an [equal key](crate::_documentation::format#keys). Compare the values to be sure
/// that they differ.
///
/// `Display` lists the columns in order, with `_` for a value that is not recorded and an arrow for
/// a change: `UPDATE users(2, 'Bob' -> 'Robert', _)`.
///
/// ```
/// use diesel_sqlite_session::{Changeset, Operation, Value};
///
/// let changeset = Changeset::try_from(
///     b"T\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x00\x03\x06Robert".to_vec(),
/// )?;
/// let record = changeset.records().next().unwrap();
/// assert_eq!((record.table(), record.operation()), ("users", Operation::Update));
/// assert_eq!(record.old_value(0), Some(Value::Integer(2)));
/// assert_eq!(record.new_value(0), None, "the key did not change");
/// assert_eq!(record.new_value(1).and_then(Value::as_str), Some("Robert"));
/// assert_eq!(record.to_string(), "UPDATE users(2, 'Bob' -> 'Robert')");
/// # Ok::<(), diesel_sqlite_session::ParseError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Record<'a> {
    table: Header<'a>,
    format: Format,
    raw: RawRecord<'a>,
    offset: usize,
}

impl<'a> Record<'a> {
    pub(in crate::wire) fn new(table: Header<'a>, format: Format, raw: RawRecord<'a>, offset: usize) -> Self {
        Self { table, format, raw, offset }
    }

    /// Returns the table's header, the format and the parts of the change.
    pub(in crate::wire) fn parts(&self) -> (Header<'a>, Format, RawRecord<'a>) {
        (self.table, self.format, self.raw)
    }

    /// Returns the name of the table, without its schema.
    pub fn table(&self) -> &'a str {
        self.table.name
    }

    /// Returns the operation: INSERT, UPDATE or DELETE.
    pub fn operation(&self) -> Operation {
        self.raw.operation
    }

    /// Returns whether the change was made by a trigger or a foreign key action, or while the
    /// session was set to [indirect](https://www.sqlite.org/session/sqlite3session_indirect.html).
    pub fn indirect(&self) -> bool {
        self.raw.indirect
    }

    /// Returns the number of columns of the table.
    pub fn column_count(&self) -> usize {
        self.table.key.len()
    }

    /// Returns a byte for each column: its position in the primary key, counted from 1, or 0 if it
    /// is not part of the key. See [`Section::key_ordinals`].
    pub fn key_ordinals(&self) -> &'a [u8] {
        self.table.key
    }

    /// Returns the positions of the primary key's columns, counted from 0, in the order of the
    /// table's columns.
    pub fn key_columns(&self) -> impl Iterator<Item = usize> + use<'a> {
        key_columns(self.table.key)
    }

    /// Returns the offset in the input, counted from 0, at which this change begins.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the length of the change in bytes.
    #[cfg(feature = "sqlite")]
    pub(crate) fn byte_length(&self) -> usize {
        self.raw.before.len().saturating_add(self.raw.after.len()).saturating_add(2)
    }

    /// Returns the length of the longest text or blob of the change, in bytes.
    #[cfg(feature = "std")]
    pub(crate) fn longest_value(&self) -> usize {
        let values = self.old_values().chain(self.new_values()).flatten();
        values.filter_map(Value::as_bytes).map(<[u8]>::len).max().unwrap_or(0)
    }

    /// Returns the format of the set that the change is in.
    #[cfg(feature = "typed")]
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Returns the offset in the input of this value of a column.
    #[cfg(feature = "typed")]
    pub(crate) fn offset_of(&self, column: usize, value: Value<'a>) -> Option<usize> {
        let key_only = Layout::of(self.raw.operation, self.format) == Layout::Key;
        let before = self.offset.saturating_add(2);
        let after = before.saturating_add(self.raw.before.len());
        for (start, bytes) in [(before, self.raw.before), (after, self.raw.after)] {
            let mut cursor = Cursor::new(bytes);
            for (recorded, _) in self.table.key.iter().enumerate().filter(|(_, ordinal)| !key_only || **ordinal != 0) {
                let at = start.saturating_add(bytes.len()).saturating_sub(cursor.remaining());
                if cursor.value() == Some(value) && recorded == column {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Returns the old value of a column, or `None` if it is not recorded or there is no such
    /// column.
    ///
    /// Each call reads the record from its start. To read several columns, use
    /// [`old_values`](Self::old_values).
    pub fn old_value(&self, column: usize) -> Option<Value<'a>> {
        self.old_values().nth(column).flatten()
    }

    /// Returns the new value of a column, or `None` if it is not recorded or there is no such
    /// column.
    ///
    /// Each call reads the record from its start. To read several columns, use
    /// [`new_values`](Self::new_values).
    pub fn new_value(&self, column: usize) -> Option<Value<'a>> {
        self.new_values().nth(column).flatten()
    }

    /// Returns the old values: an item for each column, `None` if the value is not recorded.
    #[inline]
    pub fn old_values(&self) -> Values<'a> {
        let is_insert = self.raw.operation == Operation::Insert;
        let (columns, bytes) = match Layout::of(self.raw.operation, self.format) {
            Layout::Row if is_insert => (Columns::Nothing, self.raw.after),
            Layout::Row => (Columns::Row, self.raw.after),
            Layout::Key => (Columns::Key, self.raw.after),
            Layout::OldAndNew => (Columns::Changed(Cursor::new(self.raw.after)), self.raw.before),
            Layout::KeyAndNew => (Columns::KeyOfRow, self.raw.after),
        };
        Values { bytes: Cursor::new(bytes), key: self.table.key.iter(), columns }
    }

    /// Returns the new values: an item for each column, `None` if the value is not recorded.
    #[inline]
    pub fn new_values(&self) -> Values<'a> {
        let is_delete = self.raw.operation == Operation::Delete;
        let columns = match Layout::of(self.raw.operation, self.format) {
            Layout::Row | Layout::Key if is_delete => Columns::Nothing,
            Layout::KeyAndNew => Columns::RestOfRow,
            Layout::Row | Layout::Key | Layout::OldAndNew => Columns::Row,
        };
        Values { bytes: Cursor::new(self.raw.after), key: self.table.key.iter(), columns }
    }

    /// Returns the values of the primary key, in the order of the table's columns. Every change
    /// records them, and none is NULL.
    pub fn key_values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let values = match self.raw.operation {
            Operation::Insert => self.new_values(),
            Operation::Update | Operation::Delete => self.old_values(),
        };
        values.zip(self.table.key).filter(|(_, ordinal)| **ordinal != 0).filter_map(|(value, _)| value)
    }
}

/// Two records are equal if their table, format, operation, indirect flag and values are. Their
/// offsets are not compared.
impl PartialEq for Record<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.table.name, self.table.key, self.format) == (other.table.name, other.table.key, other.format)
            && (self.raw.operation, self.raw.indirect) == (other.raw.operation, other.raw.indirect)
            && self.old_values().eq(other.old_values())
            && self.new_values().eq(other.new_values())
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(f, |f, value| write!(f, "{value}"))
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(f, |f, value| write!(f, "{value:?}"))
    }
}

impl Record<'_> {
    fn render(
        &self,
        f: &mut fmt::Formatter<'_>,
        show: fn(&mut fmt::Formatter<'_>, Value<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write!(f, "{} {}(", self.operation(), self.table().escape_debug())?;
        for (column, (old, new)) in self.old_values().zip(self.new_values()).enumerate() {
            if column > 0 {
                f.write_str(", ")?;
            }
            match (old, new) {
                (None, None) => f.write_str("_")?,
                (Some(value), None) => show(f, value)?,
                (None, Some(value)) => {
                    if self.operation() == Operation::Update {
                        f.write_str("-> ")?;
                    }
                    show(f, value)?;
                }
                (Some(old), Some(new)) => {
                    show(f, old)?;
                    f.write_str(" -> ")?;
                    show(f, new)?;
                }
            }
        }
        f.write_str(if self.indirect() { ") indirect" } else { ")" })
    }
}

/// The columns that have a field in the bytes, and the selection that an iterator returns of them.
#[derive(Clone, Copy)]
enum Columns<'a> {
    /// No column is returned.
    Nothing,
    /// All columns have a field; all are returned.
    Row,
    /// The columns of the primary key have a field; all of them are returned.
    Key,
    /// All columns have a field; those of the primary key are returned.
    KeyOfRow,
    /// All columns have a field; those outside of the primary key are returned.
    RestOfRow,
    /// All columns have a field; those of the primary key are returned, and those with a new value
    /// here.
    Changed(Cursor<'a>),
}

/// An iterator over the old or the new values of a change: an item for each column of the table,
/// `None` if the value is not recorded.
#[derive(Clone)]
#[must_use = "iterators are lazy"]
pub struct Values<'a> {
    bytes: Cursor<'a>,
    key: core::slice::Iter<'a, u8>,
    columns: Columns<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = Option<Value<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let is_key = *self.key.next()? != 0;
        Some(match &mut self.columns {
            Columns::Row => self.bytes.value(),
            Columns::Nothing => None,
            Columns::Key if is_key => self.bytes.value(),
            Columns::Key => None,
            Columns::KeyOfRow => self.bytes.value().filter(|_| is_key),
            Columns::RestOfRow => self.bytes.value().filter(|_| !is_key),
            Columns::Changed(new) => {
                let changed = new.value().is_some();
                self.bytes.value().filter(|_| is_key || changed)
            }
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.key.size_hint()
    }

    /// Matches on the columns once, not for each value.
    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, first: B, mut f: F) -> B {
        let mut folded = first;
        if matches!(self.columns, Columns::Row) {
            let mut bytes = self.bytes;
            for _ in self.key {
                folded = f(folded, bytes.value());
            }
        } else {
            for value in self.by_ref() {
                folded = f(folded, value);
            }
        }
        folded
    }
}

impl ExactSizeIterator for Values<'_> {}
impl FusedIterator for Values<'_> {}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// An iterator over the records of a changeset, a patchset or one section, in the order of the
/// bytes.
///
/// The iterator copies nothing, and cannot fail because the bytes have been checked.
#[derive(Clone)]
#[must_use = "iterators are lazy"]
pub struct Records<'a> {
    pub(in crate::wire) rest: Cursor<'a>,
    pub(in crate::wire) format: Format,
    pub(in crate::wire) table: Option<Header<'a>>,
    /// Whether to stop at the next table header.
    one_section: bool,
    /// The length of the whole input.
    pub(in crate::wire) total: usize,
}

impl<'a> Records<'a> {
    pub(in crate::wire) fn new(bytes: &'a [u8], format: Format) -> Self {
        Self { rest: Cursor::new(bytes), format, table: None, one_section: false, total: bytes.len() }
    }

    pub(in crate::wire) fn of_section(section: &Section<'a>) -> Self {
        Self {
            rest: section.rest,
            format: section.format,
            table: Some(section.header),
            one_section: true,
            total: section.total,
        }
    }

    /// Creates an iterator over the bytes of a single change, without its operation and flag.
    #[cfg(feature = "typed")]
    pub(in crate::wire) fn of_record(table: Header<'a>, format: Format, values: &'a [u8]) -> Self {
        Self { table: Some(table), one_section: true, ..Self::new(values, format) }
    }

    #[cold]
    pub(in crate::wire) fn next_section(&mut self) -> Option<Header<'a>> {
        if self.one_section {
            return None;
        }
        let header = check::header(&mut self.rest, self.format).ok()?;
        self.table = Some(header);
        Some(header)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            let first = self.rest.peek()?;
            if Format::from_byte(first).is_some() {
                self.next_section()?;
                continue;
            }
            let offset = self.total.saturating_sub(self.rest.remaining());
            let table = self.table?;
            // a local cursor stays in registers
            let mut rest = self.rest;
            let raw = check::read_checked_inline(&mut rest, table, self.format)?;
            self.rest = rest;
            return Some(Record::new(table, self.format, raw, offset));
        }
    }
}

impl FusedIterator for Records<'_> {}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The number of records that are shown.
        const SHOWN: usize = 100;
        let mut list = f.debug_list();
        let mut rest = self.clone();
        list.entries(rest.by_ref().take(SHOWN));
        match rest.count() {
            0 => list.finish(),
            more => list.entry(&format_args!("… {more} more")).finish(),
        }
    }
}
