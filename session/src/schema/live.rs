//! Tables as the database defines them.

use std::format;
use std::string::String;
use std::vec::Vec;

use crate::ffi::error::SqliteError;
use crate::ffi::statement::{Connection, Row};

/// A table that SQLite records and applies with a primary key that the table does not declare.
pub(crate) const STAT1: &str = "sqlite_stat1";

/// A table as the database defines it.
pub(crate) struct LiveTable {
    pub(super) kind: TableKind,
    pub(super) columns: Vec<LiveColumn>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableKind {
    Table,
    View,
    Virtual,
}

impl TableKind {
    /// Returns the kind of a row of `sqlite_schema`, or `None` if the row is neither a table nor a
    /// view.
    pub(crate) fn of(kind: &str, sql: &str) -> Option<Self> {
        match kind {
            "view" => Some(Self::View),
            // SQLite stores these words in this form, whatever the application wrote
            "table" if sql.starts_with("CREATE VIRTUAL TABLE") => Some(Self::Virtual),
            "table" => Some(Self::Table),
            _ => None,
        }
    }
}

pub(super) struct LiveColumn {
    pub(super) name: String,
    pub(super) affinity: Affinity,
    /// The position in the primary key, counted from 1, or 0 if the column is not part of the key.
    pub(super) key: i64,
    /// Whether SQLite records the column. It does not record hidden and generated columns.
    pub(super) recorded: bool,
}

/// A [type affinity](https://www.sqlite.org/datatype3.html#type_affinity). Affinities that behave
/// alike here are one variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Affinity {
    /// Stores values unchanged.
    Blob,
    Text,
    /// INTEGER and NUMERIC.
    Number,
    Real,
}

impl Affinity {
    /// Returns the affinity of a declared type, by SQLite's rules.
    fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Self::Number
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if declared.is_empty() || has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Number
        }
    }
}

impl LiveTable {
    pub(crate) fn read(connection: Connection<'_>, schema: &str, table: &str) -> Result<Option<Self>, SqliteError> {
        let is_it = |(name, _): &(String, TableKind)| name.eq_ignore_ascii_case(table);
        match tables_of(connection, schema)?.into_iter().find(is_it) {
            Some((_, kind)) => Self::read_columns(connection, schema, table, kind).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the columns of an existing table of a known kind.
    pub(crate) fn read_columns(
        connection: Connection<'_>,
        schema: &str,
        table: &str,
        kind: TableKind,
    ) -> Result<Self, SqliteError> {
        if kind != TableKind::Table {
            return Ok(Self { kind, columns: Vec::new() });
        }
        let mut columns = connection.rows(&pragma("table_xinfo", schema, table), |row| LiveColumn {
            name: row.text(1).into_owned(),
            affinity: Affinity::of(&row.text(2)),
            key: row.integer(5),
            recorded: row.integer(6) == 0,
        })?;
        if table.eq_ignore_ascii_case(STAT1) {
            for (position, column) in (1..).zip(columns.iter_mut().take(2)) {
                column.key = position;
            }
        }
        Ok(Self { kind, columns })
    }

    /// Returns the first column of the primary key whose collation differs from the key's, with
    /// both collations, for a table in `main`.
    ///
    /// SQLite finds a row by comparing columns. If the column's collation is the coarser one,
    /// SQLite takes several rows for the same one. `BINARY` is not coarser than any collation.
    pub(crate) fn coarse_key_column(
        connection: Connection<'_>,
        table: &str,
    ) -> Result<Option<(String, String, String)>, SqliteError> {
        let indexes = connection.rows(&pragma("index_list", "main", table), |row| {
            (row.text(3) == "pk").then(|| row.text(1).into_owned())
        })?;
        for index in indexes.into_iter().flatten() {
            let columns = connection.rows(&pragma("index_xinfo", "main", &index), |row| {
                (row.integer(5) == 1 && row.integer(1) >= 0)
                    .then(|| (row.text(2).into_owned(), row.text(4).into_owned()))
            })?;
            for (column, of_key) in columns.into_iter().flatten() {
                let of_column = connection.collation(table, &column)?;
                if !of_column.eq_ignore_ascii_case("BINARY") && !of_column.eq_ignore_ascii_case(&of_key) {
                    return Ok(Some((column, of_column, of_key)));
                }
            }
        }
        Ok(None)
    }

    /// Returns the affinities of the primary key's columns, in column order, for a table in `main`.
    /// Returns `None` if the table or the key treats different texts as equal. `has_collations`
    /// is true if the table's SQL contains a collation.
    pub(crate) fn key_affinities(
        connection: Connection<'_>,
        table: &str,
        has_collations: bool,
    ) -> Result<Option<Vec<Affinity>>, SqliteError> {
        let live = Self::read_columns(connection, "main", table, TableKind::Table)?;
        let is_binary = |collation: &str| collation.eq_ignore_ascii_case("BINARY");
        let keys: Vec<&LiveColumn> = live.recorded().filter(|column| column.key != 0).collect();
        if has_collations {
            for column in &keys {
                if !is_binary(&connection.collation(table, &column.name)?) {
                    return Ok(None);
                }
            }
            let indexes = connection.rows(&pragma("index_list", "main", table), |row| {
                (row.text(3) == "pk").then(|| row.text(1).into_owned())
            })?;
            for index in indexes.iter().flatten() {
                let is_coarse = |row: &Row<'_>| row.integer(5) == 1 && !is_binary(&row.text(4));
                if connection.rows(&pragma("index_xinfo", "main", index), is_coarse)?.contains(&true) {
                    return Ok(None);
                }
            }
        }
        // a rowid is an integer
        let rowid = (!live.has_key()).then_some(Affinity::Number);
        Ok(Some(rowid.into_iter().chain(keys.iter().map(|column| column.affinity)).collect()))
    }

    /// Returns the UNIQUE indexes of a table in `main`, except that of the primary key, as the
    /// positions of their columns in a record. `None` stands for an expression or a column that is
    /// not recorded.
    pub(crate) fn unique_indexes(
        connection: Connection<'_>,
        table: &str,
    ) -> Result<Vec<Vec<Option<usize>>>, SqliteError> {
        let live = Self::read_columns(connection, "main", table, TableKind::Table)?;
        let position =
            |name: &str| live.record_columns().iter().position(|(column, _)| column.eq_ignore_ascii_case(name));
        let indexes = connection.rows(&pragma("index_list", "main", table), |row| {
            (row.integer(2) == 1 && row.text(3) != "pk").then(|| row.text(1).into_owned())
        })?;
        let columns = |index: &String| {
            let columns = connection.rows(&pragma("index_xinfo", "main", index), |row| {
                (row.integer(5) == 1).then(|| (row.integer(1) >= 0).then(|| position(&row.text(2))).flatten())
            });
            columns.map(|columns| columns.into_iter().flatten().collect())
        };
        indexes.iter().flatten().map(columns).collect()
    }

    fn recorded(&self) -> impl Iterator<Item = &LiveColumn> {
        self.columns.iter().filter(|column| column.recorded)
    }

    pub(super) fn has_key(&self) -> bool {
        self.columns.iter().any(|column| column.key != 0)
    }

    fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Returns whether a record of `columns` columns contains everything that is needed to delete a
    /// row and insert it again unchanged, with the same rowid.
    pub(crate) fn is_complete(&self, columns: usize) -> bool {
        self.record_columns().len() == columns && !self.has_column("_rowid_")
    }

    /// Returns the reason why SQLite does not record the table, if it does not.
    pub(super) fn unrecorded_reason(&self, rowids: bool) -> Option<&'static str> {
        match self.kind {
            TableKind::View => Some("a view"),
            TableKind::Virtual => Some("a virtual table"),
            TableKind::Table if !self.has_key() && !rowids => Some("a table without a primary key"),
            // SQLite calls the rowid `_rowid_`, and would use this column instead
            TableKind::Table if !self.has_key() && self.has_column("_rowid_") => {
                Some("a table without a primary key, and with a column called _rowid_")
            }
            TableKind::Table => None,
        }
    }

    /// Returns the recorded columns, each with its name in SQL and its position in the primary key.
    pub(crate) fn recorded_columns(&self) -> impl Iterator<Item = (&str, u8)> {
        // SQLite's own statements use this name for the rowid; a table in which another column has
        // the name is rejected
        let rowid = !self.has_key();
        self.record_columns().into_iter().enumerate().map(move |(position, (name, key))| {
            // SQLite keeps the position in a byte
            (if rowid && position == 0 { "_rowid_" } else { name }, (key & 0xff) as u8)
        })
    }

    /// Returns the recorded columns with their positions in the primary key. If the rowid is the
    /// key, it is the first column.
    ///
    /// SQLite keeps the position in a byte, so that the 256th column of a key counts as no part of
    /// it.
    pub(super) fn record_columns(&self) -> Vec<(&str, i64)> {
        let rowid = (!self.has_key()).then_some(("rowid", 1));
        rowid.into_iter().chain(self.recorded().map(|column| (column.name.as_str(), column.key & 0xff))).collect()
    }
}

/// Returns the tables and views of a schema.
///
/// `PRAGMA table_list` is not used: it compiles every view, which may call functions of the
/// application.
pub(super) fn tables_of(connection: Connection<'_>, schema: &str) -> Result<Vec<(String, TableKind)>, SqliteError> {
    let query = format!("SELECT type, name, sql FROM \"{}\".sqlite_schema", schema.replace('"', "\"\""));
    let rows =
        connection.rows(&query, |row| Some((row.text(1).into_owned(), TableKind::of(&row.text(0), &row.text(2))?)))?;
    Ok(rows.into_iter().flatten().collect())
}

/// Returns a pragma about a table. As a statement of its own it takes half the time of a pragma in
/// a FROM clause, which is noticeable in a small apply.
fn pragma(name: &str, schema: &str, table: &str) -> String {
    let literal = |name: &str| name.replace('\'', "''");
    format!("PRAGMA '{}'.{name}('{}')", literal(schema), literal(table))
}
