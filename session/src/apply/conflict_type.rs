//! The kinds of conflict, and the decisions that each accepts.

/// A kind of conflict, in [SQLite's
/// terms](https://www.sqlite.org/session/c_changeset_conflict.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConflictType {
    /// An UPDATE or DELETE of a changeset finds the row, but the row's values differ from the
    /// recorded old values. Accepts [`ConflictAction::Replace`].
    Data,
    /// An UPDATE or DELETE finds no row with its primary key.
    NotFound,
    /// An INSERT finds a row with its primary key. Accepts [`ConflictAction::Replace`].
    Conflict,
    /// The change violates a constraint other than the primary key: UNIQUE, NOT NULL, CHECK, the
    /// type of a `STRICT` column, or `RAISE(ABORT)` or `RAISE(FAIL)` in a trigger. A change that
    /// needs the UNIQUE value of another row first [waits](crate::apply#order) for the change of
    /// that row.
    Constraint,
    /// Foreign keys are violated after all changes have been applied. Reported once;
    /// [`ConflictAction::Omit`] [accepts](crate::apply::ForeignKeyConflict::accept) the violations.
    ForeignKey,
}

impl ConflictType {
    /// Returns SQLite's number of the kind, for example 1 for `SQLITE_CHANGESET_DATA`.
    pub const fn to_raw(self) -> i32 {
        match self {
            Self::Data => 1,
            Self::NotFound => 2,
            Self::Conflict => 3,
            Self::Constraint => 4,
            Self::ForeignKey => 5,
        }
    }

    /// Returns whether [`ConflictAction::Replace`] is a legal decision for this kind.
    pub const fn takes_replace(self) -> bool {
        matches!(self, Self::Data | Self::Conflict)
    }
}

/// A decision about a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConflictAction {
    /// Skips this change and continues. If `Replace` has already deleted the conflicting row, the
    /// apply fails with [`ApplyError::ReplacedRowLost`](crate::ApplyError::ReplacedRowLost).
    Omit,
    /// Applies the change over the conflicting row. Legal only for [`ConflictType::Data`] and
    /// [`ConflictType::Conflict`].
    ///
    /// For [`ConflictType::Conflict`] the row is deleted and the new one inserted:
    ///
    /// - Triggers fire and foreign key actions run as for a DELETE. For example, `ON DELETE
    ///   CASCADE` deletes child rows.
    /// - Columns that the changes do not contain get their default values.
    /// - If the row cannot be deleted, or the new row violates a constraint, a conflict of the kind
    ///   [`ConflictType::Constraint`] follows.
    Replace,
    /// Rolls back everything that was applied, and fails with `ApplyError::ConflictAborted`.
    Abort,
}
