//! The ring of files: which are live, which are free, where the next write goes. Bookkeeping only, no I/O.

use flumen_model::Lsn;
use std::collections::VecDeque;

use super::file::{DATA_START, FileHeader};
use super::report::{FileInfo, FileSpan, FileState, ScanReport};
use super::spec::{JournalSpec, RESERVE_FILES};

/// The state of the ring.
pub(crate) struct Ring {
    /// Live and lost files before the current one, oldest first, with their places.
    live: VecDeque<(FileSpan, Option<usize>)>,
    free: VecDeque<usize>,
    /// Places in the ring.
    slots: usize,
    /// The file being written; `None` only while a journal is being opened.
    current: Option<Current>,
    /// What the first file's header says about the file before it.
    previous: ([u8; 16], Lsn),
    next_seq: u64,
    next_first: Lsn,
}

struct Current {
    slot: usize,
    header: FileHeader,
    seed: u32,
    /// Where the next write goes.
    place: u64,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) slot: usize,
    pub(crate) seq: u64,
    pub(crate) place: u64,
    pub(crate) lsn: Lsn,
    pub(crate) seed: u32,
}

/// A file about to be begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Its place in the ring.
    pub(crate) slot: usize,
    /// Whether the place has no file yet.
    pub(crate) added: bool,
    /// Its number.
    pub(crate) seq: u64,
    /// Its first position.
    pub(crate) first: Lsn,
    /// The oldest file that is still needed.
    pub(crate) oldest_live_seq: u64,
    /// Nonce and end of the file before.
    pub(crate) previous: ([u8; 16], Lsn),
}

impl Ring {
    /// The ring as a scan left it, with no current file yet.
    pub(crate) fn of_report(report: &ScanReport, spec: &JournalSpec) -> Ring {
        let slots = report.files.iter().filter_map(|info| info.slot).max().map_or(0, |slot| slot + 1);
        let (unneeded, needed): (Vec<_>, Vec<_>) =
            report.files.iter().partition(|info| info.state == FileState::Free);
        let mut ring = Ring {
            live: needed.iter().map(|info| (info.span, info.slot)).collect(),
            free: unneeded.iter().filter_map(|info| info.slot).collect(),
            slots,
            current: None,
            previous: Default::default(),
            next_seq: 1,
            next_first: Lsn(0),
        };
        if let Some(newest) = needed.last() {
            ring.follow(newest, spec);
        }
        ring
    }

    /// Makes ready to go on behind the newest file, or in it when all it has are marks.
    fn follow(&mut self, newest: &FileInfo, spec: &JournalSpec) {
        self.next_seq = newest.span.seq + 1;
        self.next_first = newest.span.first.plus(spec.file_bytes);
        self.previous = (newest.nonce, newest.span.end);
        if newest.only_marks {
            // It is begun again under its own number, so that no number is missing; its marks said no more
            // than its header says again.
            self.live.pop_back();
            self.free.extend(newest.slot);
            self.free.rotate_right(1);
            (self.next_seq, self.previous) = (newest.span.seq, newest.previous);
        }
    }

    /// The next file to begin, when no more fits into the current one.
    pub(crate) fn start(&mut self) -> Start {
        let previous = match &self.current {
            Some(current) => (current.header.nonce, self.end()),
            None => self.previous,
        };
        let taken = self.free.pop_front();
        let slot = taken.unwrap_or(self.slots);
        self.slots = self.slots.max(slot + 1);
        Start {
            slot,
            added: taken.is_none(),
            seq: self.next_seq,
            first: self.next_first,
            oldest_live_seq: match (self.live.front(), &self.current) {
                (Some((oldest, _)), _) => oldest.seq,
                (None, Some(current)) => current.header.seq,
                (None, None) => self.next_seq,
            },
            previous,
        }
    }

    /// The file that was started has its header.
    pub(crate) fn started(&mut self, start: Start, header: FileHeader) {
        if let Some(full) = &self.current {
            self.live.push_back((self.current_span(), Some(full.slot)));
        }
        self.current = Some(Current { slot: start.slot, header, seed: header.seed(), place: DATA_START });
        self.next_seq = header.seq + 1;
        self.next_first = header.end_max();
    }

    fn current(&self) -> &Current {
        self.current.as_ref().expect("an open journal has a current file")
    }

    /// Bytes left in the current file.
    pub(crate) fn room(&self) -> u64 {
        self.current().header.file_bytes - self.current().place
    }

    /// Takes `bytes` of the current file for a write.
    pub(crate) fn place(&mut self, bytes: u64) -> Target {
        assert!(bytes <= self.room(), "a write never spans files");
        let current = self.current.as_mut().expect("an open journal has a current file");
        let target = Target {
            slot: current.slot,
            seq: current.header.seq,
            place: current.place,
            lsn: current.header.first.plus(current.place),
            seed: current.seed,
        };
        current.place += bytes;
        target
    }

    /// Bytes that appends may still take, whatever their sizes, with the reserve untouched.
    pub(crate) fn admissible(&self, spec: &JournalSpec) -> u64 {
        let current = self.room().saturating_sub(spec.append_cost_max());
        let whole = spec.usable_bytes();
        (current + self.free.len() as u64 * whole).saturating_sub(RESERVE_FILES as u64 * whole)
    }

    /// The oldest live file; the current one when no other is.
    pub(crate) fn oldest(&self) -> FileSpan {
        self.live.front().map_or_else(|| self.current_span(), |&(span, _)| span)
    }

    fn current_span(&self) -> FileSpan {
        let Current { header, place, .. } = self.current();
        FileSpan { seq: header.seq, first: header.first, end: header.first.plus(*place) }
    }

    /// Frees the oldest live file.
    pub(crate) fn release(&mut self, seq: u64) {
        let oldest = self.live.pop_front().expect("the file being written is never released");
        assert_eq!(oldest.0.seq, seq, "files are released oldest first");
        self.free.extend(oldest.1);
    }

    /// Number of the current file.
    pub(crate) fn current_seq(&self) -> u64 {
        self.current().header.seq
    }

    /// Where the next write begins, were it written now.
    pub(crate) fn end(&self) -> Lsn {
        self.current_span().end
    }

    /// Live files, the current one included.
    pub(crate) fn live_files(&self) -> usize {
        self.live.len() + 1
    }

    /// Free files.
    pub(crate) fn free_files(&self) -> usize {
        self.free.len()
    }

    /// Files of the ring.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }
}
