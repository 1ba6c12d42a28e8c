//! How far named subscriptions have got, kept by the node.

use crate::message::message;
use flumen_model::{GroupId, Offset, UnixMillis};

message! {
    /// Keeps positions of a subscription; groups that are not named keep theirs.
    struct CommitPositionsRequest {
        /// The subscription's name.
        subscription: String,
        /// A position for each group.
        positions: Vec<Position>,
    }

    /// How far a subscription has got in one group.
    struct Position {
        /// The group.
        group: GroupId,
        /// The next offset to read.
        offset: Offset,
        /// The leader epoch of the last record read.
        leader_epoch: u32,
        /// The client's own words, given back as they are.
        metadata: String,
    }

    /// Asks for a subscription's positions.
    struct FetchPositionsRequest {
        /// The subscription's name.
        subscription: String,
    }

    /// A subscription's positions.
    struct FetchPositionsReply {
        /// One for each group that has one.
        positions: Vec<CommittedPosition>,
    }

    /// A position as it was kept.
    struct CommittedPosition {
        /// The group.
        group: GroupId,
        /// The next offset to read.
        offset: Offset,
        /// The leader epoch of the last record read.
        leader_epoch: u32,
        /// When it was committed, by the node's clock.
        commit_time: UnixMillis,
        /// The client's own words.
        metadata: String,
    }

    /// Asks for the names of all subscriptions.
    struct ListSubscriptionsRequest {}

    /// The names of all subscriptions.
    struct ListSubscriptionsReply {
        /// Sorted.
        names: Vec<String>,
    }

    /// Forgets a subscription and its positions.
    struct DeleteSubscriptionRequest {
        /// The subscription's name.
        subscription: String,
    }
}
