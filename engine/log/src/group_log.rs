//! One group on its shard: its live state, its segments and which journal files still hold what only the journal
//! has. Lives on one core; a borrow never crosses a wait. It writes nothing by itself.

use crate::group_state::{Damaged, GroupState};
use crate::segment::{BatchRef, Segments};
use flumen_io::Host;
use flumen_model::batch::BatchView;
use flumen_model::{GroupId, Offset};
use flumen_replication::{Conf, Entry, EntryKind, HardState, Point};
use std::cell::{Cell, Ref, RefCell};

/// The largest Raft index that a group has in one journal file.
#[derive(Clone, Copy, Debug)]
struct Span {
    file_seq: u64,
    index_max: u64,
}

/// One group's log.
pub struct GroupLog<H: Host> {
    group: GroupId,
    state: RefCell<GroupState>,
    segments: Option<Segments<H>>,
    /// Journal files with frames of this group that no checkpoint covers yet, oldest first.
    spans: RefCell<Vec<Span>>,
    /// The file where the newest durable checkpoint begins, and the index it covers.
    checkpoint: Cell<Option<(u64, u64)>>,
    /// The file of the first part of a checkpoint whose last is not durable yet.
    parts_from: Cell<Option<u64>>,
    pub(crate) spread_queued: Cell<bool>,
    removed: Cell<bool>,
}

impl<H: Host> GroupLog<H> {
    pub(crate) fn new(group: GroupId, state: GroupState, segments: Option<Segments<H>>) -> GroupLog<H> {
        GroupLog {
            group,
            state: RefCell::new(state),
            segments,
            spans: RefCell::new(Vec::new()),
            checkpoint: Cell::new(None),
            parts_from: Cell::new(None),
            spread_queued: Cell::new(false),
            removed: Cell::new(false),
        }
    }

    /// The group's id.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The live state; its `start` is the applied point, and `segments` and `machine` are as of the last restart.
    pub fn state(&self) -> Ref<'_, GroupState> {
        self.state.borrow()
    }

    /// The stored batches; `None` for state groups.
    pub fn segments(&self) -> Option<&Segments<H>> {
        self.segments.as_ref()
    }

    /// Records from here on are not committed yet.
    pub fn high_watermark(&self) -> Offset {
        self.state.borrow().next_offset
    }

    /// Records below are deleted.
    pub fn log_start(&self) -> Offset {
        self.state.borrow().log_start
    }

    /// The damage that keeps this group read-only.
    pub fn damaged(&self) -> Option<Damaged> {
        self.state.borrow().damaged
    }

    /// Notes damage, or that its loss was accepted. Durable with the next checkpoint.
    pub fn set_damaged(&self, damaged: Option<Damaged>) {
        self.state.borrow_mut().damaged = damaged;
    }

    /// Notes that stored records from an offset on cannot be served; true when that is news. Durable with the next
    /// checkpoint.
    pub fn note_rot(&self, from: Offset) -> bool {
        let mut state = self.state.borrow_mut();
        let damaged = match state.damaged {
            Some(known) if known.from <= from => return false,
            // Where nothing is known behind the damage, that stays so.
            Some(known) if known.to > known.from => Damaged { from, to: known.to },
            _ => Damaged { from, to: from },
        };
        state.damaged = Some(damaged);
        true
    }

    /// Accepts that damaged records are lost: the log goes on behind them. Durable with the next checkpoint.
    pub fn accept_loss(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(damaged) = state.damaged.take() {
            state.next_offset = state.next_offset.max(damaged.to);
            state.hard_state.commit = state.start.index;
        }
    }

    /// Moves the log start, as a committed entry said.
    pub fn move_log_start(&self, to: Offset) {
        self.state.borrow_mut().move_log_start(to);
    }

    /// Takes a committed entry, in order: a batch goes to the segments' memory, every entry moves the applied
    /// point. Returns the bytes that the cache gained.
    pub fn apply(&self, entry: &Entry) -> usize {
        let mut state = self.state.borrow_mut();
        assert!(entry.index > state.start.index, "entries are applied once and in order");
        state.start.index = entry.index;
        state.start.term = entry.term;
        if entry.kind != EntryKind::Batch {
            return 0;
        }
        let segments = self.segments.as_ref().expect("only data groups take batches");
        let batch =
            BatchView::parse(&entry.data).expect("a committed batch was validated when it was proposed");
        let first = batch.base_offset();
        let last = batch.last_offset();
        debug_assert!(first >= state.next_offset, "offsets never run back");
        state.note_epoch(entry.term, first);
        state.next_offset = last.plus(1);
        segments.push(BatchRef {
            index: entry.index.0,
            term: entry.term.0,
            base_offset: first.0,
            last_offset: last.0,
            max_timestamp: batch.max_timestamp().0,
            bytes: entry.data.clone(),
        });
        entry.data.len()
    }

    /// Notes the configuration that the last applied entry put in force.
    pub fn set_conf(&self, conf: Conf) {
        self.state.borrow_mut().start.conf = conf;
    }

    /// Restarts from a snapshot point.
    pub(crate) fn set_point(&self, point: &Point) {
        self.state.borrow_mut().start = point.clone();
    }

    pub(crate) fn set_hard_state(&self, hard_state: HardState) {
        self.state.borrow_mut().hard_state = hard_state;
    }

    pub(crate) fn note_gap(&self, damaged: Damaged) {
        let mut state = self.state.borrow_mut();
        let from = state.damaged.map_or(damaged.from, |old| old.from.min(damaged.from));
        state.damaged = Some(Damaged { from, to: damaged.to });
    }

    /// Notes that a journal file took frames of this group; true when it is the first time for that file.
    pub(crate) fn touched(&self, file_seq: u64, index_max: u64) -> bool {
        let mut spans = self.spans.borrow_mut();
        match spans.last_mut() {
            Some(last) if last.file_seq == file_seq => {
                last.index_max = last.index_max.max(index_max);
                false
            }
            _ => {
                spans.push(Span { file_seq, index_max });
                true
            }
        }
    }

    /// Notes that a part of a checkpoint, not its last, is durable in a journal file.
    pub(crate) fn part_durable(&self, file_seq: u64) {
        self.parts_from.set(self.parts_from.get().or(Some(file_seq)));
    }

    /// Notes that a checkpoint covering `index` is durable: its last part, in a journal file. It lives as long as the
    /// file of its first part.
    pub(crate) fn checkpointed(&self, file_seq: u64, index: u64) {
        let file_seq = self.parts_from.take().unwrap_or(file_seq);
        self.checkpoint.set(Some((file_seq, index)));
        self.spans.borrow_mut().retain(|span| span.file_seq >= file_seq || span.index_max > index);
    }

    /// Whether a journal file, the oldest, still holds what only the journal has.
    pub(crate) fn needs(&self, file_seq: u64) -> bool {
        if self.removed.get() {
            return false;
        }
        let Some((checkpoint_file, index)) = self.checkpoint.get() else { return true };
        checkpoint_file <= file_seq
            || self.spans.borrow().iter().any(|span| span.file_seq <= file_seq && span.index_max > index)
    }

    pub(crate) fn remove(&self) {
        self.removed.set(true);
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.get()
    }
}
