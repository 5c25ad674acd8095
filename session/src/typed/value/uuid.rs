//! UUIDs of the crate `uuid`, as 16 bytes or as text.
//!
//! Diesel does not support `Uuid` on SQLite. A row that Diesel also loads requires a type of its
//! own.

use std::borrow::Cow;
use std::string::ToString;

use diesel::sql_types::{Binary, Text};
use uuid::Uuid;

use super::plain::blob;
use super::{CowValue, FromSqlValue, ToSqlValue, text};
use crate::typed::ValueError;
use crate::wire::Value;

/// Reads the 16 bytes of a UUID.
impl<'a> FromSqlValue<'a, Binary> for Uuid {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        Self::from_slice(blob(value)?).map_err(ValueError::invalid)
    }
}

impl ToSqlValue<Binary> for Uuid {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Blob(Cow::Borrowed(self.as_bytes())))
    }
}

/// Reads every text format of a UUID: with or without hyphens, in upper or lower case, in braces,
/// or as a URN.
impl<'a> FromSqlValue<'a, Text> for Uuid {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        Self::try_parse(text(value)?).map_err(ValueError::invalid)
    }
}

/// Writes a UUID in lower case, with hyphens.
impl ToSqlValue<Text> for Uuid {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Text(Cow::Owned(self.to_string())))
    }
}
