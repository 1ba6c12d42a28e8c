//! The connections of one shard: taken over from the acceptor, served, watched for silence, ended with the shard.

use crate::acceptor::Handoff;
use crate::connection::Connection;
use flumen_engine::Shard;
use flumen_io::local::LocalQueue;
use flumen_io::{Host, Stream};
use flumen_wire::{HelloReply, HelloRequest, encode_reply};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often silent and stuck connections are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What a hello is answered with beside the connection's own.
#[derive(Clone, Debug)]
pub struct ServerStatus {
    /// The node's directory.
    pub node: uuid::Uuid,
    /// The node's shards.
    pub shards: u16,
    /// The release, for people.
    pub version: &'static str,
}

/// Serves one shard's connections.
pub struct Server<H: Host> {
    shard: Rc<Shard<H>>,
    status: ServerStatus,
    connections: RefCell<Vec<Weak<Connection<H>>>>,
    /// Open connections of the whole node: the only number that cores share here.
    open: Arc<AtomicUsize>,
    closing: Cell<bool>,
}

impl<H: Host> Server<H> {
    /// A server without connections. `open` counts those of the whole node.
    pub fn new(shard: Rc<Shard<H>>, status: ServerStatus, open: Arc<AtomicUsize>) -> Rc<Server<H>> {
        Rc::new(Server { shard, status, connections: RefCell::default(), open, closing: Cell::new(false) })
    }

    /// The shard.
    pub fn shard(&self) -> &Rc<Shard<H>> {
        &self.shard
    }

    /// Takes over connections until the queue closes.
    pub async fn run(self: Rc<Self>, incoming: LocalQueue<Handoff<H::Parts>>) {
        while let Some(handoff) = incoming.pop().await {
            match self.shard.host().adopt(handoff.parts) {
                Ok(stream) => self.serve(stream, handoff.correlation, &handoff.hello, handoff.unread),
                Err(error) => {
                    self.open.fetch_sub(1, Ordering::Relaxed);
                    tracing::warn!(%error, "a connection was lost on its way to its shard");
                }
            }
        }
    }

    fn serve(
        self: &Rc<Self>,
        stream: H::Stream,
        correlation: u32,
        hello: &HelloRequest,
        unread: bytes::BytesMut,
    ) {
        let connection = Connection::new(self.shard.clone(), stream);
        if self.closing.get() {
            self.open.fetch_sub(1, Ordering::Relaxed);
            connection.abort();
            return;
        }
        let (version, features) = hello.negotiate().expect("the acceptor has negotiated before");
        let reply = HelloReply {
            version,
            features,
            shard: self.shard.id(),
            shards: self.status.shards,
            node: self.status.node,
            server_version: self.status.version.to_string(),
        };
        connection.out(|out| out.pack(|pack| encode_reply::<HelloRequest>(correlation, &reply, pack)));
        self.connections.borrow_mut().push(Rc::downgrade(&connection));
        let host = self.shard.host();
        drop(host.spawn(connection.clone().run_reader(unread)));
        drop(host.spawn(connection.clone().run_pusher()));
        let open = self.open.clone();
        drop(host.spawn(async move {
            connection.run_writer().await;
            open.fetch_sub(1, Ordering::Relaxed);
        }));
    }

    /// Ends connections that are silent or stuck for too long, until the server closes.
    pub async fn run_sweeper(self: Rc<Self>) {
        while !self.closing.get() {
            self.shard.host().sleep(SWEEP_EVERY).await;
            let now = self.shard.host().now();
            self.connections.borrow_mut().retain(|connection| match connection.upgrade() {
                Some(connection) if connection.is_stale(now) => {
                    tracing::info!(peer = %connection.stream.peer_addr(), "a silent connection is closed");
                    connection.abort();
                    false
                }
                // A closed one may still be stuck in its last write.
                Some(_) => true,
                None => false,
            });
        }
    }

    /// Ends every connection once its queue has left.
    pub fn close(&self) {
        self.closing.set(true);
        for connection in self.connections.borrow_mut().drain(..) {
            if let Some(connection) = connection.upgrade() {
                connection.close();
            }
        }
    }
}

/// A shard's state as a JSON object.
pub(crate) fn status_json<H: Host>(shard: &Shard<H>) -> String {
    let log = shard.log();
    let journal = log.journal();
    let stats = log.stats();
    let written = journal.stats();
    serde_json::json!({
        "shard": shard.id().0,
        "partitions": shard.partitions().len(),
        "journal": {
            "capacity_bytes": log.journal_bytes(),
            "turns": journal.turns(),
            "live_files": journal.live_files(),
            "free_files": journal.free_files(),
            "writes": written.writes,
            "bytes": written.bytes,
            "padding_bytes": written.padding,
        },
        "spread_bytes": stats.spread_bytes,
        "checkpoints": stats.checkpoints,
        "journal_files_freed": stats.files_freed,
        "segments_rolled": stats.segments_rolled,
        "segments_deleted": stats.segments_deleted,
        "cached_bytes": stats.cached_bytes,
        "full": log.is_full(),
    })
    .to_string()
}
