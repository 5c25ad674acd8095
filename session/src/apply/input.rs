//! The inputs of an apply: sets, bytes and readers.

use std::boxed::Box;
use std::io::Read;
use std::vec::Vec;

use crate::wire::codec::reader::Limits;
use crate::wire::{ParseError, Reader, Record, Set, SetFormat, SetRef};

pub(super) mod sealed {
    pub trait Sealed {}
}

/// An input of [`apply_changeset`](crate::SqliteSessionExt::apply_changeset) or
/// [`apply_patchset`](crate::SqliteSessionExt::apply_patchset): a set of the format `F`, its
/// borrowed form, or bytes, which are checked first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of the format `{F}`",
    label = "expected a set of this format, its borrowed form, or bytes",
    note = "a `Changeset` is applied with `apply_changeset`, a `Patchset` with `apply_patchset`"
)]
pub trait SetInput<F>: sealed::Sealed {
    #[doc(hidden)]
    fn checked(&self) -> Result<SetRef<'_, F>, ParseError>;
}

impl<F> sealed::Sealed for Set<F> {}
impl<F: SetFormat> SetInput<F> for Set<F> {
    fn checked(&self) -> Result<SetRef<'_, F>, ParseError> {
        Ok(self.as_borrowed())
    }
}

impl<F> sealed::Sealed for SetRef<'_, F> {}
impl<F: SetFormat> SetInput<F> for SetRef<'_, F> {
    fn checked(&self) -> Result<SetRef<'_, F>, ParseError> {
        Ok(*self)
    }
}

impl sealed::Sealed for [u8] {}
impl<F: SetFormat> SetInput<F> for [u8] {
    fn checked(&self) -> Result<SetRef<'_, F>, ParseError> {
        SetRef::parse(self)
    }
}

impl<const N: usize> sealed::Sealed for [u8; N] {}
impl<F: SetFormat, const N: usize> SetInput<F> for [u8; N] {
    fn checked(&self) -> Result<SetRef<'_, F>, ParseError> {
        SetRef::parse(self)
    }
}

impl sealed::Sealed for Vec<u8> {}
impl<F: SetFormat> SetInput<F> for Vec<u8> {
    fn checked(&self) -> Result<SetRef<'_, F>, ParseError> {
        SetRef::parse(self)
    }
}

impl<T: sealed::Sealed + ?Sized> sealed::Sealed for &T {}
impl<F: SetFormat, T: SetInput<F> + ?Sized> SetInput<F> for &T {
    fn checked(&self) -> Result<SetRef<'_, F>, ParseError> {
        (**self).checked()
    }
}

/// An input of [`apply`](crate::SqliteSessionExt::apply): a changeset or patchset by reference, its
/// borrowed form, or a [`Reader`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be applied",
    label = "expected `&Changeset`, `&Patchset`, or a `ChangesetReader` or `PatchsetReader`",
    note = "bytes are checked first: `Changeset::try_from(bytes)?` or `ChangesetRef::parse(&bytes)?`"
)]
pub trait ApplyInput<'a>: sealed::Sealed {
    /// The format of the input.
    type Format: SetFormat;

    #[doc(hidden)]
    fn into_input(self) -> Input<'a>;
}

/// Changes to apply.
#[doc(hidden)]
pub struct Input<'a>(pub(super) Source<'a>);

/// The source of the changes.
pub(super) enum Source<'a> {
    /// Checked changes in memory.
    Bytes(&'a [u8]),
    Stream(Box<dyn Stream + 'a>),
}

/// A reader of changes.
pub(super) trait Stream {
    fn limit(&mut self, limits: Limits);
    /// Returns the next record, and the number of sections so far.
    fn next(&mut self) -> Result<Option<(Record<'_>, u64)>, ParseError>;
}

impl<'a, F: SetFormat> ApplyInput<'a> for &'a Set<F> {
    type Format = F;

    fn into_input(self) -> Input<'a> {
        self.as_borrowed().into_input()
    }
}

impl<'a, F: SetFormat> ApplyInput<'a> for SetRef<'a, F> {
    type Format = F;

    fn into_input(self) -> Input<'a> {
        Input(Source::Bytes(self.as_bytes()))
    }
}

impl<F, R> sealed::Sealed for Reader<F, R> {}
impl<'a, F: SetFormat, R: Read + 'a> ApplyInput<'a> for Reader<F, R> {
    type Format = F;

    fn into_input(self) -> Input<'a> {
        Input(Source::Stream(Box::new(self)))
    }
}

impl<F: SetFormat, R: Read> Stream for Reader<F, R> {
    fn limit(&mut self, limits: Limits) {
        self.narrow(limits);
    }

    fn next(&mut self) -> Result<Option<(Record<'_>, u64)>, ParseError> {
        self.next_with_section()
    }
}
