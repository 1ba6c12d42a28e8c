//! The promises by name, and what was found against them. A finding keeps the first of each promise: what follows from
//! one broken promise says nothing new.

use std::fmt;

/// What Flumen promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// A record that was acked is there, by the durability that it was acked with.
    AckedIsThere,
    /// A record of an idempotent producer is there once at most; no subscriber gets a record twice.
    OnceOnly,
    /// Nothing is there that nobody sent.
    NobodySent,
    /// Records of a producer and partition lie in the order of sending.
    Order,
    /// Offsets have no holes, and nobody's reading skips a record.
    OffsetsAreDense,
    /// What was once seen at an offset is there for ever, or below the log start.
    OffsetsAreStable,
    /// The log start moves by trims and retention alone, and never back.
    LogStart,
    /// Nothing is read beyond the commit index, and that never runs back.
    CommitIndex,
    /// A position is what was asked last, and never ahead of what was delivered.
    PositionKept,
    /// Topics are there when they were made, and gone when they were deleted.
    DeletedComesBack,
    /// A new topic shows nothing of an older one of its name.
    OldDataShows,
    /// Damage to acked data is reported.
    DamageReported,
    /// Damaged or foreign bytes are never served.
    DamageServed,
    /// The first record of a time is found.
    SeekByTime,
    /// A node serves, or says why not; it never fails without a cause.
    NodeServes,
    /// When faults end, every partition takes records again in time.
    Heals,
    /// Memory stays within its limits, and recovery reads no more than the journals hold, in time.
    Bounded,
    /// A bug shows as a panic of the simulated process.
    NoPanic,
    /// What was read from the seed alone.
    SameSeedSameTrace,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// What was seen, for a person.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// What was found, in the order of finding.
#[derive(Debug, Default)]
pub struct Findings {
    found: Vec<Violation>,
    /// All that is promised; everything when none.
    only: Option<&'static [Promise]>,
}

/// What is promised over a disk that lies: says that it has written and has not, or wrote somewhere else, or forgets
/// a durable name. A single node cannot keep what such a disk loses, nor always know of it.
pub(super) const OVER_LIES: &[Promise] = &[
    Promise::NobodySent,
    Promise::OffsetsAreDense,
    Promise::DamageServed,
    Promise::DamageReported,
    Promise::NodeServes,
    Promise::NoPanic,
];

impl Findings {
    /// From now on nothing else is promised.
    pub(super) fn only(&mut self, promises: &'static [Promise]) {
        self.only = Some(promises);
    }

    /// Whether everything is promised.
    pub(super) fn is_all(&self) -> bool {
        self.only.is_none()
    }

    /// A promise is broken.
    pub fn report(&mut self, promise: Promise, what: String) {
        let is_promised = self.only.is_none_or(|only| only.contains(&promise));
        if is_promised && self.found.iter().all(|known| known.promise != promise) {
            self.found.push(Violation { promise, what });
        }
    }

    /// The first one.
    pub fn first(&self) -> Option<&Violation> {
        self.found.first()
    }
}
