//! Filtered, renamed, sorted, split and as SQL text, changes stay what they were, and do the same to a database.

use diesel_sqlite_session::typed::TrackedSet;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, ChangesetRef, Format, Patchset, Tracked};
use diesel_sqlite_session_tests::change::{Change, Owned};
use diesel_sqlite_session_tests::random::{History, config, history, mutation};
use diesel_sqlite_session_tests::sqlite::{self, Database};
use diesel_sqlite_session_tests::{random, shape};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const FORMATS: [Format; 2] = [Format::Changeset, Format::Patchset];

fn in_order(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by_key(|change| format!("{change:?}"));
    changes
}

/// The changes, in an order that depends on nothing else.
fn set(bytes: &[u8]) -> Vec<Change> {
    in_order(sqlite::read(bytes).0)
}

/// A database as it was before the history's edits, without triggers.
fn replica(history: &History) -> Database {
    let database = Database::new();
    history.schema.iter().for_each(|statement| database.execute(statement).unwrap());
    for statement in &history.before {
        let _ = database.execute(statement); // what the values in it do not allow
    }
    for statement in history.schema.iter().filter(|statement| statement.starts_with("CREATE TRIGGER")) {
        let name = statement.split('"').nth(1).unwrap();
        database.execute(&format!("DROP TRIGGER \"{name}\"")).unwrap();
    }
    database
}

/// Every row, bit for bit: as the session records it when it is deleted. Rows with NULL in the key are not among them.
fn rows(database: &Database, history: &History) -> Vec<Change> {
    let session = database.track();
    for statement in history.schema.iter().filter(|statement| statement.starts_with("CREATE TABLE")) {
        let name = statement.split('"').nth(1).unwrap_or("log");
        database.execute(&format!("DELETE FROM \"{name}\"")).unwrap();
    }
    set(&session.changeset())
}

/// The rows after applying these, one after another, or nothing if there was a conflict.
fn applied<'a>(history: &History, pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<Change>> {
    let database = replica(history);
    pieces.into_iter().try_for_each(|piece| database.apply(piece)).ok()?;
    Some(rows(&database, history))
}

fn column_names(count: usize) -> Vec<String> {
    (0..count).map(|column| format!("c{column}")).collect()
}

fn value() -> impl Strategy<Value = Owned> {
    let real = any::<u64>().prop_map(f64::from_bits).prop_filter("NaN is NULL", |real| !real.is_nan());
    prop_oneof![
        1 => Just(Owned::Null),
        2 => any::<i64>().prop_map(Owned::Integer),
        2 => real.prop_map(|real| Owned::Real(real.to_bits())),
        2 => any::<f32>().prop_filter("NaN", |real| !real.is_nan()).prop_map(|real| Owned::Real(f64::from(real).to_bits())),
        1 => select(vec![i64::MIN, i64::MAX, 0, -1]).prop_map(Owned::Integer),
        1 => select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e15, 1e16, 9.2e18])
            .prop_map(|real| Owned::Real(f64::to_bits(real))),
        2 => "\\PC{0,12}".prop_map(|text| Owned::Text(text.into_bytes())),
        1 => "['\"%?:@$;\n\\-\\*/\\\\]{0,8}".prop_map(|text| Owned::Text(text.into_bytes())),
        1 => vec(any::<u8>(), 0..8).prop_map(Owned::Text),
        1 => vec(any::<u8>(), 0..200).prop_map(Owned::Blob),
    ]
}

/// Values that are hard to put in order: of all storage classes, many of them equal or with much in common.
fn key_value() -> impl Strategy<Value = Owned> {
    let near = select(vec![0i64, 1 << 53, 1 << 60, i64::MAX - 4, i64::MIN + 4]);
    let start = select(vec!["", "a", "the same start of many texts ", "the same start of many texts and one more "]);
    prop_oneof![
        2 => (-3i64..4).prop_map(Owned::Integer),
        2 => (near.clone(), -4i64..5).prop_map(|(near, by)| Owned::Integer(near.saturating_add(by))),
        2 => (near, -4i64..5).prop_map(|(near, by)| Owned::Real((near as f64 + by as f64 / 2.0).to_bits())),
        1 => select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY]).prop_map(|real| Owned::Real(f64::to_bits(real))),
        3 => (start.clone(), "[ab\0]{0,9}").prop_map(|(start, end)| Owned::Text([start, &end].concat().into_bytes())),
        1 => (start, vec(0u8..2, 0..17)).prop_map(|(start, end)| Owned::Blob([start.as_bytes(), &end].concat())),
    ]
}

/// Keys of one storage class, or of all.
fn keys() -> impl Strategy<Value = Vec<[Owned; 3]>> {
    let class =
        select(vec![vec!["integer"], vec!["real"], vec!["text"], vec!["blob"], vec!["integer", "real"], vec![]]);
    (class, vec([key_value(), key_value(), key_value()], 0..150)).prop_map(|(classes, mut keys)| {
        keys.retain(|key| {
            classes.is_empty() || key.iter().take(1).all(|value| classes.contains(&value.as_value().storage_class()))
        });
        keys
    })
}

/// One section of a change of any kind for each key.
fn section(ordinals: [u8; 3], keys: &[[Owned; 3]], format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (row, key) in keys.iter().enumerate() {
        let side = |other: i64| -> Vec<Option<Owned>> {
            let column =
                |(value, place): (&Owned, &u8)| if *place == 0 { Owned::Integer(other) } else { value.clone() };
            key.iter().zip(&ordinals).map(|values| Some(column(values))).collect()
        };
        let only = |side: Vec<Option<Owned>>, keep: fn(u8) -> bool| -> Vec<Option<Owned>> {
            side.into_iter().zip(ordinals).map(|(value, place)| value.filter(|_| keep(place))).collect()
        };
        let row = row as i64;
        let (operation, old, new) = match row % 3 {
            0 => (18, vec![None; 3], side(row)),
            1 => (9, side(row), vec![None; 3]),
            _ => (23, side(row), only(side(row + 1), |place| place == 0)),
        };
        let change =
            Change { table: b"t".to_vec(), key: ordinals.to_vec(), operation, indirect: row % 2 == 0, old, new };
        let encoded = change.encode(format);
        let head = 1 + 1 + 3 + 2;
        bytes.extend_from_slice(&encoded[if bytes.is_empty() { 0 } else { head }..]);
    }
    bytes
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_sqlite_records_keeps_its_changes(history in history()) {
        let (changeset, patchset) = history.record();
        shape::check(&changeset);
        shape::check(&patchset);
        // two of one table after another
        shape::check(&[&changeset[..], &changeset].concat());
        shape::check(&[&patchset[..], &patchset].concat());
    }

    #[test]
    fn whatever_is_accepted_keeps_its_changes(history in history(), mutations in vec(mutation(), 1..4)) {
        let (mut changeset, mut patchset) = history.record();
        for mutation in &mutations {
            mutation.apply(&mut changeset);
            mutation.apply(&mut patchset);
            shape::check(&changeset);
            shape::check(&patchset);
        }
    }

    #[test]
    fn keys_of_every_kind_are_sorted(
        keys in keys(),
        ordinals in select(vec![[1, 0, 0], [0, 0, 1], [2, 1, 0], [1, 1, 1], [3, 1, 2], [2, 1, 1], [0, 2, 1]]),
    ) {
        for format in FORMATS {
            shape::check(&section(ordinals, &keys, format));
        }
    }

    #[test]
    fn keys_are_sorted_as_sqlite_sorts_them(keys in keys()) {
        let bytes = section([2, 1, 3], &keys, Format::Patchset);
        let database = Database::new();
        // in which SQLite numbers them in their order
        database.execute("CREATE TABLE keys (a, b, c); CREATE TABLE t (a, b, c, n INTEGER PRIMARY KEY)").unwrap();
        for key in &keys {
            let values: Vec<String> = key.iter().map(|value| value.as_value().to_string()).collect();
            database.execute(&format!("INSERT INTO keys VALUES ({})", values.join(", "))).unwrap();
        }
        let session = database.track();
        database.execute("INSERT INTO t SELECT *, row_number() OVER (ORDER BY b, a, c, rowid) FROM keys").unwrap();
        let mut expected: Vec<(i64, Vec<Owned>)> = Vec::new();
        for change in sqlite::read(&session.changeset()).0 {
            let mut row: Vec<Owned> = change.new.into_iter().map(Option::unwrap).collect();
            let Some(Owned::Integer(place)) = row.pop() else { unreachable!() };
            expected.push((place, row));
        }
        expected.sort_by_key(|(place, _)| *place);
        let sorted = Patchset::try_from(bytes).unwrap().sort_by_key();
        let found: Vec<Vec<Owned>> =
            sorted.records().map(|record| record.key_values().map(Owned::from).collect()).collect();
        prop_assert_eq!(found, expected.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    }

    #[test]
    fn sorted_and_split_changes_do_the_same_to_a_database(history in history(), max in 0usize..400) {
        let (changeset, patchset) = history.record();
        for bytes in [&changeset, &patchset] {
            let (sorted, pieces, tables): (Vec<u8>, Vec<Vec<u8>>, Vec<Vec<u8>>) =
                if let Ok(changeset) = ChangesetRef::parse(bytes) {
                    (
                        changeset.sort_by_key().into(),
                        changeset.split(max).map(Into::into).collect(),
                        changeset.split_tables().map(Into::into).collect(),
                    )
                } else {
                    let patchset = Patchset::try_from(&bytes[..]).unwrap();
                    (
                        patchset.sort_by_key().into(),
                        patchset.split(max).map(Into::into).collect(),
                        patchset.split_tables().map(Into::into).collect(),
                    )
                };
            prop_assert_eq!(set(&pieces.concat()), set(bytes));
            prop_assert_eq!(set(&tables.concat()), set(bytes));
            prop_assert_eq!(sqlite::group(pieces.iter().map(Vec::as_slice)), sqlite::group([&bytes[..]]));
            let expected = applied(&history, [&bytes[..]]);
            if expected.is_some() {
                prop_assert_eq!(&applied(&history, [&sorted[..]]), &expected, "sorted");
                prop_assert_eq!(&applied(&history, pieces.iter().map(Vec::as_slice)), &expected, "in pieces");
                prop_assert_eq!(&applied(&history, tables.iter().map(Vec::as_slice)), &expected, "by table");
            }
        }
    }

    #[test]
    fn sql_text_does_what_applying_does(history in history()) {
        let (changeset, patchset) = history.record();
        let names = column_names(8);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let changeset = Changeset::try_from(changeset).unwrap();
        let patchset = Patchset::try_from(patchset).unwrap();
        let tables: Vec<TableInfo<'_>> = (changeset.sections())
            .map(|section| match section.table() {
                "log" => TableInfo::from_columns("LOG", &["id", "line"]),
                table => TableInfo::from_columns(table, &names),
            })
            .collect();
        let scripts = [
            (changeset.as_bytes(), changeset.to_sql(&tables).unwrap().to_string()),
            (patchset.as_bytes(), patchset.to_sql(&tables).unwrap().to_string()),
        ];
        for (bytes, script) in &scripts {
            if let Some(expected) = applied(&history, [*bytes]) {
                let database = replica(&history);
                database.execute(script).unwrap();
                prop_assert_eq!(rows(&database, &history), expected, "{}", script);
            }
        }
    }

    #[test]
    fn sqlite_reads_back_from_sql_text_what_was_written(table in vec([value(), value(), value()], 1..20)) {
        const NAMES: [&str; 4] = ["the \"key\"", "a'b", "select", "`[;--"];
        const TABLE: &str = "it's \"quoted\"; -- or not";
        let schema = diesel_sqlite_session::wire::TableInfo::new(TABLE, &[1, 0, 0, 0]);
        let rows = table.iter().enumerate().map(|(row, values)| {
            let [a, b, c] = values;
            [(row as i64 - 5).into(), a.as_value(), b.as_value(), c.as_value()]
        });
        let inserts = rows.fold(Changeset::builder(), |builder, row| builder.insert_values(schema, &row)).build().unwrap();
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let create = format!(
            "CREATE TABLE {} ({} PRIMARY KEY, {}, {}, {})", quoted(TABLE), quoted(NAMES[0]), quoted(NAMES[1]), quoted(NAMES[2]), quoted(NAMES[3])
        );
        for script in [
            inserts.to_sql([TableInfo::from_columns(TABLE, &NAMES)]).unwrap().to_string(),
            inserts.to_sql::<TableInfo<'_>>([]).unwrap().to_string(),
        ] {
            let database = Database::new();
            database.execute(&create).unwrap();
            let session = database.track();
            database.execute(&script).unwrap();
            prop_assert_eq!(set(&session.changeset()), set(inserts.as_bytes()), "{}", script);
            drop(session);
            // and away with them
            let deletes = inserts.invert().to_sql([TableInfo::from_columns(TABLE, &NAMES)]).unwrap().to_string();
            database.execute(&deletes).unwrap();
            let session = database.track();
            database.execute(&format!("DELETE FROM {}", quoted(TABLE))).unwrap();
            prop_assert!(session.changeset().is_empty(), "{}", deletes);
        }
    }
}

diesel::table! {
    /// With a name for SQLite that Rust cannot have.
    notes (id) {
        id -> Integer,
        #[sql_name = "the text"]
        text -> Text,
    }
}

#[derive(Tracked)]
#[diesel(table_name = notes)]
pub struct Note {
    id: i32,
    text: String,
}

#[derive(Tracked)]
enum Tables {
    Notes(diesel_sqlite_session::Change<notes::table>),
}

#[test]
fn a_set_of_typed_tables_names_the_columns() {
    let note = |id, text: &str| Note { id, text: text.into() };
    let notes = Changeset::builder()
        .insert(&note(1, "one"))
        .update(&note(2, "two"), &note(2, "2"))
        .delete(&note(3, "three"))
        .build()
        .unwrap();
    let sql = notes.to_sql(Tables::TABLES).unwrap().to_string();
    let lines: Vec<&str> = sql.lines().collect();
    assert_eq!(
        lines,
        [
            r#"INSERT INTO "notes" ("id", "the text") VALUES (1, 'one');"#,
            r#"UPDATE "notes" SET "the text" = '2' WHERE "id" = 2;"#,
            r#"DELETE FROM "notes" WHERE "id" = 3;"#,
        ]
    );
    assert_eq!(notes.to_sql([&<Note as Tracked>::TABLE]).unwrap().to_string(), sql);
    assert_eq!(notes.records().next().unwrap().to_sql([Note::TABLE]).unwrap().to_string(), lines[0]);
}

/// A check of the checks: most histories can be applied, with changes of every kind.
#[test]
fn most_histories_apply_without_a_conflict() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [0; 2];
    for _ in 0..100 {
        let history = random::history().new_tree(&mut runner).unwrap().current();
        let (changeset, _) = history.record();
        seen[usize::from(applied(&history, [&changeset[..]]).is_some())] += 1;
    }
    assert!(seen[1] > 70, "{seen:?}");
}
