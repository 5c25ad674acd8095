//! A simulation of one hub and several replicas that edit the same rows, disconnect and crash. In
//! the end their databases must be equal, and every edit accounted for.
//!
//! - To be copied: [`protocol`], the hub and the replicas; [`policy`], which edit wins; [`board`],
//!   the tables.
//! - [`cases`]: findings, each with few edits; [`replication`]: one source and one replica.
//! - [`machine`]: a database whose process crashes; [`ledger`]: the fate of each edit;
//!   [`simulation`]: the events.
//!
//! ```text
//! SIMULATION_SEEDS=1000 cargo test --release -p diesel-sqlite-session-tests --test integration convergence -- --nocapture
//! ```

mod board;
mod cases;
mod ledger;
mod machine;
mod policy;
mod protocol;
mod replication;
mod simulation;

use std::time::Instant;

use self::ledger::Fates;
use self::policy::Policy;
use self::protocol::{ForeignKeys, Rules, Way};
use self::simulation::{Figures, Mistake, run};

/// The number of seeds by default.
const SEEDS: u64 = 8;

/// Returns the seeds to run: those below `SIMULATION_SEEDS`, or `SIMULATION_SEED` alone.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    }
}

/// Checks that every run succeeds.
fn converges(policy: Policy, way: Way) {
    converges_by(Rules::new(policy, way));
}

fn converges_by(rules: Rules) {
    let started = Instant::now();
    let mut figures = Figures::default();
    for seed in seeds() {
        let directory = tempfile::tempdir().unwrap();
        match run(directory.path(), seed, rules, None) {
            Ok(more) => figures += more,
            Err(error) => {
                let thread = std::thread::current();
                let test = thread.name().filter(|name| *name != "main").unwrap_or("convergence");
                panic!(
                    "{rules}: {error}\nonce more: SIMULATION_SEED={seed} cargo test -p diesel-sqlite-session-tests --test \
                     integration {test}"
                )
            }
        }
    }
    println!("{rules}: {figures}; {:.1} s", started.elapsed().as_secs_f64());
    if figures.runs >= SEEDS {
        let Figures { repeats, crashes, halfway, conflicts, fates, .. } = figures;
        let Fates { visible, superseded, reported, undone } = fates;
        let all = [repeats, crashes - halfway, halfway, conflicts, visible, superseded, reported, undone];
        assert!(all.iter().all(|count| *count > figures.runs / 4), "next to nothing happened: {figures}");
    }
}

/// Returns how many of the first seeds fail.
fn failures(rules: Rules, mistake: Option<Mistake>) -> usize {
    let run = |seed| {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), seed, rules, mistake).err()
    };
    let failed: Vec<_> = (0..SEEDS).filter_map(run).collect();
    if let Some(first) = failed.first() {
        println!("{rules}, {mistake:?}: {} of {SEEDS} fail, the first: {first}", failed.len());
    }
    failed.len()
}

#[test]
fn later_over_earlier_converges_by_rebasing() {
    converges(Policy::Later, Way::Rebase);
}

#[test]
fn earlier_over_later_converges_by_rebasing_without_partly_omitted_updates() {
    converges(Policy::EarlierWhole, Way::Rebase);
}

#[test]
fn earlier_over_later_of_the_same_columns_converges_by_rebasing() {
    converges(Policy::EarlierOfTheSame, Way::Rebase);
}

#[test]
fn newest_row_converges_by_rebasing_without_partly_omitted_updates() {
    converges(Policy::NewestWhole, Way::Rebase);
}

#[test]
fn column_by_column_converges_by_rebasing() {
    converges(Policy::Columns, Way::Rebase);
}

#[test]
fn later_over_earlier_converges_by_rebasing_on_both_sides() {
    converges(Policy::Later, Way::RebaseBoth);
}

#[test]
fn column_by_column_converges_by_rebasing_on_both_sides() {
    converges(Policy::Columns, Way::RebaseBoth);
}

#[test]
fn later_over_earlier_converges_by_replaying() {
    converges(Policy::Later, Way::Replay);
}

#[test]
fn earlier_over_later_converges_by_replaying() {
    converges(Policy::Earlier, Way::Replay);
}

#[test]
fn policies_that_converge_by_rebasing_converge_by_replaying() {
    for policy in [Policy::EarlierOfTheSame, Policy::EarlierWhole, Policy::NewestWhole] {
        converges(policy, Way::Replay);
    }
}

#[test]
fn newest_row_converges_by_replaying() {
    converges(Policy::Newest, Way::Replay);
}

#[test]
fn column_by_column_converges_by_replaying() {
    converges(Policy::Columns, Way::Replay);
}

#[test]
fn omitting_constraint_violations_converges_by_replaying() {
    converges_by(Rules { omits_constraints: true, ..Rules::new(Policy::Earlier, Way::Replay) });
}

/// Labels refer to their cards and are deleted with them.
fn with_foreign_keys(policy: Policy, way: Way) -> Rules {
    Rules { foreign_keys: ForeignKeys::Mend, ..Rules::new(policy, way) }
}

#[test]
fn rows_that_refer_to_others_converge_by_rebasing() {
    for policy in [Policy::Later, Policy::EarlierWhole, Policy::EarlierOfTheSame, Policy::NewestWhole, Policy::Columns]
    {
        converges_by(with_foreign_keys(policy, Way::Rebase));
    }
}

#[test]
fn rows_that_refer_to_others_converge_by_rebasing_on_both_sides() {
    for policy in [Policy::Later, Policy::Columns] {
        converges_by(with_foreign_keys(policy, Way::RebaseBoth));
    }
}

#[test]
fn rows_that_refer_to_others_converge_by_replaying() {
    for policy in [Policy::Later, Policy::Earlier, Policy::Newest, Policy::Columns] {
        converges_by(with_foreign_keys(policy, Way::Replay));
    }
}

#[test]
fn foreign_key_actions_during_an_apply_do_not_converge() {
    for way in [Way::Rebase, Way::Replay] {
        assert!(failures(Rules { foreign_keys: ForeignKeys::Act, ..Rules::new(Policy::Later, way) }, None) > 0);
    }
}

#[test]
fn partly_omitted_updates_do_not_converge_by_rebasing() {
    for policy in [Policy::Earlier, Policy::Newest] {
        assert!(failures(Rules::new(policy, Way::Rebase), None) > 0);
    }
}

#[test]
fn omitting_constraint_violations_does_not_converge_by_rebasing() {
    assert!(failures(Rules { omits_constraints: true, ..Rules::new(Policy::EarlierWhole, Way::Rebase) }, None) > 0);
}

#[test]
fn a_hub_that_forgets_to_rebase_does_not_converge() {
    assert!(failures(Rules::new(Policy::Later, Way::Neither), None) > 0);
}

#[test]
fn every_planted_mistake_is_found() {
    for mistake in [Mistake::RecordsLater, Mistake::TakesTwice, Mistake::LosesLog, Mistake::ReportsNothing] {
        let rules = Rules::new(Policy::Later, Way::Rebase);
        assert!(failures(rules, Some(mistake)) > 0);
    }
}
