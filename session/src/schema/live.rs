//! Tables as the database defines them.

use std::format;
use std::string::String;
use std::vec::Vec;

use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;

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

pub(crate) struct LiveColumn {
    pub(crate) name: String,
    /// The declared type, in upper case.
    pub(crate) declared: String,
    pub(crate) affinity: Affinity,
    pub(crate) is_not_null: bool,
    /// The position in the primary key, counted from 1, or 0 if the column is not part of the key.
    pub(super) key: i64,
    /// Whether SQLite records the column. It does not record hidden and generated columns.
    pub(super) recorded: bool,
}

/// How a column of a primary key compares values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyComparison {
    pub(crate) affinity: Affinity,
    pub(crate) collation: KeyCollation,
    /// Whether the database replaces characters of texts, because it is in UTF-16: see
    /// [`is_preserved`].
    pub(crate) replaces_characters: bool,
}

/// Returns whether a database in UTF-16 can tell a text from all others. It replaces invalid UTF-8 by
/// U+FFFD, and U+FFFE and U+FFFF too.
pub(crate) fn is_preserved(text: &[u8]) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| !text.contains(['\u{fffd}', '\u{fffe}', '\u{ffff}']))
}

/// A [collation](https://www.sqlite.org/datatype3.html#collating_sequences) of a column of a primary
/// key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyCollation {
    Binary,
    NoCase,
    RightTrim,
    /// A collation of the application, or different collations of the column and the key.
    Other,
}

impl KeyCollation {
    fn of(name: &str) -> Self {
        let named = [("BINARY", Self::Binary), ("NOCASE", Self::NoCase), ("RTRIM", Self::RightTrim)];
        named.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(Self::Other, |(_, it)| it)
    }
}

/// The UNIQUE indexes of a table, except that of the primary key.
#[derive(Default)]
pub(crate) struct UniqueIndexes {
    /// The columns of each index, as positions in a record, with the collation by which the index
    /// compares them. Partial indexes and indexes with expressions or columns that are not recorded
    /// are not in the list.
    pub(crate) plain: Vec<Vec<(usize, String)>>,
    /// The partial indexes, and the indexes with expressions or columns that are not recorded, unique
    /// or not.
    pub(crate) others: Vec<OtherIndex>,
    /// Whether a UNIQUE constraint concerns a column that is not recorded.
    pub(crate) has_unrecorded_constraint: bool,
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

/// An index whose entries are not just columns of a record.
pub(crate) struct OtherIndex {
    pub(crate) name: String,
    pub(crate) is_unique: bool,
    /// The collations of its terms.
    pub(crate) collations: Vec<String>,
}

impl LiveTable {
    pub(crate) fn read(connection: Connection<'_>, schema: &str, table: &str) -> Result<Option<Self>, SqliteError> {
        let name = table.replace('\'', "''");
        match tables_where(connection, schema, &format!("WHERE name = '{name}' COLLATE NOCASE"))?.first() {
            Some((_, kind)) => Self::read_columns(connection, schema, table, *kind).map(Some),
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
        let mut columns = connection.rows(&pragma("table_xinfo", schema, table), |row| {
            let declared = row.text(2).to_ascii_uppercase();
            LiveColumn {
                name: row.text(1).into_owned(),
                affinity: Affinity::of(&declared),
                declared,
                is_not_null: row.integer(3) != 0,
                key: row.integer(5),
                recorded: row.integer(6) == 0,
            }
        })?;
        if table.eq_ignore_ascii_case(STAT1) {
            for (position, column) in (1..).zip(columns.iter_mut().take(2)) {
                column.key = position;
            }
        }
        Ok(Self { kind, columns })
    }

    /// Returns whether the primary key is one column of the declared type INTEGER, which is the rowid
    /// of most tables.
    pub(crate) fn has_integer_key(&self) -> bool {
        let mut key = self.columns.iter().filter(|column| column.key != 0);
        key.next().is_some_and(|column| column.declared == "INTEGER") && key.next().is_none()
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

    /// Returns how the columns of the primary key compare values, in column order. The table is in
    /// `main`. `has_collations` is true if its SQL contains a collation.
    pub(crate) fn key_comparisons(
        &self,
        connection: Connection<'_>,
        table: &str,
        has_collations: bool,
    ) -> Result<Vec<KeyComparison>, SqliteError> {
        // a rowid is an integer
        let rowid =
            KeyComparison { affinity: Affinity::Number, collation: KeyCollation::Binary, replaces_characters: false };
        let mut comparisons = Vec::from_iter((!self.has_key()).then_some(rowid));
        let mut of_index = Vec::new();
        if has_collations {
            let indexes = connection.rows(&pragma("index_list", "main", table), |row| {
                (row.text(3) == "pk").then(|| row.text(1).into_owned())
            })?;
            for index in indexes.iter().flatten() {
                let columns = connection.rows(&pragma("index_xinfo", "main", index), |row| {
                    (row.integer(5) == 1 && row.integer(1) >= 0)
                        .then(|| (row.text(2).into_owned(), KeyCollation::of(&row.text(4))))
                })?;
                of_index.extend(columns.into_iter().flatten());
            }
        }
        let replaces_characters = !self.has_integer_key()
            && connection.rows("PRAGMA encoding", |row| row.text(0) != "UTF-8")?.contains(&true);
        for column in self.recorded().filter(|column| column.key != 0) {
            let mut collation = KeyCollation::Binary;
            if has_collations {
                collation = KeyCollation::of(&connection.collation(table, &column.name)?);
                // two rows are different only if both collations say so
                if of_index.iter().any(|(name, other)| name == &column.name && *other != collation) {
                    collation = KeyCollation::Other;
                }
            }
            comparisons.push(KeyComparison { affinity: column.affinity, collation, replaces_characters });
        }
        Ok(comparisons)
    }

    /// Reads the indexes of this table, which is in `main`.
    pub(crate) fn unique_indexes(&self, connection: Connection<'_>, table: &str) -> Result<UniqueIndexes, SqliteError> {
        let position =
            |name: &str| self.record_columns().iter().position(|(column, _)| column.eq_ignore_ascii_case(name));
        let indexes = connection.rows(&pragma("index_list", "main", table), |row| {
            let (is_unique, is_partial, origin) = (row.integer(2) == 1, row.integer(4) == 1, row.text(3));
            (origin != "pk").then(|| (row.text(1).into_owned(), is_unique, is_partial, origin == "u"))
        })?;
        let mut found = UniqueIndexes::default();
        for (index, is_unique, is_partial, is_constraint) in indexes.into_iter().flatten() {
            let columns = connection.rows(&pragma("index_xinfo", "main", &index), |row| {
                let column = if row.integer(1) >= 0 { position(&row.text(2)) } else { None };
                (row.integer(5) == 1).then(|| column.map(|column| (column, row.text(4).into_owned())))
            })?;
            match columns.into_iter().flatten().collect::<Option<Vec<_>>>() {
                Some(columns) if !is_partial => found.plain.extend(is_unique.then_some(columns)),
                _ => {
                    found.has_unrecorded_constraint |= is_constraint;
                    let collations = connection.rows(&pragma("index_xinfo", "main", &index), |row| {
                        (row.integer(5) == 1).then(|| row.text(4).into_owned())
                    })?;
                    let collations = collations.into_iter().flatten().collect();
                    found.others.push(OtherIndex { name: index, is_unique, collations });
                }
            }
        }
        Ok(found)
    }

    /// Returns the names of the hidden and generated columns.
    pub(crate) fn unrecorded_columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter(|column| !column.recorded).map(|column| column.name.as_str())
    }

    /// Returns the columns of the table that are in its records, each with its position in the
    /// record. If the rowid is the key, the first position has no column.
    pub(crate) fn columns_in_records(&self) -> impl Iterator<Item = (usize, &LiveColumn)> {
        (usize::from(!self.has_key())..).zip(self.recorded())
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
pub(crate) fn tables_of(connection: Connection<'_>, schema: &str) -> Result<Vec<(String, TableKind)>, SqliteError> {
    tables_where(connection, schema, "")
}

fn tables_where(
    connection: Connection<'_>,
    schema: &str,
    condition: &str,
) -> Result<Vec<(String, TableKind)>, SqliteError> {
    let query = format!("SELECT type, name, sql FROM \"{}\".sqlite_schema {condition}", schema.replace('"', "\"\""));
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
