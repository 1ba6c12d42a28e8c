//! The blocking subscriber: records are pushed into the socket, and read from it during calls, on the caller's thread.

use crate::blocking::driver::Driver;
use crate::core::subscriber::{Read, Start, SubscriberEngine, SubscriberSettings};
use crate::record::Record;
use crate::settings::Settings;
use flumen_model::{Error, Offset, PartitionNumber, Result};
use std::sync::Arc;
use std::time::Duration;

/// Reads records on the caller's thread. Get one from [`Client::subscriber`](crate::blocking::Client::subscriber).
#[derive(Debug)]
pub struct Subscriber {
    driver: Driver<SubscriberEngine>,
}

impl Subscriber {
    pub(crate) fn new(addr: &str, settings: Settings, subscriber: SubscriberSettings) -> Result<Subscriber> {
        Ok(Subscriber { driver: Driver::new(addr, SubscriberEngine::new(settings, subscriber)?) })
    }

    /// Reads all partitions of a topic too.
    pub fn add_topic(&mut self, topic: &str) {
        self.driver.engine().add_topic(topic);
    }

    /// Reads a partition too.
    pub fn add_partition(&mut self, topic: &str, partition: u32) {
        let now = self.driver.now();
        self.driver.engine().add_partition(topic, PartitionNumber(partition), now);
    }

    /// The next record, or none when none came in this time. Without a limit it waits for ever. An error ends one
    /// partition; others go on with the next call.
    pub fn next(&mut self, wait: Option<Duration>) -> Result<Option<Record>> {
        let now = self.driver.now();
        let read = match self.driver.engine().next_read(now) {
            Some(read) => {
                self.driver.write();
                Some(read)
            }
            None => {
                let until = wait.map(|wait| now.plus(wait));
                self.driver.run(until, |engine, now| engine.next_read(now))
            }
        };
        match read {
            Some(Read::Record(record)) => Ok(Some(record)),
            Some(Read::Error(error)) => Err(error),
            None => Ok(None),
        }
    }

    /// Makes the node keep how far this subscription has read, under its name.
    pub fn commit(&mut self) -> Result<()> {
        let now = self.driver.now();
        let Some(call) = self.driver.engine().commit(now)? else { return Ok(()) };
        let ended = self.driver.run(None, |engine, _| {
            std::iter::from_fn(|| engine.next_committed()).find(|(ended, _)| *ended == call)
        });
        ended.expect("without a limit the wait ends with an answer: calls have deadlines").1
    }

    /// Goes on somewhere else in a partition.
    pub fn seek(&mut self, topic: &str, partition: u32, to: Start) -> Result<()> {
        let now = self.driver.now();
        self.driver.engine().seek(topic, PartitionNumber(partition), to, now)
    }

    /// Why some partition cannot be read just now, if its node does not answer. It is tried again without end; an end to
    /// the trouble is none here.
    pub fn trouble(&mut self) -> Option<Error> {
        self.driver.engine().trouble()
    }

    /// The next record to read of each partition of which that is known.
    pub fn positions(&mut self) -> Vec<(Arc<str>, PartitionNumber, Offset)> {
        self.driver.engine().positions()
    }
}
