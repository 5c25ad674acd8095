//! The order of the changes to a table: sorted by key if the order cannot be observed, otherwise
//! unchanged.

use std::ops::ControlFlow;

use diesel::prelude::*;
use diesel_sqlite_session::wire::{ChangesetBuilder, TableInfo};
use diesel_sqlite_session::{
    ApplyError, ApplyReport, Change, Changeset, ChangesetReader, Conflict, ConflictAction, Operation, Patchset,
    Session, SqliteSessionExt, Tracked, Value,
};
use diesel_sqlite_session_tests::random::config;
use proptest::prelude::*;

use crate::common::{exec, lines, open};

diesel::table! {
    rows (id) {
        id -> Integer,
        parent -> Nullable<Integer>,
        place -> Integer,
    }
}

#[derive(Debug, Clone, PartialEq, Insertable, Tracked)]
#[diesel(table_name = rows)]
pub struct Row {
    id: i32,
    parent: Option<i32>,
    place: i32,
}

const ROWS: TableInfo<'_> = TableInfo::new("rows", &[1, 0, 0]);
const PLAIN: &str = "CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER, place INTEGER NOT NULL);";

/// Unordered distinct keys, enough of them to be sorted.
const KEYS: std::ops::Range<i32> = 0..1000;

fn shuffled() -> impl Iterator<Item = i32> {
    KEYS.map(|i| i * 77 % KEYS.end)
}

fn row(id: i32) -> Row {
    Row { id, parent: None, place: id }
}

fn inserts() -> Changeset {
    shuffled().fold(Changeset::builder(), |builder, id| builder.insert(&row(id))).build().unwrap()
}

/// Each change conflicts once, because its row exists already.
fn replica(schema: &str) -> SqliteConnection {
    let mut conn = open(schema);
    let all: Vec<Row> = KEYS.map(row).collect();
    diesel::insert_into(rows::table).values(&all).execute(&mut conn).unwrap();
    conn
}

/// Returns the keys in the order in which the handler received them.
fn asked(conn: &mut SqliteConnection, changeset: &Changeset, how: How) -> Vec<i32> {
    let mut ids = Vec::new();
    let apply = conn.apply(changeset).on_conflict::<rows::table>(|conflict| match conflict {
        Conflict::Conflict(c) => {
            let Change::Insert(new) = c.change() else { panic!("an INSERT") };
            ids.push(new.id);
            c.omit()
        }
        other => other.abort(),
    });
    let apply = match how {
        How::Plain => apply,
        How::KeepOrder => apply.keep_order(),
        How::NoActions => apply.without_foreign_key_actions(),
        How::Progress => apply.on_progress(|_| ControlFlow::Continue(())),
    };
    let report = apply.run().unwrap();
    assert_eq!(report.omitted(), ids.len() as u64);
    ids
}

#[derive(Clone, Copy)]
enum How {
    Plain,
    KeepOrder,
    NoActions,
    Progress,
}

#[test]
fn many_changes_are_applied_in_key_order() {
    let changeset = inserts();
    let by_key: Vec<i32> = KEYS.collect();
    for how in [How::Plain, How::NoActions, How::Progress] {
        assert_eq!(asked(&mut replica(PLAIN), &changeset, how), by_key);
    }
    assert_eq!(asked(&mut replica(PLAIN), &changeset, How::KeepOrder), shuffled().collect::<Vec<_>>());
}

#[test]
fn few_changes_are_applied_as_given() {
    let few = shuffled().take(20).fold(Changeset::builder(), |builder, id| builder.insert(&row(id))).build().unwrap();
    assert_eq!(asked(&mut replica(PLAIN), &few, How::Plain), shuffled().take(20).collect::<Vec<_>>());
}

#[test]
fn each_section_of_a_table_is_sorted_separately() {
    let changeset = inserts();
    let other = |id| Row { place: id + 1, ..row(id) };
    let again = shuffled().fold(Changeset::builder(), |builder, id| builder.insert(&other(id))).build().unwrap();
    let twice = [changeset.as_bytes(), again.as_bytes()].concat();
    let twice = Changeset::try_from(twice).unwrap();
    let expected: Vec<i32> = KEYS.chain(KEYS).collect();
    assert_eq!(asked(&mut replica(PLAIN), &twice, How::Plain), expected);
}

#[test]
fn a_stream_is_applied_as_given() {
    let changeset = inserts();
    let mut ids = Vec::new();
    replica(PLAIN)
        .apply(ChangesetReader::new(changeset.as_bytes()))
        .on_conflict::<rows::table>(|conflict| match conflict {
            Conflict::Conflict(c) => {
                ids.extend(match c.change() {
                    Change::Insert(new) => Some(new.id),
                    _ => None,
                });
                c.omit()
            }
            other => other.abort(),
        })
        .run()
        .unwrap();
    assert_eq!(ids, shuffled().collect::<Vec<_>>());
}

#[test]
fn the_order_is_kept_where_it_could_show() {
    let given: Vec<i32> = shuffled().collect();
    let by_key: Vec<i32> = KEYS.collect();
    let on = "PRAGMA foreign_keys = ON;";
    let child = |action: &str| {
        format!(
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES rows {action}, place INTEGER NOT NULL);"
        )
    };
    // through another table
    let circle = |action: &str| {
        format!(
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES Others (id) {action}, place INTEGER NOT NULL);
            CREATE TABLE others (id INTEGER PRIMARY KEY, row INTEGER REFERENCES ROWS (id) ON DELETE CASCADE);"
        )
    };
    let watched = |trigger: &str| {
        format!(
            "{PLAIN} CREATE TABLE others (id INTEGER PRIMARY KEY, row INTEGER REFERENCES rows (id) ON DELETE CASCADE);
            {trigger}"
        )
    };
    let log = "CREATE TABLE log (id INTEGER); ";
    let cases: &[(&str, String, &[i32])] = &[
        (
            "a trigger",
            format!("{PLAIN}{log} CREATE TRIGGER t AFTER INSERT ON rows BEGIN INSERT INTO log VALUES (new.id); END"),
            &given,
        ),
        (
            "a temporary trigger",
            format!("{PLAIN}{log} CREATE TEMP TRIGGER t AFTER DELETE ON Rows BEGIN SELECT 1; END"),
            &given,
        ),
        (
            "another table's trigger",
            format!("{PLAIN}{log} CREATE TRIGGER t AFTER INSERT ON log BEGIN SELECT 1; END"),
            &by_key,
        ),
        (
            "ON CONFLICT REPLACE",
            PLAIN.replace("place INTEGER NOT NULL", "place INTEGER NOT NULL UNIQUE ON CONFLICT REPLACE"),
            &by_key,
        ),
        ("UNIQUE", PLAIN.replace("place INTEGER NOT NULL", "place INTEGER NOT NULL UNIQUE"), &by_key),
        ("a key to itself that acts", format!("{on}{}", child("ON DELETE CASCADE")), &given),
        ("one that sets NULL", format!("{on}{}", child("ON DELETE SET NULL")), &given),
        ("one that restricts", format!("{on}{}", child("ON UPDATE RESTRICT")), &given),
        ("one that does not act", format!("{on}{}", child("")), &by_key),
        ("one that is not enforced", format!("PRAGMA foreign_keys = OFF;{}", child("ON DELETE CASCADE")), &by_key),
        ("keys that act in a circle", format!("{on}{}", circle("ON DELETE CASCADE")), &given),
        ("keys in a circle, of which one acts", format!("{on}{}", circle("")), &by_key),
        ("a key that acts on another table", format!("{on}{}", watched("")), &by_key),
        (
            "a key that acts on another table, which has a trigger",
            format!("{on}{}", watched("CREATE TRIGGER t AFTER DELETE ON others BEGIN SELECT 1; END")),
            &given,
        ),
    ];
    let changeset = inserts();
    for (name, schema, expected) in cases {
        assert_eq!(asked(&mut replica(schema), &changeset, How::Plain), *expected, "{name}");
    }
    // foreign key actions are disabled
    let schema = format!("{on}{}", child("ON DELETE CASCADE"));
    assert_eq!(asked(&mut replica(&schema), &changeset, How::NoActions), by_key);
}

/// Returns what a session records of `edits`, and the database after them.
fn record(schema: &str, before: &str, edits: &str) -> (Session, SqliteConnection) {
    let mut conn = open(&format!("{schema} {before}"));
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    exec(&mut conn, edits);
    (session, conn)
}

fn contents(conn: &mut SqliteConnection) -> Vec<String> {
    lines(
        conn,
        "SELECT id || ' ' || coalesce(parent, 'none') || ' ' || coalesce(place, 'none') AS line FROM rows ORDER BY id",
    )
}

const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)";

#[test]
fn rows_that_delete_each_other_show_the_order() {
    let schema = "PRAGMA foreign_keys = ON;
        CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES rows ON DELETE CASCADE, place INTEGER NOT NULL);";
    let many = MANY.replace("300", "1200");
    let before = format!("{many} INSERT INTO rows SELECT i, nullif(i / 2, 0), i FROM n;");
    let (mut session, _source) = record(schema, &before, "DELETE FROM rows WHERE id = 1");
    let changeset = session.changeset().unwrap();
    let missing = |changeset: &Changeset| {
        let mut missing = 0;
        let mut conn = open(&format!("{schema} {before}"));
        let not_there = |_| {
            missing += 1;
            diesel_sqlite_session::ConflictAction::Omit
        };
        conn.apply(changeset).otherwise(not_there).run().unwrap();
        assert_eq!(contents(&mut conn), Vec::<String>::new());
        missing
    };
    let sorted = changeset.sort_by_key();
    let mut builder = Changeset::builder();
    builder.extend(sorted.records().collect::<Vec<_>>().into_iter().rev());
    let from_the_leaves = builder.build().unwrap();
    assert_eq!(changeset.records().count(), 1200);
    // deleting a parent deletes its children, which are missing when their own DELETEs follow
    assert_eq!(missing(&sorted), 1199);
    assert_eq!(missing(&from_the_leaves), 0, "the order was changed");
}

/// Applies without a conflict and returns the rows.
fn applied(schema: &str, before: &str, apply: impl FnOnce(&mut SqliteConnection) -> ApplyReport) -> Vec<String> {
    let mut conn = open(&format!("{schema} {before}"));
    let report = apply(&mut conn);
    assert_eq!((report.replaced(), report.omitted()), (0, 0));
    assert_eq!(lines(&mut conn, "SELECT integrity_check AS line FROM pragma_integrity_check"), ["ok"]);
    contents(&mut conn)
}

const UNIQUE: &str =
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER, place INTEGER NOT NULL, UNIQUE (parent, place));";

#[test]
fn rows_that_pass_on_unique_values_are_applied() {
    let before = format!("{MANY} INSERT INTO rows SELECT i, i % 3, i FROM n;");
    let moved = "UPDATE rows SET place = -place";
    for edits in [
        format!("{moved}; UPDATE rows SET place = 3 - place"),
        format!("{moved}; UPDATE rows SET place = -3 - place"),
        // in a circle
        format!("{moved}; UPDATE rows SET place = 1 + (-place + 2) % 300"),
        // from one list to another
        format!(
            "{moved}; UPDATE rows SET place = 3 - place, parent = (parent + 1) % 3 WHERE id % 7 < 6; UPDATE rows SET place = -place WHERE place < 0"
        ),
        // a row is deleted, others take its value, and a row is inserted
        format!(
            "DELETE FROM rows WHERE id IN (297, 298, 299); {moved}; UPDATE rows SET place = 3 - place; INSERT INTO rows VALUES (1000, 0, 3), (-5, 1, 1)"
        ),
    ] {
        let (mut session, mut source) = record(UNIQUE, &before, &edits);
        let after = contents(&mut source);
        let (changeset, patchset) = (session.changeset().unwrap(), session.patchset().unwrap());
        let apply = |conn: &mut SqliteConnection| conn.apply(&changeset).run().unwrap();
        assert_eq!(applied(UNIQUE, &before, apply), after, "{edits}");
        let apply = |conn: &mut SqliteConnection| conn.apply(&changeset).keep_order().run().unwrap();
        assert_eq!(applied(UNIQUE, &before, apply), after, "{edits}");
        let apply = |conn: &mut SqliteConnection| conn.apply(&patchset).run().unwrap();
        assert_eq!(applied(UNIQUE, &before, apply), after, "{edits}");
        // and back
        exec(&mut source, "PRAGMA foreign_keys = OFF");
        let report = source.apply(&changeset).inverted().run().unwrap();
        assert_eq!((report.replaced(), report.omitted()), (0, 0), "{edits}");
        assert_eq!(contents(&mut source), contents(&mut open(&format!("{UNIQUE} {before}"))), "{edits}");
    }
}

#[test]
fn a_change_waits_for_the_change_that_frees_its_value() {
    let before = format!("{MANY} INSERT INTO rows SELECT i, 0, i FROM n;");
    let up = "UPDATE rows SET place = -place; UPDATE rows SET place = 1 - place";
    let (mut session, mut source) = record(UNIQUE, &before, up);
    let changeset = session.changeset().unwrap();
    // a log shows the order in which the rows are updated
    let log = "CREATE TABLE log (n INTEGER PRIMARY KEY, line TEXT);
        CREATE TRIGGER l AFTER UPDATE ON rows BEGIN INSERT INTO log (line) VALUES (new.id); END;";
    let order = |conn: &mut SqliteConnection, inverted: bool| {
        exec(conn, log);
        let apply = conn.apply(&changeset);
        let report = if inverted { apply.inverted() } else { apply }.run().unwrap();
        assert_eq!(report.applied(), 300);
        lines(conn, "SELECT line FROM log ORDER BY n").iter().map(|id| id.parse().unwrap()).collect::<Vec<i32>>()
    };
    assert_eq!(order(&mut open(&format!("{UNIQUE} {before}")), false), (1..=300).rev().collect::<Vec<_>>());
    assert_eq!(order(&mut source, true), (1..=300).collect::<Vec<_>>());
}

/// A key and a unique position.
type Placed = (i32, i32);

/// Any rows and edits. An edit has a kind, a row and a new position.
fn histories() -> impl Strategy<Value = (Vec<Placed>, Vec<(u8, i32, i32)>)> {
    let rows = prop::collection::vec((0..400, 0..300), 100..300);
    let edits = prop::collection::vec((0..4u8, 0..400, 0..300), 100..300);
    (rows, edits)
}

proptest! {
    #![proptest_config(config(60))]

    /// Random edits of rows with a UNIQUE value and a key that is not the rowid have the same
    /// result in every order.
    #[test]
    fn the_order_does_not_show((rows, edits) in histories(), stray in prop::collection::vec((0..400, 0..300), 0..10)) {
        const SCHEMA: &str = "CREATE TABLE rows (id INTEGER NOT NULL, parent TEXT, place INTEGER, PRIMARY KEY (id)) WITHOUT ROWID;
            CREATE UNIQUE INDEX by_place ON rows (place);";
        let mut before = String::new();
        for (id, place) in rows {
            before += &format!("INSERT OR IGNORE INTO rows VALUES ({id}, 'a', {place});");
        }
        let mut conn = open(&format!("{SCHEMA} {before}"));
        let mut session = conn.create_session().unwrap();
        session.attach_all().unwrap();
        for (edit, id, place) in edits {
            exec(&mut conn, &match edit {
                0 => format!("INSERT OR IGNORE INTO rows VALUES ({id}, 'b', {place})"),
                1 => format!("DELETE FROM rows WHERE id = {id}"),
                2 => format!("UPDATE OR IGNORE rows SET place = {place} WHERE id = {id}"),
                _ => format!("UPDATE OR IGNORE rows SET parent = 'c', place = nullif(place, {place}) WHERE id = {id}"),
            });
        }
        let (changeset, patchset) = (session.changeset().unwrap(), session.patchset().unwrap());
        let after = contents(&mut conn);
        for keeps in [false, true] {
            let apply = |conn: &mut SqliteConnection| {
                let apply = conn.apply(&changeset);
                if keeps { apply.keep_order() } else { apply }.run().unwrap()
            };
            prop_assert_eq!(&applied(SCHEMA, &before, apply), &after);
            let apply = |conn: &mut SqliteConnection| {
                let apply = conn.apply(&patchset);
                if keeps { apply.keep_order() } else { apply }.run().unwrap()
            };
            prop_assert_eq!(&applied(SCHEMA, &before, apply), &after);
        }
        // a replica that has diverged is unchanged or complete
        let mut stray_rows = String::new();
        for (id, place) in stray {
            stray_rows += &format!("INSERT OR REPLACE INTO rows VALUES ({id}, 'stray', {place});");
        }
        let mut other = open(&format!("{SCHEMA} {before} {stray_rows}"));
        let untouched = contents(&mut other);
        if other.apply(&changeset).run().is_err() {
            prop_assert_eq!(contents(&mut other), untouched);
        }
    }
}

#[test]
fn tables_without_a_typed_row_are_sorted_too() {
    let patchset: Patchset = shuffled()
        .fold(Patchset::builder(), |builder, id| builder.insert_values(ROWS, &[id.into(), Value::Null, id.into()]))
        .build()
        .unwrap();
    let mut conn = open(PLAIN);
    let mut changes = Vec::new();
    let report = conn
        .apply(&patchset)
        .on_progress(|progress| {
            changes.push((progress.changes, progress.total_bytes));
            ControlFlow::Continue(())
        })
        .run()
        .unwrap();
    assert_eq!(report.applied(), 1000);
    assert_eq!(changes.last(), Some(&(1000, Some(patchset.as_bytes().len() as u64))));
}

/// A section with DELETEs of keys, and INSERTs of keys that are equal on the replica.
fn renamed(old: impl Fn(i64) -> Value<'static>, new: impl Fn(i64) -> Value<'static>) -> Changeset {
    let t = TableInfo::new("t", &[1, 0]);
    let delete = |builder: ChangesetBuilder, n: i64| builder.delete_values(t, &[old(n), n.into()]);
    let insert = |builder: ChangesetBuilder, n: i64| builder.insert_values(t, &[new(n), (-n).into()]);
    (0..600).fold((0..600).fold(Changeset::builder(), delete), insert).build().unwrap()
}

#[test]
fn the_order_is_kept_where_two_keys_can_be_one_row() {
    fn text(text: String) -> Value<'static> {
        Value::Text(text.leak().as_bytes())
    }
    let small = |n: i64| text(format!("k{n}"));
    let large = |n: i64| text(format!("K{n}"));
    let spaced = |n: i64| text(format!("k{n} "));
    let integer = |n: i64| Value::Integer(n);
    let real = |n: i64| Value::Real(n as f64);
    let digits = |n: i64| text(n.to_string());
    // the replica's declaration of the key, and the keys of the section; the new key sorts before
    // the old key
    let cases = [
        ("k TEXT COLLATE NOCASE PRIMARY KEY", renamed(small, large)),
        ("k TEXT, v0 AS (v), v, PRIMARY KEY (k COLLATE NOCASE)", renamed(small, large)),
        ("k TEXT COLLATE RTRIM PRIMARY KEY", renamed(spaced, small)),
        ("k TEXT PRIMARY KEY", renamed(digits, integer)),
        ("k INTEGER PRIMARY KEY", renamed(digits, integer)),
        ("k PRIMARY KEY", renamed(real, integer)),
        ("k REAL PRIMARY KEY", renamed(integer, real)),
        // only one of these pairs is the same row: 0.0 and -0.0
        ("k REAL PRIMARY KEY", renamed(real, |n| Value::Real(-(n as f64)))),
    ];
    for (key, changeset) in cases {
        for keeps in [false, true] {
            let columns = if key.contains("v0") { key.to_string() } else { format!("{key}, v") };
            let mut conn = open(&format!("CREATE TABLE t ({columns})"));
            let before = changeset.as_borrowed().filter_records(|record| record.operation() == Operation::Delete);
            conn.apply(&before).inverted().run().unwrap();
            let apply = conn.apply(&changeset);
            let report = if keeps { apply.keep_order() } else { apply }.run();
            let report = report.unwrap_or_else(|error| panic!("{key}, {keeps}: {error}"));
            assert_eq!(report.applied(), 1200, "{key}, {keeps}");
            assert_eq!(
                lines(&mut conn, "SELECT count(*) || ' ' || max(v) AS line FROM t"),
                ["600 0"],
                "{key}, {keeps}"
            );
        }
    }
}

#[test]
fn a_collation_that_distinguishes_all_texts_does_not_prevent_sorting() {
    let t = TableInfo::new("t", &[1, 0]);
    let changeset = (0..1000)
        .map(|i| format!("{:04}", i * 77 % 1000))
        .fold(Changeset::builder(), |builder, key| builder.insert_values(t, &[key.as_str().into(), 1.into()]))
        .build()
        .unwrap();
    let is_sorted = |schema: &str| {
        let mut conn = open(schema);
        conn.apply(&changeset).run().unwrap();
        let mut keys = Vec::new();
        let asked = conn.apply(&changeset).try_otherwise(|conflict| {
            keys.push(format!("{:?}", conflict.change().new_value(0)));
            Ok::<_, ApplyError>(ConflictAction::Omit)
        });
        asked.run().unwrap();
        keys.is_sorted()
    };
    assert!(is_sorted("CREATE TABLE t (k TEXT PRIMARY KEY, v COLLATE NOCASE)"));
    assert!(is_sorted("CREATE TABLE t (k COLLATE BINARY PRIMARY KEY, v)"));
    assert!(!is_sorted("CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)"));
    assert!(!is_sorted("CREATE TABLE t (k INT PRIMARY KEY, v)"));
}
