//! Distinct types for distinct ids. A Kafka offset is not a log index, a group is not a partition number:
//! nothing here converts into anything else by itself.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $int);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id! {
    /// A Raft group: one partition, or one of the internal state groups. Given once by group 0's counter,
    /// never used again. Journal, wire and metrics name groups by it.
    GroupId(u64)
}
id! {
    /// A partition's number within its topic, from 0.
    PartitionNumber(u32)
}
id! {
    /// A shard: owns a journal and the segments of its groups. Fixed when a directory is formatted;
    /// not a CPU.
    ShardId(u16)
}
id! {
    /// A record's place in its partition, Kafka's offset. Dense from 0, never negative.
    Offset(u64)
}
id! {
    /// A position in a shard's journal, in bytes. Never reused.
    Lsn(u64)
}
id! {
    /// An idempotent producer's id, handed out in blocks by group 0.
    ProducerId(i64)
}
id! {
    /// Milliseconds since the Unix epoch, Kafka's timestamp.
    UnixMillis(i64)
}

impl GroupId {
    /// The metadata group: topics, settings, placement. Always on shard 0.
    pub const METADATA: GroupId = GroupId(0);
    /// The positions group: subscriptions' durable positions. Always on shard 0.
    pub const POSITIONS: GroupId = GroupId(1);
    /// The first id that group 0's counter gives to a partition; all below are internal state groups.
    pub const FIRST_DATA: GroupId = GroupId(16);

    /// A state group keeps its whole state in snapshots and has no segments.
    pub fn is_state(self) -> bool {
        self < Self::FIRST_DATA
    }
}

impl Offset {
    /// The offset `records` further on.
    pub fn plus(self, records: u64) -> Offset {
        Offset(self.0 + records)
    }
}

impl Lsn {
    /// The position `bytes` further on.
    pub fn plus(self, bytes: u64) -> Lsn {
        Lsn(self.0 + bytes)
    }
}

/// A topic's stable id. A new topic of an old name has a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub uuid::Uuid);

impl TopicId {
    /// The id of the internal topic of the state groups.
    pub const INTERNAL: TopicId = TopicId(uuid::Uuid::nil());

    /// A version-4 id from 128 random bits, which the caller brings.
    pub fn from_random(bits: u128) -> TopicId {
        TopicId(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({})", self.0)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
