//! Matrices in blocks of columns.
//!
//! A matrix `[T, C]` (T tokens) lies in memory as one matrix `[T, width]` for each block of `width`
//! columns, one after another; the last may be narrower. What a product reads of its left side then
//! lies together, and a block of columns is one slice that a thread can have for itself.

use std::ops::Range;

/// How the columns of a matrix are cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnBlocks {
    /// Number of columns.
    pub count: usize,
    /// Columns of a block.
    pub width: usize,
}

impl ColumnBlocks {
    /// Number of blocks.
    pub fn blocks(self) -> usize {
        self.count.div_ceil(self.width)
    }

    /// Returns the columns of a block.
    #[inline(always)]
    pub fn columns(self, block: usize) -> Range<usize> {
        let start = block * self.width;
        start..(start + self.width).min(self.count)
    }

    /// Returns the elements of a block within a matrix of `tokens` tokens.
    #[inline(always)]
    pub fn elements(self, block: usize, tokens: usize) -> Range<usize> {
        let columns = self.columns(block);
        columns.start * tokens..columns.end * tokens
    }
}

/// A matrix to read.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// All values, one block after another.
    pub values: &'a [f32],
    /// Number of rows.
    pub tokens: usize,
    /// How the columns are cut.
    pub columns: ColumnBlocks,
}

impl<'a> Matrix<'a> {
    /// Returns the matrix of all `values`, which are `[T, columns.count]` in blocks.
    pub fn new(values: &'a [f32], columns: ColumnBlocks) -> Self {
        Self {
            values,
            tokens: values.len() / columns.count,
            columns,
        }
    }

    /// Returns a block, `[T, width of the block]` row-major.
    #[inline(always)]
    pub fn block(self, block: usize) -> &'a [f32] {
        &self.values[self.columns.elements(block, self.tokens)]
    }
}

/// Returns the width of blocks for vectors of `hidden` values in heads of `head` each: whole heads,
/// the same in every block, and as little as possible of the last panel of weights (`panel`
/// columns) unused. Blocks have 64 to 256 columns where that can be.
pub fn width(hidden: usize, head: usize, panel: usize) -> usize {
    let unused = |width: usize| (width.next_multiple_of(panel) - width) as f32 / width as f32;
    let fits = |width: &usize| hidden.is_multiple_of(*width) && (64..=256).contains(width);
    let widths = (1..=hidden / head).map(|heads| heads * head).filter(fits);
    widths
        .min_by(|a, b| unused(*a).total_cmp(&unused(*b)))
        .unwrap_or(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_whole_heads_and_waste_little() {
        for (hidden, head, panel, expected) in [
            (384, 32, 48, 96),
            (384, 32, 24, 96),
            (384, 32, 12, 96),
            (768, 64, 48, 192),
            (768, 64, 12, 192),
            (1024, 64, 48, 128),
            (312, 26, 48, 78),
            (8, 4, 48, 8),
            (1000, 500, 48, 1000),
        ] {
            assert_eq!(
                width(hidden, head, panel),
                expected,
                "{hidden} {head} {panel}"
            );
        }
    }

    #[test]
    fn the_last_block_has_the_remaining_columns() {
        let columns = ColumnBlocks {
            count: 10,
            width: 4,
        };
        assert_eq!(columns.blocks(), 3);
        assert_eq!((columns.columns(1), columns.columns(2)), (4..8, 8..10));
        assert_eq!(
            (columns.elements(0, 3), columns.elements(2, 3)),
            (0..12, 24..30)
        );
        let values: Vec<f32> = (0..30).map(|at| at as f32).collect();
        let matrix = Matrix::new(&values, columns);
        assert_eq!(matrix.block(2), [24.0, 25.0, 26.0, 27.0, 28.0, 29.0]);
    }
}
