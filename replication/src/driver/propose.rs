//! New entries of a leader: batches and commands. It must never forward a proposal, nor take one that it may not
//! append.

use super::Driver;
use crate::change::Refused;
use crate::entry::{EntryKind, proposal};
use crate::ids::Index;
use bytes::Bytes;

impl Driver {
    /// Appends an entry, if this replica leads. Gives the index that it has **if** it commits in this term; a
    /// new leader may put another entry there. Several proposals share the next Ready.
    ///
    /// # Errors
    /// [`Refused::NotLeader`], also while leadership is being handed over; [`Refused::Full`].
    ///
    /// # Panics
    /// When `kind` is neither `Batch` nor `Command`.
    pub fn propose(&mut self, kind: EntryKind, data: Bytes) -> Result<Index, Refused> {
        assert!(matches!(kind, EntryKind::Batch | EntryKind::Command), "the others are the driver's own");
        self.append(kind, data)
    }

    pub(super) fn append(&mut self, kind: EntryKind, data: Bytes) -> Result<Index, Refused> {
        self.check_leads()?;
        let raft = &mut self.raw.raft;
        let uncommitted = raft.raft_log.last_index() - raft.raft_log.committed;
        if uncommitted >= self.config.uncommitted_entries_max
            || !raft.append_entry(&mut [proposal(kind, data)])
        {
            return Err(Refused::Full);
        }
        self.broadcast = true;
        Ok(self.last_index())
    }

    pub(super) fn check_leads(&self) -> Result<(), Refused> {
        if !self.is_leader() {
            return Err(Refused::NotLeader { leader: self.leader() });
        }
        match self.raw.raft.lead_transferee {
            Some(_) => Err(Refused::NotLeader { leader: None }),
            None => Ok(()),
        }
    }
}
