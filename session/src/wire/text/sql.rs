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

/// The names of a table's columns, and which of them are not written. Empty if they are not known.
#[derive(Clone, Copy, Default)]
struct ColumnNames<'a> {
    names: &'a [&'a str],
    hidden: &'a [&'a str],
}

impl<'a> ColumnNames<'a> {
    /// Returns the names of the columns of `record`.
    fn find(
        tables: impl IntoIterator<Item = impl Into<TableInfo<'a>>>,
        table: &str,
        columns: usize,
    ) -> Result<Self, BuildError> {
        let failed = |kind| Err(BuildError::new(kind, table, None));
        let Some(info) = find_table(tables, table) else { return Ok(Self::default()) };
        let (all, hidden) = (info.columns(), info.hidden());
        if !hidden.iter().all(|name| contains_name(all, name)) {
            return failed(BuildErrorKind::HiddenColumn);
        }
        let Some(names) = all.get(..columns) else {
            return failed(BuildErrorKind::ColumnNameCount { names: all.len(), columns });
        };
        if names.iter().any(|name| name.contains('\0')) {
            return failed(BuildErrorKind::ColumnName);
        }
        Ok(Self { names, hidden })
    }

    /// Returns the name of each column of a change that is written, whether it belongs to the key, and
    /// its item. The key is always written.
    fn zip<T>(self, record: Record<'a>, items: impl Iterator<Item = T>) -> impl Iterator<Item = (&'a str, bool, T)> {
        let names = self.names.iter().copied().zip(record.key_ordinals());
        let columns = names.zip(items).map(|((name, ordinal), item)| (name, *ordinal != 0, item));
        columns.filter(move |(name, is_key, _)| *is_key || !contains_name(self.hidden, name))
    }
}

/// Returns whether `names` contains a name, ignoring ASCII case as SQLite does.
pub(in crate::wire) fn contains_name(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
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
    /// [Hidden](TableInfo::with_hidden) columns outside of the key are omitted. An INSERT uses their
    /// defaults, and fails when it is executed if such a column is `NOT NULL` without a default. An
    /// UPDATE does not change hidden columns. To write all columns, pass `User::TABLE.with_hidden(&[])`.
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
    /// - [`HiddenColumn`](BuildErrorKind::HiddenColumn) if a hidden column is not among the names.
    pub fn to_sql<'s, N: Into<TableInfo<'s>>>(
        &self,
        tables: impl IntoIterator<Item = N>,
    ) -> Result<SqlStatement<'s>, BuildError>
    where
        'a: 's,
    {
        let columns = ColumnNames::find(tables, self.table(), self.column_count())?;
        if columns.names.is_empty() && self.operation() != Operation::Insert {
            return Err(BuildError::new(BuildErrorKind::NoColumnNames, self.table(), None));
        }
        Ok(SqlStatement { record: *self, columns })
    }
}

/// A change as an SQL statement, which `Display` writes. [`Record::to_sql`] returns it.
#[derive(Clone, Copy)]
#[must_use = "an `SqlStatement` does nothing until it is displayed"]
pub struct SqlStatement<'a> {
    record: Record<'a>,
    columns: ColumnNames<'a>,
}

impl fmt::Display for SqlStatement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, columns } = self;
        let keys = || {
            let columns = columns.zip(*record, core::iter::repeat(()));
            columns.filter(|(_, is_key, ())| *is_key).map(|(name, ..)| name)
        };
        match record.operation() {
            Operation::Insert => {
                f.write_str("INSERT INTO ")?;
                write_name(f, record.table())?;
                let values = record.new_values().map(|value| value.unwrap_or(Value::Null));
                if columns.names.is_empty() {
                    f.write_str(" VALUES (")?;
                    write_list(f, ", ", values, write_value)?;
                } else {
                    f.write_str(" (")?;
                    write_list(f, ", ", columns.zip(*record, values.clone()), |f, (name, ..)| write_name(f, name))?;
                    f.write_str(") VALUES (")?;
                    write_list(f, ", ", columns.zip(*record, values), |f, (.., value)| write_value(f, value))?;
                }
                return f.write_str(");");
            }
            Operation::Update => {
                f.write_str("UPDATE ")?;
                write_name(f, record.table())?;
                f.write_str(" SET ")?;
                let set = columns.zip(*record, record.new_values());
                let mut set =
                    set.filter_map(|(name, is_key, value)| Some((name, value.filter(|_| !is_key)?))).peekable();
                if set.peek().is_some() {
                    write_list(f, ", ", set, |f, (name, value)| write_pair(f, name, value))?;
                } else {
                    write_list(f, ", ", keys(), |f, name| {
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
        write_list(f, " AND ", keys().zip(record.key_values()), |f, (name, value)| write_pair(f, name, value))?;
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

/// Returns the table with a name, if it names any columns.
pub(in crate::wire) fn find_table<'a>(
    tables: impl IntoIterator<Item = impl Into<TableInfo<'a>>>,
    table: &str,
) -> Option<TableInfo<'a>> {
    tables
        .into_iter()
        .map(Into::into)
        .find(|info| info.table().eq_ignore_ascii_case(table))
        .filter(|info| !info.columns().is_empty() || !info.hidden().is_empty())
}

impl<'a> SqlScript<'a> {
    fn new(
        records: Records<'a>,
        sections: impl Iterator<Item = Section<'a>>,
        tables: Vec<TableInfo<'a>>,
    ) -> Result<Self, BuildError> {
        for section in sections {
            let columns = ColumnNames::find(tables.iter().copied(), section.table(), section.column_count())?;
            if columns.names.is_empty() && section.records().any(|record| record.operation() != Operation::Insert) {
                return Err(BuildError::new(BuildErrorKind::NoColumnNames, section.table(), None));
            }
        }
        Ok(Self { records, tables })
    }
}

impl fmt::Display for SqlScript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = ("", ColumnNames::default());
        for (position, record) in self.records.clone().enumerate() {
            if position == 0 || !core::ptr::eq(last.0, record.table()) {
                // `new` has checked all sections
                let columns = ColumnNames::find(self.tables.iter().copied(), record.table(), record.column_count());
                last = (record.table(), columns.unwrap_or_default());
            }
            writeln!(f, "{}", SqlStatement { record, columns: last.1 })?;
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
    /// first. If no column is hidden, the result equals that of an apply without
    /// conflicts.
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
