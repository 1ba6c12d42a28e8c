//! Topics, each life of a name on its own: asked for, live, dying, gone. Deleted ones do not come back.

use super::part::{Part, PartKey};
use super::promise::{Findings, Promise};
use std::collections::BTreeMap;

/// A life of a topic's name, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicKey(pub u32);

/// What a topic was made with, as far as the oracle must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wish {
    /// How many partitions.
    pub partitions: u32,
    /// Retention may move its log starts.
    pub bounded: bool,
    /// Acks come from memory.
    pub memory: bool,
    /// Records carry the node's time.
    pub append_time: bool,
}

/// How far a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Asked for; it may be there or not.
    Asked,
    /// It is there.
    Live,
    /// Its end was asked for; it may be there or not.
    Dying,
    /// It is gone, or never came.
    Gone,
}

/// One life.
#[derive(Debug)]
pub struct TopicRun {
    /// Which.
    pub key: TopicKey,
    /// The name.
    pub name: String,
    /// What it was made with.
    pub wish: Wish,
    /// How far it is.
    pub life: Life,
    /// When it was asked for.
    pub asked_at: u64,
    /// When it was gone for certain.
    pub gone_at: Option<u64>,
    /// Group and shard of each partition, once they are known.
    pub groups: Vec<(u64, u16)>,
    /// Retention by time was asked for at some time.
    pub timed: bool,
    parts: Vec<Part>,
}

impl TopicRun {
    /// Whether something sent at `from` may have come here, up to `to`.
    pub fn could_hold(&self, from: u64, to: u64) -> bool {
        self.asked_at <= to && self.gone_at.is_none_or(|gone| gone >= from)
    }

    /// Its partitions.
    pub fn keys(&self) -> impl Iterator<Item = PartKey> + '_ {
        self.parts.iter().map(|part| part.key)
    }
}

/// A topic as the node lists it: name, and group and shard of each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Group and shard of each partition.
    pub groups: Vec<(u64, u16)>,
}

/// All lives of all names.
#[derive(Debug, Default)]
pub struct Topics {
    runs: Vec<TopicRun>,
    by_group: BTreeMap<u64, PartKey>,
}

impl Topics {
    /// Somebody asks for a topic.
    pub fn asked(&mut self, name: &str, wish: Wish, now: u64) -> TopicKey {
        let key = TopicKey(self.runs.len() as u32);
        let part = |number| Part::new(PartKey { topic: key, number });
        self.runs.push(TopicRun {
            key,
            name: name.to_string(),
            wish,
            life: Life::Asked,
            asked_at: now,
            gone_at: None,
            groups: Vec::new(),
            timed: false,
            parts: (0..wish.partitions).map(part).collect(),
        });
        key
    }

    pub(super) fn latest(&self) -> u64 {
        self.runs.iter().map(|run| run.asked_at.max(run.gone_at.unwrap_or(0))).max().unwrap_or(0)
    }

    /// The node has refused to make it.
    pub fn refused(&mut self, key: TopicKey, now: u64) {
        self.end(key, now);
    }

    /// Somebody asks for its end.
    pub fn delete_asked(&mut self, key: TopicKey) {
        self.run_mut(key).life = Life::Dying;
    }

    /// The node has said that it is gone.
    pub fn deleted(&mut self, key: TopicKey, now: u64) {
        self.end(key, now);
    }

    /// From now on retention may move its log starts.
    pub fn bounded(&mut self, key: TopicKey) {
        self.run_mut(key).wish.bounded = true;
    }

    /// From now on retention may move its log starts by the records' age.
    pub fn timed(&mut self, key: TopicKey) {
        self.run_mut(key).timed = true;
    }

    /// Somebody asks for a log start.
    pub fn trim_asked(&mut self, key: PartKey, to: u64) {
        let part = self.part_mut(key);
        part.trim_asked = part.trim_asked.max(to);
    }

    fn end(&mut self, key: TopicKey, now: u64) {
        let run = self.run_mut(key);
        run.life = Life::Gone;
        run.gone_at.get_or_insert(now);
    }

    /// A life.
    pub fn run(&self, key: TopicKey) -> &TopicRun {
        &self.runs[key.0 as usize]
    }

    fn run_mut(&mut self, key: TopicKey) -> &mut TopicRun {
        &mut self.runs[key.0 as usize]
    }

    /// A partition.
    pub fn part(&self, key: PartKey) -> &Part {
        &self.run(key.topic).parts[key.number as usize]
    }

    pub(super) fn part_mut(&mut self, key: PartKey) -> &mut Part {
        &mut self.run_mut(key.topic).parts[key.number as usize]
    }

    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.runs.iter_mut().flat_map(|run| &mut run.parts)
    }

    /// The partition of a group.
    pub fn of_group(&self, group: u64) -> Option<PartKey> {
        self.by_group.get(&group).copied()
    }

    /// All lives that are there for certain.
    pub fn live(&self) -> impl Iterator<Item = &TopicRun> {
        self.runs.iter().filter(|run| run.life == Life::Live)
    }

    /// The life of a name that may be there now.
    pub fn current(&self, name: &str) -> Option<&TopicRun> {
        self.runs.iter().rev().find(|run| run.name == name && run.life != Life::Gone)
    }

    /// The most partitions that any life of a name had.
    pub fn partitions_max(&self, name: &str) -> u32 {
        let named = self.runs.iter().filter(|run| run.name == name);
        named.map(|run| run.wish.partitions).max().unwrap_or(0)
    }

    /// The partitions of all lives of a name that something between two moments may have met.
    pub fn candidates(&self, name: &str, number: u32, from: u64, to: u64) -> Vec<PartKey> {
        let fits = |run: &&TopicRun| {
            run.name == name && run.could_hold(from, to) && (number as usize) < run.parts.len()
        };
        self.runs.iter().filter(fits).map(|run| PartKey { topic: run.key, number }).collect()
    }

    /// Everything that the node lists. `settled`: nothing that was asked can be under way any more.
    pub(super) fn listed(&mut self, listing: &[Listed], settled: bool, now: u64, findings: &mut Findings) {
        let listed: BTreeMap<&str, &Listed> = listing.iter().map(|one| (one.name.as_str(), one)).collect();
        for at in 0..self.runs.len() {
            let (key, life) = (self.runs[at].key, self.runs[at].life);
            match (life, listed.get(self.runs[at].name.as_str()).copied()) {
                (Life::Gone, _) => {}
                (Life::Live, None) => {
                    let what = format!("topic {} is gone, and nobody deleted it", self.runs[at].name);
                    findings.report(Promise::DeletedComesBack, what);
                }
                (Life::Dying, None) => self.end(key, now),
                (Life::Asked, None) if settled => self.end(key, now),
                (Life::Asked, None) => {}
                (_, Some(found)) => self.found(key, found, settled, findings),
            }
        }
        for one in listing {
            if self.current(&one.name).is_none() {
                let what = format!("topic {} is there, and was deleted or never made", one.name);
                findings.report(Promise::DeletedComesBack, what);
            }
        }
    }

    fn found(&mut self, key: TopicKey, found: &Listed, settled: bool, findings: &mut Findings) {
        let run = self.run_mut(key);
        if found.groups.len() != run.parts.len() {
            let what = format!(
                "topic {} has {} of its {} partitions",
                run.name,
                found.groups.len(),
                run.parts.len()
            );
            findings.report(Promise::DeletedComesBack, what);
        } else if run.groups.is_empty() {
            run.groups.clone_from(&found.groups);
            if run.life == Life::Asked {
                run.life = Life::Live;
            }
            let groups: Vec<u64> = run.groups.iter().map(|(group, _)| *group).collect();
            self.take_groups(key, &groups, findings);
        } else if run.groups != found.groups {
            let what = format!("topic {} had groups {:?} and has {:?}", run.name, run.groups, found.groups);
            findings.report(Promise::DeletedComesBack, what);
        }
        let run = self.run_mut(key);
        if run.life == Life::Dying && settled {
            run.life = Life::Live;
        }
    }

    fn take_groups(&mut self, key: TopicKey, groups: &[u64], findings: &mut Findings) {
        for (number, group) in groups.iter().enumerate() {
            let own = PartKey { topic: key, number: number as u32 };
            if let Some(other) = self.by_group.insert(*group, own).filter(|other| *other != own) {
                let what = format!("group {group} of {own} was the group of {other}");
                findings.report(Promise::DeletedComesBack, what);
            }
        }
    }
}
