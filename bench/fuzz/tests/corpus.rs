//! Every target stands its corpus and a fixed number of changed inputs; the same ones each time. Memory is counted for
//! the whole process, so this file has one test.
#![forbid(unsafe_code)]

use flumen_fuzz::run::{Until, fuzz, replay};
use flumen_fuzz::targets::TARGETS;

/// Inputs of one target; those that run a simulated machine get fewer.
const INPUTS: u64 = 5_000;
const INPUTS_OF_SLOW: u64 = 200;

#[test]
fn every_target_stands_its_corpus_and_thousands_of_changed_inputs() {
    for target in TARGETS {
        let inputs = replay(target).expect("the corpus can be read");
        assert!(inputs > 0, "{} has a corpus", target.name);
        let slow = ["recovery", "superblock", "metadata_command"].contains(&target.name);
        let inputs = if slow { INPUTS_OF_SLOW } else { INPUTS };
        assert_eq!(fuzz(target, 1, Until::Inputs(inputs)).expect("the corpus can be read"), inputs);
    }
}
