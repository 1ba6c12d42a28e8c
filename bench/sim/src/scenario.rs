//! Named mixes of faults. Each says which faults a seed meets and how often, bounded so that a node can survive it: a
//! life ends in a restart, never in a lost disk, and what is damaged at rest was acked long before.

use crate::chance::Chance;
use std::fmt;
use std::str::FromStr;

/// One fault that a scenario may switch on; shrinking switches them off one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The process is killed at any poll; the kernel keeps what it has.
    Kill,
    /// The power fails at any poll: what is not durable is lost, sector by sector.
    PowerLoss,
    /// The node is killed again while it recovers.
    KillInRecovery,
    /// Disk operations take milliseconds to seconds.
    SlowDisk,
    /// Reads, writes and flushes fail.
    DiskErrors,
    /// The disk is full for a while.
    FullDisk,
    /// Connections are reset, stall, and lie dead.
    Network,
    /// Wall clocks jump, timers fire late, cores stall, messages between cores are late.
    Clock,
    /// Bytes rot at rest, between two lives.
    Rot,
    /// Writes that are acknowledged are lost or land elsewhere, sectors cannot be read, durable names vanish, bytes
    /// rot under a running node.
    Lies,
}

/// All faults, by name.
pub const FAULTS: [(Fault, &str); 10] = [
    (Fault::Kill, "kill"),
    (Fault::PowerLoss, "power-loss"),
    (Fault::KillInRecovery, "kill-in-recovery"),
    (Fault::SlowDisk, "slow-disk"),
    (Fault::DiskErrors, "disk-errors"),
    (Fault::FullDisk, "full-disk"),
    (Fault::Network, "network"),
    (Fault::Clock, "clock"),
    (Fault::Rot, "rot"),
    (Fault::Lies, "lies"),
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = FAULTS.iter().find(|(fault, _)| fault == self);
        f.write_str(named.expect("every fault has its line in FAULTS").1)
    }
}

/// A named mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// One sentence, with the bound that keeps it survivable.
    pub about: &'static str,
    /// Its faults.
    pub faults: &'static [Fault],
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "calm", about: "Nothing breaks; nodes are restarted cleanly.", faults: &[] },
    Scenario {
        name: "crashes",
        about: "The process is killed at any poll, while it formats, recovers, serves; the kernel keeps its writes.",
        faults: &[Fault::Kill, Fault::KillInRecovery],
    },
    Scenario {
        name: "power",
        about: "The power fails at any poll; each sector and name that is not durable is kept or lost by its own chance.",
        faults: &[Fault::PowerLoss, Fault::KillInRecovery],
    },
    Scenario {
        name: "torn",
        about: "Power losses in quick succession, most of them during recovery or the first writes after it.",
        faults: &[Fault::Kill, Fault::PowerLoss, Fault::KillInRecovery],
    },
    Scenario {
        name: "slow-disk",
        about: "Disk operations take up to a second now and then; power fails meanwhile.",
        faults: &[Fault::SlowDisk, Fault::PowerLoss],
    },
    Scenario {
        name: "disk-errors",
        about: "A read, a write or a flush fails now and then; the node stops and is started again. A few times a life.",
        faults: &[Fault::DiskErrors, Fault::Kill],
    },
    Scenario {
        name: "full-disk",
        about: "The disk is full for a while, once or more a life, and has room again; the node never needs more.",
        faults: &[Fault::FullDisk, Fault::Kill],
    },
    Scenario {
        name: "network",
        about: "Connections are reset, stall and lie dead; every client may always try again.",
        faults: &[Fault::Network, Fault::Kill],
    },
    Scenario {
        name: "clock",
        about: "Wall clocks jump by up to hours, timers fire late, cores stall for up to a second.",
        faults: &[Fault::Clock, Fault::PowerLoss],
    },
    Scenario {
        name: "rot",
        about: "Single bytes rot between two lives, in journal and segments, never in the same life as a crash.",
        faults: &[Fault::Rot],
    },
    Scenario {
        name: "lies",
        about: "The disk says that it has written and has not, writes elsewhere, forgets names, goes bad; a few times a seed.",
        faults: &[Fault::Lies, Fault::Kill, Fault::PowerLoss],
    },
    Scenario {
        name: "everything",
        about: "All of it but rot and lies, each at its own rate.",
        faults: &[
            Fault::Kill,
            Fault::PowerLoss,
            Fault::KillInRecovery,
            Fault::SlowDisk,
            Fault::DiskErrors,
            Fault::FullDisk,
            Fault::Network,
            Fault::Clock,
        ],
    },
];

impl Scenario {
    /// The scenario that a seed draws.
    pub fn drawn(seed: u64) -> &'static Scenario {
        let mut chance = Chance::of(seed, 0x5ce);
        chance.pick(SCENARIOS).expect("there are scenarios")
    }
}

impl FromStr for &'static Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            format!("there is no scenario {name}; there are {}", names.join(", "))
        })
    }
}
