//! Changesets and patchsets, owned and borrowed: bytes that have been checked.

use alloc::vec::Vec;
use core::fmt;
use core::hash::Hash;
use core::marker::PhantomData;

use super::check;
use super::error::ParseError;
use super::kind::Format;
use super::record::{Record, Records};
use super::section::Sections;

mod sealed {
    pub trait Sealed {}
}

/// A [`Format`] as a type: [`ChangesetFormat`] or [`PatchsetFormat`].
pub trait SetFormat: sealed::Sealed + Copy + Default + Eq + Hash + fmt::Debug + Send + Sync + Unpin + 'static {
    /// The format as a value.
    const FORMAT: Format;
}

/// The format of a [`Changeset`], as a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChangesetFormat;

/// The format of a [`Patchset`], as a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PatchsetFormat;

impl sealed::Sealed for ChangesetFormat {}
impl SetFormat for ChangesetFormat {
    const FORMAT: Format = Format::Changeset;
}

impl sealed::Sealed for PatchsetFormat {}
impl SetFormat for PatchsetFormat {
    const FORMAT: Format = Format::Patchset;
}

/// A changeset that owns its bytes.
///
/// It records old and new values, so that an apply detects conflicts and changes can be undone. It
/// has nothing to do with Diesel's `AsChangeset`, which describes the columns of an UPDATE.
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
pub type Changeset = Set<ChangesetFormat>;

/// A changeset over borrowed bytes.
///
/// ```
/// use diesel_sqlite_session::ChangesetRef;
///
/// let bytes = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
/// let changeset = ChangesetRef::parse(bytes)?;
/// let tables: Vec<_> = changeset.sections().map(|section| (section.table(), section.column_count())).collect();
/// assert_eq!(tables, [("users", 2)]);
/// # Ok::<(), diesel_sqlite_session::ParseError>(())
/// ```
pub type ChangesetRef<'a> = SetRef<'a, ChangesetFormat>;

/// A patchset that owns its bytes.
///
/// It records new values and primary keys alone: it is smaller than a [`Changeset`], but cannot be
/// inverted or rebased, and an apply cannot detect that a row has been changed elsewhere.
///
/// ```
/// use diesel_sqlite_session::Patchset;
///
/// let patchset = Patchset::try_from(b"P\x02\x01\x00users\0\x09\x00\x01\0\0\0\0\0\0\0\x01".to_vec())?;
/// assert_eq!(format!("{patchset:?}"), "Patchset [DELETE users(1, _)]");
/// # Ok::<(), diesel_sqlite_session::ParseError>(())
/// ```
pub type Patchset = Set<PatchsetFormat>;

/// A patchset over borrowed bytes.
pub type PatchsetRef<'a> = SetRef<'a, PatchsetFormat>;

/// A changeset or patchset that owns its bytes: see [`Changeset`] and [`Patchset`].
///
/// The bytes have been [checked](crate::_documentation::format#what-is-refused), so that reading
/// cannot fail. Two sets are equal if their bytes are: the same changes in another order are
/// another set.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Set<F> {
    bytes: Vec<u8>,
    format: PhantomData<F>,
}

/// A changeset or patchset over borrowed bytes: see [`ChangesetRef`] and [`PatchsetRef`].
///
/// The bytes have been [checked](crate::_documentation::format#what-is-refused), so that reading
/// cannot fail.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SetRef<'a, F> {
    bytes: &'a [u8],
    format: PhantomData<F>,
}

impl<F: SetFormat> Set<F> {
    /// Creates an empty set (zero bytes).
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), format: PhantomData }
    }

    /// Wraps bytes that are known to be well-formed.
    pub(in crate::wire) fn from_checked(bytes: Vec<u8>) -> Self {
        Self { bytes, format: PhantomData }
    }

    /// Returns the bytes for changes in place. They must stay well-formed.
    pub(in crate::wire) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Returns the borrowed form of the set.
    pub fn as_borrowed(&self) -> SetRef<'_, F> {
        SetRef { bytes: &self.bytes, format: PhantomData }
    }

    /// Returns an iterator over the records, in the order of the bytes.
    pub fn records(&self) -> Records<'_> {
        self.as_borrowed().records()
    }

    /// Returns an iterator over the sections, in the order of the bytes.
    pub fn sections(&self) -> Sections<'_> {
        self.as_borrowed().sections()
    }

    /// Returns whether the set contains no change.
    pub fn is_empty(&self) -> bool {
        self.as_borrowed().is_empty()
    }

    /// Returns the bytes, in the format that SQLite reads and writes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes, in the format that SQLite reads and writes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl<'a, F: SetFormat> SetRef<'a, F> {
    /// Checks all bytes in one pass, without copying or allocating.
    ///
    /// # Errors
    ///
    /// Fails with a [`ParseError`] at the first byte that is not well-formed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        check::input(bytes, F::FORMAT)?;
        Ok(Self { bytes, format: PhantomData })
    }

    /// Returns an iterator over the records, in the order of the bytes.
    pub fn records(self) -> Records<'a> {
        Records::new(self.bytes, F::FORMAT)
    }

    /// Returns an iterator over the sections, in the order of the bytes.
    pub fn sections(self) -> Sections<'a> {
        Sections::new(self.bytes, F::FORMAT)
    }

    /// Returns whether the set contains no change.
    pub fn is_empty(self) -> bool {
        self.records().next().is_none()
    }

    /// Returns the bytes, in the format that SQLite reads and writes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Returns a copy that owns its bytes.
    pub fn into_owned(self) -> Set<F> {
        Set::from_checked(self.bytes.to_vec())
    }
}

impl<F: SetFormat> TryFrom<Vec<u8>> for Set<F> {
    type Error = ParseError;

    /// Checks all bytes in one pass. The bytes are not copied.
    fn try_from(bytes: Vec<u8>) -> Result<Self, ParseError> {
        check::input(&bytes, F::FORMAT)?;
        Ok(Self::from_checked(bytes))
    }
}

impl<F: SetFormat> TryFrom<&[u8]> for Set<F> {
    type Error = ParseError;

    /// Checks all bytes in one pass and copies them.
    fn try_from(bytes: &[u8]) -> Result<Self, ParseError> {
        SetRef::parse(bytes).map(Self::from)
    }
}

impl<'a, F: SetFormat> TryFrom<&'a [u8]> for SetRef<'a, F> {
    type Error = ParseError;

    fn try_from(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse(bytes)
    }
}

impl<'a, F: SetFormat> From<&'a Set<F>> for SetRef<'a, F> {
    fn from(owned: &'a Set<F>) -> Self {
        owned.as_borrowed()
    }
}

impl<F: SetFormat> From<SetRef<'_, F>> for Set<F> {
    fn from(borrowed: SetRef<'_, F>) -> Self {
        borrowed.into_owned()
    }
}

impl<F> From<Set<F>> for Vec<u8> {
    fn from(owned: Set<F>) -> Self {
        owned.bytes
    }
}

impl<F> AsRef<[u8]> for Set<F> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<F> AsRef<[u8]> for SetRef<'_, F> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl<'a, F: SetFormat> IntoIterator for &'a Set<F> {
    type Item = Record<'a>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.records()
    }
}

impl<'a, F: SetFormat> IntoIterator for SetRef<'a, F> {
    type Item = Record<'a>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.records()
    }
}

/// Shows the first 100 records.
impl<F: SetFormat> fmt::Debug for Set<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_borrowed().fmt(f)
    }
}

/// Shows the first 100 records.
impl<F: SetFormat> fmt::Debug for SetRef<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(F::FORMAT.type_name())?;
        f.write_str(" ")?;
        self.records().fmt(f)
    }
}
