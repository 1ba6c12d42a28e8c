//! An operator: trims the topic `load`, and creates, fills and deletes small topics whose few names come back again and
//! again. What was acked stays so: a trim is not undone, a deleted topic does not come back, and a new topic of an old
//! name never shows old records.

use crate::common::chance::Chance;
use crate::ledger::Ledger;
use crate::{PARTITIONS, settings};
use flumen_client::blocking::{Admin, Client, Producer};
use flumen_client::model::{Code, Error, Kind, Offset, TopicId};
use flumen_client::{NewRecord, ProducerSettings};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

/// Names that small topics have.
const NAMES: [&str; 5] = ["small-a", "small-b", "small-c", "small-d", "small-e"];

/// A small topic that is there.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) id: TopicId,
    /// The values of each partition's records.
    pub(crate) records: Vec<Vec<Vec<u8>>>,
    /// One for each life: what a producer knew of an older topic of the name is none of this test's business.
    producer: Producer,
}

/// What an operator did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) created: u64,
    pub(crate) deleted: u64,
    pub(crate) trims: u64,
    /// Answers that a kill took away.
    pub(crate) unanswered: u64,
}

pub(crate) struct Operator {
    pub(crate) admin: Admin,
    client: Client,
    chance: Chance,
    /// The small topics that are there; no others are.
    pub(crate) topics: BTreeMap<String, Small>,
    /// Ids that topics had which are no more.
    gone: BTreeSet<TopicId>,
    lives: u64,
    pub(crate) done: Done,
}

/// Works until it is told to stop, one thing after the other, and lets others look between two of them.
pub(crate) fn operate(operator: &Mutex<Operator>, ledger: &Ledger, mut chance: Chance) {
    while ledger.goes_on() {
        operator.lock().unwrap().something(ledger);
        std::thread::sleep(chance.millis_below(5) + Duration::from_millis(1));
    }
}

impl Operator {
    pub(crate) fn new(addr: SocketAddr, mut chance: Chance) -> Operator {
        let client = Client::new(&addr.to_string(), settings(&mut chance));
        Operator {
            admin: client.admin().unwrap(),
            client,
            chance,
            topics: BTreeMap::new(),
            gone: BTreeSet::new(),
            lives: 0,
            done: Done::default(),
        }
    }

    fn something(&mut self, ledger: &Ledger) {
        let name = self.chance.of(&NAMES);
        match self.chance.below(4) {
            0 => self.trim(ledger),
            1 if self.topics.contains_key(name) => self.delete(name),
            _ if self.topics.contains_key(name) => self.fill(name),
            _ => self.create(name),
        }
    }

    /// Trims a partition of `load` to somewhere in what it has.
    fn trim(&mut self, ledger: &Ledger) {
        let partition = self.chance.below(PARTITIONS as u64) as usize;
        let before = {
            let part = &mut ledger.parts()[partition];
            let to = part.trimmed.asked + self.chance.below(part.end - part.trimmed.asked + 1);
            part.trimmed.ask(to);
            to
        };
        let start = self.admin.trim("load", partition as u32, Offset(before)).unwrap();
        assert!(start.0 >= before, "partition {partition} begins at {start} after a trim to {before}");
        ledger.parts()[partition].trimmed.ack(before);
        self.done.trims += 1;
    }

    fn create(&mut self, name: &str) {
        let partitions = 1 + self.chance.below(4);
        let made = self.admin.create_topic(name, partitions as u32, &[("segment.bytes", "262144")]);
        let id = match made {
            Ok(id) => Some(id),
            Err(error) => self.look(name, &error),
        };
        let Some(id) = id else { return };
        assert!(!self.gone.contains(&id), "{name} is a topic that was deleted");
        let records = vec![Vec::new(); partitions as usize];
        let producer = self.client.producer(ProducerSettings::default()).unwrap();
        self.topics.insert(name.to_owned(), Small { id, records, producer });
        self.done.created += 1;
    }

    fn delete(&mut self, name: &str) {
        let id = self.topics[name].id;
        if let Err(error) = self.admin.delete_topic(name)
            && let Some(still) = self.look(name, &error)
        {
            assert_eq!(still, id, "{name}");
            return;
        }
        self.topics.remove(name);
        self.gone.insert(id);
        self.done.deleted += 1;
    }

    /// Whether a topic is there now, and its id, after an answer was lost: what was asked may have been done.
    fn look(&mut self, name: &str, error: &Error) -> Option<TopicId> {
        assert!(matches!(error.kind(), Kind::Closed | Kind::Retry), "{name}: {error}");
        self.done.unanswered += 1;
        match self.admin.topic(name) {
            Ok(topic) => Some(topic.id),
            Err(error) if error.code == Code::UnknownTopic => None,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// Writes a few records that say whose they are.
    fn fill(&mut self, name: &str) {
        let topic = self.topics.get_mut(name).expect("it is there");
        for _ in 0..=self.chance.below(5) {
            self.lives += 1;
            let partition = self.chance.below(topic.records.len() as u64) as usize;
            let mut value = format!("{} {}", self.lives, topic.id).into_bytes();
            value.resize(value.len() + self.chance.below(30_000) as usize, b'.');
            let record = NewRecord::to(name).partition(partition as u32).value(value.clone());
            let acked = topic.producer.send_record(&record).unwrap_or_else(|error| panic!("{name}: {error}"));
            let records = &mut topic.records[partition];
            assert!(acked.offset.is_none_or(|offset| offset.0 == records.len() as u64), "{name}: {acked:?}");
            records.push(value);
        }
    }
}
