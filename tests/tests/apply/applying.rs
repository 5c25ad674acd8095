//! Applying: what fits and what does not, conflicts, and that nothing of a failed apply stays.

use diesel::Connection;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{ApplyError, Changeset, ConflictAction, ConflictType, SqliteSessionExt};

use crate::common::{exec, lines, open};

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)";

/// What SQLite records of `edits` on a database made by `schema`.
fn record(schema: &str, edits: &str) -> Changeset {
    let mut conn = open(schema);
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    exec(&mut conn, edits);
    session.changeset().unwrap()
}

fn rows(conn: &mut diesel::SqliteConnection) -> Vec<String> {
    lines(conn, "SELECT id || ':' || quote(v) AS line FROM t ORDER BY id")
}

#[test]
fn every_kind_of_input_is_taken() {
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'x')");
    let bytes = changeset.as_bytes().to_vec();
    let mut conn = open(TABLE);
    let abort = |_| ConflictAction::Abort;
    conn.apply_changeset(&changeset, abort).unwrap();
    let replace = |_| ConflictAction::Replace;
    conn.apply_changeset(&changeset.as_borrowed(), replace).unwrap();
    conn.apply_changeset(&bytes, replace).unwrap();
    conn.apply_changeset(&bytes[..], replace).unwrap();
    conn.apply_changeset(b"", abort).unwrap();
    assert_eq!(rows(&mut conn), ["1:'x'"]);
    match conn.apply_patchset(&bytes, abort) {
        Err(ApplyError::Parse(error)) => assert_eq!(error.offset(), 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn replace_where_it_is_no_answer_is_an_error_that_undoes_everything() {
    let changeset = record(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'old')",
        "INSERT INTO t VALUES (2, 'new'); DELETE FROM t WHERE id = 1",
    );
    let mut conn = open(TABLE);
    match conn.apply_changeset(&changeset, |_| ConflictAction::Replace) {
        Err(ApplyError::IllegalReplace { conflict: ConflictType::NotFound, table }) => {
            assert_eq!(table.as_deref(), Some("t"));
        }
        other => panic!("{other:?}"),
    }
    assert!(rows(&mut conn).is_empty());
}

#[test]
fn broken_foreign_keys_are_asked_about_once_at_the_end() {
    let schema = "PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY); \
                  CREATE TABLE t (id INTEGER PRIMARY KEY, v REFERENCES parent);";
    let changeset = record(&schema.replace("ON;", "OFF;"), "INSERT INTO t VALUES (1, 5), (2, 6)");
    let mut conn = open(schema);
    let mut kinds = Vec::new();
    let result = conn.apply_changeset(&changeset, |kind| {
        kinds.push(kind);
        ConflictAction::Abort
    });
    let Err(error @ ApplyError::ForeignKeyViolations(_)) = result else { panic!("{result:?}") };
    assert!(
        error
            .to_string()
            .starts_with("applying the changes would leave 2 foreign key violations: table t, rowid 1, references"),
        "{error}"
    );
    assert_eq!(kinds, [ConflictType::ForeignKey]);
    assert!(rows(&mut conn).is_empty());
}

#[test]
fn constraints_are_conflicts_of_their_own_kind() {
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, NULL), (2, 'fits')");
    let mut conn = open("CREATE TABLE t (id INTEGER PRIMARY KEY, v NOT NULL)");
    let mut kinds = Vec::new();
    conn.apply_changeset(&changeset, |kind| {
        kinds.push(kind);
        ConflictAction::Omit
    })
    .unwrap();
    assert_eq!(kinds, [ConflictType::Constraint]);
    assert_eq!(rows(&mut conn), ["2:'fits'"]);
}

#[test]
fn tables_that_can_roll_back_the_transaction_are_refused() {
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'a'), (2, 'a'), (3, 'b')");
    for schema in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE ON CONFLICT ROLLBACK)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE ON CONFLICT /* hard */ ROLLBACK)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w DEFAULT '--', UNIQUE (v) ON CONFLICT /* hard */ ROLLBACK)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (id UNIQUE ON CONFLICT ROLLBACK); \
         CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (new.v); END",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); \
         CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no') WHERE new.id = 2; END",
    ] {
        let mut conn = open(schema);
        let error = conn.apply_changeset(&changeset, |_| ConflictAction::Omit).unwrap_err();
        assert!(matches!(error, ApplyError::RollbackClause { ref table } if table == "t"), "{error}");
        assert!(rows(&mut conn).is_empty());
    }
    // a temporary trigger does it as well
    let mut conn = open(TABLE);
    exec(&mut conn, "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END");
    let error = conn.apply_changeset(&changeset, |_| ConflictAction::Omit).unwrap_err();
    assert!(matches!(error, ApplyError::RollbackClause { .. }), "{error}");
    // which can write to a table of any schema
    let mut conn = open(TABLE);
    exec(
        &mut conn,
        "ATTACH ':memory:' AS \"o\"\"ther\"; CREATE TABLE \"o\"\"ther\".u (v UNIQUE ON CONFLICT ROLLBACK);
         CREATE TEMP TRIGGER r AFTER INSERT ON main.t BEGIN INSERT INTO u VALUES (new.v); END",
    );
    let error = conn.apply_changeset(&changeset, |_| ConflictAction::Omit).unwrap_err();
    assert!(matches!(error, ApplyError::RollbackClause { .. }), "{error}");
    // a word in a name is no clause
    let mut conn = open("CREATE TABLE t (id INTEGER PRIMARY KEY, v, rollback_reason TEXT, \"rollback\" TEXT)");
    conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap();
    assert_eq!(rows(&mut conn).len(), 3);
}

#[test]
fn triggers_that_fail_half_way_are_refused() {
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'a')");
    let mut conn = open(TABLE);
    exec(&mut conn, "CREATE TRIGGER f AFTER INSERT ON t BEGIN SELECT RAISE(FAIL, 'no'); END");
    let error = conn.apply_changeset(&changeset, |_| ConflictAction::Omit).unwrap_err();
    assert!(matches!(&error, ApplyError::FailClause { table } if table == "t"), "{error}");
    assert!(rows(&mut conn).is_empty());
    // so does what a trigger writes with FAIL, and a trigger of a row that a foreign key deletes
    for schema in [
        "CREATE TABLE u (v UNIQUE); CREATE TRIGGER f AFTER INSERT ON t BEGIN INSERT OR FAIL INTO u VALUES (new.v); END",
        "CREATE TABLE u (v UNIQUE ON CONFLICT FAIL); CREATE TRIGGER f AFTER INSERT ON t BEGIN INSERT INTO u VALUES (new.v); END",
        "CREATE TABLE u (t REFERENCES t ON DELETE CASCADE); CREATE TRIGGER f AFTER DELETE ON u BEGIN SELECT RAISE(FAIL, 'no'); END",
    ] {
        let mut conn = open(TABLE);
        exec(&mut conn, schema);
        let error = conn.apply_changeset(&changeset, |_| ConflictAction::Omit).unwrap_err();
        assert!(matches!(&error, ApplyError::FailClause { table } if table == "t"), "{schema}: {error}");
    }
    // without triggers ON CONFLICT FAIL is no harm
    let mut conn = open("CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE ON CONFLICT FAIL)");
    conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap();
    // a table without triggers is not concerned
    let mut conn = open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (id INTEGER PRIMARY KEY);
        CREATE TRIGGER f AFTER INSERT ON u BEGIN SELECT RAISE(FAIL, 'no'); END",
    );
    conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap();
}

#[test]
fn keys_in_another_order_are_the_same_key() {
    let changeset = record(
        "CREATE TABLE t (id, v, w, PRIMARY KEY (id, v)); CREATE TABLE u (id INTEGER PRIMARY KEY)",
        "INSERT INTO u VALUES (1); INSERT INTO t VALUES ('i', 'v', 'w'); INSERT INTO u VALUES (2)",
    );
    let mut conn =
        open("CREATE TABLE t (id, v, w, PRIMARY KEY (v, id)); CREATE TABLE u (id INTEGER PRIMARY KEY, more DEFAULT 3)");
    conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap();
    assert_eq!(rows(&mut conn), ["i:'v'"]);
    assert_eq!(lines(&mut conn, "SELECT id || more AS line FROM u ORDER BY id"), ["13", "23"]);
}

#[test]
fn what_does_not_fit_names_table_and_column() {
    let changeset = record("CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)", "INSERT INTO t VALUES (1, 2, 3)");
    for (schema, says) in [
        ("CREATE TABLE other (id INTEGER PRIMARY KEY)", "no such table"),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "has 2 columns"),
        ("CREATE TABLE t (id, v PRIMARY KEY, w)", "column id"),
        ("CREATE TABLE t (id, v, w, PRIMARY KEY (id, w))", "column w"),
        ("CREATE TABLE t (id, v, w)", "without a primary key"),
        ("CREATE TABLE p (id INTEGER PRIMARY KEY, v, w); CREATE VIEW t AS SELECT * FROM p", "a view"),
        ("CREATE VIRTUAL TABLE t USING fts5(id, v, w)", "a virtual table"),
    ] {
        let mut conn = open(schema);
        let error = conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap_err();
        assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{schema}: {error:?}");
        assert!(error.to_string().contains(says) && error.to_string().starts_with("table t"), "{schema}: {error}");
    }
}

#[test]
fn sections_of_one_table_must_agree() {
    // SQLite would read the second section by the shape of the first
    let narrow = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x05".to_vec();
    let mut wide = b"T\x42\x01".to_vec();
    wide.extend([0; 65]);
    wide.extend(b"T\0\x17\0\x01\0\0\0\0\0\0\0\x01");
    wide.extend([0; 65]);
    wide.extend([0; 65]);
    wide.push(5);
    let columns: String = (1..66).map(|n| format!(", c{n}")).collect();
    let mut conn = open(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY{columns})"));
    let both = Changeset::try_from([narrow, wide].concat()).unwrap();
    let error = conn.apply_changeset(&both, |_| ConflictAction::Abort).unwrap_err();
    assert!(matches!(error, ApplyError::SchemaMismatch(_)), "{error}");
}

#[test]
fn a_key_that_changed_to_an_equal_one_arrives() {
    let schema = "CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, v); INSERT INTO t VALUES ('ada', 1)";
    let changeset = record(schema, "UPDATE t SET id = 'Ada'");
    let mut conn = open(schema);
    let mut kinds = Vec::new();
    conn.apply_changeset(&changeset, |kind| {
        kinds.push(kind);
        ConflictAction::Replace
    })
    .unwrap();
    assert_eq!(kinds, [ConflictType::Conflict]);
    assert_eq!(rows(&mut conn), ["Ada:1"]);
}

#[test]
fn statistics_arrive_where_there_are_any() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE INDEX i ON t (v); INSERT INTO t VALUES (1, 2)";
    let changeset = record(schema, "ANALYZE");
    assert_eq!(changeset.sections().next().unwrap().table(), "sqlite_stat1");
    open(schema).apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap();
    let mut analyzed = open(schema);
    exec(&mut analyzed, "ANALYZE; DELETE FROM sqlite_stat1");
    analyzed.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap();
    assert_eq!(lines(&mut analyzed, "SELECT tbl || ' ' || idx || ' ' || stat AS line FROM sqlite_stat1"), ["t i 1 1"]);
}

#[test]
fn an_outer_transaction_survives_an_abort() {
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'theirs'), (2, 'theirs')");
    let mut conn = open(TABLE);
    exec(&mut conn, "BEGIN; INSERT INTO t VALUES (2, 'mine')");
    assert!(conn.apply_changeset(&changeset, |_| ConflictAction::Abort).is_err());
    exec(&mut conn, "COMMIT");
    assert_eq!(rows(&mut conn), ["2:'mine'"]);
}

#[test]
fn a_commit_that_meets_a_reader_leaves_no_transaction_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let connect = || diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let (mut conn, mut reader) = (connect(), connect());
    exec(&mut conn, TABLE);
    exec(&mut reader, "BEGIN; SELECT * FROM t");
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'x')");
    let error = conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap_err();
    assert!(matches!(error, ApplyError::Sqlite { .. }), "{error}");
    exec(&mut reader, "COMMIT");
    // neither is a transaction open here, nor is the database locked
    exec(&mut reader, "INSERT INTO t VALUES (2, 'y')");
    exec(&mut conn, "BEGIN; INSERT INTO t VALUES (3, 'z'); COMMIT");
    assert_eq!(rows(&mut reader), ["2:'y'", "3:'z'"]);
}

/// Two rows that change places, which no order of UPDATEs allows.
const PLACES: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b');";
const EXCHANGE: &str =
    "UPDATE t SET v = 'c' WHERE id = 1; UPDATE t SET v = 'a' WHERE id = 2; UPDATE t SET v = 'b' WHERE id = 1";

#[test]
fn rows_that_exchange_unique_values_are_applied() {
    let changeset = record(PLACES, EXCHANGE);
    let mut conn = open(PLACES);
    conn.apply_changeset(&changeset, |conflict| panic!("{conflict:?}")).unwrap();
    assert_eq!(rows(&mut conn), ["1:'b'", "2:'a'"]);
}

#[test]
fn an_update_never_deletes_what_belongs_to_its_row() {
    // SQLite exchanges them by deleting a row and inserting it again, with all that follows from a DELETE
    let changeset = record(PLACES, EXCHANGE);
    for more in [
        "PRAGMA foreign_keys = ON; CREATE TABLE child (id REFERENCES t ON DELETE CASCADE)",
        "PRAGMA foreign_keys = ON; CREATE TABLE child (id REFERENCES t ON UPDATE CASCADE ON DELETE SET NULL)",
        "CREATE TABLE child (id); CREATE TRIGGER d AFTER DELETE ON t BEGIN DELETE FROM child WHERE id = old.id; END",
        "CREATE TABLE child (id); CREATE TEMP TRIGGER d AFTER DELETE ON T BEGIN DELETE FROM child WHERE id = old.id; END",
        "PRAGMA foreign_keys = ON; CREATE TABLE child (id, v REFERENCES t (v) ON UPDATE CASCADE)",
        // and it takes a table of another schema for the one that is meant
        "CREATE TABLE child (id); CREATE TEMP TABLE T (id INTEGER PRIMARY KEY, v); INSERT INTO temp.t VALUES (1, 'x')",
        "CREATE TABLE child (id); ATTACH ':memory:' AS other; CREATE TABLE other.t (id INTEGER PRIMARY KEY, v) WITHOUT ROWID",
    ] {
        let mut conn = open(PLACES);
        exec(&mut conn, more);
        exec(&mut conn, "INSERT INTO child (id) VALUES (1), (2)");
        let mut kinds = Vec::new();
        let result = conn.apply_changeset(&changeset, |conflict| {
            kinds.push(conflict);
            ConflictAction::Omit
        });
        result.unwrap();
        assert_eq!(kinds, [ConflictType::Constraint, ConflictType::Constraint], "{more}");
        assert_eq!(lines(&mut conn, "SELECT id || '' AS line FROM child ORDER BY id"), ["1", "2"], "{more}");
        assert_eq!(lines(&mut conn, "SELECT id || v AS line FROM main.t ORDER BY id"), ["1a", "2b"], "{more}");
    }
}

#[test]
fn an_update_keeps_the_columns_that_only_the_replica_has() {
    let changeset = record(PLACES, EXCHANGE);
    for (column, schema) in [
        ("note", "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE, note DEFAULT 'default')"),
        ("_rowid_", "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE, _rowid_)"),
    ] {
        let mut conn = open(schema);
        exec(&mut conn, "INSERT INTO t VALUES (1, 'a', 'mine 1'), (2, 'b', 'mine 2')");
        let mut kinds = Vec::new();
        conn.apply_changeset(&changeset, |conflict| {
            kinds.push(conflict);
            ConflictAction::Omit
        })
        .unwrap();
        assert_eq!(kinds, [ConflictType::Constraint, ConflictType::Constraint]);
        let kept = lines(&mut conn, &format!("SELECT \"{column}\" AS line FROM t ORDER BY id"));
        assert_eq!(kept, ["mine 1", "mine 2"]);
    }
}

#[test]
fn a_transaction_that_sqlite_has_ended_is_told() {
    let mut conn = open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (id INTEGER PRIMARY KEY); PRAGMA max_page_count = 8",
    );
    let (t, text) = (TableInfo::new("t", &[1, 0]), "x".repeat(500));
    let changeset = (0..200)
        .fold(Changeset::builder(), |builder, id: i64| builder.insert_values(t, &[id.into(), text.as_str().into()]))
        .build()
        .unwrap();
    exec(&mut conn, "BEGIN; INSERT INTO u VALUES (1)");
    let error = conn.apply(&changeset).run().unwrap_err();
    let ApplyError::RolledBack { table: Some(table), error: Some(reason) } = &error else { panic!("{error:?}") };
    assert_eq!((table.as_str(), reason.code()), ("t", 13));
    assert!(lines(&mut conn, "SELECT '' || id AS line FROM u").is_empty());
    // outside of a transaction there is none to be told of
    let error = conn.apply(&changeset).run().unwrap_err();
    assert!(matches!(&error, ApplyError::Sqlite { error, .. } if error.code() == 13), "{error:?}");
    assert!(rows(&mut conn).is_empty());
}

#[test]
fn foreign_keys_that_are_deferred_stay_so() {
    let mut conn = open(
        "PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p); CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1)",
    );
    let (there, new) = (record(TABLE, "INSERT INTO t VALUES (1, 2)"), record(TABLE, "INSERT INTO t VALUES (2, 2)"));
    for is_first in [true, false] {
        exec(&mut conn, "BEGIN; PRAGMA defer_foreign_keys = ON; INSERT INTO c VALUES (1, 1)");
        if is_first {
            assert!(matches!(conn.apply(&there).run(), Err(ApplyError::ConflictAborted)));
        } else {
            conn.apply(&new).on_foreign_keys(|broken| broken.accept()).run().unwrap();
        }
        // now nothing is broken
        exec(&mut conn, "INSERT INTO p VALUES (1)");
        conn.apply(&record(TABLE, "INSERT INTO t VALUES (3, 3)")).run().unwrap();
        exec(&mut conn, "COMMIT; DELETE FROM c; DELETE FROM p; DELETE FROM t WHERE id > 1");
    }
}

#[test]
fn any_number_of_tables_can_be_left_out() {
    let mut bytes = Vec::new();
    for table in 0..50_000 {
        bytes.extend_from_slice(b"T\x01\x01");
        bytes.extend_from_slice(format!("x{table:06}").as_bytes());
        bytes.extend_from_slice(b"\0\x12\0\x01\0\0\0\0\0\0\0\x01");
    }
    let changeset = Changeset::try_from(bytes).unwrap();
    let report = open(TABLE).apply(&changeset).only_tables(["t"]).skip_other_tables().run().unwrap();
    assert_eq!((report.skipped(), report.tables().len()), (50_000, 50_000));
}

#[test]
fn the_256th_column_of_a_key_is_no_key_to_sqlite() {
    let columns: Vec<String> = (0..300).map(|column| format!("c{column}")).collect();
    let schema = format!("CREATE TABLE t ({0}, PRIMARY KEY ({0}))", columns.join(", "));
    let values: Vec<String> = (0..300).map(|value| value.to_string()).collect();
    let changeset = record(&schema, &format!("INSERT INTO t VALUES ({})", values.join(", ")));
    let mut replica = open(&schema);
    assert_eq!(replica.apply(&changeset).run().unwrap().applied(), 1);
    assert_eq!(lines(&mut replica, "SELECT c0 || ' ' || c299 AS line FROM t"), ["0 299"]);
}
