//! Groups of inputs of a product that share a scale.

use std::ops::Range;

use crate::blocked::ColumnBlocks;

/// Most inputs of a group. Smaller groups are more exact and slower: the end of a
/// group costs as much as about 16 of its inputs.
const LEN_MAX: usize = 128;

/// Number of bytes that are multiplied and added in one step of a lane.
pub(super) const STEP: usize = size_of::<u32>();

/// How the inputs of a product are cut into groups: those of each block of columns into groups of
/// one length, the last of a block filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Groups {
    columns: ColumnBlocks,
    /// A multiple of [`STEP`].
    len: usize,
}

impl Groups {
    pub(super) fn new(columns: ColumnBlocks) -> Self {
        let count = columns.width.div_ceil(LEN_MAX);
        let len = columns.width.div_ceil(count).next_multiple_of(STEP);
        Self { columns, len }
    }

    /// Number of inputs of a group, filled up.
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Number of groups.
    pub(super) fn count(self) -> usize {
        let whole = self.columns.count / self.columns.width;
        let rest = self.columns.count % self.columns.width;
        whole * self.columns.width.div_ceil(self.len) + rest.div_ceil(self.len)
    }

    /// Returns the block of a group, and the group's columns within the block.
    pub(super) fn in_block(self, group: usize) -> (usize, Range<usize>) {
        let of_block = self.columns.width.div_ceil(self.len);
        let (block, group) = (group / of_block, group % of_block);
        let width = self.columns.columns(block).len();
        (block, group * self.len..((group + 1) * self.len).min(width))
    }

    /// Returns the columns of a group within the whole matrix.
    pub(super) fn columns(self, group: usize) -> Range<usize> {
        let (block, range) = self.in_block(group);
        let start = self.columns.columns(block).start;
        start + range.start..start + range.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_each_column_once() {
        for (count, width, len, groups) in [
            (384, 96, 96, 4),
            (1536, 96, 96, 16),
            (768, 192, 96, 8),
            (1000, 1000, 128, 8),
            (1000, 300, 100, 10),
            (312, 78, 80, 4),
            (10, 4, 4, 3),
            (5, 5, 8, 1),
        ] {
            let all = Groups::new(ColumnBlocks { count, width });
            assert_eq!((all.len(), all.count()), (len, groups), "{count} {width}");
            let columns: Vec<usize> = (0..groups).flat_map(|group| all.columns(group)).collect();
            assert_eq!(columns, (0..count).collect::<Vec<_>>(), "{count} {width}");
        }
    }
}
