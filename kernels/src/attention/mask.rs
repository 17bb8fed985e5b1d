//! Masks of attention: which keys a query sees.

use std::ops::Range;

/// The keys that a query of a row sees: one range that holds the query's own position, as far as
/// there are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    /// All keys of the row.
    All,
    /// The keys up to the query's own position.
    Causal,
    /// The query's own position, `before` keys before it and `after` keys after it.
    Window {
        /// Number of keys before the query's own position.
        before: usize,
        /// Number of keys after it.
        after: usize,
    },
}

impl Mask {
    /// Returns the keys, of `keys` keys, that the query at a position sees.
    #[inline(always)]
    pub fn range(self, query: usize, keys: usize) -> Range<usize> {
        match self {
            Self::All => 0..keys,
            Self::Causal => 0..(query + 1).min(keys),
            Self::Window { before, after } => {
                query.saturating_sub(before).min(keys)
                    ..query.saturating_add(after.saturating_add(1)).min(keys)
            }
        }
    }

    /// Returns the keys that any of some queries sees; there is one query at least.
    #[inline(always)]
    pub(super) fn span(self, queries: Range<usize>, keys: usize) -> Range<usize> {
        self.range(queries.start, keys).start..self.range(queries.end - 1, keys).end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_sees_the_keys_of_its_mask() {
        let window = |before, after| Mask::Window { before, after };
        for (mask, query, keys, expected) in [
            (Mask::All, 0, 5, 0..5),
            (Mask::All, 4, 5, 0..5),
            (Mask::Causal, 0, 5, 0..1),
            (Mask::Causal, 4, 5, 0..5),
            (window(2, 1), 0, 5, 0..2),
            (window(2, 1), 3, 5, 1..5),
            (window(2, 1), 4, 5, 2..5),
            (window(0, 0), 3, 5, 3..4),
            (window(usize::MAX, 0), 3, 5, 0..4),
            (window(0, usize::MAX), 3, 5, 3..5),
            (Mask::All, 7, 5, 0..5),
            (Mask::Causal, 7, 5, 0..5),
            (window(3, 1), 7, 5, 4..5),
            (window(1, 1), 7, 5, 5..5),
        ] {
            assert_eq!(mask.range(query, keys), expected, "{mask:?} {query}");
        }
        assert_eq!(window(2, 1).span(2..5, 8), 0..6);
        assert_eq!(Mask::Causal.span(2..3, 8), 0..3);
    }
}
