//! How many records were done in each slice of a run, to see a load that sags. It must never cost an allocation
//! per record.

use std::time::Duration;

/// Counts per slice.
#[derive(Clone, Debug)]
pub struct Timeline {
    slice: Duration,
    counts: Vec<u64>,
}

impl Timeline {
    /// For a run of about `length`, in `slices` equal slices. What comes later than the run counts in the last.
    pub fn new(length: Duration, slices: usize) -> Timeline {
        assert!(slices > 0, "a timeline has slices");
        let slice = (length / slices as u32).max(Duration::from_nanos(1));
        Timeline { slice, counts: vec![0; slices] }
    }

    /// Counts `records` done `after` the start.
    pub fn add(&mut self, after: Duration, records: u64) {
        let at = (after.as_nanos() / self.slice.as_nanos()) as usize;
        let last = self.counts.len() - 1;
        self.counts[at.min(last)] += records;
    }

    /// The counts, first slice first.
    pub fn into_counts(self) -> Vec<u64> {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_counts_in_the_last_slice() {
        let mut timeline = Timeline::new(Duration::from_secs(1), 4);
        timeline.add(Duration::ZERO, 1);
        timeline.add(Duration::from_millis(999), 2);
        timeline.add(Duration::from_secs(60), 3);
        assert_eq!(timeline.into_counts(), [1, 0, 0, 5]);
    }
}
