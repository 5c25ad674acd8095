//! What became of the changes.
//!
//! SQLite can ask several times about one change, and does not say which change it is. What counts is the last answer, so that
//! answers are kept by the change's bytes until its table is done.

use std::boxed::Box;
use std::collections::HashMap;
use std::string::{String, ToString};
use std::vec::Vec;

use super::conflict::{ConflictAction, ConflictType};
use super::report::TableReport;
use crate::wire::Operation;

/// Counts, by table.
#[derive(Default)]
pub(super) struct ChangeCounts {
    tables: Vec<Counts>,
    /// Where there a table is, by its name in lower case: strangers can name any number.
    places: HashMap<String, usize>,
    /// The table whose section has begun.
    section: usize,
    /// The table that SQLite is at.
    current: Option<usize>,
    /// The last answer about each change of this table, by its bytes.
    answers: HashMap<Box<[u8]>, ConflictAction>,
    /// Whether a change was answered with `Replace` and was not made in the end.
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

    /// The changes that follow are of this table.
    pub(super) fn begin_section(&mut self, table: &str) {
        self.section = self.index_of(table);
    }

    /// There is one more change.
    pub(super) fn count(&mut self, is_skipped: bool) {
        if let Some(counts) = self.tables.get_mut(self.section) {
            counts.changes += 1;
            counts.skipped += u64::from(is_skipped);
        }
    }

    /// SQLite begins to apply the changes of this table, and is done with those of the last one.
    pub(super) fn begin_table(&mut self, table: &str) {
        self.finish_table();
        self.current = Some(self.index_of(table));
    }

    fn counts(&mut self) -> Option<&mut Counts> {
        self.current.and_then(|at| self.tables.get_mut(at))
    }

    fn finish_table(&mut self) {
        let answers = core::mem::take(&mut self.answers);
        let Some(counts) = self.counts() else { return };
        for action in answers.into_values() {
            match action {
                ConflictAction::Replace => counts.replaced += 1,
                ConflictAction::Omit | ConflictAction::Abort => counts.omitted += 1,
            }
        }
    }

    /// A filter has left a change out.
    pub(super) fn skip(&mut self) {
        if let Some(counts) = self.counts() {
            counts.skipped += 1;
        }
    }

    /// Whether the change, by its bytes, is an INSERT for which the row in its way was deleted.
    pub(super) fn has_replaced(&self, change: &[u8]) -> bool {
        change.first() == Some(&Operation::Insert.to_byte())
            && self.answers.get(change) == Some(&ConflictAction::Replace)
    }

    /// The last answer about a change.
    pub(super) fn answer(&mut self, conflict: ConflictType, action: ConflictAction, change: &[u8]) {
        if conflict == ConflictType::Constraint {
            // it is the last question about a change, so that this counts also where two changes have the same bytes
            self.has_revoked_replace |= self.answers.remove(change) == Some(ConflictAction::Replace);
            if let Some(counts) = self.counts() {
                counts.omitted += 1;
            }
        } else {
            self.answers.insert(change.into(), action);
        }
    }

    /// Whether a change was answered with `Replace` and was not made in the end.
    pub(super) fn has_revoked_replace(&self) -> bool {
        self.has_revoked_replace
    }

    /// The tables, in the order in which they came.
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
