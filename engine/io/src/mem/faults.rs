//! What may go wrong in a simulated machine, and how often: plain data, all off by default. Every draw comes from
//! the seed of the run, in streams that nothing else draws from, so that a fault that is off changes nothing.
//! Decides nothing itself.

use std::time::Duration;

/// How often something befalls an operation, and how often at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance {
    /// Of a million operations, so many are hit. Zero is never, a million always.
    pub per_million: u32,
    /// At most so many in the life of the world; `None` is no bound.
    pub most: Option<u64>,
}

impl Chance {
    /// Hits so many of a million, without a bound.
    pub fn per_million(per_million: u32) -> Chance {
        Chance { per_million, most: None }
    }

    /// Hits at most so many in the life of the world.
    pub fn at_most(self, most: u64) -> Chance {
        Chance { most: Some(most), ..self }
    }

    /// Hits only files whose path contains one of these.
    pub fn on(self, paths: &[&str]) -> FileChance {
        FileChance { chance: self, paths: paths.iter().map(|path| (*path).to_owned()).collect() }
    }
}

/// How often something befalls an operation on files, and on which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChance {
    /// How often, counted over the operations on the files that `paths` names.
    pub chance: Chance,
    /// Hits only files whose path contains one of these; empty is every file.
    pub paths: Vec<String>,
}

impl From<Chance> for FileChance {
    fn from(chance: Chance) -> FileChance {
        FileChance { chance, paths: Vec::new() }
    }
}

/// How often something happens as simulated time goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The mean time between two; zero is never. Each wait is drawn from nothing to twice as long.
    pub every: Duration,
    /// At most so many in the life of the world; `None` is no bound.
    pub most: Option<u64>,
}

impl Pace {
    /// Once in `every` on average, without a bound.
    pub fn every(every: Duration) -> Pace {
        Pace { every, most: None }
    }

    /// At most so many in the life of the world.
    pub fn at_most(self, most: u64) -> Pace {
        Pace { most: Some(most), ..self }
    }
}

/// Everything that may go wrong. [`Faults::default`] is a machine without faults; given to
/// [`super::MemWorld::set_faults`] while a run goes on, it begins the healing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Of the disk.
    pub disk: DiskFaults,
    /// Of the network.
    pub net: NetFaults,
    /// Of the clocks.
    pub clock: ClockFaults,
    /// Of the cores.
    pub cores: CoreFaults,
}

/// What may go wrong with the disk. What a power loss may do by itself, tearing at sectors and forgetting what
/// was not flushed, needs no fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// Each power loss draws its own shape: every sector by itself (as without this), whole writes kept or lost
    /// in any order, everything up to some write and nothing after, all, nothing. And a sector that was written
    /// several times while not durable may come back in any of its versions.
    pub shaped_crashes: bool,
    /// A power loss forgets a durable name of a file. Counted over the names at each power loss. Lasting.
    pub vanished_name: FileChance,
    /// A write is acknowledged and lands whole at another block of the same file, or of another file in the same
    /// directory; what it should have written stays as it was. Never grows a file. Lasting.
    pub misdirected_write: FileChance,
    /// A write is acknowledged and never happens. Lasting.
    pub lost_write: FileChance,
    /// Bits of durable sectors flip, one at a time. Lasting.
    pub rot: Pace,
    /// Rot hits only files whose path contains one of these; empty is every file.
    pub rot_paths: Vec<String>,
    /// A read fails with `EIO`; the next may succeed.
    pub read_error: FileChance,
    /// Up to 8 sectors under a read go bad: every read that touches them fails with `EIO` until they are written
    /// again. Lasting.
    pub bad_sectors: FileChance,
    /// A write fails with `EIO` after some of its sectors were written, none of them durable.
    pub write_error: FileChance,
    /// A flush of a file fails with `EIO`. What it should have covered is never sure to be durable, though a later
    /// flush may succeed and lies (Linux marks the pages clean).
    pub flush_error: FileChance,
    /// A flush of a directory fails with `EIO`: its names are not sure before a later one succeeds.
    pub dir_flush_error: FileChance,
    /// An operation takes much longer.
    pub slow: FileChance,
    /// How much longer at most; the time is drawn with a heavy tail from 1 ms on.
    pub slow_most: Duration,
    /// The free space changes: by turns it shrinks to at most [`DiskFaults::squeeze_free_most`] and comes back.
    pub squeeze: Pace,
    /// How many bytes stay free at most when the space shrinks; drawn from zero to this.
    pub squeeze_free_most: u64,
}

/// What may go wrong with connections. Each connection draws its luck when it is made: only those that are hit
/// can meet any of these later, so that a run is never all dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetFaults {
    /// Of a million connections, so many can be hit.
    pub hit_per_million: u32,
    /// Hits only connections to these ports; empty is every port.
    pub ports: Vec<u16>,
    /// A connect that can be hit is refused.
    pub refused_connect: Chance,
    /// A connect that can be hit ends with `TimedOut` after [`NetFaults::connect_timeout`].
    pub lost_connect: Chance,
    /// How long a lost connect takes to fail; zero is 5 s.
    pub connect_timeout: Duration,
    /// A send arrives late, and so does everything behind it in the same direction.
    pub stall: Chance,
    /// How late at most; drawn with a heavy tail from 1 ms on.
    pub stall_most: Duration,
    /// At a send, both ends are reset, and the bytes on their way are lost.
    pub reset: Chance,
    /// At a send, the direction ends behind it: the peer reads the end, the sender can write no more, the other
    /// direction goes on.
    pub half_close: Chance,
    /// From a send on, one direction brings nothing: neither bytes nor the end nor a reset. The sender can write
    /// until the buffers are full. Ends when this is set to zero: then what was held arrives.
    pub one_way_cut: Chance,
    /// Like a cut, of both directions.
    pub black_hole: Chance,
    /// Like a black hole, for ever: no healing ends it.
    pub dead: Chance,
}

/// What may go wrong with clocks and timers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockFaults {
    /// The wall clock jumps, forward or back.
    pub wall_jump: Pace,
    /// How far the wall clock is wrong at most, and so the longest jump is twice that; drawn with a heavy tail
    /// from 1 ms on.
    pub wall_error_most: Duration,
    /// Each core's own monotonic clock is ahead by a constant that is drawn from zero to this when a run begins.
    /// Kinder machines have one clock for all cores ([`crate::Mono`]): use it to find who counts on that.
    pub core_ahead_most: Duration,
    /// Each core's own monotonic clock, and its timers with it, is faster or slower by a constant that is drawn up
    /// to so many parts in a million when a run begins; at most 500,000.
    pub core_drift_ppm_most: u32,
    /// A timer fires late.
    pub late_timer: Chance,
    /// How late at most; drawn with a heavy tail from 1 ms on.
    pub late_timer_most: Duration,
}

/// What may go wrong with cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreFaults {
    /// Before a poll, its core stalls: none of its tasks runs while the others go on. Counted over polls.
    pub stall: Chance,
    /// For how long at most; drawn with a heavy tail from 1 ms on.
    pub stall_most: Duration,
    /// A message to another core arrives late, and so does everything behind it in the same channel.
    pub late_message: Chance,
    /// How late at most; drawn with a heavy tail from 1 ms on.
    pub late_message_most: Duration,
}

/// Lasting harm that a fault did to what is stored: whoever checks a run may excuse what was lost by this, and
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which fault did it, by its name in [`super::FaultCounts`].
    pub fault: &'static str,
    /// The file, by the name that it had at that time.
    pub path: std::path::PathBuf,
    /// The first byte that was hit.
    pub position: u64,
    /// How many bytes were hit.
    pub len: u64,
}
