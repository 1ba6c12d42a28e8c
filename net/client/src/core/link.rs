//! The way to one shard: down, connecting, or up, and when to try again. Decides nothing about what is sent over it.

use crate::core::chance::{Backoff, Chance};
use crate::core::connection::Connection;
use crate::core::moment::Moment;
use crate::settings::Settings;
use flumen_model::{Code, Error};
use flumen_wire::PingRequest;

/// A socket as the face and the core name it; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u64);

/// A socket that stands or is being opened.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) socket: SocketId,
    /// None while the socket connects.
    pub(crate) connection: Option<Connection>,
    /// The handshake is done.
    pub(crate) up: bool,
    /// When it began, and later when something was last heard while something was due.
    pub(crate) heard: Moment,
    /// Something came that is not looked at yet.
    pub(crate) fresh: bool,
}

/// The way to one shard.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) live: Option<Live>,
    /// Somebody has something to send over it.
    wanted: bool,
    not_before: Moment,
    backoff: Backoff,
    pub(crate) last_error: Option<Error>,
}

impl Link {
    pub(crate) fn new(settings: &Settings) -> Link {
        Link {
            live: None,
            wanted: false,
            not_before: Moment::default(),
            backoff: Backoff::new(settings),
            last_error: None,
        }
    }

    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether a socket is to be opened now.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.wanted && self.live.is_none() && now >= self.not_before
    }

    /// A socket is being opened.
    pub(crate) fn connecting(&mut self, socket: SocketId, now: Moment) {
        self.live = Some(Live { socket, connection: None, up: false, heard: now, fresh: false });
    }

    /// The connection, when requests may be sent over it. The wait for an answer begins now unless one runs already.
    pub(crate) fn for_request(&mut self, now: Moment) -> Option<&mut Connection> {
        let live = self.live.as_mut().filter(|live| live.up)?;
        let connection = live.connection.as_mut()?;
        if connection.in_flight() == 0 {
            live.heard = now;
        }
        Some(connection)
    }

    /// The handshake is done.
    pub(crate) fn came_up(&mut self) {
        self.live.as_mut().expect("only a live link comes up").up = true;
        self.backoff.reset();
        self.last_error = None;
    }

    /// The socket is gone, or was never there.
    pub(crate) fn went_down(&mut self, error: Error, now: Moment, chance: &mut Chance) {
        self.live = None;
        self.wanted = false;
        self.not_before = now.plus(self.backoff.wait(chance));
        self.last_error = Some(error);
    }

    /// Looks at the clock: asks a silent server whether it is there, and says when it is given up.
    pub(crate) fn check_time(&mut self, now: Moment, settings: &Settings) -> Option<Error> {
        let live = self.live.as_mut()?;
        let silent = live.heard.until(now);
        if !live.up {
            let late = silent >= settings.connect_timeout;
            return late.then(|| timed_out("the connection was not there", settings.connect_timeout));
        }
        let connection = live.connection.as_mut()?;
        if connection.in_flight() > 0 {
            let late = silent >= settings.request_timeout;
            return late.then(|| timed_out("the node answered nothing", settings.request_timeout));
        }
        if silent >= settings.request_timeout / 2 {
            live.heard = now;
            connection.send(&PingRequest {}).expect("a ping is far below the frame limit");
        }
        None
    }

    /// When something here must be looked at again.
    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Moment> {
        let Some(live) = &self.live else { return self.wanted.then_some(self.not_before) };
        let wait = match &live.connection {
            Some(connection) if live.up && connection.in_flight() == 0 => settings.request_timeout / 2,
            Some(_) if live.up => settings.request_timeout,
            _ => settings.connect_timeout,
        };
        Some(live.heard.plus(wait))
    }
}

#[cold]
fn timed_out(what: &str, wait: std::time::Duration) -> Error {
    Error::new(Code::Timeout, format!("{what} within {wait:?}; it is tried again"))
}
