//! Spreading: what is pending in memory becomes whole blocks of the active segment's file, in steps of whole
//! batches; full segments are sealed. After each step the state is whole again. A written block is never written
//! again, and nothing is durable before [`Segments::sync`].

use super::active::{ActiveSegment, IndexWrite};
use super::files::{FileKind, write_failed};
use super::segments::{BatchRef, Segments};
use crate::RollLimits;
use bytes::Bytes;
use flumen_io::local::join2;
use flumen_io::{Access, Buf, Durability, File, Host};
use flumen_model::Result;
use flumen_model::copy::copy;
use flumen_model::limits::{CHUNK_BYTES, WRITE_GROUP_BYTES_MAX};
use std::io;
use std::path::Path;
use std::rc::Rc;

/// A step takes about this much: large enough for the device, small enough that copying and checksumming it is no
/// long slice.
const STEP_BYTES: usize = WRITE_GROUP_BYTES_MAX / 2;
/// Space is reserved this much ahead, doubling with the file up to the larger number: few extents in a large
/// file, little waste in a small one.
const ALLOCATE_BYTES_MIN: u64 = 1 << 20;
const ALLOCATE_BYTES_MAX: u64 = 32 << 20;

/// What a spread did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpreadDone {
    /// Bytes written, of batches and index.
    pub bytes: u64,
    /// Segments sealed.
    pub sealed: u64,
}

/// Batches that have got their places in a segment.
struct Step<B> {
    next: ActiveSegment,
    batches: usize,
    /// Bytes of the batches.
    bytes: u64,
    /// The whole blocks that they fill, and where these go.
    blocks: Option<(u64, B)>,
}

enum Plan<B> {
    Append(Box<Step<B>>),
    Seal(Rc<ActiveSegment>),
}

/// A file to go on with, or one that is missing or short although a checkpoint says otherwise.
enum Writer<F> {
    Open(F),
    Broken(String),
}

impl<H: Host> Segments<H> {
    /// Writes what is pending, in whole blocks: all of it with `force`, else only from a chunk on. Waits for its
    /// turn. What was pushed meanwhile is spread too, unless it never ends. After an error nothing is lost; a
    /// full disk (`DiskFull`) may be tried again, anything else is a failed device.
    pub async fn spread(&self, host: &H, force: bool, roll: RollLimits) -> Result<SpreadDone> {
        if !force && self.unspread_bytes() < CHUNK_BYTES as u64 {
            return Ok(SpreadDone::default());
        }
        let _turn = self.turn.enter(1).await;
        self.check_failed()?;
        let mut done = SpreadDone::default();
        if self.inner().retired {
            return Ok(done);
        }
        let mut left = self.inner().cache.pending_bytes() + WRITE_GROUP_BYTES_MAX as u64;
        let mut ahead = None;
        while left > 0 {
            match ahead.take().or_else(|| self.plan(host, roll)) {
                None => break,
                Some(Plan::Seal(active)) => self.seal(host, active, &mut done).await?,
                Some(Plan::Append(step)) => {
                    left = left.saturating_sub(step.bytes);
                    ahead = self.append(host, *step, roll, &mut done).await?;
                }
            }
        }
        Ok(done)
    }

    /// The next step: a run of pending batches into the active segment, or its end.
    fn plan(&self, host: &H, roll: RollLimits) -> Option<Plan<H::Buf>> {
        let inner = self.inner();
        let first = inner.cache.pending().next()?;
        let next = match &inner.active {
            Some(active) if !takes(active, first, roll) => return Some(Plan::Seal(active.clone())),
            Some(active) => ActiveSegment::clone(active),
            None => ActiveSegment::begin(self.spec.seed, first),
        };
        drop(inner);
        self.step(host, next, 0, roll).map(Plan::Append)
    }

    /// Places the pending batches behind the first `skip` in a segment, as many as make a step, and puts their
    /// blocks together. None when there are none, or the segment takes no more.
    fn step(
        &self,
        host: &H,
        mut next: ActiveSegment,
        skip: usize,
        roll: RollLimits,
    ) -> Option<Box<Step<H::Buf>>> {
        let inner = self.inner();
        let mut parts = vec![next.tail.clone()];
        let mut bytes = 0;
        for batch in inner.cache.pending().skip(skip) {
            let fits = bytes == 0 || bytes + batch.bytes.len() <= STEP_BYTES;
            if !fits || !takes(&next, batch, roll) {
                break;
            }
            next.place(batch);
            bytes += batch.bytes.len();
            parts.push(batch.bytes.clone());
        }
        if bytes == 0 {
            return None;
        }
        let (position, whole) = (next.spread, next.whole_blocks());
        let mut buf = (whole > 0).then(|| host.buf_to_fill(whole));
        let blocks = buf.as_mut().map_or(&mut [][..], Buf::bytes_mut);
        let tail = gather(&parts, blocks);
        next.take_blocks(self.spec.seed, blocks, tail);
        let blocks = buf.map(|buf| (position, buf));
        Some(Box::new(Step { next, batches: parts.len() - 1, bytes: bytes as u64, blocks }))
    }

    /// Writes a step. Returns the one behind it, put together meanwhile, when there is enough for a full one.
    async fn append(
        &self,
        host: &H,
        step: Step<H::Buf>,
        roll: RollLimits,
        done: &mut SpreadDone,
    ) -> Result<Option<Plan<H::Buf>>> {
        let Step { mut next, batches, bytes, blocks } = step;
        let Some((position, buf)) = blocks else {
            self.publish(next, batches);
            return Ok(None);
        };
        let base_offset = next.base_offset;
        let file = match self.writer(host, base_offset, position).await? {
            Writer::Open(file) => file,
            Writer::Broken(what) => return self.give_up_active(host, &what, done).await.map(|()| None),
        };
        self.allocate(&file, base_offset, next.spread, roll.segment_bytes).await?;
        // The index goes first: when it does not fit on the disk, no block of data was written in vain.
        if let Some(write) = next.take_index_blocks(self.spec.seed) {
            done.bytes += write.blocks.len() as u64;
            if let Writer::Broken(what) = self.write_index(host, base_offset, write).await? {
                return self.give_up_active(host, &what, done).await.map(|()| None);
            }
        }
        done.bytes += buf.bytes().len() as u64;
        let ahead = async {
            // First the write must be on its way to the device.
            host.yield_now().await;
            let is_enough = self.inner().cache.pending_bytes() >= bytes + STEP_BYTES as u64;
            if is_enough { self.step(host, next.clone(), batches, roll) } else { None }
        };
        let (written, ahead) =
            join2(self.write(&file, buf, position, base_offset, FileKind::Log), ahead).await;
        written?;
        self.publish(next, batches);
        Ok(ahead.map(Plan::Append))
    }

    fn publish(&self, next: ActiveSegment, batches: usize) {
        let inner = &mut *self.inner_mut();
        inner.active = Some(Rc::new(next));
        inner.cache.placed(batches);
    }

    /// The active segment's file is not what the checkpoint says: it is sealed as it is, so that what comes next
    /// is not harmed. Reading its damaged part fails, and `check` reports it.
    async fn give_up_active(&self, host: &H, what: &str, done: &mut SpreadDone) -> Result<()> {
        let active = self.inner().active.clone().expect("a segment without blocks on disk is never broken");
        tracing::error!(what, "stored records are damaged; new ones go to a new segment");
        self.seal(host, active, done).await
    }

    /// Ends the active segment before it is full. The caller has the turn.
    pub(super) async fn seal_active(&self, host: &H) -> Result<()> {
        let active = self.inner().active.clone();
        match active {
            Some(active) => self.seal(host, active, &mut SpreadDone::default()).await,
            None => Ok(()),
        }
    }

    /// Ends the active segment.
    async fn seal(&self, host: &H, active: Rc<ActiveSegment>, done: &mut SpreadDone) -> Result<()> {
        let base_offset = active.base_offset;
        let seal = ActiveSegment::clone(&active).seal(self.spec.seed);
        let file = match self.writer(host, base_offset, active.spread).await? {
            Writer::Open(file) => file,
            Writer::Broken(_) => {
                self.inner_mut().allocated = Some(active.spread);
                self.create(host, base_offset, FileKind::Log).await?
            }
        };
        if seal.block.is_some() {
            self.allocate(&file, base_offset, seal.segment.file_bytes(), 0).await?;
        }
        done.bytes += seal.index.blocks.len() as u64;
        let index_end = seal.index.position + seal.index.blocks.len() as u64;
        match self.write_index(host, base_offset, seal.index).await? {
            Writer::Open(index) => self.cut(&index, base_offset, FileKind::Index, index_end).await?,
            // Without an index file a reader makes it anew from the batches.
            Writer::Broken(what) => tracing::error!(what, "the index of a segment is gone"),
        }
        if let Some(block) = seal.block {
            let mut buf = host.buf_to_fill(block.len());
            buf.bytes_mut().copy_from_slice(&block);
            self.write(&file, buf, seal.position, base_offset, FileKind::Log).await?;
            done.bytes += block.len() as u64;
        }
        self.cut(&file, base_offset, FileKind::Log, seal.segment.file_bytes()).await?;
        done.sealed += 1;
        let inner = &mut *self.inner_mut();
        inner.sealed.push(seal.segment);
        inner.active = None;
        inner.allocated = None;
        Ok(())
    }

    /// The active segment's file, of which `spread` bytes are written.
    async fn writer(&self, host: &H, base_offset: u64, spread: u64) -> Result<Writer<H::File>> {
        let file = match self.spec.open_files.get(self.owner, base_offset, FileKind::Log) {
            Some(file) => file,
            None if spread == 0 => self.create(host, base_offset, FileKind::Log).await?,
            None => match self.open_existing(host, base_offset, FileKind::Log).await? {
                Writer::Open(file) => file,
                broken => return Ok(broken),
            },
        };
        if self.inner().allocated.is_none() {
            let path = self.path(base_offset, FileKind::Log);
            let size = file.size().map_err(|error| write_failed(&path, "read the size of", &error))?;
            if size < spread {
                return Ok(Writer::Broken(format!("{} ends at byte {size}, not {spread}", path.display())));
            }
            self.inner_mut().allocated = Some(size);
        }
        Ok(Writer::Open(file))
    }

    async fn open_existing(&self, host: &H, base_offset: u64, kind: FileKind) -> Result<Writer<H::File>> {
        let path = self.path(base_offset, kind);
        match host.open(&path, FileKind::WRITE_EXISTING).await {
            Ok(file) => {
                self.spec.open_files.put(self.owner, base_offset, kind, file.clone());
                Ok(Writer::Open(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Writer::Broken(format!("{} is missing", path.display())))
            }
            Err(error) => Err(write_failed(&path, "open", &error)),
        }
    }

    /// Opens a file that need not be there. A leftover of a crash is written over: nothing of it was
    /// checkpointed.
    async fn create(&self, host: &H, base_offset: u64, kind: FileKind) -> Result<H::File> {
        self.make_dir(host).await?;
        let path = self.path(base_offset, kind);
        let opened = match host.open(&path, Access::WRITE).await {
            // The topic was deleted, and a crash came before this group was told: its directory is in the trash.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.inner_mut().dir_made = false;
                self.make_dir(host).await?;
                host.open(&path, Access::WRITE).await
            }
            opened => opened,
        };
        let file = opened.map_err(|error| write_failed(&path, "create", &error))?;
        self.spec.open_files.put(self.owner, base_offset, kind, file.clone());
        self.note_dirty_dir(&self.spec.dir);
        Ok(file)
    }

    /// Makes the partition's directory. It and those above it may be there and not durable: made before a crash that
    /// came before their sync, or by another partition that has yet to sync them. So all names from the shard's
    /// directory down (`t/<topic>/<partition>`) are synced once in any case.
    async fn make_dir(&self, host: &H) -> Result<()> {
        if self.inner().dir_made {
            return Ok(());
        }
        let dir = &self.spec.dir;
        let mut to_sync: Vec<&Path> = dir.ancestors().skip(1).take(3).collect();
        for missing in dir.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty()) {
            match host.path_kind(missing).await {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => to_sync.extend(missing.parent()),
                Err(error) => return Err(write_failed(missing, "look at", &error)),
            }
        }
        host.create_dir_all(dir).await.map_err(|error| write_failed(dir, "create", &error))?;
        to_sync.iter().for_each(|dir| self.note_dirty_dir(dir));
        self.inner_mut().dir_made = true;
        Ok(())
    }

    async fn allocate(&self, file: &H::File, base_offset: u64, end: u64, segment_bytes: u64) -> Result<()> {
        let allocated = self.inner().allocated.expect("known since the file was opened");
        if end <= allocated {
            return Ok(());
        }
        let ahead = allocated.clamp(ALLOCATE_BYTES_MIN, ALLOCATE_BYTES_MAX);
        let wanted = (allocated + ahead).min(segment_bytes.next_multiple_of(CHUNK_BYTES as u64)).max(end);
        let path = || self.path(base_offset, FileKind::Log);
        let result = file.allocate(allocated, wanted - allocated).await;
        result.map_err(|error| write_failed(&path(), "reserve space in", &error))?;
        self.inner_mut().allocated = Some(wanted);
        Ok(())
    }

    async fn write_index(&self, host: &H, base_offset: u64, write: IndexWrite) -> Result<Writer<H::File>> {
        let file = match self.spec.open_files.get(self.owner, base_offset, FileKind::Index) {
            Some(file) => file,
            None if write.position == 0 => self.create(host, base_offset, FileKind::Index).await?,
            None => match self.open_existing(host, base_offset, FileKind::Index).await? {
                Writer::Open(file) => file,
                broken => return Ok(broken),
            },
        };
        let mut buf = host.buf_to_fill(write.blocks.len());
        buf.bytes_mut().copy_from_slice(&write.blocks);
        self.write(&file, buf, write.position, base_offset, FileKind::Index).await?;
        Ok(Writer::Open(file))
    }

    async fn write(
        &self,
        file: &H::File,
        buf: H::Buf,
        at: u64,
        base_offset: u64,
        kind: FileKind,
    ) -> Result<()> {
        let (result, _) = file.write_at(buf, at, Durability::Volatile).await;
        let dirty = &mut self.inner_mut().dirty;
        if !dirty.contains(&(base_offset, kind)) {
            dirty.push((base_offset, kind));
        }
        result.map_err(|error| write_failed(&self.path(base_offset, kind), "write to", &error))
    }

    /// Gives back what was reserved beyond the end, and what a crash left there.
    async fn cut(&self, file: &H::File, base_offset: u64, kind: FileKind, len: u64) -> Result<()> {
        let result = file.truncate(len).await;
        result.map_err(|error| write_failed(&self.path(base_offset, kind), "cut", &error))
    }
}

fn takes(active: &ActiveSegment, batch: &BatchRef, roll: RollLimits) -> bool {
    active.takes(batch, roll.segment_bytes, roll.segment_ms)
}

/// Fills `blocks` from the front of the parts; what is left over is the tail, a copy of its own.
fn gather(parts: &[Bytes], blocks: &mut [u8]) -> Bytes {
    let mut filled = 0;
    let mut tail = Vec::new();
    for part in parts {
        let now = part.len().min(blocks.len() - filled);
        copy(&mut blocks[filled..filled + now], &part[..now]);
        filled += now;
        tail.extend_from_slice(&part[now..]);
    }
    assert_eq!(filled, blocks.len(), "there are enough bytes for the blocks");
    Bytes::from(tail)
}
