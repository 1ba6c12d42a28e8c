//! One core's door to the real machine. Operations that must not break off in the middle run as tasks of their
//! own, and their callers only wait; the core ends when the last of them has ended.

use super::blocking::{self, blocking};
use super::channel::{GlommioReceiver, GlommioRxHalf, GlommioSender, GlommioTxHalf};
use super::file::{self, GlommioBuf, GlommioFile};
use super::listener::GlommioListener;
use super::machine::{DsyncMethod, GlommioConfig};
use super::pool::Pool;
use super::probe;
use super::stream::{GlommioParts, GlommioStream};
use crate::local::Notify;
use crate::seam::{Access, Buf, Core, Host, Lock, Mono, PathKind, Space};
use flumen_model::limits::BLOCK_BYTES;
use glommio::timer::Timer;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A timer that is never meant to fire.
const FAR: Duration = Duration::from_secs(3600);

struct Inner {
    core: Core,
    dedicated: bool,
    dsync: DsyncMethod,
    own_tasks: Cell<usize>,
    own_task_ended: Notify,
    pool: Rc<Pool>,
}

/// The host of a real core.
#[derive(Clone)]
pub struct GlommioHost(Rc<Inner>);

impl GlommioHost {
    pub(super) fn new(core: Core, config: &GlommioConfig) -> GlommioHost {
        GlommioHost(Rc::new(Inner {
            core,
            dedicated: !config.spin.is_zero(),
            dsync: config.dsync,
            own_tasks: Cell::new(0),
            own_task_ended: Notify::new(),
            pool: Rc::default(),
        }))
    }

    pub(super) fn dsync(&self) -> DsyncMethod {
        self.0.dsync
    }

    /// Runs an operation to its end, whoever waits.
    pub(super) fn own_task<T: 'static>(
        &self,
        operation: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        let inner = Rc::clone(&self.0);
        inner.own_tasks.set(inner.own_tasks.get() + 1);
        spawn(async move {
            let value = operation.await;
            inner.own_tasks.set(inner.own_tasks.get() - 1);
            inner.own_task_ended.notify_all();
            value
        })
    }

    /// A blocking call in a task of its own.
    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + 'static {
        let host = self.clone();
        async move { host.own_task(blocking(call)).await }
    }

    /// Waits until every operation has ended: the executor's memory is theirs until then.
    pub(super) async fn drain(&self) {
        while self.0.own_tasks.get() > 0 {
            self.0.own_task_ended.notified().await;
        }
    }
}

/// Starts a task, never on the caller's stack: `spawn_local` would run it at once, inside the caller's borrows.
fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
    let queue = glommio::executor().current_task_queue();
    let task = glommio::spawn_local_into(future, queue).expect("the queue of a running task exists").detach();
    async move { task.await.expect("nothing cancels a task") }
}

/// Yields through the reactor: glommio's own yield only goes to the end of the queue, and with the preempt timer
/// out of reach two yielding loops would keep the reactor out for ever. A timer that is over before it was
/// waited for does not wait at all; so it is begun far and then drawn near.
pub(super) fn yield_to_reactor() -> impl Future<Output = ()> + 'static {
    let mut timer: Option<Timer> = None;
    poll_fn(move |cx| {
        if let Some(timer) = &mut timer {
            return Pin::new(timer).poll(cx).map(|_| ());
        }
        let mut far = Timer::new(FAR);
        let waits = Pin::new(&mut far).poll(cx).is_pending();
        assert!(waits, "an hour is not over at once");
        far.reset(Duration::ZERO);
        timer = Some(far);
        Poll::Pending
    })
}

/// The moment that [`Mono`] counts from; one for all cores.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

impl Host for GlommioHost {
    type File = GlommioFile;
    type Buf = GlommioBuf;
    type Listener = GlommioListener;
    type Stream = GlommioStream;
    type Parts = GlommioParts;
    type TxHalf<T: Send + 'static> = GlommioTxHalf<T>;
    type RxHalf<T: Send + 'static> = GlommioRxHalf<T>;
    type Sender<T: Send + 'static> = GlommioSender<T>;
    type Receiver<T: Send + 'static> = GlommioReceiver<T>;

    fn core(&self) -> Core {
        self.0.core
    }

    fn now(&self) -> Mono {
        Mono(epoch().elapsed().as_nanos() as u64)
    }

    fn wall_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        }
    }

    fn entropy(&self) -> u64 {
        let mut bits = [0; 8];
        // SAFETY: the pointer and length are those of `bits`. Up to 256 bytes come whole, without an error.
        let got = unsafe { libc::getrandom(bits.as_mut_ptr().cast(), bits.len(), 0) };
        assert_eq!(got, bits.len() as isize, "the kernel gives random bytes");
        u64::from_le_bytes(bits)
    }

    fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        spawn(future)
    }

    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + 'static {
        let timer = Timer::new(wait);
        async move {
            timer.await;
        }
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        yield_to_reactor()
    }

    fn dedicated(&self) -> bool {
        self.0.dedicated
    }

    fn sender<T: Send + 'static>(
        &self,
        half: GlommioTxHalf<T>,
    ) -> impl Future<Output = GlommioSender<T>> + 'static {
        half.connect()
    }

    fn receiver<T: Send + 'static>(
        &self,
        half: GlommioRxHalf<T>,
    ) -> impl Future<Output = GlommioReceiver<T>> + 'static {
        half.connect()
    }

    fn buf(&self, len: usize) -> GlommioBuf {
        let mut buf = self.buf_to_fill(len);
        buf.bytes_mut().fill(0);
        buf
    }

    fn buf_to_fill(&self, len: usize) -> GlommioBuf {
        assert!(len > 0 && len.is_multiple_of(BLOCK_BYTES), "buffers are whole blocks, not {len} bytes");
        GlommioBuf::to_fill(&self.0.pool, len)
    }

    fn open(&self, path: &Path, access: Access) -> impl Future<Output = io::Result<GlommioFile>> + 'static {
        let (host, path) = (self.clone(), path.to_owned());
        async move {
            if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                probe::probe(directory.to_owned(), host.core()).await?;
            }
            // A descriptor that arrives when nobody waits any more must be closed by somebody.
            host.clone().own_task(file::open(host, path, access)).await
        }
    }

    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        let path = path.to_owned();
        self.call(move || std::fs::create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        let path = path.to_owned();
        self.call(move || blocking::sync_dir(&path))
    }

    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.call(move || std::fs::rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        let path = path.to_owned();
        self.call(move || std::fs::remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        let path = path.to_owned();
        self.call(move || std::fs::remove_dir(path))
    }

    fn list_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<PathBuf>>> + 'static {
        let path = path.to_owned();
        self.call(move || blocking::list_dir(&path))
    }

    fn path_kind(&self, path: &Path) -> impl Future<Output = io::Result<PathKind>> + 'static {
        let path = path.to_owned();
        self.call(move || blocking::path_kind(&path))
    }

    fn space(&self, path: &Path) -> impl Future<Output = io::Result<Space>> + 'static {
        let path = path.to_owned();
        self.call(move || blocking::space(&path))
    }

    fn lock(&self, path: &Path) -> impl Future<Output = io::Result<Lock>> + 'static {
        let path = path.to_owned();
        let lock = self.call(move || blocking::lock(&path));
        async move { Ok(Lock(Box::new(lock.await?))) }
    }

    fn listen(&self, address: SocketAddr) -> impl Future<Output = io::Result<GlommioListener>> + 'static {
        let host = self.clone();
        async move { GlommioListener::new(&host, address) }
    }

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<GlommioStream>> + 'static {
        GlommioStream::connect(address)
    }

    fn adopt(&self, parts: GlommioParts) -> io::Result<GlommioStream> {
        GlommioStream::adopt(parts)
    }
}
