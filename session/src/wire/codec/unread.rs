//! Records that are read once, from front to back, into arrays: the source of typed rows.
//!
//! A [`Record`] is found by skipping its values, and is read in a second pass. A reader that knows
//! the number of columns at compile time does both in one pass, and its arrays can stay in
//! registers. The typed iterators and typed applies call it.

use core::cell::Cell;

use super::cursor::Cursor;
use super::kind::{Format, Operation};
use super::record::{Record, Records};
use super::value::Value;
use super::walk::Layout;

/// A change of checked bytes whose values have not been read.
pub struct UnreadRecord<'r, 'a> {
    /// The records from the start of the change on.
    records: &'r Records<'a>,
    operation: Operation,
    /// The number of bytes of the change that have been read.
    ///
    /// A slice of the rest would take two words, which are written one by one and copied as one: a
    /// processor stalls there.
    read: Cell<usize>,
    /// The record that is read, if it was not found by an iterator.
    record: Option<&'r Record<'a>>,
}

/// The values of one side of a change, by column.
pub type Side<'a, const N: usize> = [Option<Value<'a>>; N];

impl<'a> UnreadRecord<'_, 'a> {
    pub(crate) fn table(&self) -> &'a str {
        self.records.table.map_or("", |table| table.name)
    }

    #[inline]
    pub(crate) fn key_ordinals(&self) -> &'a [u8] {
        self.records.table.map_or(&[], |table| table.key)
    }

    #[inline]
    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the change as a record.
    #[cold]
    pub(crate) fn record(&self) -> Option<Record<'a>> {
        self.record.copied().or_else(|| self.records.clone().next())
    }

    /// Returns the number of bytes that have been read.
    #[inline]
    pub(crate) fn length_read(&self) -> usize {
        self.read.get()
    }

    /// Skips the whole change, even if a part of it has been read.
    pub(crate) fn skip(&self) {
        if self.record.is_some() {
            return;
        }
        let mut records = self.records.clone();
        // checked bytes contain a record here; any others end the iteration
        if records.next().is_none() {
            records.rest = Cursor::new(&[]);
        }
        self.set_rest(records.rest);
    }

    /// Returns the old values. Must be called before [`new_values`](Self::new_values).
    #[inline]
    pub(crate) fn old<const N: usize>(&self) -> Side<'a, N> {
        match Layout::of(self.operation, self.records.format) {
            Layout::Row if self.operation == Operation::Insert => [None; N],
            Layout::Row | Layout::OldAndNew => self.next(),
            Layout::Key => self.next_key(),
            // the primary key is among the new values, or the old values do not precede them
            Layout::KeyAndNew => self.peek(),
        }
    }

    /// Returns the new values.
    #[inline]
    pub(crate) fn new_values<const N: usize>(&self) -> Side<'a, N> {
        match self.operation {
            Operation::Insert | Operation::Update => self.next(),
            Operation::Delete => [None; N],
        }
    }

    #[inline(always)]
    fn next<const N: usize>(&self) -> Side<'a, N> {
        let mut rest = self.rest();
        let side = read(&mut rest, self.key_ordinals().len());
        self.set_rest(rest);
        side
    }

    #[inline]
    fn peek<const N: usize>(&self) -> Side<'a, N> {
        let before = self.record.and_then(Record::before);
        read(&mut before.unwrap_or_else(|| self.rest()), self.key_ordinals().len())
    }

    fn next_key<const N: usize>(&self) -> Side<'a, N> {
        let mut rest = self.rest();
        let mut side = [None; N];
        for (slot, ordinal) in side.iter_mut().zip(self.key_ordinals()) {
            if *ordinal != 0 {
                *slot = rest.value();
            }
        }
        self.set_rest(rest);
        side
    }

    /// Returns the bytes that have not been read.
    #[inline]
    fn rest(&self) -> Cursor<'a> {
        Cursor::new(self.records.rest.rest().get(self.read.get()..).unwrap_or_default())
    }

    #[inline]
    fn set_rest(&self, rest: Cursor<'a>) {
        self.read.set(self.records.rest.remaining().saturating_sub(rest.remaining()));
    }
}

#[inline(always)]
fn read<'a, const N: usize>(rest: &mut Cursor<'a>, columns: usize) -> Side<'a, N> {
    if columns != N {
        return read_fewer(rest, columns);
    }
    let mut side = [None; N];
    let mut cursor = *rest;
    // the compiler knows the number of iterations
    for slot in &mut side {
        *slot = cursor.value();
    }
    *rest = cursor;
    side
}

#[cold]
fn read_fewer<'a, const N: usize>(rest: &mut Cursor<'a>, columns: usize) -> Side<'a, N> {
    let mut side = [None; N];
    for slot in side.iter_mut().take(columns) {
        *slot = rest.value();
    }
    side
}

impl<'a> Record<'a> {
    /// Calls `read` with the change, unread.
    pub(crate) fn with_unread<R>(&self, read: impl FnOnce(&UnreadRecord<'_, 'a>) -> R) -> R {
        let (table, format, raw) = self.parts();
        // the records of an UPDATE need not be adjacent: the old values are found as in a patchset
        let format = if self.before().is_some() { Format::Patchset } else { format };
        let records = Records::of_record(table, format, raw.after);
        read(&UnreadRecord { records: &records, operation: raw.operation, read: Cell::new(0), record: Some(self) })
    }

    /// Returns the old values of a changeset's UPDATE.
    fn before(&self) -> Option<Cursor<'a>> {
        let (_, format, raw) = self.parts();
        (Layout::of(raw.operation, format) == Layout::OldAndNew).then(|| Cursor::new(raw.before))
    }
}

impl<'a> Records<'a> {
    /// Returns the next change, unread. Calls `begin` at each header before it.
    ///
    /// The caller must read the whole change and then [skip](Self::skip_bytes) the bytes it has
    /// read.
    #[inline]
    pub(crate) fn next_unread(&mut self, mut begin: impl FnMut()) -> Option<UnreadRecord<'_, 'a>> {
        loop {
            if let Some(operation) = Operation::from_byte(self.rest.peek()?) {
                // the operation and the indirect flag
                return Some(UnreadRecord { records: self, operation, read: Cell::new(2), record: None });
            }
            self.next_section()?;
            begin();
        }
    }

    /// Skips bytes that have been read.
    #[inline]
    pub(crate) fn skip_bytes(&mut self, length: usize) {
        self.rest = Cursor::new(self.rest.rest().get(length..).unwrap_or_default());
    }
}
