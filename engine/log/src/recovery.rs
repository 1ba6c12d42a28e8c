//! From journal and segments back to groups after a stop of any kind. Two passes over the journal: the survey
//! finds each group's newest checkpoint, the replay puts the frames behind it back, in journal order. Bounded by
//! the journal, never by what is stored. It drops only a torn tail; acked data that is missing is reported.

mod checkpoints;
mod traces;

use crate::frames;
use crate::group_log::GroupLog;
use crate::group_state::{Damaged, GroupState};
use crate::journal::{
    self, Damage, DamageOwners, FileSpan, Frame, FrameKind, Journal, JournalSpec, ScanReport, ScannedFrame,
};
use crate::segment::{OpenFiles, ReadBudget, Segments, SegmentsSpec, SegmentsState};
use crate::shard_log::{RollLimits, ShardLog, ShardLogSpec};
use crate::ways;
use bytes::Bytes;
use checkpoints::{Base, Survey};
use flumen_io::Host;
use flumen_model::limits::{BATCH_BYTES_HARD_MAX, BLOCK_BYTES, WRITE_GROUP_BYTES_MAX};
use flumen_model::{Code, Error, GroupId, Lsn, Offset, Result};
use flumen_replication::{Entry, EntryKind, HardState, Point, Restored};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

pub use traces::{Lost, Traces};

/// The engine's ear during recovery: the state machines are rebuilt while the frames go by.
pub trait Replay {
    /// A group's checkpoint: everything before its applied point is in here.
    fn restore(&mut self, group: GroupId, state: &GroupState) -> Result<()>;
    /// A committed entry behind the checkpoint, in order. Returns the log start that it moves to, if it does.
    fn apply(&mut self, group: GroupId, entry: &Entry) -> Result<Option<Offset>>;
}

/// One group as it was found.
pub struct RecoveredGroup<H: Host> {
    /// Its log, spread as far as memory asked for.
    pub log: Rc<GroupLog<H>>,
    /// What the Raft driver starts from; `None` while the group is damaged, for it may not lead nor vote.
    pub restored: Option<Restored>,
}

/// What was found in a shard's directory.
pub struct Recovered<H: Host> {
    /// The log, ready to run.
    pub log: Rc<ShardLog<H>>,
    /// All groups, ascending.
    pub groups: Vec<RecoveredGroup<H>>,
    /// What the journal shows of other groups.
    pub traces: Traces,
    /// What the scan of the journal said.
    pub report: ScanReport,
}

/// What [`inspect`] found.
pub struct Inspected<H: Host> {
    /// All groups, ascending.
    pub groups: Vec<Rc<GroupLog<H>>>,
    /// What the journal shows of other groups.
    pub traces: Traces,
    /// What the scan of the journal said.
    pub report: ScanReport,
}

impl ShardLogSpec {
    /// The journal's part of this.
    pub fn journal_spec(&self) -> JournalSpec {
        JournalSpec {
            dir: self.dir.join("journal"),
            file_bytes: self.journal_file_bytes,
            files: self.journal_files,
            write_group_bytes_max: WRITE_GROUP_BYTES_MAX,
            append_bytes_max: append_bytes_max(self.journal_file_bytes),
            directory_id: self.directory_id,
            shard: self.shard,
            mark_idle: Duration::from_millis(self.limits.mark_idle_ms),
        }
    }
}

/// The largest append that a journal of such files takes: a file holds two of them.
pub fn append_bytes_max(journal_file_bytes: u64) -> usize {
    let of_file = journal_file_bytes as usize / 2 - 64 * BLOCK_BYTES;
    of_file.min(BATCH_BYTES_HARD_MAX + WRITE_GROUP_BYTES_MAX / 2)
}

/// Recovers a shard. Damage is no error: the groups it hits come back read-only.
///
/// # Errors
/// What makes the whole shard unreadable: the journal's directory is missing, a format is newer, a read fails.
pub async fn recover<H: Host>(
    host: &H,
    spec: ShardLogSpec,
    replay: &mut impl Replay,
) -> Result<Recovered<H>> {
    let open_files = Rc::new(OpenFiles::new(spec.limits.open_segments_max));
    let budget =
        Rc::new(ReadBudget::new(spec.limits.read_bytes_in_flight_max, spec.limits.read_request_bytes));
    let PutBack { groups: mut replaying, by_file, traces, report } =
        put_back(host, &spec, &open_files, replay).await?;
    // A damaged group has no driver that would commit what only its journal has: else nothing ever checkpoints it,
    // and the journal could free no file behind it.
    for (&id, group) in replaying.iter_mut().filter(|(_, group)| group.log.damaged().is_some()) {
        group.apply_durable(id, replay)?;
    }
    let journal = Rc::new(Journal::open(host, spec.journal_spec(), &report).await?);
    let logs = replaying.iter().map(|(&id, group)| (id, group.log.clone())).collect();
    let log = ShardLog::assemble(host.clone(), spec, journal, logs, by_file, budget, open_files);
    let mut groups = Vec::with_capacity(replaying.len());
    for (_, group) in replaying {
        log.adopt(&group.log);
        groups.push(group.finish());
    }
    Ok(Recovered { log, groups, traces, report })
}

/// What [`recover`] would find, without writing anything: for `check`. Holds in memory what the journal has and
/// the segments have not, at most the journal's size.
///
/// # Errors
/// As [`recover`].
pub async fn inspect<H: Host>(
    host: &H,
    mut spec: ShardLogSpec,
    replay: &mut impl Replay,
) -> Result<Inspected<H>> {
    spec.limits.cache_bytes = usize::MAX;
    let open_files = Rc::new(OpenFiles::new(spec.limits.open_segments_max));
    let PutBack { groups: mut replaying, traces, report, .. } =
        put_back(host, &spec, &open_files, replay).await?;
    for (&id, group) in &mut replaying {
        group.apply_durable(id, replay)?;
    }
    let groups = replaying.into_values().map(|group| group.log).collect();
    Ok(Inspected { groups, traces, report })
}

struct PutBack<H: Host> {
    groups: BTreeMap<GroupId, Replaying<H>>,
    by_file: BTreeMap<u64, Vec<GroupId>>,
    traces: Traces,
    report: ScanReport,
}

async fn put_back<H: Host>(
    host: &H,
    spec: &ShardLogSpec,
    open_files: &Rc<OpenFiles<H>>,
    replay: &mut impl Replay,
) -> Result<PutBack<H>> {
    let journal_spec = spec.journal_spec();
    let mut survey = Survey::default();
    journal::scan(host, &journal_spec, &mut survey).await?;
    let mut replayer = Replayer::new(host.clone(), spec.clone(), open_files, survey.bases, replay)?;
    let report = journal::scan(host, &journal_spec, &mut replayer).await?;
    replayer.judge(&report.damage);
    Ok(PutBack { groups: replayer.groups, by_file: replayer.by_file, traces: replayer.traces, report })
}

/// One group in the second pass.
struct Replaying<H: Host> {
    log: Rc<GroupLog<H>>,
    base: Lsn,
    /// The journal file where its checkpoint begins.
    base_file_seq: u64,
    /// Entries behind the applied point, not known to be committed.
    pending: VecDeque<Entry>,
    /// The highest commit index met so far, in journal order.
    commit: u64,
    /// The last frame of this group that proves what came before it.
    proven: Lsn,
    hard_state_proven: Lsn,
}

impl<H: Host> Replaying<H> {
    fn last_index(&self) -> u64 {
        self.pending.back().map_or(self.log.state().start.index.0, |entry| entry.index.0)
    }

    /// What a sole voter has durably is committed, whether or not it had the time to note that. A change of
    /// configuration, and all behind it, is left to the driver.
    fn apply_durable(&mut self, id: GroupId, replay: &mut impl Replay) -> Result<()> {
        let is_sole = self.log.state().start.conf.is_sole_voter(self.log.state().replica);
        while let Some(entry) = self.pending.pop_front_if(|entry| is_sole && entry.kind != EntryKind::Conf) {
            ways::take(ways::DURABLE_APPLIED);
            self.log.apply(&entry);
            if let Some(to) = replay.apply(id, &entry)? {
                self.log.move_log_start(to);
            }
        }
        Ok(())
    }

    fn finish(self) -> RecoveredGroup<H> {
        let state = self.log.state().clone();
        let restored = state.damaged.is_none().then(|| {
            let commit = state.hard_state.commit.max(state.start.index);
            restored(HardState { commit, ..state.hard_state }, state.start, self.pending.into())
        });
        RecoveredGroup { log: self.log, restored }
    }
}

/// A Raft log that starts at the applied point.
fn restored(hard_state: HardState, start: Point, entries: Vec<Entry>) -> Restored {
    let mut terms = vec![(start.index, start.term)];
    let mut last = (start.index, start.term);
    for entry in &entries {
        if entry.term != last.1 {
            terms.push((entry.index, entry.term));
        }
        last = (entry.index, entry.term);
    }
    Restored { hard_state, applied: start.index, start, confs: Vec::new(), entries, terms, last }
}

/// The second pass: frames behind each group's checkpoint, in journal order.
struct Replayer<'a, H: Host, R: Replay> {
    host: H,
    spec: ShardLogSpec,
    groups: BTreeMap<GroupId, Replaying<H>>,
    by_file: BTreeMap<u64, Vec<GroupId>>,
    traces: Traces,
    unspread: Vec<Rc<GroupLog<H>>>,
    cached_bytes: usize,
    file_seq: u64,
    error: Option<Error>,
    replay: &'a mut R,
}

impl<H: Host, R: Replay> journal::ScanVisitor for Replayer<'_, H, R> {
    fn file(&mut self, span: FileSpan) {
        self.file_seq = span.seq;
    }

    fn group(&mut self, _: Lsn, frames: &[ScannedFrame]) {
        for scanned in frames {
            if self.error.is_none() {
                self.error = self.frame(scanned.lsn, self.file_seq, &scanned.frame).err();
            }
        }
    }

    fn lost(&mut self, _: &Damage) {}

    async fn after_group(&mut self) -> Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.cached_bytes > self.spec.limits.cache_bytes {
            self.spread_all().await?;
        }
        Ok(())
    }
}

impl<'a, H: Host, R: Replay> Replayer<'a, H, R> {
    fn new(
        host: H,
        spec: ShardLogSpec,
        open_files: &Rc<OpenFiles<H>>,
        bases: BTreeMap<GroupId, Base>,
        replay: &'a mut R,
    ) -> Result<Self> {
        let (mut groups, mut traces) = (BTreeMap::new(), Traces::default());
        for (id, base) in bases {
            traces.found(id);
            let state = GroupState::decode(base.state, id)?;
            replay.restore(id, &state)?;
            let segments = match id.is_state() {
                true => None,
                false => Some(restore_segments(&spec, open_files, id, &state)?),
            };
            let commit = state.start.index.0;
            let log = Rc::new(GroupLog::new(id, state, segments));
            let replaying = Replaying {
                log,
                base: base.lsn,
                base_file_seq: base.file_seq,
                pending: VecDeque::new(),
                commit,
                proven: base.lsn,
                hard_state_proven: base.lsn,
            };
            groups.insert(id, replaying);
        }
        let by_file = BTreeMap::new();
        Ok(Replayer {
            host,
            spec,
            groups,
            by_file,
            traces,
            unspread: Vec::new(),
            cached_bytes: 0,
            file_seq: 0,
            error: None,
            replay,
        })
    }

    fn frame(&mut self, lsn: Lsn, file_seq: u64, frame: &Frame) -> Result<()> {
        if matches!(frame.kind, FrameKind::Directory | FrameKind::Mark) {
            return Ok(());
        }
        let Some(group) = self.groups.get_mut(&frame.group) else {
            // No checkpoint of it is left, not even its birth: it was removed long ago, or its state is lost.
            ways::take(ways::NO_CHECKPOINT);
            self.traces.frame(frame);
            return Ok(());
        };
        let is_entry = frame.kind.is_entry();
        if group.log.touched(file_seq, if is_entry { frame.index } else { 0 }) {
            self.by_file.entry(file_seq).or_default().push(frame.group);
        }
        match frame.kind {
            FrameKind::Checkpoint if lsn == group.base => {
                let covered = group.log.state().start.index.0.min(frame.index);
                group.log.checkpointed(group.base_file_seq, covered);
                group.commit = group.commit.max(group.log.state().hard_state.commit.0);
            }
            FrameKind::HardState => {
                if lsn > group.base {
                    group.log.set_hard_state(frames::to_hard_state(frame));
                    group.hard_state_proven = lsn;
                }
                group.commit = group.commit.max(frame.index);
            }
            FrameKind::Point if lsn > group.base => group.log.set_point(&frames::to_point(frame)?),
            _ if is_entry => self.entry(lsn, frame)?,
            _ => {}
        }
        self.apply_committed(frame.group)
    }

    fn entry(&mut self, lsn: Lsn, frame: &Frame) -> Result<()> {
        let group = self.groups.get_mut(&frame.group).expect("the caller has found it");
        if frame.index <= group.log.state().start.index.0 {
            if lsn > group.base {
                group.proven = lsn;
            }
            return Ok(());
        }
        // A new leader's entry replaces the suffix from its index on.
        while group.pending.back().is_some_and(|last| last.index.0 >= frame.index) {
            ways::take(ways::REPLACED_SUFFIX);
            group.pending.pop_back();
        }
        if frame.index > group.last_index() + 1 {
            self.jump_gap(frame)?;
        }
        let group = self.groups.get_mut(&frame.group).expect("the caller has found it");
        group.proven = group.proven.max(lsn);
        let mut entry = frames::to_entry(frame).expect("the caller has asked");
        // The scan's large read buffer must not be held by a small batch.
        entry.data = Bytes::copy_from_slice(&entry.data);
        group.pending.push_back(entry);
        Ok(())
    }

    /// Entries are missing in front of `frame`: what is intact before the gap is served, what comes behind it is
    /// kept for the day when the loss is accepted.
    fn jump_gap(&mut self, frame: &Frame) -> Result<()> {
        ways::take(ways::GAP);
        let group = self.groups.get_mut(&frame.group).expect("the caller has found it");
        group.commit = group.commit.max(group.last_index());
        self.apply_committed(frame.group)?;
        let group = self.groups.get_mut(&frame.group).expect("the caller has found it");
        let from = group.log.high_watermark();
        let to = if frame.kind == FrameKind::Batch { Offset(frame.base_offset) } else { from };
        group.log.note_gap(Damaged { from, to: to.max(from) });
        let mut point = group.log.state().start.clone();
        point.index.0 = frame.index - 1;
        group.log.set_point(&point);
        Ok(())
    }

    fn apply_committed(&mut self, id: GroupId) -> Result<()> {
        let group = self.groups.get_mut(&id).expect("the caller has found it");
        // A change of configuration, and all behind it, is left to the driver: only it knows what it does.
        let ours = |entry: &Entry, commit: u64| entry.index.0 <= commit && entry.kind != EntryKind::Conf;
        while group.pending.front().is_some_and(|entry| ours(entry, group.commit)) {
            let entry = group.pending.pop_front().expect("a front was there");
            let bytes = group.log.apply(&entry);
            if let Some(to) = self.replay.apply(id, &entry)? {
                group.log.move_log_start(to);
            }
            self.cached_bytes += bytes;
            if bytes > 0 && !group.log.spread_queued.replace(true) {
                self.unspread.push(group.log.clone());
            }
        }
        Ok(())
    }

    /// Spreads what was replayed and drops it from memory, so that recovery needs no more of it than service.
    async fn spread_all(&mut self) -> Result<()> {
        ways::take(ways::SPREAD_MEANWHILE);
        let roll = RollLimits { segment_bytes: self.spec.limits.segment_bytes, segment_ms: u64::MAX };
        self.cached_bytes = 0;
        for log in self.unspread.drain(..) {
            log.spread_queued.set(false);
            let segments = log.segments().expect("only data groups are queued");
            match segments.spread(&self.host, true, roll).await {
                Ok(_) => {}
                // A full disk is no reason not to come back: reads and deletes go on, and the journal still has it.
                Err(error) if error.code == Code::DiskFull => {
                    tracing::error!(%error, "no space to spread records")
                }
                Err(error) => return Err(error),
            }
            segments.evict(usize::MAX);
            self.cached_bytes += segments.cached_bytes();
        }
        Ok(())
    }

    /// Holds the scan's damage against what was put back: a group is whole when its checkpoint lies behind the
    /// damage, or entries and hard state behind it follow on without a gap.
    fn judge(&mut self, damage: &[Damage]) {
        for one in damage {
            match &one.groups {
                DamageOwners::Known(owners) => {
                    ways::take(ways::OWNERS_KNOWN);
                    for owner in owners {
                        let hard_state = owner.kinds & FrameKind::HardState.bit() != 0;
                        self.judge_known(one, owner.group, owner.last_index, hard_state);
                    }
                }
                DamageOwners::Unknown => {
                    ways::take(ways::OWNERS_UNKNOWN);
                    for (id, group) in &self.groups {
                        if group.base < one.to && group.proven < one.to {
                            Self::suspect(*id, group, one);
                        }
                    }
                }
            }
        }
    }

    fn judge_known(&mut self, damage: &Damage, id: GroupId, last_index: u64, hard_state: bool) {
        let Some(group) = self.groups.get(&id) else {
            ways::take(ways::STATE_LOST);
            tracing::error!(group = id.0, what = damage.what, "the whole state of a group is lost");
            self.traces.damaged(id);
            return;
        };
        let vote_lost = hard_state && group.hard_state_proven < damage.from && group.base < damage.from;
        if group.base < damage.to && (group.last_index() < last_index || vote_lost) {
            if vote_lost {
                ways::take(ways::VOTE_LOST);
            }
            Self::suspect(id, group, damage);
        } else {
            ways::take(ways::DAMAGE_OUTLIVED);
        }
    }

    fn suspect(id: GroupId, group: &Replaying<H>, damage: &Damage) {
        if group.log.damaged().is_none() {
            let from = group.log.high_watermark();
            group.log.set_damaged(Some(Damaged { from, to: from }));
        }
        tracing::error!(group = id.0, file = %damage.file.display(), position = damage.position, what = damage.what,
            "acked data may be lost: the partition is read-only up to it");
    }
}

fn restore_segments<H: Host>(
    spec: &ShardLogSpec,
    open_files: &Rc<OpenFiles<H>>,
    id: GroupId,
    state: &GroupState,
) -> Result<Segments<H>> {
    let segments_spec = SegmentsSpec {
        dir: spec.partition_dir(state.topic, state.partition),
        seed: spec.segment_seed(id),
        open_files: open_files.clone(),
    };
    if state.segments.is_empty() {
        return Ok(Segments::empty(segments_spec));
    }
    let segments = SegmentsState::decode(state.segments.clone())
        .map_err(|error| Error::new(Code::Corrupt, format!("the checkpoint of group {id}: {error}")))?;
    Ok(Segments::restore(segments_spec, &segments))
}

#[cfg(test)]
mod tests;
