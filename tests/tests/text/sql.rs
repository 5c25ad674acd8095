//! SQL text has the effect of applying, and SQLite reads back every value that is written.

use diesel_sqlite_session::typed::TrackedSet;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, Patchset, Tracked};
use diesel_sqlite_session_tests::change::Owned;
use diesel_sqlite_session_tests::random::{config, history};
use diesel_sqlite_session_tests::sqlite::{Database, read_sorted};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

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

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn sql_text_has_the_effect_of_applying(history in history()) {
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
            if let Some(expected) = history.rows_after([*bytes]) {
                let database = history.replica();
                database.execute(script).unwrap();
                prop_assert_eq!(history.rows(&database), expected, "{}", script);
            }
        }
    }

    #[test]
    fn sqlite_reads_back_every_value_from_sql_text(table in vec([value(), value(), value()], 1..20)) {
        const NAMES: [&str; 4] = ["the \"key\"", "a'b", "select", "`[;--"];
        const TABLE: &str = "it's \"quoted\"; -- or not";
        let schema = TableInfo::new(TABLE, &[1, 0, 0, 0]);
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
            prop_assert_eq!(read_sorted(&session.changeset()), read_sorted(inserts.as_bytes()), "{}", script);
            drop(session);
            // the inverse deletes every row
            let deletes = inserts.invert().to_sql([TableInfo::from_columns(TABLE, &NAMES)]).unwrap().to_string();
            database.execute(&deletes).unwrap();
            let session = database.track();
            database.execute(&format!("DELETE FROM {}", quoted(TABLE))).unwrap();
            prop_assert!(session.changeset().is_empty(), "{}", deletes);
        }
    }
}

diesel::table! {
    /// A table with a column name that Rust does not allow.
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
