//! A node behind the native protocol: connections by shard, topics, counters. Speaks through the client's raw
//! connections, one batch a request, so that nothing of a client's batching or waiting is measured.

use super::reading::NativeReader;
use super::target::NativeTarget;
use super::{Load, Node, Reader};
use crate::drive::Target;
use crate::measure::ServerCounters;
use flumen_client::blocking::RawConnection;
use flumen_model::error::{Code, Error, Kind, Result};
use flumen_model::{GroupId, Offset, ShardId};
use flumen_wire::{
    CreateTopicRequest, DescribeRequest, MetadataRequest, PartitionMetadata, StatusRequest, TopicMetadata,
};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A new topic's partitions must all serve within this time.
const SETTLE: Duration = Duration::from_secs(60);
/// Between two looks at something that is not ready yet.
const AGAIN: Duration = Duration::from_millis(5);

/// Segments of a topic that keeps few bytes: what it keeps is a whole number of them.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Where a partition lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: GroupId,
    pub(super) shard: ShardId,
    /// The offset behind its last record when it was asked.
    pub(super) end: Offset,
}

/// A node at an address.
pub struct NativeNode {
    address: String,
    /// For counters, one connection a shard; kept, so that a look costs one round trip.
    inspectors: Mutex<Vec<RawConnection>>,
}

impl NativeNode {
    /// Connects to a node that serves.
    pub fn connect(address: &str) -> Result<NativeNode> {
        let first = RawConnection::connect(address, Some(ShardId(0)))?;
        let shards = first.hello().shards;
        let mut inspectors = vec![first];
        for shard in 1..shards {
            inspectors.push(RawConnection::connect(address, Some(ShardId(shard)))?);
        }
        Ok(NativeNode { address: address.to_owned(), inspectors: Mutex::new(inspectors) })
    }

    /// A connection to a shard.
    fn dial(&self, shard: ShardId) -> Result<RawConnection> {
        RawConnection::connect(self.address.as_str(), Some(shard))
    }

    /// A topic's partitions, all of which serve; the topic is created when missing.
    fn topic(&self, name: &str, load: Option<&Load>) -> Result<Vec<Place>> {
        let mut connection = self.dial(ShardId(0))?;
        if find(&mut connection, name)?.is_none() {
            let load = load.ok_or_else(|| {
                Error::new(Code::UnknownTopic, format!("there is no topic '{name}' to read: fill it first"))
            })?;
            let (partitions, settings) = (load.partitions, settings(load));
            connection.call(&CreateTopicRequest { name: name.to_owned(), partitions, settings })?;
        }
        let give_up = Instant::now() + SETTLE;
        let topic = loop {
            match find(&mut connection, name)? {
                Some(topic) => break topic,
                None => pause(give_up, name)?,
            }
        };
        self.settle(&topic.partitions, name, give_up)
    }

    /// Asks each shard for its partitions until all of them can be described.
    fn settle(&self, partitions: &[PartitionMetadata], name: &str, give_up: Instant) -> Result<Vec<Place>> {
        let mut ends: Vec<Option<Offset>> = vec![None; partitions.len()];
        let mut shards: Vec<ShardId> = partitions.iter().map(|partition| partition.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            let mine: Vec<usize> =
                (0..partitions.len()).filter(|at| partitions[*at].shard == shard).collect();
            let groups: Vec<GroupId> = mine.iter().map(|at| partitions[*at].group).collect();
            let mut connection = self.dial(shard)?;
            while mine.iter().any(|at| ends[*at].is_none()) {
                let reply = connection.call(&DescribeRequest { groups: groups.clone() })?;
                for (at, group) in mine.iter().zip(reply.groups) {
                    ends[*at] = described(group.error, name)?.then_some(group.high_watermark);
                }
                if mine.iter().any(|at| ends[*at].is_none()) {
                    pause(give_up, name)?;
                }
            }
        }
        let place = |(partition, end): (&PartitionMetadata, Option<Offset>)| Place {
            group: partition.group,
            shard: partition.shard,
            end: end.expect("settled just above"),
        };
        Ok(partitions.iter().zip(ends).map(place).collect())
    }
}

/// A topic's settings, by Kafka's names.
fn settings(load: &Load) -> Vec<(String, String)> {
    let Some(bytes) = load.keep_bytes else { return Vec::new() };
    let each = bytes / u64::from(load.partitions);
    let set = |key: &str, value: u64| (key.to_owned(), value.to_string());
    vec![set("retention.bytes", each), set("segment.bytes", SEGMENT_BYTES)]
}

/// Whether a group serves; an error that waiting does not heal ends the run.
fn described(error: Option<Code>, name: &str) -> Result<bool> {
    match error {
        None => Ok(true),
        Some(code) if code.kind() == Kind::Retry => Ok(false),
        Some(code) => Err(Error::new(code, format!("a partition of '{name}' cannot be used: {code:?}"))),
    }
}

fn find(connection: &mut RawConnection, name: &str) -> Result<Option<TopicMetadata>> {
    let reply = connection.call(&MetadataRequest { topics: vec![name.to_owned()] })?;
    Ok(reply.topics.into_iter().find(|topic| topic.name == name))
}

fn pause(give_up: Instant, name: &str) -> Result<()> {
    if Instant::now() > give_up {
        return Err(Error::new(
            Code::Timeout,
            format!("'{name}' does not serve after {} s", SETTLE.as_secs()),
        ));
    }
    thread::sleep(AGAIN);
    Ok(())
}

impl Node for NativeNode {
    fn pid(&self) -> Option<u32> {
        None
    }

    fn durability(&self) -> String {
        // The topics of the benches are created without settings, so this is what theirs is.
        "quorum-durable".to_owned()
    }

    fn producer(&self, load: &Load) -> Result<Box<dyn Target>> {
        let places = self.topic(load.topic, Some(load))?;
        Ok(Box::new(NativeTarget::open(load, &places, |shard| self.dial(shard))?))
    }

    fn reader(&self, topic: &str) -> Result<Box<dyn Reader>> {
        let places = self.topic(topic, None)?;
        Ok(Box::new(NativeReader::open(&places, |shard| self.dial(shard))?))
    }

    fn counters(&self) -> Result<ServerCounters> {
        let mut inspectors = self.inspectors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = ServerCounters::default();
        for connection in inspectors.iter_mut() {
            let shard = counters_of(&connection.call(&StatusRequest {})?.json)?;
            all.turns = all.turns.max(shard.turns);
            all.bytes_spread += shard.bytes_spread;
            all.checkpoints += shard.checkpoints;
            all.rolls += shard.rolls;
            all.deletions += shard.deletions;
        }
        Ok(all)
    }

    fn kill(&self) -> Result<()> {
        let text = "this node was not started here: only one that bench starts can be killed";
        Err(Error::new(Code::Unsupported, text))
    }
}

/// How often a journal was filled: by its bytes where its capacity is told, else in whole turns.
fn turns(journal: &serde_json::Value) -> Option<f64> {
    let written = journal["bytes"].as_f64().zip(journal["capacity_bytes"].as_f64());
    let exact = written.filter(|(_, capacity)| *capacity > 0.0).map(|(bytes, capacity)| bytes / capacity);
    exact.or_else(|| journal["turns"].as_f64())
}

/// A shard's counters out of its state. Counters that it does not have are 0; without its journal's turns no load
/// could be believed, so those must be there.
fn counters_of(json: &str) -> Result<ServerCounters> {
    let odd =
        || Error::new(Code::Unsupported, "the node's state has no journal turns: it is of another release");
    let state: serde_json::Value = serde_json::from_str(json).map_err(|_| odd())?;
    let count = |name: &str| state[name].as_u64().unwrap_or(0);
    Ok(ServerCounters {
        turns: turns(&state["journal"]).ok_or_else(odd)?,
        bytes_spread: count("spread_bytes"),
        checkpoints: count("checkpoints"),
        rolls: count("segments_rolled"),
        deletions: count("segments_deleted"),
    })
}

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
