//! What an apply did.

use std::fmt;
use std::string::String;
use std::vec::Vec;

use crate::typed::Tracked;
use crate::wire::RebaseData;

/// What became of the changes that were applied, from [`Apply::run`](super::Apply::run).
///
/// Each change counts once, by the last answer about it; changes of one table with the very same bytes, which sessions do not
/// make, can count as one. What the database ignores without an error (`ON CONFLICT IGNORE`, `RAISE(IGNORE)`) counts as applied. `Display` says it in a line for each table.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApplyReport {
    tables: Vec<TableReport>,
    rebase_data: RebaseData,
}

/// What became of the changes of one table.
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

    /// Settings many changes were made without a conflict, or had been made already and were
    /// [ignored](super::Apply::ignore_noops).
    pub fn applied(&self) -> u64 {
        self.tables.iter().map(TableReport::applied).sum()
    }

    /// Settings many changes were made over a row that was in the way.
    pub fn replaced(&self) -> u64 {
        self.tables.iter().map(TableReport::replaced).sum()
    }

    /// Settings many changes were in a conflict and were not made.
    pub fn omitted(&self) -> u64 {
        self.tables.iter().map(TableReport::omitted).sum()
    }

    /// Settings many changes were left out: by a filter, because their table was not to be changed, because they set nothing, or because
    /// they are of `sqlite_stat1` and the database has no such table.
    pub fn skipped(&self) -> u64 {
        self.tables.iter().map(TableReport::skipped).sum()
    }

    /// The tables that had changes, in the order of the changes.
    pub fn tables(&self) -> &[TableReport] {
        &self.tables
    }

    /// A table by its name, whatever the case of its ASCII letters.
    pub fn table(&self, name: &str) -> Option<&TableReport> {
        self.tables.iter().find(|report| report.table.eq_ignore_ascii_case(name))
    }

    /// A table by its type: `report.of::<users::table>()`.
    pub fn of<T: Tracked>(&self) -> Option<&TableReport> {
        self.table(T::TABLE.table())
    }

    /// Settings the conflicts were resolved, to rebase other changes by it: see [`Rebaser`](crate::wire::Rebaser). Empty without any, and for
    /// patchsets, of which SQLite says nothing.
    ///
    /// SQLite notes each answer. Where a change was answered with `Replace`, then broke a constraint and was omitted, the last
    /// answer alone is here, as in the report: by the others, what was changed here would be taken for overwritten.
    pub fn rebase_data(&self) -> &RebaseData {
        &self.rebase_data
    }

    /// Settings the conflicts were resolved.
    pub fn into_rebase_data(self) -> RebaseData {
        self.rebase_data
    }
}

impl TableReport {
    pub(super) fn new(table: String, applied: u64, replaced: u64, omitted: u64, skipped: u64) -> Self {
        Self { table, applied, replaced, omitted, skipped }
    }

    /// The table's name, as the changes have it.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// See [`ApplyReport::applied`].
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// See [`ApplyReport::replaced`].
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// See [`ApplyReport::omitted`].
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    /// See [`ApplyReport::skipped`].
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

/// Of the rebase data it shows how long they are.
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
