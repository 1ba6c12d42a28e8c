//! One replica of a ring: a driver that may be down, its disk, and how far its state machine is.

use super::Haste;
use super::disk::{Disk, Group};
use super::notes::{Kind, Notes};
use super::oracle::Oracle;
use bytes::Bytes;
use flumen_replication::{
    Conf, Config, Driver, Entry, EntryKind, Fetch, Index, Message, Ready, Refused, ReplicaId, Term,
};
use std::collections::VecDeque;

/// What a replica shares with the others of its ring.
pub(crate) struct Scene<'a> {
    pub(crate) wire: &'a mut Vec<Message>,
    pub(crate) oracle: &'a mut Oracle,
    pub(crate) notes: &'a mut Notes,
    pub(crate) haste: Haste,
}

/// How a replica's host is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habits {
    /// It applies what is committed when it has time.
    pub(crate) applies_late: bool,
    /// Its reads take time.
    pub(crate) reads_late: bool,
    /// It stands for election as soon as the others.
    pub(crate) rivals: bool,
}

pub(crate) struct Replica {
    pub(crate) driver: Option<Driver>,
    pub(crate) disk: Disk,
    pub(crate) habits: Habits,
    config: Config,
    pub(crate) boots: u64,
    /// The term in which it was seen to lead, and how far it knew the log to be committed then.
    pub(crate) led: Option<(Term, Index)>,
    /// How far its commit index was checked.
    pub(crate) checked: Index,
    /// The last entry that was handed out, or that a snapshot covers.
    handed: Index,
    /// Handed out, and not applied yet by a late state machine.
    due: Option<Index>,
    /// The last entry that is written or queued.
    written: Index,
    /// What the disk has read, and the driver has not got yet.
    answers: VecDeque<(Fetch, Vec<Entry>)>,
}

impl Replica {
    pub(crate) fn boot(
        config: Config,
        habits: Habits,
        disk: Disk,
        scene: &mut Scene<'_>,
        now: u64,
    ) -> Replica {
        let mut replica = Replica {
            driver: None,
            disk,
            habits,
            config,
            boots: 0,
            led: None,
            checked: Index(0),
            handed: Index(0),
            due: None,
            written: Index(0),
            answers: VecDeque::new(),
        };
        replica.restart(scene, now);
        replica
    }

    /// Recovers from what is durable.
    pub(crate) fn restart(&mut self, scene: &mut Scene<'_>, now: u64) {
        assert!(self.driver.is_none() && self.disk.queue.is_empty());
        let restored = self.disk.durable.restored();
        self.note_boot(scene);
        self.disk.durable.entries.iter().for_each(|entry| scene.oracle.seen(entry));
        (self.handed, self.written) = (restored.applied, restored.last.0);
        let mut driver = Driver::new(self.config.clone(), restored);
        if driver.is_sole_voter() {
            driver.campaign(now);
        }
        self.boots += 1;
        (self.led, self.checked) = (None, Index(0));
        self.driver = Some(driver);
    }

    fn note_boot(&self, scene: &mut Scene<'_>) {
        let durable = &self.disk.durable;
        let (applied, commit) = (durable.applied, durable.hard_state.commit);
        let newest = durable.confs.iter().rev().find(|(at, _)| *at <= applied);
        let conf = newest.map_or(&durable.start.conf, |(_, conf)| conf);
        let kinds = [
            (Kind::Booted, true),
            (Kind::BootedJoint, conf.is_joint()),
            (Kind::BootedReplaying, commit > applied),
            (Kind::BootedReplayingConf, commit > applied && scene.oracle.has_conf(applied, commit)),
            (Kind::BootedTail, durable.last().0 > commit),
            (Kind::BootedCut, durable.start.index > super::BIRTH.0),
            (Kind::RecordsAbove, durable.confs.last().is_some_and(|(at, _)| *at > applied)),
        ];
        kinds.into_iter().filter(|(_, met)| *met).for_each(|(kind, _)| scene.notes.count(kind));
        scene.notes.tell(|| {
            format!(
                "    finds term {} vote {} log {}..{} commit {commit} applied {applied}",
                durable.hard_state.term,
                durable.hard_state.vote,
                durable.start.index,
                durable.last().0,
            )
        });
    }

    /// Power fails; the first `kept` queued groups had reached the disk.
    pub(crate) fn crash(&mut self, kept: usize) {
        (self.driver, self.due) = (None, None);
        self.answers.clear();
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
    pub(crate) fn drain(&mut self, scene: &mut Scene<'_>) {
        match scene.haste {
            Haste::Nothing => return,
            Haste::Committed => {}
            Haste::All => self.take_readys(scene),
        }
        self.take_committed(scene);
        self.take_fetches(scene);
    }

    fn take_readys(&mut self, scene: &mut Scene<'_>) {
        while let Some(ready) = self.driver.as_mut().and_then(Driver::take_ready) {
            self.take_ready(ready, scene);
        }
    }

    fn take_ready(&mut self, ready: Ready, scene: &mut Scene<'_>) {
        let id = self.config.id;
        let Ready { number, write, send } = ready;
        scene.notes.tell(|| format!("    {id}: {}", in_words(&write, &send)));
        scene.notes.fold((id, write.entries.last().map(|e| (e.index, e.term)), send.len()));
        if let Some(point) = &write.point {
            scene.oracle.installed(point);
            let fresh = self.disk.durable.start.index == Index(0);
            scene.notes.count(if fresh { Kind::SnapshotInstalled } else { Kind::SnapshotReplaced });
            scene.notes.spark = Some(id);
            assert!(point.index > self.handed, "a snapshot takes back what was handed out");
            (self.handed, self.written, self.due) = (point.index, point.index, None);
        }
        if let Some(first) = write.entries.first() {
            if first.index <= self.written {
                let durable = first.index <= self.disk.durable.last().0;
                scene.notes.count(if durable { Kind::ConflictDurable } else { Kind::ConflictQueued });
                (scene.notes.spark, scene.notes.is_keen) = (Some(id), true);
            }
            assert!(first.index > self.handed, "what was handed out is never replaced");
            self.written = write.entries.last().expect("not empty").index;
        }
        if !write.is_empty() {
            if !write.must_sync {
                scene.notes.count(Kind::CommitAlone);
            } else if !self.disk.queue.is_empty() {
                scene.notes.count(Kind::ReadysTogether);
            }
            let risen = write.hard_state.filter(|state| state.term > self.disk.durable.hard_state.term);
            if let Some(state) = risen {
                scene.notes.spark = Some(id);
                scene.notes.stands = (state.vote == id).then_some(id).or(scene.notes.stands);
                let rivals = state.vote == id && scene.oracle.stands(id, state.term);
                scene.notes.count_times(Kind::Rivals, rivals.into());
            }
            self.disk.queue.push_back(Group::Write(number, write));
        }
        send.into_iter().for_each(|message| self.send(message, scene));
    }

    fn send(&self, message: Message, scene: &mut Scene<'_>) {
        let durable = &self.disk.durable;
        if let Some(term) = message.speaks_in() {
            assert!(
                term <= durable.hard_state.term,
                "a message speaks in a term that is not durable: {message:?}"
            );
        }
        if message.votes_in() == Some(durable.hard_state.term) {
            scene.notes.count(Kind::Voted);
            assert_eq!(durable.hard_state.vote, message.to(), "a vote that is not durable: {message:?}");
        }
        if message.is_snapshot() {
            scene.notes.count(Kind::SnapshotSent);
            let joint = self.driver.as_ref().is_some_and(|driver| driver.start().conf.is_joint());
            scene.notes.count_times(Kind::SnapshotSentJoint, joint.into());
        }
        let mut last = Index(0);
        for entry in message.entries() {
            scene.oracle.seen(&entry);
            last = entry.index;
        }
        scene.notes.count_times(Kind::SentEarly, (last > durable.last().0).into());
        scene.wire.push(message);
    }

    fn take_committed(&mut self, scene: &mut Scene<'_>) {
        let Some(driver) = self.driver.as_mut() else { return };
        let mut committed = Vec::new();
        driver.take_committed(&mut committed);
        let Some(last) = committed.last().map(|entry| entry.index) else { return };
        for entry in &committed {
            assert_eq!(entry.index, self.handed.next(), "entries are handed out in order, each once");
            assert!(
                self.disk.durable.has(entry.index, entry.term),
                "an entry is handed out that is not durable here: {entry:?}"
            );
            self.handed = entry.index;
            scene.oracle.committed(entry, driver.term());
            if entry.kind == EntryKind::Conf && scene.oracle.applied_conf(entry.index, driver) {
                note_change(entry.index, driver, scene);
            }
        }
        let id = self.config.id;
        scene.notes.tell(|| format!("    {id}: applies up to {last}"));
        if self.habits.applies_late {
            scene.notes.count(Kind::MachineLags);
            self.due = Some(last);
        } else {
            driver.applied(last);
        }
    }

    /// The state machine has time for what was handed out.
    pub(crate) fn apply(&mut self) {
        if let (Some(driver), Some(last)) = (self.driver.as_mut(), self.due.take()) {
            driver.applied(last);
        }
    }

    fn take_fetches(&mut self, scene: &mut Scene<'_>) {
        let Some(driver) = self.driver.as_mut() else { return };
        for fetch in driver.take_fetches() {
            let entries = self.disk.durable.read(fetch.first, fetch.last);
            scene.notes.count(Kind::FetchAsked);
            if self.habits.reads_late {
                self.answers.push_back((fetch, entries));
            } else {
                driver.fetched(fetch, entries);
            }
        }
    }

    /// A read is done, of what was on the disk when it was asked for.
    pub(crate) fn answer(&mut self, notes: &mut Notes) {
        if let (Some(driver), Some((fetch, entries))) = (self.driver.as_mut(), self.answers.pop_front()) {
            notes.count(Kind::FetchLate);
            driver.fetched(fetch, entries);
        }
    }

    /// Up to `groups` of the queue become durable. The driver hears of each, or of the last one alone.
    pub(crate) fn sync(&mut self, groups: usize, together: bool, scene: &mut Scene<'_>) {
        let mut newest = None;
        for _ in 0..groups {
            let ballot = (self.disk.durable.hard_state.term, self.disk.durable.hard_state.vote);
            let Some(group) = self.disk.sync_one() else { break };
            let driver = self.driver.as_mut().expect("a disk works while its replica is up");
            match group {
                Group::Write(number, write) => {
                    write.entries.iter().for_each(|entry| scene.oracle.seen(entry));
                    if write.hard_state.is_some_and(|state| (state.term, state.vote) != ballot) {
                        scene.notes.spark = Some(self.config.id);
                    }
                    if together {
                        newest = Some(number);
                    } else {
                        driver.persisted(number);
                    }
                }
                Group::Start(point) => {
                    if let Some(number) = newest.take() {
                        driver.persisted(number);
                    }
                    driver.compact(point);
                    scene.notes.count(Kind::HeadCut);
                }
                Group::Applied(..) => scene.notes.count(Kind::MarkWritten),
                Group::Confs(..) => {}
            }
        }
        if let (Some(number), Some(driver)) = (newest, self.driver.as_mut()) {
            driver.persisted(number);
        }
    }

    /// Queues a mark of how far the state machine is, and a cut of the log `behind` entries before it. The
    /// records of configurations go before the mark, newer ones too.
    pub(crate) fn checkpoint(&mut self, behind: Option<u64>) {
        let Some(driver) = self.driver.as_ref().filter(|_| !self.disk.is_installing()) else { return };
        let applied = driver.applied_index();
        self.disk.queue.push_back(Group::Confs(driver.confs().to_vec()));
        self.disk.queue.push_back(Group::Applied(applied));
        let cut = behind.map(|behind| Index(applied.0.saturating_sub(behind)));
        if let Some(point) =
            cut.filter(|cut| *cut > driver.start().index).and_then(|cut| driver.point_at(cut))
        {
            self.disk.queue.push_back(Group::Start(point));
        }
    }

    pub(crate) fn id(&self) -> ReplicaId {
        self.config.id
    }
}

fn note_change(index: Index, driver: &Driver, scene: &mut Scene<'_>) {
    let confs = driver.confs();
    let Some(at) = confs.iter().position(|(known, _)| *known == index) else {
        return; // Refused, on every replica alike.
    };
    let before: &Conf = at.checked_sub(1).map_or(&driver.start().conf, |before| &confs[before].1);
    scene.notes.changed(before, &confs[at].1);
    scene.notes.spark = Some(driver.id());
    scene.notes.tell(|| format!("    the configuration at {index} is {}", members(&confs[at].1)));
}

/// A configuration in words.
pub(crate) fn members(conf: &Conf) -> String {
    let list = |ids: &[ReplicaId]| ids.iter().map(ReplicaId::to_string).collect::<Vec<_>>().join(" ");
    let mut words = format!("voters {}", list(&conf.voters));
    for (name, ids) in [
        ("learners", &conf.learners),
        ("outgoing", &conf.voters_outgoing),
        ("to be learners", &conf.learners_next),
    ] {
        if !ids.is_empty() {
            words += &format!(", {name} {}", list(ids));
        }
    }
    words + if conf.auto_leave { ", leaves by itself" } else { "" }
}

fn in_words(write: &flumen_replication::Write, send: &[Message]) -> String {
    let mut words = Vec::new();
    if let Some(point) = &write.point {
        words.push(format!("snapshot {}.{} ({})", point.term, point.index, members(&point.conf)));
    }
    if let Some(state) = write.hard_state {
        words.push(format!("term {} vote {} commit {}", state.term, state.vote, state.commit));
    }
    if let (Some(first), Some(last)) = (write.entries.first(), write.entries.last()) {
        words.push(format!("entries {}.{}..{}.{}", first.term, first.index, last.term, last.index));
    }
    let mut sentence = if words.is_empty() { String::new() } else { format!("writes {}", words.join(", ")) };
    for message in send {
        let comma = if sentence.is_empty() { "" } else { "; " };
        sentence += &format!("{comma}sends {message:?}");
    }
    sentence
}
