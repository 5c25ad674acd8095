//! Builders: create changesets and patchsets from values and records, without a database.
//!
//! [`Core`] checks the added values and encodes them into the bytes of the result. [`Fold`] keeps
//! one change for each row. [`Builder`] adds the format as a type.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use super::fold::Fold;
use super::merge::sets_anything;
use super::table_changes::{SettleContext, TableChanges};
use crate::wire::codec::encode::{EncodeError, EncodeResult, write_key, write_update, write_whole};
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::Record;
use crate::wire::codec::set::{ChangesetFormat, PatchsetFormat, Set, SetFormat};
use crate::wire::codec::table_info::TableInfo;
use crate::wire::codec::value::Value;

/// The builder of either format. After an error, it ignores everything that is added.
#[derive(Clone)]
pub(in crate::wire) struct Core {
    pub(in crate::wire) fold: Fold,
    indirect: bool,
    pub(in crate::wire) error: Option<Box<BuildError>>,
}

impl Core {
    fn new(format: Format) -> Self {
        Self { fold: Fold::new(format), indirect: false, error: None }
    }

    /// Calls `work` unless an earlier call failed, and keeps its error.
    #[inline(always)]
    pub(in crate::wire) fn guard(
        &mut self,
        table: &str,
        columns: &[&str],
        work: impl FnOnce(&mut Self) -> EncodeResult<()>,
    ) {
        if self.error.is_none() {
            if let Err(error) = work(self) {
                self.fail(table, columns, *error);
            }
        }
    }

    #[cold]
    fn fail(&mut self, table: &str, columns: &[&str], EncodeError { kind, column }: EncodeError) {
        self.error = Some(Box::new(BuildError::new(kind, table, column).named(columns)));
    }

    #[inline(always)]
    fn table(&mut self, table: TableInfo<'_>) -> EncodeResult<(&mut TableChanges, SettleContext<'_>)> {
        self.fold.find_or_declare(Header { name: table.table(), key: table.key_ordinals() })
    }

    #[inline(always)]
    fn insert(&mut self, table: TableInfo<'_>, values: &[Value<'_>]) {
        self.guard(
            table.table(),
            table.columns(),
            #[inline(always)]
            |core| {
                check_value_count(table, values)?;
                let indirect = core.indirect;
                let (changes, context) = core.table(table)?;
                let (start, out) = changes.begin_whole();
                let head = [Operation::Insert.to_byte(), u8::from(indirect)];
                let written = write_whole(head, table.key_ordinals(), values, out).map(|()| true);
                finish(changes, context, start, written)
            },
        );
    }

    #[inline]
    fn update(&mut self, table: TableInfo<'_>, before: &[Value<'_>], after: &[Value<'_>]) {
        self.guard(table.table(), table.columns(), |core| {
            check_value_count(table, before)?;
            check_value_count(table, after)?;
            let (format, indirect) = (core.fold.format(), core.indirect);
            let (changes, context) = core.table(table)?;
            let (start, out) = changes.begin(Operation::Update, indirect);
            let written = write_update(table.key_ordinals(), format, before, after, out);
            finish(changes, context, start, written)
        });
    }

    #[inline]
    fn delete(&mut self, table: TableInfo<'_>, values: &[Value<'_>]) {
        self.guard(table.table(), table.columns(), |core| {
            check_value_count(table, values)?;
            let (format, indirect) = (core.fold.format(), core.indirect);
            let (changes, context) = core.table(table)?;
            let (start, out) = changes.begin_whole();
            let head = [Operation::Delete.to_byte(), u8::from(indirect)];
            let written = match format {
                Format::Changeset => write_whole(head, table.key_ordinals(), values, out),
                Format::Patchset => {
                    out.extend_from_slice(&head);
                    write_key(table.key_ordinals(), values, out)
                }
            };
            finish(changes, context, start, written.map(|()| true))
        });
    }

    #[inline]
    pub(in crate::wire) fn record(&mut self, record: &Record<'_>) {
        self.guard(record.table(), &[], |core| {
            let (header, format, raw) = record.parts();
            if format != core.fold.format() {
                return Err(EncodeError::new(BuildErrorKind::WrongFormat { found: format }));
            }
            if raw.operation == Operation::Update && !sets_anything(header.key, format, raw) {
                core.fold.find_or_declare(header)?;
                return Ok(());
            }
            core.fold.add(header, raw)
        });
    }

    fn build(self) -> Result<Vec<u8>, BuildError> {
        match self.error {
            Some(error) => Err(*error),
            None => self.fold.into_bytes(),
        }
    }
}

/// Settles the change that was appended, or removes it if it failed or changes nothing.
#[inline(always)]
fn finish(
    changes: &mut TableChanges,
    context: SettleContext<'_>,
    start: usize,
    written: EncodeResult<bool>,
) -> EncodeResult<()> {
    match written {
        Ok(true) => changes.settle(start, context),
        Ok(false) => {
            changes.drop_from(start);
            Ok(())
        }
        Err(error) => {
            changes.drop_from(start);
            Err(error)
        }
    }
}

/// Checks that a row has a value for each column.
#[inline(always)]
fn check_value_count(table: TableInfo<'_>, values: &[Value<'_>]) -> EncodeResult<()> {
    let (columns, values) = (table.key_ordinals().len(), values.len());
    if columns == values { Ok(()) } else { Err(EncodeError::new(BuildErrorKind::ValueCount { columns, values })) }
}

/// A builder of a changeset from values and records, without a database: see [`Builder`].
///
/// ```
/// use diesel_sqlite_session::Changeset;
/// use diesel_sqlite_session::wire::TableInfo;
///
/// let users = TableInfo::new("users", &[1, 0]);
/// let changeset = Changeset::builder()
///     .insert_values(users, &[1.into(), "Ada".into()])
///     .update_values(users, &[2.into(), "Bob".into()], &[2.into(), "Robert".into()])
///     .update_values(users, &[1.into(), "Ada".into()], &[1.into(), "Ada Lovelace".into()])
///     .build()?;
/// let lines: Vec<String> = changeset.records().map(|record| record.to_string()).collect();
/// assert_eq!(lines, ["INSERT users(1, 'Ada Lovelace')", "UPDATE users(2, 'Bob' -> 'Robert')"]);
/// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
/// ```
pub type ChangesetBuilder = Builder<ChangesetFormat>;

/// A builder of a patchset from values and records, without a database: see [`Builder`].
///
/// ```
/// use diesel_sqlite_session::Patchset;
/// use diesel_sqlite_session::wire::TableInfo;
///
/// let users = TableInfo::new("users", &[1, 0]);
/// let patchset = Patchset::builder()
///     .update_values(users, &[2.into(), "Bob".into()], &[2.into(), "Robert".into()])
///     .delete_values(users, &[3.into(), "Eve".into()])
///     .build()?;
/// let lines: Vec<String> = patchset.records().map(|record| record.to_string()).collect();
/// assert_eq!(lines, ["UPDATE users(2, -> 'Robert')", "DELETE users(3, _)"]);
/// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
/// ```
pub type PatchsetBuilder = Builder<PatchsetFormat>;

/// A builder of changesets or patchsets from values and records, without a database.
///
/// The builder checks added changes immediately, but returns errors from [`build`](Self::build), so
/// that calls can be chained. In a loop, assign: `builder = builder.insert_values(…)`.
///
/// # Folding
///
/// The result contains at most one change for each row. Two rows are the same if the values of
/// their keys have the same storage classes and bytes: 1 and 1.0 are different keys, and so are 0.0
/// and -0.0. Changes to one row are merged as
/// [`sqlite3changegroup_add`](https://www.sqlite.org/session/sqlite3changegroup_add.html) merges
/// them:
///
/// | existing change | added change | result in a changeset | result in a patchset |
/// |---|---|---|---|
/// | INSERT | INSERT | the existing change; the second does not fit and is dropped | the same |
/// | INSERT | UPDATE | INSERT of the new values | the same |
/// | INSERT | DELETE | no change | the same |
/// | UPDATE | INSERT | the existing change; the INSERT is dropped | the same |
/// | UPDATE | UPDATE | UPDATE from the old values of the first to the new values of the second; no change if they are equal | UPDATE of every column that either sets |
/// | UPDATE | DELETE | DELETE of the row before the UPDATE | DELETE |
/// | DELETE | INSERT | UPDATE of the columns that differ; no change if none does | UPDATE of every column; no change if every column is part of the key |
/// | DELETE | UPDATE | the existing change; the UPDATE is dropped | the same |
/// | DELETE | DELETE | the existing change; the second is dropped | the same |
///
/// The builder does not compare the old values of a change with the new values of the change before
/// it. A merged change is [indirect](Record::indirect) if both changes were. If the second change
/// is dropped, the first keeps its flag.
///
/// The builder differs from SQLite's changegroup in two cases:
///
/// - It drops an UPDATE that sets no column to another value. The changegroup keeps such an UPDATE,
///   which SQLite records when a key changes to an [equal key](crate::_documentation::format#keys),
///   and which results from a DELETE and an INSERT in a patchset of a table with only key columns.
/// - It ignores the new key that an UPDATE can contain, as an apply does. The changegroup copies it
///   into an existing INSERT.
///
/// A table with other columns or another key than in an earlier change is an error, unless columns
/// were added and the table was [declared](Self::declare).
///
/// Tables keep the order in which they were first named. Rows keep the order of their first change.
/// Table names are compared without regard to the case of ASCII letters, and written as in the
/// first change.
///
/// # Memory
///
/// Each change takes its bytes, in a buffer that can be twice as large. While each row of a table
/// has a greater key than the row added before it (ascending integers of one sign, UUIDs of version
/// 7), nothing else is needed. From the first other row on, each row takes 19 to 37 bytes more, and
/// half as much again while the index grows.
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder<F> {
    // boxed, because every call of a chain moves it
    pub(in crate::wire) core: Box<Core>,
    format: PhantomData<F>,
}

/// Adds the records of other sets of the same format, such as the result of a filter: see
/// [`record`](Builder::record).
impl<'a, F: SetFormat> Extend<Record<'a>> for Builder<F> {
    fn extend<I: IntoIterator<Item = Record<'a>>>(&mut self, records: I) {
        records.into_iter().for_each(|record| self.push_record(&record));
    }
}

impl<F: SetFormat> Builder<F> {
    /// Creates a builder without changes.
    pub fn new() -> Self {
        Self { core: Box::new(Core::new(F::FORMAT)), format: PhantomData }
    }

    /// Adds the INSERT of a row: `row` contains a value for each column.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::TableInfo;
    /// use diesel_sqlite_session::{Changeset, Value};
    ///
    /// let users = TableInfo::new("users", &[1, 0, 0]);
    /// let mut builder = Changeset::builder();
    /// for (id, name) in [(1, "Ada"), (2, "Bob")] {
    ///     builder = builder.insert_values(users, &[id.into(), name.into(), Value::Null]);
    /// }
    /// let built = builder.build()?;
    /// assert_eq!(built.records().next().unwrap().to_string(), "INSERT users(1, 'Ada', NULL)");
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    #[inline]
    pub fn insert_values<'t>(mut self, table: impl Into<TableInfo<'t>>, row: &[Value<'_>]) -> Self {
        self.push_insert(table.into(), row);
        self
    }

    /// Adds the UPDATE of a row from `before` to `after`. Both are whole rows with the same key.
    ///
    /// The builder records the primary key and the columns that changed, in a changeset with their
    /// old values. It adds no change if no column changed. 0.0 and -0.0 count as the same value.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::TableInfo;
    /// use diesel_sqlite_session::{Changeset, Patchset};
    ///
    /// let points = TableInfo::new("points", &[1, 0, 0]);
    /// let (before, after) = ([1.into(), 0.5.into(), 2.0.into()], [1.into(), 0.5.into(), 3.0.into()]);
    /// let changeset = Changeset::builder().update_values(points, &before, &after).build()?;
    /// assert_eq!(changeset.records().next().unwrap().to_string(), "UPDATE points(1, _, 2.0 -> 3.0)");
    /// let patchset = Patchset::builder().update_values(points, &before, &after).build()?;
    /// assert_eq!(patchset.records().next().unwrap().to_string(), "UPDATE points(1, _, -> 3.0)");
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn update_values<'t>(
        mut self,
        table: impl Into<TableInfo<'t>>,
        before: &[Value<'_>],
        after: &[Value<'_>],
    ) -> Self {
        self.push_update(table.into(), before, after);
        self
    }

    /// Adds the DELETE of a row: `row` contains the old value of each column.
    ///
    /// A patchset records the primary key alone, so that the other values can be anything.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::TableInfo;
    /// use diesel_sqlite_session::{Changeset, Patchset, Value};
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let changeset = Changeset::builder().delete_values(users, &[3.into(), "Eve".into()]).build()?;
    /// assert_eq!(changeset.invert().records().next().unwrap().to_string(), "INSERT users(3, 'Eve')");
    /// let patchset = Patchset::builder().delete_values(users, &[3.into(), Value::Null]).build()?;
    /// assert_eq!(patchset.records().next().unwrap().to_string(), "DELETE users(3, _)");
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn delete_values<'t>(mut self, table: impl Into<TableInfo<'t>>, row: &[Value<'_>]) -> Self {
        self.push_delete(table.into(), row);
        self
    }

    /// Adds a record of another set of the same format, with its own indirect flag. Its values are
    /// copied byte for byte.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let morning = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]).build()?;
    /// let evening = Changeset::builder().delete_values(users, &[1.into(), "Ada".into()]).build()?;
    ///
    /// let mut day = Changeset::builder();
    /// for record in morning.records().chain(evening.records()) {
    ///     day = day.record(&record);
    /// }
    /// assert!(day.build()?.is_empty());
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn record(mut self, record: &Record<'_>) -> Self {
        self.push_record(record);
        self
    }

    /// Sets whether the changes that are added by value from here on are
    /// [indirect](Record::indirect). The default is `false`.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let built = Changeset::builder()
    ///     .insert_values(TableInfo::new("users", &[1]), &[7.into()])
    ///     .indirect(true)
    ///     .insert_values(TableInfo::new("log", &[1, 0]), &[1.into(), "a user joined".into()])
    ///     .build()?;
    /// let indirect: Vec<bool> = built.records().map(|record| record.indirect()).collect();
    /// assert_eq!(indirect, [false, true]);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn indirect(mut self, indirect: bool) -> Self {
        self.set_indirect(indirect);
        self
    }

    /// Returns the changes, at most one for each row.
    ///
    /// # Errors
    ///
    /// Fails with the first error of the added changes. Changes after it are not checked.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::{BuildErrorKind, TableInfo};
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let built = Changeset::builder().insert_values(users, &[1.into()]).build();
    /// assert_eq!(built.unwrap_err().kind(), BuildErrorKind::ValueCount { columns: 2, values: 1 });
    /// ```
    pub fn build(self) -> Result<Set<F>, BuildError> {
        self.core.build().map(Set::from_checked)
    }

    #[inline(always)]
    pub(crate) fn push_insert(&mut self, table: TableInfo<'_>, row: &[Value<'_>]) {
        self.core.insert(table, row);
    }

    #[inline]
    pub(crate) fn push_update(&mut self, table: TableInfo<'_>, before: &[Value<'_>], after: &[Value<'_>]) {
        self.core.update(table, before, after);
    }

    #[inline]
    pub(crate) fn push_delete(&mut self, table: TableInfo<'_>, row: &[Value<'_>]) {
        self.core.delete(table, row);
    }

    #[inline]
    pub(crate) fn push_record(&mut self, record: &Record<'_>) {
        self.core.record(record);
    }

    /// Keeps an error, if it is the first.
    #[cfg(feature = "typed")]
    #[cold]
    pub(crate) fn fail(&mut self, error: BuildError) {
        self.core.error.get_or_insert_with(|| Box::new(error));
    }

    pub(crate) fn set_indirect(&mut self, indirect: bool) {
        self.core.indirect = indirect;
    }
}

impl<F: SetFormat> Default for Builder<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: SetFormat> fmt::Debug for Builder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("format", &F::FORMAT)
            .field("indirect", &self.core.indirect)
            .field("error", &self.core.error)
            .finish_non_exhaustive()
    }
}

impl<F: SetFormat> Set<F> {
    /// Creates a builder without changes: see [`Builder`].
    ///
    /// ```
    /// assert!(diesel_sqlite_session::Changeset::builder().build()?.is_empty());
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn builder() -> Builder<F> {
        Builder::new()
    }
}
