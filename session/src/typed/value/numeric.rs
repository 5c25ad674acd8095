//! Decimal numbers of the crate `bigdecimal`. Diesel stores them as floating point numbers in
//! SQLite, which loses digits.

use bigdecimal::{BigDecimal, FromPrimitive, ToPrimitive};
use diesel::sql_types::Numeric;

use super::plain::real;
use super::{CowValue, FromSqlValue, RustType, ToSqlValue};
use crate::typed::ValueError;
use crate::wire::Value;

impl<'a> FromSqlValue<'a, Numeric> for BigDecimal {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        Self::from_f64(real(value)?).ok_or_else(|| ValueError::invalid("not a decimal number"))
    }
}

impl ToSqlValue<Numeric> for BigDecimal {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        self.to_f64().map(CowValue::Real).ok_or(ValueError::OutOfRange)
    }
}

impl RustType for Numeric {
    type Type = BigDecimal;
}
