//! UPDATEs that exchange UNIQUE values, so that no order of them is possible.
//!
//! One row of the cycle is *parked*: its values in UNIQUE indexes are replaced by free ones, until
//! the other rows have been updated. Nobody else sees the free values:
//!
//! - Triggers would, so a table with triggers on UPDATE has no exchanges. Nor has a column with a
//!   foreign key action on it, or a table with a generated column, a partial index or an index with
//!   an expression, which could depend on the values.
//! - CHECK constraints are disabled for the one statement that parks a row.
//! - Foreign keys are deferred, and count to zero in the end.
//!
//! A change of the cycle with any other conflict undoes the exchange, and each of its changes
//! remains blocked.

use std::collections::HashMap;
use std::format;
use std::vec::Vec;

use super::super::error::ApplyError;
use super::super::queue::Queue;
use super::super::report::ChangeResult;
use super::super::target_table::{Ran, UNIQUE_VIOLATION, is_set};
use super::{Engine, failed};
use crate::ffi::error::SqliteError;
use crate::ffi::statements::StepError;
use crate::schema::LiveColumn;
use crate::wire::{Operation, Record, Value};

/// What has been done about a change while an exchange is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// On the stack: waits for the changes above it.
    Waiting,
    /// On the stack, with its row parked.
    Parked,
    /// Applied, or not possible.
    Done,
}

/// The attempt to apply the changes that wait for each other.
#[derive(Default)]
struct Attempt {
    progress: HashMap<usize, Progress>,
    /// The changes that wait, each for the one above it.
    stack: Vec<usize>,
    parked: usize,
    /// The changes that were applied since a row has been parked.
    applied: Vec<usize>,
}

/// The result of trying a change of a cycle.
enum Tried {
    Applied,
    /// The change needs a value of the row of another change.
    WaitsFor(usize),
    /// The change cannot be applied.
    Impossible,
}

const SAVEPOINT: &core::ffi::CStr = c"SAVEPOINT diesel_sqlite_session_exchange";
const RELEASE: &core::ffi::CStr = c"RELEASE diesel_sqlite_session_exchange";
const UNDO: &core::ffi::CStr = c"ROLLBACK TO diesel_sqlite_session_exchange; RELEASE diesel_sqlite_session_exchange";

impl Engine<'_, '_, '_, '_> {
    /// Applies the changes that wait for each other, as far as possible.
    pub(super) fn exchange(&mut self, queue: &mut Queue) -> Result<(), ApplyError> {
        if !self.allows_exchange()? {
            return Ok(());
        }
        let mut attempt = Attempt::default();
        for at in 0..queue.len() {
            if queue.waits(at) && !attempt.progress.contains_key(&at) {
                let exchanged = self.exchange_from(at, queue, &mut attempt);
                if exchanged.is_err() && attempt.parked > 0 {
                    // also in an apply without a savepoint, no row remains parked
                    let _ = self.execute(UNDO);
                }
                exchanged?;
            }
        }
        Ok(())
    }

    /// Applies a change, and the changes for which it waits.
    fn exchange_from(&mut self, first: usize, queue: &mut Queue, attempt: &mut Attempt) -> Result<(), ApplyError> {
        attempt.stack.push(first);
        attempt.progress.insert(first, Progress::Waiting);
        while let Some(at) = attempt.stack.last().copied() {
            let is_parked = attempt.progress.get(&at) == Some(&Progress::Parked);
            if attempt.parked == 0 {
                // the application's function can fail or panic, so it is not called in between
                self.tick_of(at, queue)?;
            }
            match self.try_in_exchange(at, queue, is_parked)? {
                Tried::Applied => {
                    attempt.stack.pop();
                    attempt.progress.insert(at, Progress::Done);
                    attempt.applied.push(at);
                    attempt.parked = attempt.parked.saturating_sub(usize::from(is_parked));
                    if attempt.parked == 0 {
                        if is_parked {
                            self.execute(RELEASE)?;
                        }
                        for at in attempt.applied.drain(..) {
                            self.finish_exchanged(at, queue)?;
                        }
                    }
                }
                Tried::WaitsFor(other) => match attempt.progress.get(&other) {
                    None => {
                        attempt.stack.push(other);
                        attempt.progress.insert(other, Progress::Waiting);
                    }
                    Some(Progress::Waiting) => {
                        if attempt.parked == 0 {
                            self.execute(SAVEPOINT)?;
                        }
                        attempt.parked += 1;
                        attempt.progress.insert(other, Progress::Parked);
                        if !self.park(other, queue)? {
                            return self.give_up(attempt);
                        }
                    }
                    // the row has left its values, or never will
                    Some(Progress::Parked | Progress::Done) => return self.give_up(attempt),
                },
                Tried::Impossible => return self.give_up(attempt),
            }
        }
        Ok(())
    }

    /// Undoes an exchange that is not possible. Changes that were applied before any row was parked
    /// remain applied.
    fn give_up(&mut self, attempt: &mut Attempt) -> Result<(), ApplyError> {
        if attempt.parked > 0 {
            self.execute(UNDO)?;
        }
        attempt.applied.clear();
        attempt.parked = 0;
        for at in attempt.stack.drain(..) {
            attempt.progress.insert(at, Progress::Done);
        }
        Ok(())
    }

    fn tick_of(&mut self, at: usize, queue: &Queue) -> Result<(), ApplyError> {
        queue.get(at).map_or(Ok(()), |(record, _)| self.tick(&record))
    }

    fn try_in_exchange(&mut self, at: usize, queue: &Queue, is_parked: bool) -> Result<Tried, ApplyError> {
        let Some((record, state)) = queue.get(at) else { return Ok(Tried::Impossible) };
        if record.operation() != Operation::Update {
            return Ok(Tried::Impossible);
        }
        Ok(match self.run_update(&record, is_parked || state.replaces)? {
            Ran::Changed => Tried::Applied,
            Ran::Unchanged | Ran::Nothing => Tried::Impossible,
            Ran::Blocked(code) => {
                let row = self.find_blocking_row(&record, code)?;
                row.and_then(|row| queue.first_of(row)).map_or(Tried::Impossible, Tried::WaitsFor)
            }
        })
    }

    fn finish_exchanged(&mut self, at: usize, queue: &mut Queue) -> Result<(), ApplyError> {
        if let Some((record, state)) = queue.get(at) {
            self.finish(&record, if state.replaces { ChangeResult::Replaced } else { ChangeResult::Applied });
        }
        queue.finish(at);
        Ok(())
    }

    /// Returns whether rows of the current table can be parked at all.
    fn allows_exchange(&self) -> Result<bool, ApplyError> {
        if self.settings.without_exchange || self.target().has_update_triggers {
            return Ok(false);
        }
        // an exchange that turns out to be impossible must be undone
        let can_undo = self.statements.connection().can_roll_back();
        can_undo.map_err(failed("exchanging values", self.target().lower_name()))
    }

    /// Replaces the values that a change sets in UNIQUE indexes by free ones. Returns whether this
    /// was possible.
    fn park(&mut self, at: usize, queue: &Queue) -> Result<bool, ApplyError> {
        let Some((record, _)) = queue.get(at) else { return Ok(false) };
        let has_action = |engine: &Self, column: &LiveColumn| engine.has_action_on_update_of(record.table(), column);
        let (target, connection, name) = self.current();
        let has_checks = target.has_checks;
        let is_strict = target.is_strict;
        let indexes = target.indexes(connection, &name).map_err(failed("reading the schema", &name))?;
        let indexed: Vec<usize> = indexes.plain.iter().flatten().map(|(column, _)| *column).collect();
        let values = record.old_values().zip(record.new_values()).zip(record.key_ordinals());
        let sets: Vec<bool> = values.map(|((old, new), ordinal)| *ordinal == 0 && is_set(old, new)).collect();
        let is_moved = |column: usize| sets.get(column) == Some(&true) && indexed.contains(&column);
        let target = self.target();
        let columns: Vec<(usize, &LiveColumn)> =
            target.live.columns_in_records().filter(|(column, _)| is_moved(*column)).collect();
        if columns.is_empty() || columns.iter().any(|(_, column)| has_action(self, column)) {
            return Ok(false);
        }
        let names: Vec<&str> = columns.iter().map(|(_, column)| column.name.as_str()).collect();
        if target.depends_on(connection, &name, &names).map_err(failed("reading the schema", &name))? {
            return Ok(false);
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let free: Vec<FreeValue> = columns.iter().map(|(_, column)| FreeValue::of(column, is_strict)).collect();
        let (mut assignments, mut conditions) = (Vec::new(), Vec::new());
        for (number, ((_, column), free)) in (1..).zip(columns.iter().zip(&free)) {
            let name = quoted(&column.name);
            assignments.push(format!("{name} = ?{number}"));
            if *free != FreeValue::Null {
                conditions.push(format!(" AND {name} IS NOT ?{number}"));
            }
        }
        let sql = target.update_by_key_sql(&assignments.join(", "), columns.len()) + &conditions.concat();
        self.park_with(&record, &sql, &free, has_checks).map_err(failed("exchanging values", record.table()))
    }

    fn park_with(
        &mut self,
        record: &Record<'_>,
        sql: &str,
        free: &[FreeValue],
        has_checks: bool,
    ) -> Result<bool, SqliteError> {
        let statements = &mut *self.statements;
        let mut are_checks_ignored = !has_checks;
        if has_checks {
            let pragma = "PRAGMA ignore_check_constraints";
            statements.connection().for_each(pragma, |row| are_checks_ignored = row.integer(0) != 0)?;
        }
        if !are_checks_ignored {
            // an authorizer could deny this; then they must not be ignored
            statements.compile(c"PRAGMA ignore_check_constraints = 0")?;
            statements.compile(c"PRAGMA ignore_check_constraints = 1")?;
        }
        let id = statements.prepare(sql);
        if !are_checks_ignored {
            statements.compile(c"PRAGMA ignore_check_constraints = 0")?;
        }
        let id = id?;
        let mut is_parked = false;
        for attempt in 0..MAX_ATTEMPTS {
            let values: Vec<Vec<u8>> = free.iter().map(|value| value.bytes(attempt)).collect();
            let values = free.iter().zip(&values).map(|(value, bytes)| value.value(attempt, bytes));
            match statements.run(id, values.chain(record.key_values())) {
                Ok(()) if statements.changes() == 1 => {
                    is_parked = true;
                    break;
                }
                // this row or another one has this value
                Ok(()) => {}
                Err(StepError::Constraint(UNIQUE_VIOLATION)) => {}
                Err(StepError::Constraint(_)) => break,
                Err(StepError::Failed(error)) => {
                    statements.finalize(id);
                    return Err(error);
                }
            }
        }
        statements.finalize(id);
        Ok(is_parked)
    }
}

/// The number of free values to try.
const MAX_ATTEMPTS: u32 = 100;

/// A value that no row is expected to have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FreeValue {
    /// Differs from every other NULL.
    Null,
    Integer,
    Real,
    Text,
    /// A column that is not in a strict table stores a blob as it is.
    Blob,
}

impl FreeValue {
    fn of(column: &LiveColumn, is_strict: bool) -> Self {
        match column.declared.as_str() {
            _ if !column.is_not_null => Self::Null,
            "INT" | "INTEGER" if is_strict => Self::Integer,
            "REAL" if is_strict => Self::Real,
            "TEXT" if is_strict => Self::Text,
            _ => Self::Blob,
        }
    }

    fn bytes(self, attempt: u32) -> Vec<u8> {
        format!("diesel-sqlite-session, exchanged value {attempt}").into_bytes()
    }

    fn value(self, attempt: u32, bytes: &[u8]) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer => Value::Integer(i64::MIN + i64::from(attempt)),
            Self::Real => Value::Real(-f64::from_bits(f64::MAX.to_bits() - u64::from(attempt))),
            Self::Text => Value::Text(bytes),
            Self::Blob => Value::Blob(bytes),
        }
    }
}
