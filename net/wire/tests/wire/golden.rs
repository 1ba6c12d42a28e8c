//! Golden bytes of every kind, made by another program after FORMAT.md. A change here breaks every client.

use crate::{hex, one_frame};
use bytes::{Bytes, BytesMut};
use flumen_model::{Code, Error, GroupId, Offset, ProducerId, ShardId, TopicId, UnixMillis};
use flumen_wire::*;
use std::fmt::Debug;
use uuid::Uuid;

const CORRELATION: u32 = 0x0a0b_0c0d;
const GROUP: GroupId = GroupId(0x1122_3344_5566_7788);
const UUID: Uuid = Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
const BATCHES: Bytes = Bytes::from_static(b"batch");

/// A body of each kind and role, as hexadecimal text.
pub(crate) const REQUESTS: &[(FrameKind, &str)] = &[
    (FrameKind::Hello, "0100 0300 0500000000000000 0200 02000000 6d65"),
    (FrameKind::Metadata, "02000000 01000000 61 01000000 62"),
    (FrameKind::Produce, "8877665544332211 01 00000000000000 6261746368"),
    (FrameKind::Fetch, "8877665544332211 0b00000000000000 0c000000 0d000000 0e000000"),
    (FrameKind::ListOffsets, "8877665544332211 fdffffffffffffff"),
    (FrameKind::Subscribe, "8877665544332211 03000000 0b00000000000000 00000100"),
    (FrameKind::Credit, "03000000 00000100"),
    (FrameKind::Unsubscribe, "03000000"),
    (FrameKind::CreateTopic, "01000000 61 04000000 01000000 01000000 6b 01000000 76"),
    (FrameKind::DeleteTopic, "01000000 61"),
    (FrameKind::AlterTopic, "01000000 61 01000000 01000000 6b 00000000"),
    (FrameKind::Trim, "8877665544332211 0b00000000000000"),
    (
        FrameKind::CommitPositions,
        "01000000 73 01000000 8877665544332211 0b00000000000000 07000000 01000000 6d",
    ),
    (FrameKind::FetchPositions, "01000000 73"),
    (FrameKind::ListSubscriptions, ""),
    (FrameKind::DeleteSubscription, "01000000 73"),
    (FrameKind::InitProducer, ""),
    (FrameKind::Describe, "01000000 8877665544332211"),
    (FrameKind::Ping, ""),
    (FrameKind::Status, ""),
];

pub(crate) const REPLIES: &[(FrameKind, &str)] = &[
    (
        FrameKind::Hello,
        "0000 0100 0400000000000000 0200 0800 000102030405060708090a0b0c0d0e0f 05000000 302e312e30",
    ),
    (
        FrameKind::Metadata,
        "0000 0900000000000000 01000000 01000000 61 000102030405060708090a0b0c0d0e0f 01 \
         01000000 01000000 6b 01000000 76 01000000 8877665544332211 0100 07000000",
    ),
    (FrameKind::Produce, "0000 0a00000000000000 d204000000000000 0200000000000000"),
    (FrameKind::Fetch, "0000 0f00000000000000 1000000000000000 6261746368"),
    (FrameKind::ListOffsets, "0000 ffffffffffffffff ffffffffffffffff"),
    (FrameKind::Subscribe, "0000 0b00000000000000 0f00000000000000 0200000000000000"),
    (FrameKind::Unsubscribe, "0000"),
    (FrameKind::CreateTopic, "0000 000102030405060708090a0b0c0d0e0f 0900000000000000"),
    (FrameKind::DeleteTopic, "0000 0900000000000000"),
    (FrameKind::AlterTopic, "0000 0900000000000000"),
    (FrameKind::Trim, "0000 0b00000000000000"),
    (FrameKind::CommitPositions, "0000"),
    (
        FrameKind::FetchPositions,
        "0000 01000000 8877665544332211 0b00000000000000 07000000 d204000000000000 01000000 6d",
    ),
    (FrameKind::ListSubscriptions, "0000 02000000 01000000 73 01000000 74"),
    (FrameKind::DeleteSubscription, "0000"),
    (FrameKind::InitProducer, "0000 6712000000000000 0300"),
    (
        FrameKind::Describe,
        "0000 01000000 8877665544332211 0b00 0100000000000000 0200000000000000 0300000000000000 \
         0400000000000000 07000000 02 ffffffffffffffff",
    ),
    (FrameKind::Ping, "0000"),
    (FrameKind::Status, "0000 02000000 7b7d"),
];

/// Both directions of a kind against its golden bytes.
fn check<R: Request + PartialEq + Debug>(request: R, reply: R::Reply)
where
    R::Reply: PartialEq + Debug,
{
    check_request(request);
    let mut out = BytesMut::new();
    encode_reply::<R>(CORRELATION, &reply, &mut out);
    let (header, body) = one_frame(out);
    assert_eq!((header.kind(), header.correlation()), (R::KIND.reply_number(), CORRELATION));
    assert_eq!(body, golden(REPLIES, R::KIND), "reply to {:?}", R::KIND);
    assert_eq!(decode_reply::<R>(&body), Ok(reply));
}

fn check_request<R: Request + PartialEq + Debug>(request: R) {
    let mut out = BytesMut::new();
    encode_request(CORRELATION, &request, &mut out).unwrap();
    let (header, body) = one_frame(out);
    assert_eq!((header.kind(), header.correlation()), (R::KIND.number(), CORRELATION));
    assert_eq!(body, golden(REQUESTS, R::KIND), "{:?}", R::KIND);
    assert_eq!(R::get(&body), Ok(request));
    assert_eq!(AnyRequest::decode(header.kind(), &body).unwrap().kind(), R::KIND);
}

fn golden(table: &[(FrameKind, &str)], kind: FrameKind) -> Vec<u8> {
    hex(table.iter().find(|(of, _)| *of == kind).expect("every kind has golden bytes").1)
}

fn pair(key: &str, value: &str) -> Vec<(String, String)> {
    vec![(key.into(), value.into())]
}

#[test]
fn every_kind_has_golden_bytes() {
    for row in KINDS {
        let (request, reply) = match row.flow {
            Flow::Answered | Flow::AnsweredUnlessAsked => (true, true),
            Flow::Unanswered => (true, false),
            Flow::Push => (false, false),
        };
        assert_eq!(REQUESTS.iter().any(|(kind, _)| *kind == row.kind), request, "{}", row.name);
        assert_eq!(REPLIES.iter().any(|(kind, _)| *kind == row.kind), reply, "{}", row.name);
    }
}

#[test]
fn a_whole_frame_has_its_golden_bytes() {
    let mut out = BytesMut::new();
    encode_request(CORRELATION, &UnsubscribeRequest { handle: 3 }, &mut out).unwrap();
    assert_eq!(out, hex("04000000 0800 01 00 0d0c0b0a 00000000 03000000"));
    let mut out = BytesMut::new();
    encode_reply::<PingRequest>(CORRELATION, &Empty, &mut out);
    assert_eq!(out, hex("02000000 1380 01 00 0d0c0b0a 00000000 0000"));
}

#[test]
fn the_handshake_is_golden() {
    let hello = HelloRequest {
        version_min: 1,
        version_max: 3,
        features: 5,
        shard_wanted: Some(ShardId(2)),
        client_id: "me".into(),
    };
    let reply = HelloReply {
        version: 1,
        features: 4,
        shard: ShardId(2),
        shards: 8,
        node: UUID,
        server_version: "0.1.0".into(),
    };
    check(hello, reply);
    assert_eq!(PREFACE, *b"FLUMEN\0\x01");
}

#[test]
fn metadata_is_golden() {
    let partition = PartitionMetadata { group: GROUP, shard: ShardId(1), leader_epoch: 7 };
    let topic = TopicMetadata {
        name: "a".into(),
        id: TopicId(UUID),
        internal: true,
        settings: pair("k", "v"),
        partitions: vec![partition],
    };
    check(
        MetadataRequest { topics: vec!["a".into(), "b".into()] },
        MetadataReply { metadata_version: 9, topics: vec![topic] },
    );
}

#[test]
fn appending_and_reading_are_golden() {
    check(
        ProduceRequest { group: GROUP, acks: Acks::Leader, batch: BATCHES },
        ProduceReply { base_offset: Offset(10), append_time: Some(UnixMillis(1234)), log_start: Offset(2) },
    );
    check(
        FetchRequest { group: GROUP, offset: Offset(11), bytes_max: 12, wait_ms: 13, bytes_min: 14 },
        FetchReply { high_watermark: Offset(15), log_start: Offset(16), batches: BATCHES },
    );
    check(
        ListOffsetsRequest { group: GROUP, of: OffsetOf::MaxTimestamp },
        ListOffsetsReply { offset: None, timestamp: None },
    );
    check(InitProducerRequest {}, InitProducerReply { producer_id: ProducerId(4711), producer_epoch: 3 });
}

#[test]
fn subscriptions_are_golden() {
    check(
        SubscribeRequest { group: GROUP, handle: 3, offset: Offset(11), credit_bytes: 65536 },
        SubscribeReply { offset: Offset(11), high_watermark: Offset(15), log_start: Offset(2) },
    );
    check_request(CreditRequest { handle: 3, credit_bytes: 65536 });
    check(UnsubscribeRequest { handle: 3 }, Empty);
}

#[test]
fn topics_are_golden() {
    check(
        CreateTopicRequest { name: "a".into(), partitions: 4, settings: pair("k", "v") },
        CreateTopicReply { id: TopicId(UUID), metadata_version: 9 },
    );
    check(DeleteTopicRequest { name: "a".into() }, MetadataVersion { metadata_version: 9 });
    check(
        AlterTopicRequest { name: "a".into(), settings: pair("k", "") },
        MetadataVersion { metadata_version: 9 },
    );
    check(TrimRequest { group: GROUP, before_offset: Offset(11) }, TrimReply { log_start: Offset(11) });
}

#[test]
fn positions_are_golden() {
    let position = Position { group: GROUP, offset: Offset(11), leader_epoch: 7, metadata: "m".into() };
    let committed = CommittedPosition {
        group: GROUP,
        offset: Offset(11),
        leader_epoch: 7,
        commit_time: UnixMillis(1234),
        metadata: "m".into(),
    };
    check(CommitPositionsRequest { subscription: "s".into(), positions: vec![position] }, Empty);
    check(
        FetchPositionsRequest { subscription: "s".into() },
        FetchPositionsReply { positions: vec![committed] },
    );
    check(ListSubscriptionsRequest {}, ListSubscriptionsReply { names: vec!["s".into(), "t".into()] });
    check(DeleteSubscriptionRequest { subscription: "s".into() }, Empty);
}

#[test]
fn inspection_is_golden() {
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
    check(DescribeRequest { groups: vec![GROUP] }, DescribeReply { groups: vec![group] });
    check(PingRequest {}, Empty);
    check(StatusRequest {}, StatusReply { json: "{}".into() });
}

#[test]
fn what_is_sent_in_slices_is_the_same_frame() {
    let mut out = BytesMut::new();
    encode_produce_header(CORRELATION, GROUP, Acks::Leader, BATCHES.len(), &mut out);
    out.extend_from_slice(&BATCHES);
    let (header, body) = one_frame(out);
    assert_eq!((header.kind(), body), (3, golden(REQUESTS, FrameKind::Produce).into()));

    let mut out = BytesMut::new();
    encode_fetch_reply_header(
        CORRELATION,
        FetchReplyHead::new(Offset(15), Offset(16)),
        BATCHES.len(),
        &mut out,
    );
    out.extend_from_slice(&BATCHES);
    let (header, body) = one_frame(out);
    assert_eq!((header.kind(), body), (0x8004, golden(REPLIES, FrameKind::Fetch).into()));
}

#[test]
fn pushes_are_golden() {
    let mut out = BytesMut::new();
    encode_push_header(3, PushHead::new(GROUP, Offset(15), Offset(16)), BATCHES.len(), &mut out);
    out.extend_from_slice(&BATCHES);
    let bytes = hex(
        "1d000000 0140 01 00 03000000 00000000 8877665544332211 0f00000000000000 1000000000000000 6261746368",
    );
    assert_eq!(out, bytes);
    let (_, body) = one_frame(out);
    let (head, batches) = PushHead::split(&body).unwrap();
    assert_eq!((head.group(), head.high_watermark(), head.log_start()), (GROUP, Offset(15), Offset(16)));
    assert_eq!(batches, BATCHES);
    let push = Push { group: GROUP, high_watermark: Offset(15), log_start: Offset(16), batches: BATCHES };
    assert_eq!(Push::get(&body), Ok(push));
}

#[test]
fn errors_are_golden() {
    let mut out = BytesMut::new();
    encode_error(FrameKind::Produce, CORRELATION, &Error::new(Code::WrongShard, "go there"), &mut out);
    assert_eq!(out, hex("0f000000 0380 01 00 0d0c0b0a 00000000 0b00 02 08000000 676f207468657265"));
    let mut out = BytesMut::new();
    let gone = Error::new(Code::OffsetOutOfRange, "gone");
    encode_push_end(3, &gone, &mut out);
    assert_eq!(out, hex("0b000000 0240 01 00 03000000 00000000 1e00 03 04000000 676f6e65"));
    assert_eq!(decode_push_end(&one_frame(out).1), Ok(gone));
}
