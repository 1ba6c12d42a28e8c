//! Everything that a client can read of a node, as text: topics with settings, every record, positions, and what
//! becomes of a producer's repeats. Reading it changes nothing on the node. And what `check` finds, without its
//! wording, which may change.

use super::common::Asker;
use bytes::BytesMut;
use flumen_io::Host;
use flumen_model::batch::{BatchView, Batches};
use flumen_model::limits::BATCH_BYTES_HARD_MAX;
use flumen_model::records::{Record, open};
use flumen_model::{GroupId, Offset, ShardId};
use flumen_node::check::Report;
use flumen_wire::*;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionListing {
    /// Where it is and from where to where it goes.
    pub head: String,
    /// A line for each batch and record, in order; the last one says why reading ended before the end.
    pub records: Vec<String>,
    /// A line for each batch of an idempotent producer: the answer when it is sent once more.
    pub repeats: Vec<String>,
}

/// What a node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// A line for each topic.
    pub topics: BTreeMap<String, String>,
    /// By name of the topic and number.
    pub partitions: BTreeMap<(String, usize), PartitionListing>,
    /// A line for each position.
    pub positions: Vec<String>,
}

/// A client with a connection to each shard.
pub struct Reader<H: Host> {
    pub control: Rc<Asker<H>>,
    owners: BTreeMap<ShardId, Rc<Asker<H>>>,
}

impl<H: Host> Reader<H> {
    pub async fn connect(host: &H, native: SocketAddr) -> Reader<H> {
        let control = Asker::connect_to(host, native, 0).await;
        let topics = control.ask(&MetadataRequest { topics: Vec::new() }).await.unwrap().topics;
        let mut owners = BTreeMap::from([(ShardId(0), control.clone())]);
        for shard in topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.shard) {
            if let Entry::Vacant(vacant) = owners.entry(shard) {
                vacant.insert(Asker::connect_to(host, native, shard.0).await);
            }
        }
        Reader { control, owners }
    }

    pub fn owner(&self, shard: ShardId) -> &Asker<H> {
        &self.owners[&shard]
    }

    pub async fn topics(&self) -> Vec<TopicMetadata> {
        self.control.ask(&MetadataRequest { topics: Vec::new() }).await.unwrap().topics
    }

    /// Reads everything.
    pub async fn listing(&self) -> Listing {
        let mut listing = Listing::default();
        let mut names = BTreeMap::new();
        for topic in self.topics().await {
            let mut line = format!("topic {} {}", topic.name, topic.id);
            topic.settings.iter().for_each(|(key, value)| write!(line, " {key}={value}").unwrap());
            for (number, partition) in topic.partitions.iter().enumerate() {
                names.insert(partition.group, format!("{}/{number}", topic.name));
                let listed = self.partition(partition).await;
                listing.partitions.insert((topic.name.clone(), number), listed);
            }
            listing.topics.insert(topic.name, line);
        }
        listing.positions = self.positions(&names).await;
        listing
    }

    async fn partition(&self, partition: &PartitionMetadata) -> PartitionListing {
        let owner = self.owner(partition.shard);
        let describe = DescribeRequest { groups: vec![partition.group] };
        let state = owner.ask(&describe).await.unwrap().groups.remove(0);
        assert_eq!(state.error, None);
        let mut head = format!(
            "group {} shard {} from {} to {} {:?}",
            partition.group, partition.shard, state.log_start, state.high_watermark, state.state
        );
        state.damaged_from.iter().for_each(|from| write!(head, " damaged from {from}").unwrap());
        let mut listed = PartitionListing { head, ..PartitionListing::default() };
        let mut next = state.log_start;
        while next < state.high_watermark {
            let fetch = FetchRequest {
                group: partition.group,
                offset: next,
                bytes_max: 1 << 20,
                wait_ms: 0,
                bytes_min: 0,
            };
            let batches = match owner.ask(&fetch).await {
                Ok(reply) => reply.batches,
                Err(error) => {
                    listed.records.push(format!("{next}: {:?}", error.code));
                    break;
                }
            };
            assert!(!batches.is_empty(), "there is more below {}", state.high_watermark);
            for batch in Batches::new(&batches).filter(|batch| batch.next_offset() > next) {
                list_batch(&batch, next, &mut listed.records);
                listed.repeats.extend(repeat(owner, partition.group, &batch).await);
            }
            next = Batches::new(&batches).last().unwrap().next_offset();
        }
        listed
    }

    async fn positions(&self, names: &BTreeMap<GroupId, String>) -> Vec<String> {
        let mut lines = Vec::new();
        for name in self.control.ask(&ListSubscriptionsRequest {}).await.unwrap().names {
            lines.push(format!("subscription {name}"));
            let fetch = FetchPositionsRequest { subscription: name };
            for position in self.control.ask(&fetch).await.unwrap().positions {
                let group = names.get(&position.group).cloned();
                lines.push(format!(
                    "  {} at {} epoch {} time {} metadata {:?}",
                    group.unwrap_or_else(|| format!("group {}", position.group)),
                    position.offset,
                    position.leader_epoch,
                    position.commit_time,
                    position.metadata
                ));
            }
        }
        lines
    }
}

/// A line for the batch and one for each record from `from` on.
fn list_batch(batch: &BatchView<'_>, from: Offset, lines: &mut Vec<String>) {
    batch.check_crc().unwrap();
    let mut line = format!(
        "batch {} to {} {} crc {:08x} epoch {}",
        batch.base_offset(),
        batch.last_offset(),
        batch.compression().name(),
        batch.crc(),
        batch.leader_epoch()
    );
    if batch.is_append_time() {
        line += " append time";
    }
    if let Some(producer) = batch.producer_id() {
        write!(line, " producer {producer}/{} at {}", batch.producer_epoch(), batch.base_sequence()).unwrap();
    }
    lines.push(line);
    let mut scratch = Vec::new();
    for record in open(batch, &mut scratch, BATCH_BYTES_HARD_MAX).unwrap() {
        let record = record.unwrap();
        if record.offset >= from {
            lines.push(record_line(&record));
        }
    }
}

fn record_line(record: &Record<'_>) -> String {
    let mut line = format!(
        "{} time {} key {} value {}",
        record.offset,
        record.timestamp,
        sum(record.key),
        sum(record.value)
    );
    for header in record.headers {
        write!(line, " {}={}", String::from_utf8_lossy(header.key), sum(header.value)).unwrap();
    }
    line
}

/// Length and checksum of bytes that may be none.
fn sum(bytes: Option<&[u8]>) -> String {
    bytes.map_or("none".to_string(), |bytes| format!("{}:{:08x}", bytes.len(), crc32c::crc32c(bytes)))
}

/// The answer when an idempotent batch is sent once more, as a client does that saw no ack.
async fn repeat<H: Host>(owner: &Asker<H>, group: GroupId, batch: &BatchView<'_>) -> Option<String> {
    let producer = batch.producer_id()?;
    let mut bytes = BytesMut::from(batch.bytes());
    // As it was before it was given its place; the checksum does not cover that.
    flumen_model::batch::assign(&mut bytes, Offset(0), 0);
    let again = ProduceRequest { group, acks: Acks::Quorum, batch: bytes.freeze() };
    let answer = match owner.ask(&again).await {
        Ok(reply) => reply.base_offset.to_string(),
        Err(error) => format!("{:?}", error.code),
    };
    let (epoch, sequence) = (batch.producer_epoch(), batch.base_sequence());
    Some(format!("producer {producer}/{epoch} at {sequence} again: {answer}"))
}

impl Listing {
    /// The text that lies beside a golden directory.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, topic) in &self.topics {
            writeln!(out, "{topic}").unwrap();
            for ((_, number), partition) in self.partitions.iter().filter(|((topic, _), _)| topic == name) {
                writeln!(out, "partition {name}/{number} {}", partition.head).unwrap();
                for line in partition.records.iter().chain(&partition.repeats) {
                    writeln!(out, "  {line}").unwrap();
                }
            }
        }
        self.positions.iter().for_each(|line| writeln!(out, "{line}").unwrap());
        out
    }
}

/// What `check` found, as text.
pub fn check_text(report: &Report, data: &Path) -> String {
    let mut out =
        format!("check: {} shards, {} topics, {} torn\n", report.shards, report.topics, report.torn);
    for one in &report.partitions {
        let (topic, number, group) = (&one.topic, one.partition, one.group);
        write!(
            out,
            "  {topic}/{number} group {group} shard {} from {} to {}",
            one.shard, one.log_start, one.end
        )
        .unwrap();
        if let Some(damaged) = one.damaged {
            write!(out, " damaged from {} to {}", damaged.from, damaged.to).unwrap();
        }
        one.lost.iter().for_each(|(from, to)| write!(out, " lost {from} to {to}").unwrap());
        out.push('\n');
    }
    for damage in &report.damage {
        let file = damage.file.strip_prefix(data).unwrap_or(&damage.file);
        writeln!(out, "  damage in {} at {}", file.display(), damage.position).unwrap();
    }
    out
}
