//! What must hold before SQLite is given changes, and what has to be done to them first.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::format;
use std::ptr;
use std::string::{String, ToString};
use std::vec::Vec;

use super::clauses::Clauses;
use crate::error::{ApplyError, SchemaMismatch};
use crate::ffi::Failure;
use crate::ffi::apply::Flags;
use crate::ffi::statement::Connection;
use crate::schema::{Fit, LiveTable, check_section};
use crate::wire::{Operation, Record, Records};

/// Changes that fit a database.
pub(super) struct Fitted<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) flags: Flags,
}

/// Sees to it that every section fits the database, and makes of the bytes what SQLite can apply.
pub(super) fn fit<'a>(
    connection: Connection<'_>,
    bytes: &'a [u8],
    records: Records<'a>,
) -> Result<Fitted<'a>, ApplyError> {
    let mut fitting = Fitting { connection, clauses: None, ordinals: BTreeMap::new(), edits: Vec::new() };
    let mut flags = Flags::default();
    let mut section: Option<&[u8]> = None;
    let (mut updates, mut whole) = (false, true);
    for record in records {
        // each section has ordinals of its own, in their place among the bytes
        if section.is_none_or(|ordinals| !ptr::eq(ordinals, record.key_ordinals())) {
            whole = fitting.begin_section(&record)?;
            section = Some(record.key_ordinals());
            updates = false;
        }
        if record.operation() != Operation::Update {
            continue;
        }
        if sets_nothing(&record) {
            fitting.edits.push((record.offset(), record.byte_length(), Vec::new()));
        }
        if !updates {
            updates = true;
            flags.no_update_loop |= !(whole && fitting.allow_update_loop(record.table())?);
        }
    }
    let edits = fitting.edits;
    if edits.is_empty() {
        return Ok(Fitted { bytes: Cow::Borrowed(bytes), flags });
    }
    let mut edited = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for (offset, length, replacement) in edits {
        edited.extend_from_slice(bytes.get(done..offset).unwrap_or_default());
        edited.extend_from_slice(&replacement);
        done = offset.saturating_add(length);
    }
    edited.extend_from_slice(bytes.get(done..).unwrap_or_default());
    Ok(Fitted { bytes: Cow::Owned(edited), flags })
}

struct Fitting<'a, 'conn> {
    connection: Connection<'conn>,
    clauses: Option<Clauses>,
    /// The key ordinals of the tables met so far, by their names in lower case.
    ordinals: BTreeMap<String, &'a [u8]>,
    /// What to put in the place of which bytes: where they begin, how many they are.
    edits: Vec<(usize, usize, Vec<u8>)>,
}

impl<'a> Fitting<'a, '_> {
    fn clauses(&mut self, table: &str) -> Result<&Clauses, ApplyError> {
        Ok(match &mut self.clauses {
            Some(clauses) => clauses,
            none => none.insert(Clauses::read(self.connection).map_err(reading_failed(table))?),
        })
    }

    /// Compares a section, by its first record, with the table. Gives whether the table has no column that the changes lack.
    fn begin_section(&mut self, first: &Record<'a>) -> Result<bool, ApplyError> {
        let (connection, name, ordinals) = (self.connection, first.table(), first.key_ordinals());
        let lower = name.to_ascii_lowercase();
        let clauses = self.clauses(name)?;
        if clauses.can_roll_back(&lower) {
            return Err(ApplyError::RollbackClause { table: name.to_string() });
        }
        let live = clauses.kind(&lower).map(|kind| LiveTable::read_columns(connection, "main", name, kind));
        let live = live.transpose().map_err(reading_failed(name))?;
        if let Some(other) = self.ordinals.insert(lower, ordinals).filter(|other| *other != ordinals) {
            // SQLite takes two sections of one table for one, whatever the second says of itself
            let says = |ordinals: &[u8]| format!("{} columns with the key {ordinals:?}", ordinals.len());
            return Err(SchemaMismatch {
                table: name.to_string(),
                column: None,
                expected: says(other),
                found: format!("{} in another section", says(ordinals)),
            }
            .into());
        }
        let is_whole = live.as_ref().is_none_or(|live| live.is_whole(ordinals.len()));
        if let Fit::WithOrdinals(live) = check_section(name, ordinals, live.as_ref())? {
            let header = ordinals.len().saturating_add(name.len()).saturating_add(1);
            self.edits.push((first.offset().saturating_sub(header), ordinals.len(), live));
        }
        Ok(is_whole)
    }

    fn allow_update_loop(&mut self, table: &str) -> Result<bool, ApplyError> {
        let connection = self.connection;
        let clauses = self.clauses(table)?;
        clauses.allow_update_loop(connection, &table.to_ascii_lowercase()).map_err(reading_failed(table))
    }
}

fn reading_failed(table: &str) -> impl FnOnce(Failure) -> ApplyError + use<'_> {
    |failure| ApplyError::Sqlite {
        operation: "reading the schema",
        table: Some(table.to_string()),
        error: failure.into(),
    }
}

/// Whether an UPDATE sets no column outside the key. SQLite writes such where a key changed to an equal one, beside an INSERT
/// of the row with its new key, and then fails to apply them.
fn sets_nothing(update: &Record<'_>) -> bool {
    update.new_values().zip(update.key_ordinals()).all(|(value, place)| value.is_none() || *place != 0)
}
