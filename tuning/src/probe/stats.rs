//! From samples to figures: percentiles of one repeat, and the median, spread and variation of several. Pure.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest latency told apart; a longer one counts as this.
const NANOS_MAX: u64 = 60_000_000_000;

/// The latencies of one repeat of one case.
#[derive(Clone, Debug)]
pub struct Samples {
    histogram: Histogram<u64>,
}

impl Samples {
    /// None yet. Three digits, from a nanosecond to a minute.
    pub fn new() -> Samples {
        Samples { histogram: Histogram::new_with_bounds(1, NANOS_MAX, 3).expect("the bounds are constants") }
    }

    /// One more.
    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(NANOS_MAX);
        self.histogram.saturating_record(nanos.max(1));
    }

    /// Those of another thread as well.
    pub fn add(&mut self, other: &Samples) {
        self.histogram.add(&other.histogram).expect("both have the same bounds");
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The percentiles, with what was done in `elapsed`.
    pub fn percentiles(&self, elapsed: Duration) -> Percentiles {
        let us = |quantile: f64| round(self.histogram.value_at_quantile(quantile) as f64 / 1000.0);
        Percentiles {
            samples: self.count(),
            per_second: round(self.count() as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)),
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p99_9: us(0.999),
            max: round(self.histogram.max() as f64 / 1000.0),
        }
    }
}

impl Default for Samples {
    fn default() -> Samples {
        Samples::new()
    }
}

/// One digit behind the point is finer than any of this repeats.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The percentiles of one repeat, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many operations.
    pub samples: u64,
    /// Operations a second, all in flight together.
    pub per_second: f64,
    /// Half took no longer.
    pub p50: f64,
    /// 90 % took no longer.
    pub p90: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// 99.9 % took no longer.
    pub p99_9: f64,
    /// None took longer.
    pub max: f64,
}

/// Several repeats of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Each figure's median over the repeats.
    pub median: Percentiles,
    /// The repeats' p50: (largest - smallest) / median.
    pub spread: f64,
    /// The repeats' p50: standard deviation / mean, the coefficient of variation.
    pub variation: f64,
    /// The repeats in their order.
    pub repeats: Vec<Percentiles>,
}

impl Series {
    /// Of at least one repeat.
    pub fn of(repeats: Vec<Percentiles>) -> Series {
        let of = |field: fn(&Percentiles) -> f64| median(repeats.iter().map(field).collect());
        let (spread, variation) = scatter(&repeats.iter().map(|repeat| repeat.p50).collect::<Vec<_>>());
        Series {
            median: Percentiles {
                samples: of(|r| r.samples as f64) as u64,
                per_second: of(|r| r.per_second),
                p50: of(|r| r.p50),
                p90: of(|r| r.p90),
                p99: of(|r| r.p99),
                p99_9: of(|r| r.p99_9),
                max: of(|r| r.max),
            },
            spread,
            variation,
            repeats,
        }
    }
}

/// Bytes a second, over several repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// The median in MiB a second.
    pub mib_per_second: f64,
    /// (largest - smallest) / median.
    pub spread: f64,
    /// The repeats in their order.
    pub repeats: Vec<f64>,
}

impl Bandwidth {
    /// Of at least one repeat, in bytes a second.
    pub fn of(bytes_per_second: &[f64]) -> Bandwidth {
        let repeats: Vec<f64> =
            bytes_per_second.iter().map(|bytes| round(bytes / f64::from(1 << 20))).collect();
        let (spread, _) = scatter(&repeats);
        Bandwidth { mib_per_second: median(repeats.clone()), spread, repeats }
    }
}

/// The middle value; of an even number the lower one of the two, so that it is a value that occurred.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// Spread and coefficient of variation, rounded to a thousandth.
fn scatter(values: &[f64]) -> (f64, f64) {
    let thousandth = |value: f64| (value * 1000.0).round() / 1000.0;
    let middle = median(values.to_vec());
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    if middle <= 0.0 || mean <= 0.0 {
        return (0.0, 0.0);
    }
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(0.0, f64::max);
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (thousandth((largest - smallest) / middle), thousandth(variance.sqrt() / mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut samples = Samples::new();
        for micros in 1..=1000 {
            samples.record(Duration::from_micros(micros));
        }
        let figures = samples.percentiles(Duration::from_secs(2));
        assert_eq!(figures.samples, 1000);
        assert_eq!(figures.per_second, 500.0);
        assert!((figures.p50 - 500.0).abs() < 1.0, "{figures:?}");
        assert!((figures.p99 - 990.0).abs() < 2.0, "{figures:?}");
        assert!((figures.max - 1000.0).abs() < 1.0, "{figures:?}");
    }

    #[test]
    fn a_wait_beyond_the_bounds_counts_as_the_longest() {
        let mut samples = Samples::new();
        samples.record(Duration::from_secs(3600));
        samples.record(Duration::ZERO);
        assert_eq!(samples.count(), 2);
    }

    #[test]
    fn the_median_is_a_value_that_occurred_and_equal_repeats_have_no_spread() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
        assert_eq!(scatter(&[7.0, 7.0, 7.0]), (0.0, 0.0));
        let (spread, variation) = scatter(&[90.0, 100.0, 110.0]);
        assert_eq!(spread, 0.2);
        assert_eq!(variation, 0.082);
    }
}
