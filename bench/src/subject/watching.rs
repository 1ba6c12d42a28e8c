//! Watches a node's counters while it is under load, to know afterwards what it did when. It must never ask so
//! often that it is a load itself.

use super::Node;
use crate::measure::{Event, ServerCounters};
use flumen_model::error::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks. What lies between them may have happened at any time in between.
const EVERY: Duration = Duration::from_millis(50);

/// Looks at `node` until `over`, and tells what it did as events; times count from `start`.
pub(super) fn watch(node: &dyn Node, start: Instant, over: &AtomicBool) -> Result<Vec<Event>> {
    let mut log = Log::new(since(start), node.counters()?);
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(EVERY);
        log.look(since(start), node.counters()?);
    }
    Ok(log.events)
}

/// Zero before the start.
fn since(start: Instant) -> Duration {
    Instant::now().saturating_duration_since(start)
}

/// What was done, from look to look.
struct Log {
    last: (Duration, ServerCounters),
    events: Vec<Event>,
}

impl Log {
    fn new(now: Duration, counters: ServerCounters) -> Log {
        Log { last: (now, counters), events: Vec::new() }
    }

    /// Something that went on from look to look is one event.
    fn look(&mut self, now: Duration, counters: ServerCounters) {
        let (from, before) = self.last;
        for what in counters.activities(before) {
            match self.events.iter_mut().rev().find(|event| event.what == what) {
                Some(event) if event.to == from => event.to = now,
                _ => self.events.push(Event { from, to: now, what: what.to_owned() }),
            }
        }
        self.last = (now, counters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_from_look_to_look_is_one_event() {
        let ms = Duration::from_millis;
        let at = |bytes_spread, checkpoints| ServerCounters {
            bytes_spread,
            checkpoints,
            ..ServerCounters::default()
        };
        let mut log = Log::new(ms(0), at(0, 0));
        let looks = [(50, at(1, 0)), (100, at(2, 1)), (150, at(2, 1)), (200, at(3, 1))];
        looks.into_iter().for_each(|(now, counters)| log.look(ms(now), counters));
        let event = |from, to, what: &str| Event { from: ms(from), to: ms(to), what: what.to_owned() };
        assert_eq!(
            log.events,
            [event(0, 100, "spread"), event(50, 100, "checkpoint"), event(150, 200, "spread")]
        );
    }
}
