//! The corpus is replayed and every target stands a fixed number of changed inputs; the same ones each time.
#![forbid(unsafe_code)]

use flumen_fuzz::run::{Until, fuzz, replay};
use flumen_fuzz::targets::TARGETS;
use flumen_fuzz::{corpus, seeds};
use std::collections::BTreeSet;

/// Inputs of one target; those that run a simulated machine get fewer.
const INPUTS: u64 = 4_000;
const INPUTS_OF_SLOW: u64 = 150;

#[test]
fn every_target_stands_its_corpus() {
    for target in TARGETS {
        let inputs = replay(target).expect("the corpus can be read");
        assert!(inputs > 0, "{} has a corpus", target.name);
    }
}

#[test]
fn every_target_stands_thousands_of_changed_inputs() {
    for target in TARGETS {
        let slow = ["recovery", "superblock", "metadata_command"].contains(&target.name);
        let inputs = if slow { INPUTS_OF_SLOW } else { INPUTS };
        assert_eq!(fuzz(target, 1, Until::Inputs(inputs)).expect("the corpus can be read"), inputs);
    }
}

#[test]
fn every_corpus_has_a_target_and_stays_small() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_string()).collect();
    let folders = std::fs::read_dir(corpus::folder()).expect("the corpus is there");
    let mut bytes = 0;
    for folder in folders {
        let name = folder.expect("listed").file_name().to_string_lossy().into_owned();
        assert!(targets.contains(&name), "corpus/{name} has no target");
        bytes += corpus::load(&name).expect("read").iter().map(|(_, input)| input.len()).sum::<usize>();
    }
    assert!(bytes <= 400 * 1024, "{bytes} bytes of corpus");
}

#[test]
fn the_seeds_are_what_the_encoders_write_today() {
    for (target, name, input) in seeds::all() {
        let stored = corpus::load(target).expect("read").into_iter().find(|(stored, _)| *stored == name);
        let (_, stored) =
            stored.unwrap_or_else(|| panic!("{target}/{name} is missing: run flumen-fuzz --make-corpus"));
        assert_eq!(stored, input, "{target}/{name} is of another format: run flumen-fuzz --make-corpus");
    }
}
