//! Where new partitions go: each to the shard that holds the fewest, ties to the lowest number. Only counts; the
//! same counts give the same places on every replica.

use flumen_model::{Code, Error, Result, ShardId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How many partitions each shard holds, the deleted ones included that still take room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loads {
    held: Vec<u32>,
}

impl Loads {
    /// Empty shards.
    pub(super) fn new(shards: u16) -> Loads {
        Loads { held: vec![0; usize::from(shards)] }
    }

    /// How many partitions a shard holds.
    pub(super) fn of(&self, shard: ShardId) -> u32 {
        self.held.get(usize::from(shard.0)).copied().unwrap_or(0)
    }

    /// Counts a partition that lies on a shard already; false when there is no such shard.
    pub(super) fn hold(&mut self, shard: ShardId) -> bool {
        let held = self.held.get_mut(usize::from(shard.0));
        held.map(|held| *held += 1).is_some()
    }

    /// A shard holds one partition less.
    pub(super) fn release(&mut self, shard: ShardId) {
        self.held[usize::from(shard.0)] -= 1;
    }

    /// Places for so many new partitions, in their order, all or none.
    ///
    /// # Errors
    /// [`Code::LimitReached`] when they do not fit under the limit.
    pub(super) fn place(&mut self, partitions: u32, per_shard_max: u32) -> Result<Vec<ShardId>> {
        let free: u64 = self.held.iter().map(|&held| u64::from(per_shard_max.saturating_sub(held))).sum();
        if free < u64::from(partitions) {
            return Err(self.full(partitions, per_shard_max));
        }
        let mut by_load: BinaryHeap<_> =
            (0_u16..).zip(&self.held).map(|(s, &held)| Reverse((held, s))).collect();
        let place = |_| {
            let mut least = by_load.peek_mut().expect("metadata are born with at least one shard");
            let Reverse((held, shard)) = *least;
            *least = Reverse((held + 1, shard));
            ShardId(shard)
        };
        let places: Vec<_> = (0..partitions).map(place).collect();
        places.iter().for_each(|shard| self.held[usize::from(shard.0)] += 1);
        Ok(places)
    }

    fn full(&self, partitions: u32, per_shard_max: u32) -> Error {
        let held: u64 = self.held.iter().map(|&held| u64::from(held)).sum();
        let shards = self.held.len();
        let message = format!(
            "{partitions} more partitions do not fit: {held} are held, deleted ones that are not purged yet \
             included, and the limit is {per_shard_max} on each of {shards} shards; delete topics or raise the limit"
        );
        Error::new(Code::LimitReached, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_goes_to_the_least_loaded_shard_and_ties_to_the_lowest() {
        let mut loads = Loads::new(3);
        loads.hold(ShardId(0));
        let places: Vec<_> = loads.place(6, 10).expect("room").into_iter().map(|shard| shard.0).collect();
        assert_eq!(places, [1, 2, 0, 1, 2, 0]);
        loads.release(ShardId(1));
        assert_eq!(loads.place(1, 10), Ok(vec![ShardId(1)]));
    }

    #[test]
    fn what_does_not_fit_is_refused_whole_with_the_numbers() {
        let mut loads = Loads::new(2);
        loads.place(3, 2).expect("room for four");
        let before = loads.clone();
        let error = loads.place(2, 2).expect_err("room for one");
        assert_eq!((error.code, &loads), (Code::LimitReached, &before));
        assert!(error.message.contains("3 are held") && error.message.contains("limit is 2"), "{error}");
    }

    #[test]
    fn a_lowered_limit_never_counts_as_negative_room() {
        let mut loads = Loads::new(2);
        loads.hold(ShardId(0));
        loads.hold(ShardId(0));
        assert_eq!(loads.place(1, 1), Ok(vec![ShardId(1)]), "the other shard has room");
    }
}
