//! Reading everything that is stored and checking all of it: every index block, every chunk, every batch, the
//! order of the offsets. For `check` and the scrubber. Reports and goes on behind each damage; never repairs and
//! never serves.

use super::budget::ReadBudget;
use super::cut::{Cutter, Malformed, Verdict};
use super::entry::IndexEntry;
use super::files::{Checked, Fault, FileKind};
use super::index_file::{Footer, block_position};
use super::seed::SegmentSeed;
use super::segments::Segments;
use super::view::{EntryAt, View};
use bytes::Bytes;
use crc32c::crc32c_append;
use flumen_io::{File, Host};
use flumen_model::Offset;
use flumen_model::batch::BatchView;
use flumen_model::limits::CHUNK_BYTES;
use std::path::PathBuf;
use std::time::Duration;
use zerocopy::IntoBytes;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// Damage in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDamage {
    /// The file.
    pub file: PathBuf,
    /// Where in it, in bytes: a chunk's start, a batch's start, or the exact place.
    pub position: u64,
    /// The first offset that may be hit.
    pub from: Offset,
    /// What is wrong.
    pub what: String,
}

/// Whoever wants to know what a check finds.
pub trait Visitor {
    /// Something is damaged.
    fn damaged(&mut self, damage: SegmentDamage);

    /// Offsets from `from` up to the exclusive `to` are not stored: an accepted loss, or one to ask about.
    fn gap(&mut self, _from: Offset, _to: Offset) {}

    /// So many bytes were read; the check waits so long before it goes on.
    fn read(&mut self, _bytes: usize) -> Duration {
        Duration::ZERO
    }
}

/// One segment under check.
struct Check<'a, H: Host, V> {
    segments: &'a Segments<H>,
    host: &'a H,
    budget: &'a ReadBudget,
    view: View,
    visitor: &'a mut V,
    /// The offset that comes next.
    next_offset: u64,
    /// Batches seen; unknown once some could not be read.
    batches: Option<u64>,
}

impl<H: Host> Segments<H> {
    /// Checks everything that is stored as of now. Only a segment that is trimmed meanwhile is left out.
    pub async fn verify(&self, host: &H, budget: &ReadBudget, visitor: &mut impl Visitor) {
        self.verify_from(host, budget, Offset(0), visitor).await;
    }

    /// Like [`Segments::verify`], without the segments that lie wholly below a log start: a crash may have come
    /// between their deletion and the checkpoint that forgets them.
    pub async fn verify_from(
        &self,
        host: &H,
        budget: &ReadBudget,
        log_start: Offset,
        visitor: &mut impl Visitor,
    ) {
        let views: Vec<View> = {
            let inner = self.inner();
            let sealed = inner.sealed.iter().copied().map(View::Sealed);
            sealed.chain(inner.active.iter().cloned().map(View::Active)).collect()
        };
        let mut next_offset = None;
        for view in views {
            if self.inner().floor.max(log_start.0) >= view.end_offset() {
                continue;
            }
            let base_offset = view.base_offset();
            if let Some(expected) = next_offset.filter(|&expected| expected < base_offset) {
                visitor.gap(Offset(expected), Offset(base_offset));
            }
            next_offset = Some(view.end_offset());
            let check = Check {
                segments: self,
                host,
                budget,
                view,
                visitor,
                next_offset: base_offset,
                batches: Some(0),
            };
            check.run().await;
        }
    }
}

impl<H: Host, V: Visitor> Check<'_, H, V> {
    fn damaged(&mut self, position: u64, what: impl std::fmt::Display) {
        let file = self.segments.path(self.view.base_offset(), FileKind::Log);
        self.batches = None;
        self.report(Fault::new(&file, position, what));
    }

    fn report(&mut self, fault: Fault) {
        // A segment that was trimmed meanwhile is not damaged but gone.
        if self.segments.inner().floor < self.view.end_offset() {
            let Fault { file, position, what } = fault;
            self.visitor.damaged(SegmentDamage { file, position, from: Offset(self.next_offset), what });
        }
    }

    async fn run(mut self) {
        let entries = self.entries().await;
        let mut cutter = Some(Cutter::new(0));
        for chunk in 0..self.view.disk_chunks() {
            let entry = entries.get(chunk as usize).copied().flatten();
            let Some(bytes) = self.chunk(chunk, entry.as_ref()).await else {
                cutter = None;
                continue;
            };
            self.feed(&mut cutter, u64::from(chunk) * CHUNK, bytes, entry.as_ref());
        }
        let tail = self.view.tail();
        if !tail.is_empty() {
            let open = entries.get((self.view.disk_bytes() / CHUNK) as usize).copied().flatten();
            self.feed(&mut cutter, self.view.disk_bytes(), tail, open.as_ref());
        }
        let Some(cutter) = cutter else { return };
        if let Some(position) = cutter.cut_off_at() {
            self.damaged(position, "the segment ends within a batch");
        } else if self.next_offset != self.view.end_offset() {
            let what =
                format!("the segment ends at offset {}, not {}", self.next_offset, self.view.end_offset());
            self.damaged(self.view.bytes(), what);
        } else {
            self.footer(&entries).await;
        }
    }

    /// All index entries; none where the index is damaged.
    async fn entries(&mut self) -> Vec<Option<IndexEntry>> {
        let count = self.view.entry_count();
        let mut entries = Vec::with_capacity(count as usize);
        // What is known from use is read again: the file is under check, not the memory.
        self.segments.spec.open_files.forget(self.segments.owner, self.view.base_offset());
        let mut failed_block = None;
        for chunk in 0..count {
            let entry = match self.view.entry_at(self.segments.spec.seed, chunk) {
                EntryAt::Memory(entry) => Some(entry),
                EntryAt::Block(block) if failed_block == Some(block) => None,
                EntryAt::Block(block) => {
                    match self.segments.index_block(self.host, &self.view, block).await {
                        Ok(block) => Some(block.entry(chunk)),
                        Err(fault) => {
                            failed_block = Some(block);
                            self.report(fault);
                            None
                        }
                    }
                }
            };
            entries.push(entry);
        }
        entries
    }

    /// A chunk's bytes when they are intact.
    async fn chunk(&mut self, chunk: u32, entry: Option<&IndexEntry>) -> Option<Bytes> {
        let start = u64::from(chunk) * CHUNK;
        let len = (self.view.disk_blocks() - start).min(CHUNK) as usize;
        let mut bytes = match self.read(start, len).await {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.batches = None;
                self.report(fault);
                return None;
            }
        };
        let pause = self.visitor.read(bytes.len());
        if !pause.is_zero() {
            self.host.sleep(pause).await;
        }
        if bytes.len() < len {
            self.damaged(start + bytes.len() as u64, "the file ends too early");
            return None;
        }
        let seed = SegmentSeed::new(self.segments.spec.seed, self.view.base_offset());
        if entry.is_some_and(|entry| entry.chunk_crc() != crc32c_append(seed.chunk(chunk), &bytes)) {
            self.damaged(start, "the chunk does not match its checksum");
            return None;
        }
        bytes.truncate((self.view.disk_bytes() - start).min(CHUNK) as usize);
        Some(bytes)
    }

    async fn read(&self, start: u64, len: usize) -> Checked<Bytes> {
        let file = self.segments.log_file(self.host, &self.view).await?;
        let _permit = self.budget.take(len).await;
        file.read_at(start, len).await.map_err(|error| {
            Fault::read(&self.segments.path(self.view.base_offset(), FileKind::Log), start, &error)
        })
    }

    /// Checks the batches of the next bytes. Behind damage it goes on with the first batch that the index names.
    fn feed(&mut self, cutter: &mut Option<Cutter>, start: u64, bytes: Bytes, entry: Option<&IndexEntry>) {
        let mut piece = bytes;
        if cutter.is_none() {
            let Some(entry) = entry.filter(|entry| entry.batches() > 0 && entry.position() >= start) else {
                return;
            };
            let skip = (entry.position() - start) as usize;
            if skip >= piece.len() {
                return;
            }
            piece = piece.split_off(skip);
            self.next_offset = self.view.base_offset() + u64::from(entry.first_offset());
            *cutter = Some(Cutter::new(entry.position()));
        }
        let Some(cut) = cutter else { return };
        let mut wrong: Option<Malformed> = None;
        let mut gaps = Vec::new();
        let (next_offset, batches) = (&mut self.next_offset, &mut self.batches);
        let fed = cut.feed(piece, &mut |batch: &BatchView<'_>, position| {
            let base_offset = batch.base_offset().0;
            let what = match batch.check_crc() {
                Err(error) => error.message,
                Ok(()) if base_offset < *next_offset => {
                    format!("offset {base_offset} where {next_offset} is next")
                }
                Ok(()) => {
                    if base_offset > *next_offset {
                        gaps.push((Offset(*next_offset), Offset(base_offset)));
                    }
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
            self.damaged(malformed.position, malformed.what);
            *cutter = None;
        }
    }

    /// The footer of a sealed segment whose batches are all right.
    async fn footer(&mut self, entries: &[Option<IndexEntry>]) {
        let View::Sealed(segment) = self.view.clone() else { return };
        let Some(entries) = entries.iter().copied().collect::<Option<Vec<_>>>() else { return };
        let entries_crc = entries.iter().fold(0, |crc, entry| crc32c_append(crc, entry.as_bytes()));
        let position = block_position(segment.index_blocks());
        let block = match self.segments.index_file(self.host, &self.view).await {
            Ok(file) => self.segments.index_bytes(&file, segment.base_offset, position).await,
            Err(error) => Err(error),
        };
        let seed = SegmentSeed::new(self.segments.spec.seed, segment.base_offset);
        let what = match block.map(|block| Footer::parse(&block, seed)) {
            Ok(Some(footer)) if footer.matches(&segment, entries_crc, self.batches) => return,
            Ok(Some(_)) => "the totals of the index are not those of the segment",
            Ok(None) => "the footer of the index is damaged",
            Err(fault) => return self.report(fault),
        };
        let file = self.segments.path(segment.base_offset, FileKind::Index);
        self.report(Fault::new(&file, position, what));
    }
}
