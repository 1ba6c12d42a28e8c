//! The producer under load: one raw connection a shard, one prepared batch, acks in the order of the sends; and a
//! subscriber on connections of its own when delivery is asked for. It must never hold a batch back.

use super::native::Place;
use super::progress::InOrder;
use super::{Load, Until};
use crate::drive::{Sending, Target};
use crate::fault::failed;
use crate::sys;
use bytes::Bytes;
use flumen_client::blocking::RawConnection;
use flumen_client::core::connection::Event;
use flumen_model::batch::{BatchBuilder, Batches, Compression};
use flumen_model::error::{Code, Error, Result};
use flumen_model::limits::BATCH_BYTES_HARD_MAX;
use flumen_model::{GroupId, ShardId, UnixMillis};
use flumen_wire::{Acks, CreditRequest, SubscribeRequest};
use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes that may be pushed before more credit comes.
const CREDIT_BYTES: u32 = 16 << 20;
/// A wait this long is left to the socket: one system call instead of three.
const BLOCKING_WAIT: Duration = Duration::from_secs(1);

/// One shard's connection for appends.
struct Appends {
    connection: RawConnection,
    /// Requests without an ack, oldest first: acks come in their order.
    open: VecDeque<u64>,
}

/// One shard's connection for pushes.
struct Pushes {
    connection: RawConnection,
}

/// A partition and what is to be delivered from it.
struct Lane {
    group: GroupId,
    appends: usize,
    /// Requests that were sent and not yet pushed back, oldest first.
    undelivered: VecDeque<u64>,
}

/// A producer.
pub(super) struct NativeTarget {
    load: Load,
    batch: Bytes,
    appends: Vec<Appends>,
    pushes: Vec<Pushes>,
    lanes: Vec<Lane>,
    progress: InOrder,
    nonblocking: bool,
}

impl NativeTarget {
    /// Opens the connections that the load needs. A subscription's handle is its partition's number.
    pub(super) fn open(
        load: &Load,
        places: &[Place],
        dial: impl Fn(ShardId) -> Result<RawConnection>,
    ) -> Result<NativeTarget> {
        let delivered = load.until == Until::Delivered;
        let mut shards: Vec<ShardId> = places.iter().map(|place| place.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let at = |shard| shards.binary_search(&shard).expect("made of all places");
        let open = |shard: &ShardId| Ok(Appends { connection: dial(*shard)?, open: VecDeque::new() });
        let lane = |place: &Place| Lane {
            group: place.group,
            appends: at(place.shard),
            undelivered: VecDeque::new(),
        };
        let mut target = NativeTarget {
            load: *load,
            batch: batch_of(load)?,
            appends: shards.iter().map(open).collect::<Result<_>>()?,
            pushes: Vec::new(),
            lanes: places.iter().map(lane).collect(),
            progress: InOrder::new(if delivered { 2 } else { 1 }),
            nonblocking: false,
        };
        if delivered {
            for shard in &shards {
                target.pushes.push(Pushes { connection: dial(*shard)? });
            }
            for (handle, place) in places.iter().enumerate() {
                target.pushes[at(place.shard)].subscribe(handle as u32, place)?;
            }
        }
        Ok(target)
    }

    fn set_nonblocking(&mut self, nonblocking: bool) -> Result<()> {
        if self.nonblocking != nonblocking {
            let pushes = self.pushes.iter_mut().map(|pushes| &mut pushes.connection);
            for connection in self.appends.iter_mut().map(|appends| &mut appends.connection).chain(pushes) {
                connection.set_nonblocking(nonblocking)?;
            }
            self.nonblocking = nonblocking;
        }
        Ok(())
    }

    /// One connection, nothing else to wait for: the read itself waits, and one brings many.
    fn wait_in_read(&mut self, done: &mut Vec<u64>) -> Result<()> {
        let appends = &mut self.appends[0];
        appends.connection.flush()?;
        if appends.open.is_empty() {
            return Ok(());
        }
        let mut event = match appends.connection.recv() {
            Ok(event) => Some(event),
            Err(error) if error.code == Code::Timeout => None,
            Err(error) => return Err(error),
        };
        while let Some(came) = event {
            appends.take(came, &mut self.progress, done)?;
            event = appends.connection.buffered()?;
        }
        Ok(())
    }

    /// Takes what has come on all connections.
    fn sweep(&mut self, done: &mut Vec<u64>) -> Result<()> {
        for appends in &mut self.appends {
            appends.connection.flush()?;
            while let Some(event) = appends.connection.poll()? {
                appends.take(event, &mut self.progress, done)?;
            }
        }
        for pushes in &mut self.pushes {
            pushes.connection.flush()?;
            while let Some(event) = pushes.connection.poll()? {
                pushes.take(event, &mut self.lanes, &mut self.progress, done)?;
            }
        }
        Ok(())
    }
}

impl Target for NativeTarget {
    fn send(&mut self, id: u64) -> Result<Sending> {
        let lanes = self.lanes.len() as u64;
        let lane = &mut self.lanes[(id % lanes) as usize];
        let appends = &mut self.appends[lane.appends];
        if appends.open.len() >= self.load.in_flight as usize {
            return Ok(Sending::Full);
        }
        appends.connection.queue_batch(lane.group, Acks::Quorum, self.batch.clone());
        appends.open.push_back(id);
        if self.load.until == Until::Delivered {
            lane.undelivered.push_back(id);
        }
        self.progress.begin(id);
        Ok(Sending::Taken)
    }

    fn poll(&mut self, wait: Duration, done: &mut Vec<u64>) -> Result<()> {
        if wait >= BLOCKING_WAIT && self.appends.len() == 1 && self.pushes.is_empty() {
            self.set_nonblocking(false)?;
            return self.wait_in_read(done);
        }
        self.set_nonblocking(true)?;
        let before = done.len();
        self.sweep(done)?;
        if done.len() > before || wait.is_zero() {
            return Ok(());
        }
        let pushes = self.pushes.iter().map(|pushes| pushes.connection.socket());
        let sockets = self.appends.iter().map(|appends| appends.connection.socket()).chain(pushes);
        sys::wait_any(sockets, wait).map_err(|e| failed("cannot wait for the node", e))?;
        self.sweep(done)
    }

    fn records_per_request(&self) -> u64 {
        u64::from(self.load.records)
    }

    fn bytes_per_request(&self) -> u64 {
        u64::from(self.load.records) * u64::from(self.load.record_bytes)
    }
}

impl Appends {
    fn take(&mut self, event: Event, progress: &mut InOrder, done: &mut Vec<u64>) -> Result<()> {
        let Event::Appended { result, .. } = event else { return Err(odd()) };
        result?;
        let id = self.open.pop_front().ok_or_else(odd)?;
        progress.step(id, done);
        Ok(())
    }
}

impl Pushes {
    /// Asks for what comes behind the partition's end.
    fn subscribe(&mut self, handle: u32, place: &Place) -> Result<()> {
        let request =
            SubscribeRequest { group: place.group, handle, offset: place.end, credit_bytes: CREDIT_BYTES };
        self.connection.call(&request).map(|_| ())
    }

    fn take(
        &mut self,
        event: Event,
        lanes: &mut [Lane],
        progress: &mut InOrder,
        done: &mut Vec<u64>,
    ) -> Result<()> {
        let (handle, batches) = match event {
            Event::Push { handle, push } => (handle, push.batches),
            Event::PushEnd { error, .. } => return Err(error),
            _ => return Err(odd()),
        };
        let lane = lanes.get_mut(handle as usize).ok_or_else(odd)?;
        let mut came = Batches::new(&batches);
        for _ in came.by_ref() {
            progress.step(lane.undelivered.pop_front().ok_or_else(odd)?, done);
        }
        if came.position() != batches.len() {
            return Err(Error::new(
                Code::InvalidBatch,
                "the node pushed a batch in pieces: this is a bug of the node",
            ));
        }
        self.connection.send(&CreditRequest { handle, credit_bytes: batches.len() as u32 })?;
        Ok(())
    }
}

fn odd() -> Error {
    Error::new(Code::InvalidRequest, "the node sent what nobody asked for: this is a bug of the node")
}

/// The batch that is sent again and again: built once, since the node and not the producer is measured.
fn batch_of(load: &Load) -> Result<Bytes> {
    let mut builder = BatchBuilder::new(BATCH_BYTES_HARD_MAX, Compression::None)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut value = vec![0; load.record_bytes as usize];
    for _ in 0..load.records {
        for byte in &mut value {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state as u8;
        }
        builder.append(UnixMillis(now), None, Some(&value), &[])?;
    }
    Ok(builder.finish())
}
