//! Rows as values.

use super::{TableInfo, ValueError};
use crate::wire::Value;

/// Writes a row.
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

    /// Calls `then` with the values of the recorded columns, in the order of the table; or gives the column that has no form
    /// in SQLite.
    fn encode<R>(&self, then: impl FnOnce(&[Value<'_>]) -> R) -> Result<R, (usize, ValueError)>;
}
