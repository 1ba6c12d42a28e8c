//! The shape of a journal: where it lies, how large its files and writes may be. Values only; the house's limits
//! come in from the caller.

use flumen_model::ShardId;
use flumen_model::limits::BLOCK_BYTES;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

use super::{directory, file};

/// The shape of one shard's journal.
#[derive(Clone, Debug)]
pub struct JournalSpec {
    /// The directory of the files, `<shard>/journal`.
    pub dir: PathBuf,
    /// Size of each file in bytes; whole blocks, the same for the life of the directory.
    pub file_bytes: u64,
    /// Files of the ring when it is formatted.
    pub files: usize,
    /// A write gathers appends up to this size, padding included; more only for one larger append.
    pub write_group_bytes_max: usize,
    /// The largest single append, by [`frame_bytes`](super::frame_bytes) of its frames, and 40 bytes more for
    /// each group in it after the first.
    pub append_bytes_max: usize,
    /// The random id of the data directory; seeds every checksum.
    pub directory_id: Uuid,
    /// The shard whose journal it is; seeds every checksum.
    pub shard: ShardId,
    /// A journal idle for this long writes one mark, so that the last write leaves evidence.
    pub mark_idle: Duration,
}

/// Files that appends never fill, so that checkpoints always find room to free the others.
pub(crate) const RESERVE_FILES: usize = 2;

impl JournalSpec {
    /// The path of a file by its place in the ring.
    pub(crate) fn file_path(&self, slot: usize) -> PathBuf {
        self.dir.join(format!("J{slot:04}"))
    }

    /// What one append may cost at most: its write, were it written alone.
    pub(crate) fn append_cost_max(&self) -> u64 {
        cost(self.append_bytes_max, 1)
    }

    /// Bytes of a file that are sure to be filled with appends, whatever their sizes: a write that does not fit
    /// into the rest of a file goes to the next.
    pub(crate) fn usable_bytes(&self) -> u64 {
        self.file_bytes - file::DATA_START - self.append_cost_max()
    }

    /// Panics on a shape that cannot work: it comes from the house's limits, never from a stranger.
    pub(crate) fn check(&self) {
        assert!(
            self.files > RESERVE_FILES + 1,
            "a ring keeps {RESERVE_FILES} files in reserve and fills others"
        );
        assert!(self.file_bytes.is_multiple_of(BLOCK_BYTES as u64), "files are whole blocks");
        assert!(
            self.file_bytes < u64::from(u32::MAX)
                && file::DATA_START + 2 * self.append_cost_max() <= self.file_bytes,
            "a file holds its header and the largest append twice over, and distances in it fit 32 bits"
        );
    }
}

/// The bytes of a write of `frames_bytes` with at most `rows` rows in its directory.
pub(crate) fn cost(frames_bytes: usize, rows: usize) -> u64 {
    let bytes = frames_bytes + directory::frame_bytes(rows);
    bytes.next_multiple_of(BLOCK_BYTES) as u64
}
