//! Rebuilding the index of a sealed segment from its batches. The index is never evidence: what the batches say
//! must add up to what the state lists, each with its own checksum. Raft indexes are not in the batches; a rebuilt
//! index has 0 for them.

use super::BatchRef;
use super::active::ActiveSegment;
use super::cut::{Cutter, Verdict};
use super::files::{Checked, Fault, FileKind, rebuilt_index_path};
use super::index_file::is_zero;
use super::sealed::SealedSegment;
use super::segments::Segments;
use super::spread::gather;
use super::view::View;
use bytes::Bytes;
use flumen_io::{Access, Buf, Durability, File, Host};
use flumen_model::batch::{BatchView, Batches};
use flumen_model::limits::CHUNK_BYTES;
use std::io;
use std::path::Path;

/// Read at a time, with nothing else of it in flight.
const READ_BYTES: usize = 2 * CHUNK_BYTES;

/// What the batches say so far.
struct Rebuild<'a> {
    seed: u32,
    path: &'a Path,
    segment: &'a SealedSegment,
    active: Option<ActiveSegment>,
}

impl<H: Host> Segments<H> {
    /// Reads a whole segment and writes its index anew, under another name first.
    pub(super) async fn rebuild_index(&self, host: &H, segment: &SealedSegment) -> Checked<()> {
        let _turn = self.turn.enter(1).await;
        let path = self.path(segment.base_offset, FileKind::Index);
        let is_listed = !self.inner().retired && self.inner().sealed.contains(segment);
        if !is_listed || host.path_kind(&path).await.is_ok() {
            return Ok(());
        }
        tracing::warn!(path = %path.display(), "the index is missing; it is rebuilt from the batches");
        let index = self.index_of(host, segment).await?;
        let new = rebuilt_index_path(&self.spec.dir, segment.base_offset);
        let failed =
            |error: io::Error| Fault::new(&new, 0, format_args!("the index cannot be written ({error})"));
        let file = host.open(&new, Access::WRITE).await.map_err(failed)?;
        let mut buf = host.buf_to_fill(index.len());
        buf.bytes_mut().copy_from_slice(&index);
        file.write_at(buf, 0, Durability::Volatile).await.0.map_err(failed)?;
        file.truncate(index.len() as u64).await.map_err(failed)?;
        file.sync_data().await.map_err(failed)?;
        host.rename(&new, &path).await.map_err(failed)?;
        host.sync_dir(&self.spec.dir).await.map_err(failed)
    }

    /// The bytes of the index that the batches on disk make.
    async fn index_of(&self, host: &H, segment: &SealedSegment) -> Checked<Vec<u8>> {
        let path = self.path(segment.base_offset, FileKind::Log);
        let file = self.log_file(host, &View::Sealed(*segment)).await?;
        let mut rebuild = Rebuild { seed: self.spec.seed, path: &path, segment, active: None };
        let mut cutter = Cutter::new(0);
        let mut position = 0;
        while position < segment.file_bytes() {
            let len = (segment.file_bytes() - position).min(READ_BYTES as u64) as usize;
            let read = file.read_at(position, len).await;
            let mut piece = read.map_err(|error| Fault::read(&path, position, &error))?;
            if piece.len() < len {
                return Err(Fault::new(&path, position + piece.len() as u64, "the file ends too early"));
            }
            let padding = piece.split_off(len.min((segment.bytes - position) as usize));
            if !is_zero(&padding) {
                return Err(Fault::new(&path, segment.bytes, "the padding is not zero"));
            }
            let fed = cutter.feed(piece, &mut |_: &BatchView<'_>, _| Verdict::Take);
            fed.map_err(|malformed| Fault::new(&path, malformed.position, malformed.what))?;
            rebuild.add(cutter.out.drain(..).collect())?;
            position += len as u64;
        }
        rebuild.finish()
    }
}

impl Rebuild<'_> {
    fn wrong(&self, position: u64, what: impl std::fmt::Display) -> Fault {
        Fault::new(self.path, position, what)
    }

    /// Places the next runs of batches.
    fn add(&mut self, runs: Vec<Bytes>) -> Checked<()> {
        for run in &runs {
            let mut batches = Batches::new(run);
            let mut at = 0;
            while let Some(batch) = batches.next() {
                let end = batches.position();
                self.place(&batch, run.slice(at..end))?;
                at = end;
            }
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        let mut parts = vec![active.tail.clone()];
        parts.extend(runs);
        let mut blocks = vec![0; active.whole_blocks()];
        let tail = gather(&parts, &mut blocks);
        active.take_blocks(self.seed, &blocks, tail);
        Ok(())
    }

    fn place(&mut self, batch: &BatchView<'_>, bytes: Bytes) -> Checked<()> {
        let position = self.active.as_ref().map_or(0, |active| active.bytes);
        batch.check_crc().map_err(|error| self.wrong(position, error.message))?;
        let expected = self.active.as_ref().map_or(self.segment.base_offset, ActiveSegment::end_offset);
        let base_offset = batch.base_offset().0;
        let is_first = self.active.is_none();
        if base_offset < expected
            || (is_first && base_offset > expected)
            || batch.next_offset().0 > self.segment.end_offset
        {
            return Err(self.wrong(position, format_args!("offset {base_offset} where {expected} is next")));
        }
        let batch = BatchRef {
            index: 0,
            term: batch.leader_epoch().max(0) as u32,
            base_offset,
            last_offset: batch.last_offset().0,
            max_timestamp: batch.max_timestamp().0,
            bytes,
        };
        self.active.get_or_insert_with(|| ActiveSegment::begin(self.seed, &batch)).place(&batch);
        Ok(())
    }

    fn finish(self) -> Checked<Vec<u8>> {
        let found = self.active.as_ref().map(SealedSegment::of);
        let found = found.map(|found| SealedSegment { first_index: self.segment.first_index, ..found });
        if found.as_ref() != Some(self.segment) {
            return Err(self.wrong(0, "the batches do not add up to the segment that is listed"));
        }
        Ok(self.active.expect("just seen").seal(self.seed).index.blocks)
    }
}
