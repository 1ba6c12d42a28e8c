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

/// A server's counters since it started, summed over its cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounters {
    /// Bytes written to journals.
    pub journal_written: u64,
    /// Bytes that the journals hold together.
    pub journal_bytes: u64,
    /// Bytes moved to segments.
    pub bytes_spread: u64,
    /// Checkpoints taken.
    pub checkpoints: u64,
}

impl JournalCounters {
    /// What happened since `before`. A server that was started anew in between counts from its start.
    pub fn since(self, before: JournalCounters) -> JournalTurns {
        let written =
            self.journal_written.checked_sub(before.journal_written).unwrap_or(self.journal_written);
        JournalTurns {
            turns: written as f64 / self.journal_bytes.max(1) as f64,
            bytes_spread: self.bytes_spread.checked_sub(before.bytes_spread).unwrap_or(self.bytes_spread),
            checkpoints: self.checkpoints.checked_sub(before.checkpoints).unwrap_or(self.checkpoints),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_journals_filled_and_survive_a_restart() {
        let at = |journal_written, bytes_spread, checkpoints| JournalCounters {
            journal_written,
            journal_bytes: 64,
            bytes_spread,
            checkpoints,
        };
        assert_eq!(
            at(228, 90, 7).since(at(100, 10, 5)),
            JournalTurns { turns: 2.0, bytes_spread: 80, checkpoints: 2 }
        );
        assert_eq!(
            at(32, 1, 0).since(at(100, 10, 5)),
            JournalTurns { turns: 0.5, bytes_spread: 1, checkpoints: 0 }
        );
    }
}
