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

    /// What becomes of the column where a row already holds `current`: the three ways of a merge.
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

    /// Applies `make` to the old and the new value; [`Unchanged`](Self::Unchanged) stays.
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> Field<U> {
        match self {
            Self::Unchanged => Field::Unchanged,
            Self::Changed { old, new } => Field::Changed { old: make(old), new: make(new) },
        }
    }
}

/// How an UPDATE's change of a column compares with what a row holds there: from [`Field::against`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Against<'a, T> {
    /// The UPDATE leaves the column as it is: this.
    Current(&'a T),
    /// The row still holds what the UPDATE found: this is to be in its place.
    New(&'a T),
    /// The row already holds what the UPDATE sets.
    Same(&'a T),
    /// The row holds something else than the UPDATE found: both sides changed it.
    Both {
        /// What the UPDATE found.
        old: &'a T,
        /// What it sets.
        new: &'a T,
        /// What the row holds.
        current: &'a T,
    },
}

#[cfg(feature = "serde")]
mod json {
    use serde::ser::SerializeStruct;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Field;

    /// `null` where the column is unchanged, otherwise `{"old": …, "new": …}`: for structs that hold a field by itself.
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

    /// Of what `Serialize` writes.
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_option(FieldVisitor(core::marker::PhantomData))
        }
    }

    /// Both sides, or nothing.
    struct FieldVisitor<T>(core::marker::PhantomData<T>);
    struct Both<T>(T, T);

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
            let Both(old, new) = Both::deserialize(deserializer)?;
            Ok(Field::Changed { old, new })
        }
    }

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Both<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct BothVisitor<T>(core::marker::PhantomData<T>);

            impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for BothVisitor<T> {
                type Value = Both<T>;

                fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.write_str("an object with old and new")
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Both<T>, A::Error> {
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
                    Ok(Both(old.ok_or_else(|| missing("old"))?, new.ok_or_else(|| missing("new"))?))
                }
            }

            deserializer.deserialize_struct("Changed", &["old", "new"], BothVisitor(core::marker::PhantomData))
        }
    }
}
