//! What a table really is, what `table!` says of it, and whether the two agree.
//!
//! Records have positions and no names, so a disagreement would not fail: it would put values into the wrong columns, or
//! nowhere.

mod mismatch;

use std::collections::BTreeSet;
use std::fmt;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use diesel::query_builder::QueryFragment;
use diesel::sqlite::Sqlite;
use diesel::{Table, debug_query};

pub use self::mismatch::SchemaMismatch;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::{Connection, Row};
use crate::wire::TableInfo;

/// The table that SQLite records and applies with a key that it does not declare.
pub(crate) const STAT1: &str = "sqlite_stat1";

/// A table as the database has it.
pub(crate) struct LiveTable {
    kind: TableKind,
    columns: Vec<LiveColumn>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableKind {
    Table,
    View,
    Virtual,
}

impl TableKind {
    /// What a row of `sqlite_schema` is, if it is a table or a view.
    pub(crate) fn of(kind: &str, sql: &str) -> Option<Self> {
        match kind {
            "view" => Some(Self::View),
            // SQLite writes these words so, whatever the user wrote
            "table" if sql.starts_with("CREATE VIRTUAL TABLE") => Some(Self::Virtual),
            "table" => Some(Self::Table),
            _ => None,
        }
    }
}

struct LiveColumn {
    name: String,
    affinity: Affinity,
    /// The place in the key, counted from 1, or 0.
    key: i64,
    /// Hidden and generated columns are not.
    recorded: bool,
}

/// What a column makes of values: [affinities](https://www.sqlite.org/datatype3.html#type_affinity), as far as they differ here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Affinity {
    /// It keeps what it is given.
    Blob,
    Text,
    /// INTEGER and NUMERIC.
    Number,
    Real,
}

impl Affinity {
    /// By the rules that SQLite has for the declared type.
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

    /// Reads the rest of a table that is there, and of this kind.
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
            for (place, column) in (1..).zip(columns.iter_mut().take(2)) {
                column.key = place;
            }
        }
        Ok(Self { kind, columns })
    }

    /// The first column of the key of a table in `main` whose collation is not that of the key, with both. SQLite finds a row by
    /// comparing columns, and so takes several rows for one where the column's collation is the coarser one. `BINARY` is not
    /// coarser than any.
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

    /// Of each column of the key of a table in `main`, in the order of the columns, what it makes of values. There is no answer if the
    /// table or the key takes different texts for equal. `has_collations` says that the table's SQL names one.
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

    /// The UNIQUE indexes of a table in `main`, without that of its key: the places of their columns in a record, `None` for an
    /// expression or a column that is not recorded.
    pub(crate) fn unique_indexes(
        connection: Connection<'_>,
        table: &str,
    ) -> Result<Vec<Vec<Option<usize>>>, SqliteError> {
        let live = Self::read_columns(connection, "main", table, TableKind::Table)?;
        let place = |name: &str| live.record_columns().iter().position(|(column, _)| column.eq_ignore_ascii_case(name));
        let indexes = connection.rows(&pragma("index_list", "main", table), |row| {
            (row.integer(2) == 1 && row.text(3) != "pk").then(|| row.text(1).into_owned())
        })?;
        let columns = |index: &String| {
            let columns = connection.rows(&pragma("index_xinfo", "main", index), |row| {
                (row.integer(5) == 1).then(|| (row.integer(1) >= 0).then(|| place(&row.text(2))).flatten())
            });
            columns.map(|columns| columns.into_iter().flatten().collect())
        };
        indexes.iter().flatten().map(columns).collect()
    }

    fn recorded(&self) -> impl Iterator<Item = &LiveColumn> {
        self.columns.iter().filter(|column| column.recorded)
    }

    fn has_key(&self) -> bool {
        self.columns.iter().any(|column| column.key != 0)
    }

    fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Whether a row can be deleted and inserted again with so many columns, and its rowid, and be as it was.
    pub(crate) fn is_complete(&self, columns: usize) -> bool {
        self.record_columns().len() == columns && !self.has_column("_rowid_")
    }

    /// Why SQLite does not record the table, if it does not.
    fn unrecorded_reason(&self, rowids: bool) -> Option<&'static str> {
        match self.kind {
            TableKind::View => Some("a view"),
            TableKind::Virtual => Some("a virtual table"),
            TableKind::Table if !self.has_key() && !rowids => Some("a table without a primary key"),
            // SQLite's name of the rowid: it would take the column for it
            TableKind::Table if !self.has_key() && self.has_column("_rowid_") => {
                Some("a table without a primary key, and with a column called _rowid_")
            }
            TableKind::Table => None,
        }
    }

    /// For each column that SQLite records its name in SQL and its place in the key.
    pub(crate) fn recorded_columns(&self) -> impl Iterator<Item = (&str, u8)> {
        // a rowid has this name in SQLite's own statements; a table of which it could be another column is refused
        let rowid = !self.has_key();
        self.record_columns().into_iter().enumerate().map(move |(place, (name, key))| {
            // SQLite keeps the place in a byte
            (if rowid && place == 0 { "_rowid_" } else { name }, (key & 0xff) as u8)
        })
    }

    /// The columns that SQLite records, the rowid in front where it is the key, with their places in the key, which SQLite keeps in a
    /// byte: the 256th column of a key is none.
    fn record_columns(&self) -> Vec<(&str, i64)> {
        let rowid = (!self.has_key()).then_some(("rowid", 1));
        rowid.into_iter().chain(self.recorded().map(|column| (column.name.as_str(), column.key & 0xff))).collect()
    }
}

/// The tables and views of a schema.
///
/// Not by `PRAGMA table_list`, which compiles every view, and with that may call functions of the user's.
fn tables_of(connection: Connection<'_>, schema: &str) -> Result<Vec<(String, TableKind)>, SqliteError> {
    let query = format!("SELECT type, name, sql FROM \"{}\".sqlite_schema", schema.replace('"', "\"\""));
    let rows =
        connection.rows(&query, |row| Some((row.text(1).into_owned(), TableKind::of(&row.text(0), &row.text(2))?)))?;
    Ok(rows.into_iter().flatten().collect())
}

/// A pragma about a table. Straight ones take half the time of those in a FROM clause, which a small apply would feel.
fn pragma(name: &str, schema: &str, table: &str) -> String {
    let literal = |name: &str| name.replace('\'', "''");
    format!("PRAGMA '{}'.{name}('{}')", literal(schema), literal(table))
}

/// A table as `table!` declares it.
pub(crate) struct TableDeclaration {
    pub(crate) table: String,
    columns: Vec<String>,
    key: Vec<String>,
}

impl From<&TableInfo<'_>> for TableDeclaration {
    fn from(table: &TableInfo<'_>) -> Self {
        let columns = || table.columns().iter().map(ToString::to_string);
        let key = columns().zip(table.key_ordinals()).filter(|(_, place)| **place != 0);
        Self {
            table: table.table().to_string(),
            columns: columns().collect(),
            key: key.map(|(name, _)| name).collect(),
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A table of `diesel::table!` that a session can attach: every one is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "expected a table of `diesel::table!`, such as `users::table`"
)]
pub trait TrackableTable: sealed::Sealed {
    #[doc(hidden)]
    fn declared() -> DeclaredTable;
}

/// What [`TrackableTable`] says of a table.
#[doc(hidden)]
pub struct DeclaredTable(pub(crate) TableDeclaration);

impl<T> sealed::Sealed for T where T: Table {}

impl<T> TrackableTable for T
where
    T: Table + Default,
    T::AllColumns: QueryFragment<Sqlite>,
    T::PrimaryKey: QueryFragment<Sqlite>,
{
    fn declared() -> DeclaredTable {
        let columns = names(&debug_query::<Sqlite, _>(&T::all_columns()).to_string());
        let key = names(&debug_query::<Sqlite, _>(&T::default().primary_key()).to_string());
        let table = columns.first().and_then(|path| path.iter().rev().nth(1).cloned()).unwrap_or_default();
        let last = |paths: Vec<Vec<String>>| paths.into_iter().filter_map(|mut path| path.pop()).collect();
        DeclaredTable(TableDeclaration { table, columns: last(columns), key: last(key) })
    }
}

/// The paths of names in SQL such as "`users`.`id`, `users`.`name` -- binds: []". Diesel quotes every name with backticks and
/// doubles those inside.
fn names(sql: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '`' => {
                let mut name = String::new();
                while let Some(char) = chars.next() {
                    if char != '`' {
                        name.push(char);
                    } else if chars.next_if_eq(&'`').is_some() {
                        name.push('`');
                    } else {
                        break;
                    }
                }
                path.push(name);
            }
            ',' => paths.push(core::mem::take(&mut path)),
            '-' => break,
            _ => {}
        }
    }
    if !path.is_empty() {
        paths.push(path);
    }
    paths
}

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

/// Whether a table can be recorded at all.
pub(crate) fn check_recordable(table: &str, live: Option<&LiveTable>, rowids: bool) -> Result<(), SchemaMismatch> {
    match live {
        None => Err(mismatch(table, None, "a table with a primary key", "no such table")),
        Some(live) => match live.unrecorded_reason(rowids) {
            Some(what) => {
                let is_plain = live.kind == TableKind::Table && !rowids;
                let or = if is_plain { ", or `track_rowids` before it" } else { "" };
                Err(mismatch(table, None, format!("a table with a primary key{or}"), what))
            }
            None => Ok(()),
        },
    }
}

/// Whether `table!` agrees with the database on everything that a record depends on: the columns' names and order, and which
/// of them are the key.
pub(crate) fn check_declared(
    declared: &TableDeclaration,
    live: Option<&LiveTable>,
    rowids: bool,
) -> Result<(), SchemaMismatch> {
    let table = &declared.table;
    check_recordable(table, live, rowids)?;
    let Some(live) = live else { return Ok(()) };
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);

    // generated and hidden columns are in no record, whether or not `table!` lists them
    let is_unrecorded = |name: &str| live.columns.iter().any(|column| !column.recorded && same(&column.name, name));
    let mut expected = declared.columns.iter().filter(|name| !is_unrecorded(name));
    let mut found = live.record_columns().into_iter();
    for position in 0.. {
        match (expected.next(), found.next()) {
            (None, None) => break,
            (Some(name), Some((other, _))) if same(name, other) || is_rowid(name, other) => {}
            (Some(name), Some((other, _))) => {
                let (expected, found) = (format!("`{name}` in place {position}"), format!("`{other}` there"));
                return Err(mismatch(table, Some(name), expected, found));
            }
            (Some(name), None) => {
                return Err(mismatch(table, Some(name), format!("`{name}` in place {position}"), "no such column"));
            }
            (None, Some((other, _))) => {
                let found = format!("`{other}` in place {position}, which `table!` lacks");
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

/// Whether both names are names of the rowid.
fn is_rowid(name: &str, other: &str) -> bool {
    other == "rowid" && ["rowid", "_rowid_", "oid"].iter().any(|alias| name.eq_ignore_ascii_case(alias))
}

/// Whether a section of a changeset fits a table of the database. Where only the order inside the key differs, gives the
/// ordinals as the table has them, without which SQLite would ignore the section.
pub(crate) fn check_section(table: &str, key_ordinals: &[u8], live: Option<&LiveTable>) -> Result<SectionMatch, SchemaMismatch> {
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
        // its first column would go into the rowid, and all others one column too far to the left
        return Err(mismatch(table, None, expected, "a table without a primary key"));
    }
    if effective.len() < columns {
        let found = format!("{} columns", effective.len());
        return Err(mismatch(table, None, expected, found));
    }
    for (column, (name, key)) in effective.iter().enumerate() {
        let in_changes = key_ordinals.get(column).is_some_and(|place| *place != 0);
        if in_changes != (*key != 0) {
            let says = |is: bool| if is { "part of" } else { "not part of" };
            return Err(mismatch(
                table,
                Some(name),
                format!("the column {} the primary key", says(in_changes)),
                format!("it {} the primary key", says(!in_changes)),
            ));
        }
    }
    // SQLite keeps the place in a byte
    let ordinals: Vec<u8> = effective.iter().take(columns).map(|(_, key)| (key & 0xff) as u8).collect();
    Ok(if ordinals == key_ordinals { SectionMatch::Exact } else { SectionMatch::WithOrdinals(ordinals) })
}

/// How a section fits.
pub(crate) enum SectionMatch {
    Exact,
    /// With these ordinals in the place of its own.
    WithOrdinals(Vec<u8>),
}

/// A table that SQLite does not record, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntrackedTable {
    /// The table's name.
    pub name: String,
    /// Why: "a virtual table", or "a table without a primary key".
    pub reason: &'static str,
}

impl fmt::Display for UntrackedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {}, which SQLite does not record", self.name.escape_debug(), self.reason)
    }
}

/// The tables of a schema that SQLite does not record; views are left out.
pub(crate) fn untracked(
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

#[cfg(test)]
mod tests {
    use super::*;

    diesel::table! {
        #[sql_name = "odd `name`"]
        odd (first, second) {
            first -> Integer,
            #[sql_name = "a, b.c -- d"]
            second -> Text,
        }
    }

    #[test]
    fn names_come_out_of_diesels_sql_as_they_went_in() {
        let DeclaredTable(declared) = odd::table::declared();
        assert_eq!(declared.table, "odd `name`");
        assert_eq!(declared.columns, ["first", "a, b.c -- d"]);
        assert_eq!(declared.key, ["first", "a, b.c -- d"]);
    }
}
