//! Plain sockets: opening, writing and reading them, and what their errors mean to a client.

use crate::core::connection::Connection;
use crate::core::outgoing::Outgoing;
use bytes::Buf;
use flumen_model::{Code, Error, Result};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Slices of one write.
const SLICES_MAX: usize = 64;

/// Connects to the first address that answers.
pub(crate) fn open_socket(addr: impl ToSocketAddrs, timeout: Duration) -> Result<TcpStream> {
    let addrs = addr.to_socket_addrs().map_err(|error| failed("resolved", &error))?;
    let mut last = Error::new(Code::InvalidRequest, "the address names no host; give host:port");
    for addr in addrs {
        match TcpStream::connect_timeout(&addr, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|error| failed("set up", &error))?;
                return Ok(stream);
            }
            Err(error) => {
                last = Error::new(
                    Code::Closed,
                    format!("no connection to {addr}: {error}; is the node running?"),
                );
            }
        }
    }
    Err(last)
}

pub(crate) fn set_timeout(stream: &TcpStream, timeout: Option<Duration>) -> Result<()> {
    stream
        .set_read_timeout(timeout)
        .and_then(|()| stream.set_write_timeout(timeout))
        .map_err(|error| failed("set up", &error))
}

/// Writes everything that is queued. `Timeout` when the socket takes no more for now.
pub(crate) fn write_all(stream: &mut TcpStream, out: &mut Outgoing) -> Result<()> {
    while out.has_remaining() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = out.chunks_vectored(&mut slices);
        match stream.write_vectored(&slices[..count]) {
            Ok(0) => return Err(gone()),
            Ok(sent) => out.advance(sent),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("written", &error)),
        }
    }
    Ok(())
}

/// One read that brings something. `Timeout` when nothing came in time.
pub(crate) fn read_some(stream: &mut TcpStream, core: &mut Connection) -> Result<()> {
    loop {
        match stream.read(core.room()) {
            Ok(0) => return Err(gone()),
            Ok(bytes) => {
                core.received(bytes);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", &error)),
        }
    }
}

/// The socket has nothing, or no room, for now.
pub(crate) fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Why a read ends the connection; none when nothing came in time.
pub(crate) fn read_error(error: &std::io::Error) -> Option<Error> {
    let harmless = is_pause(error) || error.kind() == ErrorKind::Interrupted;
    (!harmless).then(|| failed("read", error))
}

#[cold]
pub(crate) fn gone() -> Error {
    Error::new(Code::Closed, "the node closed the connection; connect again")
}

#[cold]
pub(crate) fn failed(what: &str, error: &std::io::Error) -> Error {
    if is_pause(error) {
        return Error::new(Code::Timeout, "the node did not answer in time; try again or raise the timeout");
    }
    Error::new(Code::Closed, format!("the connection could not be {what}: {error}; connect again"))
}
