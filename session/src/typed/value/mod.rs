//! Values of changes as Rust values, by the SQL type of their column: one module for the plain types, and one for each
//! feature. What is read is what Diesel loads from the same value, or an error; what is written is what Diesel binds.

#[cfg(feature = "chrono")]
mod chrono;
#[cfg(feature = "serde_json")]
mod json;
#[cfg(feature = "serde_json")]
mod jsonb;
#[cfg(feature = "numeric")]
mod numeric;
mod plain;
#[cfg(feature = "time")]
mod time;

use std::borrow::Cow;
use std::string::String;
use std::vec::Vec;

use diesel::sql_types::{
    BigInt, Binary, Bool, Date, Double, Float, Integer, Nullable, SmallInt, SqlType, Text, Time, Timestamp,
};

use super::ValueError;
use crate::wire::Value;

/// A type that a value of a column of the SQL type `ST` can be read as.
///
/// It is implemented for the types that Diesel loads from SQLite, and for borrowed ones: `&'a str` and `&'a [u8]`. A type that
/// has only Diesel's own `FromSql<ST, Sqlite>` need not have it: rows read it by way of SQLite, which takes about a
/// microsecond. Implement this trait to spare that:
///
/// ```
/// use diesel::sql_types::Integer;
/// use diesel_sqlite_session::{FromSqlValue, Value, ValueError};
///
/// struct Meters(i32);
///
/// impl<'a> FromSqlValue<'a, Integer> for Meters {
///     fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
///         i32::from_sql_value(value).map(Meters)
///     }
/// }
/// assert_eq!(Meters::from_sql_value(Value::Integer(5)).unwrap().0, 5);
/// assert!(Meters::from_sql_value(Value::Text(b"five")).is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "a column of the SQL type `{ST}` cannot be read as `{Self}`",
    label = "not a type for a column of the SQL type `{ST}`",
    note = "a column that is `Nullable` needs an `Option`, and one that is not must have none",
    note = "a type of your own needs `FromSqlValue<'_, {ST}>`, or Diesel's `FromSql<{ST}, Sqlite>` and `FromSqlRow`"
)]
pub trait FromSqlValue<'a, ST>: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// When the value is none of this type.
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError>;
}

/// A type that can be written as a value of a column of the SQL type `ST`, in the storage class in which Diesel writes it.
///
/// A type that has only Diesel's own `ToSql<ST, Sqlite>` need not have it: rows write it by way of SQLite, which takes some
/// microseconds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written into a column of the SQL type `{ST}`",
    label = "not a type for a column of the SQL type `{ST}`",
    note = "a type of your own needs `ToSqlValue<{ST}>`, or Diesel's `ToSql<{ST}, Sqlite>`"
)]
pub trait ToSqlValue<ST> {
    /// The value.
    ///
    /// # Errors
    ///
    /// When the value has no form in SQLite.
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError>;
}

/// A [`Value`] that may own its text or blob.
#[derive(Clone, Debug, PartialEq)]
pub enum CowValue<'a> {
    /// NULL.
    Null,
    /// A signed integer of 64 bits.
    Integer(i64),
    /// A floating point number.
    Real(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// A blob.
    Blob(Cow<'a, [u8]>),
}

impl CowValue<'_> {
    /// The value, borrowed.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(integer) => Value::Integer(*integer),
            Self::Real(real) => Value::from(*real),
            Self::Text(text) => Value::Text(text.as_bytes()),
            Self::Blob(blob) => Value::Blob(blob),
        }
    }
}

/// The error of a value of another storage class.
fn unexpected(value: Value<'_>, expected: &'static str) -> ValueError {
    match value {
        Value::Null => ValueError::Null,
        _ => ValueError::StorageClass { expected },
    }
}

#[inline(always)]
fn text(value: Value<'_>) -> Result<&str, ValueError> {
    match value {
        Value::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| ValueError::Utf8),
        other => Err(unexpected(other, "text")),
    }
}

/// A Julian day as the seconds since 1970, as Diesel counts them. Text is what SQLite makes of a number that is read as text.
#[cfg(any(feature = "chrono", feature = "time"))]
fn julian_seconds(value: Value<'_>) -> Option<f64> {
    let days = match value {
        Value::Text(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok()?,
        value => plain::real(value).ok()?,
    };
    let seconds = (days - 2_440_587.5) * 86_400.0;
    f64::is_finite(seconds).then_some(seconds)
}

impl<ST, T: ToSqlValue<ST> + ?Sized> ToSqlValue<ST> for &T {
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        (**self).to_sql_value()
    }
}

impl<'a, ST, T> FromSqlValue<'a, Nullable<ST>> for Option<T>
where
    ST: SqlType<IsNull = diesel::sql_types::is_nullable::NotNull>,
    T: FromSqlValue<'a, ST>,
{
    #[inline]
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_sql_value(value).map(Some),
        }
    }
}

impl<ST, T> ToSqlValue<Nullable<ST>> for Option<T>
where
    ST: SqlType<IsNull = diesel::sql_types::is_nullable::NotNull>,
    T: ToSqlValue<ST>,
{
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        self.as_ref().map_or(Ok(CowValue::Null), ToSqlValue::to_sql_value)
    }
}

/// The Rust type that a schema derive gives a column of this SQL type, unless it is told otherwise. No feature changes it.
#[diagnostic::on_unimplemented(
    message = "no Rust type is known for the SQL type `{Self}`",
    note = "say which with `#[tracked(types({Self} = YourType))]`"
)]
pub trait RustType {
    /// The type.
    type Type;
}

macro_rules! rust_types {
    ($($(#[$attribute:meta])* $Sql:ty => $Rust:ty),* $(,)?) => {$(
        $(#[$attribute])*
        impl RustType for $Sql {
            type Type = $Rust;
        }
    )*};
}
rust_types! {
    SmallInt => i16,
    Integer => i32,
    BigInt => i64,
    Bool => bool,
    Float => f32,
    Double => f64,
    Text => String,
    Binary => Vec<u8>,
    Date => String,
    Time => String,
    Timestamp => String,
    #[cfg(feature = "sqlite")]
    diesel::sql_types::TimestamptzSqlite => String,
}

impl<ST: RustType + SqlType<IsNull = diesel::sql_types::is_nullable::NotNull>> RustType for Nullable<ST> {
    type Type = Option<ST::Type>;
}
