//! Checkpoints: the oldest journal file is freed once every group that still needs it has its state written anew. It
//! never frees a file before all that replaces it is durable.

use super::{InFlight, LogEvents, ShardLog};
use crate::group_log::GroupLog;
use crate::group_state::GroupState;
use crate::journal::{Frame, FrameKind};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_io::Host;
use flumen_model::limits::{CHECKPOINT_INLINE_BYTES_MAX, WRITE_GROUP_BYTES_MAX};
use flumen_model::{GroupId, Result};
use std::rc::Rc;

impl<H: Host> ShardLog<H> {
    /// Checkpoints start below this many free files: half the ring, so that spreading keeps ahead of appends.
    pub(super) fn free_files_wanted(&self) -> usize {
        (self.spec.journal_files / 2).max(3)
    }

    /// Frees the oldest journal files whenever few are free, until [`ShardLog::close`].
    pub async fn run_checkpointer(self: Rc<Self>, events: Rc<dyn LogEvents>) -> Result<()> {
        while !self.closing.get() {
            if self.journal.free_files() >= self.free_files_wanted() || !self.free_oldest(&events).await? {
                self.checkpoint_wake.notified().await;
            }
        }
        Ok(())
    }

    /// Frees the oldest journal file; false when only the one being written is live.
    pub async fn free_oldest(self: &Rc<Self>, events: &Rc<dyn LogEvents>) -> Result<bool> {
        let Some(oldest) = self.journal.oldest().filter(|oldest| oldest.seq != self.journal.current_seq())
        else {
            return Ok(false);
        };
        let groups = self.by_file.borrow_mut().remove(&oldest.seq).unwrap_or_default();
        let logs: Vec<_> = groups.into_iter().filter_map(|group| self.group(group)).collect();
        self.checkpoint_all(&logs, oldest.seq, events).await?;
        while logs.iter().any(|log| log.needs(oldest.seq)) {
            if self.closing.get() {
                return Ok(true);
            }
            self.checkpoint_wake.notified().await;
        }
        self.journal.release(oldest.seq);
        self.bump(|stats| stats.files_freed += 1);
        self.room.notify_all();
        Ok(true)
    }

    /// Checkpoints those that still need a file, a few at a time: a bounded number of segments is synced at once.
    async fn checkpoint_all(
        self: &Rc<Self>,
        logs: &[Rc<GroupLog<H>>],
        file_seq: u64,
        events: &Rc<dyn LogEvents>,
    ) -> Result<()> {
        const AT_ONCE: usize = 4;
        let todo: Vec<_> = logs.iter().filter(|log| log.needs(file_seq)).cloned().collect();
        for some in todo.chunks(AT_ONCE) {
            let mut running = Vec::with_capacity(AT_ONCE);
            for log in some {
                let (this, log, events) = (self.clone(), log.clone(), events.clone());
                running.push(Box::pin(self.host.spawn(async move { this.checkpoint(&log, &*events).await })));
            }
            for one in running {
                one.await?;
            }
        }
        Ok(())
    }

    /// Spreads a group's batches unless they are few, makes them durable and queues the group's checkpoint.
    pub async fn checkpoint(&self, log: &Rc<GroupLog<H>>, events: &dyn LogEvents) -> Result<()> {
        if log.segments().is_some_and(|segments| segments.unspread_bytes() > CHECKPOINT_INLINE_BYTES_MAX) {
            self.spread(log, events, true).await?;
        }
        let Some(machine) = events.machine_snapshot(log.group()).filter(|_| !log.is_removed()) else {
            return Ok(());
        };
        // One instant: applied point, segments and machine belong together.
        let mut state = log.state().clone();
        if let Some(segments) = log.segments() {
            state.segments = segments.state().encode();
            segments.sync(&self.host).await?;
        }
        state.machine = machine;
        if !log.is_removed() {
            // A vote or term that was queued meanwhile must not be taken back by an older one in this checkpoint.
            state.hard_state = log.state().hard_state;
            self.append_state(log.group(), &state);
        }
        Ok(())
    }

    pub(super) fn append_checkpoint(&self, log: &GroupLog<H>, machine: Bytes) {
        let mut state = log.state().clone();
        state.machine = machine;
        self.append_state(log.group(), &state);
    }

    /// Queues a checkpoint: whole when it is small, else in parts that let other groups' appends between them.
    fn append_state(&self, group: GroupId, state: &GroupState) {
        let whole = state.encode();
        let point = state.start.clone();
        let sequence = self.checkpoint_sequence.get();
        self.checkpoint_sequence.set(sequence.wrapping_add(1));
        let frame = |kind, part: u32, payload| Frame {
            kind,
            group,
            index: point.index.0,
            term: point.term.0,
            base_offset: sequence,
            last_offset_delta: part,
            payload,
        };
        let part_bytes = WRITE_GROUP_BYTES_MAX / 2;
        let parts = whole.len().div_ceil(part_bytes).max(1);
        let mut in_flight = self.in_flight.borrow_mut();
        for part in 0..parts - 1 {
            let piece = whole.slice(part * part_bytes..(part + 1) * part_bytes);
            let ticket = self.journal.append(vec![frame(FrameKind::CheckpointPart, part as u32, piece)]);
            in_flight.push_back((ticket, InFlight::Part { group }));
        }
        let last = whole.slice((parts - 1) * part_bytes..);
        let ticket = self.journal.append(vec![frame(FrameKind::Checkpoint, parts as u32 - 1, last)]);
        in_flight.push_back((ticket, InFlight::Checkpoint { group, point }));
    }
}

/// The whole bytes of a checkpoint from its parts.
pub(crate) fn join_parts(parts: &[Bytes], last: &Bytes) -> Bytes {
    if parts.is_empty() {
        return last.clone();
    }
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum::<usize>() + last.len());
    parts.iter().for_each(|part| whole.put_slice(part));
    whole.put_slice(last);
    whole.freeze()
}
