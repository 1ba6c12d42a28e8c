//! A named subscription and its positions, as values. Nothing here knows limits or commands.

use flumen_model::topic::check_name;
use flumen_model::{Offset, PartitionNumber, Result, TopicId, UnixMillis};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

/// What a position takes in a snapshot beside its metadata: the row and the length of the metadata.
pub(super) const POSITION_BYTES: u64 = 44;
/// What a subscription takes in a snapshot beside its name: two lengths and a time.
pub(super) const SUBSCRIPTION_BYTES: u64 = 16;

/// The name of a subscription, by the rule for topic names. The same name space as Kafka's group ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionName(Box<str>);

impl SubscriptionName {
    /// The name, or `InvalidName` with the rule that it breaks.
    pub fn new(name: &str) -> Result<SubscriptionName> {
        check_name("subscription", name)?;
        Ok(SubscriptionName(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for SubscriptionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// How far a subscription has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The leader epoch of the record before it, −1 when unknown (KIP-320).
    pub leader_epoch: i32,
    /// What the consumer wanted to remember with it.
    pub metadata: Box<str>,
    /// When it was committed.
    pub time: UnixMillis,
}

impl Position {
    /// What it takes in a snapshot.
    pub(super) fn bytes(&self) -> u64 {
        POSITION_BYTES + self.metadata.len() as u64
    }
}

/// A partition of a topic's id: a new topic of an old name has no positions.
pub(super) type Key = (TopicId, PartitionNumber);

/// A subscription's positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    used: UnixMillis,
    positions: BTreeMap<Key, Position>,
}

impl Default for Subscription {
    fn default() -> Subscription {
        Subscription { used: UnixMillis(i64::MIN), positions: BTreeMap::new() }
    }
}

impl Subscription {
    /// The newest time of a commit.
    pub fn used(&self) -> UnixMillis {
        self.used
    }

    /// The position in one partition.
    pub fn position(&self, topic: TopicId, partition: PartitionNumber) -> Option<&Position> {
        self.positions.get(&(topic, partition))
    }

    /// All positions in the order of topic ids and partition numbers.
    pub fn positions(&self) -> impl ExactSizeIterator<Item = (TopicId, PartitionNumber, &Position)> {
        self.positions.iter().map(|(&(topic, partition), position)| (topic, partition, position))
    }

    /// What it takes in a snapshot, with its name.
    pub(super) fn bytes(&self, name: &SubscriptionName) -> u64 {
        Subscription::bytes_of_name(name) + self.positions.values().map(Position::bytes).sum::<u64>()
    }

    /// What an empty subscription of this name takes in a snapshot.
    pub(super) fn bytes_of_name(name: &SubscriptionName) -> u64 {
        SUBSCRIPTION_BYTES + name.as_str().len() as u64
    }

    /// It was used; a clock that jumped back changes nothing.
    pub(super) fn touch(&mut self, time: UnixMillis) {
        self.used = self.used.max(time);
    }

    /// Sets a position and returns the one before it.
    pub(super) fn set(&mut self, key: Key, position: Position) -> Option<Position> {
        self.positions.insert(key, position)
    }

    /// Whether all keys lie before this one: snapshots come in order.
    pub(super) fn ends_before(&self, key: &Key) -> bool {
        self.positions.last_key_value().is_none_or(|(last, _)| last < key)
    }

    /// Takes one position out.
    pub(super) fn take(&mut self, topic: TopicId, partition: PartitionNumber) -> Option<Position> {
        self.positions.remove(&(topic, partition))
    }

    /// Takes all positions of a topic out.
    pub(super) fn take_topic(&mut self, topic: TopicId) -> Vec<Position> {
        let all = (topic, PartitionNumber(0))..=(topic, PartitionNumber(u32::MAX));
        self.positions.extract_if(all, |_, _| true).map(|(_, position)| position).collect()
    }
}
