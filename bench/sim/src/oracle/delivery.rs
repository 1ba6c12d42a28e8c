//! Subscribers: each gets every record of a partition once, in order, from where it began. A gap is judged when the log
//! start is known, for only that excuses it.

use super::part::{Part, PartKey};
use super::promise::{Findings, Promise};
use std::collections::BTreeMap;

/// A subscriber's name, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReaderId(pub u32);

#[derive(Debug)]
struct Reader {
    subscription: Option<String>,
    since: u64,
    next: BTreeMap<PartKey, u64>,
}

/// All subscribers that ever were.
#[derive(Debug, Default)]
pub(super) struct Readers(Vec<Reader>);

impl Readers {
    /// A new one, which begins at the positions that are kept for certain.
    pub(super) fn begin(
        &mut self,
        subscription: Option<&str>,
        kept: BTreeMap<PartKey, u64>,
        now: u64,
    ) -> ReaderId {
        self.0.push(Reader { subscription: subscription.map(str::to_string), since: now, next: kept });
        ReaderId(self.0.len() as u32 - 1)
    }

    pub(super) fn since(&self, id: ReaderId) -> u64 {
        self.0[id.0 as usize].since
    }

    pub(super) fn subscription(&self, id: ReaderId) -> Option<String> {
        self.0[id.0 as usize].subscription.clone()
    }

    pub(super) fn seek(&mut self, id: ReaderId, key: PartKey) {
        self.0[id.0 as usize].next.remove(&key);
    }

    /// It got a record.
    pub(super) fn got(
        &mut self,
        id: ReaderId,
        key: PartKey,
        offset: u64,
        part: &mut Part,
        findings: &mut Findings,
    ) {
        let next = self.0[id.0 as usize].next.insert(key, offset + 1);
        match next {
            Some(next) if offset < next => {
                let what = format!("subscriber {} of {key} got {offset} after {}", id.0, next - 1);
                findings.report(Promise::OnceOnly, what);
            }
            Some(next) if offset > next => part.skipped.push((next, offset)),
            _ => {}
        }
    }
}
