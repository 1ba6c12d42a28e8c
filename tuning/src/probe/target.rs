//! The file that is written to: nameless, in the data directory, every block written once before anything is
//! measured, since fresh blocks cost the filesystem's own journal as well and a node never appends into them.

use super::buffer::Buffer;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes of one write while filling.
const FILL_BYTES: usize = 1024 * 1024;

/// A file of written blocks, opened the three ways in which it is measured.
pub(super) struct Target {
    /// Writes that are durable when they return.
    pub(super) dsync: File,
    /// Writes that are durable after a flush; and reads.
    pub(super) plain: File,
    /// Its size.
    pub(super) bytes: u64,
}

impl Target {
    /// Makes it in `directory` and writes every block. `bytes` is a multiple of 1 MiB. Nothing is left of it
    /// when the process ends, however it ends.
    pub(super) fn create(directory: &Path, bytes: u64) -> io::Result<Target> {
        let plain = nameless(directory)?;
        let again = format!("/proc/self/fd/{}", plain.as_raw_fd());
        let dsync = direct(OFlags::DSYNC).open(again)?;
        let target = Target { dsync, plain, bytes };
        target.fill()?;
        Ok(target)
    }

    fn fill(&self) -> io::Result<()> {
        for position in (0..self.bytes).step_by(FILL_BYTES) {
            let noise = Buffer::noise(FILL_BYTES, position ^ 0x9e37_79b9_7f4a_7c15);
            self.plain.write_all_at(noise.as_slice(), position)?;
        }
        self.plain.sync_all()
    }
}

fn direct(more: OFlags) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags((OFlags::DIRECT | more).bits().cast_signed());
    options
}

/// A file without a name; where the filesystem cannot do that, one whose name is taken away at once.
fn nameless(directory: &Path) -> io::Result<File> {
    if let Ok(file) = direct(OFlags::TMPFILE).open(directory) {
        return Ok(file);
    }
    let path = directory.join(format!(".flumen-probe-{}", std::process::id()));
    let file = direct(OFlags::CREATE | OFlags::EXCL).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
