//! Rows whose fields have only Diesel's own traits, and rows of every type with this crate's
//! traits.

use std::cell::Cell;

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Integer, Text};
use diesel::sqlite::{Sqlite, SqliteValue};
use diesel_sqlite_session::__private::EncodeRow;
use diesel_sqlite_session::typed::{DecodeErrorKind, ValueError};
use diesel_sqlite_session::{Change, Changeset, Field, SqliteSessionExt, Tracked};
use serde_json::{Value as JsonValue, json};
use time::macros::{date, datetime, time};

use crate::common::{exec, lines, open};

/// Returns the changes that `work` makes to the named tables.
fn changes(conn: &mut SqliteConnection, table: &str, work: impl FnOnce(&mut SqliteConnection)) -> Changeset {
    let mut session = conn.create_session().unwrap();
    session.attach_by_name(table).unwrap();
    work(conn);
    session.changeset().unwrap()
}

/// Returns the values that would be written for a row, as SQL.
fn written<R: EncodeRow>(row: &R) -> String {
    row.encode(|values| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")).unwrap()
}

// Every type.

diesel::table! {
    everything (id) {
        id -> BigInt,
        flag -> Bool,
        short -> SmallInt,
        long -> Integer,
        single -> Float,
        real -> Double,
        words -> Text,
        bytes -> Binary,
        day -> Date,
        moment -> Time,
        stamp -> Timestamp,
        instant -> TimestamptzSqlite,
        other_day -> Date,
        other_moment -> Time,
        other_stamp -> Timestamp,
        other_instant -> TimestamptzSqlite,
        document -> Json,
        binary_document -> Jsonb,
        amount -> Numeric,
    }
}

diesel::table! {
    perhaps (id) {
        id -> BigInt,
        flag -> Nullable<Bool>,
        short -> Nullable<SmallInt>,
        single -> Nullable<Float>,
        words -> Nullable<Text>,
        bytes -> Nullable<Binary>,
        day -> Nullable<Date>,
        moment -> Nullable<Time>,
        stamp -> Nullable<Timestamp>,
        instant -> Nullable<TimestamptzSqlite>,
        other_day -> Nullable<Date>,
        other_instant -> Nullable<TimestamptzSqlite>,
        document -> Nullable<Json>,
        binary_document -> Nullable<Jsonb>,
        amount -> Nullable<Numeric>,
    }
}

const EVERYTHING: &str = "CREATE TABLE everything (id INTEGER PRIMARY KEY, flag, short, long, single, real, words, bytes, day, \
    moment, stamp, instant, other_day, other_moment, other_stamp, other_instant, document, binary_document, amount)";

const PERHAPS: &str = "CREATE TABLE perhaps (id INTEGER PRIMARY KEY, flag, short, single, words, bytes, day, moment, stamp, \
    instant, other_day, other_instant, document, binary_document, amount)";

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = everything)]
struct Everything {
    id: i64,
    flag: bool,
    short: i16,
    long: i32,
    single: f32,
    real: f64,
    words: String,
    bytes: Vec<u8>,
    day: NaiveDate,
    moment: NaiveTime,
    stamp: NaiveDateTime,
    instant: DateTime<Utc>,
    other_day: time::Date,
    other_moment: time::Time,
    other_stamp: time::PrimitiveDateTime,
    other_instant: time::OffsetDateTime,
    document: JsonValue,
    binary_document: JsonValue,
    amount: BigDecimal,
}

#[derive(Clone, Debug, Default, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = perhaps)]
#[diesel(treat_none_as_default_value = false)]
struct Perhaps {
    id: i64,
    flag: Option<bool>,
    short: Option<i16>,
    single: Option<f32>,
    words: Option<String>,
    bytes: Option<Vec<u8>>,
    day: Option<NaiveDate>,
    moment: Option<NaiveTime>,
    stamp: Option<NaiveDateTime>,
    instant: Option<DateTime<Utc>>,
    other_day: Option<time::Date>,
    other_instant: Option<time::OffsetDateTime>,
    document: Option<JsonValue>,
    binary_document: Option<JsonValue>,
    amount: Option<BigDecimal>,
}

fn stamp() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2024, 2, 3).unwrap().and_hms_micro_opt(4, 5, 6, 789).unwrap()
}

#[test]
fn a_row_of_every_type_is_read_as_it_was_inserted() {
    let conn = &mut open(EVERYTHING);
    let row = Everything {
        id: 1,
        flag: true,
        short: -2,
        long: 3,
        single: 1.5,
        real: 0.1,
        words: "words".into(),
        bytes: vec![0, 255],
        day: stamp().date(),
        moment: stamp().time(),
        stamp: stamp(),
        instant: stamp().and_utc(),
        other_day: date!(2024 - 02 - 03),
        other_moment: time!(04:05:06.5),
        other_stamp: datetime!(2024-02-03 04:05:06),
        other_instant: datetime!(2024-02-03 04:05:06.000000001 UTC),
        document: json!({"a": [1, null, "\n"]}),
        binary_document: json!({"a": [1, null, "\n"]}),
        amount: "12.5".parse().unwrap(),
    };
    let changeset = changes(conn, "everything", |conn| {
        diesel::insert_into(everything::table).values(&row).execute(conn).unwrap();
    });
    assert_eq!(everything::table.get_result::<Everything>(conn).unwrap(), row);
    let read = changeset.changes::<Change<Everything>>().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(read, [Change::<Everything>::Insert(row.clone())]);
    let inserted = changeset.records().next().unwrap().to_string();
    assert_eq!(inserted, format!("INSERT everything({})", written(&row)));
}

#[test]
fn nullable_columns_are_options_of_every_type() {
    let conn = &mut open(PERHAPS);
    let none = Perhaps { id: 1, ..Perhaps::default() };
    let some = Perhaps {
        id: 2,
        flag: Some(false),
        short: Some(1),
        single: Some(-1.0),
        words: Some(String::new()),
        bytes: Some(vec![]),
        day: Some(stamp().date()),
        moment: Some(stamp().time()),
        stamp: Some(stamp()),
        instant: Some(stamp().and_utc()),
        other_day: Some(date!(-4 - 02 - 03)),
        other_instant: Some(datetime!(2024-02-03 04:05:06 UTC)),
        document: Some(JsonValue::Null),
        binary_document: Some(JsonValue::Null),
        amount: Some("0.25".parse().unwrap()),
    };
    let changeset = changes(conn, "perhaps", |conn| {
        for row in [&none, &some] {
            diesel::insert_into(perhaps::table).values(row).execute(conn).unwrap();
        }
    });
    assert_eq!(perhaps::table.order(perhaps::id).get_results::<Perhaps>(conn).unwrap(), [none.clone(), some.clone()]);
    let rows = [none, some];
    for change in changeset.changes::<Change<Perhaps>>() {
        let Change::Insert(row) = change.unwrap() else { panic!("an INSERT") };
        assert!(rows.contains(&row), "{row:?}");
    }
    let mut inserted: Vec<_> = changeset.records().map(|record| record.to_string()).collect();
    inserted.sort();
    assert_eq!(inserted, rows.map(|row| format!("INSERT perhaps({})", written(&row))));
}

// Types with Diesel's traits alone.

diesel::table! {
    people (id) {
        id -> Integer,
        mood -> Text,
        height -> Integer,
        last_mood -> Nullable<Text>,
        last_height -> Nullable<Integer>,
    }
}

const PEOPLE: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, mood TEXT NOT NULL, height INTEGER NOT NULL, \
    last_mood TEXT, last_height INTEGER)";

#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
enum Mood {
    Merry,
    Sad,
}

impl ToSql<Text, Sqlite> for Mood {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(match self {
            Self::Merry => "merry",
            Self::Sad => "sad",
        });
        Ok(IsNull::No)
    }
}

impl FromSql<Text, Sqlite> for Mood {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        match <String as FromSql<Text, Sqlite>>::from_sql(value)?.as_str() {
            "merry" => Ok(Self::Merry),
            "sad" => Ok(Self::Sad),
            other => Err(format!("no mood is called {other}").into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Integer)]
struct Meters(i32);

impl ToSql<Integer, Sqlite> for Meters {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        if self.0 < 0 {
            return Err("below the ground".into());
        }
        out.set_value(self.0);
        Ok(IsNull::No)
    }
}

impl FromSql<Integer, Sqlite> for Meters {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        <i32 as FromSql<Integer, Sqlite>>::from_sql(value).map(Self)
    }
}

/// The key has such a type too.
#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = people)]
#[diesel(treat_none_as_default_value = false)]
struct Person {
    id: Meters,
    mood: Mood,
    height: Meters,
    last_mood: Option<Mood>,
    last_height: Option<Meters>,
}

#[test]
fn types_with_only_diesels_traits_are_read_and_written() {
    let conn = &mut open(PEOPLE);
    let ada = Person { id: Meters(1), mood: Mood::Merry, height: Meters(2), last_mood: None, last_height: None };
    let bob = Person { id: Meters(2), last_mood: Some(Mood::Sad), last_height: Some(Meters(0)), ..ada.clone() };
    let changeset = changes(conn, "people", |conn| {
        diesel::insert_into(people::table).values(&vec![ada.clone(), bob.clone()]).execute(conn).unwrap();
    });
    let mut read = changeset.changes::<Change<Person>>().collect::<Result<Vec<_>, _>>().unwrap();
    read.sort_by_key(|change| match change {
        Change::Insert(person) => person.id.0,
        other => panic!("{other:?}"),
    });
    assert_eq!(read, [Change::<Person>::Insert(ada.clone()), Change::Insert(bob.clone())]);
    let mut inserted: Vec<_> = changeset.records().map(|record| record.to_string()).collect();
    inserted.sort();
    assert_eq!(inserted, [&ada, &bob].map(|row| format!("INSERT people({})", written(row))));
    assert_eq!(Person::UNWRITABLE, None);

    let changeset = changes(conn, "people", |conn| {
        exec(conn, "UPDATE people SET mood = 'sad', last_height = NULL WHERE id = 2");
    });
    let Some(Ok(Change::Update(update))) = changeset.changes::<Change<Person>>().next() else { panic!("an UPDATE") };
    assert_eq!((update.id, update.mood.changed()), (Meters(2), Some((&Mood::Merry, &Mood::Sad))));
    assert_eq!(update.last_height, Field::Changed { old: Some(Meters(0)), new: None });
    assert_eq!(update.height, Field::Unchanged);
}

#[test]
fn a_value_that_diesels_traits_reject_is_an_error_of_its_column() {
    let conn = &mut open(PEOPLE);
    let changeset = changes(conn, "people", |conn| exec(conn, "INSERT INTO people VALUES (1, 'bored', 2, NULL, NULL)"));
    let error = changeset.changes::<Change<Person>>().next().unwrap().unwrap_err();
    assert_eq!((error.table(), error.column(), error.sql_type().as_deref()), ("people", Some("mood"), Some("Text")));
    let message = "no mood is called bored";
    assert_eq!(*error.kind(), DecodeErrorKind::Value(ValueError::Invalid { message: message.into() }));
    assert!(error.to_string().contains(message), "{error}");

    // NULL where a value is required, and text that does not fit
    exec(conn, "DELETE FROM people");
    let changeset = Changeset::try_from(
        b"T\x05\x01\0\0\0\0people\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x05\x01\0\0\0\0\0\0\0\x02\x05\x05".to_vec(),
    )
    .unwrap();
    let error = changeset.changes::<Change<Person>>().next().unwrap().unwrap_err();
    assert_eq!((error.table(), error.column()), ("people", Some("mood")), "{error}");
    assert_eq!(*error.kind(), DecodeErrorKind::Value(ValueError::Null));
    let changeset = Changeset::try_from(
        b"T\x05\x01\0\0\0\0people\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x01\xff\x01\0\0\0\0\0\0\0\x02\x05\x05".to_vec(),
    )
    .unwrap();
    let error = changeset.changes::<Change<Person>>().next().unwrap().unwrap_err();
    assert_eq!(*error.kind(), DecodeErrorKind::Value(ValueError::Utf8), "{error}");

    let deep = Person { id: Meters(1), mood: Mood::Sad, height: Meters(-1), last_mood: None, last_height: None };
    let error = deep.encode(|_| panic!("a row that cannot be written")).unwrap_err();
    assert_eq!(error, (2, ValueError::Invalid { message: "below the ground".into() }));
    assert_eq!(lines(conn, "SELECT count(*) || '' AS line FROM people"), ["0"]);
}

// Types whose own code uses this crate again.

/// A changeset of one person who is sad.
const SAD: &[u8] = b"T\x05\x01\0\0\0\0people\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03sad\x01\0\0\0\0\0\0\0\x02\x05\x05";

fn sad_person() -> Person {
    let changeset = Changeset::try_from(SAD.to_vec()).unwrap();
    match changeset.changes::<Change<Person>>().next() {
        Some(Ok(Change::Insert(person))) => person,
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Debug, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
struct Nested(Person, String);

impl FromSql<Text, Sqlite> for Nested {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let person = sad_person();
        Ok(Self(person, <String as FromSql<Text, Sqlite>>::from_sql(value)?))
    }
}

impl ToSql<Text, Sqlite> for Nested {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(written(&self.0));
        Ok(IsNull::No)
    }
}

diesel::table! {
    notes (id) {
        id -> Integer,
        note -> Text,
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = notes)]
struct Note {
    id: i32,
    note: Nested,
}

const NOTE: &[u8] = b"T\x02\x01\0notes\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x02hi";

#[test]
fn code_of_such_a_type_may_read_and_write_such_types() {
    let changeset = Changeset::try_from(NOTE.to_vec()).unwrap();
    for _ in 0..3 {
        let Some(Ok(Change::Insert(note))) = changeset.changes::<Change<Note>>().next() else { panic!("an INSERT") };
        assert_eq!(note, Note { id: 1, note: Nested(sad_person(), "hi".into()) });
        assert_eq!(written(&note), "1, '1, ''sad'', 2, NULL, NULL'");
    }
}

#[test]
fn such_types_can_be_read_while_a_thread_ends() {
    struct AtTheEnd(Cell<Option<std::sync::mpsc::Sender<Person>>>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0.take().unwrap().send(sad_person()).unwrap();
        }
    }
    std::thread_local! {
        static FIRST: AtTheEnd = const { AtTheEnd(Cell::new(None)) };
        static LAST: AtTheEnd = const { AtTheEnd(Cell::new(None)) };
    }
    let (sender, people) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // one value is dropped before the database of this thread, the other after it
        FIRST.with(|end| end.0.set(Some(sender.clone())));
        sad_person();
        LAST.with(|end| end.0.set(Some(sender)));
    })
    .join()
    .unwrap();
    assert_eq!(people.into_iter().collect::<Vec<_>>(), [sad_person(), sad_person()]);
}

// A type that can only be read.

#[derive(Debug, PartialEq, FromSqlRow)]
struct Shouted(String);

impl FromSql<Text, Sqlite> for Shouted {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(<String as FromSql<Text, Sqlite>>::from_sql(value)?.to_uppercase()))
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = notes)]
struct ShoutedNote {
    id: i32,
    note: Shouted,
}

#[test]
fn a_type_that_cannot_be_written_can_be_read() {
    let changeset = Changeset::try_from(NOTE.to_vec()).unwrap();
    let Some(Ok(Change::Insert(note))) = changeset.changes::<Change<ShoutedNote>>().next() else { panic!("an INSERT") };
    assert_eq!(note, ShoutedNote { id: 1, note: Shouted("HI".into()) });
    assert_eq!(ShoutedNote::UNWRITABLE, Some("note"));
}
