//! The current rows of the database with the primary keys of changes.

use core::ffi::c_int;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::error::ApplyError;
use crate::ffi::error::SqliteError;
use crate::ffi::pending_change::PendingChange;
use crate::ffi::statement::{Connection, Statement};
use crate::schema::{LiveTable, STAT1};
use crate::wire::codec::append::{write_change, write_header, write_value};
use crate::wire::{Format, Operation};

/// Reads rows by the primary keys of changes. Statements are prepared once per table.
pub(super) struct CurrentRows<'conn> {
    connection: Connection<'conn>,
    /// The readers by table name in lower case.
    tables: BTreeMap<String, RowReader<'conn>>,
}

struct RowReader<'conn> {
    statement: Statement<'conn>,
    columns: c_int,
    /// The section header before an INSERT of a row.
    header: Vec<u8>,
}

impl<'conn> CurrentRows<'conn> {
    pub(super) fn new(connection: Connection<'conn>) -> Self {
        Self { connection, tables: BTreeMap::new() }
    }

    /// Writes the row with the change's primary key into `out`, as a section with one INSERT.
    /// Returns whether the row exists.
    pub(super) fn read(&mut self, change: &PendingChange<'_>, out: &mut Vec<u8>) -> Result<bool, ApplyError> {
        let table = change.table();
        let failed = |failure: SqliteError| ApplyError::Sqlite {
            operation: "reading the row of a change",
            table: Some(table.to_string()),
            error: failure,
        };
        let reader = match self.tables.entry(table.to_ascii_lowercase()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(RowReader::prepare(self.connection, &table).map_err(failed)?),
        };
        let RowReader { statement, columns, header } = reader;
        out.clear();
        out.extend_from_slice(header);
        write_change(Operation::Insert, false, out);
        let read = change.row(statement, |row| {
            (0..*columns).try_for_each(|column| {
                write_value(Some(row.value(column)?), out);
                Ok::<_, SqliteError>(())
            })
        });
        match read.map_err(failed)? {
            Some(read) => read.map_err(failed).map(|()| true),
            None => Ok(false),
        }
    }
}

impl<'conn> RowReader<'conn> {
    fn prepare(connection: Connection<'conn>, table: &str) -> Result<Self, SqliteError> {
        if table.eq_ignore_ascii_case(STAT1) {
            return Self::prepare_stat1(connection, table);
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let live = LiveTable::read(connection, "main", table)?;
        let (names, ordinals): (Vec<_>, Vec<_>) =
            live.iter().flat_map(LiveTable::recorded_columns).map(|(name, key)| (quoted(name), key)).unzip();
        let is_key: Vec<String> =
            names.iter().zip(&ordinals).filter(|(_, key)| **key != 0).map(|(name, _)| format!("{name} = ?")).collect();
        let query = format!("SELECT {} FROM main.{} WHERE {}", names.join(", "), quoted(table), is_key.join(" AND "));
        let mut header = Vec::new();
        write_header(Format::Changeset, table, &ordinals, &mut header);
        let columns = c_int::try_from(names.len()).unwrap_or(c_int::MAX);
        Ok(Self { statement: connection.prepare(&query)?, columns, header })
    }

    /// Prepares the query for `sqlite_stat1`. If a table has no index, the changes contain an empty
    /// blob as the index name, because a primary key is not NULL.
    fn prepare_stat1(connection: Connection<'conn>, table: &str) -> Result<Self, SqliteError> {
        let query =
            "SELECT tbl, ifnull(idx, X''), stat FROM main.sqlite_stat1 WHERE tbl IS ?1 AND ifnull(idx, X'') IS ?2";
        let mut header = Vec::new();
        write_header(Format::Changeset, table, &[1, 2, 0], &mut header);
        Ok(Self { statement: connection.prepare(query)?, columns: 3, header })
    }
}
