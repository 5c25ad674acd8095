//! Values of every type that Diesel supports on SQLite: read as Diesel loads them, written as
//! Diesel binds them.

use std::any::TypeId;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bigdecimal::BigDecimal;
use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::query_builder::QueryId;
use diesel::query_dsl::LoadQuery;
use diesel::serialize::ToSql;
use diesel::sql_query;
use diesel::sql_types::{
    BigInt, Binary, Bool, Date, Double, Float, HasSqlType, Integer, Json, Jsonb, Nullable, Numeric, SingleValue,
    SmallInt, Text, Time, Timestamp, TimestamptzSqlite,
};
use diesel::sqlite::Sqlite;
use diesel_sqlite_session::typed::{FromSqlValue, RustType, ToSqlValue, ValueError};
use diesel_sqlite_session::{SqliteSessionExt, Value};
use diesel_sqlite_session_tests::random::config;
use proptest::prelude::*;
use serde_json::{Value as JsonValue, json};
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use crate::common::{exec, open};

// The results of Diesel and of this crate, side by side.

/// A table whose column stores every value unchanged.
fn untyped() -> SqliteConnection {
    open("CREATE TABLE things (id INTEGER PRIMARY KEY, x)")
}

/// Returns what Diesel loads from row 1.
fn loaded<T, ST>(conn: &mut SqliteConnection) -> Result<T, String>
where
    ST: SingleValue,
    for<'q> SqlLiteral<ST>: LoadQuery<'q, SqliteConnection, T>,
{
    // Diesel's reader of JSONB can panic
    catch_unwind(AssertUnwindSafe(|| sql::<ST>("SELECT x FROM things WHERE id = 1").get_result::<T>(conn)))
        .map_err(|_| String::from("a panic"))?
        .map_err(|error| error.to_string())
}

/// Stores a value in row 1.
fn store(conn: &mut SqliteConnection, value: Value<'_>) {
    let insert = |expression| format!("REPLACE INTO things VALUES (1, {expression})");
    match value {
        Value::Null => sql_query(insert("NULL")).execute(conn),
        Value::Integer(integer) => sql_query(insert("?")).bind::<BigInt, _>(integer).execute(conn),
        Value::Real(real) => sql_query(insert("?")).bind::<Double, _>(real).execute(conn),
        Value::Text(bytes) => sql_query(insert("CAST(? AS TEXT)")).bind::<Binary, _>(bytes).execute(conn),
        Value::Blob(bytes) => sql_query(insert("?")).bind::<Binary, _>(bytes).execute(conn),
    }
    .unwrap();
}

#[derive(Debug, PartialEq, QueryableByName)]
struct Stored {
    #[diesel(sql_type = Text)]
    class: String,
    #[diesel(sql_type = Text)]
    quoted: String,
}

fn stored(conn: &mut SqliteConnection) -> Stored {
    sql_query("SELECT typeof(x) AS class, quote(x) AS quoted FROM things WHERE id = 1").get_result(conn).unwrap()
}

/// Stores a value with Diesel and checks two things: its change reads as Diesel loads it, and this
/// crate writes the value that Diesel stored. Returns the loaded value.
fn round<T, ST>(conn: &mut SqliteConnection, value: &T) -> Option<T>
where
    T: for<'a> FromSqlValue<'a, ST> + ToSqlValue<ST> + ToSql<ST, Sqlite> + PartialEq + Debug,
    ST: QueryId + SingleValue,
    Sqlite: HasSqlType<ST>,
    for<'q> SqlLiteral<ST>: LoadQuery<'q, SqliteConnection, T>,
{
    exec(conn, "DELETE FROM things");
    let mut session = conn.create_session().unwrap();
    session.attach_by_name("things").unwrap();
    let inserted = sql_query("INSERT INTO things VALUES (1, ?)").bind::<ST, _>(value).execute(conn);
    let ours = value.to_sql_value();
    let Ok(_) = inserted else {
        assert!(ours.is_err(), "Diesel cannot write {value:?}, we write {ours:?}");
        return None;
    };
    let (as_diesel, diesels) = (stored(conn), loaded::<T, ST>(conn));
    let changeset = session.changeset().unwrap();
    drop(session);
    let change = changeset.records().next().unwrap();
    let read = T::from_sql_value(change.new_value(1).unwrap());
    assert_eq!(read.as_ref().ok(), diesels.as_ref().ok(), "of {as_diesel:?}: {read:?}, {diesels:?}");

    let ours = ours.unwrap_or_else(|error| panic!("Diesel wrote {as_diesel:?}, we {error}"));
    assert_eq!(ours.as_value(), change.new_value(1).unwrap());
    store(conn, ours.as_value());
    assert_eq!((stored(conn), loaded::<T, ST>(conn)), (as_diesel, diesels));
    read.ok()
}

/// Which values this crate reads, compared with Diesel.
#[derive(Clone, Copy, PartialEq)]
enum Reads {
    /// Exactly the values that Diesel loads.
    All,
    /// No value that Diesel would alter.
    OrRefuses,
}

fn reads<T, ST>(conn: &mut SqliteConnection, value: Value<'_>, what: Reads)
where
    T: for<'a> FromSqlValue<'a, ST> + PartialEq + Debug,
    ST: SingleValue,
    for<'q> SqlLiteral<ST>: LoadQuery<'q, SqliteConnection, T>,
{
    store(conn, value);
    let (ours, diesels) = (T::from_sql_value(value), loaded::<T, ST>(conn));
    match (&ours, &diesels) {
        (Ok(ours), Ok(diesels)) => assert_eq!(ours, diesels, "of {value:?}"),
        (Ok(ours), Err(error)) => panic!("{value:?}: {ours:?}, but Diesel: {error}"),
        (Err(error), Ok(diesels)) if what == Reads::All => panic!("{value:?}: {error}, but Diesel: {diesels:?}"),
        (Err(_), _) => {}
    }
}

/// Calls `reads::<T, ST>` for every pair of types.
macro_rules! every_pair {
    ($call:ident($($argument:expr),*)) => {
        $call::<bool, Bool>($($argument),*);
        $call::<i16, SmallInt>($($argument),*);
        $call::<i32, Integer>($($argument),*);
        $call::<i64, BigInt>($($argument),*);
        $call::<f32, Float>($($argument),*);
        $call::<f64, Double>($($argument),*);
        $call::<String, Text>($($argument),*);
        $call::<Vec<u8>, Binary>($($argument),*);
        $call::<String, Date>($($argument),*);
        $call::<String, Time>($($argument),*);
        $call::<String, Timestamp>($($argument),*);
        $call::<String, TimestamptzSqlite>($($argument),*);
        $call::<NaiveDate, Date>($($argument),*);
        $call::<NaiveTime, Time>($($argument),*);
        $call::<NaiveDateTime, Timestamp>($($argument),*);
        $call::<NaiveDateTime, TimestamptzSqlite>($($argument),*);
        $call::<DateTime<Utc>, TimestamptzSqlite>($($argument),*);
        $call::<DateTime<Local>, TimestamptzSqlite>($($argument),*);
        $call::<time::Date, Date>($($argument),*);
        $call::<time::Time, Time>($($argument),*);
        $call::<PrimitiveDateTime, Timestamp>($($argument),*);
        $call::<PrimitiveDateTime, TimestamptzSqlite>($($argument),*);
        $call::<OffsetDateTime, TimestamptzSqlite>($($argument),*);
        $call::<JsonValue, Json>($($argument),*);
        $call::<JsonValue, Jsonb>($($argument),*);
        $call::<BigDecimal, Numeric>($($argument),*);
    };
}

/// Calls `reads` for every type that is parsed from text.
fn reads_dates_and_times(conn: &mut SqliteConnection, value: Value<'_>) {
    let all = Reads::All;
    reads::<NaiveDate, Date>(conn, value, all);
    reads::<NaiveTime, Time>(conn, value, all);
    reads::<NaiveDateTime, Timestamp>(conn, value, all);
    reads::<NaiveDateTime, TimestamptzSqlite>(conn, value, all);
    reads::<DateTime<Utc>, TimestamptzSqlite>(conn, value, all);
    reads::<DateTime<Local>, TimestamptzSqlite>(conn, value, all);
    reads::<time::Date, Date>(conn, value, all);
    reads::<time::Time, Time>(conn, value, all);
    reads::<PrimitiveDateTime, Timestamp>(conn, value, all);
    reads::<PrimitiveDateTime, TimestamptzSqlite>(conn, value, all);
    reads::<OffsetDateTime, TimestamptzSqlite>(conn, value, all);
    // equal instants can have different offsets
    let (ours, diesels) = (
        <OffsetDateTime as FromSqlValue<TimestamptzSqlite>>::from_sql_value(value),
        loaded::<OffsetDateTime, TimestamptzSqlite>(conn),
    );
    assert_eq!(ours.ok().map(OffsetDateTime::offset), diesels.ok().map(OffsetDateTime::offset), "{value:?}");
}

// Any value of each type.

fn days() -> impl Strategy<Value = NaiveDate> {
    let day = |days| NaiveDate::from_num_days_from_ce_opt(days).unwrap();
    prop_oneof![8 => (700_000..800_000i32).prop_map(day), 1 => (-3_600_000..3_600_000i32).prop_map(day)]
}

fn nanoseconds() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        (0..1000u32).prop_map(|n| n * 1_000_000),
        (0..1_000_000u32).prop_map(|n| n * 1000),
        0..1_000_000_000u32,
        0..1000u32
    ]
}

fn times() -> impl Strategy<Value = NaiveTime> {
    (0..86_400u32, nanoseconds(), prop::bool::weighted(0.05)).prop_map(|(seconds, nanoseconds, leap)| {
        let (seconds, nanoseconds) =
            if leap { (seconds / 60 * 60 + 59, nanoseconds + 1_000_000_000) } else { (seconds, nanoseconds) };
        NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanoseconds).unwrap()
    })
}

fn date_times() -> impl Strategy<Value = NaiveDateTime> {
    (days(), times()).prop_map(|(day, time)| day.and_time(time))
}

fn to_time(value: NaiveDateTime) -> Option<PrimitiveDateTime> {
    use chrono::{Datelike, Timelike};
    let date = time::Date::from_ordinal_date(value.year(), u16::try_from(value.ordinal()).unwrap()).ok()?;
    let part = |part| u8::try_from(part).unwrap();
    let time =
        time::Time::from_hms_nano(part(value.hour()), part(value.minute()), part(value.second()), value.nanosecond());
    Some(PrimitiveDateTime::new(date, time.ok()?))
}

fn jsons() -> impl Strategy<Value = JsonValue> {
    let text = prop_oneof![".{0,20}", "[a-z\"\\\\\n\u{1}é]{0,300}"];
    let leaf = prop_oneof![
        Just(JsonValue::Null),
        any::<bool>().prop_map(JsonValue::from),
        any::<i64>().prop_map(JsonValue::from),
        (-20..20i64).prop_map(JsonValue::from),
        prop::num::f64::NORMAL.prop_map(JsonValue::from),
        Just(JsonValue::from(0.0)),
        text.clone().prop_map(JsonValue::from),
    ];
    leaf.prop_recursive(5, 100, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(JsonValue::from),
            prop::collection::vec((text.clone(), inner), 0..8).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Any text that looks, or almost looks, like a date or time.
fn date_like() -> impl Strategy<Value = String> {
    let date = prop_oneof![
        8 => days().prop_map(|day| day.format("%F").to_string()),
        1 => Just(String::new()),
        1 => Just("2024-2-3".into()),
        1 => Just("20240203".into()),
    ];
    let separator = prop_oneof![Just(" "), Just("T"), Just(""), Just("t"), Just("  ")];
    let time = (times(), 0..5usize)
        .prop_map(|(time, format)| time.format(["%R", "%T", "%T%.f", "%T%.3f", "%-H:%-M"][format]).to_string());
    let zone = prop_oneof![
        Just(""),
        Just("Z"),
        Just("+05:30"),
        Just("-08:00"),
        Just("+0530"),
        Just("+05"),
        Just("z"),
        Just(" "),
        Just(" +01:00"),
        Just("+25:00"),
        Just("+00:99")
    ];
    (date, separator, time, zone, 0..10u8).prop_map(|(date, separator, time, zone, what)| match what {
        0 => date,
        1 => format!("{time}{zone}"),
        _ => format!("{date}{separator}{time}{zone}"),
    })
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn numbers_text_and_blobs_are_read_and_written(
        number in any::<i64>(), real in any::<f64>(), text in any::<String>(), blob in any::<Vec<u8>>(),
    ) {
        let conn = &mut untyped();
        #[expect(clippy::cast_possible_truncation)]
        let (short, long, single) = (number as i16, number as i32, real as f32);
        assert_eq!(round::<bool, Bool>(conn, &(number > 0)), Some(number > 0));
        assert_eq!(round::<i16, SmallInt>(conn, &short), Some(short));
        assert_eq!(round::<i32, Integer>(conn, &long), Some(long));
        assert_eq!(round::<i64, BigInt>(conn, &number), Some(number));
        // NaN becomes NULL
        assert_eq!(round::<f32, Float>(conn, &single), (!single.is_nan()).then_some(single));
        assert_eq!(round::<f64, Double>(conn, &real), (!real.is_nan()).then_some(real));
        assert_eq!(round::<String, Text>(conn, &text).as_ref(), Some(&text));
        assert_eq!(round::<String, Date>(conn, &text).as_ref(), Some(&text));
        assert_eq!(round::<String, Time>(conn, &text).as_ref(), Some(&text));
        assert_eq!(round::<String, Timestamp>(conn, &text).as_ref(), Some(&text));
        assert_eq!(round::<String, TimestamptzSqlite>(conn, &text).as_ref(), Some(&text));
        assert_eq!(round::<Vec<u8>, Binary>(conn, &blob).as_ref(), Some(&blob));
    }

    #[test]
    fn dates_and_times_of_chrono_are_read_and_written(value in date_times()) {
        let conn = &mut untyped();
        assert_eq!(round::<NaiveDate, Date>(conn, &value.date()), Some(value.date()));
        assert_eq!(round::<NaiveTime, Time>(conn, &value.time()), Some(value.time()));
        assert_eq!(round::<NaiveDateTime, Timestamp>(conn, &value), Some(value));
        assert_eq!(round::<NaiveDateTime, TimestamptzSqlite>(conn, &value), Some(value));
        assert_eq!(round::<DateTime<Utc>, TimestamptzSqlite>(conn, &value.and_utc()), Some(value.and_utc()));
        let local = value.and_utc().with_timezone(&Local);
        assert_eq!(round::<DateTime<Local>, TimestamptzSqlite>(conn, &local), Some(local));
        // the offset can be written in any form
        let offset = value.and_utc().with_timezone(&chrono::FixedOffset::east_opt(5 * 3600 + 60).unwrap());
        let as_utc = ToSqlValue::<TimestamptzSqlite>::to_sql_value(&offset).unwrap();
        assert_eq!(as_utc, ToSqlValue::<TimestamptzSqlite>::to_sql_value(&value.and_utc()).unwrap());
    }

    #[test]
    fn dates_and_times_of_time_are_read_and_written(value in date_times(), minutes in -1439..=1439i32) {
        let Some(value) = to_time(value) else { return Ok(()) };
        let conn = &mut untyped();
        assert_eq!(round::<time::Date, Date>(conn, &value.date()), Some(value.date()));
        let time = round::<time::Time, Time>(conn, &value.time());
        // Diesel writes no fraction when there are no microseconds
        if value.microsecond() != 0 || value.nanosecond() == 0 {
            assert_eq!(time, Some(value.time()));
        }
        assert_eq!(round::<PrimitiveDateTime, Timestamp>(conn, &value), Some(value));
        assert_eq!(round::<PrimitiveDateTime, TimestamptzSqlite>(conn, &value), Some(value));
        let offset = UtcOffset::from_whole_seconds(minutes * 60).unwrap();
        if (-9000..9000).contains(&value.year()) {
            let value = value.assume_offset(offset);
            assert_eq!(round::<OffsetDateTime, TimestamptzSqlite>(conn, &value), Some(value));
        }
    }

    #[test]
    fn json_is_read_and_written(value in jsons()) {
        let conn = &mut untyped();
        assert_eq!(round::<JsonValue, Json>(conn, &value).as_ref(), Some(&value));
        assert_eq!(round::<JsonValue, Jsonb>(conn, &value).as_ref(), Some(&value));
    }

    #[test]
    fn decimal_numbers_are_read_and_written(digits in any::<i64>(), scale in -40..40i64) {
        round::<BigDecimal, Numeric>(&mut untyped(), &BigDecimal::new(digits.into(), scale));
    }

    #[test]
    fn text_that_looks_like_a_date_or_time_is_read_as_diesel_loads_it(text in date_like()) {
        reads_dates_and_times(&mut untyped(), Value::from(text.as_str()));
    }

    #[test]
    fn numbers_are_julian_days_as_in_diesel(days in prop_oneof![2_440_000.0..2_500_000.0f64, -1e8..1e8f64, any::<f64>()]) {
        let conn = &mut untyped();
        let days = if days.is_nan() { 0.0 } else { days };
        reads_dates_and_times(conn, Value::Real(days));
        #[expect(clippy::cast_possible_truncation)]
        reads_dates_and_times(conn, Value::Integer(days as i64));
        reads_dates_and_times(conn, Value::from(days.to_string().as_str()));
    }

    #[test]
    fn a_value_is_read_as_diesel_loads_it_or_is_an_error(
        text in prop_oneof![".{0,8}", "-?[0-9]{1,12}(\\.[0-9]{1,4})?", date_like()],
        blob in prop::collection::vec(any::<u8>(), 0..12),
        integer in prop_oneof![any::<i64>(), -3..3i64, Just(1 << 32)],
        real in prop_oneof![any::<f64>(), -3.0..3.0],
    ) {
        let conn = &mut untyped();
        let texts = [text.as_bytes(), &blob];
        let mut values = vec![Value::Integer(integer), Value::from(real)];
        values.extend(texts.map(Value::Text).into_iter().chain(texts.map(Value::Blob)));
        for value in values {
            every_pair!(reads(conn, value, Reads::OrRefuses));
        }
    }

    #[test]
    fn sqlites_own_json_is_read_as_diesel_loads_it(value in jsons(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let conn = &mut untyped();
        sql_query("REPLACE INTO things VALUES (1, jsonb(?))").bind::<Text, _>(value.to_string()).execute(conn).unwrap();
        let mut bytes = sql::<Binary>("SELECT x FROM things").get_result::<Vec<u8>>(conn).unwrap();
        reads::<JsonValue, Jsonb>(conn, Value::Blob(&bytes), Reads::All);
        let read = <JsonValue as FromSqlValue<Jsonb>>::from_sql_value(Value::Blob(&bytes)).unwrap();
        assert_eq!(read, value);
        // with a byte changed, or cut off
        let at = at.index(bytes.len());
        reads::<JsonValue, Jsonb>(conn, Value::Blob(&bytes[..at]), Reads::All);
        bytes[at] = byte;
        reads::<JsonValue, Jsonb>(conn, Value::Blob(&bytes), Reads::All);
    }
}

// Odd values, as the documentation of `FromSqlValue` describes them.

fn read<T: for<'a> FromSqlValue<'a, ST>, ST>(value: Value<'_>) -> Result<T, ValueError> {
    T::from_sql_value(value)
}

/// Returns what this crate reads and what Diesel loads.
fn both<T, ST>(conn: &mut SqliteConnection, value: Value<'_>) -> (Result<T, ValueError>, Option<T>)
where
    T: for<'a> FromSqlValue<'a, ST>,
    ST: SingleValue,
    for<'q> SqlLiteral<ST>: LoadQuery<'q, SqliteConnection, T>,
{
    store(conn, value);
    (T::from_sql_value(value), loaded::<T, ST>(conn).ok())
}

/// Checks that Diesel loads the value and this crate rejects it.
fn refused<T, ST>(conn: &mut SqliteConnection, value: Value<'_>, diesels: T, error: &ValueError)
where
    T: for<'a> FromSqlValue<'a, ST> + PartialEq + Debug,
    ST: SingleValue,
    for<'q> SqlLiteral<ST>: LoadQuery<'q, SqliteConnection, T>,
{
    let (ours, loaded) = both::<T, ST>(conn, value);
    assert_eq!((ours.as_ref(), loaded), (Err(error), Some(diesels)), "{value:?}");
}

#[test]
fn a_value_that_diesel_would_alter_is_an_error() {
    let conn = &mut untyped();
    // Diesel truncates an integer to its low bits, and rounds to infinity
    let range = &ValueError::OutOfRange;
    refused::<i16, SmallInt>(conn, Value::Integer(65_537), 1, range);
    refused::<i32, Integer>(conn, Value::Integer((1 << 32) + 7), 7, range);
    refused::<bool, Bool>(conn, Value::Integer(1 << 32), false, range);
    refused::<f32, Float>(conn, Value::Real(1e300), f32::INFINITY, range);
    // it reads one class as another
    let class = |expected| ValueError::StorageClass { expected };
    refused::<i16, SmallInt>(conn, Value::Text(b"7"), 7, &class("an integer"));
    refused::<i32, Integer>(conn, Value::Real(1.9), 1, &class("an integer"));
    refused::<i64, BigInt>(conn, Value::Text(b"12 apples"), 12, &class("an integer"));
    refused::<bool, Bool>(conn, Value::Text(b"true"), false, &class("an integer"));
    refused::<bool, Bool>(conn, Value::Real(1.0), true, &class("an integer"));
    refused::<f32, Float>(conn, Value::Blob(b"1.5"), 1.5, &class("a number"));
    refused::<f64, Double>(conn, Value::Text(b"1.5"), 1.5, &class("a number"));
    refused::<BigDecimal, Numeric>(conn, Value::Text(b"1.5 m"), "1.5".parse().unwrap(), &class("a number"));
    refused::<String, Text>(conn, Value::Integer(5), "5".into(), &class("text"));
    refused::<String, Date>(conn, Value::Blob(b"ab"), "ab".into(), &class("text"));
    refused::<Vec<u8>, Binary>(conn, Value::Text(b"ab"), b"ab".to_vec(), &class("a blob"));
    refused::<JsonValue, Json>(conn, Value::Blob(b"[1]"), json!([1]), &class("text or a number"));
    refused::<JsonValue, Jsonb>(conn, Value::Text(b"\x131"), json!(1), &class("a blob"));
    let day = NaiveDate::from_ymd_opt(2024, 2, 3).unwrap();
    let (midnight, text) = (day.and_hms_opt(0, 0, 0).unwrap(), Value::Blob(b"2024-02-03 00:00"));
    refused::<NaiveDate, Date>(conn, Value::Blob(b"2024-02-03"), day, &class("text"));
    refused::<NaiveDateTime, Timestamp>(conn, text, midnight, &class("text or a number"));
    refused::<PrimitiveDateTime, Timestamp>(conn, text, to_time(midnight).unwrap(), &class("text or a number"));
    // it replaces invalid UTF-8
    refused::<JsonValue, Json>(conn, Value::Text(b"\"\xff\""), "\u{fffd}".into(), &ValueError::Utf8);
    assert_eq!(both::<String, Text>(conn, Value::Text(b"\xff")), (Err(ValueError::Utf8), None));
    // it reads text that is no number as 1970
    let (start, nan) = (DateTime::UNIX_EPOCH.naive_utc(), Value::Text(b"nan"));
    let error = ValueError::Invalid { message: "not a date and time".into() };
    refused::<NaiveDateTime, Timestamp>(conn, nan, start, &error);
    refused::<PrimitiveDateTime, Timestamp>(conn, nan, to_time(start).unwrap(), &error);
}

#[test]
fn odd_values_that_diesel_loads_are_read() {
    let conn = &mut untyped();
    assert_eq!(both::<bool, Bool>(conn, Value::Integer(2)), (Ok(true), Some(true)));
    assert_eq!(both::<f32, Float>(conn, Value::Integer(3)), (Ok(3.0), Some(3.0)));
    assert_eq!(both::<f32, Float>(conn, Value::Real(f64::INFINITY)), (Ok(f32::INFINITY), Some(f32::INFINITY)));
    assert_eq!(
        both::<f64, Double>(conn, Value::Real(f64::NEG_INFINITY)),
        (Ok(f64::NEG_INFINITY), Some(f64::NEG_INFINITY))
    );
    assert_eq!(both::<JsonValue, Json>(conn, Value::Integer(5)), (Ok(json!(5)), Some(json!(5))));
    assert_eq!(both::<JsonValue, Json>(conn, Value::Real(1.5)), (Ok(json!(1.5)), Some(json!(1.5))));
    assert_eq!(both::<JsonValue, Json>(conn, Value::Text(b" null ")), (Ok(json!(null)), Some(json!(null))));
    for text in ["inf", "-inf", "1e999", "", " ", "12:00", "2024-02-03"] {
        reads_dates_and_times(conn, Value::from(text));
    }
    for real in [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 0.0, -0.0] {
        reads_dates_and_times(conn, Value::Real(real));
        reads::<BigDecimal, Numeric>(conn, Value::Real(real), Reads::All);
        if real.is_infinite() {
            reads::<JsonValue, Json>(conn, Value::Real(real), Reads::All);
        }
    }
    // a number that Diesel writes but does not load
    let large = json!([u64::MAX]);
    let written = ToSqlValue::<Jsonb>::to_sql_value(&large).unwrap();
    let (ours, diesels) = both::<JsonValue, Jsonb>(conn, written.as_value());
    assert_eq!((ours, diesels), (Ok(large), None));
}

#[test]
fn json_columns_of_numeric_affinity_hold_numbers() {
    let conn = &mut open("CREATE TABLE things (id INTEGER PRIMARY KEY, x JSON)");
    for (text, value) in [("5", Value::Integer(5)), ("2.5", Value::Real(2.5)), ("[5]", Value::Text(b"[5]"))] {
        let json: JsonValue = text.parse().unwrap();
        exec(conn, "DELETE FROM things");
        let mut session = conn.create_session().unwrap();
        session.attach_by_name("things").unwrap();
        sql_query("INSERT INTO things VALUES (1, ?)").bind::<Json, _>(&json).execute(conn).unwrap();
        let changeset = session.changeset().unwrap();
        let recorded = changeset.records().next().unwrap().new_value(1).unwrap();
        assert_eq!(
            (recorded, read::<JsonValue, Json>(recorded), loaded::<JsonValue, Json>(conn).ok()),
            (value, Ok(json.clone()), Some(json))
        );
    }
}

#[test]
fn json_is_nested_no_deeper_than_sqlite_allows() {
    // arrays, each with a header whose length takes four bytes
    let nested = |depth: u32| {
        (0..depth).rev().fold(Vec::new(), |bytes: Vec<u8>, _| {
            let mut outer = vec![0xeb];
            outer.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            outer.extend(bytes);
            outer
        })
    };
    let conn = &mut untyped();
    for (depth, fits) in [(1000, true), (1001, false)] {
        let bytes = nested(depth);
        let value = <JsonValue as FromSqlValue<Jsonb>>::from_sql_value(Value::Blob(&bytes));
        assert_eq!(value.is_ok(), fits, "{depth}");
        store(conn, Value::Blob(&bytes));
        let sqlites = sql::<Text>("SELECT json(x) FROM things").get_result::<String>(conn);
        assert_eq!(sqlites.is_ok(), fits, "{depth}: {sqlites:?}");
        let text = "[".repeat(depth as usize) + &"]".repeat(depth as usize);
        assert!(read::<JsonValue, Json>(Value::from(text.as_str())).is_err(), "serde_json stops at 128");
        if let Ok(value) = value {
            assert_eq!(round::<JsonValue, Jsonb>(conn, &value), Some(value.clone()));
            assert!(ToSqlValue::<Jsonb>::to_sql_value(&json!([value])).is_err());
        }
    }
    // a hostile value fails as quickly
    assert!(read::<JsonValue, Jsonb>(Value::Blob(&nested(20_000))).is_err());
}

#[test]
fn lengths_in_jsonb_are_encoded_as_by_diesel() {
    let conn = &mut untyped();
    for length in [0, 1, 9, 10, 11, 12, 253, 254, 255, 256, 65_534, 65_535, 65_536, 70_000] {
        let text = json!("x".repeat(length));
        let array = json!([text]);
        let object = json!({ "k": array, "x".repeat(length): 1 });
        for value in [text, array, object] {
            assert_eq!(round::<JsonValue, Jsonb>(conn, &value), Some(value));
        }
    }
}

/// The type that the schema derive chooses for this SQL type.
fn rust_type<ST: RustType<Type: 'static>>() -> TypeId {
    TypeId::of::<ST::Type>()
}

#[test]
fn dates_and_times_are_text_by_default() {
    let text = TypeId::of::<String>();
    assert_eq!([rust_type::<Date>(), rust_type::<Time>(), rust_type::<Timestamp>()], [text; 3]);
    assert_eq!(rust_type::<TimestamptzSqlite>(), text);
    // these have the only type that Diesel supports
    assert_eq!([rust_type::<Json>(), rust_type::<Jsonb>()], [TypeId::of::<JsonValue>(); 2]);
    assert_eq!(rust_type::<Numeric>(), TypeId::of::<BigDecimal>());
    assert_eq!(rust_type::<Nullable<Json>>(), TypeId::of::<Option<JsonValue>>());
}

#[test]
fn uuids_are_read_from_blobs_and_from_text() {
    use diesel_sqlite_session::{Change, Changeset, Tracked, Value};
    use uuid::Uuid;

    diesel::table! {
        keys (id) {
            id -> Binary,
            parent -> Nullable<Text>,
        }
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = keys)]
    struct Key {
        id: Uuid,
        parent: Option<Uuid>,
    }

    let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let row = Key { id: uuid, parent: Some(uuid) };
    let built = Changeset::builder().insert(&row).build().unwrap();
    let record = built.records().next().unwrap();
    assert_eq!(record.new_value(0), Some(Value::Blob(uuid.as_bytes())));
    assert_eq!(record.new_value(1), Some(Value::Text(b"01234567-89ab-cdef-0123-456789abcdef")));
    assert_eq!(built.changes::<Change<Key>>().next().unwrap().unwrap(), Change::Insert(row));

    let table = diesel_sqlite_session::wire::TableInfo::new("keys", &[1, 0]);
    for id in [&b"too short"[..], b""] {
        let bad = Changeset::builder().insert_values(table, &[Value::Blob(id), Value::Null]).build().unwrap();
        assert!(bad.changes::<Change<Key>>().next().unwrap().is_err());
    }
}
