//! After the last fault: nothing is lost any more, and everything must come together. No chance here.

use super::game::Game;
use crate::common::notes::Kind;
use crate::common::replica::Habits;
use crate::common::{Haste, Ring};
use flumen_replication::{Index, ReplicaId};

/// Ticks until everything must have come together. The worst that was ever seen is far below.
const TICKS_MAX: usize = 4_000;
/// So many of them are told; a group that is stuck then only says the same again.
const TICKS_TOLD: usize = 25;

impl Game {
    /// All members are up, out of joint, agree, and have a new write. Gives the ticks that it took.
    ///
    /// # Panics
    /// When it takes too long: the group is stuck.
    pub(crate) fn heal(&mut self) -> usize {
        self.begin_healing();
        let mut goal = None;
        for ticks in 0..TICKS_MAX {
            if ticks == TICKS_TOLD {
                self.ring.notes.hush();
            }
            self.quiet_tick();
            let Some(leader) = self.ring.leader() else { continue };
            let driver = self.ring.driver(leader.0);
            if driver.conf().is_joint() && !driver.conf().auto_leave {
                let made_for = driver.conf_index();
                let _ = driver.propose_leave(made_for);
            }
            if ticks % 50 == 0
                && let Ok(index) = self.ring.propose(leader)
            {
                goal = Some((index, self.ring.driver(leader.0).term()));
            }
            let reached = goal.filter(|(index, term)| self.ring.oracle.committed_term(*index) == Some(*term));
            if reached.is_some_and(|(index, _)| self.is_healed(leader, index)) {
                self.ring.notes.count(Kind::Healed);
                return ticks;
            }
        }
        panic!("no agreement after {TICKS_MAX} quiet ticks: {:#?}", self.describe());
    }

    fn begin_healing(&mut self) {
        self.ring.notes.tell(|| String::from("      the faults end"));
        self.ring.haste = Haste::All;
        for id in self.all() {
            self.boot(id);
            let replica = self.ring.at(id.0);
            replica.habits = Habits::default();
            replica.apply();
            (0..100).for_each(|_| replica.answer(&mut Default::default()));
        }
    }

    fn living(&self) -> Vec<ReplicaId> {
        self.ring.replicas.keys().filter(|id| !self.staff.dead.contains(id)).copied().collect()
    }

    fn quiet_tick(&mut self) {
        self.ring.now += 1;
        let living = self.living();
        living.iter().for_each(|id| self.ring.tick(*id));
        for _ in 0..4 {
            living.iter().for_each(|id| self.ring.sync(*id, usize::MAX));
            for message in std::mem::take(&mut self.ring.wire) {
                self.ring.deliver(message);
            }
        }
        self.note();
    }

    fn is_healed(&mut self, leader: ReplicaId, goal: Index) -> bool {
        let conf = self.ring.driver(leader.0).conf().clone();
        let Ring { replicas, .. } = &self.ring;
        let agrees = |id: ReplicaId| {
            let driver = replicas.get(&id).and_then(|replica| replica.driver.as_ref());
            driver.is_some_and(|driver| *driver.conf() == conf && driver.applied_index() >= goal)
        };
        !conf.is_joint() && conf.members().filter(|id| !self.staff.dead.contains(id)).all(agrees)
    }
}
