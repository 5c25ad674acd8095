//! One change that is read once, from front to back, into arrays: what typed rows are made of.
//!
//! A [`Record`] is found by passing over its values, and then read by passing over them again. Where the reader knows how
//! many columns there are, both can be done at once, and the arrays need not even be in memory.

use core::cell::Cell;

use super::cursor::Cursor;
use super::kind::{Format, Operation};
use super::record::{Record, Records};
use super::value::Value;

/// A change of checked bytes, of which the values are yet to be read.
pub struct UnreadRecord<'r, 'a> {
    /// From where the change begins.
    records: &'r Records<'a>,
    operation: Operation,
    /// How many bytes of it have been read. Not what is left of them: that takes two words, and the processor has to wait where
    /// they are written one by one and copied as one.
    read: Cell<usize>,
    /// The record that is read, where it is one by itself.
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

    /// The change as a record.
    #[cold]
    pub(crate) fn record(&self) -> Option<Record<'a>> {
        self.record.copied().or_else(|| self.records.clone().next())
    }

    /// How many bytes have been read.
    #[inline]
    pub(crate) fn length_read(&self) -> usize {
        self.read.get()
    }

    /// Passes over all of the change, whatever has been read of it.
    pub(crate) fn skip(&self) {
        if self.record.is_some() {
            return;
        }
        let mut records = self.records.clone();
        // without a record, which checked bytes have, this is the end
        if records.next().is_none() {
            records.rest = Cursor::new(&[]);
        }
        self.set_rest(records.rest);
    }

    /// What the columns held before. To be called before [`new_values`](Self::new_values).
    #[inline]
    pub(crate) fn old<const N: usize>(&self) -> Side<'a, N> {
        match (self.operation, self.records.format) {
            (Operation::Insert, _) => [None; N],
            (_, Format::Changeset) => self.next(),
            (Operation::Delete, Format::Patchset) => self.next_key(),
            // the key, which stands among the new values; or what does not stand before them
            (Operation::Update, Format::Patchset) => self.peek(),
        }
    }

    /// What the columns hold now.
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

    /// What has not been read.
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
    // so many times that the compiler knows it
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
    /// The change, unread, for `read`.
    pub(crate) fn with_unread<R>(&self, read: impl FnOnce(&UnreadRecord<'_, 'a>) -> R) -> R {
        let (table, format, raw) = self.parts();
        // both sides of an UPDATE need not stand next to each other: the old one is looked up, as in a patchset
        let format = if self.before().is_some() { Format::Patchset } else { format };
        let records = Records::of_record(table, format, raw.after);
        read(&UnreadRecord { records: &records, operation: raw.operation, read: Cell::new(0), record: Some(self) })
    }

    /// The old side of an UPDATE of a changeset.
    fn before(&self) -> Option<Cursor<'a>> {
        match self.parts() {
            (_, Format::Changeset, raw) if raw.operation == Operation::Update => Some(Cursor::new(raw.before)),
            _ => None,
        }
    }
}

impl<'a> Records<'a> {
    /// The next change, unread; `begin` is called at each table header before it. What has been read is then to be
    /// [left](Self::skip_bytes), which must be all of the change.
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

    /// Leaves so many bytes behind.
    #[inline]
    pub(crate) fn skip_bytes(&mut self, length: usize) {
        self.rest = Cursor::new(self.rest.rest().get(length..).unwrap_or_default());
    }
}
