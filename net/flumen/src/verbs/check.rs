//! `flumen check` and `flumen repair`: a stopped node's directory, looked at and, in so many words, given up in
//! part. The work is the node's; here is how it is asked for and told.

use crate::cli::node::{CheckArgs, RepairArgs};
use crate::exit::Exit;
use crate::print::table::{Side, Table};
use crate::print::{Form, note, units};
use crate::{logging, machine};
use flumen_model::limits::Limits;
use flumen_model::{Code, Error, Offset, Result};
use flumen_node::check::{DamageReport, PartitionReport, Report};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What `flumen check` found.
#[derive(Serialize)]
struct Found {
    directory: PathBuf,
    whole: bool,
    shards: u16,
    topics: usize,
    journal_bytes: u64,
    journal_frames: u64,
    torn_writes: usize,
    partitions: Vec<FoundPartition>,
    damage: Vec<FoundDamage>,
}

#[derive(Serialize)]
struct FoundPartition {
    topic: String,
    partition: u32,
    group: u64,
    shard: u16,
    log_start: u64,
    end: u64,
    bytes: u64,
    damaged_from: Option<u64>,
    damaged_to: Option<u64>,
    /// Damaged places in its segments.
    damaged_places: usize,
    /// What a repair would give up of its segments.
    lost: Vec<Range>,
}

/// Offsets from `from` up to the exclusive `to`.
#[derive(Serialize)]
struct Range {
    from: u64,
    to: u64,
}

impl Range {
    fn all_of(ranges: &[(Offset, Offset)]) -> Vec<Range> {
        ranges.iter().map(|&(from, to)| Range { from: from.0, to: to.0 }).collect()
    }

    fn text(&self) -> String {
        match self.to - self.from {
            1 => format!("offset {}", self.from),
            _ => format!("offsets {} to {}", self.from, self.to - 1),
        }
    }
}

#[derive(Serialize)]
struct FoundDamage {
    file: PathBuf,
    position: u64,
    what: String,
    /// Whose it is; the journal belongs to all of its shard.
    topic: Option<String>,
    partition: Option<u32>,
}

impl Found {
    fn of(directory: &Path, report: Report) -> Found {
        let partitions = report.partitions.iter().map(|one| FoundPartition::of(one, &report.damage));
        let partitions: Vec<FoundPartition> = partitions.collect();
        let damage = report.damage.into_iter();
        let damage: Vec<FoundDamage> = damage
            .map(|one| {
                let (topic, partition) = one.owner.map(|(topic, number)| (topic, number.0)).unzip();
                FoundDamage { file: one.file, position: one.position, what: one.what, topic, partition }
            })
            .collect();
        Found {
            directory: directory.to_path_buf(),
            whole: damage.is_empty() && partitions.iter().all(|partition| partition.damaged_from.is_none()),
            shards: report.shards,
            topics: report.topics,
            journal_bytes: report.journal_bytes,
            journal_frames: report.journal_frames,
            torn_writes: report.torn,
            partitions,
            damage,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{}: {}, {}, {}; journal {} in {}",
            self.directory.display(),
            units::counted(self.shards.into(), "shard"),
            units::counted(self.topics as u64, "topic"),
            units::counted(self.partitions.len() as u64, "partition"),
            units::bytes(self.journal_bytes),
            units::counted(self.journal_frames, "frame"),
        );
        if self.torn_writes > 0 {
            let writes = units::counted(self.torn_writes as u64, "write");
            let _ = writeln!(text, "{writes} cut off by a crash and never acked: no damage");
        }
        if !self.partitions.is_empty() {
            let _ = write!(text, "\n{}", self.table());
        }
        for one in &self.damage {
            let _ = writeln!(text, "\n{} at byte {}: {}", one.file.display(), one.position, one.what);
            if let (Some(topic), Some(partition)) = (&one.topic, one.partition) {
                let _ = writeln!(text, "  of {topic}/{partition}");
            }
        }
        let _ = match self.whole {
            true => writeln!(text, "\nwhole: every checksum holds"),
            false => writeln!(
                text,
                "\nDAMAGED: restore from another copy; `flumen repair --help` is the last resort"
            ),
        };
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("TOPIC", Side::Left),
            ("PARTITION", Side::Right),
            ("LOG START", Side::Right),
            ("END", Side::Right),
            ("BYTES", Side::Right),
            ("STATE", Side::Left),
        ]);
        for partition in &self.partitions {
            table.row([
                partition.topic.clone(),
                partition.partition.to_string(),
                partition.log_start.to_string(),
                partition.end.to_string(),
                units::bytes(partition.bytes),
                match (partition.damaged_from, partition.damaged_to) {
                    (Some(from), Some(to)) if to > from => format!("damaged: offsets {from} to {}", to - 1),
                    (Some(_), _) if !partition.lost.is_empty() => {
                        let first: Vec<String> = partition.lost.iter().take(2).map(Range::text).collect();
                        let more = if partition.lost.len() > 2 { " and more" } else { "" };
                        format!("damaged: {}{more}", first.join(", "))
                    }
                    (Some(from), _) => format!("damaged from offset {from}"),
                    _ if partition.damaged_places > 0 => {
                        format!(
                            "damaged: {} in its segments",
                            units::counted(partition.damaged_places as u64, "place")
                        )
                    }
                    _ => "whole".to_owned(),
                },
            ]);
        }
        table
    }
}

impl FoundPartition {
    fn of(report: &PartitionReport, damage: &[DamageReport]) -> FoundPartition {
        let owner = Some((report.topic.clone(), report.partition));
        let mine = |one: &&DamageReport| one.owner == owner;
        FoundPartition {
            topic: report.topic.clone(),
            partition: report.partition.0,
            group: report.group.0,
            shard: report.shard.0,
            log_start: report.log_start.0,
            end: report.end.0,
            bytes: report.bytes,
            damaged_from: report.damaged.map(|damaged| damaged.from.0),
            damaged_to: report.damaged.map(|damaged| damaged.to.0),
            damaged_places: damage.iter().filter(mine).count(),
            lost: Range::all_of(&report.lost),
        }
    }
}

/// A path that is no directory would only be told as a failure of the disk.
fn directory(path: &Path) -> Result<&Path> {
    match path.is_dir() {
        true => Ok(path),
        false => {
            let message = format!("{} is no directory: name the data directory of a node", path.display());
            Err(Error::new(Code::InvalidRequest, message))
        }
    }
}

/// `flumen check`
pub(crate) fn check(args: &CheckArgs, form: Form) -> Result<Exit> {
    let path = directory(&args.directory)?;
    let report =
        flumen_node::check::check(machine::of_tool(path)?, path.to_path_buf(), Limits::production())?;
    let found = Found::of(path, report);
    form.answer(&found, Found::text);
    Ok(if found.whole { Exit::Ok } else { Exit::Damaged })
}

/// One partition that was given up in part.
#[derive(Serialize)]
struct Repaired {
    directory: PathBuf,
    accepted: Vec<String>,
    /// What was given up of each of them.
    lost: Vec<Lost>,
}

/// A partition's records that were given up.
#[derive(Serialize)]
struct Lost {
    topic: String,
    partition: u32,
    #[serde(flatten)]
    range: Range,
}

impl Repaired {
    fn text(&self) -> String {
        let line = |name: &String| {
            format!("{name}: its damaged records are given up; what is intact is served again\n")
        };
        let lost = |one: &Lost| format!("  {}/{}: {} lost\n", one.topic, one.partition, one.range.text());
        self.accepted.iter().map(line).chain(self.lost.iter().map(lost)).collect()
    }
}

/// `flumen repair`
pub(crate) fn repair(args: &RepairArgs, form: Form) -> Result<Exit> {
    let path = directory(&args.directory)?;
    logging::start_default()?;
    let (mut accepted, mut all_lost) = (Vec::new(), Vec::new());
    for lost in &args.accept_loss {
        let name = format!("{}/{}", lost.topic, lost.partition);
        let machine = machine::of_tool(path)?;
        let (topic, limits) = (lost.topic.clone(), Limits::production());
        let ranges =
            flumen_node::repair::accept_loss(machine, path.to_path_buf(), limits, topic, lost.partition)
                .inspect_err(|_| note(&format!("{name}: not repaired")))?;
        accepted.push(name);
        let ranges = Range::all_of(&ranges).into_iter();
        all_lost.extend(ranges.map(|range| Lost {
            topic: lost.topic.clone(),
            partition: lost.partition.0,
            range,
        }));
    }
    let repaired = Repaired { directory: path.to_path_buf(), accepted, lost: all_lost };
    form.answer(&repaired, Repaired::text);
    Ok(Exit::Ok)
}
