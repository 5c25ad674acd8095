//! The typed changes of a source that is larger than memory, one by one.

use std::fmt;
use std::io::Read;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::set::Section;
use super::{DecodeError, FromChanges, FromPatches};
use crate::wire::{ChangesetReader, PatchsetReader, ReadError};

/// Why there is no next typed change of a source.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadChangeError {
    /// The source failed, or its bytes are not well-formed. The iteration ends here.
    Read(ReadError),
    /// The types do not fit this change. The iteration can go on with the next one.
    Decode(DecodeError),
}

impl fmt::Display for ReadChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadChangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => error.source(),
            Self::Decode(error) => error.source(),
        }
    }
}

impl From<ReadError> for ReadChangeError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<DecodeError> for ReadChangeError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

macro_rules! typed {
    (
        $(#[$doc:meta])* $ReadChanges:ident, $FromChanges:ident, $changes:ident, $Reader:ident,
        $(#[$method_doc:meta])*
    ) => {
        $(#[$doc])*
        #[must_use = "iterators are lazy"]
        pub struct $ReadChanges<'r, R, S> {
            reader: &'r mut $Reader<R>,
            /// The section that was looked at last, as the reader counts them.
            number: u64,
            section: Section,
            skip_unknown: bool,
            ended: bool,
            set: PhantomData<fn() -> S>,
        }

        impl<R, S> $ReadChanges<'_, R, S> {
            /// Leaves out the changes of tables that are not in the set, which are errors otherwise.
            pub fn skip_unknown_tables(mut self) -> Self {
                self.skip_unknown = true;
                self
            }
        }

        impl<R: Read, S: for<'a> $FromChanges<'a>> Iterator for $ReadChanges<'_, R, S> {
            type Item = Result<S, ReadChangeError>;

            fn next(&mut self) -> Option<Self::Item> {
                while !self.ended {
                    let (record, number) = match self.reader.next_with_section() {
                        Ok(Some(next)) => next,
                        Ok(None) => break,
                        Err(error) => {
                            self.ended = true;
                            return Some(Err(error.into()));
                        }
                    };
                    if self.number != number {
                        (self.number, self.section) = (number, Section::New);
                    }
                    let (section, skip_unknown) = (&mut self.section, self.skip_unknown);
                    let read = record.with_source(|source| {
                        let found = match *section {
                            Section::Of(table) => Some(table),
                            _ => section.find(S::TABLES, source, skip_unknown)?,
                        };
                        found.map(|table| S::read(table, source, |change| change)).transpose()
                    });
                    if let Some(change) = read.transpose() {
                        return Some(change.map_err(ReadChangeError::Decode));
                    }
                }
                self.ended = true;
                None
            }
        }

        impl<R: Read, S: for<'a> $FromChanges<'a>> FusedIterator for $ReadChanges<'_, R, S> {}

        impl<R, S> fmt::Debug for $ReadChanges<'_, R, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($ReadChanges)).field("ended", &self.ended).finish_non_exhaustive()
            }
        }

        impl<R: Read> $Reader<R> {
            $(#[$method_doc])*
            pub fn $changes<S: for<'a> $FromChanges<'a>>(&mut self) -> $ReadChanges<'_, R, S> {
                $ReadChanges {
                    reader: self,
                    number: 0,
                    section: Section::New,
                    skip_unknown: false,
                    ended: false,
                    set: PhantomData,
                }
            }
        }
    };
}

typed! {
    /// The changes of a source as values of the set `S`: see [`ChangesetReader::changes`].
    ReadChanges, FromChanges, changes, ChangesetReader,
    /// The changes that are still to come, as values of a set of tables: as [`Changeset::changes`](crate::Changeset::changes), with one
    /// change in memory at a time.
    ///
    /// A change that the types do not fit is a [`ReadChangeError::Decode`], with the byte of the source at which it stands; after it
    /// the iteration can go on with the next change. So is one of a table that is not in the set, unless
    /// [`skip_unknown_tables`](ReadChanges::skip_unknown_tables) is called. After a [`ReadChangeError::Read`] the iteration is at its
    /// end: where it was the source that failed, another call of this goes on from there.
    ///
    /// The rows own their values. For rows that borrow, and to know of a change whether it is
    /// [indirect](crate::Record::indirect), there are [`next_record`](Self::next_record) and
    /// [`Record::change`](crate::Record::change).
    ///
    /// ```
    /// use diesel_sqlite_session::{Change, ChangesetReader, Tracked};
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
    /// # let file: &[u8] = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
    /// // `file` is a `File` or anything else to read from
    /// for change in ChangesetReader::new(file).changes::<Blog>() {
    ///     match change? {
    ///         Blog::Users(Change::Insert(user)) => assert_eq!(user, User { id: 1, name: "Ada".into() }),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
}

typed! {
    /// The changes of a source as values of the set `S`: see [`PatchsetReader::patches`].
    ReadPatches, FromPatches, patches, PatchsetReader,
    /// The changes that are still to come, as values of a set of tables: as [`Patchset::patches`](crate::Patchset::patches), with one
    /// change in memory at a time. What is an error is said at [`ChangesetReader::changes`].
    ///
    /// ```
    /// use diesel_sqlite_session::{Patch, PatchsetReader, Tracked};
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
    /// # let file: &[u8] = b"P\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
    /// for patch in PatchsetReader::new(file).patches::<Patch<users::table>>() {
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
