//! The simulated machine: several cores on one thread, run by a seed over a [`MemWorld`].

use super::channel::{MemRxHalf, MemTxHalf, channel};
use super::exec::{Bounds, Exec, Outcome};
use super::host::MemHost;
use super::rng::Rng;
use super::trace::Trace;
use super::world::{MemWorld, RunReport, SCHEDULER_SALT};
use crate::seam::{Core, Machine};
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// What passes between two runs, so that wall clocks and monotonic ones move on.
const REBOOT_NANOS: u64 = 1_000_000_000;

/// One run of the simulated machine.
pub struct MemMachine {
    world: MemWorld,
    seed: u64,
    stop_after: Option<Duration>,
    bounds: Bounds,
}

impl MemMachine {
    /// A machine over `world`, every choice of which comes from `seed`.
    pub fn new(world: MemWorld, seed: u64) -> MemMachine {
        MemMachine { world, seed, stop_after: None, bounds: Bounds::default() }
    }

    /// Kills the process after so much simulated time: all tasks are dropped, memory is gone, the world stays.
    pub fn stop_after(mut self, time: Duration) -> MemMachine {
        self.stop_after = Some(time);
        self
    }

    /// Kills the process after so many polls.
    pub fn stop_after_polls(mut self, polls: u64) -> MemMachine {
        self.bounds.stop_after_polls = Some(polls);
        self
    }

    /// Fails the run after so many polls: something turns in circles.
    pub fn poll_budget(mut self, polls: u64) -> MemMachine {
        self.bounds.poll_budget = Some(polls);
        self
    }
}

impl Machine for MemMachine {
    type Host = MemHost;

    fn channel<T: Send + 'static>(&mut self, capacity: usize) -> (MemTxHalf<T>, MemRxHalf<T>) {
        channel(capacity)
    }

    /// Ends well when the mains return and when the test's stop is reached (see [`MemWorld::last_run`]); fails
    /// on a deadlock, naming the tasks that wait, and on a used up budget.
    fn run<M, F>(self, mains: Vec<M>) -> io::Result<()>
    where
        M: FnOnce(MemHost) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let start = self.world.0.clock.get();
        let trace = Rc::new(Trace::default());
        self.world.begin_run(self.seed, start, trace.clone());
        let fate = self.world.0.fate.clone();
        let exec = Exec::new(Rng::new(self.seed, SCHEDULER_SALT), trace, fate);
        for (core, main) in mains.into_iter().enumerate() {
            let host = MemHost::new(exec.clone(), self.world.clone(), Core(core));
            // A main is called on its own core, as on a real machine.
            exec.add_main(core, async move { main(host).await });
        }
        let stop_at = self.stop_after.map(|time| start.saturating_add(time.as_nanos() as u64));
        let outcome = exec.run(Bounds { stop_at, ..self.bounds });
        let end = exec.now().0;
        self.world.0.clock.set(end + REBOOT_NANOS);
        self.world.end_run(RunReport {
            outcome: outcome.clone(),
            polls: exec.polls(),
            events: exec.events(),
            elapsed: Duration::from_nanos(end - start),
            trace: exec.trace.value(),
        });
        match outcome {
            Outcome::Finished | Outcome::Stopped => Ok(()),
            Outcome::Deadlock(tasks) => Err(io::Error::other(format!(
                "deadlock: nothing is ready and nothing is due; these tasks wait: {}",
                tasks.join("; ")
            ))),
            Outcome::OutOfBudget(tasks) => Err(io::Error::other(format!(
                "the budget of {} polls is used up; these tasks are ready: {}",
                exec.polls(),
                tasks.join("; ")
            ))),
        }
    }
}
