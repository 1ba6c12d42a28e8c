//! `flumen topic …`: making, showing, changing, trimming and deleting topics.

use super::ask::Ask;
use crate::cli::topic::{AlterTopic, CreateTopic, TopicCommand, TrimTopic};
use crate::print::table::{Side, Table};
use crate::print::{Form, units};
use flumen_model::Result;
use flumen_model::limits::Limits;
use flumen_model::topic::{Source, TopicSettings};
use flumen_wire::{
    AlterTopicRequest, CreateTopicRequest, DeleteTopicRequest, GroupDescription, GroupState,
    PartitionMetadata, TopicMetadata, TrimRequest,
};
use serde::Serialize;
use std::net::SocketAddr;

/// A topic in a list.
#[derive(Serialize)]
struct Listed {
    name: String,
    id: String,
    partitions: usize,
    records: u64,
    bytes: u64,
    state: &'static str,
}

#[derive(Serialize)]
struct List {
    topics: Vec<Listed>,
}

/// A topic in full.
#[derive(Serialize)]
struct Described {
    name: String,
    id: String,
    settings: Vec<Setting>,
    partitions: Vec<Partition>,
}

#[derive(Serialize)]
struct Setting {
    key: &'static str,
    /// None when it is the node's to say.
    value: Option<String>,
    source: &'static str,
    about: &'static str,
}

#[derive(Serialize)]
struct Partition {
    partition: u32,
    group: u64,
    shard: u16,
    leader_epoch: u32,
    log_start: u64,
    high_watermark: u64,
    records: u64,
    bytes: u64,
    state: &'static str,
    damaged_from: Option<u64>,
}

#[derive(Serialize)]
struct Created {
    name: String,
    id: String,
    partitions: u32,
}

#[derive(Serialize)]
struct Named {
    name: String,
}

#[derive(Serialize)]
struct Trimmed {
    name: String,
    partition: u32,
    log_start: u64,
}

/// `flumen topic …`
pub(crate) fn run(command: &TopicCommand, server: SocketAddr, form: Form) -> Result<()> {
    let mut ask = Ask::connect(server)?;
    match command {
        TopicCommand::Create(args) => create(&mut ask, args, form),
        TopicCommand::List => list(&mut ask, form),
        TopicCommand::Describe { name } => describe(&mut ask, name, form),
        TopicCommand::Alter(args) => alter(&mut ask, args, form),
        TopicCommand::Trim(args) => trim(&mut ask, args, form),
        TopicCommand::Delete { name } => {
            ask.node(&DeleteTopicRequest { name: name.clone() })?;
            form.answer(&Named { name: name.clone() }, |topic| format!("deleted {}\n", topic.name));
            Ok(())
        }
    }
}

fn create(ask: &mut Ask, args: &CreateTopic, form: Form) -> Result<()> {
    let settings = args.set.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect();
    let request = CreateTopicRequest { name: args.name.clone(), partitions: args.partitions, settings };
    let id = ask.node(&request)?.id.to_string();
    let created = Created { name: args.name.clone(), id, partitions: args.partitions };
    form.answer(&created, |topic| {
        format!("created {} with {}\n", topic.name, units::counted(topic.partitions.into(), "partition"))
    });
    Ok(())
}

fn alter(ask: &mut Ask, args: &AlterTopic, form: Form) -> Result<()> {
    ask.node(&AlterTopicRequest { name: args.name.clone(), settings: args.changes() })?;
    form.answer(&Named { name: args.name.clone() }, |topic| format!("changed {}\n", topic.name));
    Ok(())
}

fn trim(ask: &mut Ask, args: &TrimTopic, form: Form) -> Result<()> {
    let topic = ask.topic(&args.name)?;
    let partition = Ask::partition(&topic, args.partition)?;
    let request = TrimRequest { group: partition.group, before_offset: args.before };
    let log_start = ask.shard(partition.shard, &request)?.log_start.0;
    let trimmed = Trimmed { name: args.name.clone(), partition: args.partition.0, log_start };
    form.answer(&trimmed, |it| format!("{}/{} begins at offset {}\n", it.name, it.partition, it.log_start));
    Ok(())
}

fn list(ask: &mut Ask, form: Form) -> Result<()> {
    let topics = ask.topics()?;
    let states = ask.describe(topics.iter().flat_map(|topic| &topic.partitions))?;
    let listed = |topic: TopicMetadata| {
        let states: Vec<&GroupDescription> =
            topic.partitions.iter().filter_map(|partition| states.get(&partition.group)).collect();
        Listed {
            name: topic.name,
            id: topic.id.to_string(),
            partitions: topic.partitions.len(),
            records: states.iter().map(|state| records(state)).sum(),
            bytes: states.iter().map(|state| state.bytes).sum(),
            state: states
                .iter()
                .map(|state| self::state(state))
                .find(|state| *state != HEALTHY)
                .unwrap_or(HEALTHY),
        }
    };
    let list = List { topics: topics.into_iter().map(listed).collect() };
    form.answer(&list, |list| {
        let mut table = Table::new(&[
            ("TOPIC", Side::Left),
            ("PARTITIONS", Side::Right),
            ("RECORDS", Side::Right),
            ("BYTES", Side::Right),
            ("STATE", Side::Left),
        ]);
        for topic in &list.topics {
            table.row([
                topic.name.clone(),
                units::count(topic.partitions as u64),
                units::count(topic.records),
                units::bytes(topic.bytes),
                topic.state.to_owned(),
            ]);
        }
        table.to_string()
    });
    Ok(())
}

fn describe(ask: &mut Ask, name: &str, form: Form) -> Result<()> {
    let topic = ask.topic(name)?;
    let states = ask.describe(&topic.partitions)?;
    let partitions = topic
        .partitions
        .iter()
        .enumerate()
        .map(|(number, partition)| Partition::of(number as u32, partition, states.get(&partition.group)));
    let described = Described {
        name: topic.name.clone(),
        id: topic.id.to_string(),
        settings: settings(&topic.settings)?,
        partitions: partitions.collect(),
    };
    form.answer(&described, Described::text);
    Ok(())
}

/// Every setting with the value that holds. What the topic leaves to the limits of its node is not known here.
fn settings(set: &[(String, String)]) -> Result<Vec<Setting>> {
    let pairs = set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let own = TopicSettings::default().altered(pairs)?;
    let (some, others) =
        (Limits::production(), Limits { segment_bytes: 1, batch_bytes_max: 1, ..Limits::small() });
    let effective = own.effective(&some).into_iter().zip(own.effective(&others));
    let setting = |(one, other): (flumen_model::topic::Effective, flumen_model::topic::Effective)| Setting {
        key: one.key,
        value: (one.value == other.value).then(|| one.value.clone()),
        source: match one.source {
            Source::Topic => "topic",
            Source::Default if one.value == other.value => "default",
            Source::Default => "node",
        },
        about: one.about,
    };
    Ok(effective.map(setting).collect())
}

const HEALTHY: &str = "healthy";

/// What a partition can do, in a word; the error's name when its shard cannot tell.
pub(crate) fn state(description: &GroupDescription) -> &'static str {
    match (description.error, description.state) {
        (Some(_), _) => "unavailable",
        (None, GroupState::Healthy) => HEALTHY,
        (None, GroupState::Damaged) => "damaged",
        (None, GroupState::Full) => "full",
    }
}

fn records(description: &GroupDescription) -> u64 {
    description.high_watermark.0.saturating_sub(description.log_start.0)
}

impl Partition {
    fn of(number: u32, partition: &PartitionMetadata, state: Option<&GroupDescription>) -> Partition {
        Partition {
            partition: number,
            group: partition.group.0,
            shard: partition.shard.0,
            leader_epoch: state.map_or(partition.leader_epoch, |state| state.leader_epoch),
            log_start: state.map_or(0, |state| state.log_start.0),
            high_watermark: state.map_or(0, |state| state.high_watermark.0),
            records: state.map_or(0, records),
            bytes: state.map_or(0, |state| state.bytes),
            state: state.map_or("unavailable", self::state),
            damaged_from: state.and_then(|state| state.damaged_from).map(|offset| offset.0),
        }
    }
}

impl Described {
    fn text(&self) -> String {
        let mut settings = Table::new(&[
            ("SETTING", Side::Left),
            ("VALUE", Side::Left),
            ("FROM", Side::Left),
            ("MEANING", Side::Left),
        ]);
        for setting in &self.settings {
            let value = setting.value.clone().unwrap_or_else(|| "the node's limit".to_owned());
            settings.row([
                setting.key.to_owned(),
                value,
                setting.source.to_owned(),
                setting.about.to_owned(),
            ]);
        }
        let mut partitions = Table::new(&[
            ("PARTITION", Side::Right),
            ("SHARD", Side::Right),
            ("GROUP", Side::Right),
            ("LOG START", Side::Right),
            ("END", Side::Right),
            ("RECORDS", Side::Right),
            ("BYTES", Side::Right),
            ("STATE", Side::Left),
        ]);
        for partition in &self.partitions {
            partitions.row([
                partition.partition.to_string(),
                partition.shard.to_string(),
                partition.group.to_string(),
                partition.log_start.to_string(),
                partition.high_watermark.to_string(),
                units::count(partition.records),
                units::bytes(partition.bytes),
                match partition.damaged_from {
                    Some(offset) => format!("damaged from offset {offset}"),
                    None => partition.state.to_owned(),
                },
            ]);
        }
        format!("{}  {}\n\n{settings}\n{partitions}", self.name, self.id)
    }
}
