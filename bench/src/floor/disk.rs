//! The raw disk: durable 4 KiB writes one at a time, and sequential durable writes and direct reads at the depth at
//! which a device gives all it has. Blocking calls on written blocks; it must never go through the page cache.

use super::aligned::Aligned;
use super::scratch::{Ring, open_durable, open_read};
use super::stage::{Stage, on_cpu, warm_up};
use crate::fault::failed;
use crate::measure::{Part, Sample};
use flumen_model::error::Result;
use flumen_model::limits::{BLOCK_BYTES, WRITE_GROUP_BYTES_MAX};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One sequential read: what a node's catch-up reads ask for.
const READ_BYTES: usize = 128 * 1024;

/// One way to use the disk.
pub struct Disk {
    stage: Arc<Stage>,
    name: &'static str,
    about: &'static str,
    write: bool,
    bytes: usize,
    depth: usize,
}

impl Disk {
    /// Durable writes of one block, one at a time.
    pub fn small_writes(stage: &Arc<Stage>) -> Disk {
        let about = "pwrite of 4 KiB, O_DIRECT and O_DSYNC, written blocks; one at a time";
        Disk { stage: stage.clone(), name: "write_4k", about, write: true, bytes: BLOCK_BYTES, depth: 1 }
    }

    /// Durable writes of the largest write group, one at a time: what one journal can do at most.
    pub fn writes(stage: &Arc<Stage>) -> Disk {
        let about = "pwrite of 1 MiB, O_DIRECT and O_DSYNC, written blocks; one at a time";
        Disk {
            stage: stage.clone(),
            name: "write_1m",
            about,
            write: true,
            bytes: WRITE_GROUP_BYTES_MAX,
            depth: 1,
        }
    }

    /// The same with four in flight: what the device can do at most.
    pub fn deep_writes(stage: &Arc<Stage>) -> Disk {
        let about = "pwrite of 1 MiB, O_DIRECT and O_DSYNC, written blocks; four at a time";
        Disk {
            stage: stage.clone(),
            name: "write_1m_x4",
            about,
            write: true,
            bytes: WRITE_GROUP_BYTES_MAX,
            depth: 4,
        }
    }

    /// Direct reads, four in flight.
    pub fn reads(stage: &Arc<Stage>) -> Disk {
        let about = "pread of 128 KiB, O_DIRECT; four at a time";
        Disk { stage: stage.clone(), name: "read_128k_x4", about, write: false, bytes: READ_BYTES, depth: 4 }
    }

    /// One of the threads: goes round in its own share of the file until the time is over.
    fn one(&self, lane: usize, start: Instant, length: Duration) -> Result<Sample> {
        let small = self.bytes == BLOCK_BYTES;
        let (path, size) = match small {
            true => (self.stage.small(), self.stage.sizes.small),
            false => (self.stage.large(), self.stage.sizes.large),
        };
        let file = if self.write { open_durable(path)? } else { open_read(path)? };
        let share = size / self.depth as u64;
        let (base, mut ring) = (share * lane as u64, Ring::new(share));
        let mut buffer = Aligned::noise(self.bytes);
        let operation = || -> io::Result<()> {
            let position = base + ring.take(self.bytes as u64);
            match self.write {
                true => file.write_all_at(buffer.bytes(), position),
                false => file.read_exact_at(buffer.bytes_mut(), position),
            }
        };
        let sample = repeat(start, length, operation);
        sample.map_err(|e| failed(format!("the disk failed under {}", path.display()), e))
    }
}

impl Part for Disk {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn run(&mut self, length: Duration) -> Result<Sample> {
        let this = &*self;
        this.stage.counted(&[], || {
            let start = Instant::now() + warm_up(length);
            std::thread::scope(|scope| {
                let lane =
                    |lane| on_cpu(scope, this.stage.pins.server, move || this.one(lane, start, length));
                let lanes: Vec<_> = (0..this.depth).map(lane).collect();
                let mut all = Sample::default();
                for lane in lanes {
                    let sample = lane.join().expect("a panic of a lane ends the run")?;
                    all.latencies.merge(&sample.latencies);
                    all.elapsed = all.elapsed.max(sample.elapsed);
                }
                all.records = all.latencies.count();
                all.bytes = all.records * this.bytes as u64;
                Ok(all)
            })
        })
    }
}

/// Does one operation after the other; counts those that began between `start` and its end.
fn repeat(
    start: Instant,
    length: Duration,
    mut operation: impl FnMut() -> io::Result<()>,
) -> io::Result<Sample> {
    let mut sample = Sample::default();
    let end = start + length;
    let mut began = Instant::now();
    while began < end {
        operation()?;
        let now = Instant::now();
        if began >= start {
            sample.latencies.record(now - began);
            sample.elapsed = now - start;
        }
        began = now;
    }
    Ok(sample)
}
