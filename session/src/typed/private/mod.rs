//! The items that derived code refers to. Users do not call them, and they are not part of the
//! stable API.
//!
//! | module | contents |
//! |---|---|
//! | `names` | functions that constants call: column positions, and the checks with their messages |
//! | `update` | the type that a column has in an UPDATE, which depends on the primary key |
//! | `key` | the primary key of a row that does not name its columns |
//! | `probe` | selection of the trait that reads or writes a field: this crate's, otherwise Diesel's |

#![allow(clippy::missing_errors_doc, clippy::type_complexity)]

mod key;
mod names;
mod probe;
mod update;

pub use core;
pub use core::option::Option;
pub use core::primitive::{str, u8, usize};
pub use core::result::Result;
pub use diesel;
pub use std::string::String;
pub use std::vec::Vec;

#[cfg(feature = "serde")]
pub(in crate::typed) use self::key::of_tuples;
pub use self::key::{CloneKey, Columns, HasColumn, KeyColumn, KeyOf, ReadColumn, ReadKey};
pub use self::names::{
    check_columns, check_default, check_key, check_schema, check_skipped, check_table, key_bits, key_columns, ordinals,
    positions, tables, unwritable, without,
};
pub use self::probe::{
    CanMake, CanWrite, DecodeDiesel, DecodeNot, DecodeOurs, EncodeDiesel, EncodeNot, EncodeOurs, Make, MakeByInto,
    MakeNot, NotDiesels, NotMade, NotOurs, Plain, Via, convert,
};
pub use self::update::{
    Four, InUpdate, IsKey, KeyColumns, KeyOrField0, KeyOrField1, KeyOrField2, KeyOrField3, KeyOrOption0, KeyOrOption1,
    KeyOrOption2, KeyOrOption3, Keys, ReadUpdate, changed, debug,
};
pub use super::change::{DecodeRow, KeyedRow};
pub use super::diesel_internal::TableName;
pub use super::encode::{EncodeRow, Writer};
#[cfg(feature = "serde")]
pub use super::json;
pub use super::reader::{Reader, Side, SqlTypes, UnreadRecord as Record};
pub use super::set::{FromChanges, FromPatches, TrackedSet};
pub use super::table::{ColumnList, KeyList, OneColumn};
pub use super::{Change, CowValue, DecodeError, Field, FromSqlValue, Patch, RustType, ToSqlValue, Tracked, ValueError};
pub use crate::__when_serde as when_serde;
pub use crate::wire::{Operation, Value};

/// The description of a table that a `table!` declares.
pub type TableInfo = crate::wire::TableInfo<'static>;

/// Creates the description of a row's table.
pub const fn table_info(
    table: &'static str,
    columns: &'static [&'static str],
    key_ordinals: &'static [u8],
    optional: usize,
    hidden: &'static [&'static str],
) -> TableInfo {
    TableInfo::new(table, key_ordinals).with_columns(columns).with_hidden(hidden).with_optional(optional)
}

/// Compiles code only with this crate's feature `serde`, whatever the features of the calling crate
/// are.
#[cfg(feature = "serde")]
#[doc(hidden)]
#[macro_export]
macro_rules! __when_serde {
    ($($code:tt)*) => { $($code)* };
}

/// Compiles code only with this crate's feature `serde`, whatever the features of the calling crate
/// are.
#[cfg(not(feature = "serde"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __when_serde {
    ($($code:tt)*) => {};
}

/// Returns the name of a type.
pub fn type_name<T>() -> &'static str {
    core::any::type_name::<T>()
}
