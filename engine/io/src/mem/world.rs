//! What outlives a run of the simulated machine: disk, network and the running of time. Tests reach in here to
//! crash, damage, fill and look at the disk between runs or while one goes on.

use super::clock::WallClock;
use super::disk::{Disk, DiskOp};
use super::exec::Outcome;
use super::fate::{DamageHook, Fate, FaultCounts};
use super::faults::{Damage, Faults};
use super::net::Net;
use super::rng::Rng;
use super::trace::Trace;
use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Salts: scheduler, disk, network and crashes draw from streams of their own.
pub(super) const SCHEDULER_SALT: u64 = 1;
const DISK_SALT: u64 = 2;
const NET_SALT: u64 = 3;
const CRASH_SALT: u64 = 4;

/// How the last run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// Why it ended.
    pub outcome: Outcome,
    /// Polls of tasks.
    pub polls: u64,
    /// Polls, and events that came due: operations of the disk done, bytes arrived, timers.
    pub events: u64,
    /// Simulated time that passed.
    pub elapsed: Duration,
    /// A hash over everything that happened, in order. Same seed, same hash.
    pub trace: u64,
}

pub(super) struct Inner {
    pub(super) disk: RefCell<Disk>,
    pub(super) net: RefCell<Net>,
    pub(super) fate: Rc<Fate>,
    pub(super) clock: Cell<u64>,
    pub(super) wall: WallClock,
    last_run: RefCell<Option<RunReport>>,
}

/// Disk, network and clock of a simulated machine. Clones share it.
#[derive(Clone)]
pub struct MemWorld(pub(super) Rc<Inner>);

impl Default for MemWorld {
    fn default() -> Self {
        MemWorld::new()
    }
}

impl MemWorld {
    /// An empty disk, nobody on the network.
    pub fn new() -> MemWorld {
        let fate = Rc::<Fate>::default();
        MemWorld(Rc::new(Inner {
            disk: RefCell::new(Disk::new(Rng::new(0, DISK_SALT), Rc::clone(&fate))),
            net: RefCell::new(Net::new(Rng::new(0, NET_SALT), Rc::clone(&fate))),
            fate,
            clock: Cell::new(0),
            wall: WallClock::default(),
            last_run: RefCell::new(None),
        }))
    }

    pub(super) fn begin_run(&self, seed: u64, now: u64, trace: Rc<Trace>) {
        self.0.fate.begin_run(seed, now, trace);
        self.0.disk.borrow_mut().reseed(Rng::new(seed, DISK_SALT));
        self.0.net.borrow_mut().reseed(Rng::new(seed, NET_SALT));
    }

    pub(super) fn end_run(&self, report: RunReport) {
        self.0.disk.borrow_mut().process_gone();
        self.0.net.borrow_mut().process_gone();
        *self.0.last_run.borrow_mut() = Some(report);
    }

    /// How the last run ended, with its trace.
    pub fn last_run(&self) -> Option<RunReport> {
        self.0.last_run.borrow().clone()
    }

    /// Power loss, between two runs: every sector and every change of names that is not durable is kept or
    /// lost, each by a chance of its own, from `seed`.
    pub fn crash(&self, seed: u64) {
        self.0.fate.begin_crash(seed);
        self.0.disk.borrow_mut().crash(&mut Rng::new(seed, CRASH_SALT));
    }

    /// What may go wrong from now on, while a run goes on too. Counts and bounds go on; what is broken stays so,
    /// but for cut connections and black holes whose chance is zero now: they heal. A core's clock changes only
    /// when a run begins.
    pub fn set_faults(&self, faults: Faults) {
        self.0.fate.set_faults(faults);
        self.0.disk.borrow_mut().faults_changed();
        self.0.net.borrow_mut().faults_changed();
    }

    /// How often each fault happened since the world was made.
    pub fn fired(&self) -> FaultCounts {
        self.0.fate.counts()
    }

    /// The lasting harm that faults have done to what is stored, in order. Harm that a test did itself, and what
    /// a power loss may forget, are not in it.
    pub fn damage(&self) -> Vec<Damage> {
        self.0.fate.damage()
    }

    /// Asks `hook` before each lasting harm (file, position, length; for a name that would vanish the whole
    /// file): when it says no, nothing happens. `None` lets everything happen.
    pub fn set_damage_hook(&self, hook: Option<DamageHook>) {
        self.0.fate.set_damage_hook(hook);
    }

    /// Begins or ends to keep the story: the last 400 events as readable lines.
    pub fn set_story(&self, on: bool) {
        self.0.fate.story.set(on);
    }

    /// Takes the lines of the story.
    pub fn take_story(&self) -> Vec<String> {
        self.0.fate.story.take()
    }

    /// Bytes that were read from the disk since the world was made.
    pub fn bytes_read(&self) -> u64 {
        self.0.disk.borrow().bytes_read()
    }

    /// Bounds the disk to so many bytes in all; beyond it writes fail with `ENOSPC`.
    pub fn set_space_limit(&self, bytes: Option<u64>) {
        self.0.disk.borrow_mut().set_space_limit(bytes);
    }

    /// Makes the next operation of this kind on a file whose path contains `pattern` fail with `EIO`. A failed
    /// write has written some of its sectors; what a failed flush should have covered is never durable.
    pub fn fail_next(&self, op: DiskOp, pattern: &str) {
        self.0.disk.borrow_mut().fail_next(op, pattern);
    }

    /// Flips the bits of `mask` in the byte at `position`, on the device.
    pub fn corrupt(&self, path: impl AsRef<Path>, position: u64, mask: u8) -> io::Result<()> {
        self.0.disk.borrow_mut().by_path(path.as_ref())?.corrupt(position, mask);
        Ok(())
    }

    /// Cuts a file to `len` bytes, durably.
    pub fn cut(&self, path: impl AsRef<Path>, len: u64) -> io::Result<()> {
        self.0.disk.borrow_mut().by_path(path.as_ref())?.cut(len);
        Ok(())
    }

    /// The whole file, as a reader sees it.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let mut disk = self.0.disk.borrow_mut();
        let content = disk.by_path(path.as_ref())?;
        Ok(content.read(0, content.size() as usize))
    }

    /// Every file with its size, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.0.disk.borrow().files()
    }
}
