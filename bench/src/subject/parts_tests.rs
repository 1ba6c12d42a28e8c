//! What the load parts promise, on a node that lives in this process.

use super::*;
use crate::drive::{Sending, Target};
use crate::floor::{FileSizes, Pins};
use crate::measure::ServerCounters;
use crate::subject::{Reader, Until};
use std::sync::atomic::AtomicU64;

/// Acks everything at the next poll and keeps what it took in mind.
#[derive(Default)]
struct Tame {
    taken: Arc<AtomicU64>,
    /// Looks at the counters: each shows one more checkpoint.
    looks: AtomicU64,
    mute: bool,
}

struct TameTarget {
    load: Load,
    taken: Arc<AtomicU64>,
    open: Vec<u64>,
    mute: bool,
}

impl Target for TameTarget {
    fn send(&mut self, id: u64) -> Result<Sending> {
        assert!(self.open.len() < self.load.in_flight as usize, "never more in flight than was said");
        self.open.push(id);
        Ok(Sending::Taken)
    }
    fn poll(&mut self, wait: Duration, done: &mut Vec<u64>) -> Result<()> {
        if self.mute {
            return Err(Error::new(Code::Timeout, "mute"));
        }
        if self.open.is_empty() {
            thread::sleep(wait.min(Duration::from_millis(1)));
        }
        let bytes = self.open.len() as u64 * self.bytes_per_request();
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        done.append(&mut self.open);
        Ok(())
    }
    fn records_per_request(&self) -> u64 {
        u64::from(self.load.records)
    }
    fn bytes_per_request(&self) -> u64 {
        u64::from(self.load.records * self.load.record_bytes)
    }
}

/// Gives what was taken when it was opened, in pieces.
struct TameReader(u64);

impl Reader for TameReader {
    fn read(&mut self, _: Duration) -> Result<Taken> {
        let bytes = self.0.min(64 * 1024);
        self.0 -= bytes;
        Ok(Taken { records: bytes / 256, bytes })
    }
    fn at_end(&self) -> bool {
        self.0 == 0
    }
}

impl Node for Tame {
    fn pid(&self) -> Option<u32> {
        None
    }
    fn durability(&self) -> String {
        "none".into()
    }
    fn producer(&self, load: &Load) -> Result<Box<dyn Target>> {
        Ok(Box::new(TameTarget { load: *load, taken: self.taken.clone(), open: Vec::new(), mute: self.mute }))
    }
    fn reader(&self, _: &str) -> Result<Box<dyn Reader>> {
        Ok(Box::new(TameReader(self.taken.load(Ordering::Relaxed))))
    }
    fn counters(&self) -> Result<ServerCounters> {
        let turns = self.taken.load(Ordering::Relaxed) as f64 / 1e6;
        let checkpoints = self.looks.fetch_add(1, Ordering::Relaxed);
        Ok(ServerCounters { turns, checkpoints, ..ServerCounters::default() })
    }
    fn kill(&self) -> Result<()> {
        Err(Error::new(Code::Unsupported, "it is this process"))
    }
}

const LOAD: Load = Load {
    topic: "t",
    partitions: 1,
    records: 16,
    record_bytes: 256,
    in_flight: 4,
    until: Until::Acked,
    keep_bytes: None,
};
const SHORT: Duration = Duration::from_millis(60);

fn scene(node: Tame) -> (tempfile::TempDir, Scene) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let stage = Stage::build(dir.path(), Pins::choose(&[]).unwrap(), None, FileSizes::TINY).unwrap();
    (dir, Scene { stage: Arc::new(stage), node: Arc::new(node) })
}

#[test]
fn a_window_is_pressed_and_the_journals_turns_are_kept() {
    let (_dir, scene) = scene(Tame::default());
    let sample = scene.produce("window", LOAD, Press::Window).run(SHORT).unwrap();
    assert!(sample.records > 0 && sample.bytes == sample.records * 256);
    assert!(sample.journal.unwrap().turns > 0.0);
}

#[test]
fn an_open_loads_stalls_come_with_their_causes() {
    let (_dir, scene) = scene(Tame::default());
    let load = Load { in_flight: u32::MAX, ..LOAD };
    let sample = scene.produce("rate", load, Press::Rate(2_000.0)).run(SHORT).unwrap();
    assert!(!sample.stalls.is_empty() && sample.stalls.iter().all(|stall| stall.cause == "checkpoint"));
    assert!(sample.timeline.iter().sum::<u64>() == sample.records);
}

#[test]
fn a_reader_beside_producers_must_have_something_to_read() {
    let (_dir, scene) = scene(Tame::default());
    let load = Load { in_flight: u32::MAX, ..LOAD };
    let mut beside = scene.produce("beside", load, Press::RateBesideReader(2_000.0, "t"));
    scene.fill(&LOAD, 1 << 20).unwrap();
    assert!(beside.run(SHORT).unwrap().latencies.count() > 0);
    let caught = scene.catch_up("read", "t").run(SHORT).unwrap();
    assert!(caught.bytes > 0 && caught.elapsed > Duration::ZERO);
}

#[test]
fn a_node_that_fails_ends_the_part() {
    let (_dir, scene) = scene(Tame { mute: true, ..Tame::default() });
    assert_eq!(scene.produce("window", LOAD, Press::Window).run(SHORT).unwrap_err().code, Code::Timeout);
    assert!(scene.fill(&LOAD, 1).is_err());
}
