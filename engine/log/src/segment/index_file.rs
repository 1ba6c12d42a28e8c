//! The bytes of an index file: a header block, blocks of entries, and behind the last one of a sealed segment a
//! footer block. Blocks are appended as they fill and never rewritten. Parsing never panics and never believes
//! what its checksum does not cover.

use super::active::ActiveSegment;
use super::entry::{ENTRY_BYTES, IndexEntry};
use super::sealed::SealedSegment;
use super::seed::SegmentSeed;
use flumen_model::limits::{BLOCK_BYTES, CHUNK_BYTES};
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Entries of one block.
pub(crate) const INDEX_BLOCK_ENTRIES: usize = BLOCK_BYTES / ENTRY_BYTES;

const HEADER_MAGIC: [u8; 8] = *b"FLUMENIX";
const FOOTER_MAGIC: [u8; 8] = *b"FLUMENEX";
/// The version this code writes.
const VERSION: u16 = 1;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U16,
    entry_bytes: U16,
    chunk_bytes: U32,
    base_offset: U64,
    fingerprint: U32,
    crc: U32,
}

/// What an index says of its whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Footer {
    magic: [u8; 8],
    version: U16,
    reserved: U16,
    chunks: U32,
    base_offset: U64,
    end_offset: U64,
    bytes: U64,
    batches: U64,
    max_timestamp: I64,
    first_index: U64,
    last_index: U64,
    last_term: U32,
    entries_crc: U32,
    reserved_too: U32,
    crc: U32,
}

const _: () = assert!(size_of::<Header>() == 32 && size_of::<Footer>() == 88, "FORMAT-segments.md");

/// Where a block of entries begins in the file.
pub(crate) fn block_position(block: u32) -> u64 {
    (u64::from(block) + 1) * BLOCK_BYTES as u64
}

/// The header block.
pub(crate) fn header(seed: SegmentSeed, base_offset: u64) -> Vec<u8> {
    let mut header = Header {
        magic: HEADER_MAGIC,
        version: VERSION.into(),
        entry_bytes: (ENTRY_BYTES as u16).into(),
        chunk_bytes: (CHUNK_BYTES as u32).into(),
        base_offset: base_offset.into(),
        fingerprint: seed.fingerprint().into(),
        crc: U32::ZERO,
    };
    header.crc = meta_crc(seed, header.as_bytes()).into();
    padded(header.as_bytes())
}

/// Checks a header block; the error says what is wrong with it.
pub(crate) fn check_header(block: &[u8], seed: SegmentSeed, base_offset: u64) -> Result<(), String> {
    let (header, rest) = Header::ref_from_prefix(block).map_err(|_| "the header is cut off".to_string())?;
    if header.magic != HEADER_MAGIC {
        return Err("this is no index file".into());
    }
    if header.version.get() > VERSION {
        return Err(format!(
            "the index has version {}; this build reads {VERSION}: use a newer one",
            header.version
        ));
    }
    if header.fingerprint.get() != seed.fingerprint() {
        return Err("the index belongs to another directory, partition or segment".into());
    }
    let layout = (usize::from(header.entry_bytes.get()), header.chunk_bytes.get() as usize);
    let sound = layout == (ENTRY_BYTES, CHUNK_BYTES) && header.base_offset.get() == base_offset;
    if !sound || header.crc.get() != meta_crc(seed, header.as_bytes()) || !is_zero(rest) {
        return Err("the header's checksum does not match".into());
    }
    Ok(())
}

/// Entries of one block.
#[derive(Debug)]
pub(crate) struct IndexBlock {
    entries: Vec<IndexEntry>,
}

impl IndexBlock {
    /// Reads block number `block` with `count` entries; the error is the position within the block that is wrong.
    pub(crate) fn parse(
        bytes: &[u8],
        seed: SegmentSeed,
        block: u32,
        count: usize,
    ) -> Result<IndexBlock, usize> {
        let first = block.wrapping_mul(INDEX_BLOCK_ENTRIES as u32);
        let mut entries = Vec::with_capacity(count.min(INDEX_BLOCK_ENTRIES));
        for i in 0..count.min(INDEX_BLOCK_ENTRIES) {
            let at = i * ENTRY_BYTES;
            let entry = bytes.get(at..at + ENTRY_BYTES);
            let entry = entry.and_then(|bytes| IndexEntry::parse(bytes, seed, first.wrapping_add(i as u32)));
            entries.push(entry.ok_or(at)?);
        }
        let end = entries.len() * ENTRY_BYTES;
        match is_zero(bytes.get(end..).ok_or(end)?) {
            true => Ok(IndexBlock { entries }),
            false => Err(end),
        }
    }

    /// The entry of a chunk of this block.
    pub(crate) fn entry(&self, chunk: u32) -> IndexEntry {
        self.entries[chunk as usize % INDEX_BLOCK_ENTRIES]
    }
}

impl Footer {
    /// The footer of a segment that is being sealed, all of whose entries are made.
    pub(crate) fn of(active: &ActiveSegment, chunks: u32) -> Footer {
        Footer {
            magic: FOOTER_MAGIC,
            version: VERSION.into(),
            reserved: U16::ZERO,
            chunks: chunks.into(),
            base_offset: active.base_offset.into(),
            end_offset: active.end_offset().into(),
            bytes: active.bytes.into(),
            batches: active.batches.into(),
            max_timestamp: active.max_timestamp.into(),
            first_index: active.first_index.into(),
            last_index: active.last.index.into(),
            last_term: active.last.term.into(),
            entries_crc: active.entries_crc.into(),
            reserved_too: U32::ZERO,
            crc: U32::ZERO,
        }
    }

    /// The footer of a sealed segment whose entries were made anew: what only Raft knows is 0.
    pub(crate) fn of_segment(segment: &SealedSegment, batches: u64, entries_crc: u32) -> Footer {
        Footer {
            magic: FOOTER_MAGIC,
            version: VERSION.into(),
            reserved: U16::ZERO,
            chunks: segment.chunks().into(),
            base_offset: segment.base_offset.into(),
            end_offset: segment.end_offset.into(),
            bytes: segment.bytes.into(),
            batches: batches.into(),
            max_timestamp: segment.max_timestamp.into(),
            first_index: segment.first_index.into(),
            last_index: U64::ZERO,
            last_term: U32::ZERO,
            entries_crc: entries_crc.into(),
            reserved_too: U32::ZERO,
            crc: U32::ZERO,
        }
    }

    /// The footer block.
    pub(crate) fn encode(mut self, seed: SegmentSeed) -> Vec<u8> {
        self.crc = meta_crc(seed, self.as_bytes()).into();
        padded(self.as_bytes())
    }

    /// Reads a footer block; `None` when it is not intact.
    pub(crate) fn parse(block: &[u8], seed: SegmentSeed) -> Option<Footer> {
        let (footer, rest) = Footer::ref_from_prefix(block).ok()?;
        let intact = footer.magic == FOOTER_MAGIC && footer.crc.get() == meta_crc(seed, footer.as_bytes());
        (intact && is_zero(rest)).then_some(*footer)
    }

    /// Whether this is the footer of that segment, whose entries have this checksum and, as far as that is known,
    /// so many batches.
    pub(crate) fn matches(&self, segment: &SealedSegment, entries_crc: u32, batches: Option<u64>) -> bool {
        self.base_offset.get() == segment.base_offset
            && self.end_offset.get() == segment.end_offset
            && self.bytes.get() == segment.bytes
            && self.max_timestamp.get() == segment.max_timestamp
            && self.chunks.get() == segment.chunks()
            && self.entries_crc.get() == entries_crc
            && batches.is_none_or(|batches| self.batches.get() == batches)
    }
}

/// The checksum over all but the last four bytes, which hold it.
fn meta_crc(seed: SegmentSeed, bytes: &[u8]) -> u32 {
    seed.of_meta(&bytes[..bytes.len() - 4])
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut block = bytes.to_vec();
    block.resize(BLOCK_BYTES, 0);
    block
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// Parses arbitrary bytes as every part of an index file; for fuzzing.
#[doc(hidden)]
pub fn fuzz_index(bytes: &[u8]) {
    let seed = SegmentSeed::new(7, 0);
    let _ = check_header(bytes, seed, 0);
    let _ = Footer::parse(bytes, seed);
    for count in [0, 1, INDEX_BLOCK_ENTRIES, usize::MAX] {
        let _ = IndexBlock::parse(bytes, seed, u32::MAX, count);
    }
}
