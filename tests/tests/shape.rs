//! Filtered, renamed, sorted and split sets keep their changes and have the same effect on a
//! database.

use diesel_sqlite_session::wire::{SetFormat, SetRef};
use diesel_sqlite_session::{ChangesetRef, Format, Patchset, PatchsetRef};
use diesel_sqlite_session_tests::change::{Change, Owned};
use diesel_sqlite_session_tests::random::{self, config, history, mutation};
use diesel_sqlite_session_tests::shape;
use diesel_sqlite_session_tests::sqlite::{self, Database, read_sorted};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const FORMATS: [Format; 2] = [Format::Changeset, Format::Patchset];

/// A value that is hard to sort: of any storage class, often equal to others or with a common
/// prefix.
fn key_value() -> impl Strategy<Value = Owned> {
    let near = select(vec![0i64, 1 << 53, 1 << 60, i64::MAX - 4, i64::MIN + 4]);
    let start = select(vec!["", "a", "the same start of many texts ", "the same start of many texts and one more "]);
    prop_oneof![
        2 => (-3i64..4).prop_map(Owned::Integer),
        2 => (near.clone(), -4i64..5).prop_map(|(near, by)| Owned::Integer(near.saturating_add(by))),
        2 => (near, -4i64..5).prop_map(|(near, by)| Owned::Real((near as f64 + by as f64 / 2.0).to_bits())),
        1 => select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY]).prop_map(|real| Owned::Real(f64::to_bits(real))),
        3 => (start.clone(), "[ab\0]{0,9}").prop_map(|(start, end)| Owned::Text([start, &end].concat().into_bytes())),
        1 => (start, vec(0u8..2, 0..17)).prop_map(|(start, end)| Owned::Blob([start.as_bytes(), &end].concat())),
    ]
}

/// Keys of one storage class, or of all classes.
fn keys() -> impl Strategy<Value = Vec<[Owned; 3]>> {
    let class =
        select(vec![vec!["integer"], vec!["real"], vec!["text"], vec!["blob"], vec!["integer", "real"], vec![]]);
    (class, vec([key_value(), key_value(), key_value()], 0..150)).prop_map(|(classes, mut keys)| {
        keys.retain(|key| {
            classes.is_empty() || key.iter().take(1).all(|value| classes.contains(&value.as_value().storage_class()))
        });
        keys
    })
}

/// Encodes a section with one change of any kind for each key.
fn section(ordinals: [u8; 3], keys: &[[Owned; 3]], format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (row, key) in keys.iter().enumerate() {
        let side = |other: i64| -> Vec<Option<Owned>> {
            let column =
                |(value, place): (&Owned, &u8)| if *place == 0 { Owned::Integer(other) } else { value.clone() };
            key.iter().zip(&ordinals).map(|values| Some(column(values))).collect()
        };
        let only = |side: Vec<Option<Owned>>, keep: fn(u8) -> bool| -> Vec<Option<Owned>> {
            side.into_iter().zip(ordinals).map(|(value, place)| value.filter(|_| keep(place))).collect()
        };
        let row = row as i64;
        let (operation, old, new) = match row % 3 {
            0 => (18, vec![None; 3], side(row)),
            1 => (9, side(row), vec![None; 3]),
            _ => (23, side(row), only(side(row + 1), |place| place == 0)),
        };
        let change =
            Change { table: b"t".to_vec(), key: ordinals.to_vec(), operation, indirect: row % 2 == 0, old, new };
        let encoded = change.encode(format);
        let head = 1 + 1 + 3 + 2;
        bytes.extend_from_slice(&encoded[if bytes.is_empty() { 0 } else { head }..]);
    }
    bytes
}

/// A set sorted, in pieces, and table by table.
struct Reshaped {
    sorted: Vec<u8>,
    pieces: Vec<Vec<u8>>,
    tables: Vec<Vec<u8>>,
}

impl Reshaped {
    fn new<F: SetFormat>(set: SetRef<'_, F>, max_bytes: usize) -> Self {
        Self {
            sorted: set.sort_by_key().into(),
            pieces: set.split(max_bytes).map(Into::into).collect(),
            tables: set.split_tables().map(Into::into).collect(),
        }
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn recorded_changes_are_kept(history in history()) {
        let (changeset, patchset) = history.record();
        shape::check(&changeset);
        shape::check(&patchset);
        // two sections of one table
        shape::check(&[&changeset[..], &changeset].concat());
        shape::check(&[&patchset[..], &patchset].concat());
    }

    #[test]
    fn all_accepted_changes_are_kept(history in history(), mutations in vec(mutation(), 1..4)) {
        let (mut changeset, mut patchset) = history.record();
        for mutation in &mutations {
            mutation.apply(&mut changeset);
            mutation.apply(&mut patchset);
            shape::check(&changeset);
            shape::check(&patchset);
        }
    }

    #[test]
    fn keys_of_every_kind_are_sorted(
        keys in keys(),
        ordinals in select(vec![[1, 0, 0], [0, 0, 1], [2, 1, 0], [1, 1, 1], [3, 1, 2], [2, 1, 1], [0, 2, 1]]),
    ) {
        for format in FORMATS {
            shape::check(&section(ordinals, &keys, format));
        }
    }

    #[test]
    fn keys_are_sorted_as_sqlite_sorts_them(keys in keys()) {
        let bytes = section([2, 1, 3], &keys, Format::Patchset);
        let database = Database::new();
        // a table in which SQLite numbers the keys in its order
        database.execute("CREATE TABLE keys (a, b, c); CREATE TABLE t (a, b, c, n INTEGER PRIMARY KEY)").unwrap();
        for key in &keys {
            let values: Vec<String> = key.iter().map(|value| value.as_value().to_string()).collect();
            database.execute(&format!("INSERT INTO keys VALUES ({})", values.join(", "))).unwrap();
        }
        let session = database.track();
        database.execute("INSERT INTO t SELECT *, row_number() OVER (ORDER BY b, a, c, rowid) FROM keys").unwrap();
        let mut expected: Vec<(i64, Vec<Owned>)> = Vec::new();
        for change in sqlite::read(&session.changeset()).0 {
            let mut row: Vec<Owned> = change.new.into_iter().map(Option::unwrap).collect();
            let Some(Owned::Integer(place)) = row.pop() else { unreachable!() };
            expected.push((place, row));
        }
        expected.sort_by_key(|(place, _)| *place);
        let sorted = Patchset::try_from(bytes).unwrap().sort_by_key();
        let found: Vec<Vec<Owned>> =
            sorted.records().map(|record| record.key_values().map(Owned::from).collect()).collect();
        prop_assert_eq!(found, expected.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    }

    #[test]
    fn sorted_and_split_changes_have_the_same_effect(history in history(), max in 0usize..400) {
        let (changeset, patchset) = history.record();
        for bytes in [&changeset, &patchset] {
            let Reshaped { sorted, pieces, tables } = match ChangesetRef::parse(bytes) {
                Ok(changeset) => Reshaped::new(changeset, max),
                Err(_) => Reshaped::new(PatchsetRef::parse(bytes).unwrap(), max),
            };
            prop_assert_eq!(read_sorted(&pieces.concat()), read_sorted(bytes));
            prop_assert_eq!(read_sorted(&tables.concat()), read_sorted(bytes));
            prop_assert_eq!(sqlite::group(pieces.iter().map(Vec::as_slice)), sqlite::group([&bytes[..]]));
            let expected = history.rows_after([&bytes[..]]);
            if expected.is_some() {
                prop_assert_eq!(&history.rows_after([&sorted[..]]), &expected, "sorted");
                prop_assert_eq!(&history.rows_after(pieces.iter().map(Vec::as_slice)), &expected, "in pieces");
                prop_assert_eq!(&history.rows_after(tables.iter().map(Vec::as_slice)), &expected, "by table");
            }
        }
    }
}

/// Checks the tests themselves: most histories can be applied, with changes of every kind.
#[test]
fn most_histories_apply_without_a_conflict() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [0; 2];
    for _ in 0..100 {
        let history = random::history().new_tree(&mut runner).unwrap().current();
        let (changeset, _) = history.record();
        seen[usize::from(history.rows_after([&changeset[..]]).is_some())] += 1;
    }
    assert!(seen[1] > 70, "{seen:?}");
}
