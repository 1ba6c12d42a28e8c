//! One shard at work: its partitions, its log and, on shard 0, the control groups. Appends come in, Readys go to
//! the journal, durable Readys come back as commits and acks. It never waits on the way from a batch to its ack.

mod boot;
mod follow;
mod housekeeping;
mod read;

pub use boot::{Inspected, ShardConfig, inspect};

use crate::ack::{Ack, Acks};
use crate::control::Control;
use crate::metadata::MetadataView;
use crate::partition::{Partition, move_log_start_command};
use crate::state_group::{StateGroup, StateMachine};
use crate::table::{GroupTable, sorted_keys};
use bytes::{Bytes, BytesMut};
use flumen_io::Host;
use flumen_io::local::Notify;
use flumen_log::recovery::Traces;
use flumen_log::{GroupLog, LogEvents, RollLimits, ShardLog};
use flumen_model::limits::{BLOCK_BYTES, Limits};
use flumen_model::topic::TopicSettings;
use flumen_model::{Code, Error, GroupId, Offset, Result, ShardId, TopicId, UnixMillis};
use flumen_replication::{Driver, Entry, Point};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Batches below this size are copied out of the receive buffer, so that a small one never keeps a large buffer.
const SHARE_BYTES_MIN: usize = 16 * 1024;
/// Small batches are packed into slabs of this size.
const SLAB_BYTES: usize = 64 * 1024;
/// What one flush hands over at most, beside one batch: a Ready is one atomic append, and those have a limit.
pub(crate) const UNFLUSHED_BYTES_MAX: usize = 256 * 1024;

/// One shard. Lives on one core, behind an `Rc`.
pub struct Shard<H: Host> {
    pub(crate) host: H,
    id: ShardId,
    pub(crate) limits: Limits,
    pub(crate) topic_defaults: TopicSettings,
    pub(crate) log: Rc<ShardLog<H>>,
    /// What recovery saw of groups that it could not put back.
    traces: Traces,
    seed: u64,
    pub(crate) partitions: RefCell<GroupTable<Rc<Partition<H>>>>,
    pub(crate) control: Option<Control<H>>,
    pub(crate) view: RefCell<MetadataView>,
    /// Groups with something for the journal, gathered until [`Shard::flush`].
    dirty: RefCell<Vec<GroupId>>,
    committed: RefCell<Vec<Entry>>,
    slab: RefCell<BytesMut>,
    unflushed_bytes: Cell<usize>,
    /// Groups of deleted topics whose files are not purged yet.
    retiring: RefCell<BTreeMap<TopicId, Vec<Rc<GroupLog<H>>>>>,
    /// Deleted topics that a task of this shard is purging.
    pub(crate) purging: RefCell<BTreeSet<TopicId>>,
    /// Woken whenever commits were applied, for those who wait for more than one entry.
    pub(crate) progress: Notify,
    pub(crate) closing: Cell<bool>,
    ended: Cell<bool>,
    /// The largest batch that this directory's journal takes.
    batch_bytes_max: usize,
}

impl<H: Host> Shard<H> {
    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The node's limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The core's door to the machine.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The shard's log, for its figures.
    pub fn log(&self) -> &ShardLog<H> {
        &self.log
    }

    /// The control groups, on shard 0.
    pub fn control(&self) -> Option<&Control<H>> {
        self.control.as_ref()
    }

    /// The metadata as this shard knows it.
    pub fn view(&self) -> MetadataView {
        self.view.borrow().clone()
    }

    /// A partition of this shard.
    ///
    /// # Errors
    /// [`Code::WrongShard`] with the owner's number, or [`Code::UnknownTopic`].
    pub fn partition(&self, group: GroupId) -> Result<Rc<Partition<H>>> {
        if let Some(partition) = self.partitions.borrow().get(&group) {
            return Ok(partition.clone());
        }
        Err(match self.view.borrow().home(group) {
            Some(place) if place.shard != self.id => Error::new(
                Code::WrongShard,
                format!("group {group} lives on shard {}: connect with that shard wanted", place.shard),
            ),
            Some(_) => {
                Error::new(Code::NotReady, format!("group {group} is being made: try again after a moment"))
            }
            None => {
                Error::new(Code::UnknownTopic, format!("there is no group {group}: refresh the metadata"))
            }
        })
    }

    /// All partitions, by group.
    pub fn partitions(&self) -> Vec<Rc<Partition<H>>> {
        let partitions = self.partitions.borrow();
        sorted_keys(&partitions).iter().map(|group| partitions[group].clone()).collect()
    }

    /// Whether the shard takes another append of this size now; else wait with [`Shard::wait_room`].
    pub fn admits(&self, bytes: usize) -> bool {
        self.log.admits(bytes + BLOCK_BYTES)
    }

    /// Waits until appends are durable or the journal has room; may wake early.
    pub async fn wait_room(&self) {
        self.log.wait_room().await;
    }

    /// Appends a batch: checked, given offsets and proposed at once, so that order is fixed when this returns.
    /// Nothing is written before [`Shard::flush`]. The answer comes through `ack`, unless `acks` is none or this
    /// fails.
    ///
    /// # Errors
    /// What is wrong with the batch, the partition or the moment, with its code.
    pub fn produce(&self, group: GroupId, batch: BytesMut, acks: Acks, ack: Option<Ack>) -> Result<()> {
        let partition = self.partition(group)?;
        if !self.admits(batch.len()) {
            return Err(Error::new(Code::Busy, "the journal is waiting for room: send again after a moment"));
        }
        if batch.len() > self.batch_bytes_max {
            return Err(Error::new(
                Code::BatchTooLarge,
                format!(
                    "{} bytes are more than this directory's journal takes: {}",
                    batch.len(),
                    self.batch_bytes_max
                ),
            ));
        }
        let ack = ack.filter(|_| acks != Acks::None).map(|ack| (acks, ack));
        let bytes = batch.len();
        let now = UnixMillis(self.host.wall_ms());
        let full = self.log.is_full();
        if partition.produce(batch, now, &self.limits, full, |batch| self.share(batch), ack)? {
            self.mark(&partition);
            self.unflushed_bytes.set(self.unflushed_bytes.get() + bytes);
            if self.unflushed_bytes.get() > UNFLUSHED_BYTES_MAX {
                self.flush();
            }
        }
        Ok(())
    }

    /// Freezes a received batch: large ones as they are, small ones packed into a slab of their own kind.
    fn share(&self, batch: BytesMut) -> Bytes {
        if batch.len() >= SHARE_BYTES_MIN {
            return batch.freeze();
        }
        let mut slab = self.slab.borrow_mut();
        if slab.capacity() - slab.len() < batch.len() {
            *slab = BytesMut::with_capacity(SLAB_BYTES);
        }
        slab.extend_from_slice(&batch);
        slab.split().freeze()
    }

    pub(crate) fn mark(&self, partition: &Partition<H>) {
        if !partition.dirty.replace(true) {
            self.dirty.borrow_mut().push(partition.group());
        }
    }

    pub(crate) fn mark_state<M: StateMachine>(&self, group: &StateGroup<H, M>) {
        if !group.dirty.replace(true) {
            self.dirty.borrow_mut().push(group.log.group());
        }
    }

    /// Hands everything proposed since the last flush to the journal: one append per group.
    pub fn flush(&self) {
        self.unflushed_bytes.set(0);
        let mut dirty = self.dirty.take();
        for group in dirty.drain(..) {
            if group.is_state() {
                self.flush_state(group);
            } else if let Some(partition) = self.partitions.borrow().get(&group) {
                partition.dirty.set(false);
                self.write_ready(&partition.log, &partition.driver);
                partition.ack_memory();
            }
        }
        let mut now = self.dirty.borrow_mut();
        if now.is_empty() {
            *now = dirty;
        }
    }

    fn flush_state(&self, group: GroupId) {
        let control = self.control.as_ref().expect("only the control shard has state groups");
        if group == GroupId::METADATA {
            control.metadata.dirty.set(false);
            self.write_ready(&control.metadata.log, &control.metadata.driver);
        } else {
            control.positions.dirty.set(false);
            self.write_ready(&control.positions.log, &control.positions.driver);
        }
    }

    fn write_ready(&self, log: &GroupLog<H>, driver: &RefCell<Option<Driver>>) {
        if let Some(driver) = driver.borrow_mut().as_mut() {
            self.take_readys(log, driver);
        }
    }

    fn take_readys(&self, log: &GroupLog<H>, driver: &mut Driver) {
        while let Some(ready) = driver.take_ready() {
            debug_assert!(ready.send.is_empty(), "a sole voter has nobody to send to");
            if !ready.write.is_empty() {
                self.log.write(log, ready.number, &ready.write);
            }
        }
    }

    /// A Ready is durable (or none is meant): what is committed is applied. Returns the last applied index, if
    /// there is one.
    fn advance(
        &self,
        log: &Rc<GroupLog<H>>,
        driver: &RefCell<Option<Driver>>,
        number: Option<u64>,
        mut committed: impl FnMut(&Entry),
    ) -> Option<u64> {
        let mut entries = self.committed.take();
        let mut driver = driver.borrow_mut();
        if let Some(driver) = driver.as_mut() {
            if let Some(number) = number {
                driver.persisted(number);
            }
            self.take_readys(log, driver);
            driver.take_committed(&mut entries);
        }
        for entry in &entries {
            self.log.apply(log, entry);
        }
        let last = entries.last().map(|entry| entry.index);
        if let (Some(driver), Some(last)) = (driver.as_mut(), last) {
            log.set_conf(driver.conf().clone());
            driver.applied(last);
        }
        drop(driver);
        entries.iter().for_each(&mut committed);
        entries.clear();
        *self.committed.borrow_mut() = entries;
        last.map(|index| index.0)
    }

    fn advance_partition(&self, partition: &Rc<Partition<H>>, number: Option<u64>) {
        let mut log_start = None;
        let last = self.advance(&partition.log, &partition.driver, number, |entry| {
            log_start = log_start.max(partition.committed(entry));
        });
        if let Some(last) = last {
            partition.advanced(last);
        }
        if let Some(to) = log_start {
            self.log_start_moved(partition, to);
        }
    }

    /// Lets go of stored records below a log start that has moved, in the background.
    fn log_start_moved(&self, partition: &Rc<Partition<H>>, to: Offset) {
        partition.log.move_log_start(to);
        let (host, log, partition) = (self.host.clone(), self.log.clone(), partition.clone());
        // Nobody waits: what a crash leaves over is found and deleted at the next start.
        drop(self.host.spawn(async move {
            let Some(segments) = partition.log.segments() else { return };
            let before = segments.segments();
            match segments.trim(&host, to).await {
                Ok(()) => log.note_deleted(before.saturating_sub(segments.segments())),
                Err(error) => {
                    tracing::warn!(group = partition.group().0, %error, "trimmed segments are not deleted yet");
                }
            }
        }));
    }

    fn advance_state<M: StateMachine>(&self, group: &StateGroup<H, M>, number: Option<u64>) {
        self.advance(&group.log, &group.driver, number, |entry| group.committed(entry));
    }

    /// Moves a partition's log start; the records below are gone for readers once this is committed.
    ///
    /// # Errors
    /// [`Code::OffsetOutOfRange`] above the high watermark, or what a produce would answer.
    pub async fn trim(&self, group: GroupId, before: Offset) -> Result<Offset> {
        let partition = self.partition(group)?;
        if before > partition.high_watermark() {
            return Err(Error::new(
                Code::OffsetOutOfRange,
                format!("offset {before} is above the high watermark {}", partition.high_watermark()),
            ));
        }
        if before > partition.log_start() {
            partition.propose_command(move_log_start_command(before))?;
            self.mark(&partition);
            self.flush();
        }
        while partition.log_start() < before {
            if partition.closed.get() || self.closing.get() {
                return Err(Error::new(Code::Closed, "the partition went away while its log start moved"));
            }
            self.progress.notified().await;
        }
        Ok(partition.log_start())
    }

    /// Waits until the journal has written everything that was queued when [`Shard::close`] was called.
    pub async fn ended(&self) {
        while !self.ended.get() {
            self.progress.notified().await;
        }
    }

    /// Ends the shard's tasks once what is queued is durable.
    pub fn close(&self) {
        self.closing.set(true);
        self.log.close();
        self.progress.notify_all();
    }
}

impl<H: Host> LogEvents for Shard<H> {
    fn durable(&self, readys: &[(GroupId, u64)]) {
        for &(group, number) in readys {
            let number = Some(number);
            match (group, &self.control) {
                (GroupId::METADATA, Some(control)) => self.advance_state(&control.metadata, number),
                (GroupId::POSITIONS, Some(control)) => self.advance_state(&control.positions, number),
                _ => {
                    let partition = self.partitions.borrow().get(&group).cloned();
                    if let Some(partition) = partition {
                        self.advance_partition(&partition, number);
                    }
                }
            }
        }
        self.progress.notify_all();
    }

    fn machine_snapshot(&self, group: GroupId) -> Option<Bytes> {
        match (group, &self.control) {
            (GroupId::METADATA, Some(control)) => Some(control.metadata.snapshot()),
            (GroupId::POSITIONS, Some(control)) => Some(control.positions.snapshot()),
            _ => Some(self.partitions.borrow().get(&group)?.producers_snapshot()),
        }
    }

    fn checkpointed(&self, group: GroupId, point: Point) {
        let compact = |driver: &RefCell<Option<Driver>>| {
            if let Some(driver) = driver.borrow_mut().as_mut() {
                driver.compact(point.clone());
            }
        };
        match (group, &self.control) {
            (GroupId::METADATA, Some(control)) => compact(&control.metadata.driver),
            (GroupId::POSITIONS, Some(control)) => compact(&control.positions.driver),
            _ => {
                if let Some(partition) = self.partitions.borrow().get(&group) {
                    compact(&partition.driver);
                }
            }
        }
    }

    fn roll_limits(&self, group: GroupId) -> RollLimits {
        match self.partitions.borrow().get(&group) {
            Some(partition) => {
                let settings = partition.settings();
                RollLimits {
                    segment_bytes: settings.segment_bytes(&self.limits),
                    segment_ms: settings.segment_ms(),
                }
            }
            None => RollLimits { segment_bytes: self.limits.segment_bytes, segment_ms: u64::MAX },
        }
    }
}
