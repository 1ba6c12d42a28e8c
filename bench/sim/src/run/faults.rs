//! The rates of a plan's faults. All bounded, so that a node survives them; each life draws how bad it gets.

use crate::chance::Chance;
use crate::plan::Plan;
use crate::scenario::Fault;
use flumen_io::mem::{
    Chance as Rate, ClockFaults, CoreFaults, DiskFaults, FaultCounts, Faults, FileChance, NetFaults, Pace,
};
use std::time::Duration;

/// What each fault of a plan makes happen, by the machine's names: one of them at least must.
pub const FIRES: [(Fault, &[&str]); 10] = [
    (Fault::Kill, &["kill"]),
    (Fault::PowerLoss, &["power loss"]),
    (Fault::KillInRecovery, &["kill before the node was ready"]),
    (Fault::SlowDisk, &["slow"]),
    (Fault::DiskErrors, &["read_error", "write_error", "flush_error", "dir_flush_error"]),
    (Fault::FullDisk, &["no_space"]),
    (
        Fault::Network,
        &[
            "refused_connect",
            "lost_connect",
            "net_stall",
            "reset",
            "half_close",
            "one_way_cut",
            "black_hole",
            "dead",
        ],
    ),
    (Fault::Clock, &["wall_jump", "late_timer", "core_stall", "late_message"]),
    (Fault::Rot, &["rot between lives"]),
    (Fault::Lies, &["lost_write", "misdirected_write", "vanished_name", "bad_sectors", "rot"]),
];

/// Each kind of lie is told so often in a seed at most.
const LIES_MAX: u64 = 3;

/// The faults of one life.
pub fn of(plan: &Plan, chance: &mut Chance) -> Faults {
    // Drawn for every fault, switched on or not, so that shrinking changes one thing at a time.
    let bad = [1, 3, 10][chance.below(3) as usize];
    Faults {
        disk: disk(plan, bad),
        net: if plan.has(Fault::Network) { net(bad) } else { NetFaults::default() },
        clock: if plan.has(Fault::Clock) { clock(bad) } else { ClockFaults::default() },
        cores: if plan.has(Fault::Clock) { cores(bad) } else { CoreFaults::default() },
    }
}

fn when(on: bool, rate: Rate) -> FileChance {
    if on { rate.into() } else { FileChance::default() }
}

fn disk(plan: &Plan, bad: u32) -> DiskFaults {
    let errors = plan.has(Fault::DiskErrors);
    let full = plan.has(Fault::FullDisk);
    let lies = plan.has(Fault::Lies);
    DiskFaults {
        shaped_crashes: plan.has(Fault::PowerLoss),
        // A life ends with the first failed write or flush; so few that most lives serve before that.
        read_error: when(errors, Rate::per_million(1_000 * bad)),
        write_error: when(errors, Rate::per_million(300 * bad)),
        flush_error: when(errors, Rate::per_million(2_000 * bad)),
        dir_flush_error: when(errors, Rate::per_million(20_000 * bad)),
        slow: when(plan.has(Fault::SlowDisk), Rate::per_million(4_000 * bad)),
        slow_most: Duration::from_secs(1),
        squeeze: if full { Pace::every(Duration::from_secs(3) / bad) } else { Pace::default() },
        squeeze_free_most: 3 << 20,
        lost_write: when(lies, Rate::per_million(300 * bad).at_most(LIES_MAX)),
        misdirected_write: when(lies, Rate::per_million(300 * bad).at_most(LIES_MAX)),
        bad_sectors: when(lies, Rate::per_million(500 * bad).at_most(LIES_MAX)),
        vanished_name: when(lies, Rate::per_million(15_000 * bad).at_most(LIES_MAX)),
        rot: if lies { Pace::every(Duration::from_secs(5) / bad).at_most(LIES_MAX) } else { Pace::default() },
        ..DiskFaults::default()
    }
}

fn net(bad: u32) -> NetFaults {
    NetFaults {
        hit_per_million: 600_000,
        refused_connect: Rate::per_million(30_000 * bad),
        lost_connect: Rate::per_million(10_000 * bad),
        connect_timeout: Duration::from_secs(3),
        stall: Rate::per_million(5_000 * bad),
        stall_most: Duration::from_secs(3),
        reset: Rate::per_million(1_000 * bad),
        half_close: Rate::per_million(500 * bad),
        one_way_cut: Rate::per_million(200 * bad),
        black_hole: Rate::per_million(200 * bad),
        dead: Rate::per_million(200 * bad),
        ..NetFaults::default()
    }
}

fn clock(bad: u32) -> ClockFaults {
    ClockFaults {
        wall_jump: Pace::every(Duration::from_secs(4) / bad),
        wall_error_most: Duration::from_secs(3 * 3600),
        core_drift_ppm_most: 300,
        late_timer: Rate::per_million(1_000 * bad),
        late_timer_most: Duration::from_secs(1),
        ..ClockFaults::default()
    }
}

fn cores(bad: u32) -> CoreFaults {
    CoreFaults {
        stall: Rate::per_million(60 * bad),
        stall_most: Duration::from_secs(1),
        late_message: Rate::per_million(50_000 * bad),
        late_message_most: Duration::from_millis(500),
    }
}

/// What happened, by name.
pub fn counts(fired: &FaultCounts) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    fired.iter().map(|(name, times)| (*name, *times))
}
