//! One connection's task: opens the socket, reads it when there is something to read, and wakes writers when it takes
//! more. What the bytes mean is the engine's business.

use crate::core::outgoing::Outgoing;
use crate::core::session::SocketId;
use crate::tokio_face::shared::{Face, Shared};
use bytes::Buf;
use flumen_model::{Code, Error, Result};
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Slices of one write.
const SLICES_MAX: usize = 64;

/// A socket that stands.
pub(crate) struct Wire {
    stream: TcpStream,
    /// It took less than was there: its task waits until it takes more.
    blocked: AtomicBool,
    over: AtomicBool,
    /// Tells its task to look again.
    pub(crate) changed: Notify,
}

impl Wire {
    /// Writes as much as the socket takes.
    pub(crate) fn write(&self, out: &mut Outgoing) -> Result<()> {
        while out.has_remaining() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = out.chunks_vectored(&mut slices);
            match self.stream.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(gone()),
                Ok(sent) => out.advance(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked.store(true, Ordering::Relaxed);
                    self.changed.notify_one();
                    return Ok(());
                }
                Err(error) => return Err(failed("written", &error)),
            }
        }
        self.blocked.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Reads what is there; 0 when there is nothing.
    pub(crate) fn read(&self, room: &mut [u8]) -> Result<usize> {
        match self.stream.try_read(room) {
            Ok(0) => Err(gone()),
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(failed("read", &error)),
        }
    }

    /// Ends its task.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn wait(&self) -> Result<()> {
        let interest = match self.blocked.load(Ordering::Relaxed) {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        tokio::select! {
            ready = self.stream.ready(interest) => ready.map(drop).map_err(|error| failed("read", &error)),
            () = self.changed.notified() => Ok(()),
        }
    }
}

/// Runs one connection from its opening to its end.
pub(crate) async fn run<E: Face>(shared: Arc<Shared<E>>, socket: SocketId) {
    let wire = match open(&shared).await {
        Ok(stream) => Arc::new(Wire {
            stream,
            blocked: AtomicBool::new(false),
            over: AtomicBool::new(false),
            changed: Notify::new(),
        }),
        Err(error) => return shared.lost(socket, error),
    };
    if !shared.connected(socket, &wire) {
        return;
    }
    loop {
        if let Err(error) = wire.wait().await {
            return shared.lost(socket, error);
        }
        if !shared.read(socket, &wire) {
            return;
        }
    }
}

async fn open<E: Face>(shared: &Arc<Shared<E>>) -> Result<TcpStream> {
    let wait = shared.lock().engine.session().settings().connect_timeout;
    let connecting = tokio::time::timeout(wait, TcpStream::connect(&shared.addr[..])).await;
    let late = || Error::new(Code::Timeout, format!("no connection to {} within {wait:?}", shared.addr));
    let stream = connecting.map_err(|_| late())?.map_err(|error| {
        Error::new(Code::Closed, format!("no connection to {}: {error}; is the node running?", shared.addr))
    })?;
    stream.set_nodelay(true).map_err(|error| failed("set up", &error))?;
    Ok(stream)
}

#[cold]
fn gone() -> Error {
    Error::new(Code::Closed, "the node closed the connection")
}

#[cold]
fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::new(Code::Closed, format!("the connection could not be {what}: {error}"))
}
