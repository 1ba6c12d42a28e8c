//! What a stranger may send: it costs bounded memory and is answered with what is wrong, and everybody else is
//! served as if nothing had happened. Nothing here is polite, except the witness.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod common;
#[path = "common/live.rs"]
mod live;

use bytes::{BufMut, Bytes, BytesMut};
use common::raw::*;
use common::*;
use flumen_io::mem::MemWorld;
use flumen_io::{Host, Stream};
use flumen_model::batch::{BatchBuilder, Compression};
use flumen_model::limits::{COLD_REQUEST_BYTES_MAX, FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use flumen_model::{Code, GroupId, Offset, UnixMillis};
use flumen_wire::*;
use std::cell::Cell;
use std::future::Future;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: live::Counting = live::Counting;

const SECOND: Duration = Duration::from_secs(1);
/// A run that turns in circles fails instead of hanging.
const POLLS_MAX: u64 = 30_000_000;

/// Runs an attack on a node that has topic `orders`, beside a bystander that appends every second and is served each
/// time; afterwards a newcomer gets full service.
fn attack<F: Future<Output = ()> + 'static>(
    seed: u64,
    attack: impl FnOnce(MemHost, GroupId) -> F + Send + 'static,
) {
    let seen = run_node(
        &MemWorld::new(),
        seed,
        1,
        config(1),
        |machine| machine.poll_budget(POLLS_MAX),
        |host| async move {
            let bystander = Asker::connect(&host, 0).await;
            for name in ["orders", "witness", "bystander"] {
                let settings = vec![("retention.ms".to_string(), "-1".to_string())];
                bystander
                    .ask(&CreateTopicRequest { name: name.into(), partitions: 1, settings })
                    .await
                    .unwrap();
            }
            let group = bystander.groups("orders").await[0];
            let over = Rc::new(Cell::new(false));
            let beside = host.spawn(stand_by(host.clone(), bystander, over.clone()));
            attack(host.clone(), group).await;
            over.set(true);
            beside.await;
            full_service(&Asker::connect(&host, 0).await).await;
        },
    );
    assert_eq!(seen.failed.get(), None, "the node lives");
}

/// Appends once a second and is acked in time, until it is over.
async fn stand_by(host: MemHost, asker: Rc<Asker>, over: Rc<Cell<bool>>) {
    let group = asker.groups("bystander").await[0];
    let mut next = 0;
    while !over.get() {
        let began = host.now();
        assert_eq!(asker.produce(group, &["still here"]).await, Ok(Offset(next)));
        assert!(host.now().since(began) < SECOND, "the bystander waited {:?}", host.now().since(began));
        next += 1;
        host.sleep(SECOND).await;
    }
    assert_eq!(asker.read_all(group, 0).await.unwrap().len() as u64, next);
}

/// Appends, reads, is pushed to, and asks the control groups.
async fn full_service(asker: &Rc<Asker>) {
    let group = asker.groups("witness").await[0];
    let at = asker.produce(group, &["a", "b"]).await.unwrap();
    let read = asker.read_all(group, at.0).await.unwrap();
    assert_eq!(read, [(at.0, "a".to_string()), (at.0 + 1, "b".to_string())]);
    asker.ask(&SubscribeRequest { group, handle: 77, offset: at, credit_bytes: 1000 }).await.unwrap();
    let pushed: usize = asker
        .take_pushes()
        .await
        .iter()
        .map(|(_, body)| values_of(&Push::get(body).unwrap().batches).len())
        .sum();
    assert_eq!(pushed, 2);
    asker.ask(&UnsubscribeRequest { handle: 77 }).await.unwrap();
    asker.ask(&InitProducerRequest {}).await.unwrap();
    assert!(asker.ask(&StatusRequest {}).await.unwrap().json.contains("\"shard\":0"));
}

/// The bytes that the node holds for strangers settle at what they were.
async fn settles(host: &MemHost, before: isize, slack: isize) {
    for _ in 0..120 {
        host.sleep(SECOND).await;
        if live::live_bytes() - before <= slack {
            return;
        }
    }
    panic!("{} bytes stay behind", live::live_bytes() - before);
}

fn filler(bytes: usize) -> Bytes {
    let value = "x".repeat(bytes);
    batch(&[&value])
}

#[test]
fn who_is_no_flumen_client_is_told_so_and_the_connection_ends() {
    attack(1, |host, _| async move {
        let hello = opening(0);
        let changed = |at: usize, byte: u8| {
            let mut bytes = hello.to_vec();
            bytes[at] = byte;
            bytes
        };
        let mut long = changed(0, b'F');
        long[8..12].copy_from_slice(&(HELLO_BYTES_MAX as u32 + 1).to_le_bytes());
        let cases: [(Vec<u8>, Code, &str); 8] = [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Code::InvalidRequest, "no Flumen client"),
            (vec![0; 3000], Code::InvalidRequest, "no Flumen client"),
            (changed(7, 2), Code::InvalidRequest, "no Flumen client"),
            (changed(12, 0x13), Code::InvalidRequest, "must be a Hello"),
            (changed(14, 9), Code::Unsupported, "version"),
            (changed(15, 1), Code::InvalidRequest, "flags"),
            (long, Code::InvalidRequest, "limit"),
            // The lowest version spoken is 9.
            (changed(24, 9), Code::Unsupported, "version"),
        ];
        for (bytes, code, says) in cases {
            let raw = Raw::connect(&host).await;
            raw.send(bytes).await.unwrap();
            let word = raw.last_word(5 * SECOND).await;
            assert_eq!(word.code, code, "{word}");
            assert!(word.message.contains(says), "{word}");
        }
    });
}

#[test]
fn silence_before_the_hello_is_over_ends_in_the_handshakes_time() {
    attack(2, |host, _| async move {
        let hello = opening(0);
        for sent in [0, 1, 7, 8, 20, hello.len() - 1] {
            let raw = Raw::connect(&host).await;
            if sent > 0 {
                raw.send(hello.slice(..sent)).await.unwrap();
            }
            let word = raw.last_word(2 * SECOND).await;
            assert_eq!(word.code, Code::Timeout, "{word}");
            // A byte now and then is no excuse.
            let slow = Raw::connect(&host).await;
            for byte in hello.iter().take(20) {
                if slow.send(Bytes::copy_from_slice(&[*byte])).await.is_err() {
                    break;
                }
                host.sleep(SECOND / 4).await;
            }
            assert!(slow.is_gone(2 * SECOND).await);
        }
    });
}

#[test]
fn a_frame_that_cannot_be_right_ends_its_connection_with_the_reason() {
    attack(3, |host, group| async move {
        let ping = FrameKind::Ping.number();
        let produce = FrameKind::Produce.number();
        let cold_max = COLD_REQUEST_BYTES_MAX as u32;
        let cases: [(Vec<u8>, Code, &str); 11] = [
            (header(FRAME_BYTES_MAX as u32 + 1, produce, 1, 0, 0), Code::InvalidRequest, "over the limit"),
            (header(u32::MAX, produce, 1, 0, 0), Code::InvalidRequest, "over the limit"),
            (
                header(cold_max + 1, FrameKind::Metadata.number(), 1, 0, 0),
                Code::InvalidRequest,
                "over the limit",
            ),
            (header(0, ping, 0, 0, 0), Code::Unsupported, "version 0"),
            (header(0, ping, 2, 0, 0), Code::Unsupported, "version 2"),
            (header(0, ping, 1, 1, 0), Code::InvalidRequest, "flags"),
            (header(0, ping, 1, 0, 1), Code::InvalidRequest, "aux"),
            (header(0, 0, 1, 0, 0), Code::Unsupported, "kind"),
            (header(0, 0x3fff, 1, 0, 0), Code::Unsupported, "kind"),
            (header(0, ping | 0x8000, 1, 0, 0), Code::Unsupported, "kind"),
            (header(4, FrameKind::Push.number(), 1, 0, 0), Code::Unsupported, "kind"),
        ];
        for (mut bytes, code, says) in cases {
            bytes.resize(bytes.len().max(64), 0);
            let raw = Raw::greeted(&host, 0).await;
            // What was asked properly before is answered first.
            let good = ProduceRequest { group, acks: Acks::Quorum, batch: batch(&["good"]) };
            raw.send([&request(1, &good)[..], &bytes].concat()).await.unwrap();
            let rest = raw.rest(5 * SECOND).await;
            let word = rest.last().and_then(Came::refusal).expect("the last frame says why");
            assert_eq!(word.code, code, "{word}");
            assert!(word.message.contains(says), "{word}");
        }
    });
}

#[test]
fn a_request_that_is_malformed_is_refused_and_its_connection_goes_on() {
    attack(4, |host, _| async move {
        let raw = Raw::greeted(&host, 0).await;
        for kind in 1..=0x14_u16 {
            if kind == FrameKind::Credit.number() {
                continue;
            }
            // Lists and strings that claim 4 billion entries, and bytes too many.
            let mut bytes = header(4096, kind, 1, 0, 0);
            bytes.resize(16 + 4096, 0xff);
            raw.send(bytes).await.unwrap();
            let came = raw.frame().await.unwrap().expect("it is answered");
            assert_eq!((came.kind, came.correlation), (kind | 0x8000, 7));
            let error = came.refusal().expect("it is refused");
            assert_eq!(error.code, Code::InvalidRequest, "{kind}: {error}");
            assert!(!error.message.is_empty());
        }
        raw.send(request(9, &PingRequest {})).await.unwrap();
        assert_eq!(raw.frame().await.unwrap().unwrap().refusal(), None);
    });
}

#[test]
fn half_a_frame_and_then_silence_costs_little_and_ends_at_the_idle_limit() {
    attack(5, |host, _| async move {
        let before = live::live_bytes();
        let mut raws = Vec::new();
        for sent in [1, 15, 16, 17, 4000, 4000, 4000, 4000, 4000, 4000] {
            let raw = Raw::greeted(&host, 0).await;
            let mut bytes = header(FRAME_BYTES_MAX as u32, FrameKind::Produce.number(), 1, 0, 0);
            bytes.resize(4096, 0);
            bytes.truncate(sent);
            raw.send(bytes).await.unwrap();
            raws.push(raw);
        }
        host.sleep(SECOND).await;
        let each = (live::live_bytes() - before) / raws.len() as isize;
        assert!(each < 300 * 1024, "{each} bytes for a frame that never comes");
        for raw in &raws {
            assert!(raw.is_gone(35 * SECOND).await, "a silent connection is closed");
        }
        drop(raws);
        settles(&host, before, 512 * 1024).await;
    });
}

/// A batch whose header was changed at a place, with the checksum made right again when asked.
fn lying(at: usize, bytes: &[u8], good_crc: bool) -> Bytes {
    let mut lie = batch(&["one", "two", "three"]).to_vec();
    lie[at..at + bytes.len()].copy_from_slice(bytes);
    if good_crc {
        let crc = crc32c::crc32c(&lie[21..]);
        lie[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    lie.into()
}

#[test]
fn a_batch_that_lies_is_refused_with_its_reason_and_nothing_of_it_is_stored() {
    attack(6, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        let honest = batch(&["one", "two", "three"]);
        let longer = (honest.len() as i32 - 12 + 1).to_be_bytes();
        let two: Bytes = [&honest[..], &honest[..]].concat().into();
        let cases: Vec<(Bytes, Code)> = vec![
            (Bytes::new(), Code::InvalidBatch),
            (honest.slice(..40), Code::InvalidBatch),
            (honest.slice(..honest.len() - 1), Code::InvalidBatch),
            (two, Code::InvalidBatch),
            // Base offset, length.
            (lying(0, &7_i64.to_be_bytes(), true), Code::InvalidBatch),
            (lying(0, &(-1_i64).to_be_bytes(), true), Code::InvalidBatch),
            (lying(8, &longer, true), Code::InvalidBatch),
            (lying(8, &i32::MAX.to_be_bytes(), true), Code::InvalidBatch),
            (lying(8, &(-1_i32).to_be_bytes(), true), Code::InvalidBatch),
            // Magic 0 and 1, the checksum, a flipped bit under it.
            (lying(16, &[0], true), Code::InvalidBatch),
            (lying(16, &[1], true), Code::InvalidBatch),
            (lying(16, &[3], true), Code::InvalidBatch),
            (lying(17, &[0; 4], false), Code::BatchChecksum),
            (lying(70, &[0xff], false), Code::BatchChecksum),
            // Attributes: an unknown codec, control, append time, delete horizon, reserved.
            (lying(21, &[0, 5], true), Code::InvalidBatch),
            (lying(21, &[0, 7], true), Code::InvalidBatch),
            (lying(21, &[0, 0x20], true), Code::InvalidBatch),
            (lying(21, &[0, 0x08], true), Code::InvalidTimestamp),
            (lying(21, &[0, 0x40], true), Code::InvalidBatch),
            // Last offset delta and count, together and alone; a count that is not there.
            (lying(23, &9_i32.to_be_bytes(), true), Code::InvalidBatch),
            (lying(57, &9_i32.to_be_bytes(), true), Code::InvalidBatch),
            (lying(57, &(-1_i32).to_be_bytes(), true), Code::InvalidBatch),
            (lying(57, &0_i32.to_be_bytes(), true), Code::InvalidBatch),
        ];
        for (number, (batch, code)) in cases.into_iter().enumerate() {
            for acks in [Acks::Quorum, Acks::Leader] {
                let refused = asker.ask(&ProduceRequest { group, acks, batch: batch.clone() }).await;
                let error = refused.expect_err(&format!("case {number} is a lie"));
                assert!(
                    error.code == code || (code == Code::InvalidBatch && error.code == Code::Unsupported),
                    "case {number}: {:?} {error}",
                    error.code
                );
                assert!(error.message.len() > 20, "case {number}: {error}");
            }
        }
        let mut both = batch(&["one"]).to_vec();
        both[23..27].copy_from_slice(&1_000_000_i32.to_be_bytes());
        both[57..61].copy_from_slice(&1_000_001_i32.to_be_bytes());
        let crc = crc32c::crc32c(&both[21..]);
        both[17..21].copy_from_slice(&crc.to_be_bytes());
        let error = asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: both.into() }).await;
        assert_eq!(error.unwrap_err().code, Code::InvalidBatch, "a million records in a few bytes");
        let mut builder = BatchBuilder::new(2 << 20, Compression::None).unwrap();
        let value = vec![0; config(1).limits.batch_bytes_max];
        builder.append(UnixMillis(1), None, Some(&value), &[]).unwrap();
        let big = builder.finish();
        let error = asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: big }).await.unwrap_err();
        assert_eq!(error.code, Code::BatchTooLarge);
        assert!(error.message.contains("max.message.bytes"), "{error}");
        assert_eq!(asker.read_all(group, 0).await.unwrap(), []);
        assert_eq!(asker.produce(group, &["honest"]).await, Ok(Offset(0)));
    });
}

#[test]
fn a_compressed_bomb_is_stored_as_it_came_and_never_opened() {
    attack(7, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        // One record says that it is a million, in gzip that would not open, or open without end.
        let mut bomb = filler(5_000).to_vec();
        bomb[21..23].copy_from_slice(&1_u16.to_be_bytes());
        bomb[23..27].copy_from_slice(&999_999_i32.to_be_bytes());
        bomb[57..61].copy_from_slice(&1_000_000_i32.to_be_bytes());
        let crc = crc32c::crc32c(&bomb[21..]);
        bomb[17..21].copy_from_slice(&crc.to_be_bytes());
        let bomb = Bytes::from(bomb);
        let before = live::live_bytes();
        assert_eq!(
            asker
                .ask(&ProduceRequest { group, acks: Acks::Quorum, batch: bomb.clone() })
                .await
                .unwrap()
                .base_offset,
            Offset(0)
        );
        assert_eq!(asker.produce(group, &["after"]).await, Ok(Offset(1_000_000)));
        let fetch = FetchRequest { group, offset: Offset(0), bytes_max: 1, wait_ms: 0, bytes_min: 0 };
        let got = asker.ask(&fetch).await.unwrap().batches;
        assert_eq!(got[16..], bomb[16..], "byte for byte");
        assert!(live::peak_bytes() - before < 1 << 20, "{} bytes for a bomb", live::peak_bytes() - before);
    });
}

#[test]
fn groups_that_are_nobodys_or_the_nodes_own_are_refused_to_everybody() {
    attack(8, |host, _| async move {
        let asker = Asker::connect(&host, 0).await;
        for group in [0, 1, 2, 15, 9_999, u64::MAX].map(GroupId) {
            let refused = [
                asker.produce(group, &["mine"]).await.map(|_| ()),
                asker
                    .ask(&FetchRequest { group, offset: Offset(0), bytes_max: 1, wait_ms: 0, bytes_min: 0 })
                    .await
                    .map(|_| ()),
                asker
                    .ask(&SubscribeRequest { group, handle: 1, offset: Offset(0), credit_bytes: 1 })
                    .await
                    .map(|_| ()),
                asker.ask(&TrimRequest { group, before_offset: Offset(0) }).await.map(|_| ()),
                asker.ask(&ListOffsetsRequest { group, of: OffsetOf::Latest }).await.map(|_| ()),
            ];
            for error in refused.into_iter().map(Result::unwrap_err) {
                assert_eq!(error.code, Code::UnknownTopic, "{error}");
            }
            let described = asker.ask(&DescribeRequest { groups: vec![group] }).await.unwrap();
            assert_eq!(described.groups[0].error, Some(Code::UnknownTopic));
            let position = Position { group, offset: Offset(1), leader_epoch: 0, metadata: String::new() };
            let commit = CommitPositionsRequest { subscription: "s".into(), positions: vec![position] };
            assert_eq!(asker.ask(&commit).await.unwrap_err().code, Code::UnknownTopic);
        }
        let none = CommitPositionsRequest { subscription: "../x".into(), positions: vec![] };
        assert_eq!(asker.ask(&none).await.unwrap_err().code, Code::InvalidName);
        for name in ["", ".", "..", "a/b", "naïve", &"n".repeat(250)] {
            let create = CreateTopicRequest { name: name.into(), partitions: 1, settings: vec![] };
            assert_eq!(asker.ask(&create).await.unwrap_err().code, Code::InvalidName, "{name}");
        }
        for partitions in [0, 10_001, u32::MAX] {
            let create = CreateTopicRequest { name: "t".into(), partitions, settings: vec![] };
            assert_eq!(asker.ask(&create).await.unwrap_err().code, Code::InvalidPartitions);
        }
        assert_eq!(asker.groups("t").await, []);
    });
}

#[test]
fn subscriptions_that_make_no_sense_are_refused_and_credit_never_overflows() {
    attack(9, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        asker.produce(group, &["a"]).await.unwrap();
        let subscribe = |handle, offset, credit_bytes| SubscribeRequest {
            group,
            handle,
            offset: Offset(offset),
            credit_bytes,
        };
        for offset in [2, u64::MAX] {
            assert_eq!(asker.ask(&subscribe(1, offset, 10)).await.unwrap_err().code, Code::OffsetOutOfRange);
        }
        asker.ask(&subscribe(1, 1, u32::MAX)).await.unwrap();
        let again = asker.ask(&subscribe(1, 1, 10)).await.unwrap_err();
        assert_eq!(again.code, Code::InvalidRequest);
        assert!(again.message.contains("handle 1"), "{again}");
        for handle in 2..=16 {
            asker.ask(&subscribe(handle, 1, 0)).await.unwrap();
        }
        let many = asker.ask(&subscribe(17, 1, 0)).await.unwrap_err();
        assert_eq!(many.code, Code::LimitReached);
        assert!(many.message.contains("16"), "{many}");
        for _ in 0..100 {
            asker.send(request(0, &CreditRequest { handle: 1, credit_bytes: u32::MAX })).await;
            asker.send(request(0, &CreditRequest { handle: 4_000_000, credit_bytes: u32::MAX })).await;
        }
        asker.ask(&PingRequest {}).await.unwrap();
        asker.produce(group, &["b"]).await.unwrap();
        assert_eq!(asker.take_pushes().await.len(), 1, "one subscription has credit");
        asker.ask(&UnsubscribeRequest { handle: 99 }).await.unwrap();
    });
}

#[test]
fn fetches_at_the_edges_are_answered_within_their_bounds() {
    attack(10, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        asker.produce(group, &["a"]).await.unwrap();
        asker.produce(group, &["b"]).await.unwrap();
        let fetch = |offset, bytes_max, wait_ms, bytes_min| FetchRequest {
            group,
            offset: Offset(offset),
            bytes_max,
            wait_ms,
            bytes_min,
        };
        let one = asker.ask(&fetch(0, 0, 0, 0)).await.unwrap();
        assert_eq!(values_of(&one.batches).len(), 1, "one batch comes however small the bound is");
        for offset in [3, u64::MAX] {
            assert_eq!(asker.ask(&fetch(offset, 1, 0, 0)).await.unwrap_err().code, Code::OffsetOutOfRange);
        }
        let before = host.now();
        assert!(asker.ask(&fetch(2, u32::MAX, u32::MAX, u32::MAX)).await.unwrap().batches.is_empty());
        assert!(host.now().since(before) <= 61 * SECOND, "no wait is longer than a minute");
        // Enough is never more than what the fetch may bring.
        let waited = asker.ask(&fetch(0, 1, u32::MAX, u32::MAX)).await.unwrap();
        assert_eq!(values_of(&waited.batches).len(), 1);
        assert!(host.now().since(before) <= 62 * SECOND);
    });
}

#[test]
fn thousands_of_requests_without_reading_are_not_read_and_the_stalled_connection_ends() {
    attack(11, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        for _ in 0..20 {
            asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: filler(60_000) }).await.unwrap();
        }
        let fetch = request(
            1,
            &FetchRequest { group, offset: Offset(0), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 },
        );
        let flood = Bytes::from(fetch.repeat(10_000));
        let before = live::live_bytes();
        let raw = Raw::greeted(&host, 0).await;
        assert!(!raw.send_within(flood, 3 * SECOND).await, "what is not answered is not read either");
        // The pipes to and fro, what waits in the queue and one answer more.
        let held = live::peak_bytes() - before;
        assert!(held < 4 << 20, "{held} bytes for one connection");
        drop(raw);
        settles(&host, before, 1 << 20).await;

        let stalled = Raw::greeted(&host, 0).await;
        for number in 0..32 {
            let fetch =
                FetchRequest { group, offset: Offset(0), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 };
            stalled.send(request(number, &fetch)).await.unwrap();
        }
        // Others are served meanwhile.
        full_service(&asker).await;
        host.sleep(10 * SECOND).await;
        let mut frames = 0;
        while let Ok(Some(_)) = stalled.frame().await {
            frames += 1;
        }
        assert!(frames < 32, "a client that takes nothing for five seconds is closed");
    });
}

#[test]
fn replies_that_wait_behind_a_long_fetch_are_bounded_too() {
    attack(12, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        for _ in 0..60 {
            asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: filler(60_000) }).await.unwrap();
        }
        let end = Offset(60);
        let raw = Raw::greeted(&host, 0).await;
        let before = live::live_bytes();
        let waiting = FetchRequest { group, offset: end, bytes_max: 1, wait_ms: 10_000, bytes_min: 1 };
        raw.send(request(1, &waiting)).await.unwrap();
        for number in 0..31 {
            let cold =
                FetchRequest { group, offset: Offset(number), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 };
            raw.send(request(2 + number as u32, &cold)).await.unwrap();
        }
        host.sleep(5 * SECOND).await;
        let held = live::peak_bytes() - before;
        assert!(held < 4 << 20, "{held} bytes wait behind one fetch");
        for number in 0..32 {
            let came = raw.frame().await.unwrap().unwrap();
            assert_eq!((came.correlation, came.refusal()), (1 + number, None));
        }
    });
}

#[test]
fn a_client_that_leaves_takes_its_waiting_fetches_along() {
    attack(13, |host, group| async move {
        let before = live::live_bytes();
        for _ in 0..50 {
            let raw = Raw::greeted(&host, 0).await;
            for number in 0..31 {
                let waiting =
                    FetchRequest { group, offset: Offset(0), bytes_max: 1, wait_ms: 60_000, bytes_min: 1 };
                raw.send(request(number, &waiting)).await.unwrap();
            }
        }
        host.sleep(SECOND).await;
        let left = live::live_bytes() - before;
        assert!(left < 256 * 1024, "{left} bytes of connections that are gone");
    });
}

#[test]
fn cold_subscriptions_of_one_connection_are_read_only_as_fast_as_it_takes_them() {
    attack(14, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        for _ in 0..100 {
            asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: filler(60_000) }).await.unwrap();
        }
        let before = live::live_bytes();
        let raw = Raw::greeted(&host, 0).await;
        for handle in 0..16 {
            raw.send(request(
                handle,
                &SubscribeRequest { group, handle, offset: Offset(0), credit_bytes: 1 << 20 },
            ))
            .await
            .unwrap();
        }
        host.sleep(3 * SECOND).await;
        let held = live::peak_bytes() - before;
        assert!(held < 5 << 20, "{held} bytes wait for one connection");
        // It is not forgotten either.
        let mut pushed = [0_usize; 16];
        while pushed.iter().any(|bytes| *bytes < 900_000) {
            let came = raw.frame().await.unwrap().expect("it still stands");
            if came.kind == FrameKind::Push.number() {
                pushed[came.correlation as usize] += came.body.len();
            }
        }
    });
}

#[test]
fn a_subscriber_that_never_reads_holds_up_itself_alone() {
    attack(15, |host, group| async move {
        let mute = Raw::greeted(&host, 0).await;
        mute.send(request(
            1,
            &SubscribeRequest { group, handle: 1, offset: Offset(0), credit_bytes: u32::MAX },
        ))
        .await
        .unwrap();
        let poor = Asker::connect(&host, 0).await;
        poor.ask(&SubscribeRequest { group, handle: 1, offset: Offset(0), credit_bytes: 1 }).await.unwrap();
        let (reader, producer) = (Asker::connect(&host, 0).await, Asker::connect(&host, 0).await);
        reader
            .ask(&SubscribeRequest { group, handle: 5, offset: Offset(0), credit_bytes: 1 << 20 })
            .await
            .unwrap();
        let before = live::live_bytes();
        for number in 0..200_u64 {
            let request = ProduceRequest { group, acks: Acks::Quorum, batch: filler(20_000) };
            assert_eq!(producer.ask(&request).await.unwrap().base_offset, Offset(number));
            let pushed = reader.take_pushes().await;
            let bytes: usize = pushed.iter().map(|(_, body)| body.len() - 24).sum();
            reader.send(request_credit(5, bytes)).await;
        }
        let held = live::peak_bytes() - before;
        assert!(held < 16 << 20, "{held} bytes");
        host.sleep(10 * SECOND).await;
        assert!(mute.is_gone(SECOND).await, "who takes nothing is closed");
        assert_eq!(poor.take_pushes().await.len(), 1, "credit of one byte is one batch");
        assert!(poor.ask(&PingRequest {}).await.is_ok());
        assert!(poor.pushes.borrow().is_empty());
    });
}

fn request_credit(handle: u32, bytes: usize) -> Bytes {
    request(0, &CreditRequest { handle, credit_bytes: bytes as u32 })
}

#[test]
fn a_client_that_closes_its_half_is_let_go_and_what_it_sent_whole_is_stored() {
    attack(16, |host, group| async move {
        let before = live::live_bytes();
        for _ in 0..20 {
            let raw = Raw::greeted(&host, 0).await;
            let produce = ProduceRequest { group, acks: Acks::None, batch: batch(&["last words"]) };
            raw.send(request(1, &produce)).await.unwrap();
            raw.stream.shutdown(Shutdown::Write).unwrap();
            assert!(raw.is_gone(SECOND).await);
        }
        let asker = Asker::connect(&host, 0).await;
        assert_eq!(asker.read_all(group, 0).await.unwrap().len(), 20);
        drop(asker);
        settles(&host, before, 256 * 1024).await;
    });
}

#[test]
fn a_client_that_closes_its_half_and_takes_nothing_is_closed_too() {
    attack(19, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        for _ in 0..20 {
            asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch: filler(60_000) }).await.unwrap();
        }
        let mut raws = Vec::new();
        // Nearly all connections that there are; each holds on to its end.
        for number in 0..config(1).limits.connections_max - 4 {
            let raw = Raw::greeted(&host, 0).await;
            let fetch =
                FetchRequest { group, offset: Offset(0), bytes_max: 1 << 20, wait_ms: 0, bytes_min: 0 };
            raw.send(request(1, &fetch)).await.unwrap();
            host.sleep(SECOND / 10).await;
            match number % 2 {
                0 => raw.stream.shutdown(Shutdown::Write).unwrap(),
                _ => raw.send(vec![0xff; 64]).await.unwrap(),
            }
            raws.push(raw);
        }
        host.sleep(10 * SECOND).await;
        let mut others = Vec::new();
        for _ in 0..config(1).limits.connections_max - 4 {
            others.push(Raw::greeted(&host, 0).await);
        }
    });
}

#[test]
fn a_reset_in_the_middle_of_a_produce_stores_nothing_of_it() {
    attack(17, |host, group| async move {
        let asker = Asker::connect(&host, 0).await;
        let produce = request(1, &ProduceRequest { group, acks: Acks::Quorum, batch: filler(50_000) });
        for cut in [17, 33, 1000, produce.len() - 1] {
            let raw = Raw::greeted(&host, 0).await;
            raw.send(request(1, &PingRequest {})).await.unwrap();
            raw.send(produce.slice(..cut)).await.unwrap();
            // The reply to the ping is never read: a reset, not an end.
            host.sleep(SECOND / 10).await;
            drop(raw);
        }
        host.sleep(SECOND).await;
        assert_eq!(asker.read_all(group, 0).await.unwrap(), []);
        // Whole ones whose producer is gone before the ack are stored or not, but never torn.
        for _ in 0..10 {
            let raw = Raw::greeted(&host, 0).await;
            raw.send(request(1, &PingRequest {})).await.unwrap();
            raw.send(produce.clone()).await.unwrap();
            drop(raw);
        }
        let read = asker.read_all(group, 0).await.unwrap();
        assert!(read.iter().all(|(_, value)| value.len() == 50_000));
    });
}

#[test]
fn one_connection_too_many_is_refused_by_name_and_there_is_room_again_afterwards() {
    attack(18, |host, _| async move {
        let max = config(1).limits.connections_max;
        for _ in 0..3 {
            // One is the witness.
            let mut raws = Vec::new();
            for _ in 1..max {
                raws.push(Raw::greeted(&host, 0).await);
            }
            for _ in 0..5 {
                let one_more = Raw::connect(&host).await;
                one_more.send(opening(0)).await.unwrap();
                let word = one_more.last_word(3 * SECOND).await;
                assert_eq!(word.code, Code::LimitReached, "{word}");
                assert!(word.message.contains(&max.to_string()), "the limit is named: {word}");
            }
            drop(raws);
            host.sleep(3 * SECOND).await;
        }
    });
}

/// A small generator, so that a failing seed says everything.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 29)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A frame that begins honest and is then hurt: bytes changed, cut, repeated, or all noise.
fn hurt(chance: &mut Chance, group: GroupId) -> Bytes {
    let group = if chance.below(4) == 0 { GroupId(chance.below(16)) } else { group };
    let offset = Offset(if chance.below(4) == 0 { chance.next() } else { chance.below(4) });
    let handle = chance.below(4) as u32;
    let correlation = chance.next() as u32;
    let small = chance.below(2_000) as u32;
    let honest = match chance.below(14) {
        0 => request(
            correlation,
            &ProduceRequest { group, acks: Acks::Quorum, batch: batch(&["fuzz", "fuzz"]) },
        ),
        1 => request(correlation, &ProduceRequest { group, acks: Acks::None, batch: filler(small as usize) }),
        2 => request(
            correlation,
            &FetchRequest { group, offset, bytes_max: small, wait_ms: small, bytes_min: 1 },
        ),
        3 => request(correlation, &SubscribeRequest { group, handle, offset, credit_bytes: small }),
        4 => request(correlation, &CreditRequest { handle, credit_bytes: chance.next() as u32 }),
        5 => request(correlation, &UnsubscribeRequest { handle }),
        6 => request(
            correlation,
            &ListOffsetsRequest { group, of: OffsetOf::Time(UnixMillis(chance.below(2_000) as i64)) },
        ),
        7 => request(correlation, &DescribeRequest { groups: vec![group; 3] }),
        8 => request(correlation, &MetadataRequest { topics: vec!["orders".into(), "none".into()] }),
        9 => request(
            correlation,
            &CommitPositionsRequest {
                subscription: format!("s{}", chance.below(40)),
                positions: vec![Position { group, offset, leader_epoch: 0, metadata: "m".into() }],
            },
        ),
        10 => request(correlation, &FetchPositionsRequest { subscription: format!("s{}", chance.below(40)) }),
        11 => request(
            correlation,
            &CreateTopicRequest {
                name: format!("fuzz{}", chance.below(5)),
                partitions: chance.below(4) as u32,
                settings: vec![("retention.ms".into(), chance.below(100).to_string())],
            },
        ),
        12 => request(correlation, &DeleteTopicRequest { name: format!("fuzz{}", chance.below(5)) }),
        _ => request(correlation, &TrimRequest { group, before_offset: offset }),
    };
    let mut bytes = honest.to_vec();
    match chance.below(8) {
        0 => {
            let at = chance.below(bytes.len() as u64) as usize;
            bytes.truncate(at);
        }
        1 => (0..chance.below(64)).for_each(|_| bytes.push(chance.next() as u8)),
        2 => bytes.iter_mut().skip(16).for_each(|byte| *byte = chance.next() as u8),
        3 => bytes.iter_mut().for_each(|byte| *byte = chance.next() as u8),
        4 | 5 => {
            for _ in 0..1 + chance.below(4) {
                let at = chance.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << chance.below(8);
            }
        }
        _ => {}
    }
    bytes.into()
}

#[test]
fn random_frames_on_one_connection_never_harm_another() {
    let seeds = std::env::var("FLUMEN_HOSTILE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(8);
    for seed in 0..seeds {
        println!("seed {seed}");
        attack(1000 + seed, move |host, group| async move {
            let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
            let witness = Asker::connect(&host, 0).await;
            let own = witness.create("own", 1).await[0];
            let before = live::live_bytes();
            for round in 0..25_u64 {
                let mut raw = Raw::connect(&host).await;
                if chance.below(10) > 0 {
                    raw = Raw::greeted(&host, 0).await;
                }
                let mut all = BytesMut::new();
                for _ in 0..chance.below(40) {
                    all.put(hurt(&mut chance, group));
                }
                let sent = raw.send_within(all.freeze(), SECOND).await;
                let value = format!("round {round}");
                assert_eq!(witness.produce(own, &[&value]).await, Ok(Offset(round)), "seed {seed}");
                if sent && chance.below(2) == 0 {
                    // Some stay and read what they are told.
                    let _ = flumen_io::local::timeout(&host, SECOND, async {
                        while let Ok(Some(_)) = raw.frame().await {}
                    })
                    .await;
                }
            }
            assert_eq!(witness.read_all(own, 0).await.unwrap().len(), 25);
            let held = live::peak_bytes() - before;
            assert!(held < 32 << 20, "{held} bytes, seed {seed}");
        });
    }
}
