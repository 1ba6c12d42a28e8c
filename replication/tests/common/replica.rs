//! One replica of a ring: a driver that may be down, its disk, and how far its state machine is.

use super::Haste;
use super::disk::{Disk, Group};
use super::oracle::Oracle;
use bytes::Bytes;
use flumen_replication::{Config, Driver, Entry, EntryKind, Index, Message, Refused};

pub(crate) struct Replica {
    pub(crate) driver: Option<Driver>,
    pub(crate) disk: Disk,
    config: Config,
    boots: u64,
    led: Option<flumen_replication::Term>,
    /// Handed out by the driver, in order; the state machine.
    pub(crate) machine: Vec<Entry>,
}

impl Replica {
    pub(crate) fn boot(config: Config, disk: Disk, oracle: &mut Oracle, now: u64) -> Replica {
        let mut replica = Replica { driver: None, disk, config, boots: 0, led: None, machine: Vec::new() };
        replica.restart(oracle, now);
        replica
    }

    /// Recovers from what is durable.
    pub(crate) fn restart(&mut self, oracle: &mut Oracle, now: u64) {
        assert!(self.driver.is_none() && self.disk.queue.is_empty());
        let restored = self.disk.durable.restored();
        self.disk.durable.entries.iter().for_each(|entry| oracle.seen(entry));
        self.machine.retain(|entry| entry.index <= restored.applied);
        let mut driver = Driver::new(self.config.clone(), restored);
        if driver.is_sole_voter() {
            driver.campaign(now);
        }
        self.boots += 1;
        self.led = None;
        self.driver = Some(driver);
    }

    /// Power fails; the first `kept` queued groups had reached the disk.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.driver = None;
        self.disk.crash(kept);
    }

    pub(crate) fn propose(
        &mut self,
        kind: EntryKind,
        data: Bytes,
        oracle: &mut Oracle,
    ) -> Result<Index, Refused> {
        let Some(driver) = self.driver.as_mut() else { return Err(Refused::NotLeader { leader: None }) };
        let index = driver.propose(kind, data.clone())?;
        oracle.proposed(index, driver, self.boots, data);
        Ok(index)
    }

    /// Takes what the driver has ready.
    pub(crate) fn drain(&mut self, wire: &mut Vec<Message>, oracle: &mut Oracle, haste: Haste) {
        match haste {
            Haste::Nothing => return,
            Haste::Committed => {}
            Haste::All => self.take_readys(wire, oracle),
        }
        self.take_committed(oracle);
        let Some(driver) = self.driver.as_mut() else { return };
        for fetch in driver.take_fetches() {
            let entries = self.disk.durable.read(fetch.first, fetch.last);
            driver.fetched(fetch, entries);
        }
        // A sole voter's term counts once it is durable: until then nobody can have heard of it.
        if driver.is_leader() && self.disk.durable.hard_state.term == driver.term() {
            if self.led.replace(driver.term()) != Some(driver.term()) {
                oracle.new_leader(driver);
            }
            oracle.leads(driver, self.boots);
        }
    }

    fn take_readys(&mut self, wire: &mut Vec<Message>, oracle: &mut Oracle) {
        let Some(driver) = self.driver.as_mut() else { return };
        while let Some(ready) = driver.take_ready() {
            if let Some(point) = &ready.write.point {
                self.machine.retain(|entry| entry.index <= point.index);
            }
            if !ready.write.is_empty() {
                self.disk.queue.push_back(Group::Write(ready.number, ready.write));
            }
            for message in ready.send {
                message.entries().for_each(|entry| oracle.seen(&entry));
                wire.push(message);
            }
        }
    }

    fn take_committed(&mut self, oracle: &mut Oracle) {
        let Some(driver) = self.driver.as_mut() else { return };
        let mut committed = Vec::new();
        driver.take_committed(&mut committed);
        for entry in &committed {
            oracle.committed(entry);
            if entry.kind == EntryKind::Conf {
                oracle.applied_conf(entry.index, driver);
            }
        }
        if let Some(last) = committed.last() {
            driver.applied(last.index);
        }
        self.machine.append(&mut committed);
    }

    pub(crate) fn sync(&mut self, groups: usize, oracle: &mut Oracle) {
        for _ in 0..groups {
            let Some(group) = self.disk.sync_one() else { return };
            let driver = self.driver.as_mut().expect("a disk works while its replica is up");
            match group {
                Group::Write(number, write) => {
                    write.entries.iter().for_each(|entry| oracle.seen(entry));
                    driver.persisted(number);
                }
                Group::Start(point) => driver.compact(point),
                Group::Applied(..) => {}
            }
        }
    }

    /// Queues a mark of how far the state machine is, and a cut of the log `behind` entries before it.
    pub(crate) fn checkpoint(&mut self, behind: Option<u64>) {
        let Some(driver) = self.driver.as_ref() else { return };
        let installing = |group: &Group| matches!(group, Group::Write(_, write) if write.point.is_some());
        if self.disk.queue.iter().any(installing) {
            return;
        }
        let applied = driver.applied_index();
        let confs = driver.confs().iter().filter(|(at, _)| *at <= applied).cloned().collect();
        self.disk.queue.push_back(Group::Applied(applied, confs));
        let cut = behind.map(|behind| Index(applied.0.saturating_sub(behind)));
        if let Some(point) =
            cut.filter(|cut| *cut > driver.start().index).and_then(|cut| driver.point_at(cut))
        {
            self.disk.queue.push_back(Group::Start(point));
        }
    }
}
