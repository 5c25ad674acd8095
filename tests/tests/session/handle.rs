//! Every kind of connection that Diesel opens can be tracked and applied to.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::result::Error;
use diesel_sqlite_session::session::HandleError;
use diesel_sqlite_session::{ApplyError, ConflictAction, SessionError, SqliteSessionExt};

use crate::common::{exec, lines, open};

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)";

/// Tracks an INSERT and applies it to the same database, over itself.
fn track_and_apply(conn: &mut SqliteConnection) {
    let mut session = conn.create_session().unwrap();
    session.attach_by_name("t").unwrap();
    exec(conn, "INSERT INTO t VALUES (1, 'tracked')");
    let changeset = session.changeset().unwrap();
    assert_eq!(changeset.records().next().unwrap().to_string(), "INSERT t(1, 'tracked')");
    conn.apply_changeset(&changeset, |_| ConflictAction::Replace).unwrap();
    conn.apply_changeset(&changeset.invert(), |_| ConflictAction::Abort).unwrap();
    assert!(lines(conn, "SELECT v AS line FROM t").is_empty());
}

fn file(directory: &Path) -> String {
    directory.join("test.db").to_str().unwrap().to_string()
}

#[test]
fn a_database_in_memory_works_repeatedly() {
    let mut conn = open(TABLE);
    for _ in 0..3 {
        track_and_apply(&mut conn);
    }
}

#[test]
fn transactions_and_savepoints_work_with_and_without_a_known_handle() {
    for known in [false, true] {
        let mut conn = open(TABLE);
        if known {
            conn.create_session().unwrap();
        }
        conn.transaction::<_, Error, _>(|conn| {
            exec(conn, "INSERT INTO t VALUES (9, 'before')");
            exec(conn, "DELETE FROM t");
            track_and_apply(conn);
            conn.transaction::<_, Error, _>(|conn| {
                track_and_apply(conn);
                exec(conn, "INSERT INTO t VALUES (2, 'inner')");
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(lines(&mut conn, "SELECT v AS line FROM t"), ["inner"], "the transaction went on and was committed");
    }
}

#[test]
fn a_file_in_wal_mode_works_by_path_and_by_uri() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    let mut conn = SqliteConnection::establish(&path).unwrap();
    exec(&mut conn, "PRAGMA journal_mode = WAL");
    exec(&mut conn, TABLE);
    track_and_apply(&mut conn);
    let mut by_uri = SqliteConnection::establish(&format!("file:{path}?mode=rw")).unwrap();
    track_and_apply(&mut by_uri);
}

#[test]
fn a_session_on_a_read_only_database_records_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    exec(&mut SqliteConnection::establish(&path).unwrap(), TABLE);
    let mut conn = SqliteConnection::establish(&format!("file:{path}?mode=ro")).unwrap();
    let mut session = conn.create_session().unwrap();
    session.attach_by_name("t").unwrap();
    assert!(conn.batch_execute("INSERT INTO t VALUES (1, 'no')").is_err());
    assert!(session.changeset().unwrap().is_empty());
    let insert = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x05";
    match conn.apply_changeset(insert, |_| ConflictAction::Abort) {
        Err(ApplyError::Sqlite { table, error, .. }) => {
            assert_eq!(table.as_deref(), Some("t"));
            assert!(error.message().contains("readonly"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn connections_with_a_shared_cache_are_distinct() {
    let url = "file:shared?mode=memory&cache=shared";
    let mut first = SqliteConnection::establish(url).unwrap();
    let mut second = SqliteConnection::establish(url).unwrap();
    exec(&mut first, TABLE);
    let (mut of_first, mut of_second) = (first.create_session().unwrap(), second.create_session().unwrap());
    of_first.attach_by_name("t").unwrap();
    of_second.attach_by_name("t").unwrap();
    exec(&mut second, "INSERT INTO t VALUES (1, 'second')");
    assert!(of_first.is_empty());
    assert!(!of_second.is_empty());
    drop(second);
    assert!(of_second.is_closed() && !of_first.is_closed());
}

#[test]
fn a_session_on_a_pooled_connection_sees_its_next_user() {
    let pool = Pool::builder().max_size(1).build(ConnectionManager::<SqliteConnection>::new(":memory:")).unwrap();
    let mut session = {
        let mut conn = pool.get().unwrap();
        exec(&mut conn, TABLE);
        track_and_apply(&mut conn);
        conn.create_session().unwrap()
    };
    session.attach_all().unwrap();
    exec(&mut pool.get().unwrap(), "INSERT INTO t VALUES (5, 'next user')");
    assert_eq!(session.changeset().unwrap().records().count(), 1);
}

#[test]
fn too_many_attached_databases_are_a_clear_error() {
    let attach: String = (0..10).map(|n| format!("ATTACH ':memory:' AS a{n};")).collect();
    let mut conn = open(TABLE);
    exec(&mut conn, &attach);
    match conn.create_session() {
        Err(SessionError::Handle(HandleError::TooManyAttached)) => {}
        other => panic!("{other:?}"),
    }
    exec(&mut conn, "DETACH a9");
    track_and_apply(&mut conn);

    // a connection with a known handle needs no free slot
    let mut conn = open(TABLE);
    track_and_apply(&mut conn);
    exec(&mut conn, &attach);
    track_and_apply(&mut conn);
}

#[test]
fn no_database_stays_attached() {
    let mut conn = open(TABLE);
    track_and_apply(&mut conn);
    assert_eq!(lines(&mut conn, "SELECT name AS line FROM pragma_database_list"), ["main"]);
}

#[test]
fn the_wrapper_of_diesel_async_works() {
    use diesel_async::AsyncConnection;
    use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut conn = SyncConnectionWrapper::<SqliteConnection>::establish(":memory:").await.unwrap();
        let work = |conn: &mut SqliteConnection| {
            exec(conn, TABLE);
            track_and_apply(conn);
            Ok(conn.create_session().unwrap())
        };
        let mut session = conn.spawn_blocking(work).await.unwrap();
        session.attach_all().unwrap();
        conn.spawn_blocking(|conn| conn.batch_execute("INSERT INTO t VALUES (3, 'async')")).await.unwrap();
        assert_eq!(session.changeset().unwrap().records().count(), 1);
    });
}

diesel::define_sql_function! {
    /// A user's function with the name of ours.
    #[sql_name = "diesel_sqlite_session_0.1.0"]
    fn impostor() -> diesel::sql_types::Integer;
}

#[test]
fn a_function_of_the_same_name_is_harmless() {
    let mut conn = open(TABLE);
    conn.create_session().unwrap();
    impostor_utils::register_impl(&conn, || 1).unwrap();
    track_and_apply(&mut conn);
    assert_eq!(diesel::select(impostor()).get_result::<i32>(&mut conn).unwrap_or(1), 1);
}
