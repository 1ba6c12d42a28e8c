//! The oracle against made-up histories: each broken promise is found and called by its name, and a history without
//! one is not.
#![forbid(unsafe_code)]

use flumen_sim::oracle::{
    Health, Known, Listed, Memory, Oracle, PartKey, ProducerKind, Promise, Recovery, Sent, TopicKey, Whole,
    Wish,
};
use flumen_sim::payload::{Reading, RecordId, Seen};
use std::time::Duration;

const PRODUCER: u32 = 1;

/// A history with one topic of one partition, and its oracle.
struct History {
    oracle: Oracle,
    key: PartKey,
    now: u64,
}

fn wish() -> Wish {
    Wish { partitions: 1, ..Wish::default() }
}

impl History {
    fn of(wish: Wish) -> History {
        let mut oracle = Oracle::default();
        let topic = oracle.topics.asked("t", wish, 1);
        oracle.listed(&[listed("t", 16)], false, 2);
        History { oracle, key: PartKey { topic, number: 0 }, now: 10 }
    }

    fn send(&mut self, kind: ProducerKind) -> RecordId {
        self.now += 1;
        let id = self.oracle.ledger.next_id();
        self.oracle.ledger.sending(Sent {
            id,
            producer: PRODUCER,
            kind,
            topic: "t".to_string(),
            number: None,
            at: self.now,
            settled_at: None,
            home: None,
        });
        id
    }

    fn sent(&mut self) -> RecordId {
        self.send(ProducerKind::Idempotent)
    }

    fn acked(&mut self, offset: u64) -> RecordId {
        let id = self.sent();
        self.ack(id, offset);
        id
    }

    fn ack(&mut self, id: RecordId, offset: u64) {
        self.now += 1;
        self.oracle.acked(id, "t", 0, Some(offset), self.now);
    }

    fn read(&mut self, from: u64, ids: &[RecordId]) {
        let end = from + ids.len() as u64;
        self.oracle.fetched(self.key, from, end, &reading(from, ids), self.now);
    }

    fn verify(&mut self, from: u64, ids: &[RecordId]) {
        self.verify_with(from, ids, Health::Whole);
    }

    fn verify_with(&mut self, from: u64, ids: &[RecordId], health: Health) {
        let end = from + ids.len() as u64;
        self.read(from, ids);
        let whole = Whole {
            log_start: from,
            high_watermark: end,
            reading: reading(from, ids),
            read_to: end,
            health,
            known: self.known(),
        };
        self.oracle.verified(self.key, &whole);
    }

    fn known(&self) -> Known {
        self.oracle.topics.part(self.key).known(true)
    }

    fn found(&self) -> Option<Promise> {
        self.oracle.violation().map(|violation| violation.promise)
    }
}

fn listed(name: &str, group: u64) -> Listed {
    Listed { name: name.to_string(), groups: vec![(group, 0)] }
}

/// One batch of records from an offset on.
fn reading(from: u64, ids: &[RecordId]) -> Reading {
    let end = from + ids.len() as u64;
    let seen =
        |(place, id): (usize, &RecordId)| Seen { offset: from + place as u64, id: Some(*id), timestamp: 0 };
    Reading {
        batches: if ids.is_empty() { Vec::new() } else { vec![(from, end)] },
        records: ids.iter().enumerate().map(seen).collect(),
        broken: None,
    }
}

#[test]
fn a_history_that_keeps_every_promise_is_left_alone() {
    let mut history = History::of(wish());
    let ids = [history.acked(0), history.acked(1), history.acked(2)];
    history.verify(0, &ids);
    history.oracle.process_gone(true, history.now, None);
    history.verify(0, &ids);
    history.oracle.topics.trim_asked(history.key, 2);
    history.verify(2, &ids[2..]);
    assert_eq!(history.found(), None, "{:?}", history.oracle.violation());
}

#[test]
fn a_lost_ack_is_found() {
    let mut history = History::of(wish());
    let first = history.acked(0);
    history.acked(1);
    history.oracle.process_gone(true, history.now, None);
    history.verify(0, &[first]);
    // The end ran back too; that is the same loss, seen first.
    assert!(matches!(history.found(), Some(Promise::CommitIndex | Promise::AckedIsThere)));
}

#[test]
fn a_lost_ack_in_the_middle_is_found_as_what_it_is() {
    let mut history = History::of(wish());
    let (first, second) = (history.acked(0), history.acked(1));
    let other = history.sent();
    let whole = Whole {
        log_start: 0,
        high_watermark: 2,
        reading: Reading {
            batches: vec![(0, 1)],
            records: vec![Seen { offset: 0, id: Some(first), timestamp: 0 }],
            broken: None,
        },
        read_to: 2,
        health: Health::Whole,
        known: history.known(),
    };
    history.oracle.verified(history.key, &whole);
    assert_eq!(history.found(), Some(Promise::AckedIsThere), "{second} and {other}");
}

#[test]
fn an_ack_without_an_offset_must_be_somewhere() {
    let mut history = History::of(wish());
    let first = history.acked(0);
    let id = history.sent();
    history.oracle.acked(id, "t", 0, None, history.now);
    history.verify(0, &[first]);
    assert_eq!(history.found(), Some(Promise::AckedIsThere));
}

#[test]
fn a_record_of_an_idempotent_producer_that_is_there_twice_is_found() {
    let mut history = History::of(wish());
    let ids = [history.acked(0), history.acked(1)];
    history.read(0, &[ids[0], ids[1], ids[1]]);
    assert!(matches!(history.found(), Some(Promise::OnceOnly | Promise::Order)));
    let mut history = History::of(wish());
    let id = history.acked(0);
    history.ack(id, 1);
    assert_eq!(history.found(), Some(Promise::OnceOnly));
}

#[test]
fn a_repeat_of_a_plain_producer_is_no_finding_and_its_disorder_is() {
    let mut history = History::of(wish());
    let ids: Vec<_> = (0..3).map(|_| history.send(ProducerKind::InOrder)).collect();
    history.read(0, &[ids[0], ids[1], ids[0], ids[1], ids[2]]);
    assert_eq!(history.found(), None);
    let mut history = History::of(wish());
    let ids: Vec<_> = (0..3).map(|_| history.send(ProducerKind::InOrder)).collect();
    history.read(0, &[ids[0], ids[2], ids[1]]);
    assert_eq!(history.found(), Some(Promise::Order));
}

#[test]
fn a_gap_between_batches_and_one_within_are_found() {
    for broken in [vec![(0, 1), (2, 3)], vec![(1, 3)]] {
        let mut history = History::of(wish());
        let ids = [history.acked(0), history.acked(1)];
        let mut reading = reading(0, &ids);
        reading.batches = broken;
        history.oracle.fetched(history.key, 0, 3, &reading, history.now);
        assert_eq!(history.found(), Some(Promise::OffsetsAreDense));
    }
}

#[test]
fn reordering_is_found() {
    let mut history = History::of(wish());
    let (first, second) = (history.sent(), history.sent());
    history.read(0, &[second, first]);
    assert_eq!(history.found(), Some(Promise::Order));
}

#[test]
fn an_offset_that_holds_something_else_later_is_found() {
    let mut history = History::of(wish());
    let (first, second) = (history.sent(), history.sent());
    history.read(0, &[first]);
    history.read(0, &[second]);
    assert_eq!(history.found(), Some(Promise::OffsetsAreStable));
}

#[test]
fn what_nobody_sent_and_what_is_nobodys_bytes_are_found() {
    let mut history = History::of(wish());
    history.read(0, &[RecordId(99)]);
    assert_eq!(history.found(), Some(Promise::NobodySent));
    let mut history = History::of(wish());
    let mut reading = reading(0, &[RecordId(1)]);
    reading.records[0].id = None;
    history.oracle.fetched(history.key, 0, 1, &reading, 20);
    assert_eq!(history.found(), Some(Promise::DamageServed));
}

#[test]
fn a_read_beyond_the_commit_index_is_found() {
    let mut history = History::of(wish());
    let ids = [history.sent(), history.sent()];
    history.oracle.fetched(history.key, 0, 1, &reading(0, &ids), history.now);
    assert_eq!(history.found(), Some(Promise::CommitIndex));
}

#[test]
fn a_log_start_without_a_cause_is_found_and_so_is_one_that_runs_back() {
    let mut history = History::of(wish());
    let ids = [history.acked(0), history.acked(1)];
    history.verify(1, &ids[1..]);
    assert_eq!(history.found(), Some(Promise::LogStart));
    let mut history = History::of(Wish { bounded: true, ..wish() });
    let ids = [history.acked(0), history.acked(1)];
    history.verify(1, &ids[1..]);
    assert_eq!(history.found(), None, "retention may");
    history.verify(0, &ids);
    assert_eq!(history.found(), Some(Promise::LogStart));
}

#[test]
fn only_acks_from_memory_may_be_taken_back_and_only_by_a_crash() {
    let memory = Wish { memory: true, ..wish() };
    let mut history = History::of(memory);
    history.acked(0);
    history.oracle.process_gone(true, history.now, None);
    history.verify(0, &[]);
    assert_eq!(history.found(), None, "a crash may");
    let mut history = History::of(memory);
    history.acked(0);
    history.oracle.process_gone(false, history.now, None);
    history.verify(0, &[]);
    assert_eq!(history.found(), Some(Promise::AckedIsThere), "a clean end may not");
    let mut history = History::of(memory);
    history.acked(0);
    history.oracle.process_gone(true, history.now + 1_000, Some(500));
    history.verify(0, &[]);
    assert!(history.found().is_some(), "what was flushed long ago may not go");
    let mut history = History::of(memory);
    let id = history.acked(0);
    history.read(0, &[id]);
    history.oracle.process_gone(true, history.now, None);
    history.verify(0, &[]);
    assert!(history.found().is_some(), "what was read may not go");
}

#[test]
fn a_deleted_topic_that_comes_back_is_found() {
    let mut history = History::of(wish());
    history.oracle.topics.delete_asked(history.key.topic);
    history.oracle.topics.deleted(history.key.topic, 50);
    history.oracle.listed(&[listed("t", 16)], false, 60);
    assert_eq!(history.found(), Some(Promise::DeletedComesBack));
}

#[test]
fn a_topic_that_is_gone_without_being_deleted_is_found() {
    let mut history = History::of(wish());
    history.oracle.listed(&[], true, 60);
    assert_eq!(history.found(), Some(Promise::DeletedComesBack));
}

#[test]
fn a_new_topic_with_an_old_group_is_found() {
    let mut history = History::of(wish());
    history.oracle.topics.deleted(history.key.topic, 50);
    history.oracle.topics.asked("t", wish(), 60);
    history.oracle.listed(&[listed("t", 16)], false, 70);
    assert_eq!(history.found(), Some(Promise::DeletedComesBack));
}

fn second_life(history: &mut History) -> TopicKey {
    history.oracle.topics.deleted(history.key.topic, 50);
    let topic = history.oracle.topics.asked("t", wish(), 60);
    history.oracle.listed(&[listed("t", 17)], false, 70);
    assert_eq!(history.found(), None);
    topic
}

#[test]
fn old_data_under_a_new_topic_of_the_same_name_is_found_by_fetch_and_by_push() {
    let mut history = History::of(wish());
    let id = history.acked(0);
    let topic = second_life(&mut history);
    history.oracle.fetched(PartKey { topic, number: 0 }, 0, 1, &reading(0, &[id]), 80);
    assert_eq!(history.found(), Some(Promise::OldDataShows));
    let mut history = History::of(wish());
    let id = history.acked(0);
    second_life(&mut history);
    let reader = history.oracle.reader_begins(None, 75);
    history.oracle.delivered(reader, ("t", 0), 0, Some(id), 80);
    assert_eq!(history.found(), Some(Promise::OldDataShows));
}

#[test]
fn a_subscriber_that_gets_a_record_twice_or_misses_one_is_found() {
    let mut history = History::of(wish());
    let ids = [history.acked(0), history.acked(1), history.acked(2)];
    let reader = history.oracle.reader_begins(None, 5);
    history.oracle.delivered(reader, ("t", 0), 0, Some(ids[0]), 80);
    history.oracle.delivered(reader, ("t", 0), 2, Some(ids[2]), 80);
    assert_eq!(history.found(), None, "the log start decides");
    history.verify(0, &ids);
    assert_eq!(history.found(), Some(Promise::OffsetsAreDense));
    let mut history = History::of(wish());
    let id = history.acked(0);
    let reader = history.oracle.reader_begins(None, 5);
    history.oracle.delivered(reader, ("t", 0), 0, Some(id), 80);
    history.oracle.delivered(reader, ("t", 0), 0, Some(id), 80);
    assert_eq!(history.found(), Some(Promise::OnceOnly));
}

/// A subscriber that got the first of two records and asked to keep `asked`; the node keeps `kept`.
fn positions(asked: u64, acked: bool, kept: Option<u64>) -> Option<Promise> {
    let mut history = History::of(wish());
    let ids = [history.acked(0), history.acked(1)];
    let reader = history.oracle.reader_begins(Some("s"), 5);
    history.oracle.delivered(reader, ("t", 0), 0, Some(ids[0]), 80);
    history.oracle.positions.asked("s", history.key, asked);
    if acked {
        history.oracle.positions.acked("s", history.key, asked);
    }
    let found: Vec<_> = kept.map(|offset| (16, offset)).into_iter().collect();
    history.oracle.positions_found("s", &found, true);
    history.found()
}

#[test]
fn positions_are_what_was_asked_and_never_ahead_of_what_was_delivered() {
    assert_eq!(positions(1, true, Some(1)), None);
    assert_eq!(positions(1, false, Some(1)), None, "it may be carried out or not");
    assert_eq!(positions(1, false, None), None);
    for (asked, acked, kept) in [(1, true, None), (1, true, Some(0)), (2, true, Some(2)), (1, false, Some(2))]
    {
        let found = positions(asked, acked, kept);
        assert_eq!(found, Some(Promise::PositionKept), "{asked} {acked} {kept:?}");
    }
}

#[test]
fn damage_must_be_reported_and_then_excuses_what_lies_behind_it() {
    let mut history = History::of(wish());
    let ids = [history.acked(0), history.acked(1)];
    history.verify_with(0, &ids[..1], Health::Damaged("from 1 on".to_string()));
    assert_eq!(history.found(), None, "it was said");
    let mut history = History::of(wish());
    let ids = [history.acked(0), history.acked(1)];
    let mut whole = Whole {
        log_start: 0,
        high_watermark: 2,
        reading: reading(0, &ids[..1]),
        read_to: 1,
        health: Health::Unreadable("silence".to_string()),
        known: history.known(),
    };
    history.oracle.verified(history.key, &whole);
    assert_eq!(history.found(), Some(Promise::DamageReported));
    let mut history = History::of(wish());
    let ids = [history.acked(0), history.acked(1)];
    whole.health = Health::Damaged("everything".to_string());
    whole.reading = reading(1, &ids[1..]);
    whole.read_to = 2;
    history.oracle.verified(history.key, &whole);
    assert_eq!(history.found(), Some(Promise::AckedIsThere), "damage does not excuse what lies before it");
}

#[test]
fn a_partition_that_takes_nothing_when_all_is_over_is_found() {
    let mut history = History::of(wish());
    history.oracle.asked_to_take(history.key, None);
    assert_eq!(history.found(), None);
    history.oracle.asked_to_take(history.key, Some("no answer".to_string()));
    assert_eq!(history.found(), Some(Promise::Heals));
}

#[test]
fn memory_and_recovery_beyond_their_bounds_are_found() {
    let found = |oracle: Oracle| oracle.violation().map(|violation| violation.promise);
    let well =
        Recovery { bytes_read: 200, journal_bytes: 100, took: Duration::from_millis(50), unhindered: true };
    let slow = Duration::from_secs(60);
    let cases = [
        (well, None),
        (Recovery { bytes_read: 1_000, ..well }, Some(Promise::Bounded)),
        (Recovery { took: slow, ..well }, Some(Promise::Bounded)),
        (Recovery { took: slow, unhindered: false, ..well }, None),
    ];
    for (recovery, expected) in cases {
        let mut oracle = Oracle::default();
        oracle.recovered(&recovery);
        assert_eq!(found(oracle), expected, "{recovery:?}");
    }
    for (cached_bytes, expected) in [(10, None), (11, Some(Promise::Bounded))] {
        let mut oracle = Oracle::default();
        oracle.remembers(&Memory { cached_bytes, allowed_bytes: 10 });
        assert_eq!(found(oracle), expected, "{cached_bytes}");
    }
}

#[test]
fn over_a_disk_that_lies_losses_are_excused_and_foreign_bytes_are_not() {
    let mut oracle = Oracle::over_lies();
    oracle.report(Promise::AckedIsThere, "the disk has lost it".to_string());
    assert_eq!(oracle.violation(), None);
    oracle.report(Promise::DamageServed, "bytes of somebody else".to_string());
    assert!(oracle.violation().is_some());
}
