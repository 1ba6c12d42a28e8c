//! A producer: bursts of records over the shipped producer core, from one small record to the batch limit. Every
//! record is in the ledger before the core has it; its fate goes to the oracle when the core tells it.

use super::settings;
use crate::chance::Chance;
use crate::face::{Driver, Held};
use crate::oracle::{ProducerKind, Sent};
use crate::payload::{RecordId, VALUE_BYTES_MIN, value};
use crate::plan::{Client, Plan};
use crate::sim::{Shared, Sim};
use flumen_client::core::producer::{Done, ProducerEngine, RecordRef};
use flumen_client::{ProducerSettings, RecordMetadata};
use flumen_io::Host;
use flumen_io::mem::MemHost;
use flumen_model::batch::Compression;
use flumen_model::{PartitionNumber, Result, UnixMillis};
use flumen_wire::Acks;
use std::rc::Rc;
use std::time::Duration;

const SMALL_BYTES: u64 = 600;
const LARGE_BYTES: u64 = 120_000;
const BURST_MAX: u64 = 20;
/// No record has this tag.
const FLUSH_TAG: u64 = 0;

/// A producer over all lives of its node.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    held: Held<ProducerEngine>,
    number: u32,
    kind: ProducerKind,
    acks: Acks,
    client: Client,
}

impl Producer {
    pub(crate) fn new(client: Client, number: u32, plan: &Plan) -> Producer {
        let mut chance = Chance::of(plan.seed, 0x9d0 + u64::from(number));
        let kind = match client {
            Client::Idempotent(_) => ProducerKind::Idempotent,
            Client::Plain => ProducerKind::InOrder,
            _ => ProducerKind::Free,
        };
        let acks = match (client, chance.below(4)) {
            (Client::Free, 0) => Acks::None,
            (_, 1) => Acks::Leader,
            _ => Acks::Quorum,
        };
        let compression = match chance.below(8) {
            0..5 => Compression::None,
            5..7 => Compression::Lz4,
            _ => Compression::Zstd,
        };
        let producer = ProducerSettings {
            acks,
            idempotence: kind == ProducerKind::Idempotent,
            linger: Duration::from_millis([0, 0, 2, 20][chance.below(4) as usize]),
            batch_bytes: [4 * 1024, 32 * 1024, 256 * 1024][chance.below(3) as usize],
            compression,
            batches_in_flight_max: if kind == ProducerKind::InOrder { 1 } else { 5 },
            buffer_bytes_max: 4 << 20,
        };
        let engine = ProducerEngine::new(settings("producer", chance.next()), producer);
        let held = Held::new(engine.expect("settings that fit each other"));
        Producer { held, number, kind, acks, client }
    }

    pub(crate) fn start(&self, host: &MemHost, shared: &Shared, life: u64) -> ProducerAtWork {
        let seed = shared.lock().plan.seed;
        ProducerAtWork {
            own: self.clone(),
            driver: Driver::start(host, self.held.clone()),
            host: host.clone(),
            shared: shared.clone(),
            chance: Chance::of(seed, (life << 8) + u64::from(self.number)),
        }
    }
}

/// A producer in one life of its node.
pub(crate) struct ProducerAtWork {
    own: Producer,
    driver: Rc<Driver<ProducerEngine>>,
    host: MemHost,
    shared: Shared,
    chance: Chance,
}

impl ProducerAtWork {
    pub(crate) async fn run(&mut self) {
        while self.shared.step() {
            match self.chance.below(40) {
                0 => self.driver.act(|engine, _| engine.flush(FLUSH_TAG)),
                1 => {
                    let wait = self.chance.skewed(1, 3_000);
                    self.host.sleep(Duration::from_millis(wait)).await;
                }
                _ => self.burst(),
            }
            self.take_fates();
            let wait = self.chance.skewed(1, 40);
            self.driver.news(Duration::from_millis(wait)).await;
            self.take_fates();
        }
    }

    /// Waits until every record has its fate.
    pub(crate) async fn finish(&mut self, within: Duration) -> usize {
        let until = self.host.now().plus(within);
        self.driver.act(|engine, _| engine.flush(FLUSH_TAG));
        loop {
            let flushed = self.take_fates();
            if flushed || self.shared.is_over() || self.host.now() >= until {
                return usize::from(!flushed);
            }
            self.driver.news(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn stop(&self) {
        self.driver.stop();
    }

    fn burst(&mut self) {
        if !self.driver.act(|engine, _| engine.has_room()) {
            return self.shared.count("client waits for room", 1);
        }
        let names: Vec<(String, u32)> = {
            let sim = self.shared.lock();
            let live = sim.oracle.topics.live();
            live.map(|run| (run.name.clone(), run.wish.partitions)).collect()
        };
        let Some((topic, partitions)) = self.chance.pick(&names).cloned() else { return };
        let count = self.chance.skewed(1, BURST_MAX);
        let explicit = self.chance.one_in(1, 3).then(|| self.chance.below(u64::from(partitions)) as u32);
        for _ in 0..count {
            let len = self.record_bytes();
            let key = self.chance.one_in(1, 3).then(|| format!("key-{}", self.chance.below(9)));
            self.send(&topic, explicit, key.as_deref(), len);
            if len > LARGE_BYTES as usize / 2 {
                break;
            }
        }
        let now = self.host.now().0;
        self.shared.say(now, || format!("{:?} sends up to {count} records to {topic}", self.own.client));
    }

    fn record_bytes(&mut self) -> usize {
        let (large, largest) = {
            let plan = &self.shared.lock().plan;
            (plan.large, plan.record_bytes_max())
        };
        let most = match self.chance.below(100) {
            draw if draw >= large => SMALL_BYTES,
            0 => largest,
            _ => LARGE_BYTES,
        };
        self.chance.skewed(VALUE_BYTES_MIN as u64, most) as usize
    }

    fn send(&mut self, topic: &str, number: Option<u32>, key: Option<&str>, len: usize) {
        let now = self.host.now().0;
        let id = {
            let mut sim = self.shared.lock();
            let id = sim.oracle.ledger.next_id();
            sim.oracle.ledger.sending(Sent {
                id,
                producer: self.own.number,
                kind: self.own.kind,
                topic: topic.to_string(),
                number,
                at: now,
                settled_at: None,
                home: None,
            });
            sim.stats.count("records sent", 1);
            id
        };
        let (bytes, wall) = (value(id, len), self.host.wall_ms());
        self.driver.act(|engine, now| {
            let record = RecordRef {
                topic,
                partition: number.map(PartitionNumber),
                timestamp: UnixMillis(wall),
                key: key.map(str::as_bytes),
                value: Some(&bytes),
                headers: &[],
            };
            engine.send(&record, id.0, now);
        });
    }

    /// Tells the oracle what became of records. True when a flush has ended.
    fn take_fates(&mut self) -> bool {
        // Everything that has come is looked at first.
        self.driver.act(|_, _| ());
        self.own.take_fates(&self.shared, self.host.now().0)
    }
}

impl Producer {
    /// Tells the oracle the fates that the core has told. To be called before a crash counts: an ack that came before
    /// it is one of before it.
    pub(crate) fn take_fates(&self, shared: &Shared, now: u64) -> bool {
        let mut kept = self.held.lock();
        let mut sim = shared.lock();
        let mut flushed = false;
        while let Some(done) = kept.engine.next_done() {
            match done {
                Done::Flushed { .. } => flushed = true,
                Done::Record { tag, result } => self.take_fate(&mut sim, RecordId(tag), result, now),
            }
        }
        flushed
    }

    fn take_fate(&self, sim: &mut Sim, id: RecordId, result: Result<RecordMetadata>, now: u64) {
        match result {
            // Without acks nobody knows.
            Ok(_) if self.acks == Acks::None => sim.oracle.failed(id, now),
            Ok(place) => {
                sim.stats.count("records acked", 1);
                let offset = place.offset.map(|offset| offset.0);
                sim.oracle.acked(id, &place.topic, place.partition.0, offset, now);
                sim.story
                    .say(now, || format!("{id} is acked at {} {} {offset:?}", place.topic, place.partition));
            }
            Err(error) => {
                sim.stats.count(&format!("records failed: {:?}", error.code), 1);
                sim.oracle.failed(id, now);
                sim.story.say(now, || format!("{id} failed: {:?} {error}", error.code));
            }
        }
    }
}

/// Enters a record of nobody's producer into the ledger, for a partition that is asked to take one.
pub(super) fn one_record(shared: &Shared, now: u64, place: &super::Place) -> RecordId {
    const NOBODY: u32 = u32::MAX;
    let mut sim = shared.lock();
    let id = sim.oracle.ledger.next_id();
    sim.oracle.ledger.sending(Sent {
        id,
        producer: NOBODY,
        kind: ProducerKind::Free,
        topic: place.topic.clone(),
        number: Some(place.key.number),
        at: now,
        settled_at: None,
        home: None,
    });
    id
}
