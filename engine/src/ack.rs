//! How the engine answers: an append's end and a partition's progress go to whoever asked, by a call on the same
//! core. It never waits for the one who is told.

use flumen_model::{Offset, Result, UnixMillis};
use std::rc::Rc;

/// What a producer wants to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nothing: no answer.
    None,
    /// The leader's own stable storage.
    Leader,
    /// The topic's durability: a quorum's stable storage, or its memory where the topic says so.
    Quorum,
}

/// Where an appended batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The time it was stamped with, where the topic stamps.
    pub append_time: Option<UnixMillis>,
    /// The partition's log start.
    pub log_start: Offset,
}

/// Takes the end of appends. One per connection; the slot tells the request.
pub trait AckSink {
    /// The append of this slot is done as its acks wanted, or failed.
    fn appended(&self, slot: u64, result: Result<Appended>);
}

/// One promised answer.
#[derive(Clone)]
pub struct Ack {
    /// Who is told.
    pub sink: Rc<dyn AckSink>,
    /// Which request.
    pub slot: u64,
}

impl Ack {
    /// Keeps the promise.
    pub fn done(self, result: Result<Appended>) {
        self.sink.appended(self.slot, result);
    }
}

/// Takes news of a partition's readable end.
pub trait Watcher {
    /// There may be more to read, or the partition is gone. The key is the watcher's own.
    fn moved(&self, key: u64);
}
