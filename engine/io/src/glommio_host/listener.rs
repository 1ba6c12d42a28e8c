//! The listening socket: our own, so that no port is shared silently, the backlog is ours and children inherit
//! nothing. One task accepts for as long as the listener lives; nobody can drop an accept half-way and lose a
//! connection that the kernel has already taken.

use super::host::GlommioHost;
use super::io_error;
use super::stream::GlommioStream;
use crate::check;
use crate::local::LocalQueue;
use crate::seam::{Host, Listener};
use glommio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::Cell;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::Duration;

const BACKLOG: i32 = 4096;
/// Accepted and not yet taken; the rest waits in the kernel's backlog.
const ACCEPTED_MAX: usize = 256;
/// How long accepting rests when the process is out of descriptors or memory.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(50);

/// A listening socket.
pub struct GlommioListener {
    accepted: LocalQueue<GlommioStream>,
    address: SocketAddr,
    /// Shares the socket with the accepting task, to end its wait.
    socket: Cell<Option<Socket>>,
}

impl GlommioListener {
    pub(super) fn new(host: &GlommioHost, address: SocketAddr) -> io::Result<GlommioListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Not two listeners on one port: only a new start while old connections still linger.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let address = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP socket"))?;
        let shared = socket.try_clone()?;
        // SAFETY: the descriptor is a listening socket that nobody else owns any more.
        let listener = unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) };
        let accepted = LocalQueue::bounded(ACCEPTED_MAX);
        drop(host.spawn(accept_all(host.clone(), listener, accepted.clone())));
        Ok(GlommioListener { accepted, address, socket: Cell::new(Some(shared)) })
    }
}

/// Accepts until the socket or the queue is closed.
async fn accept_all(host: GlommioHost, listener: TcpListener, accepted: LocalQueue<GlommioStream>) {
    while !accepted.is_closed() {
        match listener.shared_accept().await.map_err(io_error) {
            Ok(connection) => {
                // A client that is gone already may have no address any more; then there is nothing to serve.
                let Ok(stream) = GlommioStream::accepted(connection) else { continue };
                if accepted.push(stream).await.is_err() {
                    return;
                }
            }
            Err(_) if accepted.is_closed() => return,
            Err(e) if is_exhausted(&e) => {
                tracing::warn!(error = %e, "cannot accept connections for the moment: raise LimitNOFILE");
                host.sleep(EXHAUSTED_WAIT).await;
            }
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => {
                tracing::error!(error = %e, "accepting has failed: the listener is closed");
                accepted.close();
            }
        }
    }
}

fn is_exhausted(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Errors that accept(2) reports for the connection, not for the socket.
fn is_of_one_connection(e: &io::Error) -> bool {
    let of_connection = [
        libc::ECONNABORTED,
        libc::EINTR,
        libc::EPROTO,
        libc::EPERM,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
    ];
    e.raw_os_error().is_some_and(|errno| of_connection.contains(&errno))
}

impl Listener for GlommioListener {
    type Stream = GlommioStream;

    async fn accept(&self) -> io::Result<GlommioStream> {
        self.accepted.pop().await.ok_or_else(check::listener_closed)
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn close(&self) {
        self.accepted.close();
        while let Some(unserved) = self.accepted.try_pop() {
            drop(unserved);
        }
        if let Some(socket) = self.socket.take() {
            // Ends the pending accept with an error; that task then closes the last descriptor.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for GlommioListener {
    fn drop(&mut self) {
        self.close();
    }
}
