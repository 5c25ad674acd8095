//! One attempt to apply a change, and the decisions about what is in its way.

use std::boxed::Box;
use std::string::ToString;

use super::super::conflict::{ConflictAction, ConflictType, ForeignKeyConflict, RawDecision, UntypedConflict};
use super::super::handlers::{ApplyRules, FallbackHandler};
use super::super::queue::ChangeState;
use super::super::report::ChangeResult;
use super::super::target_table::{Ran, is_set};
use super::super::typed::UndecodedConflict;
use super::{ApplyError, Engine, failed, foreign_keys_failed};
use crate::wire::codec::append::records;
use crate::wire::{Format, Operation, Record, Value};

/// The result of an attempt to apply a change.
pub(super) enum Attempt {
    Done(ChangeResult),
    /// A constraint was violated. Contains the extended result code.
    Blocked(i32),
}

/// The application's decision about a conflict.
enum Answer {
    /// The database already contains the result of the change.
    Noop,
    Omit,
    Replace,
}

impl Engine<'_, '_, '_, '_> {
    /// Returns whether the row with the key of the change exists, and reads it if a decision about
    /// the change requires it.
    fn find_row(&mut self, record: &Record<'_>) -> Result<bool, ApplyError> {
        let ApplyRules { tables, otherwise, ignores_noops, .. } = &*self.rules;
        let has_handler = || tables.iter().any(|rules| rules.is_of(record.table()) && rules.on_conflict.is_some());
        if *ignores_noops || matches!(otherwise, Some(FallbackHandler::ByChange(_))) || has_handler() {
            return self.read_row(record);
        }
        self.row.clear();
        let target = self.facts.target_mut(self.target.unwrap_or_default());
        target.has_row(self.statements, record).map_err(failed("reading the row of a change", record.table()))
    }

    /// Reads the row with the key of the change. Returns whether it exists.
    fn read_row(&mut self, record: &Record<'_>) -> Result<bool, ApplyError> {
        let target = self.facts.target_mut(self.target.unwrap_or_default());
        let read = target.read_row(self.statements, record, &mut self.row);
        read.map_err(failed("reading the row of a change", record.table()))
    }

    /// Tries to apply a change. If it is the last attempt, asks about a violated constraint.
    #[inline]
    pub(super) fn attempt(
        &mut self,
        record: &Record<'_>,
        state: &mut ChangeState,
        is_last: bool,
    ) -> Result<Attempt, ApplyError> {
        let ran = match record.operation() {
            Operation::Insert => self.run(record, |target, statements| target.insert(statements, record))?,
            Operation::Update => self.run_update(record, state.replaces)?,
            Operation::Delete if state.replaces => {
                self.run(record, |target, statements| target.delete_by_key(statements, record))?
            }
            Operation::Delete => self.run(record, |target, statements| target.delete(statements, record))?,
        };
        let done = if state.replaces { ChangeResult::Replaced } else { ChangeResult::Applied };
        match (record.operation(), ran) {
            (_, Ran::Changed) => Ok(Attempt::Done(done)),
            (_, Ran::Nothing) => Ok(Attempt::Done(ChangeResult::Skipped)),
            // a trigger has ignored it
            (Operation::Insert, Ran::Unchanged) if state.has_deleted_row => {
                Err(ApplyError::ReplacedRowLost { table: record.table().to_string() })
            }
            (Operation::Insert, Ran::Unchanged) => Ok(Attempt::Done(done)),
            (Operation::Insert, Ran::Blocked(code)) => self.resolve_insert(record, state, code, is_last),
            (_, Ran::Unchanged) => self.resolve_mismatch(record, state, is_last),
            (_, Ran::Blocked(code)) => self.block(record, *state, code, is_last),
        }
    }

    /// Decides about an INSERT that violates a constraint: the primary key, or another one.
    #[cold]
    fn resolve_insert(
        &mut self,
        record: &Record<'_>,
        state: &mut ChangeState,
        code: i32,
        is_last: bool,
    ) -> Result<Attempt, ApplyError> {
        if !self.find_row(record)? {
            return self.block(record, *state, code, is_last);
        }
        if !state.replaces {
            match self.ask(ConflictType::Conflict, record, *state)? {
                Answer::Noop => return Ok(Attempt::Done(ChangeResult::Noop)),
                Answer::Omit => return Ok(Attempt::Done(ChangeResult::Omitted)),
                Answer::Replace => state.replaces = true,
            }
        }
        match self.run(record, |target, statements| target.delete_by_key(statements, record))? {
            Ran::Blocked(code) => return self.block(record, *state, code, is_last),
            // a trigger keeps the row
            Ran::Unchanged | Ran::Nothing => return self.block(record, *state, code, is_last),
            Ran::Changed => state.has_deleted_row = true,
        }
        match self.run(record, |target, statements| target.insert(statements, record))? {
            Ran::Changed => Ok(Attempt::Done(ChangeResult::Replaced)),
            Ran::Unchanged | Ran::Nothing => Err(ApplyError::ReplacedRowLost { table: record.table().to_string() }),
            Ran::Blocked(code) => self.block(record, *state, code, is_last),
        }
    }

    /// Decides about an UPDATE or DELETE that has found no row with its key and its old values.
    #[cold]
    fn resolve_mismatch(
        &mut self,
        record: &Record<'_>,
        state: &mut ChangeState,
        is_last: bool,
    ) -> Result<Attempt, ApplyError> {
        let kind = if !state.replaces && self.find_row(record)? { ConflictType::Data } else { ConflictType::NotFound };
        match self.ask(kind, record, *state)? {
            Answer::Noop => Ok(Attempt::Done(ChangeResult::Noop)),
            Answer::Omit => Ok(Attempt::Done(ChangeResult::Omitted)),
            Answer::Replace => {
                state.replaces = true;
                self.attempt(record, state, is_last)
            }
        }
    }

    /// Lets a change wait. If it has waited, decides about the constraint that it violates.
    #[cold]
    fn block(
        &mut self,
        record: &Record<'_>,
        state: ChangeState,
        code: i32,
        is_last: bool,
    ) -> Result<Attempt, ApplyError> {
        if !is_last {
            return Ok(Attempt::Blocked(code));
        }
        self.ask(ConflictType::Constraint, record, state)?;
        Ok(Attempt::Done(ChangeResult::Omitted))
    }

    /// Asks the application about a conflict. The row in the way has been read.
    fn ask(&mut self, kind: ConflictType, record: &Record<'_>, state: ChangeState) -> Result<Answer, ApplyError> {
        let row = if kind.takes_replace() { records(&self.row, Format::Changeset).next() } else { None };
        if self.rules.ignores_noops && is_noop(kind, record, row.as_ref()) {
            return Ok(Answer::Noop);
        }
        let after_replace = kind == ConflictType::Constraint && state.has_deleted_row;
        let ApplyRules { tables, otherwise, .. } = &mut *self.rules;
        let handler =
            tables.iter_mut().find(|rules| rules.is_of(record.table())).and_then(|rules| rules.on_conflict.as_mut());
        let decision = match (handler, otherwise) {
            (Some(handler), _) => {
                handler(UndecodedConflict { conflict: kind, change: *record, current: row, after_replace })?
            }
            (None, None) => RawDecision { action: ConflictAction::Abort, may_lose_row: false },
            (None, Some(FallbackHandler::ByKind(otherwise))) => {
                RawDecision { action: otherwise(kind), may_lose_row: false }
            }
            (None, Some(FallbackHandler::ByChange(otherwise))) => {
                RawDecision { action: otherwise(&UntypedConflict::new(kind, *record, row))?, may_lose_row: false }
            }
        };
        let table = || record.table().to_string();
        match decision.action {
            ConflictAction::Abort => Err(ApplyError::ConflictAborted),
            ConflictAction::Replace if kind.takes_replace() => Ok(Answer::Replace),
            ConflictAction::Replace => Err(ApplyError::IllegalReplace { conflict: kind, table: Some(table()) }),
            ConflictAction::Omit if after_replace && !decision.may_lose_row => {
                Err(ApplyError::ReplacedRowLost { table: table() })
            }
            ConflictAction::Omit => Ok(Answer::Omit),
        }
    }

    pub(super) fn passes_filter(&mut self, record: &Record<'_>) -> Result<bool, ApplyError> {
        let has_row = self.read_row(record)?;
        let row = if has_row { records(&self.row, Format::Changeset).next() } else { None };
        let filter = self.rules.of_table(record.table()).and_then(|rules| rules.filter.as_mut());
        filter.map_or(Ok(true), |filter| filter(*record, row))
    }

    /// Accepts foreign key violations, or fails.
    pub(super) fn decide_foreign_keys(&mut self) -> Result<(), ApplyError> {
        let connection = self.statements.connection();
        let find = || ForeignKeyConflict::find(connection).map_err(foreign_keys_failed);
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
}

/// Returns whether the database already contains what the change would result in. `row` is the row
/// with its key.
fn is_noop(kind: ConflictType, record: &Record<'_>, row: Option<&Record<'_>>) -> bool {
    match (kind, record.operation()) {
        (ConflictType::NotFound, Operation::Delete) => true,
        (ConflictType::Data, Operation::Update) | (ConflictType::Conflict, Operation::Insert) => {
            row.is_some_and(|row| is_in_row(record, row))
        }
        _ => false,
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
    let changes = change.old_values().zip(change.new_values()).zip(row.new_values());
    change.key_ordinals().iter().zip(changes).filter(|(ordinal, _)| **ordinal == 0).all(|(_, ((old, new), current))| {
        let new = new.filter(|new| is_set(old, Some(*new)));
        new.is_none_or(|new| current.is_some_and(|current| is_same(new, current)))
    })
}
