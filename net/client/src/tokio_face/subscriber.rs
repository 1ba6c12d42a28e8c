//! The tokio subscriber. Records are pushed into it as they are committed; reading them is what lets more come.

use crate::core::calls::CallId;
use crate::core::subscriber::{Read, Start, SubscriberEngine, SubscriberSettings};
use crate::record::Record;
use crate::settings::Settings;
use crate::tokio_face::shared::{Face, Owner, Shared, closed};
use flumen_model::{Error, Offset, PartitionNumber, Result};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;

/// Who waits for records and commits.
#[derive(Default)]
pub(crate) struct Desk {
    reader: Option<Waker>,
    commits: BTreeMap<CallId, oneshot::Sender<Result<()>>>,
}

impl Face for SubscriberEngine {
    type Desk = Desk;

    fn deliver(&mut self, desk: &mut Desk) {
        if self.has_read()
            && let Some(reader) = desk.reader.take()
        {
            reader.wake();
        }
        while let Some((call, result)) = self.next_committed() {
            if let Some(caller) = desk.commits.remove(&call) {
                // The caller may have stopped waiting.
                let _ = caller.send(result);
            }
        }
    }

    fn end(desk: &mut Desk, error: &Error) {
        for (_, caller) in std::mem::take(&mut desk.commits) {
            let _ = caller.send(Err(error.clone()));
        }
        if let Some(reader) = desk.reader.take() {
            reader.wake();
        }
    }
}

/// Reads records. Get one from [`Client::subscriber`](crate::Client::subscriber).
pub struct Subscriber {
    owner: Owner<SubscriberEngine>,
}

impl Subscriber {
    pub(crate) fn new(addr: &str, settings: Settings, subscriber: SubscriberSettings) -> Result<Subscriber> {
        Ok(Subscriber { owner: Owner(Shared::start(addr, SubscriberEngine::new(settings, subscriber)?)?) })
    }

    /// Reads all partitions of a topic too. That there is no such topic is told by [`Subscriber::next`].
    pub fn add_topic(&mut self, topic: &str) {
        self.owner.0.act(|engine, _, _| engine.add_topic(topic));
    }

    /// Reads a partition too.
    pub fn add_partition(&mut self, topic: &str, partition: u32) {
        self.owner.0.act(|engine, _, now| engine.add_partition(topic, PartitionNumber(partition), now));
    }

    /// The next record of any partition; those of one partition come in order. An error ends one partition; others go
    /// on with the next call. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Record> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Record>> {
        let shared = &self.owner.0;
        let mut state = shared.lock();
        if state.is_closed() {
            return Poll::Ready(Err(closed()));
        }
        let now = shared.now();
        let read = state.engine.next_read(now);
        match read {
            Some(read) => {
                // Reading may have allowed more to come.
                shared.write_now(&mut state, now);
                Poll::Ready(match read {
                    Read::Record(record) => Ok(record),
                    Read::Error(error) => Err(error),
                })
            }
            None => {
                state.desk.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Makes the node keep how far this subscription has read, under its name: everything that
    /// [`Subscriber::next`] has returned counts as read.
    pub async fn commit(&mut self) -> Result<()> {
        let (caller, answer) = oneshot::channel();
        let begun = self.owner.0.act(|engine, desk, now| {
            let call = engine.commit(now)?;
            if let Some(call) = call {
                desk.commits.insert(call, caller);
            }
            Ok(call.is_some())
        });
        match begun? {
            true => answer.await.unwrap_or_else(|_| Err(closed())),
            false => Ok(()),
        }
    }

    /// Goes on somewhere else in a partition.
    pub fn seek(&mut self, topic: &str, partition: u32, to: Start) -> Result<()> {
        self.owner.0.act(|engine, _, now| engine.seek(topic, PartitionNumber(partition), to, now))
    }

    /// Why some partition cannot be read just now, if its node does not answer. It is tried again without end; an end to
    /// the trouble is none here.
    pub fn trouble(&mut self) -> Option<Error> {
        self.owner.0.lock().engine.trouble()
    }

    /// The next record to read of each partition of which that is known.
    pub fn positions(&self) -> Vec<(Arc<str>, PartitionNumber, Offset)> {
        self.owner.0.lock().engine.positions()
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber").field("addr", &self.owner.0.addr).finish_non_exhaustive()
    }
}
