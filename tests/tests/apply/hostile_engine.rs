//! Attempts to make the engine write what nobody asked for, lose a change without an error, or leave
//! something behind on the connection.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{ApplyError, Changeset, ConflictAction, SqliteSessionExt};

use super::replica::{How, Options, Recorded, apply_with, assert_sound, contents, in_one_section, record, rows};
use crate::common::{exec, lines, open};

const FAMILY: &str = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE);";
const WITHOUT_ACTIONS: Options =
    Options { without_update_loop: false, without_foreign_key_actions: true, ignore_noops: false, keep_order: false };

/// Applies `changes` without any conflict.
fn apply(conn: &mut SqliteConnection, changes: &Recorded, how: How, options: Options, context: &str) {
    let count = changes.0.records().count() as u64;
    let (report, kinds) = apply_with(conn, changes, how, options, ConflictAction::Omit);
    assert!(kinds.is_empty(), "{context}, {how:?}: {} conflicts, the first of the kind {:?}", kinds.len(), kinds[0]);
    let report = report.unwrap_or_else(|error| panic!("{context}, {how:?}: {error}"));
    assert_eq!(report.applied(), count, "{context}, {how:?}");
}

/// Checks that an apply has left no savepoint, no setting and no disabled action behind.
fn assert_nothing_left(conn: &mut SqliteConnection, context: &str) {
    let setting = |conn: &mut SqliteConnection, name: &str| {
        lines(conn, &format!("SELECT '' || {name} AS line FROM pragma_{name}"))
    };
    for name in ["defer_foreign_keys", "ignore_check_constraints"] {
        assert_eq!(setting(conn, name), ["0"], "{context}: {name}");
    }
    for savepoint in ["apply", "change", "exchange", "reload"] {
        let released = conn.batch_execute(&format!("RELEASE diesel_sqlite_session_{savepoint}"));
        assert!(released.is_err(), "{context}: the savepoint {savepoint} is open");
    }
    let names = lines(conn, "SELECT name AS line FROM sqlite_schema WHERE name LIKE 'diesel%'");
    assert!(names.is_empty(), "{context}: {names:?}");
}

/// Checks that the foreign key action of [`FAMILY`] acts.
fn assert_cascades(conn: &mut SqliteConnection, context: &str) {
    exec(conn, "INSERT INTO parent VALUES (99); INSERT INTO child VALUES (99, 99); DELETE FROM parent WHERE id = 99");
    assert_eq!(lines(conn, "SELECT 'child' AS line FROM child WHERE id = 99"), [""; 0], "{context}");
}

#[test]
fn an_apply_without_actions_does_not_mix_up_kept_statements() {
    let before = "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v);
        INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c');";
    let first = record(before, "INSERT INTO t VALUES (4, 40, 'd')");
    let before_second = format!("{before} INSERT INTO t VALUES (4, 40, 'd');");
    let second = record(
        &before_second,
        "DELETE FROM t WHERE id = 1; UPDATE t SET u = 21 WHERE id = 2; UPDATE t SET v = 'x' WHERE id = 3;
         INSERT INTO t VALUES (5, 50, 'e'); INSERT INTO t VALUES (6, 60, 'f');",
    );
    for how in How::ALL {
        let mut conn = open(&format!("PRAGMA foreign_keys = ON; {before} {FAMILY}"));
        apply(&mut conn, &first, how, Options::default(), "with actions");
        apply(&mut conn, &second, how, WITHOUT_ACTIONS, "without actions");
        assert_eq!(
            rows(&mut conn, "main", "t"),
            ["2 21 'b'", "3 30 'x'", "4 40 'd'", "5 50 'e'", "6 60 'f'"],
            "{how:?}"
        );
        assert_cascades(&mut conn, &format!("{how:?}"));
    }
}

/// Three changes of which two have to wait with their rows parked, in every order.
fn two_parked() -> Vec<Changeset> {
    let source = "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3);";
    let [a, b, c] = ["u = 2 WHERE id = 1", "u = 3, v = 3 WHERE id = 2", "u = 1, v = 2 WHERE id = 3"]
        .map(|edit| record(source, &format!("UPDATE t SET {edit}")).0);
    let orders = [[&a, &b, &c], [&a, &c, &b], [&b, &a, &c], [&b, &c, &a], [&c, &a, &b], [&c, &b, &a]];
    orders.iter().map(|order| in_one_section(order)).collect()
}

#[test]
fn conflict_clauses_do_not_act_on_parked_rows() {
    for clause in ["", "ON CONFLICT ROLLBACK", "ON CONFLICT REPLACE", "ON CONFLICT IGNORE", "ON CONFLICT FAIL"] {
        for (place, changes) in two_parked().iter().enumerate() {
            let mut conn = open(&format!(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, u NOT NULL UNIQUE {clause}, v NOT NULL UNIQUE {clause});
                 INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3); BEGIN; CREATE TABLE mine (a);"
            ));
            let context = format!("{clause}, order {place}");
            let report = conn.apply(changes).run().unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(report.applied(), 3, "{context}");
            exec(&mut conn, "COMMIT");
            assert_eq!(rows(&mut conn, "main", "t"), ["1 2 1", "2 3 3", "3 1 2"], "{context}");
            assert!(rows(&mut conn, "main", "mine").is_empty(), "{context}");
        }
    }
}

#[test]
fn a_value_of_any_unique_index_is_passed_on_through_many_rows() {
    for count in [8, 100, 2000] {
        let source = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v);
             WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO t SELECT i, i, NULL FROM n;"
        );
        for (edits, index) in [
            ("UPDATE t SET u = u + 1", "t (u)"),
            ("UPDATE t SET u = u + 1", "t (u) WHERE v IS NULL"),
            ("UPDATE t SET u = u - 1", "t (u) WHERE v IS NULL"),
            ("UPDATE t SET u = u + 1", "t (abs(u))"),
            ("UPDATE t SET u = u - 1", "t (abs(u))"),
        ] {
            let changes = record(&source, edits);
            for how in How::ALL {
                let mut conn = open(&format!("{source} CREATE UNIQUE INDEX i ON {index};"));
                apply(&mut conn, &changes, how, Options::default(), &format!("{count} rows, {edits}, {index}"));
                assert_sound(&mut conn, index);
            }
        }
    }
}

#[test]
fn a_tree_that_a_trigger_protects_is_deleted() {
    let guard = "CREATE TRIGGER guard BEFORE DELETE ON t WHEN EXISTS (SELECT 1 FROM t WHERE up = old.id)
        BEGIN SELECT RAISE(ABORT, 'has children'); END;";
    for direction in ["i - 1", "i + 1"] {
        let source = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, up);
             WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 30)
             INSERT INTO t SELECT i, {direction} FROM n;"
        );
        let changes = record(&source, "DELETE FROM t");
        for how in How::ALL {
            let mut conn = open(&format!("{source} {guard}"));
            apply(&mut conn, &changes, how, Options::default(), direction);
        }
    }
}

#[test]
fn nothing_is_parked_for_good_where_sqlite_does_not_roll_back() {
    let rows_before = "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4);";
    let source = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u, v); {rows_before}");
    let set = |edit: &str| record(&source, &format!("UPDATE t SET {edit}")).0;
    // the second change also needs a value that nobody releases
    for (one, other) in
        [("v = 2 WHERE id = 1", "v = 1, u = 4 WHERE id = 2"), ("u = 2 WHERE id = 1", "u = 1, v = 4 WHERE id = 2")]
    {
        let changes = in_one_section(&[&set(one), &set(other)]);
        for mode in ["MEMORY", "OFF"] {
            let mut conn = open(&format!(
                "PRAGMA journal_mode = {mode};
                 CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v UNIQUE); {rows_before}"
            ));
            let before = contents(&mut conn);
            let report = conn.apply(&changes).otherwise(|_| ConflictAction::Omit).run().unwrap();
            assert_eq!(report.omitted(), 2, "{mode}");
            assert_eq!(contents(&mut conn), before, "{mode}: {one}");
        }
    }
}

#[test]
fn an_apply_without_actions_leaves_the_schema_as_it_was() {
    let changes = record("CREATE TABLE parent (id INTEGER PRIMARY KEY);", "INSERT INTO parent VALUES (1)");
    let names = (0..50).map(|number| format!("CREATE TABLE \"diesel_sqlite_session reload {number}\" (a);"));
    for (case, setup) in [("plain", String::new()), ("tables of that name", names.collect())] {
        let mut conn = open(&format!("{setup} PRAGMA foreign_keys = ON; {FAMILY}"));
        let schema = lines(&mut conn, "SELECT sql AS line FROM sqlite_schema");
        for how in How::ALL {
            apply(&mut conn, &changes, how, WITHOUT_ACTIONS, case);
            assert_eq!(lines(&mut conn, "SELECT sql AS line FROM sqlite_schema"), schema, "{case}");
            assert_cascades(&mut conn, case);
            exec(&mut conn, "DELETE FROM parent");
        }
    }
    // nothing can be rolled back
    let mut conn = open(&format!("PRAGMA journal_mode = OFF; PRAGMA foreign_keys = ON; {FAMILY}"));
    let schema = lines(&mut conn, "SELECT sql AS line FROM sqlite_schema");
    let error = conn.apply(&changes.0).without_foreign_key_actions().run().unwrap_err();
    assert!(matches!(error, ApplyError::CannotDisableActions), "{error}");
    assert_eq!(lines(&mut conn, "SELECT sql AS line FROM sqlite_schema"), schema);
}

#[test]
fn actions_are_enabled_again_in_a_full_database() {
    let changes = record("CREATE TABLE t (id INTEGER PRIMARY KEY, b);", "INSERT INTO t VALUES (1, zeroblob(4000))");
    let mut conn = open(&format!(
        "PRAGMA page_size = 4096; PRAGMA foreign_keys = ON; {FAMILY} CREATE TABLE t (id INTEGER PRIMARY KEY, b);
         CREATE TABLE free (a); INSERT INTO t VALUES (2, zeroblob(4000)); DROP TABLE free;"
    ));
    assert_eq!(lines(&mut conn, "SELECT '' || freelist_count AS line FROM pragma_freelist_count"), ["1"]);
    let pages = lines(&mut conn, "SELECT '' || page_count AS line FROM pragma_page_count").remove(0);
    // the page that the change needs is also the last one
    conn.batch_execute(&format!("PRAGMA max_page_count = {pages}")).unwrap();
    let (report, _) = apply_with(&mut conn, &changes, How::Changeset, WITHOUT_ACTIONS, ConflictAction::Omit);
    conn.batch_execute("PRAGMA max_page_count = 1000").unwrap();
    assert_nothing_left(&mut conn, &format!("{report:?}"));
    assert_cascades(&mut conn, &format!("{report:?}"));
}

#[test]
fn a_failed_apply_without_a_savepoint_leaves_no_savepoint() {
    let mut conn = open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v);
         CREATE TRIGGER refuse AFTER INSERT ON t WHEN new.v = 0 BEGIN SELECT RAISE(FAIL, 'no'); END; BEGIN;",
    );
    let t = TableInfo::new("t", &[1, 0]);
    let changes = Changeset::builder()
        .insert_values(t, &[1.into(), 1.into()])
        .insert_values(t, &["no number".into(), 1.into()])
        .build()
        .unwrap();
    let error = conn.apply(&changes).without_savepoint().run().unwrap_err();
    assert!(matches!(error, ApplyError::Sqlite { .. }), "{error:?}");
    assert_nothing_left(&mut conn, "a datatype mismatch");
}

/// Cancels an apply that exchanges values at each call of its progress function, with a panic or
/// not, and checks what is left with `check`.
fn cancel_everywhere(has_savepoint: bool, check: impl Fn(&mut SqliteConnection, &str)) {
    let large = "hex(zeroblob(10000))";
    let rows = format!("INSERT INTO t VALUES (1, 1, {large}), (2, 2, {large}), (3, 3, {large}), (4, 4, {large});");
    let changes = record(
        &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u, v); {rows}"),
        "UPDATE t SET u = 1 + u % 4, v = v || 'x'",
    );
    for (columns, panics, without_actions) in
        [("u", false, false), ("u NOT NULL", false, true), ("u", true, true), ("u NOT NULL", true, false)]
    {
        for stop in 1.. {
            let context = format!("{columns}, panics: {panics}, without actions: {without_actions}, call {stop}");
            let mut conn = open(&format!(
                "PRAGMA foreign_keys = ON; {FAMILY}
                 CREATE TABLE t (id INTEGER PRIMARY KEY, {columns} UNIQUE CHECK (u > 0) REFERENCES parent, v);
                 INSERT INTO parent VALUES (1), (2), (3), (4); {rows} BEGIN;"
            ));
            let mut calls = 0;
            let result = catch_unwind(AssertUnwindSafe(|| {
                let apply = conn.apply(&changes.0).on_progress(|_| {
                    calls += 1;
                    assert!(!panics || calls < stop, "the progress function panics");
                    if calls < stop { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                let apply = if has_savepoint { apply } else { apply.without_savepoint() };
                let apply = if without_actions { apply.without_foreign_key_actions() } else { apply };
                apply.run().map(drop)
            }));
            check(&mut conn, &context);
            assert_nothing_left(&mut conn, &context);
            assert_cascades(&mut conn, &context);
            if matches!(result, Ok(Ok(()))) {
                assert!(stop > 10, "{context}");
                break;
            }
        }
    }
}

#[test]
fn an_apply_that_is_cancelled_anywhere_leaves_nothing() {
    cancel_everywhere(true, |conn, context| {
        let now = lines(conn, "SELECT group_concat(u || '-' || length(v)) AS line FROM t");
        assert!(
            now == ["1-20000,2-20000,3-20000,4-20000"] || now == ["2-20001,3-20001,4-20001,1-20001"],
            "{context}: {now:?}"
        );
    });
}

#[test]
fn without_a_savepoint_each_row_is_that_from_before_or_after_its_change() {
    cancel_everywhere(false, |conn, context| {
        let strange = lines(
            conn,
            "SELECT id || ' ' || quote(u) AS line FROM t WHERE (u, length(v)) IS NOT (id, 20000)
             AND (u, length(v)) IS NOT (1 + id % 4, 20001)",
        );
        assert!(strange.is_empty(), "{context}: {strange:?}");
    });
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns the rows of a table with any name and any columns.
fn rows_of(conn: &mut SqliteConnection, table: &str) -> Vec<String> {
    let literal = table.replace('\'', "''");
    let columns = lines(conn, &format!("SELECT name AS line FROM pragma_table_info('{literal}')"));
    let columns: Vec<String> = columns.iter().map(|column| format!("quote({})", quoted(column))).collect();
    lines(conn, &format!("SELECT {} AS line FROM {} ORDER BY 1", columns.join(" || ' ' || "), quoted(table)))
}

#[test]
fn names_that_look_like_sql_are_names() {
    const PLAIN: &str = "(id INTEGER PRIMARY KEY, v UNIQUE)";
    for (table, columns) in [
        ("main.x", PLAIN),
        ("a\"b", PLAIN),
        ("a'b", PLAIN),
        ("a]b`c", PLAIN),
        ("select", PLAIN),
        ("", PLAIN),
        ("Tä ble", PLAIN),
        ("t%_", "(id TEXT PRIMARY KEY, v UNIQUE) WITHOUT ROWID"),
        ("r", "(rowid INTEGER PRIMARY KEY, v UNIQUE)"),
        ("r", "(_rowid_ TEXT PRIMARY KEY, v UNIQUE)"),
        ("r", "(oid PRIMARY KEY, v UNIQUE)"),
        ("o", "(o PRIMARY KEY, \"o.o\" UNIQUE)"),
        ("r", "(\"i\"\"d\" INTEGER PRIMARY KEY, \"v'\" UNIQUE)"),
        ("r", "(\"?1\" INTEGER PRIMARY KEY, \":a\" UNIQUE)"),
        ("r", "(id INTEGER PRIMARY KEY, v UNIQUE, \"\" DEFAULT 4)"),
        ("r", "(w, v UNIQUE)"),
        ("r", "(rowid, v UNIQUE)"),
    ] {
        for encoding in ["UTF-8", "UTF-16le"] {
            let context = format!("{table:?} {columns} {encoding}");
            let name = quoted(table);
            let setup = format!("PRAGMA encoding = '{encoding}'; CREATE TABLE {name} {columns};");
            let mut source = open(&setup);
            let literal = table.replace('\'', "''");
            let found = lines(&mut source, &format!("SELECT name AS line FROM pragma_table_info('{literal}')"));
            let (key, value) = (quoted(&found[0]), quoted(&found[1]));
            let fill = format!("INSERT INTO {name} ({key}, {value}) VALUES (1, 'x'), (2, 'y'), (3, 'zä'), (4, 'w');");
            exec(&mut source, &fill);
            let mut session = source.create_session().unwrap();
            session.track_rowids().unwrap();
            session.attach_all().unwrap();
            exec(
                &mut source,
                &format!(
                    "UPDATE {name} SET {value} = NULL WHERE {key} = 1; UPDATE {name} SET {value} = 'x' WHERE {key} = 2;
                     UPDATE {name} SET {value} = 'y' WHERE {key} = 1; DELETE FROM {name} WHERE {key} = 3;
                     INSERT INTO {name} ({key}, {value}) VALUES (7, 'zä')"
                ),
            );
            let changes = (session.changeset().unwrap(), session.patchset().unwrap());
            let expected = rows_of(&mut source, table);
            for how in How::ALL {
                let mut conn = open(&format!("{setup} {fill} PRAGMA count_changes = 1; PRAGMA recursive_triggers = 1"));
                apply(&mut conn, &changes, how, Options::default(), &context);
                assert_eq!(rows_of(&mut conn, table), expected, "{context}, {how:?}");
            }
        }
    }
}
