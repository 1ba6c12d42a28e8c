//! The future of a record that was sent. Its place is in a table that all records of a producer share, so that a record
//! costs no allocation of its own.

use crate::core::producer::{Done, ProducerEngine};
use crate::record::RecordMetadata;
use crate::tokio_face::shared::{Face, Shared};
use flumen_model::{Error, Result};
use slab::Slab;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    result: Option<Result<RecordMetadata>>,
    /// Nobody will ask.
    abandoned: bool,
}

/// The records and flushes of a producer whose callers wait.
#[derive(Default)]
pub(crate) struct Desk {
    slots: Slab<Slot>,
}

impl Desk {
    /// A place for a record's or a flush's fate.
    pub(crate) fn reserve(&mut self) -> usize {
        self.slots.insert(Slot::default())
    }

    fn settle(&mut self, place: usize, result: Result<RecordMetadata>) {
        let slot = &mut self.slots[place];
        if slot.abandoned {
            self.slots.remove(place);
            return;
        }
        slot.result = Some(result);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

impl Face for ProducerEngine {
    type Desk = Desk;

    fn deliver(&mut self, desk: &mut Desk) {
        while let Some(done) = self.next_done() {
            match done {
                Done::Record { tag, result } => desk.settle(tag as usize, result),
                Done::Flushed { tag } => desk.settle(tag as usize, Ok(flushed())),
            }
        }
    }

    fn end(desk: &mut Desk, error: &Error) {
        let open: Vec<usize> =
            desk.slots.iter().filter(|(_, slot)| slot.result.is_none()).map(|(place, _)| place).collect();
        open.into_iter().for_each(|place| desk.settle(place, Err(error.clone())));
    }
}

/// What a flush is settled with; nobody looks at it.
fn flushed() -> RecordMetadata {
    RecordMetadata {
        topic: "".into(),
        partition: flumen_model::PartitionNumber(0),
        offset: None,
        append_time: None,
    }
}

/// The fate of a record: resolves when it is as durable as was asked, or cannot be. The record is on its way whether
/// this is awaited or not; dropping it only means that nobody asks.
#[must_use = "a record's error is only told here"]
pub struct Delivery {
    shared: Arc<Shared<ProducerEngine>>,
    place: Option<usize>,
}

impl Delivery {
    pub(crate) fn new(shared: Arc<Shared<ProducerEngine>>, place: usize) -> Delivery {
        Delivery { shared, place: Some(place) }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let place = self.place.expect("a future is not polled after it resolved");
        let result = {
            let mut state = self.shared.lock();
            let slot = &mut state.desk.slots[place];
            let result = slot.result.take();
            match result {
                Some(_) => drop(state.desk.slots.remove(place)),
                None => slot.waker = Some(context.waker().clone()),
            }
            result
        };
        match result {
            Some(result) => {
                self.place = None;
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.shared.lock();
        let slot = &mut state.desk.slots[place];
        slot.abandoned = true;
        if slot.result.is_some() {
            state.desk.slots.remove(place);
        }
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("place", &self.place).finish_non_exhaustive()
    }
}
