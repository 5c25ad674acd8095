//! Untyped changes as JSON and back; typed changes are in [`rows`].

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use diesel_sqlite_session::typed::TrackedSet;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{
    Change, Changeset, ChangesetRef, Field, Format, Operation, Patch, Patchset, PatchsetRef, Tracked, Value,
};
use diesel_sqlite_session_tests::random::{config, history};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::common::recorded;

mod rows;

const READINGS: TableInfo<'static> = TableInfo::new("readings", &[2, 0, 1]);

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
    let named = [TableInfo::from_columns("readings", &["sensor", "value", "at"])];
    assert_eq!(
        lines(update.records().map(|record| record.json(named))),
        [
            r#"{"op":"update","table":"readings","key_ordinals":[2,0,1],"columns":["sensor","value","at"],"key":["a",7],"before":{"value":0.5},"after":{"value":{"blob":"01ff"}},"changed":["value"],"indirect":true}"#
        ]
    );
    assert_eq!(serde_json::to_string(&Changeset::new()).unwrap(), r#"{"format":"changeset","changes":[]}"#);
    let few = [TableInfo::from_columns("readings", &["sensor"])];
    let few = serde_json::to_string(&update.records().next().unwrap().json(few)).unwrap_err();
    assert_eq!(few.to_string(), "table readings: 1 names for 3 columns");
}

#[test]
fn the_tables_of_a_set_name_the_columns() {
    const OTHER: TableInfo<'static> = TableInfo::new("other", &[1, 0]);
    // a change from before the third column, with the table's name in other letters
    let older = TableInfo::new("Readings", &[2, 0]);
    let insert = |table, values: &[Value<'_>]| Changeset::builder().insert_values(table, values).build().unwrap();
    let sections = [
        insert(OTHER, &[1.into(), 2.into()]),
        insert(older, &[7.into(), 0.5.into()]),
        insert(READINGS, &[8.into(), 0.5.into(), "a".into()]),
    ];
    let changeset = Changeset::try_from(sections.map(Changeset::into_bytes).concat()).unwrap();
    let after = |json: serde_json::Value| {
        let changes = json["changes"].as_array().unwrap().clone();
        changes.iter().map(|change| change["after"].to_string()).collect::<Vec<_>>()
    };
    let named = [TableInfo::from_columns("readings", &["sensor", "value", "at"])];
    let tables = serde_json::to_value(changeset.json(named)).unwrap();
    assert_eq!(
        after(tables),
        [r#"{"0":1,"1":2}"#, r#"{"sensor":7,"value":0.5}"#, r#"{"at":"a","sensor":8,"value":0.5}"#]
    );
    let none = serde_json::to_value(changeset.json::<TableInfo<'_>>([])).unwrap();
    assert_eq!(none, serde_json::to_value(&changeset).unwrap());
    let few = serde_json::to_string(&changeset.json([TableInfo::from_columns("OTHER", &["id"])])).unwrap_err();
    assert_eq!(few.to_string(), "table other: 1 names for 2 columns");
}

#[test]
fn skipped_columns_are_not_in_json_that_their_tables_name() {
    use rows::User;

    let user = |name: &'static str, password: &'static str| {
        [1.into(), name.into(), Value::Null, password.into(), Value::Null, 1.0.into(), true.into()]
    };
    macro_rules! check {
        ($Set:ident, $Change:ident, $expected:expr) => {
            let set = $Set::builder().update_values(User::TABLE, &user("Ada", "secret 1"), &user("Eve", "secret 2"));
            let update = set.build().unwrap();
            let only = $Set::builder().update_values(User::TABLE, &user("Ada", "secret 1"), &user("Ada", "secret 2"));
            let insert = $Set::builder().insert_values(User::TABLE, &user("Ada", "secret 1")).build().unwrap();
            let delete = $Set::builder().delete_values(User::TABLE, &user("Ada", "secret 1")).build().unwrap();
            let sets = [update, only.build().unwrap(), insert, delete];
            let written: Vec<String> =
                sets.iter().map(|set| serde_json::to_string(&set.json($Change::<User>::TABLES)).unwrap()).collect();
            for (set, text) in sets.iter().zip(&written) {
                let record = set.records().next().unwrap();
                assert!(format!("{record}").contains("secret") || record.operation() == Operation::Delete, "{record}");
                assert!(!text.contains("secret") && !text.contains("password"), "{text}");
                assert!(text.contains(&serde_json::to_string(&record.json([User::TABLE])).unwrap()), "{text}");
                let error = serde_json::from_str::<$Set>(text).unwrap_err().to_string();
                let expected = "change 0, table users: column 3 was omitted when the JSON was written";
                assert!(error.starts_with(expected), "{error}");
                // nor in SQL, unless that is asked for
                let sql = set.to_sql([User::TABLE]).unwrap().to_string();
                assert!(!sql.contains("secret") && !sql.contains("password"), "{sql}");
                let whole = set.to_sql([User::TABLE.with_hidden(&[])]).unwrap().to_string();
                assert_eq!(whole.contains("secret"), record.operation() != Operation::Delete);
            }
            let tails: Vec<&str> = written.iter().map(|text| text.split_once(r#","key""#).unwrap().1).collect();
            let head = r#"{"format":"changeset","changes":[{"op":"update","table":"users","key_ordinals":[1,0,0,0,0,0,0],"columns":["id","name","email",null,"avatar","score","admin"],"key":1,"#;
            assert!(written[0].starts_with(&head.replace("changeset", Format::$Set.to_string().as_str())), "{}", written[0]);
            assert_eq!(tails, $expected);
        };
    }
    check!(
        Changeset,
        Change,
        [
            r#":1,"before":{"name":"Ada"},"after":{"name":"Eve"},"changed":["name"],"indirect":false}]}"#,
            r#":1,"before":{},"after":{},"changed":[],"indirect":false}]}"#,
            r#":1,"after":{"id":1,"name":"Ada","email":null,"avatar":null,"score":{"real":"1.0"},"admin":1},"indirect":false}]}"#,
            r#":1,"before":{"id":1,"name":"Ada","email":null,"avatar":null,"score":{"real":"1.0"},"admin":1},"indirect":false}]}"#,
        ]
    );
    check!(
        Patchset,
        Patch,
        [
            r#":1,"after":{"name":"Eve"},"changed":["name"],"indirect":false}]}"#,
            r#":1,"after":{},"changed":[],"indirect":false}]}"#,
            r#":1,"after":{"id":1,"name":"Ada","email":null,"avatar":null,"score":{"real":"1.0"},"admin":1},"indirect":false}]}"#,
            r#":1,"indirect":false}]}"#,
        ]
    );
    // typed changes are not read from it, unless they lack the column too
    let text = serde_json::to_string(
        &Changeset::builder()
            .update_values(User::TABLE, &user("Ada", "secret 1"), &user("Eve", "secret 2"))
            .build()
            .unwrap()
            .records()
            .next()
            .unwrap()
            .json([User::TABLE]),
    )
    .unwrap();
    assert!(matches!(serde_json::from_str::<Change<User>>(&text), Ok(Change::Update(_))), "{text}");
    let error = serde_json::from_str::<Change<rows::Account>>(&text).unwrap_err();
    assert_eq!(error.to_string(), "column password was omitted when the JSON was written");
    // `#[serde(skip)]` hides columns as well, also in a change that is older than the last columns
    let seat = TableInfo::new("seats", rows::Place::TABLE.key_ordinals());
    let seats = Changeset::builder().insert_values(seat, &["LH1".into(), 7.into(), "secret".into()]).build().unwrap();
    let text = serde_json::to_string(&seats.json([rows::Place::TABLE])).unwrap();
    assert!(text.contains(r#""columns":["flight","row",null]"#) && !text.contains("secret"), "{text}");
    assert_eq!(rows::Place::TABLE.hidden(), ["the passenger"]);
}

#[test]
fn columns_are_hidden_by_name() {
    const NAMES: [&str; 3] = ["sensor", "value", "at"];
    let insert =
        Changeset::builder().insert_values(READINGS, &[7.into(), "secret".into(), "a".into()]).build().unwrap();
    let hide = |hidden: &[&str]| {
        serde_json::to_string(&insert.json([TableInfo::from_columns("readings", &NAMES).with_hidden(hidden)]))
    };
    // SQLite ignores the case of these letters
    assert!(!hide(&["VALUE"]).unwrap().contains("secret"));
    assert_eq!(
        hide(&["vaule"]).unwrap_err().to_string(),
        r#"table readings: the hidden column "vaule" does not exist"#
    );
    // without names, nothing is written by accident
    let unnamed = TableInfo::new("readings", &[2, 0, 1]).with_hidden(&["value"]);
    let error = serde_json::to_string(&insert.json([unnamed])).unwrap_err();
    assert_eq!(error.to_string(), "table readings: 0 names for 3 columns");
    // a column of a key, in the order of the key
    let key = serde_json::from_str::<serde_json::Value>(&hide(&["sensor"]).unwrap()).unwrap();
    assert_eq!(key["changes"][0]["key"], json!(["a", null]));
    assert_eq!(key["changes"][0]["after"], json!({"value": "secret", "at": "a"}));
    // a change that is older than the hidden column
    let older = Changeset::builder().insert_values(TableInfo::new("readings", &[1, 0]), &[7.into(), 8.into()]).build();
    let older =
        serde_json::to_value(older.unwrap().json([TableInfo::from_columns("readings", &NAMES).with_hidden(&["at"])]))
            .unwrap();
    assert_eq!(older["changes"][0]["columns"], json!(["sensor", "value"]));
    assert_eq!(serde_json::from_value::<Changeset>(older).unwrap().records().count(), 1);
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

/// Converts to JSON and back in all forms. Returns whether the bytes are the same.
fn round_trip(bytes: &[u8]) -> bool {
    macro_rules! check {
        ($Owned:ident, $set:expr) => {{
            let set = $set;
            let text = serde_json::to_string(&set).unwrap();
            let back: $Owned = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(serde_json::to_string(&back).unwrap(), text, "the JSON of what was read is the same");
            assert!(back.records().eq(set.records()), "the same changes: {text}");
            // through a tree with sorted members, and with names
            let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::from_value::<$Owned>(tree).unwrap(), back);
            let widest = set.sections().map(|section| section.column_count()).max().unwrap_or(0);
            let names: Vec<String> = (0..widest).map(|place| format!("column {place}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let counts: BTreeMap<&str, usize> =
                set.sections().map(|section| (section.table(), section.column_count())).collect();
            if set.sections().all(|section| counts[section.table()] == section.column_count()) {
                let tables = counts.iter().map(|(table, count)| TableInfo::from_columns(table, &names[..*count]));
                let named = serde_json::to_string(&set.json(tables)).unwrap();
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
fn the_corpus_survives_json_up_to_documented_losses() {
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
fn changesets_by_other_software_survive_json() {
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
            // the file has names, which a changeset does not keep
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

/// Returns JSON as JavaScript rewrites it: all numbers are floats, and 1.0 becomes 1.
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
    fn recorded_changes_survive_json_byte_for_byte(history in history()) {
        let (changeset, patchset) = history.record();
        prop_assert!(round_trip(&changeset));
        prop_assert!(round_trip(&patchset));
    }

    #[test]
    fn every_value_survives_a_reader_that_only_knows_floats(values in proptest::collection::vec(value(), 1..6)) {
        let row: Vec<_> = std::iter::once(Value::Integer(1)).chain(values.iter().map(|value| value.as_value())).collect();
        let mut ordinals = vec![0; row.len()];
        ordinals[0] = 1;
        let changeset = Changeset::builder().insert_values(TableInfo::new("t", &ordinals), &row).build().unwrap();
        prop_assert!(round_trip(changeset.as_bytes()));
        let mut tree = serde_json::to_value(&changeset).unwrap();
        by_javascript(&mut tree);
        let text = serde_json::to_string(&tree).unwrap();
        prop_assert_eq!(serde_json::from_str::<Changeset>(&text).unwrap(), changeset);
    }

    #[test]
    fn mutated_json_is_rejected_or_read_unchanged(
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

/// Returns the error for a changeset of one change.
fn refused(change: serde_json::Value) -> String {
    let set = json!({"format": "changeset", "changes": [change]});
    serde_json::from_value::<Changeset>(set).expect_err("refused").to_string()
}

#[test]
fn contradictory_json_is_rejected_with_the_reason() {
    let with = |members: serde_json::Value| {
        let mut change = json!({"op": "update", "table": "t", "key_ordinals": [1, 0], "key": 1, "before": {"1": 2}, "after": {"1": 3}});
        for (name, value) in members.as_object().unwrap() {
            change[name] = value.clone();
        }
        refused(change)
    };
    for (members, reason) in [
        (json!({"op": "upsert"}), "unknown variant `upsert`, expected one of `insert`, `update`, `delete`"),
        (json!({"table": "a\0b"}), "the table's name contains a NUL"),
        (json!({"key_ordinals": [0, 0]}), "no column of the table is part of a primary key"),
        (json!({"key_ordinals": []}), "a table of 0 columns (SQLite reads 1 to 65536)"),
        (json!({"key": [1]}), "key must be a value, or an array if the key has several columns (key columns: 1)"),
        (json!({"key": null}), "column 0: NULL in a column of the primary key"),
        (json!({"before": {"0": 9, "1": 2}}), "key differs from the key in the row"),
        (json!({"before": {"2": 2}}), "the table has no column \"2\""),
        (json!({"before": {"+1": 2}}), "the table has no column \"+1\""),
        (json!({"after": {}}), "before contains a column that after does not contain"),
        (json!({"changed": []}), "changed must list exactly the columns whose values differ"),
        (json!({"columns": ["id"]}), "columns contains 1 names, but key_ordinals 2 columns"),
        (json!({"columns": ["id", "id"]}), "columns contains \"id\" twice"),
        (json!({"columns": ["id", "name"]}), "the table has no column \"1\""),
        (json!({"op": "delete"}), "DELETE in a changeset cannot have after"),
        (json!({"op": "insert"}), "INSERT in a changeset cannot have before"),
        (json!({"op": "insert", "before": null}), "column 0: a required value is not recorded"),
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
    assert_eq!(error.to_string(), "expected the format patchset, found \"changeset\"");
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = format!(r#"{{"changes":[{{"op":"insert","table":"t","key_ordinals":[1],"after":{{"0":{deep}}}}}]}}"#);
    assert!(serde_json::from_str::<Changeset>(&text).is_err());
}

#[test]
fn handwritten_json_may_omit_redundant_members() {
    let text = r#"{"changes": [{"after": {"name": "Ada", "id": 1.0}, "ts_ms": 5, "before": null, "columns": ["id", "name"],
        "key_ordinals": [1, 0], "table": "users", "op": "insert"}], "source": {"x": [{}]}, "format": "changeset"}"#;
    let changeset: Changeset = serde_json::from_str(text).unwrap();
    assert_eq!(format!("{changeset:?}"), "Changeset [INSERT users(1.0, 'Ada')]");
}

// Typed.
