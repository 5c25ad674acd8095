//! Reading and writing values as Rust types, by the SQL type of their column. There is one module
//! for plain types, and one for each feature.
//!
//! Reading returns the same value that Diesel loads, or fails. Writing returns the same value that
//! Diesel binds.

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
#[cfg(feature = "uuid")]
mod uuid;

use std::borrow::Cow;
use std::string::String;
use std::vec::Vec;

use diesel::sql_types::{
    BigInt, Binary, Bool, Date, Double, Float, Integer, Nullable, SmallInt, SqlType, Text, Time, Timestamp,
};

use super::ValueError;
use crate::wire::Value;

/// A type that a value in a column of the SQL type `ST` can be read as.
///
/// This trait is implemented for the types that Diesel loads from SQLite, and for borrowed types:
///
/// | SQL type | Rust types | feature |
/// |---|---|---|
/// | `Bool` | `bool` | |
/// | `SmallInt`, `Integer`, `BigInt` | `i16`, `i32`, `i64` | |
/// | `Float`, `Double` | `f32`, `f64` | |
/// | `Text` | `String`, `&str`, `Cow<str>` | |
/// | `Binary` | `Vec<u8>`, `&[u8]`, `Cow<[u8]>` | |
/// | `Date`, `Time`, `Timestamp`, `TimestamptzSqlite` | the types of `Text` | |
/// | `Date` | `chrono::NaiveDate` | `chrono` |
/// | | `time::Date` | `time` |
/// | `Time` | `chrono::NaiveTime` | `chrono` |
/// | | `time::Time` | `time` |
/// | `Timestamp` | `chrono::NaiveDateTime` | `chrono` |
/// | | `time::PrimitiveDateTime` | `time` |
/// | `TimestamptzSqlite` | `chrono::NaiveDateTime`, `chrono::DateTime<Utc>`, `chrono::DateTime<Local>` | `chrono` |
/// | | `time::PrimitiveDateTime`, `time::OffsetDateTime` | `time` |
/// | `Json`, `Jsonb` | `serde_json::Value` | `serde_json` |
/// | `Numeric` | `bigdecimal::BigDecimal` | `numeric` |
/// | `Binary`, `Text` | `uuid::Uuid`: 16 bytes, or text in any UUID format | `uuid` |
/// | `Nullable<ST>` | `Option<T>` of each of these | |
///
/// `TimestamptzSqlite` requires the feature `sqlite`. Diesel does not support `uuid::Uuid` on
/// SQLite. A row that Diesel also loads requires a type of your own, or
/// `#[diesel(deserialize_as = …)]`.
///
/// # Differences from Diesel
///
/// Reading returns the same value that Diesel loads. Dates and times are read from the same
/// formats, including Julian days. If Diesel silently converts a value to another value, reading
/// fails instead:
///
/// | value | Diesel | this crate |
/// |---|---|---|
/// | an integer out of the range of `i16`, `i32` or `bool` | truncates it to its low bits | [`ValueError::OutOfRange`] |
/// | a real out of the range of `f32` | converts it to infinity | [`ValueError::OutOfRange`] |
/// | text, a real or a blob as an integer or `bool`; text or a blob as a number or `Numeric` | converts it: `12 apples` to 12, text without a number to 0 | [`ValueError::StorageClass`] |
/// | a number or blob as text, text as a blob; a blob as a date, time or `Json` | converts it | [`ValueError::StorageClass`] |
/// | text in `Json` that is not UTF-8 | replaces invalid bytes | [`ValueError::Utf8`] |
/// | the text `nan` as a date and time | converts it to 1970 | [`ValueError::Invalid`] |
/// | `Jsonb` nested more than 1000 levels deep, which SQLite also rejects | reads it | [`ValueError::Invalid`] |
///
/// Three values are read differently:
///
/// - An integer in `Jsonb` above `i64::MAX` is read. Diesel writes it, but does not load it.
/// - A real as a Julian day, and a real in `Json`, are read exactly. Diesel reads the text that
///   SQLite converts the real to. In older versions of SQLite, this text has at most 15 digits.
///
/// # Your own types
///
/// A type that implements only Diesel's `FromSql<ST, Sqlite>` does not have to implement this
/// trait. Rows read such a value through SQLite, with an in-memory database for each thread. This
/// takes 0.3 microseconds for a value. In comparison, an `i32` takes one nanosecond, and a `String`
/// of 20 bytes takes 22.
///
/// Implement this trait to avoid this cost, or if the feature `sqlite` is not enabled:
///
/// ```
/// use diesel::sql_types::Integer;
/// use diesel_sqlite_session::typed::{FromSqlValue, ValueError};
/// use diesel_sqlite_session::Value;
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
    note = "a `Nullable` column requires an `Option`, and any other column a type without `Option`",
    note = "types of `chrono`, `time`, `uuid` and `serde_json` require the feature of the same name of diesel-sqlite-session, and \
            types of `bigdecimal` the feature `numeric`",
    note = "your own type must implement `FromSqlValue<'_, {ST}>`, or Diesel's `FromSql<{ST}, Sqlite>` and `FromSqlRow`"
)]
pub trait FromSqlValue<'a, ST>: Sized {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// Fails if the value does not fit this type.
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError>;
}

/// A type that can be written to a column of the SQL type `ST`, in the storage class in which
/// Diesel writes it.
///
/// This trait is implemented for the types of [`FromSqlValue`], and for `str`, `[u8]` and
/// references. As in Diesel, it is also implemented for `[u8; N]` and for `chrono::DateTime` of any
/// time zone, which can be written but not read.
///
/// A type that implements only Diesel's `ToSql<ST, Sqlite>` does not have to implement this trait.
/// Rows write such a value through SQLite, which takes half a microsecond.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written into a column of the SQL type `{ST}`",
    label = "not a type for a column of the SQL type `{ST}`",
    note = "types of `chrono`, `time`, `uuid` and `serde_json` require the feature of the same name of diesel-sqlite-session, and \
            types of `bigdecimal` the feature `numeric`",
    note = "your own type must implement `ToSqlValue<{ST}>`, or Diesel's `ToSql<{ST}, Sqlite>`"
)]
pub trait ToSqlValue<ST> {
    /// Returns the value.
    ///
    /// # Errors
    ///
    /// Fails if the value has no representation in SQLite.
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError>;
}

/// A [`Value`] that borrows or owns its text or blob.
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
    /// Returns the value, borrowed.
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

/// Returns the error of a value with another storage class.
#[cold]
fn unexpected(value: Value<'_>, expected: &'static str) -> ValueError {
    match value {
        Value::Null => ValueError::Null,
        _ => ValueError::StorageClass { expected },
    }
}

/// Returns the text of a value.
#[inline(always)]
fn text(value: Value<'_>) -> Result<&str, ValueError> {
    match value {
        Value::Text(bytes) => crate::utf8::text(bytes).ok_or(ValueError::Utf8),
        other => Err(unexpected(other, "text")),
    }
}

/// Returns a Julian day as seconds since 1970, as Diesel computes them. Also accepts the text of a
/// number, because Diesel reads numbers as text.
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

/// The Rust type that a schema derive uses for a column of this SQL type by default.
///
/// Features do not change the type: dates and times are always text. `Json`, `Jsonb` and `Numeric`
/// have the only type that Diesel supports for them, and require its feature.
#[diagnostic::on_unimplemented(
    message = "no Rust type is known for the SQL type `{Self}`",
    note = "specify the type with `#[tracked(types({Self} = YourType))]`"
)]
pub trait RustType {
    /// The Rust type.
    type Type;
}

/// Implements [`RustType`].
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
