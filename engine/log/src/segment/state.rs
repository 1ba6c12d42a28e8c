//! What a checkpoint keeps of one partition's segments: the list of sealed ones, the active one with what is not
//! on disk of it, the terms. Bytes in, bytes out; decoding never panics, never allocates what a length field says
//! and believes nothing that does not fit together.

use super::BatchRef;
use super::active::ActiveSegment;
use super::entry::{ChunkMeta, ENTRY_BYTES, IndexEntry, Place};
use super::index_file::INDEX_BLOCK_ENTRIES;
use super::lost::LostRanges;
use super::sealed::SealedSegment;
use super::terms::{TermRun, Terms};
use crate::codec::{Reader, put_bytes};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::batch::BatchView;
use flumen_model::{Code, Error, Result};
use std::rc::Rc;
use zerocopy::{FromBytes, IntoBytes};

/// The version this code writes.
const VERSION: u16 = 1;
const HAS_ACTIVE: u16 = 1;
const HAS_LOST: u16 = 2;
const SEALED_BYTES: usize = 40;
const TERM_BYTES: usize = 20;
const LOST_BYTES: usize = 16;
const PENDING_BYTES_MIN: usize = 8 + 4 + 4;

/// The state of a partition's segments: everything that was pushed, on disk or inline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentsState {
    /// Offsets below are gone; reads of them fail.
    pub(crate) floor: u64,
    /// The offset behind the last batch pushed.
    pub(crate) end_offset: u64,
    /// The Raft index and term of the last batch pushed; 0 without one.
    pub(crate) covered: (u64, u32),
    /// Index ranges of equal term, ascending.
    pub(crate) terms: Terms,
    /// Oldest first.
    pub(crate) sealed: Vec<SealedSegment>,
    /// Damaged and given up.
    pub(crate) lost: LostRanges,
    pub(crate) active: Option<Rc<ActiveSegment>>,
    /// Batches that came after the last spread; none right after one.
    pub(crate) pending: Vec<BatchRef>,
}

impl SegmentsState {
    /// The Raft index of the last batch in this state; 0 without one. Batches behind it are not in it.
    pub fn covered_index(&self) -> u64 {
        self.covered.0
    }

    /// The bytes of FORMAT-segments.md, "State".
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(
            64 + self.sealed.len() * SEALED_BYTES + 2 * INDEX_BLOCK_ENTRIES * ENTRY_BYTES,
        );
        out.put_u16_le(VERSION);
        let has_lost = !self.lost.ranges().is_empty();
        out.put_u16_le(
            if self.active.is_some() { HAS_ACTIVE } else { 0 } | if has_lost { HAS_LOST } else { 0 },
        );
        out.put_u64_le(self.floor);
        out.put_u64_le(self.end_offset);
        out.put_u64_le(self.covered.0);
        out.put_u32_le(self.covered.1);
        out.put_u32_le(self.terms.runs().len() as u32);
        for run in self.terms.runs() {
            out.put_u64_le(run.first_index);
            out.put_u64_le(run.last_index);
            out.put_u32_le(run.term);
        }
        out.put_u32_le(self.sealed.len() as u32);
        for segment in &self.sealed {
            put_sealed(&mut out, segment);
        }
        if has_lost {
            out.put_u32_le(self.lost.ranges().len() as u32);
        }
        for &(from, to) in self.lost.ranges() {
            out.put_u64_le(from);
            out.put_u64_le(to);
        }
        if let Some(active) = &self.active {
            put_active(&mut out, active);
        }
        out.put_u32_le(self.pending.len() as u32);
        for batch in &self.pending {
            out.put_u64_le(batch.index);
            out.put_u32_le(batch.term);
            put_bytes(&mut out, &batch.bytes);
        }
        out.freeze()
    }

    /// Reads what [`SegmentsState::encode`] wrote; `Corrupt` when it is damaged, `Unsupported` when it is newer
    /// than this build.
    pub fn decode(bytes: Bytes) -> Result<SegmentsState> {
        let mut reader = Reader::new(bytes, "the state of a partition's segments");
        let version = reader.u16()?;
        if version != VERSION {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "the state of a partition's segments has version {version}; this build reads {VERSION}: use a newer one"
                ),
            ));
        }
        let flags = reader.u16()?;
        let floor = reader.u64()?;
        let end_offset = reader.u64()?;
        let covered = (reader.u64()?, reader.u32()?);
        let terms =
            (0..reader.count(TERM_BYTES)?).map(|_| term_run(&mut reader)).collect::<Result<Vec<_>>>()?;
        let sealed =
            (0..reader.count(SEALED_BYTES)?).map(|_| sealed(&mut reader)).collect::<Result<Vec<_>>>()?;
        let has_lost = flags & HAS_LOST != 0;
        let lost = (0..if has_lost { reader.count(LOST_BYTES)? } else { 0 })
            .map(|_| Ok((reader.u64()?, reader.u64()?)))
            .collect::<Result<Vec<_>>>()?;
        let active = match flags & HAS_ACTIVE != 0 {
            true => Some(Rc::new(active(&mut reader)?)),
            false => None,
        };
        let pending = (0..reader.count(PENDING_BYTES_MIN)?)
            .map(|_| pending(&mut reader))
            .collect::<Result<Vec<_>>>()?;
        reader.end()?;
        let terms = Terms::from_runs(terms);
        let unsound =
            || Error::new(Code::Corrupt, "the state of a partition's segments does not fit together");
        let lost = LostRanges::from_ranges(lost).filter(|lost| lost.ranges().is_empty() != has_lost);
        let lost = lost.ok_or_else(unsound)?;
        let state = SegmentsState { floor, end_offset, covered, terms, sealed, lost, active, pending };
        match flags & !(HAS_ACTIVE | HAS_LOST) == 0 && state.is_sound() {
            true => Ok(state),
            false => Err(unsound()),
        }
    }

    fn is_sound(&self) -> bool {
        let mut end = 0;
        let mut follows = |first: u64, next: u64| {
            let fits = first >= end && next > first;
            end = next;
            fits
        };
        let in_order = self.sealed.iter().all(|s| s.is_sound() && follows(s.base_offset, s.end_offset))
            && self.active.iter().all(|a| a.is_sound() && follows(a.base_offset, a.end_offset()))
            && self.pending.iter().all(|b| follows(b.base_offset, b.last_offset + 1));
        in_order && end <= self.end_offset && self.end_offset.max(self.floor) <= i64::MAX as u64
    }
}

fn put_sealed(out: &mut BytesMut, segment: &SealedSegment) {
    out.put_u64_le(segment.base_offset);
    out.put_u64_le(segment.end_offset);
    out.put_u64_le(segment.bytes);
    out.put_i64_le(segment.max_timestamp);
    out.put_u64_le(segment.first_index);
}

fn put_place(out: &mut BytesMut, place: &Place) {
    out.put_u32_le(place.first_offset);
    out.put_u32_le(place.last_offset);
    out.put_u32_le(place.position);
    out.put_u64_le(place.index);
    out.put_u32_le(place.term);
}

fn put_active(out: &mut BytesMut, active: &ActiveSegment) {
    out.put_u64_le(active.base_offset);
    out.put_u64_le(active.spread);
    out.put_i64_le(active.first_timestamp);
    out.put_i64_le(active.max_timestamp);
    out.put_u64_le(active.first_index);
    out.put_u64_le(active.batches);
    out.put_u32_le(active.index_blocks);
    out.put_u32_le(active.entries_crc);
    out.put_u32_le(active.chunk_crc);
    put_place(out, &active.last);
    let open = &active.metas[0];
    put_place(out, &open.first);
    out.put_u32_le(open.last_offset);
    out.put_u64_le(open.last_index);
    out.put_u32_le(open.batches);
    out.put_i64_le(open.max_timestamp);
    out.put_u32_le(active.entries.len() as u32);
    for entry in &active.entries {
        out.put_slice(entry.as_bytes());
    }
    put_bytes(out, &active.tail);
}

fn term_run(reader: &mut Reader) -> Result<TermRun> {
    Ok(TermRun { first_index: reader.u64()?, last_index: reader.u64()?, term: reader.u32()? })
}

fn sealed(reader: &mut Reader) -> Result<SealedSegment> {
    Ok(SealedSegment {
        base_offset: reader.u64()?,
        end_offset: reader.u64()?,
        bytes: reader.u64()?,
        max_timestamp: reader.u64()? as i64,
        first_index: reader.u64()?,
    })
}

fn place(reader: &mut Reader) -> Result<Place> {
    Ok(Place {
        first_offset: reader.u32()?,
        last_offset: reader.u32()?,
        position: reader.u32()?,
        index: reader.u64()?,
        term: reader.u32()?,
    })
}

fn active(reader: &mut Reader) -> Result<ActiveSegment> {
    let base_offset = reader.u64()?;
    let spread = reader.u64()?;
    let first_timestamp = reader.u64()? as i64;
    let max_timestamp = reader.u64()? as i64;
    let first_index = reader.u64()?;
    let batches = reader.u64()?;
    let index_blocks = reader.u32()?;
    let entries_crc = reader.u32()?;
    let chunk_crc = reader.u32()?;
    let last = place(reader)?;
    let open = ChunkMeta {
        first: place(reader)?,
        last_offset: reader.u32()?,
        last_index: reader.u64()?,
        batches: reader.u32()?,
        max_timestamp: reader.u64()? as i64,
    };
    let entries = (0..reader.count(ENTRY_BYTES)?).map(|_| entry(reader)).collect::<Result<Vec<_>>>()?;
    // Copied: the tail must not keep a whole checkpoint in memory.
    let tail = Bytes::copy_from_slice(&reader.bytes()?);
    Ok(ActiveSegment {
        base_offset,
        bytes: spread.saturating_add(tail.len() as u64),
        spread,
        tail,
        first_timestamp,
        max_timestamp,
        first_index,
        batches,
        index_blocks,
        entries_crc,
        entries,
        metas: vec![open],
        chunk_crc,
        last,
    })
}

fn entry(reader: &mut Reader) -> Result<IndexEntry> {
    let mut bytes = [0; ENTRY_BYTES];
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&reader.u64()?.to_le_bytes());
    }
    Ok(IndexEntry::read_from_bytes(&bytes).expect("any 64 bytes are an entry"))
}

fn pending(reader: &mut Reader) -> Result<BatchRef> {
    let index = reader.u64()?;
    let term = reader.u32()?;
    let bytes = Bytes::copy_from_slice(&reader.bytes()?);
    let batch = BatchView::parse(&bytes).ok().filter(|batch| batch.total_bytes() == bytes.len());
    let batch = batch.ok_or_else(|| {
        Error::new(Code::Corrupt, "a batch in the state of a partition's segments is damaged")
    })?;
    Ok(BatchRef {
        index,
        term,
        base_offset: batch.base_offset().0,
        last_offset: batch.last_offset().0,
        max_timestamp: batch.max_timestamp().0,
        bytes: bytes.clone(),
    })
}

/// Decodes arbitrary bytes, and what decodes comes back the same; for fuzzing.
#[doc(hidden)]
pub fn fuzz_state(bytes: &[u8]) {
    if let Ok(state) = SegmentsState::decode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(SegmentsState::decode(state.encode()), Ok(state), "a state survives its encoding");
    }
}
