//! What is proposed to the positions group, as values and as bytes. A command brings its own time, and the limits
//! of the leader that proposed it, so that every replica does the same with it. Layouts: `FORMAT.md` beside the crate.

use super::subscription::{Key, POSITION_BYTES, Position, SubscriptionName};
use crate::metadata::flat::{Reader, Reading, put_count, put_fixed, put_head, put_string};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::{Code, Error, Offset, PartitionNumber, Result, TopicId, UnixMillis};
use uuid::Uuid;
use zerocopy::little_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The longest metadata of one position, Kafka's `offset.metadata.max.bytes`. A format limit: commands with more
/// are never applied.
pub const POSITION_METADATA_BYTES_MAX: usize = 4096;

const READING: Reading = Reading { what: "positions command", malformed: Code::InvalidRequest };

/// The version of every command of this release.
const VERSION: u16 = 1;

/// One change of the positions. Kinds 1 to 31 are the positions'; 32 to 63 are kept for consumer groups, 64 to 95
/// for share groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Commits positions, all or none; the subscription begins with its first commit.
    Commit(Commit),
    /// Forgets a subscription.
    DeleteSubscription {
        /// The subscription.
        subscription: SubscriptionName,
    },
    /// Forgets every position in a deleted topic.
    DeleteTopic {
        /// The topic.
        topic: TopicId,
    },
    /// Forgets positions of one subscription, which then begins as new there (Kafka's OffsetDelete).
    Reset {
        /// The subscription.
        subscription: SubscriptionName,
        /// The topic.
        topic: TopicId,
        /// The partitions; none means all of the topic.
        partitions: Vec<PartitionNumber>,
    },
    /// Forgets the subscriptions that nothing was committed for in a while.
    Expire {
        /// When it is proposed.
        now: UnixMillis,
        /// How long a subscription may lie unused.
        unused_ms: u64,
    },
}

/// Positions to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The subscription.
    pub subscription: SubscriptionName,
    /// When it is proposed.
    pub time: UnixMillis,
    /// The leader's limits.
    pub bounds: Bounds,
    /// The positions. Of two for one partition the later holds.
    pub entries: Vec<Entry>,
}

/// The leader's limits on the state of all positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `Limits::subscriptions_max`.
    pub subscriptions_max: u32,
    /// The most bytes that a snapshot of all subscriptions may have.
    pub state_bytes_max: u64,
}

/// One position to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionNumber,
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The leader epoch of the record before it, −1 when unknown.
    pub leader_epoch: i32,
    /// What the consumer wants to remember; at most [`POSITION_METADATA_BYTES_MAX`] bytes.
    pub metadata: Box<str>,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryRow {
    topic: [u8; 16],
    offset: U64,
    partition: U32,
    leader_epoch: I32,
}

impl Entry {
    /// What the position takes in a snapshot.
    pub(super) fn bytes(&self) -> u64 {
        POSITION_BYTES + self.metadata.len() as u64
    }

    /// The position that it becomes.
    pub(super) fn at(self, time: UnixMillis) -> (Key, Position) {
        let Entry { topic, partition, offset, leader_epoch, metadata } = self;
        ((topic, partition), Position { offset, leader_epoch, metadata, time })
    }
}

/// Refuses metadata that are too long. Leaders ask before they propose, partition by partition.
///
/// # Errors
/// [`Code::InvalidRequest`] with the length and the limit.
pub fn check_metadata(metadata: &str) -> Result<()> {
    let len = metadata.len();
    if len <= POSITION_METADATA_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("a position's metadata have {len} bytes, at most {POSITION_METADATA_BYTES_MAX} are kept");
    Err(Error::new(Code::InvalidRequest, message))
}

impl Command {
    /// The command as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        put_head(&mut out, self.kind(), VERSION);
        match self {
            Command::Commit(commit) => put_commit(&mut out, commit),
            Command::DeleteSubscription { subscription } => put_string(&mut out, subscription.as_str()),
            Command::DeleteTopic { topic } => out.put_slice(topic.0.as_bytes()),
            Command::Reset { subscription, topic, partitions } => {
                put_string(&mut out, subscription.as_str());
                out.put_slice(topic.0.as_bytes());
                put_count(&mut out, partitions.len());
                partitions.iter().for_each(|number| out.put_u32_le(number.0));
            }
            Command::Expire { now, unused_ms } => {
                out.put_i64_le(now.0);
                out.put_u64_le(*unused_ms);
            }
        }
        out.freeze()
    }

    /// The command of some bytes.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for a kind or version of another release, [`Code::InvalidRequest`] for bytes that are
    /// no command or metadata that are too long, [`Code::InvalidName`] for an illegal name.
    pub fn decode(bytes: &[u8]) -> Result<Command> {
        let mut reader = Reader::new(bytes, READING);
        let command = match reader.head()? {
            (1, 1) => Command::Commit(read_commit(&mut reader)?),
            (2, 1) => Command::DeleteSubscription { subscription: read_name(&mut reader)? },
            (3, 1) => Command::DeleteTopic { topic: reader.topic_id()? },
            (4, 1) => Command::Reset {
                subscription: read_name(&mut reader)?,
                topic: reader.topic_id()?,
                partitions: read_partitions(&mut reader)?,
            },
            (5, 1) => Command::Expire { now: UnixMillis(reader.i64()?), unused_ms: reader.u64()? },
            (kind, version) => return Err(reader.unsupported(kind, version)),
        };
        reader.end()?;
        Ok(command)
    }

    fn kind(&self) -> u16 {
        match self {
            Command::Commit(_) => 1,
            Command::DeleteSubscription { .. } => 2,
            Command::DeleteTopic { .. } => 3,
            Command::Reset { .. } => 4,
            Command::Expire { .. } => 5,
        }
    }
}

fn put_commit(out: &mut BytesMut, commit: &Commit) {
    put_string(out, commit.subscription.as_str());
    out.put_i64_le(commit.time.0);
    out.put_u32_le(commit.bounds.subscriptions_max);
    out.put_u64_le(commit.bounds.state_bytes_max);
    put_count(out, commit.entries.len());
    for entry in &commit.entries {
        let row = EntryRow {
            topic: entry.topic.0.into_bytes(),
            offset: entry.offset.0.into(),
            partition: entry.partition.0.into(),
            leader_epoch: entry.leader_epoch.into(),
        };
        put_fixed(out, &row);
        put_string(out, &entry.metadata);
    }
}

fn read_commit(reader: &mut Reader<'_>) -> Result<Commit> {
    let subscription = read_name(reader)?;
    let time = UnixMillis(reader.i64()?);
    let bounds = Bounds { subscriptions_max: reader.u32()?, state_bytes_max: reader.u64()? };
    let count = reader.count(size_of::<EntryRow>() + size_of::<u32>())?;
    let entries = (0..count).map(|_| read_entry(reader)).collect::<Result<_>>()?;
    Ok(Commit { subscription, time, bounds, entries })
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry> {
    let row: &EntryRow = reader.fixed()?;
    let metadata = reader.string()?;
    check_metadata(metadata)?;
    Ok(Entry {
        topic: TopicId(Uuid::from_bytes(row.topic)),
        partition: PartitionNumber(row.partition.get()),
        offset: Offset(row.offset.get()),
        leader_epoch: row.leader_epoch.get(),
        metadata: metadata.into(),
    })
}

fn read_name(reader: &mut Reader<'_>) -> Result<SubscriptionName> {
    SubscriptionName::new(reader.string()?)
}

fn read_partitions(reader: &mut Reader<'_>) -> Result<Vec<PartitionNumber>> {
    let count = reader.count(size_of::<u32>())?;
    (0..count).map(|_| reader.u32().map(PartitionNumber)).collect()
}
