//! What the disk does: durable writes of one size, one method and one depth, and large transfers one after the
//! other. Blocking calls on threads: the floor that any other way of asking is compared with.

use super::buffer::Buffer;
use super::stats::{Percentiles, Samples};
use super::target::Target;
use crate::profile::DurableWrite;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A case ends at its time, but never with fewer samples a thread than this: a slow disk needs longer.
const SAMPLES_MIN: u64 = 20;
/// Bytes of one large transfer.
const TRANSFER_BYTES: usize = 1024 * 1024;
/// Large transfers in flight: enough to fill any disk's pipe.
const TRANSFER_DEPTH: usize = 4;

/// One case of durable writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WriteCase {
    /// Bytes of one write.
    pub(super) bytes: usize,
    /// How it becomes durable.
    pub(super) method: DurableWrite,
    /// Writes in flight, each on a thread.
    pub(super) depth: usize,
}

/// Runs one case for about `time`.
pub(super) fn durable_writes(target: &Target, case: WriteCase, time: Duration) -> io::Result<Percentiles> {
    let stripe = target.bytes / case.depth as u64;
    let (samples, elapsed) = on_threads(
        case.depth,
        |thread, deadline| {
            let buffer = Buffer::noise(case.bytes, thread as u64 + 1);
            let steps = (stripe / case.bytes as u64).max(1);
            let mut samples = Samples::new();
            while Instant::now() < deadline || samples.count() < SAMPLES_MIN {
                let position = thread as u64 * stripe + (samples.count() % steps) * case.bytes as u64;
                let start = Instant::now();
                durable_write(target, case.method, buffer.as_slice(), position)?;
                samples.record(start.elapsed());
            }
            Ok(samples)
        },
        time,
    )?;
    Ok(samples.percentiles(elapsed))
}

fn durable_write(target: &Target, method: DurableWrite, bytes: &[u8], position: u64) -> io::Result<()> {
    match method {
        DurableWrite::Dsync => target.dsync.write_all_at(bytes, position),
        DurableWrite::Flush => {
            target.plain.write_all_at(bytes, position)?;
            target.plain.sync_data()
        }
    }
}

/// Large writes over the whole file and again, with one flush at the end that counts. Bytes a second.
pub(super) fn sequential_write(target: &Target, time: Duration) -> io::Result<f64> {
    let start = Instant::now();
    let bytes =
        transfer(target, time, |file, buffer, position| file.write_all_at(buffer.as_slice(), position))?;
    target.plain.sync_data()?;
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

/// Large reads over the whole file and again. Bytes a second.
pub(super) fn sequential_read(target: &Target, time: Duration) -> io::Result<f64> {
    let start = Instant::now();
    let read = |file: &File, buffer: &mut Buffer, at| file.read_exact_at(buffer.as_mut_slice(), at);
    let bytes = transfer(target, time, read)?;
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

fn transfer(
    target: &Target,
    time: Duration,
    one: impl Fn(&File, &mut Buffer, u64) -> io::Result<()> + Sync,
) -> io::Result<u64> {
    let next = AtomicU64::new(0);
    let (samples, _) = on_threads(
        TRANSFER_DEPTH,
        |thread, deadline| {
            let mut buffer = Buffer::noise(TRANSFER_BYTES, thread as u64 + 1);
            let mut samples = Samples::new();
            while Instant::now() < deadline || samples.count() == 0 {
                let position = next.fetch_add(TRANSFER_BYTES as u64, Ordering::Relaxed) % target.bytes;
                let start = Instant::now();
                one(&target.plain, &mut buffer, position)?;
                samples.record(start.elapsed());
            }
            Ok(samples)
        },
        time,
    )?;
    Ok(samples.count() * TRANSFER_BYTES as u64)
}

/// Runs `work` on `threads` threads that begin together, until the deadline that each is told.
fn on_threads(
    threads: usize,
    work: impl Fn(usize, Instant) -> io::Result<Samples> + Sync,
    time: Duration,
) -> io::Result<(Samples, Duration)> {
    let barrier = Barrier::new(threads);
    let start = Instant::now();
    let results: Vec<io::Result<Samples>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(thread, Instant::now() + time)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("the work does not panic")).collect()
    });
    let elapsed = start.elapsed();
    let mut all = Samples::new();
    for samples in results {
        all.add(&samples?);
    }
    Ok((all, elapsed))
}
