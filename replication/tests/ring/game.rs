//! One group while acts are played on it. No chance: the same acts give the same group.

use super::act::{Act, Letter};
use super::staff::Staff;
use crate::common::notes::Kind;
use crate::common::replica::Habits;
use crate::common::{Haste, Ring};
use flumen_replication::{ConfChange, Driver, Index, Message, ReplicaId, Restored, Role};

/// Messages on the wire at most; older ones are lost.
const WIRE_MAX: usize = 300;
const WIRE_LOST: usize = 100;
/// A learner that lacks more than this is promoted blind. The driver's own bound, said again.
const BLIND_ENTRIES: u64 = 64;

/// See the head of this file.
pub(crate) struct Game {
    pub(crate) ring: Ring,
    pub(crate) staff: Staff,
}

impl Game {
    pub(crate) fn new(voters: u64, habits: Habits) -> Game {
        Game { ring: Ring::with_habits(voters, habits), staff: Staff::of(voters) }
    }

    pub(crate) fn all(&self) -> Vec<ReplicaId> {
        self.ring.replicas.keys().copied().collect()
    }

    /// The driver of a replica that is up.
    pub(crate) fn driver(&self, id: ReplicaId) -> Option<&Driver> {
        self.ring.replicas.get(&id).and_then(|replica| replica.driver.as_ref())
    }

    fn driver_mut(&mut self, id: ReplicaId) -> Option<&mut Driver> {
        self.ring.replicas.get_mut(&id).and_then(|replica| replica.driver.as_mut())
    }

    /// Plays one act.
    pub(crate) fn play(&mut self, act: &Act) {
        let now = self.ring.now;
        self.ring.notes.fold(act);
        self.ring.notes.tell(|| format!("{now:>5} {act}"));
        match act {
            Act::Time(haste) => self.time(*haste),
            Act::Tick(id) => self.ring.tick(*id),
            Act::Drain(id) => self.ring.drain(*id),
            Act::Sync(id, groups, together) => self.ring.sync_as(*id, *groups, *together),
            Act::Deliver(letter) => self.deliver(letter, false),
            Act::Repeat(letter) => self.deliver(letter, true),
            Act::Lose(letter, told) => self.lose(letter, *told),
            Act::Stray(letter, door) => self.stray(letter, *door),
            Act::Propose(id) => self.propose(*id),
            Act::Campaign(id) => self.campaign(*id),
            Act::Transfer(id, to) => self.transfer(*id, *to),
            Act::Change(id, made_for, change) => self.change(*id, *made_for, change),
            Act::Leave(id) => self.leave(*id),
            Act::Fence(id, gone) => self.fence(*id, *gone),
            Act::Create(id) => self.create(*id),
            Act::Destroy(id) => self.destroy(*id),
            Act::Checkpoint(id, behind) => self.checkpoint(*id, *behind),
            Act::Apply(id) => self.apply(*id),
            Act::Answer(id) => self.answer(*id),
            Act::Crash(id, kept) => self.crash(*id, *kept),
            Act::Boot(id) => self.boot(*id),
            Act::Wipe(id) => self.wipe(*id),
        }
    }

    fn time(&mut self, haste: Haste) {
        self.note();
        self.ring.now += 1;
        self.ring.haste = haste;
        if self.ring.wire.len() > WIRE_MAX {
            self.ring.wire.drain(..WIRE_LOST);
        }
        let drivers = self.ring.replicas.values().filter_map(|replica| replica.driver.as_ref());
        for leader in drivers.filter(|driver| driver.is_leader()) {
            self.staff.joined.extend(leader.conf().members());
        }
    }

    fn take(&mut self, letter: &Letter) -> Option<Message> {
        let ours = |message: &Message| message.from() == letter.from && message.to() == letter.to;
        let mut places =
            self.ring.wire.iter().enumerate().filter(|(_, message)| ours(message)).map(|(at, _)| at);
        let at = places.nth(letter.nth)?;
        let message = self.ring.wire.remove(at);
        self.ring.notes.tell(|| format!("    {message:?}"));
        Some(message)
    }

    fn deliver(&mut self, letter: &Letter, again: bool) {
        let Some(message) = self.take(letter) else { return };
        self.ring.notes.count(Kind::Delivered);
        if letter.nth > 0 {
            self.ring.notes.count(Kind::Overtaken);
        }
        if again {
            self.ring.notes.count(Kind::Repeated);
            self.ring.wire.push(message.clone());
        }
        match self.staff.heirs.get(&letter.to).copied() {
            // The node is there, with a new disk and a new replica.
            Some(heir) => {
                self.at_wrong_door(message, heir);
                self.ring.notes.count(Kind::WipedFenced);
            }
            None => self.ring.deliver(message),
        }
    }

    fn lose(&mut self, letter: &Letter, told: bool) {
        let Some(message) = self.take(letter) else { return };
        self.ring.notes.count(if told { Kind::LostTold } else { Kind::Lost });
        if let Some(driver) = self.driver_mut(letter.from).filter(|_| told) {
            // A transport sometimes knows that it lost something.
            if message.is_snapshot() {
                driver.report_snapshot(letter.to, false);
            } else {
                driver.report_unreachable(letter.to);
            }
        }
    }

    fn stray(&mut self, letter: &Letter, door: ReplicaId) {
        let Some(message) = self.take(letter).filter(|_| door != letter.to) else { return };
        self.at_wrong_door(message, door);
        self.ring.notes.count(Kind::StrayDropped);
    }

    /// A replica never moves by what another was told.
    fn at_wrong_door(&mut self, message: Message, door: ReplicaId) {
        if let Some(driver) = self.driver_mut(door) {
            let before = (driver.term(), driver.leader(), driver.commit(), driver.last_index());
            driver.step(message);
            let after = (driver.term(), driver.leader(), driver.commit(), driver.last_index());
            assert_eq!(before, after, "replica {door} takes a message for another");
        }
        self.ring.drain(door);
    }

    fn propose(&mut self, id: ReplicaId) {
        if self.ring.replicas.contains_key(&id)
            && let Err(why) = self.ring.propose(id)
        {
            self.ring.notes.refused(&why);
        }
    }

    fn campaign(&mut self, id: ReplicaId) {
        let now = self.ring.now;
        if let Some(driver) = self.driver_mut(id) {
            driver.campaign(now);
        }
        self.ring.drain(id);
    }

    fn transfer(&mut self, id: ReplicaId, to: ReplicaId) {
        if let Some(driver) = self.driver_mut(id) {
            driver.transfer_leader(to);
            self.ring.notes.count(Kind::TransferAsked);
            self.ring.notes.transfer_to = Some(to);
        }
    }

    fn change(&mut self, id: ReplicaId, made_for: Index, change: &ConfChange) {
        let exists = |id: &ReplicaId| self.ring.replicas.contains_key(id);
        if change.roles.iter().any(|(named, role)| *role != Role::Gone && !exists(named)) {
            return;
        }
        let Some(driver) = self.driver_mut(id) else { return };
        match driver.propose_conf(made_for, change) {
            Ok(index) => {
                self.judge_change(id, made_for, change);
                self.staff.changes.push(index);
            }
            Err(why) => self.ring.notes.refused(&why),
        }
    }

    /// What a leader must refuse was not taken.
    fn judge_change(&self, id: ReplicaId, made_for: Index, change: &ConfChange) {
        let driver = self.driver(id).expect("it leads");
        assert_eq!(made_for, driver.conf_index(), "a change for another configuration was taken");
        assert!(!driver.conf().is_joint(), "a change was taken within a joint configuration");
        for &(named, role) in &change.roles {
            let was = |conf: &flumen_replication::Conf| conf.is_member(named);
            let known = was(&driver.start().conf) || driver.confs().iter().any(|(_, conf)| was(conf));
            assert!(
                role == Role::Gone || driver.conf().is_member(named) || !known,
                "the id of a removed replica was taken again"
            );
            let new = role == Role::Voter && !driver.conf().is_voter(named);
            let has =
                self.ring.replicas.get(&named).map_or(Index(0), |replica| replica.disk.durable.last().0);
            assert!(!new || has.0 + BLIND_ENTRIES >= driver.commit().0, "replica {named} is promoted blind");
        }
    }

    fn leave(&mut self, id: ReplicaId) {
        let Some(driver) = self.driver_mut(id) else { return };
        let made_for = driver.conf_index();
        match driver.propose_leave(made_for) {
            Ok(index) => self.staff.changes.push(index),
            Err(why) => self.ring.notes.refused(&why),
        }
    }

    fn fence(&mut self, id: ReplicaId, gone: ReplicaId) {
        let Some(driver) = self.driver_mut(id) else { return };
        match driver.propose_fence(gone) {
            Ok(fence) => {
                self.staff.fences.insert(gone, fence);
                self.ring.notes.count(Kind::Fenced);
            }
            Err(why) => self.ring.notes.refused(&why),
        }
    }

    fn create(&mut self, id: ReplicaId) {
        if self.ring.replicas.contains_key(&id) {
            return;
        }
        self.ring.create(id, Restored::joining());
        self.staff.inherit(id);
        self.ring.notes.count(Kind::Created);
    }

    fn destroy(&mut self, id: ReplicaId) {
        let Some(&(index, term)) = self.staff.fences.get(&id) else { return };
        if self.ring.oracle.committed_term(index) == Some(term) && self.ring.replicas.contains_key(&id) {
            self.fold_tally(id);
            self.ring.replicas.remove(&id);
            self.ring.notes.count(Kind::Destroyed);
        }
    }

    fn checkpoint(&mut self, id: ReplicaId, behind: Option<u64>) {
        if let Some(replica) = self.ring.replicas.get_mut(&id) {
            replica.checkpoint(behind);
        }
    }

    fn apply(&mut self, id: ReplicaId) {
        if let Some(replica) = self.ring.replicas.get_mut(&id) {
            replica.apply();
        }
    }

    fn answer(&mut self, id: ReplicaId) {
        let Ring { replicas, notes, .. } = &mut self.ring;
        if let Some(replica) = replicas.get_mut(&id) {
            replica.answer(notes);
        }
        self.ring.drain(id);
    }

    fn crash(&mut self, id: ReplicaId, kept: usize) {
        let Some(driver) = self.driver(id) else { return };
        let (leads, joint) = (driver.is_leader(), driver.conf().is_joint());
        let disk = &self.ring.replicas[&id].disk;
        let (queued, installing) = (disk.queue.len(), disk.is_installing());
        let kept = kept.min(queued);
        let kinds = [
            (Kind::Crashed, true),
            (Kind::CrashedLeader, leads),
            (Kind::CrashedJoint, joint),
            (Kind::CrashedInstalling, installing),
            (Kind::QueueCutInPart, kept > 0 && kept < queued),
        ];
        kinds.into_iter().filter(|(_, met)| *met).for_each(|(kind, _)| self.ring.notes.count(kind));
        self.ring.notes.count_times(Kind::GroupsKept, kept as u64);
        self.ring.notes.count_times(Kind::GroupsLost, (queued - kept) as u64);
        self.fold_tally(id);
        self.ring.at(id.0).crash(kept);
    }

    pub(crate) fn boot(&mut self, id: ReplicaId) {
        let down = self.ring.replicas.get(&id).is_some_and(|replica| replica.driver.is_none());
        if down && !self.staff.dead.contains(&id) {
            self.ring.restart(id.0);
        }
    }

    fn wipe(&mut self, id: ReplicaId) {
        let joined = self.staff.joined.contains(&id) && self.driver(id).is_some();
        if joined && self.staff.may_lose(&self.ring, id) {
            self.fold_tally(id);
            self.ring.at(id.0).crash(0);
            self.staff.dead.insert(id);
            self.ring.notes.count(Kind::Wiped);
        }
    }

    fn fold_tally(&mut self, id: ReplicaId) {
        if let Some(driver) = self.driver(id) {
            let tally = driver.tally();
            self.ring.notes.tally(tally);
        }
    }

    /// At the end: what the drivers have counted.
    pub(crate) fn fold_tallies(&mut self) {
        self.all().into_iter().for_each(|id| self.fold_tally(id));
    }

    /// Folds what can be seen into the trace.
    pub(crate) fn note(&mut self) {
        let Ring { replicas, notes, wire, .. } = &mut self.ring;
        for driver in replicas.values().filter_map(|replica| replica.driver.as_ref()) {
            notes.fold((driver.id(), driver.term(), driver.commit(), driver.last_index()));
        }
        notes.fold(wire.len());
    }

    pub(crate) fn describe(&self) -> Vec<String> {
        let replicas = self.ring.replicas.iter();
        replicas
            .map(|(id, replica)| match &replica.driver {
                Some(driver) => format!("{driver:?} {:?}", driver.conf()),
                None => format!("replica {id} down, dead {}", self.staff.dead.contains(id)),
            })
            .collect()
    }
}
