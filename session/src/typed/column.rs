//! Reading one column of a record, identified by its Diesel column.

use diesel::{Column, Expression, Table};

use super::diesel_internal::TableName;
use super::error::DecodeErrorKind;
use super::table::ColumnList;
use super::{DecodeError, FromSqlValue, ValueError};
use crate::wire::{Record, Value};

/// A column of `table!`, which [`Record::old_column`] and [`Record::new_column`] read.
pub trait RecordColumn: Column {
    #[doc(hidden)]
    const TABLE: &'static str;
    #[doc(hidden)]
    const COLUMNS: &'static [&'static str];
}

impl<C> RecordColumn for C
where
    C: Column,
    C::Table: Table + TableName,
    <C::Table as Table>::AllColumns: ColumnList,
{
    const TABLE: &'static str = <C::Table as TableName>::NAME;
    const COLUMNS: &'static [&'static str] = <<C::Table as Table>::AllColumns as ColumnList>::NAMES;
}

impl<'a> Record<'a> {
    /// Returns the old value of a column, identified by its column in `table!`, or `None` if no old
    /// value is recorded.
    ///
    /// `table!` must list the same columns as the changes, without generated columns.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    ///
    /// diesel::table! {
    ///     users (id) {
    ///         id -> Integer,
    ///         name -> Text,
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bytes = b"T\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x00\x03\x06Robert";
    /// # let changeset = Changeset::try_from(bytes.to_vec())?;
    /// // an UPDATE of Bob's name
    /// let record = changeset.records().next().unwrap();
    /// assert_eq!(record.old_column::<_, String>(users::name)?.as_deref(), Some("Bob"));
    /// assert_eq!(record.new_column(users::name)?, Some("Robert"));
    /// assert_eq!(record.new_column::<_, i32>(users::id)?, None, "not recorded");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the record belongs to another table, has another number of columns, or the value
    /// does not fit the type.
    pub fn old_column<C, T>(&self, column: C) -> Result<Option<T>, DecodeError>
    where
        C: RecordColumn,
        T: FromSqlValue<'a, <C as Expression>::SqlType>,
    {
        self.column(column, Record::old_value)
    }

    /// Returns the new value of a column, or `None` if no new value is recorded: see
    /// [`old_column`](Self::old_column).
    ///
    /// # Errors
    ///
    /// The same as [`old_column`](Self::old_column).
    pub fn new_column<C, T>(&self, column: C) -> Result<Option<T>, DecodeError>
    where
        C: RecordColumn,
        T: FromSqlValue<'a, <C as Expression>::SqlType>,
    {
        self.column(column, Record::new_value)
    }

    fn column<C, T>(&self, _: C, value: fn(&Self, usize) -> Option<Value<'a>>) -> Result<Option<T>, DecodeError>
    where
        C: RecordColumn,
        T: FromSqlValue<'a, <C as Expression>::SqlType>,
    {
        if !self.table().eq_ignore_ascii_case(C::TABLE) {
            return Err(DecodeError::of_table(self, None, DecodeErrorKind::UnknownTable));
        }
        let (expected, found) = (C::COLUMNS.len(), self.column_count());
        if expected != found {
            return Err(DecodeError::of_table(self, None, DecodeErrorKind::ColumnCount { expected, found }));
        }
        let Some(position) = C::COLUMNS.iter().position(|name| *name == C::NAME) else {
            let sql_type = core::any::type_name::<<C as Expression>::SqlType>();
            return Err(DecodeError::of_value(self, C::NAME, sql_type, None, ValueError::Missing));
        };
        let Some(value) = value(self, position) else { return Ok(None) };
        T::from_sql_value(value).map(Some).map_err(|error| {
            let at = self.offset_of(position, value).unwrap_or(self.offset());
            let sql_type = core::any::type_name::<<C as Expression>::SqlType>();
            DecodeError::of_value(self, C::NAME, sql_type, Some((value, at)), error)
        })
    }
}
