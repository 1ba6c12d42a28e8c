//! The handshake: which versions and features both sides speak, and on which shard the connection lands.

use crate::message::message;
use flumen_model::limits::CLIENT_ID_BYTES_MAX;
use flumen_model::{Code, Error, Result, ShardId};
use uuid::Uuid;

/// The oldest protocol version that is spoken here.
pub const VERSION_MIN: u16 = 1;
/// The newest protocol version that is spoken here.
pub const VERSION_MAX: u16 = 1;
/// The feature bits that are known here: none yet.
pub const FEATURES: u64 = 0;

message! {
    /// A client's first words.
    struct HelloRequest {
        /// The oldest protocol version it speaks.
        version_min: u16,
        /// The newest protocol version it speaks.
        version_max: u16,
        /// The feature bits it knows.
        features: u64,
        /// The shard it wants to be on; none takes any.
        shard_wanted: Option<ShardId>,
        /// What it calls itself in logs and metrics.
        client_id: String,
    }

    /// What both speak from here on, and where the connection is.
    struct HelloReply {
        /// The version of all that follows.
        version: u16,
        /// The feature bits that both know.
        features: u64,
        /// The shard it landed on.
        shard: ShardId,
        /// The node's shards.
        shards: u16,
        /// The node's directory: another one means other data.
        node: Uuid,
        /// The server's release, for people.
        server_version: String,
    }
}

impl HelloRequest {
    /// A client of this crate's versions and features.
    pub fn new(client_id: impl Into<String>, shard_wanted: Option<ShardId>) -> HelloRequest {
        HelloRequest {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: FEATURES,
            shard_wanted,
            client_id: client_id.into(),
        }
    }

    /// The newest version that both speak, and the features that both know. `Unsupported` when there is no such
    /// version.
    pub fn negotiate(&self) -> Result<(u16, u64)> {
        let version = self.version_max.min(VERSION_MAX);
        if self.version_min > self.version_max || version < self.version_min.max(VERSION_MIN) {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "the client speaks versions {} to {} but this node {VERSION_MIN} to {VERSION_MAX}; use a matching release",
                    self.version_min, self.version_max
                ),
            ));
        }
        if self.client_id.len() > CLIENT_ID_BYTES_MAX {
            return Err(Error::new(
                Code::InvalidRequest,
                format!("a client id has at most {CLIENT_ID_BYTES_MAX} bytes"),
            ));
        }
        Ok((version, self.features & FEATURES))
    }
}
