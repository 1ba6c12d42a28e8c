//! A subscriber over the shipped subscriber core: push with credit, commits under a name, seeks without one. What the
//! core hands out goes to the oracle before anything else.

use super::settings;
use crate::chance::Chance;
use crate::face::{Driver, Held};
use crate::oracle::{PartKey, Promise, ReaderId};
use crate::payload::id_of;
use crate::plan::{Client, Plan};
use crate::sim::Shared;
use flumen_client::core::CallId;
use flumen_client::core::subscriber::{Read, SubscriberEngine};
use flumen_client::{OutOfRange, Record, Start, SubscriberSettings};
use flumen_io::Host;
use flumen_io::mem::MemHost;
use flumen_model::{Code, Offset, PartitionNumber, UnixMillis};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const READS_MAX: u64 = 200;

/// What a subscriber knows of itself, over all lives of its node.
#[derive(Debug, Default)]
struct Desk {
    reader: Option<ReaderId>,
    topics: BTreeSet<String>,
    /// The commit under way, and what it asks for.
    commit: Option<(CallId, Vec<(PartKey, u64)>)>,
    /// A topic has ended: begin anew.
    stale: bool,
}

/// A subscriber over all lives of its node.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    held: Held<SubscriberEngine>,
    desk: Arc<Mutex<Desk>>,
    name: Option<String>,
    number: u32,
}

fn engine(name: Option<&str>, chance: &mut Chance) -> SubscriberEngine {
    let subscriber = SubscriberSettings {
        name: name.map(str::to_string),
        start: Start::Earliest,
        out_of_range: OutOfRange::Earliest,
        credit_bytes: [2_000, 60_000, 1_000_000][chance.below(3) as usize],
    };
    let engine = SubscriberEngine::new(settings("subscriber", chance.next()), subscriber);
    engine.expect("settings that fit each other")
}

impl Subscriber {
    pub(crate) fn new(client: Client, number: u32, plan: &Plan) -> Subscriber {
        let name = match client {
            Client::Subscriber(one) => Some(format!("s{one}")),
            _ => None,
        };
        let mut chance = Chance::of(plan.seed, 0x5b0 + u64::from(number));
        let held = Held::new(engine(name.as_deref(), &mut chance));
        Subscriber { held, desk: Arc::default(), name, number }
    }

    pub(crate) fn start(&self, host: &MemHost, shared: &Shared, life: u64) -> SubscriberAtWork {
        let seed = shared.lock().plan.seed;
        let at_work = SubscriberAtWork {
            own: self.clone(),
            driver: Driver::start(host, self.held.clone()),
            host: host.clone(),
            shared: shared.clone(),
            chance: Chance::of(seed, (life << 8) + u64::from(self.number)),
        };
        if at_work.desk().reader.is_none() {
            at_work.begin_reading();
        }
        at_work
    }
}

/// A subscriber in one life of its node.
pub(crate) struct SubscriberAtWork {
    own: Subscriber,
    driver: Rc<Driver<SubscriberEngine>>,
    host: MemHost,
    shared: Shared,
    chance: Chance,
}

impl SubscriberAtWork {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.own.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> ReaderId {
        self.desk().reader.expect("it has begun to read")
    }

    fn begin_reading(&self) {
        let now = self.host.now().0;
        let reader = self.shared.lock().oracle.reader_begins(self.own.name.as_deref(), now);
        *self.desk() = Desk { reader: Some(reader), ..Desk::default() };
    }

    pub(crate) async fn run(&mut self) {
        while self.shared.step() {
            match self.chance.below(30) {
                0..=1 => self.commit(),
                2 => self.seek(),
                3 if self.chance.one_in(1, 4) => self.begin_anew(),
                4 => {
                    let wait = self.chance.skewed(1, 3_000);
                    self.host.sleep(Duration::from_millis(wait)).await;
                }
                _ => self.read_some(),
            }
            if self.desk().stale {
                self.begin_anew();
            }
            self.take_commit();
            self.watch_topics();
            let wait = self.chance.skewed(1, 60);
            self.driver.news(Duration::from_millis(wait)).await;
        }
    }

    /// Waits until no commit is under way.
    pub(crate) async fn finish(&mut self, within: Duration) {
        let until = self.host.now().plus(within);
        while self.desk().commit.is_some() && self.host.now() < until && !self.shared.is_over() {
            self.driver.news(Duration::from_millis(200)).await;
            self.take_commit();
        }
    }

    /// Reads on until everything has come that is known to be there: when faults are over, nobody is left behind.
    pub(crate) async fn catch_up(&mut self, within: Duration) {
        let mut until = self.host.now().plus(within);
        let mut behind = self.behind();
        while !behind.is_empty() && !self.shared.is_over() {
            if self.host.now() >= until {
                let (key, at, end) = behind[0];
                let who = self.own.name.as_deref().unwrap_or("the wanderer");
                let what = format!(
                    "{who} gets nothing more of {key}: it stands at {at:?}, and there is more up to {end}"
                );
                return self.shared.report(Promise::Heals, what);
            }
            self.read_some();
            if self.desk().stale {
                self.begin_anew();
            }
            self.take_commit();
            self.watch_topics();
            self.driver.news(Duration::from_millis(200)).await;
            let now_behind = self.behind();
            if now_behind != behind {
                (until, behind) = (self.host.now().plus(within), now_behind);
            }
        }
    }

    /// Partitions of which something has not come: how far it has, and how far there is something.
    fn behind(&self) -> Vec<(PartKey, Option<u64>, u64)> {
        let positions = self.driver.act(|engine, _| engine.positions());
        let sim = self.shared.lock();
        let mut behind = Vec::new();
        for run in sim.oracle.topics.live() {
            for number in 0..run.wish.partitions {
                let key = PartKey { topic: run.key, number };
                let end = sim.oracle.topics.part(key).end;
                let at = positions.iter().find(|one| *one.0 == *run.name && one.1.0 == number);
                let at = at.map(|one| one.2.0);
                if at.unwrap_or_default() < end {
                    behind.push((key, at, end));
                }
            }
        }
        behind
    }

    pub(crate) fn stop(&self) {
        self.driver.stop();
    }

    fn watch_topics(&mut self) {
        let live: Vec<String> = {
            let sim = self.shared.lock();
            sim.oracle.topics.live().map(|run| run.name.clone()).collect()
        };
        for name in live {
            if self.desk().topics.insert(name.clone()) {
                self.driver.act(|engine, _| engine.add_topic(&name));
            }
        }
    }

    /// Ends the client and starts another under the same name. Not while a commit is under way: it could be carried
    /// out behind the new one's back.
    fn begin_anew(&mut self) {
        if self.desk().commit.is_some() {
            return;
        }
        self.shared.count("subscribers begun", 1);
        self.driver.stop();
        self.own.held.renew(engine(self.own.name.as_deref(), &mut self.chance));
        self.driver = Driver::start(&self.host, self.own.held.clone());
        self.begin_reading();
    }

    fn read_some(&mut self) {
        let most = self.chance.skewed(1, READS_MAX);
        let mut reads = Vec::new();
        self.driver.act(|engine, now| {
            while (reads.len() as u64) < most
                && let Some(read) = engine.next_read(now)
            {
                reads.push(read);
            }
        });
        for read in reads {
            match read {
                Read::Record(record) => self.got(&record),
                Read::Error(error) => {
                    self.shared.count(&format!("reads ended: {:?}", error.code), 1);
                    self.desk().stale |= error.code == Code::UnknownTopic;
                }
            }
        }
    }

    fn got(&self, record: &Record) {
        let reader = self.reader();
        let now = self.host.now().0;
        let id = record.value.as_deref().and_then(id_of);
        let mut sim = self.shared.lock();
        sim.stats.count("records delivered", 1);
        sim.oracle.delivered(reader, (&record.topic, record.partition.0), record.offset.0, id, now);
        sim.story.say(now, || {
            let who = self.own.name.as_deref().unwrap_or("wanderer");
            format!("{who} reads {} {} {}: {id:?}", record.topic, record.partition, record.offset)
        });
    }

    fn commit(&mut self) {
        if self.own.name.is_none() || self.desk().commit.is_some() {
            return;
        }
        let reader = self.reader();
        let (shared, host, own) = (&self.shared, &self.host, &self.own);
        let topics = self.desk().topics.clone();
        let begun = self.driver.act(|engine, now| {
            let positions = engine.positions();
            let call = engine.commit(now).expect("it has a name")?;
            let at = Asking { shared, own, reader, now: host.now().0 };
            Some((call, at.ask(&topics, &positions)))
        });
        if begun.is_some() {
            self.shared.count("commits begun", 1);
        }
        self.desk().commit = begun;
    }

    fn take_commit(&mut self) {
        let ended = self.driver.act(|engine, _| engine.next_committed());
        let Some((call, result)) = ended else { return };
        let Some((_, asked)) = self.desk().commit.take_if(|(own, _)| *own == call) else { return };
        let mut sim = self.shared.lock();
        match result {
            Ok(()) => {
                sim.stats.count("commits acked", 1);
                let name = self.own.name.as_deref().expect("it has a name");
                asked.iter().for_each(|(key, offset)| sim.oracle.positions.acked(name, *key, *offset));
            }
            Err(error) => sim.stats.count(&format!("commits failed: {:?}", error.code), 1),
        }
    }

    fn seek(&mut self) {
        if self.own.name.is_some() {
            return;
        }
        let positions = self.driver.act(|engine, _| engine.positions());
        let Some((topic, number, offset)) = self.chance.pick(&positions).cloned() else { return };
        let (back, wall) = (self.chance.below(offset.0 + 10), self.host.wall_ms());
        let to = match self.chance.below(5) {
            0 => Start::Earliest,
            1 => Start::Latest,
            2 => Start::Time(UnixMillis(wall - self.chance.below(20_000) as i64)),
            _ => Start::Offset(Offset(back)),
        };
        self.shared.count("seeks", 1);
        let (now, reader) = (self.host.now().0, self.reader());
        self.shared.lock().oracle.reader_seeks(reader, &topic, number.0, now);
        self.driver.act(|engine, now| engine.seek(&topic, PartitionNumber(number.0), to, now).is_ok());
    }
}

/// Somebody who asks for positions to be kept.
struct Asking<'a> {
    shared: &'a Shared,
    own: &'a Subscriber,
    reader: ReaderId,
    now: u64,
}

impl Asking<'_> {
    /// Tells the oracle what a commit asks for, and returns what is known for certain to be asked.
    fn ask(
        &self,
        topics: &BTreeSet<String>,
        positions: &[(Arc<str>, PartitionNumber, Offset)],
    ) -> Vec<(PartKey, u64)> {
        let name = self.own.name.as_deref().expect("it has a name");
        let mut sim = self.shared.lock();
        let mut asked = Vec::new();
        for topic in topics {
            for number in 0..sim.oracle.topics.partitions_max(topic) {
                let keys = sim.oracle.reader_candidates(self.reader, topic, number, self.now);
                let at = positions.iter().find(|one| *one.0 == **topic && one.1.0 == number);
                match (keys.as_slice(), at) {
                    ([key], Some((_, _, offset))) => {
                        sim.oracle.positions.asked(name, *key, offset.0);
                        asked.push((*key, offset.0));
                    }
                    // The core is looking for its place, or the name has had several lives since it began.
                    (keys, _) => {
                        keys.iter().for_each(|key| sim.oracle.positions.asked_somewhere(name, *key));
                    }
                }
            }
        }
        asked
    }
}
