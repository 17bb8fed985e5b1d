//! Ids that repeat, seen within bounds: all ids of a batch would be as many as its rows.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// Ids of one generation. Two of them have 9 MiB.
const GENERATION: usize = 450_000;

/// The last ids that were seen, as hashes of 64 bits: of two rows with one id that are not further
/// apart than a generation has ids the second is known.
#[derive(Debug)]
pub(crate) struct Ids {
    last: HashSet<u64>,
    before: HashSet<u64>,
    generation: usize,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self::of(GENERATION)
    }

    fn of(generation: usize) -> Self {
        Self {
            last: HashSet::new(),
            before: HashSet::new(),
            generation,
        }
    }

    /// Returns whether an id with this hash was seen, and sees it.
    pub(crate) fn is_repeated(&mut self, hash: u64) -> bool {
        if self.before.contains(&hash) || !self.last.insert(hash) {
            return true;
        }
        if self.last.len() == self.generation {
            self.before = std::mem::take(&mut self.last);
        }
        false
    }
}

/// Returns the hash of an id; `None` for null, which is none.
pub(crate) fn hash(id: &Value) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match id {
        Value::Null => return None,
        Value::String(text) => text.hash(&mut hasher),
        other => other.to_string().hash(&mut hasher),
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_known_for_a_generation() {
        let mut ids = Ids::of(3);
        let mut is_repeated = |id: u64| ids.is_repeated(id);
        assert!([1, 2, 3, 4].iter().all(|id| !is_repeated(*id)));
        assert!(is_repeated(1) && is_repeated(4));
        // One of two generations ago is new again.
        assert!([5, 6, 1].iter().all(|id| !is_repeated(*id)));
    }

    #[test]
    fn an_id_is_the_same_as_a_text_and_as_a_number() {
        assert_eq!(hash(&json!(7)), hash(&json!("7")));
        assert_ne!(hash(&json!(7)), hash(&json!(8)));
        assert_eq!(hash(&json!(null)), None);
    }
}
