//! Positions: what a subscription keeps is what it asked for last, survives everything once it is acked, and is never
//! ahead of what was delivered.

use super::part::PartKey;
use super::promise::{Findings, Promise};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct Kept {
    acked: Option<u64>,
    /// Asked and not acked since: any of them may be kept.
    open: Vec<u64>,
    /// Everything that was ever asked.
    all: BTreeSet<u64>,
    /// The offset behind the last record that was delivered.
    delivered: u64,
    /// A commit took a place that only the client core knows: anything that was delivered will do.
    loose: bool,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub struct Positions(BTreeMap<String, BTreeMap<PartKey, Kept>>);

impl Positions {
    fn kept(&mut self, subscription: &str, key: PartKey) -> &mut Kept {
        self.0.entry(subscription.to_string()).or_default().entry(key).or_default()
    }

    /// A record below `next` was delivered.
    pub fn delivered(&mut self, subscription: &str, key: PartKey, next: u64) {
        let kept = self.kept(subscription, key);
        kept.delivered = kept.delivered.max(next);
    }

    /// A commit is on its way that may name any place up to what was delivered, or none: the core was moving, or the
    /// name has had several lives.
    pub fn asked_somewhere(&mut self, subscription: &str, key: PartKey) {
        self.kept(subscription, key).loose = true;
    }

    /// A commit is on its way.
    pub fn asked(&mut self, subscription: &str, key: PartKey, offset: u64) {
        let kept = self.kept(subscription, key);
        kept.open.push(offset);
        kept.all.insert(offset);
    }

    /// A commit of a known place is acked. All that was asked before it has ended.
    pub fn acked(&mut self, subscription: &str, key: PartKey, offset: u64) {
        let kept = self.kept(subscription, key);
        kept.loose = false;
        kept.acked = Some(offset);
        if let Some(place) = kept.open.iter().position(|open| *open == offset) {
            kept.open.drain(..=place);
        }
    }

    /// The names of all subscriptions.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// What a subscription keeps for certain.
    pub(super) fn certain(&self, subscription: &str) -> BTreeMap<PartKey, u64> {
        let all = self.0.get(subscription).into_iter().flatten();
        let certain = all.filter(|(_, kept)| kept.open.is_empty() && !kept.loose);
        certain.filter_map(|(key, kept)| Some((*key, kept.acked?))).collect()
    }

    /// What the node keeps. Without `strict`, requests of connections that are long gone may have been carried out
    /// late, and any offset that was ever asked for will do.
    pub(super) fn found(
        &mut self,
        subscription: &str,
        found: &BTreeMap<PartKey, u64>,
        strict: bool,
        live: impl Fn(PartKey) -> bool,
        log_start: impl Fn(PartKey) -> u64,
        findings: &mut Findings,
    ) {
        for (key, kept) in self.0.entry(subscription.to_string()).or_default() {
            if !live(*key) {
                continue;
            }
            let Some(position) = found.get(key).copied() else {
                if let Some(acked) = kept.acked {
                    let what = format!("{subscription} lost its position {acked} of {key}");
                    findings.report(Promise::PositionKept, what);
                }
                continue;
            };
            let asked = match strict {
                _ if kept.loose => true,
                true => kept.acked == Some(position) || kept.open.contains(&position),
                false => kept.acked == Some(position) || kept.all.contains(&position),
            };
            let bound = kept.delivered.max(log_start(*key));
            if !asked {
                let (acked, open) = (kept.acked, &kept.open);
                let what =
                    format!("{subscription} is at {position} of {key}; {acked:?} was acked, {open:?} asked");
                findings.report(Promise::PositionKept, what);
            } else if position > bound {
                let what = format!("{subscription} is at {position} of {key}, and {bound} was delivered");
                findings.report(Promise::PositionKept, what);
            }
            kept.acked = Some(position);
        }
        let unknown = found.iter().find(|(key, _)| !self.0[subscription].contains_key(key));
        if let Some((key, position)) = unknown {
            let what = format!("{subscription} is at {position} of {key}, and nobody asked for that");
            findings.report(Promise::PositionKept, what);
        }
    }
}
