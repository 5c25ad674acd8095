//! Sessions while their connection is in use: what waits, what answers at once, and what is never
//! claimed without being known.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::prelude::*;
use diesel_sqlite_session::session::BorrowedSession;
use diesel_sqlite_session::{Change, Session, SessionError, SqliteSessionExt, Tracked};

use crate::common::{exec, open};

diesel::table! {
    t (id) {
        id -> Integer,
        v -> Nullable<Text>,
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = t)]
pub struct Row {
    id: i32,
    v: Option<String>,
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn stops(x: diesel::sql_types::Integer) -> diesel::sql_types::Integer;
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);";

/// Less than the time for which a session waits for another thread.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// A statement that runs on another thread until [`end`](Self::end).
struct Statement {
    ended: Arc<Barrier>,
    thread: std::thread::JoinHandle<SqliteConnection>,
}

impl Statement {
    /// Starts the statement, and returns once it runs.
    fn start(mut conn: SqliteConnection) -> Self {
        let (begun, ended) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let waits = AssertUnwindSafe((Arc::clone(&begun), Arc::clone(&ended)));
        stops_utils::register_impl(&mut conn, move |x: i32| {
            let (begun, ended) = &*waits;
            begun.wait();
            ended.wait();
            x
        })
        .unwrap();
        let thread = std::thread::spawn(move || {
            diesel::select(stops(1)).get_result::<i32>(&mut conn).unwrap();
            conn
        });
        begun.wait();
        Self { ended, thread }
    }

    fn end(self) -> SqliteConnection {
        self.ended.wait();
        self.thread.join().unwrap()
    }
}

fn tracked(conn: &mut SqliteConnection) -> Session {
    conn.track::<Change<t::table>>().unwrap()
}

#[test]
fn what_a_session_cannot_know_it_does_not_claim() {
    let mut conn = open(TABLE);
    let session = tracked(&mut conn);
    assert!(session.is_empty() && session.try_is_empty().unwrap());
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    let statement = Statement::start(conn);
    let (is_empty, tried) = std::thread::scope(|scope| {
        let tried = scope.spawn(|| session.try_is_empty());
        (session.is_empty(), tried.join().unwrap())
    });
    assert!(!is_empty, "there are changes");
    assert!(matches!(tried, Err(SessionError::Busy)));
    let started = Instant::now();
    assert!(session.is_enabled() && !session.is_indirect() && !session.is_closed());
    assert!(started.elapsed() < AT_ONCE);
    drop(statement.end());
    assert!(session.is_empty() && session.is_closed() && !session.is_enabled());
    assert!(matches!(session.try_is_empty(), Err(SessionError::ConnectionClosed)));
}

#[test]
fn changes_after_a_flag_that_could_not_be_set_are_an_error() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    let statement = Statement::start(conn);
    session.set_enabled(false);
    let mut conn = statement.end();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'to be left out')");
    assert!(session.is_enabled());
    assert!(matches!(session.changeset(), Err(SessionError::Busy)));
}

#[test]
fn dropping_a_session_never_waits_and_ends_its_recording() {
    let mut conn = open(&format!("{TABLE} CREATE TABLE other (id INTEGER PRIMARY KEY);"));
    let mut session = conn.create_session().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    session
        .set_table_filter(move |_| {
            counter.fetch_add(1, Relaxed);
            true
        })
        .unwrap();
    session.attach_all().unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    assert_eq!(calls.load(Relaxed), 1);
    let statement = Statement::start(conn);
    let started = Instant::now();
    drop(session);
    assert!(started.elapsed() < AT_ONCE);
    let mut conn = statement.end();
    // the filter would be called for a table that is new to the session
    exec(&mut conn, "INSERT INTO other VALUES (1)");
    assert_eq!(calls.load(Relaxed), 1, "the session still records");
    // the filter is dropped with the session
    drop(conn.create_session().unwrap());
    assert_eq!(Arc::strong_count(&calls), 1);
}

#[test]
fn a_violated_constraint_on_this_thread_delays_nothing() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    let started = Instant::now();
    for _ in 0..500 {
        diesel::insert_into(t::table).values(t::id.eq(1)).execute(&mut conn).unwrap_err();
        assert_eq!(session.changeset().unwrap().records().count(), 1);
    }
    // ten milliseconds each would be five seconds
    assert!(started.elapsed() < AT_ONCE);
}

#[test]
fn a_session_with_its_connection_never_waits() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    let started = Instant::now();
    for _ in 0..500 {
        conn.batch_execute("no SQL").unwrap_err();
        diesel::sql_query("SELECT no_function()").execute(&mut conn).unwrap_err();
        assert_eq!(session.on(&mut conn).changeset().unwrap().records().count(), 1);
        assert_eq!(session.on(&mut conn).patchset().unwrap().records().count(), 1);
    }
    assert!(started.elapsed() < AT_ONCE);
    assert_eq!(session.on(&mut conn).take_changeset().unwrap().records().count(), 1);
    exec(&mut conn, "INSERT INTO t VALUES (2, 'y')");
    assert_eq!(session.on(&mut conn).take_patchset().unwrap().records().count(), 1);
    assert!(session.is_empty());
    let mut other = open(TABLE);
    assert!(matches!(session.on(&mut other).changeset(), Err(SessionError::OtherConnection)));
    assert!(matches!(session.on(&mut other).take_changeset(), Err(SessionError::OtherConnection)));
    assert!(matches!(session.on(&mut other).attach_by_name("t"), Err(SessionError::OtherConnection)));
    assert!(matches!(session.on(&mut other).diff_by_name("t", "side"), Err(SessionError::OtherConnection)));
}

/// The other calls that run SQL.
#[test]
fn tables_are_attached_and_compared_without_waiting_through_the_connection() {
    type Set = Change<t::table>;
    type Call = fn(&mut BorrowedSession<'_>) -> Result<(), SessionError>;
    let mut conn = open(TABLE);
    exec(&mut conn, "ATTACH ':memory:' AS side; CREATE TABLE side.t (id INTEGER PRIMARY KEY, v TEXT)");
    exec(&mut conn, "CREATE TABLE without_a_key (v)");
    let fail = |conn: &mut SqliteConnection| diesel::sql_query("SELECT no_function()").execute(conn).unwrap_err();
    let started = Instant::now();
    let calls: [Call; 6] = [
        |session| session.attach::<t::table>(),
        |session| session.attach_set::<Set>(),
        |session| session.attach_by_name("t"),
        |session| session.diff::<t::table>("side"),
        |session| session.diff_set::<Set>("side"),
        |session| session.diff_by_name("t", "side"),
    ];
    for call in calls.iter().cycle().take(calls.len() * 50) {
        let mut session = conn.create_session().unwrap();
        fail(&mut conn);
        call(&mut session.on(&mut conn)).unwrap();
        exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
        fail(&mut conn);
        assert_eq!(session.on(&mut conn).changeset().unwrap().records().count(), 1);
        exec(&mut conn, "DELETE FROM t");
        fail(&mut conn);
        let untracked = session.on(&mut conn).untracked_tables().unwrap();
        assert_eq!(untracked.iter().map(|table| &*table.name).collect::<Vec<_>>(), ["without_a_key"]);
    }
    for _ in 0..50 {
        fail(&mut conn);
        assert!(conn.diff::<Set>("side", "main").unwrap().is_empty());
        fail(&mut conn);
        drop(conn.track::<Set>().unwrap());
    }
    assert!(started.elapsed() < AT_ONCE);
}

#[test]
fn a_capture_never_waits() {
    let mut conn = open(TABLE);
    let started = Instant::now();
    for _ in 0..500 {
        let captured = conn.capture::<Change<t::table>>().run(|conn| {
            conn.batch_execute("no SQL").unwrap_err();
            diesel::sql_query("SELECT no_function()").execute(conn).unwrap_err();
            Ok(())
        });
        assert!(captured.unwrap().changes.is_empty());
    }
    assert!(started.elapsed() < AT_ONCE);
}

#[test]
fn what_this_thread_holds_is_answered_at_once() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    let started = Instant::now();
    let rows = t::table.load_iter::<(i32, Option<String>), DefaultLoadingMode>(&mut conn).unwrap();
    for row in rows {
        row.unwrap();
        assert!(matches!(session.changeset(), Err(SessionError::Busy)));
        assert!(matches!(session.attach_by_name("t"), Err(SessionError::Busy)));
    }
    assert!(started.elapsed() < AT_ONCE);
    assert_eq!(session.changeset().unwrap().records().count(), 2);
}

#[test]
fn changes_of_nothing_are_an_error() {
    let mut conn = open(TABLE);
    let mut session = conn.create_session().unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    let errors = [
        session.changeset().unwrap_err(),
        session.patchset().unwrap_err(),
        session.take_changeset().unwrap_err(),
        session.on(&mut conn).take_patchset().unwrap_err(),
        session.on(&mut conn).write_patchset_to(&mut Vec::new()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, SessionError::NothingAttached), "{error}");
        assert_eq!(
            error.to_string(),
            "the session has no table: call `attach_set`, `attach` or `attach_all` before taking changes"
        );
    }
    session.attach_all().unwrap();
    assert!(session.changeset().unwrap().is_empty());
    drop(conn);
    assert!(matches!(session.changeset(), Err(SessionError::ConnectionClosed)));
}

#[test]
fn a_set_is_tracked_by_one_call() {
    let mut conn = open(TABLE);
    let mut session = conn.track::<Change<t::table>>().unwrap();
    exec(&mut conn, "INSERT INTO t VALUES (1, 'x')");
    let changes: Vec<Change<t::table>> = session.changeset().unwrap().changes().collect::<Result<_, _>>().unwrap();
    assert_eq!(changes, [Change::Insert(Row { id: 1, v: Some("x".into()) })]);
    let mut conn = open("CREATE TABLE t (id INTEGER PRIMARY KEY);");
    assert!(matches!(conn.track::<Change<t::table>>(), Err(SessionError::SchemaMismatch(_))));
}

#[test]
fn another_connection_is_refused_without_waiting() {
    let mut conn = open(TABLE);
    let mut session = tracked(&mut conn);
    let statement = Statement::start(conn);
    let started = Instant::now();
    let mut stranger = open(TABLE);
    assert!(matches!(session.on(&mut stranger).changeset(), Err(SessionError::OtherConnection)));
    assert!(started.elapsed() < AT_ONCE);
    let mut conn = statement.end();
    session.on(&mut conn).changeset().unwrap();
}
