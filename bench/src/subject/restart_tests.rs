//! What the restart part promises: stored once, the journal turned before every kill, nothing left running.

use super::*;
use crate::drive::{Sending, Target};
use crate::floor::{FileSizes, Pins};
use crate::measure::ServerCounters;
use crate::subject::{Reader, Until};
use flumen_model::error::{Code, Error};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A journal of a test's node.
const TURN_BYTES: u64 = 64 << 20;
const STORED_BYTES: u64 = 256 << 20;
const REQUEST_BYTES: u64 = 1 << 20;

/// What happened to all nodes of a test.
#[derive(Default)]
struct Ledger {
    opened: AtomicU64,
    killed: AtomicU64,
    bytes: AtomicU64,
    /// Bytes that were there at each kill.
    at_kill: Mutex<Vec<u64>>,
}

/// Opens nodes that ack at once and share one ledger.
struct Fakes(Arc<Ledger>);

struct Fake(Arc<Ledger>);

struct Acker {
    ledger: Arc<Ledger>,
    open: Vec<u64>,
}

impl Nodes for Fakes {
    fn open(&self, start: &Start) -> Result<Box<dyn Node>> {
        assert!(start.server.is_none() && start.dir.ends_with("restart"));
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Fake(self.0.clone())))
    }
}

impl Node for Fake {
    fn pid(&self) -> Option<u32> {
        None
    }
    fn durability(&self) -> String {
        "none".into()
    }
    fn producer(&self, _: &Load) -> Result<Box<dyn Target>> {
        Ok(Box::new(Acker { ledger: self.0.clone(), open: Vec::new() }))
    }
    fn reader(&self, _: &str) -> Result<Box<dyn Reader>> {
        Err(Error::new(Code::Unsupported, "nobody reads here"))
    }
    fn counters(&self) -> Result<ServerCounters> {
        let turns = (self.0.bytes.load(Ordering::Relaxed) / TURN_BYTES) as f64;
        Ok(ServerCounters { turns, ..ServerCounters::default() })
    }
    fn kill(&self) -> Result<()> {
        self.0.killed.fetch_add(1, Ordering::Relaxed);
        self.0.at_kill.lock().unwrap().push(self.0.bytes.load(Ordering::Relaxed));
        Ok(())
    }
}

impl Target for Acker {
    fn send(&mut self, id: u64) -> Result<Sending> {
        self.open.push(id);
        Ok(Sending::Taken)
    }
    fn poll(&mut self, _: Duration, done: &mut Vec<u64>) -> Result<()> {
        std::thread::sleep(Duration::from_millis(1));
        self.ledger.bytes.fetch_add(self.open.len() as u64 * REQUEST_BYTES, Ordering::Relaxed);
        done.append(&mut self.open);
        Ok(())
    }
    fn records_per_request(&self) -> u64 {
        1
    }
    fn bytes_per_request(&self) -> u64 {
        REQUEST_BYTES
    }
}

#[test]
fn data_is_stored_once_and_the_journal_turned_before_every_kill() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let stage = Stage::build(dir.path(), Pins::choose(&[]).unwrap(), None, FileSizes::TINY).unwrap();
    let ledger = Arc::new(Ledger::default());
    let nodes: Arc<dyn Nodes> = Arc::new(Fakes(ledger.clone()));
    let load = Load {
        topic: "t",
        partitions: 1,
        records: 1,
        record_bytes: REQUEST_BYTES as u32,
        in_flight: 8,
        until: Until::Acked,
        keep_bytes: None,
    };
    let stored = Stored { load, stored_bytes: STORED_BYTES };
    let mut part = Restart::new(&Arc::new(stage), &nodes, "restart", stored);
    for _ in 0..2 {
        let sample = part.run(Duration::ZERO).unwrap();
        assert_eq!((sample.records, sample.latencies.count()), (1, 1));
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(
        (count(&ledger.opened), count(&ledger.killed)),
        (4, 4),
        "one to fill and one to measure, each round"
    );
    let kills = ledger.at_kill.lock().unwrap();
    assert!(kills[0] >= STORED_BYTES + TURN_BYTES / 2, "{kills:?}");
    assert!(kills[2] - kills[1] >= TURN_BYTES / 2, "{kills:?}");
    assert_eq!(kills[1] - kills[0], REQUEST_BYTES, "a measured node is asked once");
}
