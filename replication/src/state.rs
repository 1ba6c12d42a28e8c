//! What a replica must find again after a crash: votes, the start of its log, and everything behind it. Nothing
//! here is ever repaired or clamped: a state that contradicts itself is refused.

use crate::conf::{Conf, ConfError};
use crate::entry::Entry;
use crate::ids::{Index, ReplicaId, Term};
use raft::eraftpb;
use thiserror::Error;

/// Raft's durable state beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HardState {
    /// The newest term that this replica knows.
    pub term: Term,
    /// Whom it voted for in that term; [`ReplicaId::NONE`] if nobody.
    pub vote: ReplicaId,
    /// The newest index that it knows to be committed.
    pub commit: Index,
}

/// The start of a log: everything up to and including `index` is not in the log any more, or never was.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Point {
    /// The last index before the log.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The configuration in force **at** `index`, joint or not.
    pub conf: Conf,
}

/// One replica as it was found on disk, or as it begins.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Restored {
    /// The newest durable one.
    pub hard_state: HardState,
    /// The start of the log.
    pub start: Point,
    /// The configurations that came into force after the start, oldest first, up to `applied`. Records above
    /// `applied` are dropped: their entries are replayed.
    pub confs: Vec<(Index, Conf)>,
    /// All entries after `applied`, without a gap. Older ones before them do no harm and are dropped.
    pub entries: Vec<Entry>,
    /// How far the state machine durably is: the log start, or a mark that was written after the configuration
    /// record of every change below it.
    pub applied: Index,
    /// The first index of each term, oldest first, for the whole log from the start on.
    pub terms: Vec<(Index, Term)>,
    /// The last entry of the log, or the start if the log is empty.
    pub last: (Index, Term),
}

/// Why a recovered state is refused. The replica must be repaired from the others, never guessed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RestoredError {
    /// Numbers that must be in order are not.
    #[error(
        "recovered state is out of order: start {start} <= applied {applied} <= commit {commit} <= last {last} must hold"
    )]
    Order {
        /// Start of the log.
        start: Index,
        /// How far it is applied.
        applied: Index,
        /// Durable commit index.
        commit: Index,
        /// Last entry.
        last: Index,
    },
    /// An entry after `applied` is missing or out of place.
    #[error("recovered log has no entry {0} where there must be one")]
    Gap(Index),
    /// The runs of terms do not cover the log or contradict its entries.
    #[error("recovered terms contradict the log at {0}")]
    Terms(Index),
    /// A configuration is damaged, or one is missing.
    #[error("recovered configuration at {0}: {1}")]
    Conf(Index, ConfError),
}

impl Restored {
    /// The first state of a group's first members. All of them are born at the same point.
    ///
    /// # Panics
    /// A log from zero, or one without voters, panics later when a replica joins: so it panics here.
    pub fn birth(point: Point) -> Restored {
        assert!(
            point.index >= Index(1) && point.term >= Term(1),
            "a group is born behind a point, not at zero"
        );
        assert!(!point.conf.voters.is_empty(), "a group is born with voters");
        Restored {
            hard_state: HardState { term: point.term, vote: ReplicaId::NONE, commit: point.index },
            applied: point.index,
            terms: vec![(point.index, point.term)],
            last: (point.index, point.term),
            start: point,
            ..Restored::default()
        }
    }

    /// The first state of a replica that joins a living group: nothing at all, so that it always begins with
    /// the leader's snapshot. Only the metadata group creates replicas, never a message.
    pub fn joining() -> Restored {
        Restored::default()
    }

    /// Whether this can be what an honest disk gives back.
    ///
    /// # Errors
    /// The first contradiction. [`crate::Driver::new`] panics on the same; a caller that can set the partition
    /// aside asks here first.
    pub fn check(&self) -> Result<(), RestoredError> {
        let (start, applied, commit) = (self.start.index, self.applied, self.hard_state.commit);
        let (last, last_term) = self.last;
        if !(start <= applied && applied <= commit && commit <= last && last_term <= self.hard_state.term) {
            return Err(RestoredError::Order { start, applied, commit, last });
        }
        self.check_terms()?;
        self.check_entries()?;
        self.check_confs()
    }

    fn check_terms(&self) -> Result<(), RestoredError> {
        let ordered = self.terms.windows(2).find(|w| !(w[0].0 < w[1].0 && w[0].1 <= w[1].1));
        if let Some(pair) = ordered {
            return Err(RestoredError::Terms(pair[1].0));
        }
        let newest = self.terms.last().copied().unwrap_or((self.start.index, self.start.term));
        if newest.0 > self.last.0 || newest.1 != self.last.1 {
            return Err(RestoredError::Terms(self.last.0));
        }
        Ok(())
    }

    fn check_entries(&self) -> Result<(), RestoredError> {
        let first = self.entries.first().map_or(self.last.0.next(), |entry| entry.index);
        if first > self.applied.next() {
            return Err(RestoredError::Gap(self.applied.next()));
        }
        for (entry, index) in self.entries.iter().zip(first.0..) {
            if entry.index != Index(index) {
                return Err(RestoredError::Gap(Index(index)));
            }
            let run = self.terms.partition_point(|run| run.0 <= entry.index);
            let term = run.checked_sub(1).map_or(self.start.term, |run| self.terms[run].1);
            if entry.term != term {
                return Err(RestoredError::Terms(entry.index));
            }
        }
        match self.entries.last() {
            Some(entry) if entry.index != self.last.0 => Err(RestoredError::Gap(entry.index.next())),
            _ => Ok(()),
        }
    }

    fn check_confs(&self) -> Result<(), RestoredError> {
        let all = std::iter::once((self.start.index, &self.start.conf));
        let all = all.chain(self.confs.iter().map(|(at, conf)| (*at, conf)));
        let mut before = None;
        for (at, conf) in all {
            conf.check().map_err(|why| RestoredError::Conf(at, why))?;
            if before.is_some_and(|before| at <= before) {
                return Err(RestoredError::Conf(at, ConfError::Rule("the records are not in order")));
            }
            before = Some(at);
        }
        let newborn = self.start == Point::default() && self.last.0 == Index(0);
        if self.start.conf.voters.is_empty() && !newborn {
            return Err(RestoredError::Conf(self.start.index, ConfError::Rule("a log without voters")));
        }
        Ok(())
    }
}

impl HardState {
    pub(crate) fn from_raft(state: &eraftpb::HardState) -> HardState {
        HardState {
            term: Term::from_raft(state.term),
            vote: ReplicaId(state.vote),
            commit: Index(state.commit),
        }
    }

    pub(crate) fn to_raft(self) -> eraftpb::HardState {
        eraftpb::HardState {
            term: self.term.raft(),
            vote: self.vote.0,
            commit: self.commit.0,
            ..eraftpb::HardState::default()
        }
    }
}

#[cfg(test)]
mod tests;
