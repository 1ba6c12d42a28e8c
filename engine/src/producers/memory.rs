//! What is committed of one producer: its epoch and its last batches. It only ever takes in what was committed;
//! what is in flight stands in the table's queue.

use super::sequence::{BatchSequence, KeptBatch, behind};
use flumen_model::limits::PRODUCER_BATCHES_KEPT;

/// The run is counted up to here. Beyond it a sequence that lies behind could as well lie ahead.
const RUN_MAX: u32 = 1 << 30;

/// The epoch of a producer of whom nothing is committed.
const NO_EPOCH: i16 = -1;

/// One producer's committed epoch and batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    epoch: i16,
    kept: u8,
    /// Records of this epoch that were committed one after another, up to the newest. It tells a repeat that is
    /// merely too old from a batch that never came: only the first may be called a duplicate.
    run: u32,
    batches: [KeptBatch; PRODUCER_BATCHES_KEPT],
}

impl Memory {
    /// Nothing is committed of this producer.
    pub(super) const NONE: Memory = Memory {
        epoch: NO_EPOCH,
        kept: 0,
        run: 0,
        batches: [KeptBatch {
            first_sequence: 0,
            last_offset_delta: 0,
            base_offset: flumen_model::Offset(0),
            timestamp: flumen_model::UnixMillis(0),
        }; PRODUCER_BATCHES_KEPT],
    };

    /// The memory that a snapshot describes; `None` when no history leads to it.
    pub(super) fn restored(epoch: i16, run: u32, batches: &[KeptBatch]) -> Option<Memory> {
        let newest = batches.last()?;
        let whole = batches.len() <= PRODUCER_BATCHES_KEPT
            && epoch >= 0
            && run > newest.last_offset_delta.min(RUN_MAX - 1)
            && run <= RUN_MAX
            && batches.iter().all(|b| b.first_sequence >= 0 && b.last_offset_delta < i32::MAX as u32)
            && batches.iter().all(|b| b.base_offset.0.checked_add(u64::from(b.last_offset_delta)).is_some())
            && batches.is_sorted_by(|a, b| a.last_offset() < b.base_offset);
        let mut memory = Memory { epoch, kept: batches.len() as u8, run, ..Memory::NONE };
        whole.then(|| {
            memory.batches[..batches.len()].copy_from_slice(batches);
            memory
        })
    }

    /// Whether anything is committed.
    pub(super) fn is_known(&self) -> bool {
        self.epoch != NO_EPOCH
    }

    /// The newest committed epoch, −1 when nothing is.
    pub(super) fn epoch(&self) -> i16 {
        self.epoch
    }

    /// See the field.
    pub(super) fn run(&self) -> u32 {
        self.run
    }

    /// The remembered batches of the newest epoch, oldest first.
    pub(super) fn batches(&self) -> &[KeptBatch] {
        &self.batches[..usize::from(self.kept)]
    }

    /// The newest remembered batch.
    pub(super) fn newest(&self) -> Option<&KeptBatch> {
        self.batches().last()
    }

    /// Takes in a committed batch. The leader has judged it: here it is only remembered. An old epoch can come no
    /// more, and would change nothing (Kafka only logs it on replicas).
    pub(super) fn remember(&mut self, epoch: i16, batch: KeptBatch) {
        if epoch < self.epoch {
            return;
        }
        if epoch > self.epoch {
            *self = Memory { epoch, ..Memory::NONE };
        }
        let follows = self.newest().is_some_and(|newest| newest.next_sequence() == batch.first_sequence);
        let before = if follows { self.run } else { 0 };
        self.run = before.saturating_add(batch.last_offset_delta.saturating_add(1)).min(RUN_MAX);
        self.push(batch);
    }

    fn push(&mut self, batch: KeptBatch) {
        let kept = usize::from(self.kept);
        if kept == PRODUCER_BATCHES_KEPT {
            self.batches.rotate_left(1);
            self.batches[kept - 1] = batch;
        } else {
            self.batches[kept] = batch;
            self.kept += 1;
        }
    }

    /// Whether all of `sequence` was committed before the oldest of the newest `window` batches: a repeat of a batch
    /// that is no longer remembered. False when in doubt.
    pub(super) fn was_before(&self, sequence: &BatchSequence, window: usize) -> bool {
        let Some(newest) = self.newest().filter(|_| self.epoch == sequence.epoch) else { return false };
        let next = newest.next_sequence();
        let back = behind(next, sequence.base_sequence);
        let oldest = self.batches().get(self.batches().len().saturating_sub(window)..).and_then(<[_]>::first);
        let remembered = oldest.map_or(0, |oldest| behind(next, oldest.first_sequence));
        back <= self.run && back.checked_sub(sequence.count).is_some_and(|end| end >= remembered)
    }
}
