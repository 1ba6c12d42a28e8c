//! The subscriber's core against a node made of values: every record once and in order, whatever breaks.

use crate::node::Node;
use crate::world::{Dice, Weather, World};
use flumen_client::core::session::Engine;
use flumen_client::core::subscriber::{Read, SubscriberEngine};
use flumen_client::model::batch::BatchView;
use flumen_client::model::{Code, Error, Offset, PartitionNumber, UnixMillis};
use flumen_client::wire::Position;
use flumen_client::{OutOfRange, Record, Settings, Start, SubscriberSettings};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn world(settings: SubscriberSettings, node: Node, seed: u64) -> World<SubscriberEngine> {
    let engine = SubscriberEngine::new(Settings { seed, ..Settings::default() }, settings).unwrap();
    let mut world = World::new(engine, node, seed);
    world.engine.add_topic("t");
    world
}

/// Values `from..to`, in batches of `step` records.
fn fill(node: &mut Node, partition: usize, from: u64, to: u64, step: u64) {
    let mut next = from;
    while next < to {
        let end = (next + step).min(to);
        let values: Vec<String> = (next..end).map(|number| number.to_string()).collect();
        node.append("t", partition, &values);
        next = end;
    }
}

fn node(partitions: u32, records: u64) -> Node {
    let mut node = Node::new(2).with_topic("t", partitions);
    (0..partitions as usize).for_each(|partition| fill(&mut node, partition, 0, records, 7));
    node
}

fn value(record: &Record) -> u64 {
    std::str::from_utf8(record.value.as_ref().unwrap()).unwrap().parse().unwrap()
}

fn read(world: &mut World<SubscriberEngine>) -> Result<Record, Error> {
    let mut found = None;
    world.until(|world| {
        let now = world.now;
        found = world.engine.next_read(now);
        found.is_some()
    });
    match found.unwrap() {
        Read::Record(record) => Ok(record),
        Read::Error(error) => Err(error),
    }
}

fn read_values(world: &mut World<SubscriberEngine>, count: usize) -> Vec<u64> {
    (0..count).map(|_| value(&read(world).unwrap())).collect()
}

/// Nothing more comes for a while.
fn assert_silent(world: &mut World<SubscriberEngine>) {
    for _ in 0..50 {
        world.round();
        let now = world.now;
        assert!(world.engine.next_read(now).is_none());
    }
}

#[test]
fn records_come_in_order_with_what_they_carry() {
    let mut world = world(SubscriberSettings::default(), node(1, 20), 1);
    for offset in 0..20 {
        let record = read(&mut world).unwrap();
        assert_eq!((value(&record), record.offset), (offset, Offset(offset)));
        assert_eq!((record.timestamp, &record.topic[..]), (UnixMillis(1000), "t"));
    }
    assert_silent(&mut world);
    fill(&mut world.node, 0, 20, 25, 1);
    assert_eq!(read_values(&mut world, 5), [20, 21, 22, 23, 24]);
}

#[test]
fn reading_begins_where_it_was_asked_to() {
    for (start, first) in [
        (Start::Earliest, Some(0)),
        (Start::Offset(Offset(9)), Some(9)),
        (Start::Time(UnixMillis(1000)), Some(0)),
        (Start::Time(UnixMillis(1001)), None),
        (Start::Latest, None),
    ] {
        let mut world = world(SubscriberSettings { start, ..SubscriberSettings::default() }, node(1, 20), 1);
        match first {
            Some(first) => assert_eq!(read_values(&mut world, 1), [first], "{start:?}"),
            None => {
                assert_silent(&mut world);
                fill(&mut world.node, 0, 20, 21, 1);
                world.cut();
                assert_eq!(read_values(&mut world, 1), [20], "{start:?}");
            }
        }
    }
}

#[test]
fn a_trimmed_offset_follows_the_policy() {
    for (policy, expected) in [
        (OutOfRange::Earliest, Ok(12)),
        (OutOfRange::Latest, Ok(20)),
        (OutOfRange::Error, Err(Code::OffsetOutOfRange)),
    ] {
        let mut node = node(1, 20);
        node.group_mut("t", 0).log_start = Offset(12);
        let start = Start::Offset(Offset(3));
        let settings = SubscriberSettings { start, out_of_range: policy, ..SubscriberSettings::default() };
        let mut world = world(settings, node, 1);
        if policy == OutOfRange::Latest {
            assert_silent(&mut world);
            fill(&mut world.node, 0, 20, 21, 1);
            world.cut();
        }
        assert_eq!(read(&mut world).map(|record| value(&record)).map_err(|error| error.code), expected);
    }
}

#[test]
fn a_partition_that_ended_begins_anew_with_a_seek() {
    let mut node = node(1, 20);
    node.group_mut("t", 0).log_start = Offset(12);
    let start = Start::Offset(Offset(3));
    let settings =
        SubscriberSettings { start, out_of_range: OutOfRange::Error, ..SubscriberSettings::default() };
    let mut world = world(settings, node, 1);
    let error = read(&mut world).unwrap_err();
    assert!(error.message.contains("partition 0 of topic t"), "{error}");
    let now = world.now;
    world.engine.seek("t", PartitionNumber(0), Start::Offset(Offset(15)), now).unwrap();
    assert_eq!(read_values(&mut world, 2), [15, 16]);
}

#[test]
fn a_seek_forgets_what_was_queued() {
    let mut world = world(SubscriberSettings::default(), node(1, 100), 1);
    assert_eq!(read_values(&mut world, 3), [0, 1, 2]);
    for (to, expected) in [
        (Start::Offset(Offset(50)), [50, 51]),
        (Start::Offset(Offset(10)), [10, 11]),
        (Start::Time(UnixMillis(1)), [0, 1]),
    ] {
        let now = world.now;
        world.engine.seek("t", PartitionNumber(0), to, now).unwrap();
        assert_eq!(read_values(&mut world, 2), expected);
    }
    let now = world.now;
    assert!(world.engine.seek("u", PartitionNumber(0), Start::Earliest, now).is_err());
}

#[test]
fn credit_bounds_what_comes_ahead_and_reading_brings_more() {
    let settings = SubscriberSettings { credit_bytes: 1000, ..SubscriberSettings::default() };
    let mut node = Node::new(1).with_topic("t", 1);
    fill(&mut node, 0, 0, 1000, 1);
    let one = node.group("t", 0).batches[0].len() as u64;
    let mut world = world(settings, node, 1);
    (0..100).for_each(|_| world.round());
    let mut ahead = 0;
    while let Some(Read::Record(record)) = world.engine.next_read(world.now) {
        assert_eq!(value(&record), ahead);
        ahead += 1;
    }
    assert!(ahead <= 1000 / one + 1, "{ahead} batches of {one} bytes for a credit of 1000");
    assert_eq!(read_values(&mut world, 1000 - ahead as usize), (ahead..1000).collect::<Vec<_>>());
}

#[test]
fn a_named_subscription_goes_on_where_it_was_committed() {
    let settings = SubscriberSettings { name: Some("s".to_string()), ..SubscriberSettings::default() };
    let mut first = world(settings.clone(), node(2, 20), 1);
    let mut read_first = BTreeMap::new();
    for _ in 0..23 {
        let record = read(&mut first).unwrap();
        read_first.insert(record.partition, record.offset.plus(1));
    }
    let now = first.now;
    let call = first.engine.commit(now).unwrap().expect("positions have moved");
    let mut committed = None;
    first.until(|world| {
        committed = world.engine.next_committed();
        committed.is_some()
    });
    assert_eq!(committed, Some((call, Ok(()))));
    let now = first.now;
    assert_eq!(first.engine.commit(now), Ok(None), "nothing has moved since");

    let mut second = world(settings, first.node, 2);
    let mut rest = 0;
    for _ in 0..17 {
        let record = read(&mut second).unwrap();
        let next = read_first.entry(record.partition).or_insert(Offset(0));
        assert_eq!(record.offset, *next);
        *next = next.plus(1);
        rest += 1;
    }
    assert_eq!(rest, 17);
    assert_silent(&mut second);
}

fn named() -> SubscriberSettings {
    SubscriberSettings { name: Some("s".to_string()), ..SubscriberSettings::default() }
}

/// Commits and waits for the end; false when there was nothing to commit.
fn commit(world: &mut World<SubscriberEngine>) -> bool {
    let now = world.now;
    let Some(call) = world.engine.commit(now).unwrap() else { return false };
    let mut ended = None;
    world.until(|world| {
        ended = world.engine.next_committed();
        ended.is_some()
    });
    assert_eq!(ended, Some((call, Ok(()))));
    true
}

fn kept(world: &World<SubscriberEngine>, partition: usize) -> Option<Offset> {
    let group = world.node.topics["t"].1[partition];
    world.node.positions.get("s")?.get(&group).map(|position| position.offset)
}

#[test]
fn a_commit_right_behind_a_seek_keeps_where_the_seek_leads() {
    for (to, expected) in [
        (Start::Offset(Offset(11)), 11),
        (Start::Earliest, 4),
        (Start::Latest, 20),
        (Start::Time(UnixMillis(5000)), 20),
    ] {
        let mut node = node(2, 20);
        node.group_mut("t", 0).log_start = Offset(4);
        let mut world = world(named(), node, 1);
        read(&mut world).unwrap();
        let now = world.now;
        for partition in [0, 1] {
            world.engine.seek("t", PartitionNumber(partition), Start::Offset(Offset(7)), now).unwrap();
        }
        assert!(commit(&mut world), "a seek has moved both");
        let now = world.now;
        world.engine.seek("t", PartitionNumber(0), to, now).unwrap();
        assert!(commit(&mut world), "{to:?} has moved the partition");
        assert_eq!((kept(&world, 0), kept(&world, 1)), (Some(Offset(expected)), Some(Offset(7))), "{to:?}");
        assert!(!commit(&mut world), "the node keeps it already");
    }
}

#[test]
fn a_commit_right_behind_a_seek_into_a_partition_that_nobody_found_yet_waits_for_it() {
    let mut world = world(named(), node(1, 20), 1);
    let now = world.now;
    world.engine.add_partition("t", PartitionNumber(0), now);
    world.engine.seek("t", PartitionNumber(0), Start::Offset(Offset(3)), now).unwrap();
    assert!(commit(&mut world));
    assert_eq!(kept(&world, 0), Some(Offset(3)));
}

#[test]
fn a_newer_commit_wins_although_it_goes_back_to_what_was_kept_before() {
    let mut world = world(named(), node(1, 20), 1);
    read_values(&mut world, 3);
    assert!(commit(&mut world));
    read_values(&mut world, 5);
    let now = world.now;
    let further = world.engine.commit(now).unwrap().expect("five records further");
    world.engine.seek("t", PartitionNumber(0), Start::Offset(Offset(3)), now).unwrap();
    let back = world.engine.commit(now).unwrap().expect("the one under way says otherwise");
    world.cut();
    let mut ended = Vec::new();
    world.until(|world| {
        ended.extend(std::iter::from_fn(|| world.engine.next_committed()));
        ended.len() == 2
    });
    assert_eq!(ended, [(further, Ok(())), (back, Ok(()))]);
    assert_eq!(kept(&world, 0), Some(Offset(3)));
}

#[test]
fn a_commit_keeps_the_positions_of_its_own_moment() {
    let mut world = world(named(), node(1, 20), 1);
    read_values(&mut world, 3);
    let now = world.now;
    world.engine.commit(now).unwrap().expect("three records");
    read_values(&mut world, 1);
    let second = world.engine.commit(now).unwrap().expect("one more");
    read_values(&mut world, 4);
    world.until(|world| world.engine.next_committed().is_some_and(|(ended, _)| ended == second));
    assert_eq!(kept(&world, 0), Some(Offset(4)));
}

#[test]
fn a_commit_behind_a_seek_that_finds_no_node_ends_in_its_time() {
    let settings = Settings { delivery_timeout: Duration::from_millis(500), ..Settings::default() };
    let engine = SubscriberEngine::new(settings, named()).unwrap();
    let mut world = World::new(engine, node(1, 20), 1);
    world.engine.add_topic("t");
    read_values(&mut world, 1);
    world.mute = true;
    let now = world.now;
    world.engine.seek("t", PartitionNumber(0), Start::Latest, now).unwrap();
    let call = world.engine.commit(now).unwrap().expect("a seek");
    let mut ended = None;
    world.until(|world| {
        ended = world.engine.next_committed();
        ended.is_some()
    });
    let (id, result) = ended.unwrap();
    assert_eq!((id, result.unwrap_err().code), (call, Code::Timeout));
}

#[test]
fn a_kept_position_wins_over_the_start() {
    let mut node = node(1, 20);
    let group = node.topics["t"].1[0];
    let position = Position { group, offset: Offset(13), leader_epoch: 0, metadata: String::new() };
    node.positions.entry("s".to_string()).or_default().insert(group, position);
    let settings = SubscriberSettings {
        name: Some("s".to_string()),
        start: Start::Latest,
        ..SubscriberSettings::default()
    };
    let mut world = world(settings, node, 1);
    assert_eq!(read_values(&mut world, 1), [13]);
}

#[test]
fn a_subscriber_without_a_name_has_nothing_to_commit() {
    let mut world = world(SubscriberSettings::default(), node(1, 1), 1);
    let now = world.now;
    assert_eq!(world.engine.commit(now).unwrap_err().code, Code::InvalidRequest);
}

#[test]
fn a_deleted_topic_ends_its_partitions_and_says_so() {
    let mut world = world(SubscriberSettings::default(), node(1, 5), 1);
    assert_eq!(read_values(&mut world, 5), [0, 1, 2, 3, 4]);
    world.node.delete("t").unwrap();
    world.cut();
    assert_eq!(read(&mut world).unwrap_err().code, Code::UnknownTopic);
    assert_silent(&mut world);
}

#[test]
fn a_reader_that_has_read_all_it_has_goes_on_when_its_place_is_trimmed_away() {
    let settings = SubscriberSettings { out_of_range: OutOfRange::Earliest, ..SubscriberSettings::default() };
    let mut world = world(settings, node(1, 5), 1);
    assert_eq!(read_values(&mut world, 5), [0, 1, 2, 3, 4]);
    fill(&mut world.node, 0, 5, 12, 1);
    world
        .node
        .group_mut("t", 0)
        .batches
        .retain(|batch| BatchView::parse(batch).unwrap().base_offset() >= Offset(8));
    world.node.group_mut("t", 0).log_start = Offset(8);
    assert_eq!(read_values(&mut world, 4), [8, 9, 10, 11]);
}

#[test]
fn what_lies_in_front_of_damage_is_read_before_the_damage_is_told() {
    let mut node = node(1, 5);
    fill(&mut node, 0, 5, 9, 7);
    node.group_mut("t", 0).damaged = Some(Offset(5));
    let mut world = world(SubscriberSettings::default(), node, 1);
    assert_eq!(read_values(&mut world, 5), [0, 1, 2, 3, 4]);
    assert_eq!(read(&mut world).unwrap_err().code, Code::Corrupt);
    assert_silent(&mut world);
}

#[test]
fn a_topic_that_does_not_exist_is_an_error() {
    let mut world = world(SubscriberSettings::default(), Node::new(1), 1);
    assert_eq!(read(&mut world).unwrap_err().code, Code::UnknownTopic);
    let now = world.now;
    world.engine.add_partition("u", PartitionNumber(0), now);
    assert_eq!(read(&mut world).unwrap_err().code, Code::UnknownTopic);
}

#[test]
fn a_group_that_moves_is_found_again() {
    let mut world = world(SubscriberSettings::default(), node(1, 5), 1);
    assert_eq!(read_values(&mut world, 5), [0, 1, 2, 3, 4]);
    let group = world.node.group_mut("t", 0);
    group.shard = 1 - group.shard;
    fill(&mut world.node, 0, 5, 10, 2);
    world.cut();
    assert_eq!(read_values(&mut world, 5), [5, 6, 7, 8, 9]);
}

#[test]
fn damaged_batches_are_an_error_and_never_records() {
    let mut node = node(1, 5);
    let batches = &mut node.group_mut("t", 0).batches;
    let mut bytes = batches[0].to_vec();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    batches[0] = bytes.into();
    let mut world = world(SubscriberSettings::default(), node, 1);
    assert_eq!(read(&mut world).unwrap_err().code, Code::BatchChecksum);
}

#[test]
fn an_idle_subscriber_notices_a_node_that_has_gone_silent() {
    let settings = Settings {
        request_timeout: Duration::from_millis(100),
        connect_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let engine = SubscriberEngine::new(settings, SubscriberSettings::default()).unwrap();
    let mut world = World::new(engine, node(1, 1), 1);
    world.engine.add_topic("t");
    assert_eq!(read_values(&mut world, 1), [0]);
    let connections = world.connections;
    (0..2000).for_each(|_| world.round());
    assert_eq!(world.connections, connections, "a node that answers is not given up");
    world.mute = true;
    (0..200).for_each(|_| world.round());
    assert!(world.connections > connections, "a node that does not answer is");
    world.mute = false;
    fill(&mut world.node, 0, 1, 2, 1);
    assert_eq!(read_values(&mut world, 1), [1]);
}

#[test]
fn a_node_that_is_away_is_told_as_trouble_until_every_partition_is_read_again() {
    let mut world = world(SubscriberSettings::default(), node(4, 5), 1);
    (0..20).for_each(|_| drop(read(&mut world)));
    assert_eq!(world.engine.trouble(), None);
    world.weather.refuse_connect = 1000;
    world.cut();
    (0..50).for_each(|_| world.round());
    assert!(world.engine.trouble().is_some(), "nothing answers");
    world.weather.refuse_connect = 0;
    (0..4).for_each(|partition| fill(&mut world.node, partition, 5, 6, 1));
    (0..4).for_each(|_| drop(read(&mut world)));
    assert_eq!(world.engine.trouble(), None);
}

/// A random life: drops, moves, trims never below what was read, appends between.
fn random_life(seed: u64) {
    let mut dice = Dice(seed);
    let partitions = 1 + dice.roll(3);
    let settings = SubscriberSettings {
        credit_bytes: [2, 200, 100_000][dice.roll(3) as usize],
        ..SubscriberSettings::default()
    };
    let mut world =
        world(settings, Node::new(1 + dice.roll(3) as u16).with_topic("t", partitions as u32), seed);
    world.weather =
        Weather { drop: 5 + dice.roll(40), refuse_connect: dice.roll(300), dribble: dice.roll(2) == 1 };
    let total = 200;
    let mut appended = vec![0; partitions as usize];
    let mut next = vec![0; partitions as usize];
    world.until(|world| {
        let partition = dice.roll(partitions);
        let at = partition as usize;
        if appended[at] < total {
            let to = (appended[at] + 1 + dice.roll(20)).min(total);
            fill(&mut world.node, at, appended[at], to, 1 + dice.roll(5));
            appended[at] = to;
        }
        if dice.roll(50) == 0 {
            let shards = u64::from(world.node.shards);
            world.node.group_mut("t", at).shard = dice.roll(shards) as u16;
        }
        for _ in 0..dice.roll(30) {
            match world.engine.next_read(world.now) {
                Some(Read::Record(record)) => {
                    let next = &mut next[record.partition.0 as usize];
                    assert_eq!((record.offset.0, value(&record)), (*next, *next), "each once and in order");
                    *next += 1;
                }
                Some(Read::Error(error)) => panic!("{error}"),
                None => break,
            }
        }
        next.iter().all(|next| *next == total)
    });
    world.engine.step(world.now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_of_drops_and_moves_skips_repeats_or_reorders(seed in any::<u64>()) {
        random_life(seed);
    }
}
