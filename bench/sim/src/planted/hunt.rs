//! Runs seeds one after the other until a promise is broken, and says so line by line. This is what runs inside of a
//! build with a planted fault; it knows nothing of the fault.

use crate::plan::Plan;
use crate::report::Story;
use crate::run::run;
use crate::scenario::Scenario;

/// Which seeds to run, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// Scenarios in turn; none lets each seed draw its own.
    pub scenarios: Vec<String>,
    /// The first seed and the last.
    pub seeds: (u64, u64),
    /// Steps of a seed.
    pub steps: u64,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In which scenario.
    pub scenario: String,
    /// The promise's name.
    pub promise: String,
    /// What was seen.
    pub what: String,
}

impl Hunt {
    /// Runs the seeds and calls `tell` with each and what it found, until it says that this is enough.
    ///
    /// # Errors
    /// A scenario that there is none of.
    pub fn go(&self, mut tell: impl FnMut(u64, Option<Found>) -> bool) -> Result<(), String> {
        for seed in self.seeds.0..=self.seeds.1 {
            let found = self.one(seed)?;
            if !tell(seed, found) {
                break;
            }
        }
        Ok(())
    }

    /// The scenario of a seed, when the fault names some.
    fn scenario(&self, seed: u64) -> Option<&str> {
        let count = self.scenarios.len() as u64;
        (count > 0).then(|| self.scenarios[(seed.saturating_sub(1) % count) as usize].as_str())
    }

    fn one(&self, seed: u64) -> Result<Option<Found>, String> {
        let scenario: &'static Scenario = match self.scenario(seed) {
            Some(name) => name.parse()?,
            None => Scenario::drawn(seed),
        };
        let verdict = run(&Plan::of(seed, scenario, self.steps), Story::silent());
        Ok(verdict.violation.map(|violation| Found {
            scenario: scenario.name.to_string(),
            promise: violation.promise.to_string(),
            what: violation.what,
        }))
    }
}
