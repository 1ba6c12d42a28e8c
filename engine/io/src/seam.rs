//! The nouns of the seam: machine, host, task, channel between cores, file, listener, stream. Completion-shaped:
//! a buffer goes into an operation and comes back with its result; dropping a wait never frees memory that the
//! kernel may still write, and never loses what the kernel already did. Nothing here is glommio's shape.

use bytes::{Bytes, BytesMut};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nanoseconds of a clock that only runs forward; comparable within one machine run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The time since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `wait` later.
    pub fn plus(self, wait: Duration) -> Mono {
        Mono(self.0.saturating_add(wait.as_nanos() as u64))
    }
}

/// Where a core's place in the machine is counted from 0. Not a CPU number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Core(pub usize);

/// Whether a write must be on stable storage when it completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// May be lost until the file's next completed [`File::sync_data`].
    Volatile,
    /// On stable storage when the operation completes. The host chooses how (O_DSYNC, RWF_DSYNC or
    /// write and flush); the file must have been opened with [`Access::durable`].
    Durable,
}

/// How a file is opened. Every file is direct: positions, lengths and buffers are whole blocks
/// ([`flumen_model::limits::BLOCK_BYTES`]), except that a read may end at the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Writes are allowed.
    pub write: bool,
    /// Creates the file when it is missing.
    pub create: bool,
    /// Fails with `AlreadyExists` when the file is there.
    pub create_new: bool,
    /// Writes with [`Durability::Durable`] are allowed.
    pub durable: bool,
}

impl Access {
    /// Reads an existing file.
    pub const READ: Access = Access { write: false, create: false, create_new: false, durable: false };
    /// Reads and writes, creating when missing.
    pub const WRITE: Access = Access { write: true, create: true, create_new: false, durable: false };
    /// Like [`Access::WRITE`], with durable writes.
    pub const DURABLE: Access = Access { write: true, create: true, create_new: false, durable: true };
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A regular file of this many bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// Free and total bytes of the filesystem under a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// A machine: makes the channels between cores, then runs one host on each core until all return.
pub trait Machine: Sized {
    /// What each core's future is handed.
    type Host: Host;

    /// A bounded channel between two cores, made before they start.
    fn channel<T: Send + 'static>(
        &mut self,
        capacity: usize,
    ) -> (<Self::Host as Host>::TxHalf<T>, <Self::Host as Host>::RxHalf<T>);

    /// Runs `mains.len()` cores, each with its own main future, and returns when all have returned. A panic on
    /// one core takes the process down (real hosts) or unwinds out of here (simulated ones).
    fn run<M, F>(self, mains: Vec<M>) -> io::Result<()>
    where
        M: FnOnce(Self::Host) -> F + Send + 'static,
        F: Future<Output = ()> + 'static;
}

/// One core's door to the machine. Cheap to clone; never leaves its core.
#[allow(clippy::module_name_repetitions)]
pub trait Host: Clone + 'static {
    /// A direct file.
    type File: File<Buf = Self::Buf>;
    /// An aligned buffer for file writes.
    type Buf: Buf;
    /// A listening socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// A connected stream socket.
    type Stream: Stream<Parts = Self::Parts>;
    /// A stream on its way to another core.
    type Parts: Send + 'static;
    /// A sender on its way to its core.
    type TxHalf<T: Send + 'static>: Send + 'static;
    /// A receiver on its way to its core.
    type RxHalf<T: Send + 'static>: Send + 'static;
    /// The sending end of a channel between cores.
    type Sender<T: Send + 'static>: Sender<T>;
    /// The receiving end of a channel between cores.
    type Receiver<T: Send + 'static>: Receiver<T>;

    /// Which core this is.
    fn core(&self) -> Core;

    /// The clock that only runs forward.
    fn now(&self) -> Mono;

    /// Wall-clock milliseconds since the Unix epoch; may jump.
    fn wall_ms(&self) -> i64;

    /// 64 bits of chance, from the seed when simulated.
    fn entropy(&self) -> u64;

    /// Starts a task on this core. It runs until it returns; nothing cancels it. Whoever needs its end awaits
    /// the returned future; dropping that only drops the wait.
    fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + 'static;

    /// Waits. Never early; late by the timer's slack.
    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + 'static;

    /// Lets other ready tasks and the reactor run once. For long loops: no slice over about 100 µs.
    fn yield_now(&self) -> impl Future<Output = ()> + 'static;

    /// Whether this core may spin; false on shared cores and in simulation.
    fn dedicated(&self) -> bool;

    /// Connects a sender to this core. Both halves must be connected for either to finish: do it from tasks of
    /// their own, or join them.
    fn sender<T: Send + 'static>(
        &self,
        half: Self::TxHalf<T>,
    ) -> impl Future<Output = Self::Sender<T>> + 'static;

    /// Connects a receiver to this core; see [`Host::sender`].
    fn receiver<T: Send + 'static>(
        &self,
        half: Self::RxHalf<T>,
    ) -> impl Future<Output = Self::Receiver<T>> + 'static;

    /// A zeroed aligned buffer of `len` bytes, a whole number of blocks.
    fn buf(&self, len: usize) -> Self::Buf;

    /// Like [`Host::buf`], with any bytes in it, so for whoever fills all of it: else what was in that memory
    /// before reaches the disk.
    fn buf_to_fill(&self, len: usize) -> Self::Buf;

    /// Opens a direct file.
    fn open(&self, path: &Path, access: Access) -> impl Future<Output = io::Result<Self::File>> + 'static;

    /// Creates a directory and its missing parents. Not durable before [`Host::sync_dir`] of each parent.
    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static;

    /// Makes a directory's entries durable (POSIX: creation, rename and unlink are not before this).
    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static;

    /// Renames within one filesystem; replaces a file at `to`.
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + 'static;

    /// Removes a file. Large files are shrunk first by the caller, in steps.
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + 'static;

    /// The entries of a directory, sorted by path.
    fn list_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<PathBuf>>> + 'static;

    /// What a path is, or `NotFound`.
    fn path_kind(&self, path: &Path) -> impl Future<Output = io::Result<PathKind>> + 'static;

    /// Free and total bytes under a directory.
    fn space(&self, path: &Path) -> impl Future<Output = io::Result<Space>> + 'static;

    /// Takes the exclusive lock of a file until the process ends or the guard drops; `WouldBlock` when another
    /// process has it.
    fn lock(&self, path: &Path) -> impl Future<Output = io::Result<Lock>> + 'static;

    /// Listens. Refuses an address in use (no port is ever shared silently); backlog 4,096.
    fn listen(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + 'static;

    /// Connects, with Nagle's algorithm off.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + 'static;

    /// Takes over a stream that another core gave up with [`Stream::detach`].
    fn adopt(&self, parts: Self::Parts) -> io::Result<Self::Stream>;
}

/// Keeps a lock; the lock goes with it.
pub struct Lock(#[allow(dead_code)] pub(crate) Box<dyn std::any::Any>);

/// An aligned buffer for file writes, filled by the caller and moved into the write.
pub trait Buf: 'static {
    /// The bytes.
    fn bytes(&self) -> &[u8];
    /// The bytes, to fill.
    fn bytes_mut(&mut self) -> &mut [u8];
}

/// A direct file. Clones share the descriptor; it is closed with the last clone, after the last operation.
pub trait File: Clone + 'static {
    /// The aligned buffer of the host.
    type Buf: Buf;

    /// Writes the whole buffer at a block position, or fails; what a failed or dropped write did is unknown.
    /// The buffer comes back. A short write is completed or reported, never ignored.
    fn write_at(
        &self,
        buf: Self::Buf,
        position: u64,
        durability: Durability,
    ) -> impl Future<Output = (io::Result<()>, Self::Buf)> + 'static;

    /// Reads up to `len` bytes from a block position; fewer only at the end of the file.
    fn read_at(&self, position: u64, len: usize) -> impl Future<Output = io::Result<Bytes>> + 'static;

    /// Makes every write durable that *completed* before this call (fdatasync). Not those in flight.
    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + 'static;

    /// Reserves space for `[position, position + len)`, growing the size; contents read as zeros.
    fn allocate(&self, position: u64, len: u64) -> impl Future<Output = io::Result<()>> + 'static;

    /// Sets the size, cutting or extending with zeros.
    fn truncate(&self, len: u64) -> impl Future<Output = io::Result<()>> + 'static;

    /// The size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// A listening socket. Accepts in one loop that is never dropped half-way; dropping the listener ends it.
pub trait Listener: 'static {
    /// What it accepts.
    type Stream;

    /// The next connection, with Nagle's algorithm off. Cancel-safe: no accepted connection is lost.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;

    /// The bound address, with the real port.
    fn local_addr(&self) -> SocketAddr;

    /// Makes the pending and every later `accept` fail, and frees the port.
    fn close(&self);
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This many bytes were added behind the buffer's length.
    Bytes(usize),
    /// The peer has shut down its sending side.
    End,
}

/// A connected stream. One task may read while another writes; two reads or two writes at once are a bug.
pub trait Stream: Sized + 'static {
    /// The stream on its way to another core.
    type Parts: Send + 'static;

    /// Appends what arrives to `buf`, at most up to its capacity (the caller reserves; spare capacity of zero is
    /// a bug). The buffer comes back. Cancel-safe: bytes that a dropped read took from the kernel are handed to
    /// the next read. A dropped read takes its buffer along, with what was in it before.
    fn read(&self, buf: BytesMut) -> impl Future<Output = (io::Result<Read>, BytesMut)>;

    /// Writes all the slices in order, without gathering them into one buffer, or fails. The vector comes back
    /// emptied, to be used again. Not cancel-safe: a dropped write leaves the stream closed.
    fn write(&self, slices: Vec<Bytes>) -> impl Future<Output = (io::Result<()>, Vec<Bytes>)>;

    /// Ends one or both directions; wakes waiting operations.
    fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()>;

    /// The other end.
    fn peer_addr(&self) -> SocketAddr;

    /// Gives the stream up, to be adopted by another core. No operation may be in flight; bytes already read
    /// travel beside it.
    fn detach(self) -> Self::Parts;
}

/// The sending end of a channel between cores.
pub trait Sender<T>: Clone + 'static {
    /// Sends now, or gives the value back when the channel is full or the receiver is gone.
    fn try_send(&self, value: T) -> Result<(), TrySend<T>>;

    /// Sends, waiting for room; gives the value back when the receiver is gone.
    fn send(&self, value: T) -> impl Future<Output = Result<(), T>>;
}

/// Why a value was not sent.
#[derive(Debug, PartialEq, Eq)]
pub enum TrySend<T> {
    /// No room now.
    Full(T),
    /// The receiver is gone.
    Gone(T),
}

/// The receiving end of a channel between cores.
pub trait Receiver<T>: 'static {
    /// The next value, in order; `None` when every sender is gone and all was taken.
    fn recv(&self) -> impl Future<Output = Option<T>>;
}
