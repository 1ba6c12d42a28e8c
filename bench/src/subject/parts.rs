//! Parts that load a node: closed, open, reading, both at once. They must never prepare or clean within the
//! measured time.

use super::watching::watch;
use super::{Load, Node, Taken};
use crate::drive::{Closed, Open, OpenRun, run_closed, run_count, run_open};
use crate::floor::Stage;
use crate::floor::stage::{on_cpu, warm_up};
use crate::measure::{Part, Sample};
use flumen_model::error::{Code, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A reader looks this often whether its time is over.
const READ_WAIT: Duration = Duration::from_millis(50);
/// A reader that gets nothing for this long will get nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Payload between two looks at whether the journal has turned.
const TURN_STEP_BYTES: u64 = 32 << 20;
/// A journal that has not turned after so much is none.
const TURN_BYTES_MAX: u64 = 64 << 30;
/// Slices of an open load's throughput over time.
const SLICES: usize = 60;
/// The longest stalls that are kept.
const STALLS: usize = 10;

/// A node on the stage.
#[derive(Clone)]
pub struct Scene {
    /// Where it plays.
    pub stage: Arc<Stage>,
    /// The node.
    pub node: Arc<dyn Node>,
}

/// How a part presses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Press {
    /// A window, always full: as many as the load has in flight.
    Window,
    /// Requests a second, by due time.
    Rate(f64),
    /// The same, with a reader of the named topic at full speed beside it.
    RateBesideReader(f64, &'static str),
}

/// A producer under load.
pub struct Produce {
    scene: Scene,
    name: &'static str,
    about: String,
    load: Load,
    press: Press,
}

impl Scene {
    /// A part that presses `load` on the node.
    pub fn produce(&self, name: &'static str, load: Load, press: Press) -> Box<dyn Part> {
        let until = if load.until == super::Until::Delivered { "delivered to a subscriber" } else { "acked" };
        let size = format!(
            "{} × {} B, {} partitions, until {until}",
            load.records, load.record_bytes, load.partitions
        );
        let about = match press {
            Press::Window => format!("{size}; {} in flight", load.in_flight),
            Press::Rate(rate) => format!("{size}; open load of {rate} requests a second"),
            Press::RateBesideReader(rate, topic) => {
                format!(
                    "{size}; open load of {rate} requests a second beside a reader of '{topic}' at full speed"
                )
            }
        };
        Box::new(Produce { scene: self.clone(), name, about, load, press })
    }

    /// A part that reads `topic` from its first offset, again and again.
    pub fn catch_up(&self, name: &'static str, topic: &'static str) -> Box<dyn Part> {
        Box::new(CatchUp { scene: self.clone(), name, topic })
    }

    /// Presses `load` until the node has taken `bytes` of payload; nothing is measured.
    pub fn fill(&self, load: &Load, bytes: u64) -> Result<()> {
        let mut target = self.node.producer(load)?;
        let requests = bytes.div_ceil(target.bytes_per_request());
        run_count(target.as_mut(), u64::from(load.in_flight), requests)
    }

    /// Presses `load` until the node's journal has been all round `turns` times more; nothing is measured.
    pub fn turn_journal(&self, load: &Load, turns: f64) -> Result<()> {
        let before = self.node.counters()?;
        let mut filled = 0;
        while self.node.counters()?.since(before).turns < turns {
            if filled > TURN_BYTES_MAX {
                let text = format!("the journal did not turn after {} GB of records", filled / 1_000_000_000);
                return Err(Error::new(Code::LimitReached, text));
            }
            self.fill(load, TURN_STEP_BYTES)?;
            filled += TURN_STEP_BYTES;
        }
        Ok(())
    }

    /// Runs `client` on the client's CPU; adds what the run cost.
    fn counted(&self, client: impl FnOnce() -> Result<Sample> + Send) -> Result<Sample> {
        let pids: Vec<u32> = self.node.pid().into_iter().collect();
        let run = || {
            thread::scope(|scope| {
                on_cpu(scope, self.stage.pins.client, client)
                    .join()
                    .expect("a panic of the client ends the run")
            })
        };
        self.stage.counted(&pids, run)
    }
}

impl Produce {
    fn open(&self, rate: f64, length: Duration) -> Result<Sample> {
        let load = Open { rate, warm_up: warm_up(length), length, slices: SLICES, stalls: STALLS };
        let mut target = self.scene.node.producer(&self.load)?;
        let over = AtomicBool::new(false);
        // Stalls count from the end of the warm-up, and so must what is held against them.
        let start = Instant::now() + load.warm_up;
        thread::scope(|scope| {
            let watching = scope.spawn(|| watch(self.scene.node.as_ref(), start, &over));
            let run = run_open(target.as_mut(), load);
            over.store(true, Ordering::Relaxed);
            let events = watching.join().expect("a panic of the watcher ends the run")?;
            let OpenRun { mut sample, stalls, .. } = run?;
            sample.stalls = stalls.explained_by(&events);
            Ok(sample)
        })
    }

    fn beside(&self, rate: f64, topic: &str, length: Duration) -> Result<Sample> {
        let over = AtomicBool::new(false);
        let node = &self.scene.node;
        thread::scope(|scope| {
            let reader = on_cpu(scope, self.scene.stage.pins.client, || {
                let mut all = Taken::default();
                while !over.load(Ordering::Relaxed) {
                    let round = read_to_end(node.as_ref(), topic, || over.load(Ordering::Relaxed))?;
                    all.records += round.records;
                }
                Ok(all)
            });
            let sample = self.open(rate, length);
            over.store(true, Ordering::Relaxed);
            let read = reader.join().expect("a panic of the reader ends the run")?;
            match read.records {
                0 => Err(Error::new(
                    Code::InvalidSetting,
                    format!("the reader of '{topic}' got nothing: fill it first"),
                )),
                _ => sample,
            }
        })
    }
}

impl Part for Produce {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn pids(&self) -> Vec<u32> {
        self.scene.node.pid().into_iter().collect()
    }

    fn run(&mut self, length: Duration) -> Result<Sample> {
        let this = &*self;
        let before = this.scene.node.counters()?;
        let mut sample = this.scene.counted(|| match this.press {
            Press::Window => {
                let window = u64::from(this.load.in_flight);
                let mut target = this.scene.node.producer(&this.load)?;
                run_closed(target.as_mut(), Closed { window, warm_up: warm_up(length), length })
            }
            Press::Rate(rate) => this.open(rate, length),
            Press::RateBesideReader(rate, topic) => this.beside(rate, topic, length),
        })?;
        sample.journal = Some(this.scene.node.counters()?.since(before));
        Ok(sample)
    }
}

/// A reader that catches up from the first offset.
struct CatchUp {
    scene: Scene,
    name: &'static str,
    topic: &'static str,
}

impl Part for CatchUp {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        "a reader from the first offset to the end, again and again; bytes are payload"
    }

    fn pids(&self) -> Vec<u32> {
        self.scene.node.pid().into_iter().collect()
    }

    fn run(&mut self, length: Duration) -> Result<Sample> {
        let this = &*self;
        this.scene.counted(|| {
            let start = Instant::now();
            let mut sample = Sample::default();
            while start.elapsed() < length {
                let began = Instant::now();
                let taken = read_to_end(this.scene.node.as_ref(), this.topic, || start.elapsed() >= length)?;
                sample.records += taken.records;
                sample.bytes += taken.bytes;
                sample.elapsed += began.elapsed();
            }
            Ok(sample)
        })
    }
}

/// Reads from the first offset to what was the end, or until `over`.
fn read_to_end(node: &dyn Node, topic: &str, over: impl Fn() -> bool) -> Result<Taken> {
    let mut reader = node.reader(topic)?;
    let mut all = Taken::default();
    let mut heard = Instant::now();
    while !reader.at_end() && !over() {
        let taken = reader.read(READ_WAIT)?;
        all.records += taken.records;
        all.bytes += taken.bytes;
        if taken.records > 0 {
            heard = Instant::now();
        } else if heard.elapsed() > PATIENCE {
            let text =
                format!("a reader of '{topic}' gets nothing any more, before its end: see the node's log");
            return Err(Error::new(Code::Timeout, text));
        }
    }
    Ok(all)
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
