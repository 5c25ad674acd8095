//! Numbers, text and blobs.

use std::borrow::Cow;
use std::string::String;
use std::vec::Vec;

use diesel::sql_types::{BigInt, Binary, Bool, Date, Double, Float, Integer, SmallInt, Text, Time, Timestamp};

use super::{CowValue, FromSqlValue, ToSqlValue, text, unexpected};
use crate::typed::ValueError;
use crate::wire::Value;

macro_rules! integers {
    ($($Rust:ty => $Sql:ty),*) => {$(
        impl<'a> FromSqlValue<'a, $Sql> for $Rust {
            #[inline]
            fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
                match value {
                    Value::Integer(integer) => Self::try_from(integer).map_err(|_| ValueError::OutOfRange),
                    other => Err(unexpected(other, "an integer")),
                }
            }
        }

        impl ToSqlValue<$Sql> for $Rust {
            #[inline]
            fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
                Ok(CowValue::Integer(i64::from(*self)))
            }
        }
    )*};
}
integers!(i16 => SmallInt, i32 => Integer, i64 => BigInt);

impl<'a> FromSqlValue<'a, Bool> for bool {
    #[inline]
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        match value {
            // Diesel reads only the low 32 bits
            Value::Integer(integer) => match i32::try_from(integer) {
                Ok(integer) => Ok(integer != 0),
                Err(_) => Err(ValueError::OutOfRange),
            },
            other => Err(unexpected(other, "an integer")),
        }
    }
}

impl ToSqlValue<Bool> for bool {
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Integer(i64::from(*self)))
    }
}

/// Reads a number. SQLite stores whole numbers as integers in some columns.
#[inline]
pub(super) fn real(value: Value<'_>) -> Result<f64, ValueError> {
    match value {
        Value::Real(real) => Ok(real),
        #[expect(clippy::cast_precision_loss, reason = "as SQLite does")]
        Value::Integer(integer) => Ok(integer as f64),
        other => Err(unexpected(other, "a number")),
    }
}

impl<'a> FromSqlValue<'a, Double> for f64 {
    #[inline]
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        real(value)
    }
}

impl ToSqlValue<Double> for f64 {
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Real(*self))
    }
}

impl<'a> FromSqlValue<'a, Float> for f32 {
    #[inline]
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        let wide = real(value)?;
        #[expect(clippy::cast_possible_truncation, reason = "rounds, as Diesel does")]
        let real = wide as f32;
        if real.is_infinite() && wide.is_finite() { Err(ValueError::OutOfRange) } else { Ok(real) }
    }
}

impl ToSqlValue<Float> for f32 {
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Real(f64::from(*self)))
    }
}

/// Implements text types for SQL types that SQLite stores as text.
macro_rules! texts {
    ($($Sql:ty),*) => {$(
        impl<'a> FromSqlValue<'a, $Sql> for String {
            #[inline]
            fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
                text(value).map(Self::from)
            }
        }

        impl<'a: 'b, 'b> FromSqlValue<'a, $Sql> for &'b str {
            #[inline]
            fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
                text(value)
            }
        }

        impl<'a: 'b, 'b> FromSqlValue<'a, $Sql> for Cow<'b, str> {
            #[inline]
            fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
                text(value).map(Cow::Borrowed)
            }
        }

        impl ToSqlValue<$Sql> for String {
            #[inline]
            fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
                Ok(CowValue::Text(Cow::Borrowed(self)))
            }
        }

        impl ToSqlValue<$Sql> for str {
            #[inline]
            fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
                Ok(CowValue::Text(Cow::Borrowed(self)))
            }
        }

        impl ToSqlValue<$Sql> for Cow<'_, str> {
            #[inline]
            fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
                Ok(CowValue::Text(Cow::Borrowed(self)))
            }
        }
    )*};
}
texts!(Text, Date, Time, Timestamp);
#[cfg(feature = "sqlite")]
texts!(diesel::sql_types::TimestamptzSqlite);

/// Returns the bytes of a blob.
pub(super) fn blob(value: Value<'_>) -> Result<&[u8], ValueError> {
    match value {
        Value::Blob(bytes) => Ok(bytes),
        other => Err(unexpected(other, "a blob")),
    }
}

impl<'a> FromSqlValue<'a, Binary> for Vec<u8> {
    #[inline]
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        blob(value).map(Self::from)
    }
}

impl<'a: 'b, 'b> FromSqlValue<'a, Binary> for &'b [u8] {
    #[inline]
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        blob(value)
    }
}

impl<'a: 'b, 'b> FromSqlValue<'a, Binary> for Cow<'b, [u8]> {
    #[inline]
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        blob(value).map(Cow::Borrowed)
    }
}

impl ToSqlValue<Binary> for Vec<u8> {
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Blob(Cow::Borrowed(self)))
    }
}

impl ToSqlValue<Binary> for [u8] {
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Blob(Cow::Borrowed(self)))
    }
}

impl ToSqlValue<Binary> for Cow<'_, [u8]> {
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Blob(Cow::Borrowed(self)))
    }
}

impl<const N: usize> ToSqlValue<Binary> for [u8; N] {
    #[inline]
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Blob(Cow::Borrowed(self)))
    }
}
