//! Connected sockets. The kernel is tried first, without waiting; glommio only says when to try again. One task
//! reads while another writes: no borrow outlives a poll.

use super::host::yield_to_reactor;
use super::io_error;
use crate::check;
use crate::seam::{Read, Stream};
use bytes::{Buf, Bytes, BytesMut};
use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::{AcceptedTcpStream, TcpStream};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a read asks for at first, into zeroed memory: most requests fit, and zeroing it costs tens of
/// nanoseconds. The rest comes by a second call, into memory as it is.
const FIRST_READ_BYTES: usize = 4096;
/// Slices that one system call sends.
const SLICES_PER_CALL: usize = 64;
/// Bytes that are sent before other tasks have a turn: about 50 µs of copying.
const BYTES_PER_TURN: usize = 256 * 1024;

/// A connected stream.
pub struct GlommioStream {
    socket: RefCell<TcpStream>,
    peer: SocketAddr,
    reading: Cell<bool>,
    writing: Cell<bool>,
    /// An error that came behind bytes; the kernel tells it only once.
    read_error: Cell<Option<io::Error>>,
}

/// A stream on its way to another core, or why there was no descriptor for the journey.
pub struct GlommioParts {
    socket: io::Result<OwnedFd>,
    peer: SocketAddr,
}

impl GlommioStream {
    pub(super) fn new(socket: TcpStream, peer: SocketAddr) -> GlommioStream {
        GlommioStream {
            socket: RefCell::new(socket),
            peer,
            reading: Cell::new(false),
            writing: Cell::new(false),
            read_error: Cell::new(None),
        }
    }

    pub(super) async fn connect(address: SocketAddr) -> io::Result<GlommioStream> {
        let socket = TcpStream::connect(address).await.map_err(io_error)?;
        socket.set_nodelay(true).map_err(io_error)?;
        Ok(GlommioStream::new(socket, address))
    }

    pub(super) fn accepted(connection: AcceptedTcpStream) -> io::Result<GlommioStream> {
        // First of all: the accepted descriptor belongs to nobody before this.
        let socket = connection.bind_to_executor();
        set_cloexec(socket.as_raw_fd())?;
        socket.set_nodelay(true).map_err(io_error)?;
        let peer = socket.peer_addr().map_err(io_error)?;
        Ok(GlommioStream::new(socket, peer))
    }

    pub(super) fn adopt(parts: GlommioParts) -> io::Result<GlommioStream> {
        // SAFETY: the descriptor is a connected socket that nobody else owns any more.
        let socket = unsafe { TcpStream::from_raw_fd(parts.socket?.into_raw_fd()) };
        Ok(GlommioStream::new(socket, parts.peer))
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.borrow().as_raw_fd()
    }

    fn poll_read(&self, buf: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<Read>> {
        if let Some(e) = self.read_error.take() {
            return Poll::Ready(Err(e));
        }
        let before = buf.len();
        let room = buf.capacity() - before;
        let first = room.min(FIRST_READ_BYTES);
        buf.resize(before + first, 0);
        let polled = Pin::new(&mut *self.socket.borrow_mut()).poll_read(cx, &mut buf[before..]);
        let got = match &polled {
            Poll::Ready(Ok(bytes)) => *bytes,
            _ => 0,
        };
        buf.truncate(before + got);
        if got == first && room > first {
            self.read_rest(buf);
        }
        polled.map_ok(|bytes| if bytes == 0 { Read::End } else { Read::Bytes(buf.len() - before) })
    }

    /// Fills the room that is left with what is there, without waiting.
    fn read_rest(&self, buf: &mut BytesMut) {
        let room = buf.spare_capacity_mut();
        // SAFETY: the pointer and the length are those of the spare capacity, which the kernel only writes to.
        let got = unsafe { libc::recv(self.fd(), room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT) };
        match usize::try_from(got) {
            // SAFETY: the kernel has written these bytes, and they are within the spare capacity.
            Ok(bytes) => unsafe { buf.set_len(buf.len() + bytes) },
            Err(_) => {
                let e = io::Error::last_os_error();
                if !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                    self.read_error.set(Some(e));
                }
            }
        }
    }

    async fn write_all(&self, slices: &mut [Bytes]) -> io::Result<()> {
        let mut rest = slices;
        let mut turn = 0;
        loop {
            rest = skip_empty(rest);
            if rest.is_empty() {
                return Ok(());
            }
            let sent = match send(self.fd(), rest) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    turn = 0;
                    poll_fn(|cx| Pin::new(&mut *self.socket.borrow_mut()).poll_write(cx, &rest[0])).await?
                }
                sent => sent?,
            };
            advance(rest, sent);
            turn += sent;
            if turn >= BYTES_PER_TURN {
                turn = 0;
                yield_to_reactor().await;
            }
        }
    }
}

fn skip_empty(slices: &mut [Bytes]) -> &mut [Bytes] {
    let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(slices.len());
    &mut slices[first..]
}

fn advance(slices: &mut [Bytes], mut sent: usize) {
    for slice in slices {
        let part = sent.min(slice.len());
        slice.advance(part);
        sent -= part;
        if sent == 0 {
            return;
        }
    }
}

/// Sends what the kernel takes now of the first slices.
fn send(fd: RawFd, slices: &[Bytes]) -> io::Result<usize> {
    let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; SLICES_PER_CALL];
    let mut count = 0;
    let mut bytes = 0;
    for (vector, slice) in vectors.iter_mut().zip(slices) {
        let len = slice.len().min(BYTES_PER_TURN - bytes);
        *vector = libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: len };
        count += 1;
        bytes += len;
        if bytes == BYTES_PER_TURN {
            break;
        }
    }
    // SAFETY: all zeros is a valid, empty message header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = count;
    // SAFETY: the header points to `count` vectors, each within a slice that lives through the call; the kernel
    // only reads from them.
    let sent = unsafe { libc::sendmsg(fd, &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn set_cloexec(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes no pointers; the descriptor is the caller's.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

impl Stream for GlommioStream {
    type Parts = GlommioParts;

    async fn read(&self, mut buf: BytesMut) -> (io::Result<Read>, BytesMut) {
        assert!(buf.capacity() > buf.len(), "a read needs room: reserve before it");
        let _only = check::Only::one(&self.reading, "two reads at once on one stream");
        let read = poll_fn(|cx| self.poll_read(&mut buf, cx)).await;
        (read, buf)
    }

    async fn write(&self, mut slices: Vec<Bytes>) -> (io::Result<()>, Vec<Bytes>) {
        let _only = check::Only::one(&self.writing, "two writes at once on one stream");
        let unfinished = check::OnDrop::new(|| {
            let _ = self.shutdown(Shutdown::Both);
        });
        let result = self.write_all(&mut slices).await;
        unfinished.forget();
        slices.clear();
        (result, slices)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => libc::SHUT_RD,
            Shutdown::Write => libc::SHUT_WR,
            Shutdown::Both => libc::SHUT_RDWR,
        };
        // SAFETY: takes no pointers; the descriptor is ours.
        if unsafe { libc::shutdown(self.fd(), how) } == 0 {
            return Ok(());
        }
        let e = io::Error::last_os_error();
        // The peer was faster.
        if e.kind() == io::ErrorKind::NotConnected { Ok(()) } else { Err(e) }
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn detach(self) -> GlommioParts {
        let socket = self.socket.into_inner();
        // glommio keeps its descriptor to itself, so a second one goes on the journey and it closes the first.
        // SAFETY: the descriptor stays open until `socket` is dropped, below.
        let socket = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }.try_clone_to_owned();
        GlommioParts { socket, peer: self.peer }
    }
}
