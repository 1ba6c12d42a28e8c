//! `check`: what a stopped node's directory holds, and everything in it that is damaged, with file and position.
//! Reads only; memory is bounded by the journal's size.

use crate::directory::{lock, shard_spec};
use flumen_engine::metadata::{GroupHome, MetadataView};
use flumen_engine::{Inspected, inspect};
use flumen_io::{Host, Machine};
use flumen_log::journal::ScanReport;
use flumen_log::segment::{ReadBudget, SegmentDamage, Visitor};
use flumen_log::superblock::Superblock;
use flumen_log::{Damaged, GroupLog};
use flumen_model::limits::Limits;
use flumen_model::{Code, Error, GroupId, Offset, PartitionNumber, Result, ShardId, TopicId};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};

/// One partition as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReport {
    /// The topic's name; empty when the metadata do not know it.
    pub topic: String,
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's number.
    pub partition: PartitionNumber,
    /// Its group.
    pub group: GroupId,
    /// Its shard.
    pub shard: ShardId,
    /// The first offset that it still has.
    pub log_start: Offset,
    /// The offset behind the last record that is known to be committed. Records that were durable without that
    /// knowledge come back at the next start.
    pub end: Offset,
    /// Bytes of batches.
    pub bytes: u64,
    /// Acked data that is missing or cannot be served, in the journal or in its segments.
    pub damaged: Option<Damaged>,
    /// Offset ranges, half open, that are damaged in its segments: a repair would give them up.
    pub lost: Vec<(Offset, Offset)>,
}

/// One damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamageReport {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub position: u64,
    /// What is wrong, for a person.
    pub what: String,
    /// Whose it is: topic and partition, where that is known. The journal belongs to all of its shard.
    pub owner: Option<(String, PartitionNumber)>,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Shards.
    pub shards: u16,
    /// Topics that the metadata know.
    pub topics: usize,
    /// Partitions, by group.
    pub partitions: Vec<PartitionReport>,
    /// Damage.
    pub damage: Vec<DamageReport>,
    /// Bytes of intact journal writes.
    pub journal_bytes: u64,
    /// Frames in them.
    pub journal_frames: u64,
    /// Writes that a crash cut off, never acked: no damage.
    pub torn: usize,
}

/// Checks a directory on one core of a machine.
///
/// # Errors
/// A running node has the directory, it holds none, or it is of a newer format. Damage is no error.
pub fn check<M: Machine>(machine: M, data: PathBuf, limits: Limits) -> Result<Report> {
    let (say, hear) = channel();
    let main = move |host: M::Host| {
        let say: Sender<Result<Report>> = say;
        async move {
            let _ = say.send(check_directory(&host, &data, &limits).await);
        }
    };
    machine
        .run(vec![main])
        .map_err(|error| Error::new(Code::LogFailed, format!("the machine failed: {error}")))?;
    hear.recv().map_err(|_| Error::new(Code::Closed, "the check ended without a report"))?
}

/// Checks a directory.
///
/// # Errors
/// As [`check`].
pub async fn check_directory<H: Host>(host: &H, data: &Path, limits: &Limits) -> Result<Report> {
    let _lock = lock(host, data).await?;
    let superblock = Superblock::load(host, data).await?.ok_or_else(|| {
        Error::new(Code::InvalidRequest, format!("{} holds no node: name its data directory", data.display()))
    })?;
    let mut report = Report { shards: superblock.shards, ..Report::default() };
    let mut view = MetadataView::default();
    for id in (0..superblock.shards).map(ShardId) {
        let found = inspect(host, shard_spec(data, &superblock, id, limits)).await?;
        if id.0 == 0 {
            view = found.view.clone();
            report.topics = view.topic_count();
        }
        add_journal(&mut report, &found.report);
        let journal_dir = shard_spec(data, &superblock, id, limits).journal_spec().dir;
        add_groups(host, &mut report, &view, id, found, limits, journal_dir).await;
    }
    report.partitions.sort_by_key(|partition| partition.group);
    Ok(report)
}

fn add_journal(report: &mut Report, scan: &ScanReport) {
    report.journal_bytes += scan.bytes;
    report.journal_frames += scan.frames;
    report.torn += usize::from(scan.torn.is_some());
    for one in &scan.damage {
        report.damage.push(DamageReport {
            file: one.file.clone(),
            position: one.position,
            what: one.what.clone(),
            owner: None,
        });
    }
}

async fn add_groups<H: Host>(
    host: &H,
    report: &mut Report,
    view: &MetadataView,
    shard: ShardId,
    found: Inspected<H>,
    limits: &Limits,
    journal_dir: PathBuf,
) {
    let budget = ReadBudget::new(limits.read_bytes_in_flight_max, limits.read_request_bytes);
    for (group, home) in view.groups_of(shard) {
        let is_here = found.groups.iter().any(|log| log.group() == group);
        if let Some(lost) = found.traces.lost(group).filter(|_| !is_here) {
            add_lost(report, view, (group, home), &journal_dir, lost.end);
        }
    }
    for log in found.groups.iter().filter(|log| !log.group().is_state()) {
        // A topic that was deleted leaves groups behind until its shard has purged them.
        let Some((topic, _)) = view.partition(log.group()) else { continue };
        let mut partition = partition_report(topic.name.as_str(), shard, log);
        if let Some(segments) = log.segments() {
            let owner = (partition.topic.clone(), partition.partition);
            let mut collector = Collector { owner, damage: &mut report.damage, lost: &mut partition.lost };
            segments.verify_from(host, &budget, partition.log_start, &mut collector).await;
        }
        note_lost(&mut partition);
        add_known(report, &partition, &journal_dir);
        report.partitions.push(partition);
    }
}

/// A partition that the metadata know and of which the journal has no state.
fn add_lost(
    report: &mut Report,
    view: &MetadataView,
    (group, home): (GroupId, GroupHome),
    journal_dir: &Path,
    end: Offset,
) {
    let topic = view.topic_by_id(home.topic).map_or(String::new(), |topic| topic.name.to_string());
    report.damage.push(DamageReport {
        file: journal_dir.to_path_buf(),
        position: 0,
        what: format!("no file has a checkpoint of group {group}: what the partition held is lost"),
        owner: Some((topic.clone(), home.partition)),
    });
    report.partitions.push(PartitionReport {
        topic,
        topic_id: home.topic,
        partition: home.partition,
        group,
        shard: home.shard,
        log_start: Offset(0),
        end: Offset(0),
        bytes: 0,
        damaged: Some(Damaged { from: Offset(0), to: end }),
        lost: Vec::new(),
    });
}

/// Damage that an earlier start found has a name too, when the place itself is gone meanwhile.
fn add_known(report: &mut Report, partition: &PartitionReport, journal_dir: &Path) {
    let Some(damaged) = partition.damaged else { return };
    let owner = Some((partition.topic.clone(), partition.partition));
    let is_named = report
        .damage
        .iter()
        .any(|one| one.owner == owner || (one.owner.is_none() && one.file.starts_with(journal_dir)));
    if !is_named {
        let what = format!(
            "an earlier start found the partition damaged from offset {} on and marked it",
            damaged.from
        );
        report.damage.push(DamageReport { file: journal_dir.to_path_buf(), position: 0, what, owner });
    }
}

fn partition_report<H: Host>(topic: &str, shard: ShardId, log: &Rc<GroupLog<H>>) -> PartitionReport {
    let state = log.state();
    PartitionReport {
        topic: topic.to_string(),
        topic_id: state.topic,
        partition: state.partition,
        group: log.group(),
        shard,
        log_start: state.log_start,
        end: state.next_offset,
        bytes: log.segments().map_or(0, |segments| segments.stored_bytes()),
        damaged: state.damaged,
        lost: Vec::new(),
    }
}

/// Damage in its segments names a partition as damaged, whether or not a reader has met it yet.
fn note_lost(partition: &mut PartitionReport) {
    let log_start = partition.log_start;
    let Some(&(from, _)) = partition.lost.iter().find(|(_, to)| *to > log_start) else { return };
    let from = from.max(log_start);
    let known = partition.damaged.filter(|known| known.to > known.from);
    let from = partition.damaged.map_or(from, |known| known.from.min(from));
    partition.damaged = Some(Damaged { from, to: known.map_or(from, |known| known.to) });
}

/// What the check of one partition's segments finds.
struct Collector<'a> {
    owner: (String, PartitionNumber),
    damage: &'a mut Vec<DamageReport>,
    lost: &'a mut Vec<(Offset, Offset)>,
}

impl Visitor for Collector<'_> {
    fn damaged(&mut self, damage: SegmentDamage) {
        let SegmentDamage { file, position, what, .. } = damage;
        self.damage.push(DamageReport { file, position, what, owner: Some(self.owner.clone()) });
    }

    fn lost(&mut self, from: Offset, to: Offset) {
        self.lost.push((from, to));
    }
}
