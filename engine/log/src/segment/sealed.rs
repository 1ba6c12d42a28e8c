//! A sealed segment: immutable, listed in the partition's state. The list is the manifest; a file that is not in
//! it is an orphan. Never holds a descriptor or an index.

use super::active::ActiveSegment;
use super::index_file::INDEX_BLOCK_ENTRIES;
use flumen_model::limits::{BLOCK_BYTES, CHUNK_BYTES};

/// What the state keeps of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedSegment {
    /// The first batch's first offset; the files' name.
    pub(crate) base_offset: u64,
    /// The offset behind the last batch.
    pub(crate) end_offset: u64,
    /// Bytes of the batches, without the padding of the last block.
    pub(crate) bytes: u64,
    /// The largest timestamp of its batches; negative when none has one.
    pub(crate) max_timestamp: i64,
    /// The first batch's Raft index.
    pub(crate) first_index: u64,
}

impl SealedSegment {
    /// What is kept of a segment that is being sealed.
    pub(crate) fn of(active: &ActiveSegment) -> SealedSegment {
        SealedSegment {
            base_offset: active.base_offset,
            end_offset: active.end_offset(),
            bytes: active.bytes,
            max_timestamp: active.max_timestamp,
            first_index: active.first_index,
        }
    }

    /// Bytes of the file: whole blocks.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.bytes.next_multiple_of(BLOCK_BYTES as u64)
    }

    /// Chunks, and so entries of the index.
    pub(crate) fn chunks(&self) -> u32 {
        self.bytes.div_ceil(CHUNK_BYTES as u64) as u32
    }

    /// Blocks of entries in the index file.
    pub(crate) fn index_blocks(&self) -> u32 {
        self.chunks().div_ceil(INDEX_BLOCK_ENTRIES as u32)
    }

    /// Whether the fields make sense by themselves.
    pub(crate) fn is_sound(&self) -> bool {
        self.base_offset < self.end_offset
            && self.end_offset <= i64::MAX as u64
            && (1..=u64::from(u32::MAX)).contains(&self.bytes)
    }
}
