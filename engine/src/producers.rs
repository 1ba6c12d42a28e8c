//! The idempotent producers of one partition: who may append which sequence, and what a repeat is answered
//! (Kafka's `ProducerStateManager`, KIP-98 and KIP-679). A pure table: it never reads a clock, a batch's records or the
//! log, and nothing in it depends on anything but the committed batches, except the queue of those in flight.
//!
//! A batch is judged by [`Producers::check`] against what is committed *and* what is in flight, then noted with
//! [`Producers::prepare`] under its log index, and becomes memory with [`Producers::commit`] or is forgotten with
//! [`Producers::truncate_from`]. Followers prepare what they append, so that a new leader knows what its log ends with.

mod memory;
mod sequence;
mod snapshot;
#[cfg(test)]
mod tests;

pub use sequence::{BatchSequence, KeptBatch};

use flumen_model::limits::PRODUCER_BATCHES_KEPT;
use flumen_model::{Code, Error, Offset, ProducerId, Result, UnixMillis};
use memory::Memory;
use slab::Slab;
use std::collections::{BTreeMap, VecDeque};

/// No slot and no place in the queue.
const NONE: u64 = u64::MAX;

/// An idle partition's queue keeps room for this many batches at most (16 KiB).
const QUEUE_KEPT_MAX: usize = 256;

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is the next one: append it.
    Fresh,
    /// It is a repeat: append nothing and give the first answer again.
    Duplicate {
        /// The offset that the original was given.
        base_offset: Offset,
        /// The timestamp that the original was given.
        timestamp: UnixMillis,
        /// The log index of the original while it is not committed: the answer must wait for it to commit, and when
        /// it is truncated instead, the producer must be told to send again.
        pending: Option<u64>,
    },
}

/// A producer as `DescribeProducers` shows it; only what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Its id.
    pub producer: ProducerId,
    /// Its newest epoch.
    pub epoch: i16,
    /// Its newest batch.
    pub newest: KeptBatch,
}

/// A batch in flight.
#[derive(Clone, Debug)]
struct Pending {
    index: u64,
    slot: usize,
    epoch: i16,
    batch: KeptBatch,
    /// The number of the same producer's batch before it; stale once that one has left the queue.
    previous: u64,
}

/// One producer: what is committed of it and where its batches in flight begin.
#[derive(Clone, Debug)]
struct Slot {
    producer: ProducerId,
    memory: Memory,
    /// What it was judged by when it was forgotten while it had batches in flight, and what was committed since. It
    /// goes with the last of them, and is on no snapshot.
    aside: Option<Box<Memory>>,
    /// The number of its newest batch in flight.
    newest_pending: u64,
    /// Neighbours in the order of last use; only producers with memory stand in it.
    newer: usize,
    older: usize,
}

impl Slot {
    /// What is committed of it, as far as anybody here knows.
    fn judged_by(&self) -> &Memory {
        self.aside.as_deref().unwrap_or(&self.memory)
    }
}

/// The end of the order of last use.
const END: usize = usize::MAX;

/// The idempotent producers of one partition. Empty, it owns no memory.
#[derive(Clone, Debug)]
pub struct Producers {
    producers_max: usize,
    slots: Slab<Slot>,
    by_id: BTreeMap<ProducerId, usize>,
    /// Batches in flight by log index. The number of a batch is its place here plus `queue_first`.
    queue: VecDeque<Pending>,
    queue_first: u64,
    committed_index: u64,
    newest: usize,
    oldest: usize,
    known: usize,
}

impl Producers {
    /// No producers yet; at most `producers_max` are remembered (`Limits::producers_per_partition_max`, at least 1).
    pub fn new(producers_max: usize) -> Producers {
        Producers {
            producers_max: producers_max.max(1),
            slots: Slab::new(),
            by_id: BTreeMap::new(),
            queue: VecDeque::new(),
            queue_first: 0,
            committed_index: 0,
            newest: END,
            oldest: END,
            known: 0,
        }
    }

    /// Judges a batch against everything appended so far, committed or not. Changes nothing.
    ///
    /// An unknown producer may begin with any sequence. A known one must go on where it ended; with a new epoch it
    /// must begin at 0. A repeat of one of the last five batches is a [`Check::Duplicate`].
    ///
    /// # Errors
    /// [`Code::ProducerFenced`] for an old epoch; [`Code::DuplicateSequence`] for a repeat of a committed batch older
    /// than those remembered; [`Code::OutOfOrderSequence`] for anything else that is not next;
    /// [`Code::InvalidBatch`] for negative fields.
    pub fn check(&self, sequence: &BatchSequence) -> Result<Check> {
        sequence.validate()?;
        let Some(slot) = self.by_id.get(&sequence.producer).map(|&key| &self.slots[key]) else {
            return Ok(Check::Fresh);
        };
        let (epoch, next_sequence) = self.end_of(slot);
        if sequence.epoch < epoch {
            return Err(fenced(sequence, epoch));
        }
        let next_sequence = if sequence.epoch > epoch { 0 } else { next_sequence };
        if let Some(duplicate) = self.original(slot, sequence) {
            return Ok(duplicate);
        }
        if sequence.base_sequence == next_sequence {
            return Ok(Check::Fresh);
        }
        Err(self.refusal(slot, sequence, next_sequence))
    }

    /// Notes a batch that was appended at log index `index` and not committed yet.
    ///
    /// # Panics
    /// When `index` does not lie behind every index seen: the log appends in order.
    pub fn prepare(
        &mut self,
        index: u64,
        sequence: &BatchSequence,
        base_offset: Offset,
        timestamp: UnixMillis,
    ) {
        let last = self.queue.back().map_or(self.committed_index, |pending| pending.index);
        assert!(index > last, "index {index} is prepared after {last}");
        let batch = KeptBatch::new(sequence, base_offset, timestamp);
        let number = self.queue_first + self.queue.len() as u64;
        let key = self.slot_of(sequence.producer);
        let previous = std::mem::replace(&mut self.slots[key].newest_pending, number);
        self.queue.push_back(Pending { index, slot: key, epoch: sequence.epoch, batch, previous });
    }

    /// Everything up to and with log index `index` is committed. Asking again changes nothing.
    pub fn commit(&mut self, index: u64) {
        while let Some(pending) = self.queue.pop_front_if(|pending| pending.index <= index) {
            let number = self.queue_first;
            self.queue_first += 1;
            let slot = &mut self.slots[pending.slot];
            if slot.newest_pending == number {
                slot.newest_pending = NONE;
                slot.aside = None;
            }
            self.remember(pending.slot, pending.epoch, pending.batch);
        }
        self.committed_index = self.committed_index.max(index);
        self.give_room_back();
    }

    /// Everything from log index `index` on was cut off the log: as if it had never been prepared.
    ///
    /// # Panics
    /// When `index` is committed: what is committed is never cut off.
    pub fn truncate_from(&mut self, index: u64) {
        assert!(index > self.committed_index, "index {index} is committed and cannot be truncated");
        while let Some(pending) = self.queue.pop_back_if(|pending| pending.index >= index) {
            let left = pending.previous != NONE && pending.previous >= self.queue_first;
            let slot = &mut self.slots[pending.slot];
            slot.newest_pending = if left { pending.previous } else { NONE };
            if !left {
                slot.aside = None;
            }
            self.drop_if_empty(pending.slot);
        }
        self.give_room_back();
    }

    /// Takes in a committed batch that recovery reads back from the log, from its header alone. Batches come in the
    /// order of the log, from behind the snapshot on.
    ///
    /// # Panics
    /// When batches are in flight: recovery comes first.
    pub fn replay(&mut self, sequence: &BatchSequence, base_offset: Offset, timestamp: UnixMillis) {
        assert!(self.queue.is_empty(), "committed batches are replayed before any is prepared");
        let batch = KeptBatch::new(sequence, base_offset, timestamp);
        let key = self.slot_of(sequence.producer);
        self.remember(key, sequence.epoch, batch);
    }

    /// How many producers are remembered.
    pub fn len(&self) -> usize {
        self.known
    }

    /// Whether no producer is remembered and none has a batch in flight.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many batches are in flight.
    pub fn in_flight(&self) -> usize {
        self.queue.len()
    }

    /// The remembered producers in the order of their ids.
    pub fn describe(&self) -> impl Iterator<Item = ProducerState> {
        self.by_id.values().filter_map(|&key| {
            let Slot { producer, memory, .. } = &self.slots[key];
            memory.newest().map(|&newest| ProducerState {
                producer: *producer,
                epoch: memory.epoch(),
                newest,
            })
        })
    }

    /// The epoch and next sequence of a producer, with what is in flight.
    fn end_of(&self, slot: &Slot) -> (i16, i32) {
        match self.pending(slot.newest_pending) {
            Some(pending) => (pending.epoch, pending.batch.next_sequence()),
            None => {
                let memory = slot.judged_by();
                (memory.epoch(), memory.newest().map_or(0, KeptBatch::next_sequence))
            }
        }
    }

    fn pending(&self, number: u64) -> Option<&Pending> {
        let place = number.checked_sub(self.queue_first)?;
        self.queue.get(usize::try_from(place).ok()?)
    }

    /// The producer's batches in flight of one epoch, newest first.
    fn pendings<'a>(&'a self, slot: &Slot, epoch: i16) -> impl Iterator<Item = &'a Pending> {
        std::iter::successors(self.pending(slot.newest_pending), |pending| self.pending(pending.previous))
            .take_while(move |pending| pending.epoch == epoch)
    }

    /// The batch that `sequence` repeats, among the last five of its epoch.
    fn original(&self, slot: &Slot, sequence: &BatchSequence) -> Option<Check> {
        let pending =
            self.pendings(slot, sequence.epoch).map(|pending| (&pending.batch, Some(pending.index)));
        let memory = slot.judged_by();
        let of_epoch = memory.epoch() == sequence.epoch;
        let committed = memory.batches().iter().rev().filter(|_| of_epoch).map(|batch| (batch, None));
        pending
            .chain(committed)
            .take(PRODUCER_BATCHES_KEPT)
            .find(|(batch, _)| batch.is_repeated_by(sequence))
            .map(|(batch, pending)| Check::Duplicate {
                base_offset: batch.base_offset,
                timestamp: batch.timestamp,
                pending,
            })
    }

    /// Why a batch that is neither next nor a remembered repeat is refused. Only what is committed is ever called a
    /// duplicate: clients take that for success.
    fn refusal(&self, slot: &Slot, sequence: &BatchSequence, next_sequence: i32) -> Error {
        let in_flight = self.pendings(slot, sequence.epoch).take(PRODUCER_BATCHES_KEPT).count();
        let BatchSequence { producer, epoch, base_sequence, .. } = sequence;
        if slot.judged_by().was_before(sequence, PRODUCER_BATCHES_KEPT - in_flight) {
            let message = format!(
                "producer {producer} repeats sequence {base_sequence} of epoch {epoch}: it was appended long ago, its \
                 offset is no longer remembered"
            );
            return Error::new(Code::DuplicateSequence, message);
        }
        let message = format!(
            "producer {producer} sent sequence {base_sequence} of epoch {epoch} where {next_sequence} comes next: \
             send what is missing first, or begin a new epoch"
        );
        Error::new(Code::OutOfOrderSequence, message)
    }

    fn slot_of(&mut self, producer: ProducerId) -> usize {
        let slots = &mut self.slots;
        *self.by_id.entry(producer).or_insert_with(|| {
            slots.insert(Slot {
                producer,
                memory: Memory::NONE,
                aside: None,
                newest_pending: NONE,
                newer: END,
                older: END,
            })
        })
    }

    /// Takes a committed batch into a producer's memory, and forgets the least recently used producer when that is
    /// one too many. Offsets only grow, so the order of commits is the order of last offsets. What is in flight has
    /// no say in it, or replicas would differ; a forgotten producer's batches in flight stay known.
    fn remember(&mut self, key: usize, epoch: i16, batch: KeptBatch) {
        if self.slots[key].memory.is_known() {
            self.unlink(key);
        }
        let slot = &mut self.slots[key];
        slot.aside.iter_mut().for_each(|aside| aside.remember(epoch, batch));
        slot.memory.remember(epoch, batch);
        self.link_newest(key);
        if self.known > self.producers_max {
            self.forget(self.oldest);
        }
    }

    /// Forgets what is committed of a producer. While it has batches in flight it is still judged by it: its client
    /// may repeat what came before them.
    fn forget(&mut self, key: usize) {
        self.unlink(key);
        let slot = &mut self.slots[key];
        let memory = std::mem::replace(&mut slot.memory, Memory::NONE);
        if slot.newest_pending != NONE && slot.aside.is_none() {
            slot.aside = Some(Box::new(memory));
        }
        self.drop_if_empty(key);
    }

    fn drop_if_empty(&mut self, key: usize) {
        let slot = &self.slots[key];
        if slot.newest_pending == NONE && !slot.memory.is_known() {
            self.by_id.remove(&slot.producer);
            self.slots.remove(key);
        }
    }

    fn unlink(&mut self, key: usize) {
        let Slot { newer, older, .. } = self.slots[key];
        match newer {
            END => self.newest = older,
            _ => self.slots[newer].older = older,
        }
        match older {
            END => self.oldest = newer,
            _ => self.slots[older].newer = newer,
        }
        self.known -= 1;
    }

    fn link_newest(&mut self, key: usize) {
        let older = std::mem::replace(&mut self.newest, key);
        match older {
            END => self.oldest = key,
            _ => self.slots[older].newer = key,
        }
        self.slots[key].newer = END;
        self.slots[key].older = older;
        self.known += 1;
    }

    /// Remembered producers, least recently used first.
    fn by_last_use(&self) -> impl Iterator<Item = &Slot> {
        let first = self.slots.get(self.oldest);
        std::iter::successors(first, |slot| self.slots.get(slot.newer))
    }

    /// A burst must not leave its queue's memory with an idle partition.
    fn give_room_back(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > QUEUE_KEPT_MAX {
            self.queue.shrink_to(QUEUE_KEPT_MAX);
        }
    }
}

fn fenced(sequence: &BatchSequence, epoch: i16) -> Error {
    let message = format!(
        "producer {} has epoch {}, and a newer instance has {epoch}: this one must stop",
        sequence.producer, sequence.epoch
    );
    Error::new(Code::ProducerFenced, message)
}
