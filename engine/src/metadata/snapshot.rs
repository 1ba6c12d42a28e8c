//! Group 0's whole state as bytes. Layout: `FORMAT.md` beside the crate. Restoring trusts no length, and refuses
//! what no history of commands leads to.

use super::Metadata;
use super::command::FIRST_DATA_REPLICA;
use super::flat::{Reader, Reading, put_count, put_fixed, put_string};
use super::placement::Loads;
use super::topic::{Partition, Replicas, Tombstone, Topic};
use super::view::{Birth, Tables};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::limits::TOPIC_PARTITIONS_MAX;
use flumen_model::topic::{TopicName, TopicSettings};
use flumen_model::{Code, Error, GroupId, PartitionNumber, Result, ShardId, UnixMillis};
use flumen_replication::ReplicaId;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version that is written and the only one that is read.
const VERSION: u16 = 1;

const READING: Reading = Reading { what: "metadata snapshot", malformed: Code::Corrupt };

/// What stands behind the version. No shards: not born yet.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    shards: U16,
    reserved: U32,
    applied: U64,
    version: U64,
    features: U64,
    next_group: U64,
    next_producer: I64,
    next_replica: U64,
    node: [u8; 16],
    directory: [u8; 16],
    born: I64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PartitionRow {
    group: U64,
    leader_epoch_base: U32,
    shard: U16,
    replicas: U16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct UnpurgedRow {
    group: U64,
    shard: U16,
}

/// The least bytes of a topic: id, time, name, settings, count, one partition with one replica.
const TOPIC_BYTES_MIN: usize = 16 + 8 + 4 + 2 + 4 + size_of::<PartitionRow>() + 8;
/// The least bytes of a tombstone: id, name, count, one group.
const TOMBSTONE_BYTES_MIN: usize = 16 + 4 + 4 + size_of::<UnpurgedRow>();

impl Metadata {
    /// The whole state. The same commands give the same bytes on every replica.
    pub fn snapshot(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u16_le(VERSION);
        put_fixed(&mut out, &self.head());
        put_count(&mut out, self.tables.topics.len());
        self.tables.topics.iter().for_each(|(_, topic)| put_topic(&mut out, topic));
        put_count(&mut out, self.tombstones.len());
        self.tombstones.values().for_each(|tombstone| put_tombstone(&mut out, tombstone));
        out.freeze()
    }

    /// The state of a snapshot.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for a version of another release, [`Code::Corrupt`] for bytes that no state wrote.
    pub fn restore(bytes: &[u8]) -> Result<Metadata> {
        let mut reader = Reader::new(bytes, READING);
        let version = reader.u16()?;
        if version != VERSION {
            let message =
                format!("the metadata snapshot has version {version}, this release reads {VERSION}");
            return Err(Error::new(Code::Unsupported, message));
        }
        let head: &Head = reader.fixed()?;
        let mut restoring = Restoring::new(head);
        for _ in 0..reader.count(TOPIC_BYTES_MIN)? {
            let topic = read_topic(&mut reader)?;
            restoring.topic(topic).map_err(|why| reader.malformed(why))?;
        }
        for _ in 0..reader.count(TOMBSTONE_BYTES_MIN)? {
            let tombstone = read_tombstone(&mut reader)?;
            restoring.tombstone(tombstone).map_err(|why| reader.malformed(why))?;
        }
        let state = restoring.finish().map_err(|why| reader.malformed(why))?;
        if state.head().as_bytes() != head.as_bytes() {
            return Err(reader.malformed("its head says what no state says"));
        }
        reader.end().map(|()| state)
    }

    fn head(&self) -> Head {
        let born = self.tables.birth.unwrap_or(UNBORN);
        Head {
            shards: born.shards.into(),
            reserved: 0.into(),
            applied: self.applied.into(),
            version: self.tables.version.into(),
            features: self.tables.features.into(),
            next_group: self.next_group.into(),
            next_producer: self.next_producer.into(),
            next_replica: self.next_replica.into(),
            node: born.node.into_bytes(),
            directory: born.directory.into_bytes(),
            born: born.time.0.into(),
        }
    }
}

const UNBORN: Birth = Birth { node: Uuid::nil(), directory: Uuid::nil(), shards: 0, time: UnixMillis(0) };

fn put_topic(out: &mut BytesMut, topic: &Topic) {
    out.put_slice(topic.id.0.as_bytes());
    out.put_i64_le(topic.created.0);
    put_string(out, topic.name.as_str());
    topic.settings.encode(out);
    put_count(out, topic.partitions.len());
    for partition in &topic.partitions {
        let row = PartitionRow {
            group: partition.group.0.into(),
            leader_epoch_base: partition.leader_epoch_base.into(),
            shard: partition.shard.0.into(),
            replicas: (partition.replicas.len() as u16).into(),
        };
        put_fixed(out, &row);
        partition.replicas.iter().for_each(|replica| out.put_u64_le(replica.0));
    }
}

fn read_topic(reader: &mut Reader<'_>) -> Result<Topic> {
    let id = reader.topic_id()?;
    let created = UnixMillis(reader.i64()?);
    let name = read_name(reader)?;
    let settings = reader.part(TopicSettings::decode).map_err(|error| match error.code {
        Code::Unsupported => error,
        _ => reader.malformed(&error.message),
    })?;
    let count = reader.count(size_of::<PartitionRow>() + 8)? as u32;
    if !(1..=TOPIC_PARTITIONS_MAX).contains(&count) {
        return Err(reader.malformed("a topic has no partitions or too many"));
    }
    let partitions = (0..count).map(|number| read_partition(reader, number)).collect::<Result<_>>()?;
    Ok(Topic { id, name, settings, created, partitions })
}

fn read_partition(reader: &mut Reader<'_>, number: u32) -> Result<Partition> {
    let row: &PartitionRow = reader.fixed()?;
    let replicas: Replicas =
        (0..row.replicas.get()).map(|_| reader.u64().map(ReplicaId)).collect::<Result<_>>()?;
    Ok(Partition {
        number: PartitionNumber(number),
        group: GroupId(row.group.get()),
        shard: ShardId(row.shard.get()),
        replicas,
        leader_epoch_base: row.leader_epoch_base.get(),
    })
}

fn put_tombstone(out: &mut BytesMut, tombstone: &Tombstone) {
    out.put_slice(tombstone.topic.0.as_bytes());
    put_string(out, tombstone.name.as_str());
    put_count(out, tombstone.groups.len());
    for (group, shard) in &tombstone.groups {
        put_fixed(out, &UnpurgedRow { group: group.0.into(), shard: shard.0.into() });
    }
}

fn read_tombstone(reader: &mut Reader<'_>) -> Result<Tombstone> {
    let topic = reader.topic_id()?;
    let name = read_name(reader)?;
    let count = reader.count(size_of::<UnpurgedRow>())?;
    let group = |reader: &mut Reader<'_>| {
        let row: &UnpurgedRow = reader.fixed()?;
        Ok((GroupId(row.group.get()), ShardId(row.shard.get())))
    };
    let groups = (0..count).map(|_| group(reader)).collect::<Result<_>>()?;
    Ok(Tombstone { topic, name, groups })
}

fn read_name(reader: &mut Reader<'_>) -> Result<TopicName> {
    let name = reader.string()?;
    TopicName::new(name).map_err(|error| reader.malformed(&error.message))
}

/// A state that is being put together and checked, part by part.
struct Restoring {
    state: Metadata,
    tables: Tables,
    groups: BTreeSet<GroupId>,
}

type Checked<T> = std::result::Result<T, &'static str>;

impl Restoring {
    fn new(head: &Head) -> Restoring {
        let birth = Birth {
            node: Uuid::from_bytes(head.node),
            directory: Uuid::from_bytes(head.directory),
            shards: head.shards.get(),
            time: UnixMillis(head.born.get()),
        };
        let state = Metadata {
            applied: head.applied.get(),
            next_group: head.next_group.get(),
            next_producer: head.next_producer.get(),
            next_replica: head.next_replica.get(),
            loads: Loads::new(birth.shards),
            ..Metadata::default()
        };
        let tables = Tables {
            version: head.version.get(),
            birth: (birth.shards > 0).then_some(birth),
            features: head.features.get(),
            ..Tables::default()
        };
        Restoring { state, tables, groups: BTreeSet::new() }
    }

    /// A group is given once, by the counter, to a shard that is there.
    fn group(&mut self, group: GroupId, shard: ShardId) -> Checked<()> {
        let given = group >= GroupId::FIRST_DATA && group.0 < self.state.next_group;
        if !given || !self.groups.insert(group) {
            return Err("a group was given twice or never");
        }
        if self.state.loads.hold(shard) { Ok(()) } else { Err("a group lies on a shard that is not there") }
    }

    fn topic(&mut self, topic: Topic) -> Checked<()> {
        for partition in &topic.partitions {
            self.group(partition.group, partition.shard)?;
            let given =
                |replica: &ReplicaId| (FIRST_DATA_REPLICA.0..self.state.next_replica).contains(&replica.0);
            if partition.replicas.is_empty() || !partition.replicas.iter().all(given) {
                return Err("a partition has no replicas, or one that was never given");
            }
        }
        if self.tables.topics.last_key() >= Some(&topic.id) || self.tables.names.get(&topic.name).is_some() {
            return Err("its topics are not in the order of their ids, or two have one name");
        }
        self.tables.put(Arc::new(topic));
        Ok(())
    }

    fn tombstone(&mut self, tombstone: Tombstone) -> Checked<()> {
        tombstone.groups.iter().try_for_each(|(group, shard)| self.group(*group, *shard))?;
        let newest = self.state.tombstones.last_key_value().map(|(id, _)| id);
        let alive = self.tables.topics.get(&tombstone.topic).is_some();
        if alive || newest >= Some(&tombstone.topic) || tombstone.groups.is_empty() {
            return Err("a tombstone is empty, out of order, or of a topic that lives");
        }
        self.state.tombstones.insert(tombstone.topic, tombstone);
        Ok(())
    }

    fn finish(self) -> Checked<Metadata> {
        let Restoring { mut state, tables, .. } = self;
        let sound = match tables.birth {
            Some(_) => {
                state.next_group >= GroupId::FIRST_DATA.0
                    && state.next_producer >= 0
                    && state.next_replica >= FIRST_DATA_REPLICA.0
            }
            None => {
                (state.next_group, state.next_producer, state.next_replica, tables.version) == (0, 0, 0, 0)
            }
        };
        if !sound {
            return Err("its counters cannot be");
        }
        state.tables = Arc::new(tables);
        Ok(state)
    }
}
