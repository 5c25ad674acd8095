//! Applies changes one after the other: runs the statement of each, finds out what is in its way,
//! and does what the application decides.
//!
//! Invariant: each change has one result, which is counted once. Called by
//! [`driver`](super::driver).

mod attempt;
mod exchange;
mod retry;

use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

use self::attempt::Attempt;
use super::check::{Facts, SectionCheck};
use super::counts::{ChangeCounts, RebaseWriter};
use super::driver::Settings;
use super::error::ApplyError;
use super::foreign_keys::{DeferredKeys, DisabledActions};
use super::handlers::ApplyRules;
use super::input::Stream;
use super::order::MIN_CHANGES;
use super::progress::ProgressMeter;
use super::queue::{ChangeState, Queue};
use super::report::{ApplyReport, ChangeResult};
use super::row_id::RowId;
use super::target_table::{BATCH, Ran, Target, UNIQUE_VIOLATION, is_set};
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::ffi::statements::Statements;
use crate::schema::LiveColumn;
use crate::wire::codec::append::write_header;
use crate::wire::{Format, Operation, RebaseData, Record, Section, Sections, Value, inverted};

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
        let Some(target) = self.target else { return self.apply_each(section, records) };
        let connection = self.statements.connection();
        let order = if count >= MIN_CHANGES && !self.settings.keeps_order {
            let acts = !self.settings.no_foreign_key_actions;
            let order = self.facts.key_order(connection, target, section, acts);
            order.map_err(failed("reading the schema", first.table()))?
        } else {
            None
        };
        if !self.facts.target(target).can_use_batches(count) {
            return match order {
                Some(order) => order.records().try_for_each(|record| self.apply_record(&record)),
                None => self.apply_each(section, records),
            };
        }
        match (order, records) {
            (Some(order), _) => self.apply_in_batches(order.records(), count, true),
            (None, Some(records)) => self.apply_in_batches(records.iter().copied(), count, false),
            (None, None) => self.apply_in_batches(section.records(), count, false),
        }
    }

    /// Applies changes in their order, one by one.
    fn apply_each(&mut self, section: &Section<'_>, records: Option<&[Record<'_>]>) -> Result<(), ApplyError> {
        match records {
            Some(records) => records.iter().try_for_each(|record| self.apply_record(record)),
            None => section.records().try_for_each(|record| self.apply_record(&record)),
        }
    }

    /// Applies changes, INSERTs in batches if that is faster.
    fn apply_in_batches<'b>(
        &mut self,
        records: impl Iterator<Item = Record<'b>>,
        count: usize,
        is_ordered: bool,
    ) -> Result<(), ApplyError> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut uses_batches = None;
        // after a conflict, the following batches are likely to have one too
        let (mut pause, mut next_pause) = (0usize, 1usize);
        for record in records {
            let is_alone = uses_batches == Some(false) || self.has_filter || !self.queue.is_empty();
            if record.operation() != Operation::Insert || is_alone {
                batch.drain(..).try_for_each(|record| self.apply_record(&record))?;
                self.apply_record(&record)?;
                continue;
            }
            batch.push(record);
            if batch.len() < BATCH {
                continue;
            }
            if uses_batches.is_none() {
                let target = self.facts.target_mut(self.target.unwrap_or_default());
                let decided = target.uses_batches(self.statements, count, is_ordered);
                uses_batches = Some(decided.map_err(failed("reading the schema", record.table()))?);
            }
            if pause > 0 || uses_batches == Some(false) {
                pause = pause.saturating_sub(1);
            } else {
                let applied = self.apply_batch(&batch)?;
                batch.drain(..applied);
                if batch.is_empty() {
                    next_pause = 1;
                } else {
                    (pause, next_pause) = (next_pause, next_pause.saturating_mul(2).min(64));
                }
            }
            batch.drain(..).try_for_each(|record| self.apply_record(&record))?;
        }
        batch.into_iter().try_for_each(|record| self.apply_record(&record))
    }

    /// Applies a batch of INSERTs up to one that has a conflict. Returns how many were applied.
    fn apply_batch(&mut self, batch: &[Record<'_>]) -> Result<usize, ApplyError> {
        let Some(first) = batch.first() else { return Ok(0) };
        let mut inserted = 0;
        self.run(first, |target, statements| {
            let (ran, count) = target.insert_batch(statements, batch)?;
            inserted = count.min(batch.len());
            Ok(ran)
        })?;
        for record in batch.iter().take(inserted) {
            self.meter.advance(record.byte_length(), &mut self.rules.on_progress)?;
            self.count(ChangeResult::Applied);
        }
        Ok(inserted)
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
        if let Some(disabled) = self.actions_disabled.take() {
            let failed = |error| ApplyError::Sqlite { operation: "enabling foreign key actions", table: None, error };
            disabled.enable().map_err(failed)?;
        }
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
        let reals = row_ids.reals_in_texts(record.key_values());
        let texts = reals.map(|real| stored_text(self.statements, real)).collect::<Result<Vec<_>, _>>();
        Ok(row_ids.of(record.key_values(), &texts.map_err(failed("converting a key", record.table()))?))
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
    #[inline]
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
}

/// Returns the text that SQLite stores for a value in a column of type TEXT.
fn stored_text(statements: &mut Statements<'_>, value: Value<'_>) -> Result<Vec<u8>, SqliteError> {
    let id = statements.prepare("SELECT CAST(?1 AS TEXT)")?;
    let text = statements.first_row(id, core::iter::once(value), |row| match row.value(0) {
        Ok(Value::Text(text)) => text.to_vec(),
        _ => Vec::new(),
    });
    statements.finalize(id);
    Ok(text?.unwrap_or_default())
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
