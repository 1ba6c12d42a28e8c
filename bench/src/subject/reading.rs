//! The reader under load: subscriptions of all partitions from their first offsets, on one raw connection a shard.
//! Counts records and payload; it must never keep what it read.

use super::native::Place;
use super::{Reader, Taken};
use crate::fault::failed;
use crate::sys;
use bytes::Bytes;
use flumen_client::blocking::RawConnection;
use flumen_client::core::connection::Event;
use flumen_model::batch::{BATCH_HEADER_BYTES, Batches};
use flumen_model::error::{Code, Error, Result};
use flumen_model::{Offset, ShardId};
use flumen_wire::{CreditRequest, SubscribeRequest};
use std::time::Duration;

/// Bytes that may be pushed before more credit comes, of each partition.
const CREDIT_BYTES: u32 = 8 << 20;

/// A reader of a topic.
pub(super) struct NativeReader {
    connections: Vec<RawConnection>,
    lanes: Vec<Lane>,
    /// Partitions that have not reached their end.
    behind: usize,
}

/// How far a partition is read.
struct Lane {
    end: Offset,
    reached: bool,
}

impl NativeReader {
    /// Subscribes to all places. A subscription's handle is its partition's number.
    pub(super) fn open(
        places: &[Place],
        dial: impl Fn(ShardId) -> Result<RawConnection>,
    ) -> Result<NativeReader> {
        let mut shards: Vec<ShardId> = places.iter().map(|place| place.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let mut connections = shards.iter().map(|shard| dial(*shard)).collect::<Result<Vec<_>>>()?;
        for (handle, place) in places.iter().enumerate() {
            let at = shards.binary_search(&place.shard).expect("made of all places");
            let (group, handle, offset) = (place.group, handle as u32, Offset(0));
            connections[at].call(&SubscribeRequest { group, handle, offset, credit_bytes: CREDIT_BYTES })?;
        }
        connections.iter_mut().try_for_each(|connection| connection.set_nonblocking(true))?;
        let lane = |place: &Place| Lane { end: place.end, reached: place.end == Offset(0) };
        let lanes: Vec<Lane> = places.iter().map(lane).collect();
        let behind = lanes.iter().filter(|lane| !lane.reached).count();
        Ok(NativeReader { connections, lanes, behind })
    }

    fn sweep(&mut self) -> Result<Taken> {
        let mut all = Taken::default();
        for connection in &mut self.connections {
            connection.flush()?;
            while let Some(event) = connection.poll()? {
                let (handle, batches) = match event {
                    Event::Push { handle, push } => (handle, push.batches),
                    Event::PushEnd { error, .. } => return Err(error),
                    _ => return Err(odd()),
                };
                let lane = self.lanes.get_mut(handle as usize).ok_or_else(odd)?;
                let next = count(&batches, &mut all);
                if !lane.reached && next >= Some(lane.end) {
                    lane.reached = true;
                    self.behind -= 1;
                }
                connection.send(&CreditRequest { handle, credit_bytes: batches.len() as u32 })?;
            }
        }
        Ok(all)
    }
}

/// Adds records and their bytes, the batches' headers left out. Tells the offset behind the last batch.
fn count(batches: &Bytes, all: &mut Taken) -> Option<Offset> {
    let mut next = None;
    for batch in Batches::new(batches) {
        all.records += u64::from(batch.record_count());
        all.bytes += (batch.total_bytes() - BATCH_HEADER_BYTES) as u64;
        next = Some(batch.next_offset());
    }
    next
}

#[cold]
fn odd() -> Error {
    Error::new(Code::InvalidRequest, "the node sent what nobody asked for: this is a bug of the node")
}

impl Reader for NativeReader {
    fn read(&mut self, wait: Duration) -> Result<Taken> {
        let taken = self.sweep()?;
        if taken.records > 0 {
            return Ok(taken);
        }
        let sockets = self.connections.iter().map(RawConnection::socket);
        sys::wait_any(sockets, wait).map_err(|e| failed("cannot wait for the node", e))?;
        self.sweep()
    }

    fn at_end(&self) -> bool {
        self.behind == 0
    }
}
