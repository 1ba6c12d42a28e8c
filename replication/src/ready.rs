//! What one step of the driver asks of the world: one journal group to write and the messages that may leave
//! now. It must never carry a message that speaks of something not durable yet.

use crate::entry::Entry;
use crate::message::Message;
use crate::state::{HardState, Point};

/// Work for the caller. Never empty: there is something to write or something to send.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Goes up. [`crate::Driver::persisted`] takes it once `write` and everything before it is durable.
    pub number: u64,
    /// One atomic journal group.
    pub write: Write,
    /// May leave at once, in any order, and may be lost.
    pub send: Vec<Message>,
}

/// **One atomic journal group: recovered whole or not at all**, and never without the groups before it. Half of
/// it, either half, makes replicas diverge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Write {
    /// The log is thrown away and starts anew behind this point (a snapshot). The state machine begins anew as
    /// well: nothing below is handed out any more.
    pub point: Option<Point>,
    /// The newest term, vote and commit.
    pub hard_state: Option<HardState>,
    /// To be appended in order. If the log has entries at or after the first one's index, they are replaced:
    /// the tail from there on is gone.
    pub entries: Vec<Entry>,
    /// False when nothing but the commit index moved: the group is queued in its place as any other, but needs
    /// no flush of its own. It may not be left out: a log that holds a second change of configuration must
    /// durably know that the first is committed.
    pub must_sync: bool,
}

impl Write {
    /// Nothing to write: no journal group, and nobody waits for [`crate::Driver::persisted`].
    pub fn is_empty(&self) -> bool {
        self.point.is_none() && self.hard_state.is_none() && self.entries.is_empty()
    }

    /// Makes this and a `later` write one group.
    pub(crate) fn merge(&mut self, mut later: Write) {
        if later.point.is_some() {
            self.entries.clear();
            self.point = later.point;
        }
        if let Some(first) = later.entries.first() {
            let kept = self.entries.partition_point(|entry| entry.index < first.index);
            self.entries.truncate(kept);
        }
        if self.entries.is_empty() {
            self.entries = later.entries;
        } else {
            self.entries.append(&mut later.entries);
        }
        self.hard_state = later.hard_state.or(self.hard_state);
        self.must_sync |= later.must_sync;
    }
}
