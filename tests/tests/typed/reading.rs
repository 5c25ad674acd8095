//! Reading typed changes: sets, errors, and records together with values.

use diesel::prelude::*;
use diesel_sqlite_session::typed::{DecodeErrorKind, ValueError};
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Change, Changeset, Field, Operation, Patch, SqliteSessionExt, Tracked, Value};

use crate::common::{exec, open};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
    }
}

diesel::table! {
    posts (id) {
        id -> BigInt,
        user_id -> Integer,
        body -> Binary,
    }
}

#[derive(Debug, Clone, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    email: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = posts)]
pub struct Post {
    id: i64,
    user_id: i32,
    body: Vec<u8>,
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users)]
struct UserRef<'a> {
    id: i32,
    name: &'a str,
    email: Option<&'a str>,
}

#[derive(Debug, PartialEq, Tracked)]
enum Blog {
    Users(Change<users::table>),
    Posts(Change<posts::table>),
}

const TABLES: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT); \
                      CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, body BLOB NOT NULL); \
                      CREATE TABLE other (id INTEGER PRIMARY KEY);";

fn ada() -> User {
    User { id: 1, name: "Ada".into(), email: None }
}

/// Returns the changes of all tables.
fn record(before: &str, edits: &str) -> Changeset {
    let mut conn = open(TABLES);
    exec(&mut conn, before);
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    exec(&mut conn, edits);
    session.changeset().unwrap()
}

#[test]
fn unknown_tables_are_errors_or_skipped_and_reading_continues() {
    let changeset = record(
        "",
        "INSERT INTO other VALUES (1), (2); INSERT INTO users VALUES (1, 'Ada', NULL); INSERT INTO other VALUES (3)",
    );
    let read: Vec<_> = changeset.changes::<Blog>().collect();
    assert_eq!(read.len(), 4);
    assert_eq!(read.iter().filter(|change| change.is_ok()).count(), 1);
    for error in read.into_iter().filter_map(Result::err) {
        assert_eq!((error.table(), error.kind()), ("other", &DecodeErrorKind::UnknownTable));
    }
    let known: Vec<Blog> = changeset.changes().skip_unknown_tables().collect::<Result<_, _>>().unwrap();
    assert_eq!(known, [Blog::Users(Change::Insert(ada()))]);
}

#[test]
fn a_value_that_does_not_fit_does_not_end_reading() {
    let changeset = record("", "INSERT INTO users VALUES (1, x'00', NULL), (2, 'Bob', 5), (3, 'Cy', NULL)");
    let read: Vec<_> = changeset.changes::<Change<users::table>>().collect();
    let errors: Vec<String> = read.iter().filter_map(|change| Some(change.as_ref().err()?.to_string())).collect();
    assert_eq!((read.len(), errors.len()), (3, 1), "an integer in a column of text has become text: {errors:?}");
    assert!(
        errors[0].starts_with("table users, column name (Text), at byte ")
            && errors[0].ends_with(": expected text, found blob x'00'"),
        "{errors:?}"
    );
}

#[test]
fn another_key_or_number_of_columns_is_an_error() {
    let values = [Value::Integer(1), Value::Text(b"Ada"), Value::Null];
    let other_key = Changeset::builder().insert_values(TableInfo::new("users", &[0, 1, 0]), &values).build().unwrap();
    let error = other_key.changes::<Change<users::table>>().next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.column()), (&DecodeErrorKind::PrimaryKey, Some("id")));
    let fewer = Changeset::builder().insert_values(TableInfo::new("USERS", &[1, 0]), &values[..2]).build().unwrap();
    let error = fewer.changes::<Change<users::table>>().next().unwrap().unwrap_err();
    assert_eq!(error.kind(), &DecodeErrorKind::ColumnCount { expected: 3, found: 2 });
}

#[test]
fn the_record_is_available_beside_the_value() {
    let changeset = record(
        "CREATE TRIGGER t AFTER INSERT ON users BEGIN INSERT INTO posts VALUES (7, new.id, x'01'); END",
        "INSERT INTO users VALUES (1, 'Ada', NULL)",
    );
    let mut seen = Vec::new();
    for item in changeset.changes::<Blog>().with_records() {
        let (record, change) = item.unwrap();
        assert_eq!(record.operation(), Operation::Insert);
        assert_eq!(matches!(change, Blog::Posts(_)), record.indirect());
        seen.push(record.table().to_string());
    }
    seen.sort();
    assert_eq!(seen, ["posts", "users"]);
}

#[test]
fn borrowed_rows_point_into_the_changeset() {
    let changeset = record(
        "INSERT INTO users VALUES (2, 'Bob', 'bob@example.org')",
        "INSERT INTO users VALUES (1, 'Ada', NULL); UPDATE users SET email = 'b@example.org' WHERE id = 2",
    );
    let bytes = changeset.as_bytes().as_ptr_range();
    let mut seen = 0;
    for change in changeset.changes::<Change<UserRef<'_>>>() {
        match change.unwrap() {
            Change::Insert(user) => {
                assert_eq!(user, UserRef { id: 1, name: "Ada", email: None });
                assert!(bytes.contains(&user.name.as_ptr()));
                seen += 1;
            }
            Change::Update(user) => {
                assert_eq!(user.email, Field::Changed { old: Some("bob@example.org"), new: Some("b@example.org") });
                seen += 10;
            }
            Change::Delete(user) => panic!("{user:?}"),
        }
    }
    assert_eq!(seen, 11);
}

#[test]
fn an_update_that_contains_the_whole_row_changes_only_columns_that_differ() {
    // as SQLite's rebaser writes it
    let header = b"T\x03\x01\0\0users\0";
    let row = |name: &[u8; 3]| [b"\x01\0\0\0\0\0\0\0\x01\x03\x03", &name[..], b"\x05"].concat();
    let bytes = [&header[..], b"\x17\0", &row(b"Ada"), &row(b"Eve")].concat();
    let changeset = Changeset::try_from(bytes).unwrap();
    let Change::Update(user) = changeset.changes::<Change<users::table>>().next().unwrap().unwrap() else { panic!() };
    assert_eq!((user.id, user.name.changed()), (1, Some((&"Ada".into(), &"Eve".into()))));
    assert_eq!(user.email, Field::Unchanged);
}

#[test]
fn filtered_records_form_a_changeset_again() {
    let changeset =
        record("", "INSERT INTO users VALUES (1, 'Ada', NULL), (2, 'Bob', NULL); INSERT INTO other VALUES (1)");
    let mut builder = Changeset::builder();
    builder.extend(changeset.records().filter(|record| record.table() == "users"));
    let users = builder.build().unwrap();
    assert_eq!(users.changes::<Change<users::table>>().filter_map(Result::ok).count(), 2);
}

#[test]
fn patches_are_read_like_changes() {
    let mut conn = open(TABLES);
    exec(&mut conn, "INSERT INTO users VALUES (2, 'Bob', NULL), (3, 'Cy', 'cy@example.org')");
    let mut session = conn.create_session().unwrap();
    session.attach_set::<Patch<users::table>>().unwrap();
    exec(
        &mut conn,
        "INSERT INTO users VALUES (1, 'Ada', NULL); UPDATE users SET email = NULL WHERE id = 3; DELETE FROM users WHERE id = 2",
    );
    let patchset = session.patchset().unwrap();
    let mut seen = Vec::new();
    for patch in patchset.patches::<Patch<users::table>>() {
        seen.push(match patch.unwrap() {
            Patch::Insert(user) => format!("+{}", user.name),
            Patch::Update(user) => format!("~{} {:?} {:?}", user.id, user.name, user.email),
            Patch::Delete(id) => format!("-{id}"),
        });
    }
    seen.sort();
    assert_eq!(seen, ["+Ada", "-2", "~3 None Some(None)"]);
}

#[test]
fn a_new_value_without_its_old_one_is_an_error() {
    let bytes = b"T\x03\x01\0\0users\0\x17\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x03\x03Eve\0";
    let changeset = Changeset::try_from(bytes.to_vec()).unwrap();
    let error = changeset.changes::<Change<users::table>>().next().unwrap().unwrap_err();
    assert_eq!((error.column(), error.kind()), (Some("name"), &DecodeErrorKind::Value(ValueError::Missing)));
}
