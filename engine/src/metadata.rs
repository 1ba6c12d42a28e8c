//! Group 0's state machine: topics, their settings and places, and the counters that ids come from. It is pure: the
//! same commands in the same order give the same state, outcomes and bytes on every node. It never reads a clock,
//! draws chance or does I/O; a command brings its own time and random bits. It says what shall be done
//! ([`Event`]); the driver does it.
//!
//! Other cores follow through a [`MetadataView`], which costs one pointer to share.

mod apply;
mod command;
pub(crate) mod flat;
mod paged;
mod placement;
mod snapshot;
#[cfg(test)]
mod tests;
mod topic;
mod view;

pub use command::{AlterTopic, Command, CreateTopic, FIRST_DATA_REPLICA, Init};
pub use topic::{GroupHome, Partition, Replicas, Tombstone, Topic};
pub use view::{Birth, MetadataView};

use flumen_model::{GroupId, PartitionNumber, ProducerId, Result, ShardId, TopicId};
use placement::Loads;
use std::collections::BTreeMap;
use std::sync::Arc;
use view::Tables;

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The metadata are born.
    Born,
    /// The topic as it is now: created, altered or with more partitions.
    Topic(Arc<Topic>),
    /// The topic is deleted.
    Deleted,
    /// A block of producer ids is the proposer's.
    Producers {
        /// The first id.
        first: ProducerId,
        /// How many.
        count: u32,
    },
    /// A shard's part of a tombstone is gone.
    Purged,
    /// The features that are on now.
    Features(u64),
    /// Everything was as asked already: a repeat.
    Unchanged,
}

/// What the shards have to do about a change, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new partition: its shard sets up the group.
    GroupBorn {
        /// The group.
        group: GroupId,
        /// The topic.
        topic: TopicId,
        /// The partition's number.
        partition: PartitionNumber,
        /// The shard that owns it.
        shard: ShardId,
        /// Its replicas.
        replicas: Replicas,
    },
    /// A topic has other settings: its groups read them from the view.
    TopicAltered {
        /// The topic.
        topic: TopicId,
    },
    /// A topic is deleted: each shard purges its groups, then proposes [`Command::PurgeDone`].
    TopicDeleted {
        /// The topic.
        topic: TopicId,
        /// Its groups and their shards.
        groups: Vec<(GroupId, ShardId)>,
    },
}

/// What a committed command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer for the proposer.
    pub outcome: Outcome,
    /// What the shards have to do.
    pub events: Vec<Event>,
}

/// The state machine of group 0.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The index of the last command that was applied.
    applied: u64,
    next_group: u64,
    next_producer: i64,
    next_replica: u64,
    loads: Loads,
    tombstones: BTreeMap<TopicId, Tombstone>,
    tables: Arc<Tables>,
}

impl Metadata {
    /// Nothing yet: the first command must be [`Command::Init`].
    pub fn new() -> Metadata {
        Metadata::default()
    }

    /// Applies a committed command. A refused command changes nothing but the applied index.
    ///
    /// # Errors
    /// What [`Command::decode`] and [`Metadata::rehearse`] refuse with. [`Code::Unsupported`] of a committed command
    /// means that a newer release wrote it: this replica must stop, or it diverges.
    ///
    /// # Panics
    /// When `index` does not grow: the log is applied in order and once.
    ///
    /// [`Code::Unsupported`]: flumen_model::Code::Unsupported
    pub fn apply(&mut self, index: u64, command: &[u8]) -> Result<Applied> {
        assert!(index > self.applied, "index {index} is applied after {}", self.applied);
        self.applied = index;
        self.change(&Command::decode(command)?)
    }

    /// Tells what a command would do if it were the next one, and changes nothing: for leaders that refuse early,
    /// and for Kafka's `validate_only`.
    ///
    /// # Errors
    /// `NotReady` before birth; `UnknownTopic`, `TopicExists`, `InvalidSetting`, `InvalidPartitions`; `LimitReached`
    /// with the number and the limit; `Busy` when random bits collide; `InvalidRequest` for a second, other birth.
    pub fn rehearse(&self, command: &Command) -> Result<Applied> {
        self.clone().change(command)
    }

    /// The index of the last command that was applied; 0 before the first.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The picture for other cores. Costs one reference count; the next change copies only the pages that it meets.
    pub fn view(&self) -> MetadataView {
        MetadataView { tables: self.tables.clone() }
    }

    /// The deleted topics that still take room, in the order of their ids.
    pub fn tombstones(&self) -> impl Iterator<Item = &Tombstone> {
        self.tombstones.values()
    }

    /// The groups of deleted topics that a shard has not purged yet; for boot, to go on where a crash stopped.
    pub fn unpurged_groups_of(&self, shard: ShardId) -> impl Iterator<Item = (TopicId, GroupId)> {
        let groups =
            self.tombstones.values().flat_map(|tomb| tomb.groups.iter().map(|group| (tomb.topic, *group)));
        groups.filter(move |(_, (_, of))| *of == shard).map(|(topic, (group, _))| (topic, group))
    }

    /// How many partitions a shard holds, deleted ones included that are not purged yet.
    pub fn held_by(&self, shard: ShardId) -> u32 {
        self.loads.of(shard)
    }
}
