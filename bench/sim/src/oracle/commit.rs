//! Nothing is read beyond the commit index, and the commit index never runs back.

use super::Whole;
use super::part::{Part, PartKey};
use super::promise::{Findings, Promise};
use crate::payload::Reading;

/// An answer to a fetch.
pub(super) fn read(key: PartKey, high_watermark: u64, reading: &Reading, findings: &mut Findings) {
    if let Some((_, behind)) = reading.batches.last().filter(|(_, behind)| *behind > high_watermark) {
        let what = format!("{key} gave records up to {behind} with a high watermark of {high_watermark}");
        findings.report(Promise::CommitIndex, what);
    }
}

/// The high watermark of a whole partition.
pub(super) fn watermark(part: &mut Part, whole: &Whole, findings: &mut Findings) {
    if whole.high_watermark < whole.known.end && !whole.health.is_damaged() {
        let what = format!(
            "{} ends at {}, but everything below {} was acked durably or read",
            part.key, whole.high_watermark, whole.known.end
        );
        findings.report(Promise::CommitIndex, what);
    }
    part.end = part.end.max(whole.high_watermark.min(whole.read_to));
}
