//! Every floor runs on the real machine and brings what its kind must: latencies for requests, bytes for streams.

use super::blocking::Blocking;
use super::disk::Disk;
use super::host::HostFloor;
use super::loopback::Loopback;
use super::*;
use crate::measure::Part;
use flumen_io::glommio_host::{DsyncMethod, GlommioConfig, GlommioMachine};
use flumen_model::error::Code;
use std::sync::Arc;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(50);

/// A stage on the disk of the sources: a memory filesystem may refuse direct I/O.
fn stage() -> (tempfile::TempDir, Arc<Stage>) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let stage = Stage::build(dir.path(), Pins::choose(&[]).unwrap(), None, FileSizes::TINY).unwrap();
    (dir, Arc::new(stage))
}

fn glommio() -> HostEntry {
    HostEntry::new("glommio", |place| {
        let (cpus, probe_dir) = (vec![place.cpu], place.dir.clone());
        let config = GlommioConfig { cpus, spin: Duration::ZERO, dsync: DsyncMethod::ODsync, probe_dir };
        Ok(GlommioMachine::new(config))
    })
}

fn brings_latencies(mut part: impl Part) {
    let sample = part.run(SHORT).unwrap();
    let figures = sample.figures();
    assert!(figures.n > 0 && sample.records >= figures.n, "{}: {figures:?}", part.name());
    assert!(figures.p50_us > 0.0 && figures.p50_us <= figures.p99_us && figures.p99_us <= figures.max_us);
    assert!(sample.bytes >= sample.records * REQUEST_BYTES as u64);
}

#[test]
fn blocking_floors_bring_latencies() {
    let (_dir, stage) = stage();
    brings_latencies(Blocking::round_trip(&stage));
    brings_latencies(Blocking::floor(&stage));
}

#[test]
fn the_raw_disk_brings_latencies_and_bytes() {
    let (_dir, stage) = stage();
    for disk in [Disk::small_writes, Disk::writes, Disk::deep_writes, Disk::reads] {
        brings_latencies(disk(&stage));
    }
}

#[test]
fn the_loopback_brings_bytes_without_latencies() {
    let (_dir, stage) = stage();
    let sample = Loopback::bandwidth(&stage).run(SHORT).unwrap();
    assert!(sample.bytes > 1 << 20 && sample.latencies.count() == 0);
}

#[test]
fn host_floors_bring_latencies_again_and_again() {
    let (_dir, stage) = stage();
    for shape in [HostFloor::round_trip, HostFloor::one_in_flight, HostFloor::pipelined] {
        for _ in 0..2 {
            brings_latencies(shape(&stage, &glommio()));
        }
    }
}

#[test]
fn a_host_that_cannot_start_says_why() {
    let (_dir, stage) = stage();
    let broken = HostEntry::new("broken", |_| -> std::io::Result<GlommioMachine> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "no rings here"))
    });
    let error = HostFloor::one_in_flight(&stage, &broken).run(SHORT).unwrap_err();
    assert_eq!(error.code, Code::Unsupported);
    assert!(error.message.contains("broken") && error.message.contains("no rings here"), "{error}");
}
