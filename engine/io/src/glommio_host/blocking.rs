//! Calls that only exist as blocking ones, on the executor's helper thread. A panic there would end the helper
//! and leave every later caller waiting for ever, so none gets out.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::seam::{PathKind, Space};

/// Runs `call` on the helper thread. Begins at the first poll; dropping the wait does not stop it.
pub(super) async fn blocking<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> R {
    let caught = glommio::executor().spawn_blocking(move || catch_unwind(AssertUnwindSafe(call))).await;
    // The panic was reported on its own thread; here it ends the core, as a bug does.
    caught.unwrap_or_else(|_| panic!("a blocking call panicked"))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

pub(super) fn list_dir(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries =
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

pub(super) fn path_kind(path: &Path) -> io::Result<PathKind> {
    let meta = std::fs::metadata(path)?;
    Ok(if meta.is_dir() { PathKind::Directory } else { PathKind::File(meta.len()) })
}

pub(super) fn space(path: &Path) -> io::Result<Space> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all zeros is a valid `statvfs`.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the name ends with NUL and `stat` is a valid place for the answer; both outlive the call.
    check(unsafe { libc::statvfs(name.as_ptr(), &mut stat) })?;
    Ok(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
}

/// Opens, creating when missing, and locks; the lock ends with the descriptor.
pub(super) fn lock(path: &Path) -> io::Result<OwnedFd> {
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    // SAFETY: the descriptor is open: `file` owns it.
    check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })?;
    Ok(file.into())
}

/// Reserves space. The caller keeps `fd` open until the end.
pub(super) fn allocate(fd: RawFd, position: u64, len: u64) -> io::Result<()> {
    let too_large = |_| io::Error::new(io::ErrorKind::InvalidInput, "a file never gets that large");
    let (position, len) = (position.try_into().map_err(too_large)?, len.try_into().map_err(too_large)?);
    // SAFETY: takes no pointers; a wrong descriptor is an error, not undefined.
    check(unsafe { libc::fallocate(fd, 0, position, len) })
}

/// Sets the size. The caller keeps `fd` open until the end.
pub(super) fn truncate(fd: RawFd, len: u64) -> io::Result<()> {
    let len = len
        .try_into()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a file never gets that large"))?;
    // SAFETY: takes no pointers; a wrong descriptor is an error, not undefined.
    check(unsafe { libc::ftruncate(fd, len) })
}
