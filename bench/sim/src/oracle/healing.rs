//! When faults end, everything heals: within a stated time every partition that is not damaged takes a record.

use super::part::PartKey;
use super::promise::{Findings, Promise};
use std::time::Duration;

/// Simulated time from the end of all faults and the start of the node to the ack of a record in every partition.
pub const HEALS_WITHIN: Duration = Duration::from_secs(30);

/// What came of asking a partition to take a record; none when it did.
pub(super) fn judge(key: PartKey, refused: Option<String>, findings: &mut Findings) {
    if let Some(why) = refused {
        let what = format!("{key} takes no record {HEALS_WITHIN:?} after the last fault: {why}");
        findings.report(Promise::Heals, what);
    }
}
