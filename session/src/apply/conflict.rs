//! Conflicts by their kind, and the answers to them.

use std::fmt;
use std::string::String;
use std::vec::Vec;

#[cfg(doc)]
use super::error::ApplyError;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::wire::{Record, Value};

pub use crate::ffi::conflict::{ConflictAction, ConflictType};

/// A conflict of any table: what a handler of [`Apply::try_otherwise`](super::Apply::try_otherwise) is given.
///
/// `Display` says the table, what kept the change from being made, and its key.
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

    /// Which kind of conflict it is. It is never [`ConflictType::ForeignKey`].
    pub fn kind(&self) -> ConflictType {
        self.kind
    }

    /// The table's name.
    pub fn table(&self) -> &'a str {
        self.change.table()
    }

    /// The change. Its [offset](Record::offset) is not that in the changes.
    pub fn change(&self) -> &Record<'a> {
        &self.change
    }

    /// The row that is in the way, for a [`Data`](ConflictType::Data) and a [`Conflict`](ConflictType::Conflict), by the places of its
    /// columns. It has every column of the table, also where the changes are older than some.
    pub fn current(&self, column: usize) -> Option<Value<'a>> {
        self.current.as_ref().and_then(|row| row.new_value(column))
    }
}

impl fmt::Display for UntypedConflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ConflictType::Data => "of a row that has other values",
            ConflictType::NotFound => "of a row that is not there",
            ConflictType::Conflict => "of a row that is there",
            ConflictType::Constraint => "that would break a constraint",
            ConflictType::ForeignKey => "that breaks foreign keys",
        };
        write!(f, "table {}: {} {what}, key ", self.table().escape_debug(), self.change.operation())?;
        for (place, value) in self.change.key_values().enumerate() {
            write!(f, "{}{value}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawDecision {
    pub(super) action: ConflictAction,
    /// Whether the row that was deleted for an INSERT may be lost.
    pub(super) may_lose_row: bool,
}

/// Broken foreign keys after everything has been applied, for the handler of
/// [`Apply::on_foreign_keys`](super::Apply::on_foreign_keys).
///
/// They are found by [`PRAGMA foreign_key_check`](https://www.sqlite.org/pragma.html#pragma_foreign_key_check), as SQLite's session
/// extension knows only that there are some: those that were broken in the database before are among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKeyConflict {
    pub(super) violations: usize,
    pub(super) first: Vec<ForeignKeyViolation>,
}

/// A row that refers to a row which is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKeyViolation {
    table: String,
    rowid: Option<i64>,
    parent: String,
}

/// What is to become of broken foreign keys.
#[derive(Debug)]
#[must_use = "a handler's decision is what it returns"]
pub struct ForeignKeyDecision {
    pub(super) accepts: bool,
}

impl ForeignKeyConflict {
    /// Settings many rows are kept to be shown.
    const SHOWN: usize = 100;

    /// Looks for them in `main`.
    pub(super) fn find(connection: Connection<'_>) -> Result<Self, SqliteError> {
        let mut found = Self { violations: 0, first: Vec::new() };
        connection.for_each("PRAGMA main.foreign_key_check", |row| {
            found.violations = found.violations.saturating_add(1);
            if found.first.len() < Self::SHOWN {
                let (table, parent) = (row.text(0).into_owned(), row.text(2).into_owned());
                // a table WITHOUT ROWID has none
                let rowid = (!row.is_null(1)).then(|| row.integer(1));
                found.first.push(ForeignKeyViolation { table, rowid, parent });
            }
        })?;
        Ok(found)
    }

    /// Settings many rows refer to one that is not there.
    pub fn violations(&self) -> usize {
        self.violations
    }

    /// These rows, the first 100 of them.
    pub fn rows(&self) -> &[ForeignKeyViolation] {
        &self.first
    }

    /// Leaves them broken: SQLite does not look at them again, not even when the transaction is committed, so that they are to be
    /// mended by hand.
    pub fn accept(&self) -> ForeignKeyDecision {
        ForeignKeyDecision { accepts: true }
    }

    /// Undoes everything that was applied and ends with [`ApplyError::ForeignKeyViolations`].
    pub fn abort(&self) -> ForeignKeyDecision {
        ForeignKeyDecision { accepts: false }
    }
}

impl ForeignKeyViolation {
    /// The table of the row.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The row, unless its table is `WITHOUT ROWID`.
    pub fn rowid(&self) -> Option<i64> {
        self.rowid
    }

    /// The table that it refers to.
    pub fn parent(&self) -> &str {
        &self.parent
    }
}

/// Settings many there are, and the first of them.
impl fmt::Display for ForeignKeyConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.violations {
            0 => {
                return f
                    .write_str("broken foreign keys, though none in `main`: of the transaction, or of another schema");
            }
            1 => f.write_str("1 broken foreign key")?,
            count => write!(f, "{count} broken foreign keys")?,
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
        write!(f, ", refers to a row of {} that is not there", self.parent.escape_debug())
    }
}
