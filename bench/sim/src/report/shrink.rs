//! The smallest case that still breaks the same promise: fewer steps, then fewer clients, then faults switched off one
//! by one. Each try is a whole run of the same seed; there is a bound on tries.

use crate::oracle::Promise;
use crate::plan::{Client, Plan};
use crate::report::Story;
use crate::run::{Verdict, run};

/// Tries at most; each takes as long as the seed.
const TRIES_MAX: usize = 60;

/// The smallest case that was found.
#[derive(Debug)]
pub struct Shrunk {
    /// Its verdict, with the story.
    pub verdict: Verdict,
    /// How many runs that took.
    pub tries: usize,
}

struct Shrinking {
    promise: Promise,
    best: Plan,
    tries: usize,
}

impl Shrinking {
    /// Whether a plan breaks the same promise; then it is the best one.
    fn fails(&mut self, plan: Plan) -> bool {
        if self.tries >= TRIES_MAX || plan == self.best {
            return false;
        }
        self.tries += 1;
        let verdict = run(&plan, Story::silent());
        let same = verdict.violation.is_some_and(|violation| violation.promise == self.promise);
        if same {
            self.best = plan;
        }
        same
    }

    fn fewer_steps(&mut self) {
        while self.best.steps > 1 && self.fails(Plan { steps: self.best.steps / 2, ..self.best.clone() }) {}
        let mut part = self.best.steps / 4;
        while part > 0 {
            if !self.fails(Plan { steps: self.best.steps - part, ..self.best.clone() }) {
                part /= 2;
            }
        }
    }

    fn fewer_lives(&mut self) {
        while self.best.lives > 1 && self.fails(Plan { lives: self.best.lives - 1, ..self.best.clone() }) {}
    }

    fn fewer_clients(&mut self) {
        for client in self.best.clients.clone() {
            let mut plan = self.best.clone();
            plan.clients.retain(|one| *one != client || *one == Client::Operator);
            self.fails(plan);
        }
    }

    fn fewer_faults(&mut self) {
        for fault in self.best.faults.clone() {
            let mut plan = self.best.clone();
            plan.faults.remove(&fault);
            self.fails(plan);
        }
    }
}

/// Shrinks a plan that broke a promise, and runs the result once more with its story.
pub fn shrink(plan: &Plan, promise: Promise) -> Shrunk {
    let mut shrinking = Shrinking { promise, best: plan.clone(), tries: 0 };
    shrinking.fewer_steps();
    shrinking.fewer_lives();
    shrinking.fewer_clients();
    shrinking.fewer_faults();
    shrinking.fewer_steps();
    Shrunk { verdict: run(&shrinking.best, Story::kept()), tries: shrinking.tries + 1 }
}
