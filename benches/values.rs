//! Reading and writing one value: with the traits of this crate, and with Diesel's traits by way of
//! SQLite.
//!
//! The benchmark first checks that both ways have the same result.

use std::fmt::Debug;
use std::hint::black_box;

use chrono::NaiveDateTime;
use criterion::{Criterion, criterion_group, criterion_main};
use diesel::deserialize::FromSqlRow;
use diesel::query_builder::QueryId;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Integer, SingleValue, Text, Timestamp};
use diesel::sqlite::Sqlite;
use diesel_sqlite_session::__private::{DecodeDiesel, EncodeDiesel, Via};
use diesel_sqlite_session::Value;
use diesel_sqlite_session::typed::{FromSqlValue, ToSqlValue};

fn both_ways<T, ST>(criterion: &mut Criterion, name: &str, value: Value<'static>)
where
    T: FromSqlValue<'static, ST>
        + ToSqlValue<ST>
        + FromSqlRow<ST, Sqlite>
        + ToSql<ST, Sqlite>
        + PartialEq
        + Debug
        + 'static,
    ST: SingleValue + QueryId + 'static,
    Sqlite: HasSqlType<ST>,
{
    let via = &Via::<T, ST>::NEW;
    let decode = |value| -> T { DecodeDiesel::<T>::decode(&via, value).unwrap() };
    let ours = T::from_sql_value(value).unwrap();
    assert_eq!(ours, decode(value));
    assert_eq!(ours.to_sql_value().unwrap(), EncodeDiesel::encode(&via, &ours).unwrap());

    let mut group = criterion.benchmark_group(format!("values/{name}"));
    group.bench_function("read", |b| b.iter(|| T::from_sql_value(black_box(value)).unwrap()));
    group.bench_function("read_via_diesel", |b| b.iter(|| decode(black_box(value))));
    group.bench_function("write", |b| b.iter(|| black_box(black_box(&ours).to_sql_value().unwrap())));
    group.bench_function("write_via_diesel", |b| {
        b.iter(|| black_box(EncodeDiesel::encode(&via, black_box(&ours)).unwrap()));
    });
    group.finish();
}

fn values(criterion: &mut Criterion) {
    both_ways::<i32, Integer>(criterion, "integer", Value::Integer(123_456));
    both_ways::<String, Text>(criterion, "text", Value::Text(b"twenty bytes of text"));
    both_ways::<NaiveDateTime, Timestamp>(criterion, "timestamp", Value::Text(b"2024-02-03 04:05:06.789"));
}

criterion_group!(benches, values);
criterion_main!(benches);
