//! Attention within rows: `softmax(scale Q K^T + bias) V` for each head, a few queries at a time.
//!
//! A query sees the keys of a [`Mask`], and scores may have a [`Bias`]: one by distance
//! ([`RelativeBias`]), or one for each pair of tokens ([`Disentangled`]). There may be fewer
//! heads of keys and values than of queries (grouped queries): each is then used by as many heads
//! of queries in succession.
//!
//! * `bias`, `disentangled`: what is added to scores; `mask`: the keys that a query sees.
//! * `pack`: keys and values of a head in panels; `softmax`: scores to exponentials.

mod bias;
mod disentangled;
mod mask;
mod pack;
mod softmax;

use std::cell::RefCell;
use std::iter::once;

use pulp::{Simd, WithSimd};

pub use bias::{Bias, Buckets, RelativeBias};
pub use disentangled::{Disentangled, Distances};
pub use mask::Mask;

use crate::aligned::Aligned;
use crate::blocked::ColumnBlocks;
use crate::gemm::epilogue::OutputTile;
use crate::gemm::microkernel::{Lhs, Prefetch, TileSize, microkernel, tiles, with_tokens};
use crate::parallel::Parallelism;
use crate::simd::dispatch;
use pack::{Head, pack_keys, pack_values};
use softmax::{Exponentials, MaskedExponentials, Scoring};

/// Vectors of columns in a tile of the product with the values: heads have 32 or 64 columns, seldom
/// a multiple of three vectors.
const VALUE_VECTORS: usize = 2;

/// Fewest tokens of a block whose queries one thread of several takes: it packs the keys and values
/// of their rows for itself.
const TOKENS_MIN: usize = 48;

/// The rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Number of tokens of each row.
    pub tokens: &'a [usize],
    /// Number of tokens at the beginning of each row that are attended: the others have queries,
    /// but no token sees their keys. `None` if all are.
    pub attended: Option<&'a [usize]>,
}

impl<'a> From<&'a [usize]> for Rows<'a> {
    fn from(tokens: &'a [usize]) -> Self {
        Self {
            tokens,
            attended: None,
        }
    }
}

/// The attention of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    queries: ColumnBlocks,
    keys: ColumnBlocks,
    head_size: usize,
    scale: f32,
    mask: Mask,
}

impl Attention {
    /// Returns attention over all keys of a row with the usual scale, one divided by the square
    /// root of the head's size, for queries in the blocks `queries` and both keys and values in the
    /// blocks `keys`.
    ///
    /// # Panics
    /// If a block does not hold whole heads of `head_size` columns, or if the number of heads of
    /// queries is not a multiple of the number of heads of keys.
    pub fn new(queries: ColumnBlocks, keys: ColumnBlocks, head_size: usize) -> Self {
        for columns in [queries, keys] {
            let whole =
                columns.width.is_multiple_of(head_size) && columns.count.is_multiple_of(head_size);
            assert!(whole, "{columns:?} in heads of {head_size}");
        }
        assert!(
            queries.count.is_multiple_of(keys.count),
            "{} columns of queries for {} of keys",
            queries.count,
            keys.count
        );
        Self {
            queries,
            keys,
            head_size,
            scale: (head_size as f32).sqrt().recip(),
            mask: Mask::All,
        }
    }

    /// Returns the attention with another mask.
    pub fn with_mask(self, mask: Mask) -> Self {
        Self { mask, ..self }
    }

    /// Returns the attention with another factor for the products of queries and keys.
    ///
    /// # Panics
    /// If the factor is not greater than 0.
    pub fn with_scale(self, scale: f32) -> Self {
        assert!(scale > 0.0, "the scale {scale} of attention");
        Self { scale, ..self }
    }

    /// Replaces the queries of rows by the result. All matrices are in blocks. A query whose mask
    /// leaves it no key that is attended gives 0.
    ///
    /// # Panics
    /// If a matrix has not as many tokens as all rows, `bias` is too small for them, or there are
    /// not as many numbers of attended tokens as rows.
    pub fn run(
        &self,
        queries: &mut [f32],
        keys: &[f32],
        values: &[f32],
        rows: Rows<'_>,
        bias: Option<Bias<'_>>,
        parallelism: Parallelism,
    ) {
        let Rows {
            tokens: rows,
            attended,
        } = rows;
        let tokens: usize = rows.iter().sum();
        let counts = attended.map_or(rows.len(), <[usize]>::len);
        assert_eq!(counts, rows.len(), "attended tokens of each row");
        assert_eq!(queries.len(), tokens * self.queries.count, "queries");
        assert_eq!(keys.len(), tokens * self.keys.count, "keys");
        assert_eq!(values.len(), tokens * self.keys.count, "values");
        if let Some(bias) = bias {
            let heads = self.queries.count / self.head_size;
            assert!(bias.covers(heads, rows), "bias of attention");
        }
        thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());
        let columns = self.queries;
        columns.for_each_part(queries, TOKENS_MIN, parallelism, |block, first, queries| {
            SCRATCH.with_borrow_mut(|scratch| {
                dispatch(Part {
                    attention: self,
                    queries,
                    first,
                    block,
                    keys,
                    values,
                    tokens,
                    rows,
                    attended,
                    bias,
                    scratch,
                });
            });
        });
    }
}

/// Scratch memory of a thread.
#[derive(Default)]
struct Scratch {
    /// Keys of one head, transposed, in panels: `[panels, head size, columns of a tile]`.
    keys: Aligned<f32>,
    /// Values of one head in panels: `[panels, keys, VALUE_VECTORS * lanes]`.
    values: Aligned<f32>,
    /// Scores of one tile of queries: `[queries, keys]`, each query's filled up to whole panels.
    scores: Aligned<f32>,
    /// A tile that is wider than what is left of a head.
    narrow: Aligned<f32>,
}

/// The queries of some tokens in one block.
struct Part<'a> {
    attention: &'a Attention,
    /// `[tokens of the part, width of the block]`
    queries: &'a mut [f32],
    /// The first token of the part.
    first: usize,
    block: usize,
    keys: &'a [f32],
    values: &'a [f32],
    /// Tokens of all rows.
    tokens: usize,
    rows: &'a [usize],
    attended: Option<&'a [usize]>,
    bias: Option<Bias<'a>>,
    scratch: &'a mut Scratch,
}

/// The queries of one row in a part.
#[derive(Clone, Copy)]
struct Row {
    /// First token of the row among all.
    start: usize,
    /// Tokens of the row.
    len: usize,
    /// Those that are attended.
    attended: usize,
    /// Pairs of tokens of all rows before.
    pairs: usize,
    /// First query of the part, counted from the row's first token.
    from: usize,
    /// First query after the part.
    to: usize,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.attention.queries.columns(self.block).len();
        let (first, end) = (self.first, self.first + self.queries.len() / width);
        let (mut start, mut pairs) = (0, 0);
        for (number, len) in self.rows.iter().enumerate() {
            let row = Row {
                start,
                len: *len,
                attended: self.attended.map_or(*len, |attended| attended[number]),
                pairs,
                from: start.max(first) - start,
                to: (start + len).min(end).saturating_sub(start),
            };
            if row.from < row.to {
                self.row(simd, row, width);
            }
            start += len;
            pairs += len * len;
        }
    }
}

impl Part<'_> {
    /// Computes all heads of the block for the queries of one row.
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, row: Row, width: usize) {
        let Attention {
            queries: query_columns,
            keys: key_columns,
            head_size,
            scale,
            mask,
        } = *self.attention;
        let panel = S::NR * S::F32_LANES;
        let heads_per_key = query_columns.count / key_columns.count;
        let heads = query_columns.count / head_size;
        let span = mask.span(row.from..row.to, row.attended);
        // From a whole panel on: a key then has the same lane whatever queries are in the part.
        let keys = span.start / panel * panel..span.end;
        self.scratch
            .scores
            .resize(S::MR * keys.len().next_multiple_of(panel));
        let offset = (row.start + row.from - self.first) * width;
        let queries = &mut self.queries[offset..][..(row.to - row.from) * width];
        if keys.is_empty() {
            queries.fill(0.0);
            return;
        }
        let mut packed = None;
        for first in (0..width).step_by(head_size) {
            let number = (query_columns.columns(self.block).start + first) / head_size;
            let head = Head {
                width,
                first,
                size: head_size,
                keys: keys.len(),
            };
            let key_head = number / heads_per_key;
            if packed != Some(key_head) {
                packed = Some(key_head);
                let block = key_head * head_size / key_columns.width;
                let columns = key_columns.columns(block);
                let elements = key_columns.elements(block, self.tokens);
                let width = columns.len();
                let from = (row.start + keys.start) * width;
                let rows = from..from + keys.len() * width;
                let head = Head {
                    width,
                    first: key_head * head_size - columns.start,
                    ..head
                };
                let (these_keys, these_values) = (
                    &self.keys[elements.clone()][rows.clone()],
                    &self.values[elements][rows],
                );
                pack_keys(&mut self.scratch.keys, panel, head, these_keys);
                let panel = VALUE_VECTORS * S::F32_LANES;
                pack_values(&mut self.scratch.values, panel, head, these_values);
            }
            for tile in tiles(row.to - row.from, S::MR) {
                let scoring = Scoring {
                    scale,
                    mask,
                    bias: self
                        .bias
                        .map(|bias| (bias.of_row(row.pairs * heads), number)),
                    tokens: row.len,
                    attended: row.attended,
                    query: row.from + tile.start,
                    keys: keys.start,
                };
                let queries = &mut queries[tile.start * width..tile.end * width];
                with_tokens!(S::MR, tile.len(), R => {
                    if const { S::NR == 3 } {
                        attend::<S, 3, R>(simd, head, scoring, queries, self.scratch);
                    } else {
                        attend::<S, 2, R>(simd, head, scoring, queries, self.scratch);
                    }
                });
            }
        }
    }
}

/// Computes `R` queries of one head, with tiles of `V` vectors for the keys; the result replaces
/// the queries.
#[inline(always)]
fn attend<S: Simd, const V: usize, const R: usize>(
    simd: S,
    head: Head,
    scoring: Scoring<'_>,
    queries: &mut [f32],
    scratch: &mut Scratch,
) {
    let panel = V * S::F32_LANES;
    // The packed keys that the tile's queries see, from a whole panel on.
    let seen = scoring
        .mask
        .span(scoring.query..scoring.query + R, scoring.attended);
    let first_panel = (seen.start - scoring.keys) / panel;
    let seen = first_panel * panel..seen.end - scoring.keys;
    if seen.is_empty() {
        let queries = queries.chunks_exact_mut(head.width);
        queries.for_each(|query| query[head.first..][..head.size].fill(0.0));
        return;
    }
    let padded = seen.len().next_multiple_of(panel);
    let scores = &mut scratch.scores;
    for (number, keys) in scratch
        .keys
        .as_slice()
        .chunks_exact(panel * head.size)
        .skip(first_panel)
        .take(padded / panel)
        .enumerate()
    {
        let lhs = Lhs {
            values: &queries[head.first..],
            stride: head.width,
            len: head.size,
        };
        let (keys, _) = S::as_simd_f32s(keys);
        let (keys, _) = keys.as_chunks::<V>();
        let sums = [[simd.splat_f32s(0.0); V]; R];
        let sums = microkernel(simd, sums, once(lhs), keys, &mut Prefetch::none());
        let columns = number * panel..(number + 1) * panel;
        let scores = &mut scores.as_mut_slice()[..R * padded];
        OutputTile::new(scores, padded, columns, panel, &mut scratch.narrow).store(simd, sums);
    }
    let scores = &mut scores.as_mut_slice()[..R * padded];
    let mut factors = [0.0; R];
    if scoring.mask == Mask::All && scoring.bias.is_none() {
        simd.vectorize(Exponentials {
            scores: &mut *scores,
            factors: &mut factors,
            tokens: seen.len(),
            scale: scoring.scale,
        });
    } else {
        simd.vectorize(MaskedExponentials {
            scores: &mut *scores,
            factors: &mut factors,
            scoring,
            first_key: scoring.keys + seen.start,
        });
    }
    let panel = VALUE_VECTORS * S::F32_LANES;
    for (number, values) in scratch
        .values
        .as_slice()
        .chunks_exact(panel * head.keys)
        .enumerate()
    {
        let lhs = Lhs {
            values: scores,
            stride: padded,
            len: seen.len(),
        };
        let (values, _) = S::as_simd_f32s(values);
        let (values, _) = values.as_chunks::<VALUE_VECTORS>();
        let values = &values[seen.clone()];
        let sums = [[simd.splat_f32s(0.0); VALUE_VECTORS]; R];
        let mut sums = microkernel(simd, sums, once(lhs), values, &mut Prefetch::none());
        for row in 0..R {
            let factor = simd.splat_f32s(factors[row]);
            for sum in &mut sums[row] {
                *sum = simd.mul_f32s(*sum, factor);
            }
        }
        let columns = number * panel..((number + 1) * panel).min(head.size);
        let columns = head.first + columns.start..head.first + columns.end;
        let mut output = OutputTile::new(queries, head.width, columns, panel, &mut scratch.narrow);
        output.store(simd, sums);
        output.finish(simd, None);
    }
}

#[cfg(test)]
mod tests;
