//! The three numbers of a Raft group, as types of their own. They never turn into each other, and an index is
//! never a Kafka offset.

use std::fmt;

/// One replica of one group on one disk. Given by the metadata group, **never used again**: a wiped disk or a
/// replica that comes back after its removal gets a new id. 0 is nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReplicaId(pub u64);

/// A place in the Raft log, from 1. The log start may lie anywhere; 0 is the empty log of a joining replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Index(pub u64);

/// A Raft term, Kafka's leader epoch. Raft counts in 64 bits; this house asserts that 32 are enough.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u32);

impl ReplicaId {
    /// Nobody: no vote, no leader.
    pub const NONE: ReplicaId = ReplicaId(0);
}

impl Index {
    /// The next place.
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }
}

impl Term {
    /// Raft's own number as a term.
    ///
    /// # Panics
    /// Four thousand million elections in one group are a bug, not a case.
    pub(crate) fn from_raft(term: u64) -> Term {
        Term(u32::try_from(term).expect("a Raft term fits Kafka's 32-bit leader epoch"))
    }

    /// As Raft counts.
    pub(crate) fn raft(self) -> u64 {
        u64::from(self.0)
    }
}

macro_rules! shown {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

shown!(ReplicaId Index Term);
