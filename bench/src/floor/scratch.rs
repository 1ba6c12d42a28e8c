//! The files that floors write to: a directory of the run's own that goes with it, and files written once from end
//! to end, since a fresh or merely reserved block costs up to twice as much. It must never touch a file that it
//! did not create.

use super::aligned::Aligned;
use crate::fault::failed;
use flumen_model::error::Result;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One step of writing a file ahead.
const STEP_BYTES: usize = 1 << 20;

/// A directory that is removed with all it holds when this is dropped.
pub struct ScratchDir(PathBuf);

impl ScratchDir {
    /// A new directory inside `parent`, which is created when missing.
    pub fn create(parent: &Path) -> Result<ScratchDir> {
        let path = parent.join(format!("flumen-bench-{}", std::process::id()));
        let at = |e| failed(format!("cannot create {} (choose another --dir)", path.display()), e);
        fs::create_dir_all(parent).map_err(at)?;
        fs::create_dir(&path).map_err(at)?;
        Ok(ScratchDir(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file of `bytes` from end to end and makes it durable. Returns its path.
    pub fn written(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.0.join(name);
        let at = |e| failed(format!("cannot write {bytes} bytes to {}", path.display()), e);
        let file = direct(&path, true, 0).map_err(at)?;
        let step = Aligned::noise(STEP_BYTES);
        assert!(bytes.is_multiple_of(STEP_BYTES as u64), "scratch files are whole steps");
        for position in (0..bytes).step_by(STEP_BYTES) {
            file.write_all_at(step.bytes(), position).map_err(at)?;
        }
        file.sync_all().map_err(at)?;
        Ok(path)
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // A directory that cannot be removed is no reason to lose the figures.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens a written file for durable direct writes.
pub fn open_durable(path: &Path) -> Result<File> {
    direct(path, false, libc::O_DSYNC).map_err(|e| failed(format!("cannot open {}", path.display()), e))
}

/// Opens a written file for direct reads.
pub fn open_read(path: &Path) -> Result<File> {
    direct(path, false, 0).map_err(|e| failed(format!("cannot open {}", path.display()), e))
}

fn direct(path: &Path, create: bool, flags: i32) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(create)
        .custom_flags(libc::O_DIRECT | flags)
        .open(path)
}

/// Goes round in a file, as a journal does.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    next: u64,
    bytes: u64,
}

impl Ring {
    /// Over a file of `bytes`.
    pub fn new(bytes: u64) -> Ring {
        Ring { next: 0, bytes }
    }

    /// Where the next `len` bytes go; never over the end.
    pub fn take(&mut self, len: u64) -> u64 {
        assert!(len <= self.bytes, "a write fits the file");
        let position = if self.next + len > self.bytes { 0 } else { self.next };
        self.next = position + len;
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_never_writes_over_the_end() {
        let mut ring = Ring::new(10);
        assert_eq!([ring.take(4), ring.take(4), ring.take(4), ring.take(6)], [0, 4, 0, 4]);
    }

    #[test]
    fn a_scratch_directory_goes_with_all_it_holds() {
        let parent = tempfile::tempdir_in(".").unwrap();
        let scratch = ScratchDir::create(parent.path()).unwrap();
        let file = scratch.written("a", 1 << 20).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), 1 << 20);
        assert!(scratch.written("a", 1 << 20).is_err(), "an existing file is never overwritten");
        drop(scratch);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
