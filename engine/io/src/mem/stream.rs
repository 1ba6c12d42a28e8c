//! Listeners and streams of the simulated host.

use super::exec::Exec;
use super::host::MemHost;
use super::pipe::{End, Sent};
use super::trace::What;
use crate::local::LocalQueue;
use crate::seam::{Listener, Read, Stream};
use bytes::{Bytes, BytesMut};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

/// A listening socket of the simulated host.
pub struct MemListener {
    host: MemHost,
    address: SocketAddr,
    queue: LocalQueue<End>,
}

impl MemListener {
    pub(super) fn new(host: MemHost, address: SocketAddr, queue: LocalQueue<End>) -> MemListener {
        MemListener { host, address, queue }
    }
}

impl Listener for MemListener {
    type Stream = MemStream;

    async fn accept(&self) -> io::Result<MemStream> {
        match self.queue.pop().await {
            Some(end) => Ok(MemStream::new(self.host.clone(), end)),
            None => Err(crate::check::listener_closed()),
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn close(&self) {
        if self.queue.is_closed() {
            return;
        }
        let unaccepted = self.host.net().unlisten(self.address);
        drop(unaccepted);
    }
}

impl Drop for MemListener {
    fn drop(&mut self) {
        self.close();
    }
}

/// A stream of the simulated host on its way to another core.
pub struct MemParts(pub(super) End);

/// A connected stream of the simulated host.
pub struct MemStream {
    host: MemHost,
    end: End,
    reading: Cell<bool>,
    writing: Cell<bool>,
}

impl MemStream {
    pub(super) fn new(host: MemHost, end: End) -> MemStream {
        MemStream { host, end, reading: Cell::new(false), writing: Cell::new(false) }
    }

    fn exec(&self) -> &Rc<Exec> {
        &self.host.0.exec
    }

    /// Writes a line of the story about this connection, if anybody wants one.
    fn tell(&self, what: impl FnOnce() -> String) {
        let (id, peer) = (self.end.luck().id, self.end.peer());
        self.exec().fate.tell(|| format!("connection {id} with {peer}: {}", what()));
    }

    async fn send_all(&self, slices: &[Bytes]) -> io::Result<()> {
        for slice in slices {
            let mut rest = slice.clone();
            while !rest.is_empty() {
                let now = self.exec().now().0;
                let sent: Sent =
                    poll_fn(|cx| self.end.poll_send(&mut self.host.net(), now, &rest, cx)).await?;
                self.exec().trace.bytes(What::Send, &rest[..sent.bytes]);
                self.tell(|| format!("sends {} bytes", sent.bytes));
                if let Some(arrives) = sent.arrives {
                    let travel = arrives.saturating_sub(self.exec().now().0);
                    self.exec().act_after(travel, self.end.reader_wake());
                }
                rest = rest.slice(sent.bytes..);
            }
        }
        Ok(())
    }
}

impl Stream for MemStream {
    type Parts = MemParts;

    async fn read(&self, mut buf: BytesMut) -> (io::Result<Read>, BytesMut) {
        assert!(buf.capacity() > buf.len(), "a read needs room: reserve before it");
        let _only = crate::check::Only::one(&self.reading, "two reads at once on one stream");
        let received = poll_fn(|cx| {
            let now = self.exec().now().0;
            self.end.poll_receive(&mut self.host.net(), now, &mut buf, cx)
        })
        .await;
        self.tell(|| match &received {
            Ok(0) => "reads the end".to_owned(),
            Ok(bytes) => format!("reads {bytes} bytes"),
            Err(e) => format!("reads an error: {e}"),
        });
        let read = received.map(|bytes| match bytes {
            0 => Read::End,
            bytes => {
                self.exec().trace.event(What::Receive, bytes as u64, 0);
                Read::Bytes(bytes)
            }
        });
        (read, buf)
    }

    async fn write(&self, mut slices: Vec<Bytes>) -> (io::Result<()>, Vec<Bytes>) {
        let _only = crate::check::Only::one(&self.writing, "two writes at once on one stream");
        let unfinished = crate::check::OnDrop::new(|| self.end.shutdown(Shutdown::Both));
        let result = self.send_all(&slices).await;
        unfinished.forget();
        if let Err(e) = &result {
            self.tell(|| format!("cannot write: {e}"));
        }
        slices.clear();
        (result, slices)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.end.shutdown(how);
        Ok(())
    }

    fn peer_addr(&self) -> SocketAddr {
        self.end.peer()
    }

    fn detach(self) -> MemParts {
        MemParts(self.end)
    }
}
