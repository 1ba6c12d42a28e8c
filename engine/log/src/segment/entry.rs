//! One entry of a chunk index: what a chunk of a segment holds and the checksum of its bytes. Flat, 64 bytes,
//! little-endian, with a checksum of its own. Never evidence of what is committed, only of what is intact.

use super::seed::SegmentSeed;
use flumen_model::limits::CHUNK_BYTES;
use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = size_of::<IndexEntry>();
const CRC_AT: usize = ENTRY_BYTES - 4;
const _: () = assert!(ENTRY_BYTES == 64, "FORMAT-segments.md");

/// What a chunk holds. Offsets are relative to the segment's base offset. A chunk in which no batch starts
/// describes the batch that reaches across it, with `batches` 0 and no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct IndexEntry {
    first_offset: U32,
    last_offset: U32,
    position: U32,
    batches: U32,
    max_timestamp: I64,
    first_index: U64,
    last_index: U64,
    term: U32,
    chunk: U32,
    bytes: U32,
    chunk_crc: U32,
    reserved: U32,
    crc: U32,
}

/// Where a batch lies: offsets relative to the segment's base, position in bytes, Raft index and term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) first_offset: u32,
    pub(crate) last_offset: u32,
    pub(crate) position: u32,
    pub(crate) index: u64,
    pub(crate) term: u32,
}

/// What is known of a chunk before its bytes are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    /// The first batch that starts here, or the one that reaches across.
    pub(crate) first: Place,
    pub(crate) last_offset: u32,
    pub(crate) last_index: u64,
    /// Batches that start here.
    pub(crate) batches: u32,
    /// Of the batches that start here; `i64::MIN` without one.
    pub(crate) max_timestamp: i64,
}

impl ChunkMeta {
    /// A chunk in which no batch has started yet, behind the start of `covering`.
    pub(crate) fn covered_by(covering: Place) -> ChunkMeta {
        ChunkMeta {
            first: covering,
            last_offset: covering.last_offset,
            last_index: covering.index,
            batches: 0,
            max_timestamp: i64::MIN,
        }
    }

    /// Adds a batch that starts in this chunk.
    pub(crate) fn add(&mut self, batch: Place, max_timestamp: i64) {
        if self.batches == 0 {
            self.first = batch;
        }
        self.last_offset = batch.last_offset;
        self.last_index = batch.index;
        self.batches += 1;
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
    }
}

impl IndexEntry {
    /// The entry of chunk number `chunk`, which holds `bytes` of batches (the rest is padding) and whose whole
    /// blocks have the checksum `chunk_crc`.
    pub(crate) fn new(
        seed: SegmentSeed,
        chunk: u32,
        meta: &ChunkMeta,
        bytes: u32,
        chunk_crc: u32,
    ) -> IndexEntry {
        let mut entry = IndexEntry {
            first_offset: meta.first.first_offset.into(),
            last_offset: meta.last_offset.into(),
            position: meta.first.position.into(),
            batches: meta.batches.into(),
            max_timestamp: meta.max_timestamp.into(),
            first_index: meta.first.index.into(),
            last_index: meta.last_index.into(),
            term: meta.first.term.into(),
            chunk: chunk.into(),
            bytes: bytes.into(),
            chunk_crc: chunk_crc.into(),
            reserved: U32::ZERO,
            crc: U32::ZERO,
        };
        entry.crc = seed.of_meta(&entry.as_bytes()[..CRC_AT]).into();
        entry
    }

    /// Reads the entry of chunk number `chunk`; `None` when its checksum, place or fields are not right.
    pub(crate) fn parse(bytes: &[u8], seed: SegmentSeed, chunk: u32) -> Option<IndexEntry> {
        let entry = *IndexEntry::ref_from_bytes(bytes).ok()?;
        let intact = entry.crc.get() == seed.of_meta(&bytes[..CRC_AT]);
        let sound = entry.chunk.get() == chunk && (1..=CHUNK_BYTES as u32).contains(&entry.bytes.get());
        (intact && sound).then_some(entry)
    }

    /// The first offset of the first batch that starts here, or of the one that reaches across.
    pub(crate) fn first_offset(&self) -> u32 {
        self.first_offset.get()
    }

    /// The last offset of the last batch that starts here, or of the one that reaches across.
    pub(crate) fn last_offset(&self) -> u32 {
        self.last_offset.get()
    }

    /// Where the batch with `first_offset` begins in the file.
    pub(crate) fn position(&self) -> u64 {
        u64::from(self.position.get())
    }

    /// Batches that start here.
    pub(crate) fn batches(&self) -> u32 {
        self.batches.get()
    }

    /// The largest timestamp of the batches that start here; `i64::MIN` without one.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp.get()
    }

    /// The checksum of the chunk's whole blocks, padding included.
    pub(crate) fn chunk_crc(&self) -> u32 {
        self.chunk_crc.get()
    }
}
