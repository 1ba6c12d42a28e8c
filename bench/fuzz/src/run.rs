//! Replaying and fuzzing: which target gets which input, and when it is enough.

use crate::chance::Chance;
use crate::corpus;
use crate::mutate::mutated;
use crate::targets::Target;
use crate::witness::watch;
use std::io;
use std::time::{Duration, Instant};

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many inputs.
    Inputs(u64),
    /// So much time.
    Time(Duration),
}

/// Shows a target its whole corpus; tells how many inputs that were.
///
/// # Errors
/// The corpus cannot be read.
pub fn replay(target: &'static Target) -> io::Result<u64> {
    let inputs = corpus::load(target.name)?;
    for (_, input) in &inputs {
        watch(target, input);
    }
    Ok(inputs.len() as u64)
}

/// Shows a target changed inputs of its corpus; tells how many. The same seed gives the same inputs.
///
/// # Errors
/// The corpus cannot be read.
pub fn fuzz(target: &'static Target, seed: u64, until: Until) -> io::Result<u64> {
    let corpus: Vec<Vec<u8>> = corpus::load(target.name)?.into_iter().map(|(_, input)| input).collect();
    let mut chance = Chance::new(seed, target.name);
    let start = Instant::now();
    let mut inputs = 0;
    let goes_on = |inputs: u64| match until {
        Until::Inputs(max) => inputs < max,
        Until::Time(max) => start.elapsed() < max,
    };
    while goes_on(inputs) {
        let mut input = mutated(&corpus, &mut chance);
        // Now and then a checksum stays wrong.
        if !chance.once_in(8) {
            (target.mend)(&mut input);
        }
        watch(target, &input);
        inputs += 1;
    }
    Ok(inputs)
}
