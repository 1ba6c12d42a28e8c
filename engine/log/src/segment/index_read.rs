//! Looking things up in chunk indexes: from memory where they are, from the index file block by block. Every entry
//! is verified; a wrong one is damage with file and position. Never guesses.

use super::entry::IndexEntry;
use super::files::{Checked, Fault, FileKind};
use super::index_file::{IndexBlock, block_position, check_header};
use super::seed::SegmentSeed;
use super::segments::Segments;
use super::view::{EntryAt, View};
use crate::stubborn;
use bytes::Bytes;
use flumen_io::{Access, Host};
use flumen_model::limits::BLOCK_BYTES;
use std::rc::Rc;

impl<H: Host> Segments<H> {
    /// The index entry of a chunk.
    pub(super) async fn entry(&self, host: &H, view: &View, chunk: u32) -> Checked<IndexEntry> {
        match view.entry_at(self.spec.seed, chunk) {
            EntryAt::Memory(entry) => Ok(entry),
            EntryAt::Block(block) => Ok(self.index_block(host, view, block).await?.entry(chunk)),
        }
    }

    /// Where a batch begins from which the one that contains `offset`, or the first behind it, is near.
    pub(super) async fn position_near(&self, host: &H, view: &View, offset: u64) -> Checked<u64> {
        let relative = u32::try_from(offset.saturating_sub(view.base_offset())).unwrap_or(u32::MAX);
        // The last chunk whose first offset is not above: everything before it lies below.
        let (mut low, mut high) = (0, view.entry_count());
        let mut position = 0;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(host, view, middle).await?;
            if entry.first_offset() <= relative {
                position = entry.position();
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(position)
    }

    /// A block of the index file.
    pub(super) async fn index_block(&self, host: &H, view: &View, block: u32) -> Checked<Rc<IndexBlock>> {
        let base_offset = view.base_offset();
        if let Some(known) = self.spec.open_files.block(self.owner, base_offset, block) {
            return Ok(known);
        }
        let file = self.index_file(host, view).await?;
        let position = block_position(block);
        let bytes = self.index_bytes(&file, base_offset, position).await?;
        let seed = SegmentSeed::new(self.spec.seed, base_offset);
        let parsed = IndexBlock::parse(&bytes, seed, block, view.entries_in_block(block)).map_err(|at| {
            let path = self.path(base_offset, FileKind::Index);
            Fault::new(&path, position + at as u64, "the index entry is damaged")
        })?;
        let parsed = Rc::new(parsed);
        self.spec.open_files.put_block(self.owner, base_offset, block, parsed.clone());
        Ok(parsed)
    }

    /// One block of an index file, whole.
    pub(super) async fn index_bytes(
        &self,
        file: &H::File,
        base_offset: u64,
        position: u64,
    ) -> Checked<Bytes> {
        let path = || self.path(base_offset, FileKind::Index);
        let bytes = stubborn::read_at(file, position, BLOCK_BYTES).await;
        let bytes = bytes.map_err(|error| Fault::read(&path(), position, &error))?;
        if bytes.len() < BLOCK_BYTES {
            return Err(Fault::new(&path(), position + bytes.len() as u64, "the file ends too early"));
        }
        Ok(bytes)
    }

    /// The index file, its header checked.
    pub(super) async fn index_file(&self, host: &H, view: &View) -> Checked<H::File> {
        let base_offset = view.base_offset();
        if let Some(file) = self.spec.open_files.get(self.owner, base_offset, FileKind::Index) {
            return Ok(file);
        }
        let path = self.path(base_offset, FileKind::Index);
        let file = host.open(&path, access(view)).await.map_err(|error| Fault::read(&path, 0, &error))?;
        let header = self.index_bytes(&file, base_offset, 0).await?;
        let seed = SegmentSeed::new(self.spec.seed, base_offset);
        check_header(&header, seed, base_offset).map_err(|what| Fault::new(&path, 0, what))?;
        self.spec.open_files.put(self.owner, base_offset, FileKind::Index, file.clone());
        Ok(file)
    }

    /// The file of batches.
    pub(super) async fn log_file(&self, host: &H, view: &View) -> Checked<H::File> {
        let base_offset = view.base_offset();
        if let Some(file) = self.spec.open_files.get(self.owner, base_offset, FileKind::Log) {
            return Ok(file);
        }
        let path = self.path(base_offset, FileKind::Log);
        let file = host.open(&path, access(view)).await.map_err(|error| Fault::read(&path, 0, &error))?;
        self.spec.open_files.put(self.owner, base_offset, FileKind::Log, file.clone());
        Ok(file)
    }
}

/// The active segment's files are shared with the writer.
fn access(view: &View) -> Access {
    if view.is_sealed() { Access::READ } else { FileKind::WRITE_EXISTING }
}
