//! A group of replicas in one process: simulated disks that take whole journal groups or none, a network that is
//! a bag of messages, and an oracle that remembers everything. Nothing here knows Raft.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod disk;
pub(crate) mod notes;
pub(crate) mod oracle;
pub(crate) mod replica;

use bytes::Bytes;
use disk::Disk;
use flumen_replication::{
    Conf, ConfChange, Config, Driver, EntryKind, Index, Leave, Message, Point, Refused, ReplicaId, Restored,
    Role, Term,
};
use notes::{Kind, Notes};
use oracle::Oracle;
use replica::{Habits, Replica, Scene};
use std::collections::BTreeMap;

/// SplitMix64: a whole generator in one number.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Where every group of the tests is born.
pub(crate) const BIRTH: (Index, Term) = (Index(5), Term(1));

pub(crate) fn id(n: u64) -> ReplicaId {
    ReplicaId(n)
}

pub(crate) fn ids(range: impl IntoIterator<Item = u64>) -> Vec<ReplicaId> {
    range.into_iter().map(ReplicaId).collect()
}

pub(crate) fn birth(voters: impl IntoIterator<Item = u64>) -> Restored {
    flumen_replication::Driver::birth(Point {
        index: BIRTH.0,
        term: BIRTH.1,
        conf: Conf::of_voters(ids(voters)),
    })
}

/// Settings small enough that every bound is met.
pub(crate) fn config(id: ReplicaId) -> Config {
    Config {
        election_ticks: 10,
        heartbeat_ticks: 2,
        rank: (id.0 % 4) as u32,
        message_bytes_max: 256,
        messages_in_flight_max: 4,
        uncommitted_bytes_max: 4096,
        uncommitted_entries_max: 60,
        kept_bytes_max: 1024,
        ..Config::new(id, 42)
    }
}

/// What a caller takes from a driver after each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Haste {
    /// Everything.
    All,
    /// What is committed; Readys wait.
    Committed,
    /// Nothing: several calls come together.
    Nothing,
}

fn note_leader(driver: &Driver, notes: &mut Notes) {
    notes.count(Kind::Elected);
    notes.count_times(Kind::ElectedSole, driver.is_sole_voter().into());
    notes.count_times(Kind::ElectedJoint, driver.conf().is_joint().into());
    if notes.transfer_to.take() == Some(driver.id()) {
        notes.count(Kind::ElectedByTransfer);
    }
    notes.spark = Some(driver.id());
    notes.tell(|| format!("    {} leads in term {}", driver.id(), driver.term()));
}

/// One group. A replica that is `None` does not exist any more.
pub(crate) struct Ring {
    pub(crate) replicas: BTreeMap<ReplicaId, Replica>,
    pub(crate) wire: Vec<Message>,
    pub(crate) oracle: Oracle,
    pub(crate) notes: Notes,
    pub(crate) now: u64,
    pub(crate) haste: Haste,
    /// Of all replicas that are created from now on.
    pub(crate) habits: Habits,
    written: u64,
}

impl Ring {
    /// A newborn group of these voters.
    pub(crate) fn new(voters: u64) -> Ring {
        Ring::with_habits(voters, Habits::default())
    }

    /// The same, on hosts of these habits.
    pub(crate) fn with_habits(voters: u64, habits: Habits) -> Ring {
        let mut ring = Ring {
            replicas: BTreeMap::new(),
            wire: Vec::new(),
            oracle: Oracle::default(),
            notes: Notes::default(),
            now: 0,
            haste: Haste::All,
            habits,
            written: 0,
        };
        for n in 1..=voters {
            ring.create(id(n), birth(1..=voters));
        }
        ring
    }

    /// The metadata group creates a replica. A message never does.
    pub(crate) fn create(&mut self, id: ReplicaId, restored: Restored) {
        let (now, habits) = (self.now, self.habits);
        let rank = if habits.rivals { 0 } else { config(id).rank };
        let (_, mut scene) = self.scene();
        let config = Config { rank, ..config(id) };
        let replica = Replica::boot(config, habits, Disk::new(restored), &mut scene, now);
        assert!(self.replicas.insert(id, replica).is_none(), "a replica id is never used again");
    }

    /// The replicas, and what they share.
    fn scene(&mut self) -> (&mut BTreeMap<ReplicaId, Replica>, Scene<'_>) {
        let Ring { replicas, wire, oracle, notes, haste, .. } = self;
        (replicas, Scene { wire, oracle, notes, haste: *haste })
    }

    pub(crate) fn at(&mut self, n: u64) -> &mut Replica {
        self.replicas.get_mut(&id(n)).expect("that replica exists")
    }

    pub(crate) fn driver(&mut self, n: u64) -> &mut flumen_replication::Driver {
        self.at(n).driver.as_mut().expect("that replica is up")
    }

    /// Takes what a replica has ready: writes to its disk's queue, messages to the wire.
    pub(crate) fn drain(&mut self, id: ReplicaId) {
        let (replicas, mut scene) = self.scene();
        if let Some(replica) = replicas.get_mut(&id) {
            replica.drain(&mut scene);
        }
        if self.haste != Haste::Nothing {
            self.judge_leader(id);
        }
    }

    /// A leader was elected by its group, and what it says is committed is durable on a majority.
    fn judge_leader(&mut self, id: ReplicaId) {
        self.note_deposed(id);
        let Some(replica) = self.replicas.get(&id) else { return };
        let Some(driver) = replica.driver.as_ref().filter(|driver| driver.is_leader()) else { return };
        let (term, commit, boots) = (driver.term(), driver.commit(), replica.boots);
        // A sole voter's term counts once it is durable: until then nobody can have heard of it.
        if replica.disk.durable.hard_state.term != term {
            return;
        }
        let (led, checked) = (replica.led, replica.checked);
        let first = led.is_none_or(|(known, _)| known != term);
        if first {
            self.oracle.new_leader(driver);
            note_leader(driver, &mut self.notes);
        }
        let acks = self.oracle.leads(driver, boots);
        self.notes.count_times(Kind::Acked, acks as u64);
        let before = led.filter(|_| !first).map_or(commit, |(_, before)| before);
        if commit > checked.max(before) {
            self.judge_commit(id);
        }
        let replica = self.replicas.get_mut(&id).expect("just seen");
        (replica.led, replica.checked) = (Some((term, before)), commit.max(checked));
    }

    fn note_deposed(&mut self, id: ReplicaId) {
        let Ring { replicas, notes, .. } = self;
        let Some(replica) = replicas.get_mut(&id) else { return };
        let follows = replica.driver.as_ref().is_some_and(|driver| !driver.is_leader());
        if !follows || replica.led.is_none() {
            return;
        }
        if !replica.disk.queue.is_empty() {
            notes.count(Kind::Deposed);
            notes.deposed = Some(id);
        }
        replica.led = None;
    }

    /// Commit moves by an entry of the leader's own term that a majority of each voter list has on disk.
    fn judge_commit(&mut self, id: ReplicaId) {
        let replica = &self.replicas[&id];
        let driver = replica.driver.as_ref().expect("it leads");
        let commit = driver.commit();
        let Some(term) = driver.term_at(commit) else { return };
        assert_eq!(term, driver.term(), "replica {id} counts replicas for an entry of an older term");
        let early = !replica.disk.durable.has(commit, term);
        let mut known = driver.confs().iter().rev().map(|(_, conf)| conf).chain([&driver.start().conf]);
        // The newest one may have come into force by this very commit.
        let held = (0..2).any(|_| known.next().is_some_and(|conf| self.has_quorum(conf, commit, term)));
        assert!(held, "replica {id} commits {commit}, which no majority of voters has on disk");
        self.notes.count_times(Kind::AckedEarly, early.into());
    }

    fn has_quorum(&self, conf: &Conf, index: Index, term: Term) -> bool {
        let has = |id: &&ReplicaId| {
            self.replicas.get(id).is_some_and(|replica| replica.disk.durable.has(index, term))
        };
        let majority = |voters: &[ReplicaId]| voters.iter().filter(has).count() > voters.len() / 2;
        majority(&conf.voters) && (!conf.is_joint() || majority(&conf.voters_outgoing))
    }

    /// Up to `groups` queued journal groups of a replica become durable.
    pub(crate) fn sync(&mut self, id: ReplicaId, groups: usize) {
        self.sync_as(id, groups, false);
    }

    /// The same; the driver hears of each, or of the last one alone.
    pub(crate) fn sync_as(&mut self, id: ReplicaId, groups: usize, together: bool) {
        self.drain(id);
        let (replicas, mut scene) = self.scene();
        if let Some(replica) = replicas.get_mut(&id) {
            replica.sync(groups, together, &mut scene);
        }
        self.drain(id);
    }

    pub(crate) fn tick(&mut self, id: ReplicaId) {
        if let Some(driver) = self.replicas.get_mut(&id).and_then(|replica| replica.driver.as_mut()) {
            driver.tick(self.now);
        }
        self.drain(id);
    }

    /// Delivers one message, if its replica is there and up.
    pub(crate) fn deliver(&mut self, message: Message) {
        let to = message.to();
        if let Some(driver) = self.replicas.get_mut(&to).and_then(|replica| replica.driver.as_mut()) {
            driver.step(message);
        }
        self.drain(to);
    }

    /// Everything is delivered and durable at once, `ticks` times: a quiet network and fast disks. Messages to
    /// and from `cut` are lost.
    pub(crate) fn run_without(&mut self, ticks: usize, cut: &[u64]) {
        for _ in 0..ticks {
            self.now += 1;
            let all: Vec<ReplicaId> = self.replicas.keys().copied().collect();
            all.iter().for_each(|id| self.tick(*id));
            self.settle_without(cut);
        }
    }

    /// Until nothing moves any more without time.
    pub(crate) fn settle_without(&mut self, cut: &[u64]) {
        let all: Vec<ReplicaId> = self.replicas.keys().copied().collect();
        for _ in 0..1000 {
            all.iter().for_each(|id| self.drain(*id));
            all.iter().for_each(|id| self.sync(*id, usize::MAX));
            let wire = std::mem::take(&mut self.wire);
            if wire.is_empty() {
                return;
            }
            for message in wire {
                if !cut.contains(&message.from().0) && !cut.contains(&message.to().0) {
                    self.deliver(message);
                }
            }
        }
        panic!("messages without end");
    }

    pub(crate) fn run(&mut self, ticks: usize) {
        self.run_without(ticks, &[]);
    }

    pub(crate) fn settle(&mut self) {
        self.settle_without(&[]);
    }

    /// Delivers what is on the wire for one replica, and drains it.
    pub(crate) fn deliver_to(&mut self, n: u64) {
        let (mine, others) =
            std::mem::take(&mut self.wire).into_iter().partition(|message| message.to() == id(n));
        self.wire = others;
        Vec::into_iter(mine).for_each(|message| self.deliver(message));
    }

    /// Boots a replica that is down.
    pub(crate) fn restart(&mut self, n: u64) {
        let now = self.now;
        let (replicas, mut scene) = self.scene();
        replicas.get_mut(&id(n)).expect("it exists").restart(&mut scene, now);
        self.drain(id(n));
    }

    /// Whoever leads in the newest term.
    pub(crate) fn leader(&self) -> Option<ReplicaId> {
        let drivers = self.replicas.values().filter_map(|replica| replica.driver.as_ref());
        drivers
            .filter(|driver| driver.is_leader())
            .max_by_key(|driver| driver.term())
            .map(|driver| driver.id())
    }

    /// Ticks until somebody leads.
    pub(crate) fn elect(&mut self) -> ReplicaId {
        self.elect_without(&[])
    }

    fn elect_without(&mut self, cut: &[u64]) -> ReplicaId {
        for _ in 0..200 {
            if let Some(leader) = self.leader() {
                self.settle_without(cut);
                return leader;
            }
            self.run_without(1, cut);
        }
        panic!("no leader after 200 ticks");
    }

    /// Makes this replica the leader of a quiet group.
    pub(crate) fn elect_this(&mut self, n: u64) {
        let now = self.now;
        self.driver(n).campaign(now);
        self.settle();
        if self.leader() != Some(id(n)) {
            let leader = self.elect();
            self.driver(leader.0).transfer_leader(id(n));
            self.settle();
        }
        assert_eq!(self.leader(), Some(id(n)));
    }

    /// A payload that nobody else proposes.
    pub(crate) fn payload(&mut self) -> Bytes {
        self.written += 1;
        Bytes::from(format!("write {}", self.written))
    }

    pub(crate) fn propose(&mut self, leader: ReplicaId) -> Result<Index, Refused> {
        let data = self.payload();
        let kind = if self.written.is_multiple_of(5) { EntryKind::Command } else { EntryKind::Batch };
        let Ring { replicas, oracle, .. } = self;
        let replica = replicas.get_mut(&leader).expect("it exists");
        replica.propose(kind, data, oracle)
    }

    /// A write, and everything it needs to be committed everywhere.
    pub(crate) fn write(&mut self) -> Index {
        let leader = self.elect();
        let index = self.propose(leader).expect("the leader takes it");
        self.settle();
        self.run(3);
        index
    }

    /// Changes the configuration and waits until the leader has applied it.
    pub(crate) fn change(&mut self, roles: &[(u64, Role)], leave: Leave) -> Index {
        self.change_without(roles, leave, &[])
    }

    /// The same, while messages to and from `cut` are lost.
    pub(crate) fn change_without(&mut self, roles: &[(u64, Role)], leave: Leave, cut: &[u64]) -> Index {
        let leader = self.elect_without(cut);
        let change = ConfChange { roles: roles.iter().map(|&(n, role)| (id(n), role)).collect(), leave };
        let driver = self.driver(leader.0);
        let index = driver.propose_conf(driver.conf_index(), &change).expect("the leader takes the change");
        self.settle_without(cut);
        self.run_without(3, cut);
        index
    }

    /// A new replica, from a learner to a voter.
    pub(crate) fn grow(&mut self, n: u64) {
        self.create(id(n), Restored::joining());
        self.change(&[(n, Role::Learner)], Leave::Auto);
        self.run(30);
        self.change(&[(n, Role::Voter)], Leave::Auto);
    }
}
