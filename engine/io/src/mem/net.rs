//! The simulated network: the addresses that somebody listens on, how long bytes travel, and what befalls
//! connections by chance. What a connection is, and what a mishap does to it, is the pipe's business.

use super::fate::{Fate, Fault};
use super::faults::{Chance, NetFaults};
use super::pipe::{CutPipe, End, Luck, Mishap};
use super::rng::Rng;
use crate::local::LocalQueue;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Connections that wait to be accepted, like the real host's backlog.
const BACKLOG: usize = 4096;
const FIRST_EPHEMERAL_PORT: u16 = 32_768;
/// How long bytes travel, in nanoseconds.
const DELAY_NANOS: (u64, u64) = (10_000, 60_000);
/// How long a lost connect takes to fail, unless the faults say otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// All that machines share on the wire.
#[derive(Debug)]
pub(super) struct Net {
    rng: Rng,
    fate: Rc<Fate>,
    listeners: BTreeMap<SocketAddr, LocalQueue<End>>,
    next_port: u16,
    connections: u64,
    /// What was cut, and by which fault; only those that heal.
    cut: Vec<(Fault, CutPipe)>,
}

/// What befalls a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectMishap {
    Refused,
    /// Nobody answers for so long.
    Lost(Duration),
}

impl Net {
    pub(super) fn new(rng: Rng, fate: Rc<Fate>) -> Net {
        Net {
            rng,
            fate,
            listeners: BTreeMap::new(),
            next_port: FIRST_EPHEMERAL_PORT,
            connections: 0,
            cut: Vec::new(),
        }
    }

    pub(super) fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
        self.connections = 0;
    }

    /// New faults are in force: cuts whose chance is zero now are mended.
    pub(super) fn faults_changed(&mut self) {
        let (one_way, both) = {
            let faults = self.fate.faults();
            (faults.net.one_way_cut.per_million, faults.net.black_hole.per_million)
        };
        let heals = |fault: &Fault| if *fault == Fault::OneWayCut { one_way == 0 } else { both == 0 };
        let (healed, cut) = std::mem::take(&mut self.cut).into_iter().partition(|(fault, _)| heals(fault));
        self.cut = cut;
        for (_, pipe) in healed {
            pipe.mend();
        }
    }

    /// Draws the luck of a connection that is about to be made.
    pub(super) fn luck(&mut self, server: SocketAddr) -> Luck {
        self.connections += 1;
        let draw = self.fate.below(Fault::HitConnection, 1_000_000) as u32;
        let luck = Luck { id: self.connections, draw, port: server.port() };
        if is_hit(&self.fate.faults().net, luck) {
            let id = luck.id;
            self.fate.happened(Fault::HitConnection, id, || format!("connection {id} can be hit"));
        }
        luck
    }

    /// Whether one that can be hit is, by this chance.
    fn strikes(&self, fault: Fault, luck: Luck, chance: impl FnOnce(&NetFaults) -> Chance) -> bool {
        let faults = self.fate.faults();
        let strikes = is_hit(&faults.net, luck) && self.fate.draws(fault, chance(&faults.net));
        if strikes {
            self.fate.happened(fault, luck.id, || format!("connection {}", luck.id));
        }
        strikes
    }

    /// What befalls a connect, if anything.
    pub(super) fn connect_mishap(&self, luck: Luck) -> Option<ConnectMishap> {
        if self.strikes(Fault::RefusedConnect, luck, |net| net.refused_connect) {
            return Some(ConnectMishap::Refused);
        }
        if self.strikes(Fault::LostConnect, luck, |net| net.lost_connect) {
            let timeout = self.fate.faults().net.connect_timeout;
            return Some(ConnectMishap::Lost(if timeout.is_zero() { CONNECT_TIMEOUT } else { timeout }));
        }
        None
    }

    /// What befalls a send, if anything, and by which fault.
    pub(super) fn mishap(&self, end: &End) -> Option<(Fault, Mishap)> {
        let luck = end.luck();
        if !is_hit(&self.fate.faults().net, luck) || end.is_cut() {
            return None;
        }
        if self.strikes(Fault::Reset, luck, |net| net.reset) {
            return Some((Fault::Reset, Mishap::Reset));
        }
        if self.strikes(Fault::HalfClose, luck, |net| net.half_close) {
            return Some((Fault::HalfClose, Mishap::HalfClose));
        }
        if self.strikes(Fault::OneWayCut, luck, |net| net.one_way_cut) {
            return Some((Fault::OneWayCut, Mishap::Cut));
        }
        if self.strikes(Fault::BlackHole, luck, |net| net.black_hole) {
            return Some((Fault::BlackHole, Mishap::CutBoth));
        }
        if self.strikes(Fault::Dead, luck, |net| net.dead) {
            return Some((Fault::Dead, Mishap::CutBoth));
        }
        if self.strikes(Fault::NetStall, luck, |net| net.stall) {
            let most = self.fate.faults().net.stall_most;
            return Some((Fault::NetStall, Mishap::Stall(self.fate.tail_nanos(Fault::NetStall, most))));
        }
        None
    }

    /// Remembers a cut, to be mended if its fault heals.
    pub(super) fn was_cut(&mut self, fault: Fault, pipe: CutPipe) {
        if fault != Fault::Dead {
            self.cut.push((fault, pipe));
        }
    }

    /// How long something travels, in nanoseconds.
    pub(super) fn delay(&mut self) -> u64 {
        self.rng.between(DELAY_NANOS.0, DELAY_NANOS.1)
    }

    /// How much of what is there a read brings: often all, sometimes less, at times a single byte.
    pub(super) fn fragment(&mut self, there: usize) -> usize {
        match self.rng.below(8) {
            0 => 1,
            1 | 2 => self.rng.between(1, there as u64) as usize,
            _ => there,
        }
    }

    fn ephemeral_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        port
    }

    /// Begins to listen; port 0 asks for a free one. Gives the address and the queue of connections.
    pub(super) fn listen(&mut self, mut address: SocketAddr) -> io::Result<(SocketAddr, LocalQueue<End>)> {
        if address.port() == 0 {
            address.set_port(self.ephemeral_port());
        }
        let overlaps = |other: &SocketAddr| {
            other.port() == address.port()
                && (other.ip() == address.ip()
                    || other.ip().is_unspecified()
                    || address.ip().is_unspecified())
        };
        if self.listeners.keys().any(overlaps) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let queue = LocalQueue::bounded(BACKLOG);
        self.listeners.insert(address, queue.clone());
        Ok((address, queue))
    }

    /// Stops listening; connections that nobody accepted are reset.
    pub(super) fn unlisten(&mut self, address: SocketAddr) -> Vec<End> {
        let Some(queue) = self.listeners.remove(&address) else { return Vec::new() };
        queue.close();
        std::iter::from_fn(|| queue.try_pop()).collect()
    }

    /// Connects, or is refused. The connection stands before it is accepted.
    pub(super) fn connect(&mut self, server: SocketAddr, luck: Luck) -> io::Result<End> {
        let port = self.ephemeral_port();
        let answers = |address: &&SocketAddr| {
            address.port() == server.port() && (address.ip() == server.ip() || address.ip().is_unspecified())
        };
        let address = self.listeners.keys().find(answers).copied().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = End::pair(SocketAddr::new(server.ip(), port), server, luck);
        match self.listeners[&address].try_push(far) {
            Ok(()) => Ok(near),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// The process is gone: nobody listens any more.
    pub(super) fn process_gone(&mut self) {
        self.cut.clear();
        for address in self.listeners.keys().copied().collect::<Vec<_>>() {
            drop(self.unlisten(address));
        }
    }
}

/// Whether a connection can be hit at all.
fn is_hit(faults: &NetFaults, luck: Luck) -> bool {
    luck.draw < faults.hit_per_million && (faults.ports.is_empty() || faults.ports.contains(&luck.port))
}
