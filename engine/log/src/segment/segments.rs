//! The handle of one partition's segments: what is in memory of them and what the engine asks without waiting.
//! An empty one costs a few hundred bytes and has no file. Used on one core behind an `Rc`; no borrow of its inside
//! lives across a wait.

use super::active::ActiveSegment;
use super::cache::Cache;
use super::files::{FileKind, OpenFiles, path};
use super::gate::Gate;
use super::lost::LostRanges;
use super::sealed::SealedSegment;
use super::state::SegmentsState;
use super::terms::Terms;
use bytes::Bytes;
use flumen_io::Host;
use flumen_model::{Code, Error, Offset, Result, UnixMillis};
use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

/// Where a partition's segments lie.
pub struct SegmentsSpec<H: Host> {
    /// The partition's directory; made with the first block that is written.
    pub dir: PathBuf,
    /// The seed of all its checksums, of the directory's id and the group.
    pub seed: u32,
    /// The shard's open files.
    pub open_files: Rc<OpenFiles<H>>,
}

/// A committed record batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRef {
    /// Its entry's index in the Raft log.
    pub index: u64,
    /// Its entry's term.
    pub term: u32,
    /// The first record's offset.
    pub base_offset: u64,
    /// The last record's offset.
    pub last_offset: u64,
    /// The largest timestamp of its records; negative without one.
    pub max_timestamp: i64,
    /// The batch, format v2, as it is stored and served.
    pub bytes: Bytes,
}

/// The stored data of one partition.
pub struct Segments<H: Host> {
    pub(super) spec: SegmentsSpec<H>,
    pub(super) owner: u64,
    inner: RefCell<Inner>,
    /// One at a time spreads, syncs, trims or rebuilds.
    pub(super) turn: Gate,
}

pub(super) struct Inner {
    /// Offsets below are gone.
    pub(super) floor: u64,
    /// The offset behind the last batch pushed.
    pub(super) end_offset: u64,
    /// Raft index and term of the last batch pushed.
    pub(super) covered: (u64, u32),
    pub(super) terms: Terms,
    pub(super) sealed: Vec<SealedSegment>,
    /// Damaged and given up: reads go on behind it.
    pub(super) lost: LostRanges,
    /// Base offsets of segments that a read found damaged and nobody has looked at since.
    pub(super) suspects: BTreeSet<u64>,
    /// Shared with readers, who keep what they saw while spreading goes on.
    pub(super) active: Option<Rc<ActiveSegment>>,
    pub(super) cache: Cache,
    /// Bytes that the active segment's file has reserved; none while nobody looked.
    pub(super) allocated: Option<u64>,
    /// Files written since the last sync.
    pub(super) dirty: Vec<(u64, FileKind)>,
    /// Directories with new names since the last sync.
    pub(super) dirty_dirs: Vec<PathBuf>,
    /// The partition's directory is there and will be there after a crash, or is in `dirty_dirs`.
    pub(super) dir_made: bool,
    /// A flush failed: nobody knows what is on disk.
    pub(super) failed: bool,
    /// The partition is being deleted: nothing is written any more.
    pub(super) retired: bool,
}

impl<H: Host> Segments<H> {
    /// A partition without data.
    pub fn empty(spec: SegmentsSpec<H>) -> Segments<H> {
        Segments::empty_at(spec, Offset(0))
    }

    /// A partition without data whose first batch will not lie below `start`: a replica that begins with a
    /// snapshot. Reads below it are out of range.
    pub fn empty_at(spec: SegmentsSpec<H>, start: Offset) -> Segments<H> {
        let state = SegmentsState {
            floor: start.0,
            end_offset: start.0,
            covered: (0, 0),
            terms: Terms::default(),
            sealed: Vec::new(),
            lost: LostRanges::default(),
            active: None,
            pending: Vec::new(),
        };
        Segments::restore(spec, &state)
    }

    /// The partition as of a checkpoint. No I/O: what is missing on disk shows when it is read. Batches behind
    /// the state's covered index come again, in order, through [`Segments::push`]. When the log start has moved
    /// meanwhile, [`Segments::trim`] comes next: the state may list files that are gone.
    pub fn restore(spec: SegmentsSpec<H>, state: &SegmentsState) -> Segments<H> {
        let owner = spec.open_files.new_owner();
        let placed_end = state.active.as_ref().map(|active| active.end_offset());
        let placed_end =
            placed_end.or(state.sealed.last().map(|last| last.end_offset)).unwrap_or(state.floor);
        let mut cache = Cache::new(placed_end);
        state.pending.iter().for_each(|batch| cache.push(batch.clone()));
        let on_disk =
            !state.sealed.is_empty() || state.active.as_ref().is_some_and(|active| active.spread > 0);
        let inner = Inner {
            floor: state.floor,
            end_offset: state.end_offset,
            covered: state.covered,
            terms: state.terms.clone(),
            sealed: state.sealed.clone(),
            lost: state.lost.clone(),
            suspects: BTreeSet::new(),
            active: state.active.clone(),
            cache,
            allocated: None,
            dirty: Vec::new(),
            dirty_dirs: Vec::new(),
            dir_made: on_disk,
            failed: false,
            retired: false,
        };
        Segments { spec, owner, inner: RefCell::new(inner), turn: Gate::new(1) }
    }

    pub(super) fn inner(&self) -> Ref<'_, Inner> {
        self.inner.borrow()
    }

    pub(super) fn inner_mut(&self) -> RefMut<'_, Inner> {
        self.inner.borrow_mut()
    }

    pub(super) fn path(&self, base_offset: u64, kind: FileKind) -> PathBuf {
        path(&self.spec.dir, base_offset, kind)
    }

    /// Takes the next committed batch, into memory.
    ///
    /// # Panics
    /// When it lies below the end of what was pushed before: a bug of the caller, who applies in order.
    pub fn push(&self, batch: BatchRef) {
        let inner = &mut *self.inner_mut();
        assert!(batch.base_offset >= inner.end_offset, "batches come in order");
        assert!(batch.last_offset >= batch.base_offset && !batch.bytes.is_empty(), "a batch is not empty");
        inner.end_offset = batch.last_offset + 1;
        inner.covered = (batch.index, batch.term);
        inner.terms.note(batch.index, batch.term);
        inner.cache.push(batch);
    }

    /// Everything pushed so far, for a checkpoint: what is on disk by its place, the rest inline. Right after a
    /// forced [`Segments::spread`] the rest is less than a block. May be logged once a [`Segments::sync`] that was
    /// called after it has returned.
    pub fn state(&self) -> SegmentsState {
        let inner = self.inner();
        SegmentsState {
            floor: inner.floor,
            end_offset: inner.end_offset,
            covered: inner.covered,
            terms: inner.terms.clone(),
            sealed: inner.sealed.clone(),
            lost: inner.lost.clone(),
            active: inner.active.clone(),
            pending: inner.cache.pending().cloned().collect(),
        }
    }

    /// Bytes pushed that are not on disk.
    pub fn unspread_bytes(&self) -> u64 {
        let inner = self.inner();
        let tail = inner.active.as_ref().map_or(0, |active| active.tail.len() as u64);
        tail + inner.cache.pending_bytes()
    }

    /// Bytes of batches in memory.
    pub fn cached_bytes(&self) -> usize {
        self.inner().cache.bytes()
    }

    /// Drops the oldest batches that are spread from memory until `bytes` are freed; returns the bytes freed.
    pub fn evict(&self, bytes: usize) -> usize {
        self.inner_mut().cache.evict(bytes)
    }

    /// The offset behind the last batch.
    pub fn end_offset(&self) -> Offset {
        let inner = self.inner();
        Offset(inner.end_offset.max(inner.floor))
    }

    /// The first offset stored; the end offset when nothing is.
    pub fn start_offset(&self) -> Offset {
        let inner = self.inner();
        let sealed = inner.sealed.first().map(|segment| segment.base_offset);
        let active = || inner.active.as_ref().map(|active| active.base_offset);
        let pending = || inner.cache.pending().next().map(|batch| batch.base_offset);
        Offset(sealed.or_else(active).or_else(pending).unwrap_or(inner.end_offset.max(inner.floor)))
    }

    /// Raft index and term of the last batch pushed; 0 without one.
    pub fn covered(&self) -> (u64, u32) {
        self.inner().covered
    }

    /// The Raft term at an index, where the stored batches tell: at a batch, or between two of one term.
    pub fn term(&self, index: u64) -> Option<u32> {
        self.inner().terms.of(index)
    }

    /// Segments, the active one included.
    pub fn segments(&self) -> usize {
        let inner = self.inner();
        inner.sealed.len() + usize::from(inner.active.is_some())
    }

    /// Bytes of all batches, in memory and on disk.
    pub fn stored_bytes(&self) -> u64 {
        let inner = self.inner();
        let sealed: u64 = inner.sealed.iter().map(|segment| segment.bytes).sum();
        sealed + inner.active.as_ref().map_or(0, |active| active.bytes) + inner.cache.pending_bytes()
    }

    /// The largest timestamp of all batches; `None` when no batch has one.
    pub fn max_timestamp(&self) -> Option<UnixMillis> {
        let inner = self.inner();
        let sealed = inner.sealed.iter().map(|segment| segment.max_timestamp);
        let active = inner.active.iter().map(|active| active.max_timestamp);
        let pending = inner.cache.pending().map(|batch| batch.max_timestamp);
        sealed.chain(active).chain(pending).max().filter(|&max| max >= 0).map(UnixMillis)
    }

    /// Whole batches from memory, from the one that contains `from` (or the first behind it) up to the exclusive
    /// `end`: at least one when there is one, then as many as stay within `bytes_max`. False, with nothing added,
    /// when they are not all in memory: then [`Segments::read`] has them.
    pub fn cached(&self, from: Offset, end: Offset, bytes_max: usize, out: &mut Vec<Bytes>) -> bool {
        let inner = self.inner();
        let (from, end) = inner.around_lost(from, end);
        if from.0 < inner.floor || !inner.cache.reaches(from.0) {
            return false;
        }
        inner.cache.read(from, end, bytes_max, out);
        true
    }

    /// The first offset at or behind this one that was not given up.
    #[cfg(test)]
    pub(super) fn skip_lost(&self, offset: Offset) -> Offset {
        Offset(self.inner().lost.skip(offset.0))
    }

    /// The log start that retention asks for: whole segments whose records are all older than `retention_ms`,
    /// and the oldest ones while the rest still has `retention_bytes`. The active segment only goes when time
    /// says that everything is expired; then the next batch begins a new one. Records without timestamps never
    /// expire by time. `None` when nothing is to go.
    pub fn expired(
        &self,
        now: UnixMillis,
        retention_ms: Option<u64>,
        retention_bytes: Option<u64>,
    ) -> Option<Offset> {
        let stored = self.stored_bytes();
        let inner = self.inner();
        let is_old = |max_timestamp: i64| {
            let age_ms = u64::try_from(now.0.saturating_sub(max_timestamp)).unwrap_or(0);
            max_timestamp >= 0 && retention_ms.is_some_and(|retention_ms| age_ms > retention_ms)
        };
        let by_time = inner.sealed.iter().take_while(|segment| is_old(segment.max_timestamp)).count();
        let active = inner.active.iter().map(|active| active.max_timestamp);
        let mut rest = active.chain(inner.cache.pending().map(|batch| batch.max_timestamp));
        if by_time == inner.sealed.len() && stored > 0 && rest.all(is_old) {
            return Some(Offset(inner.end_offset));
        }
        let mut left = stored;
        let mut by_size = 0;
        for segment in &inner.sealed {
            left -= segment.bytes;
            if retention_bytes.is_none_or(|retention_bytes| left < retention_bytes) {
                break;
            }
            by_size += 1;
        }
        by_time.max(by_size).checked_sub(1).map(|last| Offset(inner.sealed[last].end_offset))
    }

    /// Ends all writing, for a partition that is about to be deleted: waits for what is under way; from then on
    /// spreads, syncs and trims do nothing. Then its directory may go.
    pub async fn retire(&self) {
        let _turn = self.turn.enter(1).await;
        self.inner_mut().retired = true;
        self.spec.open_files.forget_owner(self.owner);
    }

    pub(super) fn check_failed(&self) -> Result<()> {
        match self.inner().failed {
            false => Ok(()),
            true => Err(Error::new(
                Code::LogFailed,
                format!("a flush in {} failed before; restart the node to recover", self.spec.dir.display()),
            )),
        }
    }
}

impl Inner {
    /// Where a read begins and ends when it leaves out what was given up.
    pub(super) fn around_lost(&self, from: Offset, end: Offset) -> (Offset, Offset) {
        let from = self.lost.skip(from.0);
        (Offset(from), Offset(self.lost.next_from(from).map_or(end.0, |lost| lost.min(end.0))))
    }

    /// Gives a range up. From a segment's start it reaches back to the end of the one before: no batch is between.
    pub(super) fn give_up(&mut self, from: u64, to: u64) {
        let before = self.sealed.iter().take_while(|segment| segment.base_offset < from).last();
        let starts = self.sealed.iter().any(|segment| segment.base_offset == from);
        let gap = if starts { before.map_or(self.floor, |before| before.end_offset) } else { from };
        self.lost.add(from.min(gap), to);
    }
}

impl<H: Host> Drop for Segments<H> {
    fn drop(&mut self) {
        self.spec.open_files.forget_owner(self.owner);
    }
}
