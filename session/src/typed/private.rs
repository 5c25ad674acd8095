//! What the code that the derive writes refers to. Nothing here is for users, and nothing of it is promised.

#![allow(clippy::missing_errors_doc, clippy::type_complexity)]

use core::marker::PhantomData;

pub use super::change::DecodeRow;
pub use super::encode::EncodeRow;
pub use super::reader::{Reader, Side, Source as Record};
pub use super::set::{FromChanges, FromPatches, TrackedSet};
pub use super::table::{ColumnList, KeyList, OneColumn, TableName};
pub use super::{
    Change, CowValue, DecodeError, Field, FromSqlValue, Patch, RustType, TableInfo, ToSqlValue, Tracked, ValueError,
};
pub use crate::wire::Value;
pub use core;
pub use diesel;

// What a constant can find out of names.

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Where a name is among others.
pub const fn position(names: &[&str], name: &str) -> Option<usize> {
    let mut i = 0;
    while i < names.len() {
        if same(names[i], name) {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// The first name that is not among others.
pub const fn missing(names: &[&'static str], among: &[&str]) -> Option<&'static str> {
    let mut i = 0;
    while i < names.len() {
        if position(among, names[i]).is_none() {
            return Some(names[i]);
        }
        i += 1;
    }
    None
}

/// The names but for some, as far as there is room; what is left over is empty.
pub const fn without<const N: usize>(names: &[&'static str], some: &[&str]) -> [&'static str; N] {
    let mut kept = [""; N];
    let (mut i, mut n) = (0, 0);
    while i < names.len() && n < N {
        if position(some, names[i]).is_none() {
            kept[n] = names[i];
            n += 1;
        }
        i += 1;
    }
    kept
}

/// Where each name is among others; 0 where it is not.
pub const fn positions<const N: usize>(names: &[&str; N], among: &[&str]) -> [usize; N] {
    let mut found = [0; N];
    let mut i = 0;
    while i < N {
        if let Some(at) = position(among, names[i]) {
            found[i] = at;
        }
        i += 1;
    }
    found
}

/// The key ordinals of columns.
pub const fn ordinals<const N: usize>(columns: &[&str; N], key: &[&str]) -> [u8; N] {
    let mut ordinals = [0; N];
    let mut i = 0;
    while i < N {
        if let Some(at) = position(key, columns[i]) {
            ordinals[i] = at as u8 + 1;
        }
        i += 1;
    }
    ordinals
}

/// How long several texts are together.
pub const fn length(parts: &[&str]) -> usize {
    let (mut i, mut sum) = (0, 0);
    while i < parts.len() {
        sum += parts[i].len();
        i += 1;
    }
    sum
}

/// Several texts in one.
pub const fn join<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut joined = [0; N];
    let (mut i, mut n) = (0, 0);
    while i < parts.len() {
        let part = parts[i].as_bytes();
        let mut j = 0;
        while j < part.len() {
            joined[n] = part[j];
            n += 1;
            j += 1;
        }
        i += 1;
    }
    joined
}

/// Bytes that are text.
pub const fn as_text(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}

/// Whether a table is in one of the sets before.
pub const fn is_in(table: &str, before: &[&'static [&'static TableInfo]]) -> bool {
    let mut i = 0;
    while i < before.len() {
        let mut j = 0;
        while j < before[i].len() {
            if same(table, before[i][j].name()) {
                return true;
            }
            j += 1;
        }
        i += 1;
    }
    false
}

/// The tables of sets of one table each.
pub const fn tables<const N: usize>(sets: [&'static [&'static TableInfo]; N]) -> [&'static TableInfo; N] {
    let mut tables = [sets[0][0]; N];
    let mut i = 0;
    while i < N {
        tables[i] = sets[i][0];
        i += 1;
    }
    tables
}

/// The name of a type.
pub fn type_name<T>() -> &'static str {
    core::any::type_name::<T>()
}

// Whether a column is of the key, and what it is then in an UPDATE.

/// A column that is of the key, or is not.
pub struct IsKey<const KEY: bool>;

/// What a column of the type `T` is in an UPDATE.
pub trait InUpdate<T> {
    type Update;
    type Patch;
}

impl<T> InUpdate<T> for IsKey<true> {
    type Update = T;
    type Patch = T;
}

impl<T> InUpdate<T> for IsKey<false> {
    type Update = Field<T>;
    type Patch = Option<T>;
}

/// Reads a column of an UPDATE.
pub trait ReadUpdate<'de, T>: InUpdate<T> {
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Self::Update, DecodeError>;

    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Self::Patch, DecodeError>;
}

impl<'de, T> ReadUpdate<'de, T> for IsKey<true> {
    #[inline]
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        (old, _): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        reader.value(old, column, sql_type, decode)
    }

    #[inline]
    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        (old, _): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        reader.value(old, column, sql_type, decode)
    }
}

impl<'de, T> ReadUpdate<'de, T> for IsKey<false> {
    #[inline]
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Field<T>, DecodeError> {
        reader.field(sides, column, sql_type, decode)
    }

    #[inline]
    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        (_, new): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Option<T>, DecodeError> {
        reader.patch(new, column, sql_type, decode)
    }
}

// The key, where its columns are known to the compiler alone.

/// A row that has a field for the column `C`.
pub trait HasColumn<C> {
    type Type;
}

/// Reads that field.
pub trait ReadColumn<'de, C>: HasColumn<C> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Type, DecodeError>;
}

/// So many columns.
pub struct Columns<const N: usize>;

/// The key of a row `R` of a table with the primary key `P`.
pub trait KeyOf<P, R> {
    type Key;
}

/// Reads the key.
pub trait ReadKey<'de, P, R>: KeyOf<P, R> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Key, DecodeError>;
}

impl<C, R: HasColumn<C>> KeyOf<C, R> for Columns<1> {
    type Key = R::Type;
}

impl<'de, C, R: ReadColumn<'de, C>> ReadKey<'de, C, R> for Columns<1> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<R::Type, DecodeError> {
        R::read(reader, old)
    }
}

macro_rules! keys {
    ($($count:literal: $($C:ident)*;)*) => {$(
        impl<$($C,)* R> KeyOf<($($C,)*), R> for Columns<$count>
        where
            R: $(HasColumn<$C> +)*
        {
            type Key = ($(<R as HasColumn<$C>>::Type,)*);
        }

        impl<'de, $($C,)* R> ReadKey<'de, ($($C,)*), R> for Columns<$count>
        where
            R: $(ReadColumn<'de, $C> +)*
        {
            fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Key, DecodeError> {
                Ok(($(<R as ReadColumn<'de, $C>>::read(reader, old)?,)*))
            }
        }
    )*};
}
keys! {
    2: A B;
    3: A B C;
    4: A B C D;
    5: A B C D E;
    6: A B C D E F;
    7: A B C D E F G;
    8: A B C D E F G H;
    9: A B C D E F G H I;
    10: A B C D E F G H I J;
    11: A B C D E F G H I J K;
    12: A B C D E F G H I J K L;
    13: A B C D E F G H I J K L M;
    14: A B C D E F G H I J K L M O;
    15: A B C D E F G H I J K L M O P;
    16: A B C D E F G H I J K L M O P Q;
}

// How a field is read and written: by our traits, else by Diesel's. Which of the methods of one name is meant, the compiler
// decides by the number of references that it has to take.

/// A field of the type `T` for a column of the SQL type `ST`.
pub struct Via<T: ?Sized, ST>(PhantomData<(fn() -> ST, fn(&T))>);

impl<T: ?Sized, ST> Via<T, ST> {
    pub const NEW: Self = Self(PhantomData);
}

/// By [`FromSqlValue`].
pub trait DecodeOurs<'de, T> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>;
}

impl<'de, T: FromSqlValue<'de, ST>, ST> DecodeOurs<'de, T> for &&Via<T, ST> {
    #[inline]
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError> {
        T::from_sql_value(value)
    }
}

/// By Diesel's `FromSqlRow`.
pub trait DecodeDiesel<'de, T> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>;
}

#[cfg(feature = "sqlite")]
impl<'de, T, ST> DecodeDiesel<'de, T> for &Via<T, ST>
where
    T: diesel::deserialize::FromSqlRow<ST, diesel::sqlite::Sqlite> + 'static,
    ST: diesel::sql_types::SingleValue + diesel::query_builder::QueryId + 'static,
    diesel::sqlite::Sqlite: diesel::sql_types::HasSqlType<ST>,
{
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError> {
        super::via_diesel::decode::<T, ST>(value)
    }
}

/// By nothing: this is where the compiler says so.
pub trait DecodeNot<'de, T, ST> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>
    where
        T: FromSqlValue<'de, ST>;
}

impl<'de, T, ST> DecodeNot<'de, T, ST> for Via<T, ST> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>
    where
        T: FromSqlValue<'de, ST>,
    {
        T::from_sql_value(value)
    }
}

/// By [`ToSqlValue`].
pub trait EncodeOurs<T: ?Sized> {
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError>;
}

impl<T: ToSqlValue<ST> + ?Sized, ST> EncodeOurs<T> for &&Via<T, ST> {
    #[inline]
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError> {
        value.to_sql_value()
    }
}

/// By Diesel's `ToSql`.
pub trait EncodeDiesel<T: ?Sized> {
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError>;
}

#[cfg(feature = "sqlite")]
impl<T, ST> EncodeDiesel<T> for &Via<T, ST>
where
    T: diesel::serialize::ToSql<ST, diesel::sqlite::Sqlite> + ?Sized,
    diesel::sqlite::Sqlite: diesel::sql_types::HasSqlType<ST>,
{
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError> {
        super::via_diesel::encode::<T, ST>(value)
    }
}

/// By nothing: [`CanWrite`] has refused to compile it before it can be called.
pub trait EncodeNot<T: ?Sized> {
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError>;
}

impl<T: ?Sized, ST> EncodeNot<T> for Via<T, ST> {
    fn encode<'t>(&self, _: &'t T) -> Result<CowValue<'t>, ValueError> {
        Err(ValueError::invalid("the type cannot be written"))
    }
}

/// Whether a field can be written: an associated constant goes before one of a trait.
pub struct CanWrite<T: ?Sized, ST>(PhantomData<(fn() -> ST, fn(&T))>);

impl<T: ToSqlValue<ST> + ?Sized, ST> CanWrite<T, ST> {
    pub const OURS: bool = true;
}

pub trait NotOurs {
    const OURS: bool = false;
}

impl<T: ?Sized, ST> NotOurs for CanWrite<T, ST> {}

#[cfg(feature = "sqlite")]
impl<T, ST> CanWrite<T, ST>
where
    T: diesel::serialize::ToSql<ST, diesel::sqlite::Sqlite> + ?Sized,
    diesel::sqlite::Sqlite: diesel::sql_types::HasSqlType<ST>,
{
    pub const DIESELS: bool = true;
}

pub trait NotDiesels {
    const DIESELS: bool = false;
}

impl<T: ?Sized, ST> NotDiesels for CanWrite<T, ST> {}
