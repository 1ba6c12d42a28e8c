//! A host that behaves like the simulated one and remembers which blocks were written, so that tests can say that
//! no block is ever written twice.

use flumen_io::mem::{
    MemBuf, MemFile, MemHost, MemListener, MemParts, MemReceiver, MemRxHalf, MemSender, MemStream, MemTxHalf,
};
use flumen_io::{Access, Buf, Core, Durability, File, Host, Lock, Mono, PathKind, Space};
use flumen_model::limits::BLOCK_BYTES;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Blocks by file and position, with what was written into them first.
pub(super) type Written = Rc<RefCell<BTreeMap<(PathBuf, u64), Vec<u8>>>>;

/// Files and the position below which a checkpoint forbids every write.
pub(super) type Protected = Rc<RefCell<BTreeMap<PathBuf, u64>>>;

/// The simulated host, watched.
#[derive(Clone)]
pub(super) struct Recorder {
    inner: MemHost,
    written: Written,
    protected: Protected,
}

impl Recorder {
    pub(super) fn new(inner: MemHost) -> Recorder {
        Recorder { inner, written: Written::default(), protected: Protected::default() }
    }

    /// From now on no byte below `end` of a file may be written.
    pub(super) fn protect(&self, path: PathBuf, end: u64) {
        self.protected.borrow_mut().insert(path, end);
    }
}

/// A file, watched.
#[derive(Clone)]
pub(super) struct RecordedFile {
    inner: MemFile,
    path: PathBuf,
    written: Written,
    protected: Protected,
}

impl File for RecordedFile {
    type Buf = MemBuf;

    fn write_at(
        &self,
        buf: MemBuf,
        position: u64,
        durability: Durability,
    ) -> impl Future<Output = (io::Result<()>, MemBuf)> + 'static {
        let protected = self.protected.borrow().get(&self.path).copied().unwrap_or(0);
        assert!(position >= protected, "{} at {position} is checkpointed", self.path.display());
        for (i, block) in buf.bytes().chunks(BLOCK_BYTES).enumerate() {
            let key = (self.path.clone(), position + (i * BLOCK_BYTES) as u64);
            let before = self.written.borrow_mut().insert(key.clone(), block.to_vec());
            assert!(before.is_none(), "{} at {} is written twice", key.0.display(), key.1);
        }
        self.inner.write_at(buf, position, durability)
    }

    fn read_at(&self, position: u64, len: usize) -> impl Future<Output = io::Result<bytes::Bytes>> + 'static {
        self.inner.read_at(position, len)
    }

    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.sync_data()
    }

    fn allocate(&self, position: u64, len: u64) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.allocate(position, len)
    }

    fn truncate(&self, len: u64) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.truncate(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}

impl Host for Recorder {
    type File = RecordedFile;
    type Buf = MemBuf;
    type Listener = MemListener;
    type Stream = MemStream;
    type Parts = MemParts;
    type TxHalf<T: Send + 'static> = MemTxHalf<T>;
    type RxHalf<T: Send + 'static> = MemRxHalf<T>;
    type Sender<T: Send + 'static> = MemSender<T>;
    type Receiver<T: Send + 'static> = MemReceiver<T>;

    fn open(&self, path: &Path, access: Access) -> impl Future<Output = io::Result<RecordedFile>> + 'static {
        let (open, path) = (self.inner.open(path, access), path.to_owned());
        let (written, protected) = (self.written.clone(), self.protected.clone());
        async move { open.await.map(|inner| RecordedFile { inner, path, written, protected }) }
    }

    fn core(&self) -> Core {
        self.inner.core()
    }
    fn now(&self) -> Mono {
        self.inner.now()
    }
    fn wall_ms(&self) -> i64 {
        self.inner.wall_ms()
    }
    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }
    fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static {
        self.inner.spawn(future)
    }
    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + 'static {
        self.inner.sleep(wait)
    }
    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        self.inner.yield_now()
    }
    fn dedicated(&self) -> bool {
        self.inner.dedicated()
    }
    fn sender<T: Send + 'static>(&self, half: MemTxHalf<T>) -> impl Future<Output = MemSender<T>> + 'static {
        self.inner.sender(half)
    }
    fn receiver<T: Send + 'static>(
        &self,
        half: MemRxHalf<T>,
    ) -> impl Future<Output = MemReceiver<T>> + 'static {
        self.inner.receiver(half)
    }
    fn buf(&self, len: usize) -> MemBuf {
        self.inner.buf(len)
    }
    fn buf_to_fill(&self, len: usize) -> MemBuf {
        self.inner.buf_to_fill(len)
    }
    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.sync_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.remove_dir(path)
    }
    fn list_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<PathBuf>>> + 'static {
        self.inner.list_dir(path)
    }
    fn path_kind(&self, path: &Path) -> impl Future<Output = io::Result<PathKind>> + 'static {
        self.inner.path_kind(path)
    }
    fn space(&self, path: &Path) -> impl Future<Output = io::Result<Space>> + 'static {
        self.inner.space(path)
    }
    fn lock(&self, path: &Path) -> impl Future<Output = io::Result<Lock>> + 'static {
        self.inner.lock(path)
    }
    fn listen(&self, address: SocketAddr) -> impl Future<Output = io::Result<MemListener>> + 'static {
        self.inner.listen(address)
    }
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<MemStream>> + 'static {
        self.inner.connect(address)
    }
    fn adopt(&self, parts: MemParts) -> io::Result<MemStream> {
        self.inner.adopt(parts)
    }
}
