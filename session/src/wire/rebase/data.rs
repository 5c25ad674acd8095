//! The decisions of an apply, in SQLite's rebase format. The format resembles a changeset, and has
//! its own checks.

use alloc::vec::Vec;
use core::fmt;

use crate::wire::codec::check;
use crate::wire::codec::error::ParseError;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::{Record, Records};

/// Rebase data: the decisions that resolved the conflicts of an apply.
///
/// A [`Rebaser`](super::Rebaser) uses rebase data to rebase local changes onto the changeset that
/// was applied. `report.rebase_data()` returns it after an apply. The bytes can be stored, or sent
/// to the database that has the local changes.
///
/// `Debug` shows the decisions:
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
/// Rebase data consists of [sections](crate::_documentation::format) with the header of a
/// changeset, `T`. A section contains the conflicts of one table in the order in which they were
/// resolved. A row can have several conflicts.
///
/// ```text
/// resolution = operation decision record
/// operation  = 0x12                           the change in conflict was an INSERT or an UPDATE
///            | 0x09                           the change in conflict was a DELETE
/// decision   = 0x00                           the change was omitted
///            | 0x01                           the change replaced the row
/// ```
///
/// The record has a field for each column:
///
/// - INSERT: the new row
/// - DELETE: the old row
/// - UPDATE: the key and the new values of the changed columns; all other columns are *not
///   recorded*
///
/// The format does not distinguish an INSERT from an UPDATE. The columns and key ordinals are those
/// of the changeset that was applied, not of the table.
///
/// # What is refused
///
/// `try_from` rejects malformed bytes, as
/// [`sqlite3rebaser_configure`](https://www.sqlite.org/session/sqlite3rebaser_configure.html) does.
/// It also rejects these bytes, which SQLite accepts but never writes:
///
/// | rejected | what SQLite does with it |
/// |---|---|
/// | an UPDATE ([`RebaseOperation`](crate::wire::ParseErrorKind::RebaseOperation)) | reads its old values as new values |
/// | a patchset ([`WrongFormat`](crate::wire::ParseErrorKind::WrongFormat)) | reads beyond the end of each DELETE |
/// | a value that is not recorded in a DELETE or in a key ([`MissingValue`](crate::wire::ParseErrorKind::MissingValue)) | writes INSERTs without the value; finds no row |
/// | NULL or a NaN in a key ([`NullKey`](crate::wire::ParseErrorKind::NullKey)) | finds no row |
/// | a table without a key ([`NoPrimaryKey`](crate::wire::ParseErrorKind::NoPrimaryKey)) | considers all rows the same row |
/// | a value above [`MAX_VALUE_LENGTH`](crate::wire::MAX_VALUE_LENGTH), a table name that is not UTF-8 | accepts it; changesets [are checked](crate::_documentation::format#what-is-refused) in the same way |
///
/// Any decision byte except 0 counts as 1. [`Rebaser::add`](super::Rebaser::add) checks that all
/// sections of a table have the same columns.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RebaseData {
    bytes: Vec<u8>,
}

impl RebaseData {
    /// Creates rebase data from well-formed bytes.
    #[cfg(feature = "sqlite")]
    pub(crate) fn from_well_formed(bytes: Vec<u8>) -> Self {
        debug_assert_eq!(check::rebase_data(&bytes), Ok(()));
        Self { bytes }
    }

    /// Returns the bytes, in the format of
    /// [`sqlite3rebaser_configure`](https://www.sqlite.org/session/sqlite3rebaser_configure.html).
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Consumes the rebase data and returns its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns whether no conflict was resolved. Rebasing leaves all changes unchanged then.
    pub fn is_empty(&self) -> bool {
        self.records().next().is_none()
    }

    /// Returns the resolutions as records. The indirect flag of a record is its decision: set if it
    /// replaced the row.
    pub(super) fn records(&self) -> Records<'_> {
        Records::new(&self.bytes, Format::Changeset)
    }
}

impl TryFrom<Vec<u8>> for RebaseData {
    type Error = ParseError;

    /// Checks all bytes in one pass. Does not copy them.
    fn try_from(bytes: Vec<u8>) -> Result<Self, ParseError> {
        check::rebase_data(&bytes)?;
        Ok(Self { bytes })
    }
}

impl TryFrom<&[u8]> for RebaseData {
    type Error = ParseError;

    /// Checks all bytes in one pass, and copies them.
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

/// Shows the first 100 resolutions.
impl fmt::Debug for RebaseData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The number of resolutions to show.
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

/// A resolution with the `Debug` of [`RebaseData`].
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
