//! Untyped conflicts, foreign key violations, and decisions about them.

use std::fmt;
use std::string::String;
use std::vec::Vec;

#[cfg(doc)]
use super::error::ApplyError;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::wire::{Record, Value};

pub use super::conflict_type::{ConflictAction, ConflictType};

/// A conflict of any table, with the untyped change. Passed to handlers of
/// [`Apply::try_otherwise`](super::Apply::try_otherwise).
///
/// `Display` shows the table, the reason and the primary key.
#[derive(Clone, Copy, Debug)]
pub struct UntypedConflict<'a> {
    kind: ConflictType,
    change: Record<'a>,
    current: Option<Record<'a>>,
}

impl<'a> UntypedConflict<'a> {
    pub(super) fn new(kind: ConflictType, change: Record<'a>, current: Option<Record<'a>>) -> Self {
        Self { kind, change, current }
    }

    /// Returns the kind of conflict, which is never [`ConflictType::ForeignKey`].
    pub fn kind(&self) -> ConflictType {
        self.kind
    }

    /// Returns the name of the table.
    pub fn table(&self) -> &'a str {
        self.change.table()
    }

    /// Returns the change. Its [offset](Record::offset) is not the offset in the input.
    pub fn change(&self) -> &Record<'a> {
        &self.change
    }

    /// Returns a value of the conflicting row, by the column's position, for
    /// [`Data`](ConflictType::Data) and [`Conflict`](ConflictType::Conflict). The row contains
    /// every column of the table, even columns that the changes do not contain.
    pub fn current(&self, column: usize) -> Option<Value<'a>> {
        self.current.as_ref().and_then(|row| row.new_value(column))
    }
}

impl fmt::Display for UntypedConflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ConflictType::Data => "finds a row with other values",
            ConflictType::NotFound => "finds no row",
            ConflictType::Conflict => "finds an existing row",
            ConflictType::Constraint => "violates a constraint",
            ConflictType::ForeignKey => "violates a foreign key",
        };
        write!(f, "table {}: {} {what}, key ", self.table().escape_debug(), self.change.operation())?;
        for (place, value) in self.change.key_values().enumerate() {
            write!(f, "{}{value}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// A decision, independent of the type of the conflict.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawDecision {
    pub(super) action: ConflictAction,
    /// Whether the row that was deleted for an INSERT may be lost.
    pub(super) may_lose_row: bool,
}

/// The foreign key violations after all changes have been applied. Passed to the handler of
/// [`Apply::on_foreign_keys`](super::Apply::on_foreign_keys).
///
/// SQLite counts violations, but does not list them. The rows are found by [`PRAGMA
/// foreign_key_check`](https://www.sqlite.org/pragma.html#pragma_foreign_key_check) on `main`,
/// which also lists violations that existed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKeyConflict {
    pub(super) violations: usize,
    pub(super) first: Vec<ForeignKeyViolation>,
}

/// A row that references a missing row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKeyViolation {
    table: String,
    rowid: Option<i64>,
    parent: String,
}

/// A decision about foreign key violations.
#[derive(Debug)]
#[must_use = "a handler's decision is what it returns"]
pub struct ForeignKeyDecision {
    pub(super) accepts: bool,
}

impl ForeignKeyConflict {
    /// The maximum number of rows to keep.
    const SHOWN: usize = 100;

    /// Finds the violations in `main`.
    pub(super) fn find(connection: Connection<'_>) -> Result<Self, SqliteError> {
        let mut found = Self { violations: 0, first: Vec::new() };
        connection.for_each("PRAGMA main.foreign_key_check", |row| {
            found.violations = found.violations.saturating_add(1);
            if found.first.len() < Self::SHOWN {
                let (table, parent) = (row.text(0).into_owned(), row.text(2).into_owned());
                // NULL for a table WITHOUT ROWID
                let rowid = (!row.is_null(1)).then(|| row.integer(1));
                found.first.push(ForeignKeyViolation { table, rowid, parent });
            }
        })?;
        Ok(found)
    }

    /// Returns the number of rows that reference a missing row.
    pub fn violations(&self) -> usize {
        self.violations
    }

    /// Returns the first 100 of these rows.
    pub fn rows(&self) -> &[ForeignKeyViolation] {
        &self.first
    }

    /// Keeps the changes despite the violations. SQLite does not check again, not even at COMMIT:
    /// repair the rows yourself.
    ///
    /// The exception is a transaction of yours that violated foreign keys before the apply: SQLite
    /// checks all violations at its COMMIT.
    pub fn accept(&self) -> ForeignKeyDecision {
        ForeignKeyDecision { accepts: true }
    }

    /// Rolls back everything that was applied, and fails with [`ApplyError::ForeignKeyViolations`].
    pub fn abort(&self) -> ForeignKeyDecision {
        ForeignKeyDecision { accepts: false }
    }
}

impl ForeignKeyViolation {
    /// Returns the table of the row.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns the row's rowid, or `None` if its table is `WITHOUT ROWID`.
    pub fn rowid(&self) -> Option<i64> {
        self.rowid
    }

    /// Returns the referenced table.
    pub fn parent(&self) -> &str {
        &self.parent
    }
}

/// Shows the number of violations, and the first one.
impl fmt::Display for ForeignKeyConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.violations {
            0 => {
                return f.write_str(
                    "foreign key violations, none of them in `main`: in the transaction, or in another schema",
                );
            }
            1 => f.write_str("1 foreign key violation")?,
            count => write!(f, "{count} foreign key violations")?,
        }
        self.first.iter().take(1).try_for_each(|row| write!(f, ": {row}"))?;
        if self.violations > 1 { f.write_str(", and others") } else { Ok(()) }
    }
}

impl fmt::Display for ForeignKeyViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table.escape_debug())?;
        if let Some(rowid) = self.rowid {
            write!(f, ", rowid {rowid}")?;
        }
        write!(f, ", references a missing row of {}", self.parent.escape_debug())
    }
}
