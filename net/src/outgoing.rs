//! What leaves a connection: replies in the order of their requests, pushes between them. Small frames are packed
//! into one buffer, batches stay slices of their own. Pure: bytes in, slices out.

use bytes::{Bytes, BytesMut};
use flumen_engine::Appended;
use flumen_model::{Error, Result};
use flumen_wire::{FrameKind, ProduceReply, ProduceRequest, encode_error, encode_reply};
use std::collections::VecDeque;

/// Room for small frames is taken in pieces of this size.
const PACK_BYTES: usize = 4096;

/// A promised reply.
#[derive(Debug)]
enum Slot {
    /// Not known yet; the kind and correlation of the request.
    Open { kind: FrameKind, correlation: u32 },
    /// Known, but another request before it is not answered yet.
    Ready(Reply),
}

/// A finished reply.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Of a produce.
    Appended { correlation: u32, appended: Appended },
    /// Any other: whole frames, as slices.
    Frames(Vec<Bytes>),
}

impl Reply {
    /// What it keeps in memory beside its slot.
    fn bytes(&self) -> usize {
        match self {
            Reply::Appended { .. } => 0,
            Reply::Frames(frames) => frames.iter().map(Bytes::len).sum(),
        }
    }
}

/// The queue of one connection.
#[derive(Default, Debug)]
pub(crate) struct Outgoing {
    slots: VecDeque<Slot>,
    /// The number of the first slot; slots are named by a count that never runs back.
    first: u64,
    slices: Vec<Bytes>,
    pack: BytesMut,
    bytes: usize,
    /// Bytes of finished replies that wait for another one.
    waiting_bytes: usize,
}

impl Outgoing {
    /// Promises a reply; it leaves after all that were promised before.
    pub(crate) fn promise(&mut self, kind: FrameKind, correlation: u32) -> u64 {
        self.slots.push_back(Slot::Open { kind, correlation });
        self.first + self.slots.len() as u64 - 1
    }

    /// Promises that are not kept yet.
    pub(crate) fn open(&self) -> usize {
        self.slots.len()
    }

    /// Whether this request is the next one to be answered.
    pub(crate) fn is_next(&self, slot: u64) -> bool {
        slot == self.first
    }

    /// Bytes that are kept for the peer, those that wait for another reply included.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes + self.waiting_bytes
    }

    /// Bytes that wait to be taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps the promise of a produce.
    pub(crate) fn appended(&mut self, slot: u64, result: Result<Appended>) {
        match result {
            Ok(appended) => {
                let (_, correlation) = self.asked(slot);
                self.keep(slot, Reply::Appended { correlation, appended });
            }
            Err(error) => self.refuse(slot, &error),
        }
    }

    /// Keeps a promise with an error.
    pub(crate) fn refuse(&mut self, slot: u64, error: &Error) {
        let (kind, correlation) = self.asked(slot);
        let mut out = BytesMut::new();
        encode_error(kind, correlation, error, &mut out);
        self.keep(slot, Reply::Frames(vec![out.freeze()]));
    }

    fn asked(&self, slot: u64) -> (FrameKind, u32) {
        match self.slots[(slot - self.first) as usize] {
            Slot::Open { kind, correlation } => (kind, correlation),
            Slot::Ready(_) => unreachable!("a request is answered once"),
        }
    }

    /// Keeps a promise. Replies that now have all others before them become bytes.
    pub(crate) fn keep(&mut self, slot: u64, reply: Reply) {
        let at = (slot - self.first) as usize;
        if at > 0 {
            self.waiting_bytes += reply.bytes();
            self.slots[at] = Slot::Ready(reply);
            return;
        }
        self.slots.pop_front();
        self.first += 1;
        self.emit(reply);
        while let Some(Slot::Ready(_)) = self.slots.front() {
            let Some(Slot::Ready(reply)) = self.slots.pop_front() else { unreachable!("it was ready") };
            self.first += 1;
            self.waiting_bytes -= reply.bytes();
            self.emit(reply);
        }
    }

    fn emit(&mut self, reply: Reply) {
        match reply {
            Reply::Appended { correlation, appended } => self.pack(|out| {
                let reply = ProduceReply {
                    base_offset: appended.base_offset,
                    append_time: appended.append_time,
                    log_start: appended.log_start,
                };
                encode_reply::<ProduceRequest>(correlation, &reply, out);
            }),
            Reply::Frames(frames) => frames.into_iter().for_each(|frame| self.slice(frame)),
        }
    }

    /// Packs a small frame behind everything queued.
    pub(crate) fn pack(&mut self, put: impl FnOnce(&mut BytesMut)) {
        if self.pack.capacity() - self.pack.len() < PACK_BYTES / 8 {
            self.seal_pack();
            self.pack = BytesMut::with_capacity(PACK_BYTES);
        }
        let before = self.pack.len();
        put(&mut self.pack);
        self.bytes += self.pack.len() - before;
    }

    /// Queues a slice behind everything queued.
    pub(crate) fn slice(&mut self, slice: Bytes) {
        self.seal_pack();
        self.bytes += slice.len();
        self.slices.push(slice);
    }

    fn seal_pack(&mut self) {
        if !self.pack.is_empty() {
            self.slices.push(self.pack.split().freeze());
        }
    }

    /// Takes everything that may leave, in exchange for an empty vector to use again. `None` when there is nothing.
    pub(crate) fn take(&mut self, empty: Vec<Bytes>) -> std::result::Result<Vec<Bytes>, Vec<Bytes>> {
        self.seal_pack();
        if self.slices.is_empty() {
            return Err(empty);
        }
        self.bytes = 0;
        Ok(std::mem::replace(&mut self.slices, empty))
    }
}

#[cfg(test)]
mod tests;
