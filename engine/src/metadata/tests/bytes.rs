//! Golden bytes of every command and of the snapshot, and what becomes of bytes that are none.

use super::*;
use proptest::prelude::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id() -> TopicId {
    TopicId(Uuid::from_u128(0xa0a1_a2a3_a4a5_a6a7_a8a9_aaab_acad_aeaf))
}

/// Every command with its golden bytes.
fn golden() -> Vec<(Command, &'static str)> {
    let create = CreateTopic {
        name: name("ab"),
        id_bits: 0x0102,
        time: UnixMillis(-2),
        partitions: 3,
        partitions_per_shard_max: 9,
        settings: settings(&[("retention.ms", "5")]),
    };
    let alter = AlterTopic::from_pairs(id(), [("retention.bytes", "6"), ("segment.ms", "")]).expect("legal");
    let purge = Command::PurgeDone { topic: id(), shard: ShardId(0x0102) };
    let add = Command::AddPartitions { topic: id(), partitions: 8, partitions_per_shard_max: 9 };
    vec![
        (
            Command::Init(init(2)),
            "0100 0100 0102030405060708090a0b0c0d0e0f10 000000000000000000000000000000d1 0200 0100000000000000 \
             0068e5cf8b010000 1000000000000000 0000000000000000 1000000000000000",
        ),
        (
            Command::CreateTopic(create),
            "0200 0100 02010000000000000000000000000000 feffffffffffffff 03000000 09000000 02000000 6162 \
             01 01 01 0500000000000000",
        ),
        (Command::DeleteTopic { topic: id() }, "0300 0100 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"),
        (
            Command::AlterTopic(alter),
            "0400 0100 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 01 01 02 0600000000000000 01000000 \
             0a000000 7365676d656e742e6d73",
        ),
        (add, "0500 0100 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 08000000 09000000"),
        (Command::AllocateProducers { count: 1000 }, "0600 0100 e8030000"),
        (purge, "0700 0100 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 0201"),
        (Command::FinalizeFeatures { features: 0x8001 }, "0800 0100 0180000000000000"),
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
    }
    assert_eq!(Command::decode(&[9, 0, 1, 0]).expect_err("kind 9").code, Code::Unsupported);
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

#[test]
fn an_illegal_topic_name_is_refused() {
    let mut bytes = golden()[1].0.encode().to_vec();
    let at = bytes.windows(2).position(|two| two == b"ab").expect("the name");
    bytes[at] = b'/';
    let mut group = Group::born(1);
    assert_eq!(group.machine.apply(2, &bytes).expect_err("a slash").code, Code::InvalidName);
    assert_eq!(group.machine.applied(), 2, "a refused command is applied all the same");
}

/// A state with a topic, a grown topic and a tombstone.
fn state() -> Metadata {
    let mut group = Group::born(2);
    let command = CreateTopic { settings: settings(&[("retention.ms", "5")]), ..create("b", 1) };
    group.run(Command::CreateTopic(command));
    let gone = group.create("a", 1);
    group.run(Command::DeleteTopic { topic: gone.id });
    group.run(Command::AllocateProducers { count: 3 });
    group.machine
}

#[test]
fn a_snapshot_of_version_1_has_these_bytes() {
    let golden = "0100 0200 00000000 0500000000000000 0400000000000000 0100000000000000 1200000000000000 \
        0300000000000000 1200000000000000 0102030405060708090a0b0c0d0e0f10 000000000000000000000000000000d1 \
        0068e5cf8b010000 \
        01000000 00000000000040008000000000000162 0700000000000000 01000000 62 01 01 01 0500000000000000 \
        01000000 1000000000000000 00000000 0000 0100 1000000000000000 \
        01000000 00000000000040008000000000000161 01000000 61 01000000 1100000000000000 0100";
    assert_eq!(hex(&state().snapshot()), golden.replace(' ', ""));
    assert_eq!(hex(&Metadata::new().snapshot()), format!("0100{}", "00".repeat(102)));
}

#[test]
fn a_snapshot_comes_back_whole() {
    for state in [Metadata::new(), Group::born(3).machine, state()] {
        let restored = Metadata::restore(&state.snapshot()).expect("its own bytes");
        assert_eq!(restored.snapshot(), state.snapshot());
        assert_eq!(restored.loads, state.loads);
    }
}

#[test]
fn a_snapshot_of_another_version_is_refused_cleanly() {
    let mut bytes = state().snapshot().to_vec();
    bytes[0] = 2;
    assert_eq!(Metadata::restore(&bytes).expect_err("version 2").code, Code::Unsupported);
}

#[test]
fn a_cut_or_longer_snapshot_is_corrupt() {
    let bytes = state().snapshot();
    for end in 0..bytes.len() {
        assert_eq!(Metadata::restore(&bytes[..end]).expect_err("cut").code, Code::Corrupt);
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Metadata::restore(&longer).expect_err("longer").code, Code::Corrupt);
}

#[test]
fn a_snapshot_that_gives_a_group_twice_is_corrupt() {
    let mut bytes = state().snapshot().to_vec();
    let at = bytes.len() - 10;
    assert_eq!(bytes[at], 17);
    bytes[at] = 16;
    assert_eq!(Metadata::restore(&bytes).expect_err("group 16 twice").code, Code::Corrupt);
    bytes[at] = 18;
    assert_eq!(Metadata::restore(&bytes).expect_err("group 18 was never given").code, Code::Corrupt);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..12_u8) {
        let _ = Metadata::restore(&bytes);
        let _ = Group::born(1).machine.apply(2, &bytes);
        if bytes.len() >= 4 {
            bytes[..4].copy_from_slice(&[1, 0, 1, 0]);
            let _ = Metadata::restore(&bytes);
            bytes[0] = kind;
            let _ = Metadata::new().apply(2, &bytes);
            let _ = Group::born(1).machine.apply(2, &bytes);
        }
    }

    #[test]
    fn a_flipped_byte_is_refused_or_gives_a_state_that_writes_it_again(place in any::<usize>(), flip in 1..=255_u8) {
        let mut bytes = state().snapshot().to_vec();
        let place = place % bytes.len();
        bytes[place] ^= flip;
        if let Ok(state) = Metadata::restore(&bytes) {
            prop_assert_eq!(state.snapshot(), bytes);
        }
    }

    #[test]
    fn a_flipped_byte_of_a_command_never_panics(which in 0..8_usize, place in any::<usize>(), flip in 1..=255_u8) {
        let mut bytes = golden()[which].0.encode().to_vec();
        let place = place % bytes.len();
        bytes[place] ^= flip;
        if let Ok(command) = Command::decode(&bytes) {
            prop_assert_eq!(&command.encode()[..], &bytes[..]);
        }
        let _ = Group::born(2).machine.apply(2, &bytes);
    }
}
