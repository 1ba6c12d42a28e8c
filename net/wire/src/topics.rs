//! Creating, changing and deleting topics, and moving a partition's log start.

use crate::message::message;
use flumen_model::{GroupId, Offset, TopicId};

message! {
    /// Creates a topic.
    struct CreateTopicRequest {
        /// Its name.
        name: String,
        /// How many partitions.
        partitions: u32,
        /// Settings by Kafka's key names; all others have their defaults.
        settings: Vec<(String, String)>,
    }

    /// The topic exists.
    struct CreateTopicReply {
        /// Its id.
        id: TopicId,
        /// The first metadata version that has it.
        metadata_version: u64,
    }

    /// Deletes a topic.
    struct DeleteTopicRequest {
        /// Its name.
        name: String,
    }

    /// Changes a topic's settings, all or none.
    struct AlterTopicRequest {
        /// Its name.
        name: String,
        /// The changes; an empty value goes back to the default.
        settings: Vec<(String, String)>,
    }

    /// The change is made.
    struct MetadataVersion {
        /// The first metadata version that has it.
        metadata_version: u64,
    }

    /// Moves a log start forward; Kafka's DeleteRecords.
    struct TrimRequest {
        /// The group.
        group: GroupId,
        /// Records below this offset go.
        before_offset: Offset,
    }

    /// The log start has moved.
    struct TrimReply {
        /// The first offset that the partition still has.
        log_start: Offset,
    }
}
