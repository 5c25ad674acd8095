//! Dates and times of the crate `chrono`, in the text formats that Diesel reads and writes.

use std::borrow::Cow;
use std::string::ToString;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use diesel::sql_types::{Date, Time, Timestamp};

use super::{CowValue, FromSqlValue, ToSqlValue, julian_seconds, text, unexpected};
use crate::typed::ValueError;
use crate::wire::Value;

/// The formats of times. `%.f` is written if it is not zero, and is optional when read. `%R` has no
/// seconds.
const TIMES: [&str; 6] = ["%T%.f", "%T%.fZ", "%T%.f%:z", "%R", "%RZ", "%R%:z"];

/// The formats of dates and times, most frequent first.
const DATE_TIMES: [&str; 12] = [
    "%F %T%.f",
    "%F %T%.f%:z",
    "%FT%T%.f",
    "%FT%T%.fZ",
    "%FT%T%.f%:z",
    "%F %T%.fZ",
    "%F %R",
    "%F %RZ",
    "%F %R%:z",
    "%FT%R",
    "%FT%RZ",
    "%FT%R%:z",
];

/// Returns a formatted value as text.
fn to_text(formatted: impl ToString) -> Result<CowValue<'static>, ValueError> {
    Ok(CowValue::Text(Cow::Owned(formatted.to_string())))
}

impl<'a> FromSqlValue<'a, Date> for NaiveDate {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        Self::parse_from_str(text(value)?, "%F").map_err(ValueError::invalid)
    }
}

impl ToSqlValue<Date> for NaiveDate {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        to_text(self.format("%F"))
    }
}

impl<'a> FromSqlValue<'a, Time> for NaiveTime {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        let text = text(value)?;
        let time = TIMES.iter().find_map(|format| Self::parse_from_str(text, format).ok());
        time.ok_or_else(|| ValueError::invalid("not a time"))
    }
}

impl ToSqlValue<Time> for NaiveTime {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        to_text(self.format("%T%.f"))
    }
}

/// Reads a date and time, ignoring its offset, or a Julian day.
fn date_time(value: Value<'_>) -> Result<NaiveDateTime, ValueError> {
    let written = match value {
        Value::Text(_) => {
            let text = text(value)?;
            DATE_TIMES.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        }
        Value::Integer(_) | Value::Real(_) => None,
        Value::Null | Value::Blob(_) => return Err(unexpected(value, "text or a number")),
    };
    written.or_else(|| julian_day(value)).ok_or_else(|| ValueError::invalid("not a date and time"))
}

/// Reads a Julian day. Before 1970 the fraction of the second is dropped, as in Diesel.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn julian_day(value: Value<'_>) -> Option<NaiveDateTime> {
    let seconds = julian_seconds(value)?;
    let nanoseconds = (seconds.fract() * 1e9) as u32;
    ::chrono::DateTime::from_timestamp(seconds.trunc() as i64, nanoseconds).map(|time| time.naive_utc())
}

impl<'a> FromSqlValue<'a, Timestamp> for NaiveDateTime {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        date_time(value)
    }
}

impl ToSqlValue<Timestamp> for NaiveDateTime {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        to_text(self.format("%F %T%.f"))
    }
}

/// `TimestamptzSqlite`, which requires Diesel's feature `sqlite`.
#[cfg(feature = "sqlite")]
mod with_time_zone {
    use chrono::{DateTime, Local, TimeZone, Utc};
    use diesel::sql_types::TimestamptzSqlite;

    use super::*;

    impl<'a> FromSqlValue<'a, TimestamptzSqlite> for NaiveDateTime {
        fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
            date_time(value)
        }
    }

    impl ToSqlValue<TimestamptzSqlite> for NaiveDateTime {
        fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
            to_text(self.format("%F %T%.f"))
        }
    }

    /// Reads a date and time with an offset, or in UTC if there is none.
    fn instant(value: Value<'_>) -> Result<DateTime<Utc>, ValueError> {
        if let Value::Text(_) = value {
            let text = text(value)?;
            let formats = DATE_TIMES.iter().filter(|format| format.ends_with("%:z"));
            for format in formats {
                if let Ok(time) = DateTime::parse_from_str(text, format) {
                    return Ok(time.with_timezone(&Utc));
                }
            }
        }
        date_time(value).map(|time| time.and_utc())
    }

    impl<'a> FromSqlValue<'a, TimestamptzSqlite> for DateTime<Utc> {
        fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
            instant(value)
        }
    }

    impl<'a> FromSqlValue<'a, TimestamptzSqlite> for DateTime<Local> {
        fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
            instant(value).map(Self::from)
        }
    }

    impl<Tz: TimeZone> ToSqlValue<TimestamptzSqlite> for DateTime<Tz> {
        fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
            to_text(self.with_timezone(&Utc).format("%F %T%.f%:z"))
        }
    }
}
