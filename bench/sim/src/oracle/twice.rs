//! With idempotence a record is there once, whatever connections and nodes did meanwhile.

use super::part::Part;
use super::promise::{Findings, Promise};
use crate::payload::RecordId;

/// A record of an idempotent producer is known to lie at an offset.
pub(super) fn judge(part: &mut Part, offset: u64, id: RecordId, findings: &mut Findings) {
    let first = *part.place_of.entry(id).or_insert(offset);
    if first != offset {
        let what = format!("{} has {id} at {first} and at {offset}", part.key);
        findings.report(Promise::OnceOnly, what);
    }
}
