//! One message between two replicas of one group. Opaque: what is in it is Raft's business. It must never be
//! parsed with protobuf from bytes that came over a network.

use crate::ids::{ReplicaId, Term};
use raft::eraftpb::{self, MessageType};
use std::fmt;

/// One message. It names replicas, not nodes: the caller routes by [`Message::to`]. Messages may be lost,
/// repeated and reordered; a lost one that [`Message::is_snapshot`] may be reported sooner than the driver
/// notices it ([`crate::Driver::report_snapshot`]).
#[derive(Clone, PartialEq)]
pub struct Message(pub(crate) eraftpb::Message);

impl Message {
    /// The replica that sent it.
    pub fn from(&self) -> ReplicaId {
        ReplicaId(self.0.from)
    }

    /// The replica that it is for.
    pub fn to(&self) -> ReplicaId {
        ReplicaId(self.0.to)
    }

    /// Carries a log start to a replica that is too far behind.
    pub fn is_snapshot(&self) -> bool {
        self.kind() == MessageType::MsgSnapshot
    }

    /// Asks for, or gives, nothing but a sign of life.
    pub fn is_heartbeat(&self) -> bool {
        matches!(self.kind(), MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse)
    }

    /// The term that its sender speaks in, and that must be durable there. `None` for questions and answers about
    /// a term to come (pre-votes).
    pub fn speaks_in(&self) -> Option<Term> {
        let to_come =
            matches!(self.kind(), MessageType::MsgRequestPreVote | MessageType::MsgRequestPreVoteResponse);
        u32::try_from(self.0.term).ok().filter(|_| !to_come).map(Term)
    }

    /// The term in which its sender gives its vote to the receiver, if it does: that vote must be durable there.
    pub fn votes_in(&self) -> Option<Term> {
        let grants = self.kind() == MessageType::MsgRequestVoteResponse && !self.0.reject;
        self.speaks_in().filter(|_| grants)
    }

    /// The places and terms of the entries that it carries.
    pub fn entries(&self) -> impl Iterator<Item = crate::Entry> {
        self.0.entries.iter().cloned().map(crate::Entry::from_raft)
    }

    /// The payload bytes that it carries, for counting what is in flight.
    pub fn payload_bytes(&self) -> usize {
        self.0.entries.iter().map(|entry| entry.data.len()).sum()
    }

    pub(crate) fn kind(&self) -> MessageType {
        self.0.msg_type
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.0;
        write!(
            f,
            "{:?} {}->{} term {} log {}.{} commit {} entries {}{}",
            m.msg_type,
            m.from,
            m.to,
            m.term,
            m.log_term,
            m.index,
            m.commit,
            m.entries.len(),
            if m.reject { " reject" } else { "" }
        )
    }
}
