//! From a directory to a shard that leads its groups: format what is new, recover what is there, campaign.

use super::follow::birth_point;
use super::{Shard, UNFLUSHED_BYTES_MAX};
use crate::control::Control;
use crate::metadata::{Metadata, MetadataView};
use crate::partition::{Partition, log_start_of, sequence_of};
use crate::positions::Positions;
use crate::producers::Producers;
use crate::state_group::StateGroup;
use crate::table::GroupTable;
use bytes::BytesMut;
use flumen_io::Host;
use flumen_io::local::Notify;
use flumen_log::journal::ScanReport;
use flumen_log::recovery::{self, RecoveredGroup, Replay, Traces};
use flumen_log::{GroupLog, GroupState, ShardLogSpec};
use flumen_model::batch::BatchView;
use flumen_model::topic::TopicSettings;
use flumen_model::{Code, Error, GroupId, Offset, PartitionNumber, Result, TopicId};
use flumen_replication::{Entry, EntryKind, ReplicaId};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a shard is opened with.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Where it lies and how large it may grow.
    pub log: ShardLogSpec,
    /// What topics are created with unless they say otherwise.
    pub topic_defaults: TopicSettings,
    /// Seeds the election jitter.
    pub seed: u64,
}

/// The first replica of the state groups, which are there before group 0 can give ids.
const STATE_REPLICA: ReplicaId = ReplicaId(1);

/// The state machines as they are rebuilt.
pub(crate) struct Machines {
    pub(crate) metadata: Metadata,
    pub(crate) positions: Positions,
    pub(crate) producers: BTreeMap<GroupId, Producers>,
    producers_max: usize,
}

impl Machines {
    /// Empty machines.
    pub(crate) fn new(limits: &flumen_model::limits::Limits) -> Machines {
        Machines {
            metadata: Metadata::new(),
            positions: Positions::new(),
            producers: BTreeMap::new(),
            producers_max: limits.producers_per_partition_max,
        }
    }
}

/// An ordinary refusal was its proposer's; a command that this build does not know would make this replica differ
/// from the others, so it must not go on.
fn refuse_unknown<T>(applied: Result<T>) -> Result<()> {
    match applied {
        Err(error) if error.code == Code::Unsupported => Err(error),
        _ => Ok(()),
    }
}

impl Replay for Machines {
    fn restore(&mut self, group: GroupId, state: &GroupState) -> Result<()> {
        match group {
            GroupId::METADATA if !state.machine.is_empty() => {
                self.metadata = Metadata::restore(&state.machine)?
            }
            GroupId::POSITIONS if !state.machine.is_empty() => {
                self.positions = Positions::restore(&state.machine)?
            }
            _ if group.is_state() => {}
            _ => {
                let producers = match state.machine.is_empty() {
                    true => Producers::new(self.producers_max),
                    false => Producers::restore(&state.machine, self.producers_max)?,
                };
                self.producers.insert(group, producers);
            }
        }
        Ok(())
    }

    fn apply(&mut self, group: GroupId, entry: &Entry) -> Result<Option<Offset>> {
        match (group, entry.kind) {
            (GroupId::METADATA, EntryKind::Command) => {
                refuse_unknown(self.metadata.apply(entry.index.0, &entry.data))?;
            }
            (GroupId::POSITIONS, EntryKind::Command) => {
                refuse_unknown(self.positions.apply(entry.index.0, &entry.data))?;
            }
            (_, EntryKind::Batch) => {
                let view = BatchView::parse(&entry.data)?;
                if let (Some(sequence), Some(producers)) =
                    (sequence_of(&view), self.producers.get_mut(&group))
                {
                    producers.replay(&sequence, view.base_offset(), view.max_timestamp());
                }
            }
            (_, EntryKind::Command) => return Ok(log_start_of(&entry.data)),
            _ => {}
        }
        Ok(None)
    }
}

/// What a shard's directory holds, found without writing: for `check`.
pub struct Inspected<H: Host> {
    /// The metadata, when it was shard 0.
    pub view: MetadataView,
    /// Every group, with its segments.
    pub groups: Vec<Rc<GroupLog<H>>>,
    /// What the journal's scan said.
    pub report: ScanReport,
    /// What the journal shows of groups that are not among them.
    pub traces: Traces,
}

/// Looks at a shard's directory without changing it.
///
/// # Errors
/// What makes the whole shard unreadable.
pub async fn inspect<H: Host>(host: &H, spec: ShardLogSpec) -> Result<Inspected<H>> {
    let mut machines = Machines::new(&spec.limits);
    let found = recovery::inspect(host, spec, &mut machines).await?;
    let (groups, traces, report) = (found.groups, found.traces, found.report);
    Ok(Inspected { view: machines.metadata.view(), groups, report, traces })
}

impl<H: Host> Shard<H> {
    /// Recovers the shard in its directory. Its groups are campaigning when this returns; the caller then runs
    /// the shard's tasks and lets it follow the metadata.
    ///
    /// # Errors
    /// What makes the whole shard unreadable. Damage in groups is none: they come back read-only.
    pub async fn open(host: H, config: ShardConfig) -> Result<(Rc<Shard<H>>, ScanReport)> {
        let limits = config.log.limits.clone();
        let batch_bytes_max =
            recovery::append_bytes_max(config.log.journal_file_bytes) - UNFLUSHED_BYTES_MAX - 64 * 1024;
        let id = config.log.shard;
        let mut machines = Machines::new(&limits);
        let recovered = recovery::recover(&host, config.log, &mut machines).await?;
        let is_control = id.0 == 0;
        let mut shard = Shard {
            host,
            id,
            limits,
            topic_defaults: config.topic_defaults,
            log: recovered.log,
            traces: recovered.traces,
            seed: config.seed,
            partitions: RefCell::new(GroupTable::default()),
            control: None,
            view: RefCell::new(MetadataView::default()),
            dirty: RefCell::default(),
            committed: RefCell::default(),
            slab: RefCell::new(BytesMut::new()),
            unflushed_bytes: Cell::new(0),
            retiring: RefCell::default(),
            purging: RefCell::default(),
            progress: Notify::new(),
            closing: Cell::new(false),
            ended: Cell::new(false),
            batch_bytes_max,
        };
        let mut state_groups = BTreeMap::new();
        for group in recovered.groups {
            if group.log.group().is_state() {
                state_groups.insert(group.log.group(), group);
            } else {
                shard.adopt(group, &mut machines);
            }
        }
        if is_control {
            if !state_groups.contains_key(&GroupId::METADATA)
                && shard.traces.lost(GroupId::METADATA).is_some()
            {
                return Err(Error::new(
                    Code::Corrupt,
                    "the state of the node's own metadata is lost, and nothing else says which topics there are: \
                     restore the directory from a copy",
                ));
            }
            shard.control = Some(shard.control_of(state_groups, machines));
        }
        let shard = Rc::new(shard);
        shard.resume();
        Ok((shard, recovered.report))
    }

    /// A recovered partition. Its settings come with the first view.
    fn adopt(&self, group: RecoveredGroup<H>, machines: &mut Machines) {
        let id = group.log.group();
        let producers = machines
            .producers
            .remove(&id)
            .unwrap_or_else(|| Producers::new(self.limits.producers_per_partition_max));
        let replica = group.log.state().replica;
        let entries = group.restored.as_ref().map(|restored| restored.entries.clone()).unwrap_or_default();
        let driver = group.restored.map(|restored| self.lead(id, replica, restored));
        let partition = Partition::new(group.log, driver, producers, Rc::new(TopicSettings::default()));
        partition.prepare_recovered(&entries);
        self.partitions.borrow_mut().insert(id, Rc::new(partition));
    }

    fn control_of(&self, mut found: BTreeMap<GroupId, RecoveredGroup<H>>, machines: Machines) -> Control<H> {
        let mut parts = |id: GroupId| match found.remove(&id) {
            Some(group) => {
                let replica = group.log.state().replica;
                let driver = group.restored.map(|restored| self.lead(id, replica, restored));
                (group.log, driver)
            }
            None if let Some(lost) = self.traces.lost(id) => {
                let (number, start) = (PartitionNumber(id.0 as u32), birth_point(STATE_REPLICA));
                let topic = TopicId::INTERNAL;
                (self.log.create_lost_group(id, topic, number, STATE_REPLICA, start, lost), None)
            }
            None => {
                let (log, driver) =
                    self.birth(id, TopicId::INTERNAL, PartitionNumber(id.0 as u32), STATE_REPLICA);
                (log, Some(driver))
            }
        };
        let (log, driver) = parts(GroupId::METADATA);
        let metadata = StateGroup::new(log, driver, machines.metadata);
        let (log, driver) = parts(GroupId::POSITIONS);
        Control::new(metadata, StateGroup::new(log, driver, machines.positions))
    }

    /// Applies what the drivers know to be committed already, and hands their first Readys to the journal.
    fn resume(&self) {
        for partition in self.partitions() {
            if partition.driver.borrow().is_some() {
                self.advance_partition(&partition, None);
            }
        }
        if let Some(control) = &self.control {
            self.advance_state(&control.metadata, None);
            self.advance_state(&control.positions, None);
        }
        self.flush();
    }
}
