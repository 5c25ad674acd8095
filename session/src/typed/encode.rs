//! Writing a row as values, for the builders of changesets and patchsets.

use super::{CowValue, TableInfo, ValueError};
use crate::wire::Value;

/// A row that can be written. Derived code implements it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row that can be written",
    label = "expected a struct with `#[derive(Tracked)]`",
    note = "a row that skips columns cannot be written: they would be lost",
    note = "a `Change`, a `Patch` and a set are no rows: a change that was read is added as its record, with `record`"
)]
pub trait EncodeRow {
    const INFO: TableInfo<'static>;
    /// The first field of a type that cannot be written.
    const UNWRITABLE: Option<&'static str>;

    /// Calls `then` with the values of the recorded columns, in the order of the table.
    ///
    /// # Errors
    ///
    /// Returns the position of the first column whose value has no form in SQLite, and the reason.
    fn encode<R>(&self, then: impl FnOnce(&[Value<'_>]) -> R) -> Result<R, (usize, ValueError)>;
}

/// The values of a row while they are collected.
#[doc(hidden)]
#[derive(Debug)]
pub struct Writer<'v, const N: usize> {
    values: [CowValue<'v>; N],
    failed: Option<(usize, ValueError)>,
}

impl<'v, const N: usize> Writer<'v, N> {
    #[inline(always)]
    #[allow(clippy::new_without_default, reason = "derived code alone creates it")]
    pub fn new() -> Self {
        Self { values: [const { CowValue::Null }; N], failed: None }
    }

    /// Sets the value of a column. After an error the other values have no effect.
    #[inline(always)]
    pub fn put(&mut self, column: usize, value: Result<CowValue<'v>, ValueError>) {
        match (value, self.values.get_mut(column)) {
            (Ok(value), Some(slot)) => *slot = value,
            (Ok(_), None) => {}
            (Err(error), _) => self.fail(column, error),
        }
    }

    /// Sets the value of a column that was converted first.
    #[inline(always)]
    pub fn put_made<T>(
        &mut self,
        column: usize,
        made: &'v Result<T, ValueError>,
        write: fn(&'v T) -> Result<CowValue<'v>, ValueError>,
    ) {
        match made {
            Ok(made) => self.put(column, write(made)),
            Err(error) => self.fail(column, error.clone()),
        }
    }

    #[cold]
    fn fail(&mut self, column: usize, error: ValueError) {
        self.failed.get_or_insert((column, error));
    }

    /// Calls `then` with the values.
    ///
    /// # Errors
    ///
    /// Returns the first error that occurred.
    #[inline(always)]
    pub fn finish<R>(self, then: impl FnOnce(&[Value<'_>]) -> R) -> Result<R, (usize, ValueError)> {
        match self.failed {
            None => Ok(then(&core::array::from_fn::<_, N, _>(|column| self.values[column].as_value()))),
            Some(failed) => Err(failed),
        }
    }
}
