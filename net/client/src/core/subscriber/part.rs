//! One partition's state in a subscriber: where it is, what is queued, and how much more may come. Values only; the
//! engine moves it.

use crate::core::calls::CallId;
use crate::core::chance::Backoff;
use crate::core::moment::Moment;
use crate::core::subscriber::settings::Target;
use bytes::Bytes;
use flumen_model::{GroupId, Offset, PartitionNumber, ShardId, TopicId};
use std::collections::VecDeque;
use std::sync::Arc;

/// How far a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its group is not known.
    Unrouted,
    /// Its first offset is not known.
    Unplaced,
    /// The node was asked for its first offset.
    Asking(CallId),
    /// It knows what it wants and has no subscription.
    Ready,
    /// It has a subscription, or has asked for one.
    Live { shard: ShardId, handle: u32 },
    /// It has ended with an error; a seek begins anew.
    Ended,
}

/// One partition.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) topic: Arc<str>,
    pub(crate) number: PartitionNumber,
    pub(crate) home: Option<(TopicId, GroupId)>,
    pub(crate) phase: Phase,
    pub(crate) target: Target,
    /// It was moved and has not found its new place yet.
    seeking: bool,
    /// The next offset that is not received; everything below is queued or read.
    pub(crate) wanted: Offset,
    /// The next offset to read, once it is known where that is.
    pub(crate) position: Option<Offset>,
    /// The position that the node keeps.
    pub(crate) committed: Option<Offset>,
    /// Of the last batch read.
    pub(crate) leader_epoch: u32,
    pub(crate) not_before: Moment,
    pub(crate) backoff: Backoff,
    /// Runs of whole batches.
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) queued_bytes: usize,
    /// Bytes that were read and not allowed again yet.
    spent_bytes: u32,
}

impl Part {
    pub(crate) fn new(topic: Arc<str>, number: PartitionNumber, backoff: Backoff) -> Part {
        Part {
            topic,
            number,
            home: None,
            phase: Phase::Unrouted,
            target: Target::Kept,
            seeking: false,
            wanted: Offset(0),
            position: None,
            committed: None,
            leader_epoch: 0,
            not_before: Moment::default(),
            backoff,
            queue: VecDeque::new(),
            queued_bytes: 0,
            spent_bytes: 0,
        }
    }

    /// It is known where to begin.
    pub(crate) fn begin_at(&mut self, offset: Offset) {
        self.wanted = offset;
        self.position = Some(offset);
        self.phase = Phase::Ready;
        self.seeking = false;
    }

    /// Forgets what is queued and begins somewhere else.
    pub(crate) fn go_to(&mut self, target: Target) {
        self.queue.clear();
        self.queued_bytes = 0;
        self.target = target;
        self.seeking = true;
        self.position = None;
        self.phase = if self.home.is_some() { Phase::Unplaced } else { Phase::Unrouted };
        self.not_before = Moment::default();
    }

    /// Whether it was moved and will find its new place.
    pub(crate) fn is_seeking(&self) -> bool {
        self.seeking && self.phase != Phase::Ended
    }

    /// The credit of a new subscription: what is queued already counts.
    pub(crate) fn first_credit(&mut self, credit_bytes: u32) -> u32 {
        self.spent_bytes = 0;
        let queued = u32::try_from(self.queued_bytes).unwrap_or(u32::MAX);
        credit_bytes.saturating_sub(queued).max(1)
    }

    /// So many bytes were read. Tells how many to allow again, once that is half of all.
    pub(crate) fn spend(&mut self, bytes: usize, credit_bytes: u32) -> Option<u32> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.spent_bytes = self.spent_bytes.saturating_add(bytes);
        let due = self.spent_bytes >= credit_bytes / 2;
        due.then(|| std::mem::take(&mut self.spent_bytes))
    }
}
