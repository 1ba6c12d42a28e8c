//! What the command prints: the story of a failure, made small, and what happened how often. It decides nothing.

use crate::common::notes::{Counts, Kind};
use crate::ring::mode::Mode;
use crate::ring::run::Failure;
use crate::ring::shrink::shrink;

/// Lines of a story at most: its end.
const STORY_LINES: usize = 120;

/// A failure: its seed, the smallest scenario that still fails so, and its last events.
pub(crate) fn tell(seed: u64, mode: &Mode, failure: &Failure) {
    println!(
        "\nFAILED  seed {seed} mode {}: {} acts, {} replicas",
        mode.name,
        size(failure).0,
        size(failure).1
    );
    println!("        {}\nshrinking...", failure.why);
    match shrink(failure) {
        None => println!("        ITS ACTS DO NOT FAIL AGAIN: a run depends on more than its acts"),
        Some(shrunk) => {
            let (acts, replicas) = size(&shrunk.failure);
            println!("SHRUNK  {acts} acts, {replicas} replicas (in {} runs)", shrunk.tries);
            println!("        {}\n", shrunk.failure.why);
            let story = &shrunk.failure.story;
            let hidden = story.len().saturating_sub(STORY_LINES);
            if hidden > 0 {
                println!("  ... {hidden} lines before");
            }
            story.iter().skip(hidden).for_each(|line| println!("  {line}"));
        }
    }
    println!(
        "\nagain: cargo run --release -p flumen-replication --example ring -- --seed {seed} --mode {} --trace\n",
        mode.name
    );
}

fn size(failure: &Failure) -> (usize, u64) {
    (failure.scenario.acts.len(), failure.scenario.replicas())
}

/// How often each kind of event happened.
pub(crate) fn counts(counts: &Counts) {
    for (kind, about) in Kind::ALL {
        println!("  {about:<56} {:>12}", counts.of(*kind));
    }
}
