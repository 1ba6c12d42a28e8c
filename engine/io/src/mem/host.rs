//! One simulated core's door: turns the seam's calls into operations on the world that complete in simulated
//! time. Nothing real is touched.

use super::channel::{MemReceiver, MemRxHalf, MemSender, MemTxHalf};
use super::disk::Disk;
use super::exec::{Exec, OpWait, Sleep};
use super::file::{MemBuf, MemFile};
use super::net::{End, Net};
use super::stream::{MemListener, MemParts, MemStream};
use super::trace::What;
use super::world::MemWorld;
use crate::seam::{Access, Core, Host, Lock, Mono, PathKind, Space};
use flumen_model::limits::BLOCK_BYTES;
use std::cell::{RefCell, RefMut};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// The wall clock of the first simulated boot: 2025-01-01.
const WALL_START_MS: i64 = 1_735_689_600_000;
/// What a buffer holds that the caller wanted to fill.
const STALE_BYTE: u8 = 0xa5;
/// Names are looked up and changed in about this time.
const NAME_NANOS: u64 = 20_000;
/// A flush takes about this time.
pub(super) const FLUSH_NANOS: u64 = 60_000;

pub(super) struct Inner {
    pub(super) exec: Rc<Exec>,
    pub(super) world: MemWorld,
    core: Core,
}

/// The host of a simulated core.
#[derive(Clone)]
pub struct MemHost(pub(super) Rc<Inner>);

impl MemHost {
    pub(super) fn new(exec: Rc<Exec>, world: MemWorld, core: Core) -> MemHost {
        MemHost(Rc::new(Inner { exec, world, core }))
    }

    pub(super) fn disk(&self) -> RefMut<'_, Disk> {
        RefCell::borrow_mut(&self.0.world.0.disk)
    }

    pub(super) fn net(&self) -> RefMut<'_, Net> {
        RefCell::borrow_mut(&self.0.world.0.net)
    }

    /// An operation on the disk that takes effect when it completes, waited for or not.
    pub(super) fn disk_op<T: 'static>(
        &self,
        base_nanos: u64,
        bytes: usize,
        effect: impl FnOnce(&mut Disk) -> T + 'static,
    ) -> OpWait<T> {
        let delay = self.disk().delay(base_nanos, bytes);
        let host = self.clone();
        self.0.exec.complete_after(delay, move || effect(&mut host.disk()))
    }

    fn name_op<T: 'static>(
        &self,
        path: &Path,
        effect: impl FnOnce(&mut Disk, &Path) -> io::Result<T> + 'static,
    ) -> impl Future<Output = io::Result<T>> + 'static {
        let (host, path) = (self.clone(), path.to_owned());
        async move {
            host.0.exec.trace.bytes(What::Name, path.as_os_str().as_encoded_bytes());
            host.disk_op(NAME_NANOS, 0, move |disk| effect(disk, &path)).await
        }
    }
}

struct Locked {
    host: MemHost,
    path: PathBuf,
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.host.disk().unlock(&self.path);
    }
}

impl Host for MemHost {
    type File = MemFile;
    type Buf = MemBuf;
    type Listener = MemListener;
    type Stream = MemStream;
    type Parts = MemParts;
    type TxHalf<T: Send + 'static> = MemTxHalf<T>;
    type RxHalf<T: Send + 'static> = MemRxHalf<T>;
    type Sender<T: Send + 'static> = MemSender<T>;
    type Receiver<T: Send + 'static> = MemReceiver<T>;

    fn core(&self) -> Core {
        self.0.core
    }

    fn now(&self) -> Mono {
        self.0.exec.now()
    }

    fn wall_ms(&self) -> i64 {
        WALL_START_MS + (self.now().0 / 1_000_000) as i64
    }

    fn entropy(&self) -> u64 {
        self.0.exec.entropy()
    }

    fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        self.0.exec.spawn(self.0.core.0, future)
    }

    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + 'static {
        Sleep::new(self.0.exec.clone(), wait)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        let mut yielded = false;
        poll_fn(move |cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn dedicated(&self) -> bool {
        false
    }

    fn sender<T: Send + 'static>(&self, half: MemTxHalf<T>) -> impl Future<Output = MemSender<T>> + 'static {
        half.connect()
    }

    fn receiver<T: Send + 'static>(
        &self,
        half: MemRxHalf<T>,
    ) -> impl Future<Output = MemReceiver<T>> + 'static {
        half.connect()
    }

    fn buf(&self, len: usize) -> MemBuf {
        assert!(len > 0 && len.is_multiple_of(BLOCK_BYTES), "buffers are whole blocks, not {len} bytes");
        MemBuf::of(len, 0)
    }

    fn buf_to_fill(&self, len: usize) -> MemBuf {
        assert!(len > 0 && len.is_multiple_of(BLOCK_BYTES), "buffers are whole blocks, not {len} bytes");
        MemBuf::of(len, STALE_BYTE)
    }

    fn open(&self, path: &Path, access: Access) -> impl Future<Output = io::Result<MemFile>> + 'static {
        let host = self.clone();
        let open = self.name_op(path, move |disk, path| disk.open(path, access));
        async move { Ok(MemFile::new(host, open.await?, access)) }
    }

    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.name_op(path, |disk, path| disk.tree().create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.name_op(path, Disk::sync_dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        let to = to.to_owned();
        self.name_op(from, move |disk, from| disk.tree().rename(from, &to))
    }

    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.name_op(path, |disk, path| disk.tree().remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.name_op(path, |disk, path| disk.tree().remove_dir(path))
    }

    fn list_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<PathBuf>>> + 'static {
        self.name_op(path, |disk, path| disk.tree().list(path))
    }

    fn path_kind(&self, path: &Path) -> impl Future<Output = io::Result<PathKind>> + 'static {
        self.name_op(path, |disk, path| disk.kind(path))
    }

    fn space(&self, path: &Path) -> impl Future<Output = io::Result<Space>> + 'static {
        self.name_op(path, |disk, path| disk.tree().find(path).map(|_| ()).map(|()| disk.space()))
    }

    fn lock(&self, path: &Path) -> impl Future<Output = io::Result<Lock>> + 'static {
        let host = self.clone();
        let lock = self.name_op(path, move |disk, path| {
            disk.lock(path)?;
            Ok(Locked { host, path: path.to_owned() })
        });
        async move { Ok(Lock(Box::new(lock.await?))) }
    }

    fn listen(&self, address: SocketAddr) -> impl Future<Output = io::Result<MemListener>> + 'static {
        let host = self.clone();
        async move {
            let (address, queue) = host.net().listen(address)?;
            Ok(MemListener::new(host, address, queue))
        }
    }

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<MemStream>> + 'static {
        let host = self.clone();
        async move {
            host.0.exec.trace.event(What::Connect, u64::from(address.port()), 0);
            let there = host.net().delay();
            Sleep::new(host.0.exec.clone(), Duration::from_nanos(there)).await;
            let end: io::Result<End> = host.net().connect(address);
            let back = host.net().delay();
            Sleep::new(host.0.exec.clone(), Duration::from_nanos(back)).await;
            Ok(MemStream::new(host, end?))
        }
    }

    fn adopt(&self, parts: MemParts) -> io::Result<MemStream> {
        Ok(MemStream::new(self.clone(), parts.0))
    }
}
