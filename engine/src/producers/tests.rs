//! What the table of producers guarantees, rule by rule; the model test stands beside it.

use super::*;
use bytes::BytesMut;

mod model;

/// A table with room for many producers, and the next index and offset to use.
struct Log {
    table: Producers,
    index: u64,
    offset: u64,
}

fn batch(producer: i64, epoch: i16, base_sequence: i32, count: u32) -> BatchSequence {
    BatchSequence { producer: ProducerId(producer), epoch, base_sequence, count }
}

impl Log {
    fn new() -> Log {
        Log { table: Producers::new(100), index: 0, offset: 1000 }
    }

    /// Appends what must be fresh; returns its index and base offset.
    fn append(&mut self, sequence: BatchSequence) -> (u64, Offset) {
        assert_eq!(self.table.check(&sequence), Ok(Check::Fresh), "{sequence:?}");
        self.index += 1;
        let base_offset = Offset(self.offset);
        self.table.prepare(self.index, &sequence, base_offset, UnixMillis(self.index as i64));
        self.offset += u64::from(sequence.count);
        (self.index, base_offset)
    }

    fn append_committed(&mut self, sequence: BatchSequence) -> Offset {
        let (index, base_offset) = self.append(sequence);
        self.table.commit(index);
        base_offset
    }

    fn code(&self, sequence: BatchSequence) -> Code {
        self.table.check(&sequence).expect_err("must be refused").code
    }

    fn duplicate(&self, sequence: BatchSequence) -> (Offset, Option<u64>) {
        match self.table.check(&sequence) {
            Ok(Check::Duplicate { base_offset, pending, .. }) => (base_offset, pending),
            other => panic!("{sequence:?} is no duplicate but {other:?}"),
        }
    }
}

fn bytes_of(table: &Producers) -> Vec<u8> {
    let mut out = BytesMut::new();
    table.snapshot(&mut out);
    out.to_vec()
}

#[test]
fn an_unknown_producer_may_begin_with_any_sequence_and_epoch() {
    let log = Log::new();
    assert_eq!(log.table.check(&batch(7, 3, 12345, 10)), Ok(Check::Fresh));
}

#[test]
fn a_known_producer_goes_on_where_it_ended() {
    let mut log = Log::new();
    log.append(batch(7, 0, 0, 10));
    log.append(batch(7, 0, 10, 5));
    assert_eq!(log.code(batch(7, 0, 16, 1)), Code::OutOfOrderSequence, "a gap");
    assert_eq!(log.code(batch(7, 0, 14, 1)), Code::OutOfOrderSequence, "an overlap");
    log.append(batch(7, 0, 15, 1));
}

#[test]
fn sequences_wrap_to_zero_after_the_largest() {
    let mut log = Log::new();
    log.append(batch(7, 0, i32::MAX - 1, 2));
    assert_eq!(log.code(batch(7, 0, 1, 1)), Code::OutOfOrderSequence);
    let (_, at) = log.append(batch(7, 0, 0, 3));
    assert_eq!(log.duplicate(batch(7, 0, 0, 3)).0, at);
    let (_, across) = log.append_committed_across_the_end();
    assert_eq!(log.duplicate(batch(8, 0, i32::MAX, 3)).0, across);
}

impl Log {
    fn append_committed_across_the_end(&mut self) -> (u64, Offset) {
        let (index, at) = self.append(batch(8, 0, i32::MAX, 3));
        self.table.commit(index);
        self.append(batch(8, 0, 2, 1));
        (index, at)
    }
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    let mut log = Log::new();
    log.append_committed(batch(7, 0, 0, 10));
    assert_eq!(log.code(batch(7, 1, 10, 1)), Code::OutOfOrderSequence);
    log.append(batch(7, 1, 0, 1));
    assert_eq!(log.code(batch(7, 0, 10, 1)), Code::ProducerFenced);
    assert_eq!(log.code(batch(7, 0, 0, 10)), Code::ProducerFenced, "not even a repeat");
    assert_eq!(log.code(batch(7, 0, 0, 10)).kafka(), 47, "INVALID_PRODUCER_EPOCH");
}

#[test]
fn each_of_the_last_five_batches_is_a_duplicate_with_its_first_offset() {
    let mut log = Log::new();
    let offsets: Vec<_> = (0..7).map(|i| log.append_committed(batch(7, 0, i * 10, 10))).collect();
    for (i, &offset) in offsets.iter().enumerate().skip(2) {
        assert_eq!(log.duplicate(batch(7, 0, i as i32 * 10, 10)), (offset, None));
    }
    assert_eq!(log.code(batch(7, 0, 10, 10)), Code::DuplicateSequence);
    assert_eq!(log.code(batch(7, 0, 0, 10)), Code::DuplicateSequence);
    assert_eq!(log.code(batch(7, 0, 15, 10)), Code::OutOfOrderSequence, "half of it is remembered");
    assert_eq!(log.code(batch(7, 0, 20, 5)), Code::OutOfOrderSequence, "a part of a remembered batch");
}

#[test]
fn a_sequence_from_before_a_producer_was_known_is_never_called_a_duplicate() {
    let mut log = Log::new();
    for i in 0..9 {
        log.append_committed(batch(7, 0, 100 + i * 10, 10));
    }
    assert_eq!(log.code(batch(7, 0, 100, 10)), Code::DuplicateSequence);
    assert_eq!(log.code(batch(7, 0, 90, 10)), Code::OutOfOrderSequence, "that one never came");
    assert_eq!(log.code(batch(7, 0, 95, 10)), Code::OutOfOrderSequence);
}

#[test]
fn a_repeat_of_a_batch_in_flight_names_its_index_until_it_commits() {
    let mut log = Log::new();
    let first = log.append(batch(7, 0, 0, 2));
    let second = log.append(batch(7, 0, 2, 2));
    assert_eq!(log.duplicate(batch(7, 0, 0, 2)), (first.1, Some(first.0)));
    assert_eq!(log.duplicate(batch(7, 0, 2, 2)), (second.1, Some(second.0)));
    log.table.commit(first.0);
    assert_eq!(log.duplicate(batch(7, 0, 0, 2)), (first.1, None));
    assert_eq!(log.duplicate(batch(7, 0, 2, 2)), (second.1, Some(second.0)));
}

#[test]
fn an_old_repeat_of_a_batch_in_flight_is_never_called_a_duplicate() {
    let mut log = Log::new();
    let indexes: Vec<_> = (0..8).map(|i| log.append(batch(7, 0, i, 1)).0).collect();
    assert_eq!(log.code(batch(7, 0, 0, 1)), Code::OutOfOrderSequence, "clients take a duplicate for success");
    log.table.commit(indexes[0]);
    assert_eq!(log.code(batch(7, 0, 0, 1)), Code::DuplicateSequence);
    assert_eq!(log.code(batch(7, 0, 1, 1)), Code::OutOfOrderSequence);
}

#[test]
fn a_truncation_takes_back_exactly_what_was_cut_off() {
    let mut log = Log::new();
    log.append_committed(batch(7, 0, 0, 1));
    log.append(batch(7, 0, 1, 1));
    let cut = log.append(batch(8, 0, 50, 1)).0;
    log.append(batch(7, 0, 2, 1));
    log.append(batch(7, 1, 0, 1));
    log.table.truncate_from(cut);
    assert_eq!(log.table.in_flight(), 1);
    assert_eq!(log.table.check(&batch(7, 0, 2, 1)), Ok(Check::Fresh), "the new epoch is forgotten too");
    assert_eq!(log.table.check(&batch(8, 0, 0, 1)), Ok(Check::Fresh), "8 is unknown again");
    log.index = cut - 1;
    log.append(batch(7, 0, 2, 1));
    log.table.truncate_from(2);
    assert_eq!(log.table.check(&batch(7, 0, 1, 1)), Ok(Check::Fresh));
    assert_eq!(bytes_of(&log.table), {
        let mut replica = Producers::new(100);
        replica.replay(&batch(7, 0, 0, 1), Offset(1000), UnixMillis(1));
        bytes_of(&replica)
    });
}

#[test]
#[should_panic(expected = "committed and cannot be truncated")]
fn what_is_committed_is_never_truncated() {
    let mut log = Log::new();
    log.append_committed(batch(7, 0, 0, 1));
    log.table.truncate_from(1);
}

#[test]
#[should_panic(expected = "is prepared after")]
fn the_log_is_prepared_in_order() {
    let mut log = Log::new();
    log.append(batch(7, 0, 0, 1));
    log.table.prepare(1, &batch(7, 0, 1, 1), Offset(5), UnixMillis(0));
}

#[test]
fn fields_that_no_producer_sends_are_refused() {
    let log = Log::new();
    for bad in [
        batch(-1, 0, 0, 1),
        batch(7, -1, 0, 1),
        batch(7, 0, -1, 1),
        batch(7, 0, 0, 0),
        batch(7, 0, 0, 1 << 31),
    ] {
        assert_eq!(log.code(bad), Code::InvalidBatch, "{bad:?}");
    }
}

#[test]
fn the_least_recently_used_producer_is_forgotten_first() {
    let mut log = Log { table: Producers::new(3), ..Log::new() };
    for producer in [1, 2, 3] {
        log.append_committed(batch(producer, 0, 0, 1));
    }
    log.append_committed(batch(1, 0, 1, 1));
    log.append_committed(batch(4, 0, 0, 1));
    let ids: Vec<_> = log.table.describe().map(|state| state.producer.0).collect();
    assert_eq!((ids, log.table.len()), (vec![1, 3, 4], 3));
    assert_eq!(log.table.check(&batch(2, 0, 77, 1)), Ok(Check::Fresh), "unknown again");
}

#[test]
fn a_producer_with_a_batch_in_flight_stays_known_however_many_others_commit() {
    let mut log = Log { table: Producers::new(2), ..Log::new() };
    log.append_committed(batch(1, 0, 0, 1));
    let others: Vec<_> = (2..9).map(|producer| log.append(batch(producer, 0, 0, 1))).collect();
    let mine = log.append(batch(1, 0, 1, 1));
    log.table.commit(others.last().expect("there are others").0);
    assert_eq!(log.table.len(), 2);
    assert_eq!(log.code(batch(1, 0, 5, 1)), Code::OutOfOrderSequence, "1 is still known");
    assert_eq!(log.duplicate(batch(1, 0, 1, 1)), (mine.1, Some(mine.0)));
    log.table.commit(mine.0);
    assert_eq!(log.duplicate(batch(1, 0, 1, 1)), (mine.1, None));
}

#[test]
fn a_repeat_is_one_while_its_producer_has_more_in_flight_however_many_others_commit() {
    let mut log = Log { table: Producers::new(2), ..Log::new() };
    let first = log.append_committed(batch(1, 0, 0, 10));
    let second = log.append_committed(batch(1, 0, 10, 10));
    let others: Vec<_> = (2..5).map(|producer| log.append(batch(producer, 0, 0, 1))).collect();
    let third = log.append(batch(1, 0, 20, 10));
    let fourth = log.append(batch(1, 0, 30, 10));
    log.table.commit(others.last().expect("there are others").0);
    let known = |log: &Log| log.table.describe().map(|state| state.producer.0).collect::<Vec<_>>();
    assert_eq!(known(&log), [3, 4], "what is in flight has no say in who is kept");
    let repeats = |log: &Log| [0, 10, 20, 30].map(|sequence| log.duplicate(batch(1, 0, sequence, 10)));
    let pending = |(index, offset)| (offset, Some(index));
    assert_eq!(repeats(&log), [(first, None), (second, None), pending(third), pending(fourth)]);
    log.table.commit(third.0);
    assert_eq!(known(&log), [1, 4]);
    assert_eq!(repeats(&log), [(first, None), (second, None), (third.1, None), pending(fourth)]);
    log.table.commit(fourth.0);
    assert_eq!(log.duplicate(batch(1, 0, 20, 10)).0, third.1);
    assert_eq!(log.code(batch(1, 0, 0, 10)), Code::OutOfOrderSequence, "forgotten, but never taken as fresh");
}

#[test]
fn a_forgotten_producer_leaves_nothing_behind_when_its_last_batch_is_cut_off() {
    let mut log = Log { table: Producers::new(1), ..Log::new() };
    log.append_committed(batch(1, 0, 0, 10));
    let other = log.append(batch(2, 0, 0, 1));
    let mine = log.append(batch(1, 0, 10, 10));
    log.table.commit(other.0);
    log.table.truncate_from(mine.0);
    assert_eq!((log.table.slots.len(), log.table.by_id.len()), (1, 1), "only the other one is there");
}

#[test]
fn an_empty_table_owns_no_memory() {
    let table = Producers::new(4096);
    assert!(table.is_empty());
    assert_eq!((table.slots.capacity(), table.queue.capacity()), (0, 0));
}

#[test]
fn a_known_producers_batches_allocate_nothing() {
    let mut log = Log::new();
    for i in 0..10 {
        log.append_committed(batch(7, 0, i, 1));
    }
    let capacities = |table: &Producers| (table.slots.capacity(), table.queue.capacity(), table.by_id.len());
    let before = capacities(&log.table);
    for i in 10..5000 {
        log.append_committed(batch(7, 0, i, 1));
    }
    assert_eq!(capacities(&log.table), before);
}

#[test]
fn a_burst_leaves_no_large_queue_behind() {
    let mut log = Log::new();
    for i in 0..5000 {
        log.append(batch(7, 0, i, 1));
    }
    log.table.commit(log.index);
    assert!(log.table.queue.capacity() <= 2 * QUEUE_KEPT_MAX, "{}", log.table.queue.capacity());
}

#[test]
fn a_snapshot_of_version_1_has_these_bytes() {
    let mut table = Producers::new(10);
    table.replay(&batch(0x0102, 3, i32::MAX, 2), Offset(0x0a0b), UnixMillis(-1));
    table.replay(&batch(5, 0, 0, 1), Offset(0x0a0d), UnixMillis(0x11));
    table.replay(&batch(5, 0, 1, 1), Offset(0x0a0e), UnixMillis(0x12));
    table.prepare(9, &batch(5, 0, 2, 1), Offset(0x0a0f), UnixMillis(0x13));
    let golden = "0100 02000000 \
        0201000000000000 02000000 0300 0100 \
        0b0a000000000000 ffffffffffffffff ffffff7f 01000000 \
        0500000000000000 02000000 0000 0200 \
        0d0a000000000000 1100000000000000 00000000 00000000 \
        0e0a000000000000 1200000000000000 01000000 00000000";
    assert_eq!(hex(&bytes_of(&table)), golden.replace(' ', ""));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_snapshot_of_another_version_is_refused_cleanly() {
    let mut bytes = bytes_of(&Producers::new(1));
    bytes[0] = 2;
    assert_eq!(Producers::restore(&bytes, 1).expect_err("version 2").code, Code::Unsupported);
}

#[test]
fn a_damaged_snapshot_is_corrupt_wherever_it_ends() {
    let mut table = Producers::new(10);
    table.replay(&batch(1, 0, 0, 1), Offset(0), UnixMillis(0));
    table.replay(&batch(2, 0, 0, 1), Offset(1), UnixMillis(0));
    let bytes = bytes_of(&table);
    for end in 0..bytes.len() {
        assert_eq!(Producers::restore(&bytes[..end], 10).expect_err("cut").code, Code::Corrupt);
    }
    let mut long = bytes.clone();
    long.push(0);
    assert_eq!(Producers::restore(&long, 10).expect_err("long").code, Code::Corrupt);
    let mut twice = bytes;
    let second = 6 + 16 + 24;
    twice[second] = 1;
    assert_eq!(Producers::restore(&twice, 10).expect_err("twice").code, Code::Corrupt);
}

#[test]
fn a_lower_limit_keeps_the_most_recently_used() {
    let mut table = Producers::new(10);
    for producer in 0..5 {
        table.replay(&batch(producer, 0, 0, 1), Offset(producer as u64), UnixMillis(0));
    }
    let small = Producers::restore(&bytes_of(&table), 2).expect("its own bytes");
    assert_eq!(small.describe().map(|state| state.producer.0).collect::<Vec<_>>(), [3, 4]);
}
