//! What the code that the derive writes calls to read a record. Nothing here is for users.

#![allow(clippy::missing_errors_doc)]

use super::{DecodeError, Field, TableInfo, ValueError};
use crate::wire::Value;
#[doc(hidden)]
pub use crate::wire::codec::unread::{Side, UnreadRecord};

/// One change, and the table that it is read as.
#[doc(hidden)]
pub struct Reader<'r, 'de> {
    source: &'r UnreadRecord<'r, 'de>,
    table: &'static TableInfo<'static>,
}

impl<'r, 'de> Reader<'r, 'de> {
    #[inline]
    pub(crate) fn new(source: &'r UnreadRecord<'r, 'de>, table: &'static TableInfo<'static>) -> Self {
        Self { source, table }
    }

    #[inline]
    pub fn old<const N: usize>(&self) -> Side<'de, N> {
        self.source.old()
    }

    #[inline]
    pub fn new_values<const N: usize>(&self) -> Side<'de, N> {
        self.source.new_values()
    }

    /// A column of a whole row, or of a key.
    #[inline(always)]
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
    #[inline(always)]
    pub fn value_or_default<T: Default, const N: usize>(
        &self,
        side: &Side<'de, N>,
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        if column >= self.source.key_ordinals().len() {
            Ok(T::default())
        } else {
            self.value(side, column, sql_type, decode)
        }
    }

    /// A column of an UPDATE of a changeset.
    #[inline(always)]
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
    #[inline(always)]
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
        self.source.skip();
        let name = self.table.columns().get(column).copied().unwrap_or_default();
        match self.source.record() {
            Some(record) => {
                let offset = |value| record.offset_of(column, value).unwrap_or(record.offset());
                DecodeError::of_value(&record, name, sql_type(), value.map(|value| (value, offset(value))), error)
            }
            None => DecodeError::of_missing_record(self.source.table()),
        }
    }
}
