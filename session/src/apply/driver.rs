//! Runs an apply: checks the input, begins the transaction, calls SQLite and makes the report.
//!
//! Called by [`Apply::run`](super::Apply::run) and, for decisions by kind alone, by
//! `SqliteSessionExt`.

use std::boxed::Box;
use std::vec::Vec;

use diesel::SqliteConnection;

use super::callbacks::{self, ApplyRules, FallbackHandler, RunningApply};
use super::check::{CheckOptions, CheckedChanges, Reordering, SchemaCheck, TableScope, check_changes};
use super::conflict::{ConflictAction, ConflictType};
use super::counts::ChangeCounts;
use super::current_rows::CurrentRows;
use super::error::ApplyError;
use super::feed::{InputFeed, OriginalOrder};
use super::input::Source;
use super::order::OrderedChanges;
use super::report::ApplyReport;
use crate::ffi::apply::{ApplyFailure, CAN_FILTER, Input, Options, apply};
use crate::ffi::error::SqliteError;
use crate::ffi::handle::{Handle, with_handle};
use crate::ffi::statement::Connection;
use crate::ffi::transaction::{BeginError, Transaction};
use crate::wire::codec::reader::Limits;
use crate::wire::{ChangesetRef, Format, PatchsetRef, RebaseData, SetFormat, SetRef};

/// The settings of an [`Apply`](super::Apply), independent of its types.
pub(super) struct Settings {
    pub(super) scope: TableScope,
    pub(super) limits: Limits,
    pub(super) options: Options,
    pub(super) format: Format,
    /// Whether the caller wants a report.
    pub(super) is_reported: bool,
    pub(super) keeps_order: bool,
}

/// Applies a set, with decisions by the kind of conflict alone.
pub(crate) fn run_by_kind<F: SetFormat>(
    connection: &mut SqliteConnection,
    set: SetRef<'_, F>,
    handler: &mut dyn FnMut(ConflictType) -> ConflictAction,
) -> Result<(), ApplyError> {
    let mut rules = ApplyRules { otherwise: Some(FallbackHandler::ByKind(Box::new(handler))), ..ApplyRules::default() };
    let (scope, limits, options) = (TableScope::default(), Limits::default(), Options::default());
    let settings = Settings { scope, limits, options, format: F::FORMAT, is_reported: false, keeps_order: false };
    let source = Source::Bytes(set.as_bytes(), set.records());
    with_handle(connection, |handle| run(handle, source, settings, &mut rules))?.map(|_| ())
}

/// Applies the changes of `source` to the `main` database.
pub(super) fn run(
    handle: Handle<'_>,
    source: Source<'_>,
    settings: Settings,
    rules: &mut ApplyRules<'_>,
) -> Result<ApplyReport, ApplyError> {
    let Settings { scope, limits, mut options, format, is_reported, keeps_order } = settings;
    if options.filter && !CAN_FILTER {
        return Err(ApplyError::CannotFilter);
    }
    if options.no_savepoint && !handle.is_in_transaction() {
        return Err(ApplyError::NoTransaction);
    }
    // a stream may be slow, and must not block other writers in that time
    let excludes_writers = matches!(&source, Source::Bytes(bytes, _) if !bytes.is_empty());
    let early_transaction = match options.no_savepoint {
        true => Transaction::join(handle).map(Some),
        false => Transaction::begin_exclusive(handle, excludes_writers),
    };
    let early_transaction = early_transaction.map_err(begin_failed)?;
    let connection = Connection::from(handle);
    // if another connection can change the schema, it is checked again before the commit
    let schema_version = if early_transaction.is_none() { Some(callbacks::schema_version(connection)?) } else { None };
    let mut counts = ChangeCounts::default();
    let mut check = SchemaCheck::new(connection, scope);
    let checked;
    let (input, feed) = match source {
        Source::Bytes(bytes, records) => {
            let reordering =
                (!keeps_order).then_some(Reordering { foreign_key_actions: !options.no_foreign_key_actions });
            let check_options = CheckOptions { format, limits, is_inverted: options.invert, reordering };
            let CheckedChanges { bytes, no_update_loop, plans } =
                check_changes(&mut check, bytes, records, check_options, &mut counts)?;
            checked = bytes;
            options.no_update_loop |= no_update_loop;
            // SQLite counts bytes in a C `int`
            let is_large = i32::try_from(checked.len()).is_err();
            if !plans.is_empty() {
                let ordered = OrderedChanges::new(&checked, format, plans, options.invert);
                (Input::Stream, Some(InputFeed::of_bytes(checked.len(), ordered)))
            } else if is_large || rules.on_progress.is_some() {
                let records = match format {
                    Format::Changeset => ChangesetRef::parse(&checked)?.records(),
                    Format::Patchset => PatchsetRef::parse(&checked)?.records(),
                };
                (Input::Stream, Some(InputFeed::of_bytes(checked.len(), OriginalOrder::new(records, format))))
            } else {
                (Input::Bytes(&checked), None)
            }
        }
        Source::Stream(mut source) => {
            source.limit(limits);
            // the tables of a stream are not known in advance
            options.no_update_loop = true;
            (Input::Stream, Some(InputFeed::of_stream(source, check, format, options.invert)))
        }
    };
    let rows = CurrentRows::new(connection);
    let (change, row) = (Vec::new(), Vec::new());
    let mut run = RunningApply {
        features: None,
        schema_version,
        connection,
        rules,
        format,
        is_reported,
        counts,
        rows,
        feed,
        change,
        row,
    };
    let transaction = match early_transaction {
        Some(transaction) => transaction,
        None => Transaction::begin(handle).map_err(begin_failed)?,
    };
    let rebase_data = apply(handle, &transaction, input, options, &mut run).map_err(|failure| match failure {
        ApplyFailure::Handler(error) => error,
        ApplyFailure::HandlerPanicked => ApplyError::ConflictHandlerPanicked,
        ApplyFailure::RolledBack { table, failure } => ApplyError::RolledBack { table, error: failure },
        ApplyFailure::Sqlite { failure, table } => ApplyError::Sqlite { operation: "applying", table, error: failure },
    })?;
    transaction.commit().map_err(failed)?;
    let rebase_data = RebaseData::from_sqlite(rebase_data, run.counts.has_revoked_replace());
    Ok(ApplyReport::new(run.counts.into_reports(), rebase_data))
}

fn failed(failure: SqliteError) -> ApplyError {
    ApplyError::Sqlite { operation: "applying", table: None, error: failure }
}

fn begin_failed(error: BeginError) -> ApplyError {
    match error {
        BeginError::Busy => ApplyError::Busy,
        BeginError::Failed(failure) => failed(failure),
    }
}
