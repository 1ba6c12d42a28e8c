//! What a server's journal did during a load. A load that did not go round at least twice ran in an empty journal:
//! it never met a checkpoint, a spread or a recycled file, and must never be taken for proof.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Turns below which a load proves nothing.
pub const TURNS_MIN: f64 = 2.0;

/// What the journal did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JournalTurns {
    /// Times that the journal was filled.
    pub turns: f64,
    /// Bytes moved from the journal to segments.
    pub bytes_spread: u64,
    /// Checkpoints taken.
    pub checkpoints: u64,
}

impl AddAssign for JournalTurns {
    fn add_assign(&mut self, other: JournalTurns) {
        self.turns += other.turns;
        self.bytes_spread += other.bytes_spread;
        self.checkpoints += other.checkpoints;
    }
}

/// A server's counters, summed over its shards. What a server does not tell stays 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerCounters {
    /// Times that the journal was filled, of the shard whose journal was filled most often.
    pub turns: f64,
    /// Bytes moved to segments.
    pub bytes_spread: u64,
    /// Checkpoints taken.
    pub checkpoints: u64,
    /// Segments begun.
    pub rolls: u64,
    /// Segments deleted.
    pub deletions: u64,
}

impl ServerCounters {
    /// What happened since `before`. A server that was started anew in between counts from its start.
    pub fn since(self, before: ServerCounters) -> JournalTurns {
        let grown = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        JournalTurns {
            turns: if self.turns < before.turns { self.turns } else { self.turns - before.turns },
            bytes_spread: grown(self.bytes_spread, before.bytes_spread),
            checkpoints: grown(self.checkpoints, before.checkpoints),
        }
    }

    /// What the server did since `before` that may hold up appends.
    pub fn activities(self, before: ServerCounters) -> impl Iterator<Item = &'static str> {
        let kinds = [
            ("spread", self.bytes_spread, before.bytes_spread),
            ("checkpoint", self.checkpoints, before.checkpoints),
            ("roll", self.rolls, before.rolls),
            ("retention", self.deletions, before.deletions),
        ];
        kinds.into_iter().filter(|(_, now, before)| now > before).map(|(kind, _, _)| kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(turns: f64, bytes_spread: u64, checkpoints: u64) -> ServerCounters {
        ServerCounters { turns, bytes_spread, checkpoints, ..ServerCounters::default() }
    }

    #[test]
    fn counters_that_begin_again_count_from_the_restart() {
        let turned = JournalTurns { turns: 2.0, bytes_spread: 80, checkpoints: 2 };
        assert_eq!(at(7.0, 90, 7).since(at(5.0, 10, 5)), turned);
        assert_eq!(
            at(0.5, 1, 0).since(at(5.0, 10, 5)),
            JournalTurns { turns: 0.5, bytes_spread: 1, checkpoints: 0 }
        );
    }

    #[test]
    fn only_what_grew_was_done() {
        let kinds = |now: ServerCounters| now.activities(at(1.0, 10, 5)).collect::<Vec<_>>();
        assert_eq!(kinds(at(1.0, 11, 6)), ["spread", "checkpoint"]);
        assert_eq!(kinds(ServerCounters { rolls: 1, deletions: 1, ..at(9.0, 10, 5) }), ["roll", "retention"]);
    }
}
