//! Tables that SQLite does not record.

use std::fmt;
use std::string::String;
use std::vec::Vec;

use super::live::{LiveTable, TableKind, tables_of};
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;

/// A table that SQLite does not record, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntrackedTable {
    /// The table's name.
    pub name: String,
    /// The reason, for example "a virtual table" or "a table without a primary key".
    pub reason: &'static str,
}

impl fmt::Display for UntrackedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {}, which SQLite does not record", self.name.escape_debug(), self.reason)
    }
}

/// Returns the tables of a schema that SQLite does not record. Views are not included.
pub(crate) fn untracked_tables(
    connection: Connection<'_>,
    schema: &str,
    rowids: bool,
) -> Result<Vec<UntrackedTable>, SqliteError> {
    let mut tables = tables_of(connection, schema)?;
    tables.retain(|(_, kind)| *kind != TableKind::View);
    tables.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut untracked = Vec::new();
    for (name, kind) in tables {
        let live = LiveTable::read_columns(connection, schema, &name, kind)?;
        if let Some(reason) = live.unrecorded_reason(rowids) {
            untracked.push(UntrackedTable { name, reason });
        }
    }
    Ok(untracked)
}
