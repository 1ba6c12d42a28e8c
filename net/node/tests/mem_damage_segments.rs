//! Rot in stored segments, which no journal has any more: what is before it is served, the rest is refused until an
//! operator accepts the loss, and then exactly the damaged records are gone.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod common;

use common::*;
use flumen_io::Host;
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_model::limits::{CHUNK_BYTES, Limits};
use flumen_model::{Code, GroupId, Offset, PartitionNumber, Result};
use flumen_node::check::{Report, check};
use flumen_node::repair::accept_loss;
use flumen_wire::*;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc;

/// Records of `orders` in two sealed segments and the active one.
const ORDERS: u64 = 160;
const VALUE_BYTES: usize = 7_000;

fn order(number: u64) -> String {
    format!("{:<VALUE_BYTES$}", format!("order {number}."))
}

/// `orders` with one batch a record, stored and checkpointed: so much goes to `other` afterwards that the journal
/// has forgotten them.
fn filled() -> MemWorld {
    let world = MemWorld::new();
    run_node(
        &world,
        1,
        1,
        config(1),
        |machine| machine.poll_budget(50_000_000),
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let orders = asker.create("orders", 1).await[0];
            let other = asker.create("other", 1).await[0];
            for number in 0..ORDERS {
                assert_eq!(asker.produce(orders, &[&order(number)]).await, Ok(Offset(number)));
            }
            let filling = "x".repeat(1_000_000);
            for _ in 0..60 {
                asker.produce(other, &[&filling]).await.unwrap();
            }
        },
    );
    world
}

/// A stored segment of `orders`, oldest first: its file of batches and the offsets in it.
fn segments(world: &MemWorld) -> Vec<(PathBuf, Range<u64>)> {
    let mut found = Vec::new();
    for (path, size) in world.files() {
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        let bytes = if is_log { world.read_file(&path).unwrap() } else { Vec::new() };
        if bytes.windows(6).take(200).any(|window| window == b"order ") {
            let base: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            found.push((path, base, size / (VALUE_BYTES as u64 + 71)));
        }
    }
    found.sort_by_key(|&(_, base, _)| base);
    let end = |at: usize| found.get(at + 1).map_or(ORDERS, |next| next.1);
    (0..found.len()).map(|at| (found[at].0.clone(), found[at].1..end(at))).collect()
}

/// Flips a bit in the middle of a record; the offsets that touch its chunk.
fn rot(world: &MemWorld, number: u64) -> Range<u64> {
    let (path, offsets) = segments(world).into_iter().find(|(_, offsets)| offsets.contains(&number)).unwrap();
    let bytes = world.read_file(&path).unwrap();
    let place = |number: u64| {
        let needle = format!("order {number}.");
        bytes.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap()
    };
    let (first, second) = (place(offsets.start), place(offsets.start + 1));
    let batch_bytes = second - first;
    let at = place(number) + VALUE_BYTES / 2;
    world.corrupt(&path, at as u64, 0x40).unwrap();
    let chunk = at / CHUNK_BYTES * CHUNK_BYTES..(at / CHUNK_BYTES + 1) * CHUNK_BYTES;
    let touches = |number: &u64| {
        let start = (number - offsets.start) as usize * batch_bytes;
        start < chunk.end && start + batch_bytes > chunk.start
    };
    let hit: Vec<u64> = offsets.clone().filter(touches).collect();
    hit[0]..hit[hit.len() - 1] + 1
}

fn checked(world: &MemWorld) -> Report {
    let machine = MemMachine::new(world.clone(), 99).poll_budget(50_000_000);
    check(machine, "/data".into(), Limits::simulation()).expect("the directory is readable")
}

/// Every byte is whole and nobody is marked: `flumen check` exits with 0.
fn is_whole(report: &Report) -> bool {
    report.damage.is_empty() && report.partitions.iter().all(|partition| partition.damaged.is_none())
}

fn repair(world: &MemWorld, seed: u64) -> Result<Vec<(Offset, Offset)>> {
    let machine = MemMachine::new(world.clone(), seed).poll_budget(50_000_000);
    accept_loss(machine, "/data".into(), Limits::simulation(), "orders".into(), PartitionNumber(0))
}

/// A node with a client that knows the two groups, `orders` first.
fn run<F>(
    world: &MemWorld,
    seed: u64,
    client: impl FnOnce(MemHost, Rc<Asker>, GroupId, GroupId) -> F + Send + 'static,
) where
    F: Future<Output = ()> + 'static,
{
    run_node(
        world,
        seed,
        1,
        config(1),
        |machine| machine.poll_budget(50_000_000),
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let (orders, other) = (asker.groups("orders").await[0], asker.groups("other").await[0]);
            client(host, asker, orders, other).await;
        },
    );
}

async fn fetch(asker: &Asker, group: GroupId, offset: u64) -> Result<Vec<(u64, String)>> {
    let offset = Offset(offset);
    let request = FetchRequest { group, offset, bytes_max: 64 * 1024, wait_ms: 0, bytes_min: 0 };
    Ok(values_of(&asker.ask(&request).await?.batches))
}

/// Reads from an offset until an error; what was served, and where the error was met.
async fn read_up(asker: &Asker, group: GroupId) -> (Vec<(u64, String)>, Option<(u64, Code)>) {
    let mut served: Vec<(u64, String)> = Vec::new();
    loop {
        let next = served.last().map_or(0, |last| last.0 + 1);
        match fetch(asker, group, next).await {
            Ok(values) if values.is_empty() => return (served, None),
            Ok(values) => served.extend(values),
            Err(error) => return (served, Some((next, error.code))),
        }
    }
}

/// The records of `orders` from 0 to `end` without those of a range.
fn orders_without(lost: &Range<u64>, end: u64) -> Vec<(u64, String)> {
    (0..end).filter(|number| !lost.contains(number)).map(|number| (number, order(number))).collect()
}

#[test]
fn rot_in_a_stored_segment_makes_its_partition_read_only_up_to_it_until_the_loss_is_accepted() {
    let world = filled();
    assert!(is_whole(&checked(&world)));
    let lost = rot(&world, 30);
    let report = checked(&world);
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].owner, Some(("orders".into(), PartitionNumber(0))));
    assert_eq!(report.partitions[0].damaged.map(|damaged| damaged.from), Some(Offset(lost.start)));
    assert_eq!(report.partitions[0].lost, [(Offset(lost.start), Offset(lost.end))]);
    assert_eq!(report.partitions[1].damaged, None, "the other topic is unharmed");

    let hit = lost.clone();
    run(&world, 2, move |_, asker, orders, other| async move {
        assert_eq!(
            asker.produce(orders, &[&order(ORDERS)]).await,
            Ok(Offset(ORDERS)),
            "nobody has met it yet"
        );
        // A reader that comes from behind meets it first.
        assert_eq!(fetch(&asker, orders, hit.start + 2).await.unwrap_err().code, Code::Corrupt);
        let (served, at) = read_up(&asker, orders).await;
        assert_eq!(at, Some((hit.start, Code::Corrupt)), "a reader is told at the exact offset");
        assert_eq!(served, orders_without(&(0..0), hit.start));
        for beyond in [hit.end, ORDERS, ORDERS + 1] {
            let error = fetch(&asker, orders, beyond).await.unwrap_err();
            assert_eq!(error.code, Code::Corrupt, "not out of range: nobody is sent back to the start");
        }
        assert_eq!(asker.produce(orders, &["more"]).await.unwrap_err().code, Code::Corrupt);
        let trim = asker.ask(&TrimRequest { group: orders, before_offset: Offset(3) }).await;
        assert_eq!(trim.unwrap_err().code, Code::Corrupt, "nothing moves before its operator has decided");
        assert!(asker.produce(other, &["more"]).await.is_ok());
        let state = asker.ask(&DescribeRequest { groups: vec![orders] }).await.unwrap().groups[0].clone();
        assert_eq!((state.state, state.damaged_from), (GroupState::Damaged, Some(Offset(hit.start))));
    });
    // Twice: it is remembered, without a reader that meets it again.
    for seed in [3, 4] {
        let from = Offset(lost.start);
        run(&world, seed, move |_, asker, orders, other| async move {
            assert_eq!(asker.produce(orders, &["more"]).await.unwrap_err().code, Code::Corrupt);
            let state = asker.ask(&DescribeRequest { groups: vec![orders] }).await.unwrap().groups[0].clone();
            assert_eq!((state.state, state.damaged_from), (GroupState::Damaged, Some(from)));
            let (served, at) = read_up(&asker, orders).await;
            assert_eq!((served.len() as u64, at), (from.0, Some((from.0, Code::Corrupt))));
            assert!(asker.produce(other, &["more"]).await.is_ok());
        });
    }

    assert_eq!(repair(&world, 5), Ok(vec![(Offset(lost.start), Offset(lost.end))]));
    assert_eq!(repair(&world, 6).unwrap_err().code, Code::InvalidRequest, "there is nothing left to accept");
    assert!(is_whole(&checked(&world)));
    for seed in [7, 8] {
        let (lost, end) = (lost.clone(), ORDERS + seed - 6);
        run(&world, seed, move |_, asker, orders, _| async move {
            let (served, at) = read_up(&asker, orders).await;
            assert_eq!((served, at), (orders_without(&lost, end), None), "only the damaged records are gone");
            assert_eq!(asker.produce(orders, &[&order(end)]).await, Ok(Offset(end)));
            let of = OffsetOf::Time(flumen_model::UnixMillis(1_000));
            let found = asker.ask(&ListOffsetsRequest { group: orders, of }).await.unwrap();
            assert_eq!(found.offset, Some(Offset(0)));
        });
    }
    assert!(is_whole(&checked(&world)));
}

#[test]
fn a_repair_needs_no_reader_that_met_the_rot_before() {
    let world = filled();
    let lost = rot(&world, 100);
    assert_eq!(repair(&world, 2), Ok(vec![(Offset(lost.start), Offset(lost.end))]));
    assert!(is_whole(&checked(&world)));
    run(&world, 3, move |_, asker, orders, _| async move {
        assert_eq!(read_up(&asker, orders).await, (orders_without(&lost, ORDERS), None));
    });
}

#[test]
fn rot_in_the_index_costs_no_record() {
    let world = filled();
    let index = segments(&world)[0].0.with_extension("idx");
    for (seed, position, by_reader) in [(2, 9, false), (3, 4096 + 70, false), (4, 4096 + 70, true)] {
        world.corrupt(&index, position, 2).unwrap();
        let report = checked(&world);
        assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
        assert_eq!((&report.damage[0].file, report.partitions[0].damaged), (&index, None));
        if !by_reader {
            assert_eq!(repair(&world, seed), Ok(vec![]), "no record is lost");
            assert!(is_whole(&checked(&world)));
        }
        run(&world, seed + 10, move |_, asker, orders, _| async move {
            assert_eq!(read_up(&asker, orders).await, (orders_without(&(0..0), ORDERS), None));
        });
        assert!(is_whole(&checked(&world)), "a reader makes it anew too");
    }
}

#[test]
fn rot_in_the_last_segment_costs_its_chunk_and_the_log_goes_on_at_its_end() {
    let world = filled();
    let lost = rot(&world, ORDERS - 2);
    let hit = lost.clone();
    run(&world, 2, move |_, asker, orders, _| async move {
        let (served, at) = read_up(&asker, orders).await;
        assert_eq!((served.len() as u64, at), (hit.start, Some((hit.start, Code::Corrupt))));
    });
    let given_up = repair(&world, 3).unwrap();
    assert_eq!((given_up.len(), given_up[0].0), (1, Offset(lost.start)));
    let lost = lost.start..given_up[0].1.0;
    assert!(lost.end == ORDERS && is_whole(&checked(&world)));
    run(&world, 4, move |host, asker, orders, _| async move {
        assert_eq!(read_up(&asker, orders).await, (orders_without(&lost, ORDERS), None));
        // A subscriber in the lost end waits there, and goes on with what comes.
        let subscriber = Asker::connect(&host, 0).await;
        let offset = Offset(lost.start + 1);
        let request = SubscribeRequest { group: orders, handle: 9, offset, credit_bytes: 20_000 };
        subscriber.ask(&request).await.unwrap();
        host.sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(fetch(&asker, orders, lost.start + 1).await, Ok(vec![]));
        assert_eq!(asker.produce(orders, &[&order(ORDERS)]).await, Ok(Offset(ORDERS)), "at the old end");
        assert_eq!(fetch(&asker, orders, lost.start + 1).await, Ok(vec![(ORDERS, order(ORDERS))]));
        let pushes = subscriber.take_pushes().await;
        let pushed = values_of(&Push::get(&pushes[0].1).unwrap().batches);
        assert_eq!((pushes.len(), pushed), (1, vec![(ORDERS, order(ORDERS))]));
    });
}

/// A run in which a reader meets rot at an offset while a producer has much in flight, killed after so many polls.
/// The records that were acked, with their offsets; and whether the reader got as far.
fn killed_while_found(world: &MemWorld, seed: u64, from: u64, polls: u64) -> (BTreeSet<(u64, String)>, bool) {
    let (acked, hear) = mpsc::channel();
    let (met, heard) = mpsc::channel();
    let client = move |host: MemHost| async move {
        let asker = Asker::connect(&host, 0).await;
        let orders = asker.groups("orders").await[0];
        let producer = Asker::connect(&host, 0).await;
        let value = move |number: u32| format!("late {seed} {number}");
        for number in 1..200 {
            let batch = batch(&[&value(number)]);
            let request = ProduceRequest { group: orders, acks: Acks::Quorum, batch };
            let mut out = bytes::BytesMut::new();
            encode_request(1_000 + number, &request, &mut out).unwrap();
            producer.send(out.freeze()).await;
        }
        let replies = host.spawn(async move {
            while let Some((correlation, body)) = producer.reply().await {
                if let Ok(reply) = decode_reply::<ProduceRequest>(&body) {
                    acked.send((reply.base_offset.0, value(correlation - 1_000))).unwrap();
                }
            }
        });
        assert_eq!(fetch(&asker, orders, from).await.unwrap_err().code, Code::Corrupt);
        met.send(()).unwrap();
        replies.await;
        std::future::pending::<()>().await;
    };
    run_node(world, seed, 1, config(1), |machine| machine.stop_after_polls(polls), client);
    world.crash(seed);
    (hear.try_iter().collect(), heard.try_iter().next().is_some())
}

#[test]
fn what_is_acked_while_the_rot_is_found_is_there_after_kills_and_a_repair() {
    let world = filled();
    let (mut acked, mut given_up) = (BTreeSet::new(), Vec::new());
    let (mut met, mut met_and_acked) = (0, 0);
    for round in 0..8 {
        let number = 5 + 13 * round;
        rot(&world, number);
        let (new, has_met) = killed_while_found(&world, round + 2, number, 640 + 30 * round);
        met += u64::from(has_met);
        met_and_acked += u64::from(has_met && !new.is_empty());
        acked.extend(new);
        given_up.extend(repair(&world, round + 200).unwrap());
        let (say, hear) = mpsc::channel();
        run(&world, round + 100, move |_, asker, orders, _| async move {
            let (served, at) = read_up(&asker, orders).await;
            assert_eq!(at, None);
            say.send(served).unwrap();
        });
        let served: BTreeSet<(u64, String)> = hear.recv().unwrap().into_iter().collect();
        assert!(acked.is_subset(&served), "{:?}", acked.difference(&served).collect::<Vec<_>>());
        let is_lost = |offset| given_up.iter().any(|(from, to)| (from.0..to.0).contains(&offset));
        assert!(served.iter().all(|(offset, _)| !is_lost(*offset)));
    }
    assert!(met > 3 && met_and_acked > 3, "{met} {met_and_acked}");
}

#[test]
fn a_mark_without_damage_is_cleared_by_a_repair_that_gives_nothing_up() {
    let world = filled();
    let before: Vec<_> = segments(&world).iter().map(|(path, _)| world.read_file(path).unwrap()).collect();
    rot(&world, 10);
    run(&world, 2, move |_, asker, orders, _| async move {
        assert!(read_up(&asker, orders).await.1.is_some());
    });
    // The same bit again: the file was restored from a copy.
    rot(&world, 10);
    let after: Vec<_> = segments(&world).iter().map(|(path, _)| world.read_file(path).unwrap()).collect();
    assert!(before == after);
    let report = checked(&world);
    assert!(report.partitions[0].damaged.is_some(), "it is still marked");
    assert!(report.damage.len() == 1 && report.damage[0].what.contains("marked it"), "{:?}", report.damage);
    assert_eq!(repair(&world, 3), Ok(vec![]));
    assert!(is_whole(&checked(&world)));
    run(&world, 4, move |_, asker, orders, _| async move {
        assert_eq!(read_up(&asker, orders).await, (orders_without(&(0..0), ORDERS), None));
        assert!(asker.produce(orders, &["more"]).await.is_ok());
    });
}
