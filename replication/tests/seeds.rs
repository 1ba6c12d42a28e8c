//! The ring on fixed seeds: groups agree and heal, the same seed gives the same run, and nothing that the ring can
//! do lies idle. The command beside it (`--example ring`) runs seeds without end.

mod common;
mod ring;

use common::notes::{Counts, Kind};
use ring::mode::{MODES, Mode};
use ring::run::{run, scenario};

/// Enough that every kind of event comes up.
const SEEDS: u64 = 400;

#[test]
fn groups_agree_and_heal_under_every_fault_at_once_and_every_fault_happens() {
    let mut counts = Counts::default();
    for seed in 0..SEEDS {
        match run(seed, Mode::of(seed), false) {
            Ok(outcome) => counts.add(&outcome.counts),
            Err(failure) => panic!(
                "seed {seed} fails: {}\n`cargo run --release -p flumen-replication --example ring -- --seed {seed}` tells it",
                failure.why
            ),
        }
    }
    let idle: Vec<_> = Kind::ALL.iter().filter(|(kind, _)| counts.of(*kind) == 0).collect();
    assert!(idle.is_empty(), "never happened: {idle:?}");
}

#[test]
fn the_same_seed_gives_the_same_run_and_so_do_its_acts() {
    for mode in MODES {
        let [one, two] = [(); 2].map(|()| run(4711, mode, false).expect("a good seed"));
        assert_eq!(one, two, "mode {}", mode.name);
        let again = scenario(4711, mode).play(false).expect("a good seed");
        assert_eq!((one.trace, one.events), (again.trace, again.events), "the acts of mode {}", mode.name);
    }
}
