//! Local changes put on top of remote ones: the rules of `sqlite3rebaser_rebase`.
//!
//! [`Rebaser`] holds, for each table of the rebase data, one resolution for each row and an index of them. The changes
//! themselves pass by: those of other rows are copied in pieces as long as they stand together, without a look at more than
//! their keys. All of it works on encoded records that have been checked, and copies their values as they stand.

mod change;
mod data;
mod error;
mod resolutions;

use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "std")]
use std::io::{Read, Write};

use self::change::{Local, Rebased};
pub use self::data::RebaseData;
pub use self::error::RebaseError;
#[cfg(feature = "std")]
pub use self::error::RebaseStreamError;
use self::resolutions::{BLOCK, Pending, Place, Resolutions};
use super::cursor::Cursor;
use super::index::{Index, MOST_ROWS, Seed};
use super::record::Record;
use super::set::{Changeset, ChangesetRef};
#[cfg(feature = "std")]
use super::stream::ChangesetReader;
use super::table::Header;
use super::{Format, Operation, check};

/// Rebases changes that were made here on changes that were made elsewhere, as
/// [`sqlite3rebaser`](https://www.sqlite.org/session/rebaser.html) does it, without SQLite.
///
/// Two databases begin alike. In one of them there are *local* changes, which nobody else has seen. *Remote* changes, made in the
/// other one, are applied on top of them, and some are in conflict: each is omitted, or replaces what was in its way. That is in
/// the apply's [`RebaseData`]. By it the local changes are rewritten to what they come to on top of the remote ones. Applied to the
/// other database they meet no conflict, and then both are the same, but for [what is not rebased](Self#what-is-not-rebased).
///
/// ```
/// use diesel_sqlite_session::{Changeset, RebaseData, Rebaser, TableSchema};
///
/// let users = TableSchema::new("users", &[1, 0]);
/// let local = Changeset::builder()
///     .insert_values(users, &[1.into(), "Ada".into()])
///     .insert_values(users, &[2.into(), "Bob".into()])
///     .build()?;
/// // what `report.rebase_data()` says: another user 1 was inserted elsewhere; this one stays
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
/// # What becomes of a change
///
/// A local change to a row with which no remote change was in conflict stays as it stands. Rebase data do not tell an INSERT from an
/// UPDATE, which holds only the values that it changed.
///
/// | local | remote | was omitted: local changes stay | has replaced what was local |
/// |---|---|---|---|
/// | INSERT | INSERT, UPDATE | UPDATE from the remote's row to the local one, of every column, key included | nothing |
/// | INSERT | DELETE | as it stands | as it stands |
/// | UPDATE | INSERT, UPDATE | UPDATE; where the remote has a value, from that | UPDATE without the columns that the remote has set; nothing, if no other is left |
/// | UPDATE | DELETE | INSERT of the new values, and for all other columns of those in the deleted row | nothing |
/// | DELETE | INSERT, UPDATE | DELETE; where the remote has a value, of that | as it stands |
/// | DELETE | DELETE | nothing | nothing |
///
/// Where an UPDATE records a new value without the old one, as sessions do not, the old one is not put in, and a column of that kind
/// alone is not enough for the UPDATE to stay. The indirect flag stays as it is.
///
/// The result is byte for byte SQLite's, sections that have lost all of their changes included, but for two cases in which SQLite's
/// could not be applied, or not without a conflict:
///
/// - Of an INSERT into a table that has no column beside its key, where the remote INSERT was omitted, SQLite makes an UPDATE that
///   sets nothing, and fails to apply it (`SQLITE_ERROR`). Here nothing is left of it, as both rows are the same.
/// - After a DELETE that has replaced, SQLite (3.53.2) forgets all that was said of the row when anything more is said of it, and leaves
///   local changes to it as they stand. Here they are rebased on the DELETE, as SQLite's documentation says.
///
/// # Several remote changesets
///
/// If several were applied on top of the local changes, their data are added in the order in which that was done. For each row
/// there is one resolution then:
///
/// | there is | is added | becomes |
/// |---|---|---|
/// | a DELETE, and it or what was before it replaced | anything | what there is |
/// | anything else | omitted | the operation that is added, with its values over those that there are; a column that was replaced stays so |
/// | anything else | replaced | the operation that is added; it counts as having set every column |
///
/// A row of which one resolution replaced is rebased as replaced.
///
/// # What is not rebased
///
/// - Patchsets: SQLite refuses them (`SQLITE_ERROR`), here there is no such function.
/// - An UPDATE is omitted whole, but local changes are rebased column by column. If it was in conflict in one column and set another
///   one too, which no local change sets, that one stays as it is in the other database, where local changes do not set it back. It
///   does not happen where such UPDATEs replace.
/// - Rebase data speak of rows by their keys. A remote row that was omitted as it broke another constraint, such as UNIQUE, is still in
///   the other database.
///
/// # Memory
///
/// The resolutions, one for each row, and 21 to 40 bytes more for each, and half as much again for a moment, whenever the index grows.
/// The changes that are rebased are not kept.
#[derive(Clone)]
pub struct Rebaser {
    seed: Seed,
    tables: Vec<Resolutions>,
    /// From a table's name, in lower case, to its resolutions.
    names: Index,
}

impl Rebaser {
    /// One without any data: what it rebases stays as it is.
    pub fn new() -> Self {
        Self { seed: Seed::new(), tables: Vec::new(), names: Index::default() }
    }

    /// Adds rebase data: those of the changeset that was applied first come first. See
    /// [`sqlite3rebaser_configure`](https://www.sqlite.org/session/sqlite3rebaser_configure.html).
    ///
    /// # Errors
    ///
    /// A table has other columns or another key than in data before it (`SQLITE_SCHEMA` in SQLite). What is before it has been
    /// added.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, RebaseData, Rebaser, TableSchema};
    ///
    /// let mut rebaser = Rebaser::new();
    /// for section in [&b"T\x02\x01\x00users\0\x12\x01\x01\0\0\0\0\0\0\0\x01\x03\x03Ada"[..], b"T\x01\x01USERS\0\x12\x00\x03\x01k"] {
    ///     if let Err(error) = rebaser.add(&RebaseData::try_from(section)?) {
    ///         assert_eq!(error.to_string(), "table USERS has 1 columns, in the rebase data 2");
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, data: &RebaseData) -> Result<(), RebaseError> {
        let mut records = data.records().peekable();
        let (mut block, mut merged) = (Vec::with_capacity(BLOCK), Vec::new());
        while let Some(first) = records.peek() {
            let (header, ..) = first.parts();
            let at = self.find_or_declare(header)?;
            let Some(table) = self.tables.get_mut(at) else { break };
            let is_in_section = |record: &Record<'_>| core::ptr::eq(record.key_ordinals(), header.key);
            while let Some(record) = records.next_if(is_in_section) {
                block.push(record.parts().2);
                if block.len() == BLOCK || !records.peek().is_some_and(is_in_section) {
                    table.add(&block, self.seed, &mut merged).ok_or_else(|| RebaseError::too_many(header))?;
                    block.clear();
                }
            }
        }
        Ok(())
    }

    fn find_or_declare(&mut self, header: Header<'_>) -> Result<usize, RebaseError> {
        let new = self.tables.len();
        if new >= MOST_ROWS {
            return Err(RebaseError::too_many(header));
        }
        let tables = &self.tables;
        let is_it = |at: usize| tables.get(at).is_some_and(|table| table.name.eq_ignore_ascii_case(header.name));
        match self.names.find_or_insert(self.seed.of_name(header.name), new, is_it) {
            Some((_, at)) => match self.tables.get(at) {
                Some(table) if *table.key != *header.key => Err(table.mismatch(header)),
                _ => Ok(at),
            },
            None => {
                self.tables.push(Resolutions::new(header));
                Ok(new)
            }
        }
    }

    /// The changes as they are on top of those that the data are of: see [above](Self#what-becomes-of-a-change), and
    /// [`sqlite3rebaser_rebase`](https://www.sqlite.org/session/sqlite3rebaser_rebase.html).
    ///
    /// # Errors
    ///
    /// A table has another number of columns than in the rebase data, or other columns are its key: SQLite does not look, and reads
    /// beyond the ends of records or compares other columns. And an UPDATE of a deleted row has NULL for the new value of its key:
    /// SQLite makes an INSERT of it.
    pub fn rebase<'a>(&self, changeset: impl Into<ChangesetRef<'a>>) -> Result<Changeset, RebaseError> {
        let bytes = changeset.into().as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut cursor = Cursor::new(bytes);
        let mut table: Option<Header<'_>> = None;
        while let Some(first) = cursor.peek() {
            if Format::from_byte(first).is_some() {
                table = check::section(&mut cursor, Format::Changeset).ok();
                continue;
            }
            match table.filter(|_| Operation::from_byte(first).is_some()) {
                Some(header) => self.section(&mut cursor, header, &mut out)?,
                None => break, // checked bytes do not come here
            }
        }
        Ok(Changeset::from_checked(out))
    }

    /// Rebases the changes of one section, up to the next header.
    fn section<'a>(&self, cursor: &mut Cursor<'a>, header: Header<'a>, out: &mut Vec<u8>) -> Result<(), RebaseError> {
        header.write(Format::Changeset, out);
        let table = self.resolutions(header)?;
        // all from here on stays as it is
        let mut same = *cursor;
        let mut block: Vec<Pending<'_>> = Vec::with_capacity(BLOCK);
        // the row after the last that was found: often the next one, as SQLite has the same order everywhere. After a row for
        // which it was not so, it is not asked for until one is found again.
        let mut next = Some(0);
        loop {
            while block.len() < BLOCK && cursor.peek().and_then(Operation::from_byte).is_some() {
                let start = *cursor;
                if check::extent(cursor, header, Format::Changeset).is_none() {
                    break; // checked bytes do not come here
                }
                if let Some(table) = table {
                    let key = table.key_at(start.rest(), header.key);
                    let here = next.filter(|row| table.has_key(*row, key));
                    next = here.map(|row| row.saturating_add(1));
                    let (place, hash) = match here {
                        Some(row) => (Place::Row(row), 0),
                        None => (Place::Unknown, key.hash(self.seed)),
                    };
                    if here.is_none() && !table.filter.may_have(hash) {
                        continue;
                    }
                    block.push(Pending { start, end: *cursor, hash, place });
                }
            }
            let Some(table) = table.filter(|_| !block.is_empty()) else { break };
            table.look_ahead(&mut block);
            for Pending { mut start, end, hash, place } in block.drain(..) {
                let key = table.key_at(start.rest(), header.key);
                let row = match place {
                    Place::Nowhere => None,
                    Place::Row(row) => Some(row),
                    Place::Maybe(row) if table.has_key(row, key) => Some(row),
                    Place::Maybe(_) | Place::Unknown => table.find(key, hash),
                };
                let Some(row) = row else { continue };
                if next.is_none() {
                    next = Some(row.saturating_add(1));
                }
                out.extend_from_slice(start.since(same));
                let mut flag = start;
                flag.byte();
                let indirect = flag.peek().unwrap_or_default();
                let unchanged = end.since(start);
                let record = check::extent(&mut start, header, Format::Changeset);
                let rebased = match (record, table.of_row(row)) {
                    (Some(record), Some(remote)) => Local { header, indirect, record }.rebase(remote, out)?,
                    _ => Rebased::AsItStands, // nor here
                };
                if rebased == Rebased::AsItStands {
                    out.extend_from_slice(unchanged);
                }
                same = end;
            }
        }
        out.extend_from_slice(cursor.since(same));
        Ok(())
    }

    /// What is known of a table, which must have the same columns.
    fn resolutions(&self, header: Header<'_>) -> Result<Option<&Resolutions>, RebaseError> {
        if self.tables.is_empty() {
            return Ok(None);
        }
        let is_it = |at: usize| self.tables.get(at).is_some_and(|table| table.name.eq_ignore_ascii_case(header.name));
        let found = self.names.find(self.seed.of_name(header.name), is_it).and_then(|at| self.tables.get(at));
        match found {
            Some(table) if !table.fits(header) => Err(table.mismatch(header)),
            other => Ok(other),
        }
    }

    /// Rebases changes as they are read, and writes them as soon as they are rebased: for what is larger than memory. See
    /// [`sqlite3rebaser_rebase_strm`](https://www.sqlite.org/session/sqlite3changegroup_add_strm.html).
    ///
    /// What is written is what [`rebase`](Self::rebase) gives, but that an indirect flag above 1 becomes 1.
    ///
    /// # Errors
    ///
    /// Those of the reader, of [`rebase`](Self::rebase) and of the writer. What was written before is no whole changeset then.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, ChangesetReader, Rebaser};
    ///
    /// let source: &[u8] = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
    /// let mut rebased = Vec::new();
    /// Rebaser::new().rebase_stream(ChangesetReader::new(source), &mut rebased)?;
    /// assert_eq!(rebased, source);
    /// # Ok::<(), diesel_sqlite_session::RebaseStreamError>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn rebase_stream<R: Read>(
        &self,
        mut changeset: ChangesetReader<R>,
        mut writer: impl Write,
    ) -> Result<(), RebaseStreamError> {
        /// Changes are put together before they are written.
        const PIECE: usize = 64 * 1024;
        let mut out = Vec::new();
        let (mut last, mut table) = (0, None);
        while let Some((record, section)) = changeset.next_with_section().map_err(RebaseStreamError::Read)? {
            let (header, _, record) = record.parts();
            if section != last {
                last = section;
                header.write(Format::Changeset, &mut out);
                table = self.resolutions(header).map_err(RebaseStreamError::Rebase)?;
            }
            let local = Local { header, indirect: record.indirect.into(), record };
            let found = table.and_then(|table| {
                let key = table.key_of(record.key_record(), header.key);
                table.of_row(table.find(key, key.hash(self.seed))?)
            });
            let rebased = match found {
                Some(remote) => local.rebase(remote, &mut out).map_err(RebaseStreamError::Rebase)?,
                None => Rebased::AsItStands,
            };
            if rebased == Rebased::AsItStands {
                local.write(&mut out);
            }
            if out.len() >= PIECE {
                writer.write_all(&out).map_err(RebaseStreamError::Write)?;
                out.clear();
            }
        }
        writer.write_all(&out).and_then(|()| writer.flush()).map_err(RebaseStreamError::Write)
    }
}

impl Default for Rebaser {
    fn default() -> Self {
        Self::new()
    }
}

/// The tables, and of how many rows of each there is a resolution.
impl fmt::Debug for Rebaser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rebaser ")?;
        f.debug_map().entries(self.tables.iter().map(|table| (&table.name, table.rows.len()))).finish()
    }
}

impl Changeset {
    /// These changes on top of others that were made elsewhere, by how their conflicts were resolved: see [`Rebaser`], which
    /// also takes the data of several.
    ///
    /// # Errors
    ///
    /// Those of [`Rebaser::add`] and [`Rebaser::rebase`].
    ///
    /// ```
    /// # use diesel_sqlite_session::{Changeset, RebaseData};
    /// # let local = Changeset::try_from(
    /// #     b"T\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x00\x03\x06Robert".to_vec(),
    /// # )?;
    /// # let data = RebaseData::try_from(b"T\x02\x01\x00users\0\x09\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob".to_vec())?;
    /// assert_eq!(format!("{local:?}"), "Changeset [UPDATE users(2, 'Bob' -> 'Robert')]");
    /// assert_eq!(format!("{data:?}"), "RebaseData [omitted DELETE users(2, 'Bob')]");
    /// assert_eq!(format!("{:?}", local.rebase(&data)?), "Changeset [INSERT users(2, 'Robert')]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rebase(&self, data: &RebaseData) -> Result<Changeset, RebaseError> {
        self.as_borrowed().rebase(data)
    }
}

impl ChangesetRef<'_> {
    /// These changes on top of others that were made elsewhere: see [`Changeset::rebase`].
    ///
    /// # Errors
    ///
    /// Those of [`Rebaser::add`] and [`Rebaser::rebase`].
    pub fn rebase(self, data: &RebaseData) -> Result<Changeset, RebaseError> {
        let mut rebaser = Rebaser::new();
        rebaser.add(data)?;
        rebaser.rebase(self)
    }
}
