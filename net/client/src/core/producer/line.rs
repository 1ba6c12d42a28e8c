//! One partition's records in line: gathered into batches, sent in order, kept until the node says what became of
//! them, and sent again in the same order with the same sequences. The rules that make a retry harmless are all here:
//!
//! - a batch once sent stays in line until an answer settles it, even when its records' callers were told `Timeout`:
//!   otherwise nobody would know which sequence comes next;
//! - what is sent next is always the first in line that is not in flight, so after a refusal it goes on from there;
//! - a batch that is given up leaves a gap. Those behind it are renumbered, but only when it is certain that none of
//!   them is appended under its old number; those that may be are sent once more under it first;
//! - when it is not certain whether the given-up batch was appended, its number must not be used again: the line goes
//!   on under a new producer id;
//! - until a producer id's first batch is answered, only one is in flight: a node takes an unknown producer's first
//!   batch with any sequence, so a later one must not overtake it.
//!
//! Never a socket or a route.

use crate::core::calls::{expired, is_passing};
use crate::core::chance::{Backoff, Chance};
use crate::core::moment::{Moment, earlier};
use crate::core::producer::settings::ProducerSettings;
use crate::core::producer::stamp::{ahead, restamp};
use crate::core::producer::values::RecordRef;
use bytes::Bytes;
use flumen_model::batch::{BatchBuilder, Sequence};
use flumen_model::limits::BATCH_BYTES_HARD_MAX;
use flumen_model::{Code, Error, Kind, Offset, ProducerId, Result, UnixMillis};
use flumen_wire::{Acks, ProduceReply};
use std::collections::VecDeque;
use std::time::Duration;

/// An idempotent producer, as the node named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: i16,
}

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// None when it is known to be appended but not where.
    pub(crate) base_offset: Option<Offset>,
    pub(crate) append_time: Option<UnixMillis>,
}

/// A batch whose callers now know.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) batch: u64,
    pub(crate) tags: Vec<u64>,
    /// Bytes of the buffer that are free again.
    pub(crate) weight: usize,
    pub(crate) result: Result<Place>,
}

#[derive(Debug)]
struct Batch {
    /// Among all batches of the producer.
    id: u64,
    /// Among the batches of the line.
    number: u64,
    bytes: Bytes,
    base_sequence: i32,
    records: u32,
    /// One for each record; none once the callers know.
    tags: Vec<u64>,
    weight: usize,
    born: Moment,
    /// The correlation while an answer is due.
    in_flight: Option<u32>,
    /// It was sent, and it is not known what became of that.
    maybe_appended: bool,
    /// Its callers were told that its time is up.
    told: bool,
}

/// One partition's line.
#[derive(Debug)]
pub(crate) struct Line {
    acks: Acks,
    linger: Duration,
    batch_bytes: usize,
    in_flight_max: usize,
    builder: BatchBuilder,
    tags: Vec<u64>,
    /// Since when the open batch has a record.
    open_since: Moment,
    batches: VecDeque<Batch>,
    in_flight: usize,
    not_before: Moment,
    backoff: Backoff,
    last_error: Option<Error>,
    identity: Option<Identity>,
    /// The next batch's, when it is closed.
    next_number: u64,
    next_sequence: i32,
    /// The sequence behind the last batch that is known to be appended, and that batch's number.
    acked_next: i32,
    acked_number: u64,
    /// A batch of this identity was answered.
    proven: bool,
    /// A batch was given up: the numbers behind it do not fit.
    gap: bool,
    needs_identity: bool,
    /// The identity to go on under, once everything is settled under the old one.
    fresh: Option<Identity>,
}

impl Line {
    pub(crate) fn new(
        settings: &ProducerSettings,
        backoff: Backoff,
        identity: Option<Identity>,
    ) -> Result<Line> {
        Ok(Line {
            acks: settings.acks,
            linger: settings.linger,
            batch_bytes: settings.batch_bytes,
            in_flight_max: settings.batches_in_flight_max,
            // A record that is larger than a batch should be still gets one of its own.
            builder: BatchBuilder::new(BATCH_BYTES_HARD_MAX, settings.compression)?,
            tags: Vec::new(),
            open_since: Moment::default(),
            batches: VecDeque::new(),
            in_flight: 0,
            not_before: Moment::default(),
            backoff,
            last_error: None,
            identity,
            next_number: 0,
            next_sequence: 0,
            acked_next: 0,
            acked_number: 0,
            proven: false,
            gap: false,
            needs_identity: false,
            fresh: None,
        })
    }

    /// Adds a record and tells the bytes that it takes. `next_batch` names batches as they are closed.
    pub(crate) fn append(
        &mut self,
        record: &RecordRef<'_>,
        tag: u64,
        now: Moment,
        next_batch: &mut u64,
    ) -> Result<usize> {
        if !self.builder.is_empty() && self.builder.bytes() + record.bytes() > self.batch_bytes {
            self.close_open(next_batch);
        }
        let before = self.builder.bytes();
        let after = self.builder.append(record.timestamp, record.key, record.value, record.headers)?;
        if before == 0 {
            self.open_since = now;
        }
        self.tags.push(tag);
        if after >= self.batch_bytes {
            self.close_open(next_batch);
        }
        Ok(after - before)
    }

    /// Closes the open batch without waiting for more.
    pub(crate) fn hurry(&mut self, next_batch: &mut u64) {
        if !self.builder.is_empty() {
            self.close_open(next_batch);
        }
    }

    fn close_open(&mut self, next_batch: &mut u64) {
        let records = self.builder.count();
        let weight = self.builder.bytes();
        let base_sequence = self.next_sequence;
        if let Some(identity) = self.identity {
            self.builder.set_sequence(sequence(identity, base_sequence));
            self.next_sequence = ahead(base_sequence, records);
        }
        self.batches.push_back(Batch {
            id: *next_batch,
            number: self.next_number,
            bytes: self.builder.finish(),
            base_sequence,
            records,
            tags: std::mem::take(&mut self.tags),
            weight,
            born: self.open_since,
            in_flight: None,
            maybe_appended: false,
            told: false,
        });
        *next_batch += 1;
        self.next_number += 1;
    }

    /// The batch to send now and its place, if there is one: then say [`Line::sent`].
    pub(crate) fn offer(&mut self, now: Moment, next_batch: &mut u64) -> Option<(usize, Bytes)> {
        let place = self.next_place(now, next_batch)?;
        Some((place, self.batches[place].bytes.clone()))
    }

    /// The offered batch is on its way. With acks none it is finished.
    pub(crate) fn sent(&mut self, place: usize, correlation: u32) -> Option<Finished> {
        if self.acks == Acks::None {
            return self.finish(place, Ok(Place { base_offset: None, append_time: None }));
        }
        self.batches[place].in_flight = Some(correlation);
        self.in_flight += 1;
        None
    }

    fn next_place(&mut self, now: Moment, next_batch: &mut u64) -> Option<usize> {
        if now < self.not_before {
            return None;
        }
        if self.gap {
            let unsettled = |batch: &Batch| batch.maybe_appended && batch.in_flight.is_none();
            if let Some(place) = self.batches.iter().position(unsettled) {
                return Some(place);
            }
            if self.in_flight > 0 || !self.close_gap() {
                return None;
            }
        }
        let window = if self.identity.is_some() && !self.proven { 1 } else { self.in_flight_max };
        // Not the batches in flight count, but the distance to the oldest that is not settled: the node remembers the
        // last ones only, whichever of them were answered.
        let oldest = self.batches.front().map_or(self.next_number, |batch| batch.number);
        let fits = |number: u64| number - oldest < window as u64;
        match self.batches.iter().position(|batch| batch.in_flight.is_none()) {
            Some(place) => fits(self.batches[place].number).then_some(place),
            None if fits(self.next_number) && self.is_open_due(now) => {
                self.close_open(next_batch);
                Some(self.batches.len() - 1)
            }
            None => None,
        }
    }

    fn is_open_due(&self, now: Moment) -> bool {
        !self.builder.is_empty() && now >= self.open_since.plus(self.linger)
    }

    /// Numbers everything in line anew behind what is appended. False while a new identity is awaited.
    fn close_gap(&mut self) -> bool {
        if self.needs_identity {
            let Some(fresh) = self.fresh.take() else { return false };
            self.identity = Some(fresh);
            self.needs_identity = false;
            self.acked_next = 0;
            self.acked_number = 0;
            self.proven = false;
        }
        let identity = self.identity.expect("only an idempotent line has gaps");
        let mut next = self.acked_next;
        for batch in &mut self.batches {
            batch.bytes = restamp(&batch.bytes, sequence(identity, next));
            batch.base_sequence = next;
            next = ahead(next, batch.records);
        }
        self.next_sequence = next;
        self.gap = false;
        true
    }

    /// Batches without an answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether the line stands still until it gets an identity other than this.
    pub(crate) fn wants_identity(&self) -> Option<Identity> {
        self.identity.filter(|_| self.needs_identity && self.fresh.is_none())
    }

    /// The identity to go on under.
    pub(crate) fn renew(&mut self, identity: Identity) {
        self.fresh = Some(identity);
    }

    /// The answer to a batch. True beside what is finished when the routes may be wrong.
    pub(crate) fn answered(
        &mut self,
        correlation: u32,
        result: Result<ProduceReply>,
        now: Moment,
        chance: &mut Chance,
    ) -> (Option<Finished>, bool) {
        let place = self.batches.iter().position(|batch| batch.in_flight == Some(correlation));
        let place = place.expect("a batch stays in line until it is answered");
        self.batches[place].in_flight = None;
        self.in_flight -= 1;
        match result {
            Ok(reply) => {
                let found = Place { base_offset: Some(reply.base_offset), append_time: reply.append_time };
                (self.appended(place, found), false)
            }
            Err(error) if error.code == Code::DuplicateSequence => {
                (self.appended(place, Place { base_offset: None, append_time: None }), false)
            }
            Err(error) if is_passing(&error) || error.code == Code::UnknownTopic => {
                let misrouted = error.kind() == Kind::NotLeader || error.code == Code::UnknownTopic;
                self.refused_for_now(place, error, now, chance);
                (None, misrouted)
            }
            Err(error) if error.code == Code::OutOfOrderSequence && self.identity.is_some() => {
                (self.out_of_order(place, error), false)
            }
            Err(error) => (self.refused(place, error), false),
        }
    }

    fn appended(&mut self, place: usize, found: Place) -> Option<Finished> {
        let batch = &self.batches[place];
        // A repeat of an older one may be answered after newer ones.
        if batch.number >= self.acked_number {
            self.acked_number = batch.number;
            self.acked_next = ahead(batch.base_sequence, batch.records);
        }
        self.proven = true;
        self.backoff.reset();
        self.last_error = None;
        self.finish(place, Ok(found))
    }

    fn refused_for_now(&mut self, place: usize, error: Error, now: Moment, chance: &mut Chance) {
        let batch = &mut self.batches[place];
        // Its wait may have run out, or it was a repeat that was refused before anybody looked whether it is one.
        batch.maybe_appended = true;
        // One wait for all that are refused together.
        if self.not_before <= now {
            self.not_before = now.plus(self.backoff.wait(chance));
        }
        self.last_error = Some(error);
        if self.identity.is_none() && self.batches[place].told {
            self.finish(place, Err(out_of_time(None)));
        }
    }

    /// The batches before it in line are not appended, or there is a gap: certainly this one is not.
    fn out_of_order(&mut self, place: usize, error: Error) -> Option<Finished> {
        let batch = &mut self.batches[place];
        batch.maybe_appended = false;
        let is_next = place == 0 && !self.gap && batch.base_sequence == self.acked_next;
        if is_next {
            // The node has lost what it knew of this producer.
            self.gap = true;
            self.needs_identity = true;
            return self.finish(place, Err(error));
        }
        self.gap |= place == 0;
        self.drop_told();
        None
    }

    /// It can never succeed.
    fn refused(&mut self, place: usize, error: Error) -> Option<Finished> {
        if self.identity.is_some() {
            self.gap = true;
            self.needs_identity |= self.batches[place].maybe_appended || error.code == Code::ProducerFenced;
        }
        self.finish(place, Err(error))
    }

    /// Takes a batch out of the line.
    fn finish(&mut self, place: usize, result: Result<Place>) -> Option<Finished> {
        let batch = self.batches.remove(place).expect("the place is in line");
        let finished = Finished { batch: batch.id, tags: batch.tags, weight: batch.weight, result };
        (!batch.told).then_some(finished)
    }

    /// Batches whose callers were told, and which are certainly not appended, are not needed any more.
    fn drop_told(&mut self) {
        let before = self.batches.len();
        self.batches.retain(|batch| !batch.told || batch.maybe_appended || batch.in_flight.is_some());
        self.gap |= self.identity.is_some() && self.batches.len() != before;
    }

    /// The connection is lost: everything in flight is sent again.
    pub(crate) fn lost(&mut self) {
        for batch in self.batches.iter_mut().filter(|batch| batch.in_flight.is_some()) {
            batch.in_flight = None;
            batch.maybe_appended = true;
        }
        self.in_flight = 0;
        if self.identity.is_none() {
            self.batches.retain(|batch| !batch.told);
        }
    }

    /// Tells callers that their time is up. `why` is what keeps the line from going on, as far as is known.
    pub(crate) fn expire(
        &mut self,
        now: Moment,
        timeout: Duration,
        why: Option<&Error>,
        out: &mut Vec<Finished>,
    ) {
        let why = self.last_error.clone().or_else(|| why.cloned());
        let mut place = 0;
        while let Some(batch) = self.batches.get_mut(place).filter(|batch| batch.born.plus(timeout) <= now) {
            let unsettled = batch.in_flight.is_some() || (batch.maybe_appended && self.identity.is_some());
            let error = out_of_time(why.as_ref());
            match (unsettled, batch.told) {
                (true, true) => place += 1,
                (true, false) => {
                    batch.told = true;
                    let tags = std::mem::take(&mut batch.tags);
                    let weight = batch.weight;
                    out.push(Finished { batch: batch.id, tags, weight, result: Err(error) });
                    place += 1;
                }
                (false, _) => {
                    self.gap |= self.identity.is_some();
                    out.extend(self.finish(place, Err(error)));
                }
            }
        }
        if !self.builder.is_empty() && self.open_since.plus(timeout) <= now {
            out.push(self.discard_open(out_of_time(why.as_ref())));
        }
    }

    /// Ends everything: the partition is gone.
    pub(crate) fn fail(&mut self, error: &Error, out: &mut Vec<Finished>) {
        while !self.batches.is_empty() {
            out.extend(self.finish(0, Err(error.clone())));
        }
        self.in_flight = 0;
        if !self.builder.is_empty() {
            out.push(self.discard_open(error.clone()));
        }
    }

    fn discard_open(&mut self, error: Error) -> Finished {
        let weight = self.builder.bytes();
        self.builder.finish();
        // It never had a number of its own.
        Finished { batch: u64::MAX, tags: std::mem::take(&mut self.tags), weight, result: Err(error) }
    }

    /// When the line must be looked at again, beside answers and links.
    pub(crate) fn deadline(&self, now: Moment, timeout: Duration) -> Option<Moment> {
        let oldest = self.batches.iter().find(|batch| !batch.told).map(|batch| batch.born);
        let open = (!self.builder.is_empty()).then_some(self.open_since);
        let expiry = earlier(oldest, open).map(|born| born.plus(timeout));
        let pause = Some(self.not_before).filter(|&at| at > now && !self.batches.is_empty());
        let linger = open.map(|since| since.plus(self.linger)).filter(|&at| at > now);
        earlier(expiry, earlier(pause, linger))
    }
}

fn sequence(identity: Identity, base_sequence: i32) -> Sequence {
    Sequence { producer_id: identity.producer_id, producer_epoch: identity.producer_epoch, base_sequence }
}

#[cold]
fn out_of_time(why: Option<&Error>) -> Error {
    expired("the record was not acked in time; it may be appended or not", why)
}
