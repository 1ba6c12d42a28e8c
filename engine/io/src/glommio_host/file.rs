//! Direct files and buffers of the glommio host. The kernel's buffers and descriptors outlive every wait: what
//! was begun ends by itself, and only then is memory freed or a descriptor closed.

use super::blocking::{self, blocking};
use super::host::GlommioHost;
use super::io_error;
use super::machine::DsyncMethod;
use super::pool::Pool;
use crate::check;
use crate::seam::{Access, Buf, Durability, File};
use bytes::Bytes;
use flumen_model::copy;
use glommio::io::{DmaBuffer, DmaFile, OpenOptions};
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const MODE: libc::mode_t = 0o640;
/// How often an abandoned write is looked at.
const ABANDONED_WAIT: Duration = Duration::from_millis(1);

/// An aligned buffer, from the core's pool. One owner outside of writes.
pub struct GlommioBuf {
    /// There until the drop.
    buffer: Option<Rc<DmaBuffer>>,
    pool: Rc<Pool>,
}

impl GlommioBuf {
    /// With what was in that memory before.
    pub(super) fn to_fill(pool: &Rc<Pool>, len: usize) -> GlommioBuf {
        GlommioBuf { buffer: Some(Rc::new(pool.take(len))), pool: Rc::clone(pool) }
    }

    fn shared(&self) -> &Rc<DmaBuffer> {
        self.buffer.as_ref().expect("it goes with the drop only")
    }
}

impl Drop for GlommioBuf {
    fn drop(&mut self) {
        // One that the kernel still uses has other owners: it is freed with the last of them.
        if let Some(buffer) = self.buffer.take().and_then(Rc::into_inner) {
            self.pool.give(buffer);
        }
    }
}

impl Buf for GlommioBuf {
    fn bytes(&self) -> &[u8] {
        self.shared().as_bytes()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let buffer = self.buffer.as_mut().expect("it goes with the drop only");
        Rc::get_mut(buffer).expect("a buffer is given back when the kernel is done with it").as_bytes_mut()
    }
}

struct Open {
    host: GlommioHost,
    plain: DmaFile,
    /// The same file with `O_DSYNC`, when durable writes go that way.
    dsync: Option<DmaFile>,
    access: Access,
}

/// A direct file.
#[derive(Clone)]
pub struct GlommioFile(Rc<Open>);

pub(super) async fn open(host: GlommioHost, path: PathBuf, access: Access) -> io::Result<GlommioFile> {
    if access.durable && !access.write {
        check::writable(access)?;
    }
    let plain = open_direct(&path, access, 0).await?;
    let dsync = if access.durable && host.dsync() == DsyncMethod::ODsync {
        let again = Access { create: false, create_new: false, ..access };
        Some(open_direct(&path, again, libc::O_DSYNC).await?)
    } else {
        None
    };
    Ok(GlommioFile(Rc::new(Open { host, plain, dsync, access })))
}

async fn open_direct(path: &Path, access: Access, flags: libc::c_int) -> io::Result<DmaFile> {
    let mut options = OpenOptions::new();
    options.read(true).write(access.write).mode(MODE).custom_flags(flags);
    options.create(access.create && !access.create_new).create_new(access.create_new);
    options.dma_open(path).await.map_err(io_error)
}

impl Open {
    async fn write(&self, buffer: Rc<DmaBuffer>, position: u64, durability: Durability) -> io::Result<()> {
        let len = buffer.len();
        let file = match (durability, &self.dsync) {
            (Durability::Durable, Some(dsync)) => dsync,
            _ => &self.plain,
        };
        let written = file.write_rc_at(buffer, position).await.map_err(io_error)?;
        if written != len {
            let message =
                format!("only {written} of {len} bytes at {position} were written: is the disk full?");
            return Err(io::Error::new(io::ErrorKind::WriteZero, message));
        }
        if durability == Durability::Durable && self.dsync.is_none() {
            self.plain.fdatasync().await.map_err(io_error)?;
        }
        Ok(())
    }

    /// Reads to the wanted length or the end of the file, whichever is first.
    async fn read(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let first = self.plain.read_at_aligned(position, len).await.map_err(io_error)?;
        if first.len() == len || position + first.len() as u64 >= self.size()? {
            return Ok(copy::copied(&first));
        }
        let mut all = first.to_vec();
        while all.len() < len {
            let more = self.plain.read_at_aligned(position + all.len() as u64, len - all.len()).await;
            let more = more.map_err(io_error)?;
            if more.is_empty() {
                break;
            }
            all.extend_from_slice(&more);
        }
        Ok(Bytes::from(all))
    }

    /// By descriptor: glommio asks by path, which a rename leads astray.
    fn size(&self) -> io::Result<u64> {
        // SAFETY: all zeros is a valid `stat`.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and `stat` is a valid place for the answer.
        match unsafe { libc::fstat(self.plain.as_raw_fd(), &mut stat) } {
            0 => Ok(stat.st_size as u64),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Keeps descriptor, buffer and core alive while the kernel may still work for a write that nobody waits for
/// any more: else memory that the device reads from could be given to somebody else. Costs nothing otherwise.
struct Abandoned {
    file: Rc<Open>,
    buffer: Rc<DmaBuffer>,
    done: bool,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (file, buffer) = (Rc::clone(&self.file), Rc::clone(&self.buffer));
        // glommio holds the buffer until the kernel is done; this struct's own hold ends with this drop.
        drop(self.file.host.own_task(async move {
            while Rc::strong_count(&buffer) > 1 {
                glommio::timer::sleep(ABANDONED_WAIT).await;
            }
            drop(file);
        }));
    }
}

impl File for GlommioFile {
    type Buf = GlommioBuf;

    fn write_at(
        &self,
        buf: GlommioBuf,
        position: u64,
        durability: Durability,
    ) -> impl Future<Output = (io::Result<()>, GlommioBuf)> + 'static {
        let file = Rc::clone(&self.0);
        async move {
            if let Err(e) = check::write(file.access, position, buf.bytes().len(), durability) {
                return (Err(e), buf);
            }
            let mut abandoned = Abandoned { file, buffer: Rc::clone(buf.shared()), done: false };
            let result = abandoned.file.write(Rc::clone(buf.shared()), position, durability).await;
            abandoned.done = true;
            (result, buf)
        }
    }

    fn read_at(&self, position: u64, len: usize) -> impl Future<Output = io::Result<Bytes>> + 'static {
        let file = Rc::clone(&self.0);
        async move {
            check::read(position, len)?;
            let host = file.host.clone();
            host.own_task(async move { file.read(position, len).await }).await
        }
    }

    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + 'static {
        let file = Rc::clone(&self.0);
        async move { file.plain.fdatasync().await.map_err(io_error) }
    }

    fn allocate(&self, position: u64, len: u64) -> impl Future<Output = io::Result<()>> + 'static {
        let file = Rc::clone(&self.0);
        async move {
            check::writable(file.access)?;
            let host = file.host.clone();
            let fd = file.plain.as_raw_fd();
            // The task holds the file, so the number stays ours until the call is over.
            host.own_task(async move {
                let result = blocking(move || blocking::allocate(fd, position, len)).await;
                drop(file);
                result
            })
            .await
        }
    }

    fn truncate(&self, len: u64) -> impl Future<Output = io::Result<()>> + 'static {
        let file = Rc::clone(&self.0);
        async move {
            check::writable(file.access)?;
            let host = file.host.clone();
            let fd = file.plain.as_raw_fd();
            host.own_task(async move {
                let result = blocking(move || blocking::truncate(fd, len)).await;
                drop(file);
                result
            })
            .await
        }
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}
