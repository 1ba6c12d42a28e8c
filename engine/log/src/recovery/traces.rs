//! What the journal shows of groups that have no checkpoint left. Most were removed long ago; one that should be here has
//! lost its state, and must never be taken for new. It decides neither: only the metadata know which groups there are.

use crate::journal::{Frame, FrameKind};
use flumen_model::{GroupId, Offset};
use flumen_replication::{Index, Term};
use std::collections::BTreeMap;

/// What is known of a group whose state is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Behind the last record that was seen of it; records beyond may have been there too.
    pub end: Offset,
    /// The largest index that was seen of it: a new log must begin behind it.
    pub index_max: Index,
    /// The largest term that was seen of it.
    pub term_max: Term,
}

/// Groups without a checkpoint, and how far births had come.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    headless: BTreeMap<GroupId, Lost>,
    newest: GroupId,
}

impl Traces {
    /// A group that is asked for and was not recovered: what is known of it when it was here once, nothing when it is
    /// new. Groups get rising ids, and a shard gives birth in their order: one below the newest was born.
    pub fn lost(&self, group: GroupId) -> Option<Lost> {
        let born = || (group < self.newest).then(Lost::default);
        self.headless.get(&group).copied().or_else(born)
    }

    /// A group with a checkpoint.
    pub(super) fn found(&mut self, group: GroupId) {
        self.newest = self.newest.max(group);
    }

    /// A group of which only damage tells.
    pub(super) fn damaged(&mut self, group: GroupId) {
        self.found(group);
        self.headless.entry(group).or_default();
    }

    /// A frame of a group without a checkpoint.
    pub(super) fn frame(&mut self, frame: &Frame) {
        self.found(frame.group);
        let lost = self.headless.entry(frame.group).or_default();
        lost.term_max = lost.term_max.max(Term(frame.term));
        if frame.kind.is_entry() {
            lost.index_max = lost.index_max.max(Index(frame.index));
        }
        if frame.kind == FrameKind::Batch {
            let last = Offset(frame.base_offset).plus(u64::from(frame.last_offset_delta));
            lost.end = lost.end.max(last.plus(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batch(group: u64, index: u64, base_offset: u64) -> Frame {
        Frame {
            kind: FrameKind::Batch,
            group: GroupId(group),
            index,
            term: 3,
            base_offset,
            last_offset_delta: 4,
            payload: Bytes::new(),
        }
    }

    #[test]
    fn a_group_below_the_newest_was_born_and_one_above_is_new() {
        let mut traces = Traces::default();
        assert_eq!(traces.lost(GroupId(16)), None);
        traces.found(GroupId(18));
        assert_eq!(traces.lost(GroupId(17)), Some(Lost::default()));
        assert_eq!(traces.lost(GroupId(19)), None);
    }

    #[test]
    fn frames_without_a_checkpoint_tell_how_far_the_group_had_come() {
        let mut traces = Traces::default();
        traces.frame(&batch(20, 7, 100));
        traces.frame(&batch(20, 6, 90));
        let lost = Lost { end: Offset(105), index_max: Index(7), term_max: Term(3) };
        assert_eq!(traces.lost(GroupId(20)), Some(lost));
        traces.damaged(GroupId(30));
        assert_eq!(traces.lost(GroupId(30)), Some(Lost::default()));
    }
}
