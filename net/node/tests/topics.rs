//! What a topic's settings and the node's limits promise, on a whole node: durability in memory, settings changed
//! while it runs, lookups by time, thousands of empty partitions, one node a directory.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod common;

use bytes::Bytes;
use common::raw::request;
use common::*;
use flumen_io::Host;
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_model::batch::{BatchBuilder, Batches, Compression};
use flumen_model::limits::Limits;
use flumen_model::{Code, GroupId, Offset, UnixMillis};
use flumen_node::{Handle, Main, NodeConfig, mains};
use flumen_wire::*;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

async fn create(asker: &Asker, name: &str, settings: &[(&str, &str)]) -> GroupId {
    let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    asker.ask(&CreateTopicRequest { name: name.into(), partitions: 1, settings }).await.unwrap();
    asker.groups(name).await[0]
}

async fn alter(asker: &Asker, name: &str, key: &str, value: &str) {
    let settings = vec![(key.to_string(), value.to_string())];
    asker.ask(&AlterTopicRequest { name: name.into(), settings }).await.unwrap();
}

fn batch_at(times: &[i64], value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20, Compression::None).unwrap();
    for time in times {
        builder.append(UnixMillis(*time), None, Some(&vec![b'v'; value_bytes]), &[]).unwrap();
    }
    builder.finish()
}

async fn append(asker: &Asker, group: GroupId, batch: Bytes) -> ProduceReply {
    asker.ask(&ProduceRequest { group, acks: Acks::Quorum, batch }).await.unwrap()
}

#[derive(Clone, Default)]
struct Told {
    group: Option<GroupId>,
    acked_leader: Vec<(u64, String)>,
    acked_memory: usize,
    read: Vec<(u64, String)>,
    sent: u64,
}

#[test]
fn memory_durability_loses_at_most_unread_memory_acks_and_leader_acks_stay() {
    let (mut lost, mut survived) = (0, 0);
    for seed in 0..12_u64 {
        let world = MemWorld::new();
        let told: Arc<Mutex<Told>> = Arc::default();
        let log = told.clone();
        let polls = 900 + seed * 53 % 700;
        run_node(
            &world,
            seed,
            1,
            config(1),
            |machine| machine.stop_after_polls(polls),
            |host| async move {
                let asker = Asker::connect(&host, 0).await;
                let group =
                    create(&asker, "memory", &[("durability", "quorum-memory"), ("retention.ms", "-1")])
                        .await;
                let reader = Asker::connect(&host, 0).await;
                log.lock().unwrap().group = Some(group);
                reader
                    .ask(&SubscribeRequest { group, handle: 1, offset: Offset(0), credit_bytes: 1 << 20 })
                    .await
                    .unwrap();
                let seen = log.clone();
                drop(host.spawn(async move {
                    loop {
                        for (_, body) in reader.take_pushes().await {
                            seen.lock().unwrap().read.extend(values_of(&Push::get(&body).unwrap().batches));
                        }
                    }
                }));
                for number in 0.. {
                    let value = format!("value {number}");
                    log.lock().unwrap().sent = number + 1;
                    let acks = if number % 3 == 0 { Acks::Leader } else { Acks::Quorum };
                    let reply =
                        asker.ask(&ProduceRequest { group, acks, batch: batch(&[&value]) }).await.unwrap();
                    assert_eq!(reply.base_offset, Offset(number));
                    let told = &mut *log.lock().unwrap();
                    match acks {
                        Acks::Leader => told.acked_leader.push((number, value)),
                        _ => told.acked_memory += 1,
                    }
                }
            },
        );
        world.crash(seed);
        let expected = told.clone();
        let counted = Arc::new(Mutex::new(0));
        let count = counted.clone();
        run_node(
            &world,
            seed,
            1,
            config(1),
            |machine| machine,
            move |host| async move {
                let told = expected.lock().unwrap().clone();
                let Some(group) = told.group else { return };
                let asker = Asker::connect(&host, 0).await;
                let read = asker.read_all(group, 0).await.unwrap();
                for (number, (offset, value)) in read.iter().enumerate() {
                    assert_eq!((*offset, value), (number as u64, &format!("value {number}")), "seed {seed}");
                }
                assert!(read.len() as u64 <= told.sent, "nothing appears that nobody sent");
                for (offset, value) in told.read.iter().chain(&told.acked_leader) {
                    assert_eq!(
                        read.get(*offset as usize),
                        Some(&(*offset, value.clone())),
                        "seed {seed}: what was read, or acked as stable, stays"
                    );
                }
                *count.lock().unwrap() = read.len();
            },
        );
        let told = told.lock().unwrap();
        let acked = told.acked_leader.len() + told.acked_memory;
        lost += acked.saturating_sub(*counted.lock().unwrap());
        survived += told.acked_leader.len();
    }
    assert!(lost > 0, "no ack came before its record was durable: nothing was tested");
    assert!(survived > 0);
}

#[test]
fn settings_changed_while_the_node_runs_hold_for_the_next_batch() {
    run_node(
        &MemWorld::new(),
        1,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = create(&asker, "t", &[("retention.ms", "-1")]).await;
            append(&asker, group, batch_at(&[1], 3_000)).await;
            alter(&asker, "t", "max.message.bytes", "2000").await;
            let big = ProduceRequest { group, acks: Acks::Quorum, batch: batch_at(&[1], 3_000) };
            let refused = asker.ask(&big).await.unwrap_err();
            assert_eq!(refused.code, Code::BatchTooLarge);
            assert!(refused.message.contains("2000"), "{refused}");
            alter(&asker, "t", "max.message.bytes", "").await;
            asker.ask(&big).await.unwrap();

            alter(&asker, "t", "message.timestamp.type", "LogAppendTime").await;
            let stamped = append(&asker, group, batch_at(&[1, 2, 3], 10)).await;
            let now = stamped.append_time.expect("the topic stamps");
            assert!((now.0 - host.wall_ms()).abs() < 1_000);
            let fetch =
                FetchRequest { group, offset: stamped.base_offset, bytes_max: 1, wait_ms: 0, bytes_min: 0 };
            let reply = asker.ask(&fetch).await.unwrap();
            let view = Batches::new(&reply.batches).next().unwrap();
            view.check_crc().unwrap();
            assert!(view.is_append_time());
            assert_eq!(view.max_timestamp(), now);
            for record in flumen_model::records::Records::new(&view, view.payload()) {
                assert_eq!(record.unwrap().timestamp, now);
            }
            alter(&asker, "t", "message.timestamp.type", "CreateTime").await;
            assert_eq!(append(&asker, group, batch_at(&[7], 10)).await.append_time, None);

            for (key, value) in [
                ("max.message.bytes", "0"),
                ("no.such", "1"),
                ("durability", "maybe"),
                ("retention.ms", "-2"),
            ] {
                let settings =
                    vec![("segment.ms".to_string(), "5".to_string()), (key.to_string(), value.to_string())];
                let error = asker.ask(&AlterTopicRequest { name: "t".into(), settings }).await.unwrap_err();
                assert_eq!(error.code, Code::InvalidSetting, "{key}: {error}");
            }
            let topic =
                asker.ask(&MetadataRequest { topics: vec!["t".into()] }).await.unwrap().topics.remove(0);
            assert!(
                topic.settings.iter().all(|(key, _)| key != "segment.ms"),
                "all changes are made or none"
            );
        },
    );
}

#[test]
fn retention_set_later_deletes_whole_segments_and_their_files() {
    let world = MemWorld::new();
    run_node(
        &world,
        2,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = create(&asker, "t", &[("retention.ms", "-1"), ("segment.bytes", "262144")]).await;
            for _ in 0..60 {
                append(&asker, group, batch_at(&[1], 30_000)).await;
            }
            host.sleep(10 * SECOND).await;
            assert_eq!(
                asker.ask(&DescribeRequest { groups: vec![group] }).await.unwrap().groups[0].log_start,
                Offset(0)
            );
            alter(&asker, "t", "retention.bytes", "600000").await;
            host.sleep(10 * SECOND).await;
            let state = asker.ask(&DescribeRequest { groups: vec![group] }).await.unwrap().groups[0].clone();
            assert!(state.log_start > Offset(25) && state.log_start < Offset(50), "{state:?}");
            assert_eq!(state.high_watermark, Offset(60));
            let early = FetchRequest { group, offset: Offset(0), bytes_max: 1, wait_ms: 0, bytes_min: 0 };
            assert_eq!(asker.ask(&early).await.unwrap_err().code, Code::OffsetOutOfRange);
            let commit = TrimRequest { group, before_offset: Offset(60) };
            assert_eq!(asker.ask(&commit).await.unwrap().log_start, Offset(60));
            let over = TrimRequest { group, before_offset: Offset(61) };
            assert_eq!(asker.ask(&over).await.unwrap_err().code, Code::OffsetOutOfRange);
            host.sleep(10 * SECOND).await;
        },
    );
    let stored: u64 = world
        .files()
        .iter()
        .filter(|(path, _)| path.to_string_lossy().contains("/t/"))
        .map(|(_, bytes)| bytes)
        .sum();
    assert!(stored < 300_000, "{stored} bytes of a topic that is empty");
}

#[test]
fn of_two_trims_at_once_the_further_holds_whichever_commits_last() {
    // Which of them comes first, and whether both come before either has committed, is the seed's.
    for seed in 0..10 {
        run_node(
            &MemWorld::new(),
            seed,
            1,
            config(1),
            |machine| machine,
            move |host| async move {
                let (asker, other) = (Asker::connect(&host, 0).await, Asker::connect(&host, 0).await);
                let group = create(&asker, "t", &[]).await;
                for _ in 0..9 {
                    append(&asker, group, batch_at(&[1], 30_000)).await;
                }
                let trim = |before| TrimRequest { group, before_offset: Offset(before) };
                asker.send(raw::request(70, &trim(7))).await;
                other.send(raw::request(30, &trim(3))).await;
                asker.reply().await.unwrap();
                other.reply().await.unwrap();
                let state =
                    asker.ask(&DescribeRequest { groups: vec![group] }).await.unwrap().groups[0].clone();
                assert_eq!(state.log_start, Offset(7), "seed {seed}");
            },
        );
    }
}

#[test]
fn a_trim_while_the_disk_is_read_ends_no_subscription_that_is_beyond_it() {
    const BATCHES: u64 = 60;
    let world = MemWorld::new();
    run_node(
        &world,
        1,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = create(&asker, "t", &[]).await;
            for _ in 0..BATCHES {
                append(&asker, group, batch_at(&[1], 30_000)).await;
            }
        },
    );
    // Nothing is in memory now.
    run_node(
        &world,
        2,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let (asker, other) = (Asker::connect(&host, 0).await, Asker::connect(&host, 0).await);
            let group = asker.groups("t").await[0];
            let subscribe = SubscribeRequest { group, offset: Offset(0), credit_bytes: 1 << 20, handle: 1 };
            asker.ask(&subscribe).await.unwrap();
            let mut next = 0;
            while next < BATCHES {
                let first = next == 0;
                // An end of the subscription is no push, and fails here.
                for (_, body) in asker.take_pushes().await {
                    let batches = Push::get(&body).unwrap().batches;
                    next = Batches::new(&batches).last().unwrap().next_offset().0;
                    let credit = CreditRequest { handle: 1, credit_bytes: batches.len() as u32 };
                    asker.send(request(0, &credit)).await;
                }
                if first {
                    // The read goes on behind what has come, held up by a client that does not take it.
                    let trim = TrimRequest { group, before_offset: Offset(next) };
                    assert_eq!(other.ask(&trim).await.unwrap().log_start, Offset(next));
                }
            }
        },
    );
}

#[test]
fn a_time_finds_its_first_record_in_memory_on_disk_and_after_a_restart() {
    let world = MemWorld::new();
    let look_up = |asker: Rc<Asker>, group: GroupId| async move {
        let find = async |of| {
            let reply = asker.ask(&ListOffsetsRequest { group, of }).await.unwrap();
            (reply.offset.map(|offset| offset.0), reply.timestamp.map(|time| time.0))
        };
        assert_eq!(find(OffsetOf::Earliest).await.0, Some(0));
        assert_eq!(find(OffsetOf::Latest).await.0, Some(180));
        // Batch n has the times 1000 n + 10, 20 and 30.
        for number in [0, 1, 7, 30, 58, 59] {
            for (record, time) in [(0, 10), (1, 20), (2, 30)] {
                let exact = find(OffsetOf::Time(UnixMillis(1000 * number + time))).await;
                assert_eq!(exact, (Some((3 * number + record) as u64), Some(1000 * number + time)));
                let before = find(OffsetOf::Time(UnixMillis(1000 * number + time - 3))).await;
                assert_eq!(before, exact);
            }
        }
        assert_eq!(find(OffsetOf::MaxTimestamp).await, (Some(179), Some(59_030)));
        assert_eq!(find(OffsetOf::Time(UnixMillis(59_031))).await, (None, None));
        assert_eq!(find(OffsetOf::Time(UnixMillis(i64::MAX))).await, (None, None));
    };
    run_node(
        &world,
        3,
        1,
        config(1),
        |machine| machine,
        move |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = create(&asker, "t", &[("retention.ms", "-1"), ("segment.bytes", "262144")]).await;
            let none = asker.ask(&ListOffsetsRequest { group, of: OffsetOf::MaxTimestamp }).await.unwrap();
            assert_eq!((none.offset, none.timestamp), (None, None));
            for number in 0..60 {
                append(&asker, group, batch_at(&[10, 20, 30].map(|time| 1000 * number + time), 10_000)).await;
            }
            look_up(asker, group).await;
        },
    );
    run_node(
        &world,
        4,
        1,
        config(1),
        |machine| machine,
        move |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = asker.groups("t").await[0];
            look_up(asker, group).await;
        },
    );
}

#[test]
fn a_waiting_fetch_is_answered_by_enough_bytes_or_its_time() {
    run_node(
        &MemWorld::new(),
        5,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let (asker, producer) = (Asker::connect(&host, 0).await, Asker::connect(&host, 0).await);
            let group = create(&asker, "t", &[("retention.ms", "-1")]).await;
            let one = batch(&["v"]).len() as u32;
            let began = host.now();
            let fetch = FetchRequest {
                group,
                offset: Offset(0),
                bytes_max: 10_000,
                wait_ms: 5_000,
                bytes_min: 3 * one,
            };
            asker.send(request(1, &fetch)).await;
            for _ in 0..3 {
                host.sleep(SECOND).await;
                producer.produce(group, &["v"]).await.unwrap();
            }
            let (_, body) = asker.reply().await.unwrap();
            assert_eq!(values_of(&decode_reply::<FetchRequest>(&body).unwrap().batches).len(), 3);
            let took = host.now().since(began);
            assert!(took >= 3 * SECOND && took < 4 * SECOND, "{took:?}");
            let began = host.now();
            let late = asker.ask(&FetchRequest { bytes_min: 9_000, ..fetch }).await.unwrap();
            assert_eq!(values_of(&late.batches).len(), 3, "the end of the time brings what there is");
            assert!(host.now().since(began) >= 5 * SECOND);
        },
    );
}

#[test]
fn thousands_of_empty_partitions_cost_no_file_and_one_more_than_the_limit_is_refused() {
    const MAX: usize = 2_000;
    let limits = Limits { partitions_per_shard_max: MAX, ..Limits::simulation() };
    let roomy = NodeConfig { limits, ..config(1) };
    let world = MemWorld::new();
    run_node(
        &world,
        6,
        1,
        roomy.clone(),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            assert_eq!(asker.create("many", MAX as u32 - 1).await.len(), MAX - 1);
            asker.create("one", 1).await;
            let more = CreateTopicRequest { name: "more".into(), partitions: 1, settings: vec![] };
            let refused = asker.ask(&more).await.unwrap_err();
            assert_eq!(refused.code, Code::LimitReached);
            assert!(refused.message.contains("2000"), "the limit is named: {refused}");
            asker.ask(&DeleteTopicRequest { name: "one".into() }).await.unwrap();
            host.sleep(SECOND).await;
            asker.ask(&more).await.unwrap();
        },
    );
    run_node(
        &world,
        7,
        1,
        roomy,
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let groups = asker.groups("many").await;
            assert_eq!(groups.len(), MAX - 1);
            assert_eq!(asker.produce(groups[MAX / 2], &["first"]).await, Ok(Offset(0)));
            host.sleep(20 * SECOND).await;
            let described = asker.ask(&DescribeRequest { groups: groups.clone() }).await.unwrap().groups;
            assert!(described.iter().all(|one| one.error.is_none()));
        },
    );
    let files: Vec<_> =
        world.files().into_iter().filter(|(path, _)| path.to_string_lossy().contains("/t/")).collect();
    assert!(files.len() <= 2, "empty partitions have files: {files:?}");
}

#[test]
fn a_second_node_on_a_directory_is_refused_and_the_first_goes_on() {
    let world = MemWorld::new();
    let mut machine = MemMachine::new(world.clone(), 8).poll_budget(5_000_000);
    let (first, second) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let (handle, other) = (Arc::new(Handle::new(1)), Arc::new(Handle::new(1)));
    let mut all: Vec<Main<MemHost>> = mains(&mut machine, 1, config(1), first.clone(), handle.clone());
    let elsewhere = NodeConfig { native: "127.0.0.1:9700".parse().unwrap(), ..config(1) };
    let late = mains(&mut machine, 1, elsewhere, second.clone(), other).remove(0);
    let (eyes, refused) = (first.clone(), second.clone());
    all.push(Box::new(move |host: MemHost| {
        Box::pin(async move {
            while eyes.ready.get().is_none() {
                host.sleep(Duration::from_millis(1)).await;
            }
            late(host.clone()).await;
            let error = refused.failed.get().expect("the second node is refused");
            assert_eq!(error.code, Code::Busy);
            assert!(error.message.contains("another node runs on /data"), "{error}");
            let asker = Asker::connect(&host, 0).await;
            let group = asker.create("t", 1).await[0];
            assert_eq!(asker.produce(group, &["still alone"]).await, Ok(Offset(0)));
            handle.stop();
        })
    }));
    flumen_io::Machine::run(machine, all).unwrap();
    assert_eq!(first.failed.get(), None);
    assert!(second.ready.get().is_none());
    // Stopped, it gives the directory back.
    let again = run_node(
        &world,
        9,
        1,
        NodeConfig { data: PathBuf::from("/data"), ..config(1) },
        |machine| machine,
        |_| async {},
    );
    assert_eq!(again.failed.get(), None);
}
