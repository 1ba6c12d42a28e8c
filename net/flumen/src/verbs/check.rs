//! `flumen check` and `flumen repair`: a stopped node's directory, looked at and, in so many words, given up in
//! part. The work is the node's; here is how it is asked for and told.

use crate::cli::node::{CheckArgs, RepairArgs};
use crate::exit::Exit;
use crate::print::table::{Side, Table};
use crate::print::{Form, note, units};
use crate::{logging, machine};
use flumen_model::limits::Limits;
use flumen_model::{Code, Error, Result};
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
}

#[derive(Serialize)]
struct FoundDamage {
    file: PathBuf,
    position: u64,
    what: String,
}

impl Found {
    fn of(directory: &Path, report: Report) -> Found {
        let partitions = report.partitions.iter().map(|one| FoundPartition::of(one, &report.damage));
        let partitions: Vec<FoundPartition> = partitions.collect();
        let damage = report.damage.into_iter();
        let damage: Vec<FoundDamage> = damage
            .map(|one| FoundDamage { file: one.file, position: one.position, what: one.what })
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
        // A partition's segments lie in a folder of its number in that of its topic's id.
        let folder = Path::new(&report.topic_id.to_string()).join(report.partition.to_string());
        let mine = |one: &&DamageReport| one.file.parent().is_some_and(|parent| parent.ends_with(&folder));
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
}

/// `flumen repair`
pub(crate) fn repair(args: &RepairArgs, form: Form) -> Result<Exit> {
    let path = directory(&args.directory)?;
    logging::start_default()?;
    let mut accepted = Vec::new();
    for lost in &args.accept_loss {
        let name = format!("{}/{}", lost.topic, lost.partition);
        let machine = machine::of_tool(path)?;
        let (topic, limits) = (lost.topic.clone(), Limits::production());
        flumen_node::repair::accept_loss(machine, path.to_path_buf(), limits, topic, lost.partition)
            .inspect_err(|_| note(&format!("{name}: not repaired")))?;
        accepted.push(name);
    }
    let repaired = Repaired { directory: path.to_path_buf(), accepted };
    form.answer(&repaired, |repaired| {
        let line = |name: &String| {
            format!("{name}: its damaged records are given up; what is intact is served again\n")
        };
        repaired.accepted.iter().map(line).collect()
    });
    Ok(Exit::Ok)
}
