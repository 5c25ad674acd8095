//! Traits of public types on which programs depend: Hash, PartialEq, Display, From.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel_sqlite_session::session::Captured;
use diesel_sqlite_session::typed::{DecodeErrorKind, Edit, ValueError};
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{
    ApplyError, Change, Changeset, Field, Format, Patch, Patchset, SqliteSessionExt, Tracked, Value,
};

use crate::common::open;

diesel::table! {
    points (id) {
        id -> Integer,
        x -> BigInt,
    }
}

#[derive(Clone, Copy, Debug, Insertable, PartialEq, Eq, Hash, Tracked)]
#[diesel(table_name = points)]
#[tracked(derive(Clone, Copy, Debug, PartialEq, Eq, Hash))]
pub struct Point {
    id: i32,
    x: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Tracked)]
enum Points {
    Points(Change<points::table>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Tracked)]
enum PointPatches {
    Points(Patch<points::table>),
}

const TABLE: &str = "CREATE TABLE points (id INTEGER PRIMARY KEY, x INTEGER NOT NULL)";

#[test]
fn typed_changes_can_be_copied_and_hashed() {
    let point = Point { id: 1, x: 2 };
    let moved = PointUpdate { id: 1, x: Field::Changed { old: 2, new: 3 } };
    let changes = [Change::Insert(point), Change::Delete(point), Change::Update(moved), Change::Insert(point)];
    let set: HashSet<Points> = changes.map(Points::Points).into_iter().collect();
    assert_eq!(set.len(), 3, "an INSERT and a DELETE of one row are two changes");
    let patches =
        [Patch::Insert(point), Patch::Delete(1), Patch::Update(PointPatch { id: 1, x: None }), Patch::Delete(1)];
    let set: HashSet<PointPatches> = patches.map(PointPatches::Points).into_iter().collect();
    assert_eq!(set.len(), 3);
    assert!(set.contains(&PointPatches::Points(Patch::Delete(1))));
}

#[test]
fn captured_changes_can_be_compared() {
    let capture = |x: i64| -> Captured<Points, usize> {
        let mut conn = open(TABLE);
        let captured =
            conn.capture().run(|conn| diesel::insert_into(points::table).values(Point { id: 1, x }).execute(conn));
        captured.unwrap()
    };
    assert_eq!(capture(1), capture(1));
    assert_ne!(capture(1), capture(2));
}

#[test]
fn edits_can_be_compared() {
    let (a, b) = (Point { id: 1, x: 1 }, Point { id: 1, x: 2 });
    assert_eq!(Edit::Update(&a, &b), Edit::Update(&a, &b));
    assert_ne!(Edit::Update(&a, &b), Edit::Update(&a, &a));
    assert_ne!(Edit::Insert(&a), Edit::Delete(&a));
}

#[test]
fn values_convert_from_types_with_one_storage_class() {
    let integers: [Value<'_>; 7] = [
        i8::MIN.into(),
        i16::MIN.into(),
        i32::MIN.into(),
        i64::MIN.into(),
        u8::MAX.into(),
        u16::MAX.into(),
        u32::MAX.into(),
    ];
    let expected = [-128, -32768, -2_147_483_648, i64::MIN, 255, 65535, 4_294_967_295];
    assert_eq!(integers, expected.map(Value::Integer));
    assert_eq!([Value::from(false), true.into()], [Value::Integer(0), Value::Integer(1)]);
    assert_eq!([Value::from(0.5f32), f32::NAN.into(), f64::NAN.into()], [Value::Real(0.5), Value::Null, Value::Null]);
    let (text, blob) = (String::from("it"), vec![1u8, 2]);
    assert_eq!([Value::from(&text), "it".into(), Some(&text).into()], [Value::Text(b"it"); 3]);
    assert_eq!([Value::from(&blob), (&[1, 2]).into(), (&[1u8, 2][..]).into()], [Value::Blob(&[1, 2]); 3]);
    assert_eq!(Value::from(b"it"), Value::Blob(b"it"));
    // number literals keep their class
    let numbers: [Value<'_>; 2] = [1.into(), 1.0.into()];
    assert_eq!(numbers, [Value::Integer(1), Value::Real(1.0)]);
}

#[test]
fn builders_accept_the_table_of_a_row() {
    let (one, two) = ([1.into(), 10.into()], [1.into(), 20.into()]);
    let points = TableInfo::new("points", &[1, 0]);
    assert_eq!(Point::TABLE, points);
    assert_eq!(TableInfo::from(&Point::TABLE), points);
    assert_eq!(Point::TABLE.columns(), ["id", "x"]);
    let short = Changeset::builder().insert_values(TableInfo::new("points", &[1]), &[1.into()]).build().unwrap();
    let built = Changeset::builder()
        .declare(Point::TABLE, &[Value::Null, 10.into()])
        .add(&short)
        .update_values(Point::TABLE, &one, &two)
        .build()
        .unwrap();
    assert_eq!(built.records().map(|record| record.to_string()).collect::<Vec<_>>(), ["INSERT points(1, 20)"]);
    let deleted = Patchset::builder().delete_values(Point::TABLE, &one).build().unwrap();
    assert_eq!(deleted.records().next().unwrap().to_string(), "DELETE points(1, _)");
}

#[test]
fn each_kind_of_decode_error_has_its_message() {
    for (kind, text) in [
        (DecodeErrorKind::UnknownTable, "the table is not part of the set; `skip_unknown_tables` skips such changes"),
        (DecodeErrorKind::ColumnCount { expected: 3, found: 2 }, "expected 3 columns, found 2"),
        (DecodeErrorKind::PrimaryKey, "the changes have another primary key"),
        (
            DecodeErrorKind::WrongFormat { found: Format::Patchset },
            "expected a change of a changeset, found a change of a patchset",
        ),
        (DecodeErrorKind::Value(ValueError::Utf8), "the text is not UTF-8"),
    ] {
        assert_eq!(kind.to_string(), text);
    }
}

#[test]
fn untracked_tables_state_the_reason() {
    let mut conn = open("CREATE TABLE log (line TEXT)");
    let untracked = conn.create_session().unwrap().untracked_tables().unwrap();
    let lines: Vec<String> = untracked.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["table log: a table without a primary key, which SQLite does not record"]);
}

#[test]
fn foreign_key_violations_can_be_cloned_compared_and_shown() {
    let mut conn = open(
        "CREATE TABLE parents (id INTEGER PRIMARY KEY); \
         CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents); \
         PRAGMA foreign_keys = ON",
    );
    let children = TableInfo::new("children", &[1, 0]);
    let one = Changeset::builder().insert_values(children, &[7.into(), 1.into()]);
    let two = one.clone().insert_values(children, &[8.into(), 1.into()]);
    let mut broken = |changes: Changeset| match conn.apply(&changes).run() {
        Err(ApplyError::ForeignKeyViolations(broken)) => broken.clone(),
        other => panic!("{other:?}"),
    };
    let (one, two) = (broken(one.build().unwrap()), broken(two.build().unwrap()));
    assert_eq!(one, one.clone());
    assert_ne!(one, two);
    let first = "table children, rowid 7, references a missing row of parents";
    assert_eq!(one.to_string(), format!("1 foreign key violation: {first}"));
    assert_eq!(two.to_string(), format!("2 foreign key violations: {first}, and others"));
}

#[test]
fn errors_of_built_rows_name_the_column() {
    let (before, after) = (Point { id: 1, x: 1 }, Point { id: 2, x: 1 });
    let error = Changeset::builder().update(&before, &after).build().unwrap_err();
    assert_eq!((error.column(), error.column_name()), (Some(0), Some("id")));
    assert!(
        error.to_string().starts_with("table points, column id: an UPDATE cannot change the primary key"),
        "{error}"
    );
    let mut builder = Patchset::builder();
    builder.extend([Edit::Update(&before, &after)]);
    assert_eq!(builder.build().unwrap_err(), Patchset::builder().update(&before, &after).build().unwrap_err());
    let by_info = Changeset::builder().insert_values(Point::TABLE, &[Value::Null, 1.into()]).build().unwrap_err();
    assert_eq!(by_info.column_name(), Some("id"));
    let schema = TableInfo::new("points", &[1, 0]);
    let by_values = Changeset::builder().insert_values(schema, &[Value::Null, 1.into()]).build().unwrap_err();
    assert_eq!((by_values.column(), by_values.column_name()), (Some(0), None));
}
