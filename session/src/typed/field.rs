//! [`Field`]: a column of an UPDATE.

/// A column outside of the key, in an UPDATE of a changeset.
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
    /// The column did not change. Its value is not recorded.
    #[default]
    Unchanged,
    /// The column changed.
    Changed {
        /// The old value.
        old: T,
        /// The new value.
        new: T,
    },
}

impl<T> Field<T> {
    /// Returns the old and the new value, or `None` if the column did not change.
    pub const fn changed(&self) -> Option<(&T, &T)> {
        match self {
            Self::Unchanged => None,
            Self::Changed { old, new } => Some((old, new)),
        }
    }

    /// Consumes the field and returns the old and the new value, or `None` if the column did not
    /// change.
    pub fn into_changed(self) -> Option<(T, T)> {
        match self {
            Self::Unchanged => None,
            Self::Changed { old, new } => Some((old, new)),
        }
    }

    /// Returns whether the column changed.
    pub const fn is_changed(&self) -> bool {
        matches!(self, Self::Changed { .. })
    }

    /// Returns the old value, or `None` if the column did not change.
    pub const fn old_value(&self) -> Option<&T> {
        match self {
            Self::Unchanged => None,
            Self::Changed { old, .. } => Some(old),
        }
    }

    /// Returns the new value, or `None` if the column did not change.
    pub const fn new_value(&self) -> Option<&T> {
        match self {
            Self::Unchanged => None,
            Self::Changed { new, .. } => Some(new),
        }
    }

    /// Compares the change with the current value of the column in a row, for a three-way merge.
    ///
    /// ```
    /// use diesel_sqlite_session::typed::Against;
    /// use diesel_sqlite_session::Field;
    ///
    /// let title = Field::Changed { old: "milk", new: "oat milk" };
    /// assert_eq!(title.against(&"milk"), Against::New(&"oat milk"));
    /// assert_eq!(title.against(&"oat milk"), Against::Same(&"oat milk"));
    /// assert_eq!(
    ///     title.against(&"soy milk"),
    ///     Against::Both { old: &"milk", new: &"oat milk", current: &"soy milk" }
    /// );
    /// assert_eq!(Field::Unchanged.against(&"milk"), Against::Current(&"milk"));
    /// ```
    pub fn against<'a>(&'a self, current: &'a T) -> Against<'a, T>
    where
        T: PartialEq,
    {
        match self {
            Self::Unchanged => Against::Current(current),
            Self::Changed { new, .. } if new == current => Against::Same(current),
            Self::Changed { old, new } if old == current => Against::New(new),
            Self::Changed { old, new } => Against::Both { old, new, current },
        }
    }

    /// Applies `convert` to the old and the new value. [`Unchanged`](Self::Unchanged) stays
    /// unchanged.
    pub fn map<U>(self, mut convert: impl FnMut(T) -> U) -> Field<U> {
        match self {
            Self::Unchanged => Field::Unchanged,
            Self::Changed { old, new } => Field::Changed { old: convert(old), new: convert(new) },
        }
    }
}

/// The comparison of a changed column with the current value in a row. [`Field::against`] returns
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Against<'a, T> {
    /// The UPDATE does not change the column. The variant contains the current value.
    Current(&'a T),
    /// The current value is the old value of the UPDATE. The variant contains the new value.
    New(&'a T),
    /// The current value is already the new value of the UPDATE.
    Same(&'a T),
    /// The current value is neither the old nor the new value: both sides changed the column.
    Both {
        /// The old value of the UPDATE.
        old: &'a T,
        /// The new value of the UPDATE.
        new: &'a T,
        /// The current value in the row.
        current: &'a T,
    },
}

#[cfg(feature = "serde")]
mod json {
    use serde::ser::SerializeStruct;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Field;

    /// Writes `null` if the column is unchanged, otherwise `{"old": …, "new": …}`. Changes do not
    /// use this format.
    impl<T: Serialize> Serialize for Field<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::Unchanged => serializer.serialize_none(),
                Self::Changed { old, new } => {
                    let mut changed = serializer.serialize_struct("Changed", 2)?;
                    changed.serialize_field("old", old)?;
                    changed.serialize_field("new", new)?;
                    changed.end()
                }
            }
        }
    }

    /// Reads the format of `Serialize`.
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_option(FieldVisitor(core::marker::PhantomData))
        }
    }

    /// Reads a field.
    struct FieldVisitor<T>(core::marker::PhantomData<T>);
    /// The old and the new value.
    struct OldAndNew<T>(T, T);

    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for FieldVisitor<T> {
        type Value = Field<T>;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("null, or an object with old and new")
        }

        fn visit_none<E>(self) -> Result<Field<T>, E> {
            Ok(Field::Unchanged)
        }

        fn visit_unit<E>(self) -> Result<Field<T>, E> {
            Ok(Field::Unchanged)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field<T>, D::Error> {
            let OldAndNew(old, new) = OldAndNew::deserialize(deserializer)?;
            Ok(Field::Changed { old, new })
        }
    }

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for OldAndNew<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct OldAndNewVisitor<T>(core::marker::PhantomData<T>);

            impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for OldAndNewVisitor<T> {
                type Value = OldAndNew<T>;

                fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.write_str("an object with old and new")
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<OldAndNew<T>, A::Error> {
                    use crate::wire::json::read::read_once;
                    let (mut old, mut new) = (None, None);
                    while let Some(member) = map.next_key::<String>()? {
                        match member.as_str() {
                            "old" => read_once(&mut old, "old", &mut map)?,
                            "new" => read_once(&mut new, "new", &mut map)?,
                            _ => _ = map.next_value::<serde::de::IgnoredAny>()?,
                        }
                    }
                    let missing = <A::Error as serde::de::Error>::missing_field;
                    Ok(OldAndNew(old.ok_or_else(|| missing("old"))?, new.ok_or_else(|| missing("new"))?))
                }
            }

            deserializer.deserialize_struct("Changed", &["old", "new"], OldAndNewVisitor(core::marker::PhantomData))
        }
    }
}
