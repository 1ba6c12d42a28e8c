//! Publishing: first line by line, each waited for, beside the machine's own floor; then as fast as the producer can,
//! again and again through the file, until the figures mean something.

use super::source::Source;
use super::witness::partition_of;
use crate::start::Running;
use crate::verbs::ask::settings;
use flumen_bench::floor::blocking::Blocking;
use flumen_bench::floor::{FileSizes, Pins, Stage};
use flumen_bench::measure::{Histogram, Part};
use flumen_client::blocking::{Client, Producer};
use flumen_client::{NewRecord, ProducerSettings};
use flumen_model::Result;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The floor and the single lines take turns, so that a machine that gets busier does so for both.
const ROUNDS: u64 = 5;
/// One line in so many is sent alone and waited for.
const ALONE_ONE_IN: u64 = 40;
/// How long the floor is measured in each round.
const FLOOR_EVERY_ROUND: Duration = Duration::from_millis(250);
/// What the floor writes to; the second size is of streams, which are not measured here.
const FLOOR_FILES: FileSizes = FileSizes { small: 32 << 20, large: 1 << 20 };
/// Records that wait for their acks, in bytes.
const BUFFER_BYTES: usize = 8 << 20;
/// How often acks are collected and the others are told.
const LOOK_EVERY_LINES: u64 = 512;
/// When there are lines enough, but the journal has not gone round as often as wanted.
const TIME_MAX: Duration = Duration::from_secs(15);
/// What a record takes in a batch beside its line, about.
const RECORD_OVERHEAD_BYTES: u64 = 16;

/// How much is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enough {
    /// At least so many lines.
    pub(crate) lines: u64,
    /// And so many bytes, unless that takes too long.
    pub(crate) bytes: u64,
}

/// Everything that was published and acked, and how fast.
pub(crate) struct Published {
    /// Lines.
    pub(crate) lines: u64,
    /// Bytes of the lines that were sent as fast as possible.
    pub(crate) bytes: u64,
    /// Lines that were sent as fast as possible.
    pub(crate) fast_lines: u64,
    /// How long those took, from the first send to the last ack.
    pub(crate) took: Duration,
    /// From the send to the ack of lines that were sent alone.
    pub(crate) acks: Histogram,
    /// The same for a bare program; none when it could not be measured.
    pub(crate) floor: Option<Histogram>,
}

/// Publishes the lines of a text.
pub(crate) struct Publisher<'a> {
    source: &'a Source,
    topic: Arc<str>,
    partitions: NonZeroU32,
    producer: Producer,
    /// The number of the last line that was sent.
    sent: u64,
}

impl<'a> Publisher<'a> {
    /// A publisher to a topic.
    pub(crate) fn open(
        source: &'a Source,
        server: SocketAddr,
        topic: &str,
        partitions: NonZeroU32,
    ) -> Result<Publisher<'a>> {
        let own = ProducerSettings { buffer_bytes_max: BUFFER_BYTES, ..ProducerSettings::default() };
        let producer = Client::new(&server.to_string(), settings()).producer(own)?;
        Ok(Publisher { source, topic: topic.into(), partitions, producer, sent: 0 })
    }

    /// Lines one by one, each acked before the next, in turns with the floor of the directory's disk.
    pub(crate) fn alone(
        &mut self,
        enough: Enough,
        directory: &Path,
        mut tell: impl FnMut(f64, u64),
    ) -> Result<(Histogram, Option<Histogram>)> {
        let mut acks = Histogram::new();
        let mut floor = Floor::build(directory);
        let each = (enough.lines / ALONE_ONE_IN / ROUNDS).max(1);
        for round in 1..=ROUNDS {
            if let Some(floor) = &mut floor {
                floor.measure();
            }
            for _ in 0..each {
                let number = self.sent + 1;
                let key = number.to_string();
                let partition = partition_of(key.as_bytes(), self.partitions).0;
                let line = self.source.line(number - 1);
                let began = Instant::now();
                self.producer.send_and_wait(&self.topic, partition, Some(key.as_bytes()), Some(line))?;
                acks.record(began.elapsed());
                self.sent = number;
            }
            tell(round as f64 / ROUNDS as f64, self.sent);
        }
        Ok((acks, floor.and_then(Floor::into_latencies)))
    }

    /// Lines as fast as they go until there are enough. `acked` always tells how many lines are acked.
    pub(crate) fn fast(
        &mut self,
        enough: Enough,
        running: &Running,
        acked: &AtomicU64,
        mut tell: impl FnMut(f64),
    ) -> Result<(u64, Duration)> {
        let began = Instant::now();
        let (mut bytes, mut finished) = (0, self.sent);
        loop {
            let number = self.sent + 1;
            let line = self.source.line(number - 1);
            let record = NewRecord::to(self.topic.clone()).key(number.to_string()).value(line.to_vec());
            self.producer.send(&record)?;
            self.sent = number;
            bytes += line.len() as u64;
            if !number.is_multiple_of(LOOK_EVERY_LINES) && number != enough.lines {
                continue;
            }
            finished += self.collect()?;
            acked.store(finished, Ordering::Relaxed);
            running.check()?;
            let gone = began.elapsed();
            let share = share(enough, number, bytes + number * RECORD_OVERHEAD_BYTES, gone);
            tell(share);
            if share >= 1.0 {
                break;
            }
        }
        self.producer.flush();
        finished += self.collect()?;
        assert_eq!(finished, self.sent, "after a flush every record has its fate");
        acked.store(finished, Ordering::Relaxed);
        Ok((bytes, began.elapsed()))
    }

    /// How many lines were sent.
    pub(crate) fn lines(&self) -> u64 {
        self.sent
    }

    fn collect(&mut self) -> Result<u64> {
        let mut finished = 0;
        while let Some((_, result)) = self.producer.next_completed() {
            result?;
            finished += 1;
        }
        Ok(finished)
    }
}

/// How much of enough there is, from 0 to 1.
fn share(enough: Enough, lines: u64, bytes: u64, gone: Duration) -> f64 {
    let of = |have: f64, want: f64| if want > 0.0 { have / want } else { 1.0 };
    let turned = of(bytes as f64, enough.bytes as f64).max(of(gone.as_secs_f64(), TIME_MAX.as_secs_f64()));
    of(lines as f64, enough.lines as f64).min(turned).min(1.0)
}

/// The machine's floor: a bare blocking server that reads 256 bytes, writes them durably and answers.
struct Floor {
    part: Blocking,
    latencies: Histogram,
}

impl Floor {
    /// None where it cannot be measured: a quickstart shows the product even there.
    fn build(directory: &Path) -> Option<Floor> {
        let stage = Pins::choose(&[]).and_then(|pins| Stage::build(directory, pins, None, FLOOR_FILES));
        match stage {
            Ok(stage) => Some(Floor { part: Blocking::floor(&Arc::new(stage)), latencies: Histogram::new() }),
            Err(error) => {
                tracing::warn!(%error, "the machine's floor is not measured");
                None
            }
        }
    }

    fn measure(&mut self) {
        match self.part.run(FLOOR_EVERY_ROUND) {
            Ok(sample) => self.latencies.merge(&sample.latencies),
            Err(error) => tracing::warn!(%error, "the machine's floor is not measured"),
        }
    }

    fn into_latencies(self) -> Option<Histogram> {
        (self.latencies.count() > 0).then_some(self.latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_lines_and_bytes_but_never_more_time_than_that() {
        let enough = Enough { lines: 1000, bytes: 1_000_000 };
        let second = Duration::from_secs(1);
        assert!(share(enough, 999, 2_000_000, second) < 1.0);
        assert!(share(enough, 5000, 900_000, second) < 1.0);
        assert!(share(enough, 1000, 1_000_000, second) >= 1.0);
        assert!(share(enough, 1000, 0, TIME_MAX) >= 1.0);
        assert!(share(enough, 999, 0, TIME_MAX * 10) < 1.0, "lines are never fewer");
        assert!(share(Enough { bytes: 0, ..enough }, 1000, 0, Duration::ZERO) >= 1.0);
    }
}
