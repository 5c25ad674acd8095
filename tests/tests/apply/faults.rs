//! Faults that applying had, each with its whole kind: changes of one row that were exchanged,
//! quadratic time, result codes, wrong counts, rejections without a reason, and wide tables.

use std::cell::Cell;
use std::fmt::Write;
use std::ops::ControlFlow;

use diesel::prelude::*;
use diesel_sqlite_session::apply::Apply;
use diesel_sqlite_session::wire::{ChangesetFormat, TableInfo};
use diesel_sqlite_session::{
    ApplyError, Changeset, ChangesetReader, ConflictAction, ConflictType, SqliteSessionExt, Value,
};
use diesel_sqlite_session_tests::sqlite::connection;

use super::replica::{How, Options, Recorded, appended, apply_omitting, apply_with, in_one_section, record, rows};
use crate::common::{exec, lines, open};

// ---- the changes of one row keep their order ----

/// An operation of one row, in a table with a key, a UNIQUE value and another value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Insert,
    Update,
    Delete,
}

use Step::{Delete, Insert, Update};

/// What can happen to a row in two or three recordings, one step in each.
const HISTORIES: [&[Step]; 9] = [
    &[Insert, Update],
    &[Insert, Delete],
    &[Update, Update],
    &[Update, Delete],
    &[Delete, Insert],
    &[Insert, Update, Delete],
    &[Update, Delete, Insert],
    &[Delete, Insert, Update],
    &[Insert, Delete, Insert],
];

/// A kind of key: the key columns of the replica and of the changes, and their values in a step.
/// Keys of several steps are one row for the replica.
struct Keys {
    columns: &'static str,
    ordinals: &'static [u8],
    values: fn(i64, usize) -> Vec<Value<'static>>,
}

fn text(text: String) -> Value<'static> {
    Value::Text(text.leak().as_bytes())
}

const KEYS: [Keys; 9] = [
    Keys { columns: "k INTEGER PRIMARY KEY, u UNIQUE, v", ordinals: &[1, 0, 0], values: |row, _| vec![row.into()] },
    Keys {
        columns: "k TEXT PRIMARY KEY, u UNIQUE, v",
        ordinals: &[1, 0, 0],
        values: |row, _| vec![text(format!("{row:05}"))],
    },
    Keys {
        columns: "a, b, u UNIQUE, v, PRIMARY KEY (b, a)",
        ordinals: &[2, 1, 0, 0],
        values: |row, _| vec![(row % 7).into(), (row / 7).into()],
    },
    Keys {
        columns: "k TEXT COLLATE NOCASE PRIMARY KEY, u UNIQUE, v",
        ordinals: &[1, 0, 0],
        values: |row, step| vec![text(if step % 2 == 0 { format!("k{row}") } else { format!("K{row}") })],
    },
    Keys {
        columns: "k TEXT COLLATE RTRIM PRIMARY KEY, u UNIQUE, v",
        ordinals: &[1, 0, 0],
        values: |row, step| vec![text(format!("k{row}{}", " ".repeat(step)))],
    },
    Keys {
        columns: "k INTEGER PRIMARY KEY, u UNIQUE, v",
        ordinals: &[1, 0, 0],
        values: |row, step| vec![[Value::Integer(row), text(row.to_string()), Value::Real(row as f64)][step]],
    },
    Keys {
        columns: "k PRIMARY KEY, u UNIQUE, v",
        ordinals: &[1, 0, 0],
        values: |row, step| vec![if step % 2 == 0 { Value::Real(row as f64) } else { Value::Integer(row) }],
    },
    Keys {
        columns: "k TEXT PRIMARY KEY, u UNIQUE, v",
        ordinals: &[1, 0, 0],
        values: |row, step| vec![if step % 2 == 0 { Value::Integer(row) } else { text(row.to_string()) }],
    },
    Keys {
        columns: "a TEXT COLLATE NOCASE, b INTEGER, u UNIQUE, v, PRIMARY KEY (a, b)",
        ordinals: &[1, 2, 0, 0],
        values: |row, step| match step % 2 {
            0 => vec![text(format!("k{}", row % 5)), Value::Integer(row)],
            _ => vec![text(format!("K{}", row % 5)), text(row.to_string())],
        },
    },
];

/// The changes of each step, the rows before the first, and the UNIQUE values after the last.
struct History {
    before: Changeset,
    steps: Vec<Changeset>,
    after: Vec<String>,
}

/// Returns the changes of `count` rows, of which each has one of the histories. The value that a
/// row has at some time is never that of another row.
fn history(keys: &Keys, count: i64) -> History {
    let t = TableInfo::new("t", keys.ordinals);
    let mut before = Changeset::builder();
    let mut steps: Vec<_> = (0..3).map(|_| Changeset::builder()).collect();
    let mut after = Vec::new();
    // in an order that is not that of the keys; 77 and the counts are coprime
    for row in (0..count).map(|row| row * 77 % count) {
        let values = |step: usize, version: i64| {
            let mut values = (keys.values)(row, step);
            values.extend([Value::Integer(row + version * 1_000_000), "v".into()]);
            values
        };
        let operations = HISTORIES[row as usize % HISTORIES.len()];
        let mut version = 0;
        let mut exists = operations[0] != Insert;
        if exists {
            before = before.insert_values(t, &values(0, 0));
        }
        for (step, operation) in operations.iter().enumerate() {
            let builder = std::mem::replace(&mut steps[step], Changeset::builder());
            steps[step] = match operation {
                Insert => {
                    version += 1;
                    builder.insert_values(t, &values(step, version))
                }
                Update => {
                    version += 1;
                    builder.update_values(t, &values(step, version - 1), &values(step, version))
                }
                Delete => builder.delete_values(t, &values(step, version)),
            };
            exists = *operation != Delete;
        }
        if exists {
            after.push(format!("{}", row + version * 1_000_000));
        }
    }
    after.sort_unstable();
    let steps = steps.into_iter().map(|builder| builder.build().unwrap()).collect();
    History { before: before.build().unwrap(), steps, after }
}

const VALUES: &str = "SELECT '' || u AS line FROM t ORDER BY '' || u";

#[test]
fn the_changes_of_one_row_keep_their_order() {
    for count in [20, 40, 500, 1200] {
        for keys in &KEYS {
            let History { before, steps, after } = history(keys, count);
            // one after the other, they have the result that they must have together
            let mut conn = open(&format!("CREATE TABLE t ({})", keys.columns));
            conn.apply(&before).run().unwrap();
            steps.iter().for_each(|step| assert!(conn.apply(step).run().is_ok(), "{}", keys.columns));
            assert_eq!(lines(&mut conn, VALUES), after, "{}", keys.columns);

            let sets: Vec<&Changeset> = steps.iter().collect();
            for changeset in [appended(&sets), in_one_section(&sets)] {
                for table in ["", "WITHOUT ROWID"] {
                    let schema = format!("CREATE TABLE t ({}) {table}", keys.columns);
                    for how in How::CHANGESETS {
                        let context = format!("{count} rows, {schema}, {how:?}");
                        let mut conn = open(&schema);
                        conn.apply(&before).run().unwrap();
                        let changes = (changeset.clone(), Default::default());
                        let (report, kinds) = apply_omitting(&mut conn, &changes, how);
                        assert!(kinds.is_empty(), "{context}: {} conflicts, first {:?}", kinds.len(), kinds[0]);
                        assert_eq!(report.unwrap().applied(), changeset.records().count() as u64, "{context}");
                        assert_eq!(lines(&mut conn, VALUES), after, "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_changes_of_one_row_keep_their_order_among_others_that_pass_on_values() {
    // rows that wait for each other, and each of which is changed twice
    let start = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) INSERT INTO t SELECT i, i, 'v' FROM n;";
    let source = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u, v);{start}");
    let replica = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v);{start}");
    let edits = [
        "UPDATE t SET u = u + 1, v = 'first'",
        "UPDATE t SET u = u + 1, v = 'second' WHERE id % 3 > 0; DELETE FROM t WHERE id % 3 = 0",
    ];
    // the second step leaves gaps: a row goes to the value of a row that is deleted or moves on
    let first = record(&source, edits[0]);
    let second = record(&format!("{source}{};", edits[0]), edits[1]);
    let mut after = open(&format!("{source}{};{}", edits[0], edits[1]));
    let after = rows(&mut after, "main", "t");
    for changes in [
        (appended(&[&first.0, &second.0]), appended(&[&first.1, &second.1])),
        (in_one_section(&[&first.0, &second.0]), in_one_section(&[&first.1, &second.1])),
    ] {
        for how in How::ALL {
            let mut conn = open(&replica);
            let (report, kinds) = apply_omitting(&mut conn, &changes, how);
            assert!(kinds.is_empty(), "{how:?}: {} conflicts", kinds.len());
            assert_eq!(report.unwrap().applied(), 2200, "{how:?}");
            assert_eq!(rows(&mut conn, "main", "t"), after, "{how:?}");
        }
    }
}

#[test]
fn appended_recordings_that_went_through_json_keep_their_order() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v TEXT);";
    let start = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 64) INSERT INTO t SELECT i, i, 'v' FROM n;";
    let mut source = open(&format!("{schema}{start}"));
    let mut session = source.create_session().unwrap();
    session.attach_all().unwrap();
    exec(&mut source, "UPDATE t SET u = u + 1000");
    let first = session.take_changeset().unwrap();
    exec(&mut source, "DELETE FROM t");
    let second = session.take_changeset().unwrap();
    let t = TableInfo::new("t", &[1, 0, 0]).with_columns(&["id", "u", "v"]);
    let json = serde_json::to_string(&appended(&[&first, &second]).json([t])).unwrap();
    let read: Changeset = serde_json::from_str(&json).unwrap();
    assert_eq!((read.records().count(), read.sections().count()), (128, 1));
    let mut replica = open(&format!("{schema}{start}"));
    assert_eq!(replica.apply(&read).run().unwrap().applied(), 128);
    assert_eq!(lines(&mut replica, "SELECT '' || count(*) AS line FROM t"), ["0"]);
}

// ---- no quadratic time ----

/// Returns UPDATEs of rows of `t (id, u, v)`, each with a value of 10 KB.
fn large_updates(count: i64, u: impl Fn(i64) -> i64) -> Changeset {
    let t = TableInfo::new("t", &[1, 0, 0]);
    let large = vec![7; 10_000];
    let large = Value::Blob(&large);
    (0..count)
        .fold(Changeset::builder(), |builder, id| {
            builder.update_values(t, &[id.into(), id.into(), Value::Null], &[id.into(), u(id).into(), large])
        })
        .build()
        .unwrap()
}

fn many(schema: &str, count: i64) -> String {
    format!(
        "{schema} WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO t SELECT i, i, NULL FROM n;",
        count - 1
    )
}

/// Both would take minutes if each round tried all changes again.
#[test]
fn large_updates_that_break_a_constraint_are_not_tried_again_and_again() {
    const COUNT: i64 = 4000;
    let check = many("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER CHECK (u >= 0), v);", COUNT);
    let negative = large_updates(COUNT, |id| -1 - id);
    let taken = many("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v);", 2 * COUNT);
    let collides = large_updates(COUNT, |id| COUNT + id);
    for (schema, changeset) in [(&check, &negative), (&taken, &collides)] {
        for streamed in [false, true] {
            let mut conn = open(schema);
            let mut asked = 0;
            let omit = |kind| {
                assert_eq!(kind, ConflictType::Constraint);
                asked += 1;
                ConflictAction::Omit
            };
            let report = match streamed {
                false => conn.apply(changeset).otherwise(omit).run(),
                true => conn.apply(ChangesetReader::new(changeset.as_bytes())).otherwise(omit).run(),
            };
            assert_eq!((report.unwrap().omitted(), asked), (COUNT as u64, COUNT), "streamed: {streamed}");
        }
    }
}

#[test]
fn an_apply_can_be_cancelled_while_changes_conflict() {
    const COUNT: i64 = 2000;
    let schema = many("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE CHECK (u >= 0), v);", 2 * COUNT);
    for changeset in [large_updates(COUNT, |id| -1 - id), large_updates(COUNT, |id| COUNT + id)] {
        for streamed in [false, true] {
            let mut conn = open(&schema);
            let asked = Cell::new(0);
            let run = |apply: Apply<'_, ChangesetFormat>| {
                apply
                    .otherwise(|_| {
                        asked.set(asked.get() + 1);
                        ConflictAction::Omit
                    })
                    .on_progress(|_| if asked.get() > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                    .run()
            };
            let result = match streamed {
                false => run(conn.apply(&changeset)),
                true => run(conn.apply(ChangesetReader::new(changeset.as_bytes()))),
            };
            assert!(matches!(result, Err(ApplyError::Cancelled)), "streamed: {streamed}: {result:?}");
            assert!(asked.get() < COUNT, "streamed: {streamed}: cancelled only after {} conflicts", asked.get());
            assert_eq!(lines(&mut conn, "SELECT '' || count(v) AS line FROM t"), ["0"]);
        }
    }
}

/// Every row waits for the next, and only the last change of the input releases a value.
#[test]
fn an_apply_can_be_cancelled_while_changes_are_tried_again() {
    const COUNT: i64 = 2000;
    let schema = many("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v);", COUNT);
    let changeset = large_updates(COUNT, |id| id + 1);
    for streamed in [false, true] {
        let mut conn = open(&schema);
        let mut after_the_last = 0;
        let mut run = |apply: Apply<'_, ChangesetFormat>| {
            apply
                .keep_order()
                .on_progress(|progress| {
                    after_the_last += i32::from(progress.changes == COUNT as u64);
                    if after_the_last > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .run()
        };
        let result = match streamed {
            false => run(conn.apply(&changeset)),
            true => run(conn.apply(ChangesetReader::new(changeset.as_bytes()))),
        };
        assert!(matches!(result, Err(ApplyError::Cancelled)), "streamed: {streamed}: {result:?}");
        assert_eq!(lines(&mut conn, "SELECT '' || count(v) AS line FROM t"), ["0"]);
    }
}

/// A shift by one of a UNIQUE column, in the order in which every change waits for the next.
fn shift(count: i64) -> Changeset {
    let t = TableInfo::new("t", &[1, 0, 0]);
    (0..count)
        .fold(Changeset::builder(), |builder, id| {
            builder.update_values(t, &[id.into(), id.into(), Value::Null], &[id.into(), (id + 1).into(), Value::Null])
        })
        .build()
        .unwrap()
}

const SHIFTED: i64 = 20_000;

/// Each would take minutes if each round moved one row.
#[test]
fn a_long_shift_takes_one_round() {
    let changeset = shift(SHIFTED);
    let plain = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v);";
    for (schema, streamed, keeps) in [
        (plain.to_string(), false, false),
        (plain.to_string(), false, true),
        (plain.to_string(), true, false),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER NOT NULL, v) WITHOUT ROWID; CREATE UNIQUE INDEX i ON t (u);".into(), true, false),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER, v, UNIQUE (v, u), UNIQUE (u));".into(), true, false),
    ] {
        let mut conn = open(&many(&schema, SHIFTED));
        let report = match (streamed, keeps) {
            (true, _) => conn.apply(ChangesetReader::new(changeset.as_bytes())).run(),
            (false, true) => conn.apply(&changeset).keep_order().run(),
            (false, false) => conn.apply(&changeset).run(),
        };
        assert_eq!(report.unwrap().applied(), SHIFTED as u64, "{schema} {streamed}");
        let wrong = "SELECT '' || count(*) AS line FROM t WHERE u <> id + 1";
        assert_eq!(lines(&mut conn, wrong), ["0"], "{schema} {streamed}");
    }
}

#[test]
fn a_long_shift_takes_one_round_with_a_trigger() {
    let changeset = shift(SHIFTED);
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v); CREATE TABLE log (line);";
    let trigger = "CREATE TRIGGER r AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.u); END;";
    for streamed in [false, true] {
        let mut conn = open(&(many(schema, SHIFTED) + trigger));
        let report = match streamed {
            true => conn.apply(ChangesetReader::new(changeset.as_bytes())).run(),
            false => conn.apply(&changeset).run(),
        };
        assert_eq!(report.unwrap().applied(), SHIFTED as u64, "{streamed}");
        let log = "SELECT count(DISTINCT line) || ' ' || count(*) AS line FROM log";
        assert_eq!(lines(&mut conn, log), [format!("{SHIFTED} {SHIFTED}")], "{streamed}");
    }
}

// ---- extended result codes ----

#[test]
fn extended_result_codes_change_nothing() {
    const ROWS: &str = "INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c');";
    // a schema, edits at the source of which some break a constraint, and how many do
    let cases = [
        (
            "u UNIQUE, v",
            "INSERT INTO t VALUES (8, 90, 'mine');",
            "UPDATE t SET u = 90 WHERE id = 1; UPDATE t SET u = 7 WHERE id = 2",
            1,
        ),
        ("u UNIQUE, v", "INSERT INTO t VALUES (8, 90, 'mine');", "INSERT INTO t VALUES (5, 90, 'e'), (6, 60, 'f')", 1),
        ("u CHECK (u > 0), v", "", "UPDATE t SET u = -1 WHERE id = 1; UPDATE t SET u = 7 WHERE id = 2", 1),
        ("u CHECK (u > 0), v", "", "INSERT INTO t VALUES (5, -1, 'e'), (6, 60, 'f')", 1),
        ("u NOT NULL, v", "", "UPDATE t SET u = NULL WHERE id = 1; UPDATE t SET u = 7 WHERE id = 2", 1),
        ("u NOT NULL, v", "", "INSERT INTO t VALUES (5, NULL, 'e'), (6, 60, 'f')", 1),
        (
            "u, v",
            "CREATE TRIGGER r BEFORE UPDATE ON t WHEN new.u = 90 BEGIN SELECT RAISE(ABORT, 'no'); END;",
            "UPDATE t SET u = 90 WHERE id = 1; UPDATE t SET u = 7 WHERE id = 2",
            1,
        ),
        (
            "u, v",
            "CREATE TRIGGER r BEFORE DELETE ON t WHEN old.id = 1 BEGIN SELECT RAISE(ABORT, 'no'); END;",
            "DELETE FROM t WHERE id < 3",
            1,
        ),
        (
            "u, v",
            "CREATE TRIGGER r AFTER INSERT ON t WHEN new.id = 5 BEGIN SELECT RAISE(ABORT, 'no'); END;",
            "INSERT INTO t VALUES (5, 1, 'e'), (6, 60, 'f')",
            1,
        ),
        ("u, v", "INSERT INTO t VALUES (5, 1, 'mine');", "INSERT INTO t VALUES (5, 1, 'e'), (6, 60, 'f')", 1),
        (
            "u, v",
            "PRAGMA foreign_keys = ON; CREATE TABLE c (r REFERENCES t ON DELETE RESTRICT); INSERT INTO c VALUES (1);",
            "DELETE FROM t WHERE id < 3",
            0,
        ),
        ("u UNIQUE, v", "", "UPDATE t SET u = 30 - u WHERE id < 3", 0),
    ];
    for (columns, more, edits, conflicts) in cases {
        let source = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u, v);{ROWS}");
        let changes = record(&source, edits);
        for how in [How::Changeset, How::ChangesetStream, How::Patchset, How::PatchsetStream] {
            let results = [false, true].map(|extended| {
                let mut conn = connection::connect(":memory:");
                exec(&mut conn, &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {columns});{ROWS}{more}"));
                connection::set_extended_result_codes(&mut conn, extended);
                let (report, kinds) = apply_omitting(&mut conn, &changes, how);
                let report =
                    report.unwrap_or_else(|error| panic!("{columns} {more} {edits} {how:?} {extended}: {error}"));
                (report.applied(), report.omitted(), kinds, rows(&mut conn, "main", "t"))
            });
            let context = format!("{columns} {more} {edits} {how:?}");
            assert_eq!(results[0], results[1], "{context}");
            assert_eq!(results[0].1, conflicts, "{context}");
        }
    }
    // STRICT tables have an extended code of their own
    for how in How::ALL {
        let changes = record("CREATE TABLE t (id INTEGER PRIMARY KEY, u);", "INSERT INTO t VALUES (1, 'no'), (2, 2)");
        let mut conn = connection::connect(":memory:");
        exec(&mut conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER) STRICT");
        connection::set_extended_result_codes(&mut conn, true);
        let (report, kinds) = apply_omitting(&mut conn, &changes, how);
        assert_eq!((report.unwrap().applied(), kinds), (1, vec![ConflictType::Constraint]), "{how:?}");
    }
}

#[test]
fn foreign_key_violations_are_found_with_extended_result_codes() {
    let schema = "PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE t (id INTEGER PRIMARY KEY, v REFERENCES p);";
    let changes = record(&schema.replace("ON;", "OFF;"), "INSERT INTO t VALUES (1, 5)");
    for how in How::ALL {
        let mut conn = connection::connect(":memory:");
        exec(&mut conn, schema);
        connection::set_extended_result_codes(&mut conn, true);
        let (result, kinds) = apply_with(&mut conn, &changes, how, Options::default(), ConflictAction::Abort);
        assert!(matches!(result, Err(ApplyError::ForeignKeyViolations(_))), "{how:?}: {result:?}");
        assert_eq!(kinds, [ConflictType::ForeignKey], "{how:?}");
    }
}

// ---- counts ----

/// Repeats the change of a changeset that contains only one.
fn repeated(changes: &Recorded, times: usize, in_sections: bool) -> Recorded {
    let (changesets, patchsets) = (vec![&changes.0; times], vec![&changes.1; times]);
    match in_sections {
        true => (appended(&changesets), appended(&patchsets)),
        false => (in_one_section(&changesets), in_one_section(&patchsets)),
    }
}

#[test]
fn every_change_is_counted_also_if_it_is_the_same_as_another() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER, v);";
    let there = format!("{schema} INSERT INTO t VALUES (1, 10, 'a');");
    let insert = record(schema, "INSERT INTO t VALUES (1, 10, 'new')");
    let update = record(&there, "UPDATE t SET u = 20");
    let delete = record(&there, "DELETE FROM t");
    let other = format!("{schema} INSERT INTO t VALUES (1, 99, 'mine');");
    let check =
        format!("{} INSERT INTO t VALUES (1, 10, 'a');", schema.replace("u INTEGER", "u INTEGER CHECK (u < 20)"));
    let taken = format!(
        "{} INSERT INTO t VALUES (1, 10, 'a'), (9, 20, 'mine');",
        schema.replace("u INTEGER", "u INTEGER UNIQUE")
    );
    let kept = format!("{there} CREATE TRIGGER r BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'no'); END;");
    use ConflictType as Kind;
    let cases = [
        ("insert finds a row", &insert, &other, Kind::Conflict, true),
        (
            "insert breaks a constraint",
            &insert,
            &format!("{} INSERT INTO t VALUES (2, 10, 'b')", schema.replace("u INTEGER", "u INTEGER UNIQUE")),
            Kind::Constraint,
            true,
        ),
        ("update finds no row", &update, &schema.to_string(), Kind::NotFound, true),
        ("update finds other values", &update, &other, Kind::Data, false),
        ("update breaks a check", &update, &check, Kind::Constraint, true),
        ("update finds its value taken", &update, &taken, Kind::Constraint, true),
        ("delete finds no row", &delete, &schema.to_string(), Kind::NotFound, true),
        ("delete finds other values", &delete, &other, Kind::Data, false),
        ("delete is refused", &delete, &kept, Kind::Constraint, true),
    ];
    for (name, changes, replica, kind, in_patchsets) in cases {
        for times in [1, 2, 3, 40, 1200] {
            for in_sections in [false, true] {
                let changes = repeated(changes, times, in_sections);
                let ways: &[How] = if in_patchsets { &How::ALL } else { &How::CHANGESETS };
                for how in ways {
                    let context = format!("{name}, {times} times, {how:?}, sections: {in_sections}");
                    let mut conn = open(replica);
                    let before = rows(&mut conn, "main", "t");
                    let (report, kinds) = apply_omitting(&mut conn, &changes, *how);
                    let report = report.unwrap();
                    assert_eq!(
                        (report.applied(), report.replaced(), report.omitted()),
                        (0, 0, times as u64),
                        "{context}"
                    );
                    assert!(kinds.iter().all(|found| *found == kind), "{context}");
                    assert_eq!(kinds.len(), times, "{context}");
                    assert_eq!(rows(&mut conn, "main", "t"), before, "{context}");
                }
            }
        }
    }
}

#[test]
fn every_replaced_change_is_counted_also_if_it_is_the_same_as_another() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER, v);";
    let update = record(&format!("{schema} INSERT INTO t VALUES (1, 10, 'a');"), "UPDATE t SET u = 20");
    let insert = record(schema, "INSERT INTO t VALUES (1, 10, 'new')");
    let replica = format!("{schema} INSERT INTO t VALUES (1, 99, 'mine');");
    for (changes, ways, after) in
        [(&update, &How::CHANGESETS[..], "1 20 'mine'"), (&insert, &How::ALL[..], "1 10 'new'")]
    {
        for in_sections in [false, true] {
            let changes = repeated(changes, 3, in_sections);
            for how in ways {
                let mut conn = open(&replica);
                let (report, _) = apply_with(&mut conn, &changes, *how, Options::default(), ConflictAction::Replace);
                let report = report.unwrap();
                assert_eq!((report.applied(), report.replaced(), report.omitted()), (0, 3, 0), "{how:?}");
                assert_eq!(rows(&mut conn, "main", "t"), [after], "{how:?}");
            }
        }
    }
}

// ---- rejections ----

#[test]
fn a_trigger_that_the_changes_cannot_fire_rejects_nothing() {
    let t = "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v); INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b');";
    let update = record(t, "UPDATE t SET u = 11 WHERE id = 1");
    let more = "CREATE TABLE other (id INTEGER PRIMARY KEY, w);";
    for unrelated in [
        "CREATE TRIGGER r AFTER INSERT ON other BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        "CREATE TRIGGER r BEFORE UPDATE ON other BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        "CREATE TRIGGER r AFTER INSERT ON other BEGIN INSERT OR ROLLBACK INTO other VALUES (1, 1); END;",
        "CREATE TRIGGER r AFTER INSERT ON other BEGIN SELECT RAISE(FAIL, 'no'); END;",
        "CREATE TRIGGER r AFTER INSERT ON other BEGIN UPDATE t SET u = 1; SELECT RAISE(ROLLBACK, 'no'); END;",
        "CREATE TEMP TRIGGER r AFTER INSERT ON other BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        "CREATE TABLE strict_one (id UNIQUE ON CONFLICT ROLLBACK);",
        "CREATE TABLE strict_one (id UNIQUE ON CONFLICT FAIL);",
        "CREATE VIEW shown AS SELECT * FROM t; CREATE TRIGGER r INSTEAD OF UPDATE ON shown BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        "CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, u, v); CREATE TEMP TRIGGER r AFTER UPDATE ON temp.t BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        "ATTACH ':memory:' AS elsewhere; CREATE TABLE elsewhere.t (id INTEGER PRIMARY KEY, u, v); CREATE TRIGGER elsewhere.r AFTER UPDATE ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        // a trigger of the table, but of another operation
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        "CREATE TRIGGER r BEFORE DELETE ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        // a foreign key that an UPDATE of another column does not concern
        "PRAGMA foreign_keys = ON; CREATE TABLE c (r REFERENCES t ON DELETE CASCADE); CREATE TRIGGER r AFTER DELETE ON c BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
    ] {
        for how in How::ALL {
            let mut conn = open(&format!("{t}{more}{unrelated}"));
            let (report, kinds) = apply_omitting(&mut conn, &update, how);
            let report = report.unwrap_or_else(|error| panic!("{unrelated}, {how:?}: {error}"));
            assert_eq!((report.applied(), kinds), (1, vec![]), "{unrelated}, {how:?}");
        }
    }
}

#[test]
fn a_trigger_that_rolls_back_ends_the_apply() {
    let t = "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v); INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b');";
    let update = record(t, "UPDATE t SET u = 11 WHERE id = 1");
    let delete = record(t, "DELETE FROM t WHERE id = 1");
    let cascade =
        "PRAGMA foreign_keys = ON; CREATE TABLE c (r REFERENCES t ON DELETE CASCADE); INSERT INTO c VALUES (1);
        CREATE TRIGGER r AFTER DELETE ON c BEGIN SELECT RAISE(ROLLBACK, 'no'); END;";
    let through = "CREATE TABLE other (id INTEGER PRIMARY KEY, w); CREATE TRIGGER r AFTER UPDATE ON t BEGIN INSERT INTO other VALUES (new.id, 1); END;
        CREATE TRIGGER s AFTER INSERT ON other BEGIN SELECT RAISE(ROLLBACK, 'no'); END;";
    for (changes, more) in [
        (&update, "CREATE TRIGGER r AFTER UPDATE ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END;"),
        (&update, "CREATE TEMP TRIGGER r AFTER UPDATE ON main.t BEGIN SELECT RAISE(ROLLBACK, 'no'); END;"),
        (&update, through),
        (&delete, cascade),
    ] {
        for how in How::ALL {
            let mut conn = open(&format!("{t}{more}"));
            let (result, _) = apply_omitting(&mut conn, changes, how);
            assert!(matches!(result, Err(ApplyError::RolledBack { .. })), "{more}, {how:?}: {result:?}");
            assert_eq!(rows(&mut conn, "main", "t").len(), 2);
        }
    }
}

// ---- wide tables ----

/// A table with `columns` columns besides its key, and statements on it.
struct Wide {
    columns: usize,
}

impl Wide {
    fn schema(&self) -> String {
        let mut schema = String::from("CREATE TABLE w (id INTEGER PRIMARY KEY");
        (1..self.columns).for_each(|column| write!(schema, ", c{column}").unwrap());
        schema + ");"
    }

    fn insert(&self, id: i64) -> String {
        let mut insert = format!("INSERT INTO w VALUES ({id}");
        (1..self.columns).for_each(|column| write!(insert, ", {}", id * 10_000 + column as i64).unwrap());
        insert + ");"
    }

    /// Sets every column but the key.
    fn update(&self, id: i64) -> String {
        let set: Vec<String> = (1..self.columns).map(|column| format!("c{column} = -c{column}")).collect();
        format!("UPDATE w SET {} WHERE id = {id};", set.join(", "))
    }

    fn last(&self) -> String {
        format!("c{}", self.columns - 1)
    }

    fn sums(&self, conn: &mut SqliteConnection) -> Vec<String> {
        let sums: Vec<String> = (1..self.columns).step_by(37).map(|column| format!("c{column}")).collect();
        let last = self.last();
        lines(conn, &format!("SELECT concat_ws(',', id, {last}, {}) AS line FROM w ORDER BY id", sums.join(", ")))
    }
}

#[test]
fn tables_with_many_columns_are_recorded_and_applied() {
    for columns in [999, 1000, 1001, 1900] {
        let wide = Wide { columns };
        let before = format!("{}{}{}{}", wide.schema(), wide.insert(1), wide.insert(2), wide.insert(3));
        let last = wide.last();
        let edits = format!(
            "{}{}DELETE FROM w WHERE id = 2; UPDATE w SET {last} = 5 WHERE id = 3;",
            wide.insert(4),
            wide.update(1)
        );
        let changes = record(&before, &edits);
        let mut source = open(&format!("{before}{edits}"));
        let after = wide.sums(&mut source);
        for how in How::ALL {
            let context = format!("{columns} columns, {how:?}");
            let mut conn = open(&before);
            let (report, kinds) = apply_omitting(&mut conn, &changes, how);
            let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!((report.applied(), kinds), (4, vec![]), "{context}");
            assert_eq!(wide.sums(&mut conn), after, "{context}");
            // everything is made already
            let options = Options { ignore_noops: true, ..Options::default() };
            let (report, kinds) = apply_with(&mut conn, &changes, how, options, ConflictAction::Omit);
            assert_eq!((report.unwrap().applied(), kinds), (4, vec![]), "{context}, again");
            assert_eq!(wide.sums(&mut conn), after, "{context}, again");
        }
        // each change conflicts, and is omitted or replaces
        let mine = format!("{before}{} UPDATE w SET {last} = 7;", wide.insert(4));
        for answer in [ConflictAction::Omit, ConflictAction::Replace] {
            let mut conn = open(&mine);
            let untouched = wide.sums(&mut conn);
            let (report, mut kinds) = apply_with(&mut conn, &changes, How::Changeset, Options::default(), answer);
            let report = report.unwrap();
            kinds.sort_unstable_by_key(|kind| kind.to_raw());
            let expected = [ConflictType::Data, ConflictType::Data, ConflictType::Data, ConflictType::Conflict];
            assert_eq!(kinds, expected, "{columns} columns, {answer:?}");
            if answer == ConflictAction::Omit {
                assert_eq!((report.omitted(), wide.sums(&mut conn)), (4, untouched), "{columns} columns");
            } else {
                assert_eq!((report.replaced(), wide.sums(&mut conn)), (4, after.clone()), "{columns} columns");
            }
        }
        // none of the rows is there
        let mut conn = open(&wide.schema());
        let (report, kinds) = apply_with(&mut conn, &changes, How::Changeset, Options::default(), ConflictAction::Omit);
        assert_eq!((report.unwrap().applied(), kinds), (1, vec![ConflictType::NotFound; 3]), "{columns} columns");
    }
}

#[test]
fn a_key_of_many_columns_finds_its_row() {
    // an ordinal of a key column is one byte
    for columns in [100, 255] {
        let names: Vec<String> = (0..columns).map(|column| format!("k{column}")).collect();
        let names = names.join(", ");
        let row = |last: i64, v: i64| {
            let mut values = vec![Value::Integer(1); columns];
            values[columns - 1] = last.into();
            values.push(v.into());
            values
        };
        let ordinals: Vec<u8> = (1..=u8::try_from(columns).unwrap()).chain([0]).collect();
        let w = TableInfo::new("w", &ordinals);
        let changeset = Changeset::builder()
            .insert_values(w, &row(1, 1))
            .update_values(w, &row(2, 2), &row(2, 20))
            .delete_values(w, &row(3, 3))
            .build()
            .unwrap();
        let before = Changeset::builder().insert_values(w, &row(2, 2)).insert_values(w, &row(3, 3)).build().unwrap();
        for table in ["", "WITHOUT ROWID"] {
            let mut conn = open(&format!("CREATE TABLE w ({names}, v, PRIMARY KEY ({names})) {table}"));
            conn.apply(&before).run().unwrap();
            assert_eq!(conn.apply(&changeset).run().unwrap().applied(), 3);
            assert_eq!(lines(&mut conn, "SELECT '' || v AS line FROM w ORDER BY v"), ["1", "20"]);
        }
    }
}
