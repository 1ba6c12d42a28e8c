//! The bytes that a client sends, fixed. Whoever changes them changes the protocol.

use bytes::{Buf, Bytes};
use flumen_client::core::connection::{Connection, Event};
use flumen_client::core::outgoing::Outgoing;
use flumen_client::model::{Code, Error, GroupId, Offset, ShardId};
use flumen_client::wire::*;

fn drain(out: &mut Outgoing) -> Vec<u8> {
    out.copy_to_bytes(out.remaining()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn give(connection: &mut Connection, bytes: &[u8]) {
    connection.room()[..bytes.len()].copy_from_slice(bytes);
    connection.received(bytes.len());
}

fn hello() -> Vec<u8> {
    let reply = HelloReply {
        version: 1,
        features: 0,
        shard: ShardId(1),
        shards: 2,
        node: uuid::Uuid::from_u128(9),
        server_version: "1".to_string(),
    };
    let mut out = bytes::BytesMut::new();
    encode_reply::<HelloRequest>(0, &reply, &mut out);
    out.to_vec()
}

fn open() -> Connection {
    let mut connection = Connection::open("c", Some(ShardId(1))).unwrap();
    drain(connection.outgoing());
    give(&mut connection, &hello());
    assert!(matches!(connection.next_event(), Ok(Some(Event::Opened(_)))));
    connection
}

fn error(kind: FrameKind, correlation: u32, code: Code) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    encode_error(kind, correlation, &Error::new(code, "because"), &mut out);
    out.to_vec()
}

#[test]
fn a_connection_opens_with_the_preface_and_a_hello() {
    let mut connection = Connection::open("c", Some(ShardId(1))).unwrap();
    let expected = concat!(
        "464c554d454e0001",                 // preface
        "13000000010001000000000000000000", // 19 bytes, Hello, version 1, correlation 0
        "01000100",                         // versions 1 to 1
        "0000000000000000",                 // features
        "0100",                             // shard 1
        "0100000063",                       // "c"
    );
    assert_eq!(hex(&drain(connection.outgoing())), expected);
}

#[test]
fn requests_and_batches_carry_rising_correlations() {
    let mut connection = open();
    connection.send(&PingRequest {}).unwrap();
    connection.send_batch(GroupId(0x11), Acks::Leader, Bytes::from_static(b"abc"));
    connection.send_batch(GroupId(0x12), Acks::None, Bytes::from_static(b"d"));
    connection.send(&CreditRequest { handle: 7, credit_bytes: 256 }).unwrap();
    let expected = concat!(
        "00000000130001000100000000000000", // Ping, correlation 1
        "13000000030001000200000000000000", // Produce of 19 bytes, correlation 2
        "11000000000000000100000000000000", // group 17, acks 1
        "616263",
        "11000000030001000300000000000000", // Produce of 17 bytes, correlation 3
        "12000000000000000000000000000000", // group 18, acks 0
        "64",
        "08000000070001000400000000000000", // Credit, correlation 4
        "0700000000010000",
    );
    assert_eq!(hex(&drain(connection.outgoing())), expected);
    assert_eq!(connection.in_flight(), 2, "acks none and credit are not answered");
}

#[test]
fn answers_and_pushes_are_told_apart() {
    let mut connection = open();
    let batch = connection.send_batch(GroupId(16), Acks::Quorum, Bytes::from_static(b"x"));
    let ping = connection.send(&PingRequest {}).unwrap();
    let mut out = bytes::BytesMut::new();
    encode_push_header(5, PushHead::new(GroupId(16), Offset(2), Offset(0)), 3, &mut out);
    out.extend_from_slice(b"run");
    let reply = ProduceReply { base_offset: Offset(4), append_time: None, log_start: Offset(0) };
    encode_reply::<ProduceRequest>(batch, &reply, &mut out);
    encode_push_end(5, &Error::new(Code::OffsetOutOfRange, "gone"), &mut out);
    out.extend_from_slice(&error(FrameKind::Ping, ping, Code::Busy));
    give(&mut connection, &out);
    let push = Push {
        group: GroupId(16),
        high_watermark: Offset(2),
        log_start: Offset(0),
        batches: Bytes::from_static(b"run"),
    };
    assert_eq!(connection.next_event(), Ok(Some(Event::Push { handle: 5, push })));
    assert_eq!(connection.next_event(), Ok(Some(Event::Appended { correlation: batch, result: Ok(reply) })));
    let ended = Error::new(Code::OffsetOutOfRange, "gone");
    assert_eq!(connection.next_event(), Ok(Some(Event::PushEnd { handle: 5, error: ended })));
    let Ok(Some(Event::Reply { correlation, kind: FrameKind::Ping, body })) = connection.next_event() else {
        panic!("a reply is next")
    };
    assert_eq!((correlation, decode_reply::<PingRequest>(&body).unwrap_err().code), (ping, Code::Busy));
    assert_eq!((connection.next_event(), connection.in_flight()), (Ok(None), 0));
}

#[test]
fn a_refusal_of_the_connection_is_its_error_before_and_after_the_handshake() {
    let mut early = Connection::open("c", None).unwrap();
    give(&mut early, &error(FrameKind::Hello, 0, Code::LimitReached));
    assert_eq!(early.next_event(), Err(Error::new(Code::LimitReached, "because")));
    let mut late = open();
    late.send(&PingRequest {}).unwrap();
    give(&mut late, &error(FrameKind::Hello, u32::MAX, Code::InvalidRequest));
    assert_eq!(late.next_event(), Err(Error::new(Code::InvalidRequest, "because")));
}

#[test]
fn a_server_that_does_not_keep_to_the_protocol_is_left() {
    let unasked = error(FrameKind::Ping, 1, Code::Busy);
    let mut wrong_kind = unasked.clone();
    wrong_kind[4] = 18;
    let mut request = unasked.clone();
    request[5] = 0;
    let mut wrong_number = unasked.clone();
    wrong_number[8] = 2;
    for (asked, bytes) in
        [(false, unasked), (true, wrong_kind), (true, request), (true, wrong_number), (true, hello())]
    {
        let mut connection = open();
        if asked {
            connection.send(&PingRequest {}).unwrap();
        }
        give(&mut connection, &bytes);
        assert!(connection.next_event().is_err());
    }
}

#[test]
fn a_request_over_the_limit_is_refused_and_not_sent() {
    let mut connection = open();
    let request = MetadataRequest { topics: vec!["x".repeat(1 << 20); 5] };
    assert_eq!(connection.send(&request).unwrap_err().code, Code::LimitReached);
    assert_eq!((connection.outgoing().remaining(), connection.in_flight()), (0, 0));
}
