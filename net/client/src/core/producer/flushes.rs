//! Who waits for everything sent before: a flush ends when all records that were taken before it have their fate,
//! whatever is sent meanwhile.

use std::collections::BTreeSet;

#[derive(Debug)]
struct Flush {
    tag: u64,
    /// Records taken before it; all of them must be in a batch first.
    taken: u64,
    /// Then all batches below this must be finished.
    below: Option<u64>,
}

/// The flushes under way, and the batches that are not finished.
#[derive(Debug, Default)]
pub(crate) struct Flushes {
    waiting: Vec<Flush>,
    open: BTreeSet<u64>,
}

impl Flushes {
    pub(crate) fn begin(&mut self, tag: u64, taken: u64) {
        self.waiting.push(Flush { tag, taken, below: None });
    }

    pub(crate) fn batch_finished(&mut self, batch: u64) {
        self.open.remove(&batch);
    }

    pub(crate) fn batches_closed(&mut self, batches: std::ops::Range<u64>) {
        self.open.extend(batches);
    }

    /// Whether open batches must be closed now, because a flush has all its records in batches.
    pub(crate) fn must_close(&self, placed: u64) -> bool {
        self.waiting.iter().any(|flush| flush.below.is_none() && flush.taken <= placed)
    }

    /// All open batches were closed; batches from `next_batch` on are later ones.
    pub(crate) fn closed(&mut self, placed: u64, next_batch: u64) {
        let due = self.waiting.iter_mut().filter(|flush| flush.below.is_none() && flush.taken <= placed);
        due.for_each(|flush| flush.below = Some(next_batch));
    }

    /// A flush that has ended.
    pub(crate) fn next_ended(&mut self) -> Option<u64> {
        let oldest = self.open.first().copied().unwrap_or(u64::MAX);
        let ended = self.waiting.iter().position(|flush| flush.below.is_some_and(|below| below <= oldest))?;
        Some(self.waiting.remove(ended).tag)
    }
}
