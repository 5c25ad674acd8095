//! Reading typed changes from a source that can be larger than memory, one by one.

use std::fmt;
use std::io::Read;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::set::{FromRecords, TableLookup};
use super::{DecodeError, FromChanges, FromPatches, TrackedSet};
use crate::wire::{ChangesetFormat, ParseError, PatchsetFormat, Reader, SetFormat};
#[cfg(doc)]
use crate::wire::{ChangesetReader, PatchsetReader};

/// The error of reading a typed change from a source.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadChangeError {
    /// The source failed, or its bytes are malformed. Iteration ends.
    Read(ParseError),
    /// The change does not fit the types. Iteration can continue with the next change.
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

impl From<ParseError> for ReadChangeError {
    fn from(error: ParseError) -> Self {
        Self::Read(error)
    }
}

impl From<DecodeError> for ReadChangeError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// An iterator over the typed changes of a source: see [`ChangesetReader::changes`].
pub type ReadChanges<'r, R, S> = ReadRecords<'r, ChangesetFormat, R, S>;

/// An iterator over the typed changes of a source: see [`PatchsetReader::patches`].
pub type ReadPatches<'r, R, S> = ReadRecords<'r, PatchsetFormat, R, S>;

/// An iterator over the records of a reader as values of the set `S`: see
/// [`ChangesetReader::changes`] and [`PatchsetReader::patches`].
#[must_use = "iterators are lazy"]
pub struct ReadRecords<'r, F, R, S> {
    reader: &'r mut Reader<F, R>,
    /// The number of the section that `table` was looked up for, as the reader counts sections.
    section: u64,
    table: TableLookup,
    skip_unknown: bool,
    ended: bool,
    set: PhantomData<fn() -> S>,
}

impl<'r, F, R, S> ReadRecords<'r, F, R, S> {
    fn new(reader: &'r mut Reader<F, R>) -> Self {
        Self { reader, section: 0, table: TableLookup::Pending, skip_unknown: false, ended: false, set: PhantomData }
    }

    /// Skips changes to tables outside the set. By default, such changes are errors.
    pub fn skip_unknown_tables(mut self) -> Self {
        self.skip_unknown = true;
        self
    }
}

impl<F: SetFormat, R: Read, S: for<'a> FromRecords<'a, F>> Iterator for ReadRecords<'_, F, R, S> {
    type Item = Result<S, ReadChangeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let (record, section) = match self.reader.next_with_section() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            };
            if self.section != section {
                (self.section, self.table) = (section, TableLookup::Pending);
            }
            let (table, skip_unknown) = (&mut self.table, self.skip_unknown);
            let read = record.with_unread(|source| {
                let found = match *table {
                    TableLookup::Found(table) => Some(table),
                    _ => table.find(<S as TrackedSet>::TABLES, source, skip_unknown)?,
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

impl<F: SetFormat, R: Read, S: for<'a> FromRecords<'a, F>> FusedIterator for ReadRecords<'_, F, R, S> {}

impl<F, R, S> fmt::Debug for ReadRecords<'_, F, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadRecords").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl<R: Read> Reader<ChangesetFormat, R> {
    /// Returns an iterator over the remaining changes as values of the set `S`, with one change in
    /// memory at a time. See [`Changeset::changes`](crate::Changeset::changes).
    ///
    /// - A change that does not fit the types is a [`ReadChangeError::Decode`] with its offset in
    ///   the source. Iteration can continue with the next change.
    /// - A change to a table outside the set is an error unless
    ///   [`skip_unknown_tables`](ReadRecords::skip_unknown_tables) is called.
    /// - After a [`ReadChangeError::Read`] iteration ends. If the source failed, another call of
    ///   this method retries.
    ///
    /// The rows own their values. For rows that borrow, and for the
    /// [indirect](crate::Record::indirect) flag, use [`next_record`](Self::next_record) and
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
    pub fn changes<S: for<'a> FromChanges<'a>>(&mut self) -> ReadChanges<'_, R, S> {
        ReadRecords::new(self)
    }
}

impl<R: Read> Reader<PatchsetFormat, R> {
    /// Returns an iterator over the remaining changes as values of the set `S`, with one change in
    /// memory at a time. See [`ChangesetReader::changes`] about errors.
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
    pub fn patches<S: for<'a> FromPatches<'a>>(&mut self) -> ReadPatches<'_, R, S> {
        ReadRecords::new(self)
    }
}
