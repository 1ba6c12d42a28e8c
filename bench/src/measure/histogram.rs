//! Latencies, counted with three digits. Nanoseconds inside, microseconds outside; it must never drop a value:
//! what is out of range counts at the edge.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The largest latency told apart; longer ones count as this. Ten minutes is longer than any part runs.
const NANOS_MAX: u64 = 600 * 1_000_000_000;
/// Digits that every value keeps.
const DIGITS: u8 = 3;
/// Points of a percentile curve per factor of ten of its tail: smooth at any width of a page.
const POINTS_PER_DECADE: u32 = 12;

/// An HDR histogram of latencies.
#[derive(Clone, Debug)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

/// One point of a percentile curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The share of values at or below, 0 to 1.
    pub quantile: f64,
    /// The latency in microseconds.
    pub us: f64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Histogram {
        let inner = hdrhistogram::Histogram::new_with_bounds(1, NANOS_MAX, DIGITS);
        Histogram(inner.expect("constant bounds and digits that hdrhistogram allows"))
    }

    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record((latency.as_nanos() as u64).max(1));
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Histogram) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency at or below which a share `quantile` (0 to 1) of the values lies, in microseconds; 0 when empty.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { micros(self.0.value_at_quantile(quantile)) }
    }

    /// The longest latency in microseconds; 0 when empty.
    pub fn max_us(&self) -> f64 {
        micros(self.0.max())
    }

    /// The curve for a plot: evenly spaced on a logarithmic tail (0 %, …, 90 %, …, 99 %, …), ending at the last
    /// quantile that the number of values can tell.
    pub fn curve(&self) -> Vec<Point> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let end = (self.count() as f64).log10();
        let steps = (end * f64::from(POINTS_PER_DECADE)).floor() as u32;
        let mut curve: Vec<Point> = (0..=steps)
            .map(|step| 1.0 - 10f64.powf(-f64::from(step) / f64::from(POINTS_PER_DECADE)))
            .map(|quantile| Point { quantile: round(quantile, 1e9), us: self.quantile_us(quantile) })
            .collect();
        curve.push(Point { quantile: round(1.0 - 1.0 / self.count() as f64, 1e9), us: self.max_us() });
        curve
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

/// Rounds to a multiple of 1/`scale`, so that JSON stays readable.
pub(crate) fn round(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(n: u64) -> Histogram {
        let mut histogram = Histogram::new();
        (1..=n).for_each(|us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    #[test]
    fn quantiles_keep_three_digits() {
        let histogram = up_to(10_000);
        for (quantile, us) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let seen = histogram.quantile_us(quantile);
            assert!((seen - us).abs() / us < 0.001, "{quantile}: {seen} for {us}");
        }
    }

    #[test]
    fn a_latency_out_of_range_counts_at_the_edge() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(10_000));
        assert_eq!(histogram.count(), 2);
        assert!(histogram.max_us() >= 600e6 * 0.999);
    }

    #[test]
    fn merging_keeps_every_value() {
        let mut all = up_to(100);
        all.merge(&up_to(1_000));
        assert_eq!(all.count(), 1_100);
        assert!((all.max_us() - 1_000.0).abs() < 1.0);
    }

    #[test]
    fn a_curve_rises_and_ends_at_the_maximum() {
        let curve = up_to(1_000).curve();
        assert!(curve.is_sorted_by(|a, b| a.quantile <= b.quantile && a.us <= b.us));
        let last = curve.last().unwrap();
        assert!((last.us - 1_000.0).abs() < 1.0);
        assert!(last.quantile < 1.0, "100 % has no place on a logarithmic tail");
        assert!(Histogram::new().curve().is_empty());
    }
}
