//! Generating changes: the effect on the page cache, and how SQLite looks up the rows.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use diesel::prelude::*;
use diesel_sqlite_session::{Session, SessionError, SqliteSessionExt};

use crate::common::{exec, lines, open};

/// Opens a file with a shared cache, so that other connections see its `cache_size`.
fn shared(directory: &Path) -> SqliteConnection {
    let url = format!("file:{}?cache=shared", directory.join("shared.sqlite").display());
    SqliteConnection::establish(&url).unwrap()
}

fn create(schema: &str) -> String {
    format!("CREATE TABLE {schema}.t (id BLOB PRIMARY KEY NOT NULL, v TEXT) WITHOUT ROWID")
}

/// Enough rows that a larger cache pays off.
fn insert(schema: &str) -> String {
    format!(
        "INSERT INTO {schema}.t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         SELECT CAST(printf('%08x%08x', i * 2654435761 % 4294967296, i) AS BLOB), 'row ' || i FROM n"
    )
}

/// Returns a session that has recorded the rows.
fn filled(conn: &mut SqliteConnection) -> Session {
    exec(conn, &create("main"));
    let mut session = conn.create_session().unwrap();
    session.attach_by_name("t").unwrap();
    exec(conn, &insert("main"));
    session
}

fn pragma(conn: &mut SqliteConnection, schema: &str, name: &str) -> i64 {
    let query = format!("SELECT CAST({name} AS TEXT) AS line FROM pragma_{name} WHERE schema = '{schema}'");
    lines(conn, &query)[0].parse().unwrap()
}

fn cache_size(conn: &mut SqliteConnection) -> i64 {
    pragma(conn, "main", "cache_size")
}

/// A writer that calls a function at the first piece and fails with its error.
struct AtFirst<F>(Option<F>);

impl<F: FnOnce() -> io::Result<()>> Write for AtFirst<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(()), |at_first| at_first())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the `cache_size` while changes are written.
fn size_during(session: &mut Session, conn: &mut SqliteConnection, witness: &mut SqliteConnection) -> i64 {
    let mut during = None;
    let mut writer = AtFirst(Some(|| {
        during = Some(cache_size(witness));
        Ok(())
    }));
    session.on(conn).write_changeset_to(&mut writer).unwrap();
    during.unwrap()
}

#[test]
fn the_cache_holds_the_file_during_the_call_and_is_restored() {
    let directory = tempfile::tempdir().unwrap();
    let (mut conn, mut witness) = (shared(directory.path()), shared(directory.path()));
    let mut session = filled(&mut conn);
    let pages = pragma(&mut conn, "main", "page_count");
    for (size, size_in_pages) in [(-64, 16), (20, 20), (0, 0), (5_000, 5_000)] {
        let expected = pages + size_in_pages;
        exec(&mut conn, &format!("PRAGMA cache_size = {size}"));
        assert_eq!(size_during(&mut session, &mut conn, &mut witness), expected);
        assert_eq!(cache_size(&mut conn), size);

        session.changeset().unwrap();
        assert_eq!(cache_size(&mut conn), size);
        session.patchset().unwrap();
        assert_eq!(cache_size(&mut conn), size);
        session.on(&mut conn).write_patchset_to(&mut io::sink()).unwrap();
        assert_eq!(cache_size(&mut conn), size);

        conn.transaction(|conn| {
            assert_eq!(size_during(&mut session, conn, &mut witness), expected, "in a transaction");
            diesel::QueryResult::Ok(())
        })
        .unwrap();
        assert_eq!(cache_size(&mut conn), size);
    }
}

#[test]
fn the_cache_is_restored_after_errors_and_panics() {
    let directory = tempfile::tempdir().unwrap();
    let (mut conn, mut witness) = (shared(directory.path()), shared(directory.path()));
    let mut session = filled(&mut conn);
    exec(&mut conn, "PRAGMA cache_size = -64");

    let mut during = 0;
    let mut full = AtFirst(Some(|| {
        during = cache_size(&mut witness);
        Err(io::Error::other("full"))
    }));
    assert!(
        matches!(session.on(&mut conn).write_changeset_to(&mut full), Err(SessionError::Io(error)) if error.to_string() == "full")
    );
    assert_ne!(during, -64);
    assert_eq!(cache_size(&mut conn), -64);

    let mut panics = AtFirst(Some(|| -> io::Result<()> { panic!("a writer") }));
    let caught = catch_unwind(AssertUnwindSafe(|| session.on(&mut conn).write_changeset_to(&mut panics)));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"a writer"));
    assert_eq!(cache_size(&mut conn), -64);

    drop(witness);
    exec(&mut conn, "DROP TABLE t");
    for _ in 0..2 {
        let error = session.changeset().unwrap_err();
        assert!(error.to_string().contains("schema"), "{error}: the message is still that of the failure");
        assert_eq!(cache_size(&mut conn), -64);
    }
}

#[test]
fn the_cache_is_unchanged_where_it_does_not_pay_or_is_not_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut conn, mut witness) = (shared(directory.path()), shared(directory.path()));
    let mut session = filled(&mut conn);
    let pages = pragma(&mut conn, "main", "page_count");
    exec(&mut conn, "PRAGMA cache_size = -64");
    let larger = session.changeset().unwrap();
    for limit in [0, pages.unsigned_abs() * 4096] {
        session.set_cache_limit(limit);
        assert_eq!(
            size_during(&mut session, &mut conn, &mut witness),
            -64,
            "what a page takes beside its content counts"
        );
        assert_eq!(session.changeset().unwrap(), larger);
    }
    session.set_cache_limit(u64::MAX);
    assert_eq!(size_during(&mut session, &mut conn, &mut witness), pages + 16);

    exec(&mut conn, &format!("PRAGMA cache_size = {}", i32::MAX));
    assert_eq!(size_during(&mut session, &mut conn, &mut witness), i64::from(i32::MAX), "it cannot be larger");

    exec(&mut conn, "PRAGMA cache_size = -64");
    let mut few = conn.create_session().unwrap();
    few.attach_by_name("t").unwrap();
    exec(&mut conn, "UPDATE t SET v = 'other' WHERE v < 'row 1001'");
    assert_eq!(size_during(&mut few, &mut conn, &mut witness), -64, "few rows");
}

#[test]
fn a_cache_size_set_by_another_connection_meanwhile_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (mut conn, mut witness) = (shared(directory.path()), shared(directory.path()));
    let mut session = filled(&mut conn);
    exec(&mut conn, "PRAGMA cache_size = -64");
    let mut sets = AtFirst(Some(|| {
        exec(&mut witness, "PRAGMA cache_size = 77");
        Ok(())
    }));
    session.on(&mut conn).write_changeset_to(&mut sets).unwrap();
    assert_eq!(cache_size(&mut conn), 77);
}

#[test]
fn only_the_cache_of_the_sessions_schema_is_enlarged() {
    let directory = tempfile::tempdir().unwrap();
    let mut conn = SqliteConnection::establish(directory.path().join("main.sqlite").to_str().unwrap()).unwrap();
    let mut witness = shared(directory.path());
    let shared = directory.path().join("shared.sqlite");
    exec(&mut conn, &format!(r#"ATTACH 'file:{}?cache=shared' AS "o""dd""#, shared.display()));
    exec(&mut conn, &create(r#""o""dd""#));
    let mut session = conn.create_session_on("o\"dd").unwrap();
    session.attach_by_name("t").unwrap();
    exec(&mut conn, &insert(r#""o""dd""#));
    exec(&mut conn, r#"PRAGMA "o""dd".cache_size = -64; PRAGMA main.cache_size = -65"#);
    let pages = pragma(&mut conn, "o\"dd", "page_count");
    assert_eq!(size_during(&mut session, &mut conn, &mut witness), pages + 16);
    assert_eq!((pragma(&mut conn, "o\"dd", "cache_size"), cache_size(&mut conn)), (-64, -65));
}

#[test]
fn databases_in_memory_and_temporary_databases_need_no_cache() {
    let mut conn = open("PRAGMA cache_size = -64");
    let mut session = filled(&mut conn);
    assert_eq!(session.changeset().unwrap().records().count(), 20_000);
    assert_eq!(cache_size(&mut conn), -64);
    exec(&mut conn, &create("temp"));
    let mut session = conn.create_session_on("temp").unwrap();
    session.attach_by_name("t").unwrap();
    exec(&mut conn, &insert("temp"));
    assert_eq!(session.changeset().unwrap().records().count(), 20_000);
}

/// Checks the documentation of `Session::changeset` about keys and `ANALYZE`.
#[test]
fn not_null_keys_are_looked_up_by_index_in_spite_of_analyze() {
    diesel::table! {
        plan (detail) {
            detail -> Text,
        }
    }
    #[derive(QueryableByName)]
    #[diesel(table_name = plan)]
    struct Plan {
        detail: String,
    }
    for (table, key, is_scan) in [
        ("a TEXT PRIMARY KEY, b, c, d)", "a", true),
        ("a TEXT PRIMARY KEY NOT NULL, b, c, d)", "a", false),
        ("a INTEGER PRIMARY KEY, b, c, d)", "a", false),
        ("a TEXT PRIMARY KEY, b, c, d) WITHOUT ROWID", "a", false),
        ("a, b, c, d, PRIMARY KEY (a, b, c))", "a, b, c", true),
        ("a NOT NULL, b NOT NULL, c NOT NULL, d, PRIMARY KEY (a, b, c))", "a, b, c", false),
        ("a NOT NULL, b NOT NULL, c NOT NULL, d NOT NULL, PRIMARY KEY (a, b, c, d))", "a, b, c, d", true),
        ("a, b, c, d, PRIMARY KEY (a, b, c, d)) WITHOUT ROWID", "a, b, c, d", false),
    ] {
        let mut conn = open(&format!("CREATE TABLE t ({table}; INSERT INTO t VALUES (1, 2, 3, 4); ANALYZE"));
        // the query of SQLite's session code
        let values = &"?1, ?2, ?3, ?4"[..key.len() / 3 * 4 + 2];
        let query = format!("EXPLAIN QUERY PLAN SELECT a, b, c, d FROM 'main'.'t' WHERE ({key}) IS ({values})");
        let plan = diesel::sql_query(query).get_result::<Plan>(&mut conn).unwrap().detail;
        assert_eq!(plan.starts_with("SCAN"), is_scan, "{table}: {plan}");
    }
}
