//! The first pass over the journal: which checkpoint each group starts from. It reads frames and decides nothing
//! else.

use crate::journal::{Damage, FileSpan, Frame, FrameKind, ScanVisitor, ScannedFrame};
use crate::shard_log::join_parts;
use crate::ways;
use bytes::Bytes;
use flumen_model::{GroupId, Lsn};
use std::collections::BTreeMap;

/// The first pass: each group's newest whole checkpoint.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) bases: BTreeMap<GroupId, Base>,
    parts: BTreeMap<GroupId, Parts>,
    file_seq: u64,
}

/// The parts of a checkpoint whose last one is still to come.
struct Parts {
    sequence: u64,
    /// The file of the first.
    file_seq: u64,
    pieces: Vec<Bytes>,
}

/// A checkpoint and where it lies.
pub(super) struct Base {
    pub(super) lsn: Lsn,
    /// The journal file of its first part: with that file the checkpoint is gone.
    pub(super) file_seq: u64,
    pub(super) state: Bytes,
}

impl ScanVisitor for Survey {
    fn file(&mut self, span: FileSpan) {
        self.file_seq = span.seq;
    }

    fn group(&mut self, _: Lsn, frames: &[ScannedFrame]) {
        for scanned in frames {
            let frame = &scanned.frame;
            match frame.kind {
                FrameKind::CheckpointPart => self.part(frame),
                FrameKind::Checkpoint => self.checkpoint(scanned.lsn, frame),
                _ => {}
            }
        }
    }

    fn lost(&mut self, _: &Damage) {}
}

impl Survey {
    fn part(&mut self, frame: &Frame) {
        let fresh = || Parts { sequence: frame.base_offset, file_seq: self.file_seq, pieces: Vec::new() };
        let parts = self.parts.entry(frame.group).or_insert_with(fresh);
        if parts.sequence != frame.base_offset {
            *parts = fresh();
        }
        if parts.pieces.len() == frame.last_offset_delta as usize {
            parts.pieces.push(Bytes::copy_from_slice(&frame.payload));
        }
    }

    fn checkpoint(&mut self, lsn: Lsn, frame: &Frame) {
        let parts = self.parts.remove(&frame.group).filter(|parts| parts.sequence == frame.base_offset);
        let (file_seq, pieces) =
            parts.map_or((self.file_seq, Vec::new()), |parts| (parts.file_seq, parts.pieces));
        // A checkpoint whose parts are not all here is none: the one before it counts.
        if pieces.len() == frame.last_offset_delta as usize {
            if !pieces.is_empty() {
                ways::take(ways::PARTS_JOINED);
            }
            let state = join_parts(&pieces, &Bytes::copy_from_slice(&frame.payload));
            self.bases.insert(frame.group, Base { lsn, file_seq, state });
        } else {
            ways::take(ways::PARTS_MISSING);
        }
    }
}
