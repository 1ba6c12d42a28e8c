//! Offsets are dense, and the log start has a cause. That they are stable is judged where a record is placed.

use super::Whole;
use super::part::{Part, PartKey};
use super::promise::{Findings, Promise};
use crate::payload::{Reading, RecordId};

/// The smallest `retention.bytes` that any topic ever has.
const RETENTION_BYTES_MIN: u64 = 400_000;
/// The only `retention.ms` that any topic ever has, in nanoseconds.
pub(super) const RETENTION: u64 = 8_000_000_000;

/// Batches follow each other without a hole, the first one holds the wanted offset, records fill their batches.
pub(super) fn dense(key: PartKey, wanted: u64, reading: &Reading, findings: &mut Findings) {
    let mut next = wanted;
    for (at, (first, behind)) in reading.batches.iter().enumerate() {
        let fits = if at == 0 { *first <= next && next < *behind } else { *first == next };
        if !fits {
            let what = format!("{key} answers {next} with a batch of {first} to {behind}");
            return findings.report(Promise::OffsetsAreDense, what);
        }
        next = *behind;
    }
    let first = reading.batches.first().map_or(wanted, |batch| batch.0);
    for (next, seen) in (first..).zip(&reading.records) {
        if seen.offset != next {
            let what = format!("{key} has offset {} where {next} must be", seen.offset);
            return findings.report(Promise::OffsetsAreDense, what);
        }
    }
}

/// The log start never runs back, and nobody moves it but a trim or a topic's own bounds.
pub(super) fn log_start(part: &Part, bounded: bool, log_start: u64, findings: &mut Findings) {
    let key = part.key;
    if log_start < part.log_start {
        let what = format!("the log start of {key} ran back from {} to {log_start}", part.log_start);
        findings.report(Promise::LogStart, what);
    }
    if !bounded && log_start > part.trim_asked {
        let what = format!("nobody asked for a log start of {log_start} in {key}");
        findings.report(Promise::LogStart, what);
    }
}

/// Retention leaves what it was asked to leave: so many bytes, or every record that is young.
pub(super) fn retained(
    part: &Part,
    timed: bool,
    log_start: u64,
    bytes: u64,
    young: impl Fn(RecordId) -> bool,
    findings: &mut Findings,
) {
    if log_start <= part.log_start.max(part.trim_asked) || bytes >= RETENTION_BYTES_MIN {
        return;
    }
    let key = part.key;
    let mut gone = part.placed.range(part.log_start..log_start);
    match gone.find(|(_, placed)| young(placed.id)) {
        _ if !timed => {
            let what = format!(
                "retention leaves {bytes} bytes of {key}, from {log_start} on, where nobody asked for so few"
            );
            findings.report(Promise::LogStart, what);
        }
        Some((offset, placed)) => {
            let what = format!("retention takes {} at {offset} from {key}, which is young", placed.id);
            findings.report(Promise::LogStart, what);
        }
        None => {}
    }
}

/// What a subscriber did not get, the log start has passed.
pub(super) fn no_gap_delivered(part: &mut Part, whole: &Whole, findings: &mut Findings) {
    for (from, to) in std::mem::take(&mut part.skipped) {
        if to > whole.log_start {
            let what = format!(
                "a subscriber of {} did not get {from} to {to}, and the log starts at {}",
                part.key, whole.log_start
            );
            findings.report(Promise::OffsetsAreDense, what);
        }
    }
}
