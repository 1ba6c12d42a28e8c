//! The simulated network: ordered byte pipes with bounded buffers and delays, and the addresses that somebody
//! listens on. A pipe breaks bytes up as it likes, never reorders or loses them; faults would be added here.

use super::rng::Rng;
use crate::local::LocalQueue;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// What one direction of a connection holds before its writer waits.
const PIPE_BYTES: usize = 256 * 1024;
/// Connections that wait to be accepted, like the real host's backlog.
const BACKLOG: usize = 4096;
const FIRST_EPHEMERAL_PORT: u16 = 32_768;
/// How long bytes travel, in nanoseconds.
const DELAY_NANOS: (u64, u64) = (10_000, 60_000);

/// One direction of a connection.
#[derive(Debug, Default)]
struct PipeState {
    chunks: VecDeque<(u64, Bytes)>,
    bytes: usize,
    last_arrival: u64,
    ended: bool,
    /// The reader wants no more: it is gone or has shut down.
    refused: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A pipe that both ends hold. Streams travel between cores and must be `Send`, hence the lock, which is never
/// contended.
#[derive(Clone, Debug, Default)]
struct Pipe(Arc<Mutex<PipeState>>);

impl Pipe {
    fn state(&self) -> MutexGuard<'_, PipeState> {
        self.0.lock().expect("nobody panics under this lock")
    }

    fn wake_both(&self) {
        let (reader, writer) = {
            let mut state = self.state();
            (state.reader.take(), state.writer.take())
        };
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    fn set(&self, change: impl FnOnce(&mut PipeState)) {
        change(&mut self.state());
        self.wake_both();
    }
}

/// What a write got rid of: how many bytes, and when they arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) bytes: usize,
    pub(super) arrives: u64,
}

/// One end of a connection. Dropping it closes it as the kernel does: unread bytes reset the connection, else
/// the peer reads what was sent and then the end.
#[derive(Debug)]
pub(super) struct End {
    tx: Pipe,
    rx: Pipe,
    peer: SocketAddr,
}

impl End {
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends some of `chunk`, or waits for room.
    pub(super) fn poll_send(
        &self,
        net: &mut Net,
        now: u64,
        chunk: &Bytes,
        cx: &Context<'_>,
    ) -> Poll<io::Result<Sent>> {
        let mut pipe = self.tx.state();
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.ended || pipe.refused {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = chunk.len().min(PIPE_BYTES - pipe.bytes);
        if bytes == 0 && !chunk.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let arrives = pipe.last_arrival.max(now + net.delay());
        pipe.last_arrival = arrives;
        pipe.bytes += bytes;
        pipe.chunks.push_back((arrives, chunk.slice(..bytes)));
        Poll::Ready(Ok(Sent { bytes, arrives }))
    }

    /// Called when bytes arrive.
    pub(super) fn reader_wake(&self) -> impl FnOnce() + 'static {
        let pipe = self.tx.clone();
        move || {
            let waker = pipe.state().reader.take();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Appends what has arrived to `buf`, at most up to its capacity; 0 is the end.
    pub(super) fn poll_receive(
        &self,
        net: &mut Net,
        now: u64,
        buf: &mut BytesMut,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.rx.state();
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.refused {
            return Poll::Ready(Ok(0));
        }
        let arrived: usize =
            pipe.chunks.iter().take_while(|(at, _)| *at <= now).map(|(_, bytes)| bytes.len()).sum();
        if arrived == 0 {
            if pipe.ended && pipe.chunks.is_empty() {
                return Poll::Ready(Ok(0));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let wanted = net.fragment(arrived.min(buf.capacity() - buf.len()));
        take(&mut pipe, wanted, buf);
        let writer = pipe.writer.take();
        drop(pipe);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(wanted))
    }

    pub(super) fn shutdown(&self, how: std::net::Shutdown) {
        if how != std::net::Shutdown::Read {
            self.tx.set(|pipe| pipe.ended = true);
        }
        if how != std::net::Shutdown::Write {
            self.rx.set(|pipe| pipe.refused = true);
        }
    }
}

fn take(pipe: &mut PipeState, wanted: usize, buf: &mut BytesMut) {
    let mut left = wanted;
    while left > 0 {
        let (_, chunk) = pipe.chunks.front_mut().expect("counted before");
        let part = chunk.split_to(left.min(chunk.len()));
        buf.extend_from_slice(&part);
        left -= part.len();
        if chunk.is_empty() {
            pipe.chunks.pop_front();
        }
    }
    pipe.bytes -= wanted;
}

impl Drop for End {
    fn drop(&mut self) {
        let unread = self.rx.state().bytes > 0;
        self.rx.set(|pipe| {
            pipe.refused = true;
            pipe.reset |= unread;
        });
        self.tx.set(|pipe| {
            pipe.ended = true;
            pipe.reset |= unread;
        });
    }
}

fn pair(client: SocketAddr, server: SocketAddr) -> (End, End) {
    let (up, down) = (Pipe::default(), Pipe::default());
    let near = End { tx: up.clone(), rx: down.clone(), peer: server };
    (near, End { tx: down, rx: up, peer: client })
}

/// All that machines share on the wire.
#[derive(Debug)]
pub(super) struct Net {
    rng: Rng,
    listeners: BTreeMap<SocketAddr, LocalQueue<End>>,
    next_port: u16,
}

impl Net {
    pub(super) fn new(rng: Rng) -> Net {
        Net { rng, listeners: BTreeMap::new(), next_port: FIRST_EPHEMERAL_PORT }
    }

    pub(super) fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }

    /// How long something travels, in nanoseconds.
    pub(super) fn delay(&mut self) -> u64 {
        self.rng.between(DELAY_NANOS.0, DELAY_NANOS.1)
    }

    /// How much of what is there a read brings: often all, sometimes less, at times a single byte.
    fn fragment(&mut self, there: usize) -> usize {
        match self.rng.below(8) {
            0 => 1,
            1 | 2 => self.rng.between(1, there as u64) as usize,
            _ => there,
        }
    }

    fn ephemeral_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        port
    }

    /// Begins to listen; port 0 asks for a free one. Gives the address and the queue of connections.
    pub(super) fn listen(&mut self, mut address: SocketAddr) -> io::Result<(SocketAddr, LocalQueue<End>)> {
        if address.port() == 0 {
            address.set_port(self.ephemeral_port());
        }
        let overlaps = |other: &SocketAddr| {
            other.port() == address.port()
                && (other.ip() == address.ip()
                    || other.ip().is_unspecified()
                    || address.ip().is_unspecified())
        };
        if self.listeners.keys().any(overlaps) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let queue = LocalQueue::bounded(BACKLOG);
        self.listeners.insert(address, queue.clone());
        Ok((address, queue))
    }

    /// Stops listening; connections that nobody accepted are reset.
    pub(super) fn unlisten(&mut self, address: SocketAddr) -> Vec<End> {
        let Some(queue) = self.listeners.remove(&address) else { return Vec::new() };
        queue.close();
        std::iter::from_fn(|| queue.try_pop()).collect()
    }

    /// Connects, or is refused. The connection stands before it is accepted.
    pub(super) fn connect(&mut self, server: SocketAddr) -> io::Result<End> {
        let port = self.ephemeral_port();
        let answers = |address: &&SocketAddr| {
            address.port() == server.port() && (address.ip() == server.ip() || address.ip().is_unspecified())
        };
        let address = self.listeners.keys().find(answers).copied().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = pair(SocketAddr::new(server.ip(), port), server);
        match self.listeners[&address].try_push(far) {
            Ok(()) => Ok(near),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// The process is gone: nobody listens any more.
    pub(super) fn process_gone(&mut self) {
        for address in self.listeners.keys().copied().collect::<Vec<_>>() {
            drop(self.unlisten(address));
        }
    }
}
