//! Reads everything that a node has and hands it to the oracle: topics, partitions from end to end, positions. Asks
//! again where a fault came between; where nothing answers, nothing is judged, and the caller is told.

use super::{Place, fetcher::tells_damage, places};
use crate::face::{Answer, Asker};
use crate::oracle::{Health, Known, Listed, Promise, Whole};
use crate::payload::{Reading, open};
use crate::scenario::Fault;
use crate::sim::Shared;
use flumen_io::Host;
use flumen_io::mem::MemHost;
use flumen_model::batch::{BatchBuilder, Compression};
use flumen_model::{Code, Error, Offset, ShardId, UnixMillis};
use flumen_wire::*;
use std::time::Duration;

/// How long an answer may take, all tries together.
const WITHIN: Duration = Duration::from_secs(30);
const FETCH_BYTES: u32 = 512 * 1024;
/// Retention may move a log start while it is read; it does so every few seconds at most.
const TRIES: usize = 5;

/// What kept something from being verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered(pub String);

fn unanswered<T>(what: &str, answer: &Answer<T>) -> Unanswered {
    Unanswered(match answer {
        Answer::Refused(error) => format!("{what}: {:?} {error}", error.code),
        _ => format!("{what}: no answer within {WITHIN:?}"),
    })
}

/// Everything. `settled`: nothing that was asked before can be under way.
pub async fn everything(host: &MemHost, shared: &Shared, settled: bool) -> Result<(), Unanswered> {
    let mut asker = Asker::new(host, "verifier");
    if !topics(&mut asker, shared, host.now().0, settled).await {
        return Err(Unanswered("the topics are not listed".to_string()));
    }
    for place in places(shared) {
        if shared.lock().oracle.violation().is_some() {
            return Ok(());
        }
        if let Some(unanswered) = partition(&mut asker, host, shared, &place, true).await {
            return Err(unanswered);
        }
    }
    positions(&mut asker, shared).await
}

/// All topics. False when there was no answer.
pub(super) async fn topics(asker: &mut Asker, shared: &Shared, now: u64, settled: bool) -> bool {
    let request = MetadataRequest { topics: Vec::new() };
    let Answer::Got(reply) = asker.insist(ShardId(0), &request, WITHIN).await else { return false };
    let listed = |topic: TopicMetadata| Listed {
        name: topic.name,
        groups: topic.partitions.iter().map(|one| (one.group.0, one.shard.0)).collect(),
    };
    let listing: Vec<Listed> = reply.topics.into_iter().filter(|topic| !topic.internal).map(listed).collect();
    shared.lock().oracle.listed(&listing, settled, now);
    true
}

/// One partition from end to end. Tells what kept it from being read.
pub(super) async fn partition(
    asker: &mut Asker,
    host: &MemHost,
    shared: &Shared,
    place: &Place,
    quiet: bool,
) -> Option<Unanswered> {
    for _ in 0..TRIES {
        let known = shared.lock().oracle.topics.part(place.key).known(quiet);
        match read_whole(asker, host, shared, place, known).await {
            Ok(Some(whole)) => {
                shared.count("partitions verified", 1);
                shared.say(host.now().0, || {
                    let (start, end) = (whole.log_start, whole.high_watermark);
                    format!("{} has {start} to {end}: {:?}", place.key, whole.health)
                });
                no_damage_without_a_cause(shared, place, &whole);
                shared.lock().oracle.verified(place.key, &whole);
                return None;
            }
            Ok(None) => {}
            Err(unanswered) => return Some(unanswered),
        }
    }
    Some(Unanswered(format!("the log start of {} moved {TRIES} times while it was read", place.key)))
}

/// Damage that nothing did is a loss under another name.
fn no_damage_without_a_cause(shared: &Shared, place: &Place, whole: &Whole) {
    let causes = [Fault::Rot, Fault::DiskErrors, Fault::Lies];
    if let Health::Damaged(said) = &whole.health
        && !causes.iter().any(|cause| shared.lock().plan.has(*cause))
    {
        let what = format!("{} is called damaged, and nothing has damaged it: {said}", place.key);
        shared.report(Promise::DamageReported, what);
    }
}

async fn read_whole(
    asker: &mut Asker,
    host: &MemHost,
    shared: &Shared,
    place: &Place,
    known: Known,
) -> Result<Option<Whole>, Unanswered> {
    let request = DescribeRequest { groups: vec![place.group] };
    let answer = asker.insist(place.shard, &request, WITHIN).await;
    let described = match answer {
        Answer::Got(reply) => reply.groups[0].clone(),
        other => return Err(unanswered("a partition is not described", &other)),
    };
    if let Some(code) = described.error {
        return Err(Unanswered(format!("{} is not described: {code:?}", place.key)));
    }
    let health = match described.state {
        GroupState::Damaged => Health::Damaged(format!("from {:?} on", described.damaged_from)),
        _ => Health::Whole,
    };
    let (log_start, high_watermark) = (described.log_start.0, described.high_watermark.0);
    let mut whole =
        Whole { log_start, high_watermark, reading: Reading::default(), read_to: log_start, health, known };
    let mut bytes = 0;
    while whole.read_to < high_watermark {
        let fetch = FetchRequest {
            group: place.group,
            offset: Offset(whole.read_to),
            bytes_max: FETCH_BYTES,
            wait_ms: 0,
            bytes_min: 0,
        };
        match asker.insist(place.shard, &fetch, WITHIN).await {
            Answer::Got(reply) if reply.batches.is_empty() => break,
            Answer::Got(reply) => {
                bytes += reply.batches.len() as u64;
                add(host, shared, place, &mut whole, &reply);
            }
            Answer::Refused(error) if error.code == Code::OffsetOutOfRange && moved(&whole) => {
                return Ok(None);
            }
            Answer::Refused(error) if tells_damage(error.code) => {
                whole.health = Health::Damaged(error.to_string());
                break;
            }
            Answer::Refused(error) if is_final(&error) => {
                whole.health = Health::Unreadable(format!("{:?} {error}", error.code));
                break;
            }
            other => return Err(unanswered("a partition is not read", &other)),
        }
    }
    let mut sim = shared.lock();
    if whole.read_to >= high_watermark && !sim.plan.has(Fault::Clock) && !sim.plan.has_damage() {
        sim.oracle.retained(place.key, log_start, bytes, host.now().0);
    }
    drop(sim);
    Ok(Some(whole))
}

/// An offset below the high watermark is out of range only when the log start has passed it.
fn moved(whole: &Whole) -> bool {
    whole.read_to < whole.high_watermark
}

fn is_final(error: &Error) -> bool {
    !matches!(error.kind(), flumen_model::Kind::Retry | flumen_model::Kind::Closed)
}

fn add(host: &MemHost, shared: &Shared, place: &Place, whole: &mut Whole, reply: &FetchReply) {
    let mut reading = open(&reply.batches);
    let now = host.now().0;
    let mut sim = shared.lock();
    sim.oracle.fetched(place.key, whole.read_to, reply.high_watermark.0, &reading, now);
    whole.read_to = reading.batches.last().map_or(whole.high_watermark, |batch| batch.1);
    // The first batch may begin before the log start; what is there is nobody's business any more.
    reading.records.retain(|seen| seen.offset >= whole.log_start);
    whole.reading.records.append(&mut reading.records);
    whole.reading.batches.append(&mut reading.batches);
}

async fn positions(asker: &mut Asker, shared: &Shared) -> Result<(), Unanswered> {
    let names = shared.lock().oracle.positions.names();
    for name in names {
        let request = FetchPositionsRequest { subscription: name.clone() };
        let found = match asker.insist(ShardId(0), &request, WITHIN).await {
            Answer::Got(reply) => reply.positions.iter().map(|one| (one.group.0, one.offset.0)).collect(),
            Answer::Refused(error) if error.code == Code::UnknownSubscription => Vec::new(),
            other => return Err(unanswered("positions are not told", &other)),
        };
        let mut sim = shared.lock();
        let strict = !sim.plan.has_late_requests();
        sim.oracle.positions_found(&name, &found, strict);
    }
    Ok(())
}

/// Asks every partition that is not damaged to take a record.
pub async fn takes_records(host: &MemHost, shared: &Shared) {
    let mut asker = Asker::new(host, "healer");
    let until = host.now().plus(crate::oracle::HEALS_WITHIN);
    for place in places(shared) {
        if shared.lock().oracle.topics.part(place.key).damaged {
            continue;
        }
        let mut refused = Some("no answer".to_string());
        while refused.is_some() && host.now() < until {
            refused = take_one(&mut asker, host, shared, &place).await;
            if refused.is_some() {
                host.sleep(Duration::from_millis(100)).await;
            }
        }
        shared.lock().oracle.asked_to_take(place.key, refused);
    }
}

async fn take_one(asker: &mut Asker, host: &MemHost, shared: &Shared, place: &Place) -> Option<String> {
    let id = super::producer::one_record(shared, host.now().0, place);
    let mut builder = BatchBuilder::new(1 << 16, Compression::None).expect("no codec is asked for");
    let value = crate::payload::value(id, 100);
    let appended = builder.append(UnixMillis(host.wall_ms()), None, Some(&value), &[]);
    appended.expect("a small record fits");
    match asker.produce(place.shard, place.group, builder.finish()).await {
        Answer::Got(reply) => {
            let (now, offset) = (host.now().0, reply.base_offset.0);
            let mut sim = shared.lock();
            sim.stats.count("partitions that took a record at the end", 1);
            sim.oracle.acked(id, &place.topic, place.key.number, Some(offset), now);
            None
        }
        Answer::Refused(error) => Some(format!("{:?} {error}", error.code)),
        Answer::Lost => Some("no answer".to_string()),
    }
}
