//! The positions group's state machine: how far each named subscription has come in each partition. It is pure: the
//! same commands in the same order give the same state, outcomes and bytes. It never reads a clock or does I/O, and
//! never asks whether a topic exists: the proposer does.
//!
//! A subscription's name is Kafka's group id. Members and generations of consumer groups join here later, under the
//! same names: their commands have kinds of their own (see [`Command`]), so that a commit can be fenced by a
//! generation in the same total order.

mod command;
mod snapshot;
mod subscription;
#[cfg(test)]
mod tests;

pub use command::{Bounds, Command, Commit, Entry, POSITION_METADATA_BYTES_MAX, check_metadata};
pub use subscription::{Position, Subscription, SubscriptionName};

use flumen_model::{Code, Error, PartitionNumber, Result, TopicId, UnixMillis};
use std::collections::BTreeMap;

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The positions are committed.
    Committed,
    /// The subscription is deleted.
    Deleted,
    /// So many positions are forgotten.
    Forgotten(u64),
    /// So many subscriptions are expired.
    Expired(u64),
}

/// The state machine of the positions group.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// The index of the last command that was applied.
    applied: u64,
    subscriptions: BTreeMap<SubscriptionName, Subscription>,
    /// What all subscriptions take in a snapshot.
    bytes: u64,
}

impl Positions {
    /// No subscriptions.
    pub fn new() -> Positions {
        Positions::default()
    }

    /// Applies a committed command. A refused command changes nothing but the applied index.
    ///
    /// # Errors
    /// What [`Command::decode`] refuses with; [`Code::UnknownSubscription`]; [`Code::LimitReached`] with the number
    /// and the limit. [`Code::Unsupported`] of a committed command means that a newer release wrote it: this replica
    /// must stop, or it diverges.
    ///
    /// # Panics
    /// When `index` does not grow: the log is applied in order and once.
    pub fn apply(&mut self, index: u64, command: &[u8]) -> Result<Outcome> {
        assert!(index > self.applied, "index {index} is applied after {}", self.applied);
        self.applied = index;
        match Command::decode(command)? {
            Command::Commit(commit) => self.commit(commit),
            Command::DeleteSubscription { subscription } => self.delete(&subscription),
            Command::DeleteTopic { topic } => Ok(self.forget_topic(topic)),
            Command::Reset { subscription, topic, partitions } => {
                self.reset(&subscription, topic, &partitions)
            }
            Command::Expire { now, unused_ms } => Ok(self.expire(now, unused_ms)),
        }
    }

    /// The index of the last command that was applied; 0 before the first.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// All subscriptions in the order of their names.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&SubscriptionName, &Subscription)> {
        self.subscriptions.iter()
    }

    /// The subscription of a name.
    pub fn subscription(&self, name: &str) -> Option<&Subscription> {
        self.subscriptions.get(name)
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// What the subscriptions take in a snapshot, in bytes.
    pub fn state_bytes(&self) -> u64 {
        self.bytes
    }

    /// All or nothing. A commit that does not grow the state always passes, so that consumers go on at the limit.
    fn commit(&mut self, commit: Commit) -> Result<Outcome> {
        let Commit { subscription: name, time, bounds, entries } = commit;
        let subscription = self.subscriptions.get(&name);
        if subscription.is_none() && self.subscriptions.len() >= bounds.subscriptions_max as usize {
            return Err(too_many(&name, bounds.subscriptions_max));
        }
        let new = if subscription.is_none() { Subscription::bytes_of_name(&name) } else { 0 };
        let growth: u64 = entries.iter().map(|entry| growth_by(subscription, entry)).sum();
        let bytes = self.bytes + new + growth;
        if new + growth > 0 && bytes > bounds.state_bytes_max {
            return Err(too_large(&name, bytes, bounds.state_bytes_max));
        }
        let subscription = self.subscriptions.entry(name).or_default();
        self.bytes += new;
        for entry in entries {
            let (key, position) = entry.at(time);
            self.bytes += position.bytes();
            self.bytes -= subscription.set(key, position).map_or(0, |old| old.bytes());
        }
        subscription.touch(time);
        Ok(Outcome::Committed)
    }

    fn delete(&mut self, name: &SubscriptionName) -> Result<Outcome> {
        let subscription = self.subscriptions.remove(name).ok_or_else(|| unknown(name))?;
        self.bytes -= subscription.bytes(name);
        Ok(Outcome::Deleted)
    }

    fn forget_topic(&mut self, topic: TopicId) -> Outcome {
        let (mut count, mut bytes) = (0, 0);
        for subscription in self.subscriptions.values_mut() {
            for position in subscription.take_topic(topic) {
                (count, bytes) = (count + 1, bytes + position.bytes());
            }
        }
        self.bytes -= bytes;
        Outcome::Forgotten(count)
    }

    fn reset(
        &mut self,
        name: &SubscriptionName,
        topic: TopicId,
        partitions: &[PartitionNumber],
    ) -> Result<Outcome> {
        let subscription = self.subscriptions.get_mut(name).ok_or_else(|| unknown(name))?;
        let forgotten = match partitions {
            [] => subscription.take_topic(topic),
            _ => partitions.iter().filter_map(|&number| subscription.take(topic, number)).collect(),
        };
        self.bytes -= forgotten.iter().map(Position::bytes).sum::<u64>();
        Ok(Outcome::Forgotten(forgotten.len() as u64))
    }

    fn expire(&mut self, now: UnixMillis, unused_ms: u64) -> Outcome {
        let since = now.0.saturating_sub_unsigned(unused_ms);
        let (mut count, mut bytes) = (0, 0);
        self.subscriptions.retain(|name, subscription| {
            let stays = subscription.used().0 >= since;
            if !stays {
                (count, bytes) = (count + 1, bytes + subscription.bytes(name));
            }
            stays
        });
        self.bytes -= bytes;
        Outcome::Expired(count)
    }
}

/// What an entry adds to the state; 0 when it takes the place of one that is as large.
fn growth_by(subscription: Option<&Subscription>, entry: &Entry) -> u64 {
    let old = subscription.and_then(|subscription| subscription.position(entry.topic, entry.partition));
    entry.bytes().saturating_sub(old.map_or(0, Position::bytes))
}

fn unknown(name: &SubscriptionName) -> Error {
    let message =
        format!("there is no subscription {name}: it was deleted, or nothing was ever committed for it");
    Error::new(Code::UnknownSubscription, message)
}

fn too_many(name: &SubscriptionName, max: u32) -> Error {
    let message =
        format!("subscription {name} would be one more than the limit of {max}: delete unused ones");
    Error::new(Code::LimitReached, message)
}

fn too_large(name: &SubscriptionName, bytes: u64, max: u64) -> Error {
    let message = format!(
        "with this commit of {name} all positions would take {bytes} bytes, the limit is {max}: delete unused \
         subscriptions, or commit shorter metadata"
    );
    Error::new(Code::LimitReached, message)
}
