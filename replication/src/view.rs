//! The log as Raft sees it: a start point, the terms as runs, the configurations, and the few entries that are
//! still in memory. It answers from memory or says that it cannot; it must never wait and never invent.

use crate::conf::Conf;
use crate::entry::Entry;
use crate::ids::{Index, Term};
use crate::state::{HardState, Point, Restored};
use raft::eraftpb::{self, Snapshot};
use raft::util::limit_size;
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Fetches outstanding at once: as many as a group has slow followers.
const FETCHES_MAX: usize = 8;
/// What an entry without payload counts for in memory.
const ENTRY_BYTES: usize = 64;
/// A queue that held a burst gives its memory back when it is empty and larger than this.
const IDLE_CAPACITY: usize = 16;

/// Entries that a slow follower needs and that are not in memory any more. The caller reads them and gives them
/// to [`crate::Driver::fetched`].
#[derive(Debug)]
pub struct Fetch {
    /// The first entry wanted.
    pub first: Index,
    /// The last entry that is of any use; fewer will do.
    pub last: Index,
    /// About as many payload bytes are enough; one entry is always wanted.
    pub bytes_max: usize,
    pub(crate) context: GetEntriesContext,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct View {
    hard_state: HardState,
    start: Point,
    /// Configurations after the start, oldest first.
    confs: Vec<(Index, Conf)>,
    /// First index of each term, from the start on. Never empty.
    terms: Vec<(Index, Term)>,
    /// The newest entries without a gap up to `last`.
    entries: VecDeque<Entry>,
    bytes: usize,
    last: Index,
    /// What a fetch brought, until Raft has sent it.
    fetched: Vec<Entry>,
    /// Asked for by Raft, not yet taken; and the first indexes of all that are not answered.
    wanted: RefCell<Vec<Fetch>>,
    asked: RefCell<Vec<Index>>,
}

impl View {
    /// The state of a checked [`Restored`].
    pub(crate) fn new(restored: Restored) -> View {
        let Restored { hard_state, start, mut confs, entries, applied, terms, last } = restored;
        confs.retain(|(at, _)| *at <= applied);
        let mut view = View {
            hard_state,
            confs,
            terms: vec![(start.index, start.term)],
            start,
            entries: VecDeque::new(),
            bytes: 0,
            last: last.0,
            fetched: Vec::new(),
            wanted: RefCell::default(),
            asked: RefCell::default(),
        };
        terms.into_iter().for_each(|(at, term)| view.note_term(at, term));
        view.entries = entries.into_iter().filter(|entry| entry.index > applied).collect();
        view.bytes = view.entries.iter().map(cost).sum();
        view
    }

    /// The start of the log.
    pub(crate) fn start(&self) -> &Point {
        &self.start
    }

    /// The configuration in force, and since when.
    pub(crate) fn conf(&self) -> (Index, &Conf) {
        self.confs.last().map_or((self.start.index, &self.start.conf), |(at, conf)| (*at, conf))
    }

    /// The configurations after the start, oldest first.
    pub(crate) fn confs(&self) -> &[(Index, Conf)] {
        &self.confs
    }

    /// The term of an entry from the start on.
    pub(crate) fn term_of(&self, index: Index) -> Option<Term> {
        if index < self.start.index || index > self.last {
            return None;
        }
        let run = self.terms.partition_point(|run| run.0 <= index);
        Some(self.terms[run - 1].1)
    }

    /// The start that a log cut at `index` would have.
    pub(crate) fn point_at(&self, index: Index) -> Option<Point> {
        let term = self.term_of(index)?;
        let known = self.confs.partition_point(|(at, _)| *at <= index);
        let conf = known.checked_sub(1).map_or(&self.start.conf, |newest| &self.confs[newest].1);
        Some(Point { index, term, conf: conf.clone() })
    }

    /// A change of configuration was applied at `index`.
    pub(crate) fn note_conf(&mut self, index: Index, conf: Conf) {
        assert!(index > self.conf().0, "configurations are applied in order");
        self.confs.push((index, conf));
    }

    /// Takes new entries, in place of whatever was there from the first one on.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.start.index && first.index <= self.last.next(), "appends leave no gap");
        self.truncate(first.index);
        for entry in entries {
            self.note_term(entry.index, entry.term);
            self.bytes += cost(entry);
            self.entries.push_back(entry.clone());
        }
        self.last = entries.last().expect("not empty").index;
    }

    fn truncate(&mut self, from: Index) {
        while self.entries.back().is_some_and(|entry| entry.index >= from) {
            let gone = self.entries.pop_back().expect("just seen");
            self.bytes -= cost(&gone);
        }
        self.fetched.clear();
        let runs = self.terms.partition_point(|run| run.0 < from);
        self.terms.truncate(runs);
        self.last = self.last.min(Index(from.0 - 1));
    }

    fn note_term(&mut self, index: Index, term: Term) {
        let newest = self.terms.last().expect("the start has a term").1;
        if newest != term && index > self.start.index {
            self.terms.push((index, term));
        }
    }

    /// Throws everything away and begins anew behind `point`.
    pub(crate) fn install(&mut self, point: Point) {
        self.confs.clear();
        self.terms = vec![(point.index, point.term)];
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.last = point.index;
        self.fetched = Vec::new();
        self.start = point;
    }

    /// Moves the start to `index`, which is applied.
    pub(crate) fn cut(&mut self, index: Index) -> Point {
        let point = self.point_at(index).expect("the cut lies within the log");
        self.confs.retain(|(at, _)| *at > index);
        let runs = self.terms.partition_point(|run| run.0 <= index);
        self.terms.drain(..runs - 1);
        self.terms[0].0 = index;
        self.forget(index, 0);
        self.start = point.clone();
        point
    }

    /// Drops entries up to `index` from memory, as long as they hold more than `bytes_kept`.
    pub(crate) fn forget(&mut self, index: Index, bytes_kept: usize) {
        while self.bytes > bytes_kept && self.entries.front().is_some_and(|entry| entry.index <= index) {
            let gone = self.entries.pop_front().expect("just seen");
            self.bytes -= cost(&gone);
        }
        if self.entries.is_empty() && self.entries.capacity() > IDLE_CAPACITY {
            self.entries = VecDeque::new();
        }
    }

    /// What Raft asked for since the last call.
    pub(crate) fn take_wanted(&mut self) -> Vec<Fetch> {
        std::mem::take(self.wanted.get_mut())
    }

    /// The answer to the fetch that began at `first`; may be empty. False when it is not this log any more.
    pub(crate) fn answer(&mut self, first: Index, entries: Vec<Entry>) -> bool {
        self.asked.get_mut().retain(|asked| *asked != first);
        let dense = entries.iter().zip(first.0..).all(|(entry, index)| {
            entry.index == Index(index) && self.term_of(entry.index) == Some(entry.term)
        });
        self.fetched = if dense { entries } else { Vec::new() };
        dense
    }

    /// Raft has sent what it could of the answer.
    pub(crate) fn drop_answer(&mut self) {
        self.fetched = Vec::new();
    }

    /// Entries `low..high` from the fetched ones, if they begin there.
    fn fetched_range(&self, low: u64, high: u64) -> Option<Vec<eraftpb::Entry>> {
        let skip = low.checked_sub(self.fetched.first()?.index.0)? as usize;
        let found = self.fetched.get(skip..).filter(|found| !found.is_empty())?;
        Some(found.iter().take((high - low) as usize).map(Entry::to_raft).collect())
    }

    fn ask(&self, low: u64, high: u64, max: Option<u64>, context: GetEntriesContext) {
        let mut asked = self.asked.borrow_mut();
        if asked.len() >= FETCHES_MAX || asked.contains(&Index(low)) {
            return; // The next heartbeat's answer tries again.
        }
        asked.push(Index(low));
        let bytes_max = max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let fetch = Fetch { first: Index(low), last: Index(high - 1), bytes_max, context };
        self.wanted.borrow_mut().push(fetch);
    }
}

fn cost(entry: &Entry) -> usize {
    ENTRY_BYTES + entry.data.len()
}

impl Storage for View {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState { hard_state: self.hard_state.to_raft(), conf_state: self.conf().1.to_raft() })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        let max = max_size.into();
        if Index(low) <= self.start.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(high <= self.last.0 + 1, "Raft asks for what the log has");
        let first = self.entries.front().map_or(self.last.0 + 1, |entry| entry.index.0);
        let mut found = if low >= first {
            let range = (low - first) as usize..(high - first) as usize;
            self.entries.range(range).map(Entry::to_raft).collect()
        } else if let Some(found) = self.fetched_range(low, high) {
            found
        } else {
            assert!(context.can_async(), "everything that is not applied is in memory");
            self.ask(low, high, max, context);
            return Err(Error::Store(StorageError::LogTemporarilyUnavailable));
        };
        limit_size(&mut found, max);
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.term_of(Index(index)) {
            Some(term) => Ok(term.raft()),
            None if Index(index) < self.start.index => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.start.index.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last.0)
    }

    /// The start with the configuration in force **there**, and the receiver added as a learner if it is in
    /// none of its lists: Raft refuses a snapshot that does not know its receiver, and the newest configuration
    /// in its place makes replicas diverge.
    fn snapshot(&self, _request_index: u64, to: u64) -> raft::Result<Snapshot> {
        if self.start.index == Index(0) {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        let mut conf = self.start.conf.to_raft();
        if !self.start.conf.is_member(crate::ids::ReplicaId(to)) {
            conf.learners.push(to);
        }
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = self.start.index.0;
        metadata.term = self.start.term.raft();
        metadata.set_conf_state(conf);
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests;
