//! What group 0's state machine guarantees, command by command; histories and bytes stand beside it.

use super::*;
use flumen_model::topic::{TopicName, TopicSettings};
use flumen_model::{Code, Error, UnixMillis};
use flumen_replication::ReplicaId;
use uuid::Uuid;

mod bytes;
mod histories;

const NODE: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
const DIRECTORY: Uuid = Uuid::from_u128(0xd1);

/// A machine and the index of its next command.
struct Group {
    machine: Metadata,
    index: u64,
}

fn init(shards: u16) -> Init {
    Init::fresh(NODE, DIRECTORY, shards, 0b1, UnixMillis(1_700_000_000_000))
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).expect("a legal name")
}

fn settings(pairs: &[(&str, &str)]) -> TopicSettings {
    TopicSettings::default().altered(pairs.iter().copied()).expect("legal settings")
}

/// A topic whose id follows from its name and `time`.
fn create(topic: &str, partitions: u32) -> CreateTopic {
    let id_bits = topic.bytes().fold(u128::from(partitions), |bits, byte| bits << 8 | u128::from(byte));
    let (name, settings) = (name(topic), TopicSettings::default());
    CreateTopic { name, id_bits, time: UnixMillis(7), partitions, partitions_per_shard_max: 100, settings }
}

impl Group {
    fn born(shards: u16) -> Group {
        let mut group = Group { machine: Metadata::new(), index: 0 };
        group.run(Command::Init(init(shards)));
        group
    }

    fn apply(&mut self, command: Command) -> Result<Applied> {
        let before = self.machine.rehearse(&command);
        self.index += 1;
        let after = self.machine.apply(self.index, &command.encode());
        assert_eq!(before, after, "a rehearsal says what will be");
        after
    }

    fn run(&mut self, command: Command) -> Applied {
        self.apply(command).expect("must not be refused")
    }

    fn refused(&mut self, command: Command) -> Error {
        let before = self.machine.clone();
        let error = self.apply(command).expect_err("must be refused");
        let after = Metadata { applied: before.applied, ..self.machine.clone() };
        assert_eq!(after.snapshot(), before.snapshot(), "a refused command changes nothing");
        error
    }

    fn create(&mut self, topic: &str, partitions: u32) -> Arc<Topic> {
        topic_of(self.run(Command::CreateTopic(create(topic, partitions))))
    }

    fn add(topic: TopicId, partitions: u32) -> Command {
        Command::AddPartitions { topic, partitions, partitions_per_shard_max: 100 }
    }
}

fn topic_of(applied: Applied) -> Arc<Topic> {
    match applied.outcome {
        Outcome::Topic(topic) => topic,
        other => panic!("no topic but {other:?}"),
    }
}

fn shards_of(topic: &Topic) -> Vec<u16> {
    topic.partitions.iter().map(|partition| partition.shard.0).collect()
}

fn groups_of(topic: &Topic) -> Vec<u64> {
    topic.partitions.iter().map(|partition| partition.group.0).collect()
}

#[test]
fn nothing_goes_before_birth() {
    let mut group = Group { machine: Metadata::new(), index: 0 };
    assert_eq!(group.refused(Command::AllocateProducers { count: 1 }).code, Code::NotReady);
    assert!(group.machine.view().birth().is_none());
}

#[test]
fn a_birth_may_be_repeated_but_not_changed() {
    let mut group = Group::born(2);
    let later = Init { time: UnixMillis(5), ..init(2) };
    assert_eq!(group.run(Command::Init(later)).outcome, Outcome::Unchanged);
    assert_eq!(group.refused(Command::Init(init(3))).code, Code::InvalidRequest);
    let view = group.machine.view();
    assert_eq!(view.birth().map(|birth| (birth.node, birth.shards)), Some((NODE, 2)));
    assert_eq!((view.version(), view.features()), (1, 1));
}

#[test]
fn a_birth_below_the_reserved_ids_is_refused() {
    for bad in [
        Init { shards: 0, ..init(1) },
        Init { next_group: GroupId(15), ..init(1) },
        Init { next_producer: ProducerId(-1), ..init(1) },
        Init { next_replica: ReplicaId(15), ..init(1) },
    ] {
        let mut group = Group { machine: Metadata::new(), index: 0 };
        assert_eq!(group.refused(Command::Init(bad)).code, Code::InvalidRequest);
    }
}

#[test]
fn a_new_topic_is_placed_announced_and_found_by_name_id_and_group() {
    let mut group = Group::born(2);
    let applied = group.run(Command::CreateTopic(create("orders", 3)));
    let born: Vec<_> = applied
        .events
        .iter()
        .map(|event| match event {
            Event::GroupBorn { group, partition, shard, replicas, .. } => {
                (group.0, partition.0, shard.0, replicas[0].0)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(born, [(16, 0, 0, 16), (17, 1, 1, 17), (18, 2, 0, 18)]);
    let topic = topic_of(applied);
    let view = group.machine.view();
    assert_eq!(view.topic("orders"), Some(&topic));
    assert_eq!(view.topic_by_id(topic.id), Some(&topic));
    let (found, partition) = view.partition(GroupId(18)).expect("group 18");
    assert_eq!(
        (found, partition.number, view.home(GroupId(18)).map(|home| home.shard)),
        (&topic, PartitionNumber(2), Some(ShardId(0)))
    );
    let on_0: Vec<_> = view.groups_of(ShardId(0)).map(|(group, _)| group.0).collect();
    assert_eq!((on_0, view.topic_count(), view.partition_count()), (vec![16, 18], 1, 3));
    assert!(view.home(GroupId::METADATA).is_none());
}

#[test]
fn a_topics_id_is_a_version_4_uuid_of_the_commands_random_bits() {
    let topic = Group::born(1).create("orders", 1);
    assert_eq!(topic.id, TopicId::from_random(create("orders", 1).id_bits));
    assert_eq!(topic.id.0.get_version_num(), 4);
}

#[test]
fn a_taken_name_is_refused_until_the_topic_is_deleted_and_then_gets_new_ids() {
    let mut group = Group::born(1);
    let old = group.create("orders", 2);
    assert_eq!(group.refused(Command::CreateTopic(create("orders", 1))).code, Code::TopicExists);
    group.run(Command::DeleteTopic { topic: old.id });
    assert_eq!(
        group.refused(Command::CreateTopic(create("orders", 2))).code,
        Code::Busy,
        "the id has a tombstone"
    );
    let new = group.create("orders", 1);
    assert_ne!(new.id, old.id);
    assert_eq!((groups_of(&old), groups_of(&new)), (vec![16, 17], vec![18]), "groups are never used again");
    assert!(group.machine.view().topic_by_id(old.id).is_none());
}

#[test]
fn a_topic_has_between_one_and_ten_thousand_partitions() {
    let mut group = Group::born(1);
    for partitions in [0, 10_001, u32::MAX] {
        let command = CreateTopic { partitions_per_shard_max: u32::MAX, ..create("orders", partitions) };
        assert_eq!(group.refused(Command::CreateTopic(command)).code, Code::InvalidPartitions);
    }
    let command = CreateTopic { partitions_per_shard_max: 10_000, ..create("orders", 10_000) };
    assert_eq!(topic_of(group.run(Command::CreateTopic(command))).partitions.len(), 10_000);
}

#[test]
fn partitions_beyond_the_limit_per_shard_are_refused_with_the_numbers() {
    let mut group = Group::born(2);
    group.create("orders", 199);
    let error = group.refused(Command::CreateTopic(create("more", 2)));
    assert_eq!(error.code, Code::LimitReached);
    assert!(error.message.contains("199") && error.message.contains("100 on each of 2 shards"), "{error}");
    group.create("one", 1);
}

#[test]
fn partitions_are_added_on_the_least_loaded_shards_and_never_taken_away() {
    let mut group = Group::born(3);
    let topic = group.create("orders", 2);
    assert_eq!(group.refused(Group::add(topic.id, 2)).code, Code::InvalidPartitions);
    assert_eq!(group.refused(Group::add(topic.id, 0)).code, Code::InvalidPartitions);
    assert_eq!(group.refused(Group::add(topic.id, 10_001)).code, Code::InvalidPartitions);
    assert_eq!(group.refused(Group::add(topic.id, 301)).code, Code::LimitReached);
    let applied = group.run(Group::add(topic.id, 4));
    assert_eq!(applied.events.len(), 2, "only the new ones are announced");
    let grown = topic_of(applied);
    assert_eq!((shards_of(&grown), groups_of(&grown)), (vec![0, 1, 2, 0], vec![16, 17, 18, 19]));
    assert_eq!(grown.partitions[..2], topic.partitions[..]);
    assert_eq!(group.machine.view().home(GroupId(19)).map(|home| home.partition), Some(PartitionNumber(3)));
}

#[test]
fn altering_sets_and_unsets_announces_and_keeps_the_rest() {
    let mut group = Group::born(1);
    let explicit = settings(&[("retention.ms", "1000"), ("segment.ms", "5")]);
    let command = CreateTopic { settings: explicit, ..create("orders", 1) };
    let topic = topic_of(group.run(Command::CreateTopic(command)));
    let alter =
        AlterTopic::from_pairs(topic.id, [("segment.ms", ""), ("retention.bytes", "99")]).expect("legal");
    let applied = group.run(Command::AlterTopic(alter.clone()));
    assert_eq!(applied.events, [Event::TopicAltered { topic: topic.id }]);
    assert_eq!(topic_of(applied).settings, settings(&[("retention.ms", "1000"), ("retention.bytes", "99")]));
    let version = group.machine.view().version();
    assert_eq!(group.run(Command::AlterTopic(alter)).outcome, Outcome::Unchanged);
    assert_eq!(group.machine.view().version(), version, "nothing changed");
}

#[test]
fn an_alteration_from_text_is_refused_whole() {
    let id = TopicId::from_random(1);
    for bad in [
        &[("retention.ms", "5"), ("no.such.key", "1")][..],
        &[("retention.ms", "soon")],
        &[("retention.ms", "5"), ("retention.ms", "6")],
        &[("retention.ms", "5"), ("retention.ms", "")],
        &[("retention.ms", ""), ("retention.ms", "")],
    ] {
        let error = AlterTopic::from_pairs(id, bad.iter().copied()).expect_err("must be refused");
        assert_eq!(error.code, Code::InvalidSetting, "{bad:?}");
    }
    let mut group = Group::born(1);
    let unset = vec!["no.such.key".to_string()];
    let topic = group.create("orders", 1).id;
    let alter = AlterTopic { topic, set: settings(&[("retention.ms", "1")]), unset };
    assert_eq!(group.refused(Command::AlterTopic(alter)).code, Code::InvalidSetting);
}

#[test]
fn commands_for_a_topic_that_is_gone_are_refused() {
    let mut group = Group::born(1);
    let topic = group.create("orders", 1).id;
    group.run(Command::DeleteTopic { topic });
    let alter = AlterTopic::from_pairs(topic, []).expect("empty");
    for command in [Command::DeleteTopic { topic }, Command::AlterTopic(alter), Group::add(topic, 5)] {
        assert_eq!(group.refused(command).code, Code::UnknownTopic);
    }
}

#[test]
fn a_deleted_topic_takes_room_until_every_shard_has_purged_it() {
    let mut group = Group::born(2);
    let topic = group.create("orders", 3);
    let applied = group.run(Command::DeleteTopic { topic: topic.id });
    let groups: Vec<_> = topic.partitions.iter().map(|p| (p.group, p.shard)).collect();
    assert_eq!(applied.events, [Event::TopicDeleted { topic: topic.id, groups: groups.clone() }]);
    assert_eq!(group.machine.tombstones().map(|tomb| tomb.groups.clone()).collect::<Vec<_>>(), [groups]);
    let unpurged: Vec<_> = group.machine.unpurged_groups_of(ShardId(0)).map(|(_, group)| group.0).collect();
    assert_eq!((unpurged, group.machine.held_by(ShardId(0))), (vec![16, 18], 2));
    let purge = |shard| Command::PurgeDone { topic: topic.id, shard: ShardId(shard) };
    assert_eq!(group.run(purge(0)).outcome, Outcome::Purged);
    assert_eq!(group.run(purge(0)).outcome, Outcome::Unchanged, "a repeat after a crash");
    assert_eq!((group.machine.held_by(ShardId(0)), group.machine.tombstones().count()), (0, 1));
    assert_eq!(group.run(purge(1)).outcome, Outcome::Purged);
    assert_eq!((group.machine.held_by(ShardId(1)), group.machine.tombstones().count()), (0, 0));
    assert_eq!(group.run(purge(9)).outcome, Outcome::Unchanged);
}

#[test]
fn producer_ids_are_given_once() {
    let mut group = Group::born(1);
    let first = group.run(Command::AllocateProducers { count: 1000 }).outcome;
    let second = group.run(Command::AllocateProducers { count: 5 }).outcome;
    assert_eq!(first, Outcome::Producers { first: ProducerId(0), count: 1000 });
    assert_eq!(second, Outcome::Producers { first: ProducerId(1000), count: 5 });
    assert_eq!(group.refused(Command::AllocateProducers { count: 0 }).code, Code::InvalidRequest);
}

#[test]
fn counters_at_their_end_refuse_and_never_wrap() {
    let mut group = Group { machine: Metadata::new(), index: 0 };
    let (next_group, next_producer) = (GroupId(u64::MAX - 1), ProducerId(i64::MAX - 1));
    group.run(Command::Init(Init { next_group, next_producer, ..init(1) }));
    assert_eq!(group.refused(Command::CreateTopic(create("orders", 2))).code, Code::LimitReached);
    assert_eq!(group.refused(Command::AllocateProducers { count: 2 }).code, Code::LimitReached);
    group.create("orders", 1);
    group.run(Command::AllocateProducers { count: 1 });
}

#[test]
fn features_are_only_ever_added() {
    let mut group = Group::born(1);
    assert_eq!(group.run(Command::FinalizeFeatures { features: 0b100 }).outcome, Outcome::Features(0b101));
    assert_eq!(group.run(Command::FinalizeFeatures { features: 0b001 }).outcome, Outcome::Unchanged);
    assert_eq!(group.machine.view().features(), 0b101);
}

#[test]
fn a_view_never_changes_under_its_reader() {
    let mut group = Group::born(1);
    let topic = group.create("orders", 1);
    let old = group.machine.view();
    group.create("more", 2);
    group.run(Command::DeleteTopic { topic: topic.id });
    assert_eq!(old.topics().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["orders"]);
    assert_eq!((old.partition_count(), old.topic("orders")), (1, Some(&topic)));
    let new = group.machine.view();
    assert_eq!(new.topics().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["more"]);
    assert!(new.version() > old.version());
}

#[test]
fn a_view_may_go_to_other_cores() {
    fn is_send<T: Send + Sync + 'static>() {}
    is_send::<MetadataView>();
}

#[test]
fn ten_thousand_partitions_in_a_thousand_topics_are_found_in_every_way() {
    let mut group = Group { machine: Metadata::new(), index: 0 };
    group.run(Command::Init(init(4)));
    let mut views = Vec::new();
    for number in 0..1000_u32 {
        let topic = format!("topic-{:04}", number.wrapping_mul(7919) % 1000);
        group.index += 1;
        let command = CreateTopic { partitions_per_shard_max: 2500, ..create(&topic, 10) };
        group.machine.apply(group.index, &Command::CreateTopic(command).encode()).expect("room");
        views.push(group.machine.view());
    }
    let view = views.last().expect("views");
    assert_eq!((view.topic_count(), view.partition_count()), (1000, 10_000));
    assert!((0..4).all(|shard| group.machine.held_by(ShardId(shard)) == 2500));
    for group in 16..10_016 {
        let (topic, partition) = view.partition(GroupId(group)).expect("every group");
        assert_eq!(partition.group, GroupId(group));
        assert_eq!(view.topic(topic.name.as_str()), Some(topic));
    }
    assert_eq!(views[9].topic_count(), 10, "old views stay");
}

#[test]
#[should_panic(expected = "is applied after")]
fn the_log_is_applied_once() {
    let mut group = Group::born(1);
    let _ = group.machine.apply(1, &[]);
}
