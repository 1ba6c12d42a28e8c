//! `tune probe`: what this disk and loopback do, in three interleaved rounds so that a drift hits every case
//! alike. It writes to one nameless file and one profile, and refuses a directory that a node is using.

mod buffer;
mod disk;
pub(crate) mod judge;
mod net;
pub(crate) mod stats;
mod target;

use crate::check::{Space, pressure};
use crate::profile::{DurableWrite, Fingerprint, Loopback, Profile, WriteResult};
use crate::root::Root;
use disk::WriteCase;
use stats::{Bandwidth, Percentiles, Series};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use target::Target;

/// Sizes of durable writes: a small batch to a full write group.
const SIZES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// Writes in flight.
const DEPTHS: [usize; 3] = [1, 4, 16];
/// Space that must be left beside the file: a disk that is nearly full answers differently, and other programs
/// need it.
const SPARE_BYTES: u64 = 256 << 20;
/// The file by which a node holds its data directory.
const LOCK_FILE: &str = "lock";

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// The time of one case of one round.
    pub case: Duration,
    /// Rounds; figures are medians over them.
    pub rounds: usize,
    /// Bytes of the file that is written to, a multiple of 16 MiB.
    pub file_bytes: u64,
}

impl Effort {
    /// The steps that [`probe`] reports.
    pub fn steps(&self) -> u64 {
        (self.rounds * (write_cases().len() + 4) + 1) as u64
    }
}

/// What a round brings.
#[derive(Default)]
struct Round {
    writes: Vec<Percentiles>,
    sequential_write: f64,
    sequential_read: f64,
    round_trip: Option<Percentiles>,
    bandwidth: f64,
}

fn write_cases() -> Vec<WriteCase> {
    let mut cases = Vec::new();
    for bytes in SIZES {
        for depth in DEPTHS {
            // The two methods of one case stand beside each other, since they are compared.
            cases.extend(DurableWrite::ALL.map(|method| WriteCase { bytes, method, depth }));
        }
    }
    cases
}

/// Measures the disk under `directory` and loopback. `step` is told what was done, once a step.
pub fn probe(directory: &Path, effort: Effort, step: &mut dyn FnMut(&str)) -> io::Result<Profile> {
    refuse_in_use(directory)?;
    refuse_full(directory, effort.file_bytes)?;
    let before = judge::Pressure {
        cpu: pressure::some_avg10(&Root::system(), "cpu"),
        io: pressure::some_avg10(&Root::system(), "io"),
    };
    let target = Target::create(directory, effort.file_bytes).map_err(|e| no_direct(directory, &e))?;
    step("filled the file");
    let mut rounds = Vec::with_capacity(effort.rounds);
    for _ in 0..effort.rounds {
        rounds.push(round(&target, effort.case, step)?);
    }
    let mut profile = assemble(Fingerprint::of_directory(directory), &rounds);
    profile.measured_unix_ms =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    judge::conclude(&mut profile, before);
    Ok(profile)
}

fn round(target: &Target, time: Duration, step: &mut dyn FnMut(&str)) -> io::Result<Round> {
    let mut round = Round::default();
    for case in write_cases() {
        round.writes.push(disk::durable_writes(target, case, time)?);
        step(&format!("{} KiB {} depth {}", case.bytes / 1024, case.method.name(), case.depth));
    }
    round.sequential_write = disk::sequential_write(target, time)?;
    step("sequential write");
    round.sequential_read = disk::sequential_read(target, time)?;
    step("sequential read");
    round.round_trip = Some(net::round_trip(time)?);
    step("loopback round trip");
    round.bandwidth = net::bandwidth(time)?;
    step("loopback bandwidth");
    Ok(round)
}

fn assemble(fingerprint: Fingerprint, rounds: &[Round]) -> Profile {
    let write = write_cases()
        .into_iter()
        .enumerate()
        .map(|(at, case)| WriteResult {
            bytes: case.bytes,
            method: case.method,
            depth: case.depth,
            latency: Series::of(rounds.iter().map(|round| round.writes[at]).collect()),
        })
        .collect();
    let bandwidth = |of: fn(&Round) -> f64| Bandwidth::of(&rounds.iter().map(of).collect::<Vec<_>>());
    let loopback = Loopback {
        round_trip: Series::of(rounds.iter().filter_map(|round| round.round_trip).collect()),
        bandwidth: bandwidth(|round| round.bandwidth),
    };
    let sequential = (bandwidth(|round| round.sequential_write), bandwidth(|round| round.sequential_read));
    Profile::of_figures(fingerprint, write, sequential, loopback)
}

/// A node that runs here would be disturbed, and would disturb the figures.
fn refuse_in_use(directory: &Path) -> io::Result<()> {
    let Ok(lock) = File::open(directory.join(LOCK_FILE)) else { return Ok(()) };
    match lock.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => Err(io::Error::other(format!(
            "a node is running in {}; stop it first, or probe another directory of the same disk",
            directory.display()
        ))),
        _ => Ok(()),
    }
}

fn refuse_full(directory: &Path, file_bytes: u64) -> io::Result<()> {
    let space = Space::of(directory)?;
    let wanted = file_bytes + SPARE_BYTES;
    if space.free >= wanted {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        format!(
            "{} has {} MiB free and the probe needs {} MiB; free some space or give a smaller --file-mib",
            directory.display(),
            space.free >> 20,
            wanted >> 20
        ),
    ))
}

fn no_direct(directory: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "no file for direct I/O can be made in {}: {error}; the directory must exist, be writable and lie on \
             a filesystem with direct I/O, such as ext4 or xfs",
            directory.display()
        ),
    )
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
