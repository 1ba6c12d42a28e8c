//! The batches of one partition that are in memory, oldest first: those that are placed in a segment, which may be
//! dropped, then those that are pending, which may not. Always a gapless end of the log; never copies a batch.

use super::BatchRef;
use bytes::Bytes;
use flumen_model::Offset;
use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

/// Batches in memory.
#[derive(Default)]
pub(crate) struct Cache {
    batches: VecDeque<BatchRef>,
    bytes: usize,
    /// How many at the end are in no segment yet.
    pending: usize,
    pending_bytes: u64,
    /// Every stored batch that reaches past this offset is here.
    start: u64,
}

impl Cache {
    /// An empty cache of a log of which everything below `start` is in segments.
    pub(crate) fn new(start: u64) -> Cache {
        Cache { start, ..Cache::default() }
    }

    /// Takes the next committed batch.
    pub(crate) fn push(&mut self, batch: BatchRef) {
        self.bytes += batch.bytes.len();
        self.pending_bytes += batch.bytes.len() as u64;
        self.pending += 1;
        self.batches.push_back(batch);
    }

    /// Bytes of all batches here.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of those that are in no segment yet.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Those that are in no segment yet, oldest first.
    pub(crate) fn pending(&self) -> Iter<'_, BatchRef> {
        self.batches.range(self.batches.len() - self.pending..)
    }

    /// The oldest `count` pending batches are in a segment now.
    pub(crate) fn placed(&mut self, count: usize) {
        let bytes: usize = self.pending().take(count).map(|batch| batch.bytes.len()).sum();
        self.pending -= count;
        self.pending_bytes -= bytes as u64;
    }

    /// Drops the oldest placed batches until `bytes` are freed; returns the bytes freed.
    pub(crate) fn evict(&mut self, bytes: usize) -> usize {
        let mut freed = 0;
        while freed < bytes && self.batches.len() > self.pending {
            let batch = self.batches.pop_front().expect("there are more than the pending ones");
            freed += batch.bytes.len();
            self.start = batch.last_offset + 1;
        }
        self.bytes -= freed;
        if self.batches.is_empty() {
            self.batches.shrink_to(0);
        }
        freed
    }

    /// Forgets everything: the log goes on at `start`.
    pub(crate) fn clear(&mut self, start: u64) {
        *self = Cache::new(start);
    }

    /// Whether everything from an offset on is here.
    pub(crate) fn reaches(&self, from: u64) -> bool {
        from >= self.start
    }

    /// Adds whole batches from the one that contains `from`, or the first behind it, up to the exclusive `end`;
    /// at least one when there is one, then as many as stay within `bytes_max`.
    pub(crate) fn read(&self, from: Offset, end: Offset, bytes_max: usize, out: &mut Vec<Bytes>) {
        let first = self.batches.partition_point(|batch| batch.last_offset < from.0);
        let mut left = bytes_max;
        for (i, batch) in self.batches.range(first..).enumerate() {
            if batch.last_offset >= end.0 || (i > 0 && batch.bytes.len() > left) {
                return;
            }
            left = left.saturating_sub(batch.bytes.len());
            out.push(batch.bytes.clone());
        }
    }
}
