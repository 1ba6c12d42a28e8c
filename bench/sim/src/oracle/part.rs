//! One partition as the oracle knows it: what lies where, and on what evidence. The promises judge it.

use super::ledger::{ProducerKind, Sent};
use super::promise::{Findings, Promise};
use super::topics::TopicKey;
use crate::payload::RecordId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A partition of one life of a topic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartKey {
    /// The topic.
    pub topic: TopicKey,
    /// The partition's number.
    pub number: u32,
}

impl fmt::Display for PartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} of topic life {}", self.number, self.topic.0)
    }
}

/// Why it is known that a record lies somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Acked from memory, at this moment: a crash may take it back.
    MemoryAck(u64),
    /// Acked durably, or read.
    Durable,
}

/// A record in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which.
    pub id: RecordId,
    /// How that is known.
    pub evidence: Evidence,
}

/// What was known of a partition at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The high watermark was at least here.
    pub end: u64,
    /// Behind the last record that was known to be there.
    pub placed_to: u64,
    /// Nothing else goes on meanwhile.
    pub quiet: bool,
}

/// What is known of a partition.
#[derive(Debug)]
pub struct Part {
    /// Which.
    pub key: PartKey,
    /// What lies where; below the log start nothing is kept.
    pub placed: BTreeMap<u64, Placed>,
    /// Where the records of idempotent producers lie.
    pub place_of: BTreeMap<RecordId, u64>,
    /// Acked, and nobody could say at which offset.
    pub somewhere: BTreeSet<RecordId>,
    /// The high watermark is never below this again.
    pub end: u64,
    /// The largest log start that was seen.
    pub log_start: u64,
    /// The largest that was asked for.
    pub trim_asked: u64,
    /// Offsets that a subscriber did not get, half open: the log start must have passed them.
    pub skipped: Vec<(u64, u64)>,
    /// The node has said that it is damaged.
    pub damaged: bool,
}

impl Part {
    /// A new partition.
    pub fn new(key: PartKey) -> Part {
        Part {
            key,
            placed: BTreeMap::new(),
            place_of: BTreeMap::new(),
            somewhere: BTreeSet::new(),
            end: 0,
            log_start: 0,
            trim_asked: 0,
            skipped: Vec::new(),
            damaged: false,
        }
    }

    /// What is known now, for a reading that begins now.
    pub fn known(&self, quiet: bool) -> Known {
        let placed_to = self.placed.last_key_value().map_or(0, |(offset, _)| offset + 1);
        Known { end: self.end, placed_to, quiet }
    }

    /// A record is known to lie at an offset.
    pub fn place(&mut self, offset: u64, sent: &Sent, evidence: Evidence, findings: &mut Findings) {
        let (key, id) = (self.key, sent.id);
        let placed = self.placed.entry(offset).or_insert(Placed { id, evidence });
        if placed.id != id {
            let what = format!("{key} had {} at {offset} and has {id} there now", placed.id);
            return findings.report(Promise::OffsetsAreStable, what);
        }
        if evidence == Evidence::Durable {
            placed.evidence = evidence;
            self.end = self.end.max(offset + 1);
        }
        self.somewhere.remove(&id);
        if sent.kind == ProducerKind::Idempotent {
            super::twice::judge(self, offset, id, findings);
        }
    }

    /// A record is acked and nobody knows where it is.
    pub fn acked_somewhere(&mut self, id: RecordId, evidence: Evidence) {
        if evidence == Evidence::Durable && !self.place_of.contains_key(&id) {
            self.somewhere.insert(id);
        }
    }

    /// The process has crashed: acks from memory that are not older than `safe_before` may be taken back.
    pub fn crash(&mut self, safe_before: u64) {
        for placed in self.placed.values_mut() {
            if matches!(placed.evidence, Evidence::MemoryAck(at) if at < safe_before) {
                placed.evidence = Evidence::Durable;
            }
        }
        self.placed.retain(|_, placed| placed.evidence == Evidence::Durable);
        let end = self.placed.last_key_value().map_or(0, |(offset, _)| offset + 1);
        self.end = self.end.max(end);
    }

    /// Forgets what the log start has passed.
    pub fn prune(&mut self, log_start: u64) {
        self.log_start = self.log_start.max(log_start);
        self.placed = self.placed.split_off(&log_start);
    }
}
