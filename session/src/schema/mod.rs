//! The tables of the database, and checks that compare them with `table!` declarations and with
//! changes.
//!
//! Records contain positions and no names. An undetected difference would therefore not fail, but
//! write values into wrong columns, or nowhere.
//!
//! - [`live`]: tables as the database defines them
//! - [`declaration`]: tables as `table!` declares them
//! - [`check`]: comparisons, which fail with a [`SchemaMismatch`]
//! - [`untracked`]: tables that SQLite does not record
//!
//! `session` calls this module when a table is attached, `apply` at the first change of a section.

mod check;
mod declaration;
mod live;
mod mismatch;
mod untracked;

pub(crate) use self::check::{check_declared, check_recordable, check_section};
pub use self::declaration::TrackableTable;
pub(crate) use self::declaration::{DeclaredTable, TableDeclaration};
pub(crate) use self::live::{
    Affinity, KeyCollation, KeyComparison, LiveColumn, LiveTable, OtherIndex, STAT1, TableKind, UniqueIndexes,
    is_preserved, tables_of,
};
pub use self::mismatch::SchemaMismatch;
pub use self::untracked::UntrackedTable;
pub(crate) use self::untracked::untracked_tables;
