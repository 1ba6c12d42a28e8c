//! What the metadata group knows of a partition's replicas: who joined, whose disk is lost, who may be destroyed.

use crate::common::Ring;
use flumen_replication::{Conf, Index, ReplicaId, Term};
use std::collections::{BTreeMap, BTreeSet};

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Staff {
    /// The highest id that was ever given.
    pub(crate) newest: u64,
    /// The first configuration.
    born: Conf,
    /// Seen in a configuration.
    pub(crate) joined: BTreeSet<ReplicaId>,
    /// Their disks are lost: they never come back.
    pub(crate) dead: BTreeSet<ReplicaId>,
    /// The replica that lives where a lost disk was.
    pub(crate) heirs: BTreeMap<ReplicaId, ReplicaId>,
    pub(crate) fences: BTreeMap<ReplicaId, (Index, Term)>,
    /// Changes that some leader has appended.
    pub(crate) changes: Vec<Index>,
}

impl Staff {
    pub(crate) fn of(voters: u64) -> Staff {
        let first: BTreeSet<ReplicaId> = (1..=voters).map(ReplicaId).collect();
        let born = Conf::of_voters(first.iter().copied());
        Staff { newest: voters, born, joined: first, ..Staff::default() }
    }

    /// A new replica takes the place of a lost disk, if there is one without an heir.
    pub(crate) fn inherit(&mut self, id: ReplicaId) {
        self.newest = self.newest.max(id.0);
        if let Some(lost) = self.dead.iter().find(|lost| !self.heirs.contains_key(lost)) {
            self.heirs.insert(*lost, id);
        }
    }

    /// Replicas that exist and were in no configuration yet.
    pub(crate) fn fresh(&self, ring: &Ring) -> Vec<ReplicaId> {
        ring.replicas.keys().filter(|id| !self.joined.contains(id)).copied().collect()
    }

    /// Whether the group can do without one more disk: every list of voters, of the configuration in force and of
    /// the one before, keeps a majority that lives, and no change is under way. (A log that holds a change durably
    /// knows the one before to be committed, so nobody is further behind and yet needed.)
    pub(crate) fn may_lose(&self, ring: &Ring, id: ReplicaId) -> bool {
        let Some(end) = ring.oracle.end().map(|entry| entry.index) else { return false };
        let lives = |voter: &&ReplicaId| **voter != id && !self.dead.contains(voter);
        let majority = |voters: &[ReplicaId]| {
            voters.is_empty() || voters.iter().filter(lives).count() > voters.len() / 2
        };
        let newest = ring.oracle.confs().chain([&self.born]).take(2);
        self.changes.iter().all(|index| *index <= end)
            && newest.into_iter().all(|conf| majority(&conf.voters) && majority(&conf.voters_outgoing))
    }
}
