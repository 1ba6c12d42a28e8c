//! The changes of the metadata, one function each: all or nothing. What refuses does so before the first write.

use super::command::{AlterTopic, Command, CreateTopic, FIRST_DATA_REPLICA, Init};
use super::topic::{Partition, Tombstone, Topic};
use super::view::{Birth, Tables};
use super::{Applied, Event, Metadata, Outcome};
use crate::metadata::placement::Loads;
use flumen_model::limits::TOPIC_PARTITIONS_MAX;
use flumen_model::{Code, Error, GroupId, PartitionNumber, ProducerId, Result, ShardId, TopicId};
use flumen_replication::ReplicaId;
use smallvec::smallvec;
use std::sync::Arc;

impl Metadata {
    /// Makes a change, or refuses it and changes nothing.
    pub(super) fn change(&mut self, command: &Command) -> Result<Applied> {
        if let Command::Init(init) = command {
            return self.init(init);
        }
        if self.tables.birth.is_none() {
            return Err(Error::new(
                Code::NotReady,
                "the metadata are not born yet: wait until the node has started",
            ));
        }
        match command {
            Command::Init(_) => unreachable!("births are handled above"),
            Command::CreateTopic(create) => self.create_topic(create),
            Command::DeleteTopic { topic } => self.delete_topic(*topic),
            Command::AlterTopic(alter) => self.alter_topic(alter),
            Command::AddPartitions { topic, partitions, partitions_per_shard_max } => {
                self.add_partitions(*topic, *partitions, *partitions_per_shard_max)
            }
            Command::AllocateProducers { count } => self.allocate_producers(*count),
            Command::PurgeDone { topic, shard } => Ok(self.purge_done(*topic, *shard)),
            Command::FinalizeFeatures { features } => Ok(self.finalize_features(*features)),
        }
    }

    /// The tables, for a change that a view shows.
    fn tables_mut(&mut self) -> &mut Tables {
        let tables = Arc::make_mut(&mut self.tables);
        tables.version += 1;
        tables
    }

    fn init(&mut self, init: &Init) -> Result<Applied> {
        let birth =
            Birth { node: init.node, directory: init.directory, shards: init.shards, time: init.time };
        if let Some(born) = self.tables.birth {
            let same = Birth { time: born.time, ..birth } == born;
            return if same { Ok(unchanged()) } else { Err(born_already(&born)) };
        }
        let sound = init.shards > 0
            && init.next_group >= GroupId::FIRST_DATA
            && init.next_producer.0 >= 0
            && init.next_replica >= FIRST_DATA_REPLICA;
        if !sound {
            let message = "a birth needs at least one shard, and counters behind the reserved ids";
            return Err(Error::new(Code::InvalidRequest, message));
        }
        self.next_group = init.next_group.0;
        self.next_producer = init.next_producer.0;
        self.next_replica = init.next_replica.0;
        self.loads = Loads::new(init.shards);
        let tables = self.tables_mut();
        tables.birth = Some(birth);
        tables.features = init.features;
        Ok(quiet(Outcome::Born))
    }

    fn create_topic(&mut self, create: &CreateTopic) -> Result<Applied> {
        let id = TopicId::from_random(create.id_bits);
        if self.tables.names.get(&create.name).is_some() {
            let message = format!("topic {} exists: use it, or delete it first", create.name);
            return Err(Error::new(Code::TopicExists, message));
        }
        if self.tables.topics.get(&id).is_some() || self.tombstones.contains_key(&id) {
            return Err(Error::new(Code::Busy, "the random topic id is taken: send the request again"));
        }
        if create.partitions == 0 {
            return Err(invalid_partitions(
                "a topic has at least one partition: ask for 1 or more".to_string(),
            ));
        }
        let partitions = self.new_partitions(0, create.partitions, create.partitions_per_shard_max)?;
        let topic = Topic {
            id,
            name: create.name.clone(),
            settings: create.settings.clone(),
            created: create.time,
            partitions,
        };
        Ok(self.put_grown(topic, 0))
    }

    fn add_partitions(&mut self, id: TopicId, partitions: u32, per_shard_max: u32) -> Result<Applied> {
        let topic = self.topic(id)?.clone();
        let has = topic.partitions.len();
        let more = partitions.checked_sub(has as u32).filter(|&more| more > 0).ok_or_else(|| {
            let name = &topic.name;
            invalid_partitions(format!(
                "topic {name} has {has} partitions, and {partitions} are no more: ask for more"
            ))
        })?;
        let new = self.new_partitions(has as u32, more, per_shard_max)?;
        let mut topic = Topic::clone(&topic);
        topic.partitions.extend(new);
        Ok(self.put_grown(topic, has))
    }

    /// Places partitions from number `first` on and gives them their ids. The last step that can refuse.
    fn new_partitions(&mut self, first: u32, count: u32, per_shard_max: u32) -> Result<Vec<Partition>> {
        let total = first.saturating_add(count);
        if total > TOPIC_PARTITIONS_MAX {
            let message =
                format!("{total} partitions are too many: a topic has at most {TOPIC_PARTITIONS_MAX}");
            return Err(invalid_partitions(message));
        }
        let end = |next: u64| next.checked_add(u64::from(count)).ok_or_else(ids_used_up);
        let (group_end, replica_end) = (end(self.next_group)?, end(self.next_replica)?);
        let shards = self.loads.place(count, per_shard_max)?;
        let partition = |(shard, place): (ShardId, u32)| Partition {
            number: PartitionNumber(first + place),
            group: GroupId(self.next_group + u64::from(place)),
            shard,
            replicas: smallvec![ReplicaId(self.next_replica + u64::from(place))],
            leader_epoch_base: 0,
        };
        let partitions = shards.into_iter().zip(0..).map(partition).collect();
        (self.next_group, self.next_replica) = (group_end, replica_end);
        Ok(partitions)
    }

    /// Puts in a topic whose partitions from `first_new` on are new.
    fn put_grown(&mut self, topic: Topic, first_new: usize) -> Applied {
        let topic = Arc::new(topic);
        let born = |partition: &Partition| Event::GroupBorn {
            group: partition.group,
            topic: topic.id,
            partition: partition.number,
            shard: partition.shard,
            replicas: partition.replicas.clone(),
        };
        let events = topic.partitions[first_new..].iter().map(born).collect();
        self.tables_mut().put(topic.clone());
        Applied { outcome: Outcome::Topic(topic), events }
    }

    fn alter_topic(&mut self, alter: &AlterTopic) -> Result<Applied> {
        let topic = self.topic(alter.topic)?.clone();
        let mut settings = topic.settings.clone();
        alter.unset.iter().try_for_each(|key| settings.unset(key))?;
        alter.set.pairs().try_for_each(|(key, value)| settings.set(key, &value))?;
        if settings == topic.settings {
            return Ok(unchanged());
        }
        let topic = Arc::new(Topic { settings, ..Topic::clone(&topic) });
        self.tables_mut().put(topic.clone());
        Ok(Applied { events: vec![Event::TopicAltered { topic: topic.id }], outcome: Outcome::Topic(topic) })
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<Applied> {
        self.topic(id)?;
        let topic = self.tables_mut().take(id).expect("it was there a line above");
        let groups: Vec<_> =
            topic.partitions.iter().map(|partition| (partition.group, partition.shard)).collect();
        let tombstone = Tombstone { topic: id, name: topic.name.clone(), groups: groups.clone() };
        self.tombstones.insert(id, tombstone);
        Ok(Applied { outcome: Outcome::Deleted, events: vec![Event::TopicDeleted { topic: id, groups }] })
    }

    fn purge_done(&mut self, id: TopicId, shard: ShardId) -> Applied {
        let Some(tombstone) = self.tombstones.get_mut(&id) else { return unchanged() };
        let before = tombstone.groups.len();
        tombstone.groups.retain(|(_, of)| *of != shard);
        let purged = before - tombstone.groups.len();
        if tombstone.groups.is_empty() {
            self.tombstones.remove(&id);
        }
        (0..purged).for_each(|_| self.loads.release(shard));
        if purged == 0 { unchanged() } else { quiet(Outcome::Purged) }
    }

    fn allocate_producers(&mut self, count: u32) -> Result<Applied> {
        if count == 0 {
            return Err(Error::new(
                Code::InvalidRequest,
                "a block of producer ids has at least one: ask for 1 or more",
            ));
        }
        let first = ProducerId(self.next_producer);
        self.next_producer = first.0.checked_add(i64::from(count)).ok_or_else(ids_used_up)?;
        Ok(quiet(Outcome::Producers { first, count }))
    }

    fn finalize_features(&mut self, features: u64) -> Applied {
        let on = self.tables.features | features;
        if on == self.tables.features {
            return unchanged();
        }
        self.tables_mut().features = on;
        quiet(Outcome::Features(on))
    }

    fn topic(&self, id: TopicId) -> Result<&Arc<Topic>> {
        self.tables.topics.get(&id).ok_or_else(|| {
            let message = format!("there is no topic with id {id}: it was deleted, or never created");
            Error::new(Code::UnknownTopic, message)
        })
    }
}

fn quiet(outcome: Outcome) -> Applied {
    Applied { outcome, events: Vec::new() }
}

fn unchanged() -> Applied {
    quiet(Outcome::Unchanged)
}

fn invalid_partitions(message: String) -> Error {
    Error::new(Code::InvalidPartitions, message)
}

fn ids_used_up() -> Error {
    Error::new(Code::LimitReached, "the counter of ids is used up: no more can be given out")
}

fn born_already(born: &Birth) -> Error {
    let Birth { node, directory, shards, .. } = born;
    let message =
        format!("the metadata were born as node {node}, directory {directory}, {shards} shards: that stays");
    Error::new(Code::InvalidRequest, message)
}
