//! Push: batches go to a subscriber as they are committed, as far as its credit reaches. From memory at once, from
//! disk through a read of its own; one subscription never holds up another, nor a slow client anybody else.

use crate::connection::Connection;
use bytes::Bytes;
use flumen_engine::{Partition, TailRead, Watcher};
use flumen_io::Host;
use flumen_model::batch::Batches;
use flumen_model::{Code, Error, Offset, Result};
use flumen_wire::{PushHead, SubscribeReply, SubscribeRequest, encode_push_end, encode_push_header};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What one push from memory carries at most, so that many subscriptions share a connection fairly. One batch
/// always fits.
const PUSH_BYTES_MAX: usize = 1024 * 1024;
/// What one read from disk pushes at most, in many pushes: long, since the device is idle between two.
const DISK_BYTES_MAX: usize = 8 * 1024 * 1024;

struct Subscription<H: Host> {
    /// Tells it from one that had the handle before.
    serial: u64,
    partition: Rc<Partition<H>>,
    next: Offset,
    /// Bytes that may still be pushed. One batch may overdraw it.
    credit: i64,
    queued: bool,
    /// A read from disk is under way.
    reading: bool,
}

/// The subscriptions of one connection, by the client's handles.
pub(crate) struct Subscriptions<H: Host> {
    by_handle: BTreeMap<u32, Subscription<H>>,
    ready: VecDeque<u32>,
    /// Subscriptions that there ever were.
    count: u64,
}

impl<H: Host> Default for Subscriptions<H> {
    fn default() -> Self {
        Subscriptions { by_handle: BTreeMap::new(), ready: VecDeque::new(), count: 0 }
    }
}

impl<H: Host> Subscriptions<H> {
    /// Queues a subscription for the pusher; true when the pusher must be woken.
    pub(crate) fn wake(&mut self, handle: u32) -> bool {
        match self.by_handle.get_mut(&handle) {
            Some(one) if !one.queued && !one.reading => {
                one.queued = true;
                self.ready.push_back(handle);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_handle.is_empty()
    }

    /// The subscription that a turn is of; none when it has ended meanwhile.
    fn of(&mut self, turn: &Turn<H>) -> Option<&mut Subscription<H>> {
        self.by_handle.get_mut(&turn.handle).filter(|one| one.serial == turn.serial)
    }
}

/// What the next push needs.
struct Turn<H: Host> {
    handle: u32,
    serial: u64,
    partition: Rc<Partition<H>>,
    from: Offset,
    bytes_max: usize,
}

impl<H: Host> Connection<H> {
    /// Begins a subscription.
    pub(crate) fn subscribe(self: &Rc<Self>, request: &SubscribeRequest) -> Result<SubscribeReply> {
        let limits = self.shard.limits();
        let partition = self.shard.partition(request.group)?;
        partition.check_readable(request.offset)?;
        let credit = request.credit_bytes.min(limits.credit_bytes_max);
        let mut subscriptions = self.subscriptions.borrow_mut();
        if subscriptions.by_handle.contains_key(&request.handle) {
            let message =
                format!("handle {} has a subscription already: take another number", request.handle);
            return Err(Error::new(Code::InvalidRequest, message));
        }
        if subscriptions.by_handle.len() >= limits.pushes_per_connection_max {
            let message = format!(
                "{} subscriptions on one connection are the most: open another",
                limits.pushes_per_connection_max
            );
            return Err(Error::new(Code::LimitReached, message));
        }
        let watcher: Rc<dyn Watcher> = self.clone();
        partition.watch(watcher, u64::from(request.handle));
        let reply = SubscribeReply {
            offset: request.offset,
            high_watermark: partition.high_watermark(),
            log_start: partition.log_start(),
        };
        subscriptions.count += 1;
        let one = Subscription {
            serial: subscriptions.count,
            partition,
            next: request.offset,
            credit: i64::from(credit),
            queued: false,
            reading: false,
        };
        subscriptions.by_handle.insert(request.handle, one);
        subscriptions.wake(request.handle);
        self.pushable.notify_one();
        Ok(reply)
    }

    /// Adds credit. An unknown handle has ended meanwhile.
    pub(crate) fn credit(&self, handle: u32, bytes: u32) {
        let credit_max = i64::from(self.shard.limits().credit_bytes_max);
        let mut subscriptions = self.subscriptions.borrow_mut();
        if let Some(one) = subscriptions.by_handle.get_mut(&handle) {
            one.credit = (one.credit + i64::from(bytes)).min(credit_max);
        }
        if subscriptions.wake(handle) {
            self.pushable.notify_one();
        }
    }

    /// Ends a subscription; nothing of it is pushed any more.
    pub(crate) fn unsubscribe(self: &Rc<Self>, handle: u32) {
        let ended = self.subscriptions.borrow_mut().by_handle.remove(&handle);
        if let Some(one) = ended {
            let watcher: Rc<dyn Watcher> = self.clone();
            one.partition.unwatch(&watcher, u64::from(handle));
        }
    }

    pub(crate) fn end_subscriptions(self: &Rc<Self>) {
        let handles: Vec<u32> = self.subscriptions.borrow().by_handle.keys().copied().collect();
        handles.into_iter().for_each(|handle| self.unsubscribe(handle));
    }

    /// Pushes what is ready until the connection closes.
    pub(crate) async fn run_pusher(self: Rc<Self>) {
        let mut slices = Vec::new();
        while !self.is_closed() {
            if self.is_congested() {
                self.drained.notified().await;
                continue;
            }
            match self.next_turn() {
                Some(turn) => self.take_turn(turn, &mut slices),
                None => self.pushable.notified().await,
            }
        }
    }

    fn is_congested(&self) -> bool {
        self.out(|out| out.bytes()) + self.pushing_bytes.get() >= self.push_bytes_max()
    }

    fn push_bytes_max(&self) -> usize {
        self.shard.limits().reply_bytes_per_connection_max
    }

    fn next_turn(&self) -> Option<Turn<H>> {
        let subscriptions = &mut *self.subscriptions.borrow_mut();
        loop {
            let handle = subscriptions.ready.pop_front()?;
            let Some(one) = subscriptions.by_handle.get_mut(&handle) else { continue };
            one.queued = false;
            if one.credit > 0 && !one.reading {
                return Some(Turn {
                    handle,
                    serial: one.serial,
                    partition: one.partition.clone(),
                    from: one.next,
                    bytes_max: usize::try_from(one.credit).unwrap_or(0).min(DISK_BYTES_MAX),
                });
            }
        }
    }

    fn take_turn(self: &Rc<Self>, turn: Turn<H>, slices: &mut Vec<Bytes>) {
        slices.clear();
        match turn.partition.read_tail(turn.from, turn.bytes_max.min(PUSH_BYTES_MAX), slices) {
            Ok(TailRead::Hit) => {
                self.push(&turn, slices);
                self.again(turn.handle);
            }
            Ok(TailRead::AtEnd) => {}
            Ok(TailRead::OnDisk) => self.push_from_disk(turn),
            Err(error) => self.end(&turn, &error),
        }
    }

    /// Pushes what is on disk, in a task of its own, as it comes from the device and while the client takes it.
    fn push_from_disk(self: &Rc<Self>, turn: Turn<H>) {
        if let Some(one) = self.subscriptions.borrow_mut().of(&turn) {
            one.reading = true;
        }
        // What is in flight for this read and what waits for that, done before the client has room for it.
        let ahead = turn.bytes_max.min(2 * self.shard.limits().read_bytes_in_flight_max);
        self.pushing_bytes.set(self.pushing_bytes.get() + ahead);
        let this = self.clone();
        drop(self.shard.host().spawn(async move {
            let mut sink = async |runs: &mut Vec<Bytes>| {
                while this.out(|out| out.bytes()) >= this.push_bytes_max() && !this.is_closed() {
                    this.drained.notified().await;
                }
                !this.is_closed() && this.push(&turn, runs)
            };
            let read = this.shard.read_stored(&turn.partition, turn.from, turn.bytes_max, &mut sink).await;
            this.pushing_bytes.set(this.pushing_bytes.get() - ahead);
            this.drained.notify_all();
            if let Some(one) = this.subscriptions.borrow_mut().of(&turn) {
                one.reading = false;
            }
            match read {
                Ok(()) => this.again(turn.handle),
                // The log start has passed where the read began; the subscription may be beyond that by now. Its next
                // turn says.
                Err(error) if error.code == Code::OffsetOutOfRange => this.again(turn.handle),
                Err(error) => this.end(&turn, &error),
            }
        }));
    }

    /// Sends batches and moves the subscription behind them. False when it has ended, perhaps while the disk was
    /// read: then nothing of it may leave any more.
    fn push(&self, turn: &Turn<H>, slices: &mut Vec<Bytes>) -> bool {
        let bytes: usize = slices.iter().map(Bytes::len).sum();
        let next = slices.last().and_then(end_of);
        {
            let mut subscriptions = self.subscriptions.borrow_mut();
            let Some(one) = subscriptions.of(turn) else { return false };
            let Some(next) = next else { return true };
            one.next = next;
            one.credit -= bytes as i64;
        }
        let partition = &turn.partition;
        let head = PushHead::new(partition.group(), partition.high_watermark(), partition.log_start());
        self.out(|out| {
            out.pack(|pack| encode_push_header(turn.handle, head, bytes, pack));
            slices.drain(..).for_each(|slice| out.slice(slice));
        });
        true
    }

    /// Queues a subscription again: there may be more.
    fn again(&self, handle: u32) {
        if self.subscriptions.borrow_mut().wake(handle) {
            self.pushable.notify_one();
        }
    }

    fn end(self: &Rc<Self>, turn: &Turn<H>, error: &Error) {
        if self.subscriptions.borrow_mut().of(turn).is_some() {
            self.unsubscribe(turn.handle);
            self.out(|out| out.pack(|pack| encode_push_end(turn.handle, error, pack)));
        }
    }
}

/// The offset behind the last batch of a run.
fn end_of(run: &Bytes) -> Option<Offset> {
    Batches::new(run).last().map(|batch| batch.next_offset())
}
