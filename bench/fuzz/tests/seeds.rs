//! The corpus on disk belongs to targets, stays small, and is what the encoders write today.
#![forbid(unsafe_code)]

use flumen_fuzz::targets::TARGETS;
use flumen_fuzz::{corpus, seeds};
use flumen_model::batch::Compression;
use std::collections::BTreeSet;

/// A checkout should not grow by what fuzzing feeds on.
const CORPUS_BYTES_MAX: usize = 400 * 1024;

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
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes of corpus");
}

#[test]
fn the_seeds_are_what_the_encoders_write_today() {
    let all = seeds::all();
    // What a codec makes of some bytes may change with its release; that it is read is tested with the others.
    let packed = |name: &str| Compression::ALL[1..].iter().any(|codec| codec.name() == name);
    for (target, name, input) in all.into_iter().filter(|(_, name, _)| !packed(name)) {
        let stored = corpus::load(target).expect("read").into_iter().find(|(stored, _)| *stored == name);
        let (_, stored) =
            stored.unwrap_or_else(|| panic!("{target}/{name} is missing: run flumen-fuzz --make-corpus"));
        assert_eq!(stored, input, "{target}/{name} is of another format: run flumen-fuzz --make-corpus");
    }
}
