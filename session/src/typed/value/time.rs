//! Dates and times of the crate `time`, in the text formats that Diesel reads and writes.

use std::borrow::Cow;
use std::string::String;

use diesel::sql_types::{Date as SqlDate, Time as SqlTime, Timestamp};
use time::error::Format;
use time::format_description::BorrowedFormatItem as Item;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};

use super::{CowValue, FromSqlValue, ToSqlValue, julian_seconds, text, unexpected};
use crate::typed::ValueError;
use crate::wire::Value;

const DATE: &[Item<'_>] = format_description!("[year]-[month]-[day]");
const MINUTES: &[Item<'_>] = format_description!("[hour]:[minute]");
const SECONDS: &[Item<'_>] = format_description!("[hour]:[minute]:[second]");
const FRACTION: &[Item<'_>] = format_description!("[hour]:[minute]:[second].[subsecond]");
const OFFSET: &[Item<'_>] = format_description!("[offset_hour sign:mandatory]:[offset_minute]");

/// The formats of a time, longest first. The rest that a shorter format leaves is never a valid
/// suffix.
const ANY_TIME: Item<'_> = Item::First(&[Item::Compound(FRACTION), Item::Compound(SECONDS), Item::Compound(MINUTES)]);
const ANY_ZONE: Item<'_> =
    Item::Optional(&Item::First(&[Item::Compound(format_description!("Z")), Item::Compound(OFFSET)]));
const ANY_SEPARATOR: Item<'_> =
    Item::First(&[Item::Compound(format_description!(" ")), Item::Compound(format_description!("T"))]);

const TIME_IN: &[Item<'_>] = &[ANY_TIME, ANY_ZONE];
const DATE_TIME_IN: &[Item<'_>] = &[Item::Compound(DATE), ANY_SEPARATOR, ANY_TIME, ANY_ZONE];

const WHOLE: &[Item<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
const FRACTIONAL: &[Item<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond]");

/// Returns a formatted value as text.
fn to_text(formatted: Result<String, Format>) -> Result<CowValue<'static>, ValueError> {
    formatted.map(|text| CowValue::Text(Cow::Owned(text))).map_err(ValueError::invalid)
}

impl<'a> FromSqlValue<'a, SqlDate> for Date {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        Self::parse(text(value)?, DATE).map_err(ValueError::invalid)
    }
}

impl ToSqlValue<SqlDate> for Date {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        to_text(self.format(DATE))
    }
}

impl<'a> FromSqlValue<'a, SqlTime> for Time {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        Self::parse(text(value)?, TIME_IN).map_err(|_| ValueError::invalid("not a time"))
    }
}

impl ToSqlValue<SqlTime> for Time {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        // the precision is microseconds, as in Diesel for times alone; smaller fractions are lost
        to_text(self.format(if self.microsecond() == 0 { SECONDS } else { FRACTION }))
    }
}

/// Reads a date and time, ignoring its offset, or a Julian day.
fn date_time(value: Value<'_>) -> Result<PrimitiveDateTime, ValueError> {
    let written = match value {
        Value::Text(_) => PrimitiveDateTime::parse(text(value)?, DATE_TIME_IN).ok(),
        Value::Integer(_) | Value::Real(_) => None,
        Value::Null | Value::Blob(_) => return Err(unexpected(value, "text or a number")),
    };
    written.or_else(|| julian_day(value)).ok_or_else(|| ValueError::invalid("not a date and time"))
}

/// Reads a Julian day.
fn julian_day(value: Value<'_>) -> Option<PrimitiveDateTime> {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let nanoseconds = (julian_seconds(value)? * 1e9) as i128;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    Some(PrimitiveDateTime::new(time.date(), time.time()))
}

fn write_date_time(value: PrimitiveDateTime) -> Result<CowValue<'static>, ValueError> {
    to_text(value.format(if value.nanosecond() == 0 { WHOLE } else { FRACTIONAL }))
}

impl<'a> FromSqlValue<'a, Timestamp> for PrimitiveDateTime {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        date_time(value)
    }
}

impl ToSqlValue<Timestamp> for PrimitiveDateTime {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        write_date_time(*self)
    }
}

/// `TimestamptzSqlite`, which requires Diesel's feature `sqlite`.
#[cfg(feature = "sqlite")]
mod with_time_zone {
    use diesel::sql_types::TimestamptzSqlite;
    use time::UtcOffset;

    use super::*;

    const ZONED_IN: &[Item<'_>] = &[Item::Compound(DATE), ANY_SEPARATOR, ANY_TIME, Item::Compound(OFFSET)];
    const ZONED_WHOLE: &[Item<'_>] = &[Item::Compound(WHOLE), Item::Compound(OFFSET)];
    const ZONED_FRACTIONAL: &[Item<'_>] = &[Item::Compound(FRACTIONAL), Item::Compound(OFFSET)];

    impl<'a> FromSqlValue<'a, TimestamptzSqlite> for PrimitiveDateTime {
        fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
            date_time(value)
        }
    }

    impl ToSqlValue<TimestamptzSqlite> for PrimitiveDateTime {
        fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
            write_date_time(*self)
        }
    }

    impl<'a> FromSqlValue<'a, TimestamptzSqlite> for OffsetDateTime {
        fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
            if let Value::Text(_) = value {
                if let Ok(time) = Self::parse(text(value)?, ZONED_IN) {
                    return Ok(time);
                }
            }
            date_time(value).map(PrimitiveDateTime::assume_utc)
        }
    }

    impl ToSqlValue<TimestamptzSqlite> for OffsetDateTime {
        fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
            let utc = self.checked_to_offset(UtcOffset::UTC).ok_or(ValueError::OutOfRange)?;
            to_text(utc.format(if self.nanosecond() == 0 { ZONED_WHOLE } else { ZONED_FRACTIONAL }))
        }
    }
}
