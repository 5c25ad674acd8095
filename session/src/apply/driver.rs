//! Runs an apply: begins the transaction, lets the engine apply the changes, and commits.
//!
//! Called by [`Apply::run`](super::Apply::run) and, for decisions by kind alone, by
//! `SqliteSessionExt`.

use std::boxed::Box;

use diesel::SqliteConnection;

use super::check::TableScope;
use super::conflict::{ConflictAction, ConflictType};
use super::engine::Engine;
use super::error::ApplyError;
use super::handlers::{ApplyRules, FallbackHandler};
use super::input::Source;
use super::report::ApplyReport;
use crate::ffi::callback;
use crate::ffi::error::SqliteError;
use crate::ffi::handle::{Handle, with_handle};
use crate::ffi::statements::Statements;
use crate::ffi::transaction::Transaction;
use crate::wire::codec::reader::Limits;
use crate::wire::{Format, Limit, Sections, SetFormat, SetRef};

/// The settings of an [`Apply`](super::Apply), independent of its types.
pub(super) struct Settings {
    pub(super) scope: TableScope,
    pub(super) limits: Limits,
    /// Applies the inverse. For changesets only.
    pub(super) is_inverted: bool,
    /// Uses no savepoint: a failed apply is not rolled back.
    pub(super) no_savepoint: bool,
    /// Checks foreign keys, but disables their actions.
    pub(super) no_foreign_key_actions: bool,
    /// Reports UPDATEs that exchange UNIQUE values as conflicts.
    pub(super) without_exchange: bool,
    pub(super) keeps_order: bool,
    pub(super) rebase_data: bool,
    pub(super) format: Format,
}

impl Settings {
    pub(super) fn new(format: Format) -> Self {
        Self {
            scope: TableScope::default(),
            limits: Limits::default(),
            is_inverted: false,
            no_savepoint: false,
            no_foreign_key_actions: false,
            without_exchange: false,
            keeps_order: false,
            rebase_data: false,
            format,
        }
    }
}

/// Applies a set, with decisions by the kind of conflict alone.
pub(crate) fn run_by_kind<F: SetFormat>(
    connection: &mut SqliteConnection,
    set: SetRef<'_, F>,
    handler: &mut dyn FnMut(ConflictType) -> ConflictAction,
) -> Result<(), ApplyError> {
    let mut rules = ApplyRules { otherwise: Some(FallbackHandler::ByKind(Box::new(handler))), ..ApplyRules::default() };
    let settings = Settings::new(F::FORMAT);
    with_handle(connection, |handle| run(handle, Source::Bytes(set.as_bytes()), &settings, &mut rules))?.map(|_| ())
}

/// Applies the changes of `source` to the `main` database.
pub(super) fn run(
    handle: Handle<'_>,
    source: Source<'_>,
    settings: &Settings,
    rules: &mut ApplyRules<'_>,
) -> Result<ApplyReport, ApplyError> {
    let Some(mut statements) = Statements::take(handle) else { return Err(ApplyError::Busy) };
    if settings.no_savepoint && !handle.is_in_transaction() {
        return Err(ApplyError::NoTransaction);
    }
    if let Source::Bytes(bytes) = &source {
        check_limits(bytes, settings)?;
    }
    let transaction = match settings.no_savepoint {
        true => Transaction::join(&mut statements).map_err(applying_failed)?,
        // takes locks when they are needed: a stream may be slow, and must not block other writers
        // before its first change
        false => Transaction::begin(&mut statements).map_err(applying_failed)?,
    };
    let total_bytes = match &source {
        Source::Bytes(bytes) => Some(bytes.len() as u64),
        Source::Stream(_) => None,
    };
    let mut engine = Engine::new(settings, &mut statements, rules, transaction.is_inside(), total_bytes);
    let applied = callback::catch(|| {
        match source {
            Source::Bytes(bytes) => engine.apply_bytes(bytes)?,
            Source::Stream(mut stream) => {
                stream.limit(settings.limits);
                engine.apply_stream(&mut *stream)?;
            }
        }
        engine.finish_changes()
    });
    match applied.unwrap_or(Err(ApplyError::ConflictHandlerPanicked)) {
        Ok(()) => {
            let report = engine.into_report();
            let committed = transaction.commit(&mut statements);
            committed.map_err(|error| roll_back(&transaction, applying_failed(error))).map(|()| report)
        }
        Err(error) => {
            engine.enable_actions();
            let error = roll_back(&transaction, error);
            engine.abandon();
            Err(error)
        }
    }
}

/// Rolls back after an error. Returns the error that describes what has become of the changes and of
/// the application's transaction.
fn roll_back(transaction: &Transaction<'_>, error: ApplyError) -> ApplyError {
    if let Err(rollback) = transaction.roll_back() {
        return ApplyError::NotRolledBack { error: Box::new(error), rollback };
    }
    match error {
        error if !transaction.is_inside() || !transaction.is_gone() => error,
        error @ ApplyError::RolledBack { .. } => error,
        // out of memory or disk space, or interrupted: SQLite rolls back the whole transaction
        ApplyError::Sqlite { table, error, .. } => ApplyError::RolledBack { table, error: Some(error) },
        _ => ApplyError::RolledBack { table: None, error: None },
    }
}

/// Checks the limits of changes in memory.
fn check_limits(bytes: &[u8], settings: &Settings) -> Result<(), ApplyError> {
    let Limits { bytes: max_bytes, changes: max_changes, value_bytes: max_value_bytes } = settings.limits;
    if bytes.len() as u64 > max_bytes {
        return Err(ApplyError::Limit { limit: Limit::Bytes, max: max_bytes });
    }
    if (max_changes, max_value_bytes) == (u64::MAX, u64::MAX) {
        return Ok(());
    }
    let mut changes = 0;
    for record in Sections::new(bytes, settings.format).flat_map(|section| section.records()) {
        changes += 1;
        if changes > max_changes {
            return Err(ApplyError::Limit { limit: Limit::Changes, max: max_changes });
        }
        if record.longest_value() as u64 > max_value_bytes {
            return Err(ApplyError::Limit { limit: Limit::ValueBytes, max: max_value_bytes });
        }
    }
    Ok(())
}

fn applying_failed(error: SqliteError) -> ApplyError {
    ApplyError::Sqlite { operation: "applying", table: None, error }
}
