//! The blocking producer: nothing happens but during its calls, all on the caller's thread.

use crate::blocking::driver::Driver;
use crate::core::producer::{Done, ProducerEngine, ProducerSettings, RecordRef};
use crate::record::{NewRecord, RecordMetadata};
use crate::settings::Settings;
use flumen_model::{Code, Error, Offset, PartitionNumber, Result, UnixMillis};
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a record counts for at least when it is gathered.
const RECORD_BYTES_MIN: usize = 16;

/// The name of a record that was sent and not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Sends records on the caller's thread. Get one from [`Client::producer`](crate::blocking::Client::producer).
#[derive(Debug)]
pub struct Producer {
    driver: Driver<ProducerEngine>,
    last_tag: u64,
    completed: VecDeque<(Ticket, Result<RecordMetadata>)>,
    batch_bytes: usize,
    /// Since the sockets were last looked after.
    gathered_bytes: usize,
}

impl Producer {
    pub(crate) fn new(addr: &str, settings: Settings, producer: ProducerSettings) -> Result<Producer> {
        let batch_bytes = producer.batch_bytes;
        let driver = Driver::new(addr, ProducerEngine::new(settings, producer)?);
        Ok(Producer { driver, last_tag: 0, completed: VecDeque::new(), batch_bytes, gathered_bytes: 0 })
    }

    /// Sends one record and waits until it is as durable as was asked: one write and one read when the connection
    /// stands. Everything that goes wrong on the way is tried again until the delivery timeout.
    pub fn send_and_wait(
        &mut self,
        topic: &str,
        partition: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Offset> {
        let partition = Some(PartitionNumber(partition));
        let record = RecordRef { topic, partition, timestamp: wall_clock(), key, value, headers: &[] };
        let tag = self.begin(&record);
        let metadata = self.wait_for(tag)?;
        metadata.offset.ok_or_else(|| {
            let message = "the record is sent, but its offset is not known: with acks none nobody tells it";
            Error::new(Code::Unsupported, message)
        })
    }

    /// Sends one record with everything that it may carry, and waits.
    pub fn send_record(&mut self, record: &NewRecord) -> Result<RecordMetadata> {
        let tag = self.begin_owned(record);
        self.wait_for(tag)
    }

    /// Takes one record, to be sent with others; waits only for room in the buffer. Sockets are looked after whenever
    /// about a batch has been gathered, and in all other calls. Its fate comes from [`Producer::next_completed`], which
    /// should be read every now and then: fates are kept until they are.
    pub fn send(&mut self, record: &NewRecord) -> Result<Ticket> {
        if self.gathered_bytes >= self.batch_bytes {
            self.gathered_bytes = 0;
            self.driver.turn();
        }
        if !self.driver.engine().has_room() {
            let driver = &mut self.driver;
            let completed = &mut self.completed;
            driver.run(None, |engine, _| {
                collect(engine, completed);
                engine.has_room().then_some(())
            });
        }
        self.gathered_bytes += RECORD_BYTES_MIN + record.value.as_ref().map_or(0, |value| value.len());
        Ok(Ticket(self.begin_owned(record)))
    }

    /// Sends everything that is gathered and waits until all of it has its fate.
    pub fn flush(&mut self) {
        self.last_tag += 1;
        let tag = self.last_tag;
        self.driver.engine().flush(tag);
        let completed = &mut self.completed;
        self.driver.run(None, |engine, _| collect(engine, completed).contains(&tag).then_some(()));
    }

    /// The fate of a record that was sent with [`Producer::send`], if one is known. Does not wait.
    pub fn next_completed(&mut self) -> Option<(Ticket, Result<RecordMetadata>)> {
        if self.completed.is_empty() {
            self.driver.turn();
        }
        collect(self.driver.engine(), &mut self.completed);
        self.completed.pop_front()
    }

    /// Flushes and ends. The first record that failed and was not asked for is the error.
    pub fn close(mut self) -> Result<()> {
        self.flush();
        self.completed.drain(..).try_for_each(|(_, result)| result.map(drop))
    }

    fn begin_owned(&mut self, record: &NewRecord) -> u64 {
        let headers: Vec<_> =
            record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
        self.begin(&RecordRef {
            topic: &record.topic,
            partition: record.partition,
            timestamp: record.timestamp.unwrap_or_else(wall_clock),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        })
    }

    fn begin(&mut self, record: &RecordRef<'_>) -> u64 {
        self.last_tag += 1;
        let now = self.driver.now();
        self.driver.engine().send(record, self.last_tag, now);
        self.last_tag
    }

    fn wait_for(&mut self, tag: u64) -> Result<RecordMetadata> {
        let completed = &mut self.completed;
        let result = self.driver.run(None, |engine, _| {
            while let Some(done) = engine.next_done() {
                match done {
                    Done::Record { tag: done, result } if done == tag => return Some(result),
                    Done::Record { tag, result } => completed.push_back((Ticket(tag), result)),
                    Done::Flushed { .. } => {}
                }
            }
            None
        });
        result.expect("without a limit the wait ends with a fate: records have deadlines")
    }
}

/// Keeps records' fates and tells the flushes that ended.
fn collect(
    engine: &mut ProducerEngine,
    completed: &mut VecDeque<(Ticket, Result<RecordMetadata>)>,
) -> Vec<u64> {
    let mut flushed = Vec::new();
    while let Some(done) = engine.next_done() {
        match done {
            Done::Record { tag, result } => completed.push_back((Ticket(tag), result)),
            Done::Flushed { tag } => flushed.push(tag),
        }
    }
    flushed
}

pub(crate) fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
