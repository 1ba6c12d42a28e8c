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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Conf;
    use crate::entry::EntryKind;
    use crate::ids::{Index, ReplicaId, Term};
    use bytes::Bytes;

    fn entries(term: u32, range: std::ops::Range<u64>) -> Write {
        let entry = |index| Entry {
            index: Index(index),
            term: Term(term),
            kind: EntryKind::Noop,
            data: Bytes::new(),
        };
        Write { entries: range.map(entry).collect(), must_sync: true, ..Write::default() }
    }

    fn log(write: &Write) -> Vec<(u64, u32)> {
        write.entries.iter().map(|entry| (entry.index.0, entry.term.0)).collect()
    }

    #[test]
    fn a_later_write_goes_on_or_replaces_the_tail() {
        let mut write = entries(1, 5..8);
        write.merge(entries(1, 8..9));
        write.merge(entries(2, 6..8));
        assert_eq!(log(&write), [(5, 1), (6, 2), (7, 2)]);
    }

    #[test]
    fn a_later_point_throws_away_what_was_before_it() {
        let mut write = entries(1, 5..8);
        let point = Point { index: Index(20), term: Term(3), conf: Conf::of_voters([ReplicaId(1)]) };
        write.merge(Write { point: Some(point.clone()), must_sync: true, ..Write::default() });
        write.merge(entries(3, 21..22));
        assert_eq!((log(&write), write.point), (vec![(21, 3)], Some(point)));
    }

    #[test]
    fn the_newest_hard_state_counts_and_one_flush_is_enough() {
        let state = |commit| Some(HardState { commit: Index(commit), ..HardState::default() });
        let mut write = Write { hard_state: state(4), ..Write::default() };
        write.merge(Write::default());
        assert!(write.hard_state == state(4) && !write.must_sync);
        write.merge(Write { hard_state: state(5), ..Write::default() });
        write.merge(entries(1, 6..7));
        assert!(write.hard_state == state(5) && write.must_sync);
    }
}
