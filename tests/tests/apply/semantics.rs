//! What SQLite's `sqlite3changeset_apply_v2` does in detail, and that this crate does the same, or
//! how it differs: a test for each behaviour.

use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, Format, Patchset, Value};
use diesel_sqlite_session_tests::apply_agree::{Case, End, Outcome};
use diesel_sqlite_session_tests::change::{Change, Owned};
use diesel_sqlite_session_tests::sqlite::{self, Answer, Database, Kind, Question};

use crate::common::recorded;

const INSERT: i32 = 18;
const UPDATE: i32 = 23;
const DELETE: i32 = 9;

fn omit(_: &Question) -> Answer {
    Answer::Omit
}

fn abort(_: &Question) -> Answer {
    Answer::Abort
}

/// Replaces where SQLite accepts it, and else omits.
fn replace(question: &Question) -> Answer {
    if question.kind.takes_replace() { Answer::Replace } else { Answer::Omit }
}

/// A table whose first column is the key.
fn table(name: &'static str, columns: usize) -> TableInfo<'static> {
    const KEYS: [&[u8]; 5] = [&[], &[1], &[1, 0], &[1, 0, 0], &[1, 0, 0, 0]];
    TableInfo::new(name, KEYS[columns])
}

/// Changes of integers, in the order of the calls.
#[derive(Default)]
struct Changes(Vec<u8>);

impl Changes {
    fn row(values: &[i64]) -> Vec<Value<'_>> {
        values.iter().map(|value| Value::Integer(*value)).collect()
    }

    fn add(mut self, set: &Changeset) -> Self {
        self.0.extend_from_slice(set.as_bytes());
        self
    }

    fn insert(self, name: &'static str, row: &[i64]) -> Self {
        let set = Changeset::builder().insert_values(table(name, row.len()), &Self::row(row)).build();
        self.add(&set.unwrap())
    }

    fn update(self, name: &'static str, old: &[i64], new: &[i64]) -> Self {
        let (old, new) = (Self::row(old), Self::row(new));
        let set = Changeset::builder().update_values(table(name, old.len()), &old, &new).build();
        self.add(&set.unwrap())
    }

    fn delete(self, name: &'static str, row: &[i64]) -> Self {
        let set = Changeset::builder().delete_values(table(name, row.len()), &Self::row(row)).build();
        self.add(&set.unwrap())
    }

    fn on(self, setup: &str) -> Case {
        Case::new(setup, self.0)
    }
}

fn rows(outcome: &Outcome, table: &str) -> Vec<String> {
    outcome.content[table].clone()
}

/// A change that no builder makes.
fn raw(operation: i32, old: &[Option<i64>], new: &[Option<i64>]) -> Vec<u8> {
    let side = |side: &[Option<i64>]| side.iter().map(|value| value.map(Owned::Integer)).collect();
    let mut key = vec![0; old.len()];
    key[0] = 1;
    let change = Change { table: "t".into(), key, operation, indirect: false, old: side(old), new: side(new) };
    change.encode(Format::Changeset)
}

// When changes wait, and until when

#[test]
fn a_change_waits_until_the_sections_of_its_table_end() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE); CREATE TABLE x (id INTEGER PRIMARY KEY, v); \
                 INSERT INTO t VALUES (1, 1), (2, 2)";
    let taken = |changes: Changes| changes.update("t", &[1, 1], &[1, 2]);
    let outcome = taken(Changes::default()).update("t", &[2, 2], &[2, 3]).on(setup).agree(abort);
    assert_eq!(rows(&outcome, "t"), ["1 2", "2 3"]);
    // a section of another table ends the wait
    let outcome = taken(Changes::default()).insert("x", &[1, 1]).update("t", &[2, 2], &[2, 3]).on(setup).agree(omit);
    assert_eq!((outcome.kinds(), rows(&outcome, "t")), (vec![Kind::Constraint], vec!["1 1".into(), "2 3".into()]));
    // and after that, changes to the first table wait again
    let changes = Changes::default().delete("t", &[9, 9]).insert("x", &[1, 1]);
    let outcome = taken(changes).update("t", &[2, 2], &[2, 3]).on(setup).agree(omit);
    assert_eq!((outcome.kinds(), rows(&outcome, "t")), (vec![Kind::NotFound], vec!["1 2".into(), "2 3".into()]));
}

#[test]
fn changes_that_wait_are_tried_as_long_as_one_succeeds() {
    let setup =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4)";
    let shift = |changes: Changes, n: i64| changes.update("t", &[n, n], &[n, n + 1]);
    let outcome = [1, 2, 3, 4].into_iter().fold(Changes::default(), shift).on(setup).agree(abort);
    assert_eq!(rows(&outcome, "t"), ["1 2", "2 3", "3 4", "4 5"]);
}

#[test]
fn a_change_that_a_trigger_refuses_is_tried_again() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, parent); CREATE TRIGGER orphan BEFORE INSERT ON t \
                 WHEN new.parent > 0 AND NOT EXISTS (SELECT 1 FROM t WHERE id = new.parent) \
                 BEGIN SELECT RAISE(ABORT, 'no parent'); END";
    let changes = || Changes::default().insert("t", &[3, 2]).insert("t", &[2, 1]).insert("t", &[4, 9]);
    let outcome = changes().insert("t", &[1, 0]).on(setup).agree(omit);
    assert_eq!(outcome.kinds(), [Kind::Constraint]);
    assert_eq!(rows(&outcome, "t"), ["1 0", "2 1", "3 2"]);
}

#[test]
fn a_delete_that_violates_a_constraint_waits_too() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, parent); INSERT INTO t VALUES (1, 0), (2, 1), (3, 0), (4, 3); \
                 CREATE TRIGGER used BEFORE DELETE ON t WHEN EXISTS (SELECT 1 FROM t WHERE parent = old.id) \
                 BEGIN SELECT RAISE(ABORT, 'used'); END";
    let changes = Changes::default().delete("t", &[1, 0]).delete("t", &[3, 0]).delete("t", &[2, 1]);
    let outcome = changes.on(setup).agree(omit);
    assert_eq!((outcome.kinds(), rows(&outcome, "t")), (vec![Kind::Constraint], vec!["3 0".into(), "4 3".into()]));
}

#[test]
fn a_foreign_key_that_restricts_is_asked_about_at_the_end() {
    let setup = "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, parent REFERENCES t ON DELETE RESTRICT); \
                 INSERT INTO t VALUES (1, NULL), (2, 1)";
    let delete = Changeset::builder().delete_values(table("t", 2), &[Value::Integer(1), Value::Null]).build().unwrap();
    let outcome = Changes::default().add(&delete).on(setup).agree(omit);
    assert_eq!((outcome.kinds(), rows(&outcome, "t")), (vec![Kind::ForeignKey], vec!["2 1".into()]));
    let both = Changes::default().add(&delete).delete("t", &[2, 1]).on(setup).agree(abort);
    assert!(rows(&both, "t").is_empty());
}

#[test]
fn values_that_rows_exchange_are_applied_by_the_update_loop() {
    let checked = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE CHECK (u BETWEEN 1 AND 3)); \
                   INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)";
    let plain = checked.replace(" CHECK (u BETWEEN 1 AND 3)", "");
    let rotation =
        || Changes::default().update("t", &[1, 1], &[1, 2]).update("t", &[2, 2], &[2, 3]).update("t", &[3, 3], &[3, 1]);
    for setup in [checked, &plain] {
        let mut case = rotation().on(setup);
        // by other statements, so the counters of changes differ
        for outcome in [case.theirs(abort), case.ours(abort)] {
            assert_eq!(rows(&outcome, "t"), ["1 2", "2 3", "3 1"]);
        }
        case.flags.no_update_loop = true;
        let outcome = case.agree(omit);
        assert_eq!(
            (outcome.kinds(), rows(&outcome, "t")),
            (vec![Kind::Constraint; 3], vec!["1 1".into(), "2 2".into(), "3 3".into()])
        );
    }
}

// Which conflict a change has

#[test]
fn an_update_or_delete_that_finds_no_row_looks_by_the_key() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 5), (2, 5)";
    let changes = || {
        Changes::default()
            .update("t", &[1, 1], &[1, 2])
            .delete("t", &[2, 1])
            .update("t", &[3, 1], &[3, 2])
            .delete("t", &[4, 1])
    };
    let outcome = changes().on(setup).agree(omit);
    assert_eq!(outcome.kinds(), [Kind::Data, Kind::Data, Kind::NotFound, Kind::NotFound]);
    assert_eq!(rows(&outcome, "t"), ["1 5", "2 5"]);
    assert_eq!(rows(&changes().on(setup).agree(replace), "t"), ["1 2"]);
}

#[test]
fn an_insert_that_violates_any_constraint_conflicts_with_the_row_of_its_key() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, c CHECK (c < 9), n NOT NULL, u UNIQUE); INSERT INTO t VALUES (1, 1, 1, 1), (2, 2, 2, 2)";
    let all = |id: i64| {
        // CHECK, NOT NULL, UNIQUE
        let null = [Value::Integer(id), Value::Integer(1), Value::Null, Value::Integer(7)];
        let null = Changeset::builder().insert_values(table("t", 4), &null).build().unwrap();
        [
            Changes::default().insert("t", &[id, 9, 1, 7]),
            Changes::default().add(&null),
            Changes::default().insert("t", &[id, 1, 1, 2]),
        ]
    };
    for changes in all(1) {
        assert_eq!(changes.on(setup).agree(omit).kinds(), [Kind::Conflict]);
    }
    for changes in all(3) {
        assert_eq!(changes.on(setup).agree(omit).kinds(), [Kind::Constraint]);
    }
}

#[test]
fn an_update_that_violates_a_constraint_is_never_a_conflict() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, c CHECK (c < 9)); INSERT INTO t VALUES (1, 1)";
    assert_eq!(Changes::default().update("t", &[1, 1], &[1, 9]).on(setup).agree(replace).kinds(), [Kind::Constraint]);
}

#[test]
fn text_in_an_integer_primary_key_ends_the_apply() {
    let set =
        Changeset::builder().insert_values(table("t", 2), &[Value::Text(b"a"), Value::Integer(1)]).build().unwrap();
    let case = Changes::default().insert("t", &[1, 1]).add(&set).on("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    let outcome = case.agree(omit);
    assert_eq!(outcome.end, End::Failed(20), "SQLITE_MISMATCH");
    assert_eq!((outcome.kinds(), rows(&outcome, "t")), (vec![], Vec::<String>::new()));
}

#[test]
fn a_patchset_looks_for_rows_by_the_key_alone() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w); INSERT INTO t VALUES (1, 5, 5), (2, 5, 5)";
    let row = Changes::row;
    let patchset = Patchset::builder()
        .update_values(table("t", 3), &row(&[1, 1, 1]), &row(&[1, 2, 1]))
        .delete_values(table("t", 3), &row(&[2, 1, 1]))
        .delete_values(table("t", 3), &row(&[3, 1, 1]))
        .build()
        .unwrap();
    let outcome = Case::new(setup, patchset.as_bytes()).agree(omit);
    assert_eq!((outcome.kinds(), rows(&outcome, "t")), (vec![Kind::NotFound], vec!["1 2 5".into()]));
    // a trigger that ignores a change leaves a row to be found
    let ignored = format!("{setup}; CREATE TRIGGER kept BEFORE DELETE ON t BEGIN SELECT RAISE(IGNORE); END");
    let outcome = Case::new(&ignored, patchset.as_bytes()).agree(omit);
    assert_eq!(outcome.kinds(), [Kind::Data, Kind::NotFound]);
    assert_eq!(rows(&outcome, "t"), ["1 2 5", "2 5 5"]);
}

#[test]
fn a_trigger_that_deletes_the_row_makes_it_missing() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1); \
                 CREATE TRIGGER gone BEFORE UPDATE ON t BEGIN DELETE FROM t WHERE id = old.id; END";
    let outcome = Changes::default().update("t", &[1, 1], &[1, 2]).on(setup).agree(omit);
    assert_eq!(outcome.kinds(), [Kind::NotFound]);
    assert!(rows(&outcome, "t").is_empty());
}

#[test]
fn keys_are_compared_with_the_collation_and_affinity_of_their_columns() {
    let setup =
        "CREATE TABLE t (a TEXT COLLATE NOCASE, b INTEGER, v, PRIMARY KEY (a, b)); INSERT INTO t VALUES ('A', 1, 5)";
    let info = TableInfo::new("t", &[1, 2, 0]);
    let row = |v| [Value::Text(b"a"), Value::Text(b"1"), Value::Integer(v)];
    let insert = Changeset::builder().insert_values(info, &row(1)).build().unwrap();
    let outcome = Case::new(setup, insert.as_bytes()).agree(omit);
    let current = vec![Some(Owned::Text(b"A".to_vec())), Some(Owned::Integer(1)), Some(Owned::Integer(5))];
    assert_eq!(outcome.asked[0].0.current, Some(current), "the row as it is");
    let update = Changeset::builder().update_values(info, &row(5), &row(6)).build().unwrap();
    assert_eq!(rows(&Case::new(setup, update.as_bytes()).agree(abort), "t"), ["t41 1 6"]);
}

/// A change that waits must not keep the change of another row waiting that would unblock it.
#[test]
fn keys_that_look_alike_are_different_rows() {
    for (one, other) in [("1.5", "2.0"), ("1e5", "1e6"), ("-.5", "-.25")] {
        let setup = format!("CREATE TABLE t (k TEXT PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES ('{one}', 1)");
        let info = TableInfo::new("t", &[1, 0]);
        for is_real in [false, true] {
            let key = |text: &'static str| match is_real {
                true => Value::Real(text.parse().unwrap()),
                false => Value::Text(text.as_bytes()),
            };
            let changes = Changeset::builder()
                .insert_values(info, &[key(other), 1.into()])
                .delete_values(info, &[Value::Text(one.as_bytes()), 1.into()])
                .build()
                .unwrap();
            let outcome = Case::new(&setup, changes.as_bytes()).agree(omit);
            assert!(outcome.kinds().is_empty(), "{one} {other} {is_real}");
            assert_eq!(rows(&outcome, "t").len(), 1);
        }
    }
    // a real, and the text that it is stored as, are one row, whose changes keep their order; SQLite
    // tries the second change while the first one waits
    let setup = "CREATE TABLE t (k TEXT PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES ('1.5', 1), ('x', 2)";
    let info = TableInfo::new("t", &[1, 0]);
    let [text, real] = [Value::Text(b"1.5"), Value::Real(1.5)];
    let changes = Changeset::builder()
        .update_values(info, &[text, 1.into()], &[text, 2.into()])
        .update_values(TableInfo::new("t", &[1, 0]), &[real, 2.into()], &[real, 3.into()])
        .delete_values(info, &[Value::Text(b"x"), 2.into()])
        .build()
        .unwrap();
    let outcome = Case::new(setup, changes.as_bytes()).ours(omit);
    assert_eq!((outcome.kinds(), rows(&outcome, "t")), (Vec::new(), vec!["t312E35 3".to_string()]));
}

// What answers do

#[test]
fn an_update_that_replaces_and_is_ignored_again_finds_no_row() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 5); \
                 CREATE TRIGGER kept BEFORE UPDATE ON t BEGIN SELECT RAISE(IGNORE); END";
    let outcome = Changes::default().update("t", &[1, 1], &[1, 2]).on(setup).agree(replace);
    assert_eq!(outcome.kinds(), [Kind::Data, Kind::NotFound]);
    assert_eq!(outcome.report, Some([0, 0, 1, 0]));
}

#[test]
fn an_update_that_replaces_and_violates_a_constraint_waits() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)";
    let taken = || Changes::default().update("t", &[1, 9, 9], &[1, 2, 9]);
    let mut case = taken().delete("t", &[2, 2, 2]).on(setup);
    case.flags.no_update_loop = true;
    let outcome = case.agree(replace);
    assert_eq!((outcome.report, rows(&outcome, "t")), (Some([1, 1, 0, 0]), vec!["1 2 1".into()]));
    let outcome = taken().on(setup).agree(replace);
    assert_eq!(outcome.kinds().last(), Some(&Kind::Constraint));
    assert_eq!((outcome.report, rows(&outcome, "t")), (Some([0, 0, 1, 0]), vec!["1 1 1".into(), "2 2 2".into()]));
}

#[test]
fn an_insert_that_replaces_deletes_the_row_with_triggers_and_actions() {
    let setup = "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE log (id INTEGER PRIMARY KEY, line); \
                 CREATE TABLE child (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE); \
                 INSERT INTO t VALUES (1, 1); INSERT INTO child VALUES (1, 1); \
                 CREATE TRIGGER gone AFTER DELETE ON t BEGIN INSERT INTO log (line) VALUES ('gone'); END; \
                 CREATE TRIGGER come AFTER INSERT ON t BEGIN INSERT INTO log (line) VALUES ('come'); END";
    let outcome = Changes::default().insert("t", &[1, 2]).on(setup).agree(replace);
    assert_eq!((outcome.kinds(), rows(&outcome, "t")), (vec![Kind::Conflict], vec!["1 2".into()]));
    assert!(rows(&outcome, "child").is_empty());
    assert_eq!(rows(&outcome, "log"), ["t636F6D65", "t676F6E65"]);
}

#[test]
fn a_row_that_is_deleted_for_an_insert_is_not_lost_as_in_sqlite() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (1, 1), (2, 2)";
    let case = Changes::default().insert("t", &[1, 2]).on(setup);
    let theirs = case.theirs(replace);
    assert_eq!(theirs.kinds(), [Kind::Conflict, Kind::Constraint]);
    assert_eq!((theirs.end.clone(), rows(&theirs, "t")), (End::Done, vec!["2 2".into()]));
    let ours = case.ours(replace);
    assert_eq!((ours.end.clone(), rows(&ours, "t")), (End::RowLost, vec!["1 1".into(), "2 2".into()]));
}

#[test]
fn sqlite_ends_the_apply_if_a_row_cannot_be_deleted_for_an_insert() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1); \
                 CREATE TRIGGER kept BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'kept'); END";
    let case = Changes::default().insert("t", &[1, 2]).on(setup);
    let answer = |question: &Question| if question.kind == Kind::Conflict { Answer::Replace } else { Answer::Abort };
    let theirs = case.theirs(answer);
    assert_eq!((theirs.end.clone(), theirs.kinds()), (End::Failed(19), vec![Kind::Conflict]));
    let ours = case.ours(answer);
    assert_eq!((ours.end.clone(), ours.kinds()), (End::Aborted, vec![Kind::Conflict, Kind::Constraint]));
    assert_eq!(rows(&ours, "t"), ["1 1"]);
}

#[test]
fn only_a_row_can_be_replaced() {
    let case = Changes::default().delete("t", &[1, 1]).on("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    assert_eq!(case.theirs(|_| Answer::Replace).end, End::Failed(21), "SQLITE_MISUSE");
    assert!(matches!(case.ours(|_| Answer::Replace).end, End::Other(error) if error.starts_with("IllegalReplace")));
}

// Foreign keys

#[test]
fn foreign_keys_are_asked_about_once_and_an_accepted_violation_can_be_committed() {
    let setup = "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, parent REFERENCES t)";
    let mut case = Changes::default().insert("t", &[1, 8]).insert("t", &[2, 9]).on(setup);
    for in_transaction in [false, true] {
        case.in_transaction = in_transaction;
        let outcome = case.agree(omit);
        assert_eq!((outcome.kinds(), outcome.is_committed), (vec![Kind::ForeignKey], true));
        assert_eq!(rows(&outcome, "t"), ["1 8", "2 9"]);
        let outcome = case.agree(abort);
        assert_eq!((outcome.end.clone(), outcome.is_committed), (End::ForeignKeys, true));
        assert!(rows(&outcome, "t").is_empty());
    }
    // keys are checked at the end, so that the order does not matter
    let ordered = Changes::default().insert("t", &[2, 1]).insert("t", &[1, 1]).on(setup).agree(abort);
    assert_eq!(ordered.end, End::Done);
}

#[test]
fn foreign_key_actions_can_be_disabled() {
    let setup = "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1); \
                 CREATE TABLE child (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1, 1)";
    let mut case = Changes::default().delete("t", &[1, 1]).delete("child", &[1, 1]).on(setup);
    assert_eq!(case.agree(omit).kinds(), [Kind::NotFound]);
    case.flags.no_foreign_key_actions = true;
    assert_eq!(case.agree(abort).end, End::Done);
}

// Tables and columns

#[test]
fn more_columns_than_the_changes_have_keep_their_values() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, x DEFAULT 7); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)";
    let changes = Changes::default().update("t", &[1, 1], &[1, 5]).delete("t", &[2, 2]).insert("t", &[3, 3]);
    assert_eq!(rows(&changes.on(setup).agree(abort), "t"), ["1 5 1", "3 3 7"]);
}

#[test]
fn generated_columns_are_no_columns_of_changes() {
    let setup = "CREATE TABLE t (g AS (v + 1), id INTEGER PRIMARY KEY, h AS (v) STORED, v); INSERT INTO t (id, v) VALUES (1, 1)";
    let changes = Changes::default().update("t", &[1, 1], &[1, 5]).insert("t", &[2, 7]);
    assert_eq!(rows(&changes.on(setup).agree(abort), "t"), ["6 1 5 5", "8 2 7 7"]);
}

#[test]
fn sqlite_skips_a_table_whose_key_has_another_order() {
    let setup = "CREATE TABLE t (a, b, v, PRIMARY KEY (b, a)); INSERT INTO t VALUES (1, 2, 3)";
    let row = Changes::row(&[1, 2, 3]);
    let set = Changeset::builder().delete_values(TableInfo::new("t", &[1, 2, 0]), &row).build().unwrap();
    let case = Case::new(setup, set.as_bytes());
    let (theirs, ours) = (case.theirs(abort), case.ours(abort));
    assert_eq!((theirs.end.clone(), rows(&theirs, "t")), (End::Done, vec!["1 2 3".into()]));
    assert_eq!((ours.report, rows(&ours, "t")), (Some([1, 0, 0, 0]), vec![]));
}

#[test]
fn rows_of_a_table_without_a_key_are_found_by_their_rowids() {
    let setup = "CREATE TABLE t (a, b)";
    let before = format!("{setup}; INSERT INTO t (rowid, a, b) VALUES (5, 'x', 1), (6, 'y', 2)");
    let (changeset, patchset) = recorded(
        &before,
        "UPDATE t SET b = 7 WHERE a = 'x'; DELETE FROM t WHERE a = 'y'; INSERT INTO t (rowid, a, b) VALUES (9, 'z', 9)",
    );
    for bytes in [changeset.as_bytes(), patchset.as_bytes()] {
        let outcome = Case::new(&before, bytes).agree(abort);
        assert_eq!(rows(&outcome, "t"), ["t78 7", "t7A 9"]);
        let outcome = Case::new(setup, bytes).agree(omit);
        assert_eq!((outcome.kinds(), rows(&outcome, "t")), (vec![Kind::NotFound; 2], vec!["t7A 9".into()]));
    }
    // SQLite writes the rowids into this column
    let shadowed = Case::new("CREATE TABLE t (_rowid_, b)", changeset.as_bytes());
    assert_eq!(rows(&shadowed.theirs(omit), "t"), ["9 9"]);
    assert!(matches!(shadowed.ours(omit).end, End::Other(error) if error.starts_with("SchemaMismatch")));
}

#[test]
fn statistics_are_applied_by_table_and_index() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE x (id INTEGER PRIMARY KEY); \
                 CREATE INDEX i ON t (v); INSERT INTO t VALUES (1, 1), (2, 1); INSERT INTO x VALUES (1); ANALYZE";
    let edits =
        "INSERT INTO x VALUES (2); CREATE INDEX j ON t (v, id); ANALYZE; DELETE FROM sqlite_stat1 WHERE idx = 'i'";
    let record = |setup: &str, edits: &str| {
        let database = Database::new();
        database.execute(setup).unwrap();
        let session = database.track();
        database.execute(edits).unwrap();
        session.changeset()
    };
    let bytes = record(setup, edits);
    let mut operations: Vec<i32> = sqlite::read(&bytes)
        .0
        .iter()
        .filter(|change| change.table == b"sqlite_stat1")
        .map(|change| change.operation)
        .collect();
    operations.sort_unstable();
    assert_eq!(operations, [DELETE, INSERT, UPDATE], "the UPDATE is of a row whose index is NULL");
    let case = Case::new(setup, bytes);
    let outcome = case.agree(abort);
    assert_eq!(rows(&outcome, "sqlite_stat1"), ["t74 t6A t3220322031", "t78 NULL t32"]);
    // again: each change conflicts with what is there
    let again = Case { setup: vec![setup.into(), edits.into()], ..case };
    let mut kinds = again.agree(omit).kinds();
    kinds.sort_unstable();
    assert_eq!(kinds, [Kind::Data, Kind::NotFound, Kind::Conflict, Kind::Conflict]);
}

// UPDATEs that sessions do not record

#[test]
fn an_old_value_without_a_new_one_is_not_compared() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w); INSERT INTO t VALUES (1, 5, 1)";
    let bytes = raw(UPDATE, &[Some(1), Some(4), Some(1)], &[None, None, Some(2)]);
    assert_eq!(rows(&Case::new(setup, bytes).agree(abort), "t"), ["1 5 2"]);
}

#[test]
fn a_new_value_without_an_old_one_is_set() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w); INSERT INTO t VALUES (1, 5, 1)";
    let bytes = raw(UPDATE, &[Some(1), None, Some(1)], &[None, Some(6), Some(2)]);
    assert_eq!(rows(&Case::new(setup, bytes).agree(abort), "t"), ["1 6 2"]);
}

#[test]
fn updates_that_set_nothing_are_skipped_and_can_fail_in_sqlite() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 5)";
    let nothing = Case::new(setup, raw(UPDATE, &[Some(1), None], &[None, None]));
    let key_alone = Case::new(setup, raw(UPDATE, &[Some(1), None], &[Some(1), None]));
    let mut new_alone = Case::new(setup, raw(UPDATE, &[Some(1), None], &[Some(1), Some(7)]));
    new_alone.flags.invert = true;
    // an empty UPDATE, a syntax error, and SQLITE_CORRUPT
    for (case, end) in [(nothing, End::Done), (key_alone, End::Failed(1)), (new_alone, End::Failed(11))] {
        let theirs = case.theirs(abort);
        assert_eq!((theirs.end.clone(), rows(&theirs, "t")), (end, vec!["1 5".into()]));
        let ours = case.ours(abort);
        assert_eq!((ours.report, rows(&ours, "t")), (Some([0, 0, 0, 1]), vec!["1 5".into()]));
    }
}

#[test]
fn an_unchanged_value_is_not_compared_as_in_sqlite() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w); INSERT INTO t VALUES (1, 5, 1)";
    let case = Case::new(setup, raw(UPDATE, &[Some(1), Some(4), Some(1)], &[None, Some(4), Some(2)]));
    assert_eq!(case.theirs(omit).kinds(), [Kind::Data]);
    assert_eq!(rows(&case.ours(abort), "t"), ["1 5 2"]);
}

// Options

#[test]
fn an_inverted_changeset_keeps_the_order_of_its_changes() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE log (id INTEGER PRIMARY KEY, line); \
                 INSERT INTO t VALUES (1, 1), (2, 2), (3, 3); CREATE TRIGGER gone AFTER DELETE ON t BEGIN \
                 INSERT INTO log (line) SELECT count(*) || ' ' || old.id FROM log; END";
    let mut case = Changes::default().insert("t", &[2, 2]).insert("t", &[3, 3]).insert("t", &[1, 1]).on(setup);
    case.flags.invert = true;
    let outcome = case.agree(abort);
    assert_eq!(rows(&outcome, "log"), ["t302032", "t312033", "t322031"], "0 2, 1 3, 2 1");
}

#[test]
fn changes_that_have_been_made_are_ignored_and_leave_rebase_data() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2)";
    let changes = Changes::default().insert("t", &[1, 1]).update("t", &[2, 1], &[2, 2]).delete("t", &[3, 3]);
    let mut case = changes.on(setup);
    assert_eq!(case.agree(omit).kinds(), [Kind::Conflict, Kind::Data, Kind::NotFound]);
    case.flags.ignore_noop = true;
    let outcome = case.agree(abort);
    assert_eq!((outcome.kinds(), outcome.report), (vec![], Some([3, 0, 0, 0])));
    assert!(!outcome.rebase.is_empty(), "a change that is ignored is omitted");
}

#[test]
fn sqlite_ignores_the_delete_of_another_row_if_its_values_are_null() {
    let mut case = Changes::default()
        .delete("t", &[1, 1])
        .on("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, NULL)");
    case.flags.ignore_noop = true;
    assert_eq!(case.theirs(abort).end, End::Done);
    assert_eq!(case.ours(omit).kinds(), [Kind::Data]);
}

// What is left behind

#[test]
fn rebase_data_contains_decisions_and_patchsets_have_none() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 9), (2, 9), (3, 9)";
    let row = Changes::row;
    let changes =
        Changes::default().insert("t", &[1, 1]).update("t", &[2, 1], &[2, 2]).delete("t", &[3, 3]).delete("t", &[4, 4]);
    let case = changes.on(setup);
    for answer in [omit, replace] {
        // comparing includes what the data does to changes of these rows
        assert!(!case.agree(answer).rebase.is_empty());
    }
    assert!(case.agree(abort).rebase.is_empty());
    let patchset = Patchset::builder().insert_values(table("t", 2), &row(&[1, 1])).build().unwrap();
    assert!(Case::new(setup, patchset.as_bytes()).agree(replace).rebase.is_empty());
}

#[test]
fn sessions_on_the_target_see_direct_changes_and_indirect_effects() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE x (id INTEGER PRIMARY KEY, v); \
                 CREATE TRIGGER copy AFTER INSERT ON t BEGIN INSERT INTO x VALUES (new.id, new.v); END";
    let change = Change {
        table: "t".into(),
        key: vec![1, 0],
        operation: INSERT,
        indirect: true,
        old: vec![None, None],
        new: vec![Some(Owned::Integer(1)), Some(Owned::Integer(2))],
    };
    let mut case = Case::new(setup, change.encode(Format::Changeset));
    case.is_recorded = true;
    let outcome = case.agree(abort);
    let seen: Vec<(Vec<u8>, bool)> =
        outcome.recorded.into_iter().map(|change| (change.table, change.indirect)).collect();
    assert_eq!(seen, [(b"t".to_vec(), false), (b"x".to_vec(), true)]);
}

#[test]
fn the_counters_of_the_connection_count_the_changes() {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE x (id INTEGER PRIMARY KEY, v); \
                 CREATE TRIGGER copy AFTER INSERT ON t BEGIN INSERT INTO x VALUES (new.id + 50, new.v); END";
    let case = Changes::default().insert("t", &[7, 1]).insert("t", &[8, 1]).delete("t", &[7, 1]).on(setup);
    let outcome = case.agree(abort);
    // the last rowid, the rows of the last change, and all rows
    assert_eq!(outcome.counters, "8 1 5");
}

// What SQLite does with one change or row several times

/// Two changes to row 1, the first of which waits until row 2 is gone.
fn two_changes_of_a_row() -> Case {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (1, 1), (2, 2)";
    let changes = Changes::default().update("t", &[1, 1], &[1, 2]).update("t", &[1, 2], &[1, 3]).delete("t", &[2, 2]);
    changes.on(setup)
}

#[test]
fn sqlite_tries_the_second_change_of_a_row_while_the_first_waits() {
    let theirs = two_changes_of_a_row().theirs(omit);
    assert_eq!((theirs.kinds(), rows(&theirs, "t")), (vec![Kind::Data], vec!["1 2".into()]));
    let ours = two_changes_of_a_row().ours(omit);
    assert_eq!((ours.kinds(), rows(&ours, "t")), (vec![], vec!["1 3".into()]));
}

/// An UPDATE of `u` that replaces, but waits until row 2 is gone, and a local UPDATE of `v`.
fn replaced_twice() -> (Case, Vec<u8>) {
    let setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)";
    let mut case = Changes::default().update("t", &[1, 9, 1], &[1, 2, 1]).delete("t", &[2, 2, 2]).on(setup);
    case.flags.no_update_loop = true;
    (case, Changes::default().update("t", &[1, 1, 1], &[1, 1, 5]).0)
}

#[test]
fn sqlite_drops_a_local_change_to_another_column_if_it_asks_twice_about_an_update() {
    let (case, local) = replaced_twice();
    let theirs = case.theirs(replace);
    assert_eq!(theirs.kinds(), [Kind::Data, Kind::Data]);
    assert_eq!(sqlite::rebase(&local, &theirs.rebase).map(|rebased| sqlite::read(&rebased).0), Ok(vec![]));
    let ours = case.ours(replace);
    assert_eq!(sqlite::rebase(&local, &ours.rebase), Ok(local));
}
