//! Sessions on tables whose schema changes, and the cost of large schemas.

use std::cell::Cell;
use std::rc::Rc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::session::CaptureError;
use diesel_sqlite_session::{Change, Session, SessionError, SqliteSessionExt, Tracked};
use diesel_sqlite_session_tests::sqlite::connection::{self, hooks::Hooks};
use libsqlite3_sys::{SQLITE_OK, SQLITE_READ};

use crate::common::{exec, lines, open};

diesel::table! {
    people (id) {
        id -> Integer,
        first -> Text,
        last -> Text,
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = people)]
pub struct Person {
    id: i32,
    first: String,
    last: String,
}

const PEOPLE: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, first TEXT NOT NULL, last TEXT NOT NULL);";

/// SQLite's recipe for a change of a table, which exchanges two columns.
const EXCHANGE: &str = "BEGIN;
    CREATE TABLE new (id INTEGER PRIMARY KEY, last TEXT NOT NULL, first TEXT NOT NULL);
    INSERT INTO new (id, last, first) SELECT id, last, first FROM people;
    DROP TABLE people; ALTER TABLE new RENAME TO people; COMMIT;";

const ADA: &str = "INSERT INTO people (id, first, last) VALUES (1, 'Ada', 'Lovelace');";

fn tracked(conn: &mut SqliteConnection, by_set: bool) -> Session {
    let mut session = conn.create_session().unwrap();
    if by_set {
        session.attach_set::<Change<people::table>>().unwrap();
    } else {
        session.attach::<people::table>().unwrap();
    }
    session
}

/// Fails unless every way of taking changes fails, and names the column that has moved.
fn assert_mismatch(session: &mut Session, conn: &mut SqliteConnection) {
    let streamed = session.on(conn).write_changeset_to(&mut Vec::new());
    let errors = [
        session.changeset().unwrap_err(),
        session.patchset().unwrap_err(),
        session.take_changeset().unwrap_err(),
        session.take_patchset().unwrap_err(),
        streamed.unwrap_err(),
    ];
    for error in errors {
        let SessionError::SchemaMismatch(mismatch) = &error else { panic!("{error}") };
        assert_eq!((mismatch.table(), mismatch.column()), ("people", Some("first")), "{error}");
    }
}

#[test]
fn columns_that_are_exchanged_under_a_typed_session_are_an_error() {
    for by_set in [true, false] {
        for edits in [format!("{EXCHANGE}{ADA}"), format!("{ADA}{EXCHANGE}"), EXCHANGE.to_string()] {
            let mut conn = open(PEOPLE);
            let mut session = tracked(&mut conn, by_set);
            exec(&mut conn, &edits);
            assert_mismatch(&mut session, &mut conn);
            // back again
            exec(
                &mut conn,
                &EXCHANGE.replace("last TEXT NOT NULL, first TEXT NOT NULL", "first TEXT NOT NULL, last TEXT NOT NULL"),
            );
            session.changeset().unwrap();
        }
    }
}

#[test]
fn columns_that_another_connection_exchanges_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("people.db").to_str().unwrap().to_string();
    let [mut conn, mut other] = [(), ()].map(|()| SqliteConnection::establish(&path).unwrap());
    exec(&mut conn, PEOPLE);
    let mut session = tracked(&mut conn, true);
    exec(&mut conn, ADA);
    session.changeset().unwrap();
    exec(&mut other, EXCHANGE);
    assert_mismatch(&mut session, &mut conn);
    // a new session finds it too, although an earlier one has compared the table
    let mut session = conn.create_session().unwrap();
    assert!(matches!(session.attach_set::<Change<people::table>>(), Err(SessionError::SchemaMismatch(_))));
}

#[test]
fn a_database_that_is_replaced_is_compared_again() {
    let mut conn = open(PEOPLE);
    let mut session = tracked(&mut conn, true);
    let mut other = open(PEOPLE);
    exec(&mut other, EXCHANGE);
    // the same schema cookie
    exec(&mut conn, "PRAGMA schema_version = 77");
    exec(&mut other, "PRAGMA schema_version = 77");
    let bytes = other.serialize_database_to_buffer();
    conn.deserialize_readonly_database_from_buffer(&bytes).unwrap();
    assert!(matches!(session.changeset(), Err(SessionError::SchemaMismatch(_))));
    let mut session = conn.create_session().unwrap();
    assert!(matches!(session.attach_set::<Change<people::table>>(), Err(SessionError::SchemaMismatch(_))));
}

fn count(conn: &mut SqliteConnection) -> i64 {
    people::table.count().get_result(conn).unwrap()
}

/// Captures an INSERT, which must fail with a mismatch, and must be rolled back.
fn assert_capture_fails(conn: &mut SqliteConnection, edit: &str) {
    let before = count(conn);
    let captured = conn.capture::<Change<people::table>>().run(|conn| conn.batch_execute(edit));
    assert!(matches!(captured, Err(CaptureError::Session(SessionError::SchemaMismatch(_)))), "{captured:?}");
    assert_eq!(count(conn), before);
}

fn capture_of_ada(conn: &mut SqliteConnection) {
    let captured = conn.capture::<Change<people::table>>().run(|conn| conn.batch_execute(ADA)).unwrap();
    let ada = Person { id: 1, first: "Ada".into(), last: "Lovelace".into() };
    assert_eq!(captured.changes, [Change::Insert(ada)]);
}

#[test]
fn captures_notice_that_columns_were_exchanged_since_the_last_one() {
    let recipe = EXCHANGE.replace("BEGIN;", "").replace("COMMIT;", "");
    let bob = "INSERT INTO people (id, first, last) VALUES (2, 'Bob', 'Babbage');";
    // by this connection, before and in the capture
    let mut conn = open(PEOPLE);
    capture_of_ada(&mut conn);
    assert_capture_fails(&mut conn, &format!("{bob}{recipe}"));
    assert_capture_fails(&mut conn, &format!("{recipe}{bob}"));
    exec(&mut conn, EXCHANGE);
    assert_capture_fails(&mut conn, bob);

    // by another connection
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("people.db").to_str().unwrap().to_string();
    let [mut conn, mut other] = [(), ()].map(|()| SqliteConnection::establish(&path).unwrap());
    exec(&mut conn, PEOPLE);
    capture_of_ada(&mut conn);
    exec(&mut other, EXCHANGE);
    assert_capture_fails(&mut conn, bob);
}

/// The capture before must not spare the comparison at the beginning: at the end, the columns are in
/// their places again.
#[test]
fn captures_compare_the_columns_at_the_beginning_too() {
    let mut conn = open(PEOPLE);
    capture_of_ada(&mut conn);
    exec(
        &mut conn,
        "ALTER TABLE people DROP COLUMN first; ALTER TABLE people ADD COLUMN first TEXT NOT NULL DEFAULT ''",
    );
    let recipe = "UPDATE people SET last = 'X';
        CREATE TABLE new (id INTEGER PRIMARY KEY, first TEXT NOT NULL, last TEXT NOT NULL);
        INSERT INTO new (id, first, last) SELECT id, first, last FROM people;
        DROP TABLE people; ALTER TABLE new RENAME TO people;";
    assert_capture_fails(&mut conn, recipe);
}

#[test]
fn captures_notice_a_replaced_database_under_a_foreign_trace() {
    for has_trace in [false, true] {
        let mut conn = connection::connect(":memory:");
        let mut other = open(PEOPLE);
        exec(&mut conn, PEOPLE);
        exec(&mut other, EXCHANGE);
        for conn in [&mut conn, &mut other] {
            exec(conn, "PRAGMA schema_version = 77");
        }
        capture_of_ada(&mut conn);
        let mut session = conn.track::<Change<people::table>>().unwrap();
        if has_trace {
            connection::trace(&mut conn);
        }
        connection::deserialize(&mut conn, &other.serialize_database_to_buffer());
        assert!(matches!(session.on(&mut conn).changeset(), Err(SessionError::SchemaMismatch(_))));
        assert_capture_fails(&mut conn, "INSERT INTO people (id, first, last) VALUES (2, 'Bob', 'Babbage');");
        assert!(matches!(conn.track::<Change<people::table>>(), Err(SessionError::SchemaMismatch(_))));
    }
}

#[test]
fn other_changes_of_the_schema_do_not_matter() {
    let mut conn = open(PEOPLE);
    let mut session = tracked(&mut conn, true);
    exec(&mut conn, ADA);
    for change in [
        "CREATE TABLE other (id)",
        "CREATE INDEX by_last ON people (last)",
        "ALTER TABLE people RENAME COLUMN first TO 'FIRST'",
        "VACUUM",
        "ATTACH ':memory:' AS side",
        "ANALYZE",
    ] {
        exec(&mut conn, change);
        let changes: Vec<Change<people::table>> =
            session.changeset().unwrap().changes().collect::<Result<_, _>>().unwrap();
        let ada = Person { id: 1, first: "Ada".into(), last: "Lovelace".into() };
        assert_eq!(changes, [Change::Insert(ada)], "{change}");
    }
    // a session without types has no names to compare
    let mut untyped = conn.create_session().unwrap();
    untyped.attach_by_name("people").unwrap();
    exec(&mut conn, "ALTER TABLE people RENAME COLUMN last TO surname; DELETE FROM people");
    assert_eq!(untyped.changeset().unwrap().records().count(), 1);
    let SessionError::SchemaMismatch(mismatch) = session.changeset().unwrap_err() else { panic!() };
    assert_eq!(mismatch.column(), Some("last"));
}

#[test]
fn a_table_of_an_attached_database_is_compared_again() {
    let mut conn = open("ATTACH ':memory:' AS side;");
    exec(&mut conn, &PEOPLE.replace("people", "side.people"));
    let mut session = conn.create_session_on("side").unwrap();
    session.attach_set::<Change<people::table>>().unwrap();
    exec(&mut conn, "ALTER TABLE side.people RENAME COLUMN last TO surname");
    assert!(matches!(session.changeset(), Err(SessionError::SchemaMismatch(_))));
    drop(session);
    exec(&mut conn, "DETACH side");
}

/// Counts how often the schema is read, by an authorizer: it is asked about each statement that is
/// compiled. Setting it expires all of them.
fn count_reads(conn: &mut SqliteConnection) -> Rc<Cell<i32>> {
    let reads = Rc::new(Cell::new(0));
    let counter = reads.clone();
    Hooks::of(conn).authorize(move |action, table, column| {
        counter.set(counter.get() + i32::from(action == SQLITE_READ && table == "sqlite_master" && column == "sql"));
        SQLITE_OK
    });
    reads
}

#[test]
fn captures_do_not_read_the_schema_again() {
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, PEOPLE);
    (0..200).for_each(|number| exec(&mut conn, &format!("CREATE TABLE other_{number} (id INTEGER PRIMARY KEY)")));
    let capture = |conn: &mut SqliteConnection, id: i32| {
        let row = (people::id.eq(id), people::first.eq("a"), people::last.eq("b"));
        let captured = conn
            .capture::<Change<people::table>>()
            .run(|conn| diesel::insert_into(people::table).values(row).execute(conn))
            .unwrap();
        assert_eq!(captured.changes.len(), 1);
    };
    capture(&mut conn, 1);
    let reads = count_reads(&mut conn);
    capture(&mut conn, 2);
    let after_change = reads.take();
    (3..10).for_each(|id| capture(&mut conn, id));
    assert_eq!((after_change, reads.get()), (1, 0));
}

diesel::table! {
    cities (id) {
        id -> Integer,
    }
}

diesel::table! {
    rivers (id) {
        id -> Integer,
    }
}

#[derive(Tracked)]
#[diesel(table_name = cities)]
pub struct City {
    id: i32,
}

#[derive(Tracked)]
#[diesel(table_name = rivers)]
pub struct River {
    id: i32,
}

#[derive(Tracked)]
enum World {
    People(Change<people::table>),
    Cities(Change<cities::table>),
    Rivers(Change<rivers::table>),
}

#[test]
fn the_tables_of_a_set_are_looked_up_at_once() {
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, PEOPLE);
    exec(&mut conn, "CREATE TABLE Cities (id INTEGER PRIMARY KEY); CREATE VIEW rivers AS SELECT 1 AS id;");
    let reads = count_reads(&mut conn);
    let mut session = conn.create_session().unwrap();
    let SessionError::SchemaMismatch(mismatch) = session.attach_set::<World>().unwrap_err() else { panic!() };
    assert_eq!((mismatch.table(), mismatch.found()), ("rivers", "a view"));
    assert_eq!(reads.take(), 1);
    exec(&mut conn, "DROP VIEW rivers; CREATE TABLE rivers (id INTEGER PRIMARY KEY);");
    session.attach_set::<World>().unwrap();
    exec(&mut conn, ADA);
    exec(&mut conn, "INSERT INTO rivers VALUES (1)");
    let changes: Vec<World> = session.changeset().unwrap().changes().collect::<Result<_, _>>().unwrap();
    assert!(matches!(&changes[..], [World::People(Change::Insert(_)), World::Rivers(Change::Insert(River { id: 1 }))]));
}

diesel::table! {
    invoices (id) {
        id -> Integer,
        net -> Integer,
        gross -> Nullable<Integer>,
    }
}

/// The columns as `diesel print-schema` lists them.
mod listed {
    use diesel_sqlite_session::Tracked;

    diesel::table! {
        invoices (id) {
            id -> Integer,
            net -> Integer,
            gross -> Nullable<Integer>,
        }
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = invoices)]
    pub struct Invoice {
        id: i32,
        net: i32,
        gross: Option<i32>,
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = invoices)]
#[tracked(generated(gross))]
pub struct Invoice {
    id: i32,
    net: i32,
}

#[test]
fn a_generated_column_of_a_row_is_an_error_before_anything_is_recorded() {
    for gross in ["gross INTEGER AS (net * 2)", "gross INTEGER AS (net * 2) STORED"] {
        let mut conn = open(&format!("CREATE TABLE invoices (id INTEGER PRIMARY KEY, net INTEGER NOT NULL, {gross});"));
        let error = conn.track::<Change<listed::invoices::table>>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "table invoices, column gross: expected a column of the changes, but the database has a generated column, which no change \
             contains: write `#[tracked(generated(gross))]`"
        );
        // the names of `table!` alone are not read from changes
        conn.create_session().unwrap().attach::<invoices::table>().unwrap();
        let mut session = conn.track::<Change<invoices::table>>().unwrap();
        let version = lines(&mut conn, "SELECT sqlite_version() AS line").concat();
        if version.split('.').nth(1).is_some_and(|minor| minor.parse::<u32>().unwrap() < 49) {
            eprintln!("skipped: recording generated columns, at which sessions of SQLite {version} fail");
            continue;
        }
        exec(&mut conn, "INSERT INTO invoices (id, net) VALUES (1, 5)");
        let changes: Vec<Change<invoices::table>> =
            session.changeset().unwrap().changes().collect::<Result<_, _>>().unwrap();
        assert_eq!(changes, [Change::Insert(Invoice { id: 1, net: 5 })]);
    }
    // a column that is not generated any more is recorded
    let mut conn = open("CREATE TABLE invoices (id INTEGER PRIMARY KEY, net INTEGER NOT NULL, gross INTEGER);");
    conn.track::<Change<listed::invoices::table>>().unwrap();
    assert!(matches!(conn.track::<Change<invoices::table>>(), Err(SessionError::SchemaMismatch(_))));
}
