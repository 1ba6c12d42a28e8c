//! The product under test, as the load verbs see it: a node that takes producers and readers and tells its
//! counters. The client stands behind these traits; nothing here may know the protocol.

pub mod child;
pub mod native;
pub mod parts;
mod progress;
mod reading;
pub mod restart;
mod target;
mod watching;

pub use child::ChildNodes;

use crate::drive::Target;
use crate::measure::ServerCounters;
use flumen_model::error::Result;
use std::path::PathBuf;
use std::time::Duration;

/// When a request counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its ack is here.
    Acked,
    /// Its ack is here, and a subscriber on a connection of its own has the records too.
    Delivered,
}

/// What a producer sends. The topic is created when missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The topic.
    pub topic: &'static str,
    /// Its partitions; request number `id` goes to partition `id` modulo this.
    pub partitions: u32,
    /// Records in a request, which is one batch.
    pub records: u32,
    /// Payload bytes of a record.
    pub record_bytes: u32,
    /// Requests that the producer must be able to have in flight.
    pub in_flight: u32,
    /// When a request is done.
    pub until: Until,
    /// Bytes that the topic keeps, all partitions together, in small segments; none keeps all. Only for a topic that
    /// is created by this load.
    pub keep_bytes: Option<u64>,
}

/// Records taken by a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many.
    pub records: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

/// Reads a topic.
pub trait Reader {
    /// Waits at most `wait` for records; none when it is over.
    fn read(&mut self, wait: Duration) -> Result<Taken>;

    /// Whether it has read all that was there when it was opened.
    fn at_end(&self) -> bool;
}

/// A running node.
pub trait Node: Send + Sync {
    /// Its process, when this program started it.
    fn pid(&self) -> Option<u32>;

    /// What its ack promises on the benches' topics: `quorum-durable`.
    fn durability(&self) -> String;

    /// A producer on a connection of its own. Called on the thread that will drive it.
    fn producer(&self, load: &Load) -> Result<Box<dyn Target>>;

    /// A reader of all partitions of a topic from their first offsets. Called on the thread that will drive it.
    fn reader(&self, topic: &str) -> Result<Box<dyn Reader>>;

    /// Its counters now.
    fn counters(&self) -> Result<ServerCounters>;

    /// Ends its process at once (kill -9). A node that this program did not start refuses.
    fn kill(&self) -> Result<()>;
}

/// How a node is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The address of a running node; none: start one.
    pub server: Option<String>,
    /// Where a started node keeps its data; may hold data of an earlier start.
    pub dir: PathBuf,
    /// The CPU of a started node.
    pub cpu: usize,
}

/// Where nodes come from: the binary knows how to start one, the client how to reach it.
pub trait Nodes: Send + Sync {
    /// Reaches or starts a node and returns when it serves.
    fn open(&self, start: &Start) -> Result<Box<dyn Node>>;
}
