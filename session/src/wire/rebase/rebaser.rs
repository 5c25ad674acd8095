//! [`Rebaser`], the public type of rebasing.

use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "std")]
use std::io::{Read, Write};

#[cfg(feature = "std")]
use super::change::{LocalChange, Outcome, RemoteChange};
use super::data::RebaseData;
#[cfg(feature = "std")]
use super::driver::PIECE;
use super::driver::{Matcher, OwnedHeader, rebase_with};
use super::error::{mismatch, too_many};
use super::index_matcher::IndexMatcher;
use super::merge_matcher::MergeMatcher;
use super::output::{InPlaceOutput, NewOutput, Output};
use super::resolutions::{BLOCK, Resolutions, has_same_columns};
use crate::wire::codec::error::BuildError;
use crate::wire::codec::header::Header;
#[cfg(feature = "std")]
use crate::wire::codec::kind::Format;
#[cfg(feature = "std")]
use crate::wire::codec::reader::ChangesetReader;
use crate::wire::codec::record::Record;
use crate::wire::codec::set::{Changeset, ChangesetFormat, ChangesetRef, Set, SetRef};
use crate::wire::group::index::{Index, MOST_ROWS, Seed};

/// Rebases local changes onto remote changes, as
/// [`sqlite3rebaser`](https://www.sqlite.org/session/rebaser.html) does, without SQLite.
///
/// Two databases start with the same content. One of them has *local* changes, which nobody else
/// has seen. *Remote* changes from the other database are applied on top of the local changes. Each
/// remote change in conflict is omitted, or replaces the local row. The [`RebaseData`] of the apply
/// records these decisions.
///
/// The rebaser uses the rebase data to rewrite the local changes, as if they had been made on top
/// of the remote changes. Applied to the other database, the rebased changes do not conflict. Both
/// databases are equal afterwards, except for [what is not rebased](Self#what-is-not-rebased).
///
/// ```
/// use diesel_sqlite_session::wire::{RebaseData, Rebaser, TableInfo};
/// use diesel_sqlite_session::Changeset;
///
/// let users = TableInfo::new("users", &[1, 0]);
/// let local = Changeset::builder()
///     .insert_values(users, &[1.into(), "Ada".into()])
///     .insert_values(users, &[2.into(), "Bob".into()])
///     .build()?;
/// // from `report.rebase_data()`: a remote INSERT of user 1 conflicted, and was omitted
/// let data = RebaseData::try_from(b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Eve".to_vec())?;
/// assert_eq!(format!("{data:?}"), "RebaseData [omitted INSERT or UPDATE users(1, 'Eve')]");
///
/// let mut rebaser = Rebaser::new();
/// rebaser.add(&data)?;
/// let lines: Vec<String> = rebaser.rebase(&local)?.records().map(|record| record.to_string()).collect();
/// assert_eq!(lines, ["UPDATE users(1 -> 1, 'Eve' -> 'Ada')", "INSERT users(2, 'Bob')"]);
/// assert_eq!(local.rebase(&data)?, rebaser.rebase(&local)?, "the short form");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Rules
///
/// A local change stays unchanged if no remote change to its row was in conflict. Otherwise the
/// result depends on both operations and on the decision:
///
/// | local | remote | result if the remote change was omitted | result if the remote change replaced the row |
/// |---|---|---|---|
/// | INSERT | INSERT, UPDATE | UPDATE of every column, key included, from the remote to the local value | nothing |
/// | INSERT | DELETE | unchanged | unchanged |
/// | UPDATE | INSERT, UPDATE | UPDATE; old values are those of the remote change where it has them | UPDATE without the columns that the remote change set; nothing if no column is left |
/// | UPDATE | DELETE | INSERT of the new values, and of the deleted row's values in all other columns | nothing |
/// | DELETE | INSERT, UPDATE | DELETE; old values are those of the remote change where it has them | unchanged |
/// | DELETE | DELETE | nothing | nothing |
///
/// Rebase data does not distinguish an INSERT from an UPDATE. An UPDATE in rebase data contains
/// only the values that it changed.
///
/// An UPDATE can contain a new value without its old value. Sessions do not write such UPDATEs. The
/// rebaser does not add the old value. An UPDATE with no other column left is dropped.
///
/// The indirect flag stays as it is.
///
/// The result is byte for byte that of SQLite, including sections that have lost all their changes.
/// There are two exceptions, in which SQLite's result cannot be applied, or conflicts:
///
/// - A local INSERT into a table whose columns are all part of the key, where the remote INSERT was
///   omitted. SQLite writes an UPDATE that sets nothing, and fails to apply it (`SQLITE_ERROR`).
///   The rebaser writes nothing, as both rows are equal.
/// - A row that a remote DELETE replaced, and for which there is more rebase data. SQLite (3.53.2)
///   forgets all data of this row, and leaves local changes to it unchanged. The rebaser rebases
///   them onto the DELETE, as SQLite documents it.
///
/// # Several remote changesets
///
/// If several remote changesets were applied on top of the local changes, add their rebase data in
/// the order in which they were applied. The rebaser merges the data of each row into one
/// resolution:
///
/// | existing resolution | added resolution | result |
/// |---|---|---|
/// | a DELETE, and any resolution of the row so far replaced it | any | the existing resolution |
/// | any other | omitted | the added operation, with its values over the existing values; a replaced column stays replaced |
/// | any other | replaced | the added operation, which counts as if it had set every column |
///
/// A row counts as replaced if any of its resolutions replaced it.
///
/// # What is not rebased
///
/// - Patchsets. SQLite fails for them (`SQLITE_ERROR`). This crate has no function that rebases
///   them.
/// - Columns of an omitted UPDATE that did not conflict. An UPDATE is omitted as a whole, but local
///   changes are rebased by column. If no local change sets such a column, the other database keeps
///   the new value, and the local database the old value. This does not happen if the UPDATE
///   replaces the row.
/// - Remote rows that were omitted because they violate another constraint, such as UNIQUE. Rebase
///   data identifies rows by key. The other database keeps these rows.
///
/// # Memory
///
/// The rebaser stores one resolution for each row, and 21 to 40 more bytes for each of them. While
/// the index grows, it temporarily uses half as much again. Changes that are rebased are not
/// stored.
#[derive(Clone)]
pub struct Rebaser {
    seed: Seed,
    tables: Vec<Resolutions>,
    /// An index of `tables` by name, ignoring ASCII case.
    names: Index,
}

impl Rebaser {
    /// Creates a rebaser without data, which leaves all changes unchanged.
    pub fn new() -> Self {
        Self { seed: Seed::new(), tables: Vec::new(), names: Index::default() }
    }

    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    /// Adds the rebase data of the next remote changeset, in the order of the applies. See
    /// [`sqlite3rebaser_configure`](https://www.sqlite.org/session/sqlite3rebaser_configure.html).
    ///
    /// # Errors
    ///
    /// Fails if a table has other columns or another key than in data that was added before
    /// (`SQLITE_SCHEMA` in SQLite). Data that precedes the table has been added.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::{RebaseData, Rebaser, TableInfo};
    /// use diesel_sqlite_session::Changeset;
    ///
    /// let mut rebaser = Rebaser::new();
    /// for section in [&b"T\x02\x01\x00users\0\x12\x01\x01\0\0\0\0\0\0\0\x01\x03\x03Ada"[..], b"T\x01\x01USERS\0\x12\x00\x03\x01k"] {
    ///     if let Err(error) = rebaser.add(&RebaseData::try_from(section)?) {
    ///         assert_eq!(error.to_string(), "table USERS: 1 columns, but 2 in the rebase data");
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, data: &RebaseData) -> Result<(), BuildError> {
        let mut records = data.records().peekable();
        let (mut block, mut merged) = (Vec::with_capacity(BLOCK), Vec::new());
        while let Some(first) = records.peek() {
            let (header, ..) = first.parts();
            let at = self.find_or_insert(header)?;
            let Some(table) = self.tables.get_mut(at) else { break };
            let is_in_section = |record: &Record<'_>| core::ptr::eq(record.key_ordinals(), header.key);
            while let Some(record) = records.next_if(is_in_section) {
                block.push(record.parts().2);
                if block.len() == BLOCK || !records.peek().is_some_and(is_in_section) {
                    table.add(&block, self.seed, &mut merged).ok_or_else(|| too_many(header))?;
                    block.clear();
                }
            }
        }
        Ok(())
    }

    /// Returns the position of a table in `tables`. Inserts the table if there is no data for it
    /// yet.
    fn find_or_insert(&mut self, header: Header<'_>) -> Result<usize, BuildError> {
        let new = self.tables.len();
        if new >= MOST_ROWS {
            return Err(too_many(header));
        }
        let tables = &self.tables;
        let has_name = |at: usize| tables.get(at).is_some_and(|table| table.name.eq_ignore_ascii_case(header.name));
        match self.names.find_or_insert(self.seed.of_name(header.name), new, has_name) {
            Some((_, at)) => match self.tables.get(at) {
                Some(table) if *table.key != *header.key => Err(mismatch(&table.key, header)),
                _ => Ok(at),
            },
            None => {
                self.tables.push(Resolutions::new(header));
                Ok(new)
            }
        }
    }

    /// Returns `changeset` rebased onto the remote changes that the rebase data describes, by
    /// [these rules](Self#rules). See
    /// [`sqlite3rebaser_rebase`](https://www.sqlite.org/session/sqlite3rebaser_rebase.html).
    ///
    /// # Errors
    ///
    /// - A table has another number of columns or other key columns than in the rebase data. SQLite
    ///   does not check this: it reads beyond the ends of records, or compares other columns.
    /// - An UPDATE of a row that was deleted remotely has NULL as the new value of its key. SQLite
    ///   writes an INSERT with this key.
    pub fn rebase<'a>(&self, changeset: impl Into<ChangesetRef<'a>>) -> Result<Changeset, BuildError> {
        let mut output = NewOutput::new(changeset.into().as_bytes());
        self.rebase_rest(None, &mut output)?;
        Ok(Changeset::from_checked(output.into_bytes()))
    }

    /// Rebases the unread input, which starts inside of `section` if that is `Some`.
    fn rebase_rest(&self, section: Option<OwnedHeader>, output: &mut impl Output) -> Result<(), BuildError> {
        let mut matcher = IndexMatcher::new(self);
        if let Some(section) = &section {
            matcher.start_section(section.as_header())?;
        }
        rebase_with(&mut matcher, section, output).map(drop)
    }

    /// Returns the resolutions of a table. Fails if the table has other columns than in the rebase
    /// data.
    pub(super) fn resolutions(&self, header: Header<'_>) -> Result<Option<&Resolutions>, BuildError> {
        if self.tables.is_empty() {
            return Ok(None);
        }
        let has_name =
            |at: usize| self.tables.get(at).is_some_and(|table| table.name.eq_ignore_ascii_case(header.name));
        let found = self.names.find(self.seed.of_name(header.name), has_name).and_then(|at| self.tables.get(at));
        match found {
            Some(table) if !has_same_columns(&table.key, header) => Err(mismatch(&table.key, header)),
            other => Ok(other),
        }
    }

    /// Rebases changes while they are read, and writes each as soon as it is rebased, for
    /// changesets larger than memory. See
    /// [`sqlite3rebaser_rebase_strm`](https://www.sqlite.org/session/sqlite3changegroup_add_strm.html).
    ///
    /// The output equals the result of [`rebase`](Self::rebase), except that an indirect flag above
    /// 1 becomes 1.
    ///
    /// # Errors
    ///
    /// Fails if the reader, the writer or [`rebase`](Self::rebase) fails. The bytes written so far
    /// are not a complete changeset then.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::Rebaser;
    /// use diesel_sqlite_session::{Changeset, ChangesetReader};
    ///
    /// let source: &[u8] = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
    /// let mut rebased = Vec::new();
    /// Rebaser::new().write_rebased_to(ChangesetReader::new(source), &mut rebased)?;
    /// assert_eq!(rebased, source);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn write_rebased_to<R: Read>(
        &self,
        mut changeset: ChangesetReader<R>,
        mut writer: impl Write,
    ) -> Result<(), BuildError> {
        let mut out = Vec::new();
        let (mut last_section, mut table) = (0, None);
        while let Some((record, section)) = changeset.next_with_section().map_err(BuildError::from)? {
            let (header, _, record) = record.parts();
            if section != last_section {
                last_section = section;
                header.write(Format::Changeset, &mut out);
                table = self.resolutions(header)?;
            }
            let local = LocalChange { header, indirect: record.indirect.into(), record };
            let remote = table.and_then(|table| {
                let key = table.key_of(record.key_record(), header.key);
                table.of_row(table.find(key, key.hash(self.seed))?)
            });
            let outcome = match remote {
                Some(remote) => local.rebase(RemoteChange::merged(remote), &mut out)?,
                None => Outcome::Unchanged,
            };
            if outcome == Outcome::Unchanged {
                local.write(&mut out);
            }
            if out.len() >= PIECE {
                writer.write_all(&out).map_err(BuildError::of_writer)?;
                out.clear();
            }
        }
        writer.write_all(&out).and_then(|()| writer.flush()).map_err(BuildError::of_writer)
    }
}

/// Rebases the unread input onto the data of one apply.
fn rebase_onto(data: &RebaseData, mut output: impl Output) -> Result<Changeset, BuildError> {
    let section = match MergeMatcher::new(data) {
        Some(mut matcher) => match rebase_with(&mut matcher, None, &mut output)? {
            None => return Ok(Changeset::from_checked(output.into_bytes())),
            section => section,
        },
        None => None,
    };
    let mut rebaser = Rebaser::new();
    rebaser.add(data)?;
    rebaser.rebase_rest(section, &mut output)?;
    Ok(Changeset::from_checked(output.into_bytes()))
}

impl Default for Rebaser {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows each table with the number of its resolutions.
impl fmt::Debug for Rebaser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rebaser ")?;
        f.debug_map().entries(self.tables.iter().map(|table| (&table.name, table.rows.len()))).finish()
    }
}

impl Set<ChangesetFormat> {
    /// Returns the changeset rebased onto the remote changes that `data` describes.
    ///
    /// [`Rebaser`] documents the rules. It also accepts the data of several applies.
    ///
    /// # Errors
    ///
    /// The same as [`Rebaser::add`] and [`Rebaser::rebase`].
    ///
    /// ```
    /// # use diesel_sqlite_session::wire::RebaseData;
    /// # use diesel_sqlite_session::Changeset;
    /// # let local = Changeset::try_from(
    /// #     b"T\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x00\x03\x06Robert".to_vec(),
    /// # )?;
    /// # let data = RebaseData::try_from(b"T\x02\x01\x00users\0\x09\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob".to_vec())?;
    /// assert_eq!(format!("{local:?}"), "Changeset [UPDATE users(2, 'Bob' -> 'Robert')]");
    /// assert_eq!(format!("{data:?}"), "RebaseData [omitted DELETE users(2, 'Bob')]");
    /// assert_eq!(format!("{:?}", local.rebase(&data)?), "Changeset [INSERT users(2, 'Robert')]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rebase(&self, data: &RebaseData) -> Result<Changeset, BuildError> {
        self.as_borrowed().rebase(data)
    }

    /// Rebases the changeset in its own memory: see [`rebase`](Self::rebase). For a large
    /// changeset, this is much faster.
    ///
    /// # Errors
    ///
    /// The same as [`rebase`](Self::rebase).
    ///
    /// ```
    /// # use diesel_sqlite_session::wire::{RebaseData, TableInfo};
    /// # use diesel_sqlite_session::Changeset;
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let local = Changeset::builder().delete_values(users, &[2.into(), "Bob".into()]).build()?;
    /// let data = RebaseData::try_from(b"T\x02\x01\x00users\0\x09\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob".to_vec())?;
    /// assert!(local.into_rebased(&data)?.is_empty(), "both databases deleted the row");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_rebased(self, data: &RebaseData) -> Result<Changeset, BuildError> {
        rebase_onto(data, InPlaceOutput::new(self.into_bytes()))
    }

    /// Rebases the changeset in its own memory onto the data of several applies: see
    /// [`Rebaser::rebase`]. For a large changeset, this is much faster.
    ///
    /// # Errors
    ///
    /// The same as [`Rebaser::rebase`].
    ///
    /// ```
    /// # use diesel_sqlite_session::wire::{RebaseData, Rebaser, TableInfo};
    /// # use diesel_sqlite_session::Changeset;
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let local = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]).build()?;
    /// let mut rebaser = Rebaser::new();
    /// rebaser.add(&RebaseData::try_from(b"T\x02\x01\x00users\0\x12\x01\x01\0\0\0\0\0\0\0\x01\x03\x03Eve".to_vec())?)?;
    /// let rebased = rebaser.rebase(&local)?;
    /// assert_eq!(local.into_rebased_by(&rebaser)?, rebased);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_rebased_by(self, rebaser: &Rebaser) -> Result<Changeset, BuildError> {
        let mut output = InPlaceOutput::new(self.into_bytes());
        rebaser.rebase_rest(None, &mut output)?;
        Ok(Changeset::from_checked(output.into_bytes()))
    }
}

impl SetRef<'_, ChangesetFormat> {
    /// Returns the changeset rebased onto the remote changes that `data` describes: see
    /// [`Changeset::rebase`].
    ///
    /// # Errors
    ///
    /// The same as [`Rebaser::add`] and [`Rebaser::rebase`].
    pub fn rebase(self, data: &RebaseData) -> Result<Changeset, BuildError> {
        rebase_onto(data, NewOutput::new(self.as_bytes()))
    }
}
