//! Reading one record as a typed value, for code that has records: from a reader, or in a filter.

use super::error::DecodeErrorKind;
use super::set::TableLookup;
use super::{DecodeError, FromChanges, FromPatches, TableInfo};
use crate::wire::codec::unread::UnreadRecord;
use crate::wire::{Format, Record};

impl<'a> Record<'a> {
    /// Returns the record of a changeset as a value of the set `S`: an enum of
    /// [`Change`](crate::Change)s, or `Change` of one table. Rows can borrow from the same bytes as
    /// the record.
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
    /// #[derive(Debug, Tracked)]
    /// #[diesel(table_name = users)]
    /// struct User<'a> {
    ///     id: i32,
    ///     name: &'a str,
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let file: &[u8] = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
    /// let mut reader = ChangesetReader::new(file);
    /// while let Some(record) = reader.next_record()? {
    ///     if record.table() == "users" && !record.indirect() {
    ///         match record.change()? {
    ///             Change::<User>::Insert(user) => assert_eq!((user.id, user.name), (1, "Ada")),
    ///             other => println!("{other:?}"),
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// To read all changes, [`Changeset::changes`](crate::Changeset::changes) and
    /// [`ChangesetReader::changes`](crate::ChangesetReader::changes) are faster, because they
    /// search for the table once in each section.
    ///
    /// # Errors
    ///
    /// Fails if the table is not part of the set, if the change does not fit the types, or if the
    /// record belongs to a patchset.
    pub fn change<S: FromChanges<'a>>(&self) -> Result<S, DecodeError> {
        self.with_unread(|source| {
            S::read(self.find_table(source, S::TABLES, Format::Changeset)?, source, |change| change)
        })
    }

    /// Returns the record of a patchset as a value of the set `S`: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// The same as [`change`](Self::change), but fails for a record of a changeset.
    pub fn patch<S: FromPatches<'a>>(&self) -> Result<S, DecodeError> {
        self.with_unread(|source| S::read(self.find_table(source, S::TABLES, Format::Patchset)?, source, |patch| patch))
    }

    /// Returns the position of the table in `tables`.
    fn find_table(
        &self,
        source: &UnreadRecord<'_, 'a>,
        tables: &'static [&'static TableInfo<'static>],
        format: Format,
    ) -> Result<usize, DecodeError> {
        let found = self.format();
        if found != format {
            return Err(DecodeError::of_table(self, None, DecodeErrorKind::WrongFormat { found }));
        }
        let unknown = || DecodeError::of_table(self, None, DecodeErrorKind::UnknownTable);
        TableLookup::Pending.find(tables, source, false)?.ok_or_else(unknown)
    }
}
