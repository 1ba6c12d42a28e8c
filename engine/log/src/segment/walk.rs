//! A walk over one segment from its first batch to its last: every index entry, every chunk, every batch. Behind
//! damage it goes on with the next batch that the index names; the offsets between are lost. Reads only.

use super::budget::ReadBudget;
use super::cut::{Cutter, Malformed, Verdict};
use super::entry::{ENTRY_BYTES, IndexEntry, Place};
use super::files::{Checked, Fault, FileKind};
use super::index_file::{Footer, INDEX_BLOCK_ENTRIES, block_position, check_header, is_zero};
use super::patch::Patch;
use super::seed::SegmentSeed;
use super::segments::Segments;
use super::verify::{SegmentDamage, Visitor};
use super::view::{EntryAt, View};
use crate::stubborn;
use bytes::Bytes;
use crc32c::crc32c_append;
use flumen_io::{Access, Host};
use flumen_model::Offset;
use flumen_model::batch::BatchView;
use flumen_model::limits::CHUNK_BYTES;
use zerocopy::IntoBytes;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// One segment under check.
pub(super) struct Walk<'a, H: Host, V> {
    segments: &'a Segments<H>,
    host: &'a H,
    budget: &'a ReadBudget,
    view: View,
    visitor: &'a mut V,
    /// The offset that comes next.
    next_offset: u64,
    /// Batches seen; unknown once some could not be read.
    batches: Option<u64>,
    /// The damage behind which no intact batch was found yet: the first offset it takes, and its places.
    stretch: Option<(u64, Vec<SegmentDamage>)>,
    /// What makes the index anew where its entries are damaged.
    patch: Patch,
}

impl<'a, H: Host, V: Visitor> Walk<'a, H, V> {
    pub(super) fn new(
        segments: &'a Segments<H>,
        host: &'a H,
        budget: &'a ReadBudget,
        view: View,
        visitor: &'a mut V,
    ) -> Self {
        let next_offset = view.base_offset();
        let patch = Patch::new(next_offset);
        Walk { segments, host, budget, view, visitor, next_offset, batches: Some(0), stretch: None, patch }
    }

    /// Walks to the end; what it brings can make the index anew.
    pub(super) async fn run(mut self) -> Patch {
        self.patch.entries = self.entries().await;
        match self.segments.log_file(self.host, &self.view).await {
            Ok(file) => self.batches(&file).await,
            Err(fault) if self.view.disk_bytes() > 0 => {
                self.damaged(fault);
                self.end_stretch(self.view.end_offset());
            }
            Err(_) => {
                let tail = self.view.tail();
                self.feed(&mut Some(Cutter::new(0)), 0, tail);
            }
        }
        self.footer().await;
        self.patch
    }

    async fn batches(&mut self, file: &H::File) {
        let mut cutter = Some(Cutter::new(0));
        for chunk in 0..self.view.disk_chunks() {
            match self.chunk(file, chunk).await {
                Ok(bytes) => self.feed(&mut cutter, u64::from(chunk) * CHUNK, bytes),
                Err(fault) => {
                    self.damaged(fault);
                    cutter = None;
                }
            }
        }
        let tail = self.view.tail();
        if !tail.is_empty() {
            self.feed(&mut cutter, self.view.disk_bytes(), tail);
        }
        let end_offset = self.view.end_offset();
        if let Some(position) = cutter.as_ref().and_then(Cutter::cut_off_at) {
            self.damaged(self.fault(position, "the segment ends within a batch"));
        } else if cutter.is_some() && self.next_offset != end_offset {
            let what = format!("the segment ends at offset {}, not {end_offset}", self.next_offset);
            self.damaged(self.fault(self.view.bytes(), what));
        }
        self.end_stretch(end_offset);
    }

    fn fault(&self, position: u64, what: impl std::fmt::Display) -> Fault {
        Fault::new(&self.segments.path(self.view.base_offset(), FileKind::Log), position, what)
    }

    /// Damage among the batches: from the offset that comes next on they are lost, until one is found again.
    fn damaged(&mut self, fault: Fault) {
        let Fault { file, position, what } = fault;
        self.batches = None;
        let damage = SegmentDamage { file, position, from: Offset(self.next_offset), in_index: false, what };
        self.stretch.get_or_insert((self.next_offset, Vec::new())).1.push(damage);
    }

    /// Damage in the index alone.
    fn index_damaged(&mut self, fault: Fault) {
        let Fault { file, position, what } = fault;
        if !self.is_gone() {
            let from = Offset(self.view.base_offset());
            self.visitor.damaged(SegmentDamage { file, position, from, in_index: true, what });
        }
    }

    /// A segment that was trimmed meanwhile is not damaged but gone.
    fn is_gone(&self) -> bool {
        self.segments.inner().floor >= self.view.end_offset()
    }

    /// The damaged stretch, if there is one, ends at an offset. What of it was given up before is a gap.
    fn end_stretch(&mut self, to: u64) {
        let Some((from, damages)) = self.stretch.take() else { return };
        self.patch.has_losses = true;
        if self.is_gone() {
            return;
        }
        let news = self.segments.inner().lost.news_of(from, to);
        let Some((from, to)) = news else { return self.visitor.gap(Offset(from), Offset(to)) };
        for damage in damages {
            self.visitor.damaged(SegmentDamage { from: Offset(from), ..damage });
        }
        self.visitor.lost(Offset(from), Offset(to));
    }

    /// All index entries, each believed for its own checksum; none where it is damaged.
    async fn entries(&mut self) -> Vec<Option<IndexEntry>> {
        let base_offset = self.view.base_offset();
        // What is known from use is read again: the file is under check, not the memory.
        self.segments.spec.open_files.forget(self.segments.owner, base_offset);
        let seed = SegmentSeed::new(self.segments.spec.seed, base_offset);
        let file = self.index_file(seed).await;
        let is_own = self.patch.is_own;
        let count = self.view.entry_count();
        let mut entries = Vec::with_capacity(count as usize);
        let mut known = None;
        for chunk in 0..count {
            entries.push(match self.view.entry_at(self.segments.spec.seed, chunk) {
                EntryAt::Memory(entry) => Some(entry),
                EntryAt::Block(block) => {
                    if (chunk as usize).is_multiple_of(INDEX_BLOCK_ENTRIES) {
                        known = self.index_block(file.as_ref(), seed, block).await;
                    }
                    let at = chunk as usize % INDEX_BLOCK_ENTRIES * ENTRY_BYTES;
                    let bytes = known.as_ref().map(|block| &block[at..at + ENTRY_BYTES]);
                    bytes.and_then(|bytes| IndexEntry::parse(bytes, seed, chunk))
                }
            });
        }
        // An intact entry tells whose the file is, even under a damaged header.
        self.patch.is_own = is_own || entries.iter().any(Option::is_some);
        entries
    }

    /// The index file, if there is one; its header is checked beside it.
    async fn index_file(&mut self, seed: SegmentSeed) -> Option<H::File> {
        if self.view.index_blocks() == 0 {
            return None;
        }
        let base_offset = self.view.base_offset();
        let path = self.segments.path(base_offset, FileKind::Index);
        let file = match self.host.open(&path, Access::READ).await {
            Ok(file) => file,
            Err(error) => {
                self.index_damaged(Fault::read(&path, 0, &error));
                return None;
            }
        };
        let header = self.segments.index_bytes(&file, base_offset, 0).await;
        let checked = header.and_then(|header| {
            check_header(&header, seed, base_offset).map_err(|what| Fault::new(&path, 0, what))
        });
        if let Err(fault) = checked {
            self.patch.is_own = false;
            self.index_damaged(fault);
        }
        Some(file)
    }

    /// The bytes of a block of entries; its first wrong place is reported.
    async fn index_block(&mut self, file: Option<&H::File>, seed: SegmentSeed, block: u32) -> Option<Bytes> {
        let (base_offset, position) = (self.view.base_offset(), block_position(block));
        let bytes = match self.segments.index_bytes(file?, base_offset, position).await {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.index_damaged(fault);
                return None;
            }
        };
        let first = block * INDEX_BLOCK_ENTRIES as u32;
        let used = self.view.entries_in_block(block);
        let mut entries = bytes.chunks_exact(ENTRY_BYTES).take(used).zip(first..);
        let wrong = entries.position(|(entry, chunk)| IndexEntry::parse(entry, seed, chunk).is_none());
        if let Some(wrong) = wrong.or((!is_zero(&bytes[used * ENTRY_BYTES..])).then_some(used)) {
            let path = self.segments.path(base_offset, FileKind::Index);
            let at = position + (wrong * ENTRY_BYTES) as u64;
            self.index_damaged(Fault::new(&path, at, "the index entry is damaged"));
        }
        Some(bytes)
    }

    /// A chunk's bytes when they are intact as far as the index tells.
    async fn chunk(&mut self, file: &H::File, chunk: u32) -> Checked<Bytes> {
        let start = u64::from(chunk) * CHUNK;
        let len = (self.view.disk_blocks() - start).min(CHUNK) as usize;
        let permit = self.budget.take(len).await;
        let read = stubborn::read_at(file, start, len).await;
        drop(permit);
        let path = || self.segments.path(self.view.base_offset(), FileKind::Log);
        let mut bytes = read.map_err(|error| Fault::read(&path(), start, &error))?;
        let pause = self.visitor.read(bytes.len());
        if !pause.is_zero() {
            self.host.sleep(pause).await;
        }
        if bytes.len() < len {
            return Err(self.fault(start + bytes.len() as u64, "the file ends too early"));
        }
        let seed = SegmentSeed::new(self.segments.spec.seed, self.view.base_offset());
        let crc = crc32c_append(seed.chunk(chunk), &bytes);
        match self.patch.entry(chunk) {
            Some(entry) if entry.chunk_crc() != crc => {
                return Err(self.fault(start, "the chunk does not match its checksum"));
            }
            Some(_) => {}
            None => self.patch.note_chunk(chunk, crc),
        }
        bytes.truncate((self.view.disk_bytes() - start).min(CHUNK) as usize);
        Ok(bytes)
    }

    /// Checks the batches of the next bytes. Behind damage it goes on with the first batch that the index names.
    fn feed(&mut self, cutter: &mut Option<Cutter>, start: u64, bytes: Bytes) {
        let mut piece = bytes;
        if cutter.is_none() {
            let Some((position, offset)) = self.next_known(start, piece.len()) else { return };
            self.end_stretch(offset);
            self.next_offset = offset;
            piece = piece.split_off((position - start) as usize);
            *cutter = Some(Cutter::new(position));
        }
        let Some(cut) = cutter else { return };
        let mut wrong: Option<Malformed> = None;
        let mut gaps = Vec::new();
        let (next_offset, batches, patch) = (&mut self.next_offset, &mut self.batches, &mut self.patch);
        let end_offset = self.view.end_offset();
        let fed = cut.feed(piece, &mut |batch: &BatchView<'_>, position| {
            let base_offset = batch.base_offset().0;
            let what = match batch.check_crc() {
                Err(error) => error.message,
                Ok(()) if base_offset < *next_offset => {
                    format!("offset {base_offset} where {next_offset} is next")
                }
                Ok(()) if batch.next_offset().0 > end_offset => {
                    format!("offset {} in a segment that ends at {end_offset}", batch.last_offset())
                }
                Ok(()) => {
                    if base_offset > *next_offset {
                        gaps.push((Offset(*next_offset), Offset(base_offset)));
                    }
                    patch.note_batch(batch, position, base_offset > *next_offset);
                    *next_offset = batch.next_offset().0;
                    *batches = batches.map(|batches| batches + 1);
                    return Verdict::Skip;
                }
            };
            wrong = Some(Malformed { position, what });
            Verdict::Stop
        });
        gaps.into_iter().for_each(|(from, to)| self.visitor.gap(from, to));
        if let Some(malformed) = wrong.or(fed.err()) {
            self.damaged(self.fault(malformed.position, malformed.what));
            *cutter = None;
        }
    }

    /// Position and offset of the first batch that the index knows to begin in these bytes, behind what is lost.
    fn next_known(&self, start: u64, len: usize) -> Option<(u64, u64)> {
        let entry = self.patch.entry((start / CHUNK) as u32)?;
        let offset = self.view.base_offset() + u64::from(entry.first_offset());
        let here = start..start + len as u64;
        let is_behind = self.stretch.as_ref().is_none_or(|&(from, _)| offset > from);
        (entry.batches() > 0 && here.contains(&entry.position()) && is_behind)
            .then_some((entry.position(), offset))
    }

    /// The footer of a sealed segment whose entries are all right.
    async fn footer(&mut self) {
        let View::Sealed(segment) = self.view.clone() else { return };
        let entries = self.patch.entries.iter().copied();
        let Some(entries) = entries.collect::<Option<Vec<IndexEntry>>>() else { return };
        let entries_crc = entries.iter().fold(0, |crc, entry| crc32c_append(crc, entry.as_bytes()));
        let position = block_position(segment.index_blocks());
        let path = self.segments.path(segment.base_offset, FileKind::Index);
        let block = match self.host.open(&path, Access::READ).await {
            Ok(file) => self.segments.index_bytes(&file, segment.base_offset, position).await,
            Err(error) => Err(Fault::read(&path, position, &error)),
        };
        let seed = SegmentSeed::new(self.segments.spec.seed, segment.base_offset);
        let what = match block.map(|block| Footer::parse(&block, seed)) {
            Ok(Some(footer)) if footer.matches(&segment, entries_crc, self.batches) => return,
            Ok(Some(_)) => "the totals of the index are not those of the segment",
            Ok(None) => "the footer of the index is damaged",
            Err(fault) => return self.index_damaged(fault),
        };
        self.index_damaged(Fault::new(&path, position, what));
    }
}

/// A batch's place in its segment.
pub(super) fn place_of(batch: &BatchView<'_>, base_offset: u64, position: u64) -> Place {
    let relative = |offset: Offset| u32::try_from(offset.0.saturating_sub(base_offset)).unwrap_or(u32::MAX);
    Place {
        first_offset: relative(batch.base_offset()),
        last_offset: relative(batch.last_offset()),
        position: u32::try_from(position).unwrap_or(u32::MAX),
        index: 0,
        term: batch.leader_epoch().max(0) as u32,
    }
}
