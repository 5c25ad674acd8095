//! A session has not borrowed its connection: what may happen there meanwhile, on this thread or on another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel_sqlite_session::{Session, SessionError, SqliteSessionExt};

use crate::{Line, exec, open};

diesel::table! {
    t (id) {
        id -> Integer,
        v -> Nullable<Text>,
    }
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn in_the_midst(x: diesel::sql_types::Integer) -> diesel::sql_types::Integer;
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);";

fn tracked(conn: &mut SqliteConnection) -> Session {
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    session
}

#[test]
fn between_the_rows_of_a_statement_a_session_is_busy() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    let mut rows = t::table.load_iter::<(i32, Option<String>), DefaultLoadingMode>(&mut conn).unwrap();
    assert_eq!(rows.next().unwrap().unwrap().0, 1);
    assert!(matches!(session.changeset(), Err(SessionError::Busy)));
    assert!(!session.is_empty(), "what runs no SQL is not");
    drop(rows);
    assert_eq!(session.changeset().unwrap().records().count(), 2);
}

#[test]
fn inside_a_function_of_the_connection_a_session_is_busy() {
    let mut conn = open(TABLE);
    let session = Arc::new(Mutex::new(tracked(&mut conn)));
    let inner = AssertUnwindSafe(Arc::clone(&session));
    in_the_midst_utils::register_impl(&mut conn, move |_: i32| {
        let inner = &inner;
        i32::from(matches!(inner.lock().unwrap().changeset(), Err(SessionError::Busy)))
    })
    .unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    assert_eq!(diesel::select(in_the_midst(1)).get_result::<i32>(&mut conn).unwrap(), 1);
    assert_eq!(session.lock().unwrap().changeset().unwrap().records().count(), 1);
}

/// A connection whose collation does something to it, once, while a session of it is at work.
fn with_a_collation(
    act: impl Fn(&mut Option<SqliteConnection>) + Send + 'static,
) -> (Arc<Mutex<Option<SqliteConnection>>>, Session) {
    let shared = Arc::new(Mutex::new(None));
    let (armed, inner, act) = (AtomicBool::new(true), AssertUnwindSafe(Arc::clone(&shared)), AssertUnwindSafe(act));
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    conn.register_collation("meddling", move |a: &str, b: &str| {
        let (inner, act) = (&inner, &act);
        if let Ok(mut conn) = inner.try_lock() {
            if conn.is_some() && armed.swap(false, Relaxed) {
                act(&mut conn);
            }
        }
        a.cmp(b)
    })
    .unwrap();
    exec(&mut conn, "CREATE TABLE k (k TEXT COLLATE meddling PRIMARY KEY, v TEXT); INSERT INTO k VALUES ('a', 'x')");
    let session = tracked(&mut conn);
    exec(&mut conn, "UPDATE k SET v = 'y'; INSERT INTO k VALUES ('b', 'x'), ('c', 'x')");
    *shared.lock().unwrap() = Some(conn);
    (shared, session)
}

#[test]
fn what_a_collation_changes_meanwhile_is_an_error() {
    let (_conn, mut session) = with_a_collation(|conn| {
        let conn = conn.as_mut().unwrap();
        exec(
            conn,
            "ALTER TABLE k ADD COLUMN w DEFAULT 7; INSERT INTO k VALUES ('d', 'x', 'y'); DELETE FROM k WHERE k = 'a'",
        );
        assert!(matches!(conn.create_session(), Err(SessionError::Busy)));
    });
    let error = session.changeset().unwrap_err();
    assert!(error.to_string().contains("changed the database meanwhile"), "{error}");
    assert!(session.is_enabled());
    assert_eq!(session.changeset().unwrap().records().count(), 3);
}

#[test]
fn a_collation_that_drops_its_connection_ends_the_process() {
    const CHILD: &str = "DIESEL_SQLITE_SESSION_TEST_ABORTS";
    if std::env::var_os(CHILD).is_some() {
        let (_conn, mut session) = with_a_collation(|conn| drop(conn.take()));
        let _ = session.changeset();
        return;
    }
    let name = "unborrowed::a_collation_that_drops_its_connection_ends_the_process";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(!child.status.success());
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(said.contains("in the midst of its session's work"), "{said}");
}

#[test]
fn a_connection_that_cannot_close_closes_its_sessions() {
    let bytes = {
        let mut conn = open(TABLE);
        conn.serialize_database_to_buffer().to_vec()
    };
    let mut conn = open("");
    conn.deserialize_readonly_database_from_buffer(&bytes).unwrap();
    let mut session = tracked(&mut conn);
    let rows = diesel::sql_query("SELECT 'x' AS line").load_iter::<Line, DefaultLoadingMode>(&mut conn);
    std::mem::forget(rows);
    // Diesel panics: SQLite does not close a connection that has statements
    let closed = catch_unwind(AssertUnwindSafe(|| drop(conn)));
    assert!(closed.is_err());
    assert!(session.is_closed());
    assert!(matches!(session.changeset(), Err(SessionError::ConnectionClosed)));
}

/// Runs `work` on a thread of its own while this one takes changesets until it ends.
fn meanwhile(mut conn: SqliteConnection, work: impl FnOnce(&mut SqliteConnection) + Send) {
    let mut session = tracked(&mut conn);
    exec(&mut conn, "CREATE TABLE gone (id INTEGER PRIMARY KEY); INSERT INTO gone VALUES (1); DROP TABLE gone");
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            work(&mut conn);
            drop(conn);
        });
        let mut failed = 0;
        while !worker.is_finished() {
            match session.changeset() {
                Err(SessionError::Sqlite { .. }) => failed += 1,
                Err(SessionError::ConnectionClosed | SessionError::Busy) => {}
                other => panic!("a table that was recorded is gone: {other:?}"),
            }
        }
        worker.join().unwrap();
        assert!(failed > 0);
    });
}

#[test]
fn errors_keep_their_kind_and_their_message_while_a_session_fails_elsewhere() {
    meanwhile(open(TABLE), |conn| {
        exec(conn, "INSERT INTO t VALUES (1, 'x')");
        for round in 0..5000 {
            let inserted = diesel::insert_into(t::table).values(t::id.eq(1)).execute(conn);
            match inserted {
                Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information)) => {
                    assert_eq!(information.message(), "UNIQUE constraint failed: t.id", "round {round}");
                }
                other => panic!("round {round}: {other:?}"),
            }
        }
    });
}

#[test]
fn rows_keep_their_values_while_a_session_works_elsewhere() {
    // Diesel makes UTF-8 of them without SQLite's mutex
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    exec(&mut conn, "PRAGMA encoding = 'UTF-16'");
    exec(&mut conn, TABLE);
    for id in 0..200 {
        let row = (t::id.eq(id), t::v.eq(format!("the text of row {id}, of some length")));
        diesel::insert_into(t::table).values(row).execute(&mut conn).unwrap();
    }
    meanwhile(conn, |conn| {
        for _ in 0..200 {
            for (id, v) in t::table.load::<(i32, Option<String>)>(conn).unwrap() {
                assert_eq!(v.unwrap(), format!("the text of row {id}, of some length"));
            }
        }
    });
}
