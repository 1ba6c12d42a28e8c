//! What a seed is like: how large its node is, who its clients are, how many steps they take, which faults they meet.
//! A plan follows from seed and scenario; shrinking makes it smaller and changes nothing else.

use crate::chance::Chance;
use crate::scenario::{Fault, Scenario};
use flumen_model::limits::{JOURNAL_BYTES_MIN, Limits};
use std::collections::BTreeSet;
use std::fmt;

/// Steps of a seed unless the command line says otherwise.
pub const STEPS: u64 = 8000;

/// A journal whose files are used again several times in a seed.
const JOURNAL_BYTES_SMALL: u64 = 16 << 20;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// Makes, alters and deletes topics, trims, asks for everything's state.
    Operator,
    /// Sends with idempotence, several batches in flight.
    Idempotent(u8),
    /// Sends without it, one batch in flight.
    Plain,
    /// Sends without it, many in flight, sometimes without acks.
    Free,
    /// Reads by push and keeps positions under its name.
    Subscriber(u8),
    /// Reads by push, seeks, keeps nothing.
    Wanderer,
    /// Fetches here and there, and by time.
    Fetcher,
}

/// All clients; the operator comes first, for without it there are no topics.
pub const CLIENTS: [Client; 9] = [
    Client::Operator,
    Client::Idempotent(0),
    Client::Idempotent(1),
    Client::Plain,
    Client::Free,
    Client::Subscriber(0),
    Client::Subscriber(1),
    Client::Wanderer,
    Client::Fetcher,
];

/// A seed's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything is drawn from it.
    pub seed: u64,
    /// The mix of faults.
    pub scenario: &'static str,
    /// Cores of the node.
    pub cores: usize,
    /// Shards of the node.
    pub shards: u16,
    /// Runs of the machine; the last one is without faults.
    pub lives: u64,
    /// Steps of all clients together, over all lives.
    pub steps: u64,
    /// Who takes part.
    pub clients: Vec<Client>,
    /// What breaks.
    pub faults: BTreeSet<Fault>,
    /// Percent of records that are large.
    pub large: u64,
    /// A kill comes after at most so many polls.
    pub polls_max: u64,
    /// Bytes of a shard's journal. The smaller, the more often its files are used again.
    pub journal_bytes: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64, scenario: &'static Scenario, steps: u64) -> Plan {
        let mut chance = Chance::of(seed, 0x91a);
        let (cores, shards) = [(1, 1), (2, 2), (1, 2), (2, 2), (1, 1), (2, 3)][chance.below(6) as usize];
        let torn = scenario.name == "torn";
        Plan {
            seed,
            scenario: scenario.name,
            cores,
            shards,
            lives: if torn { chance.between(6, 10) } else { chance.between(3, 7) },
            steps,
            clients: CLIENTS.to_vec(),
            faults: scenario.faults.iter().copied().collect(),
            large: [0, 1, 3, 16][chance.below(4) as usize],
            polls_max: if torn { 4_000 } else { 30_000 },
            journal_bytes: if chance.one_in(1, 8) { JOURNAL_BYTES_MIN } else { JOURNAL_BYTES_SMALL },
        }
    }

    /// The limits of the node.
    pub fn limits(&self) -> Limits {
        Limits { journal_bytes: self.journal_bytes, ..Limits::simulation() }
    }

    /// The largest record that fits into a batch that the node takes: a file of the journal holds two batches.
    pub fn record_bytes_max(&self) -> u64 {
        if self.journal_bytes >= JOURNAL_BYTES_MIN { 900_000 } else { 400_000 }
    }

    /// Whether a fault is switched on.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Whether requests of connections that are gone may be carried out late.
    pub fn has_late_requests(&self) -> bool {
        self.has(Fault::Network) || self.has(Fault::Clock) || self.has(Fault::SlowDisk)
    }

    /// Whether the node may fail and end by itself: its disk does not do what it must.
    pub fn may_fail(&self) -> bool {
        self.has(Fault::DiskErrors) || self.has(Fault::FullDisk) || self.has_damage()
    }

    /// Whether what was acked may be damaged on the disk.
    pub fn has_damage(&self) -> bool {
        self.has(Fault::Rot) || self.has(Fault::Lies)
    }

    /// Whether nothing makes disk, clock or cores slow, or refuses what they are asked for.
    pub fn is_unhindered(&self) -> bool {
        let hinder = [Fault::SlowDisk, Fault::Clock, Fault::DiskErrors, Fault::FullDisk, Fault::Lies];
        !hinder.iter().any(|fault| self.has(*fault))
    }

    /// Whether what happened follows from the seed's faults alone when they are off: they leave nothing behind.
    pub fn can_heal(&self) -> bool {
        !self.faults.is_empty() && !self.has_damage() && !self.has(Fault::DiskErrors)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        write!(
            f,
            "seed {} scenario {}: {} cores, {} shards, {} lives, {} steps, {} clients, faults: {}",
            self.seed,
            self.scenario,
            self.cores,
            self.shards,
            self.lives,
            self.steps,
            self.clients.len(),
            if faults.is_empty() { "none".to_string() } else { faults.join(" ") }
        )
    }
}
