//! The segment that is being written, as a value: where each batch lies, which blocks are on disk, what each chunk
//! holds. Batches are placed, then whole blocks are taken; what is left over is the tail. Never does I/O and never
//! hands out a block twice.

use super::BatchRef;
use super::entry::{ChunkMeta, ENTRY_BYTES, IndexEntry, Place};
use super::index_file::{self, Footer, INDEX_BLOCK_ENTRIES};
use super::sealed::SealedSegment;
use super::seed::SegmentSeed;
use bytes::Bytes;
use crc32c::crc32c_append;
use flumen_model::limits::{BLOCK_BYTES, CHUNK_BYTES};
use zerocopy::IntoBytes;

const BLOCK: u64 = BLOCK_BYTES as u64;
const CHUNK: u64 = CHUNK_BYTES as u64;

/// No segment grows beyond this, whatever a topic says: positions in the index are 32 bits wide, and Kafka's
/// `segment.bytes` ends here too.
pub(crate) const SEGMENT_BYTES_FORMAT_MAX: u64 = i32::MAX as u64;

/// A segment that still takes batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveSegment {
    /// The first batch's first offset; the file's name.
    pub(crate) base_offset: u64,
    /// Bytes of all batches placed.
    pub(crate) bytes: u64,
    /// Bytes on disk, whole blocks.
    pub(crate) spread: u64,
    /// The bytes behind `spread`, less than a block when nothing is being spread.
    pub(crate) tail: Bytes,
    /// The first batch's max timestamp: the segment's age counts from here.
    pub(crate) first_timestamp: i64,
    /// Of all batches placed.
    pub(crate) max_timestamp: i64,
    /// The first batch's Raft index.
    pub(crate) first_index: u64,
    /// Batches placed.
    pub(crate) batches: u64,
    /// Whole blocks of entries in the index file.
    pub(crate) index_blocks: u32,
    /// The running checksum of all entries so far, for the footer.
    pub(crate) entries_crc: u32,
    /// Entries of complete chunks that are in no whole block of the index file yet.
    pub(crate) entries: Vec<IndexEntry>,
    /// The chunk that `spread` is in, then those that batches being placed have reached. One at rest.
    pub(crate) metas: Vec<ChunkMeta>,
    /// The running checksum of the blocks of the chunk that `spread` is in.
    pub(crate) chunk_crc: u32,
    /// The newest batch.
    pub(crate) last: Place,
}

/// Blocks for the index file.
pub(crate) struct IndexWrite {
    pub(crate) position: u64,
    pub(crate) blocks: Vec<u8>,
}

/// What sealing writes: the padded last block, the rest of the index.
pub(crate) struct Seal {
    pub(crate) segment: SealedSegment,
    /// Where `block` goes; none when the data ends with a whole block.
    pub(crate) position: u64,
    pub(crate) block: Option<Vec<u8>>,
    pub(crate) index: IndexWrite,
}

impl ActiveSegment {
    /// A segment that is about to take `first`.
    pub(crate) fn begin(partition_seed: u32, first: &BatchRef) -> ActiveSegment {
        let seed = SegmentSeed::new(partition_seed, first.base_offset);
        ActiveSegment {
            base_offset: first.base_offset,
            bytes: 0,
            spread: 0,
            tail: Bytes::new(),
            first_timestamp: first.max_timestamp,
            max_timestamp: i64::MIN,
            first_index: first.index,
            batches: 0,
            index_blocks: 0,
            entries_crc: 0,
            entries: Vec::new(),
            metas: vec![ChunkMeta::covered_by(Place::default())],
            chunk_crc: seed.chunk(0),
            last: Place::default(),
        }
    }

    /// The offset behind the last batch.
    pub(crate) fn end_offset(&self) -> u64 {
        self.base_offset + u64::from(self.last.last_offset) + 1
    }

    /// Whether a batch goes into this segment; else it begins the next one. A pure function of the batches and
    /// the limits, so that spreading again after a crash cuts the same segments.
    pub(crate) fn takes(&self, batch: &BatchRef, segment_bytes: u64, segment_ms: u64) -> bool {
        let bytes_max = segment_bytes.min(SEGMENT_BYTES_FORMAT_MAX);
        let age_ms = u64::try_from(batch.max_timestamp.saturating_sub(self.first_timestamp)).unwrap_or(0);
        self.batches == 0
            || (self.bytes + batch.bytes.len() as u64 <= bytes_max
                && batch.last_offset - self.base_offset < u64::from(u32::MAX)
                && (self.first_timestamp < 0 || age_ms <= segment_ms))
    }

    /// Gives a batch its place behind the last one. Its bytes are taken with [`ActiveSegment::take_blocks`].
    pub(crate) fn place(&mut self, batch: &BatchRef) {
        let relative = |offset: u64| {
            u32::try_from(offset - self.base_offset).expect("a segment rolls before its offsets pass 32 bits")
        };
        let place = Place {
            first_offset: relative(batch.base_offset),
            last_offset: relative(batch.last_offset),
            position: u32::try_from(self.bytes).expect("a segment rolls before its positions pass 32 bits"),
            index: batch.index,
            term: batch.term,
        };
        let ahead = (self.bytes / CHUNK - self.spread / CHUNK) as usize;
        while self.metas.len() <= ahead {
            self.metas.push(ChunkMeta::covered_by(self.last));
        }
        self.metas[ahead].add(place, batch.max_timestamp);
        self.last = place;
        self.batches += 1;
        self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
        self.bytes += batch.bytes.len() as u64;
    }

    /// Bytes placed and not on disk, in whole blocks.
    pub(crate) fn whole_blocks(&self) -> usize {
        let pending = self.bytes - self.spread;
        (pending - pending % BLOCK) as usize
    }

    /// Takes the next whole blocks, which are on their way to disk, and the tail behind them.
    pub(crate) fn take_blocks(&mut self, partition_seed: u32, blocks: &[u8], tail: Bytes) {
        assert_eq!(blocks.len(), self.whole_blocks(), "all whole blocks are taken at once");
        self.advance(SegmentSeed::new(partition_seed, self.base_offset), blocks);
        assert_eq!(self.spread + tail.len() as u64, self.bytes, "the tail is what the blocks leave over");
        assert_eq!(self.metas.len(), 1, "a tail reaches into no further chunk");
        self.tail = tail;
    }

    fn advance(&mut self, seed: SegmentSeed, mut blocks: &[u8]) {
        while !blocks.is_empty() {
            let room = (CHUNK - self.spread % CHUNK) as usize;
            let (now, later) = blocks.split_at(room.min(blocks.len()));
            self.chunk_crc = crc32c_append(self.chunk_crc, now);
            self.spread += now.len() as u64;
            if self.spread.is_multiple_of(CHUNK) {
                self.close_chunk(seed, self.spread - CHUNK);
            }
            blocks = later;
        }
    }

    /// Ends the chunk that begins at `start`.
    fn close_chunk(&mut self, seed: SegmentSeed, start: u64) {
        let chunk = (start / CHUNK) as u32;
        let bytes = (self.bytes - start).min(CHUNK) as u32;
        let meta = self.metas.remove(0);
        let entry = IndexEntry::new(seed, chunk, &meta, bytes, self.chunk_crc);
        self.entries_crc = crc32c_append(self.entries_crc, entry.as_bytes());
        self.entries.push(entry);
        self.chunk_crc = seed.chunk(chunk + 1);
        if self.metas.is_empty() {
            self.metas.push(ChunkMeta::covered_by(self.last));
        }
    }

    /// The entry of the chunk that `spread` is in: the checksum of what of it is on disk, and the batches that
    /// start in it, on disk or in the tail.
    pub(crate) fn open_entry(&self, partition_seed: u32) -> IndexEntry {
        let start = self.spread - self.spread % CHUNK;
        let seed = SegmentSeed::new(partition_seed, self.base_offset);
        IndexEntry::new(
            seed,
            (start / CHUNK) as u32,
            &self.metas[0],
            (self.spread - start) as u32,
            self.chunk_crc,
        )
    }

    /// Entries so far, the open one included when a batch starts in it or a part of it is on disk.
    pub(crate) fn entry_count(&self) -> u32 {
        let is_open = !self.spread.is_multiple_of(CHUNK) || self.metas[0].batches > 0;
        (self.spread / CHUNK) as u32 + u32::from(is_open)
    }

    /// Takes the entries that fill whole blocks of the index file, with the header in front of the first.
    pub(crate) fn take_index_blocks(&mut self, partition_seed: u32) -> Option<IndexWrite> {
        let whole = self.entries.len() / INDEX_BLOCK_ENTRIES;
        if whole == 0 {
            return None;
        }
        let mut write = self.index_write(partition_seed);
        for entry in self.entries.drain(..whole * INDEX_BLOCK_ENTRIES) {
            write.blocks.extend_from_slice(entry.as_bytes());
        }
        self.index_blocks += whole as u32;
        Some(write)
    }

    /// Where index blocks go on: behind those written, or at the start with the header.
    fn index_write(&self, partition_seed: u32) -> IndexWrite {
        if self.index_blocks > 0 {
            return IndexWrite {
                position: index_file::block_position(self.index_blocks),
                blocks: Vec::new(),
            };
        }
        let seed = SegmentSeed::new(partition_seed, self.base_offset);
        IndexWrite { position: 0, blocks: index_file::header(seed, self.base_offset) }
    }

    /// Ends the segment: its last block is padded with zeros, its index gets what is missing and the footer.
    pub(crate) fn seal(mut self, partition_seed: u32) -> Seal {
        let seed = SegmentSeed::new(partition_seed, self.base_offset);
        let position = self.spread;
        let block = (!self.tail.is_empty()).then(|| padded(&self.tail));
        if let Some(block) = &block {
            self.advance(seed, block);
        }
        if !self.spread.is_multiple_of(CHUNK) {
            self.close_chunk(seed, self.spread - self.spread % CHUNK);
        }
        let chunks = self.index_blocks * INDEX_BLOCK_ENTRIES as u32 + self.entries.len() as u32;
        let mut index = self.index_write(partition_seed);
        for entry in &self.entries {
            index.blocks.extend_from_slice(entry.as_bytes());
        }
        index.blocks.resize(index.blocks.len().next_multiple_of(BLOCK_BYTES), 0);
        index.blocks.extend_from_slice(&Footer::of(&self, chunks).encode(seed));
        Seal { segment: SealedSegment::of(&self), position, block, index }
    }

    /// Whether the fields could have come about by placing and taking: what was read from a checkpoint is
    /// believed only then.
    pub(crate) fn is_sound(&self) -> bool {
        let indexed = u64::from(self.index_blocks) * INDEX_BLOCK_ENTRIES as u64;
        self.batches > 0
            && self.spread.is_multiple_of(BLOCK)
            && self.tail.len() < BLOCK_BYTES
            && self.spread.checked_add(self.tail.len() as u64) == Some(self.bytes)
            && self.bytes <= u64::from(u32::MAX)
            && self.base_offset <= i64::MAX as u64
            && self.last.first_offset <= self.last.last_offset
            && u64::from(self.last.position) < self.bytes
            && self.metas.len() == 1
            && u64::from(self.metas[0].first.position) < self.bytes
            && self.entries.len() < INDEX_BLOCK_ENTRIES
            && indexed + self.entries.len() as u64 == self.spread / CHUNK
    }
}

fn padded(tail: &[u8]) -> Vec<u8> {
    let mut block = tail.to_vec();
    block.resize(BLOCK_BYTES, 0);
    block
}

const _: () = assert!(INDEX_BLOCK_ENTRIES * ENTRY_BYTES == BLOCK_BYTES, "entries fill blocks");
