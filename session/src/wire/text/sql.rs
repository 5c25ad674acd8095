//! Writing changes as SQL text.

use alloc::vec::Vec;
use core::fmt;

use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::kind::Operation;
use crate::wire::codec::record::{Record, Records};
use crate::wire::codec::section::Section;
use crate::wire::codec::set::{Set, SetFormat, SetRef};
use crate::wire::codec::table_info::TableInfo;
use crate::wire::codec::value::Value;

/// Returns the names of the first `columns` columns, or no names if `names` is empty.
fn check_names<'n>(table: &str, names: &'n [&'n str], columns: usize) -> Result<&'n [&'n str], BuildError> {
    if names.is_empty() {
        return Ok(names);
    }
    let Some(used) = names.get(..columns) else {
        return Err(BuildError::new(BuildErrorKind::ColumnNameCount { names: names.len(), columns }, table, None));
    };
    if used.iter().any(|name| name.contains('\0')) {
        return Err(BuildError::new(BuildErrorKind::ColumnName, table, None));
    }
    Ok(used)
}

impl<'a> Record<'a> {
    /// Returns the change as an SQL statement. `Display` writes it.
    ///
    /// `tables` contains the names of the columns. With the derive, pass `Blog::TABLES` or
    /// `[User::TABLE]`.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::TableInfo;
    /// use diesel_sqlite_session::{Changeset, Value};
    ///
    /// let users = TableInfo::new("users", &[1, 0]).with_columns(&["id", "name"]);
    /// let changeset = Changeset::builder()
    ///     .insert_values(users, &[1.into(), "it's".into()])
    ///     .update_values(users, &[2.into(), "Bob".into()], &[2.into(), Value::Null])
    ///     .delete_values(users, &[3.into(), "Eve".into()])
    ///     .build()?;
    /// let mut statements = Vec::new();
    /// for record in &changeset {
    ///     statements.push(record.to_sql([users])?.to_string());
    /// }
    /// assert_eq!(statements, [
    ///     r#"INSERT INTO "users" ("id", "name") VALUES (1, 'it''s');"#,
    ///     r#"UPDATE "users" SET "name" = NULL WHERE "id" = 2;"#,
    ///     r#"DELETE FROM "users" WHERE "id" = 3;"#,
    /// ]);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    ///
    /// An INSERT into a table that is not in `tables` has no list of columns:
    /// `INSERT INTO "users" VALUES (1, 'it''s');`. If a table has more names than the change has
    /// columns, the change is older than the last columns. The names of these columns are ignored.
    ///
    /// # Semantics
    ///
    /// - The statement finds its row by the primary key alone. It does not compare old values, and
    ///   finding no row is not an error.
    /// - Key columns are never set. An UPDATE that sets no other column sets the key to itself.
    ///   This changes nothing, but fires triggers. SQLite records such an UPDATE if a key changes
    ///   to an [equal key](crate::_documentation::format#keys).
    /// - SQLite reads the same values from the statement. Infinities are written as `9.0e+999`.
    ///   Text that contains a NUL or is not UTF-8 is written as a `CAST` of its bytes. This
    ///   requires a database with the encoding UTF-8.
    /// - SQLite rejects a statement of more bytes than
    ///   [SQLITE_MAX_SQL_LENGTH](https://www.sqlite.org/limits.html#max_sql_length), 1,000,000,000
    ///   by default. A blob takes two bytes of text for each byte.
    /// - SQLite reads a name in double quotes as a string if there is no such column. It searches
    ///   `temp` for the table first.
    ///
    /// # Errors
    ///
    /// - [`NoColumnNames`](BuildErrorKind::NoColumnNames) for an UPDATE or DELETE of a table
    ///   without names.
    /// - [`ColumnNameCount`](BuildErrorKind::ColumnNameCount) if there are fewer names than
    ///   columns.
    /// - [`ColumnName`](BuildErrorKind::ColumnName) if a name contains a NUL.
    pub fn to_sql<'s, N: Into<TableInfo<'s>>>(
        &self,
        tables: impl IntoIterator<Item = N>,
    ) -> Result<SqlStatement<'s>, BuildError>
    where
        'a: 's,
    {
        let names = check_names(self.table(), find_names(tables, self.table()), self.column_count())?;
        if names.is_empty() && self.operation() != Operation::Insert {
            return Err(BuildError::new(BuildErrorKind::NoColumnNames, self.table(), None));
        }
        Ok(SqlStatement { record: *self, names })
    }
}

/// A change as an SQL statement, which `Display` writes. [`Record::to_sql`] returns it.
#[derive(Clone, Copy)]
#[must_use = "an `SqlStatement` does nothing until it is displayed"]
pub struct SqlStatement<'a> {
    record: Record<'a>,
    /// The name of each column, or no names.
    names: &'a [&'a str],
}

impl fmt::Display for SqlStatement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, names } = self;
        let columns = || names.iter().copied().zip(record.key_ordinals().iter().map(|ordinal| *ordinal != 0));
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
    for (position, item) in items.enumerate() {
        if position > 0 {
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

/// Writes text in quotes. Doubles the quotes inside of the text.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    fmt::Write::write_char(f, quote)?;
    // each part except the last ends with a quote
    for part in text.split_inclusive(quote) {
        f.write_str(part)?;
        if part.ends_with(quote) {
            fmt::Write::write_char(f, quote)?;
        }
    }
    fmt::Write::write_char(f, quote)
}

/// Writes the same literal as `Display` of the value, but faster for long texts and blobs.
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

/// The changes of a set as SQL statements, each on its own line, which `Display` writes.
/// [`Set::to_sql`] returns it.
#[derive(Clone)]
#[must_use = "an `SqlScript` does nothing until it is displayed"]
pub struct SqlScript<'a> {
    records: Records<'a>,
    tables: Vec<TableInfo<'a>>,
}

/// Returns the table with a name, if its columns have names.
pub(in crate::wire) fn find_table<'a>(
    tables: impl IntoIterator<Item = impl Into<TableInfo<'a>>>,
    table: &str,
) -> Option<TableInfo<'a>> {
    tables
        .into_iter()
        .map(Into::into)
        .find(|info| info.table().eq_ignore_ascii_case(table))
        .filter(|info| !info.columns().is_empty())
}

/// Returns the column names of a table, or no names.
fn find_names<'a>(tables: impl IntoIterator<Item = impl Into<TableInfo<'a>>>, table: &str) -> &'a [&'a str] {
    find_table(tables, table).map(|names| names.columns()).unwrap_or_default()
}

impl<'a> SqlScript<'a> {
    fn new(
        records: Records<'a>,
        sections: impl Iterator<Item = Section<'a>>,
        tables: Vec<TableInfo<'a>>,
    ) -> Result<Self, BuildError> {
        for section in sections {
            let names = find_names(&tables, section.table());
            let names = check_names(section.table(), names, section.column_count())?;
            if names.is_empty() && section.records().any(|record| record.operation() != Operation::Insert) {
                return Err(BuildError::new(BuildErrorKind::NoColumnNames, section.table(), None));
            }
        }
        Ok(Self { records, tables })
    }
}

impl fmt::Display for SqlScript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: (&str, &[&str]) = ("", &[]);
        for (position, record) in self.records.clone().enumerate() {
            if position == 0 || !core::ptr::eq(last.0, record.table()) {
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

impl<F: SetFormat> Set<F> {
    /// Returns the changes as SQL statements in their order, each on its own line. `Display` writes
    /// them.
    ///
    /// `tables` contains the names of the columns: see [`Record::to_sql`], which also describes
    /// each statement.
    ///
    /// Execute the script in a transaction. If foreign keys are enforced, enable
    /// [`PRAGMA defer_foreign_keys`](https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys)
    /// first. The result equals that of an apply without conflicts.
    ///
    /// The script detects no conflicts except constraint violations. An apply orders UPDATEs that
    /// pass on or exchange values of a UNIQUE column. In the script, such statements can fail.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]).with_columns(&["id", "name"]);
    /// let changes = Changeset::builder()
    ///     .insert_values(users, &[1.into(), "Ada".into()])
    ///     .delete_values(users, &[2.into(), "Bob".into()])
    ///     .build()?;
    /// assert_eq!(
    ///     changes.to_sql([users])?.to_string(),
    ///     "INSERT INTO \"users\" (\"id\", \"name\") VALUES (1, 'Ada');\n\
    ///      DELETE FROM \"users\" WHERE \"id\" = 2;\n"
    /// );
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`Record::to_sql`], for the first table that has an error.
    pub fn to_sql<'s, N: Into<TableInfo<'s>>>(
        &'s self,
        tables: impl IntoIterator<Item = N>,
    ) -> Result<SqlScript<'s>, BuildError> {
        self.as_borrowed().to_sql(tables)
    }
}

impl<'a, F: SetFormat> SetRef<'a, F> {
    /// Returns the changes as SQL statements: see [`Set::to_sql`].
    ///
    /// # Errors
    ///
    /// The same as [`Set::to_sql`].
    pub fn to_sql<'s, N: Into<TableInfo<'s>>>(
        self,
        tables: impl IntoIterator<Item = N>,
    ) -> Result<SqlScript<'s>, BuildError>
    where
        'a: 's,
    {
        SqlScript::new(self.records(), self.sections(), tables.into_iter().map(Into::into).collect())
    }
}
