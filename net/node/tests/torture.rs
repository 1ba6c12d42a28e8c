//! A whole node under kills and power losses at any poll: while it formats, recovers, checkpoints, makes and deletes
//! topics. The oracle knows everything that was sent, acked and read, and exempts nothing: acked records are there
//! exactly once at their offset, in order; what was read stays; nothing appears that nobody sent; positions and log
//! starts never run back; deleted topics stay deleted; `check` finds no damage.
//!
//! `FLUMEN_TORTURE_SEEDS` runs more seeds, `FLUMEN_TORTURE_FIRST` begins elsewhere. A failure names its seed.
#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::print_stderr)]

mod common;

use bytes::Bytes;
use common::chance::Chance;
use common::raw::request;
use common::*;
use flumen_io::Host;
use flumen_io::mem::{MemMachine, MemWorld};
use flumen_model::batch::{BatchBuilder, Batches, Compression, Sequence};
use flumen_model::limits::Limits;
use flumen_model::records::Records;
use flumen_model::{Code, Error, GroupId, Offset, ProducerId, UnixMillis};
use flumen_node::check::check;
use flumen_wire::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Batches that an idempotent producer may have in flight: as many as the node remembers.
const WINDOW: usize = 5;
const RECORDS_MAX: u64 = 6;
const SMALL: u64 = 400;
const LARGE: u64 = 60_000;
const POLLS_MAX: u64 = 400_000_000;

/// A batch as it was sent. Its id says what its records must be; ids grow in the order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    id: u64,
    count: u32,
    value_bytes: usize,
    /// Of the idempotent producer; `None` for a batch that is sent once and never again.
    sequence: Option<i32>,
}

impl Sent {
    fn value(&self, number: u32) -> String {
        let mut value = format!("{}/{number}/{}.", self.id, self.sequence.is_some());
        let letter = char::from(b'a' + (self.id % 26) as u8);
        value.extend(std::iter::repeat_n(letter, self.value_bytes.saturating_sub(value.len())));
        value
    }

    fn batch(&self, producer: Option<ProducerId>) -> Bytes {
        let mut builder = BatchBuilder::new(1 << 20, Compression::None).unwrap();
        for number in 0..self.count {
            builder
                .append(UnixMillis(1_000 + self.id as i64), None, Some(self.value(number).as_bytes()), &[])
                .unwrap();
        }
        if let Some(base_sequence) = self.sequence {
            let producer_id = producer.expect("an idempotent batch has a producer");
            builder.set_sequence(Sequence { producer_id, producer_epoch: 0, base_sequence });
        }
        builder.finish()
    }
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Part {
    shard: u16,
    /// Retention may move the log start by itself.
    bounded: bool,
    producer: Option<ProducerId>,
    next_sequence: i32,
    /// Idempotent batches without an ack, in order: sent again after a restart.
    unacked: VecDeque<Sent>,
    sent: BTreeMap<u64, Sent>,
    /// What was acked or read: base offset to batch.
    placed: BTreeMap<u64, u64>,
    /// Every batch that was seen, with its base offset.
    base_of: BTreeMap<u64, u64>,
    end_seen: u64,
    log_start_seen: u64,
    trim_asked: u64,
    position_acked: u64,
    position_asked: u64,
}

impl Part {
    fn place(&mut self, base: u64, id: u64) {
        assert_eq!(*self.placed.entry(base).or_insert(id), id, "two batches were given offset {base}");
        assert_eq!(*self.base_of.entry(id).or_insert(base), base, "batch {id} is there twice");
        let count = u64::from(self.sent[&id].count);
        self.end_seen = self.end_seen.max(base + count);
    }

    /// Forgets what the log start has passed.
    fn prune(&mut self, log_start: u64) {
        self.log_start_seen = log_start;
        let keep = self.placed.split_off(&log_start.saturating_sub(RECORDS_MAX));
        for id in std::mem::replace(&mut self.placed, keep).values() {
            self.sent.remove(id);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Creating,
    Live,
    Deleting,
}

#[derive(Debug)]
struct Known {
    life: Life,
    partitions: u32,
    bounded: bool,
    groups: Vec<u64>,
}

/// Everything that was sent, acked and seen so far.
#[derive(Debug, Default)]
struct Model {
    topics: BTreeMap<String, Known>,
    parts: BTreeMap<u64, Part>,
    /// Groups of deleted topics: never back.
    gone: BTreeSet<u64>,
    next_id: u64,
    served: bool,
    turns: u64,
    acked: u64,
}

type Shared = Arc<Mutex<Model>>;

/// What a seed is like.
#[derive(Clone, Copy, Debug)]
struct Style {
    cores: usize,
    shards: u16,
    rounds: u64,
    steps: u64,
    /// Percent of batches that are large.
    large: u64,
    polls_max: u64,
}

struct Client {
    host: MemHost,
    control: Rc<Asker>,
    askers: Vec<Rc<Asker>>,
    model: Shared,
    chance: Chance,
    large: u64,
}

impl Client {
    async fn connect(host: MemHost, model: Shared, seed: u64, style: Style) -> Client {
        let mut askers = Vec::new();
        for shard in 0..style.shards {
            askers.push(Asker::connect(&host, shard).await);
        }
        let control = Asker::connect(&host, 0).await;
        let chance = Chance::of(seed, 77);
        Client { host, control, askers, model, chance, large: style.large }
    }

    fn asker(&self, group: u64) -> Rc<Asker> {
        let shard = self.model.lock().unwrap().parts[&group].shard;
        self.askers[usize::from(shard)].clone()
    }

    fn groups(&self) -> Vec<u64> {
        self.model.lock().unwrap().parts.keys().copied().collect()
    }

    /// Compares the node with the model after a start, and settles what a kill left open.
    async fn verify(&mut self) {
        self.learn_topics().await;
        for group in self.groups() {
            self.verify_group(group).await;
        }
        self.verify_positions().await;
    }

    async fn learn_topics(&self) {
        let topics = self.control.ask(&MetadataRequest { topics: Vec::new() }).await.unwrap().topics;
        let model = &mut *self.model.lock().unwrap();
        model.served = true;
        let found: BTreeMap<String, &TopicMetadata> =
            topics.iter().map(|topic| (topic.name.clone(), topic)).collect();
        let names: BTreeSet<String> = model.topics.keys().chain(found.keys()).cloned().collect();
        for name in names {
            let known = model.topics.get_mut(&name);
            match (known, found.get(&name)) {
                (Some(known), Some(topic)) => {
                    let groups: Vec<u64> =
                        topic.partitions.iter().map(|partition| partition.group.0).collect();
                    assert_eq!(
                        groups.len(),
                        known.partitions as usize,
                        "a topic is there whole or not at all"
                    );
                    assert!(
                        known.life == Life::Creating || known.groups == groups,
                        "{name} has other groups"
                    );
                    assert!(
                        groups.iter().all(|group| !model.gone.contains(group)),
                        "{name} has a deleted topic's groups"
                    );
                    for partition in &topic.partitions {
                        let part = model.parts.entry(partition.group.0).or_default();
                        (part.shard, part.bounded) = (partition.shard.0, known.bounded);
                    }
                    (known.life, known.groups) = (Life::Live, groups);
                }
                (Some(known), None) => {
                    assert_ne!(known.life, Life::Live, "topic {name} is gone");
                    let known = model.topics.remove(&name).expect("it was there");
                    forget(model, &known);
                }
                (None, _) => panic!("topic {name} was deleted, or never made"),
            }
        }
    }

    async fn verify_group(&mut self, group: u64) {
        let asker = self.asker(group);
        let described =
            asker.ask(&DescribeRequest { groups: vec![GroupId(group)] }).await.unwrap().groups[0].clone();
        assert_eq!((described.error, described.state), (None, GroupState::Healthy), "group {group}");
        let (start, end) = (described.log_start.0, described.high_watermark.0);
        {
            let model = &mut *self.model.lock().unwrap();
            let part = model.parts.get_mut(&group).unwrap();
            assert!(start >= part.log_start_seen, "the log start of {group} ran back: {start}");
            assert!(
                part.bounded || start <= part.trim_asked,
                "nobody asked for a log start of {start} in {group}"
            );
            assert!(
                end >= part.end_seen,
                "group {group} ends at {end}, but {} was acked or read",
                part.end_seen
            );
        }
        let batches = self.read(group, start, end).await;
        let model = &mut *self.model.lock().unwrap();
        let part = model.parts.get_mut(&group).unwrap();
        let found: BTreeMap<u64, u64> = batches.into_iter().collect();
        for (base, id) in part.placed.range(start..) {
            assert_eq!(found.get(base), Some(id), "group {group} lost offset {base}");
        }
        let mut newest = [0; 2];
        for (base, id) in &found {
            part.place(*base, *id);
            let idempotent = usize::from(part.sent[id].sequence.is_some());
            assert!(*id > newest[idempotent], "batch {id} of {group} is out of order");
            newest[idempotent] = *id;
        }
        part.prune(start);
    }

    /// Reads from a start to an end and checks every record. Returns base offsets and ids.
    async fn read(&self, group: u64, start: u64, end: u64) -> Vec<(u64, u64)> {
        let asker = self.asker(group);
        let mut found = Vec::new();
        let mut next = start;
        while next < end {
            let fetch = FetchRequest {
                group: GroupId(group),
                offset: Offset(next),
                bytes_max: 256 * 1024,
                wait_ms: 0,
                bytes_min: 0,
            };
            let reply = match asker.ask(&fetch).await {
                Ok(reply) => reply,
                // Retention went on meanwhile.
                Err(error) if error.code == Code::OffsetOutOfRange && self.is_bounded(group) => {
                    return Vec::new();
                }
                Err(error) => panic!("group {group} at {next}: {error}"),
            };
            assert!(!reply.batches.is_empty(), "group {group} has nothing at {next} below {end}");
            let model = self.model.lock().unwrap();
            let part = &model.parts[&group];
            for view in Batches::new(&reply.batches) {
                view.check_crc().unwrap();
                let base = view.base_offset().0;
                assert!(
                    base == next || (next == start && base < next),
                    "offsets are dense: {base} at {next} in {group}"
                );
                let mut sent = None;
                for (number, record) in Records::new(&view, view.payload()).enumerate() {
                    let record = record.unwrap();
                    let value = std::str::from_utf8(record.value.unwrap()).unwrap();
                    let id = value.split('/').next().unwrap().parse().unwrap();
                    let one: &Sent =
                        part.sent.get(&id).unwrap_or_else(|| panic!("nobody sent {id} to {group}"));
                    assert!(*sent.get_or_insert(*one) == *one, "one batch, one id");
                    assert!(value == one.value(number as u32), "the record is what was sent");
                }
                let sent = sent.expect("no batch is empty");
                assert_eq!(view.record_count(), sent.count);
                found.push((base, sent.id));
                next = view.next_offset().0;
            }
        }
        found
    }

    fn is_bounded(&self, group: u64) -> bool {
        self.model.lock().unwrap().parts[&group].bounded
    }

    async fn verify_positions(&self) {
        let positions = match self.control.ask(&FetchPositionsRequest { subscription: "s".into() }).await {
            Ok(reply) => reply.positions,
            Err(error) => {
                assert_eq!(error.code, Code::UnknownSubscription, "{error}");
                Vec::new()
            }
        };
        let found: BTreeMap<u64, u64> = positions.iter().map(|one| (one.group.0, one.offset.0)).collect();
        let model = &mut *self.model.lock().unwrap();
        for (group, part) in &mut model.parts {
            let position = found.get(group).copied().unwrap_or(0);
            assert!(
                (part.position_acked..=part.position_asked).contains(&position),
                "position {position} of {group}: {} was acked, {} asked",
                part.position_acked,
                part.position_asked
            );
            part.position_acked = position;
        }
    }

    /// One random step.
    async fn step(&mut self) {
        match self.chance.below(100) {
            0..=1 => self.create().await,
            2 => self.delete(Vec::new()).await,
            3..=5 => self.trim().await,
            6..=12 => self.commit_positions().await,
            13..=16 => {
                let group = self.pick();
                self.verify_part(group).await;
            }
            17..=19 => {
                let wait = self.chance.below(3_000);
                self.host.sleep(Duration::from_millis(wait)).await;
            }
            _ => self.produce().await,
        }
    }

    fn pick(&mut self) -> Option<u64> {
        let groups = self.groups();
        (!groups.is_empty()).then(|| groups[self.chance.below(groups.len() as u64) as usize])
    }

    async fn verify_part(&mut self, group: Option<u64>) {
        if let Some(group) = group {
            self.verify_group(group).await;
        }
    }

    /// Sends batches to several partitions at once, what is not acked yet first, then takes the acks.
    async fn produce(&mut self) {
        let mut asked = Vec::new();
        for _ in 0..1 + self.chance.below(4) {
            let Some(group) = self.pick() else { return self.create().await };
            if asked.iter().all(|(other, _)| *other != group) {
                let sent = self.send_some(group).await;
                asked.push((group, sent));
            }
        }
        // At times the topic goes while its batches are on their way.
        if self.chance.below(150) == 0 {
            return self.delete(asked).await;
        }
        self.take_acks(asked, None).await;
    }

    /// Puts as many batches on the way as the window has room for.
    async fn send_some(&mut self, group: u64) -> Vec<Sent> {
        self.ensure_producer(group).await;
        let mut all: Vec<Sent> = self.model.lock().unwrap().parts[&group].unacked.iter().copied().collect();
        let more = self.chance.below((WINDOW - all.len()) as u64 + 1);
        for _ in 0..more {
            let sent = self.new_batch(group, true);
            all.push(sent);
        }
        if self.chance.below(8) == 0 {
            let sent = self.new_batch(group, false);
            all.push(sent);
        }
        let producer = self.model.lock().unwrap().parts[&group].producer;
        let asker = self.asker(group);
        for sent in &all {
            let acks = if self.chance.below(2) == 0 { Acks::Leader } else { Acks::Quorum };
            let frame = request(
                sent.id as u32,
                &ProduceRequest { group: GroupId(group), acks, batch: sent.batch(producer) },
            );
            asker.send(frame).await;
        }
        all
    }

    fn new_batch(&mut self, group: u64, idempotent: bool) -> Sent {
        let count = 1 + self.chance.below(RECORDS_MAX) as u32;
        let bytes = if self.chance.below(100) < self.large {
            LARGE / 2 + self.chance.below(LARGE / 2)
        } else {
            self.chance.below(SMALL)
        };
        let model = &mut *self.model.lock().unwrap();
        model.next_id += 1;
        let part = model.parts.get_mut(&group).unwrap();
        let sequence = idempotent.then_some(part.next_sequence);
        let sent = Sent { id: model.next_id, count, value_bytes: bytes as usize / count as usize, sequence };
        if idempotent {
            part.next_sequence += count as i32;
            part.unacked.push_back(sent);
        }
        part.sent.insert(sent.id, sent);
        sent
    }

    async fn ensure_producer(&self, group: u64) {
        if self.model.lock().unwrap().parts[&group].producer.is_some() {
            return;
        }
        let reply = self.control.ask(&InitProducerRequest {}).await.unwrap();
        let model = &mut *self.model.lock().unwrap();
        let taken = model.parts.values().any(|part| part.producer == Some(reply.producer_id));
        assert!(!taken, "producer id {} was given twice", reply.producer_id);
        model.parts.get_mut(&group).unwrap().producer = Some(reply.producer_id);
    }

    /// Replies come in the order of the requests on each connection. Groups of a topic that is being deleted may
    /// refuse.
    async fn take_acks(&mut self, asked: Vec<(u64, Vec<Sent>)>, deleted: Option<&[u64]>) {
        for (group, all) in asked {
            let asker = self.asker(group);
            for sent in all {
                let (correlation, body) = asker.reply().await.expect("the connection lives");
                assert_eq!(correlation, sent.id as u32, "replies come in the order of requests");
                match decode_reply::<ProduceRequest>(&body) {
                    Ok(reply) => self.acked(group, &sent, reply.base_offset.0),
                    Err(error) => self.refused(group, &sent, &error, deleted),
                }
            }
        }
    }

    fn acked(&self, group: u64, sent: &Sent, base: u64) {
        let model = &mut *self.model.lock().unwrap();
        model.acked += 1;
        let part = model.parts.get_mut(&group).unwrap();
        if sent.sequence.is_some() {
            assert_eq!(part.unacked.pop_front().as_ref(), Some(sent));
        }
        if part.sent.contains_key(&sent.id) {
            part.place(base, sent.id);
        }
    }

    fn refused(&self, group: u64, sent: &Sent, error: &Error, deleted: Option<&[u64]>) {
        let gone = deleted.is_some_and(|groups| groups.contains(&group)) && error.code == Code::UnknownTopic;
        assert!(gone, "group {group} refuses {sent:?}: {:?} {error}", error.code);
    }

    async fn create(&mut self) {
        let name = format!("t{}", self.chance.below(4));
        let (partitions, bounded) = (1 + self.chance.below(3) as u32, self.chance.below(3) > 0);
        let mut settings = vec![("retention.ms", "-1"), ("segment.bytes", "262144")];
        if bounded {
            settings.push(("retention.bytes", "600000"));
        }
        let settings =
            settings.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let new = {
            let model = &mut *self.model.lock().unwrap();
            let new = !model.topics.contains_key(&name);
            if new {
                let known = Known { life: Life::Creating, partitions, bounded, groups: Vec::new() };
                model.topics.insert(name.clone(), known);
            }
            new
        };
        let created = self.control.ask(&CreateTopicRequest { name, partitions, settings }).await;
        match new {
            true => drop(created.unwrap()),
            false => assert_eq!(created.unwrap_err().code, Code::TopicExists),
        }
        self.learn_topics().await;
    }

    /// Deletes a topic, at times one whose batches are on their way.
    async fn delete(&mut self, asked: Vec<(u64, Vec<Sent>)>) {
        let (name, groups) = {
            let model = &mut *self.model.lock().unwrap();
            let names: Vec<String> = model.topics.keys().cloned().collect();
            if names.is_empty() {
                return;
            }
            let name = names[self.chance.below(names.len() as u64) as usize].clone();
            let known = model.topics.get_mut(&name).unwrap();
            known.life = Life::Deleting;
            (name, known.groups.clone())
        };
        self.control.ask(&DeleteTopicRequest { name: name.clone() }).await.unwrap();
        self.take_acks(asked, Some(&groups)).await;
        let error = self.control.ask(&DeleteTopicRequest { name: name.clone() }).await.unwrap_err();
        assert_eq!(error.code, Code::UnknownTopic);
        let model = &mut *self.model.lock().unwrap();
        let known = model.topics.remove(&name).unwrap();
        forget(model, &known);
    }

    async fn trim(&mut self) {
        let Some(group) = self.pick() else { return };
        let to = {
            let model = &mut *self.model.lock().unwrap();
            let part = model.parts.get_mut(&group).unwrap();
            let to = part.log_start_seen
                + self.chance.below(part.end_seen - part.log_start_seen.min(part.end_seen) + 1);
            if to > part.end_seen {
                return;
            }
            part.trim_asked = part.trim_asked.max(to);
            to
        };
        let reply = self
            .asker(group)
            .ask(&TrimRequest { group: GroupId(group), before_offset: Offset(to) })
            .await
            .unwrap();
        assert!(reply.log_start.0 >= to);
        self.model.lock().unwrap().parts.get_mut(&group).unwrap().prune(reply.log_start.0);
    }

    async fn commit_positions(&mut self) {
        let groups = self.groups();
        let mut positions = Vec::new();
        for group in groups {
            if self.chance.below(2) == 0 {
                let part = &mut self.model.lock().unwrap().parts;
                let part = part.get_mut(&group).unwrap();
                part.position_asked += 1 + self.chance.below(9);
                let (group, offset) = (GroupId(group), Offset(part.position_asked));
                positions.push(Position { group, offset, leader_epoch: 0, metadata: "m".into() });
            }
        }
        let request = CommitPositionsRequest { subscription: "s".into(), positions: positions.clone() };
        self.control.ask(&request).await.unwrap();
        let model = &mut *self.model.lock().unwrap();
        for position in positions {
            model.parts.get_mut(&position.group.0).unwrap().position_acked = position.offset.0;
        }
    }

    async fn note_turns(&self) {
        for asker in &self.askers {
            let status = asker.ask(&StatusRequest {}).await.unwrap().json;
            let turns = status.split("\"turns\":").nth(1).unwrap().split([',', '}']).next().unwrap();
            let model = &mut *self.model.lock().unwrap();
            model.turns = model.turns.max(turns.parse().unwrap());
        }
    }
}

fn forget(model: &mut Model, known: &Known) {
    for group in &known.groups {
        model.parts.remove(group);
        model.gone.insert(*group);
    }
}

/// The directory as a crash left it: no damage, and nothing of what was acked is missing.
fn check_directory(world: &MemWorld, model: &Shared) {
    let report = check(MemMachine::new(world.clone(), 5), "/data".into(), Limits::simulation());
    match report {
        Ok(report) => {
            assert_eq!(report.damage, [], "a crash is no damage");
            assert!(report.partitions.iter().all(|partition| partition.damaged.is_none()));
        }
        Err(error) => assert!(!model.lock().unwrap().served, "the directory served before: {error}"),
    }
}

fn torture(seed: u64, style: Style) -> Shared {
    let world = MemWorld::new();
    let model: Shared = Arc::default();
    let mut chance = Chance::of(seed, 1);
    for round in 0..=style.rounds {
        let last = round == style.rounds;
        let polls = if last { u64::MAX } else { chance.skewed(10, style.polls_max) };
        let shared = model.clone();
        let run = chance.next();
        let client = move |host: MemHost| async move {
            let mut client = Client::connect(host, shared, run, style).await;
            client.verify().await;
            for _ in 0..style.steps {
                client.step().await;
            }
            client.verify().await;
            client.note_turns().await;
        };
        let limit = |machine: MemMachine| match last {
            true => machine.poll_budget(POLLS_MAX),
            false => machine.stop_after_polls(polls),
        };
        let seen = run_node(&world, run, style.cores, config(style.shards), limit, client);
        assert_eq!(seen.failed.get(), None, "round {round}: the node failed");
        // A kill keeps what the kernel has; a power loss keeps what is durable, and parts of the rest.
        if !last && chance.below(4) > 0 {
            world.crash(chance.next());
        }
        check_directory(&world, &model);
    }
    // A killed node leaves its memory behind, and the disk with it.
    for (path, _) in world.files() {
        world.cut(path, 0).unwrap();
    }
    model
}

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Says the seed when a run of it fails.
struct Named(u64, Style);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("FAILED at seed {} of {:?}", self.0, self.1);
        }
    }
}

#[test]
fn what_was_acked_survives_kills_and_power_losses_at_any_moment() {
    let first = env("FLUMEN_TORTURE_FIRST", 0);
    for seed in first..first + env("FLUMEN_TORTURE_SEEDS", 24) {
        let (cores, shards) = [(1, 1), (2, 2), (1, 2), (1, 1)][seed as usize % 4];
        let style = Style { cores, shards, rounds: 8, steps: 120, large: seed % 3 * 8, polls_max: 30_000 };
        let _named = Named(seed, style);
        torture(seed, style);
    }
}

#[test]
fn nothing_is_lost_while_the_journal_turns_around_and_segments_come_and_go() {
    let first = env("FLUMEN_TORTURE_FIRST", 0);
    let mut turns = 0;
    for seed in first..first + env("FLUMEN_TORTURE_SEEDS", 24).div_ceil(24) {
        let style = Style { cores: 1, shards: 1, rounds: 5, steps: 1_000, large: 70, polls_max: 400_000 };
        let _named = Named(seed, style);
        let model = torture(seed, style);
        let model = model.lock().unwrap();
        println!("{} batches acked, the journal turned {} times", model.acked, model.turns);
        turns = turns.max(model.turns);
    }
    assert!(turns >= 2, "the journal turned only {turns} times");
}
