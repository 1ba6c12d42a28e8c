//! Asking a running node: one connection to each shard that is needed, requests routed to the owner and asked again
//! while a node is still starting. For the verbs that ask a few questions and end; it must never carry records.

use crate::cli::values::Position;
use flumen_client::Settings;
use flumen_client::blocking::RawConnection;
use flumen_model::{Code, Error, GroupId, Kind, Offset, PartitionNumber, Result, ShardId, UnixMillis};
use flumen_wire::{
    DescribeRequest, GroupDescription, HelloReply, ListOffsetsRequest, MetadataRequest, OffsetOf,
    PartitionMetadata, Request, TopicMetadata,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

/// What may pass by itself is asked again for so long.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Groups described at once; a node takes a little more.
const DESCRIBE_AT_ONCE: usize = 10_000;

/// The client's name and patience in the verbs of the command line: a person waits.
pub(crate) fn settings() -> Settings {
    Settings {
        client_id: "flumen-cli".to_owned(),
        connect_timeout: Duration::from_secs(5),
        seed: u64::from(std::process::id()) ^ now().0 as u64,
        ..Settings::default()
    }
}

/// The present, by this machine's clock.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Questions to one node.
pub(crate) struct Ask {
    server: SocketAddr,
    hello: HelloReply,
    connections: BTreeMap<ShardId, RawConnection>,
}

impl Ask {
    /// Connects. `Closed` when nothing answers there.
    pub(crate) fn connect(server: SocketAddr) -> Result<Ask> {
        let first = RawConnection::connect_with(server, Some(ShardId(0)), &settings())?;
        let hello = first.hello().clone();
        Ok(Ask { server, hello, connections: BTreeMap::from([(ShardId(0), first)]) })
    }

    /// Who answers.
    pub(crate) fn hello(&self) -> &HelloReply {
        &self.hello
    }

    /// Asks a shard.
    pub(crate) fn shard<R: Request>(&mut self, shard: ShardId, request: &R) -> Result<R::Reply> {
        let began = Instant::now();
        loop {
            let connection = match self.connections.entry(shard) {
                std::collections::btree_map::Entry::Occupied(have) => have.into_mut(),
                std::collections::btree_map::Entry::Vacant(none) => {
                    none.insert(RawConnection::connect_with(self.server, Some(shard), &settings())?)
                }
            };
            match connection.call(request) {
                Err(error) if error.kind() == Kind::Retry && began.elapsed() < PATIENCE => {
                    std::thread::sleep(AGAIN_AFTER);
                }
                answer => return answer,
            }
        }
    }

    /// Asks shard 0, which answers what is not of one partition.
    pub(crate) fn node<R: Request>(&mut self, request: &R) -> Result<R::Reply> {
        self.shard(ShardId(0), request)
    }

    /// All topics of users, by name.
    pub(crate) fn topics(&mut self) -> Result<Vec<TopicMetadata>> {
        let mut topics = self.node(&MetadataRequest { topics: Vec::new() })?.topics;
        topics.retain(|topic| !topic.internal);
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic. `UnknownTopic` names the nearest that there is.
    pub(crate) fn topic(&mut self, name: &str) -> Result<TopicMetadata> {
        let found = self.node(&MetadataRequest { topics: vec![name.to_owned()] })?.topics;
        match found.into_iter().find(|topic| topic.name == name) {
            Some(topic) => Ok(topic),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&mut self, name: &str) -> Error {
        let topics = self.topics().unwrap_or_default();
        let near = topics
            .iter()
            .map(|topic| (strsim::damerau_levenshtein(&topic.name, name), &topic.name))
            .filter(|(distance, _)| *distance <= 3)
            .min();
        let hint = match near {
            Some((_, near)) => format!("did you mean {near}?"),
            None => format!("`flumen topic list` shows all; `flumen topic create {name}` makes it"),
        };
        Error::new(Code::UnknownTopic, format!("there is no topic {name}; {hint}"))
    }

    /// A partition of a topic.
    pub(crate) fn partition(topic: &TopicMetadata, number: PartitionNumber) -> Result<&PartitionMetadata> {
        topic.partitions.get(number.0 as usize).ok_or_else(|| {
            let last = topic.partitions.len().saturating_sub(1);
            let message = format!("topic {} has no partition {number}: it has 0 to {last}", topic.name);
            Error::new(Code::UnknownTopic, message)
        })
    }

    /// The state of partitions, by group.
    pub(crate) fn describe<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a PartitionMetadata>,
    ) -> Result<BTreeMap<GroupId, GroupDescription>> {
        let mut groups: BTreeMap<ShardId, Vec<GroupId>> = BTreeMap::new();
        for partition in partitions {
            groups.entry(partition.shard).or_default().push(partition.group);
        }
        let mut all = BTreeMap::new();
        for (shard, groups) in groups {
            for groups in groups.chunks(DESCRIBE_AT_ONCE) {
                let reply = self.shard(shard, &DescribeRequest { groups: groups.to_vec() })?;
                all.extend(reply.groups.into_iter().map(|group| (group.group, group)));
            }
        }
        Ok(all)
    }

    /// One of the offsets of a partition; none when no record is that late.
    pub(crate) fn offset(&mut self, partition: &PartitionMetadata, of: OffsetOf) -> Result<Option<Offset>> {
        Ok(self.shard(partition.shard, &ListOffsetsRequest { group: partition.group, of })?.offset)
    }

    /// Where a position of the command line is in a partition.
    pub(crate) fn resolve(&mut self, partition: &PartitionMetadata, position: Position) -> Result<Offset> {
        let wanted = match position {
            Position::Offset(offset) => return Ok(offset),
            Position::Start => OffsetOf::Earliest,
            Position::End => OffsetOf::Latest,
            Position::Time(time) => OffsetOf::Time(time.resolve(now())),
        };
        if let Some(offset) = self.offset(partition, wanted)? {
            return Ok(offset);
        }
        // No record is that late: the next one will be the first.
        let end = self.offset(partition, OffsetOf::Latest)?;
        end.ok_or_else(|| Error::new(Code::NotReady, "the partition does not know its end yet: try again"))
    }
}
