//! Making the index of a sealed segment anew from what a walk over its batches found. The index is never evidence:
//! an entry that is intact is kept, any other comes from batches that match their own checksums. Raft indexes are
//! not in the batches; an entry made here has 0 for them. A chunk that its batches do not prove gets a checksum
//! that its bytes do not have, so that nothing of it is ever served.

use super::entry::{ChunkMeta, IndexEntry, Place};
use super::files::{Checked, Fault, FileKind, rebuilt_index_path};
use super::index_file::{self, Footer};
use super::sealed::SealedSegment;
use super::seed::SegmentSeed;
use super::segments::Segments;
use super::walk::place_of;
use crc32c::crc32c_append;
use flumen_io::{Access, Buf, Durability, File, Host};
use flumen_model::batch::BatchView;
use flumen_model::limits::{BLOCK_BYTES, CHUNK_BYTES};
use std::collections::BTreeMap;
use std::io;
use zerocopy::IntoBytes;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// What a walk learnt about a segment's chunks.
pub(super) struct Patch {
    base_offset: u64,
    /// The entries that are intact.
    pub(super) entries: Vec<Option<IndexEntry>>,
    /// Chunks without one.
    missing: BTreeMap<u32, Missing>,
    /// Some batches could not be read.
    pub(super) has_losses: bool,
    /// The index file is this segment's, or there is none.
    pub(super) is_own: bool,
}

/// A chunk without an entry.
#[derive(Default)]
struct Missing {
    meta: Option<ChunkMeta>,
    crc: Option<u32>,
    /// Bytes of it that intact batches cover.
    covered: u64,
    /// An offset is left out in front of one of its batches: right only when the whole segment adds up.
    has_gap: bool,
}

impl Patch {
    pub(super) fn new(base_offset: u64) -> Patch {
        Patch { base_offset, entries: Vec::new(), missing: BTreeMap::new(), has_losses: false, is_own: true }
    }

    /// The intact entry of a chunk.
    pub(super) fn entry(&self, chunk: u32) -> Option<&IndexEntry> {
        self.entries.get(chunk as usize)?.as_ref()
    }

    /// The checksum of a chunk without an entry.
    pub(super) fn note_chunk(&mut self, chunk: u32, crc: u32) {
        self.missing.entry(chunk).or_default().crc = Some(crc);
    }

    /// An intact batch.
    pub(super) fn note_batch(&mut self, batch: &BatchView<'_>, position: u64, has_gap: bool) {
        let end = position + batch.total_bytes() as u64;
        let (first, last) = ((position / CHUNK) as u32, ((end - 1) / CHUNK) as u32);
        for chunk in first..=last {
            if self.entry(chunk).is_some() {
                continue;
            }
            let start = u64::from(chunk) * CHUNK;
            let place = place_of(batch, self.base_offset, position);
            let missing = self.missing.entry(chunk).or_default();
            let meta = missing.meta.get_or_insert(ChunkMeta::covered_by(place));
            if chunk == first {
                meta.add(place, batch.max_timestamp().0);
                missing.has_gap |= has_gap;
            }
            missing.covered += end.min(start + CHUNK) - position.max(start);
        }
    }

    /// The whole bytes of the index file.
    fn index(&self, partition_seed: u32, segment: &SealedSegment) -> Vec<u8> {
        let seed = SegmentSeed::new(partition_seed, segment.base_offset);
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut before = Place::default();
        for chunk in 0..segment.chunks() {
            let kept = self.entry(chunk).copied();
            let entry = kept.unwrap_or_else(|| self.made(seed, segment, chunk, before));
            before = Place {
                first_offset: entry.first_offset(),
                last_offset: entry.last_offset(),
                position: entry.position() as u32,
                index: 0,
                term: 0,
            };
            entries.push(entry);
        }
        let mut out = index_file::header(seed, segment.base_offset);
        entries.iter().for_each(|entry| out.extend_from_slice(entry.as_bytes()));
        out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
        out.extend_from_slice(&Footer::of_entries(segment, &entries).encode(seed));
        out
    }

    /// The entry of a chunk, from its batches; `before` is the place of the entry in front of it.
    fn made(&self, seed: SegmentSeed, segment: &SealedSegment, chunk: u32, before: Place) -> IndexEntry {
        let bytes = (segment.bytes - u64::from(chunk) * CHUNK).min(CHUNK);
        let nothing = Missing::default();
        let missing = self.missing.get(&chunk).unwrap_or(&nothing);
        let is_proven = missing.covered == bytes && !(self.has_losses && missing.has_gap);
        let meta = missing.meta.filter(|_| is_proven).unwrap_or(ChunkMeta::covered_by(before));
        let crc = missing.crc.unwrap_or_default();
        IndexEntry::new(seed, chunk, &meta, bytes as u32, if is_proven { crc } else { !crc })
    }
}

impl Footer {
    /// The footer of a segment whose entries were made anew.
    fn of_entries(segment: &SealedSegment, entries: &[IndexEntry]) -> Footer {
        let batches = entries.iter().map(|entry| u64::from(entry.batches())).sum();
        let crc = entries.iter().fold(0, |crc, entry| crc32c_append(crc, entry.as_bytes()));
        Footer::of_segment(segment, batches, crc)
    }
}

impl<H: Host> Segments<H> {
    /// Writes the index of a sealed segment, under another name first. The caller has the turn.
    pub(super) async fn write_patched(
        &self,
        host: &H,
        segment: &SealedSegment,
        patch: &Patch,
    ) -> Checked<()> {
        let base_offset = segment.base_offset;
        let index = patch.index(self.spec.seed, segment);
        let new = rebuilt_index_path(&self.spec.dir, base_offset);
        let failed =
            |error: io::Error| Fault::new(&new, 0, format_args!("the index cannot be written ({error})"));
        let file = host.open(&new, Access::WRITE).await.map_err(failed)?;
        let mut buf = host.buf_to_fill(index.len());
        buf.bytes_mut().copy_from_slice(&index);
        file.write_at(buf, 0, Durability::Volatile).await.0.map_err(failed)?;
        file.truncate(index.len() as u64).await.map_err(failed)?;
        file.sync_data().await.map_err(failed)?;
        host.rename(&new, &self.path(base_offset, FileKind::Index)).await.map_err(failed)?;
        self.spec.open_files.forget(self.owner, base_offset);
        self.inner_mut().dirty.retain(|dirty| *dirty != (base_offset, FileKind::Index));
        host.sync_dir(&self.spec.dir).await.map_err(failed)
    }
}
