//! Trimming: whole segments below the log start are forgotten at once and their files go afterwards, at a gentle
//! pace. Never cuts a segment, and never touches what still has a record at or above the log start.

use super::delete::remove_file;
use super::files::FileKind;
use super::segments::{Inner, Segments};
use flumen_io::Host;
use flumen_model::{Offset, Result};

impl<H: Host> Segments<H> {
    /// Forgets the segments that lie wholly below `log_start`, then deletes their files. When nothing lies at or
    /// above it, the active segment and what is in memory go too, and the next batch begins a new segment. A crash
    /// may leave files: [`Segments::remove_orphans`] finds them; a checkpoint from before may name files that are
    /// gone: so trim again after [`Segments::restore`].
    pub async fn trim(&self, host: &H, log_start: Offset) -> Result<()> {
        let doomed = {
            let _turn = self.turn.enter(1).await;
            let inner = &mut *self.inner_mut();
            if inner.retired {
                return Ok(());
            }
            inner.forget_below(log_start.0)
        };
        for base_offset in doomed {
            self.spec.open_files.forget(self.owner, base_offset);
            // The index goes last: an index without its segment is no loss, the other way round is a repair.
            for kind in [FileKind::Log, FileKind::Index] {
                remove_file(host, &self.path(base_offset, kind)).await?;
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Forgets whole segments below an offset and returns their base offsets.
    fn forget_below(&mut self, log_start: u64) -> Vec<u64> {
        let gone = self.sealed.partition_point(|segment| segment.end_offset <= log_start);
        let mut doomed: Vec<u64> = self.sealed.iter().take(gone).map(|segment| segment.base_offset).collect();
        if let Some(last) = gone.checked_sub(1).map(|last| self.sealed[last]) {
            self.floor = self.floor.max(last.end_offset);
            self.sealed.drain(..gone);
        }
        if log_start >= self.end_offset && log_start > self.floor {
            doomed.extend(self.active.take().map(|active| active.base_offset));
            self.allocated = None;
            // The end stays: at boot, batches below the log start may still come from the journal.
            self.floor = log_start;
            self.cache.clear(self.end_offset);
        }
        self.lost.forget_below(self.floor);
        let first = self.sealed.first().map(|segment| segment.first_index);
        let first = first.or(self.active.as_ref().map(|active| active.first_index));
        let first = first.or(self.cache.pending().next().map(|batch| batch.index));
        self.terms.forget_below(first.unwrap_or(self.covered.0));
        self.dirty.retain(|(base_offset, _)| !doomed.contains(base_offset));
        doomed
    }
}
