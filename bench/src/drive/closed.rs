//! Closed load: a fixed number of requests in flight, a new one when one is done. Says the most a target can do,
//! and with one in flight the time of a single request. It must never be used to tell latency under a given load:
//! a slow target slows the load down.

use super::clock::{Clock, Wall};
use super::target::{Sending, Target};
use super::timeline::Timeline;
use crate::measure::Sample;
use flumen_model::error::{Code, Error, Result};
use std::collections::VecDeque;
use std::time::Duration;

/// Slices of a part's throughput over time.
const SLICES: usize = 20;
/// No answer for this long means that the target is dead.
const PATIENCE: Duration = Duration::from_secs(10);

/// A closed load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Requests in flight.
    pub window: u64,
    /// How long before anything is counted.
    pub warm_up: Duration,
    /// How long is counted.
    pub length: Duration,
}

/// When each request in flight was sent, by its number.
#[derive(Default)]
struct InFlight {
    first: u64,
    sent: VecDeque<Option<Duration>>,
    count: u64,
}

impl InFlight {
    fn push(&mut self, at: Duration) {
        self.sent.push_back(Some(at));
        self.count += 1;
    }

    /// When `id` was sent; forgets it.
    fn take(&mut self, id: u64) -> Duration {
        let at = (id - self.first) as usize;
        let sent = self.sent[at].take().expect("a target says once that a request is done");
        while self.sent.front().is_some_and(Option::is_none) {
            self.sent.pop_front();
            self.first += 1;
        }
        self.count -= 1;
        sent
    }
}

/// Presses `target` and returns what it did. Waits in the end for all that is in flight, so that the target can be
/// used again.
pub fn run_closed(target: &mut (impl Target + ?Sized), load: Closed) -> Result<Sample> {
    run(target, load, &mut Wall::start())
}

/// Sends so many requests, `window` in flight, and waits for all; nothing is measured.
pub fn run_count(target: &mut (impl Target + ?Sized), window: u64, requests: u64) -> Result<()> {
    let (mut sent, mut ended) = (0, 0);
    let mut done = Vec::with_capacity(window as usize);
    let mut clock = Wall::start();
    let mut now = clock.now();
    while ended < requests {
        while sent < requests && sent - ended < window && target.send(sent)? == Sending::Taken {
            sent += 1;
        }
        let before = now;
        target.poll(PATIENCE, &mut done)?;
        now = clock.now();
        alive(done.len(), now - before)?;
        ended += done.drain(..).count() as u64;
    }
    Ok(())
}

fn run(target: &mut (impl Target + ?Sized), load: Closed, clock: &mut impl Clock) -> Result<Sample> {
    let (start, end) = (load.warm_up, load.warm_up + load.length);
    let mut in_flight = InFlight::default();
    let (mut next, mut done) = (0, Vec::with_capacity(load.window as usize));
    let mut sample = Sample { elapsed: load.length, ..Sample::default() };
    let mut timeline = Timeline::new(load.length, SLICES);
    let mut now = clock.now();
    while now < end || in_flight.count > 0 {
        while now < end && in_flight.count < load.window && target.send(next)? == Sending::Taken {
            in_flight.push(now);
            next += 1;
        }
        let waited = now;
        target.poll(PATIENCE, &mut done)?;
        now = clock.now();
        alive(done.len(), now - waited)?;
        for id in done.drain(..) {
            let sent = in_flight.take(id);
            if sent >= start && now < end {
                sample.latencies.record(now - sent);
            }
            if now >= start && now < end {
                sample.records += target.records_per_request();
                sample.bytes += target.bytes_per_request();
                timeline.add(now - start, target.records_per_request());
            }
        }
    }
    sample.timeline = timeline.into_counts();
    Ok(sample)
}

/// A poll that brought nothing for all of its patience means a dead target.
pub(super) fn alive(done: usize, waited: Duration) -> Result<()> {
    if done > 0 || waited < PATIENCE {
        return Ok(());
    }
    Err(Error::new(
        Code::Timeout,
        format!("the server did not answer for {} s: see its log", PATIENCE.as_secs()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::clock::Fake;

    /// Answers what is in flight, newest first, one at every poll, which takes 10 µs.
    #[derive(Default)]
    struct Backwards {
        clock: Fake,
        open: Vec<u64>,
        most: usize,
        sent: u64,
        dead: bool,
    }

    impl Target for Backwards {
        fn send(&mut self, id: u64) -> Result<Sending> {
            self.open.push(id);
            self.sent += 1;
            self.most = self.most.max(self.open.len());
            Ok(Sending::Taken)
        }
        fn poll(&mut self, _: Duration, done: &mut Vec<u64>) -> Result<()> {
            match self.dead {
                true => Err(Error::new(Code::Closed, "gone")),
                false => {
                    self.clock.pass(Duration::from_micros(10));
                    done.extend(self.open.pop());
                    Ok(())
                }
            }
        }
        fn records_per_request(&self) -> u64 {
            16
        }
        fn bytes_per_request(&self) -> u64 {
            16 * 256
        }
    }

    const SHORT: Closed =
        Closed { window: 8, warm_up: Duration::from_millis(1), length: Duration::from_millis(20) };

    fn press(target: &mut Backwards) -> Result<Sample> {
        let mut clock = target.clock.clone();
        run(target, SHORT, &mut clock)
    }

    #[test]
    fn the_window_is_never_passed_and_nothing_stays_in_flight() {
        let mut target = Backwards::default();
        let sample = press(&mut target).unwrap();
        assert_eq!(target.most, 8);
        assert!(target.open.is_empty(), "the target can be used again");
        assert_eq!(sample.bytes, sample.records * 256);
        assert_eq!(sample.timeline.iter().sum::<u64>(), sample.records);
        let requests = sample.records / 16;
        assert!((1_800..=1_820).contains(&requests), "11 µs each for 20 ms: {requests}");
        assert!(sample.latencies.quantile_us(0.5) < 12.0, "the newest is answered first");
    }

    #[test]
    fn a_count_is_sent_exactly_and_waited_for() {
        let mut target = Backwards::default();
        run_count(&mut target, 3, 10).unwrap();
        assert!(target.open.is_empty());
        assert_eq!((target.most, target.sent), (3, 10));
    }

    #[test]
    fn a_target_that_fails_ends_the_run() {
        let mut target = Backwards { dead: true, ..Backwards::default() };
        assert_eq!(press(&mut target).unwrap_err().code, Code::Closed);
    }

    #[test]
    fn silence_is_an_error_and_not_a_hang() {
        assert_eq!(alive(0, PATIENCE).unwrap_err().code, Code::Timeout);
        assert!(alive(0, PATIENCE / 2).is_ok() && alive(1, PATIENCE).is_ok());
    }
}
