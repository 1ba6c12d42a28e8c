//! One partition on its shard: a Raft group whose log is the partition's log. It gives offsets, remembers who
//! waits for which entry, and says what may be read. It writes nothing itself: Readys go to the shard's log.

use crate::ack::{Ack, Acks, Appended, Watcher};
use crate::producers::{BatchSequence, Check, Producers};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_io::Host;
use flumen_log::{Damaged, GroupLog};
use flumen_model::batch::{self, BatchView};
use flumen_model::limits::Limits;
use flumen_model::topic::{Durability, Timestamps, TopicSettings};
use flumen_model::{Code, Error, GroupId, Offset, PartitionNumber, Result, TopicId, UnixMillis};
use flumen_replication::{Driver, Entry, EntryKind, Term};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Somebody waits for an entry to commit.
struct Waiter {
    index: u64,
    appended: Appended,
    ack: Ack,
    /// Whether memory is enough where the topic says so.
    early: bool,
}

/// Kind and version of a partition's own command that moves the log start. See FORMAT.md.
const MOVE_LOG_START: [u8; 4] = [1, 0, 1, 0];

/// The command that moves the log start.
pub(crate) fn move_log_start_command(to: Offset) -> Bytes {
    let mut out = BytesMut::with_capacity(12);
    out.put_slice(&MOVE_LOG_START);
    out.put_u64_le(to.0);
    out.freeze()
}

/// The new log start that a command names, if it is one.
pub(crate) fn log_start_of(command: &[u8]) -> Option<Offset> {
    let to = command.strip_prefix(&MOVE_LOG_START)?;
    Some(Offset(u64::from_le_bytes(to.try_into().ok()?)))
}

/// What a read from memory brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailRead {
    /// Batches were added.
    Hit,
    /// Nothing to read yet: the offset is the readable end.
    AtEnd,
    /// It is on disk: read it from there.
    OnDisk,
}

/// One partition.
pub struct Partition<H: Host> {
    pub(crate) log: Rc<GroupLog<H>>,
    pub(crate) topic: TopicId,
    pub(crate) number: PartitionNumber,
    /// `None` while acked data is missing: then it neither leads nor votes.
    pub(crate) driver: RefCell<Option<Driver>>,
    pub(crate) producers: RefCell<Producers>,
    settings: RefCell<Rc<TopicSettings>>,
    /// The offset of the next batch proposed; runs ahead of the high watermark by what is in flight.
    next_offset: Cell<Offset>,
    in_flight_bytes: Cell<usize>,
    waiters: RefCell<VecDeque<Waiter>>,
    /// Repeats whose original is still in flight; rare.
    repeats: RefCell<Vec<Waiter>>,
    watchers: RefCell<Vec<(Rc<dyn Watcher>, u64)>>,
    pub(crate) dirty: Cell<bool>,
    pub(crate) closed: Cell<bool>,
}

impl<H: Host> Partition<H> {
    pub(crate) fn new(
        log: Rc<GroupLog<H>>,
        driver: Option<Driver>,
        producers: Producers,
        settings: Rc<TopicSettings>,
    ) -> Partition<H> {
        let (topic, number) = (log.state().topic, log.state().partition);
        let next_offset = Cell::new(log.high_watermark());
        Partition {
            log,
            topic,
            number,
            driver: RefCell::new(driver),
            producers: RefCell::new(producers),
            settings: RefCell::new(settings),
            next_offset,
            in_flight_bytes: Cell::new(0),
            waiters: RefCell::default(),
            repeats: RefCell::default(),
            watchers: RefCell::default(),
            dirty: Cell::new(false),
            closed: Cell::new(false),
        }
    }

    /// The group's id.
    pub fn group(&self) -> GroupId {
        self.log.group()
    }

    /// The topic's id.
    pub fn topic(&self) -> TopicId {
        self.topic
    }

    /// The partition's number within its topic.
    pub fn number(&self) -> PartitionNumber {
        self.number
    }

    /// The topic's settings now.
    pub fn settings(&self) -> Rc<TopicSettings> {
        self.settings.borrow().clone()
    }

    pub(crate) fn set_settings(&self, settings: Rc<TopicSettings>) {
        *self.settings.borrow_mut() = settings;
    }

    /// The damage that keeps it read-only.
    pub fn damaged(&self) -> Option<Damaged> {
        self.log.damaged()
    }

    /// Readers see records below this offset: what is committed and not damaged. Never below the log start.
    pub fn high_watermark(&self) -> Offset {
        let committed = self.log.high_watermark();
        self.damaged().map_or(committed, |damaged| committed.min(damaged.from).max(self.log_start()))
    }

    /// Notes that stored records from an offset on cannot be served: from now on it is read-only up to there. What
    /// is in flight is still acked when it is durable. True when that is news; durable with the next checkpoint.
    pub(crate) fn note_rot(&self, from: Offset) -> bool {
        let is_news = self.log.note_rot(from);
        if is_news {
            self.wake_watchers();
        }
        is_news
    }

    /// Records below are deleted.
    pub fn log_start(&self) -> Offset {
        self.log.log_start()
    }

    /// The offset behind everything proposed.
    pub fn log_end(&self) -> Offset {
        self.next_offset.get()
    }

    /// The leader's term, Kafka's leader epoch.
    pub fn leader_epoch(&self) -> Term {
        self.driver.borrow().as_ref().map_or(self.log.state().hard_state.term, Driver::term)
    }

    /// Stored bytes, spread or in memory.
    pub fn bytes(&self) -> u64 {
        self.log.segments().map_or(0, |segments| segments.stored_bytes())
    }

    /// Whether this node leads the partition and has applied everything from before its term: then every acked
    /// record is readable.
    pub fn is_serving(&self) -> bool {
        let driver = self.driver.borrow();
        driver
            .as_ref()
            .is_some_and(|driver| driver.is_leader() && self.log.state().start.term == driver.term())
    }

    /// Remembers the sequences of entries that recovery found behind what is known to be committed.
    pub(crate) fn prepare_recovered(&self, entries: &[Entry]) {
        let mut producers = self.producers.borrow_mut();
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Batch) {
            let view =
                BatchView::parse(&entry.data).expect("a stored batch was validated when it was proposed");
            if let Some(sequence) = sequence_of(&view) {
                producers.prepare(entry.index.0, &sequence, view.base_offset(), view.max_timestamp());
            }
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.get() {
            return Err(Error::new(
                Code::UnknownTopic,
                format!("the topic of group {} was deleted", self.group()),
            ));
        }
        Ok(())
    }

    /// Why no batch can be appended now, if so.
    fn check_writable(&self, full: bool) -> Result<()> {
        self.check_open()?;
        if let Some(damaged) = self.damaged() {
            return Err(Error::new(
                Code::Corrupt,
                format!(
                    "acked records from offset {} on are damaged: the partition is read-only; see `flumen check`, then `flumen repair`",
                    damaged.from
                ),
            ));
        }
        if full {
            return Err(Error::new(
                Code::DiskFull,
                "the disk is full: delete topics, shorten retention or add space; reads go on",
            ));
        }
        Ok(())
    }

    /// Checks a batch, gives it its offsets and proposes it. The answer comes through `ack`. Returns whether the
    /// shard has a new Ready to write.
    pub(crate) fn produce(
        &self,
        mut batch: BytesMut,
        now: UnixMillis,
        limits: &Limits,
        full: bool,
        share: impl FnOnce(BytesMut) -> Bytes,
        ack: Option<(Acks, Ack)>,
    ) -> Result<bool> {
        self.check_writable(full)?;
        let settings = self.settings.borrow();
        let view = batch::validate_produced(&batch, settings.batch_bytes_max(limits))?;
        let count = view.record_count();
        let sequence = sequence_of(&view);
        if self.in_flight_bytes.get() + batch.len() > limits.uncommitted_bytes_per_group_max {
            return Err(Error::new(
                Code::Busy,
                "too many bytes in flight on this partition: send again after an ack",
            ));
        }
        let stamp = (settings.timestamps() == Timestamps::AppendTime).then_some(now);
        let timestamp = stamp.unwrap_or(view.max_timestamp());
        if let Some(sequence) = &sequence
            && let Check::Duplicate { base_offset, timestamp, pending } =
                self.producers.borrow().check(sequence)?
        {
            let append_time = stamp.map(|_| timestamp);
            self.answer_repeat(
                Appended { base_offset, append_time, log_start: self.log_start() },
                pending,
                ack,
            );
            return Ok(false);
        }
        let mut driver = self.driver.borrow_mut();
        let driver = driver.as_mut().filter(|driver| driver.is_leader()).ok_or_else(|| {
            Error::new(Code::NotReady, "the partition has no leader yet: send again after a moment")
        })?;
        let base_offset = self.next_offset.get();
        if let Some(now) = stamp {
            batch::stamp_append_time(&mut batch, now);
        }
        batch::assign(&mut batch, base_offset, driver.term().0);
        let bytes = batch.len();
        let index = driver.propose(EntryKind::Batch, share(batch)).map_err(|_| {
            Error::new(Code::NotLeader, "this node does not lead the partition: refresh the metadata")
        })?;
        if let Some(sequence) = &sequence {
            self.producers.borrow_mut().prepare(index.0, sequence, base_offset, timestamp);
        }
        self.next_offset.set(base_offset.plus(u64::from(count)));
        self.in_flight_bytes.set(self.in_flight_bytes.get() + bytes);
        if let Some((acks, ack)) = ack {
            let early = acks == Acks::Quorum;
            let appended = Appended { base_offset, append_time: stamp, log_start: self.log.log_start() };
            self.waiters.borrow_mut().push_back(Waiter { index: index.0, appended, ack, early });
        }
        Ok(true)
    }

    fn answer_repeat(&self, appended: Appended, pending: Option<u64>, ack: Option<(Acks, Ack)>) {
        match (ack, pending) {
            (Some((acks, ack)), Some(index)) => {
                let early = acks == Acks::Quorum;
                self.repeats.borrow_mut().push(Waiter { index, appended, ack, early });
            }
            (Some((_, ack)), None) => ack.done(Ok(appended)),
            (None, _) => {}
        }
    }

    /// The producers' table for a checkpoint; nothing when there are none.
    pub(crate) fn producers_snapshot(&self) -> Bytes {
        let producers = self.producers.borrow();
        let mut out = BytesMut::new();
        if !producers.is_empty() {
            producers.snapshot(&mut out);
        }
        out.freeze()
    }

    /// Proposes one of the partition's own commands.
    pub(crate) fn propose_command(&self, command: Bytes) -> Result<()> {
        self.check_open()?;
        let mut driver = self.driver.borrow_mut();
        let driver = driver.as_mut().filter(|_| self.damaged().is_none()).ok_or_else(|| {
            Error::new(
                Code::Corrupt,
                "acked records are damaged: the partition is read-only; see `flumen check`",
            )
        })?;
        driver.propose(EntryKind::Command, command).map(|_| ()).map_err(|_| {
            Error::new(Code::NotReady, "the partition has no leader yet: try again after a moment")
        })
    }

    /// Acks what waits and needs only memory: its Ready is in the journal's queue. What wants the leader's stable
    /// storage holds up those behind it, which is late but never wrong.
    pub(crate) fn ack_memory(&self) {
        if self.settings.borrow().durability() == Durability::QuorumMemory {
            self.ack_while(|waiter| waiter.early);
        }
    }

    fn ack_up_to(&self, index: u64) {
        self.ack_while(|waiter| waiter.index <= index);
    }

    fn ack_while(&self, is_due: impl Fn(&Waiter) -> bool) {
        loop {
            let next = self.waiters.borrow_mut().pop_front_if(|waiter| is_due(waiter));
            let Some(waiter) = next else { break };
            waiter.ack.done(Ok(waiter.appended));
        }
        if !self.repeats.borrow().is_empty() {
            let due: Vec<Waiter> =
                self.repeats.borrow_mut().extract_if(.., |waiter| is_due(waiter)).collect();
            due.into_iter().for_each(|waiter| waiter.ack.done(Ok(waiter.appended)));
        }
    }

    /// A committed entry has gone to the log: acks and memory follow. Returns a new log start, if it is one.
    pub(crate) fn committed(&self, entry: &Entry) -> Option<Offset> {
        self.producers.borrow_mut().commit(entry.index.0);
        match entry.kind {
            EntryKind::Batch => {
                self.in_flight_bytes.set(self.in_flight_bytes.get().saturating_sub(entry.data.len()));
                None
            }
            EntryKind::Command => log_start_of(&entry.data),
            EntryKind::Conf | EntryKind::Noop => None,
        }
    }

    /// Everything up to `index` is committed: whoever waits is told, and readers may go on.
    pub(crate) fn advanced(&self, index: u64) {
        // Without leadership offsets follow the log; with it, the log follows the offsets given.
        if self.next_offset.get() < self.log.high_watermark() {
            self.next_offset.set(self.log.high_watermark());
        }
        self.ack_up_to(index);
        self.wake_watchers();
    }

    fn wake_watchers(&self) {
        for (watcher, key) in self.watchers.borrow().iter() {
            watcher.moved(*key);
        }
    }

    /// Tells everybody that the partition is gone.
    pub(crate) fn close(&self, error: &Error) {
        self.closed.set(true);
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        let repeats = std::mem::take(&mut *self.repeats.borrow_mut());
        waiters.into_iter().chain(repeats).for_each(|waiter| waiter.ack.done(Err(error.clone())));
        self.wake_watchers();
    }

    /// Tells a watcher, under its own key, whenever there may be more to read.
    pub fn watch(&self, watcher: Rc<dyn Watcher>, key: u64) {
        self.watchers.borrow_mut().push((watcher, key));
    }

    /// Ends [`Partition::watch`] of this watcher and key.
    pub fn unwatch(&self, watcher: &Rc<dyn Watcher>, key: u64) {
        self.watchers
            .borrow_mut()
            .retain(|(other, other_key)| !(Rc::ptr_eq(other, watcher) && *other_key == key));
    }

    /// Whether an offset can be read or waited for.
    ///
    /// # Errors
    /// [`Code::OffsetOutOfRange`] below the log start or above the readable end, [`Code::Corrupt`] at the damage,
    /// [`Code::UnknownTopic`] when the partition is gone.
    pub fn check_readable(&self, from: Offset) -> Result<()> {
        self.check_open()?;
        let (start, end) = (self.log_start(), self.high_watermark());
        // Whoever had read further before the damage was found is told of it too, not sent back to the start.
        if let Some(damaged) = self.damaged().filter(|damaged| from >= damaged.from.max(start)) {
            return Err(Error::new(
                Code::Corrupt,
                format!("records from offset {} on are damaged; see `flumen check`", damaged.from),
            ));
        }
        if from < start || from > end {
            return Err(Error::new(
                Code::OffsetOutOfRange,
                format!("offset {from} is outside of {start} to {end}: read from the start or the end"),
            ));
        }
        Ok(())
    }

    /// Reads from memory without waiting: clones of whole batches, at most `bytes_max` but at least one.
    ///
    /// # Errors
    /// As [`Partition::check_readable`].
    pub fn read_tail(&self, from: Offset, bytes_max: usize, out: &mut Vec<Bytes>) -> Result<TailRead> {
        self.check_readable(from)?;
        let end = self.high_watermark();
        if from == end {
            return Ok(TailRead::AtEnd);
        }
        let segments = self.log.segments().expect("a partition with records has segments");
        match segments.cached(from, end, bytes_max, out) {
            // Where the last records were given up, there is nothing although the end lies further on.
            true if out.is_empty() => Ok(TailRead::AtEnd),
            true => Ok(TailRead::Hit),
            false => Ok(TailRead::OnDisk),
        }
    }
}

/// The place of a batch in its producer's sequence, if it has one.
pub(crate) fn sequence_of(view: &BatchView<'_>) -> Option<BatchSequence> {
    view.producer_id().map(|producer| BatchSequence {
        producer,
        epoch: view.producer_epoch(),
        base_sequence: view.base_sequence(),
        count: view.last_offset_delta() + 1,
    })
}
