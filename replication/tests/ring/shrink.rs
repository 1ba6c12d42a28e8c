//! Makes a failing scenario smaller: leaves acts out as long as the same kind of failure comes. First all acts of a
//! replica, then halves, quarters and so on down to single acts. A bound on the acts played keeps it short.

use super::run::{Failure, Scenario};
use flumen_replication::ReplicaId;

/// Acts played at most.
const ACTS_MAX: usize = 6_000_000;

/// The smallest scenario that was found, told.
pub(crate) struct Shrunk {
    pub(crate) failure: Failure,
    pub(crate) tries: usize,
}

struct Shrinking {
    class: String,
    best: Scenario,
    tries: usize,
    acts: usize,
}

impl Shrinking {
    /// Whether it fails the same way without some acts; then they stay out.
    fn fails(&mut self, scenario: Scenario) -> bool {
        if self.acts >= ACTS_MAX || scenario.acts.len() == self.best.acts.len() {
            return false;
        }
        self.tries += 1;
        self.acts += scenario.acts.len();
        let same = scenario.play(false).is_err_and(|failure| failure.class() == self.class);
        if same {
            self.best = scenario;
        }
        same
    }

    fn without_replicas(&mut self) {
        for id in (1..=self.best.replicas()).rev().map(ReplicaId) {
            let mut scenario = self.best.clone();
            scenario.acts.retain(|act| act.who() != Some(id));
            self.fails(scenario);
        }
    }

    fn without_parts(&mut self) {
        let mut part = self.best.acts.len().div_ceil(2);
        loop {
            let before = self.best.acts.len();
            let mut at = before;
            while at > 0 {
                let from = at.saturating_sub(part);
                let mut scenario = self.best.clone();
                scenario.acts.drain(from..at.min(scenario.acts.len()));
                self.fails(scenario);
                at = from;
            }
            if part == 1 && self.best.acts.len() == before {
                return;
            }
            part = part.div_ceil(2).min(self.best.acts.len().max(1));
            if self.acts >= ACTS_MAX {
                return;
            }
        }
    }
}

/// Shrinks what failed. `None` if it does not fail again: then a run depends on more than its acts.
pub(crate) fn shrink(failure: &Failure) -> Option<Shrunk> {
    let class = failure.class();
    let mut shrinking = Shrinking { class, best: failure.scenario.clone(), tries: 0, acts: 0 };
    if shrinking.best.play(false).is_ok() {
        return None;
    }
    shrinking.without_replicas();
    shrinking.without_parts();
    let failure = shrinking.best.play(true).err()?;
    Some(Shrunk { failure, tries: shrinking.tries })
}
