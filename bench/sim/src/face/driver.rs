//! Runs one engine of the client core over simulated streams. The engine outlives a run of the machine, as a client
//! outlives its node: what it had in flight is lost with its sockets, and it goes on by its own rules.

use super::{NATIVE, moment, no_nonsense};
use bytes::{Buf, Bytes, BytesMut};
use flumen_client::core::session::{Engine, SocketId};
use flumen_io::local::{Notify, select2, timeout};
use flumen_io::mem::{MemHost, MemStream};
use flumen_io::{Host, Read, Stream};
use flumen_model::{Code, Error, ShardId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One read.
const READ_BYTES: usize = 64 * 1024;
/// One write takes at most so much out of the engine; the rest stays there, as it would in front of a full socket.
const WRITE_BYTES_MAX: usize = 128 * 1024;
/// No simulated node has more.
const SHARDS_MAX: u16 = 4;
/// Timers are no finer than this, as in the faces.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// An engine and the sockets that it believes in.
#[derive(Debug)]
pub struct Kept<E> {
    /// The engine.
    pub engine: E,
    sockets: BTreeSet<SocketId>,
}

/// An engine that outlives the runs of the machine. The lock is never contended: everything runs on one thread.
#[derive(Debug)]
pub struct Held<E>(Arc<Mutex<Kept<E>>>);

impl<E> Clone for Held<E> {
    fn clone(&self) -> Self {
        Held(self.0.clone())
    }
}

impl<E> Held<E> {
    /// Holds an engine that has no socket.
    pub fn new(engine: E) -> Held<E> {
        Held(Arc::new(Mutex::new(Kept { engine, sockets: BTreeSet::new() })))
    }

    /// Puts another engine in its place, as a client that was started anew.
    pub fn renew(&self, engine: E) {
        *self.lock() = Kept { engine, sockets: BTreeSet::new() };
    }

    /// The engine.
    pub fn lock(&self) -> MutexGuard<'_, Kept<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Wire {
    stream: MemStream,
    /// There may be something to write.
    queued: Notify,
    over: Cell<bool>,
}

impl Wire {
    fn end(&self) {
        self.over.set(true);
        // A stream that is gone already has nothing to say to that.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.queued.notify_one();
    }
}

/// An engine in one run of the machine.
pub struct Driver<E: Engine> {
    host: MemHost,
    held: Held<E>,
    wires: RefCell<BTreeMap<SocketId, Rc<Wire>>>,
    armed: Cell<Option<Duration>>,
    keeper: Notify,
    changed: Notify,
    over: Cell<bool>,
}

fn gone() -> Error {
    Error::new(Code::Closed, "the node closed the connection")
}

impl<E: Engine> Driver<E> {
    /// Takes an engine over. The sockets of an earlier run are lost.
    pub fn start(host: &MemHost, held: Held<E>) -> Rc<Driver<E>> {
        {
            let mut kept = held.lock();
            let now = moment(host);
            for socket in std::mem::take(&mut kept.sockets) {
                kept.engine.session().lost(socket, gone(), now);
            }
        }
        let driver = Rc::new(Driver {
            host: host.clone(),
            held,
            wires: RefCell::default(),
            armed: Cell::new(None),
            keeper: Notify::new(),
            changed: Notify::new(),
            over: Cell::new(false),
        });
        drop(host.spawn(driver.clone().keep()));
        driver
    }

    /// Does something to the engine, and then everything that follows from it.
    pub fn act<T>(self: &Rc<Self>, act: impl FnOnce(&mut E, flumen_client::core::moment::Moment) -> T) -> T {
        let result = act(&mut self.held.lock().engine, moment(&self.host));
        self.go_on();
        result
    }

    /// Waits until something has happened to the engine, or a time is over.
    pub async fn news(&self, within: Duration) {
        let _ = timeout(&self.host, within, self.changed.notified()).await;
    }

    /// Drops the sockets and the tasks, as a client that ends. The engine stays as it is.
    pub fn stop(&self) {
        self.over.set(true);
        let wires = std::mem::take(&mut *self.wires.borrow_mut());
        wires.values().for_each(|wire| wire.end());
        self.keeper.notify_one();
    }

    fn go_on(self: &Rc<Self>) {
        if self.over.get() {
            return;
        }
        let now = moment(&self.host);
        let mut kept = self.held.lock();
        kept.engine.step(now);
        while let Some(socket) = kept.engine.session().next_given_up() {
            kept.sockets.remove(&socket);
            if let Some(wire) = self.wires.borrow_mut().remove(&socket) {
                wire.end();
            }
            let session = kept.engine.session();
            (0..SHARDS_MAX).filter_map(|shard| session.trouble(ShardId(shard))).for_each(no_nonsense);
        }
        while let Some((socket, _)) = kept.engine.session().next_connect(now) {
            kept.sockets.insert(socket);
            drop(self.host.spawn(self.clone().connection(socket)));
        }
        for (socket, wire) in self.wires.borrow().iter() {
            if kept.engine.session().outgoing(*socket).is_some_and(|out| out.has_remaining()) {
                wire.queued.notify_one();
            }
        }
        let deadline = kept.engine.deadline(now).map(|at| at.0);
        drop(kept);
        self.changed.notify_all();
        if deadline.is_some_and(|at| self.armed.get().is_none_or(|armed| at < armed)) {
            self.armed.set(deadline);
            self.keeper.notify_one();
        }
    }

    /// Keeps the time: steps the engine at its deadlines.
    async fn keep(self: Rc<Self>) {
        while !self.over.get() {
            self.armed.set(Some(Duration::ZERO));
            self.go_on();
            let now = moment(&self.host);
            let deadline = self.held.lock().engine.deadline(now).map(|at| at.0);
            self.armed.set(deadline);
            match deadline {
                Some(at) => {
                    let wait = at.saturating_sub(now.0).max(SLEEP_MIN);
                    select2(self.host.sleep(wait), self.keeper.notified()).await;
                }
                None => self.keeper.notified().await,
            }
        }
    }

    /// One connection from its opening to its end.
    async fn connection(self: Rc<Self>, socket: SocketId) {
        let wait = self.held.lock().engine.session().settings().connect_timeout;
        let address = NATIVE.parse().expect("a constant address");
        let stream = match timeout(&self.host, wait, self.host.connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.lost(socket, Error::new(Code::Closed, error.to_string())),
            Err(_) => return self.lost(socket, Error::new(Code::Timeout, "no connection in time")),
        };
        let wire = Rc::new(Wire { stream, queued: Notify::new(), over: Cell::new(false) });
        if self.over.get() || !self.held.lock().engine.session().connected(socket, moment(&self.host)) {
            return;
        }
        self.wires.borrow_mut().insert(socket, wire.clone());
        drop(self.host.spawn(self.clone().write(socket, wire.clone())));
        self.go_on();
        self.read(socket, &wire).await;
    }

    async fn read(self: &Rc<Self>, socket: SocketId, wire: &Wire) {
        let mut buf = BytesMut::new();
        loop {
            buf.clear();
            buf.reserve(READ_BYTES);
            let (read, back) = wire.stream.read(buf).await;
            buf = back;
            if wire.over.get() {
                return;
            }
            match read {
                Ok(Read::Bytes(_)) if self.take(socket, &buf) => self.go_on(),
                Ok(Read::Bytes(_)) => return,
                Ok(Read::End) => return self.lost(socket, gone()),
                Err(error) => return self.lost(socket, Error::new(Code::Closed, error.to_string())),
            }
        }
    }

    /// Hands bytes to the engine. False when it has given the socket up.
    fn take(&self, socket: SocketId, mut bytes: &[u8]) -> bool {
        let now = moment(&self.host);
        let mut kept = self.held.lock();
        let session = kept.engine.session();
        while !bytes.is_empty() {
            let Some(room) = session.room(socket) else { return false };
            let part = room.len().min(bytes.len());
            room[..part].copy_from_slice(&bytes[..part]);
            session.received(socket, part, now);
            bytes = &bytes[part..];
        }
        true
    }

    async fn write(self: Rc<Self>, socket: SocketId, wire: Rc<Wire>) {
        let mut slices: Vec<Bytes> = Vec::new();
        while !wire.over.get() {
            self.take_out(socket, &mut slices);
            if slices.is_empty() {
                wire.queued.notified().await;
                continue;
            }
            let (written, back) = wire.stream.write(slices).await;
            slices = back;
            match written {
                // A congested engine waits for this.
                Ok(()) => self.go_on(),
                Err(_) if wire.over.get() => return,
                Err(error) => return self.lost(socket, Error::new(Code::Closed, error.to_string())),
            }
        }
    }

    fn take_out(&self, socket: SocketId, slices: &mut Vec<Bytes>) {
        let mut kept = self.held.lock();
        let Some(out) = kept.engine.session().outgoing(socket) else { return };
        let mut taken = 0;
        while out.has_remaining() && taken < WRITE_BYTES_MAX {
            let part = out.chunk().len().min(WRITE_BYTES_MAX - taken);
            slices.push(out.copy_to_bytes(part));
            taken += part;
        }
    }

    /// The socket could not be opened, or has ended.
    fn lost(self: &Rc<Self>, socket: SocketId, error: Error) {
        if let Some(wire) = self.wires.borrow_mut().remove(&socket) {
            wire.end();
        }
        if self.over.get() {
            return;
        }
        {
            let mut kept = self.held.lock();
            kept.sockets.remove(&socket);
            kept.engine.session().lost(socket, error, moment(&self.host));
        }
        self.go_on();
    }
}
