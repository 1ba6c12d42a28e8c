//! Fixed seeds through every scenario, and the same seed twice. In a debug build fewer steps, so that it stays short.
//! A seed that once found something has its line here for ever.
#![forbid(unsafe_code)]

use flumen_sim::plan::Plan;
use flumen_sim::report::Story;
use flumen_sim::run::{Verdict, run};
use flumen_sim::scenario::{SCENARIOS, Scenario};

const STEPS: u64 = if cfg!(debug_assertions) { 250 } else { 900 };
const SEEDS_EACH: u64 = if cfg!(debug_assertions) { 1 } else { 4 };

fn verdict(seed: u64, scenario: &'static Scenario, steps: u64) -> Verdict {
    run(&Plan::of(seed, scenario, steps), Story::silent())
}

fn holds(name: &str) {
    let scenario = name.parse().expect("a scenario of that name");
    for seed in 1..=SEEDS_EACH {
        let verdict = verdict(seed, scenario, STEPS);
        let found = verdict.violation.map(|violation| violation.to_string());
        assert_eq!(found, None, "{}", verdict.plan);
        assert!(verdict.stats.of("records acked") > 0, "{}: nothing was acked", verdict.plan);
    }
}

macro_rules! scenarios {
    ($($test:ident $name:literal;)*) => {
        $(#[test] fn $test() { holds($name); })*

        #[test]
        fn every_scenario_has_its_seeds() {
            let all: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            assert_eq!(all, [$($name),*]);
        }
    };
}

scenarios! {
    every_promise_holds_when_nothing_breaks "calm";
    every_promise_holds_when_the_process_is_killed "crashes";
    every_promise_holds_when_the_power_fails "power";
    every_promise_holds_when_crashes_follow_each_other "torn";
    every_promise_holds_on_a_slow_disk "slow-disk";
    every_promise_holds_when_the_disk_fails "disk-errors";
    every_promise_holds_when_the_disk_is_full "full-disk";
    every_promise_holds_on_a_bad_network "network";
    every_promise_holds_when_clocks_are_wrong "clock";
    every_promise_holds_when_bytes_rot "rot";
    what_is_promised_over_lies_holds_when_the_disk_lies "lies";
    every_promise_holds_when_everything_breaks "everything";
}

/// Seeds that once found something, with what it was. What a seed meets changes when the simulator draws otherwise: each
/// finding has a test of its own in the crate that it was found in, named behind it.
const FOUND: &[(u64, &str, &str)] = &[
    (209, "rot", "damaged positions kept the node from starting: net/node/tests/mem_damage_positions.rs"),
    (1243, "slow-disk", "a directory that two partitions share was durable for one: segment/tests/upkeep.rs"),
    (2040, "disk-errors", "passing read errors made a partition damaged: journal/tests/reading.rs"),
];

#[test]
fn seeds_that_found_something_find_nothing_any_more() {
    for (seed, scenario, what) in FOUND {
        let scenario = scenario.parse().expect("a scenario of that name");
        let verdict = verdict(*seed, scenario, STEPS);
        let found = verdict.violation.map(|violation| violation.to_string());
        assert_eq!(found, None, "{} ({what})", verdict.plan);
    }
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for scenario in SCENARIOS {
        let steps = STEPS / 3;
        let (one, two) = (verdict(5, scenario, steps), verdict(5, scenario, steps));
        println!("seed 5 scenario {:<12} steps {steps} trace {:016x}", scenario.name, one.trace);
        assert_eq!((one.trace, one.events, one.stats), (two.trace, two.events, two.stats), "{}", one.plan);
    }
}

#[test]
fn another_seed_leaves_another_trace() {
    let calm = "calm".parse().expect("a scenario of that name");
    assert_ne!(verdict(1, calm, 60).trace, verdict(2, calm, 60).trace);
}
