//! What must hold before SQLite is given changes, and what has to be done to them first.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::clauses::Clauses;
use crate::error::{ApplyError, SchemaMismatch};
use crate::ffi::Failure;
use crate::ffi::apply::Flags;
use crate::ffi::statement::Connection;
use crate::schema::{Fit, LiveTable, check_section};
use crate::wire::{Operation, Record, Tables};

/// Changes that fit a database.
pub(super) struct Fitted<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) flags: Flags,
}

/// Sees to it that every section fits the database, and makes of the bytes what SQLite can apply.
pub(super) fn fit<'a>(
    connection: Connection<'_>,
    bytes: &'a [u8],
    tables: Tables<'_>,
) -> Result<Fitted<'a>, ApplyError> {
    let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut edits = Vec::new();
    let mut clauses = None;
    let mut flags = Flags::default();
    for table in tables {
        if table.records().next().is_none() {
            continue;
        }
        let name = table.name();
        let failed = |failure: Failure| ApplyError::Sqlite {
            operation: "reading the schema",
            table: Some(name.to_string()),
            error: failure.into(),
        };
        let clauses: &Clauses = match &mut clauses {
            Some(clauses) => clauses,
            none => none.insert(Clauses::read(connection).map_err(failed)?),
        };
        let lower = name.to_ascii_lowercase();
        match seen.get(&lower) {
            Some(ordinals) if ordinals == table.key_ordinals() => {}
            Some(ordinals) => {
                // SQLite takes two sections of one table for one, whatever the second says of itself
                let says = |ordinals: &[u8]| format!("{} columns with the key {ordinals:?}", ordinals.len());
                return Err(SchemaMismatch {
                    table: name.to_string(),
                    column: None,
                    expected: says(ordinals),
                    found: format!("{} in another section", says(table.key_ordinals())),
                }
                .into());
            }
            None => {
                if clauses.can_roll_back(&lower) {
                    return Err(ApplyError::RollbackClause { table: name.to_string() });
                }
                seen.insert(lower.clone(), table.key_ordinals().to_vec());
            }
        }
        let live = LiveTable::read(connection, "main", name).map_err(failed)?;
        if let Fit::WithOrdinals(ordinals) = check_section(name, table.key_ordinals(), live.as_ref())? {
            edits.push((table.key_offset(), ordinals.len(), ordinals));
        }
        let mut updates = false;
        for record in table.records() {
            updates |= record.operation() == Operation::Update;
            if sets_nothing(&record) {
                edits.push((record.offset(), record.byte_length(), Vec::new()));
            }
        }
        if updates && !flags.no_update_loop {
            flags.no_update_loop = !clauses.allow_update_loop(connection, &lower).map_err(failed)?;
        }
    }
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

/// Whether an UPDATE sets no column outside the key. SQLite writes such where a key changed to an equal one, beside an INSERT
/// of the row with its new key, and then fails to apply them.
fn sets_nothing(record: &Record<'_>) -> bool {
    record.operation() == Operation::Update
        && record.new_values().zip(record.key_ordinals()).all(|(value, place)| value.is_none() || *place != 0)
}
