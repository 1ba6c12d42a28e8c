//! The probe file. The first direct file that a glommio executor opens on a device decides, by reading its
//! first block, how it reads that device for ever; an empty or unwritten block decides wrongly and later reads
//! fail with `EOPNOTSUPP`. So the first file is one that we have written; on a full disk, one that was written
//! before. Changes nothing but its own file.

use crate::seam::Core;
use flumen_model::limits::BLOCK_BYTES;
use glommio::io::DmaFile;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

thread_local! {
    /// Devices that this core's executor has seen.
    static PROBED: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Shows the executor of this core the device under `directory`, unless it knows it. Blocks for a few
/// milliseconds, once per device.
pub(super) async fn probe(directory: PathBuf, core: Core) -> io::Result<()> {
    let explain = |e: io::Error| {
        io::Error::new(
            e.kind(),
            format!("cannot write and read a probe file in {}: {e}", directory.display()),
        )
    };
    let device = std::fs::metadata(&directory).map_err(explain)?.dev();
    if PROBED.with_borrow(|probed| probed.contains(&device)) {
        return Ok(());
    }
    let path = directory.join(format!(".flumen-probe-{}-{}", std::process::id(), core.0));
    let seen = match write_block(&path) {
        Ok(()) => read_block(&path).await.and_then(expect_ours),
        // A full disk must not keep its node from starting: nothing else could give room again.
        Err(error) if is_full(&error) => match written_file(&directory).map_err(explain)? {
            Some(written) => read_block(&written).await.map(drop),
            None => Err(error),
        },
        Err(error) => Err(error),
    };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(explain(error)),
        _ => {}
    }
    seen.map_err(explain)?;
    PROBED.with_borrow_mut(|probed| probed.insert(device));
    Ok(())
}

fn write_block(path: &Path) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(&[0xA5; BLOCK_BYTES])?;
    file.sync_all()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A file of the directory with at least a block in it, the first by name; an existing node's superblock is one.
fn written_file(directory: &Path) -> io::Result<Option<PathBuf>> {
    let mut first = None;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let about = entry.metadata()?;
        let written = about.is_file() && about.len() >= BLOCK_BYTES as u64 && about.blocks() > 0;
        if written && first.as_ref().is_none_or(|first| entry.path() < *first) {
            first = Some(entry.path());
        }
    }
    Ok(first)
}

async fn read_block(path: &Path) -> io::Result<Vec<u8>> {
    let file = DmaFile::open(path).await.map_err(super::io_error)?;
    let read = file.read_at_aligned(0, BLOCK_BYTES).await.map_err(super::io_error)?.to_vec();
    file.close().await.map_err(super::io_error)?;
    Ok(read)
}

fn expect_ours(read: Vec<u8>) -> io::Result<()> {
    let whole = read == [0xA5; BLOCK_BYTES];
    if whole { Ok(()) } else { Err(io::Error::other("the block read back differs from the one written")) }
}
