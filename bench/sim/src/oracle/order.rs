//! Records of one producer lie in the order in which it sent them. A producer without idempotence may repeat what it
//! has just sent, and one that has several batches in flight promises nothing.

use super::ledger::{Ledger, ProducerKind};
use super::part::PartKey;
use super::promise::{Findings, Promise};
use crate::payload::{RecordId, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// Judges records in the order of their offsets.
pub(super) fn of(key: PartKey, records: &[Seen], ledger: &Ledger, findings: &mut Findings) {
    let mut newest: BTreeMap<u32, RecordId> = BTreeMap::new();
    let mut seen_before: BTreeSet<RecordId> = BTreeSet::new();
    // A repeat is told from a disorder by its first copy, which must be in sight.
    let from_the_start = records.first().is_some_and(|seen| seen.offset == 0);
    for seen in records {
        let Some(sent) = seen.id.and_then(|id| ledger.sent(id)) else { continue };
        let before = newest.get(&sent.producer).copied();
        let wrong = match (sent.kind, before) {
            (ProducerKind::Idempotent, Some(before)) => sent.id <= before,
            (ProducerKind::InOrder, Some(before)) => {
                from_the_start && sent.id < before && !seen_before.contains(&sent.id)
            }
            _ => false,
        };
        if wrong {
            let before = before.expect("something is before it");
            let what = format!("{key} has {} at {} behind {before} of one producer", sent.id, seen.offset);
            return findings.report(Promise::Order, what);
        }
        seen_before.insert(sent.id);
        let newest = newest.entry(sent.producer).or_insert(sent.id);
        *newest = (*newest).max(sent.id);
    }
}
