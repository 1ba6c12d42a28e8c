//! Everything that can happen in a ring, as values. A run is a list of them: played again it gives the same run,
//! and with some left out a smaller one. What makes no sense any more when it is played does nothing.

use crate::common::Haste;
use flumen_replication::{ConfChange, Index, ReplicaId, Role};
use std::fmt;

/// One message on the wire: so many others of the same link were sent before it and are still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Letter {
    pub(crate) from: ReplicaId,
    pub(crate) to: ReplicaId,
    pub(crate) nth: usize,
}

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// Time passes; callers take from their drivers like this from now on.
    Time(Haste),
    Tick(ReplicaId),
    /// The caller takes everything that the driver has ready.
    Drain(ReplicaId),
    /// So many journal groups become durable; the driver hears of each, or of the last alone.
    Sync(ReplicaId, usize, bool),
    Deliver(Letter),
    /// Lost; the sender is told, or not.
    Lose(Letter, bool),
    Repeat(Letter),
    /// Brought to a replica that it is not for.
    Stray(Letter, ReplicaId),
    Propose(ReplicaId),
    /// Told to stand for election.
    Campaign(ReplicaId),
    Transfer(ReplicaId, ReplicaId),
    /// A change that was made for the configuration of this index.
    Change(ReplicaId, Index, ConfChange),
    Leave(ReplicaId),
    /// A fence behind the removal of the second.
    Fence(ReplicaId, ReplicaId),
    Create(ReplicaId),
    /// Destroyed, if its fence is committed.
    Destroy(ReplicaId),
    /// A mark of what is applied, and a cut so many entries behind it.
    Checkpoint(ReplicaId, Option<u64>),
    /// A late state machine applies what it was handed.
    Apply(ReplicaId),
    /// A late read is done.
    Answer(ReplicaId),
    /// So many of the queued journal groups had reached the disk.
    Crash(ReplicaId, usize),
    Boot(ReplicaId),
    /// A disk is lost for ever, if the others can do without it.
    Wipe(ReplicaId),
}

impl Act {
    /// The replica that it happens to.
    pub(crate) fn who(&self) -> Option<ReplicaId> {
        match self {
            Act::Time(_) => None,
            Act::Deliver(letter) | Act::Lose(letter, _) | Act::Repeat(letter) | Act::Stray(letter, _) => {
                Some(letter.to)
            }
            Act::Tick(id)
            | Act::Drain(id)
            | Act::Sync(id, ..)
            | Act::Propose(id)
            | Act::Campaign(id)
            | Act::Transfer(id, _)
            | Act::Change(id, ..)
            | Act::Leave(id)
            | Act::Fence(id, _)
            | Act::Create(id)
            | Act::Destroy(id)
            | Act::Checkpoint(id, _)
            | Act::Apply(id)
            | Act::Answer(id)
            | Act::Crash(id, _)
            | Act::Boot(id)
            | Act::Wipe(id) => Some(*id),
        }
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message {}->{}", self.from, self.to)?;
        if self.nth > 0 { write!(f, " that overtakes {}", self.nth) } else { Ok(()) }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Time(haste) => write!(f, "time passes; callers take {haste:?}"),
            Act::Tick(id) => write!(f, "{id} ticks"),
            Act::Drain(id) => write!(f, "{id} hands out what it has"),
            Act::Sync(id, groups, false) => write!(f, "{id}: up to {groups} groups become durable"),
            Act::Sync(id, groups, true) => write!(f, "{id}: up to {groups} groups become durable at once"),
            Act::Deliver(letter) => write!(f, "{letter} arrives"),
            Act::Lose(letter, told) => {
                write!(f, "{letter} is lost{}", if *told { ", and its sender is told" } else { "" })
            }
            Act::Repeat(letter) => write!(f, "{letter} arrives, and will once more"),
            Act::Stray(letter, door) => write!(f, "{letter} is brought to {door}"),
            Act::Propose(id) => write!(f, "{id} is given a write"),
            Act::Campaign(id) => write!(f, "{id} is told to stand for election"),
            Act::Transfer(id, to) => write!(f, "{id} is asked to hand over to {to}"),
            Act::Change(id, made_for, change) => {
                write!(f, "{id} is asked, for the configuration at {made_for}, to make")?;
                for (id, role) in &change.roles {
                    let role = match role {
                        Role::Voter => "a voter",
                        Role::Learner => "a learner",
                        Role::Gone => "go",
                    };
                    write!(f, " {id} {role}")?;
                }
                write!(f, " ({:?})", change.leave)
            }
            Act::Leave(id) => write!(f, "{id} is asked to leave the joint configuration"),
            Act::Fence(id, gone) => write!(f, "{id} is asked for a fence behind the removal of {gone}"),
            Act::Create(id) => write!(f, "{id} is created, empty"),
            Act::Destroy(id) => write!(f, "{id} is destroyed"),
            Act::Checkpoint(id, None) => write!(f, "{id} marks what it has applied"),
            Act::Checkpoint(id, Some(behind)) => {
                write!(f, "{id} marks what it has applied, and cuts its log {behind} entries before")
            }
            Act::Apply(id) => write!(f, "{id} applies what it was handed"),
            Act::Answer(id) => write!(f, "{id}: a read is done"),
            Act::Crash(id, kept) => write!(f, "{id} CRASHES; {kept} of its queued groups are on disk"),
            Act::Boot(id) => write!(f, "{id} BOOTS"),
            Act::Wipe(id) => write!(f, "{id} LOSES ITS DISK for ever"),
        }
    }
}
