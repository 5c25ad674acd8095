//! Applying untyped changes: inputs, schemas that differ, transactions, and rolling back a failed
//! apply.

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{ApplyError, Changeset, ConflictAction, ConflictType, SqliteSessionExt};

use crate::common::{exec, lines, open};

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)";

/// Returns what SQLite records of `edits` in a database that `schema` creates.
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
fn every_kind_of_input_is_accepted() {
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
fn an_illegal_replace_is_an_error_and_rolls_back_everything() {
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
fn foreign_key_violations_call_the_handler_once_at_the_end() {
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
fn constraint_violations_are_conflicts_of_their_own_kind() {
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
fn a_conflict_clause_of_the_table_does_not_act() {
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'a'), (2, 'a'), (3, 'b')");
    for clause in ["ROLLBACK", "/* hard */ ROLLBACK", "FAIL", "IGNORE", "REPLACE"] {
        for schema in [
            format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE ON CONFLICT {clause})"),
            format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v, w DEFAULT '--', UNIQUE (v) ON CONFLICT {clause})"),
        ] {
            let mut conn = open(&schema);
            let mut kinds = Vec::new();
            let omit = |kind| {
                kinds.push(kind);
                ConflictAction::Omit
            };
            let report = conn.apply(&changeset).otherwise(omit).run().unwrap();
            assert_eq!((report.applied(), report.omitted()), (2, 1), "{schema}");
            assert_eq!(kinds, [ConflictType::Constraint], "{schema}");
            assert_eq!(lines(&mut conn, "SELECT v AS line FROM t ORDER BY v"), ["a", "b"], "{schema}");
        }
    }
    // the clause of the primary key does not act either
    let mut conn =
        open("CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, v); INSERT INTO t VALUES (2, 'mine')");
    let error = conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap_err();
    assert!(matches!(error, ApplyError::ConflictAborted), "{error}");
    // a keyword in a name is not a clause
    let mut conn = open("CREATE TABLE t (id INTEGER PRIMARY KEY, v, rollback_reason TEXT, \"rollback\" TEXT)");
    conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap();
    assert_eq!(rows(&mut conn).len(), 3);
}

#[test]
fn a_conflict_clause_beside_triggers_does_not_act() {
    const LOG: &str = "CREATE TABLE log (line UNIQUE); INSERT INTO log VALUES ('a');";
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    for clause in ["IGNORE", "REPLACE", "FAIL", "ABORT"] {
        for columns in [
            format!("id INTEGER PRIMARY KEY, v UNIQUE ON CONFLICT {clause}"),
            format!("id INTEGER PRIMARY KEY ON CONFLICT {clause}, v UNIQUE ON CONFLICT {clause}"),
            format!("id INTEGER PRIMARY KEY, v, w AS (v) UNIQUE ON CONFLICT {clause}"),
            format!("id INTEGER PRIMARY KEY, v CHECK (v <> 'b'), w DEFAULT 'mine' UNIQUE ON CONFLICT {clause}"),
            format!("id INTEGER PRIMARY KEY, v CHECK (v <> 'b'), w DEFAULT NULL NOT NULL ON CONFLICT {clause}"),
        ] {
            // the clause in the trigger acts where the constraint concerns the changes alone
            let trigger = "CREATE TRIGGER i AFTER DELETE ON t BEGIN INSERT OR IGNORE INTO log VALUES (old.v); END;";
            let mut conn = open(&format!("CREATE TABLE t ({columns}); {LOG}{trigger}"));
            let _ = conn.batch_execute("INSERT INTO t (id, v) VALUES (9, 'a')");
            let _ = conn.batch_execute("INSERT INTO t (id, v, w) VALUES (9, 'a', 'mine')");
            let before = lines(&mut conn, "SELECT id || v AS line FROM t ORDER BY id");
            let mut kinds = Vec::new();
            let omit = |kind| {
                kinds.push(kind);
                ConflictAction::Omit
            };
            let report = conn.apply(&changeset).otherwise(omit).run().unwrap();
            assert_eq!(report.applied() + report.omitted(), 2, "{columns}");
            assert_eq!(kinds.len() as u64, report.omitted(), "{columns}");
            assert!(kinds.contains(&ConflictType::Constraint), "{columns}");
            // each row that the report counts is there, and no row is gone
            let after = lines(&mut conn, "SELECT id || v AS line FROM t ORDER BY id");
            assert!(before.iter().all(|row| after.contains(row)), "{columns}: {before:?} {after:?}");
            assert_eq!(after.len() as u64, before.len() as u64 + report.applied(), "{columns}: {after:?}");
        }
    }
}

#[test]
fn a_trigger_that_rolls_back_ends_the_apply() {
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'a'), (2, 'a'), (3, 'b')");
    for schema in [
        "CREATE TABLE u (id UNIQUE ON CONFLICT ROLLBACK); \
         CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (new.v); END",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no') WHERE new.id = 2; END",
        "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no') WHERE new.id = 2; END",
        "ATTACH ':memory:' AS \"o\"\"ther\"; CREATE TABLE \"o\"\"ther\".u (v UNIQUE ON CONFLICT ROLLBACK);
         CREATE TEMP TRIGGER r AFTER INSERT ON main.t BEGIN INSERT INTO u VALUES (new.v); END",
    ] {
        let mut conn = open(TABLE);
        exec(&mut conn, schema);
        let error = conn.apply_changeset(&changeset, |_| ConflictAction::Omit).unwrap_err();
        assert!(
            matches!(&error, ApplyError::RolledBack { table: Some(table), error: None } if table == "t"),
            "{error}"
        );
        assert!(rows(&mut conn).is_empty());
        // it takes the application's transaction with it
        exec(&mut conn, "BEGIN; INSERT INTO t VALUES (9, 'mine')");
        let error = conn.apply_changeset(&changeset, |_| ConflictAction::Omit).unwrap_err();
        assert!(matches!(error, ApplyError::RolledBack { .. }), "{error}");
        assert!(rows(&mut conn).is_empty());
        exec(&mut conn, "BEGIN; COMMIT");
    }
    // where it does not act, nothing is rejected
    let mut conn = open(TABLE);
    exec(&mut conn, "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no') WHERE new.id = 4; END");
    conn.apply_changeset(&changeset, |_| ConflictAction::Abort).unwrap();
}

#[test]
fn a_trigger_that_fails_halfway_leaves_nothing() {
    let changeset = record(TABLE, "INSERT INTO t VALUES (1, 'a')");
    for trigger in [
        "CREATE TRIGGER f AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); SELECT RAISE(FAIL, 'no'); END",
        "CREATE TABLE u (v UNIQUE); INSERT INTO u VALUES ('a');
         CREATE TRIGGER f AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); INSERT OR FAIL INTO u VALUES (new.v); END",
        "CREATE TABLE u (v UNIQUE ON CONFLICT FAIL); INSERT INTO u VALUES ('a');
         CREATE TRIGGER f AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); INSERT INTO u VALUES (new.v); END",
        "CREATE TEMP TRIGGER f AFTER INSERT ON main.t BEGIN INSERT INTO log VALUES (1); SELECT RAISE(FAIL, 'no'); END",
    ] {
        let mut conn = open(&format!("{TABLE}; CREATE TABLE log (id)"));
        exec(&mut conn, trigger);
        let mut kinds = Vec::new();
        conn.apply_changeset(&changeset, |kind| {
            kinds.push(kind);
            ConflictAction::Omit
        })
        .unwrap();
        assert_eq!(kinds, [ConflictType::Constraint], "{trigger}");
        assert!(rows(&mut conn).is_empty());
        assert!(lines(&mut conn, "SELECT id || '' AS line FROM log").is_empty(), "{trigger}");
    }
    // also in a trigger of a row that a foreign key deletes
    let deletion = record(&format!("{TABLE}; INSERT INTO t VALUES (1, 'a')"), "DELETE FROM t");
    let mut conn = open(&format!("PRAGMA foreign_keys = ON; {TABLE}; CREATE TABLE log (id)"));
    exec(
        &mut conn,
        "INSERT INTO t VALUES (1, 'a'); CREATE TABLE u (t REFERENCES t ON DELETE CASCADE); INSERT INTO u VALUES (1);
         CREATE TRIGGER f AFTER DELETE ON u BEGIN INSERT INTO log VALUES (1); SELECT RAISE(FAIL, 'no'); END",
    );
    conn.apply_changeset(&deletion, |_| ConflictAction::Omit).unwrap();
    assert_eq!(rows(&mut conn), ["1:'a'"]);
    assert_eq!(
        lines(&mut conn, "SELECT count(*) || '' AS line FROM log UNION ALL SELECT count(*) || '' FROM u"),
        ["0", "1"]
    );
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
fn a_schema_mismatch_names_table_and_column() {
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
    // SQLite would read the second section with the columns of the first
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
fn a_key_that_changed_to_an_equal_key_is_applied() {
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
fn statistics_are_applied_where_the_table_exists() {
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
fn a_commit_that_a_reader_blocks_leaves_no_transaction_open() {
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
    // no transaction is open, and the database is not locked
    exec(&mut reader, "INSERT INTO t VALUES (2, 'y')");
    exec(&mut conn, "BEGIN; INSERT INTO t VALUES (3, 'z'); COMMIT");
    assert_eq!(rows(&mut reader), ["2:'y'", "3:'z'"]);
}

/// Two rows that exchange a unique value, which no order of UPDATEs allows.
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
fn an_exchange_never_deletes_rows_that_refer_to_its_row() {
    let changeset = record(PLACES, EXCHANGE);
    for (more, is_possible) in [
        ("PRAGMA foreign_keys = ON; CREATE TABLE child (id REFERENCES t ON DELETE CASCADE)", true),
        ("PRAGMA foreign_keys = ON; CREATE TABLE child (id REFERENCES t ON UPDATE CASCADE ON DELETE SET NULL)", true),
        (
            "CREATE TABLE child (id); CREATE TRIGGER d AFTER DELETE ON t BEGIN DELETE FROM child WHERE id = old.id; END",
            true,
        ),
        (
            "CREATE TABLE child (id); CREATE TEMP TRIGGER d AFTER DELETE ON T BEGIN DELETE FROM child WHERE id = old.id; END",
            true,
        ),
        (
            "CREATE TABLE child (id); CREATE TEMP TABLE T (id INTEGER PRIMARY KEY, v); INSERT INTO temp.t VALUES (1, 'x')",
            true,
        ),
        (
            "CREATE TABLE child (id); ATTACH ':memory:' AS other; CREATE TABLE other.t (id INTEGER PRIMARY KEY, v) WITHOUT ROWID",
            true,
        ),
        // an action or a trigger would see the value of a parked row
        ("PRAGMA foreign_keys = ON; CREATE TABLE child (id, v REFERENCES t (v) ON UPDATE CASCADE)", false),
        (
            "CREATE TABLE child (id); CREATE TRIGGER d AFTER UPDATE ON t BEGIN DELETE FROM child WHERE id = old.id; END",
            false,
        ),
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
        let (expected, after) = match is_possible {
            true => (vec![], ["1b", "2a"]),
            false => (vec![ConflictType::Constraint, ConflictType::Constraint], ["1a", "2b"]),
        };
        assert_eq!(kinds, expected, "{more}");
        assert_eq!(lines(&mut conn, "SELECT id || '' AS line FROM child ORDER BY id"), ["1", "2"], "{more}");
        assert_eq!(lines(&mut conn, "SELECT id || v AS line FROM main.t ORDER BY id"), after, "{more}");
    }
}

#[test]
fn an_update_keeps_columns_that_only_the_replica_has() {
    let changeset = record(PLACES, EXCHANGE);
    for (column, schema) in [
        ("note", "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE, note DEFAULT 'default')"),
        ("_rowid_", "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE, _rowid_)"),
    ] {
        let mut conn = open(schema);
        exec(&mut conn, "INSERT INTO t VALUES (1, 'a', 'mine 1'), (2, 'b', 'mine 2')");
        conn.apply_changeset(&changeset, |conflict| panic!("{conflict:?}")).unwrap();
        assert_eq!(lines(&mut conn, "SELECT v AS line FROM t ORDER BY id"), ["b", "a"]);
        let kept = lines(&mut conn, &format!("SELECT \"{column}\" AS line FROM t ORDER BY id"));
        assert_eq!(kept, ["mine 1", "mine 2"]);
    }
}

#[test]
fn a_transaction_that_sqlite_has_ended_is_reported() {
    let mut conn = open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (id INTEGER PRIMARY KEY); PRAGMA max_page_count = 8",
    );
    let (t, text) = (TableInfo::new("t", &[1, 0]), "x".repeat(2000));
    let changeset = (0..40)
        .fold(Changeset::builder(), |builder, id: i64| builder.insert_values(t, &[id.into(), text.as_str().into()]))
        .build()
        .unwrap();
    exec(&mut conn, "BEGIN; INSERT INTO u VALUES (1)");
    let error = conn.apply(&changeset).run().unwrap_err();
    let ApplyError::RolledBack { table: Some(table), error: Some(reason) } = &error else { panic!("{error:?}") };
    assert_eq!((table.as_str(), reason.code()), ("t", 13));
    assert!(lines(&mut conn, "SELECT '' || id AS line FROM u").is_empty());
    // outside a transaction there is nothing to report
    let error = conn.apply(&changeset).run().unwrap_err();
    assert!(matches!(&error, ApplyError::Sqlite { error, .. } if error.code() == 13), "{error:?}");
    assert!(rows(&mut conn).is_empty());
}

#[test]
fn deferred_foreign_keys_stay_deferred() {
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
        // now no foreign key is violated
        exec(&mut conn, "INSERT INTO p VALUES (1)");
        conn.apply(&record(TABLE, "INSERT INTO t VALUES (3, 3)")).run().unwrap();
        exec(&mut conn, "COMMIT; DELETE FROM c; DELETE FROM p; DELETE FROM t WHERE id > 1");
    }
}

#[test]
fn any_number_of_tables_can_be_skipped() {
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
fn sqlite_ignores_the_256th_column_of_a_key() {
    let columns: Vec<String> = (0..300).map(|column| format!("c{column}")).collect();
    let schema = format!("CREATE TABLE t ({0}, PRIMARY KEY ({0}))", columns.join(", "));
    let values: Vec<String> = (0..300).map(|value| value.to_string()).collect();
    let changeset = record(&schema, &format!("INSERT INTO t VALUES ({})", values.join(", ")));
    let mut replica = open(&schema);
    assert_eq!(replica.apply(&changeset).run().unwrap().applied(), 1);
    assert_eq!(lines(&mut replica, "SELECT c0 || ' ' || c299 AS line FROM t"), ["0 299"]);
}
