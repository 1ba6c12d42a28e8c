//! Open load: requests are due at fixed times, whatever the target does, and latency counts from the due time. A
//! target that stalls is charged for every request that came due meanwhile (no coordinated omission). It must
//! never skip or delay a due time to spare the target.

use super::clock::{Clock, Wall};
use super::closed::alive;
use super::target::{Sending, Target};
use super::timeline::Timeline;
use crate::measure::{Sample, Stalls};
use flumen_model::error::{Code, Error, Result};
use std::time::Duration;

/// Near a due time the driver polls without waiting: waking up takes a sleeping core this long.
const SPIN: Duration = Duration::from_micros(80);
/// The longest wait while something is in flight; also how long the end of a run waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Open {
    /// Requests a second.
    pub rate: f64,
    /// How long before anything is counted.
    pub warm_up: Duration,
    /// How long is counted, by due time.
    pub length: Duration,
    /// Slices of the throughput over time.
    pub slices: usize,
    /// How many of the longest stalls to keep.
    pub stalls: usize,
}

/// What an open load brought.
#[derive(Clone, Debug)]
pub struct OpenRun {
    /// Latencies from the due time, and counts.
    pub sample: Sample,
    /// The longest waits.
    pub stalls: Stalls,
    /// How far the driver itself fell behind at worst: a target without room, or no CPU.
    pub behind_max: Duration,
}

/// The due times of a load: request `n` is due at exactly `n ÷ rate`.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    rate: f64,
}

impl Schedule {
    fn due(self, id: u64) -> Duration {
        Duration::from_secs_f64(id as f64 / self.rate)
    }
}

/// Presses `target` by due times. Ends when all that came due within the length is done.
pub fn run_open(target: &mut (impl Target + ?Sized), load: Open) -> Result<OpenRun> {
    run(target, load, &mut Wall::start())
}

fn run(target: &mut (impl Target + ?Sized), load: Open, clock: &mut impl Clock) -> Result<OpenRun> {
    if !(load.rate.is_finite() && load.rate > 0.0) {
        return Err(Error::new(Code::InvalidSetting, format!("a rate of {} a second is no load", load.rate)));
    }
    let schedule = Schedule { rate: load.rate };
    let until = load.warm_up + load.length;
    let mut tally = Tally::new(load, schedule);
    let (mut next, mut in_flight) = (0u64, 0u64);
    let mut done = Vec::with_capacity(1024);
    let mut now = clock.now();
    loop {
        let mut full = false;
        while !full && schedule.due(next) <= now && schedule.due(next) < until {
            tally.behind_max = tally.behind_max.max(now - schedule.due(next));
            full = target.send(next)? == Sending::Full;
            (next, in_flight) = if full { (next, in_flight) } else { (next + 1, in_flight + 1) };
        }
        let more = schedule.due(next) < until;
        if !more && in_flight == 0 {
            break;
        }
        let before = now;
        let to_due = if more && !full { Some(schedule.due(next).saturating_sub(now)) } else { None };
        target.poll(to_due.map_or(PATIENCE, |wait| wait.saturating_sub(SPIN)), &mut done)?;
        now = clock.now();
        if to_due.is_none() {
            alive(done.len(), now - before)?;
        }
        in_flight -= done.len() as u64;
        done.drain(..).for_each(|id| tally.done(target, id, now));
    }
    Ok(tally.finish(now))
}

/// Counts what is done.
struct Tally {
    load: Open,
    schedule: Schedule,
    sample: Sample,
    stalls: Stalls,
    timeline: Timeline,
    behind_max: Duration,
}

impl Tally {
    fn new(load: Open, schedule: Schedule) -> Tally {
        Tally {
            load,
            schedule,
            sample: Sample::default(),
            stalls: Stalls::new(load.stalls),
            timeline: Timeline::new(load.length, load.slices.max(1)),
            behind_max: Duration::ZERO,
        }
    }

    fn done(&mut self, target: &(impl Target + ?Sized), id: u64, now: Duration) {
        let due = self.schedule.due(id);
        let Some(since_start) = due.checked_sub(self.load.warm_up) else { return };
        let latency = now - due;
        self.sample.latencies.record(latency);
        self.stalls.see(since_start, latency);
        self.sample.records += target.records_per_request();
        self.sample.bytes += target.bytes_per_request();
        self.timeline.add(now - self.load.warm_up, target.records_per_request());
    }

    /// The time of the load is its length, or longer when the target did not keep up.
    fn finish(mut self, now: Duration) -> OpenRun {
        self.sample.elapsed = now.saturating_sub(self.load.warm_up).max(self.load.length);
        self.sample.timeline = self.timeline.into_counts();
        OpenRun { sample: self.sample, stalls: self.stalls, behind_max: self.behind_max }
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
