//! Sets of tables, and the iterators over their changes.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::change::{Change, DecodeRow, Patch, Tracked};
use super::error::DecodeErrorKind;
use super::reader::Reader;
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
}

impl<T: Tracked> TrackedSet for Change<T> {
    const TABLES: &'static [&'static TableInfo] = &[&T::TABLE];
}

impl<T: Tracked> TrackedSet for Patch<T> {
    const TABLES: &'static [&'static TableInfo] = &[&T::TABLE];
}

/// A set that the changes of a changeset can be read as.
#[diagnostic::on_unimplemented(
    message = "the changes of a changeset cannot be read as `{Self}`",
    label = "expected a `Change<…>`, or an enum of them with `#[derive(Tracked)]`",
    note = "the changes of one table or row are read as `Change<users::table>` or `Change<User>`",
    note = "`Patch`es are read from a patchset, with `patches`"
)]
pub trait FromChanges<'a>: TrackedSet + Sized {
    /// Reads a change of the table at this place in [`TABLES`](TrackedSet::TABLES).
    #[doc(hidden)]
    fn read(table: usize, record: &Record<'a>) -> Result<Self, DecodeError>;
}

/// A set that the changes of a patchset can be read as.
#[diagnostic::on_unimplemented(
    message = "the changes of a patchset cannot be read as `{Self}`",
    label = "expected a `Patch<…>`, or an enum of them with `#[derive(Tracked)]`",
    note = "the changes of one table or row are read as `Patch<users::table>` or `Patch<User>`",
    note = "`Change`s are read from a changeset, with `changes`"
)]
pub trait FromPatches<'a>: TrackedSet + Sized {
    /// Reads a change of the table at this place in [`TABLES`](TrackedSet::TABLES).
    #[doc(hidden)]
    fn read(table: usize, record: &Record<'a>) -> Result<Self, DecodeError>;
}

impl<'a, T: Tracked> FromChanges<'a> for Change<T>
where
    T::Row: DecodeRow<'a, Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    #[inline]
    fn read(_: usize, record: &Record<'a>) -> Result<Self, DecodeError> {
        let reader = Reader::new(record, &T::TABLE);
        match record.operation() {
            Operation::Insert => T::Row::inserted(&reader).map(Self::Insert),
            Operation::Update => T::Row::updated(&reader).map(Self::Update),
            Operation::Delete => T::Row::deleted(&reader).map(Self::Delete),
        }
    }
}

impl<'a, T: Tracked> FromPatches<'a> for Patch<T>
where
    T::Row: DecodeRow<'a, Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    #[inline]
    fn read(_: usize, record: &Record<'a>) -> Result<Self, DecodeError> {
        let reader = Reader::new(record, &T::TABLE);
        match record.operation() {
            Operation::Insert => T::Row::inserted(&reader).map(Self::Insert),
            Operation::Update => T::Row::patched(&reader).map(Self::Update),
            Operation::Delete => T::Row::key(&reader).map(Self::Delete),
        }
    }
}

/// The section that is being read, and which of the tables it is.
#[derive(Clone, Copy)]
struct Section<'a> {
    ordinals: &'a [u8],
    table: Option<usize>,
}

/// The changes as they come, each with its table's place in the set.
#[derive(Clone)]
struct Tagged<'a> {
    records: Records<'a>,
    section: Option<Section<'a>>,
    skip_unknown: bool,
}

impl<'a> Tagged<'a> {
    fn new(records: Records<'a>) -> Self {
        Self { records, section: None, skip_unknown: false }
    }

    #[inline]
    fn next(&mut self, tables: &'static [&'static TableInfo]) -> Option<(Record<'a>, Result<usize, DecodeError>)> {
        loop {
            let record = self.records.next()?;
            // each section has ordinals of its own, in their place among the bytes
            let section = match self.section {
                Some(section) if std::ptr::eq(section.ordinals, record.key_ordinals()) => section,
                _ => match find(tables, &record) {
                    Ok(table) => *self.section.insert(Section { ordinals: record.key_ordinals(), table }),
                    Err(error) => return Some((record, Err(error))),
                },
            };
            match section.table {
                Some(table) => return Some((record, Ok(table))),
                None if self.skip_unknown => {}
                None => {
                    let error = DecodeError::of_table(&record, None, DecodeErrorKind::UnknownTable);
                    return Some((record, Err(error)));
                }
            }
        }
    }
}

/// The table that a record is of, if it is one of these, and fits.
#[cold]
fn find(tables: &'static [&'static TableInfo], record: &Record<'_>) -> Result<Option<usize>, DecodeError> {
    let is_it = |table: &&'static TableInfo| table.name().eq_ignore_ascii_case(record.table());
    let Some((place, table)) = tables.iter().copied().enumerate().find(|(_, table)| is_it(table)) else {
        return Ok(None);
    };
    let (expected, found) = (table.columns().len(), record.column_count());
    if found > expected || found.saturating_add(table.optional()) < expected {
        let kind = DecodeErrorKind::ColumnCount { expected, found };
        return Err(DecodeError::of_table(record, None, kind));
    }
    for (column, (declared, recorded)) in table.key_ordinals().iter().zip(record.key_ordinals()).enumerate() {
        if (*declared == 0) != (*recorded == 0) {
            let column = table.columns().get(column).copied();
            return Err(DecodeError::of_table(record, column, DecodeErrorKind::PrimaryKey));
        }
    }
    Ok(Some(place))
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
                std::iter::from_fn(move || self.next_with_record())
            }

            #[inline]
            fn next_with_record(&mut self) -> Option<Result<(Record<'a>, S), DecodeError>> {
                let (record, table) = self.tagged.next(S::TABLES)?;
                Some(table.and_then(|table| Ok((record, S::read(table, &record)?))))
            }
        }

        impl<'a, S: $FromChanges<'a>> Iterator for $Changes<'a, S> {
            type Item = Result<S, DecodeError>;

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                let (record, table) = self.tagged.next(S::TABLES)?;
                Some(table.and_then(|table| S::read(table, &record)))
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
