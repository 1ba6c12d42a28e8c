//! The probe file. The first direct file that a glommio executor opens on a device decides, by reading its
//! first block, how it reads that device for ever; an empty or unwritten block decides wrongly and later reads
//! fail with `EOPNOTSUPP`. So the first file is one that we have written. Touches nothing but its own file.

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
    write_block(&path).map_err(explain)?;
    let opened = read_block(&path).await.map_err(explain);
    std::fs::remove_file(&path).map_err(explain)?;
    opened?;
    PROBED.with_borrow_mut(|probed| probed.insert(device));
    Ok(())
}

fn write_block(path: &Path) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(&[0xA5; BLOCK_BYTES])?;
    file.sync_all()
}

async fn read_block(path: &Path) -> io::Result<()> {
    let file = DmaFile::open(path).await.map_err(super::io_error)?;
    let read = file.read_at_aligned(0, BLOCK_BYTES).await.map_err(super::io_error)?;
    let whole = *read == [0xA5; BLOCK_BYTES][..];
    file.close().await.map_err(super::io_error)?;
    if whole { Ok(()) } else { Err(io::Error::other("the block read back differs from the one written")) }
}
