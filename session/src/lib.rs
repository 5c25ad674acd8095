#![doc = include_str!("../../README.md")]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

extern crate alloc;

pub mod wire;

pub use wire::{
    Changeset, ChangesetRef, Format, MAX_VALUE_LENGTH, Operation, ParseError, ParseErrorKind, Patchset, PatchsetRef,
    Record, Table, Value,
};
#[cfg(feature = "std")]
pub use wire::{ChangesetReader, PatchsetReader, ReadError};
