//! Sections: a table's header and the changes that follow it.

#[cfg(feature = "sqlite")]
use alloc::vec::Vec;
use core::fmt;

use super::cursor::Cursor;
use super::header::{Header, key_columns};
use super::kind::Format;
#[cfg(feature = "sqlite")]
use super::record::Record;
use super::record::Records;
use super::table_info::TableInfo;
use super::walk::Walker;

/// A section of a changeset or patchset: a table's header and the changes that follow it.
///
/// A table can have several sections, and a section can be empty. SQLite writes one section for
/// each table that has changed.
#[derive(Clone, Copy)]
pub struct Section<'a> {
    pub(in crate::wire) header: Header<'a>,
    pub(in crate::wire) format: Format,
    /// The bytes after the header, up to the end of the input.
    pub(in crate::wire) rest: Cursor<'a>,
    /// The length of the whole input.
    pub(in crate::wire) total: usize,
}

impl<'a> Section<'a> {
    /// Returns the name of the table, without its schema.
    ///
    /// SQLite compares table names without regard to the case of ASCII letters.
    pub fn table(&self) -> &'a str {
        self.header.name
    }

    /// Returns the description of the table: its name and its key ordinals.
    pub fn table_info(&self) -> TableInfo<'a> {
        TableInfo::new(self.header.name, self.header.key)
    }

    /// Returns the number of columns in each record.
    pub fn column_count(&self) -> usize {
        self.header.key.len()
    }

    /// Returns a byte for each column: its place in the primary key, counted from 1, or 0 if it is
    /// not part of the key.
    ///
    /// `PRIMARY KEY (b, a)` on columns `a, b, c` has the ordinals `[2, 1, 0]`.
    ///
    /// Software other than SQLite may write 1 for every column of the key, and a key that names a
    /// column twice leaves a gap. Rely only on whether an ordinal is 0.
    pub fn key_ordinals(&self) -> &'a [u8] {
        self.header.key
    }

    /// Returns the positions of the primary key's columns, counted from 0, in the order of the
    /// table's columns.
    pub fn key_columns(&self) -> impl Iterator<Item = usize> + use<'a> {
        key_columns(self.header.key)
    }

    /// Returns an iterator over the records of this section.
    pub fn records(&self) -> Records<'a> {
        Records::of_section(self)
    }
}

impl fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section")
            .field("table", &self.table())
            .field("key_ordinals", &self.key_ordinals())
            .finish_non_exhaustive()
    }
}

/// An iterator over the [`Section`]s of a changeset or patchset, in the order of the bytes.
///
/// To find the next section, the iterator skips the records of the current one. To read records
/// without needing their sections, use `records()`, which is faster.
#[derive(Clone)]
#[must_use = "iterators are lazy"]
pub struct Sections<'a> {
    walk: Walker<'a>,
    format: Format,
    total: usize,
    last: Option<Header<'a>>,
}

impl<'a> Sections<'a> {
    pub(crate) fn new(bytes: &'a [u8], format: Format) -> Self {
        Self { walk: Walker::new(bytes, format), format, total: bytes.len(), last: None }
    }

    /// Returns all sections that are not empty, each with its number of records, and the records of
    /// all sections. If there are more records than `max`, they are counted, and not returned.
    #[cfg(feature = "sqlite")]
    pub(crate) fn read_all(mut self, max: usize) -> (Vec<(Section<'a>, usize)>, Option<Vec<Record<'a>>>) {
        // most changes take more bytes
        let capacity = (self.total / 32).min(max).min(256);
        let (mut sections, mut records) = (Vec::new(), Some(Vec::with_capacity(capacity)));
        while let Some(section) = self.next() {
            self.last = None;
            let mut count = 0;
            while let Some(list) = &mut records {
                let offset = self.total.saturating_sub(self.walk.position().remaining());
                let Some(raw) = self.walk.record(section.header) else { break };
                count = usize::saturating_add(count, 1);
                list.push(Record::new(section.header, self.format, raw, offset));
                if list.len() > max {
                    records = None;
                }
            }
            let count = count.saturating_add(self.walk.count_records(section.header));
            sections.extend((count > 0).then_some((section, count)));
        }
        (sections, records)
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Section<'a>;

    fn next(&mut self) -> Option<Section<'a>> {
        if let Some(header) = self.last {
            self.walk.skip_records(header)?;
        }
        let header = self.walk.header()?;
        self.last = Some(header);
        Some(Section { header, format: self.format, rest: self.walk.position(), total: self.total })
    }
}

impl core::iter::FusedIterator for Sections<'_> {}

impl fmt::Debug for Sections<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
