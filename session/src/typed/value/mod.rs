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

/// A type that a value of a column of the SQL type `ST` can be read as.
///
/// It is implemented for the types that Diesel loads from SQLite, and for borrowed ones:
///
/// | SQL type | Rust types | feature |
/// |---|---|---|
/// | `Bool` | `bool` | |
/// | `SmallInt`, `Integer`, `BigInt` | `i16`, `i32`, `i64` | |
/// | `Float`, `Double` | `f32`, `f64` | |
/// | `Text` | `String`, `&str`, `Cow<str>` | |
/// | `Binary` | `Vec<u8>`, `&[u8]`, `Cow<[u8]>` | |
/// | `Date`, `Time`, `Timestamp`, `TimestamptzSqlite` | those of `Text` | |
/// | `Date` | `chrono::NaiveDate` | `chrono` |
/// | | `time::Date` | `time` |
/// | `Time` | `chrono::NaiveTime` | `chrono` |
/// | | `time::Time` | `time` |
/// | `Timestamp` | `chrono::NaiveDateTime` | `chrono` |
/// | | `time::PrimitiveDateTime` | `time` |
/// | `TimestamptzSqlite` | `chrono::NaiveDateTime`, `chrono::DateTime` of `Utc` and of `Local` | `chrono` |
/// | | `time::PrimitiveDateTime`, `time::OffsetDateTime` | `time` |
/// | `Json`, `Jsonb` | `serde_json::Value` | `serde_json` |
/// | `Numeric` | `bigdecimal::BigDecimal` | `numeric` |
/// | `Binary`, `Text` | `uuid::Uuid`: 16 bytes, or text in any of its forms | `uuid` |
/// | `Nullable<ST>` | `Option<T>` of each of these | |
///
/// `TimestamptzSqlite` needs the feature `sqlite`. Diesel itself has no `uuid::Uuid` on SQLite: a row that Diesel loads too needs a
/// type of its own, or `#[diesel(deserialize_as = …)]`.
///
/// # What is read
///
/// What Diesel loads from the same value, dates and times in the same formats and as Julian days. Where Diesel makes another
/// value of it without a word, there is an error:
///
/// | value | Diesel | here |
/// |---|---|---|
/// | an integer that an `i16`, `i32` or `bool` has no room for | cuts it to its low bits | [`ValueError::OutOfRange`] |
/// | a real that an `f32` has no room for | makes it infinite | [`ValueError::OutOfRange`] |
/// | text, a real or a blob as an integer or `bool`; text or a blob as a number, or `Numeric` | converts it, `12 apples` to 12 and what is no number to 0 | [`ValueError::StorageClass`] |
/// | a number or blob as text, text as a blob; a blob as a date, time or `Json` | converts it | [`ValueError::StorageClass`] |
/// | text in `Json` that is not UTF-8 | replaces what is not | [`ValueError::Utf8`] |
/// | the text `nan` as a date and time | takes it for 1970 | [`ValueError::Invalid`] |
/// | `Jsonb` nested more than 1000 levels deep, which SQLite refuses too | reads it | [`ValueError::Invalid`] |
///
/// And there are three that are read all the same: an integer of `Jsonb` above `i64::MAX`, which Diesel writes but does not load;
/// and a real as a Julian day or `Json`, which is read as it is, while Diesel reads the text that SQLite makes of it, which in
/// older versions of SQLite has no more than 15 digits.
///
/// # Types of your own
///
/// A type that has only Diesel's own `FromSql<ST, Sqlite>` need not have this trait: rows read it by way of SQLite, on a database
/// in memory that each thread has. A value then takes 0.3 microseconds, where an `i32` takes one nanosecond and a `String` of 20
/// bytes 22. Implement this trait to spare that, or without the feature `sqlite`:
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
    note = "a column that is `Nullable` needs an `Option`, and one that is not must have none",
    note = "a type of `chrono`, `time`, `uuid` or `serde_json` needs the feature of that name of diesel-sqlite-session, and one of \
            `bigdecimal` the feature `numeric`",
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
/// It is implemented for the types of [`FromSqlValue`], and for `str`, `[u8]` and references; and, as in Diesel, for `[u8; N]` and
/// `chrono::DateTime` of any time zone, which can be written but not read.
///
/// A type that has only Diesel's own `ToSql<ST, Sqlite>` need not have it: rows write it by way of SQLite, which takes half a
/// microsecond.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written into a column of the SQL type `{ST}`",
    label = "not a type for a column of the SQL type `{ST}`",
    note = "a type of `chrono`, `time`, `uuid` or `serde_json` needs the feature of that name of diesel-sqlite-session, and one of \
            `bigdecimal` the feature `numeric`",
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
#[cold]
fn unexpected(value: Value<'_>, expected: &'static str) -> ValueError {
    match value {
        Value::Null => ValueError::Null,
        _ => ValueError::StorageClass { expected },
    }
}

#[inline(always)]
fn text(value: Value<'_>) -> Result<&str, ValueError> {
    match value {
        Value::Text(bytes) => crate::utf8::text(bytes).ok_or(ValueError::Utf8),
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

/// The Rust type that a schema derive gives a column of this SQL type, unless it is told otherwise. No feature changes it:
/// dates and times are text, with every feature. `Json`, `Jsonb` and `Numeric` have the one type that Diesel has for them, with its
/// feature, and without it none.
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
