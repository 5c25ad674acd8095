//! One change that is read once, from front to back, into arrays: what typed rows are made of.
//!
//! A [`Record`] is found by passing over its values, and then read by passing over them again. Where the reader knows how
//! many columns there are, both can be done at once, and the arrays need not even be in memory.

use core::cell::Cell;

use super::check;
use super::cursor::Cursor;
use super::record::{Record, Records};
use super::table::{Header, Section};
use super::value::Value;
use super::{Format, Operation};

/// A change of checked bytes, of which the values are yet to be read.
pub struct Source<'a> {
    table: Header<'a>,
    format: Format,
    operation: Operation,
    offset: usize,
    /// Where the change begins.
    start: Cursor<'a>,
    /// What has not been read.
    rest: Cell<Cursor<'a>>,
}

/// The values of one side of a change, by column.
pub type Side<'a, const N: usize> = [Option<Value<'a>>; N];

impl<'a> Source<'a> {
    pub(crate) fn table(&self) -> &'a str {
        self.table.name
    }

    #[inline]
    pub(crate) fn key_ordinals(&self) -> &'a [u8] {
        self.table.key
    }

    /// The section that the change is in.
    #[inline]
    pub(crate) fn section(&self) -> Section<'a> {
        Section::of(self.table)
    }

    #[inline]
    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// The change as a record.
    #[cold]
    pub(crate) fn record(&self) -> Option<Record<'a>> {
        let raw = check::extent(&mut { self.start }, self.table, self.format)?;
        Some(Record::new(self.table, self.format, raw, self.offset))
    }

    /// What the columns held before. To be called before [`new_values`](Self::new_values).
    #[inline]
    pub(crate) fn old<const N: usize>(&self) -> Side<'a, N> {
        match (self.operation, self.format) {
            (Operation::Insert, _) => [None; N],
            (_, Format::Changeset) => self.next(),
            (Operation::Delete, Format::Patchset) => self.next_key(),
            // the key, which stands among the new values
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

    #[inline]
    fn next<const N: usize>(&self) -> Side<'a, N> {
        let mut rest = self.rest.get();
        let side = read(&mut rest, self.table.key.len());
        self.rest.set(rest);
        side
    }

    #[inline]
    fn peek<const N: usize>(&self) -> Side<'a, N> {
        read(&mut self.rest.get(), self.table.key.len())
    }

    fn next_key<const N: usize>(&self) -> Side<'a, N> {
        let mut rest = self.rest.get();
        let mut side = [None; N];
        for (slot, place) in side.iter_mut().zip(self.table.key) {
            if *place != 0 {
                *slot = rest.value();
            }
        }
        self.rest.set(rest);
        side
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

impl<'a> Records<'a> {
    /// The next change, unread. Unless all of it is read, [`pass`](Self::pass) has to be called before the one after it.
    #[inline]
    pub(crate) fn next_source(&mut self) -> Option<Source<'a>> {
        loop {
            let start = self.rest;
            let first = start.peek()?;
            let Some(operation) = Operation::from_byte(first) else {
                self.next_section()?;
                continue;
            };
            let mut rest = start;
            rest.byte()?;
            rest.byte()?;
            let offset = self.total.saturating_sub(start.remaining());
            let rest = Cell::new(rest);
            return Some(Source { table: self.table?, format: self.format, operation, offset, start, rest });
        }
    }

    /// Goes on after a change that has been read.
    #[inline]
    pub(crate) fn pass_read(&mut self, source: &Source<'a>) {
        self.rest = source.rest.get();
    }

    /// Goes on after a change, whether it has been read or not.
    pub(crate) fn pass(&mut self, source: &Source<'a>) {
        let mut rest = source.start;
        // without a record, which checked bytes have, this is the end
        if check::extent(&mut rest, source.table, source.format).is_none() {
            rest = Cursor::new(&[]);
        }
        self.rest = rest;
    }
}
