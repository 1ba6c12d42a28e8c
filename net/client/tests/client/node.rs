//! A node made of values: bytes of a connection in, bytes out. It keeps an in-memory log for each partition and judges
//! idempotent batches as a real one does. Faults are asked for by the tests.

use bytes::{Bytes, BytesMut};
use flumen_client::model::batch::{self, BatchView, validate_produced};
use flumen_client::model::limits::{BATCH_BYTES_HARD_MAX, FRAME_BYTES_MAX, PRODUCER_BATCHES_KEPT};
use flumen_client::model::{Code, Error, GroupId, Offset, ProducerId, Result, ShardId, TopicId, UnixMillis};
use flumen_client::wire::*;
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// What a node remembers of a producer in a partition: first and last sequence and base offset of its last batches.
type Kept = VecDeque<(i32, i32, Offset)>;

/// A partition.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) shard: u16,
    pub(crate) batches: Vec<Bytes>,
    pub(crate) log_start: Offset,
    pub(crate) next: Offset,
    /// Nothing is served from here on.
    pub(crate) damaged: Option<Offset>,
    producers: BTreeMap<ProducerId, Kept>,
}

/// What goes wrong with batches: asked for each before anything else.
pub(crate) type Fault = Box<dyn FnMut(GroupId) -> Option<Code> + Send>;

/// The node.
pub(crate) struct Node {
    pub(crate) id: Uuid,
    pub(crate) shards: u16,
    pub(crate) topics: BTreeMap<String, (TopicId, Vec<GroupId>)>,
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) positions: BTreeMap<String, BTreeMap<GroupId, Position>>,
    pub(crate) fault: Fault,
    pub(crate) metadata_requests: usize,
    last_producer: i64,
    last_group: u64,
}

/// A connection as the node sees it.
#[derive(Default)]
pub(crate) struct Peer {
    shard: Option<u16>,
    received: BytesMut,
    pub(crate) out: BytesMut,
    /// Group, next offset and credit by handle.
    subscriptions: BTreeMap<u32, (GroupId, Offset, i64)>,
}

impl Node {
    pub(crate) fn new(shards: u16) -> Node {
        Node {
            id: Uuid::from_u128(1),
            shards,
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            positions: BTreeMap::new(),
            fault: Box::new(|_| None),
            metadata_requests: 0,
            last_producer: 0,
            last_group: 15,
        }
    }

    pub(crate) fn with_topic(mut self, name: &str, partitions: u32) -> Node {
        self.create(name, partitions).unwrap();
        self
    }

    pub(crate) fn create(&mut self, name: &str, partitions: u32) -> Result<TopicId> {
        if self.topics.contains_key(name) {
            return Err(Error::new(Code::TopicExists, "it is there"));
        }
        let groups: Vec<GroupId> = (0..partitions)
            .map(|_| {
                self.last_group += 1;
                let shard = (self.last_group % u64::from(self.shards)) as u16;
                let group = Group { shard, ..Group::default() };
                self.groups.insert(GroupId(self.last_group), group);
                GroupId(self.last_group)
            })
            .collect();
        let id = TopicId::from_random(u128::from(self.last_group));
        self.topics.insert(name.to_string(), (id, groups));
        Ok(id)
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<()> {
        let (_, groups) =
            self.topics.remove(name).ok_or_else(|| Error::new(Code::UnknownTopic, "no such topic"))?;
        groups.iter().for_each(|group| drop(self.groups.remove(group)));
        Ok(())
    }

    pub(crate) fn group(&self, topic: &str, partition: usize) -> &Group {
        &self.groups[&self.topics[topic].1[partition]]
    }

    pub(crate) fn group_mut(&mut self, topic: &str, partition: usize) -> &mut Group {
        let id = self.topics[topic].1[partition];
        self.groups.get_mut(&id).unwrap()
    }

    /// All values of a partition, in the order of its log.
    pub(crate) fn values(&self, topic: &str, partition: usize) -> Vec<(u64, String)> {
        let mut values = Vec::new();
        for bytes in &self.group(topic, partition).batches {
            let view = BatchView::parse(bytes).unwrap();
            let mut scratch = Vec::new();
            for record in flumen_client::model::records::open(&view, &mut scratch, 1 << 24).unwrap() {
                let record = record.unwrap();
                values.push((record.offset.0, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
            }
        }
        values
    }

    /// Appends records without a client.
    pub(crate) fn append(&mut self, topic: &str, partition: usize, values: &[String]) {
        let mut builder = batch::BatchBuilder::new(1 << 20, batch::Compression::None).unwrap();
        for value in values {
            builder.append(UnixMillis(1000), None, Some(value.as_bytes()), &[]).unwrap();
        }
        let id = self.topics[topic].1[partition];
        self.take_batch(id, &builder.finish()).unwrap();
    }

    /// Takes bytes from a peer and answers what is whole. An error ends the connection.
    pub(crate) fn feed(&mut self, peer: &mut Peer, bytes: &[u8]) -> Result<()> {
        peer.received.extend_from_slice(bytes);
        if peer.shard.is_none() && !self.greet(peer)? {
            return Ok(());
        }
        while let Next::Frame { header, frame_bytes } = frame::next(&peer.received, FRAME_BYTES_MAX)? {
            let body = peer.received.split_to(frame_bytes).freeze().slice(FRAME_HEADER_BYTES..);
            self.answer(peer, &header, &body)?;
        }
        self.push(peer);
        Ok(())
    }

    fn greet(&mut self, peer: &mut Peer) -> Result<bool> {
        let Opening::Hello { correlation, hello, bytes } = read_opening(&peer.received)? else {
            return Ok(false);
        };
        drop(peer.received.split_to(bytes));
        let (version, features) = hello.negotiate()?;
        let shard = hello.shard_wanted.filter(|shard| shard.0 < self.shards).unwrap_or(ShardId(0));
        peer.shard = Some(shard.0);
        let reply = HelloReply {
            version,
            features,
            shard,
            shards: self.shards,
            node: self.id,
            server_version: "test".to_string(),
        };
        encode_reply::<HelloRequest>(correlation, &reply, &mut peer.out);
        Ok(true)
    }

    fn answer(&mut self, peer: &mut Peer, header: &FrameHeader, body: &Bytes) -> Result<()> {
        let correlation = header.correlation();
        let request = AnyRequest::decode(header.kind(), body)?;
        let kind = request.kind();
        if let Err(error) = self.handle(peer, correlation, request) {
            encode_error(kind, correlation, &error, &mut peer.out);
        }
        Ok(())
    }

    fn handle(&mut self, peer: &mut Peer, correlation: u32, request: AnyRequest) -> Result<()> {
        macro_rules! reply {
            ($request:ty, $reply:expr) => {{
                let reply = $reply;
                encode_reply::<$request>(correlation, &reply, &mut peer.out)
            }};
        }
        match request {
            AnyRequest::Produce(request) => {
                if let Some(code) = (self.fault)(request.group) {
                    if code == Code::Timeout && self.owned(request.group, peer).is_ok() {
                        // A wait that ran out of time says nothing about what was waited for.
                        let _ = self.take_batch(request.group, &request.batch);
                    }
                    return Err(Error::new(code, "a test's fault"));
                }
                self.owned(request.group, peer)?;
                let base_offset = self.take_batch(request.group, &request.batch)?;
                if request.acks != Acks::None {
                    let reply = ProduceReply { base_offset, append_time: None, log_start: Offset(0) };
                    reply!(ProduceRequest, reply);
                }
            }
            AnyRequest::Metadata(request) => {
                self.metadata_requests += 1;
                reply!(MetadataRequest, self.metadata(&request));
            }
            AnyRequest::InitProducer(_) => {
                self.last_producer += 1;
                let producer_id = ProducerId(self.last_producer);
                reply!(InitProducerRequest, InitProducerReply { producer_id, producer_epoch: 0 });
            }
            AnyRequest::ListOffsets(request) => {
                reply!(ListOffsetsRequest, self.list_offsets(&request, peer)?)
            }
            AnyRequest::Subscribe(request) => {
                let group = self.owned(request.group, peer)?;
                if request.offset < group.log_start || request.offset > group.next {
                    return Err(Error::new(Code::OffsetOutOfRange, "it is not there"));
                }
                let (high_watermark, log_start) = (group.next, group.log_start);
                let one = (request.group, request.offset, i64::from(request.credit_bytes));
                assert!(peer.subscriptions.insert(request.handle, one).is_none(), "a handle is used once");
                reply!(
                    SubscribeRequest,
                    SubscribeReply { offset: request.offset, high_watermark, log_start }
                );
            }
            AnyRequest::Credit(request) => {
                if let Some(one) = peer.subscriptions.get_mut(&request.handle) {
                    one.2 += i64::from(request.credit_bytes);
                }
            }
            AnyRequest::Unsubscribe(request) => {
                peer.subscriptions.remove(&request.handle);
                reply!(UnsubscribeRequest, Empty);
            }
            AnyRequest::CreateTopic(request) => {
                let id = self.create(&request.name, request.partitions)?;
                reply!(CreateTopicRequest, CreateTopicReply { id, metadata_version: 1 });
            }
            AnyRequest::DeleteTopic(request) => {
                self.delete(&request.name)?;
                reply!(DeleteTopicRequest, MetadataVersion { metadata_version: 1 });
            }
            AnyRequest::AlterTopic(_) => reply!(AlterTopicRequest, MetadataVersion { metadata_version: 1 }),
            AnyRequest::Trim(request) => {
                self.owned(request.group, peer)?;
                let group = self.groups.get_mut(&request.group).expect("it was just there");
                group.log_start = group.log_start.max(request.before_offset);
                reply!(TrimRequest, TrimReply { log_start: group.log_start });
            }
            AnyRequest::CommitPositions(request) => {
                let kept = self.positions.entry(request.subscription).or_default();
                kept.extend(request.positions.into_iter().map(|position| (position.group, position)));
                reply!(CommitPositionsRequest, Empty);
            }
            AnyRequest::FetchPositions(request) => {
                let kept = self.positions.get(&request.subscription);
                let kept = kept.ok_or_else(|| Error::new(Code::UnknownSubscription, "never heard of it"))?;
                let positions = kept.values().cloned().map(|position| CommittedPosition {
                    group: position.group,
                    offset: position.offset,
                    leader_epoch: position.leader_epoch,
                    commit_time: UnixMillis(1),
                    metadata: position.metadata,
                });
                reply!(FetchPositionsRequest, FetchPositionsReply { positions: positions.collect() });
            }
            AnyRequest::ListSubscriptions(_) => {
                let names = self.positions.keys().cloned().collect();
                reply!(ListSubscriptionsRequest, ListSubscriptionsReply { names });
            }
            AnyRequest::DeleteSubscription(request) => {
                self.positions.remove(&request.subscription);
                reply!(DeleteSubscriptionRequest, Empty);
            }
            AnyRequest::Describe(request) => {
                let groups = request.groups.iter().map(|group| self.describe(*group)).collect();
                reply!(DescribeRequest, DescribeReply { groups });
            }
            AnyRequest::Ping(_) => reply!(PingRequest, Empty),
            AnyRequest::Status(_) => {
                let json = format!("{{\"shard\":{}}}", peer.shard.unwrap());
                reply!(StatusRequest, StatusReply { json });
            }
            other => return Err(Error::new(Code::Unsupported, format!("{:?}", other.kind()))),
        }
        Ok(())
    }

    fn owned(&self, group: GroupId, peer: &Peer) -> Result<&Group> {
        let found = self.groups.get(&group).ok_or_else(|| Error::new(Code::UnknownTopic, "no such group"))?;
        match Some(found.shard) == peer.shard {
            true => Ok(found),
            false => Err(Error::new(Code::WrongShard, "another shard has it")),
        }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataReply {
        let wanted = |name: &String| request.topics.is_empty() || request.topics.contains(name);
        let partition = |group: &GroupId| PartitionMetadata {
            group: *group,
            shard: ShardId(self.groups[group].shard),
            leader_epoch: 3,
        };
        let topic = |(name, (id, groups)): (&String, &(TopicId, Vec<GroupId>))| TopicMetadata {
            name: name.clone(),
            id: *id,
            internal: false,
            settings: Vec::new(),
            partitions: groups.iter().map(partition).collect(),
        };
        let topics = self.topics.iter().filter(|(name, _)| wanted(name)).map(topic).collect();
        MetadataReply { metadata_version: 1, topics }
    }

    fn describe(&self, id: GroupId) -> GroupDescription {
        let group = &self.groups[&id];
        GroupDescription {
            group: id,
            error: None,
            log_start: group.log_start,
            high_watermark: group.next,
            log_end: group.next,
            bytes: group.batches.iter().map(Bytes::len).sum::<usize>() as u64,
            leader_epoch: 3,
            state: GroupState::Healthy,
            damaged_from: None,
        }
    }

    fn list_offsets(&self, request: &ListOffsetsRequest, peer: &Peer) -> Result<ListOffsetsReply> {
        let group = self.owned(request.group, peer)?;
        let (offset, timestamp) = match request.of {
            OffsetOf::Latest => (Some(group.next), None),
            OffsetOf::Earliest => (Some(group.log_start), None),
            OffsetOf::MaxTimestamp => (None, None),
            OffsetOf::Time(time) => {
                let mut views = group.batches.iter().map(|bytes| BatchView::parse(bytes).unwrap());
                let found = views.find(|view| view.max_timestamp() >= time);
                (found.map(|view| view.base_offset()), found.map(|view| view.max_timestamp()))
            }
        };
        Ok(ListOffsetsReply { offset, timestamp })
    }

    /// Judges a batch as a real node does, and appends it.
    fn take_batch(&mut self, id: GroupId, bytes: &[u8]) -> Result<Offset> {
        let view = validate_produced(bytes, BATCH_BYTES_HARD_MAX)?;
        let group = self.groups.get_mut(&id).expect("the owner was checked");
        if let Some(producer) = view.producer_id() {
            let kept = group.producers.get(&producer);
            if let Some(base) = judge(kept, view.base_sequence(), view.last_sequence())? {
                return Ok(base);
            }
            let kept = group.producers.entry(producer).or_default();
            kept.push_back((view.base_sequence(), view.last_sequence(), group.next));
            if kept.len() > PRODUCER_BATCHES_KEPT {
                kept.pop_front();
            }
        }
        let base = group.next;
        let mut copy = BytesMut::from(bytes);
        batch::assign(&mut copy, base, 3);
        group.batches.push(copy.freeze());
        group.next = base.plus(u64::from(view.record_count()));
        Ok(base)
    }

    /// Pushes what subscriptions may have.
    pub(crate) fn push(&mut self, peer: &mut Peer) {
        let Peer { subscriptions, out, .. } = peer;
        let mut ended = Vec::new();
        for (handle, (id, next, credit)) in subscriptions.iter_mut() {
            let Some(group) = self.groups.get(id) else {
                encode_push_end(*handle, &Error::new(Code::UnknownTopic, "it was deleted"), out);
                ended.push(*handle);
                continue;
            };
            if *next < group.log_start {
                encode_push_end(*handle, &Error::new(Code::OffsetOutOfRange, "it was trimmed"), out);
                ended.push(*handle);
                continue;
            }
            for bytes in &group.batches {
                let view = BatchView::parse(bytes).unwrap();
                if group.damaged.is_some_and(|damaged| view.next_offset() > damaged) {
                    encode_push_end(*handle, &Error::new(Code::Corrupt, "it is damaged"), out);
                    ended.push(*handle);
                    break;
                }
                if view.next_offset() <= *next || *credit <= 0 {
                    continue;
                }
                *next = view.next_offset();
                *credit -= bytes.len() as i64;
                encode_push_header(
                    *handle,
                    PushHead::new(*id, group.next, group.log_start),
                    bytes.len(),
                    out,
                );
                out.extend_from_slice(bytes);
            }
        }
        subscriptions.retain(|handle, _| !ended.contains(handle));
    }
}

/// The base offset of a repeat; none when the batch is the next one.
fn judge(kept: Option<&Kept>, first: i32, last: i32) -> Result<Option<Offset>> {
    // An unknown producer may begin with any sequence.
    let Some(kept) = kept else { return Ok(None) };
    if let Some((_, _, base)) = kept.iter().find(|(one, other, _)| (*one, *other) == (first, last)) {
        return Ok(Some(*base));
    }
    let newest = kept.back().expect("a known producer has a batch").1;
    if first == newest.wrapping_add(1) & i32::MAX {
        return Ok(None);
    }
    let code = if first <= newest { Code::DuplicateSequence } else { Code::OutOfOrderSequence };
    Err(Error::new(code, format!("sequence {first} does not follow {newest}")))
}
