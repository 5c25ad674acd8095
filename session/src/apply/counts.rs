//! The counts of a report, and the rebase data. Each change is counted once, when the last decision
//! about it has been made.

use std::collections::HashMap;
use std::string::{String, ToString};
use std::vec::Vec;

use super::report::TableReport;
use super::target_table::is_set;
use crate::wire::codec::append::{write_change, write_header, write_value};
use crate::wire::{Format, Operation, RebaseData, Record};

/// The counts of all tables.
#[derive(Default)]
pub(super) struct ChangeCounts {
    tables: Vec<TableReport>,
    /// The index of each table in `tables`, by its name in lower case, if there are many. The input
    /// can contain any number of names, so a linear search would be too slow.
    places: HashMap<String, usize>,
    current: usize,
}

/// The number of tables up to which a linear search is faster.
const FEW: usize = 16;

impl ChangeCounts {
    /// Begins the changes of a table.
    pub(super) fn begin_table(&mut self, table: &str) {
        let count = self.tables.len();
        let found = match count {
            0..=FEW => self.tables.iter().position(|known| known.table().eq_ignore_ascii_case(table)),
            _ => self.places.get(&table.to_ascii_lowercase()).copied(),
        };
        self.current = found.unwrap_or(count);
        if found.is_some() {
            return;
        }
        self.tables.push(TableReport::new(table.to_string()));
        if count >= FEW {
            let unknown = self.tables.iter().enumerate().skip(self.places.len());
            self.places.extend(unknown.map(|(at, known)| (known.table().to_ascii_lowercase(), at)));
        }
    }

    /// Returns the counts of the current table.
    #[inline]
    pub(super) fn table(&mut self) -> Option<&mut TableReport> {
        self.tables.get_mut(self.current)
    }

    /// Returns the reports of the tables, in the order of the changes.
    pub(super) fn into_reports(self) -> Vec<TableReport> {
        self.tables
    }
}

/// Writes the rebase data of changesets: for each change with a conflict, the row that it would have
/// resulted in, and whether it replaced the conflicting row.
#[derive(Default)]
pub(super) struct RebaseWriter {
    bytes: Vec<u8>,
    /// The table and the key ordinals of the last section.
    section: Option<(String, Vec<u8>)>,
}

impl RebaseWriter {
    /// Adds the last decision about a change. `ordinals` are the key ordinals of the table.
    pub(super) fn add(&mut self, record: &Record<'_>, ordinals: impl FnOnce() -> Vec<u8>, replaces: bool) {
        if self.section.as_ref().is_none_or(|(table, _)| table != record.table()) {
            let (table, ordinals) = self.section.insert((record.table().to_string(), ordinals()));
            write_header(Format::Changeset, table, ordinals, &mut self.bytes);
        }
        let operation = if record.operation() == Operation::Delete { Operation::Delete } else { Operation::Insert };
        write_change(operation, replaces, &mut self.bytes);
        let out = &mut self.bytes;
        match record.operation() {
            Operation::Insert => record.new_values().for_each(|value| write_value(value, out)),
            Operation::Delete => record.old_values().for_each(|value| write_value(value, out)),
            Operation::Update => record.update_columns().for_each(|(ordinal, old, new)| {
                write_value(if ordinal == 0 { new.filter(|_| is_set(old, new)) } else { old }, out);
            }),
        }
    }

    pub(super) fn finish(self) -> RebaseData {
        RebaseData::from_well_formed(self.bytes)
    }
}
