//! Producer, subscriber, reader and counters against a tiny node of one shard in this process, which speaks the
//! real protocol over a real socket and keeps its log in memory.

use super::*;
use crate::drive::{Closed, Open, run_closed, run_count, run_open};
use crate::subject::Until;
use bytes::{Bytes, BytesMut};
use flumen_model::TopicId;
use flumen_model::batch::{self, BatchView};
use flumen_model::limits::FRAME_BYTES_MAX;
use flumen_wire::{
    AnyRequest, CreateTopicReply, DescribeReply, FRAME_HEADER_BYTES, GroupDescription, GroupState,
    HelloReply, HelloRequest, MetadataReply, Next, Opening, ProduceReply, ProduceRequest, PushHead, Request,
    StatusReply, SubscribeReply, SubscribeRequest, encode_push_header, encode_reply, frame, read_opening,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

const FIRST_GROUP: u64 = 16;

/// Where pushes of a group go.
struct Subscriber {
    stream: Arc<Mutex<TcpStream>>,
    handle: u32,
}

#[derive(Default)]
struct Partition {
    batches: Vec<Bytes>,
    end: u64,
    subscribers: Vec<Subscriber>,
}

#[derive(Default)]
struct Memory {
    topics: BTreeMap<String, Vec<GroupId>>,
    partitions: BTreeMap<GroupId, Partition>,
}

impl Memory {
    fn create(&mut self, request: &CreateTopicRequest) -> CreateTopicReply {
        let first = FIRST_GROUP + self.partitions.len() as u64;
        let groups: Vec<GroupId> = (first..first + u64::from(request.partitions)).map(GroupId).collect();
        self.partitions.extend(groups.iter().map(|group| (*group, Partition::default())));
        self.topics.insert(request.name.clone(), groups);
        CreateTopicReply { id: TopicId::from_random(1), metadata_version: 1 }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataReply {
        let partition =
            |group: &GroupId| PartitionMetadata { group: *group, shard: ShardId(0), leader_epoch: 1 };
        let known = request.topics.iter().filter_map(|name| Some((name, self.topics.get(name)?)));
        let topics = known.map(|(name, groups)| TopicMetadata {
            name: name.clone(),
            id: TopicId::from_random(1),
            internal: false,
            settings: Vec::new(),
            partitions: groups.iter().map(partition).collect(),
        });
        MetadataReply { metadata_version: 1, topics: topics.collect() }
    }

    fn describe(&self, request: &DescribeRequest) -> DescribeReply {
        let describe = |group: &GroupId| GroupDescription {
            group: *group,
            error: None,
            log_start: Offset(0),
            high_watermark: Offset(self.partitions[group].end),
            log_end: Offset(self.partitions[group].end),
            bytes: 0,
            leader_epoch: 1,
            state: GroupState::Healthy,
            damaged_from: None,
        };
        DescribeReply { groups: request.groups.iter().map(describe).collect() }
    }

    fn produce(&mut self, request: &ProduceRequest) -> ProduceReply {
        let partition = self.partitions.get_mut(&request.group).unwrap();
        let base_offset = Offset(partition.end);
        let mut bytes = request.batch.to_vec();
        batch::assign(&mut bytes, base_offset, 1);
        let view = BatchView::parse(&bytes).unwrap();
        view.check_crc().unwrap();
        partition.end = view.next_offset().0;
        partition.batches.push(bytes.into());
        let latest = partition.batches.last().unwrap().clone();
        partition.subscribers.iter().for_each(|s| push(s, request.group, partition.end, &latest));
        ProduceReply { base_offset, append_time: None, log_start: Offset(0) }
    }

    fn subscribe(&mut self, request: &SubscribeRequest, stream: &Arc<Mutex<TcpStream>>) -> SubscribeReply {
        let partition = self.partitions.get_mut(&request.group).unwrap();
        let subscriber = Subscriber { stream: stream.clone(), handle: request.handle };
        for bytes in &partition.batches {
            if BatchView::parse(bytes).unwrap().last_offset() >= request.offset {
                push(&subscriber, request.group, partition.end, bytes);
            }
        }
        partition.subscribers.push(subscriber);
        SubscribeReply { offset: request.offset, high_watermark: Offset(partition.end), log_start: Offset(0) }
    }
}

fn push(subscriber: &Subscriber, group: GroupId, end: u64, batch: &[u8]) {
    let mut out = BytesMut::new();
    encode_push_header(
        subscriber.handle,
        PushHead::new(group, Offset(end), Offset(0)),
        batch.len(),
        &mut out,
    );
    out.extend_from_slice(batch);
    // A subscriber that has gone is no matter of the producer's.
    let _ = subscriber.stream.lock().unwrap().write_all(&out);
}

fn reply<R: Request>(correlation: u32, reply: &R::Reply) -> BytesMut {
    let mut out = BytesMut::new();
    encode_reply::<R>(correlation, reply, &mut out);
    out
}

fn hello() -> HelloReply {
    HelloReply {
        version: 1,
        features: 0,
        shard: ShardId(0),
        shards: 1,
        node: TopicId::from_random(2).0,
        server_version: "test".into(),
    }
}

/// Answers one request.
fn answer(memory: &Mutex<Memory>, stream: &Arc<Mutex<TcpStream>>, correlation: u32, request: AnyRequest) {
    let mut memory = memory.lock().unwrap();
    let out = match request {
        AnyRequest::CreateTopic(r) => reply::<CreateTopicRequest>(correlation, &memory.create(&r)),
        AnyRequest::Metadata(r) => reply::<MetadataRequest>(correlation, &memory.metadata(&r)),
        AnyRequest::Describe(r) => reply::<DescribeRequest>(correlation, &memory.describe(&r)),
        AnyRequest::Produce(r) => reply::<ProduceRequest>(correlation, &memory.produce(&r)),
        AnyRequest::Status(_) => {
            let json = r#"{"journal":{"turns":2},"spread_bytes":5,"checkpoints":1}"#.to_owned();
            reply::<StatusRequest>(correlation, &StatusReply { json })
        }
        AnyRequest::Subscribe(r) => {
            // The old batches may leave before the reply: the client must take them in any order.
            reply::<SubscribeRequest>(correlation, &memory.subscribe(&r, stream))
        }
        AnyRequest::Credit(_) => return,
        other => panic!("not asked here: {other:?}"),
    };
    let _ = stream.lock().unwrap().write_all(&out);
}

/// Takes one opening or request off the start of `received`.
fn take(
    memory: &Mutex<Memory>,
    stream: &Arc<Mutex<TcpStream>>,
    received: &mut BytesMut,
    open: &mut bool,
) -> bool {
    if !*open {
        let Opening::Hello { correlation, bytes, .. } = read_opening(received).unwrap() else { return false };
        let _ = received.split_to(bytes);
        *open = true;
        let _ = stream.lock().unwrap().write_all(&reply::<HelloRequest>(correlation, &hello()));
        return true;
    }
    let Next::Frame { header, frame_bytes } = frame::next(received, FRAME_BYTES_MAX).unwrap() else {
        return false;
    };
    let body = received.split_to(frame_bytes).freeze().slice(FRAME_HEADER_BYTES..);
    answer(memory, stream, header.correlation(), AnyRequest::decode(header.kind(), &body).unwrap());
    true
}

fn converse(memory: &Mutex<Memory>, mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let shared = Arc::new(Mutex::new(stream.try_clone().unwrap()));
    let (mut received, mut open, mut piece) = (BytesMut::new(), false, [0; 4096]);
    while let Ok(bytes @ 1..) = stream.read(&mut piece) {
        received.extend_from_slice(&piece[..bytes]);
        while take(memory, &shared, &mut received, &mut open) {}
    }
}

/// A node that serves until the test ends.
fn node() -> NativeNode {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let memory = Arc::new(Mutex::new(Memory::default()));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let memory = memory.clone();
            thread::spawn(move || converse(&memory, stream.unwrap()));
        }
    });
    NativeNode::connect(&address).unwrap()
}

const LOAD: Load = Load {
    topic: "t",
    partitions: 3,
    records: 4,
    record_bytes: 100,
    in_flight: 8,
    until: Until::Acked,
    keep_bytes: None,
};
const SHORT: Closed = Closed { window: 8, warm_up: Duration::ZERO, length: Duration::from_millis(50) };

/// Reads to the end.
fn read_all(node: &NativeNode, topic: &str) -> u64 {
    let mut reader = node.reader(topic).unwrap();
    let mut records = 0;
    while !reader.at_end() {
        records += reader.read(Duration::from_secs(5)).unwrap().records;
    }
    records
}

#[test]
fn what_was_acked_is_what_a_reader_gets() {
    let node = node();
    let mut target = node.producer(&LOAD).unwrap();
    run_count(target.as_mut(), 1, 1).unwrap();
    drop(target);
    let sample = run_closed(node.producer(&LOAD).unwrap().as_mut(), SHORT).unwrap();
    assert!(sample.records > 0 && sample.latencies.count() > 0);
    assert!(read_all(&node, "t") >= sample.records + 4, "those behind the end of the run are stored too");
}

#[test]
fn a_delivered_request_waits_for_its_subscriber_over_both_drivers() {
    let node = node();
    let load = Load { until: Until::Delivered, ..LOAD };
    // What lies there from before must not count as delivered.
    run_count(node.producer(&LOAD).unwrap().as_mut(), 1, 1).unwrap();
    let closed = run_closed(node.producer(&load).unwrap().as_mut(), SHORT).unwrap();
    assert!(closed.records > 0);
    let (warm_up, length) = (Duration::ZERO, SHORT.length);
    let paced = Open { rate: 1_000.0, warm_up, length, slices: 1, stalls: 1 };
    let open = run_open(node.producer(&load).unwrap().as_mut(), paced).unwrap();
    assert_eq!(open.sample.latencies.count(), 50);
}

#[test]
fn counters_come_from_the_node_and_an_unknown_topic_is_told() {
    let node = node();
    assert_eq!(node.counters().unwrap().turns, 2.0);
    let error = node.reader("nowhere").err().unwrap();
    assert_eq!(error.code, Code::UnknownTopic);
    assert_eq!(node.kill().unwrap_err().code, Code::Unsupported);
}

#[test]
fn counters_are_read_by_name_and_may_be_fewer_but_for_the_turns() {
    let json =
        r#"{"shard":0,"journal":{"turns":3,"bytes":9},"spread_bytes":70,"checkpoints":4,"full":false}"#;
    let counters = counters_of(json).unwrap();
    assert_eq!((counters.turns, counters.bytes_spread, counters.checkpoints), (3.0, 70, 4));
    assert_eq!(counters.rolls, 0);
    let exact = counters_of(r#"{"journal":{"turns":3,"bytes":96,"capacity_bytes":64}}"#).unwrap();
    assert_eq!(exact.turns, 1.5);
    for json in ["{}", "", r#"{"journal":{}}"#] {
        assert_eq!(counters_of(json).unwrap_err().code, Code::Unsupported);
    }
}

#[test]
fn a_partition_that_waits_is_asked_again_and_a_damaged_one_is_not() {
    assert!(described(None, "t").unwrap());
    assert!(!described(Some(Code::NotReady), "t").unwrap());
    assert_eq!(described(Some(Code::Corrupt), "t").unwrap_err().code, Code::Corrupt);
}
