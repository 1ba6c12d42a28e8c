//! `flumen subscription …`: the positions that a node keeps for readers, how far behind they are, and moving them.

use super::ask::{Ask, now};
use crate::cli::topic::{ResetSubscription, SubscriptionCommand};
use crate::print::table::{Side, Table};
use crate::print::{Form, units};
use flumen_model::batch::Batches;
use flumen_model::limits::BATCH_BYTES_HARD_MAX;
use flumen_model::topic::check_name;
use flumen_model::{Code, Error, GroupId, Offset, Result, UnixMillis, records};
use flumen_wire::{
    CommitPositionsRequest, CommittedPosition, DeleteSubscriptionRequest, FetchPositionsRequest,
    FetchRequest, GroupDescription, ListSubscriptionsRequest, PartitionMetadata, Position, TopicMetadata,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// A record larger than so many bytes is refused by the reader of a compressed batch.
const OPENED_BYTES_MAX: usize = 16 * BATCH_BYTES_HARD_MAX;

#[derive(Serialize)]
struct List {
    subscriptions: Vec<String>,
}

#[derive(Serialize)]
struct Described {
    name: String,
    lag_records: u64,
    lag_seconds: f64,
    positions: Vec<Lag>,
}

/// How far behind a position is.
#[derive(Serialize)]
struct Lag {
    topic: String,
    partition: u32,
    offset: u64,
    log_start: u64,
    high_watermark: u64,
    lag_records: u64,
    /// The age of the oldest record that is not read yet.
    lag_seconds: f64,
    commit_time_ms: i64,
    metadata: String,
}

#[derive(Serialize)]
struct Moved {
    name: String,
    positions: Vec<MovedTo>,
}

#[derive(Serialize)]
struct MovedTo {
    topic: String,
    partition: u32,
    offset: u64,
}

#[derive(Serialize)]
struct Named {
    name: String,
}

/// `flumen subscription …`
pub(crate) fn run(command: &SubscriptionCommand, server: SocketAddr, form: Form) -> Result<()> {
    let mut ask = Ask::connect(server)?;
    match command {
        SubscriptionCommand::List => {
            let list = List { subscriptions: ask.node(&ListSubscriptionsRequest {})?.names };
            form.answer(&list, |list| list.subscriptions.iter().map(|name| format!("{name}\n")).collect());
            Ok(())
        }
        SubscriptionCommand::Describe { name } => describe(&mut ask, name, form),
        SubscriptionCommand::Reset(args) => reset(&mut ask, args, form),
        SubscriptionCommand::Delete { name } => {
            ask.node(&DeleteSubscriptionRequest { subscription: name.clone() })?;
            form.answer(&Named { name: name.clone() }, |it| format!("deleted subscription {}\n", it.name));
            Ok(())
        }
    }
}

/// A subscription's positions by group; none when there is no such subscription.
pub(crate) fn positions(ask: &mut Ask, name: &str) -> Result<Option<BTreeMap<GroupId, CommittedPosition>>> {
    check_name("subscription", name)?;
    match ask.node(&FetchPositionsRequest { subscription: name.to_owned() }) {
        Ok(reply) => {
            Ok(Some(reply.positions.into_iter().map(|position| (position.group, position)).collect()))
        }
        Err(error) if error.code == Code::UnknownSubscription => Ok(None),
        Err(error) => Err(error),
    }
}

fn known(ask: &mut Ask, name: &str) -> Result<BTreeMap<GroupId, CommittedPosition>> {
    positions(ask, name)?.ok_or_else(|| {
        let message = format!("there is no subscription {name}; `flumen subscription list` shows all");
        Error::new(Code::UnknownSubscription, message)
    })
}

fn describe(ask: &mut Ask, name: &str, form: Form) -> Result<()> {
    let positions = known(ask, name)?;
    let topics = ask.topics()?;
    let read: Vec<(&TopicMetadata, usize, &PartitionMetadata)> =
        places(&topics).filter(|(_, _, partition)| positions.contains_key(&partition.group)).collect();
    let states = ask.describe(read.iter().map(|(_, _, partition)| *partition))?;
    let mut lags = Vec::with_capacity(read.len());
    for (topic, number, partition) in read {
        let Some(state) = states.get(&partition.group) else { continue };
        lags.push(lag(ask, &topic.name, number as u32, partition, state, &positions[&partition.group])?);
    }
    let described = Described {
        name: name.to_owned(),
        lag_records: lags.iter().map(|lag| lag.lag_records).sum(),
        lag_seconds: lags.iter().map(|lag| lag.lag_seconds).fold(0.0, f64::max),
        positions: lags,
    };
    form.answer(&described, Described::text);
    Ok(())
}

fn places(topics: &[TopicMetadata]) -> impl Iterator<Item = (&TopicMetadata, usize, &PartitionMetadata)> {
    topics.iter().flat_map(|topic| {
        topic.partitions.iter().enumerate().map(move |(number, partition)| (topic, number, partition))
    })
}

fn lag(
    ask: &mut Ask,
    topic: &str,
    number: u32,
    partition: &PartitionMetadata,
    state: &GroupDescription,
    position: &CommittedPosition,
) -> Result<Lag> {
    // What was trimmed or has expired is not waited for.
    let next = position.offset.max(state.log_start);
    let lag_records = state.high_watermark.0.saturating_sub(next.0);
    let waiting = if lag_records > 0 { time_of(ask, partition, next)? } else { None };
    let age = waiting.map_or(0, |time| now().0.saturating_sub(time.0).max(0));
    Ok(Lag {
        topic: topic.to_owned(),
        partition: number,
        offset: position.offset.0,
        log_start: state.log_start.0,
        high_watermark: state.high_watermark.0,
        lag_records,
        lag_seconds: age as f64 / 1000.0,
        commit_time_ms: position.commit_time.0,
        metadata: position.metadata.clone(),
    })
}

/// The time of the first record at an offset or behind it.
fn time_of(ask: &mut Ask, partition: &PartitionMetadata, offset: Offset) -> Result<Option<UnixMillis>> {
    let request = FetchRequest { group: partition.group, offset, bytes_max: 1, wait_ms: 0, bytes_min: 0 };
    let batches = ask.shard(partition.shard, &request)?.batches;
    let mut scratch = Vec::new();
    for batch in Batches::new(&batches) {
        for record in records::open(&batch, &mut scratch, OPENED_BYTES_MAX)? {
            let record = record?;
            if record.offset >= offset {
                return Ok(Some(record.timestamp));
            }
        }
    }
    Ok(None)
}

impl Described {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("TOPIC", Side::Left),
            ("PARTITION", Side::Right),
            ("POSITION", Side::Right),
            ("END", Side::Right),
            ("LAG", Side::Right),
            ("BEHIND", Side::Right),
            ("COMMITTED", Side::Left),
        ]);
        for lag in &self.positions {
            table.row([
                lag.topic.clone(),
                lag.partition.to_string(),
                lag.offset.to_string(),
                lag.high_watermark.to_string(),
                units::count(lag.lag_records),
                behind(lag.lag_records, lag.lag_seconds),
                units::time(UnixMillis(lag.commit_time_ms)),
            ]);
        }
        let lag = units::counted(self.lag_records, "record");
        format!("{}  lag {lag}, {} behind\n\n{table}", self.name, behind(self.lag_records, self.lag_seconds))
    }
}

fn behind(records: u64, seconds: f64) -> String {
    if records == 0 { "0 s".to_owned() } else { units::span(Duration::from_secs_f64(seconds)) }
}

fn reset(ask: &mut Ask, args: &ResetSubscription, form: Form) -> Result<()> {
    let topics = match &args.topic {
        Some(topic) => {
            check_name("subscription", &args.name)?;
            vec![ask.topic(topic)?]
        }
        None => {
            let groups: BTreeSet<GroupId> = known(ask, &args.name)?.into_keys().collect();
            let mut topics = ask.topics()?;
            topics.retain(|topic| topic.partitions.iter().any(|partition| groups.contains(&partition.group)));
            topics
        }
    };
    let mut moved = Moved { name: args.name.clone(), positions: Vec::new() };
    let mut positions = Vec::new();
    for (topic, number, partition) in places(&topics) {
        let offset = within(ask, topic, number, partition, args)?;
        positions.push(Position {
            group: partition.group,
            offset,
            leader_epoch: partition.leader_epoch,
            metadata: String::new(),
        });
        moved.positions.push(MovedTo {
            topic: topic.name.clone(),
            partition: number as u32,
            offset: offset.0,
        });
    }
    ask.node(&CommitPositionsRequest { subscription: args.name.clone(), positions })?;
    form.answer(&moved, |moved| {
        let mut table =
            Table::new(&[("TOPIC", Side::Left), ("PARTITION", Side::Right), ("POSITION", Side::Right)]);
        for to in &moved.positions {
            table.row([to.topic.clone(), to.partition.to_string(), to.offset.to_string()]);
        }
        table.to_string()
    });
    Ok(())
}

/// The offset that a reset asks for; one that the partition does not have is refused before anything moves.
fn within(
    ask: &mut Ask,
    topic: &TopicMetadata,
    number: usize,
    partition: &PartitionMetadata,
    args: &ResetSubscription,
) -> Result<Offset> {
    let offset = ask.resolve(partition, args.to)?;
    let states = ask.describe([partition])?;
    let Some(state) = states.get(&partition.group) else { return Ok(offset) };
    if (state.log_start..=state.high_watermark).contains(&offset) {
        return Ok(offset);
    }
    let message = format!(
        "{}/{number} has offsets {} to {}, not {offset}: nothing was moved",
        topic.name, state.log_start, state.high_watermark
    );
    Err(Error::new(Code::OffsetOutOfRange, message))
}
