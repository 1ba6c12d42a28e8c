//! Chance and its book: draws the faults of a simulated machine from the seed, each kind in a stream of its own,
//! counts what it let happen and keeps the story. Does no harm itself: disk, network, clocks and cores do.

use super::faults::{Chance, Damage, Faults, Pace};
use super::rng::Rng;
use super::story::Story;
use super::trace::{Trace, What};
use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// How often each fault happened since the world was made, by name; those that never happened too.
pub type FaultCounts = BTreeMap<&'static str, u64>;

/// Says whether lasting harm may be done to `len` bytes of a file at a position.
pub type DamageHook = Box<dyn FnMut(&Path, u64, u64) -> bool>;

/// The shortest time of a heavy-tailed draw.
const TAIL_FROM_NANOS: u64 = 1_000_000;
/// Fault streams are salted with this and the number of the fault.
const FAULT_SALT: u64 = 100;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Fault {
    Crash,
    TornWrite,
    CrashReordered,
    CrashOldVersion,
    CrashLostName,
    VanishedName,
    MisdirectedWrite,
    LostWrite,
    Rot,
    ReadError,
    BadSectors,
    BadSectorRead,
    WriteError,
    FlushError,
    DirFlushError,
    Slow,
    Squeeze,
    NoSpace,
    HitConnection,
    RefusedConnect,
    LostConnect,
    NetStall,
    Reset,
    HalfClose,
    OneWayCut,
    BlackHole,
    Dead,
    WallJump,
    CoreClock,
    LateTimer,
    CoreStall,
    LateMessage,
}

const NAMES: [&str; 32] = [
    "crash",
    "torn_write",
    "crash_reordered",
    "crash_old_version",
    "crash_lost_name",
    "vanished_name",
    "misdirected_write",
    "lost_write",
    "rot",
    "read_error",
    "bad_sectors",
    "bad_sector_read",
    "write_error",
    "flush_error",
    "dir_flush_error",
    "slow",
    "squeeze",
    "no_space",
    "hit_connection",
    "refused_connect",
    "lost_connect",
    "net_stall",
    "reset",
    "half_close",
    "one_way_cut",
    "black_hole",
    "dead",
    "wall_jump",
    "core_clock",
    "late_timer",
    "core_stall",
    "late_message",
];

impl Fault {
    pub(super) fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// A fault's stream, how often it happened, and when it is due if time brings it.
#[derive(Debug)]
struct Lot {
    rng: Rng,
    fired: u64,
    due: Option<u64>,
}

/// The chance of one world. Disk, network, cores and hosts share it.
pub(super) struct Fate {
    faults: RefCell<Faults>,
    lots: RefCell<Vec<Lot>>,
    damage: RefCell<Vec<Damage>>,
    may_damage: RefCell<Option<DamageHook>>,
    trace: RefCell<Rc<Trace>>,
    now: Cell<u64>,
    /// Since when faults come with time: the beginning of the run or of these faults.
    since: Cell<u64>,
    pub(super) story: Story,
}

impl Default for Fate {
    fn default() -> Fate {
        let lots = NAMES.iter().map(|_| Lot { rng: Rng::new(0, 0), fired: 0, due: None }).collect();
        let fate = Fate {
            faults: RefCell::default(),
            lots: RefCell::new(lots),
            damage: RefCell::default(),
            may_damage: RefCell::default(),
            trace: RefCell::default(),
            now: Cell::new(0),
            since: Cell::new(0),
            story: Story::default(),
        };
        fate.reseed(0);
        fate
    }
}

impl std::fmt::Debug for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fate({:?})", self.faults.borrow())
    }
}

impl Fate {
    fn reseed(&self, seed: u64) {
        for (number, lot) in self.lots.borrow_mut().iter_mut().enumerate() {
            lot.rng = Rng::new(seed, FAULT_SALT + number as u64);
            lot.due = None;
        }
    }

    /// A run begins at a moment: draws from its seed, and goes into its trace.
    pub(super) fn begin_run(&self, seed: u64, now: u64, trace: Rc<Trace>) {
        self.reseed(seed);
        self.now.set(now);
        self.since.set(now);
        *self.trace.borrow_mut() = trace;
    }

    /// A power loss begins, with a seed of its own.
    pub(super) fn begin_crash(&self, seed: u64) {
        self.reseed(seed);
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        *self.faults.borrow_mut() = faults;
        self.since.set(self.now());
        self.lots.borrow_mut().iter_mut().for_each(|lot| lot.due = None);
    }

    pub(super) fn faults(&self) -> Ref<'_, Faults> {
        self.faults.borrow()
    }

    /// The simulated time, as the executor last set it.
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    pub(super) fn set_now(&self, now: u64) {
        self.now.set(now);
    }

    pub(super) fn set_damage_hook(&self, hook: Option<DamageHook>) {
        *self.may_damage.borrow_mut() = hook;
    }

    /// Whether an operation meets this fault. Says nothing to anybody: see [`Fate::happened`].
    pub(super) fn draws(&self, fault: Fault, chance: Chance) -> bool {
        if chance.per_million == 0 {
            return false;
        }
        let lot = &mut self.lots.borrow_mut()[fault as usize];
        lot.rng.below(1_000_000) < u64::from(chance.per_million)
            && chance.most.is_none_or(|most| lot.fired < most)
    }

    /// Whether the fault is due by the time that has passed; what was missed before is not made up for.
    pub(super) fn is_due(&self, fault: Fault, pace: Pace) -> bool {
        let is_due = self.times_due(fault, pace, 1) == 1;
        if is_due && let Some(due) = &mut self.lots.borrow_mut()[fault as usize].due {
            *due = (*due).max(self.now());
        }
        is_due
    }

    /// How often the fault is due by the time that has passed, `most` times at most; the rest stays due.
    pub(super) fn times_due(&self, fault: Fault, pace: Pace, most: u64) -> u64 {
        if pace.every.is_zero() {
            return 0;
        }
        let twice = 2 * pace.every.as_nanos().min(u128::from(u64::MAX / 4)) as u64;
        let lot = &mut self.lots.borrow_mut()[fault as usize];
        let most = most.min(pace.most.map_or(u64::MAX, |bound| bound.saturating_sub(lot.fired)));
        let mut due = lot.due.unwrap_or_else(|| self.since.get().saturating_add(1 + lot.rng.below(twice)));
        let mut times = 0;
        while times < most && due <= self.now() {
            due = due.saturating_add(1 + lot.rng.below(twice));
            times += 1;
        }
        lot.due = Some(due);
        times
    }

    /// A number under `end` from the fault's own stream.
    pub(super) fn below(&self, fault: Fault, end: u64) -> u64 {
        self.lots.borrow_mut()[fault as usize].rng.below(end)
    }

    /// Heads or tails from the fault's own stream.
    pub(super) fn coin(&self, fault: Fault) -> bool {
        self.below(fault, 2) == 1
    }

    /// A time with a heavy tail in nanoseconds: each doubling from 1 ms to `most` is as likely as any other.
    pub(super) fn tail_nanos(&self, fault: Fault, most: Duration) -> u64 {
        let most = most.as_nanos().min(u128::from(u64::MAX / 4)) as u64;
        if most <= TAIL_FROM_NANOS {
            return most;
        }
        let doublings = u64::from((most / TAIL_FROM_NANOS).ilog2());
        let low = TAIL_FROM_NANOS << self.below(fault, doublings + 1);
        low + self.below(fault, (most - low).min(low) + 1)
    }

    /// A fault happened: counts it, and tells trace and story.
    pub(super) fn happened<T: Display>(&self, fault: Fault, detail: u64, what: impl FnOnce() -> T) {
        self.lots.borrow_mut()[fault as usize].fired += 1;
        self.trace.borrow().event(What::Fault, fault as u64, detail);
        self.tell(|| format!("FAULT {}: {}", fault.name(), what()));
    }

    /// Counts what is no fault that was drawn, but what a power loss or a kill may do anyway.
    pub(super) fn count(&self, fault: Fault, times: u64) {
        self.lots.borrow_mut()[fault as usize].fired += times;
    }

    /// Writes a line of the story, if anybody wants one.
    pub(super) fn tell<T: Display>(&self, what: impl FnOnce() -> T) {
        if self.story.is_on() {
            self.story.add(self.now.get(), what());
        }
    }

    /// Whether the simulator lets these bytes be harmed for good.
    pub(super) fn may_damage(&self, path: &Path, position: u64, len: u64) -> bool {
        self.may_damage.borrow_mut().as_mut().is_none_or(|hook| hook(path, position, len))
    }

    /// Writes down lasting harm.
    pub(super) fn damaged(&self, fault: Fault, path: PathBuf, position: u64, len: u64) {
        self.damage.borrow_mut().push(Damage { fault: fault.name(), path, position, len });
    }

    pub(super) fn damage(&self) -> Vec<Damage> {
        self.damage.borrow().clone()
    }

    pub(super) fn counts(&self) -> FaultCounts {
        NAMES.iter().copied().zip(self.lots.borrow().iter().map(|lot| lot.fired)).collect()
    }
}

/// Whether one of `paths` is in `path`; none of them is all.
pub(super) fn is_among(path: &Path, paths: &[String]) -> bool {
    if paths.is_empty() {
        return true;
    }
    let path = path.to_string_lossy();
    paths.iter().any(|part| path.contains(part))
}
