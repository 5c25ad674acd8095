//! Local changes put on top of remote ones: the rules of `sqlite3rebaser_rebase`.
//!
//! [`Rebaser`] holds, for each table of the rebase data, one resolution for each row and an index of them. Changes that are rebased
//! on one apply's data alone are read [beside] them, without an index, as long as both are in the same order.
//!
//! The changes themselves pass by, in pieces: those of other rows are copied as long as they stand together, without a look at more
//! than their keys, or stay where they are, in one [place]. All of it works on encoded records that have been checked, and copies their
//! values as they stand.

mod beside;
mod change;
mod data;
mod error;
mod place;
mod resolutions;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "std")]
use std::io::{Read, Write};

use self::beside::Beside;
use self::change::{Local, Rebased, Remote};
pub use self::data::RebaseData;
use self::error::{mismatch, too_many};
use self::place::{Fresh, Room, Same};
use self::resolutions::{BLOCK, Pending, Place, Resolutions, fits};
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::walk::Walker;
use crate::wire::codec::error::BuildError;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
#[cfg(feature = "std")]
use crate::wire::codec::reader::ChangesetReader;
use crate::wire::codec::record::Record;
use crate::wire::codec::set::{Changeset, ChangesetFormat, ChangesetRef, Set, SetRef};
use crate::wire::group::index::{Index, MOST_ROWS, Seed};

/// Rebases changes that were made here on changes that were made elsewhere, as
/// [`sqlite3rebaser`](https://www.sqlite.org/session/rebaser.html) does it, without SQLite.
///
/// Two databases begin alike. In one of them there are *local* changes, which nobody else has seen. *Remote* changes, made in the
/// other one, are applied on top of them, and some are in conflict: each is omitted, or replaces what was in its way. That is in
/// the apply's [`RebaseData`]. By it the local changes are rewritten to what they come to on top of the remote ones. Applied to the
/// other database they meet no conflict, and then both are the same, but for [what is not rebased](Self#what-is-not-rebased).
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
    /// use diesel_sqlite_session::wire::{RebaseData, Rebaser, TableInfo};
    /// use diesel_sqlite_session::Changeset;
    ///
    /// let mut rebaser = Rebaser::new();
    /// for section in [&b"T\x02\x01\x00users\0\x12\x01\x01\0\0\0\0\0\0\0\x01\x03\x03Ada"[..], b"T\x01\x01USERS\0\x12\x00\x03\x01k"] {
    ///     if let Err(error) = rebaser.add(&RebaseData::try_from(section)?) {
    ///         assert_eq!(error.to_string(), "table USERS has 1 columns, in the rebase data 2");
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, data: &RebaseData) -> Result<(), BuildError> {
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
                    table.add(&block, self.seed, &mut merged).ok_or_else(|| too_many(header))?;
                    block.clear();
                }
            }
        }
        Ok(())
    }

    fn find_or_declare(&mut self, header: Header<'_>) -> Result<usize, BuildError> {
        let new = self.tables.len();
        if new >= MOST_ROWS {
            return Err(too_many(header));
        }
        let tables = &self.tables;
        let is_it = |at: usize| tables.get(at).is_some_and(|table| table.name.eq_ignore_ascii_case(header.name));
        match self.names.find_or_insert(self.seed.of_name(header.name), new, is_it) {
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

    /// The changes as they are on top of those that the data are of: see [above](Self#what-becomes-of-a-change), and
    /// [`sqlite3rebaser_rebase`](https://www.sqlite.org/session/sqlite3rebaser_rebase.html).
    ///
    /// # Errors
    ///
    /// A table has another number of columns than in the rebase data, or other columns are its key: SQLite does not look, and reads
    /// beyond the ends of records or compares other columns. And an UPDATE of a deleted row has NULL for the new value of its key:
    /// SQLite makes an INSERT of it.
    pub fn rebase<'a>(&self, changeset: impl Into<ChangesetRef<'a>>) -> Result<Changeset, BuildError> {
        let mut place = Fresh::new(changeset.into().as_bytes());
        self.rebase_from(None, &mut place)?;
        Ok(Changeset::from_checked(place.into_bytes()))
    }

    /// The same as [`rebase`](Self::rebase), in the memory of the changeset: where that is large, it is much faster.
    ///
    /// # Errors
    ///
    /// Those of [`rebase`](Self::rebase).
    ///
    /// ```
    /// # use diesel_sqlite_session::wire::{RebaseData, Rebaser, TableInfo};
    /// # use diesel_sqlite_session::Changeset;
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let local = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]).build()?;
    /// let mut rebaser = Rebaser::new();
    /// rebaser.add(&RebaseData::try_from(b"T\x02\x01\x00users\0\x12\x01\x01\0\0\0\0\0\0\0\x01\x03\x03Eve".to_vec())?)?;
    /// let rebased = rebaser.rebase(&local)?;
    /// assert_eq!(rebaser.rebase_owned(local)?, rebased);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rebase_owned(&self, changeset: Changeset) -> Result<Changeset, BuildError> {
        let mut place = Same::new(changeset.into_bytes());
        self.rebase_from(None, &mut place)?;
        Ok(Changeset::from_checked(place.into_bytes()))
    }

    /// Rebases what is left, which begins in the midst of a section, if there is one.
    fn rebase_from(&self, section: Option<Named>, place: &mut impl Room) -> Result<(), BuildError> {
        let mut matcher = Indexed { rebaser: self, table: None, next: Some(0) };
        if let Some(section) = &section {
            matcher.section(section.header())?;
        }
        rebase_by(&mut matcher, section, place).map(drop)
    }

    /// What is known of a table, which must have the same columns.
    fn resolutions(&self, header: Header<'_>) -> Result<Option<&Resolutions>, BuildError> {
        if self.tables.is_empty() {
            return Ok(None);
        }
        let is_it = |at: usize| self.tables.get(at).is_some_and(|table| table.name.eq_ignore_ascii_case(header.name));
        let found = self.names.find(self.seed.of_name(header.name), is_it).and_then(|at| self.tables.get(at));
        match found {
            Some(table) if !fits(&table.key, header) => Err(mismatch(&table.key, header)),
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
    /// use diesel_sqlite_session::wire::Rebaser;
    /// use diesel_sqlite_session::{Changeset, ChangesetReader};
    ///
    /// let source: &[u8] = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
    /// let mut rebased = Vec::new();
    /// Rebaser::new().rebase_stream(ChangesetReader::new(source), &mut rebased)?;
    /// assert_eq!(rebased, source);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn rebase_stream<R: Read>(
        &self,
        mut changeset: ChangesetReader<R>,
        mut writer: impl Write,
    ) -> Result<(), BuildError> {
        /// Changes are put together before they are written.
        const PIECE: usize = 64 * 1024;
        let mut out = Vec::new();
        let (mut last, mut table) = (0, None);
        while let Some((record, section)) = changeset.next_with_section().map_err(BuildError::from)? {
            let (header, _, record) = record.parts();
            if section != last {
                last = section;
                header.write(Format::Changeset, &mut out);
                table = self.resolutions(header)?;
            }
            let local = Local { header, indirect: record.indirect.into(), record };
            let found = table.and_then(|table| {
                let key = table.key_of(record.key_record(), header.key);
                table.of_row(table.find(key, key.hash(self.seed))?)
            });
            let rebased = match found {
                Some(remote) => local.rebase(Remote::of_all(remote), &mut out)?,
                None => Rebased::AsItStands,
            };
            if rebased == Rebased::AsItStands {
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

/// What finds the resolutions of changes.
trait Matcher {
    /// A section begins.
    fn section(&mut self, header: Header<'_>) -> Result<(), BuildError>;

    /// Rebases changes of the section, those that begin before `limit`, up to the next header.
    fn piece(&mut self, rest: &[u8], header: Header<'_>, limit: usize, out: &mut Vec<u8>) -> Result<Piece, BuildError>;
}

/// Changes that have been rebased.
#[derive(Default)]
struct Piece {
    /// From there on all stays as it is, and is not appended.
    same: usize,
    /// Where they end.
    read: usize,
    /// The next change is not in the order in which the matcher can find resolutions.
    is_disordered: bool,
}

/// A section's header, kept while its changes are written over.
#[derive(Default)]
struct Named {
    name: String,
    key: Vec<u8>,
}

impl Named {
    fn header(&self) -> Header<'_> {
        Header { name: &self.name, key: &self.key }
    }
}

/// Rebases what is left. Gives the section in which it is not in order, if so.
fn rebase_by(
    matcher: &mut impl Matcher,
    section: Option<Named>,
    place: &mut impl Room,
) -> Result<Option<Named>, BuildError> {
    /// So many bytes are rebased at once: few enough to be in the processor's cache when they are copied.
    const PIECE: usize = 64 * 1024;
    let mut has_section = section.is_some();
    let mut section = section.unwrap_or_default();
    loop {
        let (rest, out) = place.parts();
        let Some(&first) = rest.first() else { break };
        if Format::from_byte(first).is_some() {
            let mut cursor = Cursor::new(rest);
            let Ok(header) = check::section(&mut cursor, Format::Changeset) else { break };
            // a section without a change is left out
            if cursor.peek().and_then(Operation::from_byte).is_some() {
                header.write(Format::Changeset, out);
                matcher.section(header)?;
                section.name.clear();
                section.name.push_str(header.name);
                section.key.clear();
                section.key.extend_from_slice(header.key);
                has_section = true;
            }
            let read = cursor.after(Cursor::new(rest));
            place.advance(read, read);
            continue;
        }
        if !has_section {
            break; // checked bytes do not come here
        }
        let Piece { same, read, is_disordered } = matcher.piece(rest, section.header(), PIECE, out)?;
        place.advance(same, read);
        if is_disordered {
            return Ok(Some(section));
        }
        if read == 0 {
            break; // nor here
        }
    }
    Ok(None)
}

/// Changes that stay as they are, as nothing is known of their table.
fn pass_over(all: Cursor<'_>, header: Header<'_>, limit: usize) -> Piece {
    let least = all.remaining().saturating_sub(limit);
    let mut walk = Walker::at(all, Format::Changeset);
    while walk.position().remaining() > least && walk.is_at_record() && walk.record(header).is_some() {}
    Piece { same: 0, read: walk.position().after(all), is_disordered: false }
}

/// Finds resolutions by the index of a rebaser.
struct Indexed<'a> {
    rebaser: &'a Rebaser,
    table: Option<&'a Resolutions>,
    /// The row after the last that was found: often the next one, as SQLite has the same order everywhere. After a row for which it
    /// was not so, it is not asked for until one is found again.
    next: Option<usize>,
}

impl Matcher for Indexed<'_> {
    fn section(&mut self, header: Header<'_>) -> Result<(), BuildError> {
        self.table = self.rebaser.resolutions(header)?;
        self.next = Some(0);
        Ok(())
    }

    fn piece(&mut self, rest: &[u8], header: Header<'_>, limit: usize, out: &mut Vec<u8>) -> Result<Piece, BuildError> {
        let all = Cursor::new(rest);
        let Some(table) = self.table else { return Ok(pass_over(all, header, limit)) };
        let seed = self.rebaser.seed;
        let least = rest.len().saturating_sub(limit);
        // all from `same` on stays as it is
        let (mut cursor, mut same) = (all, all);
        let mut block: Vec<Pending<'_>> = Vec::with_capacity(BLOCK);
        loop {
            while block.len() < BLOCK
                && cursor.remaining() > least
                && cursor.peek().and_then(Operation::from_byte).is_some()
            {
                let start = cursor;
                if check::extent(&mut cursor, header, Format::Changeset).is_none() {
                    break; // checked bytes do not come here
                }
                let key = table.key_at(start.rest(), header.key);
                let here = self.next.filter(|row| table.has_key(*row, key));
                self.next = here.map(|row| row.saturating_add(1));
                let (place, hash) = match here {
                    Some(row) => (Place::Row(row), 0),
                    None => (Place::Unknown, key.hash(seed)),
                };
                if here.is_none() && !table.filter.may_have(hash) {
                    continue;
                }
                block.push(Pending { start, end: cursor, hash, place });
            }
            if block.is_empty() {
                break;
            }
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
                if self.next.is_none() {
                    self.next = Some(row.saturating_add(1));
                }
                out.extend_from_slice(start.since(same));
                same = start;
                let indirect = start.rest().get(1).copied().unwrap_or_default();
                let record = check::extent(&mut start, header, Format::Changeset);
                if let (Some(record), Some(remote)) = (record, table.of_row(row)) {
                    let local = Local { header, indirect, record };
                    if local.rebase(Remote::of_all(remote), out)? == Rebased::Otherwise {
                        same = end;
                    }
                }
            }
        }
        Ok(Piece { same: same.after(all), read: cursor.after(all), is_disordered: false })
    }
}

/// Rebases changes on data alone.
fn rebase_on(data: &RebaseData, mut place: impl Room) -> Result<Changeset, BuildError> {
    let section = match Beside::new(data) {
        Some(mut beside) => match rebase_by(&mut beside, None, &mut place)? {
            None => return Ok(Changeset::from_checked(place.into_bytes())),
            section => section,
        },
        None => None,
    };
    let mut rebaser = Rebaser::new();
    rebaser.add(data)?;
    rebaser.rebase_from(section, &mut place)?;
    Ok(Changeset::from_checked(place.into_bytes()))
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

impl Set<ChangesetFormat> {
    /// These changes on top of others that were made elsewhere, by how their conflicts were resolved: see [`Rebaser`], which
    /// also takes the data of several.
    ///
    /// # Errors
    ///
    /// Those of [`Rebaser::add`] and [`Rebaser::rebase`].
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

    /// The same as [`rebase`](Self::rebase), in the memory of this one: where that is large, it is much faster.
    ///
    /// # Errors
    ///
    /// Those of [`rebase`](Self::rebase).
    ///
    /// ```
    /// # use diesel_sqlite_session::wire::{RebaseData, TableInfo};
    /// # use diesel_sqlite_session::Changeset;
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let local = Changeset::builder().delete_values(users, &[2.into(), "Bob".into()]).build()?;
    /// let data = RebaseData::try_from(b"T\x02\x01\x00users\0\x09\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob".to_vec())?;
    /// assert!(local.into_rebased(&data)?.is_empty(), "both have deleted it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_rebased(self, data: &RebaseData) -> Result<Changeset, BuildError> {
        rebase_on(data, Same::new(self.into_bytes()))
    }
}

impl SetRef<'_, ChangesetFormat> {
    /// These changes on top of others that were made elsewhere: see [`Changeset::rebase`].
    ///
    /// # Errors
    ///
    /// Those of [`Rebaser::add`] and [`Rebaser::rebase`].
    pub fn rebase(self, data: &RebaseData) -> Result<Changeset, BuildError> {
        rebase_on(data, Fresh::new(self.as_bytes()))
    }
}
