//! Draws what happens next: one seed's chance, in one mode, with one temper. It plays each act as soon as it is
//! drawn and keeps it; what it looks at before it draws is the group itself.

use super::act::{Act, Letter};
use super::game::Game;
use super::mode::{Mode, Temper};
use crate::common::notes::Kind;
use crate::common::replica::Habits;
use crate::common::{Chance, Haste};
use flumen_replication::{Conf, ConfChange, Index, Leave, ReplicaId, Role};
use std::collections::{BTreeMap, BTreeSet};

/// Learners at most, so that nothing grows without end.
const LEARNERS_MAX: usize = 3;

#[derive(Clone, Copy)]
struct Island {
    until: u64,
    mute: bool,
    deaf: bool,
}

/// See the head of this file.
pub(crate) struct Player {
    pub(crate) game: Game,
    pub(crate) acts: Vec<Act>,
    pub(crate) mode: &'static Mode,
    chance: Chance,
    temper: Temper,
    /// Messages from the first to the second are lost.
    cuts: BTreeSet<(ReplicaId, ReplicaId)>,
    /// Replicas that are cut off, until when and how.
    islands: BTreeMap<ReplicaId, Island>,
    /// Until when a replica does nothing.
    stalled: BTreeMap<ReplicaId, u64>,
    /// Until when a link brings nothing.
    stalled_links: BTreeMap<(ReplicaId, ReplicaId), u64>,
    voters_wanted: usize,
}

impl Player {
    pub(crate) fn new(seed: u64, mode: &'static Mode) -> Player {
        let mut chance = Player::chance(seed);
        let temper = Temper::drawn(&mut chance, mode);
        Player {
            game: Game::new(mode.voters_first, temper.habits()),
            acts: Vec::new(),
            mode,
            chance,
            temper,
            cuts: BTreeSet::new(),
            islands: BTreeMap::new(),
            stalled: BTreeMap::new(),
            stalled_links: BTreeMap::new(),
            voters_wanted: mode.voters_max,
        }
    }

    /// A seed's own chance.
    pub(crate) fn chance(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x1234_5678_9abc_def1))
    }

    /// Everything but the healing.
    pub(crate) fn play_all(&mut self) {
        (0..self.mode.steps).for_each(|_| self.step());
    }

    fn act(&mut self, act: Act) {
        self.game.ring.notes.begin();
        // Kept first: if it is the one that fails, it is the last of the story.
        self.acts.push(act);
        let act = self.acts.last().expect("just kept");
        self.game.play(act);
        if let Some(id) = self.game.ring.notes.stands.take()
            && self.chance.one_in(self.temper.candidates_lost)
        {
            self.isolate(id);
        }
        let keen = if self.game.ring.notes.is_keen { 4 } else { 1 };
        if let Some(id) = self.game.ring.notes.deposed.take()
            && self.chance.one_in(3)
        {
            self.act(Act::Campaign(id));
        } else if let Some(id) = self.game.ring.notes.spark.take()
            && self.chance.one_in((self.temper.spark / keen).max(2))
        {
            self.crash_now(id);
        }
    }

    /// A crash at a bad moment, and mostly up again at once.
    fn crash_now(&mut self, id: ReplicaId) {
        self.game.ring.notes.count(Kind::CrashedSpark);
        self.crash(id);
        if !self.chance.one_in(3) {
            self.game.ring.notes.count(Kind::BootedAtOnce);
            self.act(Act::Boot(id));
        }
    }

    fn any(&mut self) -> ReplicaId {
        let at = self.chance.below(self.game.ring.replicas.len());
        *self.game.ring.replicas.keys().nth(at).expect("within the count")
    }

    fn step(&mut self) {
        let haste = match self.chance.below(6) {
            0 if self.temper.leisure > 0 => Haste::Committed,
            1 if self.temper.leisure > 0 => Haste::Nothing,
            2 if self.temper.leisure > 1 => Haste::Nothing,
            _ => Haste::All,
        };
        self.act(Act::Time(haste));
        for id in self.game.all() {
            if !self.is_stalled(id) {
                self.live(id);
            }
            self.disturb(id);
        }
        self.deliver();
        self.net();
    }

    fn is_stalled(&self, id: ReplicaId) -> bool {
        self.stalled.get(&id).is_some_and(|until| *until > self.game.ring.now)
    }

    /// What a replica does by itself in a step.
    fn live(&mut self, id: ReplicaId) {
        if self.game.driver(id).is_none() {
            return;
        }
        if !self.chance.one_in(self.temper.tick_lost) {
            self.act(Act::Tick(id));
        }
        let slow = self.temper.slow_disk.is_some_and(|rest| id.0 % 3 == rest);
        if self.chance.one_in(self.temper.sync * if slow { 8 } else { 1 }) {
            let groups = 1 + self.chance.below(self.temper.sync_groups);
            self.act(Act::Sync(id, groups, self.temper.syncs_together));
        }
        if self.temper.applies_late && self.chance.one_in(6) {
            self.act(Act::Apply(id));
        }
        if self.temper.reads_late && self.chance.one_in(5) {
            self.act(Act::Answer(id));
        }
        if self.game.driver(id).is_some_and(|driver| driver.is_leader()) {
            self.lead(id);
        } else if self.chance.one_in(200) {
            self.act(Act::Propose(id));
        } else if self.chance.one_in(self.temper.campaign) {
            self.act(Act::Campaign(id));
        }
    }

    fn lead(&mut self, id: ReplicaId) {
        for _ in 0..self.chance.below(self.temper.writes) {
            self.act(Act::Propose(id));
        }
        if self.chance.one_in(4) {
            self.act(Act::Drain(id));
        }
        if self.chance.one_in(self.temper.staffing) {
            self.staffing(id);
        }
        if self.chance.one_in(self.temper.transfer) {
            let to = self.any();
            self.act(Act::Transfer(id, to));
        }
    }

    fn deliver(&mut self) {
        let mut left = self.game.ring.wire.len().min(self.temper.deliveries);
        while left > 0 && !self.game.ring.wire.is_empty() {
            left -= 1;
            let letter = self.letter();
            let cut = self.is_cut(letter.from, letter.to);
            let link = self.stalled_links.get(&(letter.from, letter.to));
            let late = link.is_some_and(|until| *until > self.game.ring.now);
            if (late || self.is_stalled(letter.to)) && !cut {
                continue;
            }
            let told = self.chance.one_in(3);
            let act = if cut || self.chance.one_in(self.temper.lose) {
                Act::Lose(letter, told)
            } else if self.chance.one_in(self.temper.stray) {
                Act::Stray(letter, self.any())
            } else if self.chance.one_in(self.temper.repeat) {
                Act::Repeat(letter)
            } else {
                Act::Deliver(letter)
            };
            self.act(act);
        }
    }

    /// Any message on the wire.
    fn letter(&mut self) -> Letter {
        let wire = &self.game.ring.wire;
        let at = self.chance.below(wire.len());
        let (from, to) = (wire[at].from(), wire[at].to());
        let before = wire[..at].iter().filter(|message| message.from() == from && message.to() == to);
        Letter { from, to, nth: before.count() }
    }

    fn net(&mut self) {
        if self.chance.one_in(self.temper.cut) {
            let (from, to) = (self.any(), self.any());
            self.cuts.insert((from, to));
            self.game.ring.notes.count(Kind::LinkCut);
        }
        if self.chance.one_in(self.temper.island) {
            // Rather a leader: what it appends then, others will replace.
            let leader = self.game.ring.leader().filter(|_| !self.chance.one_in(4));
            let lonely = leader.unwrap_or_else(|| self.any());
            self.isolate(lonely);
        }
        if self.chance.one_in(self.temper.mend) {
            self.cuts.clear();
        }
        if self.chance.one_in(self.temper.link_stall) {
            let until = self.game.ring.now + self.chance.below(self.temper.link_stall * 10) as u64;
            let link = (self.any(), self.any());
            self.stalled_links.insert(link, until);
            self.game.ring.notes.count(Kind::LinkStalled);
        }
        if self.chance.one_in(self.temper.stall) {
            let (id, until) = (self.any(), self.game.ring.now + self.chance.below(60) as u64);
            self.stalled.insert(id, until);
            self.game.ring.notes.count(Kind::Stalled);
        }
    }

    /// Nobody hears it, or it hears nobody, for a while.
    fn isolate(&mut self, lonely: ReplicaId) {
        let until = self.game.ring.now + 10 + self.chance.below(self.temper.island_span) as u64;
        let (mute, deaf) = (!self.chance.one_in(4), self.chance.one_in(2));
        self.islands.insert(lonely, Island { until, mute, deaf });
        self.game.ring.notes.count(Kind::Isolated);
    }

    fn is_cut(&self, from: ReplicaId, to: ReplicaId) -> bool {
        let now = self.game.ring.now;
        let at = |id: ReplicaId| self.islands.get(&id).filter(|island| island.until > now);
        let lonely = at(from).is_some_and(|island| island.mute) || at(to).is_some_and(|island| island.deaf);
        lonely || self.cuts.contains(&(from, to))
    }

    /// Crashes, boots, checkpoints, cut logs, lost disks.
    fn disturb(&mut self, id: ReplicaId) {
        let Some(replica) = self.game.ring.replicas.get(&id) else { return };
        if replica.driver.is_none() {
            if !self.game.staff.dead.contains(&id) && self.chance.one_in(self.temper.boot) {
                self.act(Act::Boot(id));
            }
            return;
        }
        if self.chance.one_in(self.temper.checkpoint) {
            let behind = (!self.chance.one_in(3))
                .then(|| (self.temper.behind / 2 + self.chance.below(self.temper.behind)) as u64);
            self.act(Act::Checkpoint(id, behind));
        }
        if self.chance.one_in(self.mode.crash_one_in) {
            let everybody = self.chance.one_in(self.temper.everybody);
            self.game.ring.notes.count_times(Kind::CrashedAll, everybody.into());
            let victims = if everybody { self.game.all() } else { vec![id] };
            victims.into_iter().for_each(|id| self.crash(id));
        } else if self.chance.one_in(self.temper.wipe) {
            self.act(Act::Wipe(id));
            if self.game.staff.dead.contains(&id) && self.chance.one_in(2) {
                // Whoever has just learned that it can do without forgets it again.
                self.game.ring.notes.count(Kind::CrashedAll);
                self.game.all().into_iter().for_each(|id| self.act(Act::Crash(id, 0)));
            }
        }
    }

    fn crash(&mut self, id: ReplicaId) {
        let Some(replica) = self.game.ring.replicas.get(&id).filter(|replica| replica.driver.is_some())
        else {
            return;
        };
        let queued = replica.disk.queue.len();
        let kept = match self.chance.below(5) {
            0 => 0,
            1 => queued,
            2 => queued.saturating_sub(1),
            _ => self.chance.below(queued + 1),
        };
        self.act(Act::Crash(id, kept));
    }

    /// What the metadata group asks of whoever says that it leads.
    fn staffing(&mut self, leader: ReplicaId) {
        self.dismiss(leader);
        let Some(driver) = self.game.driver(leader) else { return };
        let (conf, mut made_for) = (driver.conf().clone(), driver.conf_index());
        if conf.is_joint() && !conf.auto_leave && self.chance.one_in(self.temper.leave) {
            return self.act(Act::Leave(leader));
        }
        if self.chance.one_in(10) {
            let span = self.mode.voters_max - self.mode.voters_min + 1;
            self.voters_wanted = self.mode.voters_min + self.chance.below(span);
        }
        if self.chance.one_in(40) {
            made_for = Index(made_for.0 - 1);
        }
        let roles = self.next_change(leader, &conf);
        if !roles.is_empty() {
            let leave = if self.chance.one_in(3) { Leave::Explicit } else { Leave::Auto };
            self.act(Act::Change(leader, made_for, ConfChange { roles, leave }));
        }
    }

    /// Replicas that were removed are destroyed, once a fence behind their removal is committed in its term.
    fn dismiss(&mut self, leader: ReplicaId) {
        for id in self.game.all() {
            let fenced = self
                .game
                .staff
                .fences
                .get(&id)
                .is_some_and(|(index, term)| self.game.ring.oracle.committed_term(*index) == Some(*term));
            let Some(driver) = self.game.driver(leader) else { return };
            if fenced {
                self.act(Act::Destroy(id));
            } else if id != leader
                && !driver.conf().is_member(id)
                && self.game.staff.joined.contains(&id)
                && self.chance.one_in(2)
            {
                self.act(Act::Fence(leader, id));
            }
        }
    }

    /// The next step from a configuration to the wanted one, or to another of the same size.
    fn next_change(&mut self, leader: ReplicaId, conf: &Conf) -> Vec<(ReplicaId, Role)> {
        let dead = &self.game.staff.dead;
        let is_dead = |id: &&ReplicaId| dead.contains(id);
        let dead_voter = conf.voters.iter().find(is_dead).copied();
        let dead_learner = conf.learners.iter().find(is_dead).copied();
        let learners: Vec<ReplicaId> = conf.learners.iter().filter(|id| !is_dead(id)).copied().collect();
        if let Some(id) = dead_learner {
            return vec![(id, Role::Gone)];
        }
        if conf.voters.len() > self.voters_wanted {
            return self.shrink(conf, dead_voter);
        }
        if let Some(dead) = dead_voter {
            return match learners.first() {
                Some(learner) => vec![(*learner, Role::Voter), (dead, Role::Gone)],
                None => self.recruit(),
            };
        }
        if let Some(id) = self.condemned(leader, conf).filter(|_| self.chance.one_in(12)) {
            return vec![(id, Role::Learner)];
        }
        if learners.is_empty() || (learners.len() < LEARNERS_MAX && self.chance.one_in(4)) {
            return self.recruit();
        }
        let missing = self.voters_wanted - conf.voters.len();
        if missing > 0 {
            let count = 1 + self.chance.below(missing.min(learners.len()));
            return learners.into_iter().take(count).map(|id| (id, Role::Voter)).collect();
        }
        self.swap(conf, &learners)
    }

    fn shrink(&mut self, conf: &Conf, dead_voter: Option<ReplicaId>) -> Vec<(ReplicaId, Role)> {
        let victim = dead_voter.unwrap_or_else(|| conf.voters[self.chance.below(conf.voters.len())]);
        let mut roles = vec![(victim, self.fate(dead_voter.is_some()))];
        let excess = conf.voters.len() - self.voters_wanted;
        if excess > 1 && self.game.staff.dead.is_empty() && self.chance.one_in(2) {
            let more = conf.voters.iter().filter(|id| **id != victim).take(excess - 1);
            roles.extend(more.map(|id| (*id, Role::Gone)));
        }
        roles
    }

    fn fate(&mut self, dead: bool) -> Role {
        if dead || self.chance.one_in(2) { Role::Gone } else { Role::Learner }
    }

    /// As many voters as before, but others; or fewer learners.
    fn swap(&mut self, conf: &Conf, learners: &[ReplicaId]) -> Vec<(ReplicaId, Role)> {
        let count = match self.chance.below(4) {
            0 => learners.len().min(conf.voters.len()),
            1 => return vec![(learners[self.chance.below(learners.len())], Role::Gone)],
            2 => return Vec::new(),
            _ => 1,
        };
        let first = self.chance.below(conf.voters.len());
        let victims = conf.voters.iter().cycle().skip(first).take(count);
        let mut roles: Vec<_> = learners.iter().take(count).map(|id| (*id, Role::Voter)).collect();
        for victim in victims {
            roles.push((*victim, self.fate(false)));
        }
        roles
    }

    /// One new replica, or two together, with ids that nobody ever had.
    fn recruit(&mut self) -> Vec<(ReplicaId, Role)> {
        let mut fresh = self.game.staff.fresh(&self.game.ring);
        let wanted = 1 + usize::from(self.chance.one_in(3));
        while fresh.len() < wanted {
            let id = ReplicaId(self.game.staff.newest + 1);
            self.act(Act::Create(id));
            fresh.push(id);
        }
        fresh.into_iter().take(wanted).map(|id| (id, Role::Learner)).collect()
    }

    /// A replica that this leader knows to be removed.
    fn condemned(&self, leader: ReplicaId, conf: &Conf) -> Option<ReplicaId> {
        let driver = self.game.driver(leader)?;
        let confs = driver.confs().iter().map(|(_, conf)| conf).chain([&driver.start().conf]);
        let mut members = confs.flat_map(Conf::members);
        members.find(|id| !conf.is_member(*id))
    }
}

impl Temper {
    pub(crate) fn habits(&self) -> Habits {
        Habits { applies_late: self.applies_late, reads_late: self.reads_late, rivals: self.rivals }
    }
}
