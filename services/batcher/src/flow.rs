//! Flows: for whom a call is made.
//!
//! A flow is a path in a tree of those who share a model: first a principal or another server,
//! then a connection or what that server forwards. The call itself is the leaf and needs no level
//! of its own. Under contention the children of each node get time in proportion to their shares.

use std::num::NonZeroU32;

/// A place in the tree of those who share a model. The default, without levels, makes every call a
/// child of the root.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use motet_batcher::Flow;
///
/// let three = NonZeroU32::new(3).expect("not zero");
/// // Connection 17 of principal 5, who has three times the usual share.
/// let flow = Flow::default().under(5, three).under(17, Flow::USUAL_SHARE);
/// assert_eq!(flow.levels().len(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flow {
    levels: [Level; Flow::LEVELS_MAX],
    depth: usize,
}

/// A level of a flow: one of the children of the level before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Level {
    /// Identity among the children of the level before.
    pub key: u64,
    /// Weight against those children.
    pub share: NonZeroU32,
}

impl Default for Level {
    fn default() -> Self {
        Level {
            key: 0,
            share: Flow::USUAL_SHARE,
        }
    }
}

impl Flow {
    /// Most levels of a flow.
    pub const LEVELS_MAX: usize = 4;
    /// The share of whoever has no other.
    pub const USUAL_SHARE: NonZeroU32 = NonZeroU32::MIN;

    /// Returns the flow `key` within this one. A flow of [`Flow::LEVELS_MAX`] levels is returned as
    /// it is.
    #[must_use]
    pub fn under(mut self, key: u64, share: NonZeroU32) -> Self {
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { key, share };
            self.depth += 1;
        }
        self
    }

    /// The levels, outermost first.
    pub fn levels(&self) -> &[Level] {
        &self.levels[..self.depth]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_past_the_last_are_left_out() {
        let mut flow = Flow::default();
        for key in 0..6 {
            assert_eq!(flow.levels().len(), Flow::LEVELS_MAX.min(key as usize));
            flow = flow.under(key, Flow::USUAL_SHARE);
        }
        let keys: Vec<u64> = flow.levels().iter().map(|level| level.key).collect();
        assert_eq!(keys, [0, 1, 2, 3]);
    }
}
