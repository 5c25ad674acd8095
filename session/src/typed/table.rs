//! A table as its types declare it: name, recorded columns and primary key, as constants.

use diesel::Column;

use super::DecodeErrorKind;
use crate::wire::{TableColumns, TableSchema};

/// The description of a table, as `table!` and the row struct declare it. Changes of the table must match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableInfo {
    name: &'static str,
    columns: &'static [&'static str],
    key_ordinals: &'static [u8],
    optional: usize,
    hidden: &'static [&'static str],
}

impl TableInfo {
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        columns: &'static [&'static str],
        key_ordinals: &'static [u8],
        optional: usize,
        hidden: &'static [&'static str],
    ) -> Self {
        Self { name, columns, key_ordinals, optional, hidden }
    }

    /// Returns the name of the table in the database.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the names of the columns that changes contain, in the order of the table, without generated columns.
    pub const fn columns(&self) -> &'static [&'static str] {
        self.columns
    }

    /// Returns the place of each column in the primary key of `table!`, counted from 1; 0 for a column outside of it.
    pub const fn key_ordinals(&self) -> &'static [u8] {
        self.key_ordinals
    }

    /// Returns how many of the last columns older changes may lack: those of the fields with `#[tracked(default)]`.
    pub const fn optional(&self) -> usize {
        self.optional
    }

    /// Returns the columns that JSON of this table omits: those of `#[tracked(skip)]`, and those whose fields have
    /// `#[serde(skip)]`.
    pub const fn hidden(&self) -> &'static [&'static str] {
        self.hidden
    }

    /// Checks that changes have the columns and the key of this table. The error contains the column that differs, and how.
    pub(crate) fn check(&self, key_ordinals: &[u8]) -> Result<(), (Option<&'static str>, DecodeErrorKind)> {
        let (expected, found) = (self.columns.len(), key_ordinals.len());
        if found > expected || found.saturating_add(self.optional) < expected {
            return Err((None, DecodeErrorKind::ColumnCount { expected, found }));
        }
        for (column, (declared, recorded)) in self.columns.iter().zip(self.key_ordinals.iter().zip(key_ordinals)) {
            if (*declared == 0) != (*recorded == 0) {
                return Err((Some(*column), DecodeErrorKind::PrimaryKey));
            }
        }
        Ok(())
    }
}

/// Names the columns where changes are written as SQL or JSON, for example with `Blog::TABLES`.
impl<'a> From<&TableInfo> for TableColumns<'a> {
    fn from(table: &TableInfo) -> Self {
        Self::with_hidden(table.name, table.columns, table.hidden)
    }
}

impl<'a> From<TableInfo> for TableColumns<'a> {
    fn from(table: TableInfo) -> Self {
        (&table).into()
    }
}

impl<'a> From<&&TableInfo> for TableColumns<'a> {
    fn from(table: &&TableInfo) -> Self {
        (*table).into()
    }
}

/// Describes the columns and the key where changes are built from values, for example with `User::TABLE`.
///
/// ```
/// use diesel_sqlite_session::{Changeset, Tracked};
///
/// diesel::table! {
///     users (id) {
///         id -> Integer,
///         name -> Text,
///     }
/// }
///
/// #[derive(Tracked)]
/// #[diesel(table_name = users)]
/// struct User {
///     id: i32,
///     name: String,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let changeset = Changeset::builder().insert_values(User::TABLE, &[1.into(), "Ada".into()]).build()?;
/// assert_eq!(changeset.records().next().unwrap().to_string(), "INSERT users(1, 'Ada')");
/// # Ok(())
/// # }
/// ```
impl From<TableInfo> for TableSchema<'static> {
    fn from(table: TableInfo) -> Self {
        Self::new(table.name, table.key_ordinals).with_columns(table.columns)
    }
}

impl From<&TableInfo> for TableSchema<'static> {
    fn from(table: &TableInfo) -> Self {
        (*table).into()
    }
}

/// The columns of a table: [`diesel::Table::AllColumns`].
#[doc(hidden)]
pub trait ColumnList {
    const NAMES: &'static [&'static str];
}

/// The columns of a primary key. For several columns the constant is an inherent one, which takes precedence over that of the
/// trait [`OneColumn`] for one column.
#[doc(hidden)]
pub struct KeyList<T>(core::marker::PhantomData<T>);

#[doc(hidden)]
pub trait OneColumn {
    const NAMES: &'static [&'static str];
}

impl<C: Column> OneColumn for KeyList<C> {
    const NAMES: &'static [&'static str] = &[C::NAME];
}

macro_rules! tuples {
    ($($first:ident $($rest:ident)*)?) => {
        $(
            impl<$first: Column, $($rest: Column),*> ColumnList for ($first, $($rest,)*) {
                const NAMES: &'static [&'static str] = &[$first::NAME, $($rest::NAME),*];
            }
            tuples!($($rest)*);
        )?
    };
}

macro_rules! keys {
    ($first:ident $second:ident $($rest:ident)*) => {
        impl<$first: Column, $second: Column, $($rest: Column),*> KeyList<($first, $second, $($rest,)*)> {
            #[doc(hidden)]
            pub const NAMES: &'static [&'static str] = &[$first::NAME, $second::NAME, $($rest::NAME),*];
        }
        keys!($second $($rest)*);
    };
    ($last:ident) => {};
}

tuples! {
    A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16 A17 A18 A19 A20 A21 A22 A23 A24 A25 A26 A27 A28 A29 A30 A31
    B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11 B12 B13 B14 B15 B16 B17 B18 B19 B20 B21 B22 B23 B24 B25 B26 B27 B28 B29 B30 B31
    C0 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 C12 C13 C14 C15 C16 C17 C18 C19 C20 C21 C22 C23 C24 C25 C26 C27 C28 C29 C30 C31
    D0 D1 D2 D3 D4 D5 D6 D7 D8 D9 D10 D11 D12 D13 D14 D15 D16 D17 D18 D19 D20 D21 D22 D23 D24 D25 D26 D27 D28 D29 D30 D31
}
keys!(A B C D E F G H I J K L M N O P);
