//! The kinds of conflicts that SQLite reports, and the answers that it takes.

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
    /// After everything has been applied, foreign keys are broken. Asked once; `Omit` keeps it so.
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
    /// Undoes everything that was applied and ends with [`ApplyError::ConflictAborted`](crate::ApplyError::ConflictAborted).
    Abort,
}
