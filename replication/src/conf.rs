//! A group's configuration: who votes, who learns, and whether it is between two configurations. Always sorted,
//! so that equal configurations have equal bytes. It must never be built from bytes that break its rules.

use crate::ids::ReplicaId;
use raft::eraftpb::ConfState;
use std::collections::BTreeSet;
use thiserror::Error;

/// The version that [`Conf::encode`] writes.
const VERSION: u8 = 1;
/// Bit of the flags byte: leave the joint configuration by itself.
const AUTO_LEAVE: u8 = 1;
/// Version, flags and four counts.
const HEADER_BYTES: usize = 2 + 4 * 2;

/// Members of one group. Each list is sorted and has no replica twice. *Joint* means that `voters_outgoing` is
/// not empty: then a majority of both voter lists decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Conf {
    /// Who votes.
    pub voters: Vec<ReplicaId>,
    /// Who follows without a vote.
    pub learners: Vec<ReplicaId>,
    /// Who votes in the configuration that is being left.
    pub voters_outgoing: Vec<ReplicaId>,
    /// Outgoing voters that become learners once it is left.
    pub learners_next: Vec<ReplicaId>,
    /// The leader leaves the joint configuration without being asked.
    pub auto_leave: bool,
}

/// Why bytes are no configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfError {
    /// Written by a newer version.
    #[error("configuration of version {0}, this build reads version {VERSION}: upgrade it")]
    Version(u8),
    /// The length does not fit the counts.
    #[error("configuration of {found} bytes where its counts say {expected}")]
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes the counts ask for.
        expected: usize,
    },
    /// The lists contradict each other.
    #[error("configuration breaks its own rules: {0}")]
    Rule(&'static str),
}

impl Conf {
    /// A group of these voters, in any order.
    pub fn of_voters(voters: impl IntoIterator<Item = ReplicaId>) -> Conf {
        let voters: BTreeSet<ReplicaId> = voters.into_iter().collect();
        Conf { voters: voters.into_iter().collect(), ..Conf::default() }
    }

    /// Between two configurations.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Votes in the incoming or the outgoing configuration.
    pub fn is_voter(&self, id: ReplicaId) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    /// In any of the lists.
    pub fn is_member(&self, id: ReplicaId) -> bool {
        self.is_voter(id) || self.learners.contains(&id) || self.learners_next.contains(&id)
    }

    /// Votes, and nobody else does. A joint configuration may have the same one voter on both sides, when only
    /// learners come or go.
    pub fn is_sole_voter(&self, id: ReplicaId) -> bool {
        self.voters == [id] && self.voters_outgoing.iter().all(|outgoing| *outgoing == id)
    }

    /// Every replica in any of the lists, each once.
    pub fn members(&self) -> impl Iterator<Item = ReplicaId> {
        let lists = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        let all: BTreeSet<ReplicaId> = lists.into_iter().flatten().copied().collect();
        all.into_iter()
    }

    /// As bytes, little-endian: version `u8`, flags `u8`, the four counts `u16` (voters, learners, outgoing
    /// voters, next learners), then their ids `u64` in that order.
    pub fn encode(&self) -> Vec<u8> {
        let lists = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        let mut out = vec![VERSION, if self.auto_leave { AUTO_LEAVE } else { 0 }];
        for list in lists {
            let count = u16::try_from(list.len()).expect("a group has at most a handful of replicas");
            out.extend_from_slice(&count.to_le_bytes());
        }
        for id in lists.into_iter().flatten() {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
        out
    }

    /// From the bytes of [`Conf::encode`].
    ///
    /// # Errors
    /// Anything that [`Conf::encode`] cannot have written.
    pub fn decode(bytes: &[u8]) -> Result<Conf, ConfError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&other) => return Err(ConfError::Version(other)),
            None => return Err(ConfError::Length { found: 0, expected: HEADER_BYTES }),
        }
        let Some((header, mut ids)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(ConfError::Length { found: bytes.len(), expected: HEADER_BYTES });
        };
        let count = |at: usize| usize::from(u16::from_le_bytes([header[2 + 2 * at], header[3 + 2 * at]]));
        let expected = HEADER_BYTES + 8 * (0..4).map(count).sum::<usize>();
        if bytes.len() != expected {
            return Err(ConfError::Length { found: bytes.len(), expected });
        }
        if header[1] & !AUTO_LEAVE != 0 {
            return Err(ConfError::Rule("unknown flags"));
        }
        let mut list = |at: usize| take_ids(&mut ids, count(at));
        let conf = Conf {
            voters: list(0),
            learners: list(1),
            voters_outgoing: list(2),
            learners_next: list(3),
            auto_leave: header[1] & AUTO_LEAVE != 0,
        };
        conf.check()?;
        Ok(conf)
    }

    /// The rules that every configuration keeps.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), ConfError> {
        let sorted = |list: &[ReplicaId]| {
            list.windows(2).all(|w| w[0] < w[1]) && list.first() != Some(&ReplicaId::NONE)
        };
        let lists = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        let rule = |kept: bool, why: &'static str| if kept { Ok(()) } else { Err(ConfError::Rule(why)) };
        rule(
            lists.into_iter().all(|list| sorted(list)),
            "a list is not sorted, or names nobody or somebody twice",
        )?;
        rule(self.learners.iter().all(|&id| !self.is_voter(id)), "a learner votes")?;
        rule(
            self.learners_next
                .iter()
                .all(|id| self.voters_outgoing.contains(id) && !self.voters.contains(id)),
            "a next learner is no outgoing voter, or stays a voter",
        )?;
        rule(!self.auto_leave || self.is_joint(), "it leaves a joint configuration that it is not in")?;
        rule(
            !self.voters.is_empty() || (self.learners.is_empty() && !self.is_joint()),
            "members without a voter",
        )
    }

    /// From Raft's own form, which keeps no order.
    pub(crate) fn from_raft(state: &ConfState) -> Conf {
        let list = |ids: &[u64]| {
            let mut ids: Vec<ReplicaId> = ids.iter().copied().map(ReplicaId).collect();
            ids.sort_unstable();
            ids
        };
        Conf {
            voters: list(state.get_voters()),
            learners: list(state.get_learners()),
            voters_outgoing: list(state.get_voters_outgoing()),
            learners_next: list(state.get_learners_next()),
            auto_leave: state.auto_leave,
        }
    }

    /// In Raft's own form.
    pub(crate) fn to_raft(&self) -> ConfState {
        let list = |ids: &[ReplicaId]| ids.iter().map(|id| id.0).collect();
        ConfState {
            voters: list(&self.voters),
            learners: list(&self.learners),
            voters_outgoing: list(&self.voters_outgoing),
            learners_next: list(&self.learners_next),
            auto_leave: self.auto_leave,
            ..ConfState::default()
        }
    }
}

/// The next `count` ids; the length was checked before.
fn take_ids(bytes: &mut &[u8], count: usize) -> Vec<ReplicaId> {
    let (mine, rest) = bytes.split_at(8 * count);
    *bytes = rest;
    let id = |raw: &[u8]| ReplicaId(u64::from_le_bytes(raw.try_into().expect("chunks of 8")));
    mine.chunks_exact(8).map(id).collect()
}

#[cfg(test)]
mod tests;
