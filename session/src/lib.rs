//! SQLite's [session extension](https://www.sqlite.org/sessionintro.html) for people who write
//! [Diesel](https://diesel.rs).
//!
//! What is there today is [`wire`]: changesets and patchsets, which SQLite and other software write, are checked and read
//! in pure Rust, without SQLite, more than ten times as fast as by SQLite's own iterator.
//!
//! ```
//! use diesel_sqlite_session::{Changeset, Operation};
//!
//! # let bytes = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada".to_vec();
//! let changeset = Changeset::try_from(bytes)?; // everything is checked here
//! for record in &changeset {
//!     match record.operation() {
//!         Operation::Insert => println!("a new row in {}: {record}", record.table()),
//!         Operation::Update => println!("column 1 was {:?}, is {:?}", record.old_value(1), record.new_value(1)),
//!         Operation::Delete => println!("undo with {:?}", changeset.invert()),
//!     }
//! }
//! # Ok::<(), diesel_sqlite_session::ParseError>(())
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `std` | yes | `ChangesetReader` and `PatchsetReader` over `std::io::Read` |
//!
//! Without any, the crate is `no_std`, needs `alloc`, and has no dependency.

#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(all(feature = "std", not(test)))]
extern crate std;

#[cfg(feature = "sqlite")]
mod apply;
#[cfg(feature = "sqlite")]
mod error;
#[cfg(feature = "sqlite")]
mod ext;
#[cfg(feature = "sqlite")]
mod ffi;
#[cfg(feature = "sqlite")]
mod schema;
#[cfg(feature = "sqlite")]
mod session;
pub mod wire;

#[cfg(feature = "sqlite")]
pub use apply::{ChangesetInput, ConflictAction, ConflictType, PatchsetInput};
#[cfg(feature = "sqlite")]
pub use error::{ApplyError, HandleError, SchemaMismatch, SessionError, SqliteError};
#[cfg(feature = "sqlite")]
pub use ext::SqliteSessionExt;
#[cfg(feature = "sqlite")]
pub use schema::{TrackableTable, UntrackedTable};
#[cfg(feature = "sqlite")]
pub use session::Session;

pub use wire::{
    Changeset, ChangesetRef, Format, MAX_VALUE_LENGTH, Operation, ParseError, ParseErrorKind, Patchset, PatchsetRef,
    Record, Records, Table, Tables, Value, Values,
};
#[cfg(feature = "std")]
pub use wire::{ChangesetReader, PatchsetReader, ReadError};
