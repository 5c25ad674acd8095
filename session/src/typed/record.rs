//! One record as a typed value, for who has records: of a stream, in a filter, or beside other things that are read of them.

use super::error::DecodeErrorKind;
use super::set::Section;
use super::{DecodeError, FromChanges, FromPatches, TableInfo};
use crate::wire::codec::unread::UnreadRecord;
use crate::wire::{Format, Record};

impl<'a> Record<'a> {
    /// The change as a value of a set of tables, if this is a record of a changeset: what
    /// [`Changeset::changes`](crate::Changeset::changes) makes of each. Rows may borrow from what the record borrows from.
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
    /// [`ChangesetReader::changes`](crate::ChangesetReader::changes) are faster: this looks for the table each time.
    ///
    /// # Errors
    ///
    /// If the table is not in the set, the change is not what the types say, or it is one of a patchset.
    pub fn change<S: FromChanges<'a>>(&self) -> Result<S, DecodeError> {
        self.with_unread(|source| S::read(self.place(source, S::TABLES, Format::Changeset)?, source, |change| change))
    }

    /// The change as a value of a set of tables, if this is a record of a patchset: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// As [`change`](Self::change), for a record of a changeset.
    pub fn patch<S: FromPatches<'a>>(&self) -> Result<S, DecodeError> {
        self.with_unread(|source| S::read(self.place(source, S::TABLES, Format::Patchset)?, source, |patch| patch))
    }

    /// The place of the table among those of a set.
    fn place(
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
        Section::New.find(tables, source, false)?.ok_or_else(unknown)
    }
}
