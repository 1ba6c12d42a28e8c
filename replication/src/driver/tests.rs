//! Tests of one driver by itself: the way of an entry, what is shared and what is kept.

use super::*;
use crate::{EntryKind, HardState, Refused};
use bytes::Bytes;

fn newborn() -> Restored {
    let conf = Conf::of_voters([ReplicaId(1)]);
    Driver::birth(Point { index: Index(1), term: Term(1), conf })
}

fn leader() -> Driver {
    let mut driver = Driver::new(Config::new(ReplicaId(1), 7), newborn());
    driver.campaign(0);
    let ready = driver.take_ready().expect("a vote and a first entry");
    driver.persisted(ready.number);
    take(&mut driver);
    driver
}

fn take(driver: &mut Driver) -> Vec<Entry> {
    let mut out = Vec::new();
    driver.take_committed(&mut out);
    if let Some(last) = out.last() {
        driver.applied(last.index);
    }
    out
}

#[test]
fn a_sole_voter_leads_with_its_first_ready_and_commits_what_is_durable() {
    let mut driver = Driver::new(Config::new(ReplicaId(1), 7), newborn());
    assert_eq!(driver.propose(EntryKind::Batch, Bytes::new()), Err(Refused::NotLeader { leader: None }));
    driver.campaign(0);
    assert!(driver.is_leader() && driver.is_sole_voter());
    let index = driver.propose(EntryKind::Batch, Bytes::from_static(b"one")).expect("it leads");
    assert_eq!(index, Index(3), "behind the first entry of its term");

    let ready = driver.take_ready().expect("everything at once");
    assert_eq!(
        ready.write.entries.iter().map(|e| e.kind).collect::<Vec<_>>(),
        [EntryKind::Noop, EntryKind::Batch]
    );
    assert_eq!(ready.write.hard_state.map(|s| (s.term, s.vote)), Some((Term(2), ReplicaId(1))));
    assert!(ready.write.must_sync && ready.send.is_empty());
    assert!(driver.take_ready().is_none() && take(&mut driver).is_empty() && driver.commit() == Index(1));

    driver.persisted(ready.number);
    assert_eq!(driver.commit(), Index(3));
    let committed = take(&mut driver);
    assert_eq!(committed.iter().map(|e| e.index).collect::<Vec<_>>(), [Index(2), Index(3)]);
    assert_eq!(committed[1].data, Bytes::from_static(b"one"));
}

#[test]
fn several_proposals_share_a_ready_and_several_readys_are_in_flight() {
    let mut driver = leader();
    let mut numbers = Vec::new();
    for round in 0..4 {
        for _ in 0..3 {
            driver.propose(EntryKind::Batch, Bytes::from(vec![round])).expect("it leads");
        }
        let ready = driver.take_ready().expect("three entries");
        assert_eq!(ready.write.entries.len(), 3);
        numbers.push(ready.number);
    }
    driver.persisted(numbers[1]);
    assert_eq!(take(&mut driver).len(), 6, "the first two");
    driver.persisted(numbers[3]);
    assert_eq!(take(&mut driver).len(), 6);
}

#[test]
fn a_payload_is_never_copied() {
    let mut driver = leader();
    let data = Bytes::from(vec![3; 100_000]);
    driver.propose(EntryKind::Batch, data.clone()).expect("it leads");
    let ready = driver.take_ready().expect("an entry");
    assert_eq!(ready.write.entries[0].data.as_ptr(), data.as_ptr());
    driver.persisted(ready.number);
    assert_eq!(take(&mut driver)[0].data.as_ptr(), data.as_ptr());
    drop((ready, driver.take_ready()));
    assert!(data.is_unique(), "and nobody keeps it once it is applied");
}

#[test]
fn an_entry_keeps_its_kind_and_place_through_raft() {
    for kind in [EntryKind::Batch, EntryKind::Command, EntryKind::Conf, EntryKind::Noop] {
        let data = if kind == EntryKind::Noop { Bytes::new() } else { Bytes::from_static(b"payload") };
        let entry = Entry { index: Index(77), term: Term(u32::MAX), kind, data };
        assert_eq!(Entry::from_raft(entry.to_raft()), entry);
    }
    let empty = Entry { index: Index(1), term: Term(1), kind: EntryKind::Batch, data: Bytes::new() };
    assert_eq!(Entry::from_raft(empty.to_raft()).kind, EntryKind::Batch, "an empty batch is a batch");
}

#[test]
fn what_was_committed_before_a_crash_is_handed_out_again_behind_applied() {
    let entries: Vec<Entry> = (3..=6)
        .map(|n| Entry {
            index: Index(n),
            term: Term(2),
            kind: EntryKind::Batch,
            data: Bytes::from(vec![n as u8]),
        })
        .collect();
    let restored = Restored {
        hard_state: HardState { term: Term(2), vote: ReplicaId(1), commit: Index(4) },
        applied: Index(2),
        terms: vec![(Index(1), Term(1)), (Index(2), Term(2))],
        last: (Index(6), Term(2)),
        entries,
        ..newborn()
    };
    let mut driver = Driver::new(Config::new(ReplicaId(1), 7), restored);
    driver.campaign(0);
    assert_eq!(take(&mut driver).iter().map(|e| e.index.0).collect::<Vec<_>>(), [3, 4]);
    let ready = driver.take_ready().expect("a new term");
    assert_eq!(driver.term(), Term(3));
    driver.persisted(ready.number);
    assert_eq!(
        take(&mut driver).iter().map(|e| e.index.0).collect::<Vec<_>>(),
        [5, 6, 7],
        "the rest with the new term"
    );
}

#[test]
fn committed_entries_are_found_whichever_is_asked_first() {
    let mut driver = leader();
    drop(driver.take_ready());
    driver.propose(EntryKind::Batch, Bytes::from_static(b"a")).expect("it leads");
    let first = driver.take_ready().expect("an entry");
    driver.propose(EntryKind::Batch, Bytes::from_static(b"b")).expect("it leads");
    driver.persisted(first.number);
    assert_eq!(take(&mut driver).len(), 1, "without asking for a Ready");
    let second = driver.take_ready().expect("the commit index and the next entry, in one group");
    assert_eq!(second.write.hard_state.map(|state| state.commit), Some(Index(3)));
    assert_eq!(second.write.entries.len(), 1);
    driver.persisted(second.number);
    assert_eq!(take(&mut driver).len(), 1);
}

#[test]
fn a_leader_without_company_needs_no_ticks() {
    let mut driver = Driver::new(Config::new(ReplicaId(1), 7), newborn());
    assert!(driver.needs_ticks());
    driver.campaign(0);
    assert!(!driver.needs_ticks());
}

#[test]
#[should_panic(expected = "only what was given can be durable")]
fn a_ready_that_was_never_given_cannot_be_durable() {
    leader().persisted(99);
}

#[test]
#[should_panic(expected = "only what was handed out can be applied")]
fn an_entry_that_was_not_handed_out_cannot_be_applied() {
    let mut driver = leader();
    driver.propose(EntryKind::Batch, Bytes::from_static(b"a")).expect("it leads");
    driver.applied(Index(3));
}
