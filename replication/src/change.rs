//! Changes of a configuration, as they are asked for, and why one is refused. It must never let a change through
//! that could cost the group its quorum while somebody is watching.

use crate::conf::Conf;
use crate::entry::Entry;
use crate::ids::{Index, ReplicaId};
use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use std::collections::BTreeSet;
use thiserror::Error;

/// What a replica shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It votes.
    Voter,
    /// It follows without a vote.
    Learner,
    /// It is no member. Its id is never used again.
    Gone,
}

/// Who ends a joint configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leave {
    /// Whoever leads, by itself.
    Auto,
    /// The caller, with [`crate::Driver::propose_leave`] to whoever leads, until it is applied.
    Explicit,
}

/// One change of configuration. Several replicas at once go through a joint configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfChange {
    /// What each replica shall be; each is named once.
    pub roles: Vec<(ReplicaId, Role)>,
    /// Who ends the joint configuration. One replica with [`Leave::Auto`] needs none.
    pub leave: Leave,
}

/// Why a proposal was not taken. Nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// This replica does not lead; the one that does, if it is known.
    #[error("this replica does not lead the group")]
    NotLeader {
        /// Who leads.
        leader: Option<ReplicaId>,
    },
    /// Too much is proposed and not committed.
    #[error("too much is proposed and not yet committed: try again")]
    Full,
    /// A change of configuration is not applied yet.
    #[error("a change of configuration is under way: try again when it is applied")]
    Pending,
    /// The change was made for another configuration than the one in force.
    #[error("the configuration changed at {0} since this change was made: make it anew")]
    Stale(Index),
    /// The group is in a joint configuration and must leave it first, or is in none to leave.
    #[error("the group must leave its joint configuration first, or is in none")]
    Joint,
    /// A new voter is not a learner yet, or is too far behind.
    #[error("replica {0} cannot vote yet: it must be a learner that has nearly all of the log")]
    NotCaughtUp(ReplicaId),
    /// The id belonged to a replica that was removed.
    #[error("replica id {0} was used before: give the new replica a new id")]
    Condemned(ReplicaId),
    /// The voters to come have no majority that is alive.
    #[error(
        "the voters to come have no live majority: add a replica first, or replace the dead one in one change"
    )]
    QuorumAtRisk,
    /// The change names nobody, somebody twice, or leaves no voter.
    #[error("the change names nobody, or a replica twice, or leaves no voter")]
    Invalid,
}

/// What the leader knows about one replica.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    /// It answered within an election timeout.
    pub(crate) alive: bool,
    /// It has nearly all of what is committed.
    pub(crate) caught_up: bool,
}

impl ConfChange {
    /// One replica, by itself.
    pub fn one(id: ReplicaId, role: Role) -> ConfChange {
        ConfChange { roles: vec![(id, role)], leave: Leave::Auto }
    }

    /// The voters after the change.
    fn voters_after(&self, conf: &Conf) -> BTreeSet<ReplicaId> {
        let mut voters: BTreeSet<ReplicaId> = conf.voters.iter().copied().collect();
        for (id, role) in &self.roles {
            match role {
                Role::Voter => voters.insert(*id),
                Role::Learner | Role::Gone => voters.remove(id),
            };
        }
        voters
    }

    /// Whether a leader may propose this on top of `conf`. `removed` are ids that were members once.
    pub(crate) fn check(
        &self,
        conf: &Conf,
        removed: impl Fn(ReplicaId) -> bool,
        health: impl Fn(ReplicaId) -> Health,
    ) -> Result<(), Refused> {
        let named: BTreeSet<ReplicaId> = self.roles.iter().map(|(id, _)| *id).collect();
        let voters = self.voters_after(conf);
        if named.is_empty()
            || named.len() != self.roles.len()
            || named.contains(&ReplicaId::NONE)
            || voters.is_empty()
        {
            return Err(Refused::Invalid);
        }
        for &(id, role) in &self.roles {
            if role != Role::Gone && !conf.is_member(id) && removed(id) {
                return Err(Refused::Condemned(id));
            }
            let learns = conf.learners.contains(&id);
            if role == Role::Voter && !conf.voters.contains(&id) && !(learns && health(id).caught_up) {
                return Err(Refused::NotCaughtUp(id));
            }
        }
        let alive = voters.iter().filter(|id| health(**id).alive).count();
        let shrinks = conf.voters.iter().any(|id| !voters.contains(id));
        if shrinks && alive <= voters.len() / 2 { Err(Refused::QuorumAtRisk) } else { Ok(()) }
    }

    /// The bytes of the entry.
    pub(crate) fn encode(&self) -> Bytes {
        let mut change = ConfChangeV2::default();
        let transition = match (self.leave, self.roles.len()) {
            (Leave::Explicit, _) => ConfChangeTransition::Explicit,
            (Leave::Auto, 1) => ConfChangeTransition::Auto,
            (Leave::Auto, _) => ConfChangeTransition::Implicit,
        };
        change.set_transition(transition);
        let singles = self.roles.iter().map(|(id, role)| {
            let mut single = ConfChangeSingle { node_id: id.0, ..Default::default() };
            single.set_change_type(match role {
                Role::Voter => ConfChangeType::AddNode,
                Role::Learner => ConfChangeType::AddLearnerNode,
                Role::Gone => ConfChangeType::RemoveNode,
            });
            single
        });
        change.set_changes(singles.collect());
        change.write_to_bytes().expect("a message without required fields can be written").into()
    }
}

/// The change that an entry of kind `Conf` carries. Our own leader wrote it; its bytes are covered by the
/// checksums of journal and wire.
pub(crate) fn decode(entry: &Entry) -> ConfChangeV2 {
    let mut change = ConfChangeV2::default();
    change.merge_from_bytes(&entry.data).expect("a committed change of configuration is what a leader wrote");
    change
}

#[cfg(test)]
mod tests;
