//! Looking up an offset by time, batch by batch: the index names the chunk, the batches' headers do the rest. Never
//! opens a batch: which record of it is meant is for whoever reads its records.

use super::budget::ReadBudget;
use super::cut::{Cutter, Malformed, Verdict};
use super::entry::IndexEntry;
use super::files::{Checked, Fault, FileKind};
use super::pieces::Pieces;
use super::segments::Segments;
use super::view::View;
use flumen_io::Host;
use flumen_model::batch::BatchView;
use flumen_model::limits::CHUNK_BYTES;
use flumen_model::{Offset, Result, UnixMillis};
use std::cell::Cell;

type Found = Option<(Offset, UnixMillis)>;

impl<H: Host> Segments<H> {
    /// The first batch that reaches past `from` and has a record of time `timestamp` or later: its first offset
    /// (`from`, when the batch begins before it) and its largest timestamp. `None` when there is none.
    ///
    /// # Errors
    /// `Corrupt` when what must be looked at is damaged.
    pub async fn offset_for_time(
        &self,
        host: &H,
        budget: &ReadBudget,
        from: Offset,
        timestamp: UnixMillis,
    ) -> Result<Found> {
        let mut next = from;
        let mut mended = false;
        while let Some(view) = self.view_for_time(next, timestamp) {
            let found = match self.time_in_view(host, budget, &view, from, timestamp).await {
                Ok(found) => found,
                // A segment that was trimmed meanwhile has nothing to say.
                Err(_) if self.inner().floor >= view.end_offset() => None,
                Err(fault) if mended => return Err(self.suspect(&view, fault)),
                Err(fault) => match self.mend(host, budget, &view, fault).await {
                    Ok(()) => {
                        mended = true;
                        continue;
                    }
                    Err(fault) => return Err(self.suspect(&view, fault)),
                },
            };
            mended = false;
            if found.is_some() {
                return Ok(found);
            }
            next = Offset(view.end_offset());
        }
        let inner = self.inner();
        let mut pending = inner.cache.pending();
        let found = pending.find(|batch| batch.last_offset >= from.0 && batch.max_timestamp >= timestamp.0);
        Ok(found.map(|batch| (Offset(batch.base_offset).max(from), UnixMillis(batch.max_timestamp))))
    }

    /// The first segment that reaches past an offset and to a time.
    fn view_for_time(&self, from: Offset, timestamp: UnixMillis) -> Option<View> {
        let inner = self.inner();
        let first = inner.sealed.partition_point(|segment| segment.end_offset <= from.0);
        let sealed = inner.sealed[first..].iter().copied().map(View::Sealed);
        let active = inner.active.iter().cloned().map(View::Active);
        sealed.chain(active).find(|view| view.end_offset() > from.0 && view.max_timestamp() >= timestamp.0)
    }

    async fn time_in_view(
        &self,
        host: &H,
        budget: &ReadBudget,
        view: &View,
        from: Offset,
        timestamp: UnixMillis,
    ) -> Checked<Found> {
        for chunk in 0..view.entry_count() {
            let entry = self.entry(host, view, chunk).await?;
            let last = view.base_offset() + u64::from(entry.last_offset());
            if entry.batches() > 0 && entry.max_timestamp() >= timestamp.0 && last >= from.0 {
                let found = self.time_in_chunk(host, budget, view, chunk, &entry, from, timestamp).await?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    #[allow(clippy::too_many_arguments)]
    async fn time_in_chunk(
        &self,
        host: &H,
        budget: &ReadBudget,
        view: &View,
        chunk: u32,
        entry: &IndexEntry,
        from: Offset,
        timestamp: UnixMillis,
    ) -> Checked<Found> {
        let first = view.base_offset() + u64::from(entry.first_offset());
        // Behind what was given up nothing begins in the same chunk.
        let is_lost = |offset: u64| self.inner().lost.skip(offset) > offset;
        if is_lost(first) {
            return Ok(None);
        }
        let chunk_end = (u64::from(chunk) + 1) * CHUNK_BYTES as u64;
        let mut pieces = Pieces::new(self, host, budget, view, entry.position(), 0);
        let mut cutter = Cutter::new(entry.position());
        let mut found = None;
        let next = Cell::new(first);
        let mut judge = |batch: &BatchView<'_>, position| {
            if position >= chunk_end || is_lost(batch.base_offset().0) {
                return Verdict::Stop;
            }
            next.set(batch.next_offset().0);
            if batch.last_offset() < from || batch.max_timestamp() < timestamp {
                return Verdict::Skip;
            }
            found = Some((batch.base_offset().max(from), batch.max_timestamp()));
            Verdict::Stop
        };
        while !cutter.stopped() && cutter.position() < chunk_end {
            let fed = match pieces.next().await {
                Ok(Some(piece)) => cutter.feed(piece, &mut judge).map_err(|Malformed { position, what }| {
                    Fault::new(&self.path(view.base_offset(), FileKind::Log), position, what)
                }),
                Ok(None) => break,
                Err(fault) => Err(fault),
            };
            match fed {
                Err(fault) if !is_lost(next.get()) => return Err(fault),
                Err(_) => break,
                Ok(()) => {}
            }
        }
        Ok(found)
    }
}
