//! The oracle: everything that was asked, sent, acked and seen, and whether it fits what Flumen promises. It takes
//! facts and gives findings; it asks nobody and exempts nothing that SAFETY.md does not name. Each promise has a file.

mod acked;
mod bounded;
mod commit;
mod damage;
mod delivery;
mod healing;
mod ledger;
mod offsets;
mod order;
mod part;
mod positions;
mod promise;
mod topics;
mod twice;

pub use bounded::{Memory, Recovery};
pub use damage::Health;
pub use delivery::ReaderId;
pub use healing::HEALS_WITHIN;
pub use ledger::{ProducerKind, Sent};
pub use part::{Evidence, Known, PartKey};
pub use promise::{Findings, Promise, Violation};
pub use topics::{Life, Listed, TopicKey, TopicRun, Wish};

use crate::payload::{Reading, RecordId};
use delivery::Readers;
use ledger::Ledger;
use positions::Positions;
use topics::Topics;

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Oracle {
    /// Topics, each life of a name on its own.
    pub topics: Topics,
    /// What was sent.
    pub ledger: Ledger,
    /// What subscriptions keep.
    pub positions: Positions,
    readers: Readers,
    findings: Findings,
}

/// A whole partition as it was read, for [`Oracle::verified`].
#[derive(Clone, Debug)]
pub struct Whole {
    /// Its log start before the reading.
    pub log_start: u64,
    /// Its high watermark before the reading.
    pub high_watermark: u64,
    /// Everything from the log start on, in the order of the answers.
    pub reading: Reading,
    /// The offset that the reading came to: the high watermark, unless something kept it.
    pub read_to: u64,
    /// What the node says of it.
    pub health: Health,
    /// What was known of it before it was asked: only that must be there.
    pub known: Known,
}

impl Oracle {
    /// The judge of a node whose disk lies: of it less is promised.
    pub fn over_lies() -> Oracle {
        let mut oracle = Oracle::default();
        oracle.findings.only(promise::OVER_LIES);
        oracle
    }

    /// The first promise that was broken.
    pub fn violation(&self) -> Option<&Violation> {
        self.findings.first()
    }

    /// Takes note of something that only the caller can see.
    pub fn report(&mut self, promise: Promise, what: String) {
        self.findings.report(promise, what);
    }

    /// A record's fate was told: it is acked, with its offset where that is known.
    pub fn acked(&mut self, id: RecordId, name: &str, number: u32, offset: Option<u64>, now: u64) {
        let Some(sent) = self.ledger.settle(id, now) else {
            return self.findings.report(Promise::NobodySent, format!("{id} was acked and nobody sent it"));
        };
        let at = self.topics.candidates(name, number, sent.at, now);
        let key = match (sent.home, at.as_slice()) {
            (Some(home), _) => home,
            (None, [one]) => *one,
            (None, []) => {
                let what = format!("{id} was acked by {name} {number}, and there was no such partition");
                return self.findings.report(Promise::DeletedComesBack, what);
            }
            // Which life of the name has it will show when it is read.
            (None, _) => return,
        };
        let run = self.topics.run(key.topic);
        let evidence = if run.wish.memory { Evidence::MemoryAck(now) } else { Evidence::Durable };
        self.ledger.bring_home(id, key);
        let part = self.topics.part_mut(key);
        match offset {
            Some(offset) => part.place(offset, &sent, evidence, &mut self.findings),
            None => part.acked_somewhere(id, evidence),
        }
    }

    /// The latest moment, on the clients' clock, at which anything was asked or sent.
    pub fn latest(&self) -> u64 {
        self.topics.latest().max(self.ledger.latest())
    }

    /// A record's fate was told: it failed. It may be in the log or not.
    pub fn failed(&mut self, id: RecordId, now: u64) {
        self.ledger.settle(id, now);
    }

    /// Batches of a partition came for a fetch from `wanted`.
    pub fn fetched(&mut self, key: PartKey, wanted: u64, high_watermark: u64, reading: &Reading, now: u64) {
        if let Some(what) = &reading.broken {
            let what = format!("{key} served broken bytes at {wanted}: {what}");
            self.findings.report(Promise::DamageServed, what);
        }
        offsets::dense(key, wanted, reading, &mut self.findings);
        commit::read(key, high_watermark, reading, &mut self.findings);
        order::of(key, &reading.records, &self.ledger, &mut self.findings);
        for seen in &reading.records {
            self.seen(key, seen.offset, seen.id, now);
        }
    }

    /// A record was seen at a place that is known for certain.
    fn seen(&mut self, key: PartKey, offset: u64, id: Option<RecordId>, now: u64) {
        let Some(id) = id else {
            let what = format!("{key} has bytes at {offset} that no record has");
            return self.findings.report(Promise::DamageServed, what);
        };
        let Some(sent) = self.ledger.sent(id).cloned() else {
            let what = format!("{key} has {id} at {offset}, and nobody sent it");
            return self.findings.report(Promise::NobodySent, what);
        };
        let run = self.topics.run(key.topic);
        if let Some(what) = ledger::stranger(&sent, key, run) {
            return self.findings.report(Promise::OldDataShows, format!("{key} at {offset}: {what}"));
        }
        if !run.could_hold(sent.at, now) {
            let what = format!("{key} shows {id} at {offset}, which was sent after it was gone");
            return self.findings.report(Promise::DeletedComesBack, what);
        }
        self.ledger.bring_home(id, key);
        self.topics.part_mut(key).place(offset, &sent, Evidence::Durable, &mut self.findings);
    }

    /// A subscriber got a record.
    pub fn delivered(
        &mut self,
        reader: ReaderId,
        (name, number): (&str, u32),
        offset: u64,
        id: Option<RecordId>,
        now: u64,
    ) {
        let key = self.home_of_delivery(reader, name, number, id, now);
        if let Some(key) = key {
            self.seen(key, offset, id, now);
            let part = self.topics.part_mut(key);
            self.readers.got(reader, key, offset, part, &mut self.findings);
            if let Some(subscription) = self.readers.subscription(reader) {
                self.positions.delivered(&subscription, key, offset + 1);
            }
        }
    }

    /// The life of a name that a subscriber's record is of; none while more than one could be.
    fn home_of_delivery(
        &mut self,
        reader: ReaderId,
        name: &str,
        number: u32,
        id: Option<RecordId>,
        now: u64,
    ) -> Option<PartKey> {
        let of_reader = self.topics.candidates(name, number, self.readers.since(reader), now);
        let sent = id.and_then(|id| self.ledger.sent(id));
        match sent {
            Some(Sent { home: Some(home), .. }) if of_reader.contains(home) => Some(*home),
            Some(Sent { home: Some(home), id, .. }) => {
                let what = format!("a subscriber of {name} {number} got {id} of {home}");
                self.findings.report(Promise::OldDataShows, what);
                None
            }
            Some(sent) => {
                let of_record = self.topics.candidates(name, number, sent.at, now);
                let both: Vec<_> = of_reader.into_iter().filter(|key| of_record.contains(key)).collect();
                if let [one] = both.as_slice() {
                    return Some(*one);
                }
                // It was got in one of them; in which it was not skipped will not show.
                both.into_iter().for_each(|key| self.readers.seek(reader, key));
                None
            }
            // Nobody's record: any place will do to say so.
            None => of_reader.first().copied(),
        }
    }

    /// A subscriber begins, under a name whose positions are kept or none.
    pub fn reader_begins(&mut self, subscription: Option<&str>, now: u64) -> ReaderId {
        let kept = subscription.map(|name| self.positions.certain(name)).unwrap_or_default();
        self.readers.begin(subscription, kept, now)
    }

    /// The partitions that a subscriber may mean by a name and a number.
    pub fn reader_candidates(&self, reader: ReaderId, name: &str, number: u32, now: u64) -> Vec<PartKey> {
        self.topics.candidates(name, number, self.readers.since(reader), now)
    }

    /// A subscriber goes on somewhere else in a partition: what it gets next may be anything up to `bound`.
    pub fn reader_seeks(&mut self, reader: ReaderId, name: &str, number: u32, now: u64) {
        let since = self.readers.since(reader);
        for key in self.topics.candidates(name, number, since, now) {
            self.readers.seek(reader, key);
        }
    }

    /// A partition was read whole; each answer was told to [`Oracle::fetched`] before.
    pub fn verified(&mut self, key: PartKey, whole: &Whole) {
        order::of(key, &whole.reading.records, &self.ledger, &mut self.findings);
        let bounded = self.topics.run(key.topic).wish.bounded;
        let part = self.topics.part_mut(key);
        offsets::log_start(part, bounded, whole.log_start, &mut self.findings);
        damage::judge(part, whole, &mut self.findings);
        commit::watermark(part, whole, &mut self.findings);
        acked::nothing_lost(part, whole, &mut self.findings);
        // Over a disk that lies an offset may come to be another record's: then a reading has no history.
        if self.findings.is_all() {
            offsets::no_gap_delivered(part, whole, &mut self.findings);
        }
        part.prune(whole.log_start);
    }

    /// A partition was read whole that is not damaged, on a node whose clocks hold: so many bytes of batches are left of
    /// it. Comes before [`Oracle::verified`].
    pub fn retained(&mut self, key: PartKey, log_start: u64, bytes: u64, now: u64) {
        let run = self.topics.run(key.topic);
        if run.wish.bounded {
            let young = |id| self.ledger.sent(id).is_some_and(|sent| sent.at + offsets::RETENTION > now);
            let part = self.topics.part(key);
            offsets::retained(part, run.timed, log_start, bytes, young, &mut self.findings);
        }
    }

    /// The process is gone. A crash takes what was in memory: acks of quorum-memory that are younger than
    /// `memory_bound`, or all of them when there is no bound to rely on.
    pub fn process_gone(&mut self, crashed: bool, now: u64, memory_bound: Option<u64>) {
        if crashed {
            let safe_before = memory_bound.map_or(0, |bound| now.saturating_sub(bound));
            self.topics.parts_mut().for_each(|part| part.crash(safe_before));
        }
    }

    /// What the node keeps of a subscription, by group.
    pub fn positions_found(&mut self, subscription: &str, found: &[(u64, u64)], strict: bool) {
        let mut by_key = std::collections::BTreeMap::new();
        for (group, offset) in found {
            match self.topics.of_group(*group) {
                Some(key) => drop(by_key.insert(key, *offset)),
                None => {
                    let what =
                        format!("{subscription} keeps a position of group {group}, which nobody knows");
                    self.findings.report(Promise::PositionKept, what);
                }
            }
        }
        let topics = &self.topics;
        let live = |key: PartKey| topics.run(key.topic).life == Life::Live;
        let log_start = |key: PartKey| topics.part(key).log_start;
        self.positions.found(subscription, &by_key, strict, live, log_start, &mut self.findings);
    }

    /// All topics of the node. `settled` says that nothing can be under way any more.
    pub fn listed(&mut self, listing: &[Listed], settled: bool, now: u64) {
        self.topics.listed(listing, settled, now, &mut self.findings);
    }

    /// A node has become ready.
    pub fn recovered(&mut self, recovery: &Recovery) {
        bounded::recovery(recovery, &mut self.findings);
    }

    /// A shard tells of its memory.
    pub fn remembers(&mut self, memory: &Memory) {
        bounded::memory(memory, &mut self.findings);
    }

    /// A partition that is not damaged was asked to take a record after all faults had ended.
    pub fn asked_to_take(&mut self, key: PartKey, refused: Option<String>) {
        healing::judge(key, refused, &mut self.findings);
    }
}
