//! What group 0 knows of a topic, and what is left of a deleted one. Values only: nothing here changes itself.

use flumen_model::topic::{TopicName, TopicSettings};
use flumen_model::{GroupId, PartitionNumber, ShardId, TopicId, UnixMillis};
use flumen_replication::ReplicaId;
use smallvec::SmallVec;

/// The replicas of one group.
pub type Replicas = SmallVec<[ReplicaId; 1]>;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id. A new topic of an old name has another.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// What was set for it.
    pub settings: TopicSettings,
    /// When it was created.
    pub created: UnixMillis,
    /// Its partitions; the place is the partition's number.
    pub partitions: Vec<Partition>,
}

impl Topic {
    /// The partition of a number.
    pub fn partition(&self, number: PartitionNumber) -> Option<&Partition> {
        self.partitions.get(number.0 as usize)
    }
}

/// A partition and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number within the topic.
    pub number: PartitionNumber,
    /// The group that replicates it.
    pub group: GroupId,
    /// The shard that owns it.
    pub shard: ShardId,
    /// Its replicas, at least one.
    pub replicas: Replicas,
    /// What is added to the group's term to give Kafka's leader epoch.
    pub leader_epoch_base: u32,
}

/// Where a group belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHome {
    /// The topic.
    pub topic: TopicId,
    /// The partition's number.
    pub partition: PartitionNumber,
    /// The shard that owns it.
    pub shard: ShardId,
}

/// A deleted topic some of whose groups still take room on a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The topic's id.
    pub topic: TopicId,
    /// The name that it had.
    pub name: TopicName,
    /// Groups that are not purged yet, and their shards.
    pub groups: Vec<(GroupId, ShardId)>,
}
