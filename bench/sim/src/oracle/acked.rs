//! What was acked is there. The one exemption: quorum-memory's own acks after a crash, which `Part::crash` takes back.

use super::Whole;
use super::part::{Evidence, Part};
use super::promise::{Findings, Promise};
use std::collections::BTreeSet;

/// A partition was read whole: everything that is known to be in it was there.
pub(super) fn nothing_lost(part: &mut Part, whole: &Whole, findings: &mut Findings) {
    let key = part.key;
    let found: BTreeSet<u64> = whole.reading.records.iter().map(|seen| seen.offset).collect();
    let excused_from = if whole.health.is_damaged() { whole.read_to } else { u64::MAX };
    for (offset, placed) in part.placed.range(whole.log_start..whole.known.placed_to.max(whole.log_start)) {
        // What is acked from memory is read only when it is committed, a moment later.
        let is_young = !whole.known.quiet && placed.evidence != Evidence::Durable;
        if !found.contains(offset) && *offset < excused_from && !is_young {
            let how = match placed.evidence {
                Evidence::Durable => "acked durably, or read",
                Evidence::MemoryAck(_) => "acked from memory, and nothing crashed",
            };
            let what = format!(
                "{key} lost {} at {offset} ({how}); it goes from {} to {}",
                placed.id, whole.log_start, whole.read_to
            );
            return findings.report(Promise::AckedIsThere, what);
        }
    }
    // Where it lies nobody knows; while nothing was ever removed it must have been met.
    if whole.log_start == 0
        && whole.known.quiet
        && !whole.health.is_damaged()
        && let Some(id) = part.somewhere.first()
    {
        findings.report(Promise::AckedIsThere, format!("{key} acked {id} and does not have it"));
    }
}
