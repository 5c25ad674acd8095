//! Typed changes as JSON: lines of an audit log, and the columns that they hide.

use super::*;

diesel::table! {
    users (id) {
        id -> BigInt,
        name -> Text,
        email -> Nullable<Text>,
        password -> Text,
        avatar -> Nullable<Binary>,
        score -> Double,
        admin -> Bool,
    }
}

diesel::table! {
    seats (row, flight) {
        flight -> Text,
        row -> Integer,
        #[sql_name = "the passenger"]
        passenger -> Nullable<Text>,
    }
}

/// Neither of these types derives a trait of serde.
#[derive(Debug, Clone, PartialEq, Tracked)]
#[diesel(table_name = users)]
#[tracked(skip(password))]
pub struct User {
    id: i64,
    name: String,
    email: Option<String>,
    avatar: Option<Vec<u8>>,
    score: f64,
    admin: bool,
}

/// The same table with the column that `User` skips.
#[derive(Debug, Tracked)]
#[diesel(table_name = users)]
#[tracked(row_only, update = AccountUpdate, patch = AccountPatch, skip(email, avatar, score, admin))]
pub(super) struct Account {
    id: i64,
    name: String,
    password: String,
}

#[derive(Debug, Clone, PartialEq, Tracked)]
#[diesel(table_name = seats, primary_key(row, flight))]
struct Seat {
    flight: String,
    row: i32,
    #[diesel(column_name = passenger)]
    who: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Tracked)]
#[diesel(table_name = seats)]
#[tracked(update = PlaceUpdate, patch = PlacePatch)]
pub struct Place {
    #[serde(with = "reversed")]
    flight: String,
    row: i32,
    #[serde(skip)]
    passenger: Option<String>,
}

/// A text that is written in reverse.
mod reversed {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&text.chars().rev().collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        Ok(String::deserialize(deserializer)?.chars().rev().collect())
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users)]
#[tracked(row_only, skip(password, avatar, score, admin))]
struct Borrowed<'a> {
    id: i64,
    name: &'a str,
    email: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Debug, PartialEq, Tracked)]
enum Blog {
    Users(Change<users::table>),
    Seats(Change<Seat>),
}

#[derive(Debug, PartialEq, Tracked)]
enum BlogPatch {
    Users(Patch<users::table>),
    Seats(Patch<Seat>),
}

const TABLES: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, password TEXT NOT NULL, \
                        avatar BLOB, score REAL NOT NULL, admin BOOLEAN NOT NULL); \
                      CREATE TABLE seats (flight TEXT NOT NULL, row INTEGER NOT NULL, \"the passenger\" TEXT, PRIMARY KEY (row, flight)); \
                      INSERT INTO users VALUES (2, 'Bob', NULL, 'hunter2', x'00ff', 1.5, 0), (3, 'Cy', NULL, 'hunter2', NULL, 0, 1); \
                      INSERT INTO seats VALUES ('LH 1', 7, 'Bob'), ('LH 1', 8, 'Cy');";

const WORK: &str = "INSERT INTO users VALUES (9007199254740993, 'Ada', 'ada@example.org', 'secret', x'', 9e999, 1); \
                    UPDATE users SET email = 'bob@example.org', password = 'hunter3', avatar = NULL, score = 2 WHERE id = 2; \
                    DELETE FROM users WHERE id = 3; \
                    UPDATE seats SET \"the passenger\" = NULL WHERE row = 7; DELETE FROM seats WHERE row = 8";

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn typed_changes_are_lines_of_an_audit_log_and_are_read_back() {
    let (changeset, patchset) = recorded(TABLES, WORK);
    let changes: Vec<Blog> = changeset.changes().collect::<Result<_, _>>().unwrap();
    assert_eq!(
        sorted(lines(&changes)),
        [
            r#"{"op":"delete","table":"seats","key":[8,"LH 1"],"before":{"flight":"LH 1","row":8,"the passenger":"Cy"}}"#,
            r#"{"op":"delete","table":"users","key":3,"before":{"id":3,"name":"Cy","email":null,"avatar":null,"score":0.0,"admin":true}}"#,
            r#"{"op":"insert","table":"users","key":{"int":"9007199254740993"},"after":{"id":{"int":"9007199254740993"},"name":"Ada","email":"ada@example.org","avatar":{"blob":""},"score":{"real":"Infinity"},"admin":true}}"#,
            r#"{"op":"update","table":"seats","key":[7,"LH 1"],"before":{"the passenger":"Bob"},"after":{"the passenger":null},"changed":["the passenger"]}"#,
            r#"{"op":"update","table":"users","key":2,"before":{"email":null,"avatar":{"blob":"00ff"},"score":1.5},"after":{"email":"bob@example.org","avatar":null,"score":2.0},"changed":["email","avatar","score"]}"#,
        ]
    );
    let patches: Vec<BlogPatch> = patchset.patches().collect::<Result<_, _>>().unwrap();
    assert_eq!(
        sorted(lines(&patches)),
        [
            r#"{"op":"delete","table":"seats","key":[8,"LH 1"]}"#,
            r#"{"op":"delete","table":"users","key":3}"#,
            r#"{"op":"insert","table":"users","key":{"int":"9007199254740993"},"after":{"id":{"int":"9007199254740993"},"name":"Ada","email":"ada@example.org","avatar":{"blob":""},"score":{"real":"Infinity"},"admin":true}}"#,
            r#"{"op":"update","table":"seats","key":[7,"LH 1"],"after":{"the passenger":null},"changed":["the passenger"]}"#,
            r#"{"op":"update","table":"users","key":2,"after":{"email":"bob@example.org","avatar":null,"score":2.0},"changed":["email","avatar","score"]}"#,
        ]
    );
    for change in changes {
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<Blog>(&text).unwrap(), change);
        let mut tree = serde_json::to_value(&change).unwrap();
        by_javascript(&mut tree);
        assert_eq!(serde_json::from_value::<Blog>(tree).unwrap(), change);
        if let Blog::Users(change) = change {
            assert_eq!(serde_json::from_str::<Change<User>>(&text).unwrap(), unify(change));
        }
    }
    for patch in patches {
        let text = serde_json::to_string(&patch).unwrap();
        assert_eq!(serde_json::from_str::<BlogPatch>(&text).unwrap(), patch);
    }
}

/// Returns the same change as a change of its row type.
fn unify(change: Change<users::table>) -> Change<User> {
    match change {
        Change::Insert(row) => Change::Insert(row),
        Change::Update(update) => Change::Update(update),
        Change::Delete(row) => Change::Delete(row),
    }
}

#[test]
fn skipped_columns_are_not_in_json() {
    let (changeset, patchset) = recorded(TABLES, WORK);
    let changes = changeset.changes::<Blog>().map(Result::unwrap).collect::<Vec<_>>();
    let patches = patchset.patches::<BlogPatch>().map(Result::unwrap).collect::<Vec<_>>();
    for line in lines(&changes).into_iter().chain(lines(&patches)) {
        assert!(!line.contains("password") && !line.contains("hunter") && !line.contains("secret"), "{line}");
    }
    // an UPDATE of a skipped column changes nothing visible
    let (changeset, _) = recorded(TABLES, "UPDATE users SET password = 'x' WHERE id = 2");
    let changes = changeset.changes::<Blog>().map(Result::unwrap);
    assert_eq!(lines(changes), [r#"{"op":"update","table":"users","key":2,"before":{},"after":{},"changed":[]}"#]);
}

#[test]
fn the_serde_attributes_skip_and_with_apply() {
    let (changeset, patchset) =
        recorded(TABLES, "UPDATE seats SET \"the passenger\" = 'Eve' WHERE row = 7; DELETE FROM seats WHERE row = 8");
    let changes: Vec<_> = changeset.changes::<Change<Place>>().map(Result::unwrap).collect();
    assert_eq!(
        sorted(lines(&changes)),
        [
            r#"{"op":"delete","table":"seats","key":[8,"1 HL"],"before":{"flight":"1 HL","row":8}}"#,
            r#"{"op":"update","table":"seats","key":[7,"1 HL"],"before":{},"after":{},"changed":[]}"#,
        ]
    );
    for line in lines(&changes) {
        match serde_json::from_str::<Change<Place>>(&line).unwrap() {
            Change::Delete(place) => assert_eq!(place, Place { flight: "LH 1".into(), row: 8, passenger: None }),
            Change::Update(place) => {
                assert_eq!((place.flight.as_str(), place.row, place.passenger), ("LH 1", 7, Field::Unchanged))
            }
            Change::Insert(place) => panic!("{place:?}"),
        }
    }
    let patches: Vec<_> = patchset.patches::<Patch<Place>>().map(Result::unwrap).collect();
    for (patch, line) in patches.iter().zip(lines(&patches)) {
        let read = serde_json::from_str::<Patch<Place>>(&line).unwrap();
        match (patch, &read) {
            (Patch::Delete(key), Patch::Delete(read)) => assert_eq!(key, read),
            (Patch::Update(patch), Patch::Update(read)) => assert_eq!(patch.flight, read.flight),
            _ => panic!("{patch:?} {read:?}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Tracked)]
#[diesel(table_name = seats)]
#[tracked(update = SecretUpdate, patch = SecretPatch)]
struct Secret {
    #[serde(skip_serializing)]
    flight: String,
    row: i32,
    passenger: Option<String>,
}

#[test]
fn a_hidden_column_of_the_key_is_null() {
    let (changeset, patchset) = recorded(
        TABLES,
        "INSERT INTO seats VALUES ('LH 2', 1, NULL); UPDATE seats SET \"the passenger\" = 'Eve' WHERE row = 7; \
         DELETE FROM seats WHERE row = 8",
    );
    let changes: Vec<_> = changeset.changes::<Change<Secret>>().map(Result::unwrap).collect();
    let patches: Vec<_> = patchset.patches::<Patch<Secret>>().map(Result::unwrap).collect();
    assert_eq!(
        sorted(lines(&changes)),
        [
            r#"{"op":"delete","table":"seats","key":[8,null],"before":{"row":8,"the passenger":"Cy"}}"#,
            r#"{"op":"insert","table":"seats","key":[1,null],"after":{"row":1,"the passenger":null}}"#,
            r#"{"op":"update","table":"seats","key":[7,null],"before":{"the passenger":"Bob"},"after":{"the passenger":"Eve"},"changed":["the passenger"]}"#,
        ]
    );
    for line in lines(&changes) {
        let flight = match serde_json::from_str::<Change<Secret>>(&line).unwrap() {
            Change::Insert(seat) | Change::Delete(seat) => seat.flight,
            Change::Update(seat) => seat.flight,
        };
        assert_eq!(flight, "");
    }
    for line in lines(&patches) {
        assert!(!line.contains("LH"), "{line}");
        serde_json::from_str::<Patch<Secret>>(&line).unwrap();
    }
}

/// Blobs, large numbers and user types in a key.
mod odd_keys {
    use super::*;

    diesel::table! {
        parts (hash, size) {
            hash -> Binary,
            size -> BigInt,
            ratio -> Nullable<Float>,
        }
    }

    #[derive(Debug, Clone, PartialEq, Tracked)]
    #[diesel(table_name = parts)]
    pub struct Part {
        hash: Vec<u8>,
        size: i64,
        ratio: Option<f32>,
    }

    #[test]
    fn blobs_and_large_integers_in_a_key_are_tagged_in_every_operation() {
        let (changeset, patchset) = recorded(
            "CREATE TABLE parts (hash BLOB, size INTEGER, ratio REAL, PRIMARY KEY (hash, size)); \
             INSERT INTO parts VALUES (x'01', -9007199254740993, 0.1), (x'02', 5, NULL)",
            "DELETE FROM parts WHERE size < 0; UPDATE parts SET ratio = 1e30 WHERE size = 5",
        );
        let changes: Vec<_> = changeset.changes::<Change<parts::table>>().map(Result::unwrap).collect();
        let patches: Vec<_> = patchset.patches::<Patch<parts::table>>().map(Result::unwrap).collect();
        assert_eq!(
            sorted(lines(&patches)),
            [
                r#"{"op":"delete","table":"parts","key":[{"blob":"01"},{"int":"-9007199254740993"}]}"#,
                r#"{"op":"update","table":"parts","key":[{"blob":"02"},5],"after":{"ratio":{"real":"1.0000000150474662e30"}},"changed":["ratio"]}"#,
            ]
        );
        for (change, line) in changes.iter().zip(lines(&changes)) {
            assert_eq!(&serde_json::from_str::<Change<parts::table>>(&line).unwrap(), change, "{line}");
        }
        for (patch, line) in patches.iter().zip(lines(&patches)) {
            assert_eq!(&serde_json::from_str::<Patch<parts::table>>(&line).unwrap(), patch, "{line}");
        }
    }
}

#[test]
fn borrowed_rows_are_written() {
    let (changeset, _) = recorded(TABLES, "INSERT INTO users VALUES (1, 'Ada', NULL, 'p', NULL, 0, 0)");
    let changes = changeset.changes::<Change<Borrowed<'_>>>().map(Result::unwrap);
    assert_eq!(
        lines(changes),
        [r#"{"op":"insert","table":"users","key":1,"after":{"id":1,"name":"Ada","email":null}}"#]
    );
}

#[test]
fn a_change_can_be_part_of_a_larger_line() {
    #[derive(Serialize, Deserialize)]
    struct Line<C> {
        actor: String,
        indirect: bool,
        #[serde(flatten)]
        change: C,
    }
    let (changeset, _) = recorded(TABLES, "DELETE FROM users WHERE id = 3");
    for item in changeset.changes::<Blog>().with_records() {
        let (record, change) = item.unwrap();
        let text = serde_json::to_string(&Line { actor: "root".into(), indirect: record.indirect(), change }).unwrap();
        assert!(
            text.starts_with(r#"{"actor":"root","indirect":false,"op":"delete","table":"users","key":3,"#),
            "{text}"
        );
        let line: Line<Blog> = serde_json::from_str(&text).unwrap();
        assert_eq!((line.actor.as_str(), line.change.table()), ("root", "users"));
    }
}

#[test]
fn typed_json_that_does_not_fit_is_rejected_with_the_reason() {
    for (text, reason) in [
        (r#"{"op":"delete","table":"other","key":1}"#, "table \"other\" is not part of the set"),
        (r#"{"op":"delete","key":1}"#, "missing field `table`"),
        (r#"{"table":"users","key":1}"#, "missing field `op`"),
        (
            r#"{"op":"delete","table":"seats","key":[1]}"#,
            "invalid length 1, expected a value for each column of the key",
        ),
        (
            r#"{"op":"delete","table":"seats","key":[8,"x"],"before":{"row":8}}"#,
            "table seats, column flight: the value is missing",
        ),
        (
            r#"{"op":"insert","table":"seats","key":[8,"x"],"after":{"row":9,"flight":"x"}}"#,
            "key differs from the key in the row",
        ),
        (
            r#"{"op":"update","table":"seats","key":[8,"x"],"after":{"the passenger":null}}"#,
            "table seats, column the passenger: the value is missing",
        ),
        (
            r#"{"op":"update","table":"seats","key":[8,"x"],"after":{"passenger":null}}"#,
            "table seats has no column \"passenger\"",
        ),
        (
            r#"{"op":"update","table":"seats","key":[8,"x"],"changed":["the passenger"]}"#,
            "changed does not match the values of column \"the passenger\"",
        ),
        (
            r#"{"op":"update","table":"seats","key":["8","x"]}"#,
            "table seats, column row: invalid type: string \"8\", expected i32",
        ),
        (
            r#"{"op":"delete","table":"seats","key":[{"int":"2147483648"},"x"]}"#,
            "table seats, column flight: the value is missing",
        ),
        (
            r#"{"op":"update","table":"seats","key":[{"int":"2147483648"},"x"]}"#,
            "invalid value: integer `2147483648`, expected i32",
        ),
    ] {
        let error = serde_json::from_str::<Blog>(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_field_alone_is_its_two_values() {
    let fields = [Field::Unchanged, Field::Changed { old: None, new: Some(5) }];
    let text = serde_json::to_string(&fields).unwrap();
    assert_eq!(text, r#"[null,{"old":null,"new":5}]"#);
    assert_eq!(serde_json::from_str::<[Field<Option<i32>>; 2]>(&text).unwrap(), fields);
    for text in ["5", "{}", r#"{"old":1}"#, r#"{"old":1,"old":1,"new":2}"#] {
        assert!(serde_json::from_str::<Field<i32>>(text).is_err(), "{text}");
    }
}
