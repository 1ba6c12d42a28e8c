//! A whole node on the simulated machine: what a client sees of it, across clean stops and kills.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod common;

use common::*;
use flumen_io::Host;
use flumen_io::mem::MemWorld;
use flumen_model::{Code, Offset};
use flumen_wire::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn records_come_back_as_they_went_in_on_one_core_and_on_two() {
    for (cores, shards) in [(1, 1), (1, 2), (2, 2)] {
        let world = MemWorld::new();
        run_node(
            &world,
            7,
            cores,
            config(shards),
            |machine| machine,
            |host| async move {
                let control = Asker::connect(&host, 0).await;
                let groups = control.create("orders", 4).await;
                assert_eq!(groups.len(), 4);
                let topics = control.ask(&MetadataRequest { topics: Vec::new() }).await.unwrap().topics;
                for (number, partition) in topics[0].partitions.iter().enumerate() {
                    let owner = Asker::connect(&host, partition.shard.0).await;
                    let first = format!("first of {number}");
                    assert_eq!(owner.produce(partition.group, &[&first, "second"]).await, Ok(Offset(0)));
                    assert_eq!(owner.produce(partition.group, &["third"]).await, Ok(Offset(2)));
                    let read = owner.read_all(partition.group, 0).await.unwrap();
                    let expected = [(0, first), (1, "second".into()), (2, "third".into())];
                    assert_eq!(read, expected);
                }
            },
        );
    }
}

#[test]
fn a_request_for_another_shard_names_the_owner() {
    run_node(
        &MemWorld::new(),
        1,
        1,
        config(2),
        |machine| machine,
        |host| async move {
            let control = Asker::connect(&host, 0).await;
            let groups = control.create("orders", 2).await;
            let other = Asker::connect(&host, 1).await;
            let results = [other.produce(groups[0], &["a"]).await, other.produce(groups[1], &["a"]).await];
            let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
            assert_eq!(refused.len(), 1);
            assert_eq!(refused[0].code, Code::WrongShard);
            assert!(refused[0].message.contains("shard 0"), "{}", refused[0].message);
            let error =
                other.ask(&CreateTopicRequest { name: "x".into(), partitions: 1, settings: vec![] }).await;
            assert_eq!(error.unwrap_err().code, Code::WrongShard);
        },
    );
}

#[test]
fn acked_records_survive_a_kill_at_any_moment_and_nothing_else_appears() {
    for seed in 0..8 {
        let world = MemWorld::new();
        let acked: Arc<Mutex<Vec<(u64, String)>>> = Arc::default();
        for round in 0..3_u64 {
            let log = acked.clone();
            let client = move |host: MemHost| async move {
                let asker = Asker::connect(&host, 0).await;
                let group = match asker.groups("orders").await.first() {
                    Some(group) => *group,
                    None => asker.create("orders", 1).await[0],
                };
                let read = asker.read_all(group, 0).await.unwrap();
                check_prefix(&log.lock().unwrap(), &read);
                for number in 0..200 {
                    let value = format!("{round}/{number}");
                    let offset = asker.produce(group, &[&value]).await.unwrap();
                    log.lock().unwrap().push((offset.0, value));
                }
            };
            // Later rounds are killed later, so that recovery itself is hit as well.
            let polls = 300 + (seed * 977 + round * 1_301) % 3_000;
            run_node(
                &world,
                seed * 31 + round,
                1,
                config(1),
                |machine| machine.stop_after_polls(polls),
                client,
            );
            world.crash(seed * 17 + round);
        }
        let log = acked.clone();
        run_node(
            &world,
            seed,
            1,
            config(1),
            |machine| machine,
            move |host| async move {
                let asker = Asker::connect(&host, 0).await;
                if let Some(group) = asker.groups("orders").await.first() {
                    let read = asker.read_all(*group, 0).await.unwrap();
                    check_prefix(&log.lock().unwrap(), &read);
                } else {
                    assert!(log.lock().unwrap().is_empty(), "a topic with acked records is gone");
                }
            },
        );
    }
}

/// Every acked record is there at its offset; offsets are dense; what else is there was sent.
fn check_prefix(acked: &[(u64, String)], read: &[(u64, String)]) {
    for (at, (offset, _)) in read.iter().enumerate() {
        assert_eq!(*offset, at as u64, "offsets are dense");
    }
    for (offset, value) in acked {
        assert_eq!(read.get(*offset as usize), Some(&(*offset, value.clone())), "an acked record is there");
    }
}

#[test]
fn push_brings_every_record_in_order_within_its_credit() {
    run_node(
        &MemWorld::new(),
        3,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let producer = Asker::connect(&host, 0).await;
            let group = producer.create("orders", 1).await[0];
            for number in 0..50 {
                producer.produce(group, &[&format!("early {number}")]).await.unwrap();
            }
            let subscriber = Asker::connect(&host, 0).await;
            let request = SubscribeRequest { group, handle: 9, offset: Offset(10), credit_bytes: 500 };
            let reply = subscriber.ask(&request).await.unwrap();
            assert_eq!((reply.offset, reply.high_watermark), (Offset(10), Offset(50)));
            let mut got: Vec<(u64, String)> = Vec::new();
            let mut unpaid = 0;
            while got.len() < 140 {
                if got.len() == 40 {
                    for number in 0..100 {
                        producer.produce(group, &[&format!("late {number}")]).await.unwrap();
                    }
                }
                for (handle, body) in subscriber.take_pushes().await {
                    assert_eq!(handle, 9);
                    let push = Push::get(&body).unwrap();
                    unpaid += push.batches.len();
                    assert!(unpaid <= 500 + 100, "credit holds but for one batch: {unpaid}");
                    got.extend(values_of(&push.batches));
                }
                let mut out = bytes::BytesMut::new();
                let credit = CreditRequest { handle: 9, credit_bytes: unpaid as u32 };
                encode_request(0, &credit, &mut out).unwrap();
                unpaid = 0;
                subscriber.send(out.freeze()).await;
            }
            let offsets: Vec<u64> = got.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(offsets, (10..150).collect::<Vec<_>>());
            assert_eq!(got[40].1, "late 0");
        },
    );
}

#[test]
fn a_deleted_topic_is_gone_and_its_successor_starts_empty() {
    let world = MemWorld::new();
    run_node(
        &world,
        5,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let old = asker.create("orders", 2).await;
            asker.produce(old[0], &["old"]).await.unwrap();
            asker.ask(&DeleteTopicRequest { name: "orders".into() }).await.unwrap();
            assert_eq!(asker.produce(old[0], &["late"]).await.unwrap_err().code, Code::UnknownTopic);
            let new = asker.create("orders", 2).await;
            assert!(new.iter().all(|group| !old.contains(group)), "group ids are never used again");
            assert_eq!(asker.read_all(new[0], 0).await.unwrap(), []);
            host.sleep(Duration::from_millis(200)).await;
        },
    );
    run_node(
        &world,
        6,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let groups = asker.groups("orders").await;
            assert_eq!(groups.len(), 2);
            assert_eq!(asker.read_all(groups[0], 0).await.unwrap(), []);
        },
    );
}
