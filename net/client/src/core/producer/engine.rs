//! The producer's engine: places records in lines, sends lines' batches to the shards that own them, and reports each
//! record's fate. The order of records of a partition is the order of calls. Never loses a record without a word.

use crate::core::agenda::Agenda;
use crate::core::calls::{CallId, OnLoss, Route, expired, is_passing};
use crate::core::chance::Backoff;
use crate::core::moment::{Moment, earlier};
use crate::core::producer::flushes::Flushes;
use crate::core::producer::line::{Finished, Identity, Line};
use crate::core::producer::settings::ProducerSettings;
use crate::core::producer::values::{Done, RecordRef};
use crate::core::routes::Lookup;
use crate::core::session::{Engine, Notice, Session};
use crate::record::{NewRecord, RecordMetadata};
use crate::settings::Settings;
use bytes::{Buf, Bytes};
use flumen_model::partitioner::{self, Sticky};
use flumen_model::{Code, Error, GroupId, PartitionNumber, Result, ShardId, TopicId};
use flumen_wire::{Acks, InitProducerRequest, ProduceReply, decode_reply};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

/// A connection that has so much to write gets no more.
const OUTGOING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a record is in no line yet.
enum Obstacle {
    /// Routes, identity or room must come first.
    NotYet,
    /// It never will be.
    Never(Error),
}

#[derive(Debug)]
struct Waiting {
    record: NewRecord,
    tag: u64,
    since: Moment,
}

/// A line and where it belongs.
#[derive(Debug)]
struct Homed {
    line: Line,
    topic: Arc<str>,
    topic_id: TopicId,
    partition: PartitionNumber,
    /// Where its batches in flight are. Never on two shards at once: their order would be anybody's guess.
    shard: ShardId,
}

/// A producer without a machine.
#[derive(Debug)]
pub struct ProducerEngine {
    session: Session,
    settings: ProducerSettings,
    lines: BTreeMap<GroupId, Homed>,
    agenda: Agenda<GroupId>,
    /// Batches in flight on each shard's connection, in order.
    flights: BTreeMap<ShardId, VecDeque<(u32, GroupId)>>,
    waiting: VecDeque<Waiting>,
    stickies: BTreeMap<Arc<str>, Sticky>,
    identity: Option<Identity>,
    identity_call: Option<CallId>,
    buffered_bytes: usize,
    /// A connection had too much to write for more.
    congested: bool,
    next_batch: u64,
    flushes: Flushes,
    /// Records taken, and of those the ones that are in lines or finished.
    taken: u64,
    placed: u64,
    done: VecDeque<Done>,
}

impl ProducerEngine {
    /// A producer without a record.
    pub fn new(settings: Settings, producer: ProducerSettings) -> Result<ProducerEngine> {
        producer.check()?;
        // Tells early when this build lacks the codec.
        Line::new(&producer, Backoff::new(&settings), None)?;
        Ok(ProducerEngine {
            session: Session::new(settings)?,
            settings: producer,
            lines: BTreeMap::new(),
            agenda: Agenda::default(),
            flights: BTreeMap::new(),
            waiting: VecDeque::new(),
            stickies: BTreeMap::new(),
            identity: None,
            identity_call: None,
            buffered_bytes: 0,
            congested: false,
            next_batch: 0,
            flushes: Flushes::default(),
            taken: 0,
            placed: 0,
            done: VecDeque::new(),
        })
    }

    /// Takes a record; [`ProducerEngine::next_done`] tells its fate under `tag`. Step afterwards.
    pub fn send(&mut self, record: &RecordRef<'_>, tag: u64, now: Moment) {
        self.taken += 1;
        let placed = match self.waiting.is_empty() {
            true => self.place(record, tag, now),
            false => Err(Obstacle::NotYet),
        };
        match placed {
            Ok(()) => self.placed += 1,
            Err(Obstacle::Never(error)) => self.refuse(tag, error),
            Err(Obstacle::NotYet) => {
                self.waiting.push_back(Waiting { record: record.keep(), tag, since: now })
            }
        }
    }

    /// Sends what is gathered without waiting for more; `Flushed` tells when all records taken before have their fate.
    pub fn flush(&mut self, tag: u64) {
        self.flushes.begin(tag, self.taken);
    }

    /// Whether another record would be placed at once. Senders that wait for this keep the buffer bounded.
    pub fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.buffered_bytes < self.settings.buffer_bytes_max
    }

    /// What a caller waited for.
    pub fn next_done(&mut self) -> Option<Done> {
        self.done.pop_front()
    }

    fn refuse(&mut self, tag: u64, error: Error) {
        self.placed += 1;
        self.done.push_back(Done::Record { tag, result: Err(error) });
    }

    fn place(&mut self, record: &RecordRef<'_>, tag: u64, now: Moment) -> std::result::Result<(), Obstacle> {
        if self.settings.idempotence && self.identity.is_none() {
            self.session.routes().topic(record.topic);
            self.ask_identity(now);
            return Err(Obstacle::NotYet);
        }
        if self.buffered_bytes > 0 && self.buffered_bytes + record.bytes() > self.settings.buffer_bytes_max {
            return Err(Obstacle::NotYet);
        }
        let group = self.choose(record)?;
        let homed = self.lines.get_mut(&group).expect("the chosen group has a line");
        let batches_before = self.next_batch;
        let appended = homed.line.append(record, tag, now, &mut self.next_batch);
        self.flushes.batches_closed(batches_before..self.next_batch);
        self.buffered_bytes += appended.map_err(Obstacle::Never)?;
        self.agenda.schedule(group, now);
        Ok(())
    }

    /// The group that a record goes to; it has a line then.
    fn choose(&mut self, record: &RecordRef<'_>) -> std::result::Result<GroupId, Obstacle> {
        let chance = self.session.chance().next();
        let topic = match self.session.routes().topic(record.topic) {
            Lookup::Known(topic) => topic,
            Lookup::Asked => return Err(Obstacle::NotYet),
            Lookup::Absent => return Err(Obstacle::Never(no_topic(record.topic))),
        };
        let count = NonZeroU32::new(topic.partitions.len() as u32)
            .ok_or_else(|| Obstacle::Never(no_topic(record.topic)))?;
        let number = match (record.partition, record.key) {
            (Some(number), _) => number,
            (None, Some(key)) => partitioner::of_key(key, count),
            (None, None) => {
                let sticky = self.stickies.entry(topic.name.clone());
                let sticky = sticky.or_insert_with(|| Sticky::new(self.settings.batch_bytes));
                sticky.pick(count, record.bytes(), chance)
            }
        };
        let Some(group) = topic.group(number) else {
            // It may have got more partitions, or be another topic of that name: the next try knows.
            self.session.routes().distrust();
            return Err(Obstacle::Never(no_partition(record.topic, number, count)));
        };
        if !self.lines.contains_key(&group) {
            let (topic, topic_id) = (topic.name.clone(), topic.id);
            let backoff = Backoff::new(self.session.settings());
            let line = Line::new(&self.settings, backoff, self.identity).map_err(Obstacle::Never)?;
            self.lines.insert(group, Homed { line, topic, topic_id, partition: number, shard: ShardId(0) });
        }
        Ok(group)
    }

    fn ask_identity(&mut self, now: Moment) {
        if self.identity_call.is_none() {
            let route = Route::Shard(ShardId(0));
            self.identity_call = Some(self.session.call(InitProducerRequest {}, route, OnLoss::Again, now));
        }
    }

    fn schedule_all(&mut self, now: Moment) {
        self.lines.keys().for_each(|group| self.agenda.schedule(*group, now));
    }

    fn take_notice(&mut self, notice: Notice, now: Moment) {
        match notice {
            Notice::Up => self.schedule_all(now),
            Notice::Down(shard) => self.lost(shard, now),
            Notice::Refused(error) => self.refuse_waiting(&error),
            Notice::Routes => self.check_homes(now),
            Notice::Appended { shard, correlation, result } => self.appended(shard, correlation, result, now),
            Notice::Answered { call, result } if self.identity_call == Some(call) => {
                self.identified(result, now)
            }
            // A producer asks and subscribes to nothing else.
            Notice::Answered { .. } | Notice::Reply { .. } | Notice::Push { .. } | Notice::PushEnd { .. } => {
            }
        }
    }

    fn lost(&mut self, shard: ShardId, now: Moment) {
        let flights = self.flights.remove(&shard).unwrap_or_default();
        let groups: BTreeSet<GroupId> = flights.into_iter().map(|(_, group)| group).collect();
        for group in groups {
            if let Some(homed) = self.lines.get_mut(&group) {
                homed.line.lost();
            }
        }
        // Whoever has something to send asks for the link again.
        self.schedule_all(now);
    }

    /// The routes are new: lines whose topic is gone end.
    fn check_homes(&mut self, now: Moment) {
        let routes = self.session.routes();
        let lives = |group: &GroupId, homed: &Homed| {
            let topic = routes.known(&homed.topic).filter(|topic| topic.id == homed.topic_id);
            topic.is_some_and(|topic| topic.group(homed.partition) == Some(*group))
        };
        let gone: Vec<GroupId> = self
            .lines
            .iter()
            .filter(|(group, homed)| !lives(group, homed))
            .map(|(group, _)| *group)
            .collect();
        for group in gone {
            self.end_line(group);
        }
        self.schedule_all(now);
    }

    fn end_line(&mut self, group: GroupId) {
        let Some(mut homed) = self.lines.remove(&group) else { return };
        self.agenda.remove(group);
        let mut finished = Vec::new();
        let again = self.session.routes().known(&homed.topic).is_some_and(|topic| topic.id != homed.topic_id);
        let error = if again { another_topic(&homed.topic) } else { no_topic(&homed.topic) };
        homed.line.fail(&error, &mut finished);
        finished.into_iter().for_each(|one| self.finish(&homed.topic, homed.partition, one));
    }

    fn appended(&mut self, shard: ShardId, correlation: u32, result: Result<ProduceReply>, now: Moment) {
        let flight = self.flights.get_mut(&shard).and_then(VecDeque::pop_front);
        let (sent, group) = flight.expect("an answer is to a batch that was sent");
        assert_eq!(sent, correlation, "answers come in the order of the requests");
        let Some(homed) = self.lines.get_mut(&group) else { return };
        let (finished, misrouted) = homed.line.answered(correlation, result, now, self.session.chance());
        if let Some(finished) = finished {
            let (topic, partition) = (homed.topic.clone(), homed.partition);
            self.finish(&topic, partition, finished);
        }
        if misrouted {
            self.session.routes().distrust();
        }
        self.agenda.schedule(group, now);
    }

    fn identified(&mut self, result: Result<Bytes>, now: Moment) {
        self.identity_call = None;
        match result.and_then(|body| decode_reply::<InitProducerRequest>(&body)) {
            Ok(reply) => {
                let (producer_id, producer_epoch) = (reply.producer_id, reply.producer_epoch);
                self.identity = Some(Identity { producer_id, producer_epoch });
                self.schedule_all(now);
            }
            // Whoever waits has a deadline of its own.
            Err(error) if is_passing(&error) => self.ask_identity(now),
            Err(error) => self.refuse_waiting(&error),
        }
    }

    fn refuse_waiting(&mut self, error: &Error) {
        while let Some(waiting) = self.waiting.pop_front() {
            self.refuse(waiting.tag, error.clone());
        }
    }

    /// Tells a batch's callers.
    fn finish(&mut self, topic: &Arc<str>, partition: PartitionNumber, finished: Finished) {
        self.buffered_bytes -= finished.weight;
        self.flushes.batch_finished(finished.batch);
        for (place, tag) in finished.tags.into_iter().enumerate() {
            let result = finished.result.as_ref().map_err(Error::clone).map(|found| RecordMetadata {
                topic: topic.clone(),
                partition,
                offset: found.base_offset.map(|base| base.plus(place as u64)),
                append_time: found.append_time,
            });
            self.done.push_back(Done::Record { tag, result });
        }
    }

    fn place_waiting(&mut self, now: Moment) {
        let timeout = self.session.settings().delivery_timeout;
        while let Some(first) = self.waiting.pop_front() {
            if first.since.plus(timeout) <= now {
                let why = self.session.trouble(ShardId(0));
                let error = expired("the record found no room or no route in time; it is not appended", why);
                self.refuse(first.tag, error);
                continue;
            }
            match self.place_owned(&first.record, first.tag, now) {
                Ok(()) => self.placed += 1,
                Err(Obstacle::Never(error)) => self.refuse(first.tag, error),
                Err(Obstacle::NotYet) => return self.waiting.push_front(first),
            }
        }
    }

    fn place_owned(
        &mut self,
        record: &NewRecord,
        tag: u64,
        now: Moment,
    ) -> std::result::Result<(), Obstacle> {
        let headers: Vec<_> =
            record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
        let record = RecordRef {
            topic: &record.topic,
            partition: record.partition,
            timestamp: record.timestamp.expect("set when it was taken"),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        self.place(&record, tag, now)
    }

    fn run_agenda(&mut self, now: Moment) {
        while let Some(group) = self.agenda.take_due(now) {
            self.run_line(group, now);
        }
    }

    fn run_line(&mut self, group: GroupId, now: Moment) {
        let timeout = self.session.settings().delivery_timeout;
        self.expire(group, now);
        self.renew(group, now);
        while self.send_one(group, now) {}
        if let Some(next) = self.lines[&group].line.deadline(now, timeout) {
            self.agenda.schedule(group, next);
        }
    }

    fn expire(&mut self, group: GroupId, now: Moment) {
        let timeout = self.session.settings().delivery_timeout;
        let shard = self.session.routes().shard(group).unwrap_or(ShardId(0));
        let why = self.session.trouble(shard);
        let homed = self.lines.get_mut(&group).expect("a scheduled line is there");
        let mut late = Vec::new();
        homed.line.expire(now, timeout, why, &mut late);
        let (topic, partition) = (homed.topic.clone(), homed.partition);
        late.into_iter().for_each(|one| self.finish(&topic, partition, one));
    }

    fn renew(&mut self, group: GroupId, now: Moment) {
        let homed = self.lines.get_mut(&group).expect("a scheduled line is there");
        let Some(old) = homed.line.wants_identity() else { return };
        match self.identity.filter(|identity| *identity != old) {
            Some(fresh) => homed.line.renew(fresh),
            None => self.ask_identity(now),
        }
    }

    /// Sends the line's next batch, if there is one and a way.
    fn send_one(&mut self, group: GroupId, now: Moment) -> bool {
        let homed = self.lines.get_mut(&group).expect("a scheduled line is there");
        let batches_before = self.next_batch;
        let offered = homed.line.offer(now, &mut self.next_batch);
        self.flushes.batches_closed(batches_before..self.next_batch);
        let Some((place, batch)) = offered else { return false };
        let Some(shard) = self.session.routes().shard(group) else {
            self.session.routes().distrust();
            return false;
        };
        if homed.shard != shard && homed.line.in_flight() > 0 {
            // Their answers, or their loss, come first.
            return false;
        }
        homed.shard = shard;
        let Some(connection) = self.session.link(shard, now) else { return false };
        if connection.outgoing().remaining() >= OUTGOING_BYTES_MAX {
            self.congested = true;
            return false;
        }
        let correlation = connection.send_batch(group, self.settings.acks, batch);
        let finished = homed.line.sent(place, correlation);
        if self.settings.acks != Acks::None {
            self.flights.entry(shard).or_default().push_back((correlation, group));
        }
        if let Some(finished) = finished {
            let (topic, partition) = (homed.topic.clone(), homed.partition);
            self.finish(&topic, partition, finished);
        }
        true
    }

    fn run_flushes(&mut self, now: Moment) {
        if self.flushes.must_close(self.placed) {
            let batches_before = self.next_batch;
            self.lines.values_mut().for_each(|homed| homed.line.hurry(&mut self.next_batch));
            self.flushes.batches_closed(batches_before..self.next_batch);
            self.flushes.closed(self.placed, self.next_batch);
            self.schedule_all(now);
        }
    }
}

impl Engine for ProducerEngine {
    fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn work(&mut self, now: Moment) {
        while let Some(notice) = self.session.next_notice(now) {
            self.take_notice(notice, now);
        }
        if std::mem::take(&mut self.congested) {
            self.schedule_all(now);
        }
        loop {
            let before = (self.placed, self.buffered_bytes);
            self.place_waiting(now);
            self.run_flushes(now);
            self.run_agenda(now);
            // What was just finished may have made room for more.
            if self.waiting.is_empty() || before == (self.placed, self.buffered_bytes) {
                break;
            }
        }
        self.session.routes().forget_absent();
        while let Some(tag) = self.flushes.next_ended() {
            self.done.push_back(Done::Flushed { tag });
        }
    }

    fn deadline(&self, now: Moment) -> Option<Moment> {
        let lines = self.agenda.first();
        let timeout = self.session.settings().delivery_timeout;
        let waiting = self.waiting.front().map(|first| first.since.plus(timeout));
        earlier(earlier(lines, waiting), self.session.deadline(now))
    }
}

#[cold]
fn no_topic(topic: &str) -> Error {
    Error::new(Code::UnknownTopic, format!("there is no topic {topic}: create it first"))
}

/// What was meant for a deleted topic does not go to its successor by itself.
#[cold]
fn another_topic(topic: &str) -> Error {
    let message = format!(
        "topic {topic} was deleted, and another of that name was made since: send again for that one"
    );
    Error::new(Code::UnknownTopic, message)
}

#[cold]
fn no_partition(topic: &str, number: PartitionNumber, count: NonZeroU32) -> Error {
    Error::new(
        Code::UnknownTopic,
        format!("topic {topic} has partitions 0 to {}, not {number}", count.get() - 1),
    )
}
