//! What a reader sees of one segment at one moment: a sealed one, or the active one as it was. What is spread
//! later is not in it; what was on disk then stays as it was. Never does I/O.

use super::active::ActiveSegment;
use super::entry::IndexEntry;
use super::index_file::INDEX_BLOCK_ENTRIES;
use super::sealed::SealedSegment;
use bytes::Bytes;
use flumen_model::limits::CHUNK_BYTES;
use std::rc::Rc;

/// One segment at one moment.
#[derive(Clone, Debug)]
pub(crate) enum View {
    Sealed(SealedSegment),
    Active(Rc<ActiveSegment>),
}

/// Where an index entry is.
pub(crate) enum EntryAt {
    Memory(IndexEntry),
    /// In this block of the index file.
    Block(u32),
}

impl View {
    pub(crate) fn base_offset(&self) -> u64 {
        match self {
            View::Sealed(sealed) => sealed.base_offset,
            View::Active(active) => active.base_offset,
        }
    }

    pub(crate) fn end_offset(&self) -> u64 {
        match self {
            View::Sealed(sealed) => sealed.end_offset,
            View::Active(active) => active.end_offset(),
        }
    }

    /// Bytes of batches, the tail included.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            View::Sealed(sealed) => sealed.bytes,
            View::Active(active) => active.bytes,
        }
    }

    /// Bytes of batches on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        match self {
            View::Sealed(sealed) => sealed.bytes,
            View::Active(active) => active.spread,
        }
    }

    /// Bytes on disk that checksums cover: whole blocks.
    pub(crate) fn disk_blocks(&self) -> u64 {
        match self {
            View::Sealed(sealed) => sealed.file_bytes(),
            View::Active(active) => active.spread,
        }
    }

    /// Chunks that are on disk, wholly or in part.
    pub(crate) fn disk_chunks(&self) -> u32 {
        self.disk_blocks().div_ceil(CHUNK_BYTES as u64) as u32
    }

    /// What is only in memory.
    pub(crate) fn tail(&self) -> Bytes {
        match self {
            View::Sealed(_) => Bytes::new(),
            View::Active(active) => active.tail.clone(),
        }
    }

    /// The largest timestamp of its batches.
    pub(crate) fn max_timestamp(&self) -> i64 {
        match self {
            View::Sealed(sealed) => sealed.max_timestamp,
            View::Active(active) => active.max_timestamp,
        }
    }

    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self, View::Sealed(_))
    }

    /// Index entries.
    pub(crate) fn entry_count(&self) -> u32 {
        match self {
            View::Sealed(sealed) => sealed.chunks(),
            View::Active(active) => active.entry_count(),
        }
    }

    /// Whole blocks of entries in the index file.
    pub(crate) fn index_blocks(&self) -> u32 {
        match self {
            View::Sealed(sealed) => sealed.index_blocks(),
            View::Active(active) => active.index_blocks,
        }
    }

    /// Entries in one block of the index file.
    pub(crate) fn entries_in_block(&self, block: u32) -> usize {
        let first = block as usize * INDEX_BLOCK_ENTRIES;
        match self {
            View::Sealed(sealed) => (sealed.chunks() as usize).saturating_sub(first).min(INDEX_BLOCK_ENTRIES),
            View::Active(_) => INDEX_BLOCK_ENTRIES,
        }
    }

    /// Where the entry of a chunk is to be found.
    pub(crate) fn entry_at(&self, partition_seed: u32, chunk: u32) -> EntryAt {
        let block = chunk / INDEX_BLOCK_ENTRIES as u32;
        match self {
            View::Active(active) if block >= active.index_blocks => {
                let first = active.index_blocks as usize * INDEX_BLOCK_ENTRIES;
                let kept = active.entries.get(chunk as usize - first).copied();
                EntryAt::Memory(kept.unwrap_or_else(|| active.open_entry(partition_seed)))
            }
            _ => EntryAt::Block(block),
        }
    }
}
