//! Hostile bytes, applied with handlers that answer at random: see
//! `diesel_sqlite_session_tests::hostile`.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, fs};

use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, ChangesetReader, ConflictAction, SqliteSessionExt, Value};
use diesel_sqlite_session_tests::hostile::attack;
use diesel_sqlite_session_tests::random::config;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::common::{lines, open};

/// A plan that is shown as a line of digits.
struct Plan(Vec<u8>);

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    vec(any::<u8>(), 200..600).prop_map(Plan)
}

/// Checks the tests themselves: if all attacks were rejected at once, they would prove next to
/// nothing.
#[test]
fn attacks_have_all_kinds_of_results() {
    let mut runner = TestRunner::deterministic();
    let (mut ends, mut counts, mut compared) = (BTreeMap::<String, usize>::new(), [0; 4], 0);
    for _ in 0..150 {
        let seen = attack(&plan().new_tree(&mut runner).unwrap().current().0);
        compared += usize::from(seen.is_compared && seen.result.is_ok());
        match seen.result {
            Ok(count) => {
                *ends.entry("Ok".into()).or_default() += 1;
                counts.iter_mut().zip(count).for_each(|(sum, count)| *sum += count);
            }
            Err(error) => *ends.entry(error).or_default() += 1,
        }
    }
    assert!(ends.len() >= 6 && ends["Ok"] >= 50, "{ends:?}");
    let least = [100, 5, 20, 30];
    assert!(counts.iter().zip(least).all(|(count, least)| *count >= least) && compared >= 40, "{counts:?} {compared}");
}

/// Plans in `tests/corpus/plans`: seeds of the fuzz target, and its earlier findings.
#[test]
fn stored_plans_are_carried_out() {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/plans");
    let mut ends = Vec::new();
    for entry in fs::read_dir(plans).unwrap() {
        ends.push(attack(&fs::read(entry.unwrap().path()).unwrap()).result);
    }
    assert!(ends.iter().filter(|end| end.is_ok()).count() >= 4, "{ends:?}");
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_failed_apply_leaves_nothing_and_a_successful_one_is_consistent(plan in plan()) {
        attack(&plan.0);
    }
}

#[test]
fn a_change_never_hits_another_row_that_a_collation_calls_equal() {
    // SQLite would apply this UPDATE to both rows
    let columns = "(k TEXT COLLATE NOCASE, v, PRIMARY KEY (k COLLATE BINARY))";
    let rows = "INSERT INTO t VALUES ('ada', 1), ('Ada', 1)";
    let ada = Value::Text(b"ada");
    let changeset = Changeset::builder()
        .update_values(TableInfo::new("t", &[1, 0]), &[ada, Value::Integer(1)], &[ada, Value::Integer(2)])
        .build()
        .unwrap();
    for options in ["", " WITHOUT ROWID"] {
        let mut conn = open(&format!("CREATE TABLE t {columns}{options}; {rows}"));
        let error = conn.apply(&changeset).run().unwrap_err();
        let said = "table t, column k: expected the collation of its primary key, BINARY, but the database has NOCASE, by which one change \
                    can hit several rows";
        assert_eq!(error.to_string(), said);
        assert_eq!(lines(&mut conn, "SELECT k || v AS line FROM t ORDER BY hex(k)"), ["Ada1", "ada1"]);
    }
    // the reverse, and with one collation, a change finds one row at most
    for key in ["k TEXT, v, PRIMARY KEY (k COLLATE NOCASE)", "k TEXT COLLATE NOCASE, v, PRIMARY KEY (k)"] {
        let mut conn = open(&format!("CREATE TABLE t ({key}); INSERT INTO t VALUES ('ada', 1)"));
        conn.apply(&changeset).run().unwrap();
        assert_eq!(lines(&mut conn, "SELECT k || v AS line FROM t"), ["ada2"]);
    }
}

/// An UPDATE of `t (id, a, b)` whose old and new `a` are equal, as in a rebased or a hostile
/// changeset.
#[test]
fn an_unchanged_column_is_not_written() {
    let integer = |n: u8| [&[1u8][..], &[0; 7], &[n]].concat();
    let update = |columns: &[u8]| {
        let values = columns.iter().flat_map(|n| if *n == 0 { vec![0] } else { integer(*n) }).collect();
        Changeset::try_from([b"T\x03\x01\0\0t\0\x17\0".to_vec(), values].concat()).unwrap()
    };
    // the row has another `a` and another `b` than the old values
    for (changeset, stream) in [(update(&[1, 7, 3, 0, 7, 4]), false), (update(&[1, 7, 3, 0, 7, 4]), true)] {
        for (inverted, expected) in [(false, 4), (true, 3)] {
            let mut conn = open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 2, 9)");
            let apply = match stream {
                true => conn.apply(ChangesetReader::new(changeset.as_bytes())),
                false => conn.apply(&changeset),
            };
            let apply = if inverted { apply.inverted() } else { apply };
            assert_eq!(apply.otherwise(|_| ConflictAction::Replace).run().unwrap().replaced(), 1);
            assert_eq!(lines(&mut conn, "SELECT a || ' ' || b AS line FROM t"), [format!("2 {expected}")]);
        }
    }
    // if nothing else changes, nothing is written
    let mut conn = open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 2, 9)");
    conn.apply(&update(&[1, 7, 0, 0, 7, 0])).run().unwrap();
    assert_eq!(lines(&mut conn, "SELECT a || ' ' || b AS line FROM t"), ["2 9"]);
}

/// Rows of `t (id, v, w)`, and UPDATEs between them, of which the first two exchange `v`.
fn exchange(updates: &[[(i64, &[u8], i64); 2]]) -> Changeset {
    let row = |(id, v, w)| [Value::Integer(id), Value::Text(v), Value::Integer(w)];
    let mut builder = Changeset::builder();
    for [before, after] in updates {
        builder = builder.update_values(TableInfo::new("t", &[1, 0, 0]), &row(*before), &row(*after));
    }
    builder.build().unwrap()
}

fn after_exchange(clause: &str, changeset: &Changeset) -> (u64, Vec<String>) {
    let mut conn = open(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE, w {clause}); \
         INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4)"
    ));
    let report = conn.apply(changeset).otherwise(|_| ConflictAction::Omit).run().unwrap();
    (report.omitted(), lines(&mut conn, "SELECT id || v || w AS line FROM t ORDER BY id"))
}

// To exchange unique values of two rows, SQLite deletes the first and reinserts it after the other
// UPDATEs.

#[test]
fn no_row_of_nulls_appears_when_an_update_replaces_the_row_of_another() {
    // reinserting row 1 would replace row 3, whose own UPDATE then finds and inserts nothing
    let changeset =
        exchange(&[[(1, b"a", 1), (1, b"b", 3)], [(2, b"b", 2), (2, b"a", 2)], [(3, b"c", 3), (3, b"d", 3)]]);
    let (omitted, rows) = after_exchange("UNIQUE ON CONFLICT REPLACE", &changeset);
    assert_eq!((omitted, rows), (3, ["1a1", "2b2", "3c3", "4d4"].map(String::from).to_vec()));
}

#[test]
fn no_row_is_lost_when_an_insert_is_ignored() {
    // reinserting row 1 would be ignored, because row 2 has 9 by then
    let changeset = exchange(&[[(1, b"a", 1), (1, b"b", 9)], [(2, b"b", 2), (2, b"a", 9)]]);
    let (omitted, rows) = after_exchange("UNIQUE ON CONFLICT IGNORE", &changeset);
    assert_eq!((omitted, rows), (2, ["1a1", "2b2", "3c3", "4d4"].map(String::from).to_vec()));
    // an exchange of that column alone is possible
    let changeset = exchange(&[[(1, b"a", 1), (1, b"b", 1)], [(2, b"b", 2), (2, b"a", 2)]]);
    assert_eq!(after_exchange("", &changeset), (0, ["1b1", "2a2", "3c3", "4d4"].map(String::from).to_vec()));
}

/// SQLite's own `INVERT` leaks the value, which `scripts/valgrind` would detect here.
#[test]
fn an_inverted_update_with_a_new_key_leaks_no_memory() {
    let integer = |n: u8| [&[1u8][..], &[0; 7], &[n]].concat();
    let key = |key: &[u8]| [&[3, 3][..], key].concat();
    let bytes = [b"T\x02\x01\0t\0\x17\0".to_vec(), key(b"ada"), integer(1), key(b"Ada"), integer(2)].concat();
    let changeset = Changeset::try_from(bytes).unwrap();
    assert_eq!(changeset.records().next().unwrap().to_string(), "UPDATE t('ada' -> 'Ada', 1 -> 2)");
    let run = |stream: bool| {
        let mut conn = open("CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES ('ada', 2)");
        let done = match stream {
            true => conn.apply(ChangesetReader::new(changeset.as_bytes())).inverted().run(),
            false => conn.apply(&changeset).inverted().run(),
        };
        assert_eq!(done.unwrap().applied(), 1);
        assert_eq!(lines(&mut conn, "SELECT k || v AS line FROM t"), ["ada1"]);
    };
    run(false);
    run(true);
}
