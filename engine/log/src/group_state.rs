//! What a checkpoint keeps of one group: enough that every journal frame up to its applied index may be
//! recycled. Pure bytes; never reads or writes a file.

use crate::codec::{Reader, put_bytes};
use bytes::{BufMut, Bytes, BytesMut};
use flumen_model::{Code, Error, GroupId, Offset, PartitionNumber, Result, TopicId};
use flumen_replication::{Conf, HardState, Index, Point, ReplicaId, Term};

/// The version this code writes.
const VERSION: u8 = 1;

/// Acked data that is lost on this node: `from` is the first offset that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The first offset that may be lost.
    pub from: Offset,
    /// Where intact records go on; equal to `from` when nothing is known behind it.
    pub to: Offset,
}

/// A group's whole durable state at its applied index, but for what its segments hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The topic's id; [`TopicId::INTERNAL`] for state groups.
    pub topic: TopicId,
    /// The partition's number within the topic.
    pub partition: PartitionNumber,
    /// This replica's own id. A wiped disk has a new one.
    pub replica: ReplicaId,
    /// Where the Raft log of this replica starts: applied index, its term and the configuration in force.
    pub start: Point,
    /// The newest hard state when this was written.
    pub hard_state: HardState,
    /// Records below this offset are deleted.
    pub log_start: Offset,
    /// The offset that the next record takes.
    pub next_offset: Offset,
    /// The first offset of each leader epoch, ascending, from the one that holds `log_start`.
    pub epochs: Vec<(Term, Offset)>,
    /// Set while acked data is missing: the partition is served read-only up to it.
    pub damaged: Option<Damaged>,
    /// The segments' state, empty for state groups and for partitions without data.
    pub segments: Bytes,
    /// The state machine's own snapshot (producers, metadata, positions).
    pub machine: Bytes,
}

impl GroupState {
    /// A group at its birth point, before any entry.
    pub fn birth(topic: TopicId, partition: PartitionNumber, replica: ReplicaId, start: Point) -> GroupState {
        let hard_state = HardState { term: start.term, vote: ReplicaId(0), commit: start.index };
        GroupState {
            topic,
            partition,
            replica,
            start,
            hard_state,
            log_start: Offset(0),
            next_offset: Offset(0),
            epochs: Vec::new(),
            damaged: None,
            segments: Bytes::new(),
            machine: Bytes::new(),
        }
    }

    /// The bytes of FORMAT.md, "Group state".
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(160 + self.segments.len() + self.machine.len());
        out.put_u8(VERSION);
        out.put_u8(u8::from(self.damaged.is_some()));
        out.put_u128_le(self.topic.0.as_u128());
        out.put_u32_le(self.partition.0);
        out.put_u64_le(self.replica.0);
        out.put_u64_le(self.start.index.0);
        out.put_u32_le(self.start.term.0);
        put_bytes(&mut out, &self.start.conf.encode());
        out.put_u32_le(self.hard_state.term.0);
        out.put_u64_le(self.hard_state.vote.0);
        out.put_u64_le(self.hard_state.commit.0);
        out.put_u64_le(self.log_start.0);
        out.put_u64_le(self.next_offset.0);
        out.put_u32_le(self.epochs.len() as u32);
        for (term, offset) in &self.epochs {
            out.put_u32_le(term.0);
            out.put_u64_le(offset.0);
        }
        if let Some(damaged) = self.damaged {
            out.put_u64_le(damaged.from.0);
            out.put_u64_le(damaged.to.0);
        }
        put_bytes(&mut out, &self.segments);
        put_bytes(&mut out, &self.machine);
        out.freeze()
    }

    /// Reads what [`GroupState::encode`] wrote; `group` only for the error.
    pub fn decode(bytes: Bytes, group: GroupId) -> Result<GroupState> {
        let mut reader = Reader::new(bytes, "a group's checkpoint");
        let version = reader.u8()?;
        if version != VERSION {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "the checkpoint of group {group} has version {version}; this build reads {VERSION}: use a newer one"
                ),
            ));
        }
        let has_damage = reader.u8()? != 0;
        let topic = TopicId(uuid::Uuid::from_u128(reader.u128()?));
        let partition = PartitionNumber(reader.u32()?);
        let replica = ReplicaId(reader.u64()?);
        let index = Index(reader.u64()?);
        let term = Term(reader.u32()?);
        let conf_bytes = reader.bytes()?;
        let conf = Conf::decode(&conf_bytes)
            .map_err(|why| Error::new(Code::Corrupt, format!("the configuration of group {group}: {why}")))?;
        let hard_state = HardState {
            term: Term(reader.u32()?),
            vote: ReplicaId(reader.u64()?),
            commit: Index(reader.u64()?),
        };
        let log_start = Offset(reader.u64()?);
        let next_offset = Offset(reader.u64()?);
        let mut epochs = Vec::new();
        for _ in 0..reader.count(12)? {
            epochs.push((Term(reader.u32()?), Offset(reader.u64()?)));
        }
        let damaged = match has_damage {
            true => Some(Damaged { from: Offset(reader.u64()?), to: Offset(reader.u64()?) }),
            false => None,
        };
        let segments = reader.bytes()?;
        let machine = reader.bytes()?;
        reader.end()?;
        let start = Point { index, term, conf };
        Ok(GroupState {
            topic,
            partition,
            replica,
            start,
            hard_state,
            log_start,
            next_offset,
            epochs,
            damaged,
            segments,
            machine,
        })
    }

    /// Notes that `term` begins at `offset`, when it is newer than the last one noted.
    pub fn note_epoch(&mut self, term: Term, offset: Offset) {
        if self.epochs.last().is_none_or(|&(last, _)| last < term) {
            self.epochs.push((term, offset));
        }
    }

    /// Moves the log start and forgets epochs that end below it. Never back: of two moves that were proposed at
    /// once the smaller may commit last.
    pub fn move_log_start(&mut self, to: Offset) {
        if to <= self.log_start {
            return;
        }
        self.log_start = to;
        let keep = self.epochs.partition_point(|&(_, first)| first <= to).saturating_sub(1);
        self.epochs.drain(..keep);
    }
}

#[cfg(test)]
#[path = "group_state_tests.rs"]
mod tests;
