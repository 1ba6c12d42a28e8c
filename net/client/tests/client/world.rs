//! A world of one engine, one node and pipes between them, with a clock of its own and faults by chance from a seed.

use crate::node::{Node, Peer};
use bytes::Buf;
use flumen_client::core::moment::Moment;
use flumen_client::core::session::{Engine, SocketId};
use flumen_client::model::{Code, Error};
use std::collections::BTreeMap;
use std::time::Duration;

/// Chance for tests: a linear congruence (Knuth's MMIX) with its high bits.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[derive(Default)]
struct Pipe {
    to_node: Vec<u8>,
    to_client: Vec<u8>,
    peer: Peer,
}

/// How the network behaves, in chances of a thousand a round.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) drop: u64,
    pub(crate) refuse_connect: u64,
    /// Bytes come in pieces.
    pub(crate) dribble: bool,
}

/// The world.
pub(crate) struct World<E> {
    pub(crate) engine: E,
    pub(crate) node: Node,
    pub(crate) now: Moment,
    pub(crate) weather: Weather,
    pub(crate) dice: Dice,
    /// The node hears nothing and says nothing.
    pub(crate) mute: bool,
    /// Connections so far.
    pub(crate) connections: usize,
    pipes: BTreeMap<SocketId, Pipe>,
}

impl<E: Engine> World<E> {
    pub(crate) fn new(engine: E, node: Node, seed: u64) -> World<E> {
        World {
            engine,
            node,
            now: Moment::default(),
            weather: Weather::default(),
            dice: Dice(seed),
            mute: false,
            connections: 0,
            pipes: BTreeMap::new(),
        }
    }

    /// One round: time passes, the engine steps, bytes move, things break.
    pub(crate) fn round(&mut self) {
        self.now = self.now.plus(Duration::from_millis(1));
        self.engine.step(self.now);
        while let Some(socket) = self.engine.session().next_given_up() {
            self.pipes.remove(&socket);
        }
        while let Some((socket, _)) = self.engine.session().next_connect(self.now) {
            self.connect(socket);
        }
        let sockets: Vec<SocketId> = self.pipes.keys().copied().collect();
        for socket in sockets {
            self.carry(socket);
        }
        self.engine.step(self.now);
    }

    fn connect(&mut self, socket: SocketId) {
        if self.dice.roll(1000) < self.weather.refuse_connect {
            return self.engine.session().lost(socket, Error::new(Code::Closed, "refused"), self.now);
        }
        assert!(self.engine.session().connected(socket, self.now));
        self.connections += 1;
        self.pipes.insert(socket, Pipe::default());
    }

    fn carry(&mut self, socket: SocketId) {
        let pipe = self.pipes.get_mut(&socket).unwrap();
        if let Some(out) = self.engine.session().outgoing(socket) {
            while out.has_remaining() {
                let chunk = out.chunk().to_vec();
                pipe.to_node.extend_from_slice(&chunk);
                out.advance(chunk.len());
            }
        }
        if self.mute {
            return;
        }
        let piece = |dice: &mut Dice, bytes: &mut Vec<u8>, dribble: bool| -> Vec<u8> {
            let all = bytes.len() as u64;
            let take = if dribble { dice.roll(all + 1).max(all.min(1)) } else { all };
            bytes.drain(..take as usize).collect()
        };
        let up = piece(&mut self.dice, &mut pipe.to_node, self.weather.dribble);
        self.node.feed(&mut pipe.peer, &up).expect("the client keeps to the protocol");
        pipe.to_client.extend_from_slice(&pipe.peer.out.split());
        if self.dice.roll(1000) < self.weather.drop {
            // Whatever the node has done by now, its answers are lost.
            self.pipes.remove(&socket);
            return self.engine.session().lost(socket, Error::new(Code::Closed, "dropped"), self.now);
        }
        let down = piece(&mut self.dice, &mut pipe.to_client, self.weather.dribble);
        let mut down = &down[..];
        while !down.is_empty() {
            let Some(room) = self.engine.session().room(socket) else { return };
            let take = room.len().min(down.len());
            room[..take].copy_from_slice(&down[..take]);
            self.engine.session().received(socket, take, self.now);
            down = &down[take..];
        }
    }

    /// Drops all connections.
    pub(crate) fn cut(&mut self) {
        for (socket, _) in std::mem::take(&mut self.pipes) {
            self.engine.session().lost(socket, Error::new(Code::Closed, "cut"), self.now);
        }
    }

    /// Rounds until `done`, or a panic when it never comes.
    pub(crate) fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..200_000 {
            self.round();
            if done(self) {
                return;
            }
        }
        panic!("the world does not come to its end");
    }
}
