//! Reading one change into a row and its companions. Derived code calls these functions; users do
//! not.

#![allow(clippy::missing_errors_doc)]

use super::private::Plain;
use super::{DecodeError, Field, TableInfo, ValueError};
use crate::wire::Value;
#[doc(hidden)]
pub use crate::wire::codec::unread::{Side, UnreadRecord};

/// The columns of a row that have a field, and the name of their SQL type, for error messages.
pub type SqlTypes = &'static [(usize, fn() -> &'static str)];

/// One change, and the table whose row it is read as.
#[doc(hidden)]
pub struct Reader<'r, 'de> {
    source: &'r UnreadRecord<'r, 'de>,
    table: &'static TableInfo<'static>,
    sql_types: SqlTypes,
}

impl<'r, 'de> Reader<'r, 'de> {
    #[inline]
    pub(crate) fn new(
        source: &'r UnreadRecord<'r, 'de>,
        table: &'static TableInfo<'static>,
        sql_types: SqlTypes,
    ) -> Self {
        Self { source, table, sql_types }
    }

    /// Reads the old values. Call this before [`new_values`](Self::new_values).
    #[inline]
    pub fn old<const N: usize>(&self) -> Side<'de, N> {
        self.source.old()
    }

    /// Reads the new values.
    #[inline]
    pub fn new_values<const N: usize>(&self) -> Side<'de, N> {
        self.source.new_values()
    }

    /// Returns a column of a whole row, or of a key.
    #[inline(always)]
    pub fn value<T, const N: usize>(
        &self,
        side: &Side<'de, N>,
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        match side.get(column).copied().flatten() {
            Some(value) => read(value).map_err(|error| self.failed(column, Some(value), error)),
            None => Err(self.failed(column, None, ValueError::Missing)),
        }
    }

    /// Returns a column of a whole row; the default if the change is older than the column.
    #[inline(always)]
    pub fn value_or_default<T: Default, const N: usize>(
        &self,
        side: &Side<'de, N>,
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        if column >= self.source.key_ordinals().len() { Ok(T::default()) } else { self.value(side, column, read) }
    }

    /// Returns a column of an UPDATE of a changeset.
    #[inline(always)]
    pub fn field<T, const N: usize>(
        &self,
        (old, new): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Field<T>, DecodeError> {
        let side = |side: &Side<'de, N>| side.get(column).copied().flatten();
        match (side(old), side(new)) {
            // an old value without a new one belongs to a column that did not change
            (_, None) => Ok(Field::Unchanged),
            (None, Some(_)) => Err(self.failed(column, None, ValueError::Missing)),
            // a rebased UPDATE can contain this
            (Some(old), Some(new)) if old == new => Ok(Field::Unchanged),
            (Some(old), Some(new)) => {
                let read = |value| read(value).map_err(|error| self.failed(column, Some(value), error));
                Ok(Field::Changed { old: read(old)?, new: read(new)? })
            }
        }
    }

    /// Returns a column of an UPDATE of a patchset.
    #[inline(always)]
    pub fn patch<T, const N: usize>(
        &self,
        new: &Side<'de, N>,
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Option<T>, DecodeError> {
        match new.get(column).copied().flatten() {
            None => Ok(None),
            Some(value) => read(value).map(Some).map_err(|error| self.failed(column, Some(value), error)),
        }
    }

    /// As [`value`](Self::value), of a type that is known to the derive.
    #[inline(always)]
    pub fn plain<T: Plain<'de>, const N: usize>(&self, side: &Side<'de, N>, column: usize) -> Result<T, DecodeError> {
        self.value(side, column, T::read)
    }

    /// As [`field`](Self::field), of a type that is known to the derive.
    #[inline(always)]
    pub fn plain_field<T: Plain<'de>, const N: usize>(
        &self,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
    ) -> Result<Field<T>, DecodeError> {
        self.field(sides, column, T::read)
    }

    /// As [`patch`](Self::patch), of a type that is known to the derive.
    #[inline(always)]
    pub fn plain_patch<T: Plain<'de>, const N: usize>(
        &self,
        new: &Side<'de, N>,
        column: usize,
    ) -> Result<Option<T>, DecodeError> {
        self.patch(new, column, T::read)
    }

    #[cold]
    fn failed(&self, column: usize, value: Option<Value<'de>>, error: ValueError) -> DecodeError {
        self.source.skip();
        let name = self.table.columns().get(column).copied().unwrap_or_default();
        let sql_type = self.sql_types.iter().find(|(of, _)| *of == column).map_or("", |(_, name)| name());
        match self.source.record() {
            Some(record) => {
                let offset = |value| record.offset_of(column, value).unwrap_or(record.offset());
                DecodeError::of_value(&record, name, sql_type, value.map(|value| (value, offset(value))), error)
            }
            None => DecodeError::of_missing_record(self.source.table()),
        }
    }
}
