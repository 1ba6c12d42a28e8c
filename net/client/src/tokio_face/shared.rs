//! What handles and tasks of one client share: the engine behind a lock that is never held across a wait, its sockets,
//! and the keeper of its time.

use crate::core::moment::Moment;
use crate::core::session::{Engine, SocketId};
use crate::tokio_face::connection::{self, Wire};
use flumen_model::{Code, Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Timers are no finer than this; a nearer deadline would only spin.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// An engine whose news are handed to those who wait for them.
pub(crate) trait Face: Engine {
    /// Who waits.
    type Desk: Default + Send;

    /// Hands out what has come.
    fn deliver(&mut self, desk: &mut Self::Desk);

    /// Tells everybody that nothing will come any more.
    fn end(desk: &mut Self::Desk, error: &Error);
}

/// Under the lock.
pub(crate) struct State<E: Face> {
    pub(crate) engine: E,
    pub(crate) desk: E::Desk,
    sockets: BTreeMap<SocketId, Arc<Wire>>,
    /// When the keeper wakes up by itself.
    armed: Option<Moment>,
    closed: bool,
}

impl<E: Face> State<E> {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// One client's shared state.
pub(crate) struct Shared<E: Face> {
    state: Mutex<State<E>>,
    pub(crate) addr: String,
    origin: Instant,
    runtime: Handle,
    /// Wakes the keeper.
    keeper: Notify,
    /// Tells all who wait for a change that they must look for themselves.
    pub(crate) changed: Notify,
}

impl<E: Face> Shared<E> {
    /// Begins to run an engine on the current runtime.
    pub(crate) fn start(addr: &str, engine: E) -> Result<Arc<Shared<E>>> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::new(
                Code::InvalidRequest,
                "this client runs on tokio: use it within a runtime, or use `blocking`",
            )
        })?;
        let state =
            State { engine, desk: E::Desk::default(), sockets: BTreeMap::new(), armed: None, closed: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            addr: addr.to_string(),
            origin: Instant::now(),
            runtime,
            keeper: Notify::new(),
            changed: Notify::new(),
        });
        shared.runtime.spawn(keep(shared.clone()));
        Ok(shared)
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    /// The state, to look at. What changes the engine goes through [`Shared::act`].
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<E>> {
        // A panic under the lock has told its reason already; the state is whole between calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the engine, and then everything that follows from it.
    pub(crate) fn act<T>(self: &Arc<Self>, act: impl FnOnce(&mut E, &mut E::Desk, Moment) -> T) -> T {
        let mut state = self.lock();
        let now = self.now();
        let State { engine, desk, .. } = &mut *state;
        let result = act(engine, desk, now);
        self.go_on(&mut state, now);
        result
    }

    /// Steps the engine until nothing follows any more: sockets, writes, deliveries, time.
    fn go_on(self: &Arc<Self>, state: &mut State<E>, now: Moment) {
        if state.closed {
            return E::end(&mut state.desk, &closed());
        }
        loop {
            state.engine.step(now);
            self.open_and_close(state, now);
            if !self.write(state, now) {
                break;
            }
        }
        let State { engine, desk, .. } = state;
        engine.deliver(desk);
        self.changed.notify_waiters();
        let deadline = state.engine.deadline(now);
        if deadline.is_some_and(|deadline| state.armed.is_none_or(|armed| deadline < armed)) {
            state.armed = deadline;
            self.keeper.notify_one();
        }
    }

    fn open_and_close(self: &Arc<Self>, state: &mut State<E>, now: Moment) {
        while let Some(socket) = state.engine.session().next_given_up() {
            if let Some(wire) = state.sockets.remove(&socket) {
                wire.changed.notify_one();
            }
        }
        while let Some((socket, _)) = state.engine.session().next_connect(now) {
            self.runtime.spawn(connection::run(self.clone(), socket));
        }
    }

    /// Writes what the engine has queued without a step.
    pub(crate) fn write_now(self: &Arc<Self>, state: &mut State<E>, now: Moment) {
        if self.write(state, now) {
            self.go_on(state, now);
        }
    }

    /// Writes what the sockets take. True when one was lost, so that there is more to do.
    fn write(&self, state: &mut State<E>, now: Moment) -> bool {
        let mut lost = Vec::new();
        for (socket, wire) in &state.sockets {
            let Some(out) = state.engine.session().outgoing(*socket) else { continue };
            if let Err(error) = wire.write(out) {
                lost.push((*socket, error));
            }
        }
        let any = !lost.is_empty();
        lost.into_iter().for_each(|(socket, error)| drop_socket(state, socket, error, now));
        any
    }

    /// A socket stands. False when it is not wanted any more.
    pub(crate) fn connected(self: &Arc<Self>, socket: SocketId, wire: &Arc<Wire>) -> bool {
        let mut state = self.lock();
        let now = self.now();
        if state.closed || !state.engine.session().connected(socket, now) {
            return false;
        }
        state.sockets.insert(socket, wire.clone());
        self.go_on(&mut state, now);
        true
    }

    /// A socket could not be opened, or has ended.
    pub(crate) fn lost(self: &Arc<Self>, socket: SocketId, error: Error) {
        let mut state = self.lock();
        let now = self.now();
        drop_socket(&mut state, socket, error, now);
        self.go_on(&mut state, now);
    }

    /// Reads what has come. False when the socket has ended.
    pub(crate) fn read(self: &Arc<Self>, socket: SocketId, wire: &Wire) -> bool {
        let mut state = self.lock();
        let now = self.now();
        let Some(room) = state.engine.session().room(socket).filter(|_| !wire.is_over()) else {
            return false;
        };
        match wire.read(room) {
            Ok(0) => return true,
            Ok(bytes) => state.engine.session().received(socket, bytes, now),
            Err(error) => drop_socket(&mut state, socket, error, now),
        }
        self.go_on(&mut state, now);
        state.sockets.contains_key(&socket)
    }

    /// Ends everything: tasks, sockets, and whoever waits.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for (_, wire) in std::mem::take(&mut state.sockets) {
            wire.end();
        }
        E::end(&mut state.desk, &closed());
        self.changed.notify_waiters();
        self.keeper.notify_one();
    }
}

fn drop_socket<E: Face>(state: &mut State<E>, socket: SocketId, error: Error, now: Moment) {
    state.sockets.remove(&socket);
    state.engine.session().lost(socket, error, now);
}

/// Keeps the time: steps the engine at its deadlines.
async fn keep<E: Face>(shared: Arc<Shared<E>>) {
    loop {
        let next = {
            let mut state = shared.lock();
            if state.closed {
                return;
            }
            let now = shared.now();
            // It is awake: nobody needs to wake it.
            state.armed = Some(Moment::default());
            shared.go_on(&mut state, now);
            let deadline = state.engine.deadline(now);
            state.armed = deadline;
            deadline.map(|deadline| deadline.max(now.plus(SLEEP_MIN)))
        };
        match next {
            Some(at) => {
                let sleep = tokio::time::sleep_until(shared.origin + at.0);
                tokio::select! {
                    () = sleep => {}
                    () = shared.keeper.notified() => {}
                }
            }
            None => shared.keeper.notified().await,
        }
    }
}

/// Ends the client when its last handle goes.
pub(crate) struct Owner<E: Face>(pub(crate) Arc<Shared<E>>);

impl<E: Face> Drop for Owner<E> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cold]
pub(crate) fn closed() -> Error {
    Error::new(Code::Closed, "the client was closed before the answer came")
}
