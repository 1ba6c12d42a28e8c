//! The log of one shard: a journal that makes every append durable, segments that hold the batches, checkpoints
//! that free the journal, and recovery that puts it all together again. It knows groups, frames and files;
//! never a topic's rules, a client or a protocol. Bytes on disk are described in FORMAT.md.
#![forbid(unsafe_code)]

pub mod codec;
mod frames;
pub mod group_log;
pub mod group_state;
pub mod journal;
pub mod recovery;
pub mod segment;
pub mod shard_log;
mod stubborn;
pub mod superblock;
pub mod ways;

pub use group_log::GroupLog;
pub use group_state::{Damaged, GroupState};
pub use recovery::{Recovered, RecoveredGroup};
pub use shard_log::{LogEvents, LogStats, RollLimits, ShardLog, ShardLogSpec};
