//! Comparisons of a table with its `table!` declaration and with changes.

use std::collections::BTreeSet;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::declaration::TableDeclaration;
use super::live::{LiveTable, TableKind};
use super::mismatch::SchemaMismatch;

fn mismatch(
    table: &str,
    column: Option<&str>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> SchemaMismatch {
    SchemaMismatch {
        table: table.to_string(),
        column: column.map(String::from),
        expected: expected.into(),
        found: found.into(),
    }
}

/// Checks that SQLite can record a table.
pub(crate) fn check_recordable(table: &str, live: Option<&LiveTable>, rowids: bool) -> Result<(), SchemaMismatch> {
    match live {
        None => Err(mismatch(table, None, "a table with a primary key", "no such table")),
        Some(live) => match live.unrecorded_reason(rowids) {
            Some(what) => {
                let is_plain = live.kind == TableKind::Table && !rowids;
                let or = if is_plain { ", or a call of `track_rowids` before attaching it" } else { "" };
                Err(mismatch(table, None, format!("a table with a primary key{or}"), what))
            }
            None => Ok(()),
        },
    }
}

/// Checks that `table!` agrees with the database on everything that a record depends on: the names
/// and order of the columns, and the primary key.
pub(crate) fn check_declared(
    declared: &TableDeclaration,
    live: Option<&LiveTable>,
    rowids: bool,
) -> Result<(), SchemaMismatch> {
    let table = &declared.table;
    check_recordable(table, live, rowids)?;
    let Some(live) = live else { return Ok(()) };
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);

    // no record contains generated and hidden columns, whether or not `table!` lists them
    let is_unrecorded = |name: &str| live.columns.iter().any(|column| !column.recorded && same(&column.name, name));
    if let Some(name) = declared.columns.iter().find(|name| declared.is_of_row && is_unrecorded(name)) {
        let found = format!("a generated column, which no change contains: write `#[tracked(generated({name}))]`");
        return Err(mismatch(table, Some(name), "a column of the changes", found));
    }
    let mut expected = declared.columns.iter().filter(|name| !is_unrecorded(name));
    let mut found = live.record_columns().into_iter();
    for position in 0.. {
        match (expected.next(), found.next()) {
            (None, None) => break,
            (Some(name), Some((other, _))) if same(name, other) || is_rowid(name, other) => {}
            (Some(name), Some((other, _))) => {
                let (expected, found) = (format!("`{name}` at position {position}"), format!("`{other}` there"));
                return Err(mismatch(table, Some(name), expected, found));
            }
            (Some(name), None) => {
                return Err(mismatch(table, Some(name), format!("`{name}` at position {position}"), "no such column"));
            }
            (None, Some((other, _))) => {
                let found = format!("`{other}` at position {position}, which `table!` lacks");
                return Err(mismatch(table, Some(other), "no more columns", found));
            }
        }
    }

    let lower = |name: &str| if is_rowid(name, "rowid") { "rowid".to_string() } else { name.to_ascii_lowercase() };
    let declared_key: BTreeSet<String> = declared.key.iter().map(|name| lower(name)).collect();
    let live_key: BTreeSet<String> =
        live.record_columns().into_iter().filter(|(_, key)| *key != 0).map(|(name, _)| lower(name)).collect();
    if declared_key == live_key {
        return Ok(());
    }
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let column = declared_key.symmetric_difference(&live_key).next().cloned();
    Err(mismatch(
        table,
        column.as_deref(),
        format!("the primary key ({})", list(&declared_key)),
        format!("the primary key ({})", list(&live_key)),
    ))
}

/// Returns whether both names are names of the rowid.
fn is_rowid(name: &str, other: &str) -> bool {
    other == "rowid" && ["rowid", "_rowid_", "oid"].iter().any(|alias| name.eq_ignore_ascii_case(alias))
}

/// Checks that a section of a changeset matches a table of the database. The order of columns inside
/// the primary key may differ.
pub(crate) fn check_section(table: &str, key_ordinals: &[u8], live: Option<&LiveTable>) -> Result<(), SchemaMismatch> {
    let columns = key_ordinals.len();
    let expected = format!("a table of {columns} or more columns");
    let Some(live) = live else {
        return Err(mismatch(table, None, expected, "no such table"));
    };
    if let Some(what) = live.unrecorded_reason(true) {
        return Err(mismatch(table, None, expected, what));
    }
    let effective = live.record_columns();
    if !live.has_key() && effective.len() != columns {
        // the first column would be written to the rowid, and every other value one column too far
        // to the left
        return Err(mismatch(table, None, expected, "a table without a primary key"));
    }
    if effective.len() < columns {
        let found = format!("{} columns", effective.len());
        return Err(mismatch(table, None, expected, found));
    }
    for (column, (name, key)) in effective.iter().enumerate() {
        let in_changes = key_ordinals.get(column).is_some_and(|ordinal| *ordinal != 0);
        if in_changes != (*key != 0) {
            let describe = |is: bool| if is { "part of" } else { "not part of" };
            return Err(mismatch(
                table,
                Some(name),
                format!("the column {} the primary key", describe(in_changes)),
                format!("it {} the primary key", describe(!in_changes)),
            ));
        }
    }
    Ok(())
}
