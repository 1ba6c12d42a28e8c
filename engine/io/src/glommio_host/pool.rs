//! Buffers of writes, kept for the next write of the same length: memory that is warm in the cache and whose pages
//! are there. One pool a core. It never holds more than it may, and never hands one buffer to two owners.

use glommio::io::DmaBuffer;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// Smaller buffers come from the executor's registered memory, which is as good.
const KEPT_BYTES_MIN: usize = 32 * 1024;
/// What a core keeps at most: a few of the largest writes.
const POOL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The kept buffers, the oldest first.
#[derive(Default)]
pub(super) struct Pool {
    kept: RefCell<VecDeque<DmaBuffer>>,
    bytes: Cell<usize>,
}

impl Pool {
    /// A buffer of `len` bytes, with what was in that memory before.
    pub(super) fn take(&self, len: usize) -> DmaBuffer {
        self.reuse(len).unwrap_or_else(|| glommio::allocate_dma_buffer(len))
    }

    fn reuse(&self, len: usize) -> Option<DmaBuffer> {
        if len < KEPT_BYTES_MIN {
            return None;
        }
        let mut kept = self.kept.borrow_mut();
        let at = kept.iter().rposition(|buffer| buffer.len() == len)?;
        self.bytes.set(self.bytes.get() - len);
        kept.remove(at)
    }

    /// Takes back a buffer that nobody uses any more.
    pub(super) fn give(&self, buffer: DmaBuffer) {
        if !(KEPT_BYTES_MIN..=POOL_BYTES_MAX).contains(&buffer.len()) {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        self.bytes.set(self.bytes.get() + buffer.len());
        kept.push_back(buffer);
        while self.bytes.get() > POOL_BYTES_MAX {
            let oldest = kept.pop_front().expect("bytes are of kept buffers");
            self.bytes.set(self.bytes.get() - oldest.len());
        }
    }
}
