//! INSERTs of many rows by one statement. The result is that of the INSERTs one by one, as a stream
//! applies them, wherever one of them conflicts.

use diesel_sqlite_session::{ConflictAction, ConflictType, SqliteSessionExt};

use super::replica::{How, Options, Recorded, apply_with, assert_sound, contents, record};
use crate::common::{exec, lines, open};

/// The columns are those of a table `t (id, u, v)`.
const SCHEMAS: [(&str, &str); 15] = [
    ("plain", "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v)"),
    ("unique", "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v)"),
    ("any key", "CREATE TABLE t (id PRIMARY KEY, u, v)"),
    ("without rowid", "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v) WITHOUT ROWID"),
    ("strict", "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v TEXT) STRICT"),
    ("autoincrement", "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, u UNIQUE, v)"),
    ("check", "CREATE TABLE t (id INTEGER PRIMARY KEY, u CHECK (u <> 350 AND u <> 1000), v)"),
    ("not null", "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v NOT NULL)"),
    ("generated", "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v, g AS (u / 2) STORED UNIQUE)"),
    ("partial index", "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v); CREATE UNIQUE INDEX i ON t (u) WHERE u > 300"),
    (
        "references",
        "CREATE TABLE p (u UNIQUE); CREATE TABLE t (id INTEGER PRIMARY KEY, u REFERENCES p (u), v);
         WITH RECURSIVE c (i) AS (VALUES (10) UNION ALL SELECT i + 5 FROM c WHERE i < 11000)
         INSERT INTO p SELECT i FROM c WHERE i <> 370",
    ),
    (
        "clauses",
        "CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, u UNIQUE ON CONFLICT IGNORE, v NOT NULL ON CONFLICT ROLLBACK)",
    ),
    ("clause", "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT FAIL, v)"),
    (
        "trigger",
        "CREATE TABLE log (line); CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v);
         CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END",
    ),
    (
        "temporary trigger",
        "CREATE TABLE log (line); CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v);
         CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END",
    ),
];

/// Returns the INSERTs of the rows from 1 to `count`, one with a NULL and one with another type.
fn inserts(count: usize) -> Recorded {
    record(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v)",
        &format!(
            "WITH RECURSIVE c (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < {count})
             INSERT INTO t SELECT i, iif(i = 45, 'x', i * 10), iif(i = 50, NULL, 'row ' || i) FROM c"
        ),
    )
}

/// What can be seen of an apply: its report, the conflicts, the database, and what a session has
/// recorded.
fn observe(schema: &str, rows: &str, changes: &Recorded, how: How, answer: ConflictAction) -> Vec<String> {
    let mut conn = open(schema);
    exec(&mut conn, rows);
    // before SQLite 3.49, sessions fail if there are generated columns
    let mut session = (!schema.contains("STORED")).then(|| {
        let mut session = conn.create_session().unwrap();
        session.attach_all().unwrap();
        session
    });
    let (report, mut kinds) = apply_with(&mut conn, changes, how, Options::default(), answer);
    // which change is asked about first, and so where the apply fails, depends on the order
    kinds.sort_by_key(|kind: &ConflictType| format!("{kind:?}"));
    if report.is_err() {
        kinds.clear();
    }
    let recorded = session.as_mut().map(|session| session.take_changeset().unwrap().sort_by_key());
    drop(session);
    let mut seen = vec![format!("{report:?} {kinds:?} {recorded:?}")];
    if schema.contains("AUTOINCREMENT") {
        seen.extend(lines(&mut conn, "SELECT name || ' ' || seq AS line FROM sqlite_sequence"));
    }
    seen.extend(contents(&mut conn));
    if schema.contains("REFERENCES") {
        exec(&mut conn, "DELETE FROM t WHERE u NOT IN (SELECT u FROM p)");
    }
    assert_sound(&mut conn, schema);
    seen
}

#[test]
fn the_result_is_that_of_inserts_one_by_one() {
    // in one chunk, and more than are sorted
    for count in [63, 64, 100, 1100] {
        let changes = inserts(count);
        for (name, schema) in SCHEMAS {
            // rows in the way of the first, of the last and of any other row of a batch
            let ids = ["", "1", "32", "33", "40, 41, 64", "63, 64", "90"];
            for ids in if count > 1000 { &ids[4..5] } else { &ids[..] } {
                let rows = format!(
                    "INSERT INTO t (id, u, v) SELECT value, value * 10 + 5, 'own' FROM json_each('[{ids}]');
                     INSERT INTO t (id, u, v) SELECT value + 5000, value * 10, 'same u' FROM json_each('[{ids}]') WHERE value % 2"
                );
                for answer in [ConflictAction::Omit, ConflictAction::Replace, ConflictAction::Abort] {
                    let context = format!("{count} rows, {name}, {ids} in the way, {answer:?}");
                    let [set, stream] =
                        [How::Changeset, How::ChangesetStream].map(|how| observe(schema, &rows, &changes, how, answer));
                    assert_eq!(set, stream, "{context}");
                    let [set, stream] =
                        [How::Patchset, How::PatchsetStream].map(|how| observe(schema, &rows, &changes, how, answer));
                    assert_eq!(set, stream, "{context}");
                }
            }
        }
    }
}

#[test]
fn an_error_between_rows_undoes_the_apply() {
    let mut conn = open("CREATE TABLE t (id INTEGER PRIMARY KEY, u CHECK (abs(v) >= 0), v)");
    let smallest = "-9223372036854775808";
    let changes = record(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v)",
        &format!(
            "WITH RECURSIVE c (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 100)
             INSERT INTO t SELECT i, i, iif(i = 77, {smallest}, i) FROM c"
        ),
    );
    for how in How::ALL {
        let (report, kinds) = apply_with(&mut conn, &changes, how, Options::default(), ConflictAction::Omit);
        let error = report.unwrap_err().to_string();
        assert!(error.contains("integer overflow"), "{error}");
        assert!(kinds.is_empty());
        assert!(contents(&mut conn).is_empty(), "{how:?}");
    }
}
