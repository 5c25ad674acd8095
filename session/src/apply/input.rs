//! What can be applied.

use std::boxed::Box;
use std::io::Read;
use std::vec::Vec;

use crate::wire::codec::raw::Limits;
use crate::wire::{
    Changeset, ChangesetReader, ChangesetRef, Format, ParseError, Patchset, PatchsetReader, PatchsetRef, ReadError,
    Record, Records,
};

pub(super) mod sealed {
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

/// [`Changeset`] or [`Patchset`]: which of the two formats is applied.
pub trait ApplyFormat: sealed::Sealed {
    #[doc(hidden)]
    const FORMAT: Format;
}

impl ApplyFormat for Changeset {
    const FORMAT: Format = Format::Changeset;
}

impl ApplyFormat for Patchset {
    const FORMAT: Format = Format::Patchset;
}

/// What [`apply`](crate::SqliteSessionExt::apply) takes: a changeset or a patchset by reference, its borrowed form, or a reader
/// over a [`Read`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be applied",
    label = "expected `&Changeset`, `&Patchset`, or a `ChangesetReader` or `PatchsetReader`",
    note = "bytes are checked first: `Changeset::try_from(bytes)?` or `ChangesetRef::parse(&bytes)?`"
)]
pub trait ApplyInput<'a>: sealed::Sealed {
    /// [`Changeset`] or [`Patchset`].
    type Format: ApplyFormat;

    #[doc(hidden)]
    fn into_input(self) -> Input<'a>;
}

/// Changes that are to be applied.
#[doc(hidden)]
pub struct Input<'a>(pub(super) Source<'a>);

/// Where changes come from.
pub(super) enum Source<'a> {
    Bytes(&'a [u8], Records<'a>),
    Stream(Box<dyn Stream + 'a>),
}

/// A reader of changes.
pub(super) trait Stream {
    fn limit(&mut self, limits: Limits);
    /// The next change, and how many sections have begun.
    fn next(&mut self) -> Result<Option<(Record<'_>, u64)>, ReadError>;
}

macro_rules! apply_inputs {
    ($Owned:ident, $Borrowed:ident, $Reader:ident) => {
        impl<'a> ApplyInput<'a> for &'a $Owned {
            type Format = $Owned;

            fn into_input(self) -> Input<'a> {
                Input(Source::Bytes(self.as_bytes(), self.records()))
            }
        }

        impl<'a> ApplyInput<'a> for $Borrowed<'a> {
            type Format = $Owned;

            fn into_input(self) -> Input<'a> {
                Input(Source::Bytes(self.as_bytes(), self.records()))
            }
        }

        impl<R> sealed::Sealed for $Reader<R> {}
        impl<'a, R: Read + 'a> ApplyInput<'a> for $Reader<R> {
            type Format = $Owned;

            fn into_input(self) -> Input<'a> {
                Input(Source::Stream(Box::new(self)))
            }
        }

        impl<R: Read> Stream for $Reader<R> {
            fn limit(&mut self, limits: Limits) {
                self.narrow(limits);
            }

            fn next(&mut self) -> Result<Option<(Record<'_>, u64)>, ReadError> {
                self.next_with_section()
            }
        }
    };
}
apply_inputs!(Changeset, ChangesetRef, ChangesetReader);
apply_inputs!(Patchset, PatchsetRef, PatchsetReader);
