//! Applies changes one after the other: runs the statement of each, finds out what is in its way,
//! and does what the application decides.
//!
//! Invariant: each change has one result, which is counted once. Called by
//! [`driver`](super::driver).

use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

use super::check::{Facts, SectionCheck};
use super::conflict::{ConflictAction, ConflictType, ForeignKeyConflict, RawDecision, UntypedConflict};
use super::counts::{ChangeCounts, RebaseWriter};
use super::driver::Settings;
use super::error::ApplyError;
use super::foreign_keys::{DeferredKeys, DisabledActions};
use super::handlers::{ApplyRules, FallbackHandler};
use super::input::Stream;
use super::order::MIN_CHANGES;
use super::progress::ProgressMeter;
use super::queue::{ChangeState, Queue};
use super::report::{ApplyReport, ChangeResult};
use super::row_id::RowId;
use super::target::{BATCH, Ran, Target, UNIQUE_VIOLATION, is_set};
use super::typed::UndecodedConflict;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::ffi::statements::Statements;
use crate::schema::LiveColumn;
use crate::wire::codec::append::{records, write_header};
use crate::wire::{Format, Operation, RebaseData, Record, Section, Sections, Value, inverted};

/// The number of attempts to apply blocked changes of a table again, besides a number for each
/// change. Most changes are woken by the change of the row that blocks them. But what a trigger or a
/// foreign key action of any other change does can also let them pass.
const MAX_ATTEMPTS: usize = 100_000;

/// The number of changes up to which all of them are read before the first one is applied.
const MAX_RECORDS: usize = 4096;

/// The number of bytes that are read from a stream before the changes in them are applied.
const CHUNK: usize = 16 * 1024;

/// A running apply.
pub(super) struct Engine<'conn, 's, 'r, 'a> {
    pub(super) settings: &'s Settings,
    pub(super) statements: &'s mut Statements<'conn>,
    rules: &'r mut ApplyRules<'a>,
    facts: Box<Facts>,
    check: SectionCheck,
    actions_disabled: Option<DisabledActions<'conn>>,
    keys: DeferredKeys,
    counts: ChangeCounts,
    rebase: Option<RebaseWriter>,
    meter: ProgressMeter,
    /// Whether the apply runs inside a transaction of the application.
    is_inside: bool,
    /// The name of the current table, as the changes contain it.
    table: String,
    /// The index of the current table in `facts`, or `None` if its changes are skipped.
    target: Option<usize>,
    has_filter: bool,
    /// The changes of the current table that are blocked.
    queue: Queue,
    /// The row that was read last, as a section with one INSERT.
    row: Vec<u8>,
}

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

/// Returns a function that adds the operation and the table to an error of SQLite.
pub(super) fn failed(operation: &'static str, table: &str) -> impl FnOnce(SqliteError) -> ApplyError {
    move |error| ApplyError::Sqlite { operation, table: Some(table.to_string()), error }
}

impl<'conn, 's, 'r, 'a> Engine<'conn, 's, 'r, 'a> {
    pub(super) fn new(
        settings: &'s Settings,
        statements: &'s mut Statements<'conn>,
        rules: &'r mut ApplyRules<'a>,
        is_inside: bool,
        total_bytes: Option<u64>,
    ) -> Self {
        let facts = statements.take_facts().unwrap_or_default();
        let has_rebase_data = settings.rebase_data && settings.format == Format::Changeset;
        Self {
            settings,
            statements,
            rules,
            facts,
            check: SectionCheck::default(),
            actions_disabled: None,
            keys: DeferredKeys::default(),
            counts: ChangeCounts::default(),
            rebase: has_rebase_data.then(RebaseWriter::default),
            meter: ProgressMeter::new(total_bytes),
            is_inside,
            table: String::new(),
            target: None,
            has_filter: false,
            queue: Queue::new(settings.format),
            row: Vec::new(),
        }
    }

    /// Checks all sections, and applies their changes.
    pub(super) fn apply_bytes(&mut self, bytes: &[u8]) -> Result<(), ApplyError> {
        let inverse;
        let bytes = if self.settings.is_inverted {
            inverse = inverted(bytes);
            &inverse
        } else {
            bytes
        };
        self.meter.start(&mut self.rules.on_progress)?;
        let (sections, records) = Sections::new(bytes, self.settings.format).read_all(MAX_RECORDS);
        if sections.len() > 1 {
            for first in sections.iter().filter_map(|(section, _)| section.records().next()) {
                self.check_section(&first)?;
            }
        }
        let mut rest = records.as_deref();
        for (section, count) in &sections {
            let records = rest.map(|records| records.split_at_checked(*count).unwrap_or_default());
            rest = records.map(|(_, rest)| rest);
            self.apply_section(section, *count, records.map(|(records, _)| records))?;
        }
        self.meter.finish(bytes.len() as u64, &mut self.rules.on_progress)
    }

    /// Applies the changes of a section, which `records` contains if they are few.
    fn apply_section(
        &mut self,
        section: &Section<'_>,
        count: usize,
        records: Option<&[Record<'_>]>,
    ) -> Result<(), ApplyError> {
        let Some(first) = section.records().next() else { return Ok(()) };
        self.begin_section(&first)?;
        if let Some(target) = self.target.filter(|_| count >= MIN_CHANGES && !self.settings.keeps_order) {
            let connection = self.statements.connection();
            let acts = !self.settings.no_foreign_key_actions;
            let order = self.facts.key_order(connection, target, section, acts);
            if let Some(order) = order.map_err(failed("reading the schema", first.table()))? {
                let uses_batches = self.target().uses_batches(connection, count);
                return match uses_batches.map_err(failed("reading the schema", first.table()))? {
                    true => self.apply_in_batches(order.records()),
                    false => order.records().try_for_each(|record| self.apply_record(&record)),
                };
            }
        }
        match records {
            Some(records) => records.iter().try_for_each(|record| self.apply_record(record)),
            None => section.records().try_for_each(|record| self.apply_record(&record)),
        }
    }

    /// Applies changes in key order, INSERTs in batches.
    fn apply_in_batches<'b>(&mut self, records: impl Iterator<Item = Record<'b>>) -> Result<(), ApplyError> {
        let mut batch = Vec::with_capacity(BATCH);
        // after a conflict, the following batches are likely to have one too
        let (mut pause, mut next_pause) = (0usize, 1usize);
        for record in records {
            if record.operation() != Operation::Insert || self.has_filter || !self.queue.is_empty() {
                batch.drain(..).try_for_each(|record| self.apply_record(&record))?;
                self.apply_record(&record)?;
                continue;
            }
            batch.push(record);
            if batch.len() < BATCH {
                continue;
            }
            if pause > 0 {
                pause -= 1;
            } else if self.apply_batch(&batch)? {
                batch.clear();
                next_pause = 1;
            } else {
                (pause, next_pause) = (next_pause, next_pause.saturating_mul(2).min(64));
            }
            batch.drain(..).try_for_each(|record| self.apply_record(&record))?;
        }
        batch.into_iter().try_for_each(|record| self.apply_record(&record))
    }

    /// Applies a batch of INSERTs, unless one of them has a conflict. Returns whether they were
    /// applied.
    fn apply_batch(&mut self, batch: &[Record<'_>]) -> Result<bool, ApplyError> {
        let Some(first) = batch.first() else { return Ok(true) };
        let ran = self.run(first, |target, statements| target.insert_batch(statements, batch))?;
        if ran != Ran::Changed {
            return Ok(false);
        }
        for record in batch {
            self.meter.advance(record.byte_length(), &mut self.rules.on_progress)?;
            self.count(ChangeResult::Applied);
        }
        Ok(true)
    }

    /// Applies the changes of a stream, and checks each section when it begins.
    ///
    /// The stream is read in chunks, without a lock: the limits and the tables of a small stream are
    /// checked before its first change is applied.
    pub(super) fn apply_stream(&mut self, stream: &mut dyn Stream) -> Result<(), ApplyError> {
        self.meter.start(&mut self.rules.on_progress)?;
        let (mut chunk, mut last_section, mut end) = (Vec::new(), 0, 0);
        loop {
            chunk.clear();
            let mut header_of = None;
            while chunk.len() < CHUNK {
                let Some((record, section)) = stream.next()? else { break };
                if section != last_section {
                    last_section = section;
                    self.check.skips(&self.settings.scope, &record)?;
                }
                if header_of != Some(section) {
                    header_of = Some(section);
                    write_header(self.settings.format, record.table(), record.key_ordinals(), &mut chunk);
                }
                record.write(&mut chunk);
                end = record.offset().saturating_add(record.byte_length());
            }
            if chunk.is_empty() {
                return self.meter.finish(end as u64, &mut self.rules.on_progress);
            }
            let inverse = if self.settings.is_inverted { inverted(&chunk) } else { Vec::new() };
            let changes = if self.settings.is_inverted { &inverse } else { &chunk };
            for section in Sections::new(changes, self.settings.format) {
                for (at, record) in section.records().enumerate() {
                    if at == 0 {
                        self.begin_section(&record)?;
                    }
                    self.apply_record(&record)?;
                }
            }
        }
    }

    /// Applies the changes that still wait, and checks the foreign keys.
    pub(super) fn finish_changes(&mut self) -> Result<(), ApplyError> {
        self.settle()?;
        // enables the actions again, before the commit
        self.actions_disabled = None;
        let are_violated = self.keys.are_violated(self.statements).map_err(foreign_keys_failed)?;
        if are_violated {
            self.decide_foreign_keys()?;
            self.keys.accept(self.statements).map_err(foreign_keys_failed)?;
        }
        self.keys.restore(self.statements);
        Ok(())
    }

    /// Returns the report.
    pub(super) fn into_report(mut self) -> ApplyReport {
        let rebase_data = self.rebase.take().map_or_else(RebaseData::default, RebaseWriter::finish);
        let counts = core::mem::take(&mut self.counts);
        self.keep_facts();
        ApplyReport::new(counts.into_reports(), rebase_data)
    }

    /// Keeps what has been read of the schema, together with the statements.
    fn keep_facts(self) {
        if self.facts.are_kept() {
            self.statements.set_facts(self.facts);
        } else {
            self.statements.keep_none();
        }
    }

    /// Ends an apply that failed, after the transaction has been rolled back.
    pub(super) fn abandon(self) {
        self.keys.restore(self.statements);
        self.keep_facts();
    }

    /// Enables foreign key actions before the transaction is rolled back.
    pub(super) fn enable_actions(&mut self) {
        self.actions_disabled = None;
    }

    /// Checks the section of a change. Returns the index of its table, or `None` if the changes are
    /// skipped.
    fn check_section(&mut self, first: &Record<'_>) -> Result<Option<usize>, ApplyError> {
        let Self { settings, statements, facts, check, .. } = self;
        if check.skips(&settings.scope, first)? {
            return Ok(None);
        }
        facts.look(statements, check, first.table())?;
        let target = check.section(statements.connection(), facts, &settings.scope, first)?;
        if let Some(index) = target {
            if settings.no_foreign_key_actions && self.actions_disabled.is_none() && facts.has_actions() {
                self.actions_disabled = Some(DisabledActions::new(statements)?);
                facts.forget_statements();
            }
            if facts.concerns_foreign_keys(index) {
                self.keys.defer(statements, self.is_inside).map_err(foreign_keys_failed)?;
            }
        }
        Ok(target)
    }

    /// Begins a section with this first change.
    fn begin_section(&mut self, first: &Record<'_>) -> Result<(), ApplyError> {
        if !first.table().eq_ignore_ascii_case(&self.table) {
            self.settle()?;
        }
        self.target = self.check_section(first)?;
        self.table.clear();
        self.table.push_str(first.table());
        self.counts.begin_table(first.table());
        self.has_filter = self.rules.of_table(first.table()).is_some_and(|rules| rules.filter.is_some());
        Ok(())
    }

    /// Applies a change of the current section, or lets it wait.
    #[inline]
    fn apply_record(&mut self, record: &Record<'_>) -> Result<(), ApplyError> {
        self.meter.advance(record.byte_length(), &mut self.rules.on_progress)?;
        if self.target.is_none() || (self.has_filter && (sets_nothing(record) || !self.passes_filter(record)?)) {
            self.count(ChangeResult::Skipped);
            return Ok(());
        }
        // the changes of one row keep their order
        let row = if self.queue.is_empty() { None } else { Some(self.row_of(record)?) };
        if let Some(row) = row.filter(|row| self.queue.has_change_of(*row)) {
            self.queue.push(record, row, ChangeState::default(), None);
            return Ok(());
        }
        let mut state = ChangeState::default();
        match self.attempt(record, &mut state, false)? {
            Attempt::Done(result) => {
                self.finish(record, result);
                if let Some(row) = row {
                    self.queue.release(row);
                }
            }
            Attempt::Blocked(code) => {
                let row = row.map_or_else(|| self.row_of(record), Ok)?;
                let waits_for = self.find_blocking_row(record, code)?;
                self.queue.push(record, row, state, waits_for);
            }
        }
        Ok(())
    }

    fn count(&mut self, result: ChangeResult) {
        if let Some(table) = self.counts.table() {
            table.count(result);
        }
    }

    /// Counts a change whose result is final, and adds the decision about it to the rebase data.
    #[inline]
    pub(super) fn finish(&mut self, record: &Record<'_>, result: ChangeResult) {
        self.count(result);
        if matches!(result, ChangeResult::Noop | ChangeResult::Replaced | ChangeResult::Omitted) {
            if let (Some(rebase), Some(target)) = (&mut self.rebase, self.target) {
                let facts = &self.facts;
                rebase.add(record, || facts.target(target).live_ordinals(), result == ChangeResult::Replaced);
            }
        }
    }

    /// Tries the blocked changes of the current table again, and asks about those that remain
    /// blocked.
    fn settle(&mut self) -> Result<(), ApplyError> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let mut queue = core::mem::replace(&mut self.queue, Queue::new(self.settings.format));
        let mut attempts = queue.len().saturating_mul(32).saturating_add(MAX_ATTEMPTS);
        self.drain(&mut queue, &mut attempts)?;
        let mut is_reversed = false;
        while queue.unfinished() > 0 {
            let before = queue.unfinished();
            self.exchange(&mut queue)?;
            self.drain(&mut queue, &mut attempts)?;
            // in turns from both ends, since the changes can depend on each other in either order
            queue.release_all(is_reversed);
            is_reversed = !is_reversed;
            self.drain(&mut queue, &mut attempts)?;
            if queue.unfinished() == before || attempts == 0 {
                break;
            }
        }
        for at in 0..queue.len() {
            let Some((record, mut state)) = queue.get(at) else { continue };
            self.tick(&record)?;
            if let Attempt::Done(result) = self.attempt(&record, &mut state, true)? {
                self.finish(&record, result);
            }
            queue.finish(at);
        }
        Ok(())
    }

    /// Tries the changes that have stopped waiting.
    fn drain(&mut self, queue: &mut Queue, attempts: &mut usize) -> Result<(), ApplyError> {
        while let Some(at) = queue.next_ready().filter(|_| *attempts > 0) {
            let Some((record, mut state)) = queue.get(at) else { continue };
            *attempts -= 1;
            self.tick(&record)?;
            match self.attempt(&record, &mut state, false)? {
                Attempt::Done(result) => {
                    self.finish(&record, result);
                    queue.finish(at);
                }
                Attempt::Blocked(code) => {
                    let waits_for = self.find_blocking_row(&record, code)?;
                    queue.wait(at, state, waits_for);
                }
            }
        }
        Ok(())
    }

    /// Calls the progress function from time to time while changes are tried again.
    pub(super) fn tick(&mut self, record: &Record<'_>) -> Result<(), ApplyError> {
        self.meter.wait(record.byte_length(), &mut self.rules.on_progress)
    }

    /// Returns the current table.
    pub(super) fn target(&self) -> &Target {
        self.facts.target(self.target.unwrap_or_default())
    }

    /// Returns the current table with its name, to read more of its schema.
    pub(super) fn current(&mut self) -> (&mut Target, Connection<'conn>, String) {
        let connection = self.statements.connection();
        (self.facts.target_mut(self.target.unwrap_or_default()), connection, self.table.clone())
    }

    pub(super) fn has_action_on_update_of(&self, table: &str, column: &LiveColumn) -> bool {
        !self.settings.no_foreign_key_actions && self.facts.acts_on_update_of(table, &column.name)
    }

    pub(super) fn execute(&self, sql: &core::ffi::CStr) -> Result<(), ApplyError> {
        self.statements.connection().execute(sql).map_err(failed("applying", &self.table))
    }

    fn row_of(&mut self, record: &Record<'_>) -> Result<RowId, ApplyError> {
        let connection = self.statements.connection();
        let target = self.facts.target_mut(self.target.unwrap_or_default());
        let row_ids =
            target.row_ids(connection, record.table()).map_err(failed("reading the schema", record.table()))?;
        Ok(row_ids.of(record.key_values()))
    }

    /// Returns the row that has a UNIQUE value which the change needs.
    pub(super) fn find_blocking_row(&mut self, record: &Record<'_>, code: i32) -> Result<Option<RowId>, ApplyError> {
        if code != UNIQUE_VIOLATION || record.operation() == Operation::Delete {
            return Ok(None);
        }
        let target = self.facts.target_mut(self.target.unwrap_or_default());
        let found = target.find_blocker(self.statements, record);
        found.map_err(failed("reading the row of a change", record.table()))
    }

    /// Runs the statement of an UPDATE.
    pub(super) fn run_update(&mut self, record: &Record<'_>, by_key: bool) -> Result<Ran, ApplyError> {
        self.run(record, |target, statements| target.update(statements, record, by_key))
    }

    #[inline]
    fn run(
        &mut self,
        record: &Record<'_>,
        run: impl FnOnce(&mut Target, &mut Statements<'conn>) -> Result<Ran, SqliteError>,
    ) -> Result<Ran, ApplyError> {
        let target = self.facts.target_mut(self.target.unwrap_or_default());
        let ran = run(target, self.statements).map_err(failed("applying", record.table()))?;
        if matches!(ran, Ran::Blocked(_)) && !self.statements.connection().is_in_transaction() {
            // ON CONFLICT ROLLBACK or RAISE(ROLLBACK)
            return Err(ApplyError::RolledBack { table: Some(record.table().to_string()), error: None });
        }
        Ok(ran)
    }

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
    fn attempt(&mut self, record: &Record<'_>, state: &mut ChangeState, is_last: bool) -> Result<Attempt, ApplyError> {
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

    fn passes_filter(&mut self, record: &Record<'_>) -> Result<bool, ApplyError> {
        let has_row = self.read_row(record)?;
        let row = if has_row { records(&self.row, Format::Changeset).next() } else { None };
        let filter = self.rules.of_table(record.table()).and_then(|rules| rules.filter.as_mut());
        filter.map_or(Ok(true), |filter| filter(*record, row))
    }

    /// Accepts foreign key violations, or fails.
    fn decide_foreign_keys(&mut self) -> Result<(), ApplyError> {
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

fn foreign_keys_failed(error: SqliteError) -> ApplyError {
    ApplyError::Sqlite { operation: "checking foreign keys", table: None, error }
}

/// Returns whether the change is an UPDATE that sets no column outside the primary key.
///
/// SQLite records such an UPDATE if the key changed to an equal one, together with an INSERT of the
/// row with the new key.
#[inline]
fn sets_nothing(record: &Record<'_>) -> bool {
    record.operation() == Operation::Update
        && record.update_columns().all(|(ordinal, old, new)| ordinal != 0 || !is_set(old, new))
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
    change.key_ordinals().iter().enumerate().filter(|(_, place)| **place == 0).all(|(column, _)| {
        let new = change.new_value(column).filter(|new| is_set(change.old_value(column), Some(*new)));
        new.is_none_or(|new| row.new_value(column).is_some_and(|current| is_same(new, current)))
    })
}
