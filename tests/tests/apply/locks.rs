//! Applying to a file that other connections use at the same time.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use diesel::prelude::*;
use diesel_sqlite_session::session::HandleError;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{ApplyError, Changeset, ChangesetReader, ConflictAction, ConflictType, SqliteSessionExt};

use crate::common::{exec, lines};

const USERS: TableInfo<'_> = TableInfo::new("users", &[1, 0]);
const SCHEMA: &str = "PRAGMA journal_mode = WAL; CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)";
const BUSY: i32 = 5;
const READONLY: i32 = 8;

/// Returns a directory with a database, and the path of the database.
fn file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    exec(&mut connect(&path), SCHEMA);
    (directory, path)
}

fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(path.to_str().unwrap()).unwrap()
}

fn ada() -> Changeset {
    Changeset::builder().insert_values(USERS, &[1.into(), "Ada".into()]).build().unwrap()
}

fn names(conn: &mut SqliteConnection) -> Vec<String> {
    lines(conn, "SELECT name AS line FROM users ORDER BY id")
}

/// Returns SQLite's code from an error of the apply itself.
fn code(error: &ApplyError) -> Option<i32> {
    match error {
        ApplyError::Sqlite { operation: "applying", error, .. } => Some(error.code() & 0xff),
        _ => None,
    }
}

#[test]
fn an_apply_waits_for_a_writer_as_long_as_busy_timeout() {
    let (_directory, path) = file();
    let (mut conn, mut other) = (connect(&path), connect(&path));
    exec(&mut other, "BEGIN IMMEDIATE; INSERT INTO users VALUES (2, 'Bob')");
    let error = conn.apply(&ada()).run().unwrap_err();
    assert_eq!(code(&error), Some(BUSY), "{error:?}");

    exec(&mut conn, "PRAGMA busy_timeout = 60000");
    let (send, receive) = mpsc::channel();
    let applying = thread::spawn(move || {
        send.send(()).unwrap();
        let report = conn.apply(&ada()).run().unwrap();
        (report.applied(), names(&mut conn))
    });
    receive.recv().unwrap();
    thread::sleep(Duration::from_millis(50));
    exec(&mut other, "COMMIT");
    assert_eq!(applying.join().unwrap(), (1, vec!["Ada".to_string(), "Bob".to_string()]));
}

#[test]
fn nobody_can_write_between_the_schema_check_and_the_commit() {
    let (_directory, path) = file();
    let (mut conn, mut other) = (connect(&path), connect(&path));
    exec(&mut conn, "INSERT INTO users VALUES (1, 'Bob')");
    let mut refused = false;
    conn.apply(&ada())
        .otherwise(|_: ConflictType| {
            refused = diesel::sql_query("CREATE TABLE more (id)").execute(&mut other).is_err();
            ConflictAction::Replace
        })
        .run()
        .unwrap();
    assert!(refused);
    assert_eq!(names(&mut other), ["Ada"]);
}

#[test]
fn no_failure_leaves_a_transaction_open() {
    let (_directory, path) = file();
    let (mut conn, mut other) = (connect(&path), connect(&path));
    let check = |conn: &mut SqliteConnection, other: &mut SqliteConnection| {
        assert!(names(other).is_empty());
        exec(other, "BEGIN IMMEDIATE; ROLLBACK");
        exec(conn, "BEGIN; ROLLBACK");
    };
    let unknown = Changeset::builder().insert_values(TableInfo::new("gone", &[1]), &[1.into()]).build().unwrap();
    let error = conn.apply(&unknown).run().unwrap_err();
    assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{error:?}");
    check(&mut conn, &mut other);

    let error = conn.apply(&ada()).max_changes(0).run().unwrap_err();
    assert!(matches!(error, ApplyError::Limit { .. }), "{error:?}");
    check(&mut conn, &mut other);

    let deleted = Changeset::builder().delete_values(USERS, &[1.into(), "Ada".into()]).build().unwrap();
    let both = ada().concat(&deleted).unwrap();
    assert!(both.is_empty());
    conn.apply(&both).run().unwrap();
    check(&mut conn, &mut other);

    let error = conn.apply(&deleted).run().unwrap_err();
    assert!(matches!(error, ApplyError::ConflictAborted), "{error:?}");
    check(&mut conn, &mut other);

    let error = conn.apply(&deleted).otherwise(|_| panic!("as a test")).run().unwrap_err();
    assert!(matches!(error, ApplyError::ConflictHandlerPanicked), "{error:?}");
    check(&mut conn, &mut other);
}

#[test]
fn attached_databases_are_not_locked() {
    let (_directory, path) = file();
    let (_other_directory, elsewhere) = file();
    let (mut conn, mut writer) = (connect(&path), connect(&elsewhere));
    exec(&mut conn, &format!("ATTACH '{}' AS elsewhere", elsewhere.display()));
    exec(&mut writer, "BEGIN IMMEDIATE; INSERT INTO users VALUES (1, 'Bob')");
    assert_eq!(conn.apply(&ada()).run().unwrap().applied(), 1);
    exec(&mut writer, "COMMIT");
    assert_eq!(names(&mut conn), ["Ada"]);
}

#[test]
fn a_stream_locks_nothing_before_its_first_change() {
    let (_directory, path) = file();
    let (mut conn, mut other) = (connect(&path), connect(&path));
    let changeset = ada();
    let mut bytes = changeset.as_bytes();
    let source = Meanwhile(&mut bytes, Some(|| exec(&mut other, "INSERT INTO users VALUES (2, 'Bob')")));
    assert_eq!(conn.apply(ChangesetReader::new(source)).run().unwrap().applied(), 1);
    assert_eq!(names(&mut conn), ["Ada", "Bob"]);
}

#[test]
fn a_schema_that_changes_while_a_stream_is_read_is_checked() {
    let (_directory, path) = file();
    let (mut conn, mut other) = (connect(&path), connect(&path));
    let changeset = ada();
    // the statements of another apply are kept
    conn.apply(&changeset).run().unwrap();
    exec(&mut conn, "DELETE FROM users");
    let mut apply_while = |change: &str| {
        let mut bytes = changeset.as_bytes();
        let source = Meanwhile(&mut bytes, Some(|| exec(&mut other, change)));
        conn.apply(ChangesetReader::new(source)).run()
    };
    let report = apply_while("CREATE TABLE more (id)").unwrap();
    assert_eq!(report.applied(), 1);
    let error = apply_while("DROP TABLE users; CREATE TABLE users (id, name INTEGER PRIMARY KEY)").unwrap_err();
    assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{error:?}");
    assert!(names(&mut conn).is_empty());
}

/// A source that calls a function when it is first read.
struct Meanwhile<'a, 'b, F>(&'a mut &'b [u8], Option<F>);

impl<F: FnOnce()> std::io::Read for Meanwhile<'_, '_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(work) = self.1.take() {
            work();
        }
        self.0.read(buffer)
    }
}

#[test]
fn a_read_only_database_is_not_written() {
    let (_directory, path) = file();
    let mut conn = connect(&path);
    exec(&mut conn, "PRAGMA query_only = ON");
    conn.apply(&Changeset::default()).run().unwrap();
    let error = conn.apply(&ada()).run().unwrap_err();
    assert_eq!(code(&error), Some(8), "{error:?}");

    let mut conn = connect(Path::new(&format!("file:{}?mode=ro", path.display())));
    conn.apply(&Changeset::default()).run().unwrap();
    let error = conn.apply(&ada()).run().unwrap_err();
    assert_eq!(code(&error), Some(8), "{error:?}");
    exec(&mut conn, "BEGIN; ROLLBACK");
}

#[test]
fn a_schema_in_shared_memory_is_checked_too() {
    let url = "file:shared_schema?mode=memory&cache=shared";
    let connect = || SqliteConnection::establish(url).unwrap();
    let (mut conn, mut other) = (connect(), connect());
    exec(&mut conn, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); ATTACH ':memory:' AS other");
    let error = conn
        .apply(&ada())
        .on_progress(|_| {
            exec(&mut other, "DROP TABLE users; CREATE TABLE users (id, name INTEGER PRIMARY KEY)");
            ControlFlow::Continue(())
        })
        .run()
        .unwrap_err();
    assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{error:?}");
}

#[test]
fn an_apply_without_changes_needs_no_write_access() {
    let (_directory, path) = file();
    let mut conn = connect(&path);
    exec(&mut conn, "PRAGMA query_only = ON");
    let report = conn.apply(&ada()).only_tables(["others"]).skip_other_tables().run().unwrap();
    assert_eq!(report.skipped(), 1);
    let nowhere = Changeset::builder().insert_values(TableInfo::new("nowhere", &[1]), &[1.into()]).build().unwrap();
    let error = conn.apply(&nowhere).run().unwrap_err();
    assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{error:?}");
    let error = conn.apply(&ada()).run().unwrap_err();
    assert_eq!(code(&error), Some(READONLY), "{error:?}");
}

#[test]
fn a_database_that_is_locked_at_first_use_is_reported() {
    let (_directory, path) = file();
    let (mut conn, mut other) = (connect(&path), connect(&path));
    exec(&mut other, "PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
    let error = conn.apply(&ada()).run().unwrap_err();
    assert!(matches!(error, ApplyError::Handle(HandleError::Locked { .. })), "{error:?}");
    exec(&mut other, "COMMIT");
    conn.apply(&ada()).run().unwrap();
}
