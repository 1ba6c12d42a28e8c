//! Topics, their partitions, and who owns each: what a client needs to send the rest to the right shard.

use crate::message::message;
use flumen_model::{GroupId, ShardId, TopicId};

message! {
    /// Asks for topics.
    struct MetadataRequest {
        /// Names of topics; none at all asks for every topic.
        topics: Vec<String>,
    }

    /// The topics that exist of those asked for.
    struct MetadataReply {
        /// Rises with every change of topics.
        metadata_version: u64,
        /// The topics; one that was asked for and is not here does not exist.
        topics: Vec<TopicMetadata>,
    }

    /// A topic.
    struct TopicMetadata {
        /// Its name.
        name: String,
        /// Its id; a new topic of an old name has a new one.
        id: TopicId,
        /// Whether it belongs to the house and takes no records of users.
        internal: bool,
        /// What was set for it, by Kafka's key names.
        settings: Vec<(String, String)>,
        /// Its partitions, by number.
        partitions: Vec<PartitionMetadata>,
    }

    /// A partition.
    struct PartitionMetadata {
        /// Its group, which every request names it by.
        group: GroupId,
        /// The shard that owns it.
        shard: ShardId,
        /// The epoch of its leader.
        leader_epoch: u32,
    }
}
