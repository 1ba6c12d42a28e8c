//! Memory and recovery are bounded: what a node keeps in memory by its limits, what it reads before it serves by the
//! size of its journals, never by the bytes that it stores.

use super::promise::{Findings, Promise};
use std::time::Duration;

/// Percent of the journals' bytes: they are read twice; their heads and the newest blocks of segments come on top.
const READ_PERCENT_MAX: u64 = 250;
/// Simulated time from the start to the first answer, on a disk and clock without faults of their own.
const RECOVERS_WITHIN: Duration = Duration::from_secs(5);

/// What a node has done before it served.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// Bytes that it read.
    pub bytes_read: u64,
    /// Bytes of all its journals.
    pub journal_bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// Nothing kept it: neither disk nor clock nor cores were slow.
    pub unhindered: bool,
}

/// What a shard says of its memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Bytes of batches that it holds.
    pub cached_bytes: u64,
    /// What its limits allow: the cache, what is in flight, and what waits in the journal to be spread.
    pub allowed_bytes: u64,
}

pub(super) fn recovery(recovery: &Recovery, findings: &mut Findings) {
    let Recovery { bytes_read, journal_bytes, took, unhindered } = *recovery;
    if bytes_read * 100 > READ_PERCENT_MAX * journal_bytes {
        let what = format!("a recovery read {bytes_read} bytes; its journals have {journal_bytes}");
        findings.report(Promise::Bounded, what);
    }
    if unhindered && took > RECOVERS_WITHIN {
        findings.report(Promise::Bounded, format!("a recovery took {took:?}, and nothing kept it"));
    }
}

pub(super) fn memory(memory: &Memory, findings: &mut Findings) {
    if memory.cached_bytes > memory.allowed_bytes {
        let what = format!(
            "a shard holds {} bytes of batches; its limits allow {}",
            memory.cached_bytes, memory.allowed_bytes
        );
        findings.report(Promise::Bounded, what);
    }
}
