//! Changes as JSON and back, untyped and typed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use diesel_sqlite_session::{
    Change, Changeset, ChangesetRef, Field, Format, Patch, Patchset, PatchsetRef, TableSchema, Tracked, TrackedSet,
    Value,
};
use diesel_sqlite_session_tests::random::{config, history};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::deriving::recorded;

const READINGS: TableSchema<'static> = TableSchema::new("readings", &[2, 0, 1]);

fn lines(changes: impl IntoIterator<Item = impl Serialize>) -> Vec<String> {
    changes.into_iter().map(|change| serde_json::to_string(&change).unwrap()).collect()
}

// Untyped.

#[test]
fn each_operation_has_its_form_in_a_changeset() {
    let (old, new) = ([7.into(), 0.5.into(), "a".into()], [7.into(), Value::Blob(&[1, 255]), "a".into()]);
    let insert = Changeset::builder().insert_values(READINGS, &old).build().unwrap();
    let update = Changeset::builder().indirect(true).update_values(READINGS, &old, &new).build().unwrap();
    let delete = Changeset::builder().delete_values(READINGS, &new).build().unwrap();
    let all = [&insert, &update, &delete];
    assert_eq!(
        lines(all.iter().flat_map(|set| set.records())),
        [
            r#"{"op":"insert","table":"readings","key_ordinals":[2,0,1],"key":["a",7],"after":{"0":7,"1":0.5,"2":"a"},"indirect":false}"#,
            r#"{"op":"update","table":"readings","key_ordinals":[2,0,1],"key":["a",7],"before":{"1":0.5},"after":{"1":{"blob":"01ff"}},"changed":["1"],"indirect":true}"#,
            r#"{"op":"delete","table":"readings","key_ordinals":[2,0,1],"key":["a",7],"before":{"0":7,"1":{"blob":"01ff"},"2":"a"},"indirect":false}"#,
        ]
    );
    let names = ["sensor", "value", "at"];
    assert_eq!(
        lines(update.records().map(|record| record.json(&names))),
        [
            r#"{"op":"update","table":"readings","key_ordinals":[2,0,1],"columns":["sensor","value","at"],"key":["a",7],"before":{"value":0.5},"after":{"value":{"blob":"01ff"}},"changed":["value"],"indirect":true}"#
        ]
    );
    assert_eq!(serde_json::to_string(&Changeset::new()).unwrap(), r#"{"format":"changeset","changes":[]}"#);
    let few = serde_json::to_string(&update.records().next().unwrap().json(&["sensor"])).unwrap_err();
    assert_eq!(few.to_string(), "table readings: 1 names for 3 columns");
}

#[test]
fn each_operation_has_its_form_in_a_patchset() {
    let (old, new) = ([7.into(), 0.5.into(), "a".into()], [7.into(), Value::Null, "a".into()]);
    let insert = Patchset::builder().insert_values(READINGS, &old).build().unwrap();
    let update = Patchset::builder().update_values(READINGS, &old, &new).build().unwrap();
    let delete = Patchset::builder().delete_values(READINGS, &new).build().unwrap();
    assert_eq!(
        lines([&insert, &update, &delete].iter().flat_map(|set| set.records())),
        [
            r#"{"op":"insert","table":"readings","key_ordinals":[2,0,1],"key":["a",7],"after":{"0":7,"1":0.5,"2":"a"},"indirect":false}"#,
            r#"{"op":"update","table":"readings","key_ordinals":[2,0,1],"key":["a",7],"after":{"1":null},"changed":["1"],"indirect":false}"#,
            r#"{"op":"delete","table":"readings","key_ordinals":[2,0,1],"key":["a",7],"indirect":false}"#,
        ]
    );
}

/// To JSON and back, in all forms; says whether the bytes are the same.
fn round_trip(bytes: &[u8]) -> bool {
    macro_rules! check {
        ($Owned:ident, $set:expr) => {{
            let set = $set;
            let text = serde_json::to_string(&set).unwrap();
            let back: $Owned = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(serde_json::to_string(&back).unwrap(), text, "the JSON of what was read is the same");
            assert!(back.records().eq(set.records()), "the same changes: {text}");
            // by way of a tree, whose members are sorted, and with names
            let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::from_value::<$Owned>(tree).unwrap(), back);
            let widest = set.tables().map(|table| table.column_count()).max().unwrap_or(0);
            let names: Vec<String> = (0..widest).map(|place| format!("column {place}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let counts: BTreeMap<&str, usize> =
                set.tables().map(|table| (table.name(), table.column_count())).collect();
            if set.tables().all(|table| counts[table.name()] == table.column_count()) {
                let named = serde_json::to_string(&set.json(|table: &str| names.get(..counts[table]))).unwrap();
                assert_eq!(serde_json::from_str::<$Owned>(&named).unwrap(), back);
            }
            back.as_bytes() == bytes
        }};
    }
    match bytes.first().and_then(|byte| Format::from_byte(*byte)) {
        Some(Format::Patchset) => check!(Patchset, PatchsetRef::parse(bytes).unwrap()),
        _ => check!(Changeset, ChangesetRef::parse(bytes).unwrap()),
    }
}

#[test]
fn the_corpus_goes_to_json_and_back_and_what_it_loses_is_documented() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/accepted");
    let mut others = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        count += 1;
        if !round_trip(&fs::read(&path).unwrap()) {
            others.push(path.file_stem().unwrap().to_str().unwrap().to_string());
        }
    }
    others.sort();
    assert!(count >= 18);
    assert_eq!(
        others,
        [
            "headers-without-changes",
            "indirect-flag-of-255",
            "long-varints",
            "nan-outside-the-key",
            "old-value-without-a-new-one",
            "several-sections-of-one-table",
        ]
    );
}

#[test]
fn changesets_by_other_software_go_to_json_and_back() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/geodiff");
    if !shared.is_dir() {
        let _ = writeln!(std::io::stderr(), "skipped: no changesets by other software in ../shared/data/geodiff");
        return;
    }
    let mut count = 0;
    for entry in fs::read_dir(shared).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "diff") {
            assert!(round_trip(&fs::read(&path).unwrap()), "{}", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 13);
}

#[test]
fn json_files_are_read_and_written_as_they_stand() {
    #[derive(Debug, Tracked)]
    enum Typed {
        People(Change<typed::users::table>),
    }
    #[derive(Debug, Tracked)]
    enum TypedPatch {
        People(Patch<typed::users::table>),
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/json");
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let again = match path.file_stem().unwrap().to_str().unwrap() {
            // it has names, which a changeset does not keep
            "changeset" => {
                let changeset: Changeset = serde_json::from_str(&text).unwrap();
                assert!(round_trip(changeset.as_bytes()));
                text.clone()
            }
            "patchset" => serde_json::to_string(&serde_json::from_str::<Patchset>(&text).unwrap()).unwrap(),
            "typed-patch-delete" => serde_json::to_string(&serde_json::from_str::<TypedPatch>(&text).unwrap()).unwrap(),
            _ => serde_json::to_string(&serde_json::from_str::<Typed>(&text).unwrap()).unwrap(),
        };
        assert_eq!(again, text, "{}", path.display());
        count += 1;
    }
    assert_eq!(count, 6);
}

mod typed {
    use diesel_sqlite_session::Tracked;

    diesel::table! {
        users (id, name) {
            id -> BigInt,
            name -> Text,
            score -> Nullable<Double>,
            avatar -> Nullable<Binary>,
        }
    }

    #[derive(Debug, Tracked)]
    #[diesel(table_name = users)]
    pub struct User {
        id: i64,
        name: String,
        score: Option<f64>,
        avatar: Option<Vec<u8>>,
    }
}

/// JSON as JavaScript has it after reading and writing: all numbers are floats, and 1.0 is 1.
fn by_javascript(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) => {
            let float = number.as_f64().unwrap();
            *value = if float.fract() == 0.0 && float.abs() < 1e18 { json!(float as i64) } else { json!(float) };
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(by_javascript),
        serde_json::Value::Object(members) => members.values_mut().for_each(by_javascript),
        _ => {}
    }
}

fn value() -> impl Strategy<Value = diesel_sqlite_session_tests::change::Owned> {
    use diesel_sqlite_session_tests::change::Owned;
    prop_oneof![
        any::<i64>().prop_map(Owned::Integer),
        any::<u64>().prop_map(|bits| if f64::from_bits(bits).is_nan() { Owned::Null } else { Owned::Real(bits) }),
        (-1_000_000i64..1_000_000).prop_map(|cents| Owned::Real((cents as f64 / 100.0).to_bits())),
        any::<f32>()
            .prop_map(|real| Owned::Real(f64::from(real).to_bits()))
            .prop_filter("no NaN", |value| !matches!(value, Owned::Real(bits) if f64::from_bits(*bits).is_nan())),
        any::<String>().prop_map(|text| Owned::Text(text.into_bytes())),
        any::<Vec<u8>>().prop_map(Owned::Text),
        any::<Vec<u8>>().prop_map(Owned::Blob),
    ]
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_sqlite_records_goes_to_json_and_back_byte_for_byte(history in history()) {
        let (changeset, patchset) = history.record();
        prop_assert!(round_trip(&changeset));
        prop_assert!(round_trip(&patchset));
    }

    #[test]
    fn every_value_survives_a_reader_that_knows_floats_alone(values in proptest::collection::vec(value(), 1..6)) {
        let row: Vec<_> = std::iter::once(Value::Integer(1)).chain(values.iter().map(|value| value.as_value())).collect();
        let mut ordinals = vec![0; row.len()];
        ordinals[0] = 1;
        let changeset = Changeset::builder().insert_values(TableSchema::new("t", &ordinals), &row).build().unwrap();
        prop_assert!(round_trip(changeset.as_bytes()));
        let mut tree = serde_json::to_value(&changeset).unwrap();
        by_javascript(&mut tree);
        let text = serde_json::to_string(&tree).unwrap();
        prop_assert_eq!(serde_json::from_str::<Changeset>(&text).unwrap(), changeset);
    }

    #[test]
    fn json_with_pieces_exchanged_is_refused_or_goes_on_as_it_is(
        history in history(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), 0usize..20), 1..5),
    ) {
        let (changeset, patchset) = history.record();
        let (changeset, patchset) = (Changeset::try_from(changeset).unwrap(), Patchset::try_from(patchset).unwrap());
        for text in [serde_json::to_string(&changeset).unwrap(), serde_json::to_string(&patchset).unwrap()] {
            let mut pieces: Vec<char> = text.chars().collect();
            for (from, to, length) in &edits {
                let from = from.index(pieces.len());
                let piece: Vec<char> = pieces[from..(from + length).min(pieces.len())].to_vec();
                let to = to.index(pieces.len());
                let end = (to + length).min(pieces.len());
                pieces.splice(to..end, piece);
            }
            let text: String = pieces.into_iter().collect();
            if let Ok(set) = serde_json::from_str::<Changeset>(&text) {
                prop_assert!(round_trip(set.as_bytes()));
            }
            if let Ok(set) = serde_json::from_str::<Patchset>(&text) {
                prop_assert!(round_trip(set.as_bytes()));
            }
        }
    }
}

/// The error for a changeset of one change.
fn refused(change: serde_json::Value) -> String {
    let set = json!({"format": "changeset", "changes": [change]});
    serde_json::from_value::<Changeset>(set).expect_err("refused").to_string()
}

#[test]
fn json_that_contradicts_itself_is_refused_with_the_reason() {
    let with = |members: serde_json::Value| {
        let mut change = json!({"op": "update", "table": "t", "key_ordinals": [1, 0], "key": 1, "before": {"1": 2}, "after": {"1": 3}});
        for (name, value) in members.as_object().unwrap() {
            change[name] = value.clone();
        }
        refused(change)
    };
    for (members, reason) in [
        (json!({"op": "upsert"}), "unknown variant `upsert`, expected one of `insert`, `update`, `delete`"),
        (json!({"table": "a\0b"}), "the table's name has a NUL in it"),
        (json!({"key_ordinals": [0, 0]}), "no column of the table is part of a primary key"),
        (json!({"key_ordinals": []}), "a table of 0 columns (1 to 65536 are possible)"),
        (json!({"key": [1]}), "key is the value of one column, or an array of several: this table's has 1"),
        (json!({"key": null}), "column 0: NULL in a column of the primary key"),
        (json!({"before": {"0": 9, "1": 2}}), "key says another value than the row"),
        (json!({"before": {"2": 2}}), "the table has no column \"2\""),
        (json!({"before": {"+1": 2}}), "the table has no column \"+1\""),
        (json!({"after": {}}), "before has a column that after has not"),
        (json!({"changed": []}), "changed lists other columns than those whose values differ"),
        (json!({"columns": ["id"]}), "1 names in columns, 2 in key_ordinals"),
        (json!({"columns": ["id", "id"]}), "columns has \"id\" twice"),
        (json!({"columns": ["id", "name"]}), "the table has no column \"1\""),
        (json!({"op": "delete"}), "DELETE in a changeset has no after"),
        (json!({"op": "insert"}), "INSERT in a changeset has no before"),
        (json!({"op": "insert", "before": null}), "column 0: a value is not recorded that must be"),
        (json!({"after": {"1": [3]}}), "invalid type: sequence"),
    ] {
        let error = with(members.clone());
        assert!(error.contains(reason), "{members}: {error}");
    }
    for text in [
        "null",
        "[]",
        "{}",
        r#"{"format":"changeset"}"#,
        r#"{"changes":[]}"#,
        r#"{"format":"patchset","changes":[]}"#,
        r#"{"format":"changeset","changes":[],"changes":[]}"#,
        r#"{"format":"changeset","changes":[{}]}"#,
        r#"{"format":"changeset","changes":[{"op":"insert","table":"t","key_ordinals":[1],"after":{"0":1,"0":1}}]}"#,
    ] {
        assert!(serde_json::from_str::<Changeset>(text).is_err(), "{text}");
    }
    let error = serde_json::from_value::<Patchset>(json!({"format": "changeset", "changes": []})).unwrap_err();
    assert_eq!(error.to_string(), "the format \"changeset\", where a patchset belongs");
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = format!(r#"{{"changes":[{{"op":"insert","table":"t","key_ordinals":[1],"after":{{"0":{deep}}}}}]}}"#);
    assert!(serde_json::from_str::<Changeset>(&text).is_err());
}

#[test]
fn json_by_hand_may_leave_out_what_the_row_says() {
    let text = r#"{"changes": [{"after": {"name": "Ada", "id": 1.0}, "ts_ms": 5, "before": null, "columns": ["id", "name"],
        "key_ordinals": [1, 0], "table": "users", "op": "insert"}], "source": {"x": [{}]}, "format": "changeset"}"#;
    let changeset: Changeset = serde_json::from_str(text).unwrap();
    assert_eq!(format!("{changeset:?}"), "Changeset [INSERT users(1.0, 'Ada')]");
}

// Typed.

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

/// Neither of these derives anything of serde's.
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
struct Place {
    #[serde(with = "reversed")]
    flight: String,
    row: i32,
    #[serde(skip)]
    passenger: Option<String>,
}

/// A text from its end.
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

/// The same change by the name of its row.
fn unify(change: Change<users::table>) -> Change<User> {
    match change {
        Change::Insert(row) => Change::Insert(row),
        Change::Update(update) => Change::Update(update),
        Change::Delete(row) => Change::Delete(row),
    }
}

#[test]
fn skipped_columns_are_in_no_json() {
    let (changeset, patchset) = recorded(TABLES, WORK);
    let changes = changeset.changes::<Blog>().map(Result::unwrap).collect::<Vec<_>>();
    let patches = patchset.patches::<BlogPatch>().map(Result::unwrap).collect::<Vec<_>>();
    for line in lines(&changes).into_iter().chain(lines(&patches)) {
        assert!(!line.contains("password") && !line.contains("hunter") && !line.contains("secret"), "{line}");
    }
    // an UPDATE of what is skipped alone changes nothing that is seen
    let (changeset, _) = recorded(TABLES, "UPDATE users SET password = 'x' WHERE id = 2");
    let changes = changeset.changes::<Blog>().map(Result::unwrap);
    assert_eq!(lines(changes), [r#"{"op":"update","table":"users","key":2,"before":{},"after":{},"changed":[]}"#]);
}

#[test]
fn serde_s_skip_and_with_on_a_field_are_heeded() {
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
fn a_column_of_the_key_that_is_kept_out_is_null() {
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

/// Blobs, large numbers and other types of the user's in a key.
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
fn a_change_can_be_part_of_a_line_with_more() {
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
        assert_eq!((line.actor.as_str(), line.change.table().name()), ("root", "users"));
    }
}

#[test]
fn typed_json_that_does_not_fit_is_refused_with_the_reason() {
    for (text, reason) in [
        (r#"{"op":"delete","table":"other","key":1}"#, "the table \"other\" is not one of the types'"),
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
            "key says another value than the row",
        ),
        (
            r#"{"op":"update","table":"seats","key":[8,"x"],"after":{"the passenger":null}}"#,
            "table seats, column the passenger: the value is missing",
        ),
        (
            r#"{"op":"update","table":"seats","key":[8,"x"],"after":{"passenger":null}}"#,
            "the table seats has no column \"passenger\"",
        ),
        (
            r#"{"op":"update","table":"seats","key":[8,"x"],"changed":["the passenger"]}"#,
            "changed does not agree with the values of \"the passenger\"",
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
fn a_field_by_itself_is_its_two_values() {
    let fields = [Field::Unchanged, Field::Changed { old: None, new: Some(5) }];
    let text = serde_json::to_string(&fields).unwrap();
    assert_eq!(text, r#"[null,{"old":null,"new":5}]"#);
    assert_eq!(serde_json::from_str::<[Field<Option<i32>>; 2]>(&text).unwrap(), fields);
    for text in ["5", "{}", r#"{"old":1}"#, r#"{"old":1,"old":1,"new":2}"#] {
        assert!(serde_json::from_str::<Field<i32>>(text).is_err(), "{text}");
    }
}
