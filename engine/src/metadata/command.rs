//! What is proposed to group 0, as values and as bytes. A command brings its own time and chance, and the limits of
//! the leader that proposed it, so that every replica does the same with it. Layouts: `FORMAT.md` beside the crate.

use super::flat::{Reader, Reading, put_count, put_head, put_string};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::topic::{TopicName, TopicSettings};
use flumen_model::{Code, Error, GroupId, ProducerId, Result, ShardId, TopicId, UnixMillis};
use flumen_replication::ReplicaId;
use uuid::Uuid;

const READING: Reading = Reading { what: "metadata command", malformed: Code::InvalidRequest };

/// The version of every command of this release.
const VERSION: u16 = 1;

/// The first replica id that the counter gives; all below belong to the state groups, which are there before it.
pub const FIRST_DATA_REPLICA: ReplicaId = ReplicaId(16);

/// One change of the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The first command of all. Repeating it changes nothing.
    Init(Init),
    /// Creates a topic.
    CreateTopic(CreateTopic),
    /// Deletes a topic; its groups leave a tombstone until their shards have purged them.
    DeleteTopic {
        /// The topic.
        topic: TopicId,
    },
    /// Changes a topic's settings.
    AlterTopic(AlterTopic),
    /// Adds partitions to a topic.
    AddPartitions {
        /// The topic.
        topic: TopicId,
        /// How many it shall have in all.
        partitions: u32,
        /// The leader's `Limits::partitions_per_shard_max`.
        partitions_per_shard_max: u32,
    },
    /// Takes a block of producer ids.
    AllocateProducers {
        /// How many.
        count: u32,
    },
    /// A shard has purged all of a deleted topic's groups. Repeating it changes nothing.
    PurgeDone {
        /// The deleted topic.
        topic: TopicId,
        /// The shard.
        shard: ShardId,
    },
    /// Turns features on for good.
    FinalizeFeatures {
        /// A bit each; bits that are set already stay.
        features: u64,
    },
}

/// The birth of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    /// The node's id.
    pub node: Uuid,
    /// The id of the node's data directory.
    pub directory: Uuid,
    /// The directory's shards, at least one.
    pub shards: u16,
    /// Features that are on from the start, a bit each.
    pub features: u64,
    /// When it is proposed.
    pub time: UnixMillis,
    /// The first group to give out; at least [`GroupId::FIRST_DATA`].
    pub next_group: GroupId,
    /// The first producer id to give out.
    pub next_producer: ProducerId,
    /// The first replica id to give out; at least [`FIRST_DATA_REPLICA`].
    pub next_replica: ReplicaId,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopic {
    /// Its name.
    pub name: TopicName,
    /// 128 random bits for its id.
    pub id_bits: u128,
    /// When it is proposed.
    pub time: UnixMillis,
    /// How many partitions it shall have.
    pub partitions: u32,
    /// The leader's `Limits::partitions_per_shard_max`.
    pub partitions_per_shard_max: u32,
    /// What is set for it.
    pub settings: TopicSettings,
}

/// A change of a topic's settings, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTopic {
    /// The topic.
    pub topic: TopicId,
    /// What shall be set; the rest stays.
    pub set: TopicSettings,
    /// The keys that go back to their defaults.
    pub unset: Vec<String>,
}

impl AlterTopic {
    /// A change from text; an empty value goes back to the default.
    ///
    /// # Errors
    /// [`Code::InvalidSetting`] for an unknown key, a value out of range, or a key that stands there twice.
    pub fn from_pairs<'a>(
        topic: TopicId,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<AlterTopic> {
        let mut alter = AlterTopic { topic, set: TopicSettings::default(), unset: Vec::new() };
        for (key, value) in pairs {
            let twice =
                alter.set.pairs().any(|(set, _)| set == key) || alter.unset.iter().any(|unset| unset == key);
            if value.is_empty() {
                alter.set.unset(key)?;
                alter.unset.push(key.to_string());
            } else {
                alter.set.set(key, value)?;
            }
            if twice {
                let message = format!("{key} is changed twice in one request: say once what it shall be");
                return Err(Error::new(Code::InvalidSetting, message));
            }
        }
        Ok(alter)
    }
}

impl Init {
    /// The birth of a fresh directory.
    pub fn fresh(node: Uuid, directory: Uuid, shards: u16, features: u64, time: UnixMillis) -> Init {
        let (next_group, next_producer, next_replica) =
            (GroupId::FIRST_DATA, ProducerId(0), FIRST_DATA_REPLICA);
        Init { node, directory, shards, features, time, next_group, next_producer, next_replica }
    }
}

impl Command {
    /// The command as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        put_head(&mut out, self.kind(), VERSION);
        match self {
            Command::Init(init) => put_init(&mut out, init),
            Command::CreateTopic(create) => put_create(&mut out, create),
            Command::DeleteTopic { topic } => out.put_slice(topic.0.as_bytes()),
            Command::AlterTopic(alter) => put_alter(&mut out, alter),
            Command::AddPartitions { topic, partitions, partitions_per_shard_max } => {
                out.put_slice(topic.0.as_bytes());
                out.put_u32_le(*partitions);
                out.put_u32_le(*partitions_per_shard_max);
            }
            Command::AllocateProducers { count } => out.put_u32_le(*count),
            Command::PurgeDone { topic, shard } => {
                out.put_slice(topic.0.as_bytes());
                out.put_u16_le(shard.0);
            }
            Command::FinalizeFeatures { features } => out.put_u64_le(*features),
        }
        out.freeze()
    }

    /// The command of some bytes.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for a kind or version of another release, [`Code::InvalidRequest`] for bytes that are
    /// no command, [`Code::InvalidName`] for an illegal topic name.
    pub fn decode(bytes: &[u8]) -> Result<Command> {
        let mut reader = Reader::new(bytes, READING);
        let command = match reader.head()? {
            (1, 1) => Command::Init(read_init(&mut reader)?),
            (2, 1) => Command::CreateTopic(read_create(&mut reader)?),
            (3, 1) => Command::DeleteTopic { topic: reader.topic_id()? },
            (4, 1) => Command::AlterTopic(read_alter(&mut reader)?),
            (5, 1) => Command::AddPartitions {
                topic: reader.topic_id()?,
                partitions: reader.u32()?,
                partitions_per_shard_max: reader.u32()?,
            },
            (6, 1) => Command::AllocateProducers { count: reader.u32()? },
            (7, 1) => Command::PurgeDone { topic: reader.topic_id()?, shard: ShardId(reader.u16()?) },
            (8, 1) => Command::FinalizeFeatures { features: reader.u64()? },
            (kind, version) => return Err(reader.unsupported(kind, version)),
        };
        reader.end()?;
        Ok(command)
    }

    fn kind(&self) -> u16 {
        match self {
            Command::Init(_) => 1,
            Command::CreateTopic(_) => 2,
            Command::DeleteTopic { .. } => 3,
            Command::AlterTopic(_) => 4,
            Command::AddPartitions { .. } => 5,
            Command::AllocateProducers { .. } => 6,
            Command::PurgeDone { .. } => 7,
            Command::FinalizeFeatures { .. } => 8,
        }
    }
}

fn put_init(out: &mut BytesMut, init: &Init) {
    out.put_slice(init.node.as_bytes());
    out.put_slice(init.directory.as_bytes());
    out.put_u16_le(init.shards);
    out.put_u64_le(init.features);
    out.put_i64_le(init.time.0);
    out.put_u64_le(init.next_group.0);
    out.put_i64_le(init.next_producer.0);
    out.put_u64_le(init.next_replica.0);
}

fn read_init(reader: &mut Reader<'_>) -> Result<Init> {
    Ok(Init {
        node: reader.uuid()?,
        directory: reader.uuid()?,
        shards: reader.u16()?,
        features: reader.u64()?,
        time: UnixMillis(reader.i64()?),
        next_group: GroupId(reader.u64()?),
        next_producer: ProducerId(reader.i64()?),
        next_replica: ReplicaId(reader.u64()?),
    })
}

fn put_create(out: &mut BytesMut, create: &CreateTopic) {
    out.put_u128_le(create.id_bits);
    out.put_i64_le(create.time.0);
    out.put_u32_le(create.partitions);
    out.put_u32_le(create.partitions_per_shard_max);
    put_string(out, create.name.as_str());
    create.settings.encode(out);
}

fn read_create(reader: &mut Reader<'_>) -> Result<CreateTopic> {
    let id_bits = u128::from_le_bytes(*reader.fixed::<[u8; 16]>()?);
    let time = UnixMillis(reader.i64()?);
    let (partitions, partitions_per_shard_max) = (reader.u32()?, reader.u32()?);
    let name = TopicName::new(reader.string()?)?;
    let settings = reader.part(TopicSettings::decode)?;
    Ok(CreateTopic { name, id_bits, time, partitions, partitions_per_shard_max, settings })
}

fn put_alter(out: &mut BytesMut, alter: &AlterTopic) {
    out.put_slice(alter.topic.0.as_bytes());
    alter.set.encode(out);
    put_count(out, alter.unset.len());
    alter.unset.iter().for_each(|key| put_string(out, key));
}

fn read_alter(reader: &mut Reader<'_>) -> Result<AlterTopic> {
    let topic = reader.topic_id()?;
    let set = reader.part(TopicSettings::decode)?;
    let count = reader.count(size_of::<u32>())?;
    let unset = (0..count).map(|_| Ok(reader.string()?.to_string())).collect::<Result<_>>()?;
    Ok(AlterTopic { topic, set, unset })
}
