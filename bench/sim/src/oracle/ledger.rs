//! Everything that was ever sent, by id. What is not in it was sent by nobody.

use super::part::PartKey;
use super::topics::TopicRun;
use crate::payload::RecordId;
use std::collections::BTreeMap;

/// What a producer promises for its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerKind {
    /// Each record once, in order.
    Idempotent,
    /// In order, but a retry may repeat what was just sent: one batch in flight.
    InOrder,
    /// Nothing: several in flight, or no acks.
    Free,
}

/// A record as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id; a producer's ids grow in the order of its calls.
    pub id: RecordId,
    /// Who sent it.
    pub producer: u32,
    /// What that producer promises.
    pub kind: ProducerKind,
    /// To which topic.
    pub topic: String,
    /// To which partition; none when the client core chose.
    pub number: Option<u32>,
    /// When, on the clients' clock.
    pub at: u64,
    /// When its fate was told.
    pub settled_at: Option<u64>,
    /// The one partition that has it, once that is known.
    pub home: Option<PartKey>,
}

/// All that was sent.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: BTreeMap<RecordId, Sent>,
}

impl Ledger {
    /// The id of the next record.
    pub fn next_id(&self) -> RecordId {
        RecordId(self.sent.last_key_value().map_or(1, |(id, _)| id.0 + 1))
    }

    pub(super) fn latest(&self) -> u64 {
        self.sent.last_key_value().map_or(0, |(_, sent)| sent.at)
    }

    /// A record is about to be sent.
    pub fn sending(&mut self, sent: Sent) {
        self.sent.insert(sent.id, sent);
    }

    /// A record, if it was ever sent.
    pub fn sent(&self, id: RecordId) -> Option<&Sent> {
        self.sent.get(&id)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn settle(&mut self, id: RecordId, now: u64) -> Option<Sent> {
        let sent = self.sent.get_mut(&id)?;
        sent.settled_at.get_or_insert(now);
        Some(sent.clone())
    }

    pub(super) fn bring_home(&mut self, id: RecordId, key: PartKey) {
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.home.get_or_insert(key);
        }
    }
}

/// Why a record has no business in a partition, if so.
pub(super) fn stranger(sent: &Sent, key: PartKey, run: &TopicRun) -> Option<String> {
    let id = sent.id;
    if sent.topic != run.name {
        return Some(format!("{id} was sent to {}, not to {}", sent.topic, run.name));
    }
    if sent.number.is_some_and(|number| number != key.number) {
        return Some(format!("{id} was sent to another partition"));
    }
    if let Some(home) = sent.home.filter(|home| *home != key) {
        return Some(format!("{id} is a record of {home}"));
    }
    let over = sent.settled_at.filter(|at| *at < run.asked_at);
    over.map(|_| format!("the fate of {id} was told before this topic was made"))
}
