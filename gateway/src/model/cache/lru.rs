//! A bounded map from bytes to rows of answers: the least recently used row leaves first.
//!
//! What counts is memory, keys and bookkeeping included. How old a row may be is asked at each
//! look-up, since callers differ in that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// What a row takes beside its key and its content: two references to the key, a slot, its place
/// in the table, and what allocators round up. An estimate on the high side.
const ROW_OVERHEAD_BYTES: usize = 256;

/// No slot.
const NONE: usize = usize::MAX;

/// A bounded map from bytes to rows.
#[derive(Debug)]
pub(super) struct LruRows<V> {
    places: HashMap<Arc<[u8]>, usize>,
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
    /// An empty store of at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            places: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            bytes_max,
        }
    }

    /// Bytes taken.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.len()
    }

    /// Changes the bound, and gives the number of rows that had to leave.
    pub(super) fn resize(&mut self, bytes_max: usize) -> usize {
        self.bytes_max = bytes_max;
        self.shrink()
    }

    /// The row under `key` that is at most `age_max` old. It counts as used.
    pub(super) fn get(&mut self, key: &[u8], age_max: Duration, now: Instant) -> Option<V> {
        let at = *self.places.get(key)?;
        let slot = self.slots[at].as_ref()?;
        if now.saturating_duration_since(slot.stored) > age_max {
            return None;
        }
        let value = slot.value.clone();
        self.unlink(at);
        self.link(at);
        Some(value)
    }

    /// Keeps a row of `content_bytes`, in place of one under the same key, and gives the number
    /// of rows that had to leave. One larger than the whole store is not kept.
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
        self.places.insert(key, at);
        self.bytes += bytes;
        self.link(at);
        self.shrink()
    }

    fn shrink(&mut self) -> usize {
        let mut left = 0;
        while self.bytes > self.bytes_max {
            let Some(Some(slot)) = self.slots.get(self.oldest) else {
                break;
            };
            let key = slot.key.clone();
            self.remove(&key);
            left += 1;
        }
        if self.places.is_empty() {
            // Give memory back, not only rows.
            let bytes_max = self.bytes_max;
            *self = Self::new(bytes_max);
        }
        left
    }

    fn remove(&mut self, key: &[u8]) {
        let Some(at) = self.places.remove(key) else {
            return;
        };
        self.unlink(at);
        if let Some(slot) = self.slots[at].take() {
            self.bytes -= slot.bytes;
        }
        self.free.push(at);
    }

    /// Takes a slot out of the order of use.
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

    /// Makes a slot the last used.
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

    /// What a row of `content` bytes takes.
    fn taken(content: usize) -> usize {
        4 + content + ROW_OVERHEAD_BYTES
    }

    #[test]
    fn the_least_recently_used_leaves_first() {
        let now = Instant::now();
        let mut store = LruRows::new(3 * taken(100));
        for n in 0..3 {
            assert_eq!(store.put(key(n), n, 100, now), 0);
        }
        assert_eq!(store.get(&key(0), HOUR, now), Some(0));
        assert_eq!(store.put(key(3), 3, 100, now), 1);
        let kept: Vec<_> = (0..4)
            .filter_map(|n| store.get(&key(n), HOUR, now))
            .collect();
        assert_eq!(kept, [0, 2, 3]);
        // A large one takes the place of several, one that is too large of none.
        assert_eq!(store.put(key(9), 9, 2 * taken(100) - taken(0), now), 2);
        assert_eq!(store.put(key(8), 8, 4 * taken(100), now), 0);
        assert_eq!(store.get(&key(8), HOUR, now), None);
        assert_eq!((store.len(), store.bytes()), (2, 3 * taken(100)));
        assert_eq!(store.resize(0), 2);
        assert_eq!((store.len(), store.bytes()), (0, 0));
    }

    #[test]
    fn how_old_is_too_old_is_the_askers_affair() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let mut store = LruRows::new(1 << 20);
        store.put(key(1), "old", 1, now);
        assert_eq!(store.get(&key(1), Duration::from_secs(9), later), None);
        assert_eq!(
            store.get(&key(1), Duration::from_secs(10), later),
            Some("old")
        );
        store.put(key(1), "new", 1, later);
        assert_eq!(store.get(&key(1), Duration::ZERO, later), Some("new"));
        assert_eq!(store.len(), 1);
    }

    proptest! {
        /// Against a list in the order of use.
        #[test]
        fn as_a_list_in_order_of_use(
            steps in prop::collection::vec((any::<bool>(), 0u32..12, 0usize..600), 0..300),
            bytes_max in 0usize..4000,
        ) {
            let now = Instant::now();
            let mut store = LruRows::new(bytes_max);
            let mut list: Vec<(u32, usize)> = Vec::new();
            for (put, n, content) in steps {
                if put {
                    store.put(key(n), n, content, now);
                    list.retain(|(k, _)| *k != n);
                    if taken(content) <= bytes_max {
                        list.push((n, taken(content)));
                    }
                    while list.iter().map(|(_, bytes)| bytes).sum::<usize>() > bytes_max {
                        list.remove(0);
                    }
                } else {
                    let known = list.iter().position(|(k, _)| *k == n);
                    prop_assert_eq!(store.get(&key(n), HOUR, now), known.map(|_| n));
                    if let Some(at) = known {
                        let used = list.remove(at);
                        list.push(used);
                    }
                }
                prop_assert_eq!(store.len(), list.len());
                prop_assert_eq!(store.bytes(), list.iter().map(|(_, bytes)| bytes).sum::<usize>());
                prop_assert!(store.bytes() <= bytes_max);
            }
        }
    }
}
