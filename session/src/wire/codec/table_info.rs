//! The description of a table, which builders, SQL and JSON require beyond the bytes.

use core::hash::{Hash, Hasher};

use super::header::key_columns;
use super::section::Section;

/// The description of a table: its name, its key, and the names of its columns where they are
/// known.
///
/// Builders require the key ordinals. [`Record::to_sql`](crate::wire::Record::to_sql) and JSON
/// require the column names. `#[derive(Tracked)]` makes a complete description of each table:
/// `User::TABLE`.
///
/// Two descriptions are equal if their names and key ordinals are: column names do not count.
///
/// ```
/// use diesel_sqlite_session::wire::TableInfo;
///
/// // CREATE TABLE readings (sensor, value, at, PRIMARY KEY (at, sensor))
/// const READINGS: TableInfo = TableInfo::new("readings", &[2, 0, 1]).with_columns(&["sensor", "value", "at"]);
/// assert_eq!((READINGS.table(), READINGS.column_count()), ("readings", 3));
/// assert_eq!(READINGS.key_columns().collect::<Vec<_>>(), [0, 2]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TableInfo<'a> {
    table: &'a str,
    key_ordinals: &'a [u8],
    columns: &'a [&'a str],
    hidden: &'a [&'a str],
    optional: usize,
}

impl<'a> TableInfo<'a> {
    /// Creates the description of the table `table` from its key ordinals.
    ///
    /// `table` is the name without the schema. `key_ordinals` has a byte for each column, generated
    /// columns excluded: see [`Section::key_ordinals`]. A table that SQLite could not read is an
    /// error when the description is used.
    pub const fn new(table: &'a str, key_ordinals: &'a [u8]) -> Self {
        Self { table, key_ordinals, columns: &[], hidden: &[], optional: 0 }
    }

    /// Creates the description of the table `table` from its column names alone.
    ///
    /// SQL and JSON require nothing else. Builders reject it, because the key is unknown.
    pub const fn from_columns(table: &'a str, columns: &'a [&'a str]) -> Self {
        Self { columns, ..Self::new(table, &[]) }
    }

    /// Returns the same description with the names of the columns, hidden columns included.
    pub const fn with_columns(self, columns: &'a [&'a str]) -> Self {
        Self { columns, ..self }
    }

    /// Returns the same description with the names of the hidden columns.
    ///
    /// JSON and SQL omit the names and values of hidden columns; SQL still contains a hidden key
    /// column. Each hidden column must be one of [`columns`](Self::columns): otherwise writing JSON or
    /// SQL fails.
    #[cfg_attr(feature = "serde", doc = "See [hidden columns](crate::wire::json#hidden-columns).")]
    /// With the derive, `#[tracked(skip)]` hides a column.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// const USERS: TableInfo =
    ///     TableInfo::from_columns("users", &["id", "name", "password"]).with_hidden(&["password"]);
    /// assert_eq!(USERS.hidden(), ["password"]);
    /// ```
    pub const fn with_hidden(self, hidden: &'a [&'a str]) -> Self {
        Self { hidden, ..self }
    }

    /// Returns the same description with the number of columns at the end that older changes may
    /// lack.
    #[cfg(feature = "typed")]
    #[doc(hidden)]
    pub const fn with_optional(self, optional: usize) -> Self {
        Self { optional, ..self }
    }

    /// Returns the name of the table, without its schema.
    pub const fn table(&self) -> &'a str {
        self.table
    }

    /// Returns the names of the columns in the order of the table, generated columns excluded;
    /// empty if they are unknown.
    pub const fn columns(&self) -> &'a [&'a str] {
        self.columns
    }

    /// Returns a byte for each column, its place in the primary key or 0: see
    /// [`Section::key_ordinals`]. Empty if the key is unknown.
    pub const fn key_ordinals(&self) -> &'a [u8] {
        self.key_ordinals
    }

    /// Returns the positions of the primary key's columns, counted from 0, in the order of the
    /// table's columns.
    pub fn key_columns(&self) -> impl Iterator<Item = usize> + use<'a> {
        key_columns(self.key_ordinals)
    }

    /// Returns the number of columns.
    pub const fn column_count(&self) -> usize {
        if self.key_ordinals.is_empty() { self.columns.len() } else { self.key_ordinals.len() }
    }

    /// Returns the names of the hidden columns: see [`with_hidden`](Self::with_hidden).
    pub const fn hidden(&self) -> &'a [&'a str] {
        self.hidden
    }

    /// Returns the number of columns at the end of the table that older changes may lack: those
    /// with `#[tracked(default)]`.
    pub const fn optional(&self) -> usize {
        self.optional
    }
}

impl<'a> From<Section<'a>> for TableInfo<'a> {
    fn from(section: Section<'a>) -> Self {
        section.table_info()
    }
}

impl<'a> From<&TableInfo<'a>> for TableInfo<'a> {
    fn from(table: &TableInfo<'a>) -> Self {
        *table
    }
}

impl<'a> From<&&TableInfo<'a>> for TableInfo<'a> {
    fn from(table: &&TableInfo<'a>) -> Self {
        **table
    }
}

impl PartialEq for TableInfo<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.table, self.key_ordinals) == (other.table, other.key_ordinals)
    }
}

impl Eq for TableInfo<'_> {}

impl Hash for TableInfo<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.table, self.key_ordinals).hash(state);
    }
}
