//! The sections of an input, found by their tables. The [zip](mod@super::zip) uses them to read
//! both inputs.

use alloc::vec::Vec;

use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Format;
use crate::wire::codec::walk::Walker;
use crate::wire::group::rank::{KeyedTable, NeedsFallback};

/// The largest number of tables that is searched by name. Inputs with more take the general path.
const MOST_TABLES: usize = 64;

/// A section that is not empty.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) table: KeyedTable<'a>,
    pub(super) changes: Cursor<'a>,
    number: usize,
}

impl Section<'_> {
    /// Returns an empty section of the same table.
    pub(super) fn without_changes(self) -> Self {
        Self { changes: Cursor::new(&[]), ..self }
    }

    /// Returns the number of changes, but at most `most`.
    pub(super) fn count_to(self, most: usize) -> usize {
        let mut walk = Walker::at(self.changes, self.table.format);
        (0..most).take_while(|_| walk.is_at_record() && walk.record(self.table.header).is_some()).count()
    }
}

/// The sections of one input, at most one for each table.
pub(super) struct Sections<'a> {
    format: Format,
    /// The bytes that have not been read: the changes of the last section, until they are skipped.
    rest: Cursor<'a>,
    found: Vec<Section<'a>>,
    /// A bit for each section of `found` that has been returned by `find` or `next_unmatched`.
    matched: u64,
}

impl<'a> Sections<'a> {
    pub(super) fn new(bytes: &'a [u8], format: Format) -> Self {
        Self { format, rest: Cursor::new(bytes), found: Vec::new(), matched: 0 }
    }

    /// Returns the next section in the order of the bytes. The section before it must have been
    /// skipped.
    ///
    /// # Errors
    ///
    /// Fails if the table has a section before, and if there are too many tables.
    pub(super) fn next_section(&mut self) -> Result<Option<Section<'a>>, NeedsFallback> {
        let mut walk = Walker::at(self.rest, self.format);
        let header = walk.header_with_records();
        self.rest = walk.position();
        let Some(header) = header else {
            return if walk.is_at_end() { Ok(None) } else { Err(NeedsFallback) };
        };
        let number = self.found.len();
        if number >= MOST_TABLES || self.found.iter().any(|found| is_same(found.table.header, header)) {
            return Err(NeedsFallback);
        }
        let section = Section { table: KeyedTable::new(header, self.format), changes: self.rest, number };
        self.found.push(section);
        Ok(Some(section))
    }

    /// Returns the section of a table.
    ///
    /// # Errors
    ///
    /// Fails if its key ordinals differ from those of `header`, and with the errors of
    /// [`next_section`](Self::next_section).
    pub(super) fn find(&mut self, header: Header<'_>) -> Result<Option<Section<'a>>, NeedsFallback> {
        let found = self.found.iter().find(|found| is_same(found.table.header, header)).copied();
        let found = match found {
            Some(found) => Some(found),
            None => loop {
                match self.next_section()? {
                    Some(section) if is_same(section.table.header, header) => break Some(section),
                    Some(section) => self.skip_section(section)?,
                    None => break None,
                }
            },
        };
        if let Some(found) = found {
            self.matched |= 1 << found.number;
            if found.table.header.key != header.key {
                return Err(NeedsFallback);
            }
        }
        Ok(found)
    }

    /// Returns the next section that [`find`](Self::find) has not returned, in the order of the
    /// bytes.
    ///
    /// # Errors
    ///
    /// The same as [`next_section`](Self::next_section).
    pub(super) fn next_unmatched(&mut self) -> Result<Option<Section<'a>>, NeedsFallback> {
        let left = match self.found.get(self.matched.trailing_ones() as usize) {
            Some(section) => Some(*section),
            None => self.next_section()?,
        };
        if let Some(section) = left {
            self.matched |= 1 << section.number;
        }
        Ok(left)
    }

    fn skip_section(&mut self, section: Section<'a>) -> Result<(), NeedsFallback> {
        let mut walk = Walker::at(self.rest, self.format);
        walk.skip_records(section.table.header).ok_or(NeedsFallback)?;
        self.rest = walk.position();
        Ok(())
    }

    /// Continues at `rest`, the end of the last section that was found.
    pub(super) fn resume_at(&mut self, rest: Cursor<'a>) {
        self.rest = rest;
    }

    /// Continues at `rest`, the end of `section`, if that is the last section that was found.
    pub(super) fn resume_after(&mut self, section: Section<'a>, rest: Cursor<'a>) {
        if section.number.saturating_add(1) == self.found.len() && rest.remaining() < self.rest.remaining() {
            self.rest = rest;
        }
    }
}

fn is_same(one: Header<'_>, other: Header<'_>) -> bool {
    one.name.eq_ignore_ascii_case(other.name)
}
