//! The subscriber's engine: finds out where each partition begins, subscribes at its owner, allows more as records are
//! read, and goes on without a gap or a repeat after every loss. Records of a partition come in order.

mod committing;
mod placing;

use crate::core::agenda::Agenda;
use crate::core::calls::{CallId, is_passing};
use crate::core::chance::Backoff;
use crate::core::moment::{Moment, earlier};
use crate::core::session::{Engine, Notice, Session};
use crate::core::subscriber::open;
use crate::core::subscriber::part::{Part, Phase};
use crate::core::subscriber::settings::{OutOfRange, Start, SubscriberSettings, Target};
use crate::record::Record;
use crate::settings::Settings;
use bytes::Bytes;
use committing::Commits;
use flumen_model::{Code, Error, GroupId, Kind, Offset, PartitionNumber, Result, ShardId};
use flumen_wire::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a reader gets.
#[derive(Debug)]
pub enum Read {
    /// The next record.
    Record(Record),
    /// A partition has ended, or a topic cannot be read, and why. Others go on.
    Error(Error),
}

/// A partition by its place among the parts.
type PartId = usize;

/// A subscriber without a machine.
#[derive(Debug)]
pub struct SubscriberEngine {
    session: Session,
    settings: SubscriberSettings,
    /// Topics all of whose partitions are wanted and whose number is not known yet.
    whole_topics: Vec<Arc<str>>,
    parts: Vec<Part>,
    agenda: Agenda<PartId>,
    handles: BTreeMap<u32, PartId>,
    last_handle: u32,
    /// Subscribe requests without an answer.
    asked: BTreeMap<(ShardId, u32), u32>,
    offset_calls: BTreeMap<CallId, PartId>,
    /// What the node keeps under the subscription's name.
    kept: Option<BTreeMap<GroupId, Offset>>,
    kept_call: Option<CallId>,
    commits: Commits,
    /// Parts with queued batches, in turn.
    ready: VecDeque<PartId>,
    /// The records of the batch that is being read, whose they are, and the offset behind it.
    records: VecDeque<Record>,
    reading: Option<(PartId, Offset)>,
    errors: VecDeque<Error>,
}

impl SubscriberEngine {
    /// A subscriber of nothing.
    pub fn new(settings: Settings, subscriber: SubscriberSettings) -> Result<SubscriberEngine> {
        subscriber.check()?;
        Ok(SubscriberEngine {
            session: Session::new(settings)?,
            settings: subscriber,
            whole_topics: Vec::new(),
            parts: Vec::new(),
            agenda: Agenda::default(),
            handles: BTreeMap::new(),
            last_handle: 0,
            asked: BTreeMap::new(),
            offset_calls: BTreeMap::new(),
            kept: None,
            kept_call: None,
            commits: Commits::default(),
            ready: VecDeque::new(),
            records: VecDeque::new(),
            reading: None,
            errors: VecDeque::new(),
        })
    }

    /// Reads all partitions of a topic too. Step afterwards.
    pub fn add_topic(&mut self, topic: &str) {
        self.whole_topics.push(topic.into());
    }

    /// Reads a partition too. Step afterwards.
    pub fn add_partition(&mut self, topic: &str, number: PartitionNumber, now: Moment) {
        if self.find(topic, number).is_none() {
            let backoff = Backoff::new(self.session.settings());
            self.parts.push(Part::new(topic.into(), number, backoff));
            self.agenda.schedule(self.parts.len() - 1, now);
        }
    }

    /// Goes on somewhere else in a partition; what is queued of it is forgotten. Step afterwards.
    pub fn seek(&mut self, topic: &str, number: PartitionNumber, to: Start, now: Moment) -> Result<()> {
        let id = self.find(topic, number).ok_or_else(|| {
            let message = format!("partition {number} of topic {topic} is not read here: add it first");
            Error::new(Code::InvalidRequest, message)
        })?;
        self.unsubscribe(id, now);
        self.move_to(id, to.into(), now);
        Ok(())
    }

    /// The next record to read of each partition of which that is known.
    pub fn positions(&self) -> Vec<(Arc<str>, PartitionNumber, Offset)> {
        let position = |part: &Part| Some((part.topic.clone(), part.number, part.position?));
        self.parts.iter().filter_map(position).collect()
    }

    /// Whether [`SubscriberEngine::next_read`] has something to look at.
    pub fn has_read(&self) -> bool {
        !self.records.is_empty() || !self.errors.is_empty() || !self.ready.is_empty()
    }

    /// The next record, if one is here. It may allow the node to push more: write what is queued afterwards.
    pub fn next_read(&mut self, now: Moment) -> Option<Read> {
        loop {
            if let Some(record) = self.records.pop_front() {
                let (id, behind) = self.reading.expect("records are some part's");
                let position = if self.records.is_empty() { behind } else { record.offset.plus(1) };
                self.parts[id].position = Some(position);
                return Some(Read::Record(record));
            }
            if let Some(error) = self.errors.pop_front() {
                return Some(Read::Error(error));
            }
            let id = self.ready.pop_front()?;
            self.open_next(id, now);
        }
    }

    /// Why some partition cannot be read just now, if its node does not answer. It is tried again without end.
    pub fn trouble(&mut self) -> Option<Error> {
        let cut_off = |part: &&Part| !matches!(part.phase, Phase::Live { .. } | Phase::Ended);
        for part in self.parts.iter().filter(cut_off) {
            let owner = part.home.and_then(|(_, group)| self.session.routes().shard(group));
            // Shard 0 tells where everything is.
            for shard in [Some(ShardId(0)), owner].into_iter().flatten() {
                if let Some(error) = self.session.trouble(shard) {
                    return Some(error.clone());
                }
            }
        }
        None
    }

    fn find(&self, topic: &str, number: PartitionNumber) -> Option<PartId> {
        self.parts.iter().position(|part| part.number == number && *part.topic == *topic)
    }

    /// Opens a part's next batch and lets the node push as much again.
    fn open_next(&mut self, id: PartId, now: Moment) {
        let part = &mut self.parts[id];
        let Some(run) = part.queue.front_mut() else { return };
        let from = part.position.expect("what is queued has a place");
        let opened = open::open_first(run, from, (&part.topic, part.number), &mut self.records);
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.records.clear();
                return self.end(id, error, now);
            }
        };
        if run.is_empty() {
            part.queue.pop_front();
        }
        part.queued_bytes -= opened.bytes;
        part.leader_epoch = opened.leader_epoch;
        self.reading = Some((id, opened.next));
        if self.records.is_empty() {
            part.position = Some(opened.next.max(from));
        }
        let credit = part.spend(opened.bytes, self.settings.credit_bytes);
        if !part.queue.is_empty() {
            self.ready.push_back(id);
        }
        if let (Some(credit_bytes), Phase::Live { shard, handle }) = (credit, part.phase)
            && let Some(connection) = self.session.link(shard, now)
        {
            let request = CreditRequest { handle, credit_bytes };
            connection.send(&request).expect("a credit is far below the frame limit");
        }
    }

    /// Ends a part's subscription at the node.
    fn unsubscribe(&mut self, id: PartId, now: Moment) {
        let Phase::Live { shard, handle } = self.parts[id].phase else { return };
        self.handles.remove(&handle);
        if let Some(connection) = self.session.link(shard, now) {
            // Its answer says nothing.
            connection.send(&UnsubscribeRequest { handle }).expect("a request is far below the frame limit");
        }
    }

    /// Begins a part anew, somewhere else.
    fn move_to(&mut self, id: PartId, target: Target, now: Moment) {
        self.drop_open(id);
        self.parts[id].go_to(target);
        self.agenda.schedule(id, now);
    }

    fn drop_open(&mut self, id: PartId) {
        self.ready.retain(|ready| *ready != id);
        if self.reading.is_some_and(|(reading, _)| reading == id) {
            self.records.clear();
            self.reading = None;
        }
    }

    /// Ends a part with an error. Its position stays.
    pub(super) fn end(&mut self, id: PartId, error: Error, now: Moment) {
        self.unsubscribe(id, now);
        self.drop_open(id);
        let part = &mut self.parts[id];
        part.queue.clear();
        part.queued_bytes = 0;
        part.phase = Phase::Ended;
        self.commits.lost(id);
        let part = &self.parts[id];
        let message = format!("partition {} of topic {}: {}", part.number, part.topic, error.message);
        self.errors.push_back(Error::new(error.code, message));
    }

    fn take_notice(&mut self, notice: Notice, now: Moment) {
        match notice {
            Notice::Up => self.schedule_all(now),
            Notice::Down(shard) => self.lost(shard, now),
            Notice::Refused(error) => {
                self.commits.end_all(&error);
                self.errors.push_back(error);
            }
            Notice::Routes => self.check_homes(now),
            Notice::Reply { shard, correlation, body } => self.subscribed(shard, correlation, &body, now),
            Notice::Push { handle, push } => self.pushed(handle, push, now),
            Notice::PushEnd { handle, error } => {
                if let Some(id) = self.handles.remove(&handle) {
                    self.refused(id, error, now);
                }
            }
            Notice::Answered { call, result } => self.answered(call, result, now),
            // A subscriber sends no batches.
            Notice::Appended { .. } => {}
        }
    }

    pub(super) fn schedule_all(&mut self, now: Moment) {
        (0..self.parts.len()).for_each(|id| self.agenda.schedule(id, now));
    }

    fn lost(&mut self, shard: ShardId, now: Moment) {
        self.asked.retain(|(asked, _), _| *asked != shard);
        for part in &mut self.parts {
            if let Phase::Live { shard: lost, handle } = part.phase
                && lost == shard
            {
                self.handles.remove(&handle);
                part.phase = Phase::Ready;
            }
        }
        self.schedule_all(now);
    }

    /// The routes are new: parts whose topic is gone end.
    fn check_homes(&mut self, now: Moment) {
        for id in 0..self.parts.len() {
            let part = &self.parts[id];
            let Some((topic_id, _)) = part.home.filter(|_| part.phase != Phase::Ended) else { continue };
            let lives = self.session.routes().known(&part.topic).is_some_and(|topic| topic.id == topic_id);
            if !lives {
                self.end(id, Error::new(Code::UnknownTopic, "the topic was deleted"), now);
                self.parts[id].home = None;
            }
        }
        self.schedule_all(now);
    }

    fn subscribed(&mut self, shard: ShardId, correlation: u32, body: &Bytes, now: Moment) {
        let Some(handle) = self.asked.remove(&(shard, correlation)) else { return };
        let Some(&id) = self.handles.get(&handle) else { return };
        match decode_reply::<SubscribeRequest>(body) {
            Ok(_) => self.parts[id].backoff.reset(),
            Err(error) => {
                self.handles.remove(&handle);
                self.refused(id, error, now);
            }
        }
    }

    /// A subscription was refused, or has ended.
    fn refused(&mut self, id: PartId, error: Error, now: Moment) {
        self.parts[id].phase = Phase::Ready;
        if error.code == Code::OffsetOutOfRange {
            // What is queued was received in order and is still good.
            return self.out_of_range(id, error, now);
        }
        if is_passing(&error) || error.code == Code::UnknownTopic {
            if error.kind() != Kind::Retry {
                self.session.routes().distrust();
            }
            return self.try_later(id, now);
        }
        if self.has_unread(id) {
            return self.try_later(id, now);
        }
        self.end(id, error, now);
    }

    /// Whether records of a part are here that nobody has read. They are read first; then the same answer comes again.
    fn has_unread(&self, id: PartId) -> bool {
        let is_open = !self.records.is_empty() && self.reading.is_some_and(|(reading, _)| reading == id);
        is_open || !self.parts[id].queue.is_empty()
    }

    fn out_of_range(&mut self, id: PartId, error: Error, now: Moment) {
        if self.has_unread(id) {
            return self.try_later(id, now);
        }
        match self.settings.out_of_range {
            OutOfRange::Earliest => self.move_to(id, Target::Of(OffsetOf::Earliest), now),
            OutOfRange::Latest => self.move_to(id, Target::Of(OffsetOf::Latest), now),
            OutOfRange::Error => self.end(id, error, now),
        }
    }

    pub(super) fn try_later(&mut self, id: PartId, now: Moment) {
        let part = &mut self.parts[id];
        part.not_before = now.plus(part.backoff.wait(self.session.chance()));
        self.agenda.schedule(id, part.not_before);
    }

    fn pushed(&mut self, handle: u32, push: Push, now: Moment) {
        let Some(&id) = self.handles.get(&handle) else { return };
        let behind = match open::check(&push.batches) {
            Ok(behind) => behind,
            Err(error) => return self.end(id, error, now),
        };
        let part = &mut self.parts[id];
        part.wanted = part.wanted.max(behind);
        part.queued_bytes += push.batches.len();
        if part.queue.is_empty() {
            self.ready.push_back(id);
        }
        part.queue.push_back(push.batches);
    }

    fn answered(&mut self, call: CallId, result: Result<Bytes>, now: Moment) {
        if self.kept_call == Some(call) {
            self.kept_call = None;
            return self.take_kept(result, now);
        }
        if let Some(id) = self.offset_calls.remove(&call) {
            return self.take_offset(id, call, result, now);
        }
        self.take_committed(call, result, now);
    }
}

impl Engine for SubscriberEngine {
    fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn work(&mut self, now: Moment) {
        while let Some(notice) = self.session.next_notice(now) {
            self.take_notice(notice, now);
        }
        self.expand_topics(now);
        while let Some(id) = self.agenda.take_due(now) {
            self.run_part(id, now);
        }
        self.send_commits(now);
        self.session.routes().forget_absent();
    }

    fn deadline(&self, now: Moment) -> Option<Moment> {
        let own = earlier(self.agenda.first(), self.commits.deadline());
        earlier(own, self.session.deadline(now))
    }
}
