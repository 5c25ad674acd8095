//! Selection of the trait that reads or writes a field: this crate's, otherwise Diesel's.
//!
//! Several traits have a method of the same name, each for another number of references. The
//! compiler selects the first trait that applies (autoref specialisation), so that a type requires
//! only one of the traits.

use core::marker::PhantomData;
use std::string::String;
use std::vec::Vec;

use diesel::sql_types::{BigInt, Binary, Bool, Double, Float, Integer, Nullable, SmallInt, Text};

use crate::typed::{CowValue, FromSqlValue, ToSqlValue, ValueError};
use crate::wire::Value;

/// A field of the type `T` for a column of the SQL type `ST`.
pub struct Via<T: ?Sized, ST>(PhantomData<(fn() -> ST, fn(&T))>);

impl<T: ?Sized, ST> Via<T, ST> {
    pub const NEW: Self = Self(PhantomData);
}

/// Reads by [`FromSqlValue`].
pub trait DecodeOurs<'de, T> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>;
}

impl<'de, T: FromSqlValue<'de, ST>, ST> DecodeOurs<'de, T> for &&Via<T, ST> {
    #[inline]
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError> {
        T::from_sql_value(value)
    }
}

/// Reads by Diesel's `FromSqlRow`.
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
        crate::typed::via_diesel::decode::<T, ST>(value)
    }
}

/// Reads by no trait: the compiler reports the missing trait here.
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

/// Converts the value of `#[diesel(deserialize_as = …)]` to the type of the field.
#[inline]
pub fn convert<T, U>(value: Result<T, ValueError>) -> Result<U, ValueError>
where
    T: TryInto<U>,
    T::Error: core::fmt::Display,
{
    value.and_then(|value| value.try_into().map_err(ValueError::invalid))
}

/// Writes by [`ToSqlValue`].
pub trait EncodeOurs<T: ?Sized> {
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError>;
}

impl<T: ToSqlValue<ST> + ?Sized, ST> EncodeOurs<T> for &&Via<T, ST> {
    #[inline]
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError> {
        value.to_sql_value()
    }
}

/// Writes by Diesel's `ToSql`.
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
        crate::typed::via_diesel::encode::<T, ST>(value)
    }
}

/// Writes by no trait: [`CanWrite`] rejects such a field before this can be called.
pub trait EncodeNot<T: ?Sized> {
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError>;
}

impl<T: ?Sized, ST> EncodeNot<T> for Via<T, ST> {
    fn encode<'t>(&self, _: &'t T) -> Result<CowValue<'t>, ValueError> {
        Err(ValueError::invalid("the type cannot be written"))
    }
}

/// Whether a field can be written: an inherent constant takes precedence over that of a trait.
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

/// Whether a field can be converted to the `U` of `#[diesel(serialize_as = U)]`.
pub struct CanMake<T, U>(PhantomData<(fn() -> U, fn(T))>);

impl<T: Clone + Into<U>, U> CanMake<T, U> {
    pub const MADE: bool = true;
}

pub trait NotMade {
    const MADE: bool = false;
}

impl<T, U> NotMade for CanMake<T, U> {}

/// The conversion of a field of the type `T` that is written as a `U`.
pub struct Make<T, U>(PhantomData<(fn() -> U, fn(T))>);

impl<T, U> Make<T, U> {
    pub const NEW: Self = Self(PhantomData);
}

/// Converts by `Into`.
pub trait MakeByInto<T, U> {
    fn make(&self, value: &T) -> Result<U, ValueError>;
}

impl<T: Clone + Into<U>, U> MakeByInto<T, U> for &Make<T, U> {
    #[inline]
    fn make(&self, value: &T) -> Result<U, ValueError> {
        Ok(value.clone().into())
    }
}

/// Converts by no trait: [`CanMake`] rejects such a field before this can be called.
pub trait MakeNot<T, U> {
    fn make(&self, value: &T) -> Result<U, ValueError>;
}

impl<T, U> MakeNot<T, U> for Make<T, U> {
    fn make(&self, _: &T) -> Result<U, ValueError> {
        Err(ValueError::invalid("the type cannot be written"))
    }
}

/// A type that the schema derive uses for a field. It has only one SQL type, so that no trait has
/// to be selected.
pub trait Plain<'de>: Sized {
    fn read(value: Value<'de>) -> Result<Self, ValueError>;
    fn write(&self) -> Result<CowValue<'_>, ValueError>;
}

macro_rules! plain {
    ($($Rust:ty => $Sql:ty),*) => {$(
        impl<'de> Plain<'de> for $Rust {
            #[inline]
            fn read(value: Value<'de>) -> Result<Self, ValueError> {
                <Self as FromSqlValue<'de, $Sql>>::from_sql_value(value)
            }

            #[inline]
            fn write(&self) -> Result<CowValue<'_>, ValueError> {
                ToSqlValue::<$Sql>::to_sql_value(self)
            }
        }

        impl<'de> Plain<'de> for Option<$Rust> {
            #[inline]
            fn read(value: Value<'de>) -> Result<Self, ValueError> {
                <Self as FromSqlValue<'de, Nullable<$Sql>>>::from_sql_value(value)
            }

            #[inline]
            fn write(&self) -> Result<CowValue<'_>, ValueError> {
                ToSqlValue::<Nullable<$Sql>>::to_sql_value(self)
            }
        }
    )*};
}
plain! {
    i16 => SmallInt, i32 => Integer, i64 => BigInt, bool => Bool, f32 => Float, f64 => Double, String => Text, Vec<u8> => Binary
}
