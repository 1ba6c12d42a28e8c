//! Who must be looked at, and when. Each stands on it once, for the earliest moment that was asked.

use crate::core::moment::Moment;
use std::collections::{BTreeMap, BTreeSet};

/// The agenda.
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    by_moment: BTreeSet<(Moment, K)>,
    moments: BTreeMap<K, Moment>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Agenda<K> {
        Agenda { by_moment: BTreeSet::new(), moments: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Agenda<K> {
    pub(crate) fn schedule(&mut self, key: K, at: Moment) {
        match self.moments.get(&key) {
            Some(scheduled) if *scheduled <= at => return,
            Some(scheduled) => self.by_moment.remove(&(*scheduled, key)),
            None => false,
        };
        self.moments.insert(key, at);
        self.by_moment.insert((at, key));
    }

    pub(crate) fn remove(&mut self, key: K) {
        if let Some(at) = self.moments.remove(&key) {
            self.by_moment.remove(&(at, key));
        }
    }

    /// Takes one whose moment has come.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<K> {
        let (at, key) = *self.by_moment.first()?;
        if at > now {
            return None;
        }
        self.remove(key);
        Some(key)
    }

    /// The earliest moment on it.
    pub(crate) fn first(&self) -> Option<Moment> {
        self.by_moment.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_stands_on_it_once_for_its_earliest_moment() {
        let at = |seconds| Moment(Duration::from_secs(seconds));
        let mut agenda = Agenda::default();
        for (key, moment) in [(1, 5), (2, 3), (1, 4), (1, 9), (2, 3)] {
            agenda.schedule(key, at(moment));
        }
        assert_eq!((agenda.first(), agenda.take_due(at(2))), (Some(at(3)), None));
        let due: Vec<i32> = std::iter::from_fn(|| agenda.take_due(at(100))).collect();
        assert_eq!((due, agenda.first()), (vec![2, 1], None));
    }
}
