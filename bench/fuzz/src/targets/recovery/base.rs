//! The directory that the recovery target damages: a shard with a few groups, written through the real log on a
//! simulated machine. Some of it is in segments, some in the journal only, and all of it was acked.

use crate::targets::log::on_core;
use bytes::Bytes;
use flumen_io::Host;
use flumen_io::mem::{MemHost, MemWorld};
use flumen_log::recovery::{Replay, recover};
use flumen_log::{GroupLog, GroupState, LogEvents, RollLimits, ShardLog, ShardLogSpec, journal};
use flumen_model::batch::{BatchBuilder, Compression, assign};
use flumen_model::limits::Limits;
use flumen_model::{GroupId, Offset, PartitionNumber, Result, ShardId, TopicId, UnixMillis};
use flumen_replication::{Conf, Entry, EntryKind, HardState, Index, Point, ReplicaId, Term, Write};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;

const REPLICA: ReplicaId = ReplicaId(17);
/// Value bytes of each group's records: large, middling, tiny.
const GROUPS: [(GroupId, usize); 3] = [(GroupId(16), 9000), (GroupId(17), 3000), (GroupId(18), 40)];
const BATCHES: u64 = 40;

/// A closed directory and what was acked into it.
pub(super) struct Base {
    pub(super) world: MemWorld,
    pub(super) spec: ShardLogSpec,
    pub(super) files: Vec<(PathBuf, u64)>,
    pub(super) written: BTreeMap<GroupId, Vec<Bytes>>,
}

/// Only batches are replayed: there is no state machine.
pub(super) struct NoMachine;

impl Replay for NoMachine {
    fn restore(&mut self, _: GroupId, _: &GroupState) -> Result<()> {
        Ok(())
    }

    fn apply(&mut self, _: GroupId, _: &Entry) -> Result<Option<Offset>> {
        Ok(None)
    }
}

/// Counts what became durable.
#[derive(Default)]
struct Ears {
    readys: Cell<u64>,
}

impl LogEvents for Ears {
    fn durable(&self, readys: &[(GroupId, u64)]) {
        self.readys.set(self.readys.get() + readys.len() as u64);
    }

    fn machine_snapshot(&self, _: GroupId) -> Option<Bytes> {
        Some(Bytes::new())
    }

    fn checkpointed(&self, _: GroupId, _: Point) {}

    fn roll_limits(&self, _: GroupId) -> RollLimits {
        RollLimits { segment_bytes: 128 * 1024, segment_ms: u64::MAX }
    }
}

/// Writes the directory.
pub(super) fn written() -> Base {
    let world = MemWorld::new();
    let spec = ShardLogSpec {
        dir: "/data/0".into(),
        directory_id: Uuid::from_bytes([7; 16]),
        shard: ShardId(0),
        journal_file_bytes: 2 << 20,
        journal_files: 4,
        reserve_bytes: Limits::simulation().disk_reserve_bytes,
        limits: Limits::simulation(),
    };
    let writing = spec.clone();
    let written = on_core(&world, |host| async move { write(&host, writing).await });
    let files = world.files().into_iter().filter(|(_, size)| *size > 0).collect();
    Base { world, spec, files, written }
}

async fn write(host: &MemHost, spec: ShardLogSpec) -> BTreeMap<GroupId, Vec<Bytes>> {
    journal::format(host, &spec.journal_spec(), |_, _| {}).await.expect("a fresh directory is formatted");
    let log = recover(host, spec, &mut NoMachine).await.expect("nothing is there yet").log;
    let ears = Rc::new(Ears::default());
    let events: Rc<dyn LogEvents> = ears.clone();
    let (writing, of_writer) = (log.clone(), events.clone());
    let writer = host.spawn(async move { writing.run_writer(of_writer).await });
    let logs = GROUPS.map(|(group, _)| birth(&log, group));
    let mut written = BTreeMap::new();
    for number in 0..BATCHES {
        for ((group, value_bytes), group_log) in GROUPS.iter().zip(&logs) {
            let batch = append(&log, group_log, number, *value_bytes);
            written.entry(*group).or_insert_with(Vec::new).push(batch);
        }
        while ears.readys.get() < (number + 1) * GROUPS.len() as u64 {
            host.sleep(Duration::from_micros(100)).await;
        }
        for (group_log, batches) in logs.iter().zip(written.values()) {
            log.apply(group_log, &entry(number, batches.last().expect("just appended").clone()));
        }
        if number == BATCHES / 2 {
            // The first group's records go to its segments, the second's stay in the journal.
            log.checkpoint(&logs[0], &*events).await.expect("the disk is well");
            log.checkpoint(&logs[2], &*events).await.expect("the disk is well");
        }
    }
    log.close();
    writer.await.expect("nothing failed");
    written
}

fn birth(log: &Rc<ShardLog<MemHost>>, group: GroupId) -> Rc<GroupLog<MemHost>> {
    let topic = TopicId::from_random(u128::from(group.0));
    let start = Point { index: Index(1), term: Term(1), conf: Conf::of_voters([REPLICA]) };
    log.create_group(group, topic, PartitionNumber(0), REPLICA, start)
}

fn entry(number: u64, data: Bytes) -> Entry {
    Entry { index: Index(number + 2), term: Term(1), kind: EntryKind::Batch, data }
}

/// Appends the group's batch of a number: one record.
fn append(log: &ShardLog<MemHost>, group: &GroupLog<MemHost>, number: u64, value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20, Compression::None).expect("no codec is needed");
    let value: Vec<u8> =
        (0..value_bytes).map(|at| (number as usize * 31 + at * 7 + at / 256) as u8).collect();
    builder.append(UnixMillis(1_000 + number as i64), None, Some(&value), &[]).expect("it fits");
    let mut batch = builder.finish().to_vec();
    assign(&mut batch, Offset(number), 1);
    let batch = Bytes::from(batch);
    let entry = entry(number, batch.clone());
    // Raft learns with the next append that this one is committed; the last says so of itself.
    let commit = if number + 1 == BATCHES { entry.index } else { Index(entry.index.0 - 1) };
    let hard_state = Some(HardState { term: Term(1), vote: REPLICA, commit });
    log.write(
        group,
        number + 1,
        &Write { hard_state, entries: vec![entry], must_sync: true, ..Write::default() },
    );
    batch
}
