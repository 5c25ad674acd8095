//! Sessions: what they record and reject, and that calls at a wrong time are harmless.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel_sqlite_session::{Changeset, ConflictAction, Session, SessionError, SqliteSessionExt};
use diesel_sqlite_session_tests::sqlite::records_all_tables;
use libsqlite3_sys::SQLITE_SCHEMA;

use crate::common::{exec, lines, open};

diesel::table! {
    t (id) {
        id -> Integer,
        v -> Nullable<Text>,
    }
}

diesel::table! {
    by_rowid (rowid) {
        rowid -> BigInt,
        a -> Nullable<Text>,
    }
}

diesel::table! {
    derived (second, first) {
        first -> Integer,
        doubled -> Nullable<Integer>,
        second -> Integer,
    }
}

const TABLES: &str =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT);";

fn shown(session: &mut Session) -> Vec<String> {
    let mut lines: Vec<String> = session.changeset().unwrap().records().map(|record| record.to_string()).collect();
    lines.sort();
    lines
}

fn tracked(conn: &mut SqliteConnection) -> Session {
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    session
}

#[test]
fn rolled_back_changes_are_not_recorded() {
    let mut conn = open(TABLES);
    let mut session = tracked(&mut conn);
    let _ = conn.transaction::<(), _, _>(|conn| {
        exec(conn, "INSERT INTO t VALUES (1, 'gone')");
        Err(diesel::result::Error::RollbackTransaction)
    });
    exec(&mut conn, "INSERT INTO t VALUES (2, 'kept')");
    assert_eq!(shown(&mut session), ["INSERT t(2, 'kept')"]);
}

#[test]
fn flags_can_be_set_and_read() {
    let mut conn = open(TABLES);
    let mut session = tracked(&mut conn);
    assert!(session.is_enabled() && !session.is_indirect() && !session.is_closed());
    session.set_indirect(true);
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    session.set_enabled(false);
    exec(&mut conn, "INSERT INTO t VALUES (2, 'y')");
    assert!(session.is_indirect() && !session.is_enabled());
    assert_eq!(shown(&mut session), ["INSERT t(1, 'x') indirect"]);
    drop(conn);
    assert!(session.is_closed() && !session.is_enabled() && !session.is_indirect() && session.is_empty());
}

#[test]
fn taken_changes_are_not_returned_again() {
    let mut conn = open(&format!("{TABLES} CREATE TABLE loose (a); CREATE TABLE hidden (id INTEGER PRIMARY KEY);"));
    let mut session = conn.create_session().unwrap();
    session.track_rowids().unwrap();
    session.track_size().unwrap();
    session.attach_by_name("other").unwrap();
    session.attach_all().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    session
        .set_table_filter(move |table| {
            seen.lock().unwrap().push(table.to_string());
            table != "hidden"
        })
        .unwrap();
    session.set_indirect(true);
    let taken = |conn: &mut SqliteConnection, session: &mut Session, id: i64| {
        exec(
            conn,
            &format!(
                "INSERT INTO t VALUES ({id}, 'x'); INSERT INTO hidden VALUES ({id}); INSERT INTO loose VALUES ({id})"
            ),
        );
        exec(conn, &format!("INSERT INTO other VALUES ({id}, 'o'); UPDATE t SET v = 'y' WHERE id < {id}"));
        let mut lines: Vec<String> =
            session.take_changeset().unwrap().records().map(|record| record.to_string()).collect();
        lines.sort();
        lines
    };
    let inserted = |id: i64| {
        [("loose", format!("{id}, {id}")), ("other", format!("{id}, 'o'")), ("t", format!("{id}, 'x'"))]
            .map(|(table, values)| format!("INSERT {table}({values}) indirect"))
    };
    assert_eq!(taken(&mut conn, &mut session, 1), inserted(1));
    assert!(session.is_empty() && session.is_indirect() && session.is_enabled());
    assert_eq!(session.changeset_size().unwrap(), 0);
    let mut second = inserted(2).to_vec();
    second.push("UPDATE t(1, 'x' -> 'y') indirect".into());
    assert_eq!(taken(&mut conn, &mut session, 2), second);
    asked.lock().unwrap().sort();
    assert_eq!(*asked.lock().unwrap(), ["hidden", "hidden", "loose", "loose", "t", "t"]);

    session.set_indirect(false);
    exec(&mut conn, "INSERT INTO t VALUES (7, 'x')");
    session.set_enabled(false);
    assert_eq!(session.take_patchset().unwrap().records().count(), 1);
    assert!(!session.is_enabled());
    exec(&mut conn, "INSERT INTO t VALUES (8, 'x')");
    assert_eq!(session.take_changeset().unwrap().records().count(), 0);
    drop(conn);
    assert!(matches!(session.take_changeset(), Err(SessionError::ConnectionClosed)));
    // the filter lives as long as the session
    assert_eq!(Arc::strong_count(&asked), 1, "the connection's end took it");
}

#[test]
fn changes_are_taken_in_the_transaction_that_keeps_them() {
    let mut conn = open(&format!("{TABLES} CREATE TABLE outbox (id INTEGER PRIMARY KEY, changes BLOB);"));
    let mut session = conn.create_session().unwrap();
    session.attach::<t::table>().unwrap();
    for id in 1..4 {
        let done: diesel::QueryResult<()> = conn.transaction(|conn| {
            exec(conn, &format!("INSERT INTO t VALUES ({id}, 'x')"));
            let changes = session.take_changeset().unwrap();
            diesel::sql_query("INSERT INTO outbox (changes) VALUES (?)")
                .bind::<diesel::sql_types::Binary, _>(changes.as_bytes())
                .execute(conn)?;
            if id == 2 { Err(diesel::result::Error::RollbackTransaction) } else { Ok(()) }
        });
        assert_eq!(done.is_ok(), id != 2);
    }
    let kept = crate::common::lines(&mut conn, "SELECT hex(changes) AS line FROM outbox ORDER BY id");
    assert_eq!(kept.len(), 2);
    assert!(session.is_empty());
}

#[test]
fn memory_and_size_can_be_read() {
    let mut conn = open(TABLES);
    let mut session = conn.create_session().unwrap();
    session.track_size().unwrap();
    session.attach_all().unwrap();
    let before = session.memory_used().unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    assert!(session.memory_used().unwrap() > before);
    let size = session.changeset().unwrap().as_bytes().len() as u64;
    assert!(session.changeset_size().unwrap() >= size);
}

#[test]
fn rowids_and_sizes_cannot_be_tracked_after_the_first_attach() {
    for attach in [Session::attach_all, |session: &mut Session| session.attach_by_name("t")] {
        let mut conn = open(TABLES);
        let mut session = conn.create_session().unwrap();
        session.track_rowids().unwrap();
        session.track_size().unwrap();
        attach(&mut session).unwrap();
        assert!(matches!(session.track_rowids(), Err(SessionError::AttachedAlready)));
        let error = session.track_size().unwrap_err();
        assert!(matches!(error, SessionError::AttachedAlready));
        assert_eq!(
            error.to_string(),
            "call `track_size` and `track_rowids` before attaching the session's first table"
        );
    }
}

#[test]
fn the_difference_of_a_set_turns_one_schema_into_the_other() {
    use diesel_sqlite_session::{Change, Tracked};
    mod music {
        diesel::table! {
            bands (id) {
                id -> Integer,
                name -> Text,
            }
        }
        diesel::table! {
            songs (band, title) {
                band -> Integer,
                title -> Text,
                seconds -> Nullable<Double>,
            }
        }
        #[derive(diesel_sqlite_session::Tracked)]
        #[diesel(table_name = bands)]
        #[allow(dead_code)]
        pub struct Band {
            id: i32,
            name: String,
        }
        #[derive(diesel_sqlite_session::Tracked)]
        #[diesel(table_name = songs)]
        #[allow(dead_code)]
        pub struct Song {
            band: i32,
            title: String,
            seconds: Option<f64>,
        }
    }
    #[derive(Tracked)]
    enum Music {
        Bands(Change<music::bands::table>),
        Songs(Change<music::songs::table>),
    }
    let tables = |schema: &str| {
        format!(
            "CREATE TABLE {schema}.bands (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
             CREATE TABLE {schema}.songs (band INTEGER, title TEXT, seconds REAL, PRIMARY KEY (title, band));"
        )
    };
    let before = "INSERT INTO bands VALUES (1, 'a'), (2, 'b'); INSERT INTO songs VALUES (1, 'x', 1.5), (1, 'y', NULL);";
    let after = "INSERT INTO bands VALUES (1, 'A'), (3, 'c'); INSERT INTO songs VALUES (1, 'x', 1.5), (1, 'y', 2), (3, 'z', 0);";
    let rows = |conn: &mut diesel::SqliteConnection| {
        lines(
            conn,
            "SELECT id || name AS line FROM bands UNION ALL SELECT band || title || quote(seconds) FROM songs ORDER BY 1",
        )
    };
    let mut conn = open(&format!("{}{after} ATTACH ':memory:' AS old; {}", tables("main"), tables("old")));
    exec(&mut conn, &before.replace("INTO ", "INTO old."));
    let changeset = conn.diff::<Music>("old", "main").unwrap();
    // in a transaction too; in the other direction the result is the inverse
    let inverse = conn.transaction::<_, SessionError, _>(|conn| conn.diff::<Music>("main", "old")).unwrap();
    let sorted = |changeset: &Changeset| {
        let mut shown: Vec<String> = changeset.records().map(|record| record.to_string()).collect();
        shown.sort();
        shown
    };
    assert_eq!(sorted(&inverse), sorted(&changeset.invert()));
    assert_eq!(changeset.records().count(), 5);
    let mut old = open(&format!("{}{before}", tables("main")));
    old.apply(&changeset).run().unwrap();
    assert_eq!(rows(&mut old), rows(&mut conn));
    // tables that cannot be compared are an error
    exec(&mut conn, "ALTER TABLE old.songs ADD COLUMN more");
    let error = conn.diff::<Music>("old", "main").unwrap_err();
    assert!(matches!(&error, SessionError::Sqlite { table: Some(table), .. } if table == "songs"), "{error}");
    let error = conn.diff::<Music>("main", "old").unwrap_err();
    assert!(matches!(&error, SessionError::SchemaMismatch(mismatch) if mismatch.column() == Some("more")), "{error}");
}

#[test]
fn other_schemas_can_be_tracked_and_compared() {
    let mut conn = open(TABLES);
    exec(&mut conn, "ATTACH ':memory:' AS aux; CREATE TABLE aux.t (id INTEGER PRIMARY KEY, v TEXT)");
    let mut session = conn.create_session_on("aux").unwrap();
    session.attach::<t::table>().unwrap();
    exec(&mut conn, "INSERT INTO aux.t VALUES (1, 'there'); INSERT INTO main.t VALUES (2, 'here')");
    assert_eq!(shown(&mut session), ["INSERT t(1, 'there')"]);

    let mut difference = conn.create_session().unwrap();
    difference.diff::<t::table>("aux").unwrap();
    assert_eq!(shown(&mut difference), ["DELETE t(1, 'there')", "INSERT t(2, 'here')"]);
    assert!(matches!(difference.diff::<t::table>("nowhere"), Err(SessionError::Sqlite { .. })));
    assert!(conn.create_session_on("bad\0name").is_err());
    // SQLite would record nothing
    let error = conn.create_session_on("nowhere").unwrap_err();
    assert!(matches!(&error, SessionError::NoSuchSchema { schema } if schema == "nowhere"), "{error}");
}

#[test]
fn tables_without_a_key_are_rejected_or_tracked_by_rowid() {
    let mut source = open("CREATE TABLE by_rowid (a TEXT)");
    let error = source.create_session().unwrap().attach::<by_rowid::table>().unwrap_err();
    assert!(matches!(error, SessionError::SchemaMismatch(_)), "{error}");
    let error = source.create_session().unwrap().attach_by_name("by_rowid").unwrap_err();
    assert!(error.to_string().contains("by_rowid") && error.to_string().contains("primary key"), "{error}");

    // SQLite would use this column as the rowid
    let mut misleading = open("CREATE TABLE by_rowid (_rowid_ TEXT, a TEXT)");
    let mut session = misleading.create_session().unwrap();
    session.track_rowids().unwrap();
    let error = session.attach_by_name("by_rowid").unwrap_err();
    assert!(error.to_string().contains("_rowid_"), "{error}");

    let mut session = source.create_session().unwrap();
    session.track_rowids().unwrap();
    session.attach::<by_rowid::table>().unwrap();
    exec(&mut source, "INSERT INTO by_rowid (rowid, a) VALUES (7, 'x')");
    assert_eq!(shown(&mut session), ["INSERT by_rowid(7, 'x')"]);
    let mut replica = open("CREATE TABLE by_rowid (a TEXT)");
    replica.apply_changeset(&session.changeset().unwrap(), |_| ConflictAction::Abort).unwrap();
    assert_eq!(crate::common::lines(&mut replica, "SELECT rowid || a AS line FROM by_rowid"), ["7x"]);
}

#[test]
fn generated_columns_may_be_listed_and_keys_may_be_in_any_order() {
    let mut conn = open(
        "CREATE TABLE derived (first INTEGER NOT NULL, doubled INTEGER AS (2 * first), second INTEGER NOT NULL, \
         PRIMARY KEY (second, first))",
    );
    let mut session = conn.create_session().unwrap();
    session.attach::<derived::table>().unwrap();
    exec(&mut conn, "INSERT INTO derived (first, second) VALUES (1, 2)");
    if records_all_tables() {
        assert_eq!(shown(&mut session), ["INSERT derived(1, 2)"]);
    } else {
        let result = session.changeset();
        assert!(
            matches!(&result, Err(SessionError::Sqlite { error, .. }) if error.code() == SQLITE_SCHEMA),
            "{result:?}"
        );
    }
}

#[test]
fn tables_that_attach_all_does_not_see_are_listed() {
    let mut conn = open(
        "CREATE TABLE keyed (id INTEGER PRIMARY KEY); CREATE TABLE loose (a); CREATE VIEW v AS SELECT 1; \
         CREATE VIRTUAL TABLE words USING fts5(word);",
    );
    let mut session = tracked(&mut conn);
    let untracked: Vec<(String, &str)> =
        session.untracked_tables().unwrap().into_iter().map(|table| (table.name, table.reason)).collect();
    assert_eq!(
        untracked,
        [("loose".to_string(), "a table without a primary key"), ("words".to_string(), "a virtual table")]
    );
    session.set_enabled(false);
    assert!(conn.create_session().unwrap().attach_by_name("words").is_err());
}

#[test]
fn a_filter_is_called_once_for_each_table() {
    let mut conn = open(TABLES);
    let mut session = tracked(&mut conn);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    session
        .set_table_filter(move |table| {
            seen.lock().unwrap().push(table.to_string());
            table == "t"
        })
        .unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x'), (2, 'y'); INSERT INTO other VALUES (1, 'x')");
    assert_eq!(shown(&mut session), ["INSERT t(1, 'x')", "INSERT t(2, 'y')"]);
    asked.lock().unwrap().sort();
    assert_eq!(*asked.lock().unwrap(), ["other", "t"]);
    // the closure is dropped with the session
    drop(session);
    assert_eq!(Arc::strong_count(&asked), 1);
}

#[test]
fn a_panic_in_a_filter_is_an_error_of_the_next_call() {
    let mut conn = open(TABLES);
    let mut session = tracked(&mut conn);
    session.set_table_filter(|_| panic!("in the filter")).unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    assert!(matches!(session.changeset(), Err(SessionError::TableFilterPanicked)));
    assert!(session.changeset().unwrap().is_empty());
}

#[test]
fn inside_a_filter_sessions_of_the_connection_are_busy_and_may_be_dropped() {
    let mut conn = open(TABLES);
    let mut outer = tracked(&mut conn);
    let inner = Mutex::new(Some((tracked(&mut conn), tracked(&mut conn))));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::clone(&seen);
    outer
        .set_table_filter(move |_| {
            let mut inner = inner.lock().unwrap();
            if let Some((session, _)) = inner.as_mut() {
                let mut answers = answers.lock().unwrap();
                answers.push(matches!(session.changeset(), Err(SessionError::Busy)));
                answers.push(matches!(session.attach_all(), Err(SessionError::Busy)));
                answers.push(matches!(session.set_table_filter(|_| true), Err(SessionError::Busy)));
                answers.push(session.is_empty() || !session.is_empty());
                answers.push(!session.is_closed());
            }
            drop(inner.take());
            true
        })
        .unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x'); INSERT INTO other VALUES (1, 'y')");
    assert_eq!(*seen.lock().unwrap(), [true; 5]);
    assert_eq!(shown(&mut outer).len(), 2);
    // sessions dropped there are deleted by now, or with the connection
    tracked(&mut conn);
    drop(conn);
    assert!(outer.is_closed());
}

#[test]
fn a_session_may_be_owned_by_its_own_filter() {
    let mut conn = open(TABLES);
    let cell: Arc<Mutex<Option<Session>>> = Arc::default();
    let mut session = tracked(&mut conn);
    let own = Arc::clone(&cell);
    session.set_table_filter(move |_| own.lock().unwrap().take().is_none()).unwrap();
    *cell.lock().unwrap() = Some(session);
    // the filter drops its own session
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x'); INSERT INTO other VALUES (1, 'y')");
    assert!(cell.lock().unwrap().is_none());
    exec(&mut conn, "DELETE FROM t");
}

#[test]
fn streams_have_the_same_bytes_and_propagate_errors_and_panics() {
    struct Fails;
    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    struct Panics;
    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("in the writer")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut conn, mut stranger) = (open(TABLES), open(TABLES));
    let mut session = tracked(&mut conn);
    let rows: Vec<String> = (0..2000).map(|id| format!("({id}, 'row {id}')")).collect();
    exec(&mut conn, &format!("INSERT INTO t VALUES {}", rows.join(", ")));
    let mut bytes = Vec::new();
    session.on(&mut conn).write_changeset_to(&mut bytes).unwrap();
    assert_eq!(bytes, session.changeset().unwrap().into_bytes());
    bytes.clear();
    session.on(&mut conn).write_patchset_to(&mut bytes).unwrap();
    assert_eq!(bytes, session.patchset().unwrap().into_bytes());

    match session.on(&mut conn).write_changeset_to(&mut Fails) {
        Err(SessionError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
    assert!(catch_unwind(AssertUnwindSafe(|| session.on(&mut conn).write_changeset_to(&mut Panics))).is_err());
    let error = session.on(&mut stranger).write_changeset_to(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, SessionError::OtherConnection), "{error}");
    assert_eq!(session.changeset().unwrap().records().count(), 2000, "and none of that did harm");
}

#[test]
fn inside_a_writer_other_sessions_of_the_connection_are_busy() {
    struct Meddles(Option<Session>, Vec<bool>);
    impl Write for Meddles {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(mut session) = self.0.take() {
                self.1.push(matches!(session.patchset(), Err(SessionError::Busy)));
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut conn = open(TABLES);
    let mut session = tracked(&mut conn);
    let mut writer = Meddles(Some(tracked(&mut conn)), Vec::new());
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    session.on(&mut conn).write_changeset_to(&mut writer).unwrap();
    assert_eq!(writer.1, [true]);
}

#[test]
fn inside_a_conflict_handler_sessions_of_the_connection_are_busy_and_may_be_dropped() {
    let mut source = open(TABLES);
    let mut session = tracked(&mut source);
    exec(&mut source, "INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    let changeset = session.changeset().unwrap();

    let mut replica = open(TABLES);
    exec(&mut replica, "INSERT INTO t VALUES (1, 'mine'), (2, 'mine')");
    let (mut of_replica, mut dropped) = (tracked(&mut replica), Some(tracked(&mut replica)));
    let mut answers = Vec::new();
    replica
        .apply_changeset(&changeset, |_| {
            answers.push(matches!(of_replica.changeset(), Err(SessionError::Busy)));
            // a session of another connection works
            answers.push(session.changeset().is_ok());
            dropped = None;
            ConflictAction::Replace
        })
        .unwrap();
    assert_eq!(answers, [true; 4]);
    assert_eq!(shown(&mut of_replica), ["UPDATE t(1, 'mine' -> 'x')", "UPDATE t(2, 'mine' -> 'y')"]);
    drop(replica);
    assert!(of_replica.is_closed());
}

#[test]
fn a_session_may_be_dropped_while_a_query_runs() {
    let mut conn = open(TABLES);
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    let session = tracked(&mut conn);
    let mut rows = t::table.load_iter::<(i32, Option<String>), DefaultLoadingMode>(&mut conn).unwrap();
    assert!(rows.next().unwrap().is_ok());
    drop(session);
    assert!(rows.next().unwrap().is_ok());
    drop(rows);
    let mut session = tracked(&mut conn);
    exec(&mut conn, "DELETE FROM t WHERE id = 1");
    assert_eq!(shown(&mut session), ["DELETE t(1, 'x')"]);
}

#[test]
fn a_session_may_be_used_and_dropped_on_another_thread_while_the_connection_works() {
    let mut conn = open(TABLES);
    for round in 0..20 {
        let mut session = tracked(&mut conn);
        let worker = std::thread::spawn(move || {
            for _ in 0..10 {
                session.changeset().unwrap();
                session.memory_used().unwrap();
            }
        });
        for id in 0..50 {
            exec(&mut conn, &format!("INSERT INTO t VALUES ({}, 'v')", round * 50 + id));
        }
        worker.join().unwrap();
    }
}

#[test]
fn a_dropped_table_makes_generating_fail() {
    let mut conn = open(TABLES);
    let mut session = conn.create_session().unwrap();
    session.attach_by_name("other").unwrap();
    session.attach_by_name("t").unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x'); DROP TABLE t");
    match session.changeset() {
        Err(SessionError::Sqlite { operation, table, .. }) => {
            assert_eq!((operation, table.as_deref()), ("generating a changeset", Some("t")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_and_its_session_may_end_with_their_thread() {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<(SqliteConnection, Session)>> = const { std::cell::RefCell::new(None) };
    }
    std::thread::spawn(|| {
        KEPT.with_borrow_mut(|kept| {
            let mut conn = open(TABLES);
            let mut session = tracked(&mut conn);
            session.set_table_filter(|_| true).unwrap();
            exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
            *kept = Some((conn, session));
        });
    })
    .join()
    .unwrap();
}

#[test]
fn closing_does_not_wait_for_a_thread_that_uses_another_session() {
    struct Joins(Option<std::thread::JoinHandle<()>>);
    impl Drop for Joins {
        fn drop(&mut self) {
            self.0.take().unwrap().join().unwrap();
        }
    }
    let mut conn = open(TABLES);
    let (mut first, mut second) = (tracked(&mut conn), tracked(&mut conn));
    let worker = std::thread::spawn(move || {
        // SQLite's mutex is not fair: without a rest the closing thread might never get it
        while second.changeset().is_ok() {
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
    });
    let guard = Joins(Some(worker));
    first.set_table_filter(move |_| guard.0.is_some()).unwrap();
    drop(conn);
    assert!(first.is_closed());
}

#[test]
fn an_instrumentation_may_use_sessions_of_its_own() {
    use diesel::connection::InstrumentationEvent;

    let mut conn = open(TABLES);
    let (other, kept) = (Mutex::new(open(TABLES)), Mutex::new(Vec::new()));
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { .. } = event {
            let session = other.lock().unwrap().create_session().unwrap();
            kept.lock().unwrap().push(session);
        }
    });
    let mut session = tracked(&mut conn);
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    assert_eq!(shown(&mut session).len(), 1);
}
