//! One simulated core's door: turns the seam's calls into operations on the world that complete in simulated
//! time. Nothing real is touched.

use super::channel::{MemReceiver, MemRxHalf, MemSender, MemTxHalf};
use super::clock::CoreClock;
use super::disk::Disk;
use super::disk_faults::Target;
use super::exec::{Exec, OpWait, Sleep};
use super::fate::{Fate, Fault};
use super::file::{MemBuf, MemFile};
use super::net::{ConnectMishap, Net};
use super::pipe::End;
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
    clock: CoreClock,
}

/// The host of a simulated core.
#[derive(Clone)]
pub struct MemHost(pub(super) Rc<Inner>);

impl MemHost {
    pub(super) fn new(exec: Rc<Exec>, world: MemWorld, core: Core) -> MemHost {
        let clock = CoreClock::draw(&exec.fate, core.0);
        MemHost(Rc::new(Inner { exec, world, core, clock }))
    }

    /// The world that this core lives in: to change its faults while a run goes on.
    pub fn world(&self) -> MemWorld {
        self.0.world.clone()
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
        target: Target<'_>,
        base_nanos: u64,
        bytes: usize,
        effect: impl FnOnce(&mut Disk) -> T + 'static,
    ) -> OpWait<T> {
        let delay = self.disk().delay(target, base_nanos, bytes);
        let host = self.clone();
        self.0.exec.complete_after(delay, move || effect(&mut host.disk()))
    }

    /// There and back, for a connection.
    async fn reach(&self, address: SocketAddr) -> io::Result<End> {
        let exec = &self.0.exec;
        let there = self.net().delay();
        Sleep::new(exec.clone(), there).await;
        let luck = self.net().luck(address);
        let mishap = self.net().connect_mishap(luck);
        let end = match mishap {
            None => self.net().connect(address, luck),
            Some(ConnectMishap::Refused) => Err(io::ErrorKind::ConnectionRefused.into()),
            Some(ConnectMishap::Lost(wait)) => {
                Sleep::new(exec.clone(), wait.as_nanos() as u64).await;
                return Err(io::ErrorKind::TimedOut.into());
            }
        };
        let back = self.net().delay();
        Sleep::new(exec.clone(), back).await;
        end
    }

    fn name_op<T: 'static>(
        &self,
        what: &'static str,
        path: &Path,
        effect: impl FnOnce(&mut Disk, &Path) -> io::Result<T> + 'static,
    ) -> impl Future<Output = io::Result<T>> + 'static {
        let (host, path) = (self.clone(), path.to_owned());
        async move {
            host.0.exec.trace.bytes(What::Name, path.as_os_str().as_encoded_bytes());
            let target = path.clone();
            let wait = host.disk_op(Target::Path(&target), NAME_NANOS, 0, move |disk| effect(disk, &path));
            let result = wait.await;
            host.0.world.0.fate.tell(|| {
                let failed = result.as_ref().err().map(|e| format!(": {e}")).unwrap_or_default();
                format!("{what} {}{failed}", target.display())
            });
            result
        }
    }
}

/// How late a timer fires, in nanoseconds.
fn timer_lateness(fate: &Fate) -> u64 {
    let chance = fate.faults().clock.late_timer;
    if !fate.draws(Fault::LateTimer, chance) {
        return 0;
    }
    let nanos = fate.tail_nanos(Fault::LateTimer, fate.faults().clock.late_timer_most);
    fate.happened(Fault::LateTimer, nanos, || format!("{} ms late", nanos / 1_000_000));
    nanos
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
        Mono(self.0.clock.read(self.0.exec.now().0))
    }

    fn wall_ms(&self) -> i64 {
        self.0.world.0.wall.read(&self.0.exec.fate)
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
        let nanos = self.0.clock.simulated(wait.as_nanos().min(u128::from(u64::MAX)) as u64);
        let nanos = nanos.saturating_add(timer_lateness(&self.0.exec.fate));
        Sleep::new(self.0.exec.clone(), nanos)
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
        half.connect(self.0.exec.clone())
    }

    fn receiver<T: Send + 'static>(
        &self,
        half: MemRxHalf<T>,
    ) -> impl Future<Output = MemReceiver<T>> + 'static {
        half.connect(self.0.exec.clone())
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
        let open = self.name_op("open", path, move |disk, path| disk.open(path, access));
        async move { Ok(MemFile::new(host, open.await?, access)) }
    }

    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.name_op("create directory", path, |disk, path| disk.tree().create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.name_op("flush directory", path, Disk::sync_dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        let to = to.to_owned();
        self.name_op("rename", from, move |disk, from| disk.tree().rename(from, &to))
    }

    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.name_op("remove", path, |disk, path| disk.tree().remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.name_op("remove directory", path, |disk, path| disk.tree().remove_dir(path))
    }

    fn list_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<PathBuf>>> + 'static {
        self.name_op("list", path, |disk, path| disk.tree().list(path))
    }

    fn path_kind(&self, path: &Path) -> impl Future<Output = io::Result<PathKind>> + 'static {
        self.name_op("look at", path, |disk, path| disk.kind(path))
    }

    fn space(&self, path: &Path) -> impl Future<Output = io::Result<Space>> + 'static {
        self.name_op("space of", path, |disk, path| disk.tree().find(path).map(|_| ()).map(|()| disk.space()))
    }

    fn lock(&self, path: &Path) -> impl Future<Output = io::Result<Lock>> + 'static {
        let host = self.clone();
        let lock = self.name_op("lock", path, move |disk, path| {
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
            let end = host.reach(address).await;
            host.0.exec.fate.tell(|| match &end {
                Ok(end) => format!("connect to {address}: connection {}", end.luck().id),
                Err(e) => format!("connect to {address}: {e}"),
            });
            Ok(MemStream::new(host, end?))
        }
    }

    fn adopt(&self, parts: MemParts) -> io::Result<MemStream> {
        Ok(MemStream::new(self.clone(), parts.0))
    }
}
