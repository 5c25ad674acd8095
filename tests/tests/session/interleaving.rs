//! A session does not borrow its connection: what else may happen on the connection meanwhile, on
//! this thread or another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel_sqlite_session::{ConflictAction, Session, SessionError, SqliteSessionExt};

use crate::common::{Line, exec, open};

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
        let mut session = inner.lock().unwrap();
        let is_busy = |result| i32::from(matches!(result, Err(SessionError::Busy)));
        is_busy(session.changeset()) + is_busy(session.take_changeset())
    })
    .unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    assert_eq!(diesel::select(in_the_midst(1)).get_result::<i32>(&mut conn).unwrap(), 2);
    // changes that could not be taken are kept
    assert_eq!(session.lock().unwrap().take_changeset().unwrap().records().count(), 1);
}

/// Opens a connection whose collation calls a function once while its session works.
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
fn changes_by_a_collation_during_session_work_are_an_error() {
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
    let name = "session::interleaving::a_collation_that_drops_its_connection_ends_the_process";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(!child.status.success());
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(said.contains("dropped by one of its own functions while a session was using it"), "{said}");
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
    // Diesel panics, because SQLite does not close a connection with statements
    let closed = catch_unwind(AssertUnwindSafe(|| drop(conn)));
    assert!(closed.is_err());
    assert!(session.is_closed());
    assert!(matches!(session.changeset(), Err(SessionError::ConnectionClosed)));
}

/// Runs `work` repeatedly on another thread while this thread takes changesets, until both have
/// been done often.
fn meanwhile(mut conn: SqliteConnection, mut work: impl FnMut(&mut SqliteConnection) + Send) {
    const OFTEN: usize = 30;
    let taken = AtomicUsize::new(0);
    let mut session = tracked(&mut conn);
    exec(&mut conn, "UPDATE t SET v = v || '!'; INSERT INTO t VALUES (1000000, 'recorded')");
    std::thread::scope(|scope| {
        let taken = &taken;
        let worker = scope.spawn(move || {
            let mut done = 0;
            while done < OFTEN || taken.load(Relaxed) < OFTEN {
                work(&mut conn);
                done += 1;
            }
            drop(conn);
        });
        while !worker.is_finished() {
            match session.changeset() {
                Ok(changeset) => {
                    assert!(!changeset.is_empty());
                    taken.fetch_add(1, Relaxed);
                    // SQLite's mutex is not fair
                    std::thread::sleep(std::time::Duration::from_micros(50));
                }
                Err(SessionError::ConnectionClosed | SessionError::Busy) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        worker.join().unwrap();
    });
}

#[test]
fn errors_keep_their_kind_and_message_while_a_session_works_elsewhere() {
    meanwhile(open(TABLE), |conn| {
        for round in 0..20 {
            let inserted = diesel::insert_into(t::table).values(t::id.eq(1_000_000)).execute(conn);
            match inserted {
                Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information)) => {
                    assert_eq!(information.message(), "UNIQUE constraint failed: t.id", "round {round}");
                }
                other => panic!("round {round}: {other:?}"),
            }
        }
        // after a success a session need not wait for an error to be read
        exec(conn, "SELECT 1");
        std::thread::sleep(std::time::Duration::from_micros(200));
    });
}

#[test]
fn rows_keep_their_values_while_a_session_works_elsewhere() {
    // Diesel converts them to UTF-8 without SQLite's mutex
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    exec(&mut conn, "PRAGMA encoding = 'UTF-16'");
    exec(&mut conn, TABLE);
    for id in 0..200 {
        let row = (t::id.eq(id), t::v.eq(format!("the text of row {id}, of some length")));
        diesel::insert_into(t::table).values(row).execute(&mut conn).unwrap();
    }
    meanwhile(conn, |conn| {
        for (id, v) in t::table.filter(t::id.lt(200)).load::<(i32, Option<String>)>(conn).unwrap() {
            assert_eq!(v.unwrap(), format!("the text of row {id}, of some length!"));
        }
    });
}

/// A value that runs a function after the thread's other thread-local values are gone.
struct Late {
    conn: SqliteConnection,
    _session: Arc<Mutex<Option<Session>>>,
}

impl Drop for Late {
    fn drop(&mut self) {
        exec(&mut self.conn, "INSERT INTO t VALUES (1, 'x')");
    }
}

std::thread_local! {
    static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn at_the_end_of_a_thread_a_filter_still_cannot_replace_itself() {
    let answer = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&answer);
    let thread = std::thread::spawn(move || {
        LATE.with_borrow_mut(|late| {
            let mut conn = open(TABLE);
            let mut session = tracked(&mut conn);
            let cell = Arc::new(Mutex::new(None::<Session>));
            let own = Arc::clone(&cell);
            let data = vec![7_u8; 1000];
            session
                .set_table_filter(move |_| {
                    let replaced = own.lock().unwrap().as_mut().unwrap().set_table_filter(|_| true);
                    *seen.lock().unwrap() = Some((replaced.is_ok(), data.iter().all(|byte| *byte == 7)));
                    true
                })
                .unwrap();
            *cell.lock().unwrap() = Some(session);
            *late = Some(Late { conn, _session: cell });
        });
    });
    thread.join().unwrap();
    assert_eq!(*answer.lock().unwrap(), Some((false, true)));
}

/// A value owned by a collation that takes a changeset when it is dropped.
struct TakesChanges(Arc<Mutex<Option<Session>>>, Arc<Mutex<Vec<String>>>);

impl Drop for TakesChanges {
    fn drop(&mut self) {
        if let Some(session) = self.0.lock().unwrap().as_mut() {
            let answer = format!("{:?}", session.changeset());
            self.1.lock().unwrap().push(answer);
        }
    }
}

#[test]
fn a_collation_is_not_called_while_it_is_dropped() {
    let (cell, said) = (Arc::new(Mutex::new(None::<Session>)), Arc::new(Mutex::new(Vec::new())));
    let used = Arc::new(AtomicBool::new(false));
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    let owned = AssertUnwindSafe((vec![7_u8; 1000], TakesChanges(Arc::clone(&cell), Arc::clone(&said))));
    let (inner, calls) = (Arc::clone(&used), AssertUnwindSafe(Arc::clone(&said)));
    conn.register_collation("c", move |a: &str, b: &str| {
        let (owned, calls) = (&owned, &calls);
        if inner.load(Relaxed) {
            // not locked when the owned value takes a changeset
            if let Ok(mut calls) = calls.try_lock() {
                calls.push(format!("called with {:?}", owned.0.0.first()));
            }
        }
        a.cmp(b)
    })
    .unwrap();
    exec(&mut conn, "CREATE TABLE k (k TEXT COLLATE c PRIMARY KEY, v); INSERT INTO k VALUES ('a', 1), ('b', 1)");
    let session = tracked(&mut conn);
    exec(&mut conn, "UPDATE k SET v = 2");
    *cell.lock().unwrap() = Some(session);
    used.store(true, Relaxed);
    conn.register_collation("c", |a: &str, b: &str| a.cmp(b)).unwrap();
    assert_eq!(*said.lock().unwrap(), ["Err(Busy)"]);
    used.store(false, Relaxed);
    // a replaced collation no longer blocks
    let mut session = cell.lock().unwrap().take().unwrap();
    assert_eq!(session.changeset().unwrap().records().count(), 2);
}

const SAMPLED: &str = "CREATE TABLE s (id INTEGER PRIMARY KEY, b INTEGER, c TEXT); CREATE INDEX sb ON s (b); \
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
     INSERT INTO s SELECT i, i / 3, 'c' FROM n; ANALYZE;";

#[test]
fn attaching_calls_no_function_of_a_view() {
    // with certain statistics, SQLite calls functions while it compiles a view
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let connect = || SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let mut conn = connect();
    exec(&mut conn, SAMPLED);
    in_the_midst_utils::register_impl(&mut conn, |x: i32| x).unwrap();
    exec(&mut conn, "CREATE VIEW v AS SELECT id, c FROM s WHERE b > in_the_midst(660) AND c = 'c'");
    drop(conn);
    let mut conn = connect();
    let called = Arc::new(AtomicBool::new(false));
    let calls = AssertUnwindSafe(Arc::clone(&called));
    let mut session = conn.create_session().unwrap();
    in_the_midst_utils::register_impl(&mut conn, move |x: i32| {
        let calls = &calls;
        calls.store(true, Relaxed);
        x
    })
    .unwrap();
    session.attach_by_name("s").unwrap();
    session.untracked_tables().unwrap();
    assert!(!called.load(Relaxed));
}

#[test]
fn a_collation_that_writes_leaves_no_transaction_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let connect = || SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let (mut conn, mut reader) = (connect(), connect());
    let shared = AssertUnwindSafe(Arc::new(Mutex::new(None::<SqliteConnection>)));
    let inner = AssertUnwindSafe(Arc::clone(&shared));
    conn.register_collation("meddling", move |a: &str, b: &str| {
        let inner = &inner;
        if let Ok(mut conn) = inner.try_lock() {
            if let Some(conn) = conn.as_mut() {
                let _ = conn.batch_execute("INSERT INTO log DEFAULT VALUES");
            }
        }
        a.cmp(b)
    })
    .unwrap();
    exec(
        &mut conn,
        "CREATE TABLE log (id INTEGER PRIMARY KEY); \
         CREATE TABLE k (k TEXT COLLATE meddling PRIMARY KEY, v); INSERT INTO k VALUES ('a', 1)",
    );
    let mut session = tracked(&mut conn);
    exec(&mut conn, "UPDATE k SET v = 2");
    exec(&mut reader, "BEGIN; SELECT * FROM log");
    *shared.lock().unwrap() = Some(conn);
    assert!(session.changeset().is_err());
    let mut conn = shared.lock().unwrap().take().unwrap();
    exec(&mut reader, "COMMIT");
    exec(&mut conn, "BEGIN; COMMIT");
}

#[test]
fn an_old_error_does_not_block_inside_a_callback_of_another_connection() {
    let mut source = open(TABLE);
    let mut session = tracked(&mut source);
    exec(&mut source, "INSERT INTO t VALUES (1, 'x')");
    let changeset = session.changeset().unwrap();
    assert!(source.batch_execute("INSERT INTO t VALUES (1, 'x')").is_err());
    let mut replica = open(TABLE);
    exec(&mut replica, "INSERT INTO t VALUES (1, 'y')");
    replica
        .apply_changeset(&changeset, |_| {
            assert!(session.changeset().is_ok());
            ConflictAction::Omit
        })
        .unwrap();
}

#[test]
fn an_error_on_another_thread_blocks_only_for_a_while() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    let (send, receive) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        assert!(conn.batch_execute("INSERT INTO t VALUES (1, 'x')").is_err());
        send.send(()).unwrap();
        // idle, with an error that has not been read
        conn
    });
    receive.recv().unwrap();
    assert_eq!(session.changeset().unwrap().records().count(), 1);
    drop(worker.join().unwrap());
}

#[test]
fn a_session_does_not_confuse_its_statements_with_the_connections() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    let (ask, asked) = std::sync::mpsc::channel::<&str>();
    let (answer, answered) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        for statement in asked {
            answer.send(conn.batch_execute(statement).is_ok()).unwrap();
        }
    });
    ask.send("INSERT INTO t VALUES (1, 'x')").unwrap();
    assert!(answered.recv().unwrap());
    assert_eq!(session.changeset().unwrap().records().count(), 1);
    // a statement that does not compile never begins: its error belongs to the thread of the
    // statement before
    ask.send("nonsense").unwrap();
    assert!(!answered.recv().unwrap());
    let since = std::time::Instant::now();
    assert_eq!(session.changeset().unwrap().records().count(), 1);
    assert!(since.elapsed() >= std::time::Duration::from_secs(1), "the message may not have been read yet");
    drop(ask);
    worker.join().unwrap();
}

#[test]
fn changes_taken_while_another_thread_writes_are_complete_and_unique() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    let writer = std::thread::spawn(move || {
        for id in 1..=300 {
            exec(&mut conn, &format!("INSERT INTO t VALUES ({id}, 'x')"));
            if id % 50 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        conn
    });
    let mut taken = Vec::new();
    let mut take = |session: &mut Session| {
        let changes = session.take_changeset().unwrap();
        taken.extend(changes.records().filter_map(|record| record.new_value(0)?.as_integer()));
    };
    while !writer.is_finished() {
        take(&mut session);
    }
    let _conn = writer.join().unwrap();
    take(&mut session);
    taken.sort_unstable();
    assert!(taken.into_iter().eq(1..=300));
}
