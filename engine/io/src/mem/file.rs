//! Files and buffers of the simulated host. Checks what the seam demands of a direct file, as strictly as a
//! real device would.

use super::disk_faults::Target;
use super::host::{FLUSH_NANOS, MemHost};
use super::names::Inode;
use super::trace::What;
use crate::check;
use crate::seam::{Access, Buf, Durability, File};
use bytes::Bytes;
use std::future::Future;
use std::io;
use std::rc::Rc;

const READ_NANOS: u64 = 50_000;
const WRITE_NANOS: u64 = 40_000;
const DURABLE_WRITE_NANOS: u64 = 80_000;
const META_NANOS: u64 = 30_000;

/// A buffer of the simulated host.
pub struct MemBuf(Vec<u8>);

impl MemBuf {
    pub(super) fn of(len: usize, byte: u8) -> MemBuf {
        MemBuf(vec![byte; len])
    }
}

impl Buf for MemBuf {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

struct Open {
    host: MemHost,
    inode: Inode,
    access: Access,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.host.disk().close(self.inode);
    }
}

/// A file of the simulated host.
#[derive(Clone)]
pub struct MemFile(Rc<Open>);

impl MemFile {
    pub(super) fn new(host: MemHost, inode: Inode, access: Access) -> MemFile {
        MemFile(Rc::new(Open { host, inode, access }))
    }

    fn begin_write(
        &self,
        buf: MemBuf,
        position: u64,
        durability: Durability,
    ) -> Result<impl Future<Output = (io::Result<()>, MemBuf)>, (io::Error, MemBuf)> {
        if let Err(e) = check::write(self.0.access, position, buf.0.len(), durability) {
            return Err((e, buf));
        }
        let durable = durability == Durability::Durable;
        let host = &self.0.host;
        host.0.exec.trace.event(What::Write, self.0.inode, position);
        host.0.exec.trace.bytes(What::Write, &buf.0);
        let len = buf.0.len();
        let id = host.disk().begin_write(self.0.inode, position, buf.0, durable);
        // The descriptor stays open until the operation is done, whoever still waits for it.
        let open = Rc::clone(&self.0);
        let nanos = if durable { DURABLE_WRITE_NANOS } else { WRITE_NANOS };
        Ok(host.disk_op(Target::File(self.0.inode), nanos, len, move |disk| {
            let (result, bytes) = disk.finish_write(id);
            (open, (result, MemBuf(bytes)))
        }))
        .map(|wait| async move { wait.await.1 })
    }
}

impl File for MemFile {
    type Buf = MemBuf;

    fn write_at(
        &self,
        buf: MemBuf,
        position: u64,
        durability: Durability,
    ) -> impl Future<Output = (io::Result<()>, MemBuf)> + 'static {
        let file = self.clone();
        async move {
            match file.begin_write(buf, position, durability) {
                Ok(wait) => wait.await,
                Err((e, buf)) => (Err(e), buf),
            }
        }
    }

    fn read_at(&self, position: u64, len: usize) -> impl Future<Output = io::Result<Bytes>> + 'static {
        let open = Rc::clone(&self.0);
        async move {
            check::read(position, len)?;
            let inode = open.inode;
            open.host.0.exec.trace.event(What::Read, inode, position);
            let held = Rc::clone(&open);
            let read = move |disk: &mut super::disk::Disk| (held, disk.read(inode, position, len));
            let (_, bytes) = open.host.disk_op(Target::File(inode), READ_NANOS, len, read).await;
            bytes.map(Bytes::from)
        }
    }

    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + 'static {
        let open = Rc::clone(&self.0);
        async move {
            open.host.0.exec.trace.event(What::Sync, open.inode, 0);
            let flush = open.host.disk().begin_flush(open.inode);
            let held = Rc::clone(&open);
            let finish = move |disk: &mut super::disk::Disk| (held, disk.finish_flush(flush));
            open.host.disk_op(Target::File(open.inode), FLUSH_NANOS, 0, finish).await.1
        }
    }

    fn allocate(&self, position: u64, len: u64) -> impl Future<Output = io::Result<()>> + 'static {
        let open = Rc::clone(&self.0);
        async move {
            check::writable(open.access)?;
            let (inode, held) = (open.inode, Rc::clone(&open));
            let allocate = move |disk: &mut super::disk::Disk| (held, disk.allocate(inode, position, len));
            open.host.disk_op(Target::File(inode), META_NANOS, 0, allocate).await.1
        }
    }

    fn truncate(&self, len: u64) -> impl Future<Output = io::Result<()>> + 'static {
        let open = Rc::clone(&self.0);
        async move {
            check::writable(open.access)?;
            let (inode, held) = (open.inode, Rc::clone(&open));
            let truncate = move |disk: &mut super::disk::Disk| (held, disk.truncate(inode, len));
            open.host.disk_op(Target::File(inode), META_NANOS, 0, truncate).await;
            Ok(())
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.host.disk().size(self.0.inode))
    }
}
