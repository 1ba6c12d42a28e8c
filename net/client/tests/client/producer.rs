//! The producer's core against a node made of values: nothing is lost, doubled or reordered, whatever breaks.

use crate::node::Node;
use crate::world::{Dice, Weather, World};
use flumen_client::ProducerSettings;
use flumen_client::core::producer::{Done, ProducerEngine, RecordRef};
use flumen_client::core::session::Engine;
use flumen_client::model::batch::{BatchView, Compression};
use flumen_client::model::{Code, Error, Offset, PartitionNumber, UnixMillis};
use flumen_client::wire::Acks;
use flumen_client::{RecordMetadata, Settings};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

type Fates = BTreeMap<u64, Result<RecordMetadata, Error>>;

fn world(settings: ProducerSettings, node: Node, seed: u64) -> World<ProducerEngine> {
    let engine = ProducerEngine::new(Settings { seed, ..Settings::default() }, settings).unwrap();
    World::new(engine, node, seed)
}

fn send(world: &mut World<ProducerEngine>, topic: &str, partition: u32, tag: u64) {
    let value = tag.to_string();
    let record = RecordRef {
        topic,
        partition: Some(PartitionNumber(partition)),
        timestamp: UnixMillis(1000),
        key: None,
        value: Some(value.as_bytes()),
        headers: &[],
    };
    let now = world.now;
    world.engine.send(&record, tag, now);
}

fn collect(world: &mut World<ProducerEngine>, fates: &mut Fates) {
    while let Some(done) = world.engine.next_done() {
        if let Done::Record { tag, result } = done {
            assert!(fates.insert(tag, result).is_none(), "record {tag} has two fates");
        }
    }
}

fn run(world: &mut World<ProducerEngine>, count: usize) -> Fates {
    let mut fates = Fates::new();
    world.until(|world| {
        collect(world, &mut fates);
        fates.len() == count
    });
    fates
}

/// Every record that was acked lies where its ack says; no record lies twice; all lie in the order of sending.
fn check_log(world: &World<ProducerEngine>, partitions: usize, fates: &Fates) {
    let mut found = BTreeMap::new();
    for partition in 0..partitions {
        let values = world.node.values("t", partition);
        let tags: Vec<u64> = values.iter().map(|(_, value)| value.parse().unwrap()).collect();
        assert!(
            tags.is_sorted_by(|a, b| a < b),
            "partition {partition} is out of order or doubled: {tags:?}"
        );
        found.extend(values.iter().zip(tags).map(|((offset, _), tag)| (tag, (partition as u32, *offset))));
    }
    for (tag, fate) in fates {
        if let Ok(metadata) = fate {
            let place = (metadata.partition.0, metadata.offset.unwrap().0);
            assert_eq!(found.get(tag), Some(&place), "record {tag} is acked and not there");
        }
    }
}

#[test]
fn a_record_is_acked_with_its_offset() {
    let mut world = world(ProducerSettings::default(), Node::new(2).with_topic("t", 2), 1);
    (0..10).for_each(|tag| send(&mut world, "t", (tag % 2) as u32, tag));
    let fates = run(&mut world, 10);
    assert!(fates.values().all(Result::is_ok));
    check_log(&world, 2, &fates);
}

#[test]
fn batches_fill_while_as_many_as_may_be_are_in_flight() {
    let mut world = world(ProducerSettings::default(), Node::new(1).with_topic("t", 1), 1);
    (0..1000).for_each(|tag| send(&mut world, "t", 0, tag));
    let fates = run(&mut world, 1000);
    check_log(&world, 1, &fates);
    assert!(world.node.group("t", 0).batches.len() <= 2);
}

#[test]
fn a_lingering_batch_waits_for_others_and_no_longer() {
    let settings = ProducerSettings { linger: Duration::from_millis(50), ..ProducerSettings::default() };
    let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    run(&mut world, 1);
    let start = world.now;
    send(&mut world, "t", 0, 1);
    (0..20).for_each(|_| world.round());
    send(&mut world, "t", 0, 2);
    run(&mut world, 2);
    let took = start.until(world.now);
    assert!(took >= Duration::from_millis(50) && took < Duration::from_millis(60), "{took:?}");
    assert_eq!(world.node.group("t", 0).batches.len(), 2);
}

#[test]
fn a_batch_closes_at_its_size_and_a_larger_record_goes_alone() {
    let settings = ProducerSettings { batch_bytes: 200, ..ProducerSettings::default() };
    let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
    let value = "x".repeat(1000);
    let now = world.now;
    for tag in 0..3 {
        let value = if tag == 1 { &value[..] } else { "small" };
        let record = RecordRef {
            topic: "t",
            partition: None,
            timestamp: UnixMillis(tag),
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            headers: &[(b"h", None)],
        };
        world.engine.send(&record, tag as u64, now);
    }
    assert!(run(&mut world, 3).values().all(Result::is_ok));
    assert_eq!(world.node.group("t", 0).batches.len(), 3);
}

#[test]
fn compressed_batches_arrive_whole() {
    for compression in Compression::ALL {
        let settings = ProducerSettings { compression, ..ProducerSettings::default() };
        let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
        (0..500).for_each(|tag| send(&mut world, "t", 0, tag));
        let fates = run(&mut world, 500);
        check_log(&world, 1, &fates);
        let last = world.node.group("t", 0).batches.last().unwrap();
        assert_eq!(BatchView::parse(last).unwrap().compression(), compression);
    }
}

#[test]
fn lost_acks_are_asked_for_again_and_answered_with_the_first_offsets() {
    let settings = ProducerSettings { batch_bytes: 1, ..ProducerSettings::default() };
    let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    run(&mut world, 1);
    (1..=5).for_each(|tag| send(&mut world, "t", 0, tag));
    // The node takes them all, and the next thing is that the connection is lost.
    world.weather = Weather { drop: 1000, ..Weather::default() };
    world.round();
    assert_eq!(world.node.values("t", 0).len(), 6, "the node has all of them");
    world.weather = Weather::default();
    let fates = run(&mut world, 5);
    assert_eq!(fates[&5].as_ref().unwrap().offset, Some(Offset(5)));
    check_log(&world, 1, &fates);
}

#[test]
fn a_group_that_moves_is_found_again() {
    let mut world = world(ProducerSettings::default(), Node::new(2).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    run(&mut world, 1);
    let group = world.node.group_mut("t", 0);
    group.shard = 1 - group.shard;
    send(&mut world, "t", 0, 1);
    let fates = run(&mut world, 1);
    check_log(&world, 1, &fates);
    assert!(fates[&1].is_ok());
}

#[test]
fn a_topic_that_does_not_exist_is_told_at_once_and_found_once_it_does() {
    let mut world = world(ProducerSettings::default(), Node::new(1), 1);
    send(&mut world, "t", 0, 0);
    assert_eq!(run(&mut world, 1)[&0].as_ref().unwrap_err().code, Code::UnknownTopic);
    assert!(world.now.0 < Duration::from_secs(1));
    world.node.create("t", 1).unwrap();
    send(&mut world, "t", 0, 1);
    send(&mut world, "t", 7, 2);
    let fates = run(&mut world, 2);
    assert!(fates[&1].is_ok());
    assert_eq!(fates[&2].as_ref().unwrap_err().code, Code::UnknownTopic);
}

#[test]
fn a_deleted_topics_records_fail_and_a_new_one_of_its_name_gets_the_next() {
    let mut world = world(ProducerSettings::default(), Node::new(1).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    run(&mut world, 1);
    world.node.delete("t").unwrap();
    world.node.create("t", 1).unwrap();
    send(&mut world, "t", 0, 1);
    let fates = run(&mut world, 1);
    let error = fates[&1].as_ref().unwrap_err();
    assert_eq!(error.code, Code::UnknownTopic);
    assert!(error.message.contains("was deleted, and another of that name"), "{error}");
    send(&mut world, "t", 0, 2);
    let fates = run(&mut world, 1);
    check_log(&world, 1, &fates);
}

#[test]
fn a_partition_that_a_topic_has_since_a_while_is_found_after_the_first_refusal() {
    let mut world = world(ProducerSettings::default(), Node::new(1).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    run(&mut world, 1);
    world.node.delete("t").unwrap();
    world.node.create("t", 2).unwrap();
    send(&mut world, "t", 1, 1);
    assert_eq!(run(&mut world, 1)[&1].as_ref().unwrap_err().code, Code::UnknownTopic);
    (0..5_000).for_each(|_| world.round());
    send(&mut world, "t", 1, 2);
    assert!(run(&mut world, 1)[&2].is_ok());
}

#[test]
fn a_refused_batch_does_not_stop_those_behind_it() {
    let settings = ProducerSettings { batch_bytes: 1, ..ProducerSettings::default() };
    let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    run(&mut world, 1);
    let mut seen = 0;
    world.node.fault = Box::new(move |_| {
        seen += 1;
        (seen == 2).then_some(Code::InvalidTimestamp)
    });
    (1..=20).for_each(|tag| send(&mut world, "t", 0, tag));
    let fates = run(&mut world, 20);
    let failed: Vec<_> = fates.iter().filter(|(_, fate)| fate.is_err()).map(|(tag, _)| *tag).collect();
    assert_eq!(failed, [2]);
    assert_eq!(fates[&2].as_ref().unwrap_err().code, Code::InvalidTimestamp);
    check_log(&world, 1, &fates);
}

#[test]
fn passing_refusals_keep_the_order() {
    let settings = ProducerSettings { batch_bytes: 1, ..ProducerSettings::default() };
    let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
    let mut dice = Dice(5);
    let codes = [Code::Busy, Code::NotReady, Code::NotLeader, Code::Closed];
    world.node.fault = Box::new(move |_| (dice.roll(3) == 0).then_some(codes[dice.roll(4) as usize]));
    (0..40).for_each(|tag| send(&mut world, "t", 0, tag));
    let fates = run(&mut world, 40);
    assert!(fates.values().all(Result::is_ok), "{fates:?}");
    check_log(&world, 1, &fates);
}

#[test]
fn a_producer_that_the_node_fences_goes_on_under_a_new_id() {
    let mut world = world(ProducerSettings::default(), Node::new(1).with_topic("t", 1), 1);
    let mut seen = 0;
    world.node.fault = Box::new(move |_| {
        seen += 1;
        (seen == 2).then_some(Code::ProducerFenced)
    });
    for tag in 0..4 {
        send(&mut world, "t", 0, tag);
        let fates = run(&mut world, 1);
        assert_eq!(fates[&tag].is_err(), tag == 1, "{tag}");
    }
    let batches = &world.node.group("t", 0).batches;
    let ids: Vec<_> = batches.iter().map(|bytes| BatchView::parse(bytes).unwrap().producer_id()).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[1], ids[2]);
}

#[test]
fn records_are_told_when_their_time_is_up_and_later_ones_go_on() {
    let settings = Settings { delivery_timeout: Duration::from_millis(300), ..Settings::default() };
    let producer = ProducerSettings { batch_bytes: 1, ..ProducerSettings::default() };
    let engine = ProducerEngine::new(settings, producer).unwrap();
    let mut world = World::new(engine, Node::new(1).with_topic("t", 1), 3);
    send(&mut world, "t", 0, 0);
    run(&mut world, 1);
    // All that is sent is taken, and no answer ever comes.
    world.weather = Weather { drop: 1000, ..Weather::default() };
    (1..=8).for_each(|tag| send(&mut world, "t", 0, tag));
    let fates = run(&mut world, 8);
    assert!(fates.values().all(|fate| fate.as_ref().unwrap_err().code == Code::Timeout));
    assert!(fates[&8].as_ref().unwrap_err().message.contains("dropped"), "{:?}", fates[&8]);
    world.weather = Weather::default();
    (9..=12).for_each(|tag| send(&mut world, "t", 0, tag));
    let fates = run(&mut world, 4);
    assert!(fates.values().all(Result::is_ok), "{fates:?}");
    check_log(&world, 1, &fates);
}

#[test]
fn acks_none_is_done_when_it_is_sent() {
    let settings = ProducerSettings { acks: Acks::None, idempotence: false, ..ProducerSettings::default() };
    let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
    (0..10).for_each(|tag| send(&mut world, "t", 0, tag));
    let fates = run(&mut world, 10);
    assert!(fates.values().all(|fate| fate.as_ref().unwrap().offset.is_none()));
    world.round();
    assert_eq!(world.node.values("t", 0).len(), 10);
}

#[test]
fn contradicting_settings_are_refused() {
    for settings in [
        ProducerSettings { acks: Acks::None, ..ProducerSettings::default() },
        ProducerSettings { batches_in_flight_max: 6, ..ProducerSettings::default() },
        ProducerSettings { batches_in_flight_max: 0, ..ProducerSettings::default() },
        ProducerSettings { batch_bytes: usize::MAX, ..ProducerSettings::default() },
    ] {
        let refused = ProducerEngine::new(Settings::default(), settings).unwrap_err();
        assert_eq!(refused.code, Code::InvalidSetting);
    }
}

#[test]
fn a_full_buffer_makes_records_wait_in_order() {
    let settings =
        ProducerSettings { buffer_bytes_max: 500, batch_bytes: 100, ..ProducerSettings::default() };
    let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
    assert!(world.engine.has_room());
    (0..200).for_each(|tag| send(&mut world, "t", 0, tag));
    assert!(!world.engine.has_room());
    let fates = run(&mut world, 200);
    check_log(&world, 1, &fates);
    assert!(world.engine.has_room());
}

#[test]
fn a_flush_waits_for_what_was_sent_before_and_for_nothing_else() {
    let settings = ProducerSettings { linger: Duration::from_secs(3600), ..ProducerSettings::default() };
    let mut world = world(settings, Node::new(1).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    world.engine.flush(100);
    let (mut settled, mut flushed) = (Vec::new(), false);
    let mut later = 1;
    world.until(|world| {
        send(world, "t", 0, later);
        later += 1;
        while let Some(done) = world.engine.next_done() {
            match done {
                Done::Record { tag, result } => settled.push((tag, result.is_ok())),
                Done::Flushed { tag } => flushed = tag == 100,
            }
        }
        flushed
    });
    assert!(settled.contains(&(0, true)));
    assert!(settled.len() < later as usize, "later records are not waited for");
}

#[test]
fn another_node_with_other_data_gets_nothing_that_was_meant_for_the_first() {
    let mut world = world(ProducerSettings::default(), Node::new(1).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    run(&mut world, 1);
    // Its groups have the same numbers, but belong to another topic.
    world.node = Node::new(1).with_topic("other", 1);
    world.node.id = uuid::Uuid::from_u128(2);
    world.cut();
    send(&mut world, "t", 0, 1);
    let fates = run(&mut world, 1);
    assert_eq!(fates[&1].as_ref().unwrap_err().code, Code::UnknownTopic);
    assert!(world.node.values("other", 0).is_empty());
}

#[test]
fn a_silent_node_is_given_up_and_tried_again() {
    let settings = Settings {
        connect_timeout: Duration::from_millis(50),
        request_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let engine = ProducerEngine::new(settings, ProducerSettings::default()).unwrap();
    let mut world = World::new(engine, Node::new(1).with_topic("t", 1), 1);
    send(&mut world, "t", 0, 0);
    let now = world.now;
    world.engine.step(now);
    let (socket, _) = world.engine.session().next_connect(now).unwrap();
    assert!(world.engine.session().connected(socket, now));
    let late = now.plus(Duration::from_millis(51));
    world.engine.step(late);
    assert_eq!(world.engine.session().next_given_up(), Some(socket));
    world.now = late;
    assert!(run(&mut world, 1)[&0].is_ok());
}

/// A random life: drops, refusals, pieces of bytes, moves, and a random producer.
fn random_life(seed: u64, permanent: bool, delivery_timeout: Duration) {
    let mut dice = Dice(seed);
    let partitions = 1 + dice.roll(3) as usize;
    let producer = ProducerSettings {
        batch_bytes: [1, 40, 200, 10_000][dice.roll(4) as usize],
        batches_in_flight_max: 1 + dice.roll(5) as usize,
        linger: Duration::from_millis(dice.roll(3)),
        compression: Compression::ALL[dice.roll(5) as usize],
        buffer_bytes_max: [300, 100_000][dice.roll(2) as usize],
        ..ProducerSettings::default()
    };
    let settings = Settings {
        seed,
        delivery_timeout,
        request_timeout: Duration::from_millis(200),
        backoff_max: Duration::from_millis(50),
        ..Settings::default()
    };
    let mut node = Node::new(1 + dice.roll(3) as u16).with_topic("t", partitions as u32);
    let (mut faults, refusals) = (Dice(seed ^ 1), dice.roll(300));
    node.fault = Box::new(move |_| {
        if faults.roll(1000) >= refusals {
            return None;
        }
        let codes = [Code::Busy, Code::NotReady, Code::NotLeader, Code::Timeout, Code::Closed];
        let lasting = [Code::InvalidTimestamp, Code::BatchTooLarge, Code::ProducerFenced];
        Some(match permanent && faults.roll(4) == 0 {
            true => lasting[faults.roll(3) as usize],
            false => codes[faults.roll(5) as usize],
        })
    });
    let mut world = World::new(ProducerEngine::new(settings, producer).unwrap(), node, seed);
    world.weather =
        Weather { drop: dice.roll(100), refuse_connect: dice.roll(300), dribble: dice.roll(2) == 1 };
    let total = 150;
    let moves = [3, 100][dice.roll(2) as usize];
    let (mut sent, mut fates) = (0, Fates::new());
    world.until(|world| {
        for _ in 0..dice.roll(8) {
            if sent < total {
                send(world, "t", (dice.roll(partitions as u64)) as u32, sent);
                sent += 1;
            }
        }
        if dice.roll(moves) == 0 {
            let shards = u64::from(world.node.shards);
            let group = world.node.group_mut("t", dice.roll(partitions as u64) as usize);
            group.shard = dice.roll(shards) as u16;
        }
        collect(world, &mut fates);
        fates.len() == total as usize
    });
    check_log(&world, partitions, &fates);
    if !permanent && delivery_timeout > Duration::from_secs(100) {
        let failed: Vec<_> = fates.iter().filter(|(_, fate)| fate.is_err()).collect();
        assert!(failed.is_empty(), "nothing is lost: {failed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_of_drops_and_passing_refusals_loses_doubles_or_reorders(seed in any::<u64>()) {
        random_life(seed, false, Duration::from_secs(1_000_000));
    }

    #[test]
    fn lasting_refusals_and_new_identities_never_double_or_reorder(seed in any::<u64>()) {
        random_life(seed, true, Duration::from_secs(1_000_000));
    }

    #[test]
    fn records_that_run_out_of_time_never_double_or_reorder(seed in any::<u64>()) {
        random_life(seed, false, Duration::from_millis(30 + seed % 100));
    }

    #[test]
    fn everything_together_never_doubles_or_reorders(seed in any::<u64>()) {
        random_life(seed, true, Duration::from_millis(30 + seed % 100));
    }
}
