//! Tests of filtering, renaming, sorting, splitting and SQL text, for cases that the random
//! histories in the package `tests` do not reach.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::wire::*;

const USERS: TableInfo<'_> = TableInfo::new("users", &[1, 0]);

fn inserts<'a>(table: TableInfo<'_>, rows: impl IntoIterator<Item = [Value<'a>; 2]>) -> Changeset {
    rows.into_iter().fold(Changeset::builder(), |builder, row| builder.insert_values(table, &row)).build().unwrap()
}

fn keys<'a>(changeset: &'a Changeset) -> Vec<Value<'a>> {
    changeset.records().flat_map(|record| record.key_values()).collect()
}

#[test]
fn changes_whose_length_does_not_fit_into_the_index_are_sorted() {
    let blob = vec![7; 70_000];
    let lengths = [65_520, 65_521, 65_522, 65_523, 65_524, 65_525, 65_526, 65_527, 70_000, 3];
    let rows = lengths.iter().rev().map(|length| [Value::Integer(*length as i64), Value::Blob(&blob[..*length])]);
    let sorted = inserts(USERS, rows).sort_by_key();
    let found: Vec<usize> =
        sorted.records().map(|record| record.new_value(1).and_then(Value::as_bytes).unwrap().len()).collect();
    let mut expected = lengths.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(Changeset::try_from(sorted.into_bytes()).is_ok());
}

#[test]
fn texts_that_are_prefixes_of_each_other_are_sorted() {
    let texts: Vec<String> = (0..200).map(|length| "x".repeat(length * 7 % 200 * 8)).collect();
    let sorted = inserts(USERS, texts.iter().map(|text| [text.as_str().into(), Value::Null])).sort_by_key();
    let mut expected: Vec<&str> = texts.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(keys(&sorted), expected.into_iter().map(Value::from).collect::<Vec<_>>());
}

#[test]
fn a_key_of_many_columns_that_are_mostly_equal_is_sorted() {
    let (columns, count) = if cfg!(miri) { (10, 12) } else { (100, 60) };
    let ordinals: Vec<u8> = (1..=columns).rev().collect();
    let table = TableInfo::new("wide", &ordinals);
    let rows: Vec<Vec<Value<'_>>> = (0..count)
        .map(|row| (0..columns).map(|column| Value::Integer(if column < 3 { row * 7 % count } else { 1 })).collect())
        .collect();
    let built = rows.iter().fold(Changeset::builder(), |builder, row| builder.insert_values(table, row)).build();
    let sorted = built.unwrap().sort_by_key();
    let first: Vec<i64> = sorted.records().filter_map(|record| record.new_value(0)?.as_integer()).collect();
    assert_eq!(first, (0..count).collect::<Vec<_>>());
}

#[test]
fn equal_keys_stay_in_their_order() {
    // 1.0 and 1 are equal, and so are 0.0 and -0.0
    let values: [Value<'_>; 6] = [1.0.into(), 0.0.into(), 1.into(), (-0.0).into(), 0.into(), 0.5.into()];
    let rows = (0..6).map(|row| [values[row], (row as i64).into()]);
    let order = |changeset: &Changeset| -> Vec<i64> {
        changeset.records().filter_map(|record| record.new_value(1)?.as_integer()).collect()
    };
    assert_eq!(order(&inserts(USERS, rows.clone()).sort_by_key()), [1, 3, 4, 5, 0, 2]);
    // enough changes to sort by prefix
    let many = (0..3).flat_map(|_| rows.clone()).collect::<Vec<_>>();
    let bytes = many.into_iter().enumerate().fold(b"T\x02\x01\0users\0".to_vec(), |mut bytes, (at, [key, _])| {
        bytes.extend([0x12, 0]);
        key.write(&mut bytes);
        Value::Integer(at as i64).write(&mut bytes);
        bytes
    });
    let sorted = Changeset::try_from(bytes).unwrap().sort_by_key();
    assert_eq!(order(&sorted), [1, 3, 4, 7, 9, 10, 13, 15, 16, 5, 11, 17, 0, 2, 6, 8, 12, 14]);
}

#[test]
fn tables_renamed_to_one_name_must_have_the_same_columns_and_key() {
    let renamed = |first: &[u8], second: &[u8]| {
        let row = |schema: TableInfo<'_>| vec![Value::Integer(1); schema.column_count()];
        let (a, b) = (TableInfo::new("a", first), TableInfo::new("b", second));
        let both = Changeset::builder().insert_values(a, &row(a)).insert_values(b, &row(b)).build().unwrap();
        both.rename_tables(|name| (name == "b").then_some("A")).map(|one| one.sections().count())
    };
    assert_eq!(renamed(&[1, 0], &[1, 0]), Ok(2));
    let error = renamed(&[1, 0], &[1, 0, 0]).unwrap_err();
    assert_eq!((error.kind(), error.table()), (BuildErrorKind::OtherColumns { before: 2, now: 3 }, Some("A")));
    assert_eq!(renamed(&[1, 0], &[0, 1]).unwrap_err().kind(), BuildErrorKind::OtherKey);
}

#[test]
fn a_table_can_keep_sections_with_different_columns() {
    let bytes = b"T\x01\x01t\0\x12\0\x04\x01kT\x02\x01\0t\0\x12\0\x04\x01l\x05T\x01\x01u\0\x12\0\x04\x01k";
    let changeset = Changeset::try_from(bytes.to_vec()).unwrap();
    assert_eq!(changeset.rename_tables(|name| (name == "t").then_some("s")).unwrap().sections().count(), 3);
    // one of the sections differs from that of the other table
    let error = changeset.rename_tables(|name| (name == "u").then_some("t")).unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::OtherColumns { before: 1, now: 2 });
}

#[test]
fn pieces_start_with_the_header_of_their_section() {
    let bytes = b"T\x01\x01empty\0T\x01\x01a\0\x12\0\x04\x01k\x12\0\x04\x01lT\x01\x01b\0\x12\0\x04\x01m";
    let changeset = Changeset::try_from(bytes.to_vec()).unwrap();
    let pieces = |max| changeset.split(max).map(|piece| format!("{piece:?}")).collect::<Vec<_>>();
    assert_eq!(
        pieces(14),
        ["Changeset [INSERT a(x'6b')]", "Changeset [INSERT a(x'6c')]", "Changeset [INSERT b(x'6d')]"]
    );
    assert_eq!(pieces(15), ["Changeset [INSERT a(x'6b'), INSERT a(x'6c')]", "Changeset [INSERT b(x'6d')]"]);
    assert_eq!(pieces(25), ["Changeset [INSERT a(x'6b'), INSERT a(x'6c'), INSERT b(x'6d')]"]);
    assert_eq!(pieces(0).len(), 3);
    assert_eq!(changeset.split(25).next().unwrap().as_bytes(), &bytes[9..]);
}

#[test]
fn sql_literals_equal_the_display_of_the_value() {
    let long = vec![0xab; 200];
    for value in [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Real(-0.0),
        Value::Real(f64::INFINITY),
        Value::from("'it''s'"),
        Value::from(""),
        Value::Text(&[0xff]),
        Value::Text(b"a\0b"),
        Value::Blob(&[]),
        Value::Blob(&long),
    ] {
        let changeset = inserts(USERS, [[1.into(), value]]);
        let sql = changeset.records().next().unwrap().to_sql::<TableInfo<'_>>([]).unwrap().to_string();
        assert_eq!(sql, format!("INSERT INTO \"users\" VALUES (1, {value});"));
    }
}

#[test]
fn an_update_of_the_key_alone_sets_the_key_to_itself() {
    let bytes = b"T\x02\x01\0t\0\x17\0\x03\x03ada\0\x03\x03Ada\0";
    let changeset = Changeset::try_from(bytes.to_vec()).unwrap();
    let sql = changeset.to_sql([TableInfo::from_columns("T", &["k", "v", "later"])]).unwrap().to_string();
    assert_eq!(sql, "UPDATE \"t\" SET \"k\" = \"k\" WHERE \"k\" = 'ada';\n");
    let kind = |columns: &[&str]| {
        let tables = [TableInfo::from_columns("t", columns)];
        changeset.records().next().unwrap().to_sql(tables).unwrap_err().kind()
    };
    assert_eq!(kind(&[]), BuildErrorKind::NoColumnNames);
    assert_eq!(kind(&["k"]), BuildErrorKind::ColumnNameCount { names: 1, columns: 2 });
    assert_eq!(kind(&["k", "a\0"]), BuildErrorKind::ColumnName);
}

#[test]
fn hidden_columns_are_not_in_the_sql() {
    let users = TableInfo::new("users", &[1, 0, 0]).with_columns(&["id", "name", "password"]);
    let row = |name: &'static str, password: &'static str| [1.into(), name.into(), password.into()];
    let changeset = Changeset::builder()
        .insert_values(users, &row("Ada", "x"))
        .update_values(
            users.with_hidden(&[]),
            &[2.into(), "Bob".into(), "y".into()],
            &[2.into(), "Rob".into(), "z".into()],
        )
        .update_values(users, &[3.into(), "Eve".into(), "y".into()], &[3.into(), "Eve".into(), "z".into()])
        .delete_values(users, &[4.into(), "Cy".into(), "y".into()])
        .build()
        .unwrap();
    let hidden = |hidden| changeset.to_sql([users.with_hidden(hidden)]).map(|sql| sql.to_string());
    assert_eq!(
        hidden(&["Password"]).unwrap(),
        "INSERT INTO \"users\" (\"id\", \"name\") VALUES (1, 'Ada');\n\
         UPDATE \"users\" SET \"name\" = 'Rob' WHERE \"id\" = 2;\n\
         UPDATE \"users\" SET \"id\" = \"id\" WHERE \"id\" = 3;\n\
         DELETE FROM \"users\" WHERE \"id\" = 4;\n"
    );
    // the key finds the row
    assert!(hidden(&["id"]).unwrap().starts_with("INSERT INTO \"users\" (\"id\", \"name\", \"password\")"));
    assert_eq!(hidden(&["passwort"]).unwrap_err().kind(), BuildErrorKind::HiddenColumn);
    // a column that cannot be found is not written by accident
    let unnamed = TableInfo::new("users", &[1, 0, 0]).with_hidden(&["password"]);
    let insert = Changeset::builder().insert_values(users, &row("Ada", "x")).build().unwrap();
    assert_eq!(insert.to_sql([unnamed]).unwrap_err().kind(), BuildErrorKind::HiddenColumn);
}
