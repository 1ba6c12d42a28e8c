//! Which partition a record goes to, as Kafka's clients choose, so that a key keeps its partition whichever client
//! wrote it. Chance comes in as an argument.

use crate::ids::PartitionNumber;
use std::num::NonZeroU32;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The 32-bit hash of Kafka's clients (Austin Appleby's MurmurHash2, Kafka's seed).
pub fn murmur2(key: &[u8]) -> u32 {
    let (words, tail) =
        <[U32]>::ref_from_prefix_with_elems(key, key.len() / 4).expect("whole words of the key");
    let mut hash = words.iter().fold(SEED ^ key.len() as u32, |hash, word| {
        let word = word.get().wrapping_mul(MULTIPLIER);
        let word = (word ^ (word >> SHIFT)).wrapping_mul(MULTIPLIER);
        hash.wrapping_mul(MULTIPLIER) ^ word
    });
    if !tail.is_empty() {
        let tail = tail.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of a key: the same one for ever, as long as the topic keeps its number of partitions.
pub fn of_key(key: &[u8], partitions: NonZeroU32) -> PartitionNumber {
    // Kafka clears the sign bit before the remainder.
    PartitionNumber((murmur2(key) & 0x7fff_ffff) % partitions)
}

/// For records without a key: stays with one partition until about a batch is full, then goes to another by
/// chance, so that batches fill (KIP-480, KIP-794).
#[derive(Clone, Debug)]
pub struct Sticky {
    batch_bytes: usize,
    bytes_left: usize,
    current: u32,
}

impl Sticky {
    /// Changes partition after each `batch_bytes` bytes of records.
    pub fn new(batch_bytes: usize) -> Sticky {
        Sticky { batch_bytes, bytes_left: 0, current: 0 }
    }

    /// The partition of the next record, of `record_bytes` bytes; `chance` is used when it is time to change.
    pub fn pick(&mut self, partitions: NonZeroU32, record_bytes: usize, chance: u64) -> PartitionNumber {
        if self.bytes_left == 0 || self.current >= partitions.get() {
            self.bytes_left = self.batch_bytes;
            self.current = (chance % u64::from(partitions.get())) as u32;
        }
        self.bytes_left = self.bytes_left.saturating_sub(record_bytes);
        PartitionNumber(self.current)
    }
}

/// For records without a key: one partition after the other.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    next: u32,
}

impl RoundRobin {
    /// The partition of the next record.
    pub fn pick(&mut self, partitions: NonZeroU32) -> PartitionNumber {
        let picked = self.next % partitions;
        self.next = picked + 1;
        PartitionNumber(picked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    #[test]
    fn the_hash_is_that_of_kafkas_clients() {
        // The vectors of Kafka's UtilsTest.
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_key_goes_where_kafkas_clients_send_it() {
        // foobar hashes to -790332482; without its sign bit that is 1357151166.
        assert_eq!(of_key(b"foobar", partitions(1_000_000)), PartitionNumber(151_166));
        assert_eq!(of_key(b"abc", partitions(12)), PartitionNumber(479_470_107 % 12));
        assert_eq!(of_key(b"", partitions(1)), PartitionNumber(0));
    }

    #[test]
    fn records_without_a_key_stay_until_a_batch_is_full() {
        let mut sticky = Sticky::new(100);
        let picked: Vec<u32> = (10..16).map(|chance| sticky.pick(partitions(7), 40, chance).0).collect();
        assert_eq!(picked, [3, 3, 3, 6, 6, 6]);
    }

    #[test]
    fn records_without_a_key_leave_a_partition_that_is_not_there() {
        let mut sticky = Sticky::new(100);
        assert_eq!(sticky.pick(partitions(8), 1, 7), PartitionNumber(7));
        assert_eq!(sticky.pick(partitions(3), 1, 7), PartitionNumber(1));
    }

    #[test]
    fn round_robin_visits_every_partition_in_turn() {
        let mut robin = RoundRobin::default();
        let picked: Vec<u32> = (0..5).map(|_| robin.pick(partitions(3)).0).collect();
        assert_eq!(picked, [0, 1, 2, 0, 1]);
    }
}
