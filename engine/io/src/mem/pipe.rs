//! One connection of the simulated network: two ordered byte pipes with bounded buffers. A pipe breaks bytes up
//! as it likes, never reorders them, and loses them only with the whole connection. What befalls a connection is
//! drawn elsewhere; here is what it does to both ends.

use super::net::Net;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};

/// What one direction of a connection holds before its writer waits.
const PIPE_BYTES: usize = 256 * 1024;
/// When something arrives that is held back.
const NEVER: u64 = u64::MAX;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct PipeState {
    chunks: VecDeque<(u64, Bytes)>,
    bytes: usize,
    last_arrival: u64,
    ended: bool,
    /// The reader wants no more: it is gone or has shut down.
    refused: bool,
    reset: bool,
    /// Brings nothing, neither bytes nor news, until it is mended.
    cut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A pipe that both ends hold. Streams travel between cores and must be `Send`, hence the lock, which is never
/// contended.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe(Arc<Mutex<PipeState>>);

/// A pipe that is cut, as long as somebody holds it.
#[derive(Debug)]
pub(super) struct CutPipe(Weak<Mutex<PipeState>>);

impl CutPipe {
    /// Ends the cut: what was held back arrives.
    pub(super) fn mend(&self) {
        let Some(pipe) = self.0.upgrade().map(Pipe) else { return };
        pipe.set(|state| {
            state.cut = false;
            for (arrives, _) in state.chunks.iter_mut().filter(|(arrives, _)| *arrives == NEVER) {
                *arrives = 0;
            }
            if state.last_arrival == NEVER {
                state.last_arrival = 0;
            }
        });
    }
}

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

    fn is_cut(&self) -> bool {
        self.state().cut
    }

    fn cut(&self) -> CutPipe {
        self.state().cut = true;
        CutPipe(Arc::downgrade(&self.0))
    }

    /// Both ends learn of it, and what was on its way is lost.
    fn reset(&self) {
        self.set(|state| {
            state.reset = true;
            state.bytes = 0;
            state.chunks.clear();
        });
    }

    fn room(&self) -> usize {
        PIPE_BYTES - self.state().bytes
    }
}

/// Which connection this is, and how lucky.
#[derive(Clone, Copy, Debug)]
pub(super) struct Luck {
    /// Counted from the first of the run.
    pub(super) id: u64,
    /// Of a million; the connections that can be hit are those with the lowest.
    pub(super) draw: u32,
    /// The server's port.
    pub(super) port: u16,
}

/// What a write got rid of: how many bytes, and when they arrive, if they do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) bytes: usize,
    pub(super) arrives: Option<u64>,
}

/// What the network does to a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It takes so many nanoseconds longer.
    Stall(u64),
    /// Both ends are reset.
    Reset,
    /// The direction ends behind it.
    HalfClose,
    /// The direction brings nothing any more.
    Cut,
    /// Neither direction brings anything any more.
    CutBoth,
}

/// One end of a connection. Dropping it closes it as the kernel does: unread bytes reset the connection, else
/// the peer reads what was sent and then the end.
#[derive(Debug)]
pub(super) struct End {
    tx: Pipe,
    rx: Pipe,
    peer: SocketAddr,
    luck: Luck,
}

impl End {
    /// Both ends of a new connection, the client's first.
    pub(super) fn pair(client: SocketAddr, server: SocketAddr, luck: Luck) -> (End, End) {
        let (up, down) = (Pipe::default(), Pipe::default());
        let near = End { tx: up.clone(), rx: down.clone(), peer: server, luck };
        (near, End { tx: down, rx: up, peer: client, luck })
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn luck(&self) -> Luck {
        self.luck
    }

    /// Whether a direction is cut already: nothing worse can come.
    pub(super) fn is_cut(&self) -> bool {
        self.tx.is_cut() || self.rx.is_cut()
    }

    /// Why nothing can be sent. What the peer did is not known here while nothing comes from it.
    fn cannot_send(&self) -> Option<io::Error> {
        let is_deaf = self.rx.is_cut();
        let pipe = self.tx.state();
        if pipe.reset && !is_deaf {
            return Some(io::ErrorKind::ConnectionReset.into());
        }
        let is_over = pipe.ended || (pipe.refused && !is_deaf);
        is_over.then(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Sends some of `chunk`, or waits for room.
    pub(super) fn poll_send(
        &self,
        net: &mut Net,
        now: u64,
        chunk: &Bytes,
        cx: &Context<'_>,
    ) -> Poll<io::Result<Sent>> {
        if let Some(e) = self.cannot_send() {
            return Poll::Ready(Err(e));
        }
        let bytes = chunk.len().min(self.tx.room());
        if bytes == 0 && !chunk.is_empty() {
            self.tx.state().writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (mut late, mut ends) = (0, false);
        match net.mishap(self) {
            Some((_, Mishap::Reset)) => {
                self.tx.reset();
                self.rx.reset();
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Some((fault, Mishap::Cut)) => net.was_cut(fault, self.tx.cut()),
            Some((fault, Mishap::CutBoth)) => {
                net.was_cut(fault, self.tx.cut());
                net.was_cut(fault, self.rx.cut());
            }
            Some((_, Mishap::Stall(nanos))) => late = nanos,
            Some((_, Mishap::HalfClose)) => ends = true,
            None => {}
        }
        let arrives = self.push(chunk.slice(..bytes), now.saturating_add(net.delay() + late));
        self.tx.state().ended |= ends;
        Poll::Ready(Ok(Sent { bytes, arrives: (arrives != NEVER).then_some(arrives) }))
    }

    /// Puts bytes on their way; gives the moment when they arrive.
    fn push(&self, bytes: Bytes, earliest: u64) -> u64 {
        let mut pipe = self.tx.state();
        let arrives = if pipe.cut { NEVER } else { pipe.last_arrival.max(earliest) };
        pipe.last_arrival = arrives;
        pipe.bytes += bytes.len();
        pipe.chunks.push_back((arrives, bytes));
        arrives
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
        if pipe.reset && !pipe.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.refused {
            return Poll::Ready(Ok(0));
        }
        let arrived: usize =
            pipe.chunks.iter().take_while(|(at, _)| *at <= now).map(|(_, bytes)| bytes.len()).sum();
        if arrived == 0 {
            if pipe.ended && !pipe.cut && pipe.chunks.is_empty() {
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

    pub(super) fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Read {
            self.tx.set(|pipe| pipe.ended = true);
        }
        if how != Shutdown::Write {
            self.rx.set(|pipe| pipe.refused = true);
        }
    }
}

/// Moves `wanted` bytes that are there to the reader.
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
