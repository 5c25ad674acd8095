//! [`Field`]: a column of an UPDATE.

/// What an UPDATE of a changeset says of a column outside the key.
///
/// ```
/// use diesel_sqlite_session::Field;
///
/// let email = Field::Changed { old: None, new: Some("ada@example.org") };
/// assert_eq!(email.changed(), Some((&None, &Some("ada@example.org"))));
/// assert_eq!(Field::<i32>::Unchanged.new_value(), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Field<T> {
    /// The column is as it was; what it holds is not recorded.
    #[default]
    Unchanged,
    /// The column had one value and got another.
    Changed {
        /// What it held before.
        old: T,
        /// What it holds now.
        new: T,
    },
}

impl<T> Field<T> {
    /// The old and the new value, if the column changed.
    pub const fn changed(&self) -> Option<(&T, &T)> {
        match self {
            Self::Unchanged => None,
            Self::Changed { old, new } => Some((old, new)),
        }
    }

    /// The old and the new value, if the column changed.
    pub fn into_changed(self) -> Option<(T, T)> {
        match self {
            Self::Unchanged => None,
            Self::Changed { old, new } => Some((old, new)),
        }
    }

    /// Whether the column changed.
    pub const fn is_changed(&self) -> bool {
        matches!(self, Self::Changed { .. })
    }

    /// The old value, if the column changed.
    pub const fn old_value(&self) -> Option<&T> {
        match self {
            Self::Unchanged => None,
            Self::Changed { old, .. } => Some(old),
        }
    }

    /// The new value, if the column changed.
    pub const fn new_value(&self) -> Option<&T> {
        match self {
            Self::Unchanged => None,
            Self::Changed { new, .. } => Some(new),
        }
    }

    /// Both values made something else of.
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> Field<U> {
        match self {
            Self::Unchanged => Field::Unchanged,
            Self::Changed { old, new } => Field::Changed { old: make(old), new: make(new) },
        }
    }
}
