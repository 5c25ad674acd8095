//! Applying changesets and patchsets, with conflicts decided by their kind.

mod clauses;
mod fit;

use std::vec::Vec;

use diesel::SqliteConnection;

use self::fit::fit;
use crate::error::ApplyError;
use crate::ffi::apply::{ApplyFailure, apply};
use crate::ffi::handle::with_handle;
use crate::ffi::statement::Connection;
use crate::wire::{Changeset, ChangesetRef, ParseError, Patchset, PatchsetRef, Records};

/// What kept a change from being applied, in
/// [SQLite's terms](https://www.sqlite.org/session/c_changeset_conflict.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConflictType {
    /// An UPDATE or DELETE of a changeset finds the row, but with other data than was recorded. Takes `Replace`.
    Data,
    /// An UPDATE or DELETE finds no row with that key.
    NotFound,
    /// An INSERT finds a row with that key. Takes `Replace`.
    Conflict,
    /// The change would break a constraint other than the key's: UNIQUE, NOT NULL, CHECK, or one of a trigger's.
    Constraint,
    /// After everything has been applied, foreign keys are broken. Asked once; `Omit` keeps it so, if the transaction can be
    /// committed at all.
    ForeignKey,
}

impl ConflictType {
    /// SQLite's number for it: `SQLITE_CHANGESET_DATA` is 1, and so on.
    pub const fn to_raw(self) -> i32 {
        match self {
            Self::Data => 1,
            Self::NotFound => 2,
            Self::Conflict => 3,
            Self::Constraint => 4,
            Self::ForeignKey => 5,
        }
    }

    pub(crate) const fn from_raw(raw: i32) -> Option<Self> {
        match raw {
            1 => Some(Self::Data),
            2 => Some(Self::NotFound),
            3 => Some(Self::Conflict),
            4 => Some(Self::Constraint),
            5 => Some(Self::ForeignKey),
            _ => None,
        }
    }

    /// Whether [`ConflictAction::Replace`] is an answer to it.
    pub const fn takes_replace(self) -> bool {
        matches!(self, Self::Data | Self::Conflict)
    }
}

/// What to do about a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConflictAction {
    /// Leaves this change out and goes on. After `Replace` the row that was in the way is gone already: see there.
    Omit,
    /// Makes the change all the same, over the row that is in the way. For [`ConflictType::Data`] and
    /// [`ConflictType::Conflict`] alone.
    ///
    /// For a [`Conflict`](ConflictType::Conflict) SQLite deletes that row and inserts the new one. So triggers fire and foreign
    /// key actions act as on a DELETE, children under `ON DELETE CASCADE` are deleted, and columns that the changes lack get
    /// their defaults. Should the new row break a constraint, the next question about it is a
    /// [`Constraint`](ConflictType::Constraint); to answer that with `Omit` leaves neither row.
    Replace,
    /// Undoes everything that was applied and ends with [`ApplyError::ConflictAborted`].
    Abort,
}

mod sealed {
    pub trait Sealed {}
}

/// What can be applied as a changeset: a [`Changeset`], a [`ChangesetRef`], or bytes, which are checked first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a changeset",
    label = "expected a `Changeset`, a `ChangesetRef` or bytes",
    note = "a `Patchset` is applied with `apply_patchset`"
)]
pub trait ChangesetInput: sealed::Sealed {
    #[doc(hidden)]
    fn checked(&self) -> Result<ChangesetRef<'_>, ParseError>;
}

/// What can be applied as a patchset: a [`Patchset`], a [`PatchsetRef`], or bytes, which are checked first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a patchset",
    label = "expected a `Patchset`, a `PatchsetRef` or bytes",
    note = "a `Changeset` is applied with `apply_changeset`"
)]
pub trait PatchsetInput: sealed::Sealed {
    #[doc(hidden)]
    fn checked(&self) -> Result<PatchsetRef<'_>, ParseError>;
}

macro_rules! inputs {
    ($Owned:ident, $Borrowed:ident, $Input:ident) => {
        impl sealed::Sealed for $Owned {}
        impl $Input for $Owned {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                Ok(self.as_borrowed())
            }
        }

        impl sealed::Sealed for $Borrowed<'_> {}
        impl $Input for $Borrowed<'_> {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                Ok(*self)
            }
        }

        impl $Input for [u8] {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                $Borrowed::parse(self)
            }
        }

        impl<const N: usize> $Input for [u8; N] {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                $Borrowed::parse(self)
            }
        }

        impl $Input for Vec<u8> {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                $Borrowed::parse(self)
            }
        }

        impl<T: $Input + ?Sized> $Input for &T {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                (**self).checked()
            }
        }
    };
}

impl sealed::Sealed for [u8] {}
impl<const N: usize> sealed::Sealed for [u8; N] {}
impl sealed::Sealed for Vec<u8> {}
impl<T: sealed::Sealed + ?Sized> sealed::Sealed for &T {}
inputs!(Changeset, ChangesetRef, ChangesetInput);
inputs!(Patchset, PatchsetRef, PatchsetInput);

/// Applies checked changes.
pub(crate) fn run(
    connection: &mut SqliteConnection,
    bytes: &[u8],
    records: Records<'_>,
    handler: &mut dyn FnMut(ConflictType) -> ConflictAction,
) -> Result<(), ApplyError> {
    with_handle(connection, |handle| {
        let fitted = fit(Connection::from(handle), bytes, records)?;
        apply(handle, &fitted.bytes, fitted.flags, handler).map_err(|failure| match failure {
            ApplyFailure::Aborted => ApplyError::ConflictAborted,
            ApplyFailure::Panicked => ApplyError::ConflictHandlerPanicked,
            ApplyFailure::IllegalReplace { conflict, table } => ApplyError::IllegalReplace { conflict, table },
            ApplyFailure::RolledBack { table } => ApplyError::RolledBack { table },
            ApplyFailure::TooLarge => ApplyError::TooLarge,
            ApplyFailure::Busy => ApplyError::Busy,
            ApplyFailure::Sqlite { failure, table } => {
                ApplyError::Sqlite { operation: "applying", table, error: failure.into() }
            }
        })
    })?
}
