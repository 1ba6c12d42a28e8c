//! What the other cores may see of group 0's state: an immutable picture that costs one pointer to share. It never
//! changes under its reader; a newer one has a higher version.

use super::paged::Paged;
use super::topic::{GroupHome, Partition, Topic};
use flumen_model::topic::TopicName;
use flumen_model::{GroupId, ShardId, TopicId, UnixMillis};
use std::sync::Arc;
use uuid::Uuid;

/// What was fixed when the metadata were born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// The node's id.
    pub node: Uuid,
    /// The id of the node's data directory.
    pub directory: Uuid,
    /// The directory's shards, fixed when it is formatted.
    pub shards: u16,
    /// When it happened.
    pub time: UnixMillis,
}

/// The tables of one version. Copies share their pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) version: u64,
    pub(super) birth: Option<Birth>,
    pub(super) features: u64,
    pub(super) names: Paged<TopicName, TopicId>,
    pub(super) topics: Paged<TopicId, Arc<Topic>>,
    pub(super) groups: Paged<GroupId, GroupHome>,
}

impl Tables {
    /// Puts a topic in, or in the place of its older self. Groups never leave a living topic.
    pub(super) fn put(&mut self, topic: Arc<Topic>) {
        let old = self.topics.insert(topic.id, topic.clone());
        let known = old.map_or(0, |old| old.partitions.len());
        if known == 0 {
            self.names.insert(topic.name.clone(), topic.id);
        }
        for Partition { number, group, shard, .. } in &topic.partitions[known..] {
            self.groups.insert(*group, GroupHome { topic: topic.id, partition: *number, shard: *shard });
        }
    }

    /// Takes a topic and its groups out.
    pub(super) fn take(&mut self, id: TopicId) -> Option<Arc<Topic>> {
        let topic = self.topics.remove(&id)?;
        self.names.remove(&topic.name);
        for partition in &topic.partitions {
            self.groups.remove(&partition.group);
        }
        Some(topic)
    }
}

/// An immutable picture of the metadata, to be sent to other cores. Cloning it is one reference count.
#[derive(Clone, Debug, Default)]
pub struct MetadataView {
    pub(super) tables: Arc<Tables>,
}

impl MetadataView {
    /// Grows with every change that a view shows.
    pub fn version(&self) -> u64 {
        self.tables.version
    }

    /// What was fixed at birth; `None` before.
    pub fn birth(&self) -> Option<&Birth> {
        self.tables.birth.as_ref()
    }

    /// The finalized features, a bit each.
    pub fn features(&self) -> u64 {
        self.tables.features
    }

    /// The topic of a name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topic_by_id(*self.tables.names.get(name)?)
    }

    /// The topic of an id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.tables.topics.get(&id)
    }

    /// Where a partition's group belongs; `None` for internal groups and deleted topics.
    pub fn home(&self, group: GroupId) -> Option<GroupHome> {
        self.tables.groups.get(&group).copied()
    }

    /// The topic and partition of a group.
    pub fn partition(&self, group: GroupId) -> Option<(&Arc<Topic>, &Partition)> {
        let home = self.home(group)?;
        let topic = self.topic_by_id(home.topic)?;
        Some((topic, topic.partition(home.partition)?))
    }

    /// All topics in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.tables.names.iter().filter_map(|(_, &id)| self.topic_by_id(id))
    }

    /// All groups of a shard in order. Looks through all groups: for boot and listings.
    pub fn groups_of(&self, shard: ShardId) -> impl Iterator<Item = (GroupId, GroupHome)> {
        let homes = self.tables.groups.iter().map(|(&group, &home)| (group, home));
        homes.filter(move |(_, home)| home.shard == shard)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.tables.topics.len()
    }

    /// How many partitions all topics have.
    pub fn partition_count(&self) -> usize {
        self.tables.groups.len()
    }
}
