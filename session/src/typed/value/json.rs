//! JSON as `serde_json::Value`: `Json`, which is text, and `Jsonb`, which is SQLite's binary
//! format.

use std::borrow::Cow;

use diesel::sql_types::{Json, Jsonb};
use serde_json::{Number, Value as JsonValue};

use super::plain::blob;
use super::{CowValue, FromSqlValue, RustType, ToSqlValue, jsonb, text, unexpected};
use crate::typed::ValueError;
use crate::wire::Value;

impl<'a> FromSqlValue<'a, Json> for JsonValue {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        match value {
            Value::Text(_) => serde_json::from_str(text(value)?).map_err(ValueError::invalid),
            // a column declared `JSON` has numeric affinity, and stores text that is a number as a
            // number
            Value::Integer(integer) => Ok(Self::from(integer)),
            Value::Real(real) => Number::from_f64(real).map(Self::Number).ok_or(ValueError::OutOfRange),
            Value::Null | Value::Blob(_) => Err(unexpected(value, "text or a number")),
        }
    }
}

impl ToSqlValue<Json> for JsonValue {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        serde_json::to_string(self).map(|text| CowValue::Text(Cow::Owned(text))).map_err(ValueError::invalid)
    }
}

impl<'a> FromSqlValue<'a, Jsonb> for JsonValue {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        jsonb::read(blob(value)?)
    }
}

impl ToSqlValue<Jsonb> for JsonValue {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        jsonb::write(self).map(|bytes| CowValue::Blob(Cow::Owned(bytes)))
    }
}

impl RustType for Json {
    type Type = JsonValue;
}

impl RustType for Jsonb {
    type Type = JsonValue;
}
