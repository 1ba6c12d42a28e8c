//! Catch-up reads: whole batches from any offset on, from memory where they are, else from disk. What is served
//! was verified; a gap in the offsets is read over; damage is an error with file and position. Never copies a
//! batch that lies within one request.

use super::budget::ReadBudget;
use super::cut::{Cutter, Verdict};
use super::files::{Checked, Fault, FileKind};
use super::pieces::Pieces;
use super::segments::Segments;
use super::view::View;
use bytes::Bytes;
use flumen_io::Host;
use flumen_model::batch::BatchView;
use flumen_model::{Code, Error, Offset, Result};
use std::cell::Cell;
use std::ops::Range;

impl<H: Host> Segments<H> {
    /// Whole batches from the one that contains `from` (or the first behind it) up to the exclusive `end`, at most
    /// the high watermark: at least one when there is one, however large, then as many as stay within `bytes_max`
    /// and in one segment. Each of the returned buffers is a run of whole batches. Empty at the end.
    ///
    /// # Errors
    /// `OffsetOutOfRange` below the first and behind the last offset; `Corrupt`, with file and position, when the
    /// batch at `from` is damaged.
    pub async fn read(
        &self,
        host: &H,
        budget: &ReadBudget,
        from: Offset,
        end: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>> {
        let mut out = Vec::new();
        let mut collect = async |runs: &mut Vec<Bytes>| {
            out.append(runs);
            true
        };
        self.read_each(host, budget, from, end, bytes_max, &mut collect).await?;
        Ok(out)
    }

    /// Like [`Segments::read`], but hands the runs out as they come from the device: a long read keeps it busy all
    /// the time. `sink` may wait, and ends the read with false; what it leaves in the vector is gone.
    pub async fn read_each(
        &self,
        host: &H,
        budget: &ReadBudget,
        from: Offset,
        end: Offset,
        bytes_max: usize,
        sink: &mut impl AsyncFnMut(&mut Vec<Bytes>) -> bool,
    ) -> Result<()> {
        self.check_range(from)?;
        let mut mended = false;
        loop {
            let mut runs = Vec::new();
            if self.cached(from, end, bytes_max, &mut runs) {
                if !runs.is_empty() {
                    sink(&mut runs).await;
                }
                return Ok(());
            }
            let (from, end) = self.inner().around_lost(from, end);
            let view = self.view_at(from.0).expect("what is not in memory is in a segment");
            let fault = match self.read_view(host, budget, &view, from..end, bytes_max, sink).await {
                Ok(()) => return Ok(()),
                Err(fault) if mended => fault,
                Err(fault) => match self.mend(host, budget, &view, fault).await {
                    Ok(()) => {
                        mended = true;
                        continue;
                    }
                    Err(fault) => fault,
                },
            };
            // The log start may have passed the reader while it waited.
            self.check_range(from)?;
            return Err(self.suspect(&view, fault));
        }
    }

    /// Remembers that a segment is to be looked at as a whole.
    pub(super) fn suspect(&self, view: &View, fault: Fault) -> Error {
        self.inner_mut().suspects.insert(view.base_offset());
        fault.into()
    }

    pub(super) fn check_range(&self, from: Offset) -> Result<()> {
        let inner = self.inner();
        let end = inner.end_offset.max(inner.floor);
        if (inner.floor..=end).contains(&from.0) {
            return Ok(());
        }
        let floor = inner.floor;
        Err(Error::new(
            Code::OffsetOutOfRange,
            format!("offset {from} is not stored; start at {floor} or later, at most at {end}"),
        ))
    }

    /// The segment that has the first batch reaching past an offset.
    pub(super) fn view_at(&self, offset: u64) -> Option<View> {
        let inner = self.inner();
        let at = inner.sealed.partition_point(|segment| segment.end_offset <= offset);
        let sealed = inner.sealed.get(at).copied().map(View::Sealed);
        sealed.or_else(|| inner.active.clone().map(View::Active))
    }

    async fn read_view(
        &self,
        host: &H,
        budget: &ReadBudget,
        view: &View,
        range: Range<Offset>,
        bytes_max: usize,
        sink: &mut impl AsyncFnMut(&mut Vec<Bytes>) -> bool,
    ) -> Checked<()> {
        let position = self.position_near(host, view, range.start.0).await?;
        let mut pieces = Pieces::new(self, host, budget, view, position, bytes_max);
        let mut cutter = Cutter::new(position);
        let taken = Cell::new(0);
        let mut judge = |batch: &BatchView<'_>, _| {
            let bytes = batch.total_bytes();
            if batch.last_offset() < range.start {
                return Verdict::Skip;
            }
            if batch.last_offset() >= range.end || (taken.get() > 0 && taken.get() + bytes > bytes_max) {
                return Verdict::Stop;
            }
            taken.set(taken.get() + bytes);
            Verdict::Take
        };
        // A batch that was taken and what is known of the next one say when more bytes cannot help.
        let is_full = |cutter: &Cutter| taken.get() > 0 && taken.get() + cutter.carried() >= bytes_max;
        while !cutter.stopped() && !is_full(&cutter) {
            let piece = match pieces.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                // What lies before the damage is good; the next read starts at it.
                Err(_) if taken.get() > 0 => return Ok(()),
                Err(error) => return Err(error),
            };
            let fed = cutter.feed(piece, &mut judge);
            if !cutter.out.is_empty() && !sink(&mut cutter.out).await {
                return Ok(());
            }
            cutter.out.clear();
            match fed {
                Err(malformed) if taken.get() == 0 => {
                    let path = self.path(view.base_offset(), FileKind::Log);
                    return Err(Fault::new(&path, malformed.position, malformed.what));
                }
                Err(_) => return Ok(()),
                Ok(()) => {}
            }
        }
        match cutter.cut_off_at() {
            Some(position) if taken.get() == 0 => {
                let path = self.path(view.base_offset(), FileKind::Log);
                Err(Fault::new(&path, position, "the segment ends within a batch"))
            }
            _ => Ok(()),
        }
    }
}
