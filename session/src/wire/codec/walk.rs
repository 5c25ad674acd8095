//! The walk over the sections and records of bytes that have been checked.
//!
//! [`Walker`] reads the sections and records in order. [`Layout`] is the only description of the
//! records that a change consists of. All folders of `wire` use them, except for a few inner loops
//! that read records directly.

use super::check;
use super::cursor::Cursor;
use super::header::Header;
use super::kind::{Format, Operation};
use super::record::RawRecord;

/// The records of a change, as its operation and format determine them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Layout {
    /// One record with a value for each column: an INSERT, or the DELETE of a changeset.
    Row,
    /// One record with the values of the primary key alone: the DELETE of a patchset.
    Key,
    /// Two records, of the old and of the new values: the UPDATE of a changeset.
    OldAndNew,
    /// One record with the primary key and the new values: the UPDATE of a patchset.
    KeyAndNew,
}

impl Layout {
    /// Returns the layout of a change.
    #[inline(always)]
    pub(in crate::wire) const fn of(operation: Operation, format: Format) -> Self {
        match (operation, format) {
            (Operation::Insert, _) | (Operation::Delete, Format::Changeset) => Self::Row,
            (Operation::Delete, Format::Patchset) => Self::Key,
            (Operation::Update, Format::Changeset) => Self::OldAndNew,
            (Operation::Update, Format::Patchset) => Self::KeyAndNew,
        }
    }
}

/// A position in checked bytes that moves by sections and records.
///
/// Every read returns `None` if the bytes are not well-formed there, which ends a walk.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Walker<'a> {
    rest: Cursor<'a>,
    format: Format,
}

impl<'a> Walker<'a> {
    /// Starts a walk at the first section of `bytes`.
    #[inline]
    pub(in crate::wire) fn new(bytes: &'a [u8], format: Format) -> Self {
        Self::at(Cursor::new(bytes), format)
    }

    /// Starts a walk at `rest`, which is the start of a section or of a record.
    #[inline(always)]
    pub(in crate::wire) fn at(rest: Cursor<'a>, format: Format) -> Self {
        Self { rest, format }
    }

    /// Returns the current position.
    #[inline(always)]
    pub(in crate::wire) fn position(&self) -> Cursor<'a> {
        self.rest
    }

    /// Returns whether the walk has reached the end of the bytes.
    #[inline(always)]
    pub(in crate::wire) fn is_at_end(&self) -> bool {
        self.rest.peek().is_none()
    }

    /// Returns whether a record is next.
    #[inline(always)]
    pub(in crate::wire) fn is_at_record(&self) -> bool {
        self.rest.peek().is_some_and(|byte| Operation::from_byte(byte).is_some())
    }

    /// Reads the next header.
    #[inline]
    pub(in crate::wire) fn header(&mut self) -> Option<Header<'a>> {
        check::header(&mut self.rest, self.format).ok()
    }

    /// Reads the next header whose section is not empty. Must be called at a header or at the end.
    pub(in crate::wire) fn header_with_records(&mut self) -> Option<Header<'a>> {
        loop {
            let header = self.header()?;
            if self.is_at_record() {
                return Some(header);
            }
        }
    }

    /// Reads the next record of a section, if one is next.
    #[inline(always)]
    pub(in crate::wire) fn record(&mut self, header: Header<'_>) -> Option<RawRecord<'a>> {
        // a local cursor stays in registers
        let mut rest = self.rest;
        let record = check::read_checked_inline(&mut rest, header, self.format)?;
        self.rest = rest;
        Some(record)
    }

    /// Skips the remaining records of a section, and returns their number.
    #[cfg(feature = "sqlite")]
    pub(in crate::wire) fn count_records(&mut self, header: Header<'_>) -> usize {
        let (mut rest, mut count) = (self.rest, 0usize);
        while rest.peek().is_some_and(|byte| Operation::from_byte(byte).is_some()) {
            if check::read_checked_inline(&mut rest, header, self.format).is_none() {
                break; // unreachable with checked bytes
            }
            count = count.saturating_add(1);
        }
        self.rest = rest;
        count
    }

    /// Skips the remaining records of a section. Returns `None` if a record is not well-formed.
    pub(in crate::wire) fn skip_records(&mut self, header: Header<'_>) -> Option<()> {
        while self.is_at_record() {
            check::read_checked(&mut self.rest, header, self.format)?;
        }
        Some(())
    }
}
