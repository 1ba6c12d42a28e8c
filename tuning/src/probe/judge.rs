//! What follows from the figures: which way of writing durably is the better one, and whether the figures may
//! be believed at all. Pure.

use crate::profile::{DurableWrite, Profile, Quality, WriteResult};

/// Writing and flushing must be this much faster to be worth a second operation, which a busy core pays for.
const FLUSH_GAIN_MIN: f64 = 1.1;
/// Largest variation of the middle case between repeats.
const VARIATION_MIDDLE_MAX: f64 = 0.10;
/// Largest variation of any case between repeats.
const VARIATION_ANY_MAX: f64 = 0.30;
/// Largest share of time, in percent, in which others waited for a resource before the probe began.
const PRESSURE_PERCENT_MAX: f64 = 5.0;

/// What others did just before the probe began: `some avg10` of processor and disk, when the kernel tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pressure {
    /// Of the processor, in percent.
    pub(crate) cpu: Option<f64>,
    /// Of the disk, in percent.
    pub(crate) io: Option<f64>,
}

/// Draws the conclusions of a profile from its figures.
pub(super) fn conclude(profile: &mut Profile, pressure: Pressure) {
    let (quality, reason) = quality(&profile.write, pressure);
    profile.quality = quality;
    profile.quality_reason = reason;
    let (method, reason) = method(profile);
    if quality.is_stable() {
        profile.set_durable_write(method, reason);
    } else {
        // Both ways are equally safe; figures of a moment do not overrule the default.
        profile.set_durable_write(DurableWrite::Dsync, format!("the default, since unstable; {reason}"));
    }
}

/// The durable writes with one in flight: a journal has at most one, so these decide.
fn alone(write: &[WriteResult], method: DurableWrite) -> impl Iterator<Item = &WriteResult> {
    write.iter().filter(move |result| result.method == method && result.depth == 1)
}

/// O_DSYNC unless write and flush was clearly faster. With FUA or without a volatile cache O_DSYNC needs no
/// flush at all, and wins without asking.
fn method(profile: &Profile) -> (DurableWrite, String) {
    if profile.fingerprint.needs_no_flush() {
        let reason = "the disks have FUA or no volatile cache, so O_DSYNC needs no flush";
        return (DurableWrite::Dsync, reason.to_owned());
    }
    let ratios: Vec<f64> = alone(&profile.write, DurableWrite::Dsync)
        .filter_map(|dsync| {
            let flush =
                alone(&profile.write, DurableWrite::Flush).find(|flush| flush.bytes == dsync.bytes)?;
            Some(dsync.latency.median.p50 / flush.latency.median.p50.max(f64::MIN_POSITIVE))
        })
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        .collect();
    if ratios.is_empty() {
        return (DurableWrite::Dsync, "nothing to compare".to_owned());
    }
    let ratio = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    let figures = format!(
        "with one write in flight, p50 of O_DSYNC is {ratio:.2} times that of write and flush (mean over {} sizes)",
        ratios.len()
    );
    if ratio >= FLUSH_GAIN_MIN {
        (DurableWrite::Flush, figures)
    } else {
        (DurableWrite::Dsync, format!("{figures}, and it is one operation instead of two"))
    }
}

/// Whether the repeats agreed, on a machine that was quiet.
fn quality(write: &[WriteResult], pressure: Pressure) -> (Quality, String) {
    let unstable = |reason: String| (Quality::Unstable, reason);
    for (what, percent) in [("the processor", pressure.cpu), ("the disk", pressure.io)] {
        if let Some(percent) = percent.filter(|percent| *percent > PRESSURE_PERCENT_MAX) {
            return unstable(format!(
                "others waited for {what} {percent:.1} % of the time before the probe began"
            ));
        }
    }
    let mut cases: Vec<&WriteResult> = write.iter().filter(|result| result.depth == 1).collect();
    cases.sort_by(|a, b| a.latency.variation.total_cmp(&b.latency.variation));
    let (Some(middle), Some(worst)) = (cases.get(cases.len() / 2), cases.last()) else {
        return unstable("nothing was measured".to_owned());
    };
    let percent = |case: &WriteResult| case.latency.variation * 100.0;
    let figures = format!(
        "p50 varied by {:.0} % in the middle case and {:.0} % in the worst ({} KiB, {})",
        percent(middle),
        percent(worst),
        worst.bytes / 1024,
        worst.method.name()
    );
    if middle.latency.variation > VARIATION_MIDDLE_MAX || worst.latency.variation > VARIATION_ANY_MAX {
        unstable(figures)
    } else {
        (Quality::Stable, figures)
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
