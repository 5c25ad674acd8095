//! The counts of a report.
//!
//! SQLite can report several conflicts for one change, and does not identify the change. Only the
//! last decision about a change counts. Therefore decisions are stored by the bytes of the change
//! until its table is finished.

use std::boxed::Box;
use std::collections::HashMap;
use std::string::{String, ToString};
use std::vec::Vec;

use super::conflict::{ConflictAction, ConflictType};
use super::report::TableReport;
use crate::wire::Operation;

/// The counts of all tables.
#[derive(Default)]
pub(super) struct ChangeCounts {
    tables: Vec<Counts>,
    /// The index of each table in `tables`, by its name in lower case. The input can contain any
    /// number of names, so a linear search would be too slow.
    places: HashMap<String, usize>,
    /// The index of the table whose section is being checked.
    section: usize,
    /// The index of the table that SQLite is applying.
    current: Option<usize>,
    /// The last decision about each change to this table, by the bytes of the change.
    decisions: HashMap<Box<[u8]>, ConflictAction>,
    /// Whether a change with the decision `Replace` was not applied in the end.
    has_revoked_replace: bool,
}

struct Counts {
    table: String,
    changes: u64,
    skipped: u64,
    replaced: u64,
    omitted: u64,
}

impl ChangeCounts {
    fn index_of(&mut self, table: &str) -> usize {
        *self.places.entry(table.to_ascii_lowercase()).or_insert_with(|| {
            let table = table.to_string();
            self.tables.push(Counts { table, changes: 0, skipped: 0, replaced: 0, omitted: 0 });
            self.tables.len().saturating_sub(1)
        })
    }

    /// Begins a section of this table, during the check.
    pub(super) fn begin_section(&mut self, table: &str) {
        self.section = self.index_of(table);
    }

    /// Counts a change of the section.
    pub(super) fn count(&mut self, is_skipped: bool) {
        if let Some(counts) = self.tables.get_mut(self.section) {
            counts.changes += 1;
            counts.skipped += u64::from(is_skipped);
        }
    }

    /// Begins the changes of this table, during the apply, and finishes those of the previous one.
    pub(super) fn begin_table(&mut self, table: &str) {
        self.finish_table();
        self.current = Some(self.index_of(table));
    }

    fn counts(&mut self) -> Option<&mut Counts> {
        self.current.and_then(|at| self.tables.get_mut(at))
    }

    fn finish_table(&mut self) {
        let decisions = core::mem::take(&mut self.decisions);
        let Some(counts) = self.counts() else { return };
        for action in decisions.into_values() {
            match action {
                ConflictAction::Replace => counts.replaced += 1,
                ConflictAction::Omit | ConflictAction::Abort => counts.omitted += 1,
            }
        }
    }

    /// Counts a change that a filter rejected.
    pub(super) fn skip(&mut self) {
        if let Some(counts) = self.counts() {
            counts.skipped += 1;
        }
    }

    /// Returns whether the change is an INSERT for which the conflicting row was deleted.
    pub(super) fn has_replaced(&self, change: &[u8]) -> bool {
        change.first() == Some(&Operation::Insert.to_byte())
            && self.decisions.get(change) == Some(&ConflictAction::Replace)
    }

    /// Stores a decision about a change.
    pub(super) fn decide(&mut self, conflict: ConflictType, action: ConflictAction, change: &[u8]) {
        if conflict == ConflictType::Constraint {
            // This is the last conflict of the change. Counting it now is correct even if two
            // changes have the same bytes.
            self.has_revoked_replace |= self.decisions.remove(change) == Some(ConflictAction::Replace);
            if let Some(counts) = self.counts() {
                counts.omitted += 1;
            }
        } else {
            self.decisions.insert(change.into(), action);
        }
    }

    /// Returns whether a change with the decision `Replace` was not applied in the end.
    pub(super) fn has_revoked_replace(&self) -> bool {
        self.has_revoked_replace
    }

    /// Returns the reports of the tables, in the order of the changes.
    pub(super) fn into_reports(mut self) -> Vec<TableReport> {
        self.finish_table();
        let report = |counts: Counts| {
            let others = counts.skipped.saturating_add(counts.replaced).saturating_add(counts.omitted);
            let applied = counts.changes.saturating_sub(others);
            TableReport::new(counts.table, applied, counts.replaced, counts.omitted, counts.skipped)
        };
        self.tables.into_iter().map(report).collect()
    }
}
