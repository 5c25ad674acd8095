//! Operations and formats: the two enums that all of `wire` shares.

use core::fmt;

/// The operation of a change: INSERT, UPDATE or DELETE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The row was inserted.
    Insert,
    /// Columns of the row were updated. A changed primary key is recorded as a DELETE and an
    /// INSERT, unless the new key is [equal](crate::_documentation::format#keys) to the old one.
    Update,
    /// The row was deleted.
    Delete,
}

impl Operation {
    /// Returns the byte of the operation: `SQLITE_INSERT` 18, `SQLITE_UPDATE` 23, `SQLITE_DELETE`
    /// 9.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Insert => 0x12,
            Self::Update => 0x17,
            Self::Delete => 0x09,
        }
    }

    /// Returns the operation of a byte, or `None` if there is none.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x12 => Some(Self::Insert),
            0x17 => Some(Self::Update),
            0x09 => Some(Self::Delete),
            _ => None,
        }
    }

    /// Returns the operation that undoes this one.
    pub const fn inverse(self) -> Self {
        match self {
            Self::Insert => Self::Delete,
            Self::Update => Self::Update,
            Self::Delete => Self::Insert,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        })
    }
}

/// The format of a set: changeset or patchset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Old and new values: an apply detects conflicts, and changes can be undone.
    Changeset,
    /// New values and primary keys only.
    Patchset,
}

impl Format {
    /// Returns the format whose sections begin with `byte`: `T` for changesets, `P` for patchsets.
    ///
    /// ```
    /// use diesel_sqlite_session::Format;
    ///
    /// let received: &[u8] = b"P\x02\x01\x00users\0";
    /// assert_eq!(received.first().and_then(|byte| Format::from_byte(*byte)), Some(Format::Patchset));
    /// ```
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'T' => Some(Self::Changeset),
            b'P' => Some(Self::Patchset),
            _ => None,
        }
    }

    pub(in crate::wire) const fn to_byte(self) -> u8 {
        match self {
            Self::Changeset => b'T',
            Self::Patchset => b'P',
        }
    }

    /// Returns the name of the type that owns bytes of this format.
    pub(in crate::wire) const fn type_name(self) -> &'static str {
        match self {
            Self::Changeset => "Changeset",
            Self::Patchset => "Patchset",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Changeset => Self::Patchset,
            Self::Patchset => Self::Changeset,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Changeset => "changeset",
            Self::Patchset => "patchset",
        })
    }
}
