//! Appends that wait for a write, in order. An append is atomic: a write takes it whole or not at all.

use std::collections::VecDeque;

use super::frame::{self, Frame};
use super::{directory, spec};

/// The queue of appends.
#[derive(Default)]
pub(crate) struct Queue {
    frames: VecDeque<Frame>,
    appends: VecDeque<Append>,
    /// Appends that want a write of their own accord.
    urgent: usize,
    /// What the appends would cost, were each written alone.
    cost: u64,
    /// Bytes of the appends' frames.
    bytes: usize,
    /// The number of the newest append.
    newest: u64,
}

struct Append {
    frames: usize,
    bytes: usize,
    /// Rows in the write's directory, at most.
    rows: usize,
    lazy: bool,
}

/// What a write took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The number of the last append taken.
    pub(crate) up_to: u64,
    /// Appends taken.
    pub(crate) appends: u64,
}

impl Queue {
    /// Adds an append and returns its number, from 1.
    ///
    /// # Panics
    /// When a frame is of the journal's own kinds, or the frames are none or over `bytes_max`: the caller's bug.
    pub(crate) fn push(
        &mut self,
        frames: impl IntoIterator<Item = Frame>,
        lazy: bool,
        bytes_max: usize,
    ) -> u64 {
        let mut append = Append { frames: 0, bytes: 0, rows: 0, lazy };
        let mut group = None;
        for frame in frames {
            assert!(frame.kind.is_callers(), "{:?} frames are not the caller's to append", frame.kind);
            append.frames += 1;
            append.bytes += frame::frame_bytes(frame.payload.len());
            append.rows += usize::from(group != Some(frame.group));
            group = Some(frame.group);
            self.frames.push_back(frame);
        }
        assert!(append.frames > 0, "an append has frames");
        let bytes = append.bytes + directory::frame_bytes(append.rows) - directory::frame_bytes(1);
        assert!(bytes <= bytes_max, "an append of {bytes} bytes is over the limit of {bytes_max}");
        self.urgent += usize::from(!lazy);
        self.cost += spec::cost(append.bytes, append.rows);
        self.bytes += append.bytes;
        self.appends.push_back(append);
        self.newest += 1;
        self.newest
    }

    /// The number of an append that is dropped at once.
    pub(crate) fn skip(&mut self) -> u64 {
        self.newest += 1;
        self.newest
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self) {
        *self = Queue { newest: self.newest, ..Queue::default() };
    }

    /// Moves the appends at the front that a write of at most `bytes_max` and `room` can take to `out`; the
    /// first may be larger than `bytes_max`. `own` are bytes of the journal's own frames in the write. `None`
    /// when even the first does not fit into `room`.
    pub(crate) fn take(
        &mut self,
        own: usize,
        bytes_max: u64,
        room: u64,
        out: &mut Vec<Frame>,
    ) -> Option<Taken> {
        let (mut frames, mut bytes, mut rows, mut appends) = (0, own, 0, 0);
        for append in &self.appends {
            let cost = spec::cost(bytes + append.bytes, rows + append.rows);
            if cost > room || (appends > 0 && cost > bytes_max) {
                break;
            }
            appends += 1;
            frames += append.frames;
            bytes += append.bytes;
            rows += append.rows;
        }
        if appends == 0 && (!self.appends.is_empty() || spec::cost(own, 0) > room) {
            return None;
        }
        out.extend(self.frames.drain(..frames));
        for append in self.appends.drain(..appends) {
            self.urgent -= usize::from(!append.lazy);
            self.cost -= spec::cost(append.bytes, append.rows);
            self.bytes -= append.bytes;
        }
        Some(Taken { up_to: self.newest - self.appends.len() as u64, appends: appends as u64 })
    }

    /// Whether an append waits that wants a write.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent > 0
    }

    /// Whether what waits fills a write of so many bytes, or nearly: another append of the size of those that wait
    /// would not fit.
    pub(crate) fn fills(&self, bytes: usize) -> bool {
        let mean = self.bytes / self.appends.len().max(1);
        self.urgent > 0 && self.bytes + mean > bytes
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    /// What the waiting appends would cost, were each written alone.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::FrameKind;
    use super::*;
    use bytes::Bytes;
    use flumen_model::GroupId;

    fn append(group: u64, payloads: &[usize]) -> Vec<Frame> {
        let frame = |&len| Frame {
            kind: FrameKind::Batch,
            group: GroupId(group),
            index: 1,
            term: 1,
            base_offset: 0,
            last_offset_delta: 0,
            payload: Bytes::from(vec![0; len]),
        };
        payloads.iter().map(frame).collect()
    }

    #[test]
    fn a_write_takes_whole_appends_in_order_up_to_its_size() {
        let mut queue = Queue::default();
        let mut out = Vec::new();
        for group in 1..=3 {
            assert_eq!(queue.push(append(group, &[3000, 3000]), false, 1 << 20), group);
        }
        assert_eq!(queue.take(0, 16384, 1 << 20, &mut out), Some(Taken { up_to: 2, appends: 2 }));
        assert_eq!(out.iter().map(|frame| frame.group.0).collect::<Vec<_>>(), [1, 1, 2, 2]);
        assert_eq!(queue.take(0, 4096, 4096, &mut out), None, "never half an append");
        assert_eq!(
            queue.take(0, 4096, 8192, &mut out),
            Some(Taken { up_to: 3, appends: 1 }),
            "one may be larger"
        );
        assert_eq!((queue.is_empty(), queue.is_urgent(), queue.cost()), (true, false, 0));
        assert_eq!(
            queue.take(64, 4096, 8192, &mut out),
            Some(Taken { up_to: 3, appends: 0 }),
            "a mark alone"
        );
        assert_eq!(queue.take(64, 4096, 0, &mut out), None);
    }

    #[test]
    fn lazy_appends_ride_in_order_but_want_no_write() {
        let mut queue = Queue::default();
        queue.push(append(1, &[1]), true, 4096);
        assert!(!queue.is_urgent() && !queue.is_empty());
        queue.push(append(2, &[1]), false, 4096);
        let mut out = Vec::new();
        assert_eq!(queue.take(0, 4096, 4096, &mut out), Some(Taken { up_to: 2, appends: 2 }));
        assert_eq!((out[0].group, out[1].group), (GroupId(1), GroupId(2)));
    }
}
