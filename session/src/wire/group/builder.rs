//! Changesets and patchsets made of values and of records, without a database.
//!
//! [`Core`] checks and encodes what it is given, straight into the bytes of the result; [`Fold`] keeps one change for each
//! row. The two builders are faces of it, which differ in the format alone.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use crate::wire::codec::encode::{Wrong, WrongIn, write_key, write_update, write_whole};
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use super::fold::{Fold, Group, Settler};
use super::merge::sets_anything;
use crate::wire::codec::record::Record;
use crate::wire::codec::set::{Changeset, Patchset};
use crate::wire::codec::header::{Header, Table, key_columns};
use crate::wire::codec::value::Value;
use crate::wire::codec::kind::{Format, Operation};

/// What a table section says of its table: the name, and for each column its place in the primary key.
///
/// ```
/// use diesel_sqlite_session::TableSchema;
///
/// // CREATE TABLE readings (sensor, value, at, PRIMARY KEY (at, sensor))
/// const READINGS: TableSchema = TableSchema::new("readings", &[2, 0, 1]);
/// assert_eq!((READINGS.name(), READINGS.column_count()), ("readings", 3));
/// assert_eq!(READINGS.key_columns().collect::<Vec<_>>(), [0, 2]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TableSchema<'a> {
    name: &'a str,
    key: &'a [u8],
    /// What the columns are called, where that is known: for errors alone.
    columns: &'a [&'a str],
}

impl<'a> TableSchema<'a> {
    /// A table with this name, without its schema's, and for each column its place in the primary key, counted from 1, or 0
    /// where it is not part of the key: see [`Table::key_ordinals`]. Generated columns are not counted.
    ///
    /// What SQLite could not read is an error when the table is used.
    pub const fn new(name: &'a str, key_ordinals: &'a [u8]) -> Self {
        Self { name, key: key_ordinals, columns: &[] }
    }

    /// What the columns are called, where that is known.
    pub(in crate::wire) const fn columns(&self) -> &'a [&'a str] {
        self.columns
    }

    /// The same table, with the names of its columns.
    #[cfg(feature = "typed")]
    pub(crate) const fn with_columns(self, columns: &'a [&'a str]) -> Self {
        Self { columns, ..self }
    }

    /// The table's name, without its schema.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// How many columns the table has.
    pub const fn column_count(&self) -> usize {
        self.key.len()
    }

    /// For each column its place in the primary key: see [`Table::key_ordinals`].
    pub const fn key_ordinals(&self) -> &'a [u8] {
        self.key
    }

    /// The positions of the primary key's columns, counted from 0, in the order of the table's columns.
    pub fn key_columns(&self) -> impl Iterator<Item = usize> + use<'a> {
        key_columns(self.key)
    }

    #[inline(always)]
    fn expect(self, values: &[Value<'_>]) -> Result<(), Wrong> {
        let (columns, values) = (self.key.len(), values.len());
        if columns == values { Ok(()) } else { Err(WrongIn::of(BuildErrorKind::ValueCount { columns, values })) }
    }
}

impl<'a> From<Table<'a>> for TableSchema<'a> {
    fn from(table: Table<'a>) -> Self {
        Self::new(table.name(), table.key_ordinals())
    }
}

/// What its columns are called makes it no other table.
impl PartialEq for TableSchema<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.key) == (other.name, other.key)
    }
}

impl Eq for TableSchema<'_> {}

impl Hash for TableSchema<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.key).hash(state);
    }
}

/// What both builders are. After an error it takes nothing more.
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

    /// Keeps what is wrong, if anything is.
    #[inline(always)]
    pub(in crate::wire) fn guard(&mut self, table: &str, columns: &[&str], work: impl FnOnce(&mut Self) -> Result<(), Wrong>) {
        if self.error.is_none() {
            if let Err(wrong) = work(self) {
                self.fail(table, columns, *wrong);
            }
        }
    }

    #[cold]
    fn fail(&mut self, table: &str, columns: &[&str], WrongIn { kind, column }: WrongIn) {
        self.error = Some(Box::new(BuildError::new(kind, table, column).named(columns)));
    }

    #[inline(always)]
    fn group(&mut self, table: TableSchema<'_>) -> Result<(&mut Group, Settler<'_>), Wrong> {
        self.fold.table(Header { name: table.name, key: table.key })
    }

    #[inline(always)]
    fn insert(&mut self, table: TableSchema<'_>, values: &[Value<'_>]) {
        self.guard(
            table.name,
            table.columns,
            #[inline(always)]
            |core| {
                table.expect(values)?;
                let indirect = core.indirect;
                let (group, settler) = core.group(table)?;
                let (start, out) = group.end();
                let head = [Operation::Insert.to_byte(), u8::from(indirect)];
                let written = write_whole(head, table.key, values, out).map(|()| true);
                finish(group, settler, start, written)
            },
        );
    }

    #[inline]
    fn update(&mut self, table: TableSchema<'_>, before: &[Value<'_>], after: &[Value<'_>]) {
        self.guard(table.name, table.columns, |core| {
            table.expect(before)?;
            table.expect(after)?;
            let (format, indirect) = (core.fold.format(), core.indirect);
            let (group, settler) = core.group(table)?;
            let (start, out) = group.begin(Operation::Update, indirect);
            let written = write_update(table.key, format, before, after, out);
            finish(group, settler, start, written)
        });
    }

    #[inline]
    fn delete(&mut self, table: TableSchema<'_>, values: &[Value<'_>]) {
        self.guard(table.name, table.columns, |core| {
            table.expect(values)?;
            let (format, indirect) = (core.fold.format(), core.indirect);
            let (group, settler) = core.group(table)?;
            let (start, out) = group.end();
            let head = [Operation::Delete.to_byte(), u8::from(indirect)];
            let written = match format {
                Format::Changeset => write_whole(head, table.key, values, out),
                Format::Patchset => {
                    out.extend_from_slice(&head);
                    write_key(table.key, values, out)
                }
            };
            finish(group, settler, start, written.map(|()| true))
        });
    }

    #[inline]
    pub(in crate::wire) fn record(&mut self, record: &Record<'_>) {
        self.guard(record.table(), &[], |core| {
            let (header, format, raw) = record.parts();
            if format != core.fold.format() {
                return Err(WrongIn::of(BuildErrorKind::WrongFormat { found: format }));
            }
            if raw.operation == Operation::Update && !sets_anything(header.key, format, raw) {
                core.fold.table(header)?;
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

/// Settles the change that was written, or takes it back where it failed or says nothing.
#[inline(always)]
fn finish(group: &mut Group, settler: Settler<'_>, start: usize, written: Result<bool, Wrong>) -> Result<(), Wrong> {
    match written {
        Ok(true) => group.settle(start, settler),
        Ok(false) => {
            group.drop_from(start);
            Ok(())
        }
        Err(wrong) => {
            group.drop_from(start);
            Err(wrong)
        }
    }
}

/// Writes one of the two builders.
macro_rules! builder {
    (
        $format:expr, $Set:ident,
        $(#[$builder_doc:meta])* $Builder:ident,
        $(#[$update_doc:meta])* update_values,
        $(#[$delete_doc:meta])* delete_values,
    ) => {
        $(#[$builder_doc])*
        #[derive(Clone)]
        #[must_use = "a builder does nothing until it builds"]
        pub struct $Builder {
            // boxed, as it is handed on with every call of a chain
            pub(in crate::wire) core: Box<Core>,
        }

        /// Adds changes of another changeset or patchset, as `record` does: those that a filter lets through, for one.
        impl<'a> Extend<Record<'a>> for $Builder {
            fn extend<I: IntoIterator<Item = Record<'a>>>(&mut self, records: I) {
                records.into_iter().for_each(|record| self.push_record(&record));
            }
        }

        impl $Builder {
            /// One without a change yet.
            ///
            /// ```
            #[doc = concat!("assert!(diesel_sqlite_session::", stringify!($Builder), "::new().build()?.is_empty());")]
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn new() -> Self {
                Self { core: Box::new(Core::new($format)) }
            }

            /// Adds the INSERT of a row: a value for each column.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", TableSchema, Value};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0, 0]);
            #[doc = concat!("let mut builder = ", stringify!($Set), "::builder();")]
            /// for (id, name) in [(1, "Ada"), (2, "Bob")] {
            ///     builder = builder.insert_values(users, &[id.into(), name.into(), Value::Null]);
            /// }
            /// let built = builder.build()?;
            /// assert_eq!(built.records().next().unwrap().to_string(), "INSERT users(1, 'Ada', NULL)");
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            #[inline]
            pub fn insert_values<'t>(mut self, table: impl Into<TableSchema<'t>>, row: &[Value<'_>]) -> Self {
                self.push_insert(table.into(), row);
                self
            }

            $(#[$update_doc])*
            pub fn update_values<'t>(
                mut self,
                table: impl Into<TableSchema<'t>>,
                before: &[Value<'_>],
                after: &[Value<'_>],
            ) -> Self {
                self.push_update(table.into(), before, after);
                self
            }

            $(#[$delete_doc])*
            pub fn delete_values<'t>(mut self, table: impl Into<TableSchema<'t>>, row: &[Value<'_>]) -> Self {
                self.push_delete(table.into(), row);
                self
            }

            /// Adds a change of another changeset or patchset, of the same format, with its own indirect flag. Its values are
            /// copied as they stand.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            #[doc = concat!("let morning = ", stringify!($Set), "::builder().insert_values(users, &[1.into(), \"Ada\".into()]).build()?;")]
            #[doc = concat!("let evening = ", stringify!($Set), "::builder().delete_values(users, &[1.into(), \"Ada\".into()]).build()?;")]
            ///
            #[doc = concat!("let mut day = ", stringify!($Set), "::builder();")]
            /// for record in morning.records().chain(evening.records()) {
            ///     day = day.record(&record);
            /// }
            /// assert!(day.build()?.is_empty());
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn record(mut self, record: &Record<'_>) -> Self {
                self.push_record(record);
                self
            }

            /// Whether what is added by its values from here on is [indirect](Record::indirect). At first it is not.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", TableSchema};")]
            ///
            #[doc = concat!("let built = ", stringify!($Set), "::builder()")]
            ///     .insert_values(TableSchema::new("users", &[1]), &[7.into()])
            ///     .indirect(true)
            ///     .insert_values(TableSchema::new("log", &[1, 0]), &[1.into(), "a user has come".into()])
            ///     .build()?;
            /// let indirect: Vec<bool> = built.records().map(|record| record.indirect()).collect();
            /// assert_eq!(indirect, [false, true]);
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn indirect(mut self, indirect: bool) -> Self {
                self.set_indirect(indirect);
                self
            }

            /// The changes, and what they have been folded into.
            ///
            /// # Errors
            ///
            /// The first thing that was wrong with what was added. What came after it was not looked at.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{BuildErrorKind, ", stringify!($Set), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            #[doc = concat!("let built = ", stringify!($Set), "::builder().insert_values(users, &[1.into()]).build();")]
            /// assert_eq!(built.unwrap_err().kind(), BuildErrorKind::ValueCount { columns: 2, values: 1 });
            /// ```
            pub fn build(self) -> Result<$Set, BuildError> {
                self.core.build().map($Set::from_checked)
            }

            #[inline(always)]
            pub(crate) fn push_insert(&mut self, table: TableSchema<'_>, row: &[Value<'_>]) {
                self.core.insert(table, row);
            }

            #[inline]
            pub(crate) fn push_update(&mut self, table: TableSchema<'_>, before: &[Value<'_>], after: &[Value<'_>]) {
                self.core.update(table, before, after);
            }

            #[inline]
            pub(crate) fn push_delete(&mut self, table: TableSchema<'_>, row: &[Value<'_>]) {
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

        impl Default for $Builder {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Debug for $Builder {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Builder))
                    .field("indirect", &self.core.indirect)
                    .field("error", &self.core.error)
                    .finish_non_exhaustive()
            }
        }

        impl $Set {
            #[doc = concat!("A builder: see [`", stringify!($Builder), "`].")]
            ///
            /// ```
            #[doc = concat!("assert!(diesel_sqlite_session::", stringify!($Set), "::builder().build()?.is_empty());")]
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn builder() -> $Builder {
                $Builder::new()
            }
        }
    };
}

builder! {
    Format::Changeset, Changeset,
    /// Makes a changeset of values and of records, without a database.
    ///
    /// What is added is checked at once, but errors come out of [`build`](Self::build), so that calls can be chained; in a
    /// loop, assign: `builder = builder.insert_values(…)`.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, TableSchema};
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let changeset = Changeset::builder()
    ///     .insert_values(users, &[1.into(), "Ada".into()])
    ///     .update_values(users, &[2.into(), "Bob".into()], &[2.into(), "Robert".into()])
    ///     .update_values(users, &[1.into(), "Ada".into()], &[1.into(), "Ada Lovelace".into()])
    ///     .build()?;
    /// let lines: Vec<String> = changeset.records().map(|record| record.to_string()).collect();
    /// assert_eq!(lines, ["INSERT users(1, 'Ada Lovelace')", "UPDATE users(2, 'Bob' -> 'Robert')"]);
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
    ///
    /// # Folding
    ///
    /// The result has at most one change for each row. Two rows are the same if the values of their keys have the same storage
    /// classes and bytes: 1 and 1.0 are two, and so are 0.0 and -0.0. Changes to one row are put together as
    /// [`sqlite3changegroup_add`](https://www.sqlite.org/session/sqlite3changegroup_add.html) does it:
    ///
    /// | there is | is added | becomes, in a changeset | in a patchset |
    /// |---|---|---|---|
    /// | INSERT | INSERT | what there is; the second does not fit and is dropped | the same |
    /// | INSERT | UPDATE | INSERT of the new values | the same |
    /// | INSERT | DELETE | nothing | the same |
    /// | UPDATE | INSERT | what there is; the INSERT is dropped | the same |
    /// | UPDATE | UPDATE | UPDATE from the first's old to the second's new values; nothing, if they are the same | UPDATE of what either sets |
    /// | UPDATE | DELETE | DELETE of the row before the UPDATE | DELETE |
    /// | DELETE | INSERT | UPDATE of what differs; nothing, if nothing does | UPDATE of every column; nothing, if the key is all |
    /// | DELETE | UPDATE | what there is; the UPDATE is dropped | the same |
    /// | DELETE | DELETE | what there is; the second is dropped | the same |
    ///
    /// Whether the values before a change are those that the last one left is not looked at. Where two changes become one, it
    /// is [indirect](Record::indirect) if both were; where the second is dropped, the first stays as it is.
    ///
    /// The changegroup differs in two things. It keeps an UPDATE that sets no column to another value, as SQLite records it
    /// where a key changes to an [equal one](super#changes), and as a DELETE and an INSERT make it in a patchset of a table
    /// that has no column beside its key; here there is never one, as if it had not been added. And it puts
    /// the new key that an UPDATE can hold into an INSERT that is there; here it is passed over, as applying passes over it.
    ///
    /// A table with other columns or another key than before is an error, but for one that has grown and was
    /// [declared](Self::declare).
    ///
    /// Tables are in the order in which they were first named, rows in that in which their changes began. A table's name is
    /// compared without regard to the case of ASCII letters, and stands as it was first written.
    ///
    /// # Memory
    ///
    /// A change costs its bytes, in a buffer that may be twice as large. As long as each row of a table has a greater key than the
    /// one added before it (integers of one sign that count up, UUIDs of version 7) that is all. From the first that has not, each
    /// row costs 19 to 37 bytes more, and half as much again for a moment, whenever the index grows.
    ChangesetBuilder,
    /// Adds the UPDATE of a row from `before` to `after`: whole rows, of a value for each column, with the same key. What did
    /// not change is left out, as SQLite leaves it out; if nothing did, there is no change. Between 0.0 and -0.0 there is none.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, TableSchema};
    ///
    /// let points = TableSchema::new("points", &[1, 0, 0]);
    /// let (before, after) = ([1.into(), 0.5.into(), 2.0.into()], [1.into(), 0.5.into(), 3.0.into()]);
    /// let changeset = Changeset::builder().update_values(points, &before, &after).build()?;
    /// assert_eq!(changeset.records().next().unwrap().to_string(), "UPDATE points(1, _, 2.0 -> 3.0)");
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
    update_values,
    /// Adds the DELETE of a row: the value of each column as it was.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, TableSchema};
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let changeset = Changeset::builder().delete_values(users, &[3.into(), "Eve".into()]).build()?;
    /// assert_eq!(changeset.invert().records().next().unwrap().to_string(), "INSERT users(3, 'Eve')");
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
    delete_values,
}

builder! {
    Format::Patchset, Patchset,
    /// Makes a patchset of values and of records, without a database: see [`ChangesetBuilder`], where it is also said how
    /// changes to one row [fold](ChangesetBuilder#folding) into one.
    ///
    /// ```
    /// use diesel_sqlite_session::{Patchset, TableSchema};
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let patchset = Patchset::builder()
    ///     .update_values(users, &[2.into(), "Bob".into()], &[2.into(), "Robert".into()])
    ///     .delete_values(users, &[3.into(), "Eve".into()])
    ///     .build()?;
    /// let lines: Vec<String> = patchset.records().map(|record| record.to_string()).collect();
    /// assert_eq!(lines, ["UPDATE users(2, -> 'Robert')", "DELETE users(3, _)"]);
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
    PatchsetBuilder,
    /// Adds the UPDATE of a row from `before` to `after`: whole rows, of a value for each column, with the same key. The key and
    /// the new values of what changed are recorded; if nothing did, there is no change. Between 0.0 and -0.0 there is none.
    ///
    /// ```
    /// use diesel_sqlite_session::{Patchset, TableSchema};
    ///
    /// let points = TableSchema::new("points", &[1, 0, 0]);
    /// let (before, after) = ([1.into(), 0.5.into(), 2.0.into()], [1.into(), 0.5.into(), 3.0.into()]);
    /// let patchset = Patchset::builder().update_values(points, &before, &after).build()?;
    /// assert_eq!(patchset.records().next().unwrap().to_string(), "UPDATE points(1, _, -> 3.0)");
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
    update_values,
    /// Adds the DELETE of a row. The values of its key are recorded, and others can be anything.
    ///
    /// ```
    /// use diesel_sqlite_session::{Patchset, TableSchema, Value};
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let patchset = Patchset::builder().delete_values(users, &[3.into(), Value::Null]).build()?;
    /// assert_eq!(patchset.records().next().unwrap().to_string(), "DELETE users(3, _)");
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
    delete_values,
}
