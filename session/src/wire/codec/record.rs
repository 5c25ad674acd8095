//! One change: the view that a user has of it, and the iterators over changes and over values.

use core::fmt;
use core::iter::FusedIterator;

use super::check;
use super::cursor::Cursor;
use super::header::{Header, key_columns};
use super::kind::{Format, Operation};
use super::section::Section;
#[cfg(feature = "sqlite")]
use super::section::SectionId;
use super::value::Value;
use super::walk::Layout;

/// A change as [`check::record`] found it.
#[derive(Clone, Copy)]
pub(in crate::wire) struct RawRecord<'a> {
    pub(in crate::wire) operation: Operation,
    pub(in crate::wire) indirect: bool,
    /// The `old.*` record of a changeset's UPDATE; otherwise empty.
    pub(in crate::wire) before: &'a [u8],
    /// The `new.*` record of a changeset's UPDATE; otherwise the only record.
    pub(in crate::wire) after: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// The record of a changeset's change that has its key.
    #[cfg(feature = "std")]
    pub(in crate::wire) fn key_record(&self) -> &'a [u8] {
        if self.operation == Operation::Update { self.before } else { self.after }
    }
}

/// One change to one row, borrowed from the bytes of a changeset or patchset.
///
/// Columns are counted from 0, in the order in which the table declares them; generated columns are not among them. What
/// is recorded depends on the operation:
///
/// | | `old_value` | `new_value` |
/// |---|---|---|
/// | INSERT | nothing | every column |
/// | DELETE, changeset | every column | nothing |
/// | DELETE, patchset | the key | nothing |
/// | UPDATE, changeset | the key, and the columns that changed | the columns that changed |
/// | UPDATE, patchset | the key | the columns that changed |
///
/// A value that is not recorded is `None`; NULL is a value, `Some(Value::Null)`. In a changeset that SQLite has rebased, or
/// where a key changed to an [equal one](crate::_documentation::format#keys), an UPDATE can have a new value for its key, and the same value
/// twice for a column that did not change: compare the values to be sure that they differ.
///
/// `Display` shows the change with a column's place as its only name, `_` for what is not recorded, and an arrow for what
/// changed: `UPDATE users(2, 'Bob' -> 'Robert', _)`.
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

    /// The table's header, the format and the bytes.
    pub(in crate::wire) fn parts(&self) -> (Header<'a>, Format, RawRecord<'a>) {
        (self.table, self.format, self.raw)
    }

    /// The name of the table, without its schema.
    pub fn table(&self) -> &'a str {
        self.table.name
    }

    /// Whether the row was inserted, updated or deleted.
    pub fn operation(&self) -> Operation {
        self.raw.operation
    }

    /// Whether the change was made by a trigger or a foreign key action, or while the session was set to
    /// [indirect](https://www.sqlite.org/session/sqlite3session_indirect.html).
    pub fn indirect(&self) -> bool {
        self.raw.indirect
    }

    /// How many columns the table has.
    pub fn column_count(&self) -> usize {
        self.table.key.len()
    }

    /// For each column its place in the primary key: see [`Section::key_ordinals`].
    pub fn key_ordinals(&self) -> &'a [u8] {
        self.table.key
    }

    /// The positions of the primary key's columns, counted from 0, in the order of the table's columns.
    pub fn key_columns(&self) -> impl Iterator<Item = usize> + use<'a> {
        key_columns(self.table.key)
    }

    /// The byte of the input, counted from 0, at which this change begins.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The section that the change is in.
    #[cfg(feature = "sqlite")]
    pub(crate) fn section_id(&self) -> SectionId<'a> {
        SectionId::of(self.table)
    }

    /// How many bytes the change takes.
    #[cfg(feature = "sqlite")]
    pub(crate) fn byte_length(&self) -> usize {
        self.raw.before.len().saturating_add(self.raw.after.len()).saturating_add(2)
    }

    /// The most bytes that a text or blob of the change has.
    #[cfg(feature = "std")]
    pub(crate) fn longest_value(&self) -> usize {
        let values = self.old_values().chain(self.new_values()).flatten();
        values.filter_map(Value::as_bytes).map(<[u8]>::len).max().unwrap_or(0)
    }

    /// Whether it is of a changeset or of a patchset.
    #[cfg(feature = "typed")]
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The byte of the input at which this value of a column stands.
    #[cfg(feature = "typed")]
    pub(crate) fn offset_of(&self, column: usize, value: Value<'a>) -> Option<usize> {
        let key_alone = Layout::of(self.raw.operation, self.format) == Layout::Key;
        let before = self.offset.saturating_add(2);
        let after = before.saturating_add(self.raw.before.len());
        for (start, bytes) in [(before, self.raw.before), (after, self.raw.after)] {
            let mut cursor = Cursor::new(bytes);
            for (place, _) in self.table.key.iter().enumerate().filter(|(_, key)| !key_alone || **key != 0) {
                let at = start.saturating_add(bytes.len()).saturating_sub(cursor.remaining());
                if cursor.value() == Some(value) && place == column {
                    return Some(at);
                }
            }
        }
        None
    }

    /// What column `column` held before the change, if that is recorded; `None` too where there is no such column.
    ///
    /// This reads the record from its start; for several columns, [`old_values`](Self::old_values) reads it once.
    pub fn old_value(&self, column: usize) -> Option<Value<'a>> {
        self.old_values().nth(column).flatten()
    }

    /// What column `column` held after the change, if that is recorded; `None` too where there is no such column.
    ///
    /// This reads the record from its start; for several columns, [`new_values`](Self::new_values) reads it once.
    pub fn new_value(&self, column: usize) -> Option<Value<'a>> {
        self.new_values().nth(column).flatten()
    }

    /// What each column held before the change, where that is recorded; one item for each column.
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

    /// What each column held after the change, where that is recorded; one item for each column.
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

    /// The values of the primary key, in the order of the table's columns. Every change records them, and none is NULL.
    pub fn key_values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let values = match self.raw.operation {
            Operation::Insert => self.new_values(),
            Operation::Update | Operation::Delete => self.old_values(),
        };
        values.zip(self.table.key).filter(|(_, place)| **place != 0).filter_map(|(value, _)| value)
    }
}

/// Two changes are equal if they do the same to the same table; at which byte they stand is left aside.
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

/// Which columns have a value in the bytes, and which of those are wanted.
#[derive(Clone, Copy)]
enum Columns<'a> {
    /// No column is wanted.
    Nothing,
    /// All columns, all wanted.
    Row,
    /// The key's columns, all wanted.
    Key,
    /// All columns, of which the key's are wanted.
    KeyOfRow,
    /// All columns, of which the key's are not wanted.
    RestOfRow,
    /// All columns, of which the key's are wanted and those that have a value here too.
    Changed(Cursor<'a>),
}

/// The values of one side of a change, one item for each column of the table: `None` where none is recorded.
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

    /// Decides once, not for each value, what the bytes hold.
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

/// The changes of a changeset, a patchset or one of its sections, in the order of the bytes.
///
/// Nothing is copied, and as the bytes have been checked, nothing can fail.
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

    /// What a single change holds, without what it begins with.
    #[cfg(feature = "typed")]
    pub(in crate::wire) fn of_record(table: Header<'a>, format: Format, values: &'a [u8]) -> Self {
        Self { table: Some(table), one_section: true, ..Self::new(values, format) }
    }

    #[cold]
    pub(in crate::wire) fn next_section(&mut self) -> Option<Header<'a>> {
        if self.one_section {
            return None;
        }
        let header = check::section(&mut self.rest, self.format).ok()?;
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
            // read by way of a cursor of its own, which stays in registers
            let mut rest = self.rest;
            let raw = check::extent_here(&mut rest, table, self.format)?;
            self.rest = rest;
            return Some(Record::new(table, self.format, raw, offset));
        }
    }
}

impl FusedIterator for Records<'_> {}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More than anybody reads.
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
