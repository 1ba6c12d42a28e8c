//! The longest waits of a run, each with its cause. Keeps a fixed number of them; a stall without a known event
//! beside it is the device's or the machine's, and must never be given another cause.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The cause of a stall beside which the server did nothing: the disk was slow, or no CPU was free.
pub const NO_EVENT: &str = "device or CPU";

/// One long wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// When the request was due, since the start of the run.
    pub due: Duration,
    /// How long it took.
    pub latency: Duration,
    /// What the server did meanwhile: spread, checkpoint, roll, retention; or [`NO_EVENT`].
    pub cause: String,
}

/// Something the server did that may hold up appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it began, since the start of the run.
    pub from: Duration,
    /// When it ended.
    pub to: Duration,
    /// What: `checkpoint`.
    pub what: String,
}

/// The longest waits so far, longest first.
#[derive(Clone, Debug)]
pub struct Stalls {
    kept: Vec<Stall>,
    most: usize,
}

impl Stalls {
    /// Keeps the `most` longest.
    pub fn new(most: usize) -> Stalls {
        Stalls { kept: Vec::with_capacity(most + 1), most }
    }

    /// Sees one wait. Requests held up by the same stall come in a row: of waits that overlap only the longest is
    /// kept.
    pub fn see(&mut self, due: Duration, latency: Duration) {
        if self.kept.len() == self.most && self.kept.last().is_none_or(|least| least.latency >= latency) {
            return;
        }
        let overlaps = |stall: &Stall| stall.due < due + latency && due < stall.due + stall.latency;
        if self.kept.iter().any(|stall| overlaps(stall) && stall.latency >= latency) {
            return;
        }
        self.kept.retain(|stall| !overlaps(stall));
        let at = self.kept.partition_point(|stall| stall.latency >= latency);
        self.kept.insert(at, Stall { due, latency, cause: String::new() });
        self.kept.truncate(self.most);
    }

    /// Gives each stall its causes: every kind of event that overlaps it, or [`NO_EVENT`].
    pub fn explained_by(mut self, events: &[Event]) -> Vec<Stall> {
        for stall in &mut self.kept {
            let end = stall.due + stall.latency;
            let beside = events.iter().filter(|event| event.from < end && stall.due < event.to);
            let mut kinds: Vec<&str> = beside.map(|event| event.what.as_str()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            stall.cause = if kinds.is_empty() { NO_EVENT.to_owned() } else { kinds.join(" + ") };
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn one_stall_is_kept_once_however_many_requests_it_held_up() {
        let mut stalls = Stalls::new(3);
        (0..50).for_each(|n| stalls.see(ms(100 + n), ms(50 - n)));
        (0..50).for_each(|n| stalls.see(ms(500 + n), ms(20 - n.min(19))));
        let kept = stalls.explained_by(&[]);
        let longest: Vec<_> = kept.iter().map(|stall| (stall.due, stall.latency)).collect();
        assert_eq!(longest[..2], [(ms(100), ms(50)), (ms(500), ms(20))]);
    }

    #[test]
    fn a_stall_is_explained_by_what_ran_beside_it_and_else_by_the_device() {
        let mut stalls = Stalls::new(2);
        stalls.see(ms(100), ms(10));
        stalls.see(ms(300), ms(5));
        let event = |from, to, what: &str| Event { from: ms(from), to: ms(to), what: what.into() };
        let events = [event(90, 101, "roll"), event(105, 200, "checkpoint"), event(110, 300, "spread")];
        let kept = stalls.explained_by(&events);
        assert_eq!(kept[0].cause, "checkpoint + roll");
        assert_eq!(kept[1].cause, NO_EVENT);
    }
}
