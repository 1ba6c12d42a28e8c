//! A simulated disk: what is durable, and a queue of journal groups that are not. A crash loses groups from the
//! end of the queue, whole ones only.

use flumen_replication::{Conf, Entry, HardState, Index, Point, ReplicaId, Restored, Term, Write};
use std::collections::VecDeque;

/// One atomic journal group.
#[derive(Clone, Debug)]
pub(crate) enum Group {
    /// A Ready's.
    Write(u64, Write),
    /// Configurations that came into force.
    Confs(Vec<(Index, Conf)>),
    /// The state machine is durable up to here; the configurations up to here stand before it.
    Applied(Index),
    /// The log starts here now.
    Start(Point),
}

/// What recovery finds.
#[derive(Clone, Debug)]
pub(crate) struct Durable {
    pub(crate) hard_state: HardState,
    pub(crate) start: Point,
    pub(crate) confs: Vec<(Index, Conf)>,
    pub(crate) entries: VecDeque<Entry>,
    pub(crate) applied: Index,
}

pub(crate) struct Disk {
    pub(crate) durable: Durable,
    pub(crate) queue: VecDeque<Group>,
}

impl Disk {
    pub(crate) fn new(restored: Restored) -> Disk {
        let Restored { hard_state, start, confs, entries, applied, .. } = restored;
        let durable = Durable { hard_state, start, confs, entries: entries.into(), applied };
        Disk { durable, queue: VecDeque::new() }
    }

    /// The oldest group becomes durable.
    pub(crate) fn sync_one(&mut self) -> Option<Group> {
        let group = self.queue.pop_front()?;
        self.durable.take(group.clone());
        Some(group)
    }

    /// Power fails: all but the first `kept` groups of the queue are lost.
    pub(crate) fn crash(&mut self, kept: usize) {
        for group in std::mem::take(&mut self.queue).into_iter().take(kept) {
            self.durable.take(group);
        }
    }

    /// A snapshot's point is on its way.
    pub(crate) fn is_installing(&self) -> bool {
        self.queue.iter().any(|group| matches!(group, Group::Write(_, write) if write.point.is_some()))
    }
}

impl Durable {
    pub(crate) fn take(&mut self, group: Group) {
        match group {
            Group::Write(_, write) => self.write(write),
            Group::Confs(confs) => {
                for (at, conf) in confs.into_iter().filter(|(at, _)| *at > self.start.index) {
                    let known = self.confs.partition_point(|(index, _)| *index < at);
                    self.confs.truncate(known);
                    self.confs.push((at, conf));
                }
            }
            Group::Applied(index) => {
                // An applied mark proves that everything up to it is committed.
                self.hard_state.commit = self.hard_state.commit.max(index);
                self.applied = self.applied.max(index);
            }
            Group::Start(point) if point.index > self.start.index => {
                assert!(point.index <= self.applied, "a log is cut below the durable applied mark only");
                let gone = (point.index.0 - self.start.index.0).min(self.entries.len() as u64);
                self.entries.drain(..gone as usize);
                self.confs.retain(|(at, _)| *at > point.index);
                self.start = point;
            }
            Group::Start(_) => {}
        }
    }

    fn write(&mut self, write: Write) {
        if let Some(point) = write.point {
            assert!(point.index > self.applied, "a snapshot never takes back what is applied");
            self.entries.clear();
            self.confs.clear();
            self.applied = point.index;
            self.start = point;
        }
        if let Some(hard_state) = write.hard_state {
            self.vote(hard_state);
            self.hard_state = HardState { commit: hard_state.commit.max(self.applied), ..hard_state };
        }
        if let Some(first) = write.entries.first() {
            assert!(
                first.index > self.hard_state.commit.min(self.applied),
                "what is applied is never replaced"
            );
            while self.entries.back().is_some_and(|entry| entry.index >= first.index) {
                self.entries.pop_back();
            }
            assert_eq!(first.index, self.last().0.next(), "a log has no gaps");
            self.entries.extend(write.entries);
        }
    }

    /// A replica has one vote in a term, and terms only rise.
    fn vote(&self, new: HardState) {
        let old = self.hard_state;
        assert!(new.term >= old.term, "a term goes back from {old:?} to {new:?}");
        let again = new.term == old.term && old.vote != ReplicaId::NONE;
        assert!(!again || new.vote == old.vote, "a second vote in one term: {old:?}, then {new:?}");
    }

    pub(crate) fn last(&self) -> (Index, Term) {
        self.entries.back().map_or((self.start.index, self.start.term), |entry| (entry.index, entry.term))
    }

    /// Whether the entry of this place and term is here, or was and is cut off.
    pub(crate) fn has(&self, index: Index, term: Term) -> bool {
        match index.0.checked_sub(self.start.index.0 + 1) {
            Some(at) => self.entries.get(at as usize).is_some_and(|entry| entry.term == term),
            None => true,
        }
    }

    pub(crate) fn restored(&self) -> Restored {
        let mut terms = vec![(self.start.index, self.start.term)];
        for entry in &self.entries {
            if entry.term != terms[terms.len() - 1].1 {
                terms.push((entry.index, entry.term));
            }
        }
        Restored {
            hard_state: self.hard_state,
            start: self.start.clone(),
            confs: self.confs.clone(),
            entries: self.entries.iter().filter(|entry| entry.index > self.applied).cloned().collect(),
            applied: self.applied,
            terms,
            last: self.last(),
        }
    }

    /// Entries `first..=last`, as far as they are here.
    pub(crate) fn read(&self, first: Index, last: Index) -> Vec<Entry> {
        let wanted = self.entries.iter().filter(|entry| (first..=last).contains(&entry.index)).cloned();
        let found: Vec<Entry> = wanted.take(4).collect();
        if found.first().is_some_and(|entry| entry.index == first) { found } else { Vec::new() }
    }
}
