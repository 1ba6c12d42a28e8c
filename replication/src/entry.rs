//! One entry of the Raft log. The payload is shared, never copied, and never looked into.

use crate::ids::{Index, Term};
use bytes::Bytes;
use raft::eraftpb::{self, EntryType};
use std::fmt;

/// Marks a batch in Raft's entry context: Raft itself knows one kind of normal entry only.
const BATCH: &[u8] = b"B";
/// Marks a command.
const COMMAND: &[u8] = b"C";

/// What an entry carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A record batch of a client.
    Batch,
    /// A command to the group's own state: log start, positions, metadata.
    Command,
    /// A change of configuration. The driver has applied it when it hands the entry out.
    Conf,
    /// Nothing: the first entry of a leader's term, a fence, or a configuration change that was refused.
    Noop,
}

/// One entry. Cloning shares `data`.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub index: Index,
    /// The term of the leader that appended it.
    pub term: Term,
    /// What `data` is.
    pub kind: EntryKind,
    /// The payload, byte for byte as it was proposed. For [`EntryKind::Conf`] the driver's own bytes.
    pub data: Bytes,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}.{} of {} bytes", self.kind, self.term, self.index, self.data.len())
    }
}

impl Entry {
    /// From Raft's own form. Moves the payload.
    pub(crate) fn from_raft(entry: eraftpb::Entry) -> Entry {
        Entry {
            index: Index(entry.index),
            term: Term::from_raft(entry.term),
            kind: kind_of(&entry),
            data: entry.data,
        }
    }

    /// In Raft's own form. Shares the payload.
    pub(crate) fn to_raft(&self) -> eraftpb::Entry {
        let mut entry = proposal(self.kind, self.data.clone());
        entry.index = self.index.0;
        entry.term = self.term.raft();
        entry
    }
}

/// An entry without a place yet.
pub(crate) fn proposal(kind: EntryKind, data: Bytes) -> eraftpb::Entry {
    let context = match kind {
        EntryKind::Batch => Bytes::from_static(BATCH),
        EntryKind::Command => Bytes::from_static(COMMAND),
        EntryKind::Conf | EntryKind::Noop => Bytes::new(),
    };
    let entry_type = match kind {
        EntryKind::Conf => EntryType::EntryConfChangeV2,
        _ => EntryType::EntryNormal,
    };
    eraftpb::Entry { entry_type, context, data, ..eraftpb::Entry::default() }
}

fn kind_of(entry: &eraftpb::Entry) -> EntryKind {
    match (entry.entry_type, entry.context.as_ref()) {
        (EntryType::EntryConfChangeV2, _) => EntryKind::Conf,
        (EntryType::EntryNormal, BATCH) => EntryKind::Batch,
        (EntryType::EntryNormal, COMMAND) => EntryKind::Command,
        (EntryType::EntryNormal, context) => {
            assert!(context.is_empty() && entry.data.is_empty(), "only this driver writes entries");
            EntryKind::Noop
        }
        (EntryType::EntryConfChange, _) => {
            unreachable!("this driver proposes changes of the second form only")
        }
    }
}
