//! One life of the node: started on the machine with the clients beside it, until they are done, it is killed, or it
//! fails.

use super::{DATA, MEMORY_FLUSHED_WITHIN};
use crate::face::NATIVE;
use crate::load::{Crew, Leave, verify};
use crate::oracle::{Promise, Recovery};
use crate::plan::Plan;
use crate::scenario::Fault;
use crate::sim::Shared;
use flumen_io::mem::{Faults, MemHost, MemMachine, MemWorld, Outcome};
use flumen_io::{Host, Machine};
use flumen_model::topic::TopicSettings;
use flumen_model::{Code, Error};
use flumen_node::{Handle, Main, NodeConfig, Observer, mains};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// No life is longer, in simulated time: whoever hangs is seen.
const LIFE_MAX: Duration = Duration::from_secs(1800);
/// A node is ready within this time when nothing keeps it.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Something turns in circles beyond this.
const POLLS_MAX: u64 = 200_000_000;

/// What a life is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) number: u64,
    /// Without faults; everything heals.
    pub(super) last: bool,
    pub(super) seed: u64,
    pub(super) kill_after: Option<u64>,
    pub(super) leave: Leave,
    /// Its faults end in the middle of it, and all must heal without a restart.
    pub(super) peace: bool,
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    /// The process was killed.
    pub(super) crashed: bool,
    /// The node gave up by itself.
    pub(super) failed: bool,
    /// It was ready.
    pub(super) served: bool,
    /// The clients' clock at the end, or shortly before.
    pub(super) at: u64,
}

/// What the node tells.
#[derive(Default)]
struct Seen {
    ready: OnceLock<SocketAddr>,
    failed: OnceLock<Error>,
    at: std::sync::atomic::AtomicU64,
}

impl Observer for Seen {
    fn formatting(&self, _: u64, _: u64) {}

    fn ready(&self, native: SocketAddr) {
        let _ = self.ready.set(native);
    }

    fn failed(&self, error: Error) {
        let _ = self.failed.set(error);
    }
}

fn config(plan: &Plan) -> NodeConfig {
    NodeConfig {
        data: DATA.into(),
        require_existing: false,
        native: NATIVE.parse().expect("a constant address"),
        shards: plan.shards,
        limits: plan.limits(),
        topic_defaults: TopicSettings::default(),
        version: "simulated",
    }
}

/// Lives it.
pub(super) fn live(plan: &Plan, life: Life, world: &MemWorld, shared: &Shared, crew: &Crew) -> End {
    let mut machine = MemMachine::new(world.clone(), life.seed).stop_after(LIFE_MAX).poll_budget(POLLS_MAX);
    if let Some(polls) = life.kill_after {
        machine = machine.stop_after_polls(polls);
    }
    let seen = Arc::new(Seen::default());
    let handle = Arc::new(Handle::new(plan.cores));
    let mut all: Vec<Main<MemHost>> =
        mains(&mut machine, plan.cores, config(plan), seen.clone(), handle.clone());
    let (mine, seen_by, crew, bytes_read) = (shared.clone(), seen.clone(), crew.clone(), world.bytes_read());
    all.push(Box::new(move |host| {
        Box::pin(async move {
            let at_peace = Rc::new(Cell::new(life.last));
            let conductor = Conductor { shared: mine, seen: seen_by, crew, life, bytes_read, at_peace };
            conductor.conduct(&host).await;
            handle.stop();
        })
    }));
    shared.count("lives", 1);
    if let Err(error) = machine.run(all) {
        shared.report(Promise::NodeServes, format!("the machine: {error}"));
    }
    judge(plan, life, world, shared, &seen)
}

/// What the end of a life says.
fn judge(plan: &Plan, life: Life, world: &MemWorld, shared: &Shared, seen: &Seen) -> End {
    let report = world.last_run().expect("it has just run");
    let stopped = report.outcome == Outcome::Stopped;
    let killed = stopped && life.kill_after.is_some_and(|polls| report.polls >= polls);
    let failed = seen.failed.get().cloned();
    let served = seen.ready.get().is_some();
    if let Some(error) = &failed {
        shared.count(&format!("node ended by itself: {:?}", error.code), 1);
        if !may_fail(plan, life, error) {
            let what = format!("the node failed in life {}: {:?} {error}", life.number, error.code);
            shared.report(Promise::NodeServes, what);
        }
    } else if stopped && !killed {
        let what = format!("life {} did not end within {LIFE_MAX:?}", life.number);
        shared.report(Promise::Heals, what);
    }
    let in_recovery = killed && !served;
    shared.count("fault: kill before the node was ready", u64::from(in_recovery));
    shared.count("lives that ended cleanly", u64::from(!stopped && failed.is_none()));
    let at = seen.at.load(std::sync::atomic::Ordering::Relaxed);
    End { crashed: stopped, failed: failed.is_some(), served, at }
}

/// Whether a node may give up: its disk failed it, or its directory is damaged and it says so.
fn may_fail(plan: &Plan, life: Life, error: &Error) -> bool {
    match plan.has_damage() {
        true => matches!(error.code, Code::Corrupt | Code::LogFailed | Code::InvalidRequest),
        false => plan.may_fail() && !life.last,
    }
}

/// Runs the clients of a life.
struct Conductor {
    shared: Shared,
    seen: Arc<Seen>,
    crew: Crew,
    life: Life,
    /// What was read from the disk before this life.
    bytes_read: u64,
    /// No fault is left.
    at_peace: Rc<Cell<bool>>,
}

impl Conductor {
    async fn conduct(self, host: &MemHost) {
        if !self.is_ready(host).await {
            return;
        }
        drop(host.spawn(watch(host.clone(), self.shared.clone(), self.seen.clone())));
        self.verify(host, true).await;
        if self.life.peace {
            drop(host.spawn(end_faults(host.clone(), self.shared.clone(), self.at_peace.clone())));
        }
        let heals = self.life.last || self.life.peace;
        let left = self.crew.work(host, &self.shared, self.life.number, self.life.leave, heals).await;
        if self.at_peace.get() && !self.shared.is_over() {
            self.heal(host, left).await;
        }
    }

    /// All faults are over: everything must heal in time.
    async fn heal(&self, host: &MemHost, left: usize) {
        if left > 0 {
            let what =
                format!("{left} producers still wait for their records' fate when all faults are over");
            self.shared.report(Promise::Heals, what);
        }
        verify::takes_records(host, &self.shared).await;
        // What was acked from memory is committed by then.
        host.sleep(MEMORY_FLUSHED_WITHIN).await;
        self.verify(host, false).await;
    }

    async fn is_ready(&self, host: &MemHost) -> bool {
        let began = host.now();
        let until = began.plus(READY_WITHIN);
        while self.seen.ready.get().is_none() {
            if self.seen.failed.get().is_some() {
                return false;
            }
            if host.now() >= until {
                if self.must_answer() {
                    let what = format!("the node is not ready after {READY_WITHIN:?}");
                    self.shared.report(Promise::NodeServes, what);
                }
                return false;
            }
            host.sleep(Duration::from_millis(1)).await;
        }
        self.judge_recovery(host, host.now().since(began));
        true
    }

    fn judge_recovery(&self, host: &MemHost, took: Duration) {
        let bytes_read = host.world().bytes_read() - self.bytes_read;
        let mut sim = self.shared.lock();
        let journal_bytes = sim.plan.journal_bytes * u64::from(sim.plan.shards);
        let unhindered = sim.plan.is_unhindered() || self.life.last;
        sim.stats.most("percent of the journals read in a recovery", bytes_read * 100 / journal_bytes);
        if unhindered {
            sim.stats.most("milliseconds of an unhindered recovery", took.as_millis() as u64);
        }
        sim.oracle.recovered(&Recovery { bytes_read, journal_bytes, took, unhindered });
    }

    fn must_answer(&self) -> bool {
        let sim = self.shared.lock();
        let disturbs = [Fault::DiskErrors, Fault::FullDisk, Fault::SlowDisk, Fault::Network, Fault::Clock];
        self.at_peace.get() || !disturbs.iter().any(|fault| sim.plan.has(*fault))
    }

    async fn verify(&self, host: &MemHost, settled: bool) {
        self.shared.say(host.now().0, || "everything is verified".to_string());
        if let Err(verify::Unanswered(why)) = verify::everything(host, &self.shared, settled).await {
            self.shared.count("verifications without an answer", 1);
            let damaged = self.shared.lock().plan.has_damage();
            if self.must_answer() && !damaged && self.seen.failed.get().is_none() {
                self.shared.report(Promise::NodeServes, format!("a verification got no answer: {why}"));
            }
        }
    }
}

/// Ends all faults when half of the life's steps are taken.
async fn end_faults(host: MemHost, shared: Shared, at_peace: Rc<Cell<bool>>) {
    let half = shared.steps_left() / 2;
    while shared.steps_left() > half && !shared.is_over() {
        host.sleep(Duration::from_millis(20)).await;
    }
    shared.say(host.now().0, || "all faults end".to_string());
    shared.count("lives whose faults ended in the middle", 1);
    host.world().set_faults(Faults::default());
    at_peace.set(true);
}

/// Ends the life when the node fails, and keeps the time for whoever looks at it afterwards.
async fn watch(host: MemHost, shared: Shared, seen: Arc<Seen>) {
    loop {
        seen.at.store(host.now().0, std::sync::atomic::Ordering::Relaxed);
        if seen.failed.get().is_some() {
            shared.end_life();
            return;
        }
        host.sleep(Duration::from_millis(100)).await;
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic says instead of printing it: a panic of the simulated process is a finding like any other.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.to_string();
        PANIC.with(|kept| kept.borrow_mut().get_or_insert(said).truncate(2_000));
    }));
}

pub(super) fn take_panic() -> String {
    PANIC.with(|kept| kept.borrow_mut().take()).unwrap_or_else(|| "a panic that says nothing".to_string())
}
