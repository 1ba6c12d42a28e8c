//! What replicas agree on, as bytes: commands, snapshots, configurations. What is taken has one meaning and comes
//! back the same; a command changes a state that can be saved and restored.

use bytes::{Bytes, BytesMut};
use flumen_engine::metadata::{self, Init, Metadata};
use flumen_engine::positions::{self, Positions};
use flumen_engine::producers::Producers;
use flumen_log::GroupState;
use flumen_model::topic::{TopicName, TopicSettings};
use flumen_model::{GroupId, UnixMillis};
use flumen_replication::Conf;
use uuid::Uuid;

/// The topic that the commands of the corpus speak of.
pub(crate) const TOPIC_BITS: u128 = 7;

/// Metadata that were born, with one topic of three partitions on two shards.
pub(crate) fn born() -> Metadata {
    let mut state = Metadata::new();
    let init = Init::fresh(Uuid::from_u128(1), Uuid::from_u128(2), 2, 0, UnixMillis(1));
    let create = metadata::CreateTopic {
        name: TopicName::new("orders").expect("a legal name"),
        id_bits: TOPIC_BITS,
        time: UnixMillis(2),
        partitions: 3,
        partitions_per_shard_max: 100,
        settings: TopicSettings::default(),
    };
    for (index, command) in
        [metadata::Command::Init(init), metadata::Command::CreateTopic(create)].iter().enumerate()
    {
        state.apply(index as u64 + 1, &command.encode()).expect("a fresh state takes it");
    }
    state
}

pub(super) fn metadata_command(data: &[u8]) {
    if let Ok(command) = metadata::Command::decode(data) {
        assert_eq!(command.encode(), data, "a command has one form");
    }
    let mut state = born();
    let before = state.snapshot();
    if state.apply(3, data).is_err() {
        assert_eq!(
            before[APPLIED_END..],
            state.snapshot()[APPLIED_END..],
            "a refused command changes nothing"
        );
    }
    metadata_comes_back(&state);
}

/// Version, shards, reserved and applied index: what even a refused command may change ends here.
const APPLIED_END: usize = 2 + 2 + 4 + 8;

pub(super) fn metadata_snapshot(data: &[u8]) {
    if let Ok(state) = Metadata::restore(data) {
        assert_eq!(state.snapshot(), data, "a state has one form");
    }
}

fn metadata_comes_back(state: &Metadata) {
    let bytes = state.snapshot();
    let again = Metadata::restore(&bytes).expect("what was saved is restored");
    assert_eq!(again.snapshot(), bytes, "and is the same");
}

pub(super) fn positions_command(data: &[u8]) {
    if let Ok(command) = positions::Command::decode(data) {
        assert_eq!(command.encode(), data, "a command has one form");
    }
    let mut state = Positions::new();
    // What it did is the proposer's business; twice, for what only a second time can go wrong.
    for index in 1..=2 {
        let _ = state.apply(index, data);
    }
    let bytes = state.snapshot();
    let again = Positions::restore(&bytes).expect("what was saved is restored");
    assert_eq!(again.snapshot(), bytes, "and is the same");
    assert_eq!(again.state_bytes(), state.state_bytes(), "its size is counted as it grows and as it is read");
}

pub(super) fn positions_snapshot(data: &[u8]) {
    if let Ok(state) = Positions::restore(data) {
        assert_eq!(state.snapshot(), data, "a state has one form");
    }
}

pub(super) fn producers(data: &[u8]) {
    const PRODUCERS_MAX: usize = 8;
    let Ok(table) = Producers::restore(data, PRODUCERS_MAX) else { return };
    assert!(table.len() <= PRODUCERS_MAX, "the table is bounded");
    let mut bytes = BytesMut::new();
    table.snapshot(&mut bytes);
    assert!(data.ends_with(&bytes[6..]), "what is kept are the newest, as they were");
    let again = Producers::restore(&bytes, PRODUCERS_MAX).expect("what was saved is restored");
    assert!(again.describe().eq(table.describe()), "and is the same");
}

pub(super) fn raft_conf(data: &[u8]) {
    if let Ok(conf) = Conf::decode(data) {
        assert_eq!(conf.encode(), data, "a configuration has one form");
    }
}

pub(super) fn group_state(data: &[u8]) {
    let group = GroupId::FIRST_DATA;
    if let Ok(state) = GroupState::decode(Bytes::copy_from_slice(data), group) {
        assert_eq!(GroupState::decode(state.encode(), group).as_ref(), Ok(&state), "a state comes back");
    }
}
