//! Raft's words into journal frames and back: what one Ready writes becomes one atomic append. Pure.

use crate::journal::{Frame, FrameKind};
use bytes::Bytes;
use flumen_model::batch::BatchView;
use flumen_model::{Code, Error, GroupId, Result};
use flumen_replication::{Conf, Entry, EntryKind, HardState, Index, Point, ReplicaId, Term, Write};

/// The frames of one Ready, and the highest Raft index among them (0 when there is none).
pub(crate) fn of_write(group: GroupId, write: &Write) -> (Vec<Frame>, u64) {
    let mut frames = Vec::with_capacity(write.entries.len() + 2);
    let mut index_max = 0;
    if let Some(point) = &write.point {
        index_max = point.index.0;
        frames.push(of_point(group, point));
    }
    for entry in &write.entries {
        index_max = entry.index.0;
        frames.push(of_entry(group, entry));
    }
    if let Some(hard_state) = &write.hard_state {
        frames.push(of_hard_state(group, hard_state));
    }
    (frames, index_max)
}

fn bare(kind: FrameKind, group: GroupId, index: u64, term: Term) -> Frame {
    Frame { kind, group, index, term: term.0, base_offset: 0, last_offset_delta: 0, payload: Bytes::new() }
}

/// The frame of a group's birth or of a snapshot point.
pub(crate) fn of_point(group: GroupId, point: &Point) -> Frame {
    Frame { payload: point.conf.encode().into(), ..bare(FrameKind::Point, group, point.index.0, point.term) }
}

fn of_entry(group: GroupId, entry: &Entry) -> Frame {
    let kind = match entry.kind {
        EntryKind::Batch => FrameKind::Batch,
        EntryKind::Command => FrameKind::Command,
        EntryKind::Conf => FrameKind::Conf,
        EntryKind::Noop => FrameKind::Noop,
    };
    let mut frame = bare(kind, group, entry.index.0, entry.term);
    if entry.kind == EntryKind::Batch {
        let batch = BatchView::parse(&entry.data).expect("only validated batches are proposed");
        frame.base_offset = batch.base_offset().0;
        frame.last_offset_delta = batch.last_offset_delta();
    }
    frame.payload = entry.data.clone();
    frame
}

fn of_hard_state(group: GroupId, hard_state: &HardState) -> Frame {
    let mut frame = bare(FrameKind::HardState, group, hard_state.commit.0, hard_state.term);
    frame.base_offset = hard_state.vote.0;
    frame
}

/// The entry of a frame, or `None` when it is not an entry's. The payload is shared with the frame.
pub(crate) fn to_entry(frame: &Frame) -> Option<Entry> {
    let kind = match frame.kind {
        FrameKind::Batch => EntryKind::Batch,
        FrameKind::Command => EntryKind::Command,
        FrameKind::Conf => EntryKind::Conf,
        FrameKind::Noop => EntryKind::Noop,
        _ => return None,
    };
    Some(Entry { index: Index(frame.index), term: Term(frame.term), kind, data: frame.payload.clone() })
}

/// The hard state of its frame.
pub(crate) fn to_hard_state(frame: &Frame) -> HardState {
    HardState { term: Term(frame.term), vote: ReplicaId(frame.base_offset), commit: Index(frame.index) }
}

/// The point of its frame.
pub(crate) fn to_point(frame: &Frame) -> Result<Point> {
    let conf = Conf::decode(&frame.payload).map_err(|why| {
        Error::new(Code::Corrupt, format!("the configuration at the start of group {}: {why}", frame.group))
    })?;
    Ok(Point { index: Index(frame.index), term: Term(frame.term), conf })
}
