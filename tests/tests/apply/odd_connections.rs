//! Connections that are interrupted, or have authorizers, unusual limits, settings or transactions.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{ApplyError, Changeset, ConflictAction, SqliteSessionExt};
use diesel_sqlite_session_tests::sqlite::connection;
use diesel_sqlite_session_tests::sqlite::connection::hooks::Hooks;
use libsqlite3_sys as ffi;

use super::odd_targets::{assert_nothing_left, code, connect, inserts, left_behind};
use super::replica::{How, Options, apply_with, contents, record, rows};
use crate::common::{exec, lines};

// Interruptions

const FAMILY: &str = "PRAGMA foreign_keys = ON;
    CREATE TABLE mine (v);
    CREATE TABLE place (id INTEGER PRIMARY KEY, n NOT NULL UNIQUE CHECK (typeof(n) = 'integer'), v);
    CREATE TABLE parent (id INTEGER PRIMARY KEY, v);
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE, v);
    CREATE TABLE log (id INTEGER PRIMARY KEY, v UNIQUE);
    CREATE TABLE logged (id INTEGER PRIMARY KEY, v);
    CREATE TRIGGER logs AFTER INSERT ON logged BEGIN INSERT OR FAIL INTO log (v) VALUES (new.v), (new.v + 1); END;
    INSERT INTO place VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');
    INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
    INSERT INTO child VALUES (1, 1, 'a'), (2, 2, 'b');
    INSERT INTO logged VALUES (1, 10);";
const EDITS: &str =
    "UPDATE place SET n = -n; UPDATE place SET n = 3 + n WHERE id < 3; UPDATE place SET n = 3 WHERE id = 3;
    UPDATE place SET v = 'x' WHERE id = 3;
    INSERT INTO child VALUES (3, 3, 'c'); DELETE FROM child WHERE id = 1; DELETE FROM parent WHERE id = 1;
    UPDATE parent SET v = 'z' WHERE id = 2;
    INSERT INTO logged VALUES (2, 20), (3, 30); UPDATE logged SET v = 11 WHERE id = 1; DELETE FROM log WHERE v > 11;";
const LOCAL: &str = "UPDATE place SET v = 'other' WHERE id = 3; UPDATE parent SET v = 'other' WHERE id = 2;";

/// The way in which the `n`th call of the progress handler interrupts an apply.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    /// By `sqlite3_interrupt`, as another thread would do it.
    Call,
    /// By its result, and so do all later calls, as after a deadline.
    Deadline,
}

/// Interrupts an apply after every number of instructions, and returns all that is wrong
/// afterwards, with an example of each.
fn interrupt_everywhere(options: Options, is_inside: bool, how: Interruption) -> BTreeMap<String, String> {
    let (changes, _) = record(FAMILY, EDITS);
    let changes = (changes, Default::default());
    let replica = format!("{FAMILY}{LOCAL}");
    let (mut conn, _) = connect(&replica);
    apply_with(&mut conn, &changes, How::Changeset, options, ConflictAction::Replace).0.unwrap();
    if is_inside {
        exec(&mut conn, "INSERT INTO mine VALUES (99)");
    }
    let expected = contents(&mut conn);
    let mut wrong = BTreeMap::new();
    for n in 1.. {
        let (mut conn, hooks) = connect(&replica);
        conn.apply(&Changeset::default()).run().unwrap();
        let outside = contents(&mut conn);
        if is_inside {
            exec(&mut conn, "BEGIN; INSERT INTO mine VALUES (99)");
        }
        let inside = contents(&mut conn);
        let calls = Rc::new(Cell::new(0));
        let counter = calls.clone();
        // no statement that ends a transaction has as many instructions
        hooks.progress(6, move || {
            counter.set(counter.get() + 1);
            match how {
                Interruption::Call if counter.get() == n => {
                    hooks.interrupt();
                    false
                }
                Interruption::Call => false,
                Interruption::Deadline => counter.get() >= n,
            }
        });
        let (result, _) = apply_with(&mut conn, &changes, How::Changeset, options, ConflictAction::Replace);
        hooks.no_progress();
        let (is_open, now) = (hooks.is_in_transaction(), contents(&mut conn));
        let mut found = left_behind(&mut conn, hooks);
        let is_right = match &result {
            Ok(_) => is_open == is_inside && now == expected,
            Err(ApplyError::RolledBack { .. }) => is_inside && !is_open && now == outside,
            Err(_) => is_open == is_inside && now == inside,
        };
        let report = match &result {
            Ok(report) => report.to_string(),
            Err(error) => error.to_string(),
        };
        if !is_right {
            found.push(format!("the transaction is open: {is_open}, the content is as before: {}", now == inside));
        }
        // the message can be that of a constraint, if SQLite was interrupted after it had failed
        if result.is_err() && !report.contains("interrupted") && !report.contains("code 9") {
            found.push("the error says nothing of an interruption".to_string());
        }
        if conn.batch_execute("UPDATE place SET n = 'x' WHERE id = 1").is_ok() {
            found.push("CHECK constraints are disabled".to_string());
        }
        exec(
            &mut conn,
            "INSERT INTO parent VALUES (9, 0); INSERT INTO child VALUES (9, 9, 0); DELETE FROM parent WHERE id = 9",
        );
        if !lines(&mut conn, "SELECT 'child' AS line FROM child WHERE id = 9").is_empty() {
            found.push("foreign key actions are disabled".to_string());
        }
        for found in found {
            wrong.entry(found).or_insert_with(|| format!("{n}: {report}"));
        }
        if calls.get() < n {
            break;
        }
    }
    wrong
}

#[test]
fn an_apply_that_is_interrupted_anywhere_leaves_nothing() {
    for how in [Interruption::Call, Interruption::Deadline] {
        for is_inside in [false, true] {
            let wrong = interrupt_everywhere(Options::default(), is_inside, how);
            assert!(wrong.is_empty(), "{how:?}, in a transaction: {is_inside}: {wrong:#?}");
        }
    }
}

#[test]
fn an_apply_without_actions_that_is_interrupted_anywhere_says_what_became_of_the_transaction() {
    let options = Options { without_foreign_key_actions: true, ..Options::default() };
    for how in [Interruption::Call, Interruption::Deadline] {
        for is_inside in [false, true] {
            let wrong = interrupt_everywhere(options, is_inside, how);
            assert!(wrong.is_empty(), "{how:?}, in a transaction: {is_inside}: {wrong:#?}");
        }
    }
}

#[test]
fn an_interruption_of_a_kept_begin_leaves_no_transaction_open() {
    let mut wrong = BTreeMap::new();
    for begin in ["", "BEGIN"] {
        for n in 1..100 {
            let (mut conn, hooks) = connect("CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
            let mut calls = 0;
            hooks.progress(1000, move || {
                calls += 1;
                calls == n
            });
            for id in 1..2000 {
                exec(&mut conn, begin);
                let result = conn.apply(&inserts([id])).run();
                let is_open = hooks.is_in_transaction();
                if let Err(error) = result {
                    let is_gone = matches!(error, ApplyError::RolledBack { .. });
                    let left = conn.batch_execute("RELEASE diesel_sqlite_session_apply").is_ok();
                    let is_applied =
                        !lines(&mut conn, &format!("SELECT 'x' AS line FROM t WHERE id = {id}")).is_empty();
                    if left || is_applied || is_open != (!begin.is_empty() && !is_gone) {
                        let state =
                            format!("{begin}: {error}; open: {is_open}, savepoint: {left}, applied: {is_applied}");
                        *wrong.entry(state).or_insert(0) += 1;
                    }
                    break;
                }
                if is_open {
                    exec(&mut conn, "COMMIT");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_rollback_that_fails_is_reported() {
    type Prepare = fn(Hooks) -> Box<dyn FnOnce()>;
    let denied: Prepare = |hooks| {
        hooks.authorize(|_, first, _| if first == "ROLLBACK" { ffi::SQLITE_DENY } else { ffi::SQLITE_OK });
        Box::new(move || hooks.authorize_all())
    };
    // as long as the query is open, everything is interrupted
    let interrupted: Prepare = |hooks| Box::new(hooks.open_query("SELECT * FROM mine"));
    let mut wrong = Vec::new();
    for (name, prepare) in [("denied", denied), ("interrupted", interrupted)] {
        for begin in ["", "BEGIN"] {
            let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1);
                CREATE TABLE mine (v); INSERT INTO mine VALUES (1), (2);";
            let (mut conn, hooks) = connect(&format!("{setup}{begin}"));
            let end = prepare(hooks);
            let handler = move |_| {
                hooks.interrupt();
                ConflictAction::Abort
            };
            let error = conn.apply(&inserts([2, 1])).otherwise(handler).run().unwrap_err();
            end();
            let now = rows(&mut conn, "main", "t");
            if now != ["1 1"] && matches!(error, ApplyError::ConflictAborted) {
                wrong.push(format!("{name}, {begin}: {now:?} in a transaction: {}", hooks.is_in_transaction()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

// Authorizers

#[test]
fn a_table_that_an_authorizer_forbids_does_not_concern_others() {
    let setup = "CREATE TABLE o (id INTEGER PRIMARY KEY, v); CREATE TABLE t (id INTEGER PRIMARY KEY, v);";
    let other = record(setup, "INSERT INTO o VALUES (1, 1)");
    let (mut conn, hooks) = connect(setup);
    conn.apply(&other.0).run().unwrap();
    hooks.authorize(
        |action, table, _| {
            if action == ffi::SQLITE_DELETE && table == "o" { ffi::SQLITE_DENY } else { ffi::SQLITE_OK }
        },
    );
    assert_eq!(conn.apply(&inserts([1])).run().map_err(|error| error.to_string()).unwrap().applied(), 1);
}

#[test]
fn a_table_that_another_connection_with_the_same_cache_reads_does_not_concern_others() {
    let setup = "CREATE TABLE o (id INTEGER PRIMARY KEY, v); CREATE TABLE t (id INTEGER PRIMARY KEY, v);";
    let other = record(setup, "INSERT INTO o VALUES (1, 1), (2, 2)");
    let url = "file:odd_targets?mode=memory&cache=shared";
    let (mut conn, mut reader) = (connection::connect(url), connection::connect(url));
    exec(&mut conn, setup);
    conn.apply(&other.0).run().unwrap();
    let close = Hooks::of(&mut reader).open_query("SELECT * FROM o");
    let result = conn.apply(&inserts([1])).run();
    close();
    assert_eq!(result.map(|report| report.applied()).map_err(|error| error.to_string()), Ok(1));
}

#[test]
fn what_an_authorizer_ignored_is_written_once_another_allows_it() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2);";
    let [first, second] = [1, 2].map(|id| record(setup, &format!("UPDATE t SET v = 'new' WHERE id = {id}")).0);
    let (mut conn, hooks) = connect(setup);
    hooks.authorize(|action, _, _| if action == ffi::SQLITE_UPDATE { ffi::SQLITE_IGNORE } else { ffi::SQLITE_OK });
    conn.apply(&first).run().unwrap();
    assert_eq!(rows(&mut conn, "main", "t"), ["1 1", "2 2"]);
    // with some versions of SQLite, statements that are kept do not notice that there is none any more
    hooks.authorize(|_, _, _| ffi::SQLITE_OK);
    conn.apply(&second).run().unwrap();
    assert_eq!(rows(&mut conn, "main", "t"), ["1 1", "2 'new'"]);
}

#[test]
fn an_authorizer_is_asked_about_kept_statements_once_it_is_set() {
    let (mut conn, hooks) = connect("CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
    conn.apply(&inserts([1])).run().unwrap();
    hooks.authorize(|action, table, _| {
        let is_denied = action == ffi::SQLITE_INSERT && table == "t";
        if is_denied { ffi::SQLITE_DENY } else { ffi::SQLITE_OK }
    });
    let result = conn.apply(&inserts([2])).run();
    assert_eq!(result.map_err(|error| code(&error)).err(), Some(Some(ffi::SQLITE_AUTH)));
}

#[test]
fn a_transaction_that_an_authorizer_ignores_is_an_error() {
    for begin in ["", "BEGIN"] {
        let (mut conn, hooks) =
            connect(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1); {begin}"));
        hooks.authorize(|action, _, _| {
            let is_ignored = [ffi::SQLITE_TRANSACTION, ffi::SQLITE_SAVEPOINT].contains(&action);
            if is_ignored { ffi::SQLITE_IGNORE } else { ffi::SQLITE_OK }
        });
        let error = conn.apply(&inserts([2, 1])).run().unwrap_err();
        // a savepoint that is ignored is noticed when it is to be rolled back
        let is_reported = matches!(error, ApplyError::NotRolledBack { .. });
        assert_eq!(is_reported, !begin.is_empty(), "{begin}: {error}");
        assert_eq!(rows(&mut conn, "main", "t").len(), 1 + usize::from(is_reported), "{begin}");
    }
}

/// Denies each permission that an apply asks for.
#[test]
fn an_apply_that_lacks_any_permission_leaves_nothing() {
    let (changes, patchset) = record(FAMILY, EDITS);
    let changes = (changes, patchset);
    let replica = format!("{FAMILY}{LOCAL}");
    let apply = |conn: &mut SqliteConnection| {
        apply_with(conn, &changes, How::Changeset, Options::default(), ConflictAction::Replace).0
    };
    let requests = Rc::new(RefCell::new(Vec::new()));
    let (mut conn, hooks) = connect(&replica);
    let seen = requests.clone();
    hooks.authorize(move |action, first, second| {
        let request = (action, first.to_string(), second.to_string());
        if !seen.borrow().contains(&request) {
            seen.borrow_mut().push(request);
        }
        ffi::SQLITE_OK
    });
    apply(&mut conn).unwrap();
    hooks.authorize_all();
    let expected = contents(&mut conn);
    let mut wrong = Vec::new();
    for request in requests.take() {
        let (mut conn, hooks) = connect(&replica);
        conn.apply(&Changeset::default()).run().unwrap();
        let (denied, before) = (request.clone(), contents(&mut conn));
        hooks.authorize(move |action, first, second| {
            let is_denied = (action, first, second) == (denied.0, &denied.1, &denied.2);
            if is_denied { ffi::SQLITE_DENY } else { ffi::SQLITE_OK }
        });
        let result = apply(&mut conn);
        hooks.authorize_all();
        let mut left = left_behind(&mut conn, hooks);
        if contents(&mut conn) != if result.is_ok() { expected.clone() } else { before } {
            left.push("another content".to_string());
        }
        if !left.is_empty() || hooks.is_in_transaction() {
            wrong.push((request, left));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

// Limits and settings

#[test]
fn limits_of_the_connection_are_respected() {
    let columns: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    let setup = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {});", columns.join(", "));
    let values = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 200)";
    let changes = record(&setup, &format!("{values} INSERT INTO t (id, c0, c11) SELECT i, i, i FROM n"));
    for (limit, value) in [
        (ffi::SQLITE_LIMIT_LENGTH, 1000),
        (ffi::SQLITE_LIMIT_COLUMN, 20),
        (ffi::SQLITE_LIMIT_EXPR_DEPTH, 5),
        (ffi::SQLITE_LIMIT_COMPOUND_SELECT, 2),
        (ffi::SQLITE_LIMIT_FUNCTION_ARG, 1),
        (ffi::SQLITE_LIMIT_ATTACHED, 0),
        (ffi::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        // 32 rows in one INSERT exceed these
        (ffi::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
        (ffi::SQLITE_LIMIT_SQL_LENGTH, 400),
    ] {
        for is_warm in [false, true] {
            let (mut conn, hooks) = connect(&setup);
            conn.apply(&Changeset::default()).run().unwrap();
            if is_warm {
                conn.apply(&changes.0).run().unwrap();
                exec(&mut conn, "DELETE FROM t");
            }
            hooks.limit(limit, value);
            let result = conn.apply(&changes.0).run();
            assert_eq!(result.map(|report| report.applied()).map_err(|error| error.to_string()), Ok(200), "{limit}");
        }
    }
}

#[test]
fn settings_of_the_connection_do_not_change_the_result() {
    let changes = record(FAMILY, EDITS);
    let replica = format!("{FAMILY}{LOCAL}");
    let apply = |conn: &mut SqliteConnection| {
        apply_with(conn, &changes, How::Changeset, Options::default(), ConflictAction::Replace).0
    };
    let (mut conn, _) = connect(&replica);
    apply(&mut conn).unwrap();
    let expected = contents(&mut conn);
    let pragmas = "ignore_check_constraints = 1; recursive_triggers = 1; reverse_unordered_selects = 1; case_sensitive_like = 1; \
        count_changes = 1; cell_size_check = 1; trusted_schema = 0; legacy_alter_table = 1; full_column_names = 1; \
        short_column_names = 0; empty_result_callbacks = 1; read_uncommitted = 1; automatic_index = 0; cache_spill = 0; \
        cache_size = 1; temp_store = 2; secure_delete = 1; locking_mode = EXCLUSIVE; journal_mode = MEMORY; \
        writable_schema = 1; threads = 2; analysis_limit = 5";
    type Setting = Box<dyn Fn(&mut SqliteConnection, Hooks)>;
    let change = |pragma: &str| -> Setting {
        let pragma = format!("PRAGMA {pragma}");
        Box::new(move |conn, _| exec(conn, &pragma))
    };
    let mut changes_of_settings: Vec<_> = pragmas.split(';').map(change).collect();
    for (setting, is_on) in [
        (ffi::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (ffi::SQLITE_DBCONFIG_DEFENSIVE, true),
        (ffi::SQLITE_DBCONFIG_ENABLE_QPSG, true),
        (ffi::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (ffi::SQLITE_DBCONFIG_DQS_DML, false),
        (ffi::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        changes_of_settings.push(Box::new(move |_, hooks| hooks.configure(setting, is_on)));
    }
    for (at, change) in changes_of_settings.iter().enumerate() {
        for is_warm in [false, true] {
            let (mut conn, hooks) = connect(&replica);
            if is_warm {
                exec(&mut conn, "BEGIN");
                apply(&mut conn).unwrap();
                exec(&mut conn, "ROLLBACK");
            }
            change(&mut conn, hooks);
            apply(&mut conn).unwrap();
            assert_eq!(contents(&mut conn), expected, "{at}, warm: {is_warm}");
        }
    }
    let (mut conn, hooks) = connect(&format!("{replica} PRAGMA query_only = 1"));
    assert_eq!(code(&apply(&mut conn).unwrap_err()), Some(ffi::SQLITE_READONLY));
    assert_nothing_left(&mut conn, hooks, "query_only");
}

// Transactions

#[test]
fn open_queries_are_no_obstacle_and_open_writes_are_reported() {
    let setup = "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, v);
        CREATE TABLE r (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE); INSERT INTO r (id) VALUES (1), (2);";
    for begin in ["", "BEGIN", "SAVEPOINT a", "BEGIN; SAVEPOINT diesel_sqlite_session_apply"] {
        for query in ["SELECT * FROM r", "INSERT INTO r (id) VALUES (10), (11) RETURNING id"] {
            for (has_conflict, has_actions) in [(false, true), (true, true), (false, false), (true, false)] {
                let context = format!("{begin}, {query}, {has_conflict}, {has_actions}");
                let (mut conn, hooks) = connect(setup);
                if has_conflict {
                    exec(&mut conn, "INSERT INTO t VALUES (2, 2)");
                }
                let before = rows(&mut conn, "main", "t");
                exec(&mut conn, begin);
                let close = hooks.open_query(query);
                let changes = inserts([1, 2]);
                let apply = conn.apply(&changes);
                let result = if has_actions { apply.run() } else { apply.without_foreign_key_actions().run() };
                close();
                let is_applied = !has_conflict && query.starts_with("SELECT");
                assert_eq!(result.is_ok(), is_applied, "{context}: {result:?}");
                let expected = if is_applied { vec!["1 1".to_string(), "2 2".into()] } else { before };
                assert_eq!(rows(&mut conn, "main", "t"), expected, "{context}");
                assert_eq!(hooks.is_in_transaction(), !begin.is_empty(), "{context}");
                if !begin.is_empty() {
                    exec(&mut conn, "COMMIT");
                }
                assert_nothing_left(&mut conn, hooks, &context);
                exec(&mut conn, "INSERT INTO t VALUES (9, 0); INSERT INTO r VALUES (9, 9); DELETE FROM t WHERE id = 9");
                assert_eq!(lines(&mut conn, "SELECT 'r' AS line FROM r WHERE id = 9"), [""; 0], "{context}");
            }
        }
    }
}

#[test]
fn a_violation_is_that_of_the_apply_even_if_it_repairs_another() {
    let schema = "PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
        CREATE TABLE c (k TEXT NOT NULL PRIMARY KEY, p REFERENCES p DEFERRABLE INITIALLY DEFERRED);";
    let changes = record(schema, "INSERT INTO p VALUES (1); INSERT INTO c VALUES ('b', 2);");
    let (mut conn, _) = connect(&format!("{schema} BEGIN; INSERT INTO c VALUES ('a', 1);"));
    let result = conn.apply(&changes.0).run();
    assert!(matches!(result, Err(ApplyError::ForeignKeyViolations(_))), "{result:?}");
}

#[test]
fn an_interruption_between_two_statements_has_no_effect() {
    let setup = "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, v);
        CREATE TABLE r (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE);";
    let (mut conn, hooks) = connect(setup);
    let progress = move |_| {
        hooks.interrupt();
        ControlFlow::Continue(())
    };
    conn.apply(&inserts([1, 2])).without_foreign_key_actions().on_progress(progress).run().unwrap();
    exec(&mut conn, "INSERT INTO r VALUES (1, 1); DELETE FROM t");
    assert!(rows(&mut conn, "main", "r").is_empty());
    assert_nothing_left(&mut conn, hooks, "interrupted");
}
