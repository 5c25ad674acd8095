//! Changes as Rust values: [`Tracked`], [`Change`] and [`Patch`].

use std::fmt;

use super::DecodeError;
use super::reader::Reader;
use super::table::TableInfo;

/// What `#[derive(Tracked)]` makes of a row struct, and of its table: the types that the table's changes are read as.
///
/// It is implemented for the struct, and for the table too where the struct is `pub`, has no lifetime and belongs to the crate
/// of the table: `Change<User>` and `Change<users::table>` are then the same.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no row to read changes as",
    label = "no `#[derive(Tracked)]` makes this a row or the table of one",
    note = "a table has the `pub` struct with `#[derive(Tracked)]` and `#[diesel(table_name = …)]` as its row",
    note = "a row that is not `pub`, has a lifetime, or is `#[tracked(row_only)]` is named itself: `Change<User>`"
)]
pub trait Tracked {
    /// The table.
    const TABLE: TableInfo;
    /// A whole row.
    type Row;
    /// An UPDATE of a changeset: the key, and a [`Field`](super::Field) for each other column.
    type Update;
    /// An UPDATE of a patchset: the key, and an `Option` for each other column, `Some` where it has a new value.
    type Patch;
    /// The primary key: the type of its column, or a tuple of those of its columns, in the order of `table!`.
    type Key;
}

/// Reads changes as a row and its companions.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from these changes",
    note = "a row that borrows cannot outlive the changeset that it is read from"
)]
pub trait DecodeRow<'de>: Tracked<Row = Self> + Sized {
    fn inserted(reader: &Reader<'_, 'de>) -> Result<Self, DecodeError>;
    fn deleted(reader: &Reader<'_, 'de>) -> Result<Self, DecodeError>;
    fn updated(reader: &Reader<'_, 'de>) -> Result<Self::Update, DecodeError>;
    fn patched(reader: &Reader<'_, 'de>) -> Result<Self::Patch, DecodeError>;
    fn key(reader: &Reader<'_, 'de>) -> Result<Self::Key, DecodeError>;
}

/// A change of a changeset: what happened to one row of the table `T`.
pub enum Change<T: Tracked> {
    /// The row was inserted.
    Insert(T::Row),
    /// The row was updated.
    Update(T::Update),
    /// The row was deleted; this is what it was.
    Delete(T::Row),
}

/// A change of a patchset: what to do to one row of the table `T`. What the row was before, it does not say.
pub enum Patch<T: Tracked> {
    /// The row was inserted.
    Insert(T::Row),
    /// The row was updated.
    Update(T::Patch),
    /// The row with this key was deleted.
    Delete(T::Key),
}

macro_rules! traits {
    ($Change:ident, $Update:ident, $Delete:ident) => {
        impl<T: Tracked> Clone for $Change<T>
        where
            T::Row: Clone,
            T::$Update: Clone,
            T::$Delete: Clone,
        {
            fn clone(&self) -> Self {
                match self {
                    Self::Insert(row) => Self::Insert(row.clone()),
                    Self::Update(update) => Self::Update(update.clone()),
                    Self::Delete(row) => Self::Delete(row.clone()),
                }
            }
        }

        impl<T: Tracked> PartialEq for $Change<T>
        where
            T::Row: PartialEq,
            T::$Update: PartialEq,
            T::$Delete: PartialEq,
        {
            fn eq(&self, other: &Self) -> bool {
                match (self, other) {
                    (Self::Insert(a), Self::Insert(b)) => a == b,
                    (Self::Update(a), Self::Update(b)) => a == b,
                    (Self::Delete(a), Self::Delete(b)) => a == b,
                    _ => false,
                }
            }
        }

        impl<T: Tracked> fmt::Debug for $Change<T>
        where
            T::Row: fmt::Debug,
            T::$Update: fmt::Debug,
            T::$Delete: fmt::Debug,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Insert(row) => f.debug_tuple("Insert").field(row).finish(),
                    Self::Update(update) => f.debug_tuple("Update").field(update).finish(),
                    Self::Delete(row) => f.debug_tuple("Delete").field(row).finish(),
                }
            }
        }
    };
}
traits!(Change, Update, Row);
traits!(Patch, Patch, Key);
