//! The door: accepts connections on one core, reads each one's hello, and hands the socket with its unread bytes
//! to the core of the shard that it wants. A stranger gets little memory and little time here.

use crate::linger::linger;
use bytes::{Buf, BytesMut};
use flumen_io::local::timeout;
use flumen_io::{Host, Listener, Read, Stream};
use flumen_model::limits::Limits;
use flumen_model::{Code, Error, Result, ShardId};
use flumen_wire::{FrameKind, HelloRequest, Opening, encode_error, read_opening};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The receive buffer of a stranger.
const OPENING_BYTES: usize = 4096;
/// After a failed accept (no descriptors left, say) the door waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection on its way to its shard's core.
pub struct Handoff<P> {
    /// The socket.
    pub parts: P,
    /// The correlation of its hello.
    pub correlation: u32,
    /// Its hello, negotiated.
    pub hello: HelloRequest,
    /// What came behind the hello.
    pub unread: BytesMut,
}

/// Accepts for the whole node.
pub struct Acceptor<H: Host> {
    host: H,
    limits: Limits,
    shards: u16,
    open: Arc<AtomicUsize>,
    /// Takes a connection to a shard's core.
    send: Box<dyn Fn(ShardId, Handoff<H::Parts>)>,
}

impl<H: Host> Acceptor<H> {
    /// A door. `send` must pass each connection on, and `open` counts the node's connections.
    pub fn new(
        host: H,
        limits: Limits,
        shards: u16,
        open: Arc<AtomicUsize>,
        send: impl Fn(ShardId, Handoff<H::Parts>) + 'static,
    ) -> Rc<Acceptor<H>> {
        Rc::new(Acceptor { host, limits, shards, open, send: Box::new(send) })
    }

    /// Accepts until the listener closes.
    pub async fn run(self: Rc<Self>, listener: Rc<H::Listener>, closing: impl Fn() -> bool) {
        while !closing() {
            match listener.accept().await {
                Ok(stream) => self.welcome(stream),
                Err(_) if closing() => break,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    self.host.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn welcome(self: &Rc<Self>, stream: H::Stream) {
        let this = self.clone();
        let crowded = self.open.fetch_add(1, Ordering::Relaxed) >= self.limits.connections_max;
        drop(self.host.spawn(async move {
            let limit = Duration::from_millis(this.limits.handshake_ms_max);
            let opened = match crowded {
                true => Err(too_many(this.limits.connections_max)),
                false => match timeout(&this.host, limit, this.open(&stream)).await {
                    Ok(opened) => opened,
                    Err(_) => Err(Error::new(Code::Timeout, "no hello came in time")),
                },
            };
            match opened {
                Ok(opened) => this.pass_on(stream, opened),
                Err(error) => this.turn_away(&stream, &error).await,
            }
        }));
    }

    async fn open(&self, stream: &H::Stream) -> Result<(u32, HelloRequest, BytesMut)> {
        let mut received = BytesMut::with_capacity(OPENING_BYTES);
        loop {
            match read_opening(&received)? {
                Opening::Hello { correlation, hello, bytes } => {
                    hello.negotiate()?;
                    received.advance(bytes);
                    return Ok((correlation, hello, received));
                }
                Opening::NeedMore(missing) => received.reserve(missing.min(OPENING_BYTES)),
            }
            let (read, buf) = stream.read(received).await;
            received = buf;
            match read {
                Ok(Read::Bytes(_)) => {}
                _ => return Err(Error::new(Code::Closed, "the peer left before its hello")),
            }
        }
    }

    fn pass_on(&self, stream: H::Stream, (correlation, hello, unread): (u32, HelloRequest, BytesMut)) {
        let shard = hello.shard_wanted.filter(|shard| shard.0 < self.shards).unwrap_or(ShardId(0));
        (self.send)(shard, Handoff { parts: stream.detach(), correlation, hello, unread });
    }

    /// Says why, as far as the peer listens.
    async fn turn_away(&self, stream: &H::Stream, error: &Error) {
        let mut out = BytesMut::new();
        encode_error(FrameKind::Hello, 0, error, &mut out);
        let limit = Duration::from_millis(self.limits.handshake_ms_max);
        let _ = timeout(&self.host, limit, stream.write(vec![out.freeze()])).await;
        let _ = stream.shutdown(std::net::Shutdown::Write);
        linger(&self.host, stream).await;
        let _ = stream.shutdown(std::net::Shutdown::Both);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn too_many(connections_max: usize) -> Error {
    let message = format!(
        "the node has the {connections_max} connections that it may have: close some, or raise connections_max"
    );
    Error::new(Code::LimitReached, message)
}
