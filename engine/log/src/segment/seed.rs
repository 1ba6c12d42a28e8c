//! The seeds of a segment's checksums. A chunk or index entry that belongs to another directory, partition,
//! segment or place fails its check like a rotten one. Never a secret, never random at run time.

use crc32c::crc32c_append;

/// The seed of one segment: the partition's seed and the segment's base offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentSeed(u32);

impl SegmentSeed {
    /// The seed of the segment that begins at `base_offset`.
    pub(crate) fn new(partition_seed: u32, base_offset: u64) -> SegmentSeed {
        SegmentSeed(crc32c_append(partition_seed, &base_offset.to_le_bytes()))
    }

    /// Where the checksum of a chunk's bytes starts.
    pub(crate) fn chunk(self, chunk: u32) -> u32 {
        crc32c_append(self.0, &chunk.to_le_bytes())
    }

    /// The checksum of an index entry, header or footer.
    pub(crate) fn of_meta(self, bytes: &[u8]) -> u32 {
        crc32c_append(!self.0, bytes)
    }

    /// What an index header stores to tell a foreign index from a rotten one.
    pub(crate) fn fingerprint(self) -> u32 {
        crc32c_append(self.0, b"flumen segment")
    }
}
