//! UUIDs of the crate uuid. Diesel has no such pair for SQLite, so a row that Diesel loads too holds a type of its own; changes
//! are read as `Uuid` from the two forms in which SQLite databases have them.

use std::borrow::Cow;
use std::string::ToString;

use diesel::sql_types::{Binary, Text};
use uuid::Uuid;

use super::plain::blob;
use super::{CowValue, FromSqlValue, ToSqlValue, text};
use crate::typed::ValueError;
use crate::wire::Value;

/// The 16 bytes.
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

/// Every form that uuid takes: with hyphens or without, upper or lower case, in braces, as a URN.
impl<'a> FromSqlValue<'a, Text> for Uuid {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        Self::try_parse(text(value)?).map_err(ValueError::invalid)
    }
}

/// In lower case, with hyphens.
impl ToSqlValue<Text> for Uuid {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        Ok(CowValue::Text(Cow::Owned(self.to_string())))
    }
}
