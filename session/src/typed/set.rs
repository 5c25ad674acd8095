//! Sets of tables, and the iterators over their changes.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::change::{Change, DecodeRow, Patch, Tracked};
use super::error::DecodeErrorKind;
use super::reader::{Reader, Source};
use super::{DecodeError, TableInfo};
use crate::wire::{Changeset, ChangesetRef, Operation, Patchset, PatchsetRef, Record, Records};

/// A set of tables: an enum of [`Change`]s or of [`Patch`]es with `#[derive(Tracked)]`, or one of them alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of tables",
    label = "expected an enum of `Change<…>` or `Patch<…>` variants with `#[derive(Tracked)]`, or one of these alone",
    note = "the changes of one table are read as `Change<users::table>`"
)]
pub trait TrackedSet {
    /// The tables, in the order of the variants.
    const TABLES: &'static [&'static TableInfo];

    /// The table that this change is of.
    fn table(&self) -> &'static TableInfo;

    /// What this change does to a row.
    fn operation(&self) -> Operation;
}

macro_rules! set_of_one {
    ($Change:ident) => {
        impl<T: Tracked> TrackedSet for $Change<T> {
            const TABLES: &'static [&'static TableInfo] = &[&T::TABLE];

            fn table(&self) -> &'static TableInfo {
                Self::table(self)
            }

            fn operation(&self) -> Operation {
                Self::operation(self)
            }
        }
    };
}
set_of_one!(Change);
set_of_one!(Patch);

/// A set that the changes of a changeset can be read as.
#[diagnostic::on_unimplemented(
    message = "the changes of a changeset cannot be read as `{Self}`",
    label = "expected a `Change<…>`, or an enum of them with `#[derive(Tracked)]`",
    note = "the changes of one table or row are read as `Change<users::table>` or `Change<User>`",
    note = "`Patch`es are read from a patchset, with `patches`"
)]
pub trait FromChanges<'a>: TrackedSet + Sized {
    /// Reads a change of the table at this place in [`TABLES`](TrackedSet::TABLES), and gives what `into` makes of it: so it is
    /// written once, to where it is wanted.
    #[doc(hidden)]
    fn read<R>(table: usize, source: &Source<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError>;
}

/// A set that the changes of a patchset can be read as.
#[diagnostic::on_unimplemented(
    message = "the changes of a patchset cannot be read as `{Self}`",
    label = "expected a `Patch<…>`, or an enum of them with `#[derive(Tracked)]`",
    note = "the changes of one table or row are read as `Patch<users::table>` or `Patch<User>`",
    note = "`Change`s are read from a changeset, with `changes`"
)]
pub trait FromPatches<'a>: TrackedSet + Sized {
    /// Reads a change of the table at this place in [`TABLES`](TrackedSet::TABLES), and gives what `into` makes of it: so it is
    /// written once, to where it is wanted.
    #[doc(hidden)]
    fn read<R>(table: usize, source: &Source<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError>;
}

impl<'a, T: Tracked> FromChanges<'a> for Change<T>
where
    T::Row: DecodeRow<'a, Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    #[inline]
    fn read<R>(_: usize, source: &Source<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError> {
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
    fn read<R>(_: usize, source: &Source<'_, 'a>, into: impl FnOnce(Self) -> R) -> Result<R, DecodeError> {
        let reader = Reader::new(source, &T::TABLE, T::Row::SQL_TYPES);
        match source.operation() {
            Operation::Insert => T::Row::inserted(&reader).map(|row| into(Self::Insert(row))),
            Operation::Update => T::Row::patched(&reader).map(|row| into(Self::Update(row))),
            Operation::Delete => T::Row::key(&reader).map(|row| into(Self::Delete(row))),
        }
    }
}

/// Which of the tables a section is.
#[derive(Clone, Copy)]
pub(super) enum Section {
    /// It has not been looked at, or does not fit.
    New,
    /// The one at this place.
    Of(usize),
    /// None of them.
    Unknown,
}

impl Section {
    /// The place of the table; `None` for an unknown one that is to be skipped.
    #[cold]
    pub(super) fn find(
        &mut self,
        tables: &'static [&'static TableInfo],
        source: &Source<'_, '_>,
        skip_unknown: bool,
    ) -> Result<Option<usize>, DecodeError> {
        if let Self::New = self {
            *self = find(tables, source)?.map_or(Self::Unknown, Self::Of);
        }
        match *self {
            Self::Of(table) => Ok(Some(table)),
            _ if skip_unknown => {
                source.pass();
                Ok(None)
            }
            _ => Err(failed(source, None, DecodeErrorKind::UnknownTable)),
        }
    }
}

/// The changes as they come, each with its table's place in the set.
#[derive(Clone)]
struct Tagged<'a> {
    records: Records<'a>,
    section: Section,
    skip_unknown: bool,
}

impl<'a> Tagged<'a> {
    fn new(records: Records<'a>) -> Self {
        Self { records, section: Section::New, skip_unknown: false }
    }

    /// Reads the next change with `read`, which is given its table's place among `tables`.
    #[inline]
    fn next<S>(
        &mut self,
        tables: &'static [&'static TableInfo],
        read: impl FnOnce(usize, &Source<'_, 'a>) -> Result<S, DecodeError>,
    ) -> Option<Result<S, DecodeError>> {
        loop {
            let section = &mut self.section;
            let source = self.records.next_source(|| *section = Section::New)?;
            let found = match self.section {
                Section::Of(table) => Ok(Some(table)),
                _ => self.section.find(tables, &source, self.skip_unknown),
            };
            match found {
                Ok(Some(table)) => {
                    // not looked at, and in one place alone: else it would be moved
                    let result = read(table, &source);
                    let length = source.length_read();
                    self.records.leave(length);
                    return Some(result);
                }
                skipped => {
                    let length = source.length_read();
                    self.records.leave(length);
                    if let Err(error) = skipped {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

/// The error of a change that is not read. It is passed over.
#[cold]
fn failed(source: &Source<'_, '_>, column: Option<&'static str>, kind: DecodeErrorKind) -> DecodeError {
    source.pass();
    match source.record() {
        Some(record) => DecodeError::of_table(&record, column, kind),
        None => DecodeError::of_nothing(source.table()),
    }
}

/// The table that a change is of, if it is one of these, and fits.
fn find(tables: &'static [&'static TableInfo], source: &Source<'_, '_>) -> Result<Option<usize>, DecodeError> {
    let is_it = |table: &&'static TableInfo| table.name().eq_ignore_ascii_case(source.table());
    let Some((place, table)) = tables.iter().copied().enumerate().find(|(_, table)| is_it(table)) else {
        return Ok(None);
    };
    match table.check(source.key_ordinals()) {
        Ok(()) => Ok(Some(place)),
        Err((column, kind)) => Err(failed(source, column, kind)),
    }
}

macro_rules! typed {
    (
        $(#[$doc:meta])* $Changes:ident, $FromChanges:ident, $changes:ident, $Owned:ident, $Borrowed:ident,
        $(#[$method_doc:meta])*
    ) => {
        $(#[$doc])*
        #[must_use = "iterators are lazy"]
        pub struct $Changes<'a, S> {
            tagged: Tagged<'a>,
            set: PhantomData<fn() -> S>,
        }

        impl<'a, S: $FromChanges<'a>> $Changes<'a, S> {
            fn new(records: Records<'a>) -> Self {
                Self { tagged: Tagged::new(records), set: PhantomData }
            }

            /// Leaves out the changes of tables that are not in the set, which are errors otherwise.
            pub fn skip_unknown_tables(mut self) -> Self {
                self.tagged.skip_unknown = true;
                self
            }

            /// Gives each change with the [`Record`] that it was read from, which knows its table's name, whether it is
            /// [indirect](Record::indirect), and where it stands.
            pub fn with_records(mut self) -> impl Iterator<Item = Result<(Record<'a>, S), DecodeError>> {
                std::iter::from_fn(move || {
                    self.tagged.next(S::TABLES, |table, source| {
                        let record = source.record().ok_or_else(|| DecodeError::of_nothing(source.table()))?;
                        S::read(table, source, |change| (record, change))
                    })
                })
            }
        }

        impl<'a, S: $FromChanges<'a>> Iterator for $Changes<'a, S> {
            type Item = Result<S, DecodeError>;

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                self.tagged.next(S::TABLES, |table, source| S::read(table, source, |change| change))
            }
        }

        impl<'a, S: $FromChanges<'a>> FusedIterator for $Changes<'a, S> {}

        impl<S> Clone for $Changes<'_, S> {
            fn clone(&self) -> Self {
                Self { tagged: self.tagged.clone(), set: PhantomData }
            }
        }

        impl<S> fmt::Debug for $Changes<'_, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($Changes)).field(&self.tagged.records).finish()
            }
        }

        impl $Owned {
            $(#[$method_doc])*
            pub fn $changes<'a, S: $FromChanges<'a>>(&'a self) -> $Changes<'a, S> {
                $Changes::new(self.records())
            }
        }

        impl<'a> $Borrowed<'a> {
            $(#[$method_doc])*
            pub fn $changes<S: $FromChanges<'a>>(self) -> $Changes<'a, S> {
                $Changes::new(self.records())
            }
        }
    };
}

typed! {
    /// The changes of a changeset as values of the set `S`: see [`Changeset::changes`].
    Changes, FromChanges, changes, Changeset, ChangesetRef,
    /// The changes as values of a set of tables: an enum of [`Change`]s, or a `Change` alone.
    ///
    /// A change that the types do not fit is an error; after it the iteration can go on with the next change. So is one
    /// of a table that is not in the set, unless [`skip_unknown_tables`](Changes::skip_unknown_tables) is called.
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
}

typed! {
    /// The changes of a patchset as values of the set `S`: see [`Patchset::patches`].
    Patches, FromPatches, patches, Patchset, PatchsetRef,
    /// The changes as values of a set of tables: an enum of [`Patch`]es, or a `Patch` alone.
    ///
    /// A change that the types do not fit is an error; after it the iteration can go on with the next change. So is one
    /// of a table that is not in the set, unless [`skip_unknown_tables`](Patches::skip_unknown_tables) is called.
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
}
