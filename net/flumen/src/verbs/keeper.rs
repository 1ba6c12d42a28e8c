//! Keeping a named subscription's positions at the node: only those that moved, and again when the connection or the
//! node went away meanwhile. It must never keep what its caller has not shown.

use super::ask::Ask;
use super::subscription;
use flumen_model::{Kind, Offset, PartitionNumber, Result};
use flumen_wire::{CommitPositionsRequest, Position, TopicMetadata};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A node that restarts is waited for so long.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How far a reader is, by partition: the next offset to read.
pub(crate) type Positions = BTreeMap<PartitionNumber, Offset>;

/// The positions of one subscription in one topic.
pub(crate) struct Keeper {
    server: SocketAddr,
    name: String,
    topic: TopicMetadata,
    ask: Option<Ask>,
    kept: Positions,
}

impl Keeper {
    /// Asks where the subscription stopped. One that is new has no positions yet.
    pub(crate) fn open(
        mut ask: Ask,
        server: SocketAddr,
        name: &str,
        topic: &TopicMetadata,
    ) -> Result<Keeper> {
        let of_group = subscription::positions(&mut ask, name)?.unwrap_or_default();
        let groups = topic.partitions.iter().enumerate();
        let kept = groups
            .filter_map(|(number, partition)| {
                Some((PartitionNumber(number as u32), of_group.get(&partition.group)?.offset))
            })
            .collect();
        Ok(Keeper { server, name: name.to_owned(), topic: topic.clone(), ask: Some(ask), kept })
    }

    /// What the node keeps.
    pub(crate) fn kept(&self) -> &Positions {
        &self.kept
    }

    /// Makes the node keep these.
    pub(crate) fn keep(&mut self, positions: &Positions) -> Result<()> {
        let moved = |(number, offset): &(&PartitionNumber, &Offset)| self.kept.get(number) != Some(*offset);
        let moved: Positions =
            positions.iter().filter(moved).map(|(number, offset)| (*number, *offset)).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let position = |(number, offset): (&PartitionNumber, &Offset)| {
            let partition = &self.topic.partitions[number.0 as usize];
            let (group, leader_epoch) = (partition.group, partition.leader_epoch);
            Position { group, offset: *offset, leader_epoch, metadata: String::new() }
        };
        let positions = moved.iter().map(position).collect();
        self.commit(&CommitPositionsRequest { subscription: self.name.clone(), positions })?;
        self.kept.extend(moved);
        Ok(())
    }

    /// Carrying a commit out twice changes nothing.
    fn commit(&mut self, request: &CommitPositionsRequest) -> Result<()> {
        let began = Instant::now();
        loop {
            let asked = match &mut self.ask {
                Some(ask) => ask.node(request).map(drop),
                None => {
                    Ask::connect(self.server).and_then(|ask| self.ask.insert(ask).node(request).map(drop))
                }
            };
            match asked {
                Err(error)
                    if matches!(error.kind(), Kind::Closed | Kind::Retry) && began.elapsed() < PATIENCE =>
                {
                    self.ask = None;
                    std::thread::sleep(AGAIN_AFTER);
                }
                answer => return answer,
            }
        }
    }
}
