//! What comes from clients: record batches of every compression, a message of every kind.

use super::{Seed, seed};
use bytes::{Bytes, BytesMut};
use flumen_model::batch::{BatchBuilder, Compression, Sequence};
use flumen_model::{Code, Error, GroupId, Offset, ProducerId, ShardId, TopicId, UnixMillis};
use flumen_wire::*;
use uuid::Uuid;

const GROUP: GroupId = GroupId(17);
const ID: Uuid = Uuid::from_u128(5);

pub(super) fn seeds() -> Vec<Seed> {
    let mut seeds = batches();
    seeds.extend(frames());
    let mut messages = Messages(Vec::new());
    messages.of_records();
    messages.of_topics();
    messages.of_positions();
    messages.of_the_node();
    seeds.extend(messages.0);
    seeds
}

pub(super) fn batch(compression: Compression, records: u8, sequence: Option<Sequence>) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 16, compression).expect("this build has all codecs");
    for number in 0..records {
        // Records that repeat themselves get smaller, so that they are compressed.
        let value = vec![b'a' + number; 40];
        let time = UnixMillis(1_700_000_000_000 + i64::from(number));
        builder
            .append(time, Some(&[number]), Some(&value), &[(b"trace", Some(b"on")), (b"none", None)])
            .expect("it fits");
    }
    builder.append(UnixMillis(1_700_000_000_000), Some(b"gone"), None, &[]).expect("it fits");
    if let Some(sequence) = sequence {
        builder.set_sequence(sequence);
    }
    builder.finish()
}

fn batches() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for compression in Compression::ALL {
        let batch = batch(compression, 4, None);
        seeds.push(seed("batch", compression.name(), &batch));
        seeds.push(seed("records", compression.name(), &batch));
    }
    let sequence = Sequence { producer_id: ProducerId(9), producer_epoch: 2, base_sequence: i32::MAX };
    let idempotent = batch(Compression::None, 2, Some(sequence));
    seeds.push(seed("batch", "idempotent", &idempotent));
    seeds.push(seed("batch", "run", [&batch(Compression::None, 1, None)[..], &idempotent].concat()));
    seeds
}

fn frames() -> Vec<Seed> {
    let mut opening = BytesMut::new();
    encode_opening(1, &HelloRequest::new("seed", Some(ShardId(1))), &mut opening).expect("it fits");
    let mut frame = BytesMut::new();
    encode_request(2, &PingRequest {}, &mut frame).expect("it fits");
    let both = [&opening[..], &frame[..]].concat();
    vec![seed("frame", "opening", both), seed("frame", "ping", &frame), seed("frame", "preface", PREFACE)]
}

/// Collects messages behind the byte that picks their kind.
struct Messages(Vec<Seed>);

impl Messages {
    fn pair<R: Request>(&mut self, request: R, reply: R::Reply) {
        self.request(request);
        let mut out = BytesMut::new();
        encode_reply::<R>(1, &reply, &mut out);
        self.put("reply", R::KIND, &out[FRAME_HEADER_BYTES..]);
    }

    fn request<R: Request>(&mut self, request: R) {
        let mut out = BytesMut::new();
        request.put(&mut out);
        self.put("request", R::KIND, &out);
    }

    fn put(&mut self, target: &'static str, kind: FrameKind, body: &[u8]) {
        let place = KINDS.iter().position(|row| row.kind == kind).expect("every kind has a row") as u8;
        self.0.push(seed(target, kind.name().to_lowercase(), [&[place], body].concat()));
    }

    fn of_records(&mut self) {
        let batches = batch(Compression::None, 1, None);
        self.pair(
            ProduceRequest { group: GROUP, acks: Acks::Leader, batch: batches.clone() },
            ProduceReply { base_offset: Offset(10), append_time: Some(UnixMillis(12)), log_start: Offset(2) },
        );
        self.pair(
            FetchRequest { group: GROUP, offset: Offset(11), bytes_max: 1 << 20, wait_ms: 500, bytes_min: 1 },
            FetchReply { high_watermark: Offset(15), log_start: Offset(2), batches: batches.clone() },
        );
        self.pair(
            ListOffsetsRequest { group: GROUP, of: OffsetOf::MaxTimestamp },
            ListOffsetsReply { offset: Some(Offset(3)), timestamp: Some(UnixMillis(4)) },
        );
        self.pair(
            SubscribeRequest { group: GROUP, handle: 3, offset: Offset(11), credit_bytes: 65_536 },
            SubscribeReply { offset: Offset(11), high_watermark: Offset(15), log_start: Offset(2) },
        );
        self.request(CreditRequest { handle: 3, credit_bytes: 65_536 });
        self.pair(UnsubscribeRequest { handle: 3 }, Empty);
        self.pair(
            InitProducerRequest {},
            InitProducerReply { producer_id: ProducerId(4711), producer_epoch: 3 },
        );
        let mut push = BytesMut::new();
        encode_push_header(3, PushHead::new(GROUP, Offset(15), Offset(2)), batches.len(), &mut push);
        push.extend_from_slice(&batches);
        self.put("reply", FrameKind::Push, &push[FRAME_HEADER_BYTES..]);
        let mut end = BytesMut::new();
        encode_push_end(3, &Error::new(Code::OffsetOutOfRange, "gone"), &mut end);
        self.put("reply", FrameKind::PushEnd, &end[FRAME_HEADER_BYTES..]);
    }

    fn of_topics(&mut self) {
        let settings = vec![("retention.ms".to_string(), "1000".to_string())];
        let partition = PartitionMetadata { group: GROUP, shard: ShardId(1), leader_epoch: 7 };
        let topic = TopicMetadata {
            name: "orders".into(),
            id: TopicId(ID),
            internal: true,
            settings: settings.clone(),
            partitions: vec![partition],
        };
        self.pair(
            MetadataRequest { topics: vec!["orders".into(), "b".into()] },
            MetadataReply { metadata_version: 9, topics: vec![topic] },
        );
        self.pair(
            CreateTopicRequest { name: "orders".into(), partitions: 4, settings: settings.clone() },
            CreateTopicReply { id: TopicId(ID), metadata_version: 9 },
        );
        self.pair(DeleteTopicRequest { name: "orders".into() }, MetadataVersion { metadata_version: 9 });
        self.pair(
            AlterTopicRequest { name: "orders".into(), settings },
            MetadataVersion { metadata_version: 9 },
        );
        self.pair(
            TrimRequest { group: GROUP, before_offset: Offset(11) },
            TrimReply { log_start: Offset(11) },
        );
    }

    fn of_positions(&mut self) {
        let position = Position { group: GROUP, offset: Offset(11), leader_epoch: 7, metadata: "m".into() };
        let committed = CommittedPosition {
            group: GROUP,
            offset: Offset(11),
            leader_epoch: 7,
            commit_time: UnixMillis(1234),
            metadata: "m".into(),
        };
        self.pair(CommitPositionsRequest { subscription: "s".into(), positions: vec![position] }, Empty);
        self.pair(
            FetchPositionsRequest { subscription: "s".into() },
            FetchPositionsReply { positions: vec![committed] },
        );
        self.pair(
            ListSubscriptionsRequest {},
            ListSubscriptionsReply { names: vec!["s".into(), "t".into()] },
        );
        self.pair(DeleteSubscriptionRequest { subscription: "s".into() }, Empty);
    }

    fn of_the_node(&mut self) {
        let reply = HelloReply {
            version: 1,
            features: 4,
            shard: ShardId(2),
            shards: 8,
            node: ID,
            server_version: "0.1.0".into(),
        };
        self.pair(HelloRequest::new("seed", None), reply);
        let group = GroupDescription {
            group: GROUP,
            error: Some(Code::WrongShard),
            log_start: Offset(1),
            high_watermark: Offset(2),
            log_end: Offset(3),
            bytes: 4,
            leader_epoch: 7,
            state: GroupState::Full,
            damaged_from: None,
        };
        self.pair(DescribeRequest { groups: vec![GROUP] }, DescribeReply { groups: vec![group] });
        self.pair(PingRequest {}, Empty);
        self.pair(StatusRequest {}, StatusReply { json: "{}".into() });
    }
}
