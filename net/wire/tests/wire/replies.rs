//! What replies promise when something is wrong.

use crate::golden::{REPLIES, REQUESTS};
use crate::one_frame;
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::limits::{ERROR_MESSAGE_BYTES_MAX, FRAME_BYTES_MAX};
use flumen_model::{Code, Error, Kind};
use flumen_wire::*;

fn error_body(code: u16, kind: u8, message: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16_le(code);
    body.put_u8(kind);
    body.put_u32_le(message.len() as u32);
    body.put_slice(message);
    body.freeze()
}

#[test]
fn every_error_comes_back() {
    for &code in Code::ALL {
        let error = Error::new(code, format!("{code:?} happened"));
        let mut out = BytesMut::new();
        encode_error(FrameKind::Trim, 1, &error, &mut out);
        assert_eq!(decode_reply::<TrimRequest>(&one_frame(out).1), Err(error));
    }
}

#[test]
fn a_code_from_the_future_keeps_its_kind() {
    for (number, kind) in
        [Kind::Retry, Kind::NotLeader, Kind::Invalid, Kind::Full, Kind::Corrupt, Kind::Closed]
            .into_iter()
            .enumerate()
    {
        let body = error_body(60_000, number as u8 + 1, b"new");
        let error = decode_reply::<PingRequest>(&body).unwrap_err();
        assert_eq!((error.kind(), error.message.as_str()), (kind, "new"));
    }
    assert_eq!(decode_reply::<PingRequest>(&error_body(1, 7, b"")).unwrap_err().code, Code::InvalidRequest);
    assert_eq!(decode_reply::<PingRequest>(&error_body(1, 0, b"")).unwrap_err().code, Code::InvalidRequest);
}

#[test]
fn a_long_message_is_cut_at_a_character() {
    let error = Error::new(Code::Busy, "ä".repeat(ERROR_MESSAGE_BYTES_MAX));
    let mut out = BytesMut::new();
    encode_error(FrameKind::Ping, 1, &error, &mut out);
    let back = decode_reply::<PingRequest>(&one_frame(out).1).unwrap_err();
    assert_eq!(back.message, "ä".repeat(ERROR_MESSAGE_BYTES_MAX / 2));
}

#[test]
fn a_reply_over_the_frame_limit_becomes_an_error_that_says_so() {
    let mut out = BytesMut::new();
    encode_reply::<StatusRequest>(9, &StatusReply { json: "x".repeat(FRAME_BYTES_MAX) }, &mut out);
    let (header, body) = one_frame(out);
    assert_eq!(header.correlation(), 9);
    assert_eq!(decode_reply::<StatusRequest>(&body).unwrap_err().code, Code::LimitReached);
}

#[test]
fn a_request_over_the_frame_limit_is_not_sent() {
    let mut out = BytesMut::new();
    let request = FetchPositionsRequest { subscription: "x".repeat(FRAME_BYTES_MAX) };
    assert_eq!(encode_request(9, &request, &mut out).unwrap_err().code, Code::LimitReached);
    assert!(out.is_empty());
}

#[test]
fn batches_share_the_memory_of_what_came() {
    let mut body = BytesMut::new();
    ProduceRequest { group: flumen_model::GroupId(1), acks: Acks::None, batch: Bytes::from(vec![7; 100]) }
        .put(&mut body);
    let body = body.freeze();
    let request = ProduceRequest::get(&body).unwrap();
    assert_eq!(request.batch.as_ptr(), body[16..].as_ptr());
}

#[test]
fn a_count_that_does_not_fit_is_refused_before_memory_is_taken() {
    for kind in [FrameKind::Metadata, FrameKind::Describe, FrameKind::DeleteTopic, FrameKind::FetchPositions]
    {
        let body = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(AnyRequest::decode(kind.number(), &body).unwrap_err().code, Code::InvalidRequest);
    }
}

#[test]
fn values_without_a_meaning_are_refused() {
    let damaged = |table: &[(FrameKind, &str)], kind, at, value| {
        let mut body = crate::hex(table.iter().find(|(of, _)| *of == kind).unwrap().1);
        body[at] = value;
        Bytes::from(body)
    };
    // A yes or no of 2; a group's state of 3 and an unknown code; acks of 3 and a reserved byte.
    let internal = damaged(REPLIES, FrameKind::Metadata, 35, 2);
    assert_eq!(decode_reply::<MetadataRequest>(&internal).unwrap_err().code, Code::InvalidRequest);
    for (at, value) in [(52, 3), (15, 0xff)] {
        let group = damaged(REPLIES, FrameKind::Describe, at, value);
        assert_eq!(decode_reply::<DescribeRequest>(&group).unwrap_err().code, Code::InvalidRequest, "{at}");
    }
    for (at, value) in [(8, 3), (12, 1)] {
        let produce = damaged(REQUESTS, FrameKind::Produce, at, value);
        assert_eq!(ProduceRequest::get(&produce).unwrap_err().code, Code::InvalidRequest);
        assert_eq!(ProduceHead::split(&produce).unwrap_err().code, Code::InvalidRequest);
    }
}

#[test]
fn what_is_no_request_is_unsupported() {
    for kind in [0, 21, 0x4001, 0x4002, 0x8001, 0xffff] {
        assert_eq!(AnyRequest::decode(kind, &Bytes::new()).unwrap_err().code, Code::Unsupported, "{kind:#x}");
    }
}

#[test]
fn numbers_name_kind_and_role_both_ways() {
    for row in KINDS {
        let role = if row.flow == Flow::Push { Role::Push } else { Role::Request };
        assert_eq!(FrameKind::of_number(row.number), Some((row.kind, role)));
        let answered = matches!(row.flow, Flow::Answered | Flow::AnsweredUnlessAsked);
        let reply = answered.then_some((row.kind, Role::Reply));
        assert_eq!(FrameKind::of_number(row.number | 0x8000), reply, "{}", row.name);
    }
}
