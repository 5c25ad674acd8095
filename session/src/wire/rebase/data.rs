//! How conflicts were resolved, as SQLite says it: bytes that look like a changeset's, and are checked by rules of their own.

#[cfg(feature = "sqlite")]
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use crate::wire::codec::check;
use crate::wire::codec::error::ParseError;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::{Record, Records};

/// How the conflicts were resolved when a changeset was applied: what a [`Rebaser`](super::Rebaser) takes to rebase other
/// changes on it. `report.rebase_data()` after an apply has it; its bytes can be kept, or sent to where the changes are.
///
/// `Debug` shows what it says:
///
/// ```
/// use diesel_sqlite_session::wire::RebaseData;
///
/// let data = RebaseData::try_from(b"T\x02\x01\x00users\0\x12\x01\x01\0\0\0\0\0\0\0\x01\x03\x03Ada".to_vec())?;
/// assert_eq!(format!("{data:?}"), "RebaseData [replaced by INSERT or UPDATE users(1, 'Ada')]");
/// assert!(!data.is_empty() && RebaseData::default().is_empty());
/// # Ok::<(), diesel_sqlite_session::ParseError>(())
/// ```
///
/// # The format
///
/// Rebase data are [sections](crate::_documentation::format) with the headers of a changeset, `T`. A section has the conflicts of one table, in
/// the order in which they were resolved; those of one row can be several.
///
/// ```text
/// resolution = operation answer record
/// operation  = 0x12                           the change in conflict was an INSERT or an UPDATE
///            | 0x09                           it was a DELETE
/// answer     = 0x00                           it was omitted
///            | 0x01                           it replaced what was in its way
/// ```
///
/// The record has a value for each column: of an INSERT the new row, of a DELETE the old one, and of an UPDATE the key and the new
/// values of the columns that it changed, all others *not recorded*. Whether it was an INSERT or an UPDATE is not said. The columns
/// and key ordinals are those of the changeset that was applied, not of the table.
///
/// # What is refused
///
/// What [`sqlite3rebaser_configure`](https://www.sqlite.org/session/sqlite3rebaser_configure.html) refuses for its form, and what it
/// takes though SQLite never writes it:
///
/// | refused | what SQLite does with it |
/// |---|---|
/// | an UPDATE ([`RebaseOperation`](crate::wire::ParseErrorKind::RebaseOperation)) | takes the values before it for those after it |
/// | a patchset ([`WrongFormat`](crate::wire::ParseErrorKind::WrongFormat)) | reads beyond the ends of its DELETEs |
/// | a value that is not recorded in a DELETE or in a key ([`MissingValue`](crate::wire::ParseErrorKind::MissingValue)) | makes INSERTs that lack it; finds no row |
/// | NULL or a NaN in a key ([`NullKey`](crate::wire::ParseErrorKind::NullKey)) | finds no row |
/// | a table without a key ([`NoPrimaryKey`](crate::wire::ParseErrorKind::NoPrimaryKey)) | takes all rows for the same |
/// | a value above [`MAX_VALUE_LENGTH`](crate::wire::MAX_VALUE_LENGTH), a table name that is not UTF-8 | takes them; in changesets they [are refused](crate::_documentation::format#what-is-refused) too |
///
/// As in a changeset, an answer of any byte but 0 counts as 1. Whether all sections of a table have the same columns is seen when
/// the data are [added](super::Rebaser::add) to a rebaser.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RebaseData {
    bytes: Vec<u8>,
}

impl RebaseData {
    /// From bytes that SQLite has just written. `took_back` says that answers were given of which only the last one of a row holds.
    #[cfg(feature = "sqlite")]
    pub(crate) fn from_sqlite(bytes: Vec<u8>, took_back: bool) -> Self {
        debug_assert_eq!(check::rebase_data(&bytes), Ok(()));
        let data = Self { bytes };
        if took_back { data.last_of_each_row() } else { data }
    }

    #[cfg(feature = "sqlite")]
    fn last_of_each_row(&self) -> Self {
        use crate::wire::codec::raw::{write_header, write_value};
        let row = |record: &Record<'_>| {
            let mut row = record.table().to_ascii_lowercase().into_bytes();
            row.push(0);
            record.key_values().for_each(|value| write_value(Some(value), &mut row));
            row
        };
        let last: BTreeMap<Vec<u8>, usize> = self.records().map(|record| (row(&record), record.offset())).collect();
        let (mut bytes, mut section) = (Vec::new(), None);
        for record in self.records().filter(|record| last.get(&row(record)) == Some(&record.offset())) {
            if section != Some(record.section_id()) {
                section = Some(record.section_id());
                write_header(Format::Changeset, record.table(), record.key_ordinals(), &mut bytes);
            }
            record.write(&mut bytes);
        }
        Self { bytes }
    }

    /// The bytes, as [`sqlite3rebaser_configure`](https://www.sqlite.org/session/sqlite3rebaser_configure.html) takes them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether there was no conflict that was resolved, so that there is nothing to rebase on.
    pub fn is_empty(&self) -> bool {
        self.records().next().is_none()
    }

    /// The resolutions: as records, of which the indirect flag says whether it replaced.
    pub(super) fn records(&self) -> Records<'_> {
        Records::new(&self.bytes, Format::Changeset)
    }
}

impl TryFrom<Vec<u8>> for RebaseData {
    type Error = ParseError;

    /// Checks the bytes, all of them, in one pass; they are not copied.
    fn try_from(bytes: Vec<u8>) -> Result<Self, ParseError> {
        check::rebase_data(&bytes)?;
        Ok(Self { bytes })
    }
}

impl TryFrom<&[u8]> for RebaseData {
    type Error = ParseError;

    /// Checks the bytes, all of them, in one pass, and copies them.
    fn try_from(bytes: &[u8]) -> Result<Self, ParseError> {
        check::rebase_data(bytes)?;
        Ok(Self { bytes: bytes.to_vec() })
    }
}

impl From<RebaseData> for Vec<u8> {
    fn from(data: RebaseData) -> Self {
        data.bytes
    }
}

impl AsRef<[u8]> for RebaseData {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The resolutions, the first 100 of them.
impl fmt::Debug for RebaseData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More than anybody reads.
        const SHOWN: usize = 100;
        f.write_str("RebaseData ")?;
        let mut list = f.debug_list();
        let mut rest = self.records();
        list.entries(rest.by_ref().take(SHOWN).map(Resolution));
        match rest.count() {
            0 => list.finish(),
            more => list.entry(&format_args!("… {more} more")).finish(),
        }
    }
}

struct Resolution<'a>(Record<'a>);

impl fmt::Debug for Resolution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(record) = self;
        f.write_str(if record.indirect() { "replaced by " } else { "omitted " })?;
        let (operation, values) = match record.operation() {
            Operation::Delete => ("DELETE", record.old_values()),
            _ => ("INSERT or UPDATE", record.new_values()),
        };
        write!(f, "{operation} {}(", record.table().escape_debug())?;
        for (column, value) in values.enumerate() {
            f.write_str(if column > 0 { ", " } else { "" })?;
            match value {
                Some(value) => write!(f, "{value:?}")?,
                None => f.write_str("_")?,
            }
        }
        f.write_str(")")
    }
}
