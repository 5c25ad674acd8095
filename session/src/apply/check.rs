//! What must hold before SQLite is given changes, and what has to be done to them first.

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

/// Which tables may be changed, and which are typed.
#[derive(Clone, Default)]
pub(super) struct TableScope {
    /// The tables that alone may be changed, if not all may be.
    pub(super) only: Option<Vec<String>>,
    /// Whether the changes of other tables are left out, and not refused.
    pub(super) skips_others: bool,
    /// The tables of which changes are read as rows.
    pub(super) typed: Vec<&'static TableInfo<'static>>,
}

/// Changes that fit a database.
pub(super) struct CheckedChanges<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Whether an UPDATE must not be made by way of a DELETE and an INSERT.
    pub(super) no_update_loop: bool,
    /// In which order they are made.
    pub(super) plans: OrderPlans,
}

/// What is asked of changes, beside that they fit.
#[derive(Clone, Copy)]
pub(super) struct CheckOptions {
    pub(super) format: Format,
    pub(super) limits: Limits,
    pub(super) is_inverted: bool,
    /// Whether they can be made in another order, and then whether foreign keys act meanwhile.
    pub(super) order: Option<ForeignKeysAct>,
}

/// Whether foreign keys do anything but check.
#[derive(Clone, Copy)]
pub(super) struct ForeignKeysAct(pub(super) bool);

/// Compares sections with the tables of a database.
pub(super) struct SchemaCheck<'conn> {
    connection: Connection<'conn>,
    scope: TableScope,
    features: Option<SchemaFeatures>,
    /// The key ordinals of the tables met so far, by their names in lower case.
    ordinals: BTreeMap<String, Vec<u8>>,
}

/// Settings a section fits.
pub(super) struct Section {
    /// Whether it is left out.
    pub(super) is_skipped: bool,
    /// The key ordinals as the table has them, if they differ.
    pub(super) ordinals: Option<Vec<u8>>,
    /// Whether the table has no column that the changes lack.
    is_complete: bool,
}

/// Sees to it that every section fits the database, and makes of the bytes what SQLite can apply.
pub(super) fn fit<'a>(
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
    let mut current: Option<(wire::SectionId<'_>, Section, Option<SectionStats<'_>>)> = None;
    let (mut updates, mut changes) = (false, 0);
    for record in records {
        let is_same = current.as_ref().is_some_and(|(section, ..)| *section == record.section_id());
        let section = if is_same { current.as_mut() } else { None };
        let (_, section, stats) = match section {
            Some(section) => section,
            None => {
                check.plan(current.take().and_then(|(_, _, stats)| stats), options, &mut plans)?;
                let section = check.begin_section(&record)?;
                counts.begin_section(record.table());
                if let Some(ordinals) = &section.ordinals {
                    let name = record.table().len().saturating_add(1);
                    let header = record.column_count().saturating_add(name);
                    edits.push(record.offset().saturating_sub(header), ordinals.len(), ordinals.clone());
                }
                updates = false;
                let stats = options.order.map(|_| SectionStats::new(&record));
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
            edits.push(record.offset(), record.byte_length(), Vec::new());
            continue;
        }
        if let Some(stats) = stats {
            stats.add(&record);
        }
        let Some(update) = update else { continue };
        if update.has_unset_values {
            let mut without = Vec::new();
            record.write_set_columns(&mut without);
            edits.push(record.offset(), record.byte_length(), without);
        }
        if !updates {
            updates = true;
            no_update_loop |= !(section.is_complete && check.allow_update_loop(record.table())?);
        }
    }
    check.plan(current.and_then(|(_, _, stats)| stats), options, &mut plans)?;
    Ok(CheckedChanges { bytes: edits.apply(bytes), no_update_loop, plans })
}

/// What to put in the place of which bytes.
#[derive(Default)]
struct ByteEdits(Vec<(usize, usize, Vec<u8>)>);

impl ByteEdits {
    /// The bytes begin there, and are so many. ByteEdits come in their order.
    fn push(&mut self, offset: usize, length: usize, replacement: Vec<u8>) {
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

    /// Compares a section, by its first record, with the table.
    pub(super) fn begin_section(&mut self, first: &Record<'_>) -> Result<Section, ApplyError> {
        let (connection, name, ordinals) = (self.connection, first.table(), first.key_ordinals());
        let is_it = |table: &String| table.eq_ignore_ascii_case(name);
        if self.scope.only.as_ref().is_some_and(|only| !only.iter().any(is_it)) {
            if self.scope.skips_others {
                return Ok(Section { is_skipped: true, ordinals: None, is_complete: true });
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
            // statistics are not data: a replica that never ran ANALYZE does without
            return Ok(Section { is_skipped: true, ordinals: None, is_complete: true });
        }
        match self.ordinals.get(&lower) {
            // SQLite takes two sections of one table for one, whatever the second says of itself
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
        Ok(Section { is_skipped: false, ordinals, is_complete })
    }

    /// Whether a table whose changes are read as rows is what they say, in the database and in the changes.
    fn check_typed(&self, first: &Record<'_>, live: Option<&LiveTable>) -> Result<(), ApplyError> {
        let is_it = |table: &&&TableInfo| table.table().eq_ignore_ascii_case(first.table());
        // a handler and a filter of one table can have rows of different types
        for table in self.scope.typed.iter().filter(is_it) {
            check_declared(&TableDeclaration::from(*table), live, true)?;
            check(table, first.key_ordinals())
                .map_err(|(column, kind)| ApplyError::Decode(DecodeError::of_table(first, column, kind)))?;
        }
        Ok(())
    }

    /// Decides about the order of a section that has been stats whole.
    fn plan(
        &mut self,
        stats: Option<SectionStats<'_>>,
        options: CheckOptions,
        plans: &mut OrderPlans,
    ) -> Result<(), ApplyError> {
        let (Some(stats), Some(ForeignKeysAct(act))) = (stats.filter(SectionStats::may_benefit), options.order) else {
            return Ok(());
        };
        let (connection, table) = (self.connection, stats.table());
        let features = self.features(table)?;
        plans.add(connection, features, &stats, options.format, act).map_err(reading_failed(table))
    }

    fn allow_update_loop(&mut self, table: &str) -> Result<bool, ApplyError> {
        let connection = self.connection;
        let features = self.features(table)?;
        features.allow_update_loop(connection, &table.to_ascii_lowercase()).map_err(reading_failed(table))
    }
}

pub(super) fn reading_failed(table: &str) -> impl FnOnce(SqliteError) -> ApplyError + use<'_> {
    |failure| ApplyError::Sqlite {
        operation: "reading the schema",
        table: Some(table.to_string()),
        error: failure.into(),
    }
}

/// What an UPDATE says and does.
pub(super) struct UpdateSummary {
    /// It sets no column outside the key. SQLite writes such where a key changed to an equal one, beside an INSERT of the row with its
    /// new key, and then fails to apply them.
    pub(super) sets_nothing: bool,
    /// It has values that it does not set: those of the key after it, where a key changed to an equal one, of which SQLite makes
    /// nothing, and whose memory it loses for good where it inverts; and columns that are the same before and after, as in an UPDATE
    /// that was rebased. Types call these unchanged, but SQLite would put them over what the row holds, where a conflict is
    /// answered with `Replace`.
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
