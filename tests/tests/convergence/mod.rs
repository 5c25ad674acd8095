//! One hub and several replicas that edit the same rows, disconnect and crash end up with the same databases, and every edit is
//! accounted for: a simulation.
//!
//! - [`protocol`]: the hub and the replica, [`policy`]: who wins, [`board`]: over which tables. To be copied.
//! - [`machine`]: a database whose process crashes; [`ledger`]: the account of the edits; [`simulation`]: what happens.
//!
//! ```text
//! SIMULATION_SEEDS=5000 cargo test --release -p diesel-sqlite-session-tests --test integration convergence -- --nocapture
//! ```

mod board;
mod ledger;
mod machine;
mod policy;
mod protocol;
mod simulation;

use std::time::Instant;

use self::policy::Policy;
use self::protocol::{Rules, Way};
use self::simulation::{Figures, Mistake, run};

/// How many seeds, unless the environment says so.
const SEEDS: u64 = 40;

/// The seeds that are to be tried: those up to `SIMULATION_SEEDS`, or `SIMULATION_SEED` alone.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    }
}

/// Every run ends well.
fn converges(policy: Policy, way: Way) -> Figures {
    let started = Instant::now();
    let mut figures = Figures::default();
    let rules = Rules { policy, way };
    for seed in seeds() {
        let directory = tempfile::tempdir().unwrap();
        match run(directory.path(), seed, rules, None) {
            Ok(more) => figures += more,
            Err(error) => {
                panic!("{policy:?}, {way:?}: {error}\nonce more: SIMULATION_SEED={seed} and the name of this test")
            }
        }
    }
    println!("{policy:?}, {way:?}: {figures}; {:.1} s", started.elapsed().as_secs_f64());
    figures
}

/// How many of so many runs do not end well, and what is said of the first one.
fn failures(rules: Rules, mistake: Option<Mistake>, seeds: u64) -> (u64, String) {
    let (mut failed, mut first) = (0, String::new());
    for seed in 0..seeds {
        let directory = tempfile::tempdir().unwrap();
        if let Err(error) = run(directory.path(), seed, rules, mistake) {
            failed += 1;
            if first.is_empty() {
                first = error.to_string();
            }
        }
    }
    println!("{rules:?} {mistake:?}: {failed} of {seeds} fail, the first: {first}");
    (failed, first)
}

#[test]
fn later_over_earlier_converges_by_rebasing() {
    converges(Policy::Later, Way::Rebase);
}

#[test]
fn earlier_over_later_converges_by_rebasing_if_no_update_is_omitted_in_part() {
    converges(Policy::EarlierWhole, Way::Rebase);
}

#[test]
fn newest_row_converges_by_rebasing_if_no_update_is_omitted_in_part() {
    converges(Policy::NewestWhole, Way::Rebase);
}

#[test]
fn column_by_column_converges_by_rebasing() {
    converges(Policy::Columns, Way::Rebase);
}

#[test]
fn every_policy_converges_by_replaying() {
    for policy in [Policy::Later, Policy::Earlier, Policy::Newest, Policy::Columns] {
        converges(policy, Way::Replay);
    }
}

#[test]
fn updates_omitted_whole_do_not_converge_by_rebasing() {
    for policy in [Policy::Earlier, Policy::Newest] {
        assert!(failures(Rules { policy, way: Way::Rebase }, None, 20).0 > 0);
    }
}

#[test]
fn a_hub_that_forgets_to_rebase_does_not_converge() {
    assert!(failures(Rules { policy: Policy::Later, way: Way::Neither }, None, 20).0 > 0);
}

#[test]
fn every_mistake_is_found() {
    for mistake in [Mistake::RecordsLater, Mistake::TakesTwice, Mistake::LosesLog, Mistake::ReportsNothing] {
        assert!(failures(Rules { policy: Policy::Later, way: Way::Rebase }, Some(mistake), 20).0 > 0);
    }
}
