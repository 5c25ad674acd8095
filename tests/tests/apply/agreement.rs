//! Applying agrees with SQLite's own `sqlite3changeset_apply_v2`: see
//! `diesel_sqlite_session_tests::apply_agree`.

use std::collections::BTreeMap;
use std::fmt;

use diesel_sqlite_session_tests::apply_agree::{Difference, End, check};
use diesel_sqlite_session_tests::random::config;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// A plan that is shown as a line of digits.
struct Plan(Vec<u8>);

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    vec(any::<u8>(), 200..1500).prop_map(Plan)
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn any_changes_do_what_they_do_in_sqlite(plan in plan()) {
        check(&plan.0);
    }
}

/// Checks the tests themselves: cases in which nothing conflicts, or everything fails, would prove
/// next to nothing.
#[test]
fn cases_have_all_kinds_of_ends_and_conflicts() {
    let mut runner = TestRunner::deterministic();
    let (mut ends, mut kinds, mut differences) =
        (BTreeMap::<String, usize>::new(), BTreeMap::new(), BTreeMap::<Difference, usize>::new());
    let (mut applied, mut decided, mut looped) = (0, 0, 0);
    for _ in 0..600 {
        let seen = check(&plan().new_tree(&mut runner).unwrap().current().0);
        let theirs = &seen.theirs;
        if std::env::var_os("SHOW").is_some() {
            println!("=== {}", seen.case.describe(theirs));
        }
        theirs.kinds().into_iter().for_each(|kind| *kinds.entry(kind).or_insert(0) += 1);
        seen.difference.into_iter().for_each(|difference| *differences.entry(difference).or_default() += 1);
        if theirs.end == End::Done && seen.difference.is_none() {
            applied += seen.changes - theirs.last_decisions().len();
            decided += theirs.last_decisions().len();
        }
        *ends.entry(format!("{:?}", theirs.end)).or_default() += 1;
        let mut case = seen.case;
        if !case.flags.no_update_loop {
            case.flags.no_update_loop = true;
            looped += usize::from(case.theirs(|question| seen.answers.answer(question)).content != theirs.content);
        }
    }
    let all = format!("{ends:?} {kinds:?} {differences:?} {applied} {decided} {looped}");
    assert!(ends["Done"] >= 400 && ends["Aborted"] >= 10 && ends["ForeignKeys"] >= 3, "{all}");
    assert!(kinds.len() == 5 && kinds.values().all(|count| *count >= 8), "{all}");
    assert!(differences.contains_key(&Difference::RowLost), "{all}");
    assert!(applied >= 500 && decided >= 300 && looped >= 5, "{all}");
}
