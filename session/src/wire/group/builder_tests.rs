//! Tests of the builders without SQLite: the folding rules, the order of the output, and every
//! error.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::wire::*;

const PAIRS: TableInfo<'_> = TableInfo::new("pairs", &[0, 1, 0]);

fn lines<'a>(records: impl IntoIterator<Item = Record<'a>>) -> Vec<String> {
    records.into_iter().map(|record| record.to_string()).collect()
}

/// Returns the lines of the built set, which must be well-formed.
fn changeset(builder: ChangesetBuilder) -> Vec<String> {
    lines(&Changeset::try_from(builder.build().unwrap().into_bytes()).unwrap())
}

fn patchset(builder: PatchsetBuilder) -> Vec<String> {
    lines(&Patchset::try_from(builder.build().unwrap().into_bytes()).unwrap())
}

fn error(builder: ChangesetBuilder) -> String {
    builder.build().unwrap_err().to_string()
}

/// Returns a row of `pairs` with the key 7 and these values of the two other columns.
fn row(first: &str, last: i64) -> [Value<'_>; 3] {
    [first.into(), 7.into(), last.into()]
}

#[test]
fn each_pair_of_operations_folds_by_the_table_of_rules() {
    use Operation::{Delete, Insert, Update};
    // the second change is an INSERT of ('b', 2), an UPDATE from ('a', 1) to it, or a DELETE of
    // ('a', 1)
    let cases: [(Operation, Operation, &str, &str); 9] = [
        (Insert, Insert, "INSERT pairs('a', 7, 0)", "INSERT pairs('a', 7, 0)"),
        (Insert, Update, "INSERT pairs('b', 7, 2)", "INSERT pairs('b', 7, 2)"),
        (Insert, Delete, "", ""),
        (Update, Insert, "UPDATE pairs(_, 7, 0 -> 1)", "UPDATE pairs(_, 7, -> 1)"),
        (Update, Update, "UPDATE pairs('a' -> 'b', 7, 0 -> 2)", "UPDATE pairs(-> 'b', 7, -> 2)"),
        (Update, Delete, "DELETE pairs('a', 7, 0)", "DELETE pairs(_, 7, _)"),
        (Delete, Insert, "UPDATE pairs('a' -> 'b', 7, 0 -> 2)", "UPDATE pairs(-> 'b', 7, -> 2)"),
        (Delete, Update, "DELETE pairs('a', 7, 0)", "DELETE pairs(_, 7, _)"),
        (Delete, Delete, "DELETE pairs('a', 7, 0)", "DELETE pairs(_, 7, _)"),
    ];
    for (first, second, in_changeset, in_patchset) in cases {
        for (one_is, other_is) in [(false, false), (false, true), (true, false), (true, true)] {
            let (mut changes, mut patches) = (Changeset::builder(), Patchset::builder());
            // with an index of rows, and without one
            for key in if one_is { &[9, 8][..] } else { &[] } {
                let other = [Value::Null, (*key).into(), Value::Null];
                (changes, patches) = (changes.insert_values(PAIRS, &other), patches.insert_values(PAIRS, &other));
            }
            (changes, patches) = (changes.indirect(one_is), patches.indirect(one_is));
            let begin = row("a", 0);
            (changes, patches) = match first {
                Insert => (changes.insert_values(PAIRS, &begin), patches.insert_values(PAIRS, &begin)),
                Update => {
                    let end = row("a", 1);
                    (changes.update_values(PAIRS, &begin, &end), patches.update_values(PAIRS, &begin, &end))
                }
                Delete => (changes.delete_values(PAIRS, &begin), patches.delete_values(PAIRS, &begin)),
            };
            (changes, patches) = (changes.indirect(other_is), patches.indirect(other_is));
            let (begin, end) = (row("a", 1), row("b", 2));
            (changes, patches) = match second {
                Insert => (changes.insert_values(PAIRS, &end), patches.insert_values(PAIRS, &end)),
                Update => (changes.update_values(PAIRS, &begin, &end), patches.update_values(PAIRS, &begin, &end)),
                Delete => (changes.delete_values(PAIRS, &begin), patches.delete_values(PAIRS, &begin)),
            };
            let is_first = matches!((first, second), (Insert | Update, Insert) | (Delete, Update | Delete));
            let flag = if one_is && (is_first || other_is) { " indirect" } else { "" };
            let last = |lines: Vec<String>| lines.into_iter().skip(if one_is { 2 } else { 0 }).collect::<String>();
            let shown = |line: &str| if line.is_empty() { String::new() } else { format!("{line}{flag}") };
            assert_eq!(last(changeset(changes)), shown(in_changeset), "{first}, {second}");
            assert_eq!(last(patchset(patches)), shown(in_patchset), "{first}, {second}");
        }
    }
}

#[test]
fn changes_that_are_undone_result_in_no_change() {
    let (one, two) = (row("a", 1), row("b", 2));
    assert!(Changeset::builder().build().unwrap().as_bytes().is_empty());
    assert!(changeset(Changeset::builder().update_values(PAIRS, &one, &one)).is_empty());
    assert!(patchset(Patchset::builder().update_values(PAIRS, &one, &one)).is_empty());
    let back = Changeset::builder().update_values(PAIRS, &one, &two).update_values(PAIRS, &two, &one);
    assert!(back.build().unwrap().as_bytes().is_empty());
    let again = Changeset::builder().delete_values(PAIRS, &one).insert_values(PAIRS, &one);
    assert!(again.build().unwrap().as_bytes().is_empty());
    let zeros = [row("a", 1).map(|_| Value::Real(0.0)), [Value::Real(-0.0), Value::Real(0.0), Value::Real(-0.0)]];
    assert!(changeset(Changeset::builder().update_values(PAIRS, &zeros[0], &zeros[1])).is_empty());
    let nans = [row("a", 1), [Value::Text(b"a"), Value::Integer(7), Value::Real(f64::NAN)]];
    assert_eq!(
        changeset(Changeset::builder().update_values(PAIRS, &nans[0], &nans[1])),
        ["UPDATE pairs(_, 7, 1 -> NULL)"]
    );
    assert!(changeset(Changeset::builder().update_values(PAIRS, &nans[1], &nans[1])).is_empty());
}

#[test]
fn keys_with_different_classes_or_bytes_are_different_rows() {
    let table = TableInfo::new("t", &[1]);
    let keys = [1.into(), 1.0.into(), "1".into(), Value::Blob(b"1"), 0.0.into(), Value::Real(-0.0), "".into()];
    let twice =
        keys.iter().chain(&keys).fold(Changeset::builder(), |builder, key| builder.insert_values(table, &[*key]));
    assert_eq!(changeset(twice).len(), keys.len());
}

#[test]
fn tables_and_rows_keep_the_order_in_which_they_were_added() {
    let (a, b) = (TableInfo::new("a", &[1, 0]), TableInfo::new("b", &[1, 0]));
    let builder = Changeset::builder()
        .insert_values(b, &[3.into(), "three".into()])
        .insert_values(a, &[1.into(), "one".into()])
        .insert_values(TableInfo::new("B", &[1, 0]), &[1.into(), "one".into()])
        .insert_values(b, &[2.into(), "two".into()])
        .update_values(b, &[3.into(), "three".into()], &[3.into(), "longer than it was".into()])
        .delete_values(b, &[1.into(), "one".into()])
        .insert_values(b, &[1.into(), "again".into()]);
    let expected =
        ["INSERT b(3, 'longer than it was')", "INSERT b(2, 'two')", "INSERT b(1, 'again')", "INSERT a(1, 'one')"];
    assert_eq!(changeset(builder), expected);
}

#[test]
fn records_of_other_sets_are_copied_byte_for_byte() {
    // with a varint that is longer than necessary
    let bytes = b"T\x02\x01\0t\0\x12\x07\x01\0\0\0\0\0\0\0\x01\x03\x80\x01a".to_vec();
    let set = Changeset::try_from(bytes).unwrap();
    let built = set.records().fold(Changeset::builder(), |builder, record| builder.record(&record)).build().unwrap();
    assert_eq!(built.as_bytes(), b"T\x02\x01\0t\0\x12\x01\x01\0\0\0\0\0\0\0\x01\x03\x80\x01a");
    let table = set.sections().next().unwrap();
    assert_eq!(TableInfo::from(table), TableInfo::new("t", &[1, 0]));
}

#[test]
fn memory_is_proportional_to_rows_not_to_changes() {
    let table = TableInfo::new("t", &[1, 0]);
    let texts = ["short", "a text that is longer", "one that is longer than all of the other texts"];
    let mut builder = Changeset::builder();
    let rounds = if cfg!(miri) { 100 } else { 10_000 };
    for round in 0..rounds {
        for key in [3, 1, 2] {
            let text = |round: i32| Value::from(texts[(round % 3) as usize]);
            match round {
                0 => builder.push_insert(table, &[key.into(), text(0)]),
                _ => builder.push_update(table, &[key.into(), text(round - 1)], &[key.into(), text(round)]),
            }
        }
        // a row that is inserted and deleted
        builder.push_insert(table, &[(round + 10).into(), Value::Null]);
        builder.push_delete(table, &[(round + 10).into(), Value::Null]);
    }
    let built = builder.build().unwrap();
    assert!(built.as_bytes().len() < 300);
    assert!(built.into_bytes().capacity() < 64 * 1024);
}

#[test]
fn changes_settled_in_batches_result_in_the_same_as_one_by_one() {
    let tables = [TableInfo::new("one", &[1, 0]), TableInfo::new("two", &[1, 0])];
    let mut random = 1u64;
    let mut below = |end: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    for keys in if cfg!(miri) { [3, 30] } else { [3, 300] } {
        let mut together = Changeset::builder();
        let mut one_by_one = Changeset::default();
        for _ in 0..if cfg!(miri) { 100 } else { 1_000 } {
            let table = tables[below(20) as usize / 19];
            let key = Value::Integer(below(keys) as i64);
            let texts = ["", "a", "another text"].map(|text| [key, Value::from(text)]);
            let (old, new) = (&texts[below(3) as usize], &texts[below(3) as usize]);
            let change = match below(3) {
                0 => Changeset::builder().insert_values(table, new),
                1 => Changeset::builder().update_values(table, old, new),
                _ => Changeset::builder().delete_values(table, old),
            };
            let change = change.build().unwrap();
            let mut next = Changeset::builder();
            next.extend(one_by_one.records().chain(change.records()));
            one_by_one = next.build().unwrap();
            together.extend(change.records());
        }
        assert!(together.build().unwrap() == one_by_one);
    }
}

#[test]
fn errors_name_table_and_column() {
    let row = |builder: ChangesetBuilder, values: &[Value<'_>]| builder.insert_values(PAIRS, values);
    let start = Changeset::builder;
    let (null, text) = (Value::Null, Value::from("x"));
    let patch = Patchset::builder().delete_values(PAIRS, &[null, text, null]).build().unwrap();
    let change = start().delete_values(PAIRS, &[null, text, null]).build().unwrap();
    let cases: [(ChangesetBuilder, &str); 15] = [
        (row(start(), &[text, text]), "table pairs: 2 values for 3 columns"),
        (start().delete_values(PAIRS, &[]), "table pairs: 0 values for 3 columns"),
        (start().update_values(PAIRS, &[null, text, null], &[text]), "table pairs: 1 values for 3 columns"),
        (row(start(), &[text, null, text]), "table pairs, column 1: NULL in a column of the primary key"),
        (
            row(start(), &[text, Value::Real(f64::NAN), text]),
            "table pairs, column 1: NULL in a column of the primary key",
        ),
        (start().delete_values(PAIRS, &[null; 3]), "table pairs, column 1: NULL in a column of the primary key"),
        (
            start().update_values(PAIRS, &[text; 3], &[null; 3]),
            "table pairs, column 1: NULL in a column of the primary key",
        ),
        (
            start().update_values(PAIRS, &[1.into(); 3], &[1.0.into(); 3]),
            "table pairs, column 1: an UPDATE cannot change the primary key: delete the old row and insert the new one",
        ),
        (
            row(start(), &[text; 3]).insert_values(TableInfo::new("Pairs", &[1, 0, 0]), &[text; 3]),
            "table Pairs: the table has another primary key than in an earlier change",
        ),
        (
            row(start(), &[text; 3]).insert_values(TableInfo::new("pairs", &[0, 1]), &[text; 2]),
            "table pairs: the table has 2 columns, but 3 in an earlier change",
        ),
        (
            start().record(&patch.records().next().unwrap()),
            "table pairs: a record of a patchset cannot be added to a changeset",
        ),
        (
            start().insert_values(TableInfo::new("pairs", &[1]), &[text]).record(&change.records().next().unwrap()),
            "table pairs: the table has 3 columns, but 1 in an earlier change",
        ),
        (start().insert_values(TableInfo::new("a\0b", &[1]), &[text]), "table a\\0b: the table's name contains a NUL"),
        (
            start().insert_values(TableInfo::new("t", &[0]), &[text]),
            "table t: no column of the table is part of a primary key",
        ),
        (
            start().delete_values(TableInfo::new("t", &[]), &[]),
            "table t: a table of 0 columns (SQLite reads 1 to 65536)",
        ),
    ];
    for (builder, says) in cases {
        assert_eq!(error(builder), says);
    }
}

#[test]
#[cfg_attr(miri, ignore = "65,536 columns take minutes")]
fn tables_have_as_many_columns_as_sqlite_reads() {
    let (start, text) = (Changeset::builder, Value::from("x"));
    let wide = alloc::vec![1; 65_537];
    let too_wide = start().insert_values(TableInfo::new("t", &wide), &alloc::vec![text; wide.len()]);
    assert_eq!(too_wide.build().unwrap_err().kind(), BuildErrorKind::ColumnCount(65_537));
    let widest = TableInfo::new("t", &wide[1..]);
    let widest = start().insert_values(widest, &alloc::vec![text; wide.len() - 1]).build().unwrap();
    assert!(Changeset::try_from(widest.into_bytes()).is_ok());
}

#[test]
fn a_patchset_delete_requires_the_key_alone() {
    let row = [Value::Real(f64::NAN), 7.into(), Value::Null];
    assert_eq!(patchset(Patchset::builder().delete_values(PAIRS, &row)), ["DELETE pairs(_, 7, _)"]);
}

#[test]
fn the_first_error_is_returned() {
    let good = [Value::Null, 7.into(), Value::Null];
    let builder = Changeset::builder()
        .insert_values(PAIRS, &good)
        .insert_values(PAIRS, &[Value::Null; 3])
        .insert_values(PAIRS, &good[..1]);
    let shown = format!("{builder:?}");
    assert!(shown.contains("column 1: NULL"), "{shown}");
    assert_eq!(builder.build().unwrap_err().kind(), BuildErrorKind::NullKey);
}

#[test]
#[cfg_attr(miri, ignore = "a gigabyte")]
fn values_are_as_long_as_sqlite_reads() {
    let bytes = alloc::vec![0u8; MAX_VALUE_LENGTH + 1];
    let error = Patchset::builder().insert_values(PAIRS, &[Value::Null, 1.into(), Value::Blob(&bytes)]).build();
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.column()), (BuildErrorKind::ValueLength(MAX_VALUE_LENGTH + 1), Some(2)));
}
