//! One seed from an empty disk to the last check: lives of the node with kills, power losses, rot and restarts between
//! them, clients that outlive them, and a last life without faults in which everything must heal.

pub mod faults;
mod life;

use crate::chance::Chance;
use crate::load::{Crew, Leave};
use crate::oracle::{Promise, Violation};
use crate::plan::Plan;
use crate::report::{Stats, Story, counted};
use crate::scenario::Fault;
use crate::sim::Shared;
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_node::check::check;
use life::{End, Life};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

pub use life::quiet_panics;

/// Where the simulated node keeps its data.
pub const DATA: &str = "/data";
/// Acks from memory are flushed long before this, unless the disk is slow or timers are late.
const MEMORY_FLUSHED_WITHIN: Duration = Duration::from_secs(2);
/// Bytes that rot between two lives, at most.
const ROT_BYTES_MAX: u64 = 4;

/// What came of a seed.
#[derive(Debug)]
pub struct Verdict {
    /// What was run.
    pub plan: Plan,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// What happened how often.
    pub stats: Stats,
    /// A number over everything that happened: the same seed and plan give the same.
    pub trace: u64,
    /// Simulated events.
    pub events: u64,
    /// The last things that happened, when the story was kept.
    pub story: Vec<String>,
}

/// A seed under way.
struct Course {
    plan: Plan,
    world: MemWorld,
    shared: Shared,
    crew: Crew,
    chance: Chance,
    trace: u64,
    events: u64,
    served: bool,
    /// The node refused to start because of damage, and said so.
    refused: bool,
}

/// Lives through a plan.
pub fn run(plan: &Plan, story: Story) -> Verdict {
    let shared = Shared::new(plan.clone(), story);
    let mut course = Course {
        plan: plan.clone(),
        world: MemWorld::new(),
        crew: Crew::of(plan),
        chance: Chance::of(plan.seed, 0x11fe),
        shared: shared.clone(),
        trace: 0,
        events: 0,
        served: false,
        refused: false,
    };
    let listens = shared.lock().story.listens();
    course.world.set_story(listens);
    let (lived, ways) = counted(|| catch_unwind(AssertUnwindSafe(|| course.live())));
    if lived.is_err() {
        shared.report(Promise::NoPanic, life::take_panic());
    }
    shared.lock().stats.add(&ways);
    course.verdict()
}

impl Course {
    fn live(&mut self) {
        let mut left = self.plan.steps;
        for number in 0..self.plan.lives {
            let last = number + 1 == self.plan.lives;
            let steps = if last { left } else { left / (self.plan.lives - number) };
            self.shared.begin_life(steps);
            let life = self.draw_life(number, last);
            let end = self.one_life(life);
            left -= steps - self.shared.steps_left();
            if self.is_over() {
                return;
            }
            self.between_lives(&end, last);
            if self.is_over() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.refused || self.shared.lock().oracle.violation().is_some()
    }

    fn draw_life(&mut self, number: u64, last: bool) -> Life {
        let seed = self.chance.next();
        let dies = self.plan.has(Fault::Kill) || self.plan.has(Fault::PowerLoss);
        let early = self.plan.has(Fault::KillInRecovery) && self.chance.one_in(1, 3);
        let polls_max = if early { 1_000 } else { self.plan.polls_max };
        let polls = self.chance.skewed(10, polls_max);
        let kill_after = (!last && dies && self.chance.one_in(7, 10)).then_some(polls);
        let settled = self.chance.one_in(1, 2);
        let peace = self.chance.one_in(1, 2) && !last && kill_after.is_none() && self.plan.can_heal();
        let leave = if last || peace || settled { Leave::Settled } else { Leave::Abruptly };
        Life { number, last, seed, kill_after, leave, peace }
    }

    fn one_life(&mut self, life: Life) -> End {
        let faults = if life.last { None } else { Some(faults::of(&self.plan, &mut self.chance)) };
        self.world.set_faults(faults.unwrap_or_default());
        self.shared.say(0, || format!("life {} begins: {life:?}", life.number));
        let mut end = life::live(&self.plan, life, &self.world, &self.shared, &self.crew);
        if let Some(report) = self.world.last_run() {
            self.events += report.events;
            self.trace = (self.trace ^ report.trace).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        }
        self.served |= end.served;
        // The life's clock was last looked at a moment before its end; what was asked since is younger.
        end.at = end.at.max(self.shared.lock().oracle.latest());
        self.crew.take_fates(&self.shared, end.at);
        end
    }

    /// What happens to a directory whose process is gone.
    fn between_lives(&mut self, end: &End, last: bool) {
        if last {
            return;
        }
        let mut crashed = end.crashed;
        // The life's faults say what a power loss does; nobody else meets them.
        if crashed
            && self.plan.has(Fault::PowerLoss)
            && (!self.plan.has(Fault::Kill) || self.chance.one_in(2, 3))
        {
            self.world.crash(self.chance.next());
            self.shared.count("fault: power loss", 1);
        } else if crashed {
            self.shared.count("fault: kill", 1);
        }
        self.world.set_faults(flumen_io::mem::Faults::default());
        crashed |= end.failed;
        let unreliable = [Fault::SlowDisk, Fault::Clock, Fault::DiskErrors, Fault::FullDisk];
        let reliable = !unreliable.iter().any(|fault| self.plan.has(*fault));
        let bound = reliable.then_some(MEMORY_FLUSHED_WITHIN.as_nanos() as u64);
        self.shared.lock().oracle.process_gone(crashed, end.at, bound);
        let rots = !crashed && self.plan.has(Fault::Rot);
        // Whoever does not come back because of damage, and says so, will not come back after the next start either.
        self.refused = end.failed && !end.served && self.plan.has_damage();
        self.shared.count("nodes that refused a damaged directory", u64::from(self.refused));
        if self.chance.one_in(1, 2) {
            self.check();
        }
        if rots {
            self.rot();
        }
    }

    /// `check` on the directory: a crash is no damage.
    fn check(&mut self) {
        self.shared.count("checks", 1);
        let seed = self.chance.next();
        match check(MemMachine::new(self.world.clone(), seed), DATA.into(), self.plan.limits()) {
            Ok(report) => {
                let whole = report.damage.is_empty()
                    && report.partitions.iter().all(|partition| partition.damaged.is_none());
                self.shared.count("recovery: torn tails that check met", report.torn as u64);
                if !whole && !self.plan.has_damage() {
                    let what = format!(
                        "check finds damage where none was done: {:?}; partitions: {:?}",
                        report.damage, report.partitions
                    );
                    self.shared.report(Promise::DamageReported, what);
                }
            }
            Err(_) if !self.served || self.plan.has_damage() => {}
            Err(error) => {
                let what = format!("check fails on a directory that served before: {error}");
                self.shared.report(Promise::NodeServes, what);
            }
        }
    }

    /// Single bytes go bad on the device.
    fn rot(&mut self) {
        let files: Vec<_> = self.world.files().into_iter().filter(|(_, size)| *size > 0).collect();
        for _ in 0..self.chance.between(1, ROT_BYTES_MAX) {
            let Some((path, size)) = self.chance.pick(&files).cloned() else { return };
            // The beginning of a file is more often in use than its end.
            let position = self.chance.skewed(1, size) - 1;
            let mask = 1 << self.chance.below(8);
            if self.world.corrupt(&path, position, mask).is_ok() {
                self.shared.count("fault: rot between lives", 1);
                self.shared.say(0, || format!("a byte of {} rots at {position}", path.display()));
                if path.extension().is_some_and(|kind| kind == "log") && self.chance.one_in(1, 2) {
                    self.rot_proof(&path.with_extension("idx"), position);
                }
            }
        }
    }

    /// What proves a segment's damaged chunk goes bad too: its entry in the index (FORMAT-segments.md).
    fn rot_proof(&mut self, index: &Path, position: u64) {
        let entry = (1 << 12) + (position >> 16) * 64;
        let place = entry + self.chance.below(64);
        if self.world.corrupt(index, place, 1).is_ok() {
            self.shared.count("fault: rot of a chunk and its proof", 1);
            self.shared.say(0, || format!("a byte of {} rots at {place}", index.display()));
        }
    }

    fn verdict(mut self) -> Verdict {
        let fired = self.world.fired();
        let mut sim = self.shared.lock();
        for (name, times) in faults::counts(&fired) {
            sim.stats.count(&format!("fault: {name}"), times);
        }
        sim.stats.count("seeds", 1);
        sim.stats.count("events", self.events);
        let sent = sim.oracle.ledger.count() as u64;
        self.trace = (self.trace ^ sent).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut story = self.world.take_story();
        if !story.is_empty() {
            let from = story.len().saturating_sub(40);
            story = story.split_off(from);
            story.insert(0, "the machine, last events:".to_string());
        }
        story.push("the clients, last events:".to_string());
        story.extend(sim.story.lines());
        let verdict = Verdict {
            plan: self.plan.clone(),
            violation: sim.oracle.violation().cloned(),
            stats: sim.stats.clone(),
            trace: self.trace,
            events: self.events,
            story,
        };
        drop(sim);
        // A killed node leaves its memory behind, and the disk with it.
        for (path, _) in self.world.files() {
            let _ = self.world.cut(path, 0);
        }
        verdict
    }
}
