//! Recorded, mutated and arbitrary bytes are judged and read as SQLite judges and reads them.

use diesel_sqlite_session::{Changeset, Operation, Patchset, Record};
use diesel_sqlite_session_tests::agree;
use diesel_sqlite_session_tests::random::{config, history, mutation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Checks the tests themselves: histories that record next to nothing would prove next to nothing.
#[test]
fn histories_have_changes_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let (mut seen, mut indirect, mut sections) = ([0; 3], 0, 0);
    for _ in 0..100 {
        let (changeset, _) = history().new_tree(&mut runner).unwrap().current().record();
        let changeset = Changeset::try_from(changeset).unwrap();
        sections += changeset.sections().count();
        for record in &changeset {
            seen[record.operation() as usize] += 1;
            indirect += usize::from(record.indirect());
        }
    }
    assert!(
        seen.iter().all(|count| *count > 100) && indirect > 100 && sections > 150,
        "{seen:?} {indirect} {sections}"
    );
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn recorded_changes_are_accepted_and_read_alike(history in history()) {
        let (changeset, patchset) = history.record();
        agree::judge(&changeset);
        agree::judge(&patchset);
        let changeset = Changeset::try_from(changeset).unwrap();
        let patchset = Patchset::try_from(patchset).unwrap();
        prop_assert_eq!(changeset.records().count(), patchset.records().count());
        // an inverse has no new key, even if the key changed to an equal key
        let keeps_keys = |record: Record<'_>| {
            record.operation() != Operation::Update || record.key_columns().all(|key| record.new_value(key).is_none())
        };
        if changeset.records().all(keeps_keys) {
            prop_assert_eq!(changeset.invert().invert(), changeset);
        }
    }

    #[test]
    fn mutations_are_judged_as_sqlite_judges_them(history in history(), mutations in vec(mutation(), 1..4)) {
        let (mut changeset, mut patchset) = history.record();
        for mutation in &mutations {
            mutation.apply(&mut changeset);
            mutation.apply(&mut patchset);
            agree::judge(&changeset);
            agree::judge(&patchset);
        }
    }

    #[test]
    fn arbitrary_bytes_are_judged_as_sqlite_judges_them(
        start in proptest::sample::select(vec![&b""[..], b"T\x01\x01t\0", b"P\x02\x01\x00t\0", b"T\x02\x02\x01\0"]),
        rest in vec(prop_oneof![0u8..7, Just(9), Just(0x12), Just(0x17), any::<u8>()], 0..60),
    ) {
        agree::judge(&[start, &rest].concat());
    }
}
