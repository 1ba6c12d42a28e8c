//! Spreading: what is committed moves from memory to segments, off the ack path, a chunk at a time or when the cache
//! is over its budget. It never holds an append up, and drops nothing from memory that is not in a segment.

use super::{LogEvents, ShardLog};
use crate::group_log::GroupLog;
use flumen_io::Host;
use flumen_model::{Code, Result};
use std::rc::Rc;

impl<H: Host> ShardLog<H> {
    /// Spreads full chunks and keeps the cache in its budget, until [`ShardLog::close`]. An error is a failed
    /// write other than a full disk: the process must end.
    pub async fn run_spreader(&self, events: Rc<dyn LogEvents>) -> Result<()> {
        while !self.closing.get() {
            let next = self.spread_queue.borrow_mut().pop_front();
            match next {
                Some(log) => {
                    log.spread_queued.set(false);
                    self.spread(&log, &*events, false).await?;
                }
                None if self.cached_bytes.get() > self.spec.limits.cache_bytes
                    && self.evict(&*events).await? => {}
                None => self.spread_wake.notified().await,
            }
        }
        Ok(())
    }

    pub(super) async fn spread(
        &self,
        log: &Rc<GroupLog<H>>,
        events: &dyn LogEvents,
        force: bool,
    ) -> Result<()> {
        let Some(segments) = log.segments() else { return Ok(()) };
        if log.is_removed() {
            return Ok(());
        }
        let roll = events.roll_limits(log.group());
        match segments.spread(&self.host, force, roll).await {
            Ok(done) => {
                self.bump(|stats| {
                    stats.spread_bytes += done.bytes;
                    stats.segments_rolled += done.sealed;
                });
                Ok(())
            }
            Err(error) if error.code == Code::DiskFull => {
                // The journal still has it: it is tried again when there is room.
                self.space.starve(log, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Drops the oldest cached batches until the cache is in its budget again, spreading them first where
    /// needed. False when nothing could be dropped.
    async fn evict(&self, events: &dyn LogEvents) -> Result<bool> {
        let Some((log, bytes)) = self.cache_order.borrow_mut().pop_front() else { return Ok(false) };
        let Some(segments) = log.segments().filter(|_| !log.is_removed()) else {
            self.cached_bytes.set(self.cached_bytes.get().saturating_sub(bytes));
            return Ok(true);
        };
        let mut freed = segments.evict(bytes);
        if freed < bytes {
            // Less than a block needs no write: it is then kept beside the cache.
            self.spread(&log, events, true).await?;
            freed += segments.evict(bytes - freed);
        }
        self.cached_bytes.set(self.cached_bytes.get().saturating_sub(freed));
        let left = bytes.saturating_sub(freed);
        if left > 0 {
            // What is left is less than a block that cannot be spread yet, or the disk is full.
            self.cache_order.borrow_mut().push_back((log, left));
        }
        Ok(freed > 0)
    }
}
