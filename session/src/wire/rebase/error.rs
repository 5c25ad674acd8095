//! Why changes cannot be rebased.

use alloc::boxed::Box;
use core::fmt;
#[cfg(feature = "std")]
use std::io;

#[cfg(all(doc, feature = "std"))]
use super::Rebaser;
use crate::wire::codec::error::LONGEST_NAME;
#[cfg(feature = "std")]
use crate::wire::codec::reader::ReadError;
use crate::wire::codec::header::Header;
use crate::wire::codec::value::cut;

/// Why changes cannot be rebased.
///
/// ```
/// use diesel_sqlite_session::{Changeset, RebaseData, TableSchema};
///
/// let data = RebaseData::try_from(b"T\x02\x01\x00users\0\x09\x01\x01\0\0\0\0\0\0\0\x01\x05".to_vec())?;
/// let users = TableSchema::new("users", &[1, 0, 0]);
/// let local = Changeset::builder().delete_values(users, &[1.into(), "Ada".into(), 36.into()]).build()?;
/// assert_eq!(local.rebase(&data).unwrap_err().to_string(), "table users has 3 columns, in the rebase data 2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RebaseError {
    /// The table has another number of columns than in the rebase data: one of the two was recorded before a column was added.
    OtherColumns {
        /// The first 200 bytes of its name.
        table: Box<str>,
        /// How many columns it has in the changes, or in the data that were to be added.
        columns: usize,
        /// How many columns it has in the data before.
        rebased_on: usize,
    },
    /// Other columns of the table are its key than in the rebase data.
    OtherKey {
        /// The first 200 bytes of its name.
        table: Box<str>,
    },
    /// An UPDATE with NULL for the new value of its key would become an INSERT.
    NullKey {
        /// The first 200 bytes of the table's name.
        table: Box<str>,
        /// The column of the key.
        column: usize,
    },
    /// Resolutions for more than 3,221,225,472 rows of one table, or of as many tables.
    TooMany {
        /// The first 200 bytes of the table's name.
        table: Box<str>,
    },
}

pub(super) fn shortened(header: Header<'_>) -> Box<str> {
    cut(header.name, LONGEST_NAME).into()
}

impl RebaseError {
    #[cold]
    pub(super) fn too_many(header: Header<'_>) -> Self {
        Self::TooMany { table: shortened(header) }
    }
}

impl fmt::Display for RebaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherColumns { table, columns, rebased_on } => {
                write!(f, "table {} has {columns} columns, in the rebase data {rebased_on}", table.escape_debug())
            }
            Self::OtherKey { table } => write!(f, "table {} has another key in the rebase data", table.escape_debug()),
            Self::NullKey { table, column } => {
                write!(f, "table {}, column {column}: NULL in a column of the primary key", table.escape_debug())
            }
            Self::TooMany { table } => {
                write!(f, "table {}: more rows or tables than can be kept apart (3221225472)", table.escape_debug())
            }
        }
    }
}

impl core::error::Error for RebaseError {}

/// Why [`Rebaser::rebase_stream`] ended before its time.
#[cfg(feature = "std")]
#[derive(Debug)]
#[non_exhaustive]
pub enum RebaseStreamError {
    /// The changes could not be read.
    Read(ReadError),
    /// A change cannot be rebased.
    Rebase(RebaseError),
    /// The writer failed.
    Write(io::Error),
}

#[cfg(feature = "std")]
impl fmt::Display for RebaseStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "the changes to rebase could not be read",
            Self::Rebase(_) => "a change cannot be rebased",
            Self::Write(_) => "the rebased changes could not be written",
        })
    }
}

#[cfg(feature = "std")]
impl std::error::Error for RebaseStreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Rebase(error) => Some(error),
            Self::Write(error) => Some(error),
        }
    }
}
