//! The report of an apply.

use std::fmt;
use std::string::String;
use std::vec::Vec;

use crate::typed::Tracked;
use crate::wire::RebaseData;

/// The number of applied, replaced, omitted and skipped changes of each table, and the rebase data.
/// Returned by [`Apply::run`](super::Apply::run).
///
/// - Each change counts once, by the last decision about it.
/// - An INSERT that a trigger ignores by `RAISE(IGNORE)` counts as applied.
///
/// `Display` shows a line for each table.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApplyReport {
    tables: Vec<TableReport>,
    rebase_data: RebaseData,
}

/// What happened to a change in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeResult {
    Applied,
    /// The database already contained its result.
    Noop,
    Replaced,
    Omitted,
    Skipped,
}

/// The number of applied, replaced, omitted and skipped changes of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    table: String,
    applied: u64,
    replaced: u64,
    omitted: u64,
    skipped: u64,
}

impl ApplyReport {
    pub(super) fn new(tables: Vec<TableReport>, rebase_data: RebaseData) -> Self {
        Self { tables, rebase_data }
    }

    /// Returns the number of changes that were applied without a conflict, including changes that
    /// had already been made and were [ignored](super::Apply::ignore_noops).
    pub fn applied(&self) -> u64 {
        self.tables.iter().map(TableReport::applied).sum()
    }

    /// Returns the number of changes that were applied over a conflicting row.
    pub fn replaced(&self) -> u64 {
        self.tables.iter().map(TableReport::replaced).sum()
    }

    /// Returns the number of changes that had a conflict and were not applied.
    pub fn omitted(&self) -> u64 {
        self.tables.iter().map(TableReport::omitted).sum()
    }

    /// Returns the number of changes that were skipped:
    ///
    /// - a [filter](super::Apply::filter) rejected them,
    /// - their table is not [listed](super::Apply::only),
    /// - they are UPDATEs that set no column outside of the primary key,
    /// - or they are to `sqlite_stat1`, and the database has no such table.
    pub fn skipped(&self) -> u64 {
        self.tables.iter().map(TableReport::skipped).sum()
    }

    /// Returns the reports of all tables with changes, in the order of the changes.
    pub fn tables(&self) -> &[TableReport] {
        &self.tables
    }

    /// Returns the report of a table by its name, ignoring the case of ASCII letters.
    pub fn find(&self, table: &str) -> Option<&TableReport> {
        self.tables.iter().find(|report| report.table.eq_ignore_ascii_case(table))
    }

    /// Returns the report of a table by its type: `report.of::<users::table>()`.
    pub fn of<T: Tracked>(&self) -> Option<&TableReport> {
        self.find(T::TABLE.table())
    }

    /// Returns the rebase data: how conflicts were resolved, for rebasing other changes with a
    /// [`Rebaser`](crate::wire::Rebaser). It is empty without conflicts, for patchsets, which lack
    /// the old values, and with [`without_rebase_data`](super::Apply::without_rebase_data).
    /// Conflicts that [`ignore_noops`](super::Apply::ignore_noops) ignored are in it as omitted.
    ///
    /// It contains only the last decision about each change, like the report. SQLite's own apply
    /// records each decision: a change with the decision `Replace` that then violated a constraint
    /// and was omitted would appear to have overwritten the local row.
    pub fn rebase_data(&self) -> &RebaseData {
        &self.rebase_data
    }

    /// Returns the rebase data: see [`rebase_data`](Self::rebase_data).
    pub fn into_rebase_data(self) -> RebaseData {
        self.rebase_data
    }
}

impl TableReport {
    pub(super) fn new(table: String) -> Self {
        Self { table, applied: 0, replaced: 0, omitted: 0, skipped: 0 }
    }

    /// Counts a change by its result.
    #[inline]
    pub(super) fn count(&mut self, result: ChangeResult) {
        *match result {
            ChangeResult::Applied | ChangeResult::Noop => &mut self.applied,
            ChangeResult::Replaced => &mut self.replaced,
            ChangeResult::Omitted => &mut self.omitted,
            ChangeResult::Skipped => &mut self.skipped,
        } += 1;
    }

    /// Returns the table's name, as the changes contain it.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns the number of applied changes: see [`ApplyReport::applied`].
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Returns the number of replaced changes: see [`ApplyReport::replaced`].
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Returns the number of omitted changes: see [`ApplyReport::omitted`].
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    /// Returns the number of skipped changes: see [`ApplyReport::skipped`].
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl fmt::Display for TableReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, applied, replaced, omitted, skipped } = self;
        write!(f, "{}: {applied} applied", table.escape_debug())?;
        for (count, what) in [(replaced, "replaced"), (omitted, "omitted"), (skipped, "skipped")] {
            if *count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Shows only the length of the rebase data.
impl fmt::Debug for ApplyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyReport")
            .field("tables", &self.tables)
            .field("rebase_data", &format_args!("{} bytes", self.rebase_data.as_bytes().len()))
            .finish()
    }
}

impl fmt::Display for ApplyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, table) in self.tables.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            table.fmt(f)?;
        }
        Ok(())
    }
}
