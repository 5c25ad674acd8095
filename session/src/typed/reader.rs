//! What the code that the derive writes calls to read a record. Nothing here is for users.

#![allow(clippy::missing_errors_doc)]

use super::{DecodeError, Field, TableInfo, ValueError};
use crate::wire::{Record, Value, Values};

/// One record, and the table that it is read as.
#[doc(hidden)]
pub struct Reader<'r, 'de> {
    record: &'r Record<'de>,
    table: &'static TableInfo,
}

/// The values of one side of a record, by column.
#[doc(hidden)]
pub type Side<'de, const N: usize> = [Option<Value<'de>>; N];

impl<'r, 'de> Reader<'r, 'de> {
    pub(super) fn new(record: &'r Record<'de>, table: &'static TableInfo) -> Self {
        Self { record, table }
    }

    #[inline]
    fn side<const N: usize>(values: Values<'de>) -> Side<'de, N> {
        let mut side = [None; N];
        let mut slots = side.iter_mut();
        values.for_each(|value| {
            if let Some(slot) = slots.next() {
                *slot = value;
            }
        });
        side
    }

    #[inline]
    pub fn old<const N: usize>(&self) -> Side<'de, N> {
        Self::side(self.record.old_values())
    }

    #[inline]
    pub fn new_values<const N: usize>(&self) -> Side<'de, N> {
        Self::side(self.record.new_values())
    }

    /// A column of a whole row, or of a key.
    #[inline]
    pub fn value<T, const N: usize>(
        &self,
        side: &Side<'de, N>,
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        match side.get(column).copied().flatten() {
            Some(value) => decode(value).map_err(|error| self.failed(column, sql_type, Some(value), error)),
            None => Err(self.failed(column, sql_type, None, ValueError::Missing)),
        }
    }

    /// A column of a whole row that older changes lack.
    #[inline]
    pub fn value_or_default<T: Default, const N: usize>(
        &self,
        side: &Side<'de, N>,
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        if column >= self.record.column_count() { Ok(T::default()) } else { self.value(side, column, sql_type, decode) }
    }

    /// A column of an UPDATE of a changeset.
    #[inline]
    pub fn field<T, const N: usize>(
        &self,
        (old, new): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Field<T>, DecodeError> {
        let side = |side: &Side<'de, N>| side.get(column).copied().flatten();
        match (side(old), side(new)) {
            // without a new one, the old value is one that did not change
            (_, None) => Ok(Field::Unchanged),
            (None, Some(_)) => Err(self.failed(column, sql_type, None, ValueError::Missing)),
            // as a rebased UPDATE has it
            (Some(old), Some(new)) if old == new => Ok(Field::Unchanged),
            (Some(old), Some(new)) => {
                let decode = |value| decode(value).map_err(|error| self.failed(column, sql_type, Some(value), error));
                Ok(Field::Changed { old: decode(old)?, new: decode(new)? })
            }
        }
    }

    /// A column of an UPDATE of a patchset.
    #[inline]
    pub fn patch<T, const N: usize>(
        &self,
        new: &Side<'de, N>,
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Option<T>, DecodeError> {
        match new.get(column).copied().flatten() {
            None => Ok(None),
            Some(value) => decode(value).map(Some).map_err(|error| self.failed(column, sql_type, Some(value), error)),
        }
    }

    #[cold]
    fn failed(
        &self,
        column: usize,
        sql_type: fn() -> &'static str,
        value: Option<Value<'de>>,
        error: ValueError,
    ) -> DecodeError {
        let name = self.table.columns().get(column).copied().unwrap_or_default();
        let value = value.map(|value| (value, self.record.offset_of(column, value).unwrap_or(self.record.offset())));
        DecodeError::of_value(self.record, name, sql_type(), value, error)
    }
}
