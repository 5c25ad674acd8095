//! An apply after anything that can happen on a connection between two applies. The statements of
//! the first apply must not show in the second: it has the result that it has on a connection that
//! has never applied before.

use std::path::Path;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{ApplyError, Changeset, ConflictAction, ConflictType, SqliteSessionExt, Tracked};
use diesel_sqlite_session_tests::sqlite::connection;

use super::replica::{How, Options, Recorded, apply_with, assert_sound, contents, record, rows};
use crate::common::{exec, lines};

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE CHECK (u < 1000), v TEXT);
    CREATE TABLE log (line);
    CREATE TABLE parent (id INTEGER PRIMARY KEY);";
const ROWS: &str = "INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c'), (4, 40, 'd');
    INSERT INTO parent VALUES (10), (20), (30), (40);";
/// One change of each operation, and one that conflicts where the row 4 has been changed.
const EDITS: &str = "INSERT INTO t VALUES (5, 50, 'e'); UPDATE t SET u = 25 WHERE id = 2; DELETE FROM t WHERE id = 3;
    UPDATE t SET v = 'new' WHERE id = 4";

fn changes() -> Recorded {
    record(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u, v); {}", ROWS.split_once(';').unwrap().0), EDITS)
}

/// Applies forwards and backwards, with conflicts of all operations in between, so that any
/// statement that can be kept is kept.
fn warm_up(conn: &mut SqliteConnection, changes: &Recorded) {
    let before = rows(conn, "main", "t");
    for answer in [ConflictAction::Omit, ConflictAction::Replace] {
        conn.apply(&changes.0).run().unwrap();
        // every change conflicts now
        let (report, kinds) = apply_with(conn, changes, How::Changeset, Options::default(), answer);
        report.unwrap();
        assert_eq!(kinds.len(), 4);
        let ignoring = Options { ignore_noops: true, ..Options::default() };
        apply_with(conn, changes, How::ChangesetStream, ignoring, answer).0.unwrap();
        apply_with(conn, changes, How::Patchset, Options::default(), answer).0.unwrap();
        conn.apply(&changes.0).inverted().run().unwrap();
    }
    assert_eq!(rows(conn, "main", "t"), before);
}

/// Returns everything that an apply, its inverse, and a second apply that conflicts show.
fn observe(conn: &mut SqliteConnection, changes: &Recorded) -> Vec<String> {
    let mut seen = contents(conn);
    let mut note = |conn: &mut SqliteConnection, what: &str, result: Result<String, String>, kinds: &[ConflictType]| {
        seen.push(format!("{what}: {result:?} {kinds:?}"));
        seen.extend(contents(conn));
    };
    for (what, how) in [("apply", How::Changeset), ("again", How::ChangesetStream), ("patchset", How::Patchset)] {
        let (result, kinds) = apply_with(conn, changes, how, Options::default(), ConflictAction::Omit);
        note(conn, what, result.map(|report| report.to_string()).map_err(|error| error.to_string()), &kinds);
    }
    let result = conn.apply(&changes.0).inverted().otherwise(|_| ConflictAction::Omit).run();
    note(conn, "inverted", result.map(|report| report.to_string()).map_err(|error| error.to_string()), &[]);
    seen
}

pub(super) fn connect(path: &Path) -> SqliteConnection {
    let mut conn = connection::connect(path.to_str().unwrap());
    exec(&mut conn, "PRAGMA synchronous = OFF");
    conn
}

/// Checks that after `database`, which changes the file, and `state`, which changes only the
/// connection, an apply is that of a new connection. `database` runs on the connection itself, or on
/// another.
fn is_as_on_a_new_connection(database: &str, state: &str) {
    let changes = changes();
    let directory = tempfile::tempdir().unwrap();
    let fresh = directory.path().join("fresh.db");
    let mut conn = connect(&fresh);
    exec(&mut conn, &format!("{SCHEMA}{ROWS}{database}"));
    drop(conn);
    let observe_anew = || {
        let mut conn = connect(&fresh);
        exec(&mut conn, state);
        observe(&mut conn, &changes)
    };
    let expected = [observe_anew(), observe_anew()];
    for (elsewhere, journal) in [(false, "DELETE"), (false, "WAL"), (true, "DELETE"), (true, "WAL")] {
        if elsewhere && database.is_empty() {
            continue;
        }
        let context = format!("after {database}{state}, elsewhere: {elsewhere}, {journal}");
        let path = directory.path().join(format!("{elsewhere}{journal}.db"));
        let (mut conn, mut other) = (connect(&path), connect(&path));
        exec(&mut conn, &format!("PRAGMA journal_mode = {journal}; {SCHEMA}{ROWS}"));
        warm_up(&mut conn, &changes);
        exec(if elsewhere { &mut other } else { &mut conn }, database);
        exec(&mut conn, state);
        // the second time with the statements of the first
        for expected in &expected {
            assert_eq!(&observe(&mut conn, &changes), expected, "{context}");
        }
        drop(conn);
        let integrity = lines(&mut other, "SELECT integrity_check AS line FROM pragma_integrity_check");
        assert_eq!(integrity, ["ok"], "{context}");
    }
}

/// Returns a table `t` with the rows of the old one, copied by column names.
fn rebuilt(definition: &str) -> String {
    format!(
        "ALTER TABLE t RENAME TO old; CREATE TABLE t {definition}; INSERT INTO t (id, u, v) SELECT id, u, v FROM old; DROP TABLE old;"
    )
}

#[test]
fn changed_tables_are_looked_at_again() {
    for database in [
        "ALTER TABLE t ADD COLUMN w;".to_string(),
        "ALTER TABLE t ADD COLUMN w DEFAULT 7;".into(),
        "ALTER TABLE t ADD COLUMN w AS (u * 2);".into(),
        "ALTER TABLE t DROP COLUMN v;".into(),
        "ALTER TABLE t RENAME COLUMN v TO renamed;".into(),
        "ALTER TABLE t RENAME COLUMN v TO x; ALTER TABLE t RENAME COLUMN u TO v; ALTER TABLE t RENAME COLUMN x TO u;"
            .into(),
        "ALTER TABLE t RENAME TO T2;".into(),
        "ALTER TABLE t RENAME TO x; ALTER TABLE x RENAME TO T;".into(),
        "DROP TABLE t;".into(),
        "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE CHECK (u < 1000), v TEXT);".into(),
        "DROP TABLE t; CREATE VIEW t AS SELECT 1 AS id, 2 AS u, 3 AS v;".into(),
        rebuilt("(id INTEGER PRIMARY KEY, v TEXT, u INTEGER)"),
        rebuilt("(u INTEGER UNIQUE, id INTEGER PRIMARY KEY, v TEXT)"),
        rebuilt("(id INTEGER PRIMARY KEY, u INTEGER, v TEXT, w, x DEFAULT 'x')"),
        rebuilt("(id INTEGER PRIMARY KEY, u TEXT UNIQUE, v BLOB)"),
        rebuilt("(id TEXT PRIMARY KEY, u, v)"),
        rebuilt("(id INTEGER PRIMARY KEY, u INTEGER, v TEXT) STRICT"),
        rebuilt("(id INTEGER PRIMARY KEY, u INTEGER, v TEXT) WITHOUT ROWID"),
        rebuilt("(id INTEGER, u INTEGER, v TEXT, PRIMARY KEY (u))"),
        rebuilt("(id INTEGER, u INTEGER, v TEXT, PRIMARY KEY (id, u))"),
        rebuilt("(id INTEGER PRIMARY KEY, u INTEGER UNIQUE ON CONFLICT FAIL, v TEXT)"),
        rebuilt("(id INTEGER PRIMARY KEY, u INTEGER, v TEXT CHECK (v <> 'new'))"),
        rebuilt("(id INTEGER PRIMARY KEY, u INTEGER, v TEXT NOT NULL COLLATE NOCASE)"),
        rebuilt("(id INTEGER PRIMARY KEY, u INTEGER, v TEXT, w AS (v || 'x') UNIQUE)"),
    ] {
        is_as_on_a_new_connection(&database, "");
    }
}

#[test]
fn triggers_and_indexes_that_come_and_go_are_noticed() {
    let log = "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('i' || new.id); END;
        CREATE TRIGGER u BEFORE UPDATE ON t BEGIN INSERT INTO log VALUES ('u' || new.u); END;
        CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO log VALUES ('d' || old.id); END;";
    for database in [
        log.to_string(),
        format!("{log} DROP TRIGGER u;"),
        "CREATE TRIGGER r BEFORE UPDATE ON t BEGIN SELECT RAISE(IGNORE); END;".into(),
        "CREATE TRIGGER r BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'); END;".into(),
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END;".into(),
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT OR IGNORE INTO parent VALUES (10), (11); END;".into(),
        "CREATE TRIGGER r AFTER UPDATE ON t BEGIN UPDATE t SET v = v || '!' WHERE id = new.id; END;".into(),
        "CREATE UNIQUE INDEX i ON t (v);".into(),
        "CREATE UNIQUE INDEX i ON t (u % 25);".into(),
        "CREATE INDEX i ON t (v, u); ANALYZE;".into(),
        "CREATE INDEX i ON t (v); DROP INDEX i;".into(),
        "ANALYZE;".into(),
        "VACUUM;".into(),
        "REINDEX;".into(),
        "PRAGMA user_version = 9;".into(),
        "INSERT INTO t VALUES (6, 25, 'taken');".into(),
    ] {
        is_as_on_a_new_connection(&database, "");
    }
}

#[test]
fn triggers_that_were_there_at_the_first_apply_are_gone_after_a_drop() {
    let changes = changes();
    let mut conn = connection::connect(":memory:");
    exec(
        &mut conn,
        &format!("{SCHEMA}{ROWS} CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END;"),
    );
    conn.apply(&changes.0).run().unwrap();
    conn.apply(&changes.0).inverted().run().unwrap();
    assert_eq!(rows(&mut conn, "main", "log"), ["3", "5"]);
    exec(&mut conn, "DROP TRIGGER i");
    conn.apply(&changes.0).run().unwrap();
    assert_eq!(rows(&mut conn, "main", "log"), ["3", "5"]);
    exec(&mut conn, "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES (-new.id); END");
    conn.apply(&changes.0).inverted().run().unwrap();
    assert_eq!(rows(&mut conn, "main", "log"), ["-3", "3", "5"]);
}

#[test]
fn what_belongs_to_the_connection_is_noticed() {
    let child = "CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES t (u) ON UPDATE CASCADE ON DELETE CASCADE); INSERT INTO child VALUES (1, 20), (2, 30), (3, 40);";
    let orphans =
        "CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES t (u)); INSERT INTO child VALUES (1, 20), (2, 30);";
    let check = "UPDATE t SET u = 40 WHERE id = 9;";
    for (database, state) in [
        ("", "PRAGMA foreign_keys = ON;"),
        (child, "PRAGMA foreign_keys = ON;"),
        (child, "PRAGMA foreign_keys = OFF;"),
        (orphans, "PRAGMA foreign_keys = ON;"),
        (orphans, "PRAGMA foreign_keys = ON; PRAGMA foreign_keys = OFF;"),
        (orphans, "PRAGMA foreign_keys = ON; PRAGMA defer_foreign_keys = ON;"),
        (check, "PRAGMA ignore_check_constraints = ON;"),
        (check, "PRAGMA ignore_check_constraints = ON; PRAGMA ignore_check_constraints = OFF;"),
        (
            "CREATE TRIGGER r AFTER UPDATE ON t WHEN length(new.v) < 5 BEGIN UPDATE t SET v = v || '!' WHERE id = new.id; END;",
            "PRAGMA recursive_triggers = ON;",
        ),
        ("", "PRAGMA count_changes = ON;"),
        ("", "PRAGMA full_column_names = ON; PRAGMA short_column_names = OFF;"),
        ("", "PRAGMA reverse_unordered_selects = ON;"),
        ("", "PRAGMA empty_result_callbacks = ON;"),
        ("", "PRAGMA trusted_schema = OFF;"),
        ("", "PRAGMA query_only = ON;"),
        ("", "PRAGMA query_only = ON; PRAGMA query_only = OFF;"),
        ("", "PRAGMA locking_mode = NORMAL; PRAGMA cache_size = 5; PRAGMA synchronous = OFF;"),
        ("", "CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, u, v); INSERT INTO temp.t VALUES (2, 20, 'temp');"),
        ("", "CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, u, v); DROP TABLE temp.t;"),
        ("", "CREATE TEMP VIEW t AS SELECT 1 AS id;"),
        ("", "CREATE TEMP TRIGGER r AFTER UPDATE ON main.t BEGIN INSERT INTO log VALUES (new.u); END;"),
        ("", "CREATE TEMP TRIGGER r AFTER INSERT ON main.t BEGIN SELECT RAISE(ABORT, 'no'); END;"),
        ("", "CREATE TEMP TRIGGER r AFTER INSERT ON main.t BEGIN SELECT RAISE(ABORT, 'no'); END; DROP TRIGGER temp.r;"),
        (
            "",
            "ATTACH ':memory:' AS other; CREATE TABLE other.t (id INTEGER PRIMARY KEY, u, v); INSERT INTO other.t VALUES (2, 20, 'other');",
        ),
        (
            "",
            "ATTACH ':memory:' AS other; CREATE TABLE other.t (x PRIMARY KEY); DROP TABLE other.t; CREATE TABLE other.t (id INTEGER PRIMARY KEY, u);",
        ),
        ("", "ATTACH ':memory:' AS other; CREATE TABLE other.t (id INTEGER PRIMARY KEY, u, v); DETACH other;"),
    ] {
        is_as_on_a_new_connection(database, state);
    }
}

#[test]
fn a_check_holds_again_once_it_is_no_longer_ignored() {
    let t = TableInfo::new("t", &[1, 0, 0]);
    let breaks = Changeset::builder().insert_values(t, &[9.into(), 5000.into(), "v".into()]).build().unwrap();
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
    let kinds = |conn: &mut SqliteConnection| {
        let mut kinds = Vec::new();
        conn.apply(&breaks)
            .otherwise(|kind| {
                kinds.push(kind);
                ConflictAction::Omit
            })
            .run()
            .unwrap();
        exec(conn, "DELETE FROM t WHERE id = 9");
        kinds
    };
    for _ in 0..3 {
        assert_eq!(kinds(&mut conn), [ConflictType::Constraint]);
        exec(&mut conn, "PRAGMA ignore_check_constraints = ON");
        assert!(kinds(&mut conn).is_empty());
        exec(&mut conn, "PRAGMA ignore_check_constraints = OFF");
    }
}

#[test]
fn schema_changes_that_are_rolled_back_are_forgotten() {
    let changes = changes();
    let alters = [
        "ALTER TABLE t ADD COLUMN w DEFAULT 7",
        "ALTER TABLE t RENAME TO kept; CREATE TABLE t (id INTEGER PRIMARY KEY, u, v); INSERT INTO t SELECT * FROM kept",
        "CREATE TRIGGER r AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.u); END",
        "CREATE UNIQUE INDEX i ON t (v)",
    ];
    for alter in alters {
        for savepoint in [false, true] {
            let (begin, back, end) = match savepoint {
                false => ("BEGIN", "ROLLBACK", ""),
                true => ("BEGIN; SAVEPOINT s", "ROLLBACK TO s", "COMMIT"),
            };
            let mut conn = connection::connect(":memory:");
            exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
            let mut expected = connection::connect(":memory:");
            exec(&mut expected, &format!("{SCHEMA}{ROWS}"));
            let before = contents(&mut conn);
            warm_up(&mut conn, &changes);
            exec(&mut conn, &format!("{begin}; {alter}"));
            conn.apply(&changes.0).run().unwrap();
            let mut inside = connection::connect(":memory:");
            exec(&mut inside, &format!("{SCHEMA}{ROWS}{alter}"));
            inside.apply(&changes.0).run().unwrap();
            assert_eq!(contents(&mut conn), contents(&mut inside), "{alter}");
            exec(&mut conn, back);
            assert_eq!(contents(&mut conn), before, "{alter}");
            assert_eq!(observe(&mut conn, &changes), observe(&mut expected, &changes), "{alter}, {savepoint}");
            exec(&mut conn, end);
            assert_sound(&mut conn, alter);
        }
    }
}

/// Two databases with the same schema cookie, in which the tables `t` and `other` have each other's
/// pages.
fn exchanged_pages() -> [Vec<u8>; 2] {
    let t = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER, v TEXT);";
    let other = t.replace("TABLE t", "TABLE other");
    [format!("{t}{other}"), format!("{other}{t}")].map(|schema| {
        let mut conn = connection::connect(":memory:");
        exec(&mut conn, &format!("{schema}INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c'), (4, 40, 'd'); INSERT INTO other SELECT * FROM t;"));
        connection::serialize(&mut conn)
    })
}

#[test]
fn a_deserialized_database_is_looked_at_again() {
    let changes = changes();
    let [first, second] = exchanged_pages();
    let cookie = |bytes: &[u8]| bytes[40..44].to_vec();
    assert_eq!(cookie(&first), cookie(&second), "SQLite notices no difference");
    let mut conn = connection::connect(":memory:");
    for (round, content) in [&first, &second, &first, &first, &second].into_iter().enumerate() {
        connection::deserialize(&mut conn, content);
        let other = rows(&mut conn, "main", "other");
        conn.apply(&changes.0).run().unwrap();
        assert_eq!(rows(&mut conn, "main", "t"), ["1 10 'a'", "2 25 'b'", "4 40 'new'", "5 50 'e'"], "{round}");
        assert_eq!(rows(&mut conn, "main", "other"), other, "round {round} wrote into another table");
        conn.apply(&changes.0).inverted().run().unwrap();
        assert_eq!(rows(&mut conn, "main", "t"), other, "{round}");
    }
    // with another schema, and the same cookie
    let mut different = connection::connect(":memory:");
    exec(&mut different, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE u (id)");
    let different = connection::serialize(&mut different);
    assert_eq!(cookie(&first), cookie(&different));
    connection::deserialize(&mut conn, &different);
    let error = conn.apply(&changes.0).run().unwrap_err();
    assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{error:?}");
}

#[test]
fn a_database_that_diesel_deserializes_is_looked_at_again() {
    let changes = changes();
    let [first, second] = exchanged_pages();
    let mut conn = connection::connect(":memory:");
    connection::deserialize(&mut conn, &first);
    warm_up(&mut conn, &changes);
    conn.deserialize_readonly_database_from_buffer(&second).unwrap();
    let before = contents(&mut conn);
    let error = conn.apply(&changes.0).run().unwrap_err();
    assert!(matches!(&error, ApplyError::Sqlite { error, .. } if error.code() & 0xff == 8), "{error:?}");
    assert_eq!(contents(&mut conn), before);
    drop(conn);
}

#[test]
fn a_database_that_a_backup_replaced_is_looked_at_again() {
    let changes = changes();
    let [first, second] = exchanged_pages();
    let mut sources = [&first, &second].map(|content| {
        let mut conn = connection::connect(":memory:");
        connection::deserialize(&mut conn, content);
        conn
    });
    let mut conn = connection::connect(":memory:");
    for round in [0, 1, 0, 0, 1] {
        connection::restore(&mut conn, &mut sources[round]);
        let other = rows(&mut conn, "main", "other");
        conn.apply(&changes.0).run().unwrap();
        assert_eq!(rows(&mut conn, "main", "t"), ["1 10 'a'", "2 25 'b'", "4 40 'new'", "5 50 'e'"], "{round}");
        assert_eq!(rows(&mut conn, "main", "other"), other, "{round}");
    }
}

#[test]
fn an_apply_leaves_nothing_that_blocks_other_statements() {
    let changes = changes();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.db");
    let mut conn = connect(&path);
    exec(&mut conn, &format!("{SCHEMA}{ROWS} ATTACH ':memory:' AS other"));
    let copy = directory.path().join("copy.db");
    for statement in [
        "DETACH other",
        "PRAGMA journal_mode = WAL",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "VACUUM",
        &format!("VACUUM INTO '{}'", copy.display()),
        "PRAGMA journal_mode = DELETE",
        "ALTER TABLE t ADD COLUMN w",
        "DROP INDEX IF EXISTS i",
        "BEGIN EXCLUSIVE; COMMIT",
        "BEGIN; ALTER TABLE t RENAME TO x; ROLLBACK",
        "DROP TABLE t",
    ] {
        warm_up(&mut conn, &changes);
        // a failed apply leaves nothing either
        conn.apply(&changes.0).run().unwrap();
        assert!(conn.apply(&changes.0).run().is_err());
        conn.apply(&changes.0).inverted().run().unwrap();
        exec(&mut conn, statement);
        exec(&mut connect(&path), "BEGIN EXCLUSIVE; ROLLBACK");
    }
}

diesel::define_sql_function! {
    fn decorate(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

#[test]
fn a_function_that_was_replaced_is_called() {
    let changes = changes();
    let mut conn = connection::connect(":memory:");
    let register = |conn: &mut SqliteConnection, mark: &'static str| {
        decorate_utils::register_impl(conn, move |text: String| format!("{mark}{text}")).unwrap();
    };
    register(&mut conn, "first ");
    exec(
        &mut conn,
        &format!(
            "{SCHEMA}{ROWS} CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES (decorate(new.v)); END"
        ),
    );
    conn.apply(&changes.0).run().unwrap();
    assert_eq!(rows(&mut conn, "main", "log"), ["'first e'"]);
    register(&mut conn, "second ");
    conn.apply(&changes.0).inverted().run().unwrap();
    assert_eq!(rows(&mut conn, "main", "log"), ["'first e'", "'second c'"]);
}

#[test]
fn a_function_of_a_check_and_of_an_index_is_called_as_it_is_now() {
    let changes = changes();
    let mut conn = connection::connect(":memory:");
    let register = |conn: &mut SqliteConnection, mark: &'static str| {
        decorate_utils::register_impl(conn, move |text: String| format!("{mark}{text}")).unwrap();
    };
    register(&mut conn, "x");
    exec(
        &mut conn,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v, CHECK (decorate(v) <> 'ye')); CREATE TABLE log (line); CREATE TABLE parent (id);",
    );
    exec(&mut conn, ROWS);
    warm_up(&mut conn, &changes);
    register(&mut conn, "y");
    let (report, kinds) = apply_with(&mut conn, &changes, How::Changeset, Options::default(), ConflictAction::Omit);
    assert_eq!((report.unwrap().applied(), kinds), (3, vec![ConflictType::Constraint]));
}

#[test]
fn every_user_of_a_pooled_connection_can_apply() {
    let directory = tempfile::tempdir().unwrap();
    let url = directory.path().join("pool.db").to_str().unwrap().to_string();
    let pool = Pool::builder().max_size(2).build(ConnectionManager::<SqliteConnection>::new(&url)).unwrap();
    let changes = changes();
    exec(&mut pool.get().unwrap(), &format!("PRAGMA journal_mode = WAL; {SCHEMA}{ROWS}"));
    for round in 0..6 {
        let (mut first, mut second) = (pool.get().unwrap(), pool.get().unwrap());
        first.apply(&changes.0).run().unwrap();
        second.apply(&changes.0).inverted().run().unwrap();
        second.apply(&changes.0).run().unwrap();
        exec(&mut first, &format!("ALTER TABLE t ADD COLUMN w{round} DEFAULT {round}"));
        second.apply(&changes.0).inverted().run().unwrap();
        let expected = format!("3 30 'c'{}", (0..=round).map(|round| format!(" {round}")).collect::<String>());
        assert_eq!(rows(&mut first, "main", "t")[2], expected);
    }
}

#[test]
fn a_connection_can_move_to_another_thread_between_applies() {
    let changes = changes();
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
    for _ in 0..3 {
        let changes = changes.clone();
        conn = std::thread::spawn(move || {
            warm_up(&mut conn, &changes);
            conn
        })
        .join()
        .unwrap();
    }
    conn.apply(&changes.0).run().unwrap();
}

#[test]
fn connections_with_a_shared_cache_notice_each_others_changes() {
    let changes = changes();
    let connect = || connection::connect("file:kept_statements?mode=memory&cache=shared");
    let (mut conn, mut other) = (connect(), connect());
    exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
    warm_up(&mut conn, &changes);
    warm_up(&mut other, &changes);
    exec(&mut other, "ALTER TABLE t ADD COLUMN w DEFAULT 7");
    conn.apply(&changes.0).run().unwrap();
    assert_eq!(rows(&mut other, "main", "t"), ["1 10 'a' 7", "2 25 'b' 7", "4 40 'new' 7", "5 50 'e' 7"]);
    exec(&mut conn, "DROP TABLE t; CREATE TABLE t (v TEXT, id INTEGER PRIMARY KEY)");
    let error = other.apply(&changes.0).inverted().run().unwrap_err();
    assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{error:?}");
}

#[test]
fn an_apply_that_found_the_database_locked_can_be_repeated() {
    let changes = changes();
    let directory = tempfile::tempdir().unwrap();
    for journal in ["DELETE", "WAL"] {
        let path = directory.path().join(journal);
        let (mut conn, mut other) = (connect(&path), connect(&path));
        exec(&mut conn, &format!("PRAGMA journal_mode = {journal}; {SCHEMA}{ROWS}"));
        warm_up(&mut conn, &changes);
        exec(&mut other, "BEGIN IMMEDIATE; ALTER TABLE t ADD COLUMN w DEFAULT 7");
        for how in How::ALL {
            let (result, _) = apply_with(&mut conn, &changes, how, Options::default(), ConflictAction::Omit);
            assert!(matches!(&result, Err(ApplyError::Sqlite { error, .. }) if error.code() & 0xff == 5), "{result:?}");
        }
        exec(&mut other, "COMMIT");
        conn.apply(&changes.0).run().unwrap();
        assert_eq!(rows(&mut other, "main", "t"), ["1 10 'a' 7", "2 25 'b' 7", "4 40 'new' 7", "5 50 'e' 7"]);
    }
}

diesel::table! {
    t (id) {
        id -> Integer,
        u -> Nullable<Integer>,
        v -> Nullable<Text>,
    }
}

#[derive(Debug, Tracked)]
#[diesel(table_name = t)]
pub struct Row {
    id: i32,
    u: Option<i32>,
    v: Option<String>,
}

#[test]
fn typed_handlers_and_filters_are_checked_against_the_schema_as_it_is_now() {
    let changes = changes();
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
    let run = |conn: &mut SqliteConnection| {
        let mut seen = Vec::new();
        let result = conn
            .apply(&changes.0)
            .on_conflict::<t::table>(|conflict| {
                seen.extend(conflict.current().map(|row| (row.id, row.u, row.v.clone())));
                conflict.omit()
            })
            .run();
        (result, seen)
    };
    run(&mut conn).0.unwrap();
    let (result, seen) = run(&mut conn);
    assert_eq!(result.unwrap().omitted(), 4);
    assert_eq!(seen.len(), 3, "a row for each change but the DELETE");
    exec(&mut conn, &rebuilt("(id INTEGER PRIMARY KEY, v TEXT, u INTEGER)"));
    let (result, seen) = run(&mut conn);
    assert!(matches!(result, Err(ApplyError::SchemaMismatch(_))), "{result:?} {seen:?}");
    exec(&mut conn, &rebuilt("(id INTEGER PRIMARY KEY, u INTEGER, x AS (u + 1), v TEXT)"));
    let (result, again) = run(&mut conn);
    assert_eq!((result.unwrap().omitted(), again.len()), (4, 3));
    assert!(again.contains(&(4, Some(40), Some("new".into()))), "{again:?}");
}

#[test]
fn a_session_records_what_kept_statements_change() {
    let changes = changes();
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
    warm_up(&mut conn, &changes);
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    conn.apply(&changes.0).run().unwrap();
    assert_eq!(session.take_changeset().unwrap().sort_by_key(), changes.0.sort_by_key());
    conn.apply(&changes.0).inverted().run().unwrap();
    assert_eq!(session.take_changeset().unwrap().sort_by_key(), changes.0.invert().sort_by_key());
}

/// The most statements that a connection may keep, Diesel's included.
const MOST_STATEMENTS: usize = 500;

#[test]
fn the_number_of_kept_statements_is_bounded() {
    let mut conn = connection::connect(":memory:");
    // 300 tables
    let mut changesets = Vec::new();
    for table in 0..300 {
        exec(
            &mut conn,
            &format!(
                "CREATE TABLE t{table} (id INTEGER PRIMARY KEY, v); INSERT INTO t{table} VALUES (1, 'a'), (2, 'b')"
            ),
        );
        let name = format!("t{table}");
        let t = TableInfo::new(&name, &[1, 0]);
        let changeset = Changeset::builder()
            .update_values(t, &[1.into(), "a".into()], &[1.into(), "x".into()])
            .delete_values(t, &[2.into(), "b".into()])
            .insert_values(t, &[3.into(), "c".into()])
            .build()
            .unwrap();
        changesets.push(changeset);
    }
    // 300 sets of changed columns, which are the bits of a number
    let columns: Vec<String> = (0..9).map(|column| format!("c{column}")).collect();
    exec(&mut conn, &format!("CREATE TABLE wide (id INTEGER PRIMARY KEY, {})", columns.join(", ")));
    exec(&mut conn, &format!("INSERT INTO wide VALUES (1{})", ", 0".repeat(9)));
    let wide = TableInfo::new("wide", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for set in 1..=300 {
        let old = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut new = old;
        (0..9).for_each(|column| new[column + 1] = set >> column & 1);
        let changeset = Changeset::builder().update_values(wide, &old.map(Into::into), &new.map(Into::into));
        changesets.push(changeset.build().unwrap());
    }
    let before = contents(&mut conn);
    for _ in 0..2 {
        for changeset in &changesets {
            conn.apply(changeset).run().unwrap();
            conn.apply(changeset).otherwise(|_| ConflictAction::Omit).run().unwrap();
            conn.apply(changeset).inverted().run().unwrap();
        }
        let count = connection::statement_count(&mut conn);
        assert!(count <= MOST_STATEMENTS, "{count} statements");
    }
    assert_eq!(contents(&mut conn), before);
    // all in one apply
    let all = changesets[..300].iter().flat_map(|changeset| changeset.as_bytes()).copied().collect::<Vec<u8>>();
    let all = Changeset::try_from(all).unwrap();
    for _ in 0..2 {
        assert_eq!(conn.apply(&all).run().unwrap().applied(), 900);
        conn.apply(&all).inverted().run().unwrap();
        let count = connection::statement_count(&mut conn);
        assert!(count <= MOST_STATEMENTS, "{count} statements");
    }
    assert_eq!(contents(&mut conn), before);
    drop(conn);
}

#[test]
fn a_connection_closes_after_applies_in_any_state() {
    let changes = changes();
    let states = [
        "",
        "BEGIN",
        "BEGIN; SAVEPOINT s; INSERT INTO log VALUES (1)",
        "ATTACH ':memory:' AS other",
        "CREATE TEMP TABLE t (id)",
        "DROP TABLE t",
        "PRAGMA foreign_keys = ON",
    ];
    for state in states {
        for with_session in [false, true] {
            let mut conn = connection::connect(":memory:");
            exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
            let session = with_session.then(|| {
                let mut session = conn.create_session().unwrap();
                session.attach_all().unwrap();
                session
            });
            warm_up(&mut conn, &changes);
            exec(&mut conn, state);
            drop(conn);
            assert!(session.is_none_or(|session| session.is_closed()), "{state}");
        }
    }
    // on another thread, and while a failed apply is the last thing that happened
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
    conn.apply(&changes.0).run().unwrap();
    assert!(conn.apply(&changes.0).run().is_err());
    std::thread::spawn(move || drop(conn)).join().unwrap();
}

/// The trace by which a connection's closing is noticed has only one slot.
#[test]
fn a_foreign_trace_does_not_prevent_applies_and_closing() {
    let changes = changes();
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, &format!("{SCHEMA}{ROWS}"));
    warm_up(&mut conn, &changes);
    connection::trace(&mut conn);
    conn.apply(&changes.0).run().unwrap();
    conn.apply(&changes.0).inverted().run().unwrap();
    connection::trace(&mut conn);
    let [first, second] = exchanged_pages();
    for content in [&first, &second] {
        connection::deserialize(&mut conn, content);
        connection::trace(&mut conn);
        let other = rows(&mut conn, "main", "other");
        conn.apply(&changes.0).run().unwrap();
        assert_eq!(rows(&mut conn, "main", "other"), other);
    }
    drop(conn);
}
