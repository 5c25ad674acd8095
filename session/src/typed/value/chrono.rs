//! Dates and times of the crate chrono, in the text formats that Diesel reads and writes.

use std::borrow::Cow;
use std::string::ToString;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use diesel::sql_types::{Date, Time, Timestamp};

use super::{CowValue, FromSqlValue, ToSqlValue, julian_seconds, text, unexpected};
use crate::typed::ValueError;
use crate::wire::Value;

/// `%.f` is there if it is not zero, and may be missing when read; `%R` has no seconds.
const TIMES: [&str; 6] = ["%T%.f", "%T%.fZ", "%T%.f%:z", "%R", "%RZ", "%R%:z"];

/// The usual ones first.
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

fn written(formatted: impl ToString) -> Result<CowValue<'static>, ValueError> {
    Ok(CowValue::Text(Cow::Owned(formatted.to_string())))
}

impl<'a> FromSqlValue<'a, Date> for NaiveDate {
    fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
        Self::parse_from_str(text(value)?, "%F").map_err(ValueError::invalid)
    }
}

impl ToSqlValue<Date> for NaiveDate {
    fn to_sql_value(&self) -> Result<CowValue<'_>, ValueError> {
        written(self.format("%F"))
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
        written(self.format("%T%.f"))
    }
}

/// A date and time as it is written, whatever its offset, or a Julian day.
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

/// Before 1970 Diesel drops the fraction of the second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what does not fit becomes the nearest that does"
)]
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
        written(self.format("%F %T%.f"))
    }
}

/// `TimestamptzSqlite`, which Diesel has with its feature `sqlite` alone.
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
            written(self.format("%F %T%.f"))
        }
    }

    /// A date and time with an offset, or else in UTC.
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
            written(self.with_timezone(&Utc).format("%F %T%.f%:z"))
        }
    }
}
