//! One shard's log at work: what Raft wants written goes to the journal in one append per Ready; what is
//! committed is spread to segments off the ack path; checkpoints free the oldest journal file when few are free.
//! It decides no offsets and no acks: durable Readys go up through [`LogEvents`].

mod checkpointer;
mod space;
mod spreader;

use crate::frames;
use crate::group_log::GroupLog;
use crate::group_state::{Damaged, GroupState};
use crate::journal::{Durable, Journal, Ticket};
use crate::recovery::Lost;
use crate::segment::{OpenFiles, ReadBudget, Segments, SegmentsSpec};
use bytes::Bytes;
use flumen_io::Host;
use flumen_io::local::Notify;
use flumen_model::limits::{CHUNK_BYTES, Limits};
use flumen_model::{Code, Error, GroupId, Offset, PartitionNumber, Result, ShardId, TopicId};
use flumen_replication::{Point, ReplicaId, Write};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use uuid::Uuid;

pub(crate) use checkpointer::join_parts;
use space::Space;

/// Where a shard lies and how large it may grow.
#[derive(Clone, Debug)]
pub struct ShardLogSpec {
    /// The shard's own directory.
    pub dir: PathBuf,
    /// The random id of the data directory, which seeds every checksum.
    pub directory_id: Uuid,
    /// The shard.
    pub shard: ShardId,
    /// Journal file bytes, as the superblock says.
    pub journal_file_bytes: u64,
    /// Journal files, as the superblock says.
    pub journal_files: usize,
    /// Bytes of the file that is given back when the disk is full: this shard's part of the node's.
    pub reserve_bytes: u64,
    /// The node's limits.
    pub limits: Limits,
}

impl ShardLogSpec {
    /// Where a partition's segments lie.
    pub fn partition_dir(&self, topic: TopicId, partition: PartitionNumber) -> PathBuf {
        self.topic_dir(topic).join(partition.to_string())
    }

    pub(crate) fn topic_dir(&self, topic: TopicId) -> PathBuf {
        self.dir.join("t").join(topic.to_string())
    }

    pub(crate) fn trash_dir(&self) -> PathBuf {
        self.dir.join("trash")
    }

    /// The seed of a group's segment checksums: the directory's id and the group, never cluster or node.
    pub(crate) fn segment_seed(&self, group: GroupId) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(self.directory_id.as_bytes()), &group.0.to_le_bytes())
    }
}

/// What the log tells the engine. Called on the shard's core, never re-entrantly.
pub trait LogEvents {
    /// These Readys are durable, in the order they were written.
    fn durable(&self, readys: &[(GroupId, u64)]);
    /// The state machine's own snapshot of a group as of its applied entry; `None` when the group is gone.
    fn machine_snapshot(&self, group: GroupId) -> Option<Bytes>;
    /// A checkpoint is durable: Raft's own log may forget what it covers.
    fn checkpointed(&self, group: GroupId, point: Point);
    /// How large a group's segments may grow and how old, in bytes and milliseconds.
    fn roll_limits(&self, group: GroupId) -> RollLimits;
}

/// When a group's active segment is sealed.
#[derive(Clone, Copy, Debug)]
pub struct RollLimits {
    /// At this size.
    pub segment_bytes: u64,
    /// When its first batch is this old.
    pub segment_ms: u64,
}

/// What one journal append was for.
enum InFlight {
    Ready { group: GroupId, number: u64, index_max: u64 },
    Part { group: GroupId },
    Checkpoint { group: GroupId, point: Point },
}

/// Counters of what the log did since it was opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogStats {
    /// Bytes written to segments.
    pub spread_bytes: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Journal files freed.
    pub files_freed: u64,
    /// Segments sealed.
    pub segments_rolled: u64,
    /// Segments deleted because the log start passed them.
    pub segments_deleted: u64,
    /// Bytes of batches in memory.
    pub cached_bytes: usize,
}

/// One shard's log.
pub struct ShardLog<H: Host> {
    pub(crate) host: H,
    pub(crate) spec: ShardLogSpec,
    journal: Rc<Journal<H>>,
    groups: RefCell<BTreeMap<GroupId, Rc<GroupLog<H>>>>,
    in_flight: RefCell<VecDeque<(Ticket, InFlight)>>,
    /// Groups by the journal file that their frames are in.
    by_file: RefCell<BTreeMap<u64, Vec<GroupId>>>,
    spread_queue: RefCell<VecDeque<Rc<GroupLog<H>>>>,
    cache_order: RefCell<VecDeque<(Rc<GroupLog<H>>, usize)>>,
    cached_bytes: Cell<usize>,
    /// Wakes the spreader, the checkpointer and whoever waits for room.
    spread_wake: Notify,
    checkpoint_wake: Notify,
    room: Notify,
    pub(crate) budget: Rc<ReadBudget>,
    pub(crate) open_files: Rc<OpenFiles<H>>,
    space: Space<H>,
    closing: Cell<bool>,
    stats: Cell<LogStats>,
    checkpoint_sequence: Cell<u64>,
}

impl<H: Host> ShardLog<H> {
    pub(crate) fn assemble(
        host: H,
        spec: ShardLogSpec,
        journal: Rc<Journal<H>>,
        groups: BTreeMap<GroupId, Rc<GroupLog<H>>>,
        by_file: BTreeMap<u64, Vec<GroupId>>,
        budget: Rc<ReadBudget>,
        open_files: Rc<OpenFiles<H>>,
    ) -> Rc<ShardLog<H>> {
        let sequence = host.entropy();
        Rc::new(ShardLog {
            host,
            spec,
            journal,
            groups: RefCell::new(groups),
            in_flight: RefCell::default(),
            by_file: RefCell::new(by_file),
            spread_queue: RefCell::default(),
            cache_order: RefCell::default(),
            cached_bytes: Cell::new(0),
            spread_wake: Notify::new(),
            checkpoint_wake: Notify::new(),
            room: Notify::new(),
            budget,
            open_files,
            space: Space::default(),
            closing: Cell::new(false),
            stats: Cell::default(),
            checkpoint_sequence: Cell::new(sequence),
        })
    }

    /// The group's log.
    pub fn group(&self, group: GroupId) -> Option<Rc<GroupLog<H>>> {
        self.groups.borrow().get(&group).cloned()
    }

    /// All groups, ascending.
    pub fn groups(&self) -> Vec<Rc<GroupLog<H>>> {
        self.groups.borrow().values().cloned().collect()
    }

    /// Catch-up reads share this budget.
    pub fn budget(&self) -> &ReadBudget {
        &self.budget
    }

    /// The journal, for its figures.
    pub fn journal(&self) -> &Journal<H> {
        &self.journal
    }

    /// What was done so far.
    pub fn stats(&self) -> LogStats {
        LogStats { cached_bytes: self.cached_bytes.get(), ..self.stats.get() }
    }

    /// Bytes of the journal's ring.
    pub fn journal_bytes(&self) -> u64 {
        self.spec.journal_file_bytes * self.spec.journal_files as u64
    }

    /// Counts segments that went because the log start passed them.
    pub fn note_deleted(&self, segments: usize) {
        self.bump(|stats| stats.segments_deleted += segments as u64);
    }

    /// Whether the journal has room for another append of this size.
    pub fn admits(&self, bytes: usize) -> bool {
        self.journal.admits(bytes)
    }

    /// Waits for the journal to free room; may wake early.
    pub async fn wait_room(&self) {
        self.room.notified().await;
    }

    /// Starts a group at its birth point. Durable before any Ready that is written after this.
    pub fn create_group(
        &self,
        group: GroupId,
        topic: TopicId,
        partition: PartitionNumber,
        replica: ReplicaId,
        start: Point,
    ) -> Rc<GroupLog<H>> {
        let log =
            self.begin_group(group, topic, partition, GroupState::birth(topic, partition, replica, start));
        // The birth is a checkpoint of an empty group: it names the topic, so that `check` needs no metadata.
        self.append_checkpoint(&log, Bytes::new());
        log
    }

    /// Takes the place of a group whose state is lost: damaged from the first record on, until its loss is accepted.
    /// Its log then goes on behind what was seen of it.
    pub fn create_lost_group(
        &self,
        group: GroupId,
        topic: TopicId,
        partition: PartitionNumber,
        replica: ReplicaId,
        mut start: Point,
        lost: Lost,
    ) -> Rc<GroupLog<H>> {
        start.index = start.index.max(lost.index_max);
        start.term = start.term.max(lost.term_max);
        let mut state = GroupState::birth(topic, partition, replica, start);
        state.damaged = Some(Damaged { from: Offset(0), to: lost.end });
        let log = self.begin_group(group, topic, partition, state);
        self.append_checkpoint(&log, Bytes::new());
        log
    }

    fn begin_group(
        &self,
        group: GroupId,
        topic: TopicId,
        partition: PartitionNumber,
        state: GroupState,
    ) -> Rc<GroupLog<H>> {
        let segments =
            (!group.is_state()).then(|| Segments::empty(self.segments_spec(group, topic, partition)));
        let log = Rc::new(GroupLog::new(group, state, segments));
        let previous = self.groups.borrow_mut().insert(group, log.clone());
        assert!(previous.is_none(), "group ids are never reused");
        log
    }

    pub(crate) fn segments_spec(
        &self,
        group: GroupId,
        topic: TopicId,
        partition: PartitionNumber,
    ) -> SegmentsSpec<H> {
        SegmentsSpec {
            dir: self.spec.partition_dir(topic, partition),
            seed: self.spec.segment_seed(group),
            open_files: self.open_files.clone(),
        }
    }

    /// Queues what one Ready writes as one atomic append. `lazy` rides with the next write or the idle mark.
    pub fn write(&self, log: &GroupLog<H>, number: u64, write: &Write) {
        let group = log.group();
        if let Some(hard_state) = write.hard_state {
            log.set_hard_state(hard_state);
        }
        let (frames, index_max) = frames::of_write(group, write);
        let ticket =
            if write.must_sync { self.journal.append(frames) } else { self.journal.append_lazy(frames) };
        self.in_flight.borrow_mut().push_back((ticket, InFlight::Ready { group, number, index_max }));
    }

    /// Takes a committed entry into the group's log and the cache.
    pub fn apply(&self, log: &Rc<GroupLog<H>>, entry: &flumen_replication::Entry) {
        let bytes = log.apply(entry);
        if bytes > 0 {
            self.cache(log, bytes);
        }
    }

    /// Counts what recovery left in a group's memory.
    pub(crate) fn adopt(&self, log: &Rc<GroupLog<H>>) {
        log.spread_queued.set(false);
        let bytes = log.segments().map_or(0, Segments::cached_bytes);
        if bytes > 0 {
            self.cache(log, bytes);
        }
    }

    fn cache(&self, log: &Rc<GroupLog<H>>, bytes: usize) {
        let total = self.cached_bytes.get() + bytes;
        self.cached_bytes.set(total);
        let mut order = self.cache_order.borrow_mut();
        match order.back_mut() {
            Some((last, sum)) if Rc::ptr_eq(last, log) && *sum < CHUNK_BYTES => *sum += bytes,
            _ => order.push_back((log.clone(), bytes)),
        }
        drop(order);
        let unspread = log.segments().map_or(0, Segments::unspread_bytes);
        if unspread >= CHUNK_BYTES as u64 {
            self.queue_spread(log);
        }
        if total > self.spec.limits.cache_bytes {
            self.spread_wake.notify_one();
        }
    }

    pub(crate) fn queue_spread(&self, log: &Rc<GroupLog<H>>) {
        if !log.spread_queued.replace(true) {
            self.spread_queue.borrow_mut().push_back(log.clone());
            self.spread_wake.notify_one();
        }
    }

    /// Runs the journal's writer until [`ShardLog::close`]. An error means that a write failed: the log is
    /// poisoned, nothing more is acked, and the process must end.
    pub async fn run_writer(&self, events: Rc<dyn LogEvents>) -> Result<()> {
        let mut readys = Vec::new();
        self.journal
            .run_writer(|durable: Durable| {
                self.on_durable(&durable, &*events, &mut readys);
                events.durable(&readys);
                readys.clear();
                self.room.notify_all();
            })
            .await
    }

    fn on_durable(&self, durable: &Durable, events: &dyn LogEvents, readys: &mut Vec<(GroupId, u64)>) {
        loop {
            let next = {
                let mut in_flight = self.in_flight.borrow_mut();
                if in_flight.front().is_none_or(|&(ticket, _)| ticket > durable.up_to) {
                    break;
                }
                in_flight.pop_front().expect("a front was there").1
            };
            match next {
                InFlight::Ready { group, number, index_max } => {
                    self.touch(group, durable.file_seq, index_max);
                    readys.push((group, number));
                }
                InFlight::Part { group } => {
                    self.touch(group, durable.file_seq, 0);
                    if let Some(log) = self.group(group) {
                        log.part_durable(durable.file_seq);
                    }
                }
                InFlight::Checkpoint { group, point } => {
                    self.touch(group, durable.file_seq, 0);
                    if let Some(log) = self.group(group) {
                        log.checkpointed(durable.file_seq, point.index.0);
                    }
                    self.bump(|stats| stats.checkpoints += 1);
                    events.checkpointed(group, point);
                    self.checkpoint_wake.notify_all();
                }
            }
        }
        if self.journal.free_files() < self.free_files_wanted() {
            self.checkpoint_wake.notify_all();
        }
    }

    fn touch(&self, group: GroupId, file_seq: u64, index_max: u64) {
        let Some(log) = self.group(group) else { return };
        if log.touched(file_seq, index_max) {
            self.by_file.borrow_mut().entry(file_seq).or_default().push(group);
        }
    }

    fn bump(&self, change: impl FnOnce(&mut LogStats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }

    /// Forgets a group: its frames need no checkpoint any more. Its files go with [`ShardLog::delete_topic`].
    pub fn remove_group(&self, group: GroupId) {
        if let Some(log) = self.groups.borrow_mut().remove(&group) {
            log.remove();
            let cached = log.segments().map_or(0, Segments::cached_bytes);
            tracing::debug!(group = group.0, cached, "group forgotten");
        }
        self.checkpoint_wake.notify_all();
    }

    /// Moves a deleted topic's files into the trash, durably, then shrinks them away at a gentle pace. May be
    /// repeated.
    pub async fn delete_topic(&self, topic: TopicId) -> Result<()> {
        let (topic, trash) = (self.spec.topic_dir(topic), self.spec.trash_dir());
        self.space.note(crate::segment::delete_all(&self.host, &topic, &trash).await)
    }

    /// The topics that have files here.
    ///
    /// # Errors
    /// What the filesystem says.
    pub async fn stored_topics(&self) -> Result<Vec<TopicId>> {
        let dir = self.spec.dir.join("t");
        match self.host.list_dir(&dir).await {
            Ok(entries) => Ok(entries
                .iter()
                .filter_map(|entry| entry.file_name()?.to_str()?.parse().ok().map(TopicId))
                .collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::new(Code::LogFailed, format!("cannot list {}: {error}", dir.display()))),
        }
    }

    /// Finishes deletions that a crash cut short.
    pub async fn empty_trash(&self) -> Result<()> {
        self.space.note(crate::segment::empty_trash(&self.host, &self.spec.trash_dir()).await)
    }

    /// Ends writer, spreader and checkpointer once the journal has written what it has.
    pub fn close(&self) {
        self.closing.set(true);
        self.journal.close();
        self.spread_wake.notify_all();
        self.checkpoint_wake.notify_all();
        self.room.notify_all();
    }
}
