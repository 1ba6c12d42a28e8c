//! A table by group id whose hashing is fixed, so that two runs of one seed look at groups in the same order.

use flumen_model::GroupId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Spreads dense ids over the table (Fibonacci hashing). Group ids come from our own counter, never from a
/// stranger, so no attack can choose them.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

/// Values by group.
pub type ById<K, T> = HashMap<K, T, BuildHasherDefault<IdHasher>>;

/// The keys in ascending order, for every walk whose order can be seen from outside.
pub fn sorted_keys<K: Copy + Ord + Hash, T>(table: &ById<K, T>) -> Vec<K> {
    let mut keys: Vec<K> = table.keys().copied().collect();
    keys.sort_unstable();
    keys
}

/// Values by group id.
pub type GroupTable<T> = ById<GroupId, T>;
