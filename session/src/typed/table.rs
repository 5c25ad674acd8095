//! A table as its types declare it: name, recorded columns and primary key, as constants.

use diesel::Column;

use super::DecodeErrorKind;
use crate::wire::TableInfo;

/// Checks that changes have the table's columns and primary key. The error names the column that
/// differs, and the difference.
pub(crate) fn check(
    table: &TableInfo<'static>,
    key_ordinals: &[u8],
) -> Result<(), (Option<&'static str>, DecodeErrorKind)> {
    let (expected, found) = (table.columns().len(), key_ordinals.len());
    if found > expected || found.saturating_add(table.optional()) < expected {
        return Err((None, DecodeErrorKind::ColumnCount { expected, found }));
    }
    for (column, (declared, recorded)) in table.columns().iter().zip(table.key_ordinals().iter().zip(key_ordinals)) {
        if (*declared == 0) != (*recorded == 0) {
            return Err((Some(*column), DecodeErrorKind::PrimaryKey));
        }
    }
    Ok(())
}

/// The columns of a table: [`diesel::Table::AllColumns`].
#[doc(hidden)]
pub trait ColumnList {
    const NAMES: &'static [&'static str];
}

/// The columns of a primary key. For several columns the constant is inherent, and takes precedence
/// over the constant of the trait [`OneColumn`] for one column.
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
