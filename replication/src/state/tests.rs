//! Tests of what boot accepts.

use super::*;
use crate::entry::EntryKind;
use bytes::Bytes;

fn entry(index: u64, term: u32) -> Entry {
    Entry { index: Index(index), term: Term(term), kind: EntryKind::Noop, data: Bytes::new() }
}

fn good() -> Restored {
    let conf = Conf::of_voters([ReplicaId(1)]);
    Restored {
        hard_state: HardState { term: Term(4), vote: ReplicaId(1), commit: Index(12) },
        start: Point { index: Index(9), term: Term(2), conf: conf.clone() },
        confs: vec![(Index(10), conf)],
        entries: vec![entry(11, 3), entry(12, 3), entry(13, 4)],
        applied: Index(10),
        terms: vec![(Index(9), Term(2)), (Index(11), Term(3)), (Index(13), Term(4))],
        last: (Index(13), Term(4)),
    }
}

fn with(change: impl FnOnce(&mut Restored)) -> Result<(), RestoredError> {
    let mut restored = good();
    change(&mut restored);
    restored.check()
}

#[test]
fn an_honest_disk_is_accepted() {
    assert_eq!(good().check(), Ok(()));
    assert_eq!(Restored::joining().check(), Ok(()));
    let point = Point { index: Index(1), term: Term(1), conf: Conf::of_voters([ReplicaId(7)]) };
    assert_eq!(Restored::birth(point).check(), Ok(()));
    assert_eq!(with(|r| r.entries.insert(0, entry(10, 2))), Ok(()), "an applied entry too many");
    assert_eq!(
        with(|r| r.terms = r.terms.split_off(1)),
        Ok(()),
        "the start's own term need not be said twice"
    );
    assert_eq!(with(|r| r.hard_state.term = Term(9)), Ok(()), "a vote in a term without entries");
}

#[test]
fn numbers_out_of_order_are_refused() {
    let order = |result| matches!(result, Err(RestoredError::Order { .. }));
    assert!(order(with(|r| r.applied = Index(8))));
    assert!(order(with(|r| r.hard_state.commit = Index(9))));
    assert!(order(with(|r| r.hard_state.commit = Index(14))));
    assert!(order(with(|r| r.hard_state.term = Term(3))), "an entry of a term that was never written");
}

#[test]
fn a_hole_in_the_log_is_refused() {
    assert_eq!(with(|r| drop(r.entries.remove(0))), Err(RestoredError::Gap(Index(11))));
    assert_eq!(with(|r| drop(r.entries.remove(1))), Err(RestoredError::Gap(Index(12))));
    assert_eq!(with(|r| drop(r.entries.pop())), Err(RestoredError::Gap(Index(13))));
    assert_eq!(with(|r| r.entries.clear()), Err(RestoredError::Gap(Index(11))));
}

#[test]
fn terms_that_contradict_the_log_are_refused() {
    assert_eq!(with(|r| r.terms.truncate(2)), Err(RestoredError::Terms(Index(13))));
    assert_eq!(with(|r| r.entries[0].term = Term(2)), Err(RestoredError::Terms(Index(11))));
    assert_eq!(with(|r| r.terms[1].0 = Index(12)), Err(RestoredError::Terms(Index(11))));
    assert_eq!(with(|r| r.terms.swap(0, 1)), Err(RestoredError::Terms(Index(9))));
    assert_eq!(with(|r| r.terms.push((Index(14), Term(4)))), Err(RestoredError::Terms(Index(13))));
}

#[test]
fn damaged_configurations_are_refused() {
    let conf = |result| matches!(result, Err(RestoredError::Conf(..)));
    assert!(conf(with(|r| r.start.conf = Conf::default())), "a log without voters");
    assert!(conf(with(|r| r.confs[0].0 = Index(9))), "a record that is not behind the start");
    assert!(conf(with(|r| r.confs[0].1.auto_leave = true)));
}
