//! Offset ranges whose loss was accepted: stored bytes that are damaged and that an operator has given up. A value:
//! sorted, not empty, never touching each other. Never grows by itself.

/// Half-open offset ranges, ascending, with something between any two.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct LostRanges {
    ranges: Vec<(u64, u64)>,
}

impl LostRanges {
    /// The ranges of a checkpoint; none when they are empty, touch or run back.
    pub(crate) fn from_ranges(ranges: Vec<(u64, u64)>) -> Option<LostRanges> {
        let apart = ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
        let sound = apart && ranges.iter().all(|&(from, to)| from < to && to <= i64::MAX as u64);
        sound.then_some(LostRanges { ranges })
    }

    /// All ranges, ascending.
    pub(crate) fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Adds a range; what it touches becomes one with it.
    pub(crate) fn add(&mut self, mut from: u64, mut to: u64) {
        assert!(from < to, "a loss is not empty");
        let first = self.ranges.partition_point(|range| range.1 < from);
        let behind = self.ranges.partition_point(|range| range.0 <= to);
        if let Some(touched) = self.ranges.get(first..behind).filter(|touched| !touched.is_empty()) {
            from = from.min(touched[0].0);
            to = to.max(touched[touched.len() - 1].1);
        }
        self.ranges.splice(first..behind, [(from, to)]);
    }

    /// Forgets what lies wholly below an offset.
    pub(crate) fn forget_below(&mut self, offset: u64) {
        let gone = self.ranges.partition_point(|range| range.1 <= offset);
        self.ranges.drain(..gone);
    }

    /// The first offset at or behind this one that is not given up.
    pub(crate) fn skip(&self, offset: u64) -> u64 {
        self.at_or_behind(offset).filter(|range| range.0 <= offset).map_or(offset, |range| range.1)
    }

    /// Where the next given up range behind an offset begins.
    pub(crate) fn next_from(&self, offset: u64) -> Option<u64> {
        self.at_or_behind(offset).map(|range| range.0)
    }

    /// What of a range is not given up yet, from its first such offset to its last; none when all of it is.
    pub(crate) fn news_of(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let from = self.skip(from);
        let last = to.checked_sub(1).and_then(|last| self.at_or_behind(last).filter(|range| range.0 <= last));
        let to = last.map_or(to, |range| range.0);
        (from < to).then_some((from, to))
    }

    fn at_or_behind(&self, offset: u64) -> Option<(u64, u64)> {
        self.ranges.get(self.ranges.partition_point(|range| range.1 <= offset)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn only_ranges_that_are_apart_ascending_and_not_empty_are_believed() {
        let believed = |ranges: &[(u64, u64)]| LostRanges::from_ranges(ranges.to_vec()).is_some();
        assert!(believed(&[]) && believed(&[(0, 1)]) && believed(&[(3, 5), (6, 9)]));
        for wrong in [&[(3, 3)][..], &[(5, 3)], &[(3, 5), (5, 9)], &[(6, 9), (3, 5)], &[(1, u64::MAX)]] {
            assert!(!believed(wrong), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn ranges_agree_with_a_set_of_offsets(
            added in prop::collection::vec((0u64..60, 1u64..12), 0..12),
            floor in 0u64..70,
            from in 0u64..70,
            len in 1u64..20,
        ) {
            let mut lost = LostRanges::default();
            let mut set = BTreeSet::new();
            for (from, len) in added {
                lost.add(from, from + len);
                set.extend(from..from + len);
                prop_assert!(LostRanges::from_ranges(lost.ranges.clone()).is_some());
            }
            let all: BTreeSet<u64> = lost.ranges().iter().flat_map(|&(from, to)| from..to).collect();
            prop_assert_eq!(&all, &set);
            prop_assert_eq!(lost.skip(from), (from..).find(|offset| !set.contains(offset)).expect("endless"));
            let next = lost.next_from(lost.skip(from));
            prop_assert_eq!(next, set.range(lost.skip(from)..).next().copied());
            let mut news = (from..from + len).filter(|offset| !set.contains(offset));
            let first = news.next();
            let expected = first.map(|first| (first, news.next_back().unwrap_or(first) + 1));
            prop_assert_eq!(lost.news_of(from, from + len), expected);
            lost.forget_below(floor);
            prop_assert!(lost.ranges().iter().all(|range| range.1 > floor));
            prop_assert!(set.range(floor..).all(|&offset| lost.skip(offset) > offset));
        }
    }
}
