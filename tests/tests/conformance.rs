//! Facts about SQLite on which the docs of `wire` rest. Where a new SQLite behaves otherwise, one of these fails.

use diesel_sqlite_session::{Changeset, ChangesetRef, Operation, ParseErrorKind, PatchsetRef, Value};
use diesel_sqlite_session_tests::agree;
use diesel_sqlite_session_tests::sqlite::{self, Code, Database};
use libsqlite3_sys::{SQLITE_CORRUPT, SQLITE_ERROR};

fn database(statements: &[&str]) -> Database {
    let database = Database::new();
    for statement in statements {
        database.execute(statement).unwrap();
    }
    database
}

/// Runs `edits` on a database made by `schema`, and gives what SQLite records of them.
fn record(schema: &[&str], edits: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let database = database(schema);
    let session = database.track();
    for edit in edits {
        database.execute(edit).unwrap();
    }
    let recorded = (session.changeset(), session.patchset());
    agree::judge(&recorded.0);
    agree::judge(&recorded.1);
    recorded
}

fn shown(changeset: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> =
        ChangesetRef::parse(changeset).unwrap().records().map(|record| record.to_string()).collect();
    lines.sort();
    lines
}

#[test]
fn every_storage_class_arrives_as_it_was_stored() {
    let (changeset, patchset) = record(
        &["CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d, e)"],
        &["INSERT INTO t VALUES (-9223372036854775807 - 1, 9e999, 'it''s', x'00ff', NULL, CAST(x'ff' AS TEXT))"],
    );
    let line = "INSERT t(-9223372036854775808, 9.0e+999, 'it''s', x'00ff', NULL, CAST(x'ff' AS TEXT))";
    assert_eq!(shown(&changeset), [line]);
    assert_eq!(PatchsetRef::parse(&patchset).unwrap().records().next().unwrap().to_string(), line);
}

#[test]
fn the_key_flags_are_places_in_the_key() {
    let key_of = |create: &str, insert: &str| {
        let (changeset, _) = record(&[create], &[insert]);
        let changeset = ChangesetRef::parse(&changeset).unwrap();
        let table = changeset.tables().next().unwrap();
        (table.key_ordinals().to_vec(), table.key_columns().collect::<Vec<_>>())
    };
    assert_eq!(
        key_of("CREATE TABLE t (a, b, c, PRIMARY KEY (c, a))", "INSERT INTO t VALUES (1, 2, 3)"),
        (vec![2, 0, 1], vec![0, 2])
    );
    // a key that names a column twice leaves a gap
    assert_eq!(
        key_of("CREATE TABLE t (a, b, PRIMARY KEY (a, a, b))", "INSERT INTO t VALUES (1, 2)"),
        (vec![1, 3], vec![0, 1])
    );
}

#[test]
fn changes_by_triggers_are_indirect() {
    let (changeset, _) = record(
        &[
            "CREATE TABLE t (id INTEGER PRIMARY KEY)",
            "CREATE TABLE log (id INTEGER PRIMARY KEY, t)",
            "CREATE TRIGGER logged AFTER INSERT ON t BEGIN INSERT INTO log VALUES (10 * new.id, new.id); END",
        ],
        &["INSERT INTO t VALUES (1)"],
    );
    assert_eq!(shown(&changeset), ["INSERT log(10, 1) indirect", "INSERT t(1)"]);
}

#[test]
fn a_moved_key_is_a_delete_and_an_insert() {
    let (changeset, patchset) = record(
        &["CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES (1, 'one')"],
        &["UPDATE t SET id = 2"],
    );
    assert_eq!(shown(&changeset), ["DELETE t(1, 'one')", "INSERT t(2, 'one')"]);
    let patchset = PatchsetRef::parse(&patchset).unwrap();
    assert!(patchset.records().any(|record| record.to_string() == "DELETE t(1, _)"));
}

#[test]
fn a_key_that_changes_to_an_equal_one_is_an_update_of_the_key_and_an_insert() {
    let (changeset, patchset) = record(
        &["CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)", "INSERT INTO t VALUES ('ada', 1)"],
        &["UPDATE t SET k = 'Ada'"],
    );
    assert_eq!(shown(&changeset), ["INSERT t('Ada', 1)", "UPDATE t('ada' -> 'Ada', _)"]);
    let changeset = ChangesetRef::parse(&changeset).unwrap();
    let update = changeset.records().find(|record| record.operation() == Operation::Update).unwrap();
    assert_eq!(update.new_value(0), Some(Value::Text(b"Ada")));
    assert_eq!(update.key_values().collect::<Vec<_>>(), [Value::Text(b"ada")]);
    // a patchset has the new key alone, and nothing to set
    let patchset = PatchsetRef::parse(&patchset).unwrap();
    assert!(patchset.records().any(|record| record.to_string() == "UPDATE t('Ada', _)"));
}

#[test]
fn numbers_of_other_classes_can_be_equal_keys_too() {
    let (changeset, _) =
        record(&["CREATE TABLE t (k PRIMARY KEY, v)", "INSERT INTO t VALUES (1, 'one')"], &["UPDATE t SET k = 1.0"]);
    assert_eq!(shown(&changeset), ["INSERT t(1.0, 'one')", "UPDATE t(1 -> 1.0, _)"]);
}

#[test]
fn generated_columns_are_not_recorded() {
    let (changeset, _) = record(
        &["CREATE TABLE t (id INTEGER PRIMARY KEY, g AS (id * 2) STORED, v)"],
        &["INSERT INTO t (id, v) VALUES (1, 'x')"],
    );
    assert_eq!(shown(&changeset), ["INSERT t(1, 'x')"]);
}

#[test]
fn rows_with_null_in_the_key_are_not_recorded() {
    let (changeset, _) = record(
        &["CREATE TABLE t (k TEXT PRIMARY KEY, v)"],
        &["INSERT INTO t VALUES (NULL, 'lost')", "INSERT INTO t VALUES ('k', 'kept')"],
    );
    assert_eq!(shown(&changeset), ["INSERT t('k', 'kept')"]);
}

#[test]
fn sqlite_stat1_is_recorded_with_a_key_that_it_does_not_declare() {
    let (changeset, _) =
        record(&["CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES (1, 2), (3, 4)"], &["ANALYZE"]);
    assert_eq!(shown(&changeset), ["INSERT sqlite_stat1('t', x'', '2')"]);
    let changeset = ChangesetRef::parse(&changeset).unwrap();
    assert_eq!(changeset.tables().next().unwrap().key_columns().collect::<Vec<_>>(), [0, 1]);
}

/// A change that SQLite's iterator reads to the end and we refuse; and what `sqlite3changeset_apply` does with it.
fn refused(bytes: &[u8], kind: ParseErrorKind) -> (Result<(), Code>, Vec<String>) {
    assert!(sqlite::read(bytes).is_ok(), "SQLite's iterator reads it");
    agree::judge(bytes);
    let error = match bytes[0] {
        b'P' => PatchsetRef::parse(bytes).unwrap_err(),
        _ => ChangesetRef::parse(bytes).unwrap_err(),
    };
    assert_eq!(error.kind(), kind);
    let replica = database(&["CREATE TABLE t (k INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES (7, 'seven')"]);
    let session = replica.track();
    let result = replica.apply(bytes);
    (result, shown(&session.changeset()))
}

#[test]
fn what_is_refused_would_fail_or_be_misread_when_applied() {
    const CORRUPT: Result<(), Code> = Err(Code(SQLITE_CORRUPT));
    let nothing = Vec::<String>::new();

    let insert_without_a_value = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\0";
    assert_eq!(refused(insert_without_a_value, ParseErrorKind::MissingValue), (CORRUPT, nothing.clone()));
    let delete_without_a_key = b"T\x02\x01\0t\0\x09\0\0\x03\x05seven";
    assert_eq!(refused(delete_without_a_key, ParseErrorKind::MissingValue), (CORRUPT, nothing.clone()));

    // NULL in an INTEGER PRIMARY KEY makes SQLite choose a key: every replica another, and every time one more row
    let null_key = b"T\x02\x01\0t\0\x12\0\x05\x03\x01x";
    assert_eq!(refused(null_key, ParseErrorKind::NullKey), (Ok(()), vec!["INSERT t(8, 'x')".to_string()]));
    let nan_key = b"T\x02\x01\0t\0\x12\0\x02\x7f\xf8\0\0\0\0\0\x01\x03\x01x";
    assert_eq!(refused(nan_key, ParseErrorKind::NullKey), (Ok(()), vec!["INSERT t(8, 'x')".to_string()]));

    // an unknown type is read as NULL, without the bytes that belong to it
    let unknown_type = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x06";
    assert_eq!(refused(unknown_type, ParseErrorKind::ValueType(6)), (Ok(()), vec!["INSERT t(1, NULL)".to_string()]));

    let no_key = b"T\x02\0\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x05";
    assert_eq!(refused(no_key, ParseErrorKind::NoPrimaryKey), (Ok(()), nothing.clone()));
    let name_that_is_no_utf8 = b"T\x02\x01\0t\xff\0\x12\0\x01\0\0\0\0\0\0\0\x01\x05";
    assert_eq!(refused(name_that_is_no_utf8, ParseErrorKind::TableName), (Ok(()), nothing.clone()));

    let both_formats = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x05P\x02\x01\0t\0\x09\0\x01\0\0\0\0\0\0\0\x07";
    let (result, _) =
        refused(both_formats, ParseErrorKind::WrongFormat { found: diesel_sqlite_session::Format::Patchset });
    assert_eq!(result, Ok(()), "SQLite applies it, but neither inverts nor concatenates it");
    assert!(sqlite::invert(both_formats).is_err());
}

#[test]
fn updates_of_nothing_but_an_equal_key_are_read_though_sqlite_cannot_apply_them() {
    let (changeset, patchset) = record(
        &["CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)", "INSERT INTO t VALUES ('ada', 1)"],
        &["UPDATE t SET k = 'Ada'"],
    );
    let replica =
        || database(&["CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)", "INSERT INTO t VALUES ('ada', 1)"]);
    assert!(matches!(replica().apply(&changeset), Err(Code(SQLITE_ERROR | 4))), "a conflict or a syntax error");
    assert!(replica().apply(&patchset).is_err());
}

#[test]
fn an_old_value_without_a_new_one_is_hidden_as_sqlite_hides_it() {
    let bytes = b"T\x03\x01\0\0t\0\x17\0\x01\0\0\0\0\0\0\0\x01\x03\x01a\x03\x01b\0\0\x03\x01c".to_vec();
    agree::judge(&bytes);
    let changeset = Changeset::try_from(bytes).unwrap();
    let record = changeset.records().next().unwrap();
    assert_eq!((record.old_value(1), record.new_value(1)), (None, None));
    assert_eq!(record.to_string(), "UPDATE t(1, _, 'b' -> 'c')");
    assert_eq!(changeset.invert().invert(), changeset, "but it is carried");
}

#[test]
fn varints_may_be_longer_than_needed() {
    let bytes = b"T\x80\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x03\x80\x80\x01a\x17\0\x01\0\0\0\0\0\0\0\x01\x03\x80\x01a\0\x03\x01b";
    agree::judge(bytes);
    let lines = ["INSERT t(1, 'a')", "UPDATE t(1, 'a' -> 'b')"];
    assert_eq!(shown(bytes), lines);
}
