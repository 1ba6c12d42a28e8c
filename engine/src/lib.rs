//! The engine: shards, their partitions and the internal state groups. What a node does with records, whatever
//! protocol brought them. It reaches the machine only through the host seam and knows no socket, no frame and no
//! client. Each partition lives on one core and is never locked.
#![forbid(unsafe_code)]

pub mod ack;
pub mod control;
pub mod metadata;
pub mod oneshot;
pub mod partition;
pub mod positions;
pub mod producers;
pub mod shard;
pub mod state_group;
pub mod table;

pub use ack::{Ack, AckSink, Acks, Appended, Watcher};
pub use partition::{Partition, TailRead};
pub use shard::{Inspected, Shard, ShardConfig, inspect};
