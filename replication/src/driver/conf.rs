//! Changes of configuration, proposed by a leader. It must never have two under way, nor make one for another
//! configuration than the one in force.

use super::Driver;
use crate::change::{ConfChange, Health, Refused};
use crate::entry::{EntryKind, proposal};
use crate::ids::{Index, ReplicaId, Term};
use bytes::Bytes;
use raft::eraftpb::{self, EntryType, MessageType};

/// A learner may vote when no more than this many committed entries are missing. A blind promotion would be
/// safe, but the group might wait for it.
const CAUGHT_UP_ENTRIES: u64 = 64;

impl Driver {
    /// Proposes a change made for the configuration of `made_for` ([`Driver::conf_index`]). It is in force when
    /// [`Driver::conf_index`] is the index given here. A change that was lost is made anew, from the
    /// configuration in force.
    ///
    /// # Errors
    /// Every [`Refused`] but `Full`; nothing was appended.
    pub fn propose_conf(&mut self, made_for: Index, change: &ConfChange) -> Result<Index, Refused> {
        self.check_may_change(made_for)?;
        if self.conf().is_joint() {
            return Err(Refused::Joint);
        }
        let confs = self.raw.store();
        let removed =
            |id| confs.start().conf.is_member(id) || confs.confs().iter().any(|(_, c)| c.is_member(id));
        change.check(self.conf(), removed, |id| self.health(id))?;
        self.append_conf(change.encode())
    }

    /// Proposes to leave a joint configuration that was entered with [`crate::Leave::Explicit`]. Whoever leads
    /// asks until it is applied.
    ///
    /// # Errors
    /// As for [`Driver::propose_conf`].
    pub fn propose_leave(&mut self, made_for: Index) -> Result<Index, Refused> {
        self.check_may_change(made_for)?;
        if !self.conf().is_joint() {
            return Err(Refused::Joint);
        }
        self.append_conf(Bytes::new())
    }

    /// Proposes an entry behind the removal of `gone`. Once the entry at this index **and term** is handed out
    /// as committed, all others know that `gone` is removed, and it may be destroyed. Earlier, they may still
    /// need its vote to leave a joint configuration, for ever.
    ///
    /// # Errors
    /// `NotLeader`, `Full`, or `Pending` as long as the removal is not settled in this leader's own term.
    pub fn propose_fence(&mut self, gone: ReplicaId) -> Result<(Index, Term), Refused> {
        self.check_leads()?;
        let settled = self.raw.raft.apply_to_current_term() && !self.raw.raft.has_pending_conf();
        if !settled || self.conf().is_member(gone) {
            return Err(Refused::Pending);
        }
        let index = self.append(EntryKind::Noop, Bytes::new())?;
        Ok((index, self.term()))
    }

    fn check_may_change(&self, made_for: Index) -> Result<(), Refused> {
        self.check_leads()?;
        if self.raw.raft.has_pending_conf() {
            return Err(Refused::Pending);
        }
        if made_for != self.conf_index() {
            return Err(Refused::Stale(self.conf_index()));
        }
        Ok(())
    }

    /// Through Raft's own door, which keeps account of pending changes. It turns a change that it does not like
    /// into an empty entry without an error: so look at what it appended.
    fn append_conf(&mut self, data: Bytes) -> Result<Index, Refused> {
        let entries = vec![proposal(EntryKind::Conf, data)].into();
        let mut m = eraftpb::Message { from: self.config.id.0, entries, ..Default::default() };
        m.set_msg_type(MessageType::MsgPropose);
        self.raw.raft.step(m).map_err(|_| Refused::Full)?;
        let appended = self.raw.raft.raft_log.unstable_entries().last();
        match appended.map(|entry| entry.entry_type) {
            Some(EntryType::EntryConfChangeV2) => Ok(self.last_index()),
            _ => Err(Refused::Pending),
        }
    }

    fn health(&self, id: ReplicaId) -> Health {
        if id == self.config.id {
            return Health { alive: true, caught_up: true };
        }
        let commit = self.commit().0;
        self.raw.raft.prs().get(id.0).map_or(Health::default(), |progress| Health {
            alive: progress.recent_active,
            caught_up: progress.matched + CAUGHT_UP_ENTRIES >= commit,
        })
    }
}
