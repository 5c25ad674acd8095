//! The running apply: answers SQLite's callbacks with the application's handlers.
//!
//! Invariant: each change is counted once, by the last decision about it. Called by
//! [`driver`](super::driver).

use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

use super::check::reading_failed;
use super::conflict::{
    ConflictAction, ConflictType, ForeignKeyConflict, ForeignKeyDecision, RawDecision, UntypedConflict,
};
use super::counts::ChangeCounts;
use super::current_rows::CurrentRows;
use super::error::ApplyError;
use super::feed::{InputFeed, OnProgress};
use super::schema_features::SchemaFeatures;
use super::typed::{TableRules, UndecodedConflict};
use crate::ffi::apply::ApplyHandler;
use crate::ffi::error::SqliteError;
use crate::ffi::pending_change::PendingChange;
use crate::ffi::statement::Connection;
use crate::wire::codec::append::records;
use crate::wire::{Format, Operation, Record, Value};

/// The application's handler for foreign key violations.
pub(super) type OnForeignKeys<'a> = Box<dyn FnMut(&ForeignKeyConflict) -> ForeignKeyDecision + 'a>;

/// The application's handler for untyped conflicts.
type OnUntyped<'a> = Box<dyn FnMut(&UntypedConflict<'_>) -> Result<ConflictAction, ApplyError> + 'a>;

/// The application's handler for tables without one of their own.
pub(super) enum FallbackHandler<'a> {
    ByKind(Box<dyn FnMut(ConflictType) -> ConflictAction + 'a>),
    ByChange(OnUntyped<'a>),
}

/// The handlers and rules that the application has set.
#[derive(Default)]
pub(super) struct ApplyRules<'a> {
    /// The handlers and filters of individual tables.
    pub(super) tables: Vec<TableRules<'a>>,
    /// The handler of all other tables.
    pub(super) otherwise: Option<FallbackHandler<'a>>,
    /// Whether a change that has already been made is no conflict.
    pub(super) ignores_noops: bool,
    pub(super) on_foreign_keys: Option<OnForeignKeys<'a>>,
    pub(super) on_progress: Option<OnProgress<'a>>,
}

impl<'a> ApplyRules<'a> {
    fn of_table(&mut self, table: &str) -> Option<&mut TableRules<'a>> {
        self.tables.iter_mut().find(|rules| rules.table.table().eq_ignore_ascii_case(table))
    }
}

pub(super) struct RunningApply<'r, 'a> {
    pub(super) connection: Connection<'r>,
    pub(super) rules: &'r mut ApplyRules<'a>,
    pub(super) format: Format,
    /// Whether decisions are counted, for a report.
    pub(super) is_reported: bool,
    pub(super) counts: ChangeCounts,
    pub(super) rows: CurrentRows<'r>,
    pub(super) feed: Option<InputFeed<'r>>,
    /// What the database's SQL contains. Read when it is needed.
    pub(super) features: Option<SchemaFeatures>,
    /// The version of the schema that the changes were checked against, if another connection could
    /// change the schema.
    pub(super) schema_version: Option<i64>,
    /// Buffers for the change and the row of the current callback.
    pub(super) change: Vec<u8>,
    pub(super) row: Vec<u8>,
}

impl RunningApply<'_, '_> {
    /// Calls the handler of the change's table, if there is one.
    fn decide_by_table(
        &mut self,
        conflict: ConflictType,
        change: &PendingChange<'_>,
        after_replace: bool,
    ) -> Result<Option<RawDecision>, ApplyError> {
        let Some(handler) = self.rules.of_table(&change.table()).and_then(|rules| rules.on_conflict.as_mut()) else {
            return Ok(None);
        };
        let wants_row = conflict.takes_replace();
        if wants_row && !self.rows.read(change, &mut self.row)? {
            return Err(row_gone(&change.table()));
        }
        let current = wants_row.then(|| records(&self.row, Format::Changeset));
        let change = records(&self.change, self.format);
        handler(UndecodedConflict { conflict, change, current, after_replace }).map(Some)
    }

    /// Returns whether the table has a handler, which needs the change in typed form.
    fn has_handler(&mut self, table: &str) -> bool {
        self.rules.of_table(table).is_some_and(|rules| rules.on_conflict.is_some())
    }

    fn decide(
        &mut self,
        conflict: ConflictType,
        change: &PendingChange<'_>,
        after_replace: bool,
    ) -> Result<RawDecision, ApplyError> {
        if let Some(decision) = self.decide_by_table(conflict, change, after_replace)? {
            return Ok(decision);
        }
        let action = match &mut self.rules.otherwise {
            None => ConflictAction::Abort,
            Some(FallbackHandler::ByKind(otherwise)) => otherwise(conflict),
            Some(FallbackHandler::ByChange(otherwise)) => {
                let has_row = conflict.takes_replace() && self.rows.read(change, &mut self.row)?;
                let current = if has_row { records(&self.row, Format::Changeset).next() } else { None };
                match records(&self.change, self.format).next() {
                    Some(change) => otherwise(&UntypedConflict::new(conflict, change, current))?,
                    None => ConflictAction::Abort,
                }
            }
        };
        Ok(RawDecision { action, may_lose_row: false })
    }

    /// Returns whether the database already contains what the change, which is in the buffer, would
    /// result in.
    ///
    /// SQLite's flag for this, `SQLITE_CHANGESETAPPLY_IGNORENOOP`, is not used. Its SQL contains
    /// the names of tables and columns without quotes, in which `unit-price` is a subtraction. It
    /// also counts a DELETE as done if the row has other values that are all NULL.
    fn is_noop(&mut self, conflict: ConflictType, change: &PendingChange<'_>) -> Result<bool, ApplyError> {
        match (conflict, change.operation()) {
            (ConflictType::NotFound, Operation::Delete) => return Ok(true),
            (ConflictType::Data, Operation::Update) | (ConflictType::Conflict, Operation::Insert) => {}
            _ => return Ok(false),
        }
        if !self.rows.read(change, &mut self.row)? {
            return Ok(false);
        }
        let change = records(&self.change, self.format).next();
        let row = records(&self.row, Format::Changeset).next();
        Ok(change.zip(row).is_some_and(|(change, row)| is_in_row(&change, &row)))
    }

    /// Returns whether an INSERT into the table can be ignored without an error. A row that is
    /// deleted for it would then be lost.
    fn can_ignore(&mut self, table: &str) -> Result<bool, ApplyError> {
        let features = match &mut self.features {
            Some(features) => features,
            none => none.insert(SchemaFeatures::read(self.connection).map_err(reading_failed(table))?),
        };
        Ok(features.can_ignore(&table.to_ascii_lowercase()))
    }
}

/// Returns whether a row has all values that a change sets. Equal numbers are the same value, as in
/// SQL.
fn is_in_row(change: &Record<'_>, row: &Record<'_>) -> bool {
    let is_same = |one, other| match (one, other) {
        (Value::Integer(integer), Value::Real(real)) | (Value::Real(real), Value::Integer(integer)) => {
            real.fract() == 0.0 && real as i128 == i128::from(integer)
        }
        (Value::Real(one), Value::Real(other)) => one == other,
        _ => one == other,
    };
    change.key_ordinals().iter().enumerate().filter(|(_, place)| **place == 0).all(|(column, _)| {
        let new = change.new_value(column);
        new.is_none_or(|new| row.new_value(column).is_some_and(|current| is_same(new, current)))
    })
}

/// Writes a change into `out`, after a section header. Returns the position of the change.
fn read_change(change: &PendingChange<'_>, format: Format, out: &mut Vec<u8>) -> Result<usize, ApplyError> {
    out.clear();
    change.write(format, out).map_err(|no_memory| ApplyError::Sqlite {
        operation: "reading a change",
        table: Some(change.table().into()),
        error: SqliteError::from(no_memory),
    })
}

/// The error for a row that SQLite reported, but that a query does not find.
fn row_gone(table: &str) -> ApplyError {
    let failure = SqliteError { code: 1, message: String::from("the row does not exist") };
    ApplyError::Sqlite { operation: "reading the row of a change", table: Some(table.to_string()), error: failure }
}

impl ApplyHandler for RunningApply<'_, '_> {
    type Error = ApplyError;

    fn begin_table(&mut self, table: &str) {
        self.counts.begin_table(table);
    }

    fn on_conflict(
        &mut self,
        conflict: ConflictType,
        change: &PendingChange<'_>,
    ) -> Result<ConflictAction, ApplyError> {
        // an INSERT that deletes a row must be recognized when its constraint conflict follows
        let is_remembered = self.is_reported || matches!(conflict, ConflictType::Conflict | ConflictType::Constraint);
        let by_change = matches!(self.rules.otherwise, Some(FallbackHandler::ByChange(_)));
        let is_read = is_remembered || by_change || self.rules.ignores_noops || self.has_handler(&change.table());
        let start = if is_read { read_change(change, self.format, &mut self.change)? } else { 0 };
        if self.rules.ignores_noops && self.is_noop(conflict, change)? {
            return Ok(ConflictAction::Omit);
        }
        let after_replace = conflict == ConflictType::Constraint
            && self.counts.has_replaced(self.change.get(start..).unwrap_or_default());
        // the row still exists if it could not be deleted
        let after_replace = after_replace && !self.rows.read(change, &mut self.row)?;
        let RawDecision { action, may_lose_row } = self.decide(conflict, change, after_replace)?;
        match action {
            ConflictAction::Abort => return Err(ApplyError::ConflictAborted),
            ConflictAction::Replace if !conflict.takes_replace() => {
                return Err(ApplyError::IllegalReplace { conflict, table: Some(change.table().into()) });
            }
            ConflictAction::Replace if conflict == ConflictType::Conflict && self.can_ignore(&change.table())? => {
                return Err(ApplyError::ReplacedRowLost { table: change.table().into() });
            }
            ConflictAction::Omit if after_replace && !may_lose_row => {
                return Err(ApplyError::ReplacedRowLost { table: change.table().into() });
            }
            ConflictAction::Omit | ConflictAction::Replace => {}
        }
        if is_remembered {
            self.counts.decide(conflict, action, self.change.get(start..).unwrap_or_default());
        }
        Ok(action)
    }

    fn on_foreign_keys(&mut self) -> Result<(), ApplyError> {
        let find = || {
            ForeignKeyConflict::find(self.connection).map_err(|failure| ApplyError::Sqlite {
                operation: "checking foreign keys",
                table: None,
                error: failure,
            })
        };
        let broken = match (&mut self.rules.on_foreign_keys, &mut self.rules.otherwise) {
            (Some(handler), _) => {
                let broken = find()?;
                if handler(&broken).accepts {
                    return Ok(());
                }
                broken
            }
            (None, Some(FallbackHandler::ByKind(otherwise))) => match otherwise(ConflictType::ForeignKey) {
                ConflictAction::Omit => return Ok(()),
                ConflictAction::Abort => find()?,
                ConflictAction::Replace => {
                    return Err(ApplyError::IllegalReplace { conflict: ConflictType::ForeignKey, table: None });
                }
            },
            (None, Some(FallbackHandler::ByChange(_)) | None) => find()?,
        };
        Err(ApplyError::ForeignKeyViolations(Box::new(broken)))
    }

    fn accepts(&mut self, change: &PendingChange<'_>) -> Result<bool, ApplyError> {
        if let Some(filter) = self.rules.of_table(&change.table()).and_then(|rules| rules.filter.as_mut()) {
            read_change(change, self.format, &mut self.change)?;
            let has_row = self.rows.read(change, &mut self.row)?;
            let current = has_row.then(|| records(&self.row, Format::Changeset));
            let takes = filter(records(&self.change, self.format), current)?;
            if !takes {
                self.counts.skip();
            }
            return Ok(takes);
        }
        let _ = change;
        Ok(true)
    }

    fn before_commit(&mut self) -> Result<(), ApplyError> {
        if let Some(before) = self.schema_version {
            if schema_version(self.connection)? != before {
                return Err(ApplyError::SchemaChanged);
            }
        }
        Ok(())
    }

    fn read_input(&mut self, max: usize) -> Result<&[u8], ApplyError> {
        match &mut self.feed {
            Some(feed) => feed.read(max, &mut self.counts, self.rules.on_progress.as_mut()),
            None => Ok(&[]),
        }
    }
}

/// Returns the version of the schema of `main`, as this transaction sees it.
pub(super) fn schema_version(connection: Connection<'_>) -> Result<i64, ApplyError> {
    let version = connection.rows("PRAGMA main.schema_version", |row| row.integer(0));
    version.map(|rows| rows.first().copied().unwrap_or(0)).map_err(|failure| ApplyError::Sqlite {
        operation: "reading the schema",
        table: None,
        error: failure,
    })
}
