//! Whatever SQLite writes, whatever becomes of it under way, and whatever else arrives: judged and read as SQLite does.

use diesel_sqlite_session::{Changeset, Patchset};
use diesel_sqlite_session_tests::agree;
use diesel_sqlite_session_tests::random::{history, mutation};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_sqlite_records_is_accepted_and_read_alike(history in history()) {
        let (changeset, patchset) = history.record();
        agree::judge(&changeset);
        agree::judge(&patchset);
        let changeset = Changeset::try_from(changeset).unwrap();
        let patchset = Patchset::try_from(patchset).unwrap();
        prop_assert_eq!(changeset.records().count(), patchset.records().count());
        prop_assert_eq!(changeset.invert().invert(), changeset);
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
