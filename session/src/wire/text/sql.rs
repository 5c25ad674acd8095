//! Changes as SQL text.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::wire::codec::error::LONGEST_NAME;
use crate::wire::codec::record::{Record, Records};
use crate::wire::codec::set::{Changeset, ChangesetRef, Patchset, PatchsetRef};
use crate::wire::codec::value::{Value, cut};
use crate::wire::codec::header::Table;
use crate::wire::codec::kind::Operation;

/// What a table's columns are called, to write changes as SQL or JSON: changesets have no names of columns.
///
/// The names are those of the columns that are recorded, in the table's order: no generated columns. There may be more of
/// them than the changes have, if columns were added to the table since.
///
/// ```
/// use diesel_sqlite_session::TableColumns;
///
/// const USERS: TableColumns = TableColumns::new("users", &["id", "name"]);
/// assert_eq!((USERS.table(), USERS.columns()), ("users", &["id", "name"][..]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableColumns<'a> {
    table: &'a str,
    columns: &'a [&'a str],
    hidden: &'a [&'a str],
}

impl<'a> TableColumns<'a> {
    /// The columns of the table with this name.
    pub const fn new(table: &'a str, columns: &'a [&'a str]) -> Self {
        Self::with_hidden(table, columns, &[])
    }

    /// All columns of the table with this name, and those of which JSON has neither the values nor the names: see
    #[cfg_attr(feature = "serde", doc = "[what is left out](crate::wire::json#what-is-left-out).")]
    #[cfg_attr(not(feature = "serde"), doc = "`wire::json`.")]
    /// SQL has them, as without them it would make another row.
    ///
    /// With the feature `derive`, this is what `#[tracked(skip(…))]` does.
    ///
    /// ```
    /// use diesel_sqlite_session::TableColumns;
    ///
    /// const USERS: TableColumns = TableColumns::with_hidden("users", &["id", "name", "password"], &["password"]);
    /// assert_eq!(USERS.hidden(), ["password"]);
    /// ```
    pub const fn with_hidden(table: &'a str, columns: &'a [&'a str], hidden: &'a [&'a str]) -> Self {
        Self { table, columns, hidden }
    }

    /// The table's name, without its schema's.
    pub const fn table(&self) -> &'a str {
        self.table
    }

    /// The names of its columns, of the hidden ones too.
    pub const fn columns(&self) -> &'a [&'a str] {
        self.columns
    }

    /// The columns that JSON has not.
    pub const fn hidden(&self) -> &'a [&'a str] {
        self.hidden
    }
}

impl<'a> From<&TableColumns<'a>> for TableColumns<'a> {
    fn from(table: &TableColumns<'a>) -> Self {
        *table
    }
}

/// Changes that cannot be written as SQL: [why](SqlErrorKind), and of which table.
///
/// ```
/// use diesel_sqlite_session::{Changeset, SqlErrorKind, TableColumns, TableSchema};
///
/// let users = TableSchema::new("users", &[1, 0]);
/// let changeset = Changeset::builder().delete_values(users, &[1.into(), "Ada".into()]).build()?;
/// let error = changeset.to_sql::<TableColumns>([]).unwrap_err();
/// assert_eq!((error.kind(), error.table()), (SqlErrorKind::NoColumnNames, "users"));
/// assert_eq!(error.to_string(), "table users: an UPDATE or DELETE takes the names of the columns");
/// # Ok::<(), diesel_sqlite_session::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SqlError {
    kind: SqlErrorKind,
    table: Box<str>,
}

impl SqlError {
    fn new(kind: SqlErrorKind, table: &str) -> Self {
        Self { kind, table: Box::from(cut(table, LONGEST_NAME)) }
    }

    /// Why they cannot be written.
    pub fn kind(&self) -> SqlErrorKind {
        self.kind
    }

    /// The table of the change: the first 200 bytes of its name.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {}", self.table.escape_debug(), self.kind)
    }
}

impl fmt::Debug for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlError({self})")
    }
}

impl core::error::Error for SqlError {}

/// Why changes cannot be written as SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqlErrorKind {
    /// An UPDATE or DELETE of a table whose columns have no names. An INSERT can do without.
    NoColumnNames,
    /// Fewer names than the change has columns.
    ColumnCount {
        /// How many names there are.
        names: usize,
        /// How many columns the change has.
        columns: usize,
    },
    /// A column's name has a NUL in it, where SQL text would end.
    ColumnName,
}

impl fmt::Display for SqlErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColumnNames => f.write_str("an UPDATE or DELETE takes the names of the columns"),
            Self::ColumnCount { names, columns } => write!(f, "{names} names for {columns} columns"),
            Self::ColumnName => f.write_str("a column's name has a NUL in it"),
        }
    }
}

/// The names for so many columns, or none if there are none.
fn names_for<'n>(table: &str, names: &'n [&'n str], columns: usize) -> Result<&'n [&'n str], SqlError> {
    if names.is_empty() {
        return Ok(names);
    }
    let Some(used) = names.get(..columns) else {
        return Err(SqlError::new(SqlErrorKind::ColumnCount { names: names.len(), columns }, table));
    };
    if used.iter().any(|name| name.contains('\0')) {
        return Err(SqlError::new(SqlErrorKind::ColumnName, table));
    }
    Ok(used)
}

impl<'a> Record<'a> {
    /// The change as an SQL statement: a type to be written with `Display`.
    ///
    /// `tables` says what the columns are called. With the feature `derive`, `Blog::TABLES` of a set of tables will do, or
    /// `[User::TABLE]`.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, TableColumns, TableSchema, Value};
    ///
    /// const COLUMNS: [TableColumns; 1] = [TableColumns::new("users", &["id", "name"])];
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let changeset = Changeset::builder()
    ///     .insert_values(users, &[1.into(), "it's".into()])
    ///     .update_values(users, &[2.into(), "Bob".into()], &[2.into(), Value::Null])
    ///     .delete_values(users, &[3.into(), "Eve".into()])
    ///     .build()?;
    /// let mut statements = Vec::new();
    /// for record in &changeset {
    ///     statements.push(record.to_sql(COLUMNS)?.to_string());
    /// }
    /// assert_eq!(statements, [
    ///     r#"INSERT INTO "users" ("id", "name") VALUES (1, 'it''s');"#,
    ///     r#"UPDATE "users" SET "name" = NULL WHERE "id" = 2;"#,
    ///     r#"DELETE FROM "users" WHERE "id" = 3;"#,
    /// ]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Of a table that is not in `tables`, an INSERT has no list of columns: `INSERT INTO "users" VALUES (1, 'it''s');`. If a table has
    /// more names than the change has columns, the change is older than the last ones, which are left out.
    ///
    /// # What it does
    ///
    /// The row is found by its key alone: old values that applying a changeset would compare with the row's are not looked at,
    /// and a statement that finds no row is no error. Columns of a key are never set. An UPDATE that sets no other, as SQLite
    /// records it where a key changes to an [equal one](super#changes), sets the key to itself, which changes nothing but fires
    /// triggers.
    ///
    /// SQLite reads back the same values, infinities as `9.0e+999`. Text with a NUL in it or that is not UTF-8 is a `CAST` of
    /// its bytes, which has them in a database whose encoding is UTF-8. A statement of more bytes than
    /// [SQLITE_MAX_SQL_LENGTH](https://www.sqlite.org/limits.html#max_sql_length), 1,000,000,000 by default, is refused by
    /// SQLite; a blob takes two for each byte.
    ///
    /// SQLite takes a name in double quotes that is no column's for a string, and with a table of that name in `temp` means that
    /// one.
    ///
    /// # Errors
    ///
    /// An UPDATE or DELETE without names, fewer names than columns, or a NUL in one.
    pub fn to_sql<'s, N: Into<TableColumns<'s>>>(
        &self,
        tables: impl IntoIterator<Item = N>,
    ) -> Result<SqlStatement<'s>, SqlError>
    where
        'a: 's,
    {
        let names = names_for(self.table(), find_names(tables, self.table()), self.column_count())?;
        if names.is_empty() && self.operation() != Operation::Insert {
            return Err(SqlError::new(SqlErrorKind::NoColumnNames, self.table()));
        }
        Ok(SqlStatement { record: *self, names })
    }
}

/// A change as an SQL statement, of [`Record::to_sql`]: `Display` writes it.
#[derive(Clone, Copy)]
#[must_use = "it is written with `Display`"]
pub struct SqlStatement<'a> {
    record: Record<'a>,
    /// For each column, or none.
    names: &'a [&'a str],
}

impl fmt::Display for SqlStatement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, names } = self;
        let columns = || names.iter().copied().zip(record.key_ordinals().iter().map(|place| *place != 0));
        match record.operation() {
            Operation::Insert => {
                f.write_str("INSERT INTO ")?;
                write_name(f, record.table())?;
                if !names.is_empty() {
                    f.write_str(" (")?;
                    write_list(f, ", ", names.iter(), |f, name| write_name(f, name))?;
                    f.write_str(")")?;
                }
                f.write_str(" VALUES (")?;
                write_list(f, ", ", record.new_values(), |f, value| write_value(f, value.unwrap_or(Value::Null)))?;
                return f.write_str(");");
            }
            Operation::Update => {
                f.write_str("UPDATE ")?;
                write_name(f, record.table())?;
                f.write_str(" SET ")?;
                let set = columns().zip(record.new_values());
                let mut set =
                    set.filter_map(|((name, is_key), value)| Some((name, value.filter(|_| !is_key)?))).peekable();
                if set.peek().is_some() {
                    write_list(f, ", ", set, |f, (name, value)| write_pair(f, name, value))?;
                } else {
                    let key = columns().filter(|(_, is_key)| *is_key);
                    write_list(f, ", ", key, |f, (name, _)| {
                        write_name(f, name)?;
                        f.write_str(" = ")?;
                        write_name(f, name)
                    })?;
                }
            }
            Operation::Delete => {
                f.write_str("DELETE FROM ")?;
                write_name(f, record.table())?;
            }
        }
        f.write_str(" WHERE ")?;
        let key = columns().filter(|(_, is_key)| *is_key).zip(record.key_values());
        write_list(f, " AND ", key, |f, ((name, _), value)| write_pair(f, name, value))?;
        f.write_str(";")
    }
}

impl fmt::Debug for SqlStatement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlStatement").field(&self.record).finish()
    }
}

fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    between: &str,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (place, item) in items.enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        write(f, item)?;
    }
    Ok(())
}

fn write_pair(f: &mut fmt::Formatter<'_>, name: &str, value: Value<'_>) -> fmt::Result {
    write_name(f, name)?;
    f.write_str(" = ")?;
    write_value(f, value)
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    write_quoted(f, name, '"')
}

/// Writes text between quotes, those in it doubled.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    fmt::Write::write_char(f, quote)?;
    // each part but the last one ends with a quote
    for part in text.split_inclusive(quote) {
        f.write_str(part)?;
        if part.ends_with(quote) {
            fmt::Write::write_char(f, quote)?;
        }
    }
    fmt::Write::write_char(f, quote)
}

/// Writes the literal that `Display` of the value writes; long texts and blobs faster.
fn write_value(f: &mut fmt::Formatter<'_>, value: Value<'_>) -> fmt::Result {
    match value {
        Value::Text(bytes) => match core::str::from_utf8(bytes) {
            Ok(text) if !bytes.contains(&0) => write_quoted(f, text, '\''),
            _ => {
                f.write_str("CAST(")?;
                write_blob(f, bytes)?;
                f.write_str(" AS TEXT)")
            }
        },
        Value::Blob(bytes) => write_blob(f, bytes),
        other => write!(f, "{other}"),
    }
}

fn write_blob(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
    f.write_str("x'")?;
    for chunk in bytes.chunks(64) {
        let mut digits = [0; 128];
        let mut length = 0usize;
        for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
            length = length.saturating_add(2);
        }
        f.write_str(core::str::from_utf8(digits.get(..length).unwrap_or_default()).unwrap_or_default())?;
    }
    f.write_str("'")
}

/// The changes of a whole set as SQL statements, each on a line by itself, of [`Changeset::to_sql`] and its like: `Display`
/// writes them.
#[derive(Clone)]
#[must_use = "it is written with `Display`"]
pub struct SqlScript<'a> {
    records: Records<'a>,
    tables: Vec<TableColumns<'a>>,
}

/// What a table's columns are called, if that is among these.
pub(in crate::wire) fn find<'a>(
    tables: impl IntoIterator<Item = impl Into<TableColumns<'a>>>,
    table: &str,
) -> Option<TableColumns<'a>> {
    tables.into_iter().map(Into::into).find(|names| names.table.eq_ignore_ascii_case(table))
}

/// The names of a table's columns, or none.
fn find_names<'a>(tables: impl IntoIterator<Item = impl Into<TableColumns<'a>>>, table: &str) -> &'a [&'a str] {
    find(tables, table).map(|names| names.columns).unwrap_or_default()
}

impl<'a> SqlScript<'a> {
    fn new(
        records: Records<'a>,
        sections: impl Iterator<Item = Table<'a>>,
        tables: Vec<TableColumns<'a>>,
    ) -> Result<Self, SqlError> {
        for section in sections {
            let names = find_names(&tables, section.name());
            let names = names_for(section.name(), names, section.column_count())?;
            if names.is_empty() && section.records().any(|record| record.operation() != Operation::Insert) {
                return Err(SqlError::new(SqlErrorKind::NoColumnNames, section.name()));
            }
        }
        Ok(Self { records, tables })
    }
}

impl fmt::Display for SqlScript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: (&str, &[&str]) = ("", &[]);
        for (place, record) in self.records.clone().enumerate() {
            if place == 0 || !core::ptr::eq(last.0, record.table()) {
                last = (record.table(), find_names(&self.tables, record.table()));
            }
            let names = last.1.get(..record.column_count()).unwrap_or_default();
            writeln!(f, "{}", SqlStatement { record, names })?;
        }
        Ok(())
    }
}

impl fmt::Debug for SqlScript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlScript").field(&self.records).finish()
    }
}

/// Writes the methods of an owned type and its borrowed form.
macro_rules! to_sql {
    ($Owned:ident, $Borrowed:ident) => {
        impl $Owned {
            /// The changes as SQL statements in their order, each on a line by itself: a type to be written with `Display`.
            /// [`Record::to_sql`] says what each statement is.
            ///
            /// In a transaction, with
            /// [`PRAGMA defer_foreign_keys`](https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys) where foreign keys
            /// are enforced, this does what applying does if there is no conflict; it sees none but those of constraints. Two
            /// statements can be in each other's way where a value of a UNIQUE column goes from one row to another, which
            /// applying tries again later.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Owned), ", TableColumns, TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            #[doc = concat!("let changes = ", stringify!($Owned), "::builder()")]
            ///     .insert_values(users, &[1.into(), "Ada".into()])
            ///     .delete_values(users, &[2.into(), "Bob".into()])
            ///     .build()?;
            /// let sql = changes.to_sql([TableColumns::new("users", &["id", "name"])])?.to_string();
            /// assert_eq!(
            ///     sql,
            ///     "INSERT INTO \"users\" (\"id\", \"name\") VALUES (1, 'Ada');\n\
            ///      DELETE FROM \"users\" WHERE \"id\" = 2;\n"
            /// );
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            ///
            /// # Errors
            ///
            /// The same as [`Record::to_sql`], for the first table of which it is so.
            pub fn to_sql<'s, N: Into<TableColumns<'s>>>(
                &'s self,
                tables: impl IntoIterator<Item = N>,
            ) -> Result<SqlScript<'s>, SqlError> {
                self.as_borrowed().to_sql(tables)
            }
        }

        impl<'a> $Borrowed<'a> {
            #[doc = concat!("The changes as SQL statements: see [`", stringify!($Owned), "::to_sql`].")]
            ///
            /// # Errors
            ///
            #[doc = concat!("The same as [`", stringify!($Owned), "::to_sql`].")]
            pub fn to_sql<'s, N: Into<TableColumns<'s>>>(
                self,
                tables: impl IntoIterator<Item = N>,
            ) -> Result<SqlScript<'s>, SqlError>
            where
                'a: 's,
            {
                SqlScript::new(self.records(), self.tables(), tables.into_iter().map(Into::into).collect())
            }
        }
    };
}

to_sql!(Changeset, ChangesetRef);
to_sql!(Patchset, PatchsetRef);
