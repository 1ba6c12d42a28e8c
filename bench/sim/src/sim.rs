//! What all clients of a seed share: the oracle, the counts, the story and the steps that are left. One thread runs
//! everything; the lock is never contended, it only satisfies the machine's bounds.

use crate::oracle::{Oracle, Promise};
use crate::plan::Plan;
use crate::report::{Stats, Story};
use crate::scenario::Fault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The state of a seed.
#[derive(Debug)]
pub struct Sim {
    /// What the seed is like.
    pub plan: Plan,
    /// The judge.
    pub oracle: Oracle,
    /// What happened how often.
    pub stats: Stats,
    /// What happened, in words.
    pub story: Story,
    /// Steps that are left in this life.
    steps_left: u64,
    /// The life is over: clients end.
    over: bool,
}

/// A seed's state, held by everybody.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Sim>>);

impl Shared {
    /// A seed that has not begun.
    pub fn new(plan: Plan, story: Story) -> Shared {
        let oracle = if plan.has(Fault::Lies) { Oracle::over_lies() } else { Oracle::default() };
        let stats = Stats::default();
        Shared(Arc::new(Mutex::new(Sim { plan, oracle, stats, story, steps_left: 0, over: false })))
    }

    /// The state.
    pub fn lock(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life begins, with so many steps.
    pub fn begin_life(&self, steps: u64) {
        let mut sim = self.lock();
        sim.steps_left = steps;
        sim.over = false;
    }

    /// Takes a step of this life; false when there is none left, or something was found.
    pub fn step(&self) -> bool {
        let mut sim = self.lock();
        if sim.is_over() || sim.steps_left == 0 {
            return false;
        }
        sim.steps_left -= 1;
        sim.stats.count("steps", 1);
        true
    }

    /// Steps that this life did not take.
    pub fn steps_left(&self) -> u64 {
        self.lock().steps_left
    }

    /// Ends the life: the node is going.
    pub fn end_life(&self) {
        self.lock().over = true;
    }

    /// Whether clients should end.
    pub fn is_over(&self) -> bool {
        self.lock().is_over()
    }

    /// Counts something.
    pub fn count(&self, what: &str, times: u64) {
        self.lock().stats.count(what, times);
    }

    /// Tells something that happened at a moment of the clients' clock.
    pub fn say(&self, now: u64, what: impl FnOnce() -> String) {
        self.lock().story.say(now, what);
    }

    /// Takes note of a broken promise that the caller saw.
    pub fn report(&self, promise: Promise, what: String) {
        self.lock().oracle.report(promise, what);
    }
}

impl Sim {
    fn is_over(&self) -> bool {
        self.over || self.oracle.violation().is_some()
    }
}
