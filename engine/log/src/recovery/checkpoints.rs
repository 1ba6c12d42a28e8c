//! The first pass over the journal: which checkpoint each group starts from. It reads frames and decides nothing
//! else.

use crate::journal::{Damage, Frame, FrameKind, ScanVisitor, ScannedFrame};
use crate::shard_log::join_parts;
use crate::ways;
use bytes::Bytes;
use flumen_model::{GroupId, Lsn};
use std::collections::BTreeMap;

/// The first pass: each group's newest whole checkpoint.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) bases: BTreeMap<GroupId, Base>,
    parts: BTreeMap<GroupId, (u64, Vec<Bytes>)>,
}

/// A checkpoint and where it lies.
pub(super) struct Base {
    pub(super) lsn: Lsn,
    pub(super) state: Bytes,
}

impl ScanVisitor for Survey {
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
        let entry = self.parts.entry(frame.group).or_insert((frame.base_offset, Vec::new()));
        if entry.0 != frame.base_offset {
            *entry = (frame.base_offset, Vec::new());
        }
        if entry.1.len() == frame.last_offset_delta as usize {
            entry.1.push(Bytes::copy_from_slice(&frame.payload));
        }
    }

    fn checkpoint(&mut self, lsn: Lsn, frame: &Frame) {
        let parts = match self.parts.remove(&frame.group) {
            Some((sequence, parts)) if sequence == frame.base_offset => parts,
            _ => Vec::new(),
        };
        // A checkpoint whose parts are not all here is none: the one before it counts.
        if parts.len() == frame.last_offset_delta as usize {
            if !parts.is_empty() {
                ways::take(ways::PARTS_JOINED);
            }
            let state = join_parts(&parts, &Bytes::copy_from_slice(&frame.payload));
            self.bases.insert(frame.group, Base { lsn, state });
        } else {
            ways::take(ways::PARTS_MISSING);
        }
    }
}
