//! Runs an engine on the caller's thread: opens its sockets, moves its bytes, and waits on the sockets themselves. One
//! connection is read with a plain blocking read, so that an answer costs one system call.

use crate::blocking::socket::{failed, gone, open_socket, read_error, write_all};
use crate::core::moment::{Moment, earlier};
use crate::core::session::{Engine, SocketId};
use flumen_model::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Shorter waits are not worth setting.
const WAIT_MIN: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// What its reads wait at most, as the kernel knows it.
    read_timeout: Duration,
}

/// An engine with its sockets and its clock.
#[derive(Debug)]
pub(crate) struct Driver<E> {
    engine: E,
    addr: String,
    origin: Instant,
    sockets: BTreeMap<SocketId, Socket>,
}

impl<E: Engine> Driver<E> {
    pub(crate) fn new(addr: &str, engine: E) -> Driver<E> {
        Driver { engine, addr: addr.to_string(), origin: Instant::now(), sockets: BTreeMap::new() }
    }

    pub(crate) fn engine(&mut self) -> &mut E {
        &mut self.engine
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    /// Goes on until `ready` has something, or none when `until` comes first.
    pub(crate) fn run<T>(
        &mut self,
        until: Option<Moment>,
        mut ready: impl FnMut(&mut E, Moment) -> Option<T>,
    ) -> Option<T> {
        let mut looked = false;
        loop {
            let now = self.now();
            self.engine.step(now);
            let found = ready(&mut self.engine, now);
            let changed = self.open_and_close(now);
            self.write();
            if found.is_some() {
                return found;
            }
            if until.is_some_and(|until| until <= now) {
                // Even who waits for nothing gets what is already here.
                if std::mem::replace(&mut looked, true) || !self.look() {
                    return None;
                }
            } else if !changed {
                let next = earlier(self.engine.deadline(now), until);
                self.wait(next.map(|next| now.until(next)));
            }
        }
    }

    /// Goes on as far as it can without a wait.
    pub(crate) fn turn(&mut self) {
        self.run(Some(Moment::default()), |_, _| None::<()>);
    }

    /// Reads what is already here. False when there is nothing.
    fn look(&mut self) -> bool {
        if self.sockets.is_empty() {
            return false;
        }
        let ready = self.poll(Some(Duration::ZERO));
        ready.iter().for_each(|id| self.read(*id, None));
        !ready.is_empty()
    }

    /// Opens the sockets that are due and closes those that were given up. True when there was any.
    fn open_and_close(&mut self, now: Moment) -> bool {
        let mut changed = false;
        while let Some(socket) = self.engine.session().next_given_up() {
            self.sockets.remove(&socket);
            changed = true;
        }
        while let Some((socket, _)) = self.engine.session().next_connect(now) {
            changed = true;
            match self.open() {
                Ok(stream) => {
                    let now = self.now();
                    if self.engine.session().connected(socket, now) {
                        let read_timeout = Duration::ZERO;
                        self.sockets.insert(socket, Socket { stream, read_timeout });
                    }
                }
                Err(error) => self.lost(socket, error),
            }
        }
        changed
    }

    fn open(&mut self) -> Result<TcpStream> {
        let settings = self.engine.session().settings();
        let (connect, request) = (settings.connect_timeout, settings.request_timeout);
        let stream = open_socket(&self.addr, connect)?;
        stream.set_write_timeout(Some(request)).map_err(|error| failed("set up", &error))?;
        Ok(stream)
    }

    fn lost(&mut self, socket: SocketId, error: Error) {
        let now = self.now();
        self.sockets.remove(&socket);
        self.engine.session().lost(socket, error, now);
    }

    /// Writes everything that is queued.
    pub(crate) fn write(&mut self) {
        let mut lost = Vec::new();
        for (id, socket) in &mut self.sockets {
            let Some(out) = self.engine.session().outgoing(*id) else { continue };
            if let Err(error) = write_all(&mut socket.stream, out) {
                lost.push((*id, error));
            }
        }
        lost.into_iter().for_each(|(id, error)| self.lost(id, error));
    }

    /// Waits until something came, or the time is over.
    fn wait(&mut self, wait: Option<Duration>) {
        let wait = wait.map(|wait| wait.max(WAIT_MIN));
        match self.sockets.len() {
            0 => std::thread::sleep(wait.unwrap_or(WAIT_MIN)),
            1 => {
                let id = *self.sockets.keys().next().expect("there is one");
                self.read(id, wait);
            }
            _ => {
                let ready = self.poll(wait);
                ready.into_iter().for_each(|id| self.read(id, None));
            }
        }
    }

    /// The sockets that have something to read.
    fn poll(&self, wait: Option<Duration>) -> Vec<SocketId> {
        let mut fds: Vec<PollFd<'_>> =
            self.sockets.values().map(|socket| PollFd::new(&socket.stream, PollFlags::IN)).collect();
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, wait.as_ref());
        let ready = self.sockets.keys().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        ready.map(|(id, _)| *id).collect()
    }

    /// One read, for so long at most.
    fn read(&mut self, id: SocketId, wait: Option<Duration>) {
        let socket = self.sockets.get_mut(&id).expect("the socket is open");
        let Some(room) = self.engine.session().room(id) else { return };
        if let Err(error) = socket.wait_at_most(wait) {
            return self.lost(id, failed("set up", &error));
        }
        match socket.stream.read(room) {
            Ok(0) => self.lost(id, gone()),
            Ok(bytes) => {
                let now = self.now();
                self.engine.session().received(id, bytes, now);
            }
            Err(error) => {
                if let Some(error) = read_error(&error) {
                    self.lost(id, error);
                }
            }
        }
    }
}

impl Socket {
    /// Sets what reads wait, but not for every small change: waking up early does no harm and a system call costs.
    fn wait_at_most(&mut self, wait: Option<Duration>) -> std::io::Result<()> {
        let millis = wait.unwrap_or(Duration::from_secs(3600)).as_millis().max(1) as u64;
        let rounded = Duration::from_millis(1 << millis.ilog2());
        if rounded != self.read_timeout {
            self.stream.set_read_timeout(Some(rounded))?;
            self.read_timeout = rounded;
        }
        Ok(())
    }
}
