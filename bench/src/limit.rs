//! Limits: what a part's figure is held against, round by round. A limit knows parts by name; it must never look
//! at anything but the rounds of one run.

use crate::measure::figures::Figure;
use crate::measure::{Claim, Sample, Sense, Series};

/// What a figure is divided by before it is held against the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the limit is absolute.
    One,
    /// The same figure of another part in the same round.
    Part(&'static str),
    /// The same, divided by the bytes that the disk wrote for each payload byte of the judged part.
    PartByAmplification(&'static str),
}

/// A limit on one figure of one part.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The part that is judged.
    pub part: &'static str,
    /// Which of its figures.
    pub figure: Figure,
    /// Which side is good.
    pub sense: Sense,
    /// The limit.
    pub limit: f64,
    /// What it is a multiple of: the least of these in each round.
    pub bases: Vec<Base>,
}

impl Limit {
    /// `part`'s figure may be at most `limit` times that of `base`.
    pub fn at_most(part: &'static str, figure: Figure, limit: f64, base: &'static str) -> Limit {
        Limit { part, figure, sense: Sense::AtMost, limit, bases: vec![Base::Part(base)] }
    }

    /// `part`'s figure must be at least `limit` times the least of `bases`.
    pub fn at_least(part: &'static str, figure: Figure, limit: f64, bases: Vec<Base>) -> Limit {
        Limit { part, figure, sense: Sense::AtLeast, limit, bases }
    }

    /// Judges a run's rounds; `None` when one of the parts did not run.
    pub fn judge(&self, all: &[Series]) -> Option<Claim> {
        let part = find(all, self.part)?;
        let known = |base: &Base| base.part().is_none_or(|name| find(all, name).is_some());
        if !self.bases.iter().all(known) {
            return None;
        }
        let least = |round: usize| {
            let judged = &part.samples[round];
            let values = self.bases.iter().map(|base| base.value(all, round, judged, self.figure));
            values.fold(f64::MAX, f64::min)
        };
        let ratios = part.ratios_to(self.figure, least);
        if ratios.is_empty() {
            return None;
        }
        let claim = Claim::judge(self.name(), self.part, self.sense, self.limit, &ratios);
        Some(claim.over(part.journal()))
    }

    /// `batches records/s`, `ack p50 ÷ host_floor`, `large bytes/s ÷ min(loopback, write_1m ÷ amplification)`.
    fn name(&self) -> String {
        let figure = match self.figure {
            Figure::P50 => "p50",
            Figure::P99 => "p99",
            Figure::P999 => "p99.9",
            Figure::Records => "records/s",
            Figure::Bytes => "bytes/s",
        };
        let bases: Vec<String> = self.bases.iter().filter_map(Base::text).collect();
        match bases.as_slice() {
            [] if self.figure.is_latency() => format!("{} {figure} in µs", self.part),
            [] => format!("{} {figure}", self.part),
            [one] => format!("{} {figure} ÷ {one}", self.part),
            several => format!("{} {figure} ÷ min({})", self.part, several.join(", ")),
        }
    }
}

impl Base {
    fn part(&self) -> Option<&'static str> {
        match self {
            Base::One => None,
            Base::Part(name) | Base::PartByAmplification(name) => Some(name),
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Base::One => None,
            Base::Part(name) => Some((*name).to_owned()),
            Base::PartByAmplification(name) => Some(format!("{name} ÷ amplification")),
        }
    }

    /// What it is in a round; 0 when there is none.
    fn value(&self, all: &[Series], round: usize, judged: &Sample, figure: Figure) -> f64 {
        let Some(name) = self.part() else { return 1.0 };
        let sample = find(all, name).and_then(|series| series.samples.get(round));
        let value = sample.map_or(0.0, |sample| sample.figures().get(figure));
        match self {
            Base::PartByAmplification(_) => value / judged.write_amplification(),
            _ => value,
        }
    }
}

fn find<'a>(all: &'a [Series], name: &str) -> Option<&'a Series> {
    all.iter().find(|series| series.name == name)
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
