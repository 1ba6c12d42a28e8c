//! What the positions' state machine guarantees, with golden bytes and random histories against a plain model.

use super::*;
use flumen_model::Offset;
use proptest::prelude::*;

fn name(name: &str) -> SubscriptionName {
    SubscriptionName::new(name).expect("a legal name")
}

fn topic(number: u128) -> TopicId {
    TopicId(uuid::Uuid::from_u128(number))
}

const BOUNDS: Bounds = Bounds { subscriptions_max: 3, state_bytes_max: 1000 };

fn entry(of: u128, partition: u32, offset: u64, metadata: &str) -> Entry {
    let (topic, partition, offset) = (topic(of), PartitionNumber(partition), Offset(offset));
    Entry { topic, partition, offset, leader_epoch: 2, metadata: metadata.into() }
}

fn commit(subscription: &str, time: i64, entries: Vec<Entry>) -> Command {
    Command::Commit(Commit {
        subscription: name(subscription),
        time: UnixMillis(time),
        bounds: BOUNDS,
        entries,
    })
}

/// A machine and the index of its next command.
#[derive(Default)]
struct Group {
    machine: Positions,
    index: u64,
}

impl Group {
    fn apply(&mut self, command: Command) -> Result<Outcome> {
        self.index += 1;
        self.machine.apply(self.index, &command.encode())
    }

    fn run(&mut self, command: Command) -> Outcome {
        let outcome = self.apply(command).expect("must not be refused");
        let head = 2 + 8 + 4;
        assert_eq!(
            self.machine.snapshot().len() as u64,
            head + self.machine.state_bytes(),
            "the bytes are counted"
        );
        outcome
    }

    fn refused(&mut self, command: Command) -> Error {
        let before = Positions { applied: self.index + 1, ..self.machine.clone() };
        let error = self.apply(command).expect_err("must be refused");
        assert_eq!(self.machine.snapshot(), before.snapshot(), "a refused command changes nothing");
        error
    }

    fn offset(&self, subscription: &str, of: u128, partition: u32) -> Option<u64> {
        let position =
            self.machine.subscription(subscription)?.position(topic(of), PartitionNumber(partition))?;
        Some(position.offset.0)
    }
}

#[test]
fn a_commit_makes_the_subscription_and_the_last_one_holds() {
    let mut group = Group::default();
    assert_eq!(group.run(commit("s", 10, vec![entry(1, 0, 5, "x"), entry(1, 1, 6, "")])), Outcome::Committed);
    group.run(commit("s", 12, vec![entry(1, 0, 3, "back"), entry(1, 1, 7, "a"), entry(1, 1, 8, "bc")]));
    let subscription = group.machine.subscription("s").expect("it was made");
    let positions: Vec<_> =
        subscription.positions().map(|(_, number, p)| (number.0, p.offset.0, &*p.metadata)).collect();
    assert_eq!(positions, [(0, 3, "back"), (1, 8, "bc")], "backwards is allowed, and the later of two holds");
    let position = subscription.position(topic(1), PartitionNumber(0)).expect("committed");
    assert_eq!(
        (position.leader_epoch, position.time, subscription.used()),
        (2, UnixMillis(12), UnixMillis(12))
    );
    assert_eq!(group.machine.subscriptions().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["s"]);
}

#[test]
fn subscriptions_beyond_the_limit_are_refused_and_known_ones_go_on() {
    let mut group = Group::default();
    for subscription in ["a", "b", "c"] {
        group.run(commit(subscription, 1, vec![]));
    }
    let error = group.refused(commit("d", 1, vec![]));
    assert_eq!(error.code, Code::LimitReached);
    assert!(error.message.contains("limit of 3"), "{error}");
    group.run(commit("c", 2, vec![entry(1, 0, 1, "")]));
    group.run(Command::DeleteSubscription { subscription: name("a") });
    group.run(commit("d", 1, vec![]));
}

#[test]
fn a_state_at_its_limit_takes_commits_that_do_not_grow_it() {
    let mut group = Group::default();
    let big = "m".repeat(800);
    group.run(commit("a", 1, vec![entry(1, 0, 1, &big), entry(1, 1, 1, "")]));
    let error = group.refused(commit("a", 2, vec![entry(1, 0, 9, ""), entry(2, 0, 1, &"n".repeat(60))]));
    assert_eq!(error.code, Code::LimitReached);
    assert!(error.message.contains("the limit is 1000"), "{error}");
    assert_eq!(group.refused(commit("b", 2, vec![entry(2, 0, 1, &"n".repeat(60))])).code, Code::LimitReached);
    group.run(commit("a", 2, vec![entry(1, 0, 2, &big)]));
    let lower = Bounds { state_bytes_max: 10, ..BOUNDS };
    let entries = vec![entry(1, 0, 3, "small")];
    let smaller = Commit { subscription: name("a"), time: UnixMillis(3), bounds: lower, entries };
    group.run(Command::Commit(smaller));
    assert_eq!(group.offset("a", 1, 0), Some(3));
}

#[test]
fn metadata_beyond_the_limit_are_refused() {
    assert_eq!(POSITION_METADATA_BYTES_MAX, 4096, "Kafka's offset.metadata.max.bytes");
    assert!(check_metadata(&"m".repeat(4096)).is_ok());
    let mut group = Group::default();
    let entries = vec![entry(1, 0, 1, &"m".repeat(4097))];
    assert_eq!(group.refused(commit("a", 1, entries)).code, Code::InvalidRequest);
    assert!(group.machine.is_empty());
}

#[test]
fn a_deleted_subscription_is_unknown() {
    let mut group = Group::default();
    group.run(commit("a", 1, vec![entry(1, 0, 1, "")]));
    let delete = Command::DeleteSubscription { subscription: name("a") };
    assert_eq!(group.run(delete.clone()), Outcome::Deleted);
    assert_eq!(group.refused(delete).code, Code::UnknownSubscription);
    assert_eq!((group.machine.len(), group.machine.state_bytes()), (0, 0));
}

#[test]
fn a_deleted_topic_is_forgotten_everywhere_and_nothing_else_is() {
    let mut group = Group::default();
    group.run(commit("a", 1, vec![entry(1, 0, 1, ""), entry(2, u32::MAX, 1, "m"), entry(3, 0, 1, "")]));
    group.run(commit("b", 1, vec![entry(2, 0, 1, "")]));
    assert_eq!(group.run(Command::DeleteTopic { topic: topic(2) }), Outcome::Forgotten(2));
    assert_eq!(
        (group.offset("a", 1, 0), group.offset("a", 2, u32::MAX), group.offset("a", 3, 0)),
        (Some(1), None, Some(1))
    );
    assert_eq!((group.offset("b", 2, 0), group.machine.len()), (None, 2), "an empty subscription stays");
    assert_eq!(group.run(Command::DeleteTopic { topic: topic(2) }), Outcome::Forgotten(0));
}

#[test]
fn a_reset_forgets_some_or_all_partitions_of_one_subscription() {
    let mut group = Group::default();
    let all = || (0..4).map(|partition| entry(1, partition, 9, "")).collect();
    group.run(commit("a", 1, all()));
    group.run(commit("b", 1, all()));
    let reset = |subscription, partitions: &[u32]| Command::Reset {
        subscription: name(subscription),
        topic: topic(1),
        partitions: partitions.iter().copied().map(PartitionNumber).collect(),
    };
    assert_eq!(group.run(reset("a", &[1, 1, 3, 77])), Outcome::Forgotten(2));
    assert_eq!((group.offset("a", 1, 0), group.offset("a", 1, 1)), (Some(9), None));
    assert_eq!(group.run(reset("a", &[])), Outcome::Forgotten(2));
    assert_eq!(group.offset("b", 1, 1), Some(9));
    assert_eq!(group.refused(reset("c", &[])).code, Code::UnknownSubscription);
}

#[test]
fn only_subscriptions_without_a_newer_commit_expire() {
    let mut group = Group::default();
    group.run(commit("old", 100, vec![entry(1, 0, 1, "")]));
    group.run(commit("edge", 150, vec![]));
    group.run(commit("kept", 300, vec![]));
    group.run(commit("kept", 90, vec![]));
    let expire = |now, unused_ms| Command::Expire { now: UnixMillis(now), unused_ms };
    assert_eq!(group.run(expire(200, 50)), Outcome::Expired(1));
    assert_eq!(
        group.machine.subscriptions().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["edge", "kept"]
    );
    assert_eq!(group.run(expire(i64::MIN, u64::MAX)), Outcome::Expired(0), "no overflow");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every command with its golden bytes.
fn golden() -> Vec<(Command, &'static str)> {
    let (subscription, topic) = (name("ab"), topic(0xa1));
    let reset =
        Command::Reset { subscription: subscription.clone(), topic, partitions: vec![PartitionNumber(4)] };
    vec![
        (
            commit("ab", -2, vec![entry(0xa1, 3, 0x0102, "m")]),
            "0100 0100 02000000 6162 feffffffffffffff 03000000 e803000000000000 01000000 \
             000000000000000000000000000000a1 0201000000000000 03000000 02000000 01000000 6d",
        ),
        (Command::DeleteSubscription { subscription }, "0200 0100 02000000 6162"),
        (Command::DeleteTopic { topic }, "0300 0100 000000000000000000000000000000a1"),
        (reset, "0400 0100 02000000 6162 000000000000000000000000000000a1 01000000 04000000"),
        (Command::Expire { now: UnixMillis(7), unused_ms: 8 }, "0500 0100 0700000000000000 0800000000000000"),
    ]
}

#[test]
fn every_command_of_version_1_has_these_bytes_and_comes_back() {
    for (command, bytes) in golden() {
        assert_eq!(hex(&command.encode()), bytes.replace(' ', ""), "{command:?}");
        assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
}

#[test]
fn another_version_or_kind_is_refused_cleanly() {
    for (command, _) in golden() {
        let mut bytes = command.encode().to_vec();
        bytes[2] = 2;
        assert_eq!(Command::decode(&bytes).expect_err("version 2").code, Code::Unsupported);
        bytes[..4].copy_from_slice(&[32, 0, 1, 0]);
        assert_eq!(Command::decode(&bytes).expect_err("a group's command").code, Code::Unsupported);
    }
}

#[test]
fn a_cut_or_longer_command_is_refused() {
    for (command, _) in golden() {
        let bytes = command.encode();
        for end in 0..bytes.len() {
            assert_eq!(Command::decode(&bytes[..end]).expect_err("cut").code, Code::InvalidRequest);
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Command::decode(&longer).expect_err("longer").code, Code::InvalidRequest);
    }
}

fn state() -> Positions {
    let mut group = Group::default();
    group.run(commit("ab", 7, vec![entry(0xa1, 3, 0x0102, "m"), entry(0xa1, 1, 4, "")]));
    group.run(commit("b", 8, vec![]));
    group.machine
}

#[test]
fn a_snapshot_of_version_1_has_these_bytes_and_comes_back() {
    let golden = "0100 0200000000000000 02000000 \
        02000000 6162 0700000000000000 02000000 \
        000000000000000000000000000000a1 0400000000000000 0700000000000000 01000000 02000000 00000000 \
        000000000000000000000000000000a1 0201000000000000 0700000000000000 03000000 02000000 01000000 6d \
        01000000 62 0800000000000000 00000000";
    assert_eq!(hex(&state().snapshot()), golden.replace(' ', ""));
    let restored = Positions::restore(&state().snapshot()).expect("its own bytes");
    assert_eq!((restored.snapshot(), restored.state_bytes()), (state().snapshot(), state().state_bytes()));
}

#[test]
fn a_damaged_snapshot_is_corrupt_and_another_version_unsupported() {
    let bytes = state().snapshot();
    for end in 0..bytes.len() {
        assert_eq!(Positions::restore(&bytes[..end]).expect_err("cut").code, Code::Corrupt);
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Positions::restore(&longer).expect_err("longer").code, Code::Corrupt);
    let version = [&[2], &bytes[1..]].concat();
    assert_eq!(Positions::restore(&version).expect_err("version 2").code, Code::Unsupported);
}

fn step() -> impl Strategy<Value = Option<Command>> {
    let subscription = prop::sample::select(vec!["a", "b", "c", "d"]);
    let entries = prop::collection::vec((0..3_u128, 0..3_u32, any::<u64>(), "[a-z]{0,40}"), 0..4);
    let entries =
        entries.prop_map(|entries| entries.iter().map(|(t, p, o, m)| entry(*t, *p, *o, m)).collect());
    let partitions = prop::collection::vec((0..3_u32).prop_map(PartitionNumber), 0..3);
    prop_oneof![
        8 => (subscription.clone(), 0..500_i64, entries).prop_map(|(s, time, entries)| Some(commit(s, time, entries))),
        1 => subscription.clone().prop_map(|s| Some(Command::DeleteSubscription { subscription: name(s) })),
        1 => (0..3_u128).prop_map(|t| Some(Command::DeleteTopic { topic: topic(t) })),
        1 => (subscription, 0..3_u128, partitions).prop_map(|(s, t, partitions)| {
            Some(Command::Reset { subscription: name(s), topic: topic(t), partitions })
        }),
        1 => (0..600_i64).prop_map(|now| Some(Command::Expire { now: UnixMillis(now), unused_ms: 100 })),
        1 => Just(None),
    ]
}

/// Name, topic and partition to offset and metadata: what a refused command leaves and an accepted one changes.
type Model = BTreeMap<(String, TopicId, PartitionNumber), (u64, String)>;

fn play(model: &mut Model, command: &Command, still: &Positions) {
    match command {
        Command::Commit(commit) => {
            for Entry { topic, partition, offset, metadata, .. } in &commit.entries {
                let key = (commit.subscription.to_string(), *topic, *partition);
                model.insert(key, (offset.0, metadata.to_string()));
            }
        }
        Command::DeleteTopic { topic } => model.retain(|(_, of, _), _| of != topic),
        Command::Reset { subscription, topic, partitions } => model.retain(|(name, of, number), _| {
            name != subscription.as_str()
                || of != topic
                || !(partitions.is_empty() || partitions.contains(number))
        }),
        Command::DeleteSubscription { .. } | Command::Expire { .. } => {
            model.retain(|(name, _, _), _| still.subscription(name).is_some());
        }
    }
}

proptest! {
    #[test]
    fn replicas_stay_alike_through_any_history_and_any_restart(steps in prop::collection::vec(step(), 1..100)) {
        let (mut replica, mut restarted, mut model) = (Positions::new(), Positions::new(), Model::new());
        for (index, step) in (1..).zip(steps) {
            let Some(command) = step else {
                restarted = Positions::restore(&restarted.snapshot()).expect("its own bytes");
                continue;
            };
            let outcome = replica.apply(index, &command.encode());
            prop_assert_eq!(&restarted.apply(index, &command.encode()), &outcome);
            prop_assert_eq!(replica.snapshot(), restarted.snapshot());
            prop_assert_eq!(replica.snapshot().len() as u64, 14 + replica.state_bytes());
            prop_assert!(replica.len() <= 3 && replica.state_bytes() <= 1000);
            if outcome.is_ok() {
                play(&mut model, &command, &replica);
            }
            let found: Model = replica.subscriptions().flat_map(|(name, subscription)| {
                subscription.positions().map(|(topic, number, position)| {
                    ((name.to_string(), topic, number), (position.offset.0, position.metadata.to_string()))
                })
            }).collect();
            prop_assert_eq!(&found, &model);
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..8_u8) {
        let _ = Positions::restore(&bytes);
        let _ = Positions::new().apply(1, &bytes);
        if bytes.len() >= 4 {
            bytes[..4].copy_from_slice(&[kind, 0, 1, 0]);
            let _ = Positions::new().apply(1, &bytes);
            bytes[..2].copy_from_slice(&[1, 0]);
            let _ = Positions::restore(&bytes);
        }
    }

    #[test]
    fn a_flipped_byte_is_refused_or_gives_a_state_that_writes_it_again(place in any::<usize>(), flip in 1..=255_u8) {
        let mut bytes = state().snapshot().to_vec();
        let place = place % bytes.len();
        bytes[place] ^= flip;
        if let Ok(state) = Positions::restore(&bytes) {
            prop_assert_eq!(state.snapshot(), bytes);
        }
    }
}
