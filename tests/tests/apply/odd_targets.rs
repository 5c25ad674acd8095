//! Targets that are no plain tables, odd values, and functions and hooks of the application. Unusual
//! connections are in [`odd_connections`](super::odd_connections).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{ApplyError, Changeset, ConflictAction, ConflictType, SqliteSessionExt, Value};
use diesel_sqlite_session_tests::apply_agree::Case;
use diesel_sqlite_session_tests::sqlite::connection;
use diesel_sqlite_session_tests::sqlite::connection::hooks::Hooks;
use diesel_sqlite_session_tests::sqlite::{Answer, Question};
use libsqlite3_sys as ffi;

use super::replica::{How, Options, appended, apply_with, assert_sound, contents, record, rows};
use crate::common::{exec, lines, open};

pub(super) fn connect(setup: &str) -> (SqliteConnection, Hooks) {
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, setup);
    let hooks = Hooks::of(&mut conn);
    (conn, hooks)
}

pub(super) fn code(error: &ApplyError) -> Option<i32> {
    match error {
        ApplyError::Sqlite { error, .. } => Some(error.code() & 0xff),
        _ => None,
    }
}

/// Returns what an apply has left behind on the connection.
pub(super) fn left_behind(conn: &mut SqliteConnection, hooks: Hooks) -> Vec<String> {
    let mut found = Vec::new();
    if hooks.running() != 0 {
        found.push("a running statement".to_string());
    }
    for setting in ["defer_foreign_keys", "ignore_check_constraints"] {
        if lines(conn, &format!("SELECT '' || {setting} AS line FROM pragma_{setting}")) != ["0"] {
            found.push(setting.to_string());
        }
    }
    for savepoint in ["apply", "change", "exchange", "reload"] {
        if conn.batch_execute(&format!("RELEASE diesel_sqlite_session_{savepoint}")).is_ok() {
            found.push(format!("the savepoint {savepoint}"));
        }
    }
    found
}

pub(super) fn assert_nothing_left(conn: &mut SqliteConnection, hooks: Hooks, context: &str) {
    assert_eq!(left_behind(conn, hooks), [""; 0], "{context}");
}

/// A table of a key and a value.
pub(super) const PAIR: TableInfo<'static> = TableInfo::new("t", &[1, 0]);

/// INSERTs into `t (id, v)`, in order.
pub(super) fn inserts(ids: impl IntoIterator<Item = i64>) -> Changeset {
    let row = |id| [Value::Integer(id), Value::Integer(id)];
    ids.into_iter().fold(Changeset::builder(), |builder, id| builder.insert_values(PAIR, &row(id))).build().unwrap()
}

/// Applies changes and omits what conflicts. Returns the kinds of the conflicts.
pub(super) fn omitting(conn: &mut SqliteConnection, changes: &Changeset) -> Vec<ConflictType> {
    let mut kinds = Vec::new();
    let handler = |kind| {
        kinds.push(kind);
        ConflictAction::Omit
    };
    conn.apply(changes).otherwise(handler).run().unwrap();
    kinds
}

// Targets

#[test]
fn views_and_virtual_tables_and_tables_of_other_schemas_are_no_targets() {
    let changes = record("CREATE TABLE t (id INTEGER PRIMARY KEY, v);", "INSERT INTO t VALUES (2, 'c')");
    for (target, found) in [
        (
            "CREATE TABLE x (id INTEGER PRIMARY KEY, v); CREATE VIEW t AS SELECT * FROM x;
            CREATE TRIGGER i INSTEAD OF INSERT ON t BEGIN INSERT INTO x VALUES (new.id, new.v); END;",
            "a view",
        ),
        ("CREATE VIRTUAL TABLE t USING fts5(v);", "a virtual table"),
        ("CREATE VIRTUAL TABLE t USING rtree(id, a, b);", "a virtual table"),
        ("CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, v);", "no such table"),
        ("ATTACH ':memory:' AS a; CREATE TABLE a.t (id INTEGER PRIMARY KEY, v);", "no such table"),
    ] {
        let (mut conn, hooks) = connect(target);
        let before = contents(&mut conn);
        let error = conn.apply(&changes.0).run().unwrap_err();
        let ApplyError::SchemaMismatch(mismatch) = &error else { panic!("{target}: {error}") };
        assert_eq!(mismatch.found(), found, "{target}");
        assert_eq!(contents(&mut conn), before, "{target}");
        assert_nothing_left(&mut conn, hooks, target);
    }
}

#[test]
fn a_table_of_another_schema_with_the_same_name_is_not_touched() {
    let changes = record("CREATE TABLE t (id INTEGER PRIMARY KEY, v);", "INSERT INTO t VALUES (2, 'c')");
    for other in [
        "CREATE TEMP VIEW t AS SELECT 5 AS id, 6 AS v;
        CREATE TEMP TRIGGER i INSTEAD OF INSERT ON temp.t BEGIN SELECT RAISE(ABORT, 'no'); END;",
        "CREATE TEMP TABLE t (x PRIMARY KEY, y, z);",
        "ATTACH ':memory:' AS a; CREATE TABLE a.t (x PRIMARY KEY, y, z);",
    ] {
        for is_warm in [false, true] {
            let (mut conn, _) = connect("CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
            if is_warm {
                conn.apply(&changes.0).run().unwrap();
                exec(&mut conn, "DELETE FROM t");
            }
            exec(&mut conn, other);
            conn.apply(&changes.0).run().unwrap();
            assert_eq!(contents(&mut conn), ["main.t: 2 'c'"], "{other}");
        }
    }
}

#[test]
fn the_tables_behind_a_virtual_table_are_read_by_the_next_connection() {
    let setup = "CREATE VIRTUAL TABLE ft USING fts5(body); INSERT INTO ft (rowid, body) VALUES (1, 'one'), (2, 'two');
        CREATE VIRTUAL TABLE box USING rtree(id, a, b); INSERT INTO box VALUES (1, 0, 1);";
    let (changes, _) = record(
        setup,
        "INSERT INTO ft (rowid, body) VALUES (3, 'three'); UPDATE ft SET body = 'five' WHERE rowid = 2;
        DELETE FROM ft WHERE rowid = 1; INSERT INTO box VALUES (2, 5, 6); DELETE FROM box WHERE id = 1;",
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica.db").to_str().unwrap().to_string();
    exec(&mut connection::connect(&path), setup);
    connection::connect(&path).apply(&changes).run().unwrap();
    let mut conn = connection::connect(&path);
    exec(&mut conn, "INSERT INTO ft (ft) VALUES ('integrity-check')");
    let found =
        lines(&mut conn, "SELECT rowid || body AS line FROM ft WHERE ft MATCH 'three OR five OR one' ORDER BY 1");
    assert_eq!(found, ["2five", "3three"]);
    assert_eq!(lines(&mut conn, "SELECT id || ' ' || a AS line FROM box"), ["2 5.0"]);

    let (mut conn, hooks) = connect(setup);
    hooks.configure(ffi::SQLITE_DBCONFIG_DEFENSIVE, true);
    let error = conn.apply(&changes).run().unwrap_err();
    assert_eq!(error.to_string(), "table ft_content: applying: table ft_content may not be modified (code 1)");
    assert_nothing_left(&mut conn, hooks, "defensive");
}

#[test]
fn a_full_text_index_that_triggers_keep_follows_the_changes() {
    let docs = "CREATE TABLE docs (id INTEGER PRIMARY KEY, body, slug UNIQUE);
        INSERT INTO docs VALUES (1, 'one', 'a'), (2, 'two', 'b'), (3, 'three', 'c');";
    let index = "CREATE VIRTUAL TABLE ft USING fts5(body, content='docs', content_rowid='id');
        INSERT INTO ft (ft) VALUES ('rebuild');
        CREATE TRIGGER i AFTER INSERT ON docs BEGIN INSERT INTO ft (rowid, body) VALUES (new.id, new.body); END;
        CREATE TRIGGER d AFTER DELETE ON docs BEGIN
            INSERT INTO ft (ft, rowid, body) VALUES ('delete', old.id, old.body);
        END;
        CREATE TRIGGER u AFTER UPDATE OF body ON docs BEGIN
            INSERT INTO ft (ft, rowid, body) VALUES ('delete', old.id, old.body);
            INSERT INTO ft (rowid, body) VALUES (new.id, new.body);
        END;";
    let changes = record(
        docs,
        "UPDATE docs SET body = 'new ' || body WHERE id < 3; DELETE FROM docs WHERE id = 3; INSERT INTO docs VALUES (4, 'four', 'c');",
    );
    let local = "UPDATE docs SET body = 'local' WHERE id = 1; INSERT INTO docs VALUES (4, 'gone', 'x');";
    for how in How::ALL {
        for (local, answer) in [("", ConflictAction::Abort), (local, ConflictAction::Replace)] {
            let (mut conn, hooks) = connect(&format!("{docs}{index}{local}"));
            apply_with(&mut conn, &changes, how, Options::default(), answer).0.unwrap();
            exec(&mut conn, "INSERT INTO ft (ft, rank) VALUES ('integrity-check', 1)");
            let mut found = |words: &str| {
                lines(&mut conn, &format!("SELECT '' || rowid AS line FROM ft WHERE ft MATCH '{words}' ORDER BY rowid"))
            };
            assert_eq!(found("new"), ["1", "2"], "{how:?}");
            assert_eq!(found("four OR gone OR local OR three"), ["4"], "{how:?}");
            assert_nothing_left(&mut conn, hooks, "full text");
        }
    }
}

#[test]
fn the_schema_is_no_table_even_if_it_is_writable() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v); CREATE INDEX tv ON t (v);
        INSERT INTO t (v) VALUES (1), (2); ANALYZE;";
    let view = [
        Value::Text(b"view"),
        Value::Text(b"x"),
        Value::Text(b"x"),
        Value::Integer(0),
        Value::Text(b"CREATE VIEW x AS SELECT 1"),
    ];
    let insert = |info, values: &[Value<'_>]| Changeset::builder().insert_values(info, values).build().unwrap();
    for writable in ["", "PRAGMA writable_schema = ON;"] {
        for name in ["sqlite_schema", "sqlite_master", "sqlite_temp_schema", "sqlite_temp_master"] {
            let (mut conn, hooks) = connect(&format!("{setup}{writable}"));
            let error = conn.apply(&insert(TableInfo::new(name, &[1, 0, 0, 0, 0]), &view)).run().unwrap_err();
            assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{name}: {error}");
            assert_nothing_left(&mut conn, hooks, name);
        }
        // these are tables
        let sequence = [Value::Integer(5), Value::Text(b"u"), Value::Integer(50)];
        let statistics = [Value::Text(b"t"), Value::Blob(b""), Value::Text(b"9")];
        for changes in [
            insert(TableInfo::new("sqlite_sequence", &[1, 0, 0]), &sequence),
            insert(TableInfo::new("sqlite_stat1", &[1, 2, 0]), &statistics),
        ] {
            Case::new(&format!("{setup}{writable}"), changes.clone().into_bytes()).agree(|_: &Question| Answer::Omit);
            let (mut conn, _) = connect(&format!("{setup}{writable}"));
            conn.apply(&changes).run().unwrap();
            assert_sound(&mut conn, writable);
            exec(&mut conn, "VACUUM");
        }
    }
}

#[test]
fn a_comment_after_the_options_of_a_table_hides_nothing() {
    let key = |id: i64| Value::Text(Box::leak(format!("k{id:03}").into_boxed_str()).as_bytes());
    let rows_with_a_text = (1..=100).fold(Changeset::builder(), |builder, id| {
        builder.insert_values(PAIR, &[key(id), if id == 70 { Value::Text(b"x") } else { Value::Integer(id) }])
    });
    let rows_with_a_text = rows_with_a_text.build().unwrap();
    let plain = "CREATE TABLE t (k TEXT PRIMARY KEY, v INT NOT NULL); INSERT INTO t VALUES ('a', 1), ('b', 2);";
    let exchange = record(plain, "UPDATE t SET v = 3 - v").0;
    for options in ["STRICT", "STRICT -- numbers (and nothing else)\n", "STRICT /* :) */, WITHOUT ROWID"] {
        let (mut conn, _) = connect(&format!("CREATE TABLE t (k TEXT PRIMARY KEY, v INT NOT NULL) {options};"));
        assert_eq!(omitting(&mut conn, &rows_with_a_text), [ConflictType::Constraint], "{options}");
        let schema = format!("CREATE TABLE t (k TEXT PRIMARY KEY, v INT NOT NULL UNIQUE) {options};");
        let (mut conn, _) = connect(&format!("{schema} INSERT INTO t VALUES ('a', 1), ('b', 2);"));
        assert_eq!(omitting(&mut conn, &exchange), [], "{options}");
    }
}

#[test]
fn a_trigger_that_cannot_be_compiled_does_not_disturb_other_changes() {
    let plain = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2);";
    let steps =
        ["UPDATE t SET v = 2 WHERE id = 1", "UPDATE t SET v = 5 WHERE id = 1", "UPDATE t SET v = 3 WHERE id = 2"];
    let mut source = plain.to_string();
    let changes = steps.map(|step| {
        let (changes, _) = record(&source, step);
        source += &format!("{step};");
        changes
    });
    let changes = appended(&changes.each_ref());
    let schema = plain.replace(", v)", ", v UNIQUE)");
    // a function that the connection does not have
    let trigger = "CREATE TRIGGER d AFTER DELETE ON t BEGIN SELECT notify(old.id); END;";
    for trigger in ["", trigger] {
        let (mut conn, _) = connect(&format!("{schema} {trigger}"));
        assert_eq!(omitting(&mut conn, &changes), [], "{trigger}");
        assert_eq!(rows(&mut conn, "main", "t"), ["1 5", "2 3"], "{trigger}");
    }
    // how often the schema is read does not depend on the number of sections
    let reads = [2, 20].map(|count| {
        let sections: Vec<Changeset> = (0..count).map(|id| inserts([id])).collect();
        let (mut conn, hooks) = connect(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v); {trigger}"));
        let reads = Rc::new(Cell::new(0));
        let counter = reads.clone();
        hooks.authorize(move |action, table, column| {
            let is_read = action == ffi::SQLITE_READ && table == "sqlite_master" && column == "sql";
            counter.set(counter.get() + i32::from(is_read));
            ffi::SQLITE_OK
        });
        conn.apply(&appended(&sections.iter().collect::<Vec<_>>())).run().unwrap();
        reads.get()
    });
    assert_eq!(reads[0], reads[1]);
}

// Values

#[test]
fn odd_keys_are_those_of_sqlite() {
    let keys = [
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Integer(0),
        Value::Real(f64::INFINITY),
        Value::Real(f64::NEG_INFINITY),
        Value::Real(-0.0),
        Value::Real(0.5),
        Value::Real(5e-324),
        Value::Real(9_223_372_036_854_775_808.0),
        Value::Text(b""),
        Value::Text(b"\0"),
        Value::Text(b"a\0b"),
        Value::Text(b"\xff"),
        Value::Text(b"\xc3\x28"),
        Value::Text(b"1"),
        Value::Text(b" 1"),
        Value::Text(b"1e400"),
        Value::Text(b"-0"),
        Value::Blob(b""),
        Value::Blob(b"\0"),
    ];
    for column in ["", "TEXT", "NUMERIC", "REAL", "INT", "BLOB", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM"] {
        for options in ["", "WITHOUT ROWID"] {
            let setup = format!("CREATE TABLE t (k {column} PRIMARY KEY, v) {options}");
            for key in keys {
                let row = |v| [key, Value::Integer(v)];
                let insert = Changeset::builder().insert_values(PAIR, &row(1)).build().unwrap();
                let update = Changeset::builder().update_values(PAIR, &row(1), &row(2)).build().unwrap();
                let delete = Changeset::builder().delete_values(PAIR, &row(2)).build().unwrap();
                let mut bytes = Vec::new();
                for set in [insert, update, delete] {
                    bytes.extend_from_slice(set.as_bytes());
                    let case = Case::new(&setup, bytes.clone());
                    let (theirs, ours) =
                        (case.theirs(|_: &Question| Answer::Omit), case.ours(|_: &Question| Answer::Omit));
                    assert_eq!((&ours.end, &ours.content), (&theirs.end, &theirs.content), "{setup}: {key}");
                    assert_eq!(ours.kinds(), theirs.kinds(), "{setup}: {key}");
                }
            }
        }
    }
}

#[test]
fn invalid_texts_that_are_equal_in_utf_16_are_one_row() {
    let row = |key: &'static [u8], v| [Value::Text(key), Value::Integer(v)];
    let keys: Vec<String> = (0..1200).map(|n| format!("k{n}")).collect();
    let builder = Changeset::builder().delete_values(PAIR, &row(b"\xff", 1)).insert_values(PAIR, &row(b"\xfe", 2));
    let changes = keys
        .iter()
        .fold(builder, |builder, key| builder.insert_values(PAIR, &[Value::Text(key.as_bytes()), Value::Integer(0)]));
    let changes = changes.build().unwrap();
    for keeps_order in [true, false] {
        let setup = "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES (char(65533), 1);";
        let (mut conn, _) = connect(setup);
        let apply = conn.apply(&changes).otherwise(|_| ConflictAction::Omit);
        if keeps_order {
            apply.keep_order().run().unwrap()
        } else {
            apply.run().unwrap()
        };
        assert_eq!(lines(&mut conn, "SELECT '' || v AS line FROM t WHERE v > 0"), ["2"], "in order: {keeps_order}");
    }
}

#[test]
fn long_keys_and_long_unique_values_are_applied() {
    let row = "printf('%01000000d', i), i FROM (WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 8) SELECT i FROM n)";
    let source = format!("CREATE TABLE t (k TEXT PRIMARY KEY, u NOT NULL, v); INSERT INTO t SELECT 'k' || {row};");
    let source = source.replace("'k' || printf", "'k' || i, printf");
    let changes = record(&source, "UPDATE t SET u = printf('%01000000d', 1 + v % 8)");
    let (mut conn, _) = connect(&source.replace("u NOT NULL", "u NOT NULL UNIQUE"));
    assert_eq!(omitting(&mut conn, &changes.0), []);
    assert_eq!(lines(&mut conn, "SELECT v || ' ' || CAST(u AS INT) AS line FROM t WHERE v > 6"), ["7 8", "8 1"]);
    let source = "CREATE TABLE t (k TEXT PRIMARY KEY, v);
        INSERT INTO t VALUES (printf('%010000000d', 1), 1), (printf('%010000000d', 2), 2);";
    let edits =
        "UPDATE t SET v = 5 WHERE v = 1; INSERT INTO t VALUES (printf('%010000000d', 3), 3); DELETE FROM t WHERE v = 2";
    let changes = record(source, edits);
    let (mut conn, _) = connect(source);
    assert_eq!(omitting(&mut conn, &changes.0), []);
    assert_eq!(lines(&mut conn, "SELECT CAST(k AS INT) || ' ' || v AS line FROM t ORDER BY k"), ["1 5", "3 3"]);
}

// Functions and hooks of the application

#[test]
fn a_function_that_fails_with_any_code_leaves_nothing() {
    // 7 would need no memory, and after 11 SQLite refuses every COMMIT
    for code in (1..=28).filter(|code| ![ffi::SQLITE_NOMEM, ffi::SQLITE_CORRUPT].contains(code)) {
        for column in ["v CHECK (e(v) > 0)", "v, g AS (e(v)) NOT NULL", "v UNIQUE, g AS (e(v)) STORED"] {
            for trigger in
                ["", "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT OR FAIL INTO other (v) VALUES (new.v); END;"]
            {
                for begin in ["", "BEGIN; INSERT INTO other VALUES (7, 7);"] {
                    let context = format!("{code} {column} {trigger} {begin}");
                    let (mut conn, hooks) = connect("CREATE TABLE other (id INTEGER PRIMARY KEY, v);");
                    let fails = Rc::new(Cell::new(true));
                    let is_failing = fails.clone();
                    let flags = ffi::SQLITE_INNOCUOUS | ffi::SQLITE_DETERMINISTIC;
                    hooks.function("e", flags, move |v| if v == 2 && is_failing.get() { Err(code) } else { Ok(v) });
                    exec(&mut conn, &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {column}); {trigger}"));
                    let outside = contents(&mut conn);
                    exec(&mut conn, begin);
                    let inside = contents(&mut conn);
                    let error = conn.apply(&inserts([1, 2])).run().unwrap_err();
                    fails.set(false);
                    let is_gone = matches!(error, ApplyError::RolledBack { .. });
                    assert_eq!(hooks.is_in_transaction(), !begin.is_empty() && !is_gone, "{context}: {error}");
                    assert_eq!(contents(&mut conn), if is_gone { outside } else { inside }, "{context}: {error}");
                    assert_nothing_left(&mut conn, hooks, &context);
                    conn.apply(&inserts([3])).run().unwrap();
                }
            }
        }
    }
}

#[test]
fn a_function_can_apply_on_other_connections() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db").to_str().unwrap().to_string();
    let mut conn = connection::connect(&path);
    let hooks = Hooks::of(&mut conn);
    let mut same_file = SqliteConnection::establish(&path).unwrap();
    let codes = Rc::new(RefCell::new(Vec::new()));
    let seen = codes.clone();
    hooks.function("f", ffi::SQLITE_INNOCUOUS, move |v| {
        seen.borrow_mut().push(code(&same_file.apply(&inserts([9])).run().unwrap_err()));
        open("CREATE TABLE t (id INTEGER PRIMARY KEY, v)").apply(&inserts([9])).run().unwrap();
        Ok(v)
    });
    exec(&mut conn, "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v CHECK (f(v) > 0));");
    assert_eq!(conn.apply(&inserts([1, 2])).run().unwrap().applied(), 2);
    assert_eq!(*codes.borrow(), [Some(ffi::SQLITE_BUSY); 2]);
    assert_nothing_left(&mut conn, hooks, "after calls");
}

#[test]
fn functions_that_the_schema_must_not_call_are_an_error() {
    for schema in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v CHECK (f(v)));",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE UNIQUE INDEX i ON t (f(v));",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE UNIQUE INDEX i ON t (v) WHERE f(v) > 0;",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v, g AS (f(v)) STORED);",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT f(new.v); END;",
    ] {
        for (flags, is_trusted) in [(0, false), (ffi::SQLITE_DIRECTONLY, true), (ffi::SQLITE_DIRECTONLY, false)] {
            for is_warm in [false, true] {
                let (mut conn, hooks) = connect("");
                hooks.function("f", ffi::SQLITE_DETERMINISTIC, Ok);
                exec(&mut conn, schema);
                if is_warm {
                    conn.apply(&inserts([1])).run().unwrap();
                }
                let before = lines(&mut conn, "SELECT '' || id AS line FROM t");
                hooks.function("f", ffi::SQLITE_DETERMINISTIC | flags, Ok);
                exec(&mut conn, &format!("PRAGMA trusted_schema = {is_trusted}"));
                let error = conn.apply(&inserts([2, 3])).run().unwrap_err();
                assert_eq!(error.to_string(), "table t: applying: unsafe use of f() (code 1)", "{schema}");
                assert_eq!(lines(&mut conn, "SELECT '' || id AS line FROM t"), before, "{schema}");
                assert_nothing_left(&mut conn, hooks, schema);
            }
        }
    }
}

#[test]
fn a_commit_that_a_hook_refuses_is_an_error() {
    let (mut conn, hooks) = connect("CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
    let refuses = Rc::new(Cell::new(true));
    let is_refusing = refuses.clone();
    hooks.on_commit(move || is_refusing.get());
    for _ in 0..2 {
        let error = conn.apply(&inserts([1])).run().unwrap_err();
        assert_eq!(error.to_string(), "applying: constraint failed (code 531)");
        assert!(rows(&mut conn, "main", "t").is_empty() && !hooks.is_in_transaction());
    }
    refuses.set(false);
    conn.apply(&inserts([1])).run().unwrap();
    assert_eq!(rows(&mut conn, "main", "t"), ["1 1"]);
}

#[test]
fn a_checkpoint_after_each_commit_disturbs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut conn = connection::connect(directory.path().join("a.db").to_str().unwrap());
    exec(&mut conn, "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
    let hooks = Hooks::of(&mut conn);
    hooks.checkpoint_after_commits();
    (1..5).for_each(|id| assert_eq!(conn.apply(&inserts([id])).run().unwrap().applied(), 1));
    assert_nothing_left(&mut conn, hooks, "after checkpoints");
}
