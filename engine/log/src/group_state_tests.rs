//! Golden bytes and hostile bytes of a group's state.

use super::*;
use proptest::prelude::*;

fn state() -> GroupState {
    let start = Point { index: Index(7), term: Term(3), conf: Conf::of_voters([ReplicaId(17)]) };
    let mut state =
        GroupState::birth(TopicId(uuid::Uuid::from_u128(0x0102)), PartitionNumber(5), ReplicaId(17), start);
    state.hard_state = HardState { term: Term(3), vote: ReplicaId(17), commit: Index(9) };
    state.log_start = Offset(100);
    state.next_offset = Offset(200);
    state.epochs = vec![(Term(2), Offset(50)), (Term(3), Offset(150))];
    state.damaged = Some(Damaged { from: Offset(160), to: Offset(170) });
    state.segments = Bytes::from_static(b"seg");
    state.machine = Bytes::from_static(b"machine");
    state
}

#[test]
fn the_layout_of_version_1_stays_as_it_is() {
    let hex: String = state().encode().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = concat!(
        "01",
        "01",
        "02010000000000000000000000000000",
        "05000000",
        "1100000000000000", // who
        "0700000000000000",
        "03000000", // start
        "12000000",
        "010001000000000000001100000000000000", // configuration
        "03000000",
        "1100000000000000",
        "0900000000000000", // hard state
        "6400000000000000",
        "c800000000000000", // offsets
        "02000000",
        "02000000",
        "3200000000000000",
        "03000000",
        "9600000000000000", // epochs
        "a000000000000000",
        "aa00000000000000", // damage
        "03000000",
        "736567",
        "07000000",
        "6d616368696e65",
    );
    assert_eq!(hex, expected);
    assert_eq!(GroupState::decode(state().encode(), GroupId(20)), Ok(state()));
}

#[test]
fn a_newer_version_is_refused_with_both_numbers() {
    let mut bytes = state().encode().to_vec();
    bytes[0] = 2;
    let error = GroupState::decode(bytes.into(), GroupId(20)).unwrap_err();
    assert_eq!(error.code, Code::Unsupported);
    assert!(error.message.contains('2') && error.message.contains('1'), "{error}");
}

#[test]
fn epochs_are_noted_once_and_forgotten_below_the_log_start() {
    let mut state = state();
    state.note_epoch(Term(3), Offset(180));
    state.note_epoch(Term(4), Offset(200));
    assert_eq!(state.epochs, [(Term(2), Offset(50)), (Term(3), Offset(150)), (Term(4), Offset(200))]);
    state.move_log_start(Offset(150));
    assert_eq!(state.epochs, [(Term(3), Offset(150)), (Term(4), Offset(200))]);
}

#[test]
fn a_log_start_never_moves_back() {
    let mut state = state();
    state.move_log_start(Offset(150));
    let moved = state.clone();
    state.move_log_start(Offset(120));
    assert_eq!(state, moved);
}

proptest! {
    #[test]
    fn cut_or_changed_bytes_never_panic(cut in 0_usize..200, at in 0_usize..200, mask: u8) {
        let mut bytes = state().encode().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= mask;
        bytes.truncate(cut.max(1));
        let _ = GroupState::decode(bytes.into(), GroupId(20));
    }
}
