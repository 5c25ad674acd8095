//! Sets of tables, and iterators over their typed changes.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::change::{Change, DecodeRow, Patch, Tracked};
use super::error::DecodeErrorKind;
use super::reader::{Reader, UnreadRecord};
use super::{DecodeError, TableInfo, table};
#[cfg(doc)]
use crate::wire::{Changeset, Patchset};
use crate::wire::{ChangesetFormat, Operation, PatchsetFormat, Record, Records, Set, SetRef};

/// A set of tables: an enum of [`Change`]s or [`Patch`]es with `#[derive(Tracked)]`, or a single
/// `Change` or `Patch`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of tables",
    label = "expected an enum of `Change<…>` or `Patch<…>` variants with `#[derive(Tracked)]`, or one of these alone",
    note = "the changes of one table are read as `Change<users::table>`"
)]
pub trait TrackedSet {
    /// The tables, in the order of the variants.
    const TABLES: &'static [&'static TableInfo<'static>];

    /// Returns the description of the table that this change belongs to.
    fn table_info(&self) -> &'static TableInfo<'static>;

    /// Returns the name of the table that this change belongs to.
    fn table(&self) -> &'static str {
        self.table_info().table()
    }

    /// Returns the operation of this change.
    fn operation(&self) -> Operation;
}

impl<T: Tracked> TrackedSet for Change<T> {
    const TABLES: &'static [&'static TableInfo<'static>] = &[&T::TABLE];

    fn table_info(&self) -> &'static TableInfo<'static> {
        Self::table_info(self)
    }

    fn operation(&self) -> Operation {
        Self::operation(self)
    }
}

impl<T: Tracked> TrackedSet for Patch<T> {
    const TABLES: &'static [&'static TableInfo<'static>] = &[&T::TABLE];

    fn table_info(&self) -> &'static TableInfo<'static> {
        Self::table_info(self)
    }

    fn operation(&self) -> Operation {
        Self::operation(self)
    }
}

/// A set that the changes of a changeset can be read as.
#[diagnostic::on_unimplemented(
    message = "the changes of a changeset cannot be read as `{Self}`",
    label = "expected a `Change<…>`, or an enum of them with `#[derive(Tracked)]`",
    note = "the changes of one table or row are read as `Change<users::table>` or `Change<User>`",
    note = "`Patch`es are read from a patchset, with `patches`"
)]
pub trait FromChanges<'a>: TrackedSet + Sized {
    /// Reads a change of the table at position `table` in [`TABLES`](TrackedSet::TABLES), and
    /// returns the result of `into`. The change is written once, to its final location.
    #[doc(hidden)]
    fn read<R>(table: usize, source: &UnreadRecord<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError>;
}

/// A set that the changes of a patchset can be read as.
#[diagnostic::on_unimplemented(
    message = "the changes of a patchset cannot be read as `{Self}`",
    label = "expected a `Patch<…>`, or an enum of them with `#[derive(Tracked)]`",
    note = "the changes of one table or row are read as `Patch<users::table>` or `Patch<User>`",
    note = "`Change`s are read from a changeset, with `changes`"
)]
pub trait FromPatches<'a>: TrackedSet + Sized {
    /// Reads a change of the table at position `table` in [`TABLES`](TrackedSet::TABLES), and
    /// returns the result of `into`. The change is written once, to its final location.
    #[doc(hidden)]
    fn read<R>(table: usize, source: &UnreadRecord<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError>;
}

impl<'a, T: Tracked> FromChanges<'a> for Change<T>
where
    T::Row: DecodeRow<'a, Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    #[inline]
    fn read<R>(_: usize, source: &UnreadRecord<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError> {
        let reader = Reader::new(source, &T::TABLE, T::Row::SQL_TYPES);
        match source.operation() {
            Operation::Insert => T::Row::inserted(&reader).map(|row| into(Self::Insert(row))),
            Operation::Update => T::Row::updated(&reader).map(|row| into(Self::Update(row))),
            Operation::Delete => T::Row::deleted(&reader).map(|row| into(Self::Delete(row))),
        }
    }
}

impl<'a, T: Tracked> FromPatches<'a> for Patch<T>
where
    T::Row: DecodeRow<'a, Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    #[inline]
    fn read<R>(_: usize, source: &UnreadRecord<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError> {
        let reader = Reader::new(source, &T::TABLE, T::Row::SQL_TYPES);
        match source.operation() {
            Operation::Insert => T::Row::inserted(&reader).map(|row| into(Self::Insert(row))),
            Operation::Update => T::Row::patched(&reader).map(|row| into(Self::Update(row))),
            Operation::Delete => T::Row::key(&reader).map(|row| into(Self::Delete(row))),
        }
    }
}

/// The position of a section's table in a set.
#[derive(Clone, Copy)]
pub(super) enum TableLookup {
    /// The table has not been looked up yet, or its columns do not match.
    Pending,
    /// The table has this position.
    Found(usize),
    /// The table is not part of the set.
    Unknown,
}

impl TableLookup {
    /// Returns the position of the table. Returns `None` for an unknown table if `skip_unknown` is
    /// set.
    #[cold]
    pub(super) fn find(
        &mut self,
        tables: &'static [&'static TableInfo<'static>],
        source: &UnreadRecord<'_, '_>,
        skip_unknown: bool,
    ) -> Result<Option<usize>, DecodeError> {
        if let Self::Pending = self {
            *self = find_table(tables, source)?.map_or(Self::Unknown, Self::Found);
        }
        match *self {
            Self::Found(table) => Ok(Some(table)),
            _ if skip_unknown => {
                source.skip();
                Ok(None)
            }
            _ => Err(fail(source, None, DecodeErrorKind::UnknownTable)),
        }
    }
}

/// The records of a set of tables. Each section's table is looked up once.
#[derive(Clone)]
struct SetRecords<'a> {
    records: Records<'a>,
    table: TableLookup,
    skip_unknown: bool,
}

impl<'a> SetRecords<'a> {
    fn new(records: Records<'a>) -> Self {
        Self { records, table: TableLookup::Pending, skip_unknown: false }
    }

    /// Reads the next change with `read`, which is called with the position of its table in
    /// `tables`.
    #[inline]
    fn next<S>(
        &mut self,
        tables: &'static [&'static TableInfo<'static>],
        read: impl FnOnce(usize, &UnreadRecord<'_, 'a>) -> Result<S, DecodeError>,
    ) -> Option<Result<S, DecodeError>> {
        loop {
            let table = &mut self.table;
            let source = self.records.next_unread(|| *table = TableLookup::Pending)?;
            let found = match self.table {
                TableLookup::Found(table) => Ok(Some(table)),
                _ => self.table.find(tables, &source, self.skip_unknown),
            };
            match found {
                Ok(Some(table)) => {
                    // the result is returned at once, so that the compiler does not move it
                    let result = read(table, &source);
                    let length = source.length_read();
                    self.records.skip_bytes(length);
                    return Some(result);
                }
                skipped => {
                    let length = source.length_read();
                    self.records.skip_bytes(length);
                    if let Err(error) = skipped {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

/// Skips a change and returns its error.
#[cold]
fn fail(source: &UnreadRecord<'_, '_>, column: Option<&'static str>, kind: DecodeErrorKind) -> DecodeError {
    source.skip();
    match source.record() {
        Some(record) => DecodeError::of_table(&record, column, kind),
        None => DecodeError::of_missing_record(source.table()),
    }
}

/// Returns the position of a change's table in `tables`, if the set contains the table. Fails if
/// the columns or the key do not match.
fn find_table(
    tables: &'static [&'static TableInfo<'static>],
    source: &UnreadRecord<'_, '_>,
) -> Result<Option<usize>, DecodeError> {
    let has_name = |table: &&'static TableInfo<'static>| table.table().eq_ignore_ascii_case(source.table());
    let Some((position, table)) = tables.iter().copied().enumerate().find(|(_, table)| has_name(table)) else {
        return Ok(None);
    };
    match table::check(table, source.key_ordinals()) {
        Ok(()) => Ok(Some(position)),
        Err((column, kind)) => Err(fail(source, column, kind)),
    }
}

/// A set that the records of the format `F` can be read as.
#[doc(hidden)]
pub trait FromRecords<'a, F>: TrackedSet + Sized {
    fn read<R>(table: usize, source: &UnreadRecord<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError>;
}

impl<'a, S: FromChanges<'a>> FromRecords<'a, ChangesetFormat> for S {
    #[inline(always)]
    fn read<R>(table: usize, source: &UnreadRecord<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError> {
        <S as FromChanges<'a>>::read(table, source, into)
    }
}

impl<'a, S: FromPatches<'a>> FromRecords<'a, PatchsetFormat> for S {
    #[inline(always)]
    fn read<R>(table: usize, source: &UnreadRecord<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError> {
        <S as FromPatches<'a>>::read(table, source, into)
    }
}

/// An iterator over the typed changes of a changeset: see [`Changeset::changes`].
pub type Changes<'a, S> = TypedRecords<'a, ChangesetFormat, S>;

/// An iterator over the typed changes of a patchset: see [`Patchset::patches`].
pub type Patches<'a, S> = TypedRecords<'a, PatchsetFormat, S>;

/// An iterator over the records of the format `F` as values of the set `S`: see
/// [`Changeset::changes`] and [`Patchset::patches`].
#[must_use = "iterators are lazy"]
pub struct TypedRecords<'a, F, S> {
    records: SetRecords<'a>,
    types: PhantomData<fn() -> (F, S)>,
}

impl<'a, F, S> TypedRecords<'a, F, S> {
    fn new(records: Records<'a>) -> Self {
        Self { records: SetRecords::new(records), types: PhantomData }
    }

    /// Skips changes to tables outside the set. By default, such changes are errors.
    pub fn skip_unknown_tables(mut self) -> Self {
        self.records.skip_unknown = true;
        self
    }

    /// Pairs each change with the [`Record`] that it was read from. The record contains the name of
    /// the table, the [indirect](Record::indirect) flag and the offset.
    pub fn with_records(mut self) -> impl Iterator<Item = Result<(Record<'a>, S), DecodeError>>
    where
        S: FromRecords<'a, F>,
    {
        std::iter::from_fn(move || {
            self.records.next(S::TABLES, |table, source| {
                let record = source.record().ok_or_else(|| DecodeError::of_missing_record(source.table()))?;
                S::read(table, source, |change| (record, change))
            })
        })
    }
}

impl<'a, F, S: FromRecords<'a, F>> Iterator for TypedRecords<'a, F, S> {
    type Item = Result<S, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.records.next(S::TABLES, |table, source| S::read(table, source, |change| change))
    }
}

impl<'a, F, S: FromRecords<'a, F>> FusedIterator for TypedRecords<'a, F, S> {}

impl<F, S> Clone for TypedRecords<'_, F, S> {
    fn clone(&self) -> Self {
        Self { records: self.records.clone(), types: PhantomData }
    }
}

impl<F, S> fmt::Debug for TypedRecords<'_, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedRecords").field(&self.records.records).finish()
    }
}

impl Set<ChangesetFormat> {
    /// Returns an iterator over the changes as values of the set `S`: an enum of [`Change`]s, or
    /// `Change` of one table.
    ///
    /// A change that does not fit the types is an error, and iteration can continue with the next
    /// change. A change to a table outside the set is an error unless
    /// [`skip_unknown_tables`](TypedRecords::skip_unknown_tables) is called.
    ///
    /// ```
    /// use diesel_sqlite_session::{Change, Changeset, Tracked};
    ///
    /// diesel::table! {
    ///     users (id) {
    ///         id -> Integer,
    ///         name -> Text,
    ///     }
    /// }
    ///
    /// #[derive(Debug, PartialEq, Tracked)]
    /// #[diesel(table_name = users)]
    /// pub struct User {
    ///     id: i32,
    ///     name: String,
    /// }
    ///
    /// #[derive(Debug, PartialEq, Tracked)]
    /// enum Blog {
    ///     Users(Change<users::table>),
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ada = User { id: 1, name: "Ada".into() };
    /// # let changeset = Changeset::try_from(b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada".to_vec())?;
    /// let changes: Vec<Blog> = changeset.changes().collect::<Result<_, _>>()?;
    /// assert_eq!(changes, [Blog::Users(Change::Insert(ada))]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn changes<'a, S: FromChanges<'a>>(&'a self) -> Changes<'a, S> {
        Changes::new(self.records())
    }
}

impl<'a> SetRef<'a, ChangesetFormat> {
    /// Returns an iterator over the changes as values of the set `S`: see [`Changeset::changes`].
    pub fn changes<S: FromChanges<'a>>(self) -> Changes<'a, S> {
        Changes::new(self.records())
    }
}

impl Set<PatchsetFormat> {
    /// Returns an iterator over the changes as values of the set `S`: an enum of [`Patch`]es, or
    /// `Patch` of one table.
    ///
    /// A change that does not fit the types is an error, and iteration can continue with the next
    /// change. A change to a table outside the set is an error unless
    /// [`skip_unknown_tables`](TypedRecords::skip_unknown_tables) is called.
    ///
    /// ```
    /// use diesel_sqlite_session::{Patch, Patchset, Tracked};
    ///
    /// diesel::table! {
    ///     users (id) {
    ///         id -> Integer,
    ///         name -> Text,
    ///     }
    /// }
    ///
    /// #[derive(Debug, Tracked)]
    /// #[diesel(table_name = users)]
    /// pub struct User {
    ///     id: i32,
    ///     name: String,
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let patchset = Patchset::try_from(b"P\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada".to_vec())?;
    /// for patch in patchset.patches::<Patch<users::table>>() {
    ///     match patch? {
    ///         Patch::Insert(user) => println!("{} is new", user.name),
    ///         Patch::Update(user) => assert_eq!((user.id, user.name.as_deref()), (1, Some("Ada"))),
    ///         Patch::Delete(id) => println!("{id} is gone"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn patches<'a, S: FromPatches<'a>>(&'a self) -> Patches<'a, S> {
        Patches::new(self.records())
    }
}

impl<'a> SetRef<'a, PatchsetFormat> {
    /// Returns an iterator over the changes as values of the set `S`: see [`Patchset::patches`].
    pub fn patches<S: FromPatches<'a>>(self) -> Patches<'a, S> {
        Patches::new(self.records())
    }
}
