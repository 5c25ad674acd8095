//! The state of foreign keys on the connection: deferred during an apply, actions disabled on
//! request, and both as before afterwards.

use diesel::prelude::*;
use diesel_sqlite_session::{ApplyError, Changeset, ConflictAction, ConflictType, SqliteSessionExt};
use diesel_sqlite_session_tests::sqlite::connection;

use super::kept_statements::connect;
use super::replica::{How, Options, Recorded, apply_with, assert_sound, contents, record, rows};
use crate::common::{exec, lines};

const FAMILY: &str = "PRAGMA foreign_keys = ON;
    CREATE TABLE p (id INTEGER PRIMARY KEY, v);
    CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE i (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p);
    CREATE TABLE t (id INTEGER PRIMARY KEY, v);
    INSERT INTO p VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1, 1); INSERT INTO i VALUES (1, 2); INSERT INTO t VALUES (1, 'a');";

fn family() -> SqliteConnection {
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, FAMILY);
    conn
}

fn of_family(edits: &str) -> Recorded {
    record(FAMILY, edits)
}

fn is_deferred(conn: &mut SqliteConnection) -> bool {
    lines(conn, "SELECT '' || defer_foreign_keys AS line FROM pragma_defer_foreign_keys") == ["1"]
}

/// Changes that no foreign key concerns, that keep all keys, and that break and repair one.
fn harmless() -> Vec<Recorded> {
    vec![
        of_family("UPDATE t SET v = 'b'"),
        of_family(
            "UPDATE p SET v = 'c' WHERE id = 1; INSERT INTO p VALUES (3, 'c'); INSERT INTO c VALUES (3, 3); INSERT INTO i VALUES (3, 3)",
        ),
        // the child comes first
        {
            let (child, parent) =
                (of_family("INSERT INTO i VALUES (4, 4), (5, 4)"), of_family("INSERT INTO p VALUES (4, 'd')"));
            (super::replica::appended(&[&child.0, &parent.0]), super::replica::appended(&[&child.1, &parent.1]))
        },
    ]
}

#[test]
fn the_state_of_deferred_foreign_keys_is_the_same_afterwards() {
    for changes in harmless() {
        for how in How::ALL {
            for deferred in [false, true] {
                let mut conn = family();
                exec(&mut conn, "BEGIN");
                exec(&mut conn, &format!("PRAGMA defer_foreign_keys = {deferred}"));
                for _ in 0..2 {
                    apply_with(&mut conn, &changes, how, Options::default(), ConflictAction::Omit).0.unwrap();
                    assert_eq!(is_deferred(&mut conn), deferred, "{how:?}");
                }
                // and it acts
                let orphan = diesel::sql_query("INSERT INTO i VALUES (9, 99)").execute(&mut conn);
                assert_eq!(orphan.is_ok(), deferred, "{how:?}");
                exec(&mut conn, "ROLLBACK");
                // outside of a transaction
                apply_with(&mut conn, &changes, how, Options::default(), ConflictAction::Omit).0.unwrap();
                assert!(!is_deferred(&mut conn), "{how:?}");
                assert!(diesel::sql_query("INSERT INTO i VALUES (9, 99)").execute(&mut conn).is_err(), "{how:?}");
            }
        }
    }
    // also after an error
    let orphan = of_family("INSERT INTO i VALUES (9, 99)");
    for deferred in [false, true] {
        let mut conn = family();
        exec(&mut conn, &format!("BEGIN; PRAGMA defer_foreign_keys = {deferred}"));
        let error = conn.apply(&orphan.0).run().unwrap_err();
        assert!(matches!(error, ApplyError::ForeignKeyViolations(_)), "{error:?}");
        assert_eq!(is_deferred(&mut conn), deferred);
        exec(&mut conn, "COMMIT");
        assert_eq!(lines(&mut conn, "SELECT '' || count(*) AS line FROM i"), ["1"]);
    }
}

/// How the transaction of the caller comes to have a violation.
const PENDING: [&str; 3] = [
    "INSERT INTO c VALUES (8, 88)",
    "PRAGMA defer_foreign_keys = ON; INSERT INTO i VALUES (8, 88)",
    "PRAGMA defer_foreign_keys = ON; DELETE FROM p WHERE id = 2",
];

#[test]
fn violations_of_the_caller_are_neither_forgotten_nor_taken_for_those_of_the_apply() {
    for pending in PENDING {
        for changes in harmless() {
            for how in How::ALL {
                let context = format!("{pending}, {how:?}");
                let mut conn = family();
                exec(&mut conn, &format!("BEGIN; {pending}"));
                let (result, kinds) = apply_with(&mut conn, &changes, how, Options::default(), ConflictAction::Abort);
                assert!(result.is_ok(), "{context}: {result:?}");
                assert!(kinds.is_empty(), "{context}: {kinds:?}");
                let commit = diesel::sql_query("COMMIT").execute(&mut conn);
                assert!(commit.is_err(), "{context}: the violation was forgotten");
                // repaired, it can be committed
                exec(&mut conn, "INSERT OR IGNORE INTO p VALUES (88, 'x'), (2, 'b'); COMMIT");
                assert_sound(&mut conn, &context);
            }
        }
    }
}

#[test]
fn an_apply_that_repairs_the_violation_of_the_caller_lets_it_commit() {
    let repairs = of_family("INSERT INTO p VALUES (88, 'x')");
    for pending in &PENDING[..2] {
        for how in How::ALL {
            let mut conn = family();
            exec(&mut conn, &format!("BEGIN; {pending}"));
            let (result, kinds) = apply_with(&mut conn, &repairs, how, Options::default(), ConflictAction::Abort);
            assert!(result.is_ok() && kinds.is_empty(), "{pending}, {how:?}: {result:?} {kinds:?}");
            exec(&mut conn, "COMMIT");
            assert_sound(&mut conn, pending);
        }
    }
}

#[test]
fn a_violation_of_the_apply_is_found_beside_those_of_the_caller() {
    let orphan = of_family("INSERT INTO i VALUES (9, 99)");
    let childless = of_family("DELETE FROM p WHERE id = 1");
    for pending in PENDING {
        for changes in [&orphan, &childless] {
            for how in How::ALL {
                let context = format!("{pending}, {how:?}");
                let mut conn = family();
                exec(&mut conn, &format!("BEGIN; {pending}"));
                let before = contents(&mut conn);
                let (result, kinds) = apply_with(&mut conn, changes, how, Options::default(), ConflictAction::Abort);
                assert!(matches!(result, Err(ApplyError::ForeignKeyViolations(_))), "{context}: {result:?}");
                assert_eq!(kinds, [ConflictType::ForeignKey], "{context}");
                assert_eq!(contents(&mut conn), before, "{context}");
                // the caller's violation is still there
                assert!(diesel::sql_query("COMMIT").execute(&mut conn).is_err(), "{context}");
                exec(&mut conn, "INSERT OR IGNORE INTO p VALUES (88, 'x'), (2, 'b'); COMMIT");
                assert_sound(&mut conn, &context);
            }
        }
    }
}

#[test]
fn accepted_violations_do_not_prevent_the_commit() {
    let orphan = of_family("INSERT INTO i VALUES (9, 99); INSERT INTO c VALUES (9, 99)");
    for in_transaction in [false, true] {
        for repeats in 1..=2 {
            let mut conn = family();
            if in_transaction {
                exec(&mut conn, "BEGIN");
            }
            for _ in 0..repeats {
                let report = conn
                    .apply(&orphan.0)
                    .on_foreign_keys(|broken| broken.accept())
                    .otherwise(|_| ConflictAction::Omit)
                    .run()
                    .unwrap();
                assert_eq!(report.applied() + report.omitted(), 2);
            }
            if in_transaction {
                exec(&mut conn, "COMMIT");
            }
            assert_eq!(rows(&mut conn, "main", "i"), ["1 2", "9 99"]);
            // the next statements are checked as always
            assert!(diesel::sql_query("INSERT INTO i VALUES (10, 99)").execute(&mut conn).is_err());
            exec(&mut conn, "DELETE FROM i WHERE id = 9; DELETE FROM c WHERE id = 9");
            assert_sound(&mut conn, "repaired");
        }
    }
}

diesel::table! {
    i (id) {
        id -> Integer,
        p -> Nullable<Integer>,
    }
}

#[test]
fn the_statements_that_diesel_keeps_work_as_before() {
    let mut conn = family();
    let insert = |conn: &mut SqliteConnection, id: i32, p: i32| {
        diesel::insert_into(i::table).values((i::id.eq(id), i::p.eq(p))).execute(conn)
    };
    let count = |conn: &mut SqliteConnection| i::table.count().get_result::<i64>(conn).unwrap();
    insert(&mut conn, 100, 1).unwrap();
    assert!(insert(&mut conn, 101, 99).is_err());
    for (round, changes) in harmless().iter().enumerate() {
        for how in How::ALL {
            let n = count(&mut conn);
            apply_with(&mut conn, changes, how, Options::default(), ConflictAction::Omit).0.unwrap();
            assert!(count(&mut conn) >= n);
            let id = 200 + 10 * round as i32 + how as i32;
            insert(&mut conn, id, 1).unwrap();
            assert!(insert(&mut conn, id + 1000, 99).is_err(), "foreign keys are checked at once");
            let deferred: QueryResult<()> = conn.transaction(|conn| {
                exec(conn, "PRAGMA defer_foreign_keys = ON");
                insert(conn, id + 1000, 99)?;
                apply_with(conn, changes, how, Options::default(), ConflictAction::Omit).0.unwrap();
                insert(conn, id + 2000, 99)?;
                Ok(())
            });
            assert!(deferred.is_err(), "the commit finds the violations");
        }
    }
}

const CASCADE: &str = "CREATE TABLE p (id INTEGER PRIMARY KEY, v UNIQUE);
    CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE);
    CREATE TABLE d (id INTEGER PRIMARY KEY, v REFERENCES p (v) ON UPDATE CASCADE ON DELETE SET NULL);
    INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO d VALUES (1, 'a'), (2, 'b');";

diesel::table! {
    p (id) {
        id -> Integer,
        v -> Nullable<Text>,
    }
}

/// Deletes row 2 and counts its children, with a statement that Diesel keeps.
fn acts(conn: &mut SqliteConnection, context: &str) {
    let result: QueryResult<()> = conn.transaction(|conn| {
        let children = |conn: &mut SqliteConnection| {
            lines(
                conn,
                "SELECT '' || (SELECT count(*) FROM c WHERE p = 2) || (SELECT count(*) FROM d WHERE v = 'b') AS line",
            )
        };
        assert_eq!(children(conn), ["11"], "{context}");
        diesel::delete(p::table.find(2)).execute(conn)?;
        assert_eq!(children(conn), ["00"], "{context}: the actions do not act again");
        Err(diesel::result::Error::RollbackTransaction)
    });
    assert_eq!(result, Err(diesel::result::Error::RollbackTransaction));
}

#[test]
fn actions_are_disabled_during_the_apply_alone() {
    let directory = tempfile::tempdir().unwrap();
    // the children are deleted and changed by the changeset itself
    let changes = record(
        CASCADE,
        "DELETE FROM c WHERE p = 1; UPDATE d SET v = 'z' WHERE v = 'a'; DELETE FROM p WHERE id = 3; UPDATE p SET v = 'z' WHERE id = 1",
    );
    let without = Options { without_foreign_key_actions: true, ..Options::default() };
    for (number, (before, after)) in [
        ("", ""),
        ("BEGIN", "COMMIT"),
        ("BEGIN; CREATE TABLE made (id); INSERT INTO made VALUES (1)", "COMMIT"),
        ("BEGIN; ALTER TABLE c ADD COLUMN w DEFAULT 7", "COMMIT"),
        ("SAVEPOINT s", "RELEASE s"),
        ("BEGIN; INSERT INTO p VALUES (7, 'seven'); SAVEPOINT s; CREATE INDEX i ON c (p)", "RELEASE s; COMMIT"),
    ]
    .into_iter()
    .enumerate()
    {
        for how in How::ALL {
            let context = format!("{before}, {how:?}");
            let path = directory.path().join(format!("{number}{how:?}.db"));
            let (mut conn, mut other) = (connect(&path), connect(&path));
            exec(&mut conn, CASCADE);
            exec(&mut conn, "PRAGMA foreign_keys = ON");
            exec(&mut other, "PRAGMA foreign_keys = ON");
            // Diesel and an apply keep statements with actions
            acts(&mut conn, &context);
            acts(&mut other, &context);
            conn.apply(&of_nothing()).run().unwrap();
            exec(&mut conn, before);
            let (report, kinds) = apply_with(&mut conn, &changes, how, without, ConflictAction::Omit);
            assert_eq!((report.unwrap().applied(), kinds), (4, vec![]), "{context}");
            exec(&mut conn, after);
            assert_eq!(rows(&mut conn, "main", "p")[..2], ["1 'z'", "2 'b'"], "{context}");
            assert_eq!(rows(&mut conn, "main", "d"), ["1 'z'", "2 'b'"], "{context}");
            acts(&mut conn, &context);
            acts(&mut other, &context);
            // an apply has its actions again, too
            let cascades = record(CASCADE, "DELETE FROM p WHERE id = 2");
            conn.apply(&cascades.0).run().unwrap();
            assert!(rows(&mut conn, "main", "c").is_empty(), "{context}");
            assert_sound(&mut conn, &context);
            drop(conn);
            assert_sound(&mut other, &context);
        }
    }
}

fn of_nothing() -> Changeset {
    record(CASCADE, "INSERT INTO p VALUES (70, 'x')").0
}

#[test]
fn a_rolled_back_apply_without_actions_leaves_the_schema_as_it_was() {
    let changes =
        record(CASCADE, "DELETE FROM c WHERE p = 1; UPDATE d SET v = NULL WHERE v = 'a'; DELETE FROM p WHERE id = 1");
    let without = Options { without_foreign_key_actions: true, ..Options::default() };
    let directory = tempfile::tempdir().unwrap();
    for how in How::ALL {
        let path = directory.path().join(format!("{how:?}.db"));
        let (mut conn, mut other) = (connect(&path), connect(&path));
        exec(&mut conn, CASCADE);
        exec(&mut conn, "PRAGMA foreign_keys = ON");
        let before = contents(&mut conn);
        // with schema changes of the transaction, before and after
        exec(&mut conn, "BEGIN; CREATE TABLE mine (id INTEGER PRIMARY KEY, v); INSERT INTO mine VALUES (1, 'mine')");
        apply_with(&mut conn, &changes, how, without, ConflictAction::Omit).0.unwrap();
        exec(&mut conn, "CREATE TABLE second (id); ROLLBACK");
        assert_eq!(contents(&mut conn), before, "{how:?}");
        // another connection uses the pages that the rolled back tables had
        exec(&mut other, "CREATE TABLE theirs (id INTEGER PRIMARY KEY, v); INSERT INTO theirs VALUES (1, 'theirs')");
        assert!(diesel::sql_query("INSERT INTO mine VALUES (2, 'x')").execute(&mut conn).is_err(), "{how:?}");
        assert_eq!(rows(&mut conn, "main", "theirs"), ["1 'theirs'"], "{how:?}");
        acts(&mut conn, "rolled back");
        assert_sound(&mut conn, "rolled back");
        // an apply that fails
        exec(&mut conn, "DELETE FROM c WHERE p = 1");
        let (result, _) = apply_with(&mut conn, &changes, how, without, ConflictAction::Abort);
        assert!(matches!(result, Err(ApplyError::ConflictAborted)), "{how:?}: {result:?}");
        acts(&mut conn, "failed");
    }
}

#[test]
fn without_actions_violations_are_found() {
    let changes = record(CASCADE, "DELETE FROM p WHERE id = 1");
    let without = Options { without_foreign_key_actions: true, ..Options::default() };
    for how in How::ALL {
        let mut conn = connection::connect(":memory:");
        exec(&mut conn, &format!("{CASCADE} PRAGMA foreign_keys = ON"));
        let (result, kinds) = apply_with(&mut conn, &changes, how, without, ConflictAction::Abort);
        assert!(matches!(result, Err(ApplyError::ForeignKeyViolations(_))), "{how:?}: {result:?}");
        assert_eq!(kinds, [ConflictType::ForeignKey], "{how:?}");
        assert_eq!(rows(&mut conn, "main", "c"), ["1 1", "2 2"], "{how:?}");
        acts(&mut conn, "after violations");
    }
}
