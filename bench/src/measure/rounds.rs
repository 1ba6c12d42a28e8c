//! Interleaved rounds: every part runs once a round, so that a machine that gets slower or busier does so for all
//! of them. Each round starts with another part; it must never let one part have all the good moments.

use super::accounts::Account;
use super::figures::{Figure, Figures, Ratios};
use super::histogram::Histogram;
use super::journal::JournalTurns;
use super::spread::Spread;
use super::stalls::Stall;
use flumen_model::error::Result;
use std::time::Duration;

/// Something that can be measured again and again. Starts and ends whatever it needs within one run, so that
/// nothing of it works, waits or spins beside the other parts.
pub trait Part {
    /// A short name, unique in a run: `floor`.
    fn name(&self) -> &str;
    /// One line: what it does.
    fn about(&self) -> &str;
    /// Processes beside this one that work for it.
    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }
    /// Measures for about `length`.
    fn run(&mut self, length: Duration) -> Result<Sample>;
}

/// What one run of a part brought.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The latencies; empty for a plain stream of bytes.
    pub latencies: Histogram,
    /// Records (or operations) done.
    pub records: u64,
    /// Payload bytes done.
    pub bytes: u64,
    /// The time they took.
    pub elapsed: Duration,
    /// Records done in each slice of the run, when the part keeps them.
    pub timeline: Vec<u64>,
    /// The longest waits with their causes, when the part keeps them.
    pub stalls: Vec<Stall>,
    /// What the run cost.
    pub account: Account,
    /// What the server's journal did; none where no server ran.
    pub journal: Option<JournalTurns>,
}

/// All rounds of one part.
#[derive(Clone, Debug)]
pub struct Series {
    /// The part's name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// One sample a round, in order.
    pub samples: Vec<Sample>,
}

impl Sample {
    /// Bytes that the disk wrote for each payload byte, at least 1. By rates and not by counts, since the warm-up
    /// is written too but not counted.
    pub fn write_amplification(&self) -> f64 {
        let payload = self.figures().bytes_per_s * self.account.wall_us as f64 / 1e6;
        (self.account.disk_write_bytes as f64 / payload.max(1.0)).max(1.0)
    }

    /// The figures of this run alone.
    pub fn figures(&self) -> Figures {
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        Figures {
            p50_us: self.latencies.quantile_us(0.5),
            p99_us: self.latencies.quantile_us(0.99),
            p999_us: self.latencies.quantile_us(0.999),
            p9999_us: self.latencies.quantile_us(0.9999),
            max_us: self.latencies.max_us(),
            records_per_s: self.records as f64 / seconds,
            bytes_per_s: self.bytes as f64 / seconds,
            n: self.latencies.count(),
        }
        .rounded()
    }
}

impl Series {
    /// No rounds yet.
    pub fn empty(part: &dyn Part) -> Series {
        Series { name: part.name().to_owned(), about: part.about().to_owned(), samples: Vec::new() }
    }

    /// The figures of all rounds: each the median of the rounds', but the longest of all as the maximum, since a
    /// median of maxima hides the worst.
    pub fn figures(&self) -> Figures {
        let rounds: Vec<Figures> = self.samples.iter().map(Sample::figures).collect();
        let middle = |values: Vec<f64>| Spread::of(values).map_or(0.0, |spread| spread.median);
        let median = |get: fn(&Figures) -> f64| middle(rounds.iter().map(get).collect());
        // A round without a latency says nothing about latencies.
        let timed =
            |get: fn(&Figures) -> f64| middle(rounds.iter().filter(|f| f.has_latency()).map(get).collect());
        Figures {
            p50_us: timed(|f| f.p50_us),
            p99_us: timed(|f| f.p99_us),
            p999_us: timed(|f| f.p999_us),
            p9999_us: timed(|f| f.p9999_us),
            max_us: rounds.iter().map(|f| f.max_us).fold(0.0, f64::max),
            records_per_s: median(|f| f.records_per_s),
            bytes_per_s: median(|f| f.bytes_per_s),
            n: rounds.iter().map(|f| f.n).sum(),
        }
        .rounded()
    }

    /// How far the rounds lie apart in one figure.
    pub fn spread(&self, figure: Figure) -> Option<Spread> {
        let values = self.samples.iter().map(|sample| sample.figures().get(figure));
        Spread::of(values.filter(|value| *value > 0.0 || !figure.is_latency()))
    }

    /// All latencies of all rounds.
    pub fn latencies(&self) -> Histogram {
        let mut all = Histogram::new();
        self.samples.iter().for_each(|sample| all.merge(&sample.latencies));
        all
    }

    /// What the server's journal did in all rounds; none where no server ran.
    pub fn journal(&self) -> Option<JournalTurns> {
        let kept = self.samples.iter().filter_map(|sample| sample.journal);
        kept.fold(None, |all, one| {
            let mut sum = all.unwrap_or_default();
            sum += one;
            Some(sum)
        })
    }

    /// This part's figure as a multiple of another's, round by round. Rounds in which the other has none are left
    /// out.
    pub fn ratios(&self, other: &Series, figure: Figure) -> Vec<f64> {
        self.ratios_to(figure, |round| other.samples.get(round).map_or(0.0, |s| s.figures().get(figure)))
    }

    /// This part's figure as a multiple of what `base` says for a round (by number, from 0). Rounds with a base of
    /// zero or less are left out, and so are those in which this part has no such latency: they must not pass for fast.
    pub fn ratios_to(&self, figure: Figure, base: impl Fn(usize) -> f64) -> Vec<f64> {
        let values = self.samples.iter().map(|sample| sample.figures().get(figure)).enumerate();
        let pairs = values.map(|(round, value)| (value, base(round)));
        let told = pairs.filter(|(value, base)| *base > 0.0 && (*value > 0.0 || !figure.is_latency()));
        told.map(|(value, base)| value / base).collect()
    }
}

impl Ratios {
    /// The ratios of a result to both floors of the same rounds.
    pub fn of(result: &Series, floor: &Series, host_floor: &Series) -> Ratios {
        let median = |base: &Series, figure| {
            Spread::of(result.ratios(base, figure)).map_or(0.0, |spread| spread.median)
        };
        Ratios {
            floor_p50: median(floor, Figure::P50),
            floor_p99: median(floor, Figure::P99),
            floor_p999: median(floor, Figure::P999),
            host_floor_p50: median(host_floor, Figure::P50),
            host_floor_p99: median(host_floor, Figure::P99),
        }
    }
}

/// Runs all parts `rounds` times, interleaved, each for `length`. `progress` hears the name of each part before it
/// runs. The first part that fails ends the run.
pub fn run_rounds(
    parts: &mut [Box<dyn Part>],
    rounds: usize,
    length: Duration,
    mut progress: impl FnMut(usize, &str),
) -> Result<Vec<Series>> {
    let mut all: Vec<Series> = parts.iter().map(|part| Series::empty(part.as_ref())).collect();
    for round in 0..rounds {
        for turn in 0..parts.len() {
            let at = (round + turn) % parts.len();
            progress(round, parts[at].name());
            let sample = parts[at].run(length)?;
            all[at].samples.push(sample);
        }
    }
    Ok(all)
}

#[cfg(test)]
#[path = "rounds_tests.rs"]
mod tests;
