//! Facts about SQLite on which the documentation of `wire` depends. If a new SQLite behaves
//! differently, a test fails.

use diesel_sqlite_session::wire::{ParseErrorKind, Records};
use diesel_sqlite_session::{Changeset, ChangesetRef, Format, Operation, PatchsetRef, Value};
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

/// Returns what SQLite records of `edits` in a database that `schema` creates.
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
fn every_storage_class_is_recorded_as_stored() {
    let (changeset, patchset) = record(
        &["CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d, e)"],
        &["INSERT INTO t VALUES (-9223372036854775807 - 1, 9e999, 'it''s', x'00ff', NULL, CAST(x'ff' AS TEXT))"],
    );
    let line = "INSERT t(-9223372036854775808, 9.0e+999, 'it''s', x'00ff', NULL, CAST(x'ff' AS TEXT))";
    assert_eq!(shown(&changeset), [line]);
    assert_eq!(PatchsetRef::parse(&patchset).unwrap().records().next().unwrap().to_string(), line);
}

#[test]
fn key_flags_are_places_in_the_key() {
    let key_of = |create: &str, insert: &str| {
        let (changeset, _) = record(&[create], &[insert]);
        let changeset = ChangesetRef::parse(&changeset).unwrap();
        let table = changeset.sections().next().unwrap();
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
fn a_changed_key_is_a_delete_and_an_insert() {
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
    // a patchset contains only the new key, and sets nothing
    let patchset = PatchsetRef::parse(&patchset).unwrap();
    assert!(patchset.records().any(|record| record.to_string() == "UPDATE t('Ada', _)"));
}

#[test]
fn numbers_of_different_classes_can_be_equal_keys() {
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
    assert_eq!(changeset.sections().next().unwrap().key_columns().collect::<Vec<_>>(), [0, 1]);
}

/// A change that SQLite's iterator reads and this crate rejects, and the result of
/// `sqlite3changeset_apply`.
fn refused(bytes: &[u8], kind: ParseErrorKind) -> (Result<(), Code>, Vec<String>) {
    assert_eq!(sqlite::read(bytes).1, Ok(()), "SQLite's iterator reads it");
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
fn rejected_changes_would_fail_or_be_misread_when_applied() {
    const CORRUPT: Result<(), Code> = Err(Code(SQLITE_CORRUPT));
    let nothing = Vec::<String>::new();

    let update_without_a_key = b"T\x02\x01\0t\0\x17\0\0\x03\x01a\0\x03\x01b";
    assert_eq!(refused(update_without_a_key, ParseErrorKind::MissingValue), (CORRUPT, nothing.clone()));

    let insert_without_a_value = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\0";
    assert_eq!(refused(insert_without_a_value, ParseErrorKind::MissingValue), (CORRUPT, nothing.clone()));
    let delete_without_a_key = b"T\x02\x01\0t\0\x09\0\0\x03\x05seven";
    assert_eq!(refused(delete_without_a_key, ParseErrorKind::MissingValue), (CORRUPT, nothing.clone()));

    // NULL in an INTEGER PRIMARY KEY makes SQLite choose a key: another on each replica, and one
    // more row each time
    let null_key = b"T\x02\x01\0t\0\x12\0\x05\x03\x01x";
    assert_eq!(refused(null_key, ParseErrorKind::NullKey), (Ok(()), vec!["INSERT t(8, 'x')".to_string()]));
    let nan_key = b"T\x02\x01\0t\0\x12\0\x02\x7f\xf8\0\0\0\0\0\x01\x03\x01x";
    assert_eq!(refused(nan_key, ParseErrorKind::NullKey), (Ok(()), vec!["INSERT t(8, 'x')".to_string()]));

    // an unknown type is read as NULL without its bytes
    let unknown_type = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x06";
    assert_eq!(refused(unknown_type, ParseErrorKind::ValueType(6)), (Ok(()), vec!["INSERT t(1, NULL)".to_string()]));

    let no_key = b"T\x02\0\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x05";
    assert_eq!(refused(no_key, ParseErrorKind::NoPrimaryKey), (Ok(()), nothing.clone()));
    let name_that_is_no_utf8 = b"T\x02\x01\0t\xff\0\x12\0\x01\0\0\0\0\0\0\0\x01\x05";
    assert_eq!(refused(name_that_is_no_utf8, ParseErrorKind::TableName), (Ok(()), nothing.clone()));

    let patchset = b"P\x02\x01\0t\0\x09\0\x01\0\0\0\0\0\0\0\x07";
    let error = ChangesetRef::parse(patchset).unwrap_err();
    assert_eq!(error.kind(), ParseErrorKind::WrongFormat { found: Format::Patchset });

    let both_formats = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x05P\x02\x01\0t\0\x09\0\x01\0\0\0\0\0\0\0\x07";
    let (result, _) = refused(both_formats, ParseErrorKind::WrongFormat { found: Format::Patchset });
    assert_eq!(result, Ok(()), "SQLite applies it, but neither inverts nor concatenates it");
    assert!(sqlite::invert(both_formats).is_err());
    assert!(sqlite::concat(both_formats, both_formats).is_err());
}

#[test]
fn updates_of_only_an_equal_key_are_read_though_sqlite_cannot_apply_them() {
    /// Returns the only section of the bytes, reduced to its UPDATE.
    fn update_alone(bytes: &[u8], records: Records<'_>) -> Vec<u8> {
        let starts: Vec<usize> = records.clone().map(|record| record.offset()).chain([bytes.len()]).collect();
        let update = records.clone().position(|record| record.operation() == Operation::Update).unwrap();
        [&bytes[..starts[0]], &bytes[starts[update]..starts[update + 1]]].concat()
    }

    let (changeset, patchset) = record(
        &["CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)", "INSERT INTO t VALUES ('ada', 1)"],
        &["UPDATE t SET k = 'Ada'"],
    );
    let replica =
        || database(&["CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)", "INSERT INTO t VALUES ('ada', 1)"]);
    let changeset = update_alone(&changeset, ChangesetRef::parse(&changeset).unwrap().records());
    assert_eq!(shown(&changeset), ["UPDATE t('ada' -> 'Ada', _)"]);
    assert_eq!(replica().apply(&changeset), Err(Code(SQLITE_ERROR)), "an UPDATE without SET");
    let patchset = update_alone(&patchset, PatchsetRef::parse(&patchset).unwrap().records());
    assert_eq!(replica().apply(&patchset), Err(Code(SQLITE_CORRUPT)));
}

#[test]
fn an_old_value_without_a_new_value_is_hidden_as_in_sqlite() {
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

#[test]
fn sections_are_in_the_order_in_which_the_tables_first_changed() {
    let (changeset, _) = record(
        &["CREATE TABLE b (id PRIMARY KEY)", "CREATE TABLE a (id PRIMARY KEY)", "CREATE TABLE c (id PRIMARY KEY)"],
        &[
            "INSERT INTO c VALUES (1)",
            "INSERT INTO a VALUES (1)",
            "INSERT INTO b VALUES (1)",
            "INSERT INTO c VALUES (2)",
        ],
    );
    let changeset = ChangesetRef::parse(&changeset).unwrap();
    let names: Vec<&str> = changeset.sections().map(|section| section.table()).collect();
    assert_eq!(names, ["c", "a", "b"]);
}

#[test]
fn tables_without_a_key_can_be_tracked_by_rowid() {
    let source = database(&["CREATE TABLE t (a, b)"]);
    let (without, with) = (source.track(), source.track_rowids());
    source.execute("INSERT INTO t (rowid, a, b) VALUES (7, 'x', NULL)").unwrap();
    assert!(without.changeset().is_empty());
    assert_eq!(shown(&with.changeset()), ["INSERT t(7, 'x', NULL)"]);
    let changeset = with.changeset();
    assert_eq!(ChangesetRef::parse(&changeset).unwrap().sections().next().unwrap().key_ordinals(), [1, 0, 0]);
}

#[test]
fn columns_that_the_changeset_lacks_get_their_defaults() {
    let replica = database(&["CREATE TABLE t (id INTEGER PRIMARY KEY, v, extra DEFAULT 'new')"]);
    let session = replica.track();
    replica.apply(b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x03\x01x").unwrap();
    assert_eq!(shown(&session.changeset()), ["INSERT t(1, 'x', 'new')"]);
}

#[test]
fn key_ordinals_that_differ_in_order_make_sqlite_ignore_the_table() {
    let replica = database(&["CREATE TABLE t (a, b, PRIMARY KEY (b, a))"]);
    let session = replica.track();
    replica.apply(b"T\x02\x01\x02t\0\x12\0\x03\x01a\x03\x01b").unwrap();
    assert!(session.changeset().is_empty());
    replica.apply(b"T\x02\x02\x01t\0\x12\0\x03\x01a\x03\x01b").unwrap();
    assert_eq!(shown(&session.changeset()), ["INSERT t('a', 'b')"]);
}

#[test]
fn rebased_updates_contain_the_whole_row_and_rebase_data_is_no_changeset() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)";
    let (local, remote) = (database(&[schema]), database(&[schema]));
    let (mine, theirs) = (local.track(), remote.track());
    local.execute("INSERT INTO t VALUES (1, 'local', 'same')").unwrap();
    remote.execute("INSERT INTO t VALUES (1, 'remote', 'same')").unwrap();
    let rebase = local.apply_omitting(&theirs.changeset()).unwrap();
    let rebased = sqlite::rebase(&mine.changeset(), &rebase).unwrap();
    agree::judge(&rebased);
    assert_eq!(shown(&rebased), ["UPDATE t(1 -> 1, 'remote' -> 'local', 'same' -> 'same')"]);

    // rebase data for an UPDATE looks like an INSERT that lacks unchanged columns
    let replica = database(&[schema, "INSERT INTO t VALUES (1, 'mine', 'same')"]);
    let update = b"T\x03\x01\0\0t\0\x17\0\x01\0\0\0\0\0\0\0\x01\x03\x01a\0\0\x03\x01b\0";
    let rebase = replica.apply_omitting(update).unwrap();
    agree::judge(&rebase);
    assert_eq!(ChangesetRef::parse(&rebase).unwrap_err().kind(), ParseErrorKind::MissingValue);
}

#[test]
fn a_whole_number_in_a_real_key_is_recorded_twice() {
    // SQLite sees the key as integer 4 when the row is inserted, and as 4.0 when the row is
    // replaced
    let (changeset, _) = record(
        &["CREATE TABLE t (k REAL PRIMARY KEY, v)"],
        &["INSERT INTO t VALUES (4, 'one')", "INSERT OR REPLACE INTO t VALUES (4, 'two')"],
    );
    assert_eq!(shown(&changeset), ["INSERT t(4.0, 'two')", "UPDATE t(4.0, 'one' -> 'two')"]);
}
