//! What the client knows of topics, and which shard owns each group. Asks only for topics that somebody wants.
//! Knows nothing of connections: the session fetches.

use crate::core::moment::Moment;
use flumen_model::{GroupId, PartitionNumber, ShardId, TopicId};
use flumen_wire::{MetadataReply, PartitionMetadata, TopicMetadata};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A topic as the client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its id.
    pub(crate) id: TopicId,
    /// Its partitions, by number.
    pub(crate) partitions: Vec<PartitionMetadata>,
}

impl Topic {
    /// The group of a partition.
    pub(crate) fn group(&self, number: PartitionNumber) -> Option<GroupId> {
        self.partitions.get(number.0 as usize).map(|partition| partition.group)
    }
}

/// What is known of a name.
#[derive(Debug)]
pub(crate) enum Lookup<'a> {
    /// The topic.
    Known(&'a Topic),
    /// The node has just said that there is none.
    Absent,
    /// It was not asked for yet; now it is.
    Asked,
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    topics: BTreeMap<Arc<str>, Topic>,
    absent: BTreeSet<Arc<str>>,
    interest: BTreeSet<Arc<str>>,
    shards: BTreeMap<GroupId, ShardId>,
    /// Something is missing or wrong.
    stale: bool,
    /// No refresh before this, so that errors do not flood the node with them.
    not_before: Moment,
}

impl Routes {
    /// Looks a topic up, and asks for it when it is not known.
    pub(crate) fn topic(&mut self, name: &str) -> Lookup<'_> {
        if self.absent.contains(name) {
            return Lookup::Absent;
        }
        if !self.topics.contains_key(name) {
            self.interest.insert(name.into());
            self.stale = true;
            return Lookup::Asked;
        }
        Lookup::Known(&self.topics[name])
    }

    /// The topic, if it is known; asks nobody.
    pub(crate) fn known(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// The owner of a group.
    pub(crate) fn shard(&self, group: GroupId) -> Option<ShardId> {
        self.shards.get(&group).copied()
    }

    /// An answer showed that something is wrong here.
    pub(crate) fn distrust(&mut self) {
        self.stale = true;
    }

    /// Another node answers now: nothing holds any more.
    pub(crate) fn forget_all(&mut self) {
        self.topics.clear();
        self.shards.clear();
        self.absent.clear();
        self.stale = !self.interest.is_empty();
    }

    /// Names that the next refresh must ask for; none while none is due.
    pub(crate) fn due(&self, now: Moment) -> Option<Vec<String>> {
        let due = self.stale && !self.interest.is_empty() && now >= self.not_before;
        due.then(|| self.interest.iter().map(|name| name.to_string()).collect())
    }

    /// When a refresh will be due.
    pub(crate) fn due_at(&self) -> Option<Moment> {
        (self.stale && !self.interest.is_empty()).then_some(self.not_before)
    }

    /// A refresh is under way; the next comes not before `next`.
    pub(crate) fn refreshing(&mut self, next: Moment) {
        self.stale = false;
        self.not_before = next;
    }

    /// The refresh failed; the next comes not before `next`.
    pub(crate) fn refresh_failed(&mut self, next: Moment) {
        self.stale = true;
        self.not_before = next;
    }

    /// Takes over the answer to a refresh that asked for `asked`. A topic that the node may create a moment later is
    /// asked for again by whoever wants it then.
    pub(crate) fn learn(&mut self, asked: &[String], reply: MetadataReply) {
        self.topics.retain(|name, _| !asked.iter().any(|one| **one == **name));
        for topic in reply.topics {
            let name: Arc<str> = topic.name.as_str().into();
            let TopicMetadata { id, partitions, .. } = topic;
            self.topics.insert(name.clone(), Topic { name, id, partitions });
        }
        for name in asked {
            if !self.topics.contains_key(name.as_str()) {
                self.interest.remove(name.as_str());
                self.absent.insert(name.as_str().into());
            }
        }
        let homes = self.topics.values().flat_map(|topic| &topic.partitions);
        self.shards = homes.map(|partition| (partition.group, partition.shard)).collect();
    }

    /// Absence holds for one look only: the topic may be created at any moment.
    pub(crate) fn forget_absent(&mut self) {
        self.absent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(names: &[(&str, u64, u16)]) -> MetadataReply {
        let topic = |&(name, group, shard): &(&str, u64, u16)| TopicMetadata {
            name: name.to_string(),
            id: TopicId::from_random(u128::from(group)),
            internal: false,
            settings: Vec::new(),
            partitions: vec![PartitionMetadata {
                group: GroupId(group),
                shard: ShardId(shard),
                leader_epoch: 1,
            }],
        };
        MetadataReply { metadata_version: 1, topics: names.iter().map(topic).collect() }
    }

    #[test]
    fn a_topic_is_asked_for_once_and_then_known() {
        let mut routes = Routes::default();
        assert!(matches!(routes.topic("a"), Lookup::Asked));
        let asked = routes.due(Moment::default()).unwrap();
        routes.refreshing(Moment::default());
        assert_eq!((asked.as_slice(), routes.due(Moment::default())), (&["a".to_string()][..], None));
        routes.learn(&asked, reply(&[("a", 16, 1)]));
        assert!(
            matches!(routes.topic("a"), Lookup::Known(topic) if topic.group(PartitionNumber(0)) == Some(GroupId(16)))
        );
        assert_eq!(routes.shard(GroupId(16)), Some(ShardId(1)));
    }

    #[test]
    fn absence_holds_for_one_look_only() {
        let mut routes = Routes::default();
        routes.topic("a");
        routes.refreshing(Moment::default());
        routes.learn(&["a".to_string()], reply(&[]));
        assert!(matches!(routes.topic("a"), Lookup::Absent));
        routes.forget_absent();
        assert!(matches!(routes.topic("a"), Lookup::Asked));
    }

    #[test]
    fn a_deleted_topic_takes_its_routes_along() {
        let mut routes = Routes::default();
        routes.topic("a");
        routes.learn(&["a".to_string()], reply(&[("a", 16, 1)]));
        routes.learn(&["a".to_string()], reply(&[]));
        assert_eq!(routes.shard(GroupId(16)), None);
    }
}
