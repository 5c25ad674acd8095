//! The checks before SQLite receives changes, and the corrections that SQLite needs. Called by
//! [`driver`](super::driver) for changes in memory, and by [`feed`](super::feed) for streams.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::counts::ChangeCounts;
use super::error::ApplyError;
use super::order::{OrderPlans, SectionStats};
use super::schema_features::SchemaFeatures;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::schema::SchemaMismatch;
use crate::schema::{LiveTable, STAT1, SectionMatch, check_section};
use crate::schema::{TableDeclaration, check_declared};
use crate::typed::{DecodeError, TableInfo, check};
use crate::wire::codec::reader::Limits;
use crate::wire::{self, Format, Limit, Operation, Record, Records};

/// The tables that may be changed, and the tables whose changes are typed.
#[derive(Clone, Default)]
pub(super) struct TableScope {
    /// The only tables that may be changed, or `None` if all tables may be.
    pub(super) only: Option<Vec<String>>,
    /// Whether changes to other tables are skipped instead of rejected.
    pub(super) skips_others: bool,
    /// The tables whose changes are read as typed values.
    pub(super) typed: Vec<&'static TableInfo<'static>>,
}

/// Changes that passed the check.
pub(super) struct CheckedChanges<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Whether UPDATEs must not be replaced by a DELETE and an INSERT.
    pub(super) no_update_loop: bool,
    /// The order in which to apply the changes of each table.
    pub(super) plans: OrderPlans,
}

/// The parameters of a check.
#[derive(Clone, Copy)]
pub(super) struct CheckOptions {
    pub(super) format: Format,
    pub(super) limits: Limits,
    pub(super) is_inverted: bool,
    /// How the changes may be reordered, or `None` if they may not.
    pub(super) reordering: Option<Reordering>,
}

/// The conditions for applying changes in another order.
#[derive(Clone, Copy)]
pub(super) struct Reordering {
    /// Whether foreign key actions run during the apply.
    pub(super) foreign_key_actions: bool,
}

/// The comparison of sections with the tables of a database.
pub(super) struct SchemaCheck<'conn> {
    connection: Connection<'conn>,
    scope: TableScope,
    features: Option<SchemaFeatures>,
    /// The key ordinals of the tables seen so far, by table name in lower case.
    ordinals: BTreeMap<String, Vec<u8>>,
}

/// The result of the check of a section.
pub(super) struct CheckedSection {
    /// Whether the section's changes are skipped.
    pub(super) is_skipped: bool,
    /// The table's key ordinals, if they differ from the section's.
    pub(super) ordinals: Option<Vec<u8>>,
    /// Whether the table has no columns beyond those of the changes.
    is_complete: bool,
}

/// Checks every section against the database, and corrects the bytes so that SQLite can apply them.
pub(super) fn check_changes<'a>(
    check: &mut SchemaCheck<'_>,
    bytes: &'a [u8],
    records: Records<'a>,
    options: CheckOptions,
    counts: &mut ChangeCounts,
) -> Result<CheckedChanges<'a>, ApplyError> {
    let CheckOptions { limits, is_inverted, .. } = options;
    if bytes.len() as u64 > limits.bytes {
        return Err(ApplyError::Limit { limit: Limit::Bytes, max: limits.bytes });
    }
    let mut edits = ByteEdits::default();
    let mut no_update_loop = false;
    let mut plans = OrderPlans::default();
    let mut current: Option<(wire::SectionId<'_>, CheckedSection, Option<SectionStats<'_>>)> = None;
    let (mut updates, mut changes) = (false, 0);
    for record in records {
        let is_same = current.as_ref().is_some_and(|(section, ..)| *section == record.section_id());
        let section = if is_same { current.as_mut() } else { None };
        let (_, section, stats) = match section {
            Some(section) => section,
            None => {
                check.choose_order(current.take().and_then(|(_, _, stats)| stats), options, &mut plans)?;
                let section = check.begin_section(&record)?;
                counts.begin_section(record.table());
                if let Some(ordinals) = &section.ordinals {
                    let name = record.table().len().saturating_add(1);
                    let header = record.column_count().saturating_add(name);
                    edits.replace(record.offset().saturating_sub(header), ordinals.len(), ordinals.clone());
                }
                updates = false;
                let stats = options.reordering.map(|_| SectionStats::new(&record));
                current.insert((record.section_id(), section, stats))
            }
        };
        let update = (record.operation() == Operation::Update).then(|| UpdateSummary::of(&record, is_inverted));
        let is_skipped = section.is_skipped || update.as_ref().is_some_and(|update| update.sets_nothing);
        counts.count(is_skipped);
        changes += 1;
        if changes > limits.changes {
            return Err(ApplyError::Limit { limit: Limit::Changes, max: limits.changes });
        }
        if limits.value_bytes != u64::MAX && record.longest_value() as u64 > limits.value_bytes {
            return Err(ApplyError::Limit { limit: Limit::ValueBytes, max: limits.value_bytes });
        }
        if is_skipped {
            edits.replace(record.offset(), record.byte_length(), Vec::new());
            continue;
        }
        if let Some(stats) = stats {
            stats.add(&record);
        }
        let Some(update) = update else { continue };
        if update.has_unset_values {
            let mut without = Vec::new();
            record.write_set_columns(&mut without);
            edits.replace(record.offset(), record.byte_length(), without);
        }
        if !updates {
            updates = true;
            no_update_loop |= !(section.is_complete && check.allow_update_loop(record.table())?);
        }
    }
    check.choose_order(current.and_then(|(_, _, stats)| stats), options, &mut plans)?;
    Ok(CheckedChanges { bytes: edits.apply(bytes), no_update_loop, plans })
}

/// Replacements of byte ranges, in ascending order: offset, length, new bytes.
#[derive(Default)]
struct ByteEdits(Vec<(usize, usize, Vec<u8>)>);

impl ByteEdits {
    /// Adds the replacement of `length` bytes at `offset`. The offset must not be less than that of
    /// earlier replacements.
    fn replace(&mut self, offset: usize, length: usize, replacement: Vec<u8>) {
        match self.0.last_mut() {
            Some((start, before, last)) if last.is_empty() && replacement.is_empty() && *start + *before == offset => {
                *before += length;
            }
            _ => self.0.push((offset, length, replacement)),
        }
    }

    fn apply(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        if self.0.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut edited = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for (offset, length, replacement) in self.0 {
            edited.extend_from_slice(bytes.get(done..offset).unwrap_or_default());
            edited.extend_from_slice(&replacement);
            done = offset.saturating_add(length);
        }
        edited.extend_from_slice(bytes.get(done..).unwrap_or_default());
        Cow::Owned(edited)
    }
}

impl<'conn> SchemaCheck<'conn> {
    pub(super) fn new(connection: Connection<'conn>, scope: TableScope) -> Self {
        Self { connection, scope, features: None, ordinals: BTreeMap::new() }
    }

    fn features(&mut self, table: &str) -> Result<&SchemaFeatures, ApplyError> {
        Ok(match &mut self.features {
            Some(features) => features,
            none => none.insert(SchemaFeatures::read(self.connection).map_err(reading_failed(table))?),
        })
    }

    /// Compares a section with its table. `first` is the section's first record.
    pub(super) fn begin_section(&mut self, first: &Record<'_>) -> Result<CheckedSection, ApplyError> {
        let (connection, name, ordinals) = (self.connection, first.table(), first.key_ordinals());
        let is_same_table = |table: &String| table.eq_ignore_ascii_case(name);
        if self.scope.only.as_ref().is_some_and(|only| !only.iter().any(is_same_table)) {
            if self.scope.skips_others {
                return Ok(CheckedSection { is_skipped: true, ordinals: None, is_complete: true });
            }
            return Err(ApplyError::UnexpectedTable { table: name.to_string(), offset: first.offset() });
        }
        let lower = name.to_ascii_lowercase();
        let features = self.features(name)?;
        if features.can_roll_back(&lower) {
            return Err(ApplyError::RollbackClause { table: name.to_string() });
        }
        if features.can_fail_half_way(&lower) {
            return Err(ApplyError::FailClause { table: name.to_string() });
        }
        let has_collations = features.has_collations(&lower);
        let live = features.kind(&lower).map(|kind| LiveTable::read_columns(connection, "main", name, kind));
        let live = live.transpose().map_err(reading_failed(name))?;
        if live.is_none() && lower == STAT1 {
            // statistics are not data: a database that never ran ANALYZE does not need them
            return Ok(CheckedSection { is_skipped: true, ordinals: None, is_complete: true });
        }
        match self.ordinals.get(&lower) {
            // SQLite treats two sections of one table as one, and ignores the header of the second
            Some(other) if other != ordinals => {
                let says = |ordinals: &[u8]| format!("{} columns with the key {ordinals:?}", ordinals.len());
                return Err(SchemaMismatch {
                    table: name.to_string(),
                    column: None,
                    expected: says(other),
                    found: format!("{} in another section", says(ordinals)),
                }
                .into());
            }
            Some(_) => {}
            None => {
                self.ordinals.insert(lower, ordinals.to_vec());
            }
        }
        if has_collations {
            let coarse = LiveTable::coarse_key_column(connection, name).map_err(reading_failed(name))?;
            if let Some((column, of_column, of_key)) = coarse {
                return Err(SchemaMismatch {
                    table: name.to_string(),
                    column: Some(column),
                    expected: format!("the collation of its primary key, {of_key}"),
                    found: format!("{of_column}, by which one change can hit several rows"),
                }
                .into());
            }
        }
        let is_complete = live.as_ref().is_none_or(|live| live.is_complete(ordinals.len()));
        let ordinals = match check_section(name, ordinals, live.as_ref())? {
            SectionMatch::Exact => None,
            SectionMatch::WithOrdinals(live) => Some(live),
        };
        self.check_typed(first, live.as_ref())?;
        Ok(CheckedSection { is_skipped: false, ordinals, is_complete })
    }

    /// Checks that `table!` agrees with the database and with the changes, if the changes to the
    /// table are typed.
    fn check_typed(&self, first: &Record<'_>, live: Option<&LiveTable>) -> Result<(), ApplyError> {
        let is_same_table = |table: &&&TableInfo| table.table().eq_ignore_ascii_case(first.table());
        // a handler and a filter of one table can have rows of different types
        for table in self.scope.typed.iter().filter(is_same_table) {
            check_declared(&TableDeclaration::from(*table), live, true)?;
            check(table, first.key_ordinals())
                .map_err(|(column, kind)| ApplyError::Decode(DecodeError::of_table(first, column, kind)))?;
        }
        Ok(())
    }

    /// Chooses the order for a section, when all of its changes have been seen.
    fn choose_order(
        &mut self,
        stats: Option<SectionStats<'_>>,
        options: CheckOptions,
        plans: &mut OrderPlans,
    ) -> Result<(), ApplyError> {
        let (Some(stats), Some(reordering)) = (stats.filter(SectionStats::may_benefit), options.reordering) else {
            return Ok(());
        };
        let (connection, table) = (self.connection, stats.table());
        let features = self.features(table)?;
        plans
            .add(connection, features, &stats, options.format, reordering.foreign_key_actions)
            .map_err(reading_failed(table))
    }

    fn allow_update_loop(&mut self, table: &str) -> Result<bool, ApplyError> {
        let connection = self.connection;
        let features = self.features(table)?;
        features.allow_update_loop(connection, &table.to_ascii_lowercase()).map_err(reading_failed(table))
    }
}

pub(super) fn reading_failed(table: &str) -> impl FnOnce(SqliteError) -> ApplyError + use<'_> {
    |failure| ApplyError::Sqlite { operation: "reading the schema", table: Some(table.to_string()), error: failure }
}

/// What an UPDATE sets.
pub(super) struct UpdateSummary {
    /// Whether it sets no column outside the primary key. SQLite writes such an UPDATE if the key
    /// changed to an equal one, together with an INSERT of the row with the new key, and then fails
    /// to apply it.
    pub(super) sets_nothing: bool,
    /// Whether it contains values that it does not set:
    ///
    /// - New values of the primary key, if the key changed to an equal one. SQLite ignores them,
    ///   and leaks their memory when it inverts.
    /// - Columns with the same old and new value, as in a rebased UPDATE. Typed changes call them
    ///   unchanged, but after the decision `Replace` SQLite would overwrite the row's values with
    ///   them.
    pub(super) has_unset_values: bool,
}

impl UpdateSummary {
    pub(super) fn of(record: &Record<'_>, is_inverted: bool) -> Self {
        let (mut sets_nothing, mut has_unset_values) = (true, false);
        for (place, old, new) in record.update_columns() {
            if place != 0 {
                has_unset_values |= is_inverted && new.is_some();
            } else {
                let set = if is_inverted { old } else { new };
                sets_nothing &= set.is_none() || old == new;
                has_unset_values |= old.is_some() && old == new;
            }
        }
        Self { sets_nothing, has_unset_values }
    }
}
