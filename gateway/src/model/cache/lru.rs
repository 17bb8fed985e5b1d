//! A bounded map from keys to rows of answers, which evicts the least recently used row.
//!
//! The bound is on memory, keys and bookkeeping included. The largest age of a row is an argument
//! of a lookup, since callers differ in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Memory of a row in bytes besides key and content: two references to the key, a slot, an entry of
/// the index, and rounding by the allocator. An upper estimate.
const ROW_OVERHEAD_BYTES: usize = 256;

/// The index of no slot.
const NONE: usize = usize::MAX;

/// A bounded map from keys to rows.
#[derive(Debug)]
pub(super) struct LruRows<V> {
    index: HashMap<Arc<[u8]>, usize>,
    slots: Vec<Option<Slot<V>>>,
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Slot<V> {
    key: Arc<[u8]>,
    value: V,
    bytes: usize,
    stored: Instant,
    newer: usize,
    older: usize,
}

impl<V: Clone> LruRows<V> {
    /// Returns an empty map of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            index: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            bytes_max,
        }
    }

    /// Returns the memory in use, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of rows.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.index.len()
    }

    /// Removes all rows.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    /// Changes the bound. Returns the number of rows evicted.
    pub(super) fn resize(&mut self, bytes_max: usize) -> usize {
        self.bytes_max = bytes_max;
        self.shrink()
    }

    /// Returns the row of `key` if it is at most `age_max` old, and marks it as used.
    pub(super) fn get(&mut self, key: &[u8], age_max: Duration, now: Instant) -> Option<V> {
        let at = *self.index.get(key)?;
        let slot = self.slots[at].as_ref()?;
        if now.saturating_duration_since(slot.stored) > age_max {
            return None;
        }
        let value = slot.value.clone();
        self.unlink(at);
        self.link(at);
        Some(value)
    }

    /// Inserts a row of `content_bytes`, replacing one of the same key. Returns the number of rows
    /// evicted. A row larger than the bound is not inserted.
    pub(super) fn put(
        &mut self,
        key: Arc<[u8]>,
        value: V,
        content_bytes: usize,
        now: Instant,
    ) -> usize {
        let bytes = content_bytes
            .saturating_add(key.len())
            .saturating_add(ROW_OVERHEAD_BYTES);
        self.remove(&key);
        if bytes > self.bytes_max {
            return 0;
        }
        let slot = Slot {
            key: key.clone(),
            value,
            bytes,
            stored: now,
            newer: NONE,
            older: NONE,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        };
        self.index.insert(key, at);
        self.bytes += bytes;
        self.link(at);
        self.shrink()
    }

    /// Evicts rows until the map is within its bound. Returns their number.
    fn shrink(&mut self) -> usize {
        let mut evicted = 0;
        while self.bytes > self.bytes_max {
            let Some(Some(slot)) = self.slots.get(self.oldest) else {
                break;
            };
            let key = slot.key.clone();
            self.remove(&key);
            evicted += 1;
        }
        if self.index.is_empty() {
            // Frees the memory of the tables too.
            let bytes_max = self.bytes_max;
            *self = Self::new(bytes_max);
        }
        evicted
    }

    fn remove(&mut self, key: &[u8]) {
        let Some(at) = self.index.remove(key) else {
            return;
        };
        self.unlink(at);
        if let Some(slot) = self.slots[at].take() {
            self.bytes -= slot.bytes;
        }
        self.free.push(at);
    }

    /// Removes a slot from the list by recency.
    fn unlink(&mut self, at: usize) {
        let Some(slot) = &self.slots[at] else { return };
        let (newer, older) = (slot.newer, slot.older);
        match self.slots.get_mut(newer) {
            Some(Some(slot)) => slot.older = older,
            _ => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(Some(slot)) => slot.newer = newer,
            _ => self.oldest = newer,
        }
    }

    /// Adds a slot to the list as the most recently used.
    fn link(&mut self, at: usize) {
        let before = self.newest;
        if let Some(Some(slot)) = self.slots.get_mut(before) {
            slot.newer = at;
        } else {
            self.oldest = at;
        }
        if let Some(slot) = &mut self.slots[at] {
            slot.older = before;
            slot.newer = NONE;
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(n: u32) -> Arc<[u8]> {
        n.to_le_bytes().as_slice().into()
    }

    /// Returns the memory of a row of `content` bytes.
    fn memory(content: usize) -> usize {
        4 + content + ROW_OVERHEAD_BYTES
    }

    #[test]
    fn the_least_recently_used_row_is_evicted_first() {
        let now = Instant::now();
        let mut rows = LruRows::new(3 * memory(100));
        for n in 0..3 {
            assert_eq!(rows.put(key(n), n, 100, now), 0);
        }
        assert_eq!(rows.get(&key(0), HOUR, now), Some(0));
        assert_eq!(rows.put(key(3), 3, 100, now), 1);
        let kept: Vec<_> = (0..4)
            .filter_map(|n| rows.get(&key(n), HOUR, now))
            .collect();
        assert_eq!(kept, [0, 2, 3]);
        // A large row evicts several; one larger than the bound is not inserted.
        assert_eq!(rows.put(key(9), 9, 2 * memory(100) - memory(0), now), 2);
        assert_eq!(rows.put(key(8), 8, 4 * memory(100), now), 0);
        assert_eq!(rows.get(&key(8), HOUR, now), None);
        assert_eq!((rows.len(), rows.bytes()), (2, 3 * memory(100)));
        assert_eq!(rows.resize(0), 2);
        assert_eq!((rows.len(), rows.bytes()), (0, 0));
    }

    #[test]
    fn the_largest_age_is_an_argument_of_each_lookup() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let mut rows = LruRows::new(1 << 20);
        rows.put(key(1), "old", 1, now);
        assert_eq!(rows.get(&key(1), Duration::from_secs(9), later), None);
        assert_eq!(
            rows.get(&key(1), Duration::from_secs(10), later),
            Some("old")
        );
        rows.put(key(1), "new", 1, later);
        assert_eq!(rows.get(&key(1), Duration::ZERO, later), Some("new"));
        assert_eq!(rows.len(), 1);
    }

    proptest! {
        /// The map agrees with a list in the order of use.
        #[test]
        fn the_map_evicts_like_a_list_in_order_of_use(
            steps in prop::collection::vec((any::<bool>(), 0u32..12, 0usize..600), 0..300),
            bytes_max in 0usize..4000,
        ) {
            let now = Instant::now();
            let mut rows = LruRows::new(bytes_max);
            let mut list: Vec<(u32, usize)> = Vec::new();
            for (put, n, content) in steps {
                if put {
                    rows.put(key(n), n, content, now);
                    list.retain(|(k, _)| *k != n);
                    if memory(content) <= bytes_max {
                        list.push((n, memory(content)));
                    }
                    while list.iter().map(|(_, bytes)| bytes).sum::<usize>() > bytes_max {
                        list.remove(0);
                    }
                } else {
                    let known = list.iter().position(|(k, _)| *k == n);
                    prop_assert_eq!(rows.get(&key(n), HOUR, now), known.map(|_| n));
                    if let Some(at) = known {
                        let used = list.remove(at);
                        list.push(used);
                    }
                }
                prop_assert_eq!(rows.len(), list.len());
                prop_assert_eq!(rows.bytes(), list.iter().map(|(_, bytes)| bytes).sum::<usize>());
                prop_assert!(rows.bytes() <= bytes_max);
            }
        }
    }
}
