//! Changesets and patchsets, owned and borrowed: bytes that have been checked.

use alloc::vec::Vec;
use core::fmt;

use super::error::ParseError;
use super::record::Records;
use super::header::Tables;
use crate::wire::shape::invert;
use super::check;
use super::kind::Format;

/// Writes an owned type and its borrowed form, which differ from those of the other format in name and format alone.
macro_rules! checked_bytes {
    (
        $format:expr,
        $(#[$owned_doc:meta])* $Owned:ident,
        $(#[$borrowed_doc:meta])* $Borrowed:ident,
        $to_owned:ident $(,)?
    ) => {
        $(#[$owned_doc])*
        #[derive(Clone, Default, PartialEq, Eq, Hash)]
        pub struct $Owned {
            bytes: Vec<u8>,
        }

        $(#[$borrowed_doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $Borrowed<'a> {
            bytes: &'a [u8],
        }

        impl $Owned {
            /// One without any change: no bytes at all.
            pub fn new() -> Self {
                Self::default()
            }

            /// From bytes that are known to be well-formed.
            pub(in crate::wire) fn from_checked(bytes: Vec<u8>) -> Self {
                Self { bytes }
            }

            /// The borrowed form.
            pub fn as_borrowed(&self) -> $Borrowed<'_> {
                $Borrowed { bytes: &self.bytes }
            }

            /// The changes, in the order of the bytes.
            pub fn records(&self) -> Records<'_> {
                self.as_borrowed().records()
            }

            /// The table sections, in the order of the bytes.
            pub fn tables(&self) -> Tables<'_> {
                self.as_borrowed().tables()
            }

            /// Whether there is no change in it.
            pub fn is_empty(&self) -> bool {
                self.as_borrowed().is_empty()
            }

            /// The bytes, as SQLite reads and writes them.
            pub fn as_bytes(&self) -> &[u8] {
                &self.bytes
            }

            /// The bytes, as SQLite reads and writes them.
            pub fn into_bytes(self) -> Vec<u8> {
                self.bytes
            }
        }

        impl<'a> $Borrowed<'a> {
            /// Checks the bytes, all of them, in one pass, without copying or allocating.
            ///
            /// # Errors
            ///
            /// What is wrong with the bytes, and at which of them.
            pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
                check::input(bytes, $format)?;
                Ok(Self { bytes })
            }

            /// The changes, in the order of the bytes.
            pub fn records(self) -> Records<'a> {
                Records::new(self.bytes, $format)
            }

            /// The table sections, in the order of the bytes.
            pub fn tables(self) -> Tables<'a> {
                Tables::new(self.bytes, $format)
            }

            /// Whether there is no change in it.
            pub fn is_empty(self) -> bool {
                self.records().next().is_none()
            }

            /// The bytes, as SQLite reads and writes them.
            pub fn as_bytes(self) -> &'a [u8] {
                self.bytes
            }

            /// A copy that owns its bytes.
            pub fn $to_owned(self) -> $Owned {
                $Owned { bytes: self.bytes.to_vec() }
            }
        }

        impl TryFrom<Vec<u8>> for $Owned {
            type Error = ParseError;

            /// Checks the bytes, all of them, in one pass; they are not copied.
            fn try_from(bytes: Vec<u8>) -> Result<Self, ParseError> {
                check::input(&bytes, $format)?;
                Ok(Self { bytes })
            }
        }

        impl TryFrom<&[u8]> for $Owned {
            type Error = ParseError;

            /// Checks the bytes, all of them, in one pass, and copies them.
            fn try_from(bytes: &[u8]) -> Result<Self, ParseError> {
                $Borrowed::parse(bytes).map(Self::from)
            }
        }

        impl<'a> TryFrom<&'a [u8]> for $Borrowed<'a> {
            type Error = ParseError;

            fn try_from(bytes: &'a [u8]) -> Result<Self, ParseError> {
                Self::parse(bytes)
            }
        }

        impl<'a> From<&'a $Owned> for $Borrowed<'a> {
            fn from(owned: &'a $Owned) -> Self {
                owned.as_borrowed()
            }
        }

        impl From<$Borrowed<'_>> for $Owned {
            fn from(borrowed: $Borrowed<'_>) -> Self {
                borrowed.$to_owned()
            }
        }

        impl From<$Owned> for Vec<u8> {
            fn from(owned: $Owned) -> Self {
                owned.bytes
            }
        }

        impl AsRef<[u8]> for $Owned {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }

        impl AsRef<[u8]> for $Borrowed<'_> {
            fn as_ref(&self) -> &[u8] {
                self.bytes
            }
        }

        impl<'a> IntoIterator for &'a $Owned {
            type Item = super::record::Record<'a>;
            type IntoIter = Records<'a>;

            fn into_iter(self) -> Records<'a> {
                self.records()
            }
        }

        impl<'a> IntoIterator for $Borrowed<'a> {
            type Item = super::record::Record<'a>;
            type IntoIter = Records<'a>;

            fn into_iter(self) -> Records<'a> {
                self.records()
            }
        }

        /// The changes, the first 100 of them.
        impl fmt::Debug for $Owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.as_borrowed().fmt(f)
            }
        }

        /// The changes, the first 100 of them.
        impl fmt::Debug for $Borrowed<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($Owned))?;
                f.write_str(" ")?;
                self.records().fmt(f)
            }
        }
    };
}

checked_bytes! {
    Format::Changeset,
    /// A changeset that owns its bytes. They are [checked](super#what-is-refused), so reading cannot fail.
    ///
    /// Two changesets are equal if their bytes are: the same changes in another order are another changeset.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, Operation};
    ///
    /// let bytes = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada".to_vec();
    /// let changeset = Changeset::try_from(bytes)?;
    /// for record in &changeset {
    ///     assert_eq!(record.to_string(), "INSERT users(1, 'Ada')");
    /// }
    /// assert_eq!(format!("{changeset:?}"), "Changeset [INSERT users(1, 'Ada')]");
    /// assert_eq!(changeset.invert().records().next().unwrap().operation(), Operation::Delete);
    /// # Ok::<(), diesel_sqlite_session::ParseError>(())
    /// ```
    Changeset,
    /// A changeset over borrowed bytes, which have been [checked](super#what-is-refused).
    ///
    /// ```
    /// use diesel_sqlite_session::ChangesetRef;
    ///
    /// let bytes = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
    /// let changeset = ChangesetRef::parse(bytes)?;
    /// let tables: Vec<_> = changeset.tables().map(|table| (table.name(), table.column_count())).collect();
    /// assert_eq!(tables, [("users", 2)]);
    /// # Ok::<(), diesel_sqlite_session::ParseError>(())
    /// ```
    ChangesetRef,
    to_changeset,
}

checked_bytes! {
    Format::Patchset,
    /// A patchset that owns its bytes. They are [checked](super#what-is-refused), so reading cannot fail.
    ///
    /// Two patchsets are equal if their bytes are: the same changes in another order are another patchset.
    ///
    /// ```
    /// use diesel_sqlite_session::Patchset;
    ///
    /// let patchset = Patchset::try_from(b"P\x02\x01\x00users\0\x09\x00\x01\0\0\0\0\0\0\0\x01".to_vec())?;
    /// assert_eq!(format!("{patchset:?}"), "Patchset [DELETE users(1, _)]");
    /// # Ok::<(), diesel_sqlite_session::ParseError>(())
    /// ```
    Patchset,
    /// A patchset over borrowed bytes, which have been [checked](super#what-is-refused).
    PatchsetRef,
    to_patchset,
}

impl Changeset {
    /// The changeset that undoes this one: each INSERT becomes a DELETE, each DELETE an INSERT, and an UPDATE goes back to
    /// the old values. Byte for byte what
    /// [`sqlite3changeset_invert`](https://www.sqlite.org/session/sqlite3changeset_invert.html) makes of it.
    ///
    /// The inverse of the inverse is the changeset itself, for what a session records of changes other than of a key to an
    /// [equal one](super#changes). The inverse of an UPDATE has no new key, its varints are as short as can be, and a NaN in
    /// it is NULL. Patchsets do not hold what an inverse takes.
    ///
    /// ```
    /// # use diesel_sqlite_session::Changeset;
    /// # let changeset = Changeset::try_from(
    /// #     b"T\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x00\x03\x06Robert".to_vec(),
    /// # )?;
    /// assert_eq!(format!("{changeset:?}"), "Changeset [UPDATE users(2, 'Bob' -> 'Robert')]");
    /// assert_eq!(format!("{:?}", changeset.invert()), "Changeset [UPDATE users(2, 'Robert' -> 'Bob')]");
    /// # Ok::<(), diesel_sqlite_session::ParseError>(())
    /// ```
    #[must_use]
    pub fn invert(&self) -> Changeset {
        self.as_borrowed().invert()
    }

    /// The same as [`invert`](Self::invert), in the memory of a changeset that is no longer needed: where that is large, it is much
    /// faster than new memory. [`Changeset::new`] will do too.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, TableSchema};
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let user = |id: i64| Changeset::builder().insert_values(users, &[id.into(), "Ada".into()]).build();
    /// let mut inverse = Changeset::new();
    /// for done in [user(1)?, user(2)?] {
    ///     done.invert_into(&mut inverse);
    ///     assert_eq!(inverse, done.invert());
    /// }
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
    pub fn invert_into(&self, target: &mut Changeset) {
        self.as_borrowed().invert_into(target);
    }

    /// The same as [`invert`](Self::invert), in the memory of this one: where that is large, it is much faster.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, TableSchema};
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let done = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]).build()?;
    /// let inverse = done.invert();
    /// assert_eq!(done.into_inverted(), inverse);
    /// assert_eq!(format!("{inverse:?}"), "Changeset [DELETE users(1, 'Ada')]");
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
    #[must_use]
    pub fn into_inverted(mut self) -> Changeset {
        invert::invert_in_place(&mut self.bytes);
        self
    }
}

impl ChangesetRef<'_> {
    /// The changeset that undoes this one: see [`Changeset::invert`].
    #[must_use]
    pub fn invert(self) -> Changeset {
        let mut inverse = Changeset::new();
        self.invert_into(&mut inverse);
        inverse
    }

    /// The same as [`invert`](Self::invert), in the memory of a changeset that is no longer needed: see [`Changeset::invert_into`].
    pub fn invert_into(self, target: &mut Changeset) {
        target.bytes.clear();
        invert::invert(self.bytes, &mut target.bytes);
    }
}
