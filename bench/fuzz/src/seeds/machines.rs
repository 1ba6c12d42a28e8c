//! Commands and snapshots of the state machines, and what a checkpoint keeps.

use super::{Seed, seed};
use crate::targets::{TOPIC_BITS, born};
use bytes::{Bytes, BytesMut};
use flumen_engine::metadata::{AlterTopic, Command, CreateTopic, Init};
use flumen_engine::positions::{self, Bounds, Commit, Entry, Positions, SubscriptionName};
use flumen_engine::producers::{BatchSequence, Producers};
use flumen_log::{Damaged, GroupState};
use flumen_model::topic::{TopicName, TopicSettings};
use flumen_model::{Offset, PartitionNumber, ProducerId, ShardId, TopicId, UnixMillis};
use flumen_replication::{Conf, Index, Point, ReplicaId, Term};
use uuid::Uuid;

pub(super) fn seeds() -> Vec<Seed> {
    [metadata(), positions(), checkpoints()].concat()
}

fn topic() -> TopicId {
    TopicId::from_random(TOPIC_BITS)
}

fn settings() -> TopicSettings {
    let mut settings = TopicSettings::default();
    settings.set("retention.ms", "60000").expect("a legal value");
    settings.set("segment.bytes", "1048576").expect("a legal value");
    settings
}

fn metadata() -> Vec<Seed> {
    let init = Init::fresh(Uuid::from_u128(1), Uuid::from_u128(2), 2, 1, UnixMillis(1));
    let create = CreateTopic {
        name: TopicName::new("events").expect("a legal name"),
        id_bits: 8,
        time: UnixMillis(3),
        partitions: 2,
        partitions_per_shard_max: 100,
        settings: settings(),
    };
    let alter = AlterTopic { topic: topic(), set: settings(), unset: vec!["segment.ms".into()] };
    let commands = [
        ("init", Command::Init(init)),
        ("create", Command::CreateTopic(create)),
        ("delete", Command::DeleteTopic { topic: topic() }),
        ("alter", Command::AlterTopic(alter)),
        ("add", Command::AddPartitions { topic: topic(), partitions: 5, partitions_per_shard_max: 100 }),
        ("producers", Command::AllocateProducers { count: 1000 }),
        ("purged", Command::PurgeDone { topic: topic(), shard: ShardId(1) }),
        ("features", Command::FinalizeFeatures { features: 3 }),
    ];
    let mut seeds: Vec<_> =
        commands.iter().map(|(name, command)| seed("metadata_command", *name, command.encode())).collect();
    let mut encoded = BytesMut::new();
    settings().encode(&mut encoded);
    seeds.push(seed("settings", "two", &encoded));
    let mut state = born();
    seeds.push(seed("metadata_snapshot", "unborn", flumen_engine::metadata::Metadata::new().snapshot()));
    for (index, place) in [(3, 1), (4, 2)] {
        state.apply(index, &commands[place].1.encode()).expect("it fits the state");
    }
    seeds.push(seed("metadata_snapshot", "tombstone", state.snapshot()));
    seeds
}

fn positions() -> Vec<Seed> {
    let subscription = || SubscriptionName::new("billing").expect("a legal name");
    let entry = |partition| Entry {
        topic: topic(),
        partition: PartitionNumber(partition),
        offset: Offset(40 + u64::from(partition)),
        leader_epoch: -1,
        metadata: "left".into(),
    };
    let commit = Commit {
        subscription: subscription(),
        time: UnixMillis(5),
        bounds: Bounds { subscriptions_max: 10, state_bytes_max: 1 << 20 },
        entries: vec![entry(0), entry(2)],
    };
    let commands = [
        ("commit", positions::Command::Commit(commit)),
        ("delete", positions::Command::DeleteSubscription { subscription: subscription() }),
        ("topic", positions::Command::DeleteTopic { topic: topic() }),
        (
            "reset",
            positions::Command::Reset {
                subscription: subscription(),
                topic: topic(),
                partitions: vec![PartitionNumber(2)],
            },
        ),
        ("expire", positions::Command::Expire { now: UnixMillis(9), unused_ms: 1 }),
    ];
    let mut seeds: Vec<_> =
        commands.iter().map(|(name, command)| seed("positions_command", *name, command.encode())).collect();
    let mut state = Positions::new();
    state.apply(1, &commands[0].1.encode()).expect("it fits");
    seeds.push(seed("positions_snapshot", "one", state.snapshot()));
    seeds
}

fn checkpoints() -> Vec<Seed> {
    let voters = Conf::of_voters([ReplicaId(17), ReplicaId(18), ReplicaId(19)]);
    let joint = Conf {
        voters_outgoing: vec![ReplicaId(17), ReplicaId(20)],
        learners: vec![ReplicaId(30)],
        learners_next: vec![ReplicaId(20)],
        auto_leave: true,
        ..voters.clone()
    };
    joint.check().expect("a legal configuration");
    let start = Point { index: Index(7), term: Term(2), conf: voters.clone() };
    let born = GroupState::birth(topic(), PartitionNumber(1), ReplicaId(17), start);
    let producers = producers();
    let mut used = GroupState { next_offset: Offset(90), machine: producers.clone(), ..born.clone() };
    used.note_epoch(Term(1), Offset(0));
    used.note_epoch(Term(2), Offset(50));
    used.damaged = Some(Damaged { from: Offset(60), to: Offset(70) });
    vec![
        seed("raft_conf", "voters", voters.encode()),
        seed("raft_conf", "joint", joint.encode()),
        seed("group_state", "born", born.encode()),
        seed("group_state", "used", used.encode()),
        seed("producers", "three", &producers),
    ]
}

fn producers() -> Bytes {
    let mut table = Producers::new(8);
    for number in 0..12 {
        let sequence = BatchSequence {
            producer: ProducerId(number % 3),
            epoch: 1,
            base_sequence: (number / 3) as i32 * 2,
            count: 2,
        };
        table.replay(&sequence, Offset(number as u64 * 2), UnixMillis(number));
    }
    let mut out = BytesMut::new();
    table.snapshot(&mut out);
    out.freeze()
}
