//! The table against a plain reading of Kafka's rules that keeps everything and searches it: any sequence of
//! appends, commits, truncations and restarts gives the same judgements and the same bytes.

use super::{batch, bytes_of};
use crate::producers::{BatchSequence, Check, Producers};
use flumen_model::{Code, Offset, ProducerId, Result, UnixMillis};
use proptest::prelude::*;
use std::collections::BTreeMap;

const PRODUCERS_MAX: usize = 3;

#[derive(Clone, Copy, Debug)]
struct Appended {
    index: u64,
    sequence: BatchSequence,
    offset: Offset,
}

/// Everything of one producer's newest epoch since it is known.
#[derive(Clone, Debug, Default)]
struct Entry {
    epoch: i16,
    batches: Vec<Appended>,
}

#[derive(Default)]
struct Model {
    committed: BTreeMap<i64, Entry>,
    /// Forgotten producers that have batches in flight, as if they had not been forgotten.
    aside: BTreeMap<i64, Entry>,
    /// Committed batches in order, for the replay.
    history: Vec<Appended>,
    pending: Vec<Appended>,
}

fn wrapped(sequence: i32, records: i64) -> i32 {
    (i64::from(sequence) + records).rem_euclid(1 << 31) as i32
}

/// The single sequences of a batch. Counts are small here.
fn sequences(of: &BatchSequence) -> Vec<i32> {
    (0..i64::from(of.count)).map(|record| wrapped(of.base_sequence, record)).collect()
}

impl Entry {
    fn add(&mut self, appended: Appended) {
        if self.batches.is_empty() || appended.sequence.epoch > self.epoch {
            *self = Entry { epoch: appended.sequence.epoch, batches: vec![] };
        }
        self.batches.push(appended);
    }

    fn next(&self) -> i32 {
        let newest = self.batches.last().expect("an entry has batches").sequence;
        wrapped(newest.base_sequence, i64::from(newest.count))
    }
}

impl Model {
    /// A producer with what is in flight.
    fn entry(&self, producer: i64) -> Option<Entry> {
        let mut entry = self.judged_by(producer).cloned().unwrap_or_default();
        self.pending.iter().filter(|p| p.sequence.producer.0 == producer).for_each(|p| entry.add(*p));
        (!entry.batches.is_empty()).then_some(entry)
    }

    fn judged_by(&self, producer: i64) -> Option<&Entry> {
        self.aside.get(&producer).or_else(|| self.committed.get(&producer))
    }

    fn is_in_flight(&self, producer: i64) -> bool {
        self.pending.iter().any(|p| p.sequence.producer.0 == producer)
    }

    fn forget_idle(&mut self) {
        let mut aside = std::mem::take(&mut self.aside);
        aside.retain(|producer, _| self.is_in_flight(*producer));
        self.aside = aside;
    }

    fn check(&self, sequence: &BatchSequence) -> std::result::Result<Check, Code> {
        let Some(entry) = self.entry(sequence.producer.0) else { return Ok(Check::Fresh) };
        if sequence.epoch < entry.epoch {
            return Err(Code::ProducerFenced);
        }
        if sequence.epoch > entry.epoch {
            return if sequence.base_sequence == 0 {
                Ok(Check::Fresh)
            } else {
                Err(Code::OutOfOrderSequence)
            };
        }
        let window: Vec<_> = entry.batches.iter().rev().take(5).collect();
        if let Some(original) = window.iter().find(|a| sequences(&a.sequence) == sequences(sequence)) {
            let pending = self.pending.iter().any(|p| p.index == original.index).then_some(original.index);
            let timestamp = UnixMillis(original.index as i64);
            return Ok(Check::Duplicate { base_offset: original.offset, timestamp, pending });
        }
        if sequence.base_sequence == entry.next() {
            return Ok(Check::Fresh);
        }
        let committed = self.judged_by(sequence.producer.0).filter(|e| e.epoch == sequence.epoch);
        let committed: Vec<_> =
            committed.iter().flat_map(|e| &e.batches).flat_map(|a| sequences(&a.sequence)).collect();
        let remembered: Vec<_> = window.iter().flat_map(|a| sequences(&a.sequence)).collect();
        let old = sequences(sequence).iter().all(|s| committed.contains(s) && !remembered.contains(s));
        Err(if old { Code::DuplicateSequence } else { Code::OutOfOrderSequence })
    }

    fn commit(&mut self, index: u64) {
        let (committed, pending): (Vec<_>, Vec<_>) = self.pending.iter().partition(|p| p.index <= index);
        self.pending = pending;
        for appended in committed {
            self.history.push(appended);
            self.committed.entry(appended.sequence.producer.0).or_default().add(appended);
            self.aside
                .get_mut(&appended.sequence.producer.0)
                .into_iter()
                .for_each(|entry| entry.add(appended));
            if self.committed.len() > PRODUCERS_MAX {
                let last = |entry: &Entry| entry.batches.last().map(|a| a.offset);
                let oldest = *self.committed.iter().min_by_key(|(_, e)| last(e)).expect("some").0;
                let forgotten = self.committed.remove(&oldest).expect("it was just there");
                if self.is_in_flight(oldest) {
                    self.aside.entry(oldest).or_insert(forgotten);
                }
            }
        }
        self.forget_idle();
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// The next batch of a producer, as it should be.
    Next {
        producer: i64,
        count: u32,
    },
    /// A batch that the producer sent `back` batches ago.
    Repeat {
        producer: i64,
        back: usize,
    },
    /// Something else: sequence relative to the next one, epoch relative to the newest.
    Odd {
        producer: i64,
        shift: i64,
        epoch: i16,
        count: u32,
    },
    NewEpoch {
        producer: i64,
    },
    /// Commits this many thousandths of what is in flight.
    Commit(usize),
    Truncate(usize),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let producer = 0..5_i64;
    prop_oneof![
        8 => (producer.clone(), 1..4_u32).prop_map(|(producer, count)| Op::Next { producer, count }),
        4 => (producer.clone(), 0..12_usize).prop_map(|(producer, back)| Op::Repeat { producer, back }),
        4 => (producer.clone(), -20..4_i64, -1..2_i16, 1..6_u32)
            .prop_map(|(producer, shift, epoch, count)| Op::Odd { producer, shift, epoch, count }),
        1 => producer.prop_map(|producer| Op::NewEpoch { producer }),
        3 => (0..=1000_usize).prop_map(Op::Commit),
        1 => (0..=1000_usize).prop_map(Op::Truncate),
        1 => Just(Op::Restart),
    ]
}

/// The table and the model, side by side.
struct Both {
    table: Producers,
    model: Model,
    sent: Vec<BatchSequence>,
    index: u64,
    offset: u64,
}

impl Both {
    fn new() -> Both {
        let (table, model) = (Producers::new(PRODUCERS_MAX), Model::default());
        Both { table, model, sent: vec![], index: 0, offset: 0 }
    }

    fn end(&self, producer: i64) -> (i16, i32) {
        // Unknown producers begin shortly before the sequences wrap.
        self.model.entry(producer).map_or((0, i32::MAX - 9), |entry| (entry.epoch, entry.next()))
    }

    fn send(&mut self, sequence: BatchSequence) {
        let judged: Result<Check> = self.table.check(&sequence);
        assert_eq!(judged.clone().map_err(|e| e.code), self.model.check(&sequence), "{sequence:?}");
        if judged == Ok(Check::Fresh) {
            self.index += 1;
            let appended = Appended { index: self.index, sequence, offset: Offset(self.offset) };
            self.offset += u64::from(sequence.count);
            self.model.pending.push(appended);
            self.prepare(appended);
            self.sent.push(sequence);
        }
    }

    fn prepare(&mut self, appended: Appended) {
        let Appended { index, sequence, offset } = appended;
        self.table.prepare(index, &sequence, offset, UnixMillis(index as i64));
    }

    fn index_at(&self, thousandths: usize) -> Option<u64> {
        let pending = &self.model.pending;
        pending.get(thousandths * pending.len() / 1001).map(|p| p.index)
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Next { producer, count } => {
                let (epoch, next) = self.end(producer);
                self.send(batch(producer, epoch, next, count));
            }
            Op::Repeat { producer, back } => {
                let mine = self.sent.iter().rev().filter(|s| s.producer == ProducerId(producer));
                if let Some(&sequence) = mine.clone().nth(back) {
                    self.send(sequence);
                }
            }
            Op::Odd { producer, shift, epoch, count } => {
                let (newest, next) = self.end(producer);
                self.send(batch(producer, (newest + epoch).max(0), wrapped(next, shift), count));
            }
            Op::NewEpoch { producer } => {
                let (epoch, _) = self.end(producer);
                self.send(batch(producer, epoch + 1, 0, 1));
            }
            Op::Commit(thousandths) => {
                if let Some(index) = self.index_at(thousandths) {
                    self.model.commit(index);
                    self.table.commit(index);
                }
            }
            Op::Truncate(thousandths) => {
                if let Some(index) = self.index_at(thousandths) {
                    self.model.pending.retain(|p| p.index < index);
                    self.model.forget_idle();
                    self.table.truncate_from(index);
                    self.index = index - 1;
                }
            }
            Op::Restart => self.restart(),
        }
    }

    /// Reads the snapshot back and prepares again what the log still holds uncommitted.
    fn restart(&mut self) {
        self.table = Producers::restore(&bytes_of(&self.table), PRODUCERS_MAX).expect("its own bytes");
        self.model.aside.clear();
        for appended in self.model.pending.clone() {
            self.prepare(appended);
        }
    }

    /// The committed table depends on nothing but the committed batches.
    fn check_bytes(&self) {
        let mut replica = Producers::new(PRODUCERS_MAX);
        for Appended { index, sequence, offset } in &self.model.history {
            replica.replay(sequence, *offset, UnixMillis(*index as i64));
        }
        assert_eq!(bytes_of(&self.table), bytes_of(&replica));
        let restored = Producers::restore(&bytes_of(&self.table), PRODUCERS_MAX).expect("its own bytes");
        assert_eq!(bytes_of(&restored), bytes_of(&replica));
        let known: Vec<_> = self.table.describe().map(|state| state.producer.0).collect();
        assert_eq!(known, self.model.committed.keys().copied().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_judgement_is_the_models(ops in prop::collection::vec(op(), 1..120)) {
        let mut both = Both::new();
        for op in ops {
            both.run(op);
            both.check_bytes();
        }
    }

    #[test]
    fn random_bytes_never_panic_and_never_allocate_much(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Producers::restore(&bytes, 10);
        if bytes.len() > 2 {
            bytes[..2].copy_from_slice(&[1, 0]);
            let _ = Producers::restore(&bytes, 10);
        }
    }

    #[test]
    fn a_flipped_byte_is_refused_or_gives_a_table_that_writes_it_again(place in 0..200_usize, flip in 1..=255_u8) {
        let mut both = Both::new();
        for op in (0..4).flat_map(|producer| (1..3).map(move |count| Op::Next { producer, count })) {
            both.run(op);
        }
        both.run(Op::Commit(1000));
        let mut bytes = bytes_of(&both.table);
        let place = place % bytes.len();
        bytes[place] ^= flip;
        if let Ok(table) = Producers::restore(&bytes, 10) {
            prop_assert_eq!(bytes_of(&table), bytes);
        }
    }
}
