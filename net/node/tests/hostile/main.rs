//! What a stranger may send: it costs bounded memory and is answered with what is wrong, and everybody else is
//! served as if nothing had happened. Nothing here is polite, except the witness.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/live.rs"]
mod live;

mod batches;
mod crowds;
mod strangers;

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
