//! The figures of one part and their ratios to the floors. Names and units are those of the JSON report, which
//! other programs read: they must never change meaning.

use super::histogram::round;
use serde::{Deserialize, Serialize};

/// What one part measured. Latencies are 0 where a part has none (a plain stream of bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile in microseconds.
    pub p99_us: f64,
    /// 99.9th percentile in microseconds.
    pub p999_us: f64,
    /// 99.99th percentile in microseconds.
    pub p9999_us: f64,
    /// The longest in microseconds.
    pub max_us: f64,
    /// Records (or operations) a second.
    pub records_per_s: f64,
    /// Payload bytes a second.
    pub bytes_per_s: f64,
    /// Latencies counted.
    pub n: u64,
}

/// A result as multiples of the floors of the same run; each is the median over the rounds of the ratio within
/// one round. 0 where either side has no such figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// Median to the blocking floor's.
    pub floor_p50: f64,
    /// 99th percentile to the blocking floor's.
    pub floor_p99: f64,
    /// 99.9th percentile to the blocking floor's.
    pub floor_p999: f64,
    /// Median to the host floor's.
    pub host_floor_p50: f64,
    /// 99th percentile to the host floor's.
    pub host_floor_p99: f64,
}

/// One of the figures, to compare parts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// [`Figures::p50_us`].
    P50,
    /// [`Figures::p99_us`].
    P99,
    /// [`Figures::p999_us`].
    P999,
    /// [`Figures::records_per_s`].
    Records,
    /// [`Figures::bytes_per_s`].
    Bytes,
}

impl Figure {
    /// Whether it is a latency: then 0 means that nothing was measured, and not that it was fast.
    pub fn is_latency(self) -> bool {
        matches!(self, Figure::P50 | Figure::P99 | Figure::P999)
    }
}

impl Figures {
    /// One figure by its name.
    pub fn get(&self, figure: Figure) -> f64 {
        match figure {
            Figure::P50 => self.p50_us,
            Figure::P99 => self.p99_us,
            Figure::P999 => self.p999_us,
            Figure::Records => self.records_per_s,
            Figure::Bytes => self.bytes_per_s,
        }
    }

    /// Whether this part has latencies at all.
    pub fn has_latency(&self) -> bool {
        self.n > 0
    }

    /// The same, rounded to what the measurement can tell.
    pub(crate) fn rounded(self) -> Figures {
        Figures {
            p50_us: round(self.p50_us, 1e3),
            p99_us: round(self.p99_us, 1e3),
            p999_us: round(self.p999_us, 1e3),
            p9999_us: round(self.p9999_us, 1e3),
            max_us: round(self.max_us, 1e3),
            records_per_s: round(self.records_per_s, 10.0),
            bytes_per_s: self.bytes_per_s.round(),
            n: self.n,
        }
    }
}
