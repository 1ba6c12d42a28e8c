//! Draws the conclusions of a scan: which writes count, what is a torn tail and what is damage to acked data.
//! Pure: it is told what was found where, in the order of positions.
//!
//! The rule: every write says what was durable when it was built, and every file header says where the file
//! before ended. What is not intact below the highest such position was acked, and is damage. What is not intact
//! at or past it was never acked: the write that a crash cut off.

use bytes::Bytes;
use flumen_model::{Lsn, Result};
use std::path::PathBuf;

use super::frame::FrameKind;
use super::parse::Found;
use super::region::Region;
use super::report::{Damage, FileSpan, ScanVisitor, ScannedFrame, Torn};
use crate::ways;

/// The conclusions so far.
pub(crate) struct Survey<'v, V> {
    visitor: &'v mut V,
    /// The file being scanned.
    file: PathBuf,
    first: Lsn,
    region: Option<Region>,
    frames_scratch: Vec<ScannedFrame>,
    /// The end of the last intact write of the file being scanned.
    file_end: Lsn,
    /// Whether the file being scanned has had nothing but marks.
    only_marks: bool,
    pub(crate) totals: Totals,
}

/// What a survey comes to.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) end: Lsn,
    pub(crate) durable: Lsn,
    pub(crate) torn: Option<Torn>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) groups: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) directories_damaged: u64,
}

impl<'v, V: ScanVisitor> Survey<'v, V> {
    /// Nothing seen so far.
    pub(crate) fn new(visitor: &'v mut V) -> Survey<'v, V> {
        Survey {
            visitor,
            file: PathBuf::new(),
            first: Lsn(0),
            region: None,
            frames_scratch: Vec::new(),
            file_end: Lsn(0),
            only_marks: true,
            totals: Totals::default(),
        }
    }

    /// A live file begins; its writes begin at `data`.
    pub(crate) fn begin(&mut self, file: PathBuf, span: FileSpan, data: Lsn) {
        self.visitor.file(span);
        (self.file, self.first, self.file_end, self.only_marks) = (file, span.first, data, true);
        self.totals.end = self.totals.end.max(data);
    }

    /// An intact write; `write` are its bytes.
    pub(crate) fn write(&mut self, start: Lsn, write: &Bytes, found: &mut Found) {
        self.proves(start);
        self.settle(start);
        let end = start.plus(write.len() as u64);
        (self.file_end, self.totals.end) = (end, end);
        self.frames_scratch.clear();
        for (header, payload) in found.frames.drain(..) {
            if header.kind() != FrameKind::Mark {
                self.only_marks = false;
                let frame = header.into_frame(write.slice(payload));
                self.frames_scratch.push(ScannedFrame { lsn: Lsn(header.lsn), frame });
            }
        }
        self.totals.groups += 1;
        self.totals.frames += self.frames_scratch.len() as u64;
        self.totals.bytes += write.len() as u64;
        if found.directory_damaged {
            ways::take(ways::DIRECTORY_DAMAGED);
            self.totals.directories_damaged += 1;
        }
        if !self.frames_scratch.is_empty() {
            self.visitor.group(start, &self.frames_scratch);
        }
        self.frames_scratch.clear();
    }

    /// Lets the visitor wait after a write.
    pub(crate) async fn after_write(&mut self) -> Result<()> {
        self.visitor.after_group().await
    }

    /// A block at `lsn` that begins no intact write.
    pub(crate) fn broken(&mut self, lsn: Lsn, found: &mut Found) {
        let region =
            self.region.get_or_insert_with(|| Region::new(self.file.clone(), lsn.0 - self.first.0, lsn));
        for remains in found.remains.drain(..) {
            if remains.write_start >= region.from() {
                self.totals.durable = self.totals.durable.max(remains.write_start);
            }
            region.add(remains);
        }
    }

    /// A file of the ring is lost whose positions would follow here.
    pub(crate) fn lost_file(&mut self, file: PathBuf, span: FileSpan) {
        ways::take(ways::FILE_LOST);
        self.region.get_or_insert_with(|| Region::new(file, 0, span.first)).lose_file(span.seq);
    }

    /// Everything below `end` was or may have been durable: a later file says so, or the file is cut short.
    pub(crate) fn seal(&mut self, end: Lsn) {
        self.proves(end);
        self.settle(end);
    }

    /// The end of the writes in the file being scanned, and whether all it had were marks.
    pub(crate) fn file_end(&self) -> (Lsn, bool) {
        (self.file_end, self.only_marks)
    }

    /// Nothing follows.
    pub(crate) fn finish(mut self) -> Totals {
        let durable = self.totals.durable;
        if let Some(region) = self.region.take() {
            self.totals.torn = region.torn(durable);
            if self.totals.torn.is_some() {
                ways::take(ways::TORN_TAIL);
            }
            self.report(region.damage(durable));
        }
        self.totals.end = self.totals.end.max(durable);
        self.totals
    }

    fn proves(&mut self, lsn: Lsn) {
        self.totals.durable = self.totals.durable.max(lsn);
    }

    fn settle(&mut self, to: Lsn) {
        if let Some(region) = self.region.take() {
            self.report(region.damage(to));
        }
    }

    fn report(&mut self, pieces: Vec<Damage>) {
        for damage in pieces {
            self.visitor.lost(&damage);
            self.totals.damage.push(damage);
        }
    }
}
