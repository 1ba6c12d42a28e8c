//! The document of one run, which JSON, page and table are made of. Its field names are read by other programs:
//! they must never change meaning.

use super::facts::Facts;
use crate::measure::figures::Figure;
use crate::measure::{Account, Claim, Figures, JournalTurns, Point, Ratios, Series, Spread, Stall};
use crate::profile::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One run of one bench.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Which bench: `floor`.
    pub bench: String,
    /// When it started: `2026-11-22T08:15:00Z`.
    pub started: String,
    /// Which host served: `glommio`.
    pub host: String,
    /// What an answer promised: `quorum-durable`.
    pub durability: String,
    /// Interleaved rounds.
    pub rounds: usize,
    /// What the bench is about.
    pub result: Figures,
    /// The blocking floor of the same run.
    pub floor: Figures,
    /// The host's floor of the same run.
    pub host_floor: Figures,
    /// The result as multiples of the floors.
    pub ratio: Ratios,
    /// The name of the part that `result` is.
    pub result_part: String,
    /// Limits and whether they were kept.
    pub claims: Vec<Claim>,
    /// Where the time went in the parts that missed a limit.
    pub profiles: Vec<Profile>,
    /// Every part of the run.
    pub parts: Vec<PartReport>,
    /// What the server's journal did under the result's load; none where no server ran.
    pub journal: Option<JournalTurns>,
    /// The longest waits with their causes; only of open loads that keep them.
    pub stalls: Vec<Stall>,
    /// The machine.
    pub machine: Facts,
    /// How the run was set up, by name.
    pub configuration: BTreeMap<String, String>,
    /// What a reader must know: a busy machine, a missing part.
    pub notes: Vec<String>,
}

/// One part of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartReport {
    /// Its name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// Its figures: medians of the rounds.
    pub figures: Figures,
    /// How far the rounds lie apart, of the figures that it has.
    pub spread: BTreeMap<String, Spread>,
    /// All latencies of all rounds as a curve.
    pub curve: Vec<Point>,
    /// Records a second over the time of the run, averaged over the rounds; empty where not kept.
    pub timeline_per_s: Vec<f64>,
    /// What all its rounds cost.
    pub account: Account,
    /// What the server's journal did in all its rounds; none where no server ran.
    pub journal: Option<JournalTurns>,
}

impl PartReport {
    /// The report of a part's rounds.
    pub fn of(series: &Series) -> PartReport {
        let figures = series.figures();
        let wanted = [
            ("p50_us", Figure::P50),
            ("p99_us", Figure::P99),
            ("p999_us", Figure::P999),
            ("records_per_s", Figure::Records),
            ("bytes_per_s", Figure::Bytes),
        ];
        let spread = wanted.into_iter().filter(|(_, figure)| figures.get(*figure) > 0.0);
        let spread =
            spread.filter_map(|(name, figure)| Some((name.to_owned(), series.spread(figure)?))).collect();
        let mut account = Account::default();
        series.samples.iter().for_each(|sample| account += sample.account);
        PartReport {
            name: series.name.clone(),
            about: series.about.clone(),
            figures,
            spread,
            curve: series.latencies().curve(),
            timeline_per_s: timeline(series),
            account,
            journal: series.journal(),
        }
    }
}

/// The longest waits of all rounds, longest first: as many as one round keeps.
fn stalls(series: &Series) -> Vec<Stall> {
    let most = series.samples.iter().map(|sample| sample.stalls.len()).max().unwrap_or(0);
    let mut all: Vec<Stall> =
        series.samples.iter().flat_map(|sample| sample.stalls.iter().cloned()).collect();
    all.sort_by_key(|stall| std::cmp::Reverse(stall.latency));
    all.truncate(most);
    all
}

/// Records a second in each slice, averaged over the rounds that kept a timeline.
fn timeline(series: &Series) -> Vec<f64> {
    let kept: Vec<_> = series.samples.iter().filter(|sample| !sample.timeline.is_empty()).collect();
    let slices = kept.iter().map(|sample| sample.timeline.len()).min().unwrap_or(0);
    let slice = |at: usize| {
        let rates = kept.iter().map(|sample| {
            let seconds = sample.elapsed.as_secs_f64() / sample.timeline.len() as f64;
            sample.timeline[at] as f64 / seconds.max(1e-9)
        });
        (rates.sum::<f64>() / kept.len() as f64).round()
    };
    (0..slices).map(slice).collect()
}

impl Document {
    /// A document of parts; the result and the floors are found by the names of their parts. A part that the run
    /// did not have gives figures of zero.
    pub fn of(bench: &str, series: &[Series], result: &str, floor: &str, host_floor: &str) -> Document {
        let find = |name: &str| series.iter().find(|series| series.name == name);
        let figures = |name: &str| find(name).map(Series::figures).unwrap_or_default();
        let ratio = match (find(result), find(floor), find(host_floor)) {
            (Some(result), Some(floor), Some(host_floor)) => Ratios::of(result, floor, host_floor),
            _ => Ratios::default(),
        };
        Document {
            bench: bench.to_owned(),
            started: String::new(),
            host: String::new(),
            durability: String::new(),
            rounds: series.iter().map(|series| series.samples.len()).max().unwrap_or(0),
            result: figures(result),
            floor: figures(floor),
            host_floor: figures(host_floor),
            ratio,
            result_part: result.to_owned(),
            claims: Vec::new(),
            profiles: Vec::new(),
            parts: series.iter().map(PartReport::of).collect(),
            journal: find(result).and_then(Series::journal),
            stalls: find(result).map(stalls).unwrap_or_default(),
            machine: Facts::default(),
            configuration: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// The document as JSON text.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document is plain data with string keys")
    }

    /// Whether every claim holds (or has too few rounds to say).
    pub fn claims_hold(&self) -> bool {
        self.claims.iter().all(|claim| claim.verdict != crate::measure::Verdict::Missed)
    }
}

/// A moment as text, from milliseconds since the Unix epoch (civil-from-days, Howard Hinnant).
pub fn utc(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[cfg(test)]
#[path = "document_tests.rs"]
pub(crate) mod tests;
