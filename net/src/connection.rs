//! One client's connection on its shard's core: its stream, its promised replies and its subscriptions. Two tasks
//! serve it, one reads and one writes; both end when the stream does. It never outlives its shard.

use crate::linger::linger;
use crate::outgoing::Outgoing;
use crate::push::Subscriptions;
use bytes::Bytes;
use flumen_engine::{AckSink, Appended, Shard, Watcher};
use flumen_io::local::Notify;
use flumen_io::{Host, Mono, Stream};
use flumen_model::{Error, Result};
use flumen_wire::{FrameKind, encode_error};
use std::cell::{Cell, RefCell};
use std::net::Shutdown;
use std::rc::Rc;

/// One connection.
pub(crate) struct Connection<H: Host> {
    pub(crate) shard: Rc<Shard<H>>,
    pub(crate) stream: H::Stream,
    outgoing: RefCell<Outgoing>,
    pub(crate) subscriptions: RefCell<Subscriptions<H>>,
    /// Wakes the writer.
    writable: Notify,
    /// Wakes whoever waits for the queue to shrink: the reader and the pusher.
    pub(crate) drained: Notify,
    /// Wakes the pusher.
    pub(crate) pushable: Notify,
    /// Wakes whoever waits for records on behalf of the peer, when the peer is gone.
    pub(crate) ended: Notify,
    closed: Cell<bool>,
    lingers: Cell<bool>,
    /// What fetches under way may bring, and what the pusher reads from disk.
    fetching_bytes: Cell<usize>,
    pub(crate) pushing_bytes: Cell<usize>,
    /// When the last byte came, and since when the present write is stuck.
    last_read: Cell<Mono>,
    writing_since: Cell<Option<Mono>>,
}

impl<H: Host> Connection<H> {
    pub(crate) fn new(shard: Rc<Shard<H>>, stream: H::Stream) -> Rc<Connection<H>> {
        let now = shard.host().now();
        Rc::new(Connection {
            shard,
            stream,
            outgoing: RefCell::default(),
            subscriptions: RefCell::default(),
            writable: Notify::new(),
            drained: Notify::new(),
            pushable: Notify::new(),
            ended: Notify::new(),
            closed: Cell::new(false),
            lingers: Cell::new(false),
            fetching_bytes: Cell::new(0),
            pushing_bytes: Cell::new(0),
            last_read: Cell::new(now),
            writing_since: Cell::new(None),
        })
    }

    /// Changes the queue and wakes the writer.
    pub(crate) fn out<T>(&self, change: impl FnOnce(&mut Outgoing) -> T) -> T {
        let result = change(&mut self.outgoing.borrow_mut());
        if self.outgoing.borrow().bytes() > 0 {
            self.writable.notify_one();
        }
        result
    }

    /// Whether the client takes its replies fast enough for more requests to be read.
    pub(crate) fn has_room(&self) -> bool {
        let limits = self.shard.limits();
        let outgoing = self.outgoing.borrow();
        outgoing.open() < limits.requests_in_flight_per_connection_max
            && outgoing.held_bytes() < limits.reply_bytes_per_connection_max
    }

    /// Waits until a fetch of so many bytes may be read, and counts them until [`Connection::fetched`]. The request
    /// that is answered next always has its turn once the queue has room; those behind it only while they fit.
    pub(crate) async fn wait_turn(&self, slot: u64, bytes: usize) {
        let bytes_max = self.shard.limits().reply_bytes_per_connection_max;
        let has_turn = || {
            let outgoing = self.outgoing.borrow();
            match outgoing.is_next(slot) {
                true => outgoing.bytes() < bytes_max,
                false => outgoing.held_bytes() + self.fetching_bytes.get() + bytes <= bytes_max,
            }
        };
        while !self.is_closed() && !has_turn() {
            self.drained.notified().await;
        }
        self.fetching_bytes.set(self.fetching_bytes.get() + bytes);
    }

    /// A fetch is answered, or given up.
    pub(crate) fn fetched(&self, bytes: usize) {
        self.fetching_bytes.set(self.fetching_bytes.get() - bytes);
        self.drained.notify_all();
    }

    /// Writes what is queued until the connection closes.
    pub(crate) async fn run_writer(self: Rc<Self>) {
        let mut empty = Vec::new();
        loop {
            let taken = self.outgoing.borrow_mut().take(std::mem::take(&mut empty));
            match taken {
                Ok(slices) => match self.write(slices).await {
                    Ok(emptied) => empty = emptied,
                    Err(_) => break,
                },
                Err(unused) => {
                    empty = unused;
                    if self.is_closed() {
                        break;
                    }
                    self.writable.notified().await;
                }
            }
        }
        self.hang_up();
        // What was refused or ended is still read by a polite peer. Whoever was refused is listened to a little
        // longer: a connection that is closed with unread bytes is reset, and the reason would be lost.
        let how = if self.lingers.get() { Shutdown::Write } else { Shutdown::Both };
        let _ = self.stream.shutdown(how);
    }

    async fn write(&self, slices: Vec<Bytes>) -> std::io::Result<Vec<Bytes>> {
        self.writing_since.set(Some(self.shard.host().now()));
        let (result, emptied) = self.stream.write(slices).await;
        self.writing_since.set(None);
        self.drained.notify_all();
        result.map(|()| emptied)
    }

    pub(crate) fn note_read(&self) {
        self.last_read.set(self.shard.host().now());
    }

    /// Whether the peer has been silent, or has taken nothing, for longer than the limits allow.
    pub(crate) fn is_stale(&self, now: Mono) -> bool {
        let limits = self.shard.limits();
        let stuck = self
            .writing_since
            .get()
            .is_some_and(|since| now.since(since).as_millis() as u64 > limits.write_stall_ms_max);
        let waits_for_nothing = self.outgoing.borrow().open() == 0 && self.subscriptions.borrow().is_empty();
        let silent = now.since(self.last_read.get()).as_millis() as u64 > limits.idle_ms_max;
        stuck || (silent && waits_for_nothing)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Ends the connection once what is queued has left: no more is read, subscriptions end.
    pub(crate) fn close(&self) {
        if self.hang_up() {
            let _ = self.stream.shutdown(Shutdown::Read);
        }
    }

    /// Refuses the connection: once the reason has left, what still comes is thrown away for a moment.
    pub(crate) async fn refuse_all(&self, error: &Error) {
        self.lingers.set(true);
        self.out(|out| out.pack(|pack| encode_error(FrameKind::Hello, u32::MAX, error, pack)));
        self.hang_up();
        linger(self.shard.host(), &self.stream).await;
        self.lingers.set(false);
    }

    /// Takes no more requests and wakes everybody; false when that was done before.
    fn hang_up(&self) -> bool {
        if self.closed.replace(true) {
            return false;
        }
        self.writable.notify_one();
        self.drained.notify_all();
        self.pushable.notify_all();
        self.ended.notify_all();
        true
    }

    /// Ends the connection now, whatever is queued.
    pub(crate) fn abort(&self) {
        self.close();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Answers a request with frames, or an error.
    pub(crate) fn answer(&self, slot: u64, reply: Result<Vec<Bytes>>) {
        self.out(|out| match reply {
            Ok(frames) => out.keep(slot, crate::outgoing::Reply::Frames(frames)),
            Err(error) => out.refuse(slot, &error),
        });
    }

    /// Refuses a request.
    pub(crate) fn refuse(&self, slot: u64, error: &Error) {
        self.out(|out| out.refuse(slot, error));
    }
}

impl<H: Host> AckSink for Connection<H> {
    fn appended(&self, slot: u64, result: Result<Appended>) {
        if !self.is_closed() {
            self.out(|out| out.appended(slot, result));
        }
    }
}

impl<H: Host> Watcher for Connection<H> {
    fn moved(&self, key: u64) {
        if self.subscriptions.borrow_mut().wake(key as u32) {
            self.pushable.notify_one();
        }
    }
}
