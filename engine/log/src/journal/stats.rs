//! What a journal's writer has done, in counters. Read by metrics; decides nothing.

use flumen_model::limits::BLOCK_BYTES;

/// Buckets of the histogram of write sizes: bucket n counts writes of up to 4 KiB · 2ⁿ, the last all larger.
pub const GROUP_SIZES: usize = 12;

/// Counters of one journal since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Writes that completed, marks included.
    pub writes: u64,
    /// Marks written.
    pub marks: u64,
    /// Appends made durable.
    pub appends: u64,
    /// Frames made durable, without the journal's own.
    pub frames: u64,
    /// Bytes written, file headers left out.
    pub bytes: u64,
    /// Bytes of those that were padding.
    pub padding: u64,
    /// Files begun.
    pub files: u64,
    /// Writes by size; see [`GROUP_SIZES`].
    pub sizes: [u64; GROUP_SIZES],
}

impl Stats {
    /// Counts a write of this many bytes.
    pub(crate) fn count_write(&mut self, bytes: usize, padding: usize) {
        self.writes += 1;
        self.bytes += bytes as u64;
        self.padding += padding as u64;
        let blocks = bytes / BLOCK_BYTES;
        let bucket = blocks.next_power_of_two().trailing_zeros() as usize;
        self.sizes[bucket.min(GROUP_SIZES - 1)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_buckets_of_doubling_blocks() {
        let mut stats = Stats::default();
        for (blocks, bucket) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (1 << 20, GROUP_SIZES - 1)]
        {
            let before = stats.sizes[bucket];
            stats.count_write(blocks * BLOCK_BYTES, 0);
            assert_eq!(stats.sizes[bucket], before + 1, "{blocks} blocks");
        }
    }
}
