//! Builders write what SQLite would have recorded, and merge changes to one row as SQLite's
//! changegroup does.

use diesel_sqlite_session::wire::{ChangesetFormat, PatchsetFormat, Records, Set, SetFormat, TableInfo};
use diesel_sqlite_session::{Changeset, ChangesetRef, Format, Operation, Patchset, PatchsetRef, Record, Value};
use diesel_sqlite_session_tests::change::{Change, Owned};
use diesel_sqlite_session_tests::random::{TABLES, change, config, history, key_value, value};
use diesel_sqlite_session_tests::sqlite::{self, Database};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const FORMATS: [Format; 2] = [Format::Changeset, Format::Patchset];

fn records(bytes: &[u8], format: Format) -> Records<'_> {
    match format {
        Format::Changeset => ChangesetRef::parse(bytes).unwrap().records(),
        Format::Patchset => PatchsetRef::parse(bytes).unwrap().records(),
    }
}

/// Builds a set from the records of all parts and checks that it is well-formed.
fn build<'a>(parts: impl IntoIterator<Item = &'a [u8]>, format: Format) -> Vec<u8> {
    fn of<'a, F: SetFormat>(records: impl Iterator<Item = Record<'a>>) -> Vec<u8> {
        records.fold(Set::<F>::builder(), |builder, record| builder.record(&record)).build().unwrap().into_bytes()
    }
    let all = parts.into_iter().flat_map(|part| records(part, format));
    let built = match format {
        Format::Changeset => of::<ChangesetFormat>(all),
        Format::Patchset => of::<PatchsetFormat>(all),
    };
    drop(records(&built, format));
    built
}

/// Returns the changes, sorted.
fn set(bytes: &[u8], format: Format) -> Vec<Change> {
    let mut changes: Vec<Change> = records(bytes, format).map(Change::from).collect();
    changes.sort_by_key(|change| format!("{change:?}"));
    changes
}

fn table_names(bytes: &[u8], format: Format) -> Vec<String> {
    let mut names: Vec<String> = records(bytes, format).map(|record| record.table().to_string()).collect();
    names.dedup();
    names
}

/// Returns whether the record is an UPDATE that sets no column to another value.
fn is_idle(record: Record<'_>) -> bool {
    let change = Change::from(record);
    let sets = (0..change.key.len()).any(|column| {
        change.key[column] == 0 && change.new[column].is_some() && change.new[column] != change.old[column]
    });
    record.operation() == Operation::Update && !sets
}

/// Returns each record alone, unchanged, after the header of its table.
fn split(bytes: &[u8], format: Format) -> Vec<(bool, Vec<u8>)> {
    let header = |record: &Record<'_>| {
        let count = u8::try_from(record.column_count()).unwrap();
        [&bytes[..1], &[count], record.key_ordinals(), record.table().as_bytes(), b"\0"].concat()
    };
    let all: Vec<Record<'_>> = records(bytes, format).collect();
    (0..all.len())
        .map(|at| {
            let end = match all.get(at + 1) {
                Some(next) if next.table() == all[at].table() => next.offset(),
                Some(next) => next.offset() - header(next).len(),
                None => bytes.len(),
            };
            (is_idle(all[at]), [&header(&all[at]), &bytes[all[at].offset()..end]].concat())
        })
        .collect()
}

/// Merges records one by one with SQLite's changegroup, removing UPDATEs that set nothing. Returns
/// the result and whether there was such an UPDATE.
fn referee(parts: &[Vec<u8>], format: Format) -> (Vec<u8>, bool) {
    let (mut all, mut was_idle) = (Vec::new(), false);
    let busy = |bytes: &[u8], was_idle: &mut bool| {
        let parts = split(bytes, format);
        *was_idle |= parts.iter().any(|(is_idle, _)| *is_idle);
        parts.into_iter().filter(|(is_idle, _)| !is_idle).flat_map(|(_, part)| part).collect::<Vec<u8>>()
    };
    for part in parts {
        let part = busy(part, &mut was_idle);
        all = sqlite::group([&all[..], &part]).unwrap();
        all = busy(&all, &mut was_idle);
    }
    (all, was_idle)
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn records_are_merged_as_in_sqlites_changegroup(changes in vec(change(), 1..12)) {
        for format in FORMATS {
            let parts: Vec<Vec<u8>> = changes.iter().map(|change| change.encode(format)).collect();
            let built = build(parts.iter().map(Vec::as_slice), format);
            let (expected, was_idle) = referee(&parts, format);
            // SQLite uses the next spelling of the name after a table has lost all of its changes
            let lower = |bytes| {
                let mut changes = set(bytes, format);
                changes.iter_mut().for_each(|change| change.table.make_ascii_lowercase());
                changes.sort_by_key(|change| format!("{change:?}"));
                changes
            };
            prop_assert_eq!(lower(&built), lower(&expected), "{:?}", format);
            if !was_idle {
                let at_once = sqlite::group(parts.iter().map(Vec::as_slice)).unwrap();
                prop_assert_eq!(set(&built, format), set(&at_once, format));
                prop_assert_eq!(table_names(&built, format), table_names(&at_once, format));
                prop_assert_eq!(built.len(), at_once.len());
            }
        }
    }

    #[test]
    fn recorded_changes_can_be_built_again_and_undone(history in history()) {
        let (changeset, patchset) = history.record();
        let busy = |bytes: &[u8], format| {
            split(bytes, format).into_iter().filter(|(is_idle, _)| !is_idle).flat_map(|(_, part)| part).collect::<Vec<u8>>()
        };
        for (bytes, format) in [(&changeset, Format::Changeset), (&patchset, Format::Patchset)] {
            let parts: Vec<Vec<u8>> = split(bytes, format).into_iter().map(|(_, part)| part).collect();
            let (expected, _) = referee(&parts, format);
            prop_assert_eq!(set(&build([&bytes[..]], format), format), set(&expected, format));
        }
        let inverse = Changeset::try_from(changeset.clone()).unwrap().invert();
        let (there, back) = (busy(&changeset, Format::Changeset), busy(inverse.as_bytes(), Format::Changeset));
        let expected = sqlite::group([&there[..], &back]).unwrap();
        prop_assert_eq!(
            set(&build([&there[..], &back], Format::Changeset), Format::Changeset),
            set(&expected, Format::Changeset)
        );
    }

    #[test]
    fn a_change_built_from_values_has_the_bytes_of_a_session(
        (_, key) in select(TABLES.to_vec()),
        keys in vec(key_value(), 4),
        before in vec(value(), 4),
        after in vec(value(), 4),
    ) {
        let row = |values: &[Owned]| -> Vec<Owned> {
            let column = |(column, place): (usize, &u8)| if *place == 0 { &values[column] } else { &keys[column] }.clone();
            key.iter().enumerate().map(column).collect()
        };
        let (before, after) = (row(&before), row(&after));
        let schema = TableInfo::new("t", key);
        let values = |row: &'_ [Owned]| -> Vec<String> { row.iter().map(|value| value.as_value().to_string()).collect() };
        let mut by_place: Vec<usize> = schema.key_columns().collect();
        by_place.sort_by_key(|column| key[*column]);
        let names: Vec<String> = (0..key.len()).map(|column| format!("c{column}")).collect();
        let key_names: Vec<String> = by_place.iter().map(|column| format!("c{column}")).collect();
        let create = format!("CREATE TABLE t ({}, PRIMARY KEY ({}))", names.join(", "), key_names.join(", "));
        let insert = format!("INSERT INTO t VALUES ({})", values(&before).join(", "));
        let sets: Vec<String> =
            names.iter().zip(values(&after)).map(|(name, value)| format!("{name} = {value}")).collect();
        let update = format!("UPDATE t SET {}", sets.join(", "));
        let (before, after): (Vec<Value<'_>>, Vec<Value<'_>>) =
            (before.iter().map(Owned::as_value).collect(), after.iter().map(Owned::as_value).collect());
        for operation in [Operation::Insert, Operation::Update, Operation::Delete] {
            let database = Database::new();
            database.execute(&create).unwrap();
            if operation != Operation::Insert {
                database.execute(&insert).unwrap();
            }
            let session = database.track();
            let (builder, patches) = (Changeset::builder(), Patchset::builder());
            let (built, patchset) = match operation {
                Operation::Insert => {
                    database.execute(&insert).unwrap();
                    (builder.insert_values(schema, &before), patches.insert_values(schema, &before))
                }
                Operation::Update => {
                    database.execute(&update).unwrap();
                    (builder.update_values(schema, &before, &after), patches.update_values(schema, &before, &after))
                }
                Operation::Delete => {
                    database.execute("DELETE FROM t").unwrap();
                    (builder.delete_values(schema, &before), patches.delete_values(schema, &before))
                }
            };
            prop_assert_eq!(built.build().unwrap().into_bytes(), session.changeset());
            prop_assert_eq!(patchset.build().unwrap().into_bytes(), session.patchset());
        }
    }
}

/// A reproducible random sequence.
fn numbers() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(0x9e37_79b9_u64), |last| {
        Some(last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|number| (number >> 40) as usize)
}

#[test]
fn long_histories_of_growing_and_shrinking_rows_are_merged_alike() {
    let mut numbers = numbers();
    let mut next = move |below: usize| numbers.next().unwrap() % below;
    let mut changes = Vec::new();
    for step in 0..20_000 {
        // first in ascending order, then anywhere
        let id = if step < 500 { step } else { next(1000) };
        let key = Some(Owned::Integer(id as i64));
        let mut text = |length: usize| Some(Owned::Text(vec![b'a' + next(20) as u8; length]));
        let (old, new) = (text(step % 7), text(100 + step % 200));
        let other = Some(Owned::Integer(step as i64));
        let operation = if step < 500 { 18 } else { [18, 23, 9][next(3)] };
        let (old, new) = match operation {
            18 => (vec![None; 3], vec![key, new, other]),
            9 => (vec![key, old, other], vec![None; 3]),
            _ => (vec![key, old, None], vec![None, new, None]),
        };
        changes.push(Change { table: b"t".to_vec(), key: vec![1, 0, 0], operation, indirect: step % 3 == 0, old, new });
    }
    for format in FORMATS {
        let parts: Vec<Vec<u8>> = changes.iter().map(|change| change.encode(format)).collect();
        let built = build(parts.iter().map(Vec::as_slice), format);
        let expected = sqlite::group(parts.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(built.len(), expected.len());
        assert!(set(&built, format) == set(&expected, format), "{format}");
    }
}

#[test]
fn the_changegroup_keeps_an_update_that_sets_nothing() {
    // a key that changed to an equal key
    let update = b"T\x02\x01\0t\0\x17\0\x03\x03ada\0\x03\x03Ada\0";
    assert_eq!(sqlite::group([&update[..]]).unwrap(), update);
    assert!(build([&update[..]], Format::Changeset).is_empty());
    // a row that is deleted and inserted again, in a table with only key columns
    let parts: [&[u8]; 2] = [b"P\x01\x01t\0\x09\0\x03\x01k", b"P\x01\x01t\0\x12\0\x03\x01k"];
    assert_eq!(sqlite::group(parts).unwrap(), b"P\x01\x01t\0\x17\0\x03\x01k");
    assert!(build(parts, Format::Patchset).is_empty());
}

#[test]
fn the_changegroup_copies_an_updates_new_key_into_an_insert() {
    let parts: [&[u8]; 2] =
        [b"T\x02\x01\0t\0\x12\0\x03\x03ada\x03\x01a", b"T\x02\x01\0t\0\x17\0\x03\x03ada\x03\x01a\x03\x03Ada\x03\x01b"];
    assert_eq!(sqlite::group(parts).unwrap(), b"T\x02\x01\0t\0\x12\0\x03\x03Ada\x03\x01b");
    assert_eq!(build(parts, Format::Changeset), b"T\x02\x01\0t\0\x12\0\x03\x03ada\x03\x01b");
    // even NULL, which makes the changeset malformed
    let parts: [&[u8]; 2] = [parts[0], b"T\x02\x01\0t\0\x17\0\x03\x03ada\x03\x01a\x05\x03\x01b"];
    assert!(ChangesetRef::parse(&sqlite::group(parts).unwrap()).is_err());
    assert_eq!(build(parts, Format::Changeset), b"T\x02\x01\0t\0\x12\0\x03\x03ada\x03\x01b");
}
