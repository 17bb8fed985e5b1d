//! Matrices in blocks of columns.
//!
//! A matrix `[T, C]` (T tokens) lies in memory as one matrix `[T, width]` for each block of `width`
//! columns, one after another; the last may be narrower. What a product reads of its left side then
//! lies together, and a block of columns is one slice that a thread can have for itself.

use std::ops::{Range, RangeInclusive};

use crate::gemm::microkernel::{TileShape, panels_of};
use crate::parallel::Parallelism;

/// Columns of a block: enough for several panels of weights, few enough for some tokens of a block
/// to stay in the first level cache.
const WIDTHS: RangeInclusive<usize> = 64..=256;

/// Fewest rows of a block that one thread of several writes.
const ROWS_MIN: usize = 64;

/// How the columns of a matrix are cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnBlocks {
    /// Number of columns.
    pub count: usize,
    /// Columns of a block.
    pub width: usize,
}

impl ColumnBlocks {
    /// Cuts `count` columns into blocks for the products of this processor: blocks of 64 to 256
    /// columns where that can be, which hold whole units of `unit` columns (a head's, or 1 where
    /// none must stay together), with the least work for columns that only fill up vectors. All are
    /// of one width if any width allows it.
    ///
    /// # Panics
    /// If `count` is not a multiple of `unit`.
    pub fn new(count: usize, unit: usize) -> Self {
        Self::for_tile(count, unit, TileShape::of_floats())
    }

    fn for_tile(count: usize, unit: usize, tile: TileShape) -> Self {
        assert!(
            unit > 0 && count.is_multiple_of(unit),
            "{count} columns are not a multiple of {unit}"
        );
        // In tenths of a vector. A panel of fewer vectors than a tile has costs more for each.
        let of_panel = |vectors: usize| match vectors {
            _ if vectors == tile.vectors => 10 * vectors,
            1 => 15,
            _ => 10 * vectors + 1,
        };
        let of_block = |width: usize| -> usize {
            let panels = panels_of(width, tile.lanes, tile.vectors);
            panels.map(|panel| of_panel(panel.len())).sum()
        };
        let cost = |width: usize| {
            let last = count % width;
            (last > 0, count / width * of_block(width) + of_block(last))
        };
        let units = (1..=count / unit).map(|units| units * unit);
        let width = units
            .filter(|width| WIDTHS.contains(width))
            .min_by_key(|width| cost(*width));
        let otherwise = if unit > *WIDTHS.end() { unit } else { count };
        Self {
            count,
            width: width.unwrap_or(otherwise),
        }
    }

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

    /// Writes rows, of `count` values each, to `out`, a matrix of them in these blocks.
    ///
    /// # Panics
    /// If a row or the matrix is of another size.
    pub fn write_rows(self, rows: &[&[f32]], out: &mut [f32], parallelism: Parallelism) {
        assert_eq!(out.len(), rows.len() * self.count, "rows of a matrix");
        self.for_each_part(out, ROWS_MIN, parallelism, |block, first, out| {
            let columns = self.columns(block);
            let parts = out.chunks_exact_mut(columns.len());
            for (row, part) in rows[first..].iter().zip(parts) {
                assert_eq!(row.len(), self.count, "a row of a matrix");
                part.copy_from_slice(&row[columns.clone()]);
            }
        });
    }

    /// Shares the values of a matrix in these blocks among threads: calls `part` with a block, the
    /// first of some tokens, and their elements in the block, until all elements had their turn.
    ///
    /// Blocks of columns come first: each weight is then read by one thread only. Where they do not
    /// keep all threads busy, they are cut by tokens, a multiple of `tokens_min` for each part.
    pub(crate) fn for_each_part(
        self,
        values: &mut [f32],
        tokens_min: usize,
        parallelism: Parallelism,
        part: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        if values.is_empty() {
            return;
        }
        let tokens = values.len() / self.count;
        let parts = parallelism.parts(self.blocks());
        let of_part = tokens.div_ceil(parts).next_multiple_of(tokens_min);
        parallelism.for_each_chunk(values, tokens * self.width, |block, values| {
            let width = self.columns(block).len();
            parallelism.for_each_chunk(values, of_part * width, |number, values| {
                part(block, number * of_part, values);
            });
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    const AVX512: TileShape = TileShape {
        lanes: 16,
        vectors: 3,
    };
    const AVX2: TileShape = TileShape {
        lanes: 8,
        vectors: 2,
    };
    const PORTABLE: TileShape = TileShape {
        lanes: 4,
        vectors: 2,
    };

    #[test]
    fn blocks_hold_whole_units_and_need_little_padding() {
        for (count, unit, tile, expected) in [
            (384, 32, AVX512, 96),
            (384, 32, AVX2, 64),
            (384, 32, PORTABLE, 64),
            (768, 64, AVX512, 192),
            (768, 64, AVX2, 64),
            (1024, 64, AVX512, 128),
            (1024, 128, AVX512, 128),
            (312, 26, AVX512, 78),
            (312, 26, AVX2, 78),
            (896, 64, AVX512, 128),
            (256, 256, AVX512, 256),
            (1536, 1, AVX512, 96),
            (1200, 1, AVX512, 240),
            (2624, 1, AVX512, 64),
            (8, 4, AVX512, 8),
            (1000, 500, AVX512, 500),
            (509, 1, AVX512, 96),
            (4304, 1, AVX512, 96),
        ] {
            let columns = ColumnBlocks::for_tile(count, unit, tile);
            assert_eq!(columns.width, expected, "{count} {unit} {tile:?}");
            assert!(columns.width.is_multiple_of(unit), "{count} {unit}");
        }
    }

    /// Share of the columns that are computed and thrown away.
    fn padding(columns: ColumnBlocks, tile: TileShape) -> f64 {
        let computed: usize = (0..columns.blocks())
            .map(|block| columns.columns(block).len())
            .flat_map(|width| panels_of(width, tile.lanes, tile.vectors))
            .map(|panel| panel.len() * tile.lanes)
            .sum();
        (computed - columns.count) as f64 / columns.count as f64
    }

    #[test]
    fn padding_is_three_percent_at_most() {
        // Hidden size, heads, key/value heads, head size, inner size.
        let models = [
            ("MiniLM", (384, 12, 12, 32, 1536)),
            ("BERT base", (768, 12, 12, 64, 3072)),
            ("BERT large", (1024, 16, 16, 64, 4096)),
            ("TinyBERT", (312, 12, 12, 26, 1200)),
            ("ModernBERT base", (768, 12, 12, 64, 1152)),
            ("ModernBERT large", (1024, 16, 16, 64, 2624)),
            ("Qwen2 0.5B", (896, 14, 2, 64, 4864)),
            ("Qwen3 0.6B", (1024, 16, 8, 128, 3072)),
            ("Gemma 3 300M", (768, 3, 1, 256, 1152)),
            ("SigLIP so400m", (1152, 16, 16, 72, 4304)),
        ];
        for (name, (hidden, heads, kv_heads, head, inner)) in models {
            for tile in [AVX512, AVX2, PORTABLE] {
                let cut = [
                    ("hidden", ColumnBlocks::for_tile(hidden, 1, tile)),
                    ("query", ColumnBlocks::for_tile(heads * head, head, tile)),
                    ("key", ColumnBlocks::for_tile(kv_heads * head, head, tile)),
                    ("inner", ColumnBlocks::for_tile(inner, 1, tile)),
                ];
                // Tiles of bytes have three vectors everywhere.
                for tile in [tile, TileShape { vectors: 3, ..tile }] {
                    for (matrix, columns) in cut {
                        let padding = padding(columns, tile);
                        println!(
                            "{name:<17} {matrix:<7} {:>5} in blocks of {:>3}, {} x {:>2}: {:.1} %",
                            columns.count,
                            columns.width,
                            tile.vectors,
                            tile.lanes,
                            100.0 * padding
                        );
                        assert!(padding <= 0.03, "{name} {matrix} {columns:?}");
                    }
                }
            }
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

    #[test]
    fn rows_are_written_into_blocks_on_any_number_of_threads() {
        let columns = ColumnBlocks { count: 5, width: 2 };
        for rows in [1, 3, 200] {
            let values: Vec<f32> = (0..rows * 5).map(|at| at as f32).collect();
            let of_rows: Vec<&[f32]> = values.chunks_exact(5).collect();
            let check = |parallelism: Parallelism| {
                let mut out = vec![f32::NAN; values.len()];
                columns.write_rows(&of_rows, &mut out, parallelism);
                let matrix = Matrix::new(&out, columns);
                for (row, values) in of_rows.iter().enumerate() {
                    let found = (0..3).flat_map(|block| {
                        let width = columns.columns(block).len();
                        matrix.block(block)[row * width..][..width].to_vec()
                    });
                    assert!(found.eq(values.iter().copied()), "row {row} of {rows}");
                }
            };
            check(Parallelism::WithinThread);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
            pool.unwrap().install(|| check(Parallelism::AcrossThreads));
        }
    }
}
