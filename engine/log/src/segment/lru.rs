//! A bounded map that forgets what was used longest ago. Ordered, so that the same run forgets the same things.

use std::collections::BTreeMap;

/// Keeps at most `max` values.
pub(crate) struct Lru<K, V> {
    max: usize,
    clock: u64,
    values: BTreeMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Ord + Copy, V> Lru<K, V> {
    /// An empty map of at most `max` values, at least one.
    pub(crate) fn new(max: usize) -> Lru<K, V> {
        Lru { max: max.max(1), clock: 0, values: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    /// The value of a key, which is now the last used one.
    pub(crate) fn get(&mut self, key: K) -> Option<&V> {
        let (used, value) = self.values.get_mut(&key)?;
        self.by_use.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.by_use.insert(self.clock, key);
        Some(value)
    }

    /// Puts a value in. Returns what had to go for it: the older value of the same key, or the least recently
    /// used one when full.
    pub(crate) fn put(&mut self, key: K, value: V) -> Option<V> {
        self.clock += 1;
        let replaced = self.values.insert(key, (self.clock, value));
        self.by_use.insert(self.clock, key);
        if let Some((used, value)) = replaced {
            self.by_use.remove(&used);
            return Some(value);
        }
        if self.values.len() <= self.max {
            return None;
        }
        let (_, oldest) = self.by_use.pop_first().expect("a full map is not empty");
        self.values.remove(&oldest).map(|(_, value)| value)
    }

    /// Forgets every key in a range and returns the values.
    pub(crate) fn forget(&mut self, range: std::ops::RangeInclusive<K>) -> Vec<V> {
        let keys: Vec<K> = self.values.range(range).map(|(&key, _)| key).collect();
        let mut forgotten = Vec::with_capacity(keys.len());
        for key in keys {
            let (used, value) = self.values.remove(&key).expect("just seen");
            self.by_use.remove(&used);
            forgotten.push(value);
        }
        forgotten
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.values.len(), self.by_use.len());
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut lru = Lru::new(2);
        assert_eq!(lru.put(1, "a"), None);
        assert_eq!(lru.put(2, "b"), None);
        assert_eq!(lru.get(1), Some(&"a"));
        assert_eq!(lru.put(3, "c"), Some("b"));
        assert_eq!(lru.get(2), None);
        assert_eq!(lru.get(1), Some(&"a"));
        assert_eq!(lru.put(1, "d"), Some("a"));
        assert_eq!(lru.len(), 2);
        assert_eq!(lru.forget(1..=2), ["d"]);
        assert_eq!((lru.len(), lru.get(1)), (1, None));
        assert_eq!(lru.get(3), Some(&"c"));
    }
}
