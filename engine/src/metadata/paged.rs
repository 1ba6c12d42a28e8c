//! A sorted map whose copies share pages: a copy costs one pointer per page, a change one page. It knows nothing of
//! what it holds.

use std::borrow::Borrow;
use std::sync::Arc;

/// A page is cut in two beyond this many entries. A thousand pages hold 100,000 entries.
const PAGE_ENTRIES_MAX: usize = 128;

/// Entries in the order of their keys, on pages that are never empty.
#[derive(Clone, Debug)]
pub(super) struct Paged<K, V> {
    pages: Vec<Arc<Vec<(K, V)>>>,
    len: usize,
}

impl<K, V> Default for Paged<K, V> {
    fn default() -> Paged<K, V> {
        Paged { pages: Vec::new(), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Paged<K, V> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value of a key.
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let page = self.pages.get(self.page_of(key))?;
        page.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok().map(|place| &page[place].1)
    }

    /// Sets the value of a key and returns the one it had.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.page_of(&key);
        let Some(page) = self.pages.get_mut(at) else {
            self.pages.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        let page = Arc::make_mut(page);
        match page.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(place) => Some(std::mem::replace(&mut page[place].1, value)),
            Err(place) => {
                page.insert(place, (key, value));
                self.len += 1;
                if page.len() > PAGE_ENTRIES_MAX {
                    let upper = page.split_off(PAGE_ENTRIES_MAX / 2);
                    self.pages.insert(at + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Takes a key out and returns its value.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.page_of(key);
        let page = self.pages.get_mut(at)?;
        let place = page.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
        let page = Arc::make_mut(page);
        let (_, value) = page.remove(place);
        if page.is_empty() {
            self.pages.remove(at);
        }
        self.len -= 1;
        Some(value)
    }

    /// The last key.
    pub(super) fn last_key(&self) -> Option<&K> {
        self.pages.last().and_then(|page| page.last()).map(|(key, _)| key)
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.pages.iter().flat_map(|page| page.iter()).map(|(key, value)| (key, value))
    }

    /// The page where a key is or belongs; 0 when there is none.
    fn page_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.pages.partition_point(|page| page[0].0.borrow() <= key).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_sorted_map_and_copies_never_change(ops in prop::collection::vec((any::<bool>(), 0..400_u32), 0..2000)) {
            let (mut paged, mut map) = (Paged::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (time, (insert, key)) in ops.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(paged.insert(key, time), map.insert(key, time));
                } else {
                    prop_assert_eq!(paged.remove(&key), map.remove(&key));
                }
                prop_assert_eq!(paged.get(&key), map.get(&key));
                if time % 300 == 0 {
                    copies.push((paged.clone(), map.clone()));
                }
            }
            copies.push((paged, map));
            for (paged, map) in copies {
                prop_assert!(paged.iter().eq(map.iter()));
                prop_assert_eq!(paged.len(), map.len());
                prop_assert!(paged.pages.iter().all(|page| !page.is_empty() && page.len() <= PAGE_ENTRIES_MAX));
            }
        }
    }

    #[test]
    fn a_change_copies_one_page_and_shares_the_others() {
        let mut paged = Paged::default();
        (0..10_000_u32).for_each(|key| assert_eq!(paged.insert(key, key), None));
        let before = paged.clone();
        paged.insert(5000, 0);
        let shared = paged.pages.iter().zip(&before.pages).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, paged.pages.len() - 1);
    }
}
