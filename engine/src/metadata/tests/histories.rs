//! Random histories: two replicas, one of them restored again and again from snapshots, stay alike, and what must
//! always hold of the state holds after every command.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SHARDS: u16 = 3;

#[derive(Clone, Debug)]
enum Step {
    Create { name: u8, partitions: u32, random: u64 },
    Delete { topic: usize },
    Alter { topic: usize, value: u8 },
    Add { topic: usize, partitions: u32 },
    Purge { tombstone: usize, shard: u16 },
    Allocate { count: u32 },
    Finalize { features: u64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let topic = 0..20_usize;
    prop_oneof![
        6 => (0..12_u8, 0..5_u32, any::<u64>())
            .prop_map(|(name, partitions, random)| Step::Create { name, partitions, random }),
        2 => topic.clone().prop_map(|topic| Step::Delete { topic }),
        2 => (topic.clone(), 0..4_u8).prop_map(|(topic, value)| Step::Alter { topic, value }),
        2 => (topic.clone(), 0..8_u32).prop_map(|(topic, partitions)| Step::Add { topic, partitions }),
        4 => (topic, 0..SHARDS + 1).prop_map(|(tombstone, shard)| Step::Purge { tombstone, shard }),
        1 => (0..9_u32).prop_map(|count| Step::Allocate { count }),
        1 => (0..4_u64).prop_map(|features| Step::Finalize { features }),
        2 => Just(Step::Restart),
    ]
}

/// The command of a step in this state; topics are chosen by place, and sometimes there is none.
fn command(state: &Metadata, step: &Step) -> Option<Command> {
    let view = state.view();
    let alive = |place: usize| view.topics().nth(place).map_or(TopicId::from_random(1), |topic| topic.id);
    let dead =
        |place: usize| state.tombstones().nth(place).map_or(TopicId::from_random(1), |tomb| tomb.topic);
    Some(match *step {
        Step::Create { name, partitions, random } => Command::CreateTopic(CreateTopic {
            id_bits: u128::from(random),
            partitions_per_shard_max: 9,
            ..create(&format!("topic-{name}"), partitions)
        }),
        Step::Delete { topic } => Command::DeleteTopic { topic: alive(topic) },
        Step::Alter { topic, value } => {
            let value = if value == 0 { String::new() } else { value.to_string() };
            Command::AlterTopic(
                AlterTopic::from_pairs(alive(topic), [("segment.ms", &*value)]).expect("legal"),
            )
        }
        Step::Add { topic, partitions } => {
            Command::AddPartitions { topic: alive(topic), partitions, partitions_per_shard_max: 9 }
        }
        Step::Purge { tombstone, shard } => {
            Command::PurgeDone { topic: dead(tombstone), shard: ShardId(shard) }
        }
        Step::Allocate { count } => Command::AllocateProducers { count },
        Step::Finalize { features } => Command::FinalizeFeatures { features },
        Step::Restart => return None,
    })
}

/// Every group ever given, to see that none is given again.
fn check(state: &Metadata, given: &mut BTreeSet<GroupId>, applied: &Result<Applied>) {
    let view = state.view();
    let mut held = [0; SHARDS as usize];
    for topic in view.topics() {
        assert_eq!(view.topic_by_id(topic.id), Some(topic));
        for (number, partition) in topic.partitions.iter().enumerate() {
            assert_eq!(partition.number.0 as usize, number);
            assert_eq!(view.partition(partition.group), Some((topic, partition)));
            held[usize::from(partition.shard.0)] += 1;
        }
    }
    assert_eq!(view.topics().map(|topic| topic.partitions.len()).sum::<usize>(), view.partition_count());
    let unpurged = (0..SHARDS).map(|shard| state.unpurged_groups_of(ShardId(shard)).count());
    for (shard, unpurged) in unpurged.enumerate() {
        let held = held[shard] + unpurged;
        assert_eq!(state.held_by(ShardId(shard as u16)) as usize, held);
        assert!(held <= 9, "the limit holds");
    }
    for event in applied.iter().flat_map(|applied| &applied.events) {
        if let Event::GroupBorn { group, .. } = event {
            assert!(given.insert(*group), "{group:?} was given twice");
        }
    }
}

proptest! {
    #[test]
    fn replicas_stay_alike_through_any_history_and_any_restart(steps in prop::collection::vec(step(), 1..150)) {
        let mut replica = Group::born(SHARDS).machine;
        let mut restarted = Group::born(SHARDS).machine;
        let mut given = BTreeSet::new();
        for (index, step) in (2..).zip(&steps) {
            let Some(command) = command(&replica, step) else {
                restarted = Metadata::restore(&restarted.snapshot()).expect("its own bytes");
                continue;
            };
            let version = replica.view().version();
            let applied = replica.apply(index, &command.encode());
            prop_assert_eq!(&restarted.apply(index, &command.encode()), &applied);
            prop_assert_eq!(replica.snapshot(), restarted.snapshot());
            check(&replica, &mut given, &applied);
            if applied.is_err() {
                prop_assert_eq!(replica.view().version(), version);
            }
        }
    }
}
