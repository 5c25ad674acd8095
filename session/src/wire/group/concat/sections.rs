//! The sections of an input, by table.

use alloc::vec::Vec;

use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Format;
use crate::wire::codec::walk::Walker;
use crate::wire::group::rank::{KeyedTable, NeedsFallback};

/// With more tables, what would be found by their names is left to others.
const MOST_TABLES: usize = 64;

/// A section that has a change.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) table: KeyedTable<'a>,
    pub(super) changes: Cursor<'a>,
    number: usize,
}

impl Section<'_> {
    /// The same table, and no change.
    pub(super) fn without_changes(self) -> Self {
        Self { changes: Cursor::new(&[]), ..self }
    }

    /// How many changes it has, if they are not more than so many.
    pub(super) fn count_to(self, most: usize) -> usize {
        let mut walk = Walker::at(self.changes, self.table.format);
        (0..most).take_while(|_| walk.is_at_record() && walk.record(self.table.header).is_some()).count()
    }
}

/// The sections of one input, each table's the only one.
pub(super) struct Sections<'a> {
    format: Format,
    /// What has not been looked at yet. In the midst of a section, if that has not been passed over.
    rest: Cursor<'a>,
    found: Vec<Section<'a>>,
    /// Those that have been asked for: a bit for each.
    taken: u64,
}

impl<'a> Sections<'a> {
    pub(super) fn new(bytes: &'a [u8], format: Format) -> Self {
        Self { format, rest: Cursor::new(bytes), found: Vec::new(), taken: 0 }
    }

    /// The next section in the order of the bytes. The one before it must have been passed over.
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

    /// The section of a table, which must have the same columns and key.
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
            self.taken |= 1 << found.number;
            if found.table.header.key != header.key {
                return Err(NeedsFallback);
            }
        }
        Ok(found)
    }

    /// The next section that has not been asked for, in the order of the bytes.
    pub(super) fn next_unmatched(&mut self) -> Result<Option<Section<'a>>, NeedsFallback> {
        let left = match self.found.get(self.taken.trailing_ones() as usize) {
            Some(section) => Some(*section),
            None => self.next_section()?,
        };
        if let Some(section) = left {
            self.taken |= 1 << section.number;
        }
        Ok(left)
    }

    fn skip_section(&mut self, section: Section<'a>) -> Result<(), NeedsFallback> {
        let mut walk = Walker::at(self.rest, self.format);
        walk.skip_records(section.table.header).ok_or(NeedsFallback)?;
        self.rest = walk.position();
        Ok(())
    }

    /// The last section that was found has been read up to there.
    pub(super) fn resume_at(&mut self, rest: Cursor<'a>) {
        self.rest = rest;
    }

    /// A section has been read up to there.
    pub(super) fn resume_after(&mut self, section: Section<'a>, rest: Cursor<'a>) {
        if section.number.saturating_add(1) == self.found.len() && rest.remaining() < self.rest.remaining() {
            self.rest = rest;
        }
    }
}

fn is_same(one: Header<'_>, other: Header<'_>) -> bool {
    one.name.eq_ignore_ascii_case(other.name)
}
