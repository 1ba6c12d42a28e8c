//! The driver of one replica of one group: its parts, its birth and what may be asked of it. What moves it is in
//! the rooms below. It must never be driven by anything but its own calls.

mod conf;
mod drain;
mod feed;
mod propose;

use crate::conf::Conf;
use crate::entry::Entry;
use crate::flight::Flight;
use crate::ids::{Index, ReplicaId, Term};
use crate::ready::Write;
use crate::state::{Point, Restored};
use crate::tally::Tally;
use crate::view::View;
use raft::{RawNode, StateRole};

/// What a replica is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This replica. Never used before by any other.
    pub id: ReplicaId,
    /// What its election timeouts are drawn from.
    pub seed: u64,
    /// Ticks without a leader before an election, at least; twice that at most.
    pub election_ticks: usize,
    /// Ticks between a leader's heartbeats.
    pub heartbeat_ticks: usize,
    /// Its place among the replicas, from 0: the lower, the sooner it stands for election.
    pub rank: u32,
    /// Payload bytes of one message, about; one entry always fits.
    pub message_bytes_max: u64,
    /// Messages with entries under way to one follower.
    pub messages_in_flight_max: usize,
    /// Payload bytes proposed and not committed; one entry always fits. Without a bound a slow follower never
    /// catches up.
    pub uncommitted_bytes_max: u64,
    /// Entries proposed and not committed.
    pub uncommitted_entries_max: u64,
    /// What a leader with followers keeps in memory of entries that are applied and that a live follower may
    /// still lack.
    pub kept_bytes_max: usize,
}

impl Config {
    /// For ticks of 10 ms: an election after one to two seconds, a heartbeat every 100 ms.
    pub fn new(id: ReplicaId, seed: u64) -> Config {
        Config {
            id,
            seed,
            election_ticks: 100,
            heartbeat_ticks: 10,
            rank: 0,
            message_bytes_max: 1 << 20,
            messages_in_flight_max: 64,
            uncommitted_bytes_max: 16 << 20,
            uncommitted_entries_max: 16 << 10,
            kept_bytes_max: 1 << 20,
        }
    }

    fn raft(&self, applied: Index) -> raft::Config {
        raft::Config {
            id: self.id.0,
            election_tick: self.election_ticks,
            heartbeat_tick: self.heartbeat_ticks,
            applied: applied.0,
            max_size_per_msg: self.message_bytes_max.min(self.uncommitted_bytes_max),
            max_inflight_msgs: self.messages_in_flight_max,
            check_quorum: true,
            pre_vote: true,
            batch_append: true,
            max_uncommitted_size: self.uncommitted_bytes_max,
            ..raft::Config::default()
        }
    }
}

/// One replica of one group.
pub struct Driver {
    config: Config,
    raw: RawNode<View>,
    flight: Flight,
    /// Committed and durable here, not yet taken by the caller.
    committed: Vec<Entry>,
    /// How far the caller's state machine is.
    applied: Index,
    /// The newest Ready of Raft's, and the newest that the caller has.
    number: u64,
    given: u64,
    /// What is to be written and was not taken yet.
    backlog: Write,
    /// The term and vote of the newest Ready.
    ballot: (Term, ReplicaId),
    now_ticks: u64,
    /// Entries were appended that no follower was told of yet.
    broadcast: bool,
    wants_campaign: bool,
    /// Snapshots under way: to whom, and since when.
    snapshots: Vec<(ReplicaId, u64)>,
    tally: Tally,
}

impl Driver {
    /// The first state of the first members of a group; see [`Restored::birth`]. A replica that joins later
    /// begins with [`Restored::joining`].
    pub fn birth(point: Point) -> Restored {
        Restored::birth(point)
    }

    /// A replica as it was found on disk, or as it begins.
    ///
    /// # Panics
    /// When `restored` contradicts itself ([`Restored::check`]): a log must never be guessed.
    pub fn new(config: Config, restored: Restored) -> Driver {
        if let Err(why) = restored.check() {
            panic!("replica {}: {why}", config.id);
        }
        let applied = restored.applied;
        let ballot = (restored.hard_state.term, restored.hard_state.vote);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut raw = RawNode::new(&config.raft(applied), View::new(restored), &logger)
            .expect("the settings are in order, and the view in memory gives no errors at boot");
        raw.raft.maybe_free_inflight_buffers();
        Driver {
            config,
            raw,
            flight: Flight::default(),
            committed: Vec::new(),
            applied,
            number: 0,
            given: 0,
            backlog: Write::default(),
            ballot,
            now_ticks: 0,
            broadcast: false,
            wants_campaign: false,
            snapshots: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// This replica.
    pub fn id(&self) -> ReplicaId {
        self.config.id
    }

    /// It leads its group, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Who leads, as far as this replica knows.
    pub fn leader(&self) -> Option<ReplicaId> {
        Some(ReplicaId(self.raw.raft.leader_id)).filter(|id| *id != ReplicaId::NONE)
    }

    /// The newest term this replica knows.
    pub fn term(&self) -> Term {
        Term::from_raft(self.raw.raft.term)
    }

    /// Everything up to here is committed. May pass this replica's own flush: **acks go by this index**.
    pub fn commit(&self) -> Index {
        Index(self.raw.raft.raft_log.committed)
    }

    /// The last entry, durable or not.
    pub fn last_index(&self) -> Index {
        Index(self.raw.raft.raft_log.last_index())
    }

    /// The term of an entry from the log start on, durable or not.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        let log = &self.raw.raft.raft_log;
        let known = (self.start().index..=self.last_index()).contains(&index);
        known.then(|| log.term(index.0).ok()).flatten().map(Term::from_raft)
    }

    /// How far the caller said it has applied.
    pub fn applied_index(&self) -> Index {
        self.applied
    }

    /// The start of the log.
    pub fn start(&self) -> &Point {
        self.raw.store().start()
    }

    /// The configuration in force here: the newest one that was applied.
    pub fn conf(&self) -> &Conf {
        self.raw.store().conf().1
    }

    /// Since which index it is in force. Changes are made for one ([`Driver::propose_conf`]).
    pub fn conf_index(&self) -> Index {
        self.raw.store().conf().0
    }

    /// The configurations since the log start, oldest first. Whoever writes an applied mark writes those up to
    /// it before.
    pub fn confs(&self) -> &[(Index, Conf)] {
        self.raw.store().confs()
    }

    /// It votes, and nobody else does.
    pub fn is_sole_voter(&self) -> bool {
        self.conf().is_sole_voter(self.config.id)
    }

    /// Whether [`Driver::tick`] does anything. A leader without company needs no time: ten thousand idle groups
    /// would burn a hundredth of a core on it.
    pub fn needs_ticks(&self) -> bool {
        !(self.is_leader() && self.is_alone())
    }

    /// A Ready that must be durable is under way.
    pub fn is_writing(&self) -> bool {
        !self.flight.is_empty()
    }

    /// How far a follower's durable log is known to match; leaders only.
    pub fn matched(&self, id: ReplicaId) -> Option<Index> {
        let progress = self.raw.raft.prs().get(id.0).filter(|_| self.is_leader());
        progress.map(|progress| Index(progress.matched))
    }

    /// How often it took one of its rare ways.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// No other member at all.
    fn is_alone(&self) -> bool {
        let conf = self.conf();
        conf.is_sole_voter(self.config.id) && conf.learners.is_empty()
    }

    /// A snapshot is not durable yet: nothing may move before it is.
    fn is_installing(&self) -> bool {
        self.raw.snap().is_some() || self.flight.has_point()
    }

    /// A sole voter that does not lead and has something to write. If it stood for election now it would lead at
    /// once, over a log whose end is not durable.
    fn must_settle(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        let settled = self.flight.is_empty() && log.persisted == log.last_index();
        self.is_sole_voter() && !self.is_leader() && !settled
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "replica {} {:?} term {} log {}..{} commit {} applied {}",
            self.id(),
            self.raw.raft.state,
            self.term(),
            self.start().index,
            self.last_index(),
            self.commit(),
            self.applied
        )
    }
}

#[cfg(test)]
mod tests;
