//! A limit and whether the run kept it. A claim is judged by the median of its rounds and says its spread; it must
//! never be called kept on fewer rounds than [`ROUNDS_MIN`].

use super::journal::{JournalTurns, TURNS_MIN};
use super::spread::Spread;
use serde::{Deserialize, Serialize};

/// Rounds below which nothing is claimed: a median of fewer moves with one bad round.
pub const ROUNDS_MIN: usize = 9;

/// Which side of the limit is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sense {
    /// The measured value may be at most the limit.
    AtMost,
    /// The measured value must be at least the limit.
    AtLeast,
}

/// What the run says about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The median is within the limit, over enough rounds.
    Holds,
    /// The median is beyond the limit, over enough rounds.
    Missed,
    /// Fewer than [`ROUNDS_MIN`] rounds: a hint, not a claim.
    TooFewRounds,
    /// The server's journal was not turned often enough: the load never met what a full journal does.
    EmptyJournal,
}

/// One limit with its measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What is limited, in words: `ack p50 ÷ host floor p50`.
    pub name: String,
    /// The part that is judged.
    pub part: String,
    /// Which side of the limit is good.
    pub sense: Sense,
    /// The limit.
    pub limit: f64,
    /// What the rounds measured.
    pub measured: Spread,
    /// How many rounds.
    pub rounds: usize,
    /// The judgement.
    pub verdict: Verdict,
}

impl Claim {
    /// Judges one value per round.
    ///
    /// # Panics
    /// Without rounds: a claim about nothing is a bug of the caller.
    pub fn judge(name: impl Into<String>, part: &str, sense: Sense, limit: f64, values: &[f64]) -> Claim {
        let measured = Spread::of(values.iter().copied()).expect("a claim needs rounds");
        let within = match sense {
            Sense::AtMost => measured.median <= limit,
            Sense::AtLeast => measured.median >= limit,
        };
        let verdict = match within {
            _ if values.len() < ROUNDS_MIN => Verdict::TooFewRounds,
            true => Verdict::Holds,
            false => Verdict::Missed,
        };
        Claim {
            name: name.into(),
            part: part.to_owned(),
            sense,
            limit,
            measured,
            rounds: values.len(),
            verdict,
        }
    }

    /// Whether the median lies within the limit, however few the rounds.
    pub fn within(&self) -> bool {
        match self.sense {
            Sense::AtMost => self.measured.median <= self.limit,
            Sense::AtLeast => self.measured.median >= self.limit,
        }
    }

    /// Takes back a verdict that was won in an empty journal. A limit that was missed even there stays missed.
    #[must_use]
    pub fn over(mut self, journal: Option<JournalTurns>) -> Claim {
        let empty = journal.is_some_and(|journal| journal.turns < TURNS_MIN);
        if empty && self.verdict == Verdict::Holds {
            self.verdict = Verdict::EmptyJournal;
        }
        self
    }
}

impl Verdict {
    /// The judgement in words.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Missed => "missed",
            Verdict::TooFewRounds => "too few rounds",
            Verdict::EmptyJournal => "empty journal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_holds_when_its_median_does_whatever_one_round_says() {
        let mut values = [1.1; 9];
        values[4] = 7.0;
        let claim = Claim::judge("p50", "ack", Sense::AtMost, 1.2, &values);
        assert_eq!(claim.verdict, Verdict::Holds);
        assert_eq!(claim.measured.max, 7.0, "the spread still shows it");
        assert_eq!(Claim::judge("p50", "ack", Sense::AtLeast, 1.2, &values).verdict, Verdict::Missed);
        let mut lucky = [1.3; 9];
        lucky[4] = 0.1;
        assert_eq!(Claim::judge("p50", "ack", Sense::AtMost, 1.2, &lucky).verdict, Verdict::Missed);
    }

    #[test]
    fn eight_rounds_are_no_claim_even_when_they_are_good() {
        let claim = Claim::judge("p50", "ack", Sense::AtMost, 1.2, &[1.0; 8]);
        assert_eq!(claim.verdict, Verdict::TooFewRounds);
        assert!(claim.within());
    }

    #[test]
    fn a_limit_kept_in_an_empty_journal_is_no_proof() {
        let turned = |turns| Some(JournalTurns { turns, ..JournalTurns::default() });
        let holds = Claim::judge("p50", "ack", Sense::AtMost, 1.2, &[1.0; 9]);
        assert_eq!(holds.clone().over(turned(1.9)).verdict, Verdict::EmptyJournal);
        assert_eq!(holds.clone().over(turned(2.0)).verdict, Verdict::Holds);
        assert_eq!(holds.over(None).verdict, Verdict::Holds, "no server, no journal");
        let missed = Claim::judge("p50", "ack", Sense::AtMost, 1.2, &[2.0; 9]);
        assert_eq!(missed.over(turned(0.0)).verdict, Verdict::Missed);
    }
}
