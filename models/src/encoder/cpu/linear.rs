//! Products with weights, which are packed once so that they are read in the order in which they lie.

use pulp::{Simd, WithSimd};

use super::activation::gelu;
use super::aligned::Aligned;
use super::blocks::{Columns, Matrix};
use super::simd::{dispatch, lanes, load, store};
use super::tile::{Ahead, Rows, VECTORS, accumulate, tokens_max, with_tokens};

/// Rows of a panel that are used for one tile after another while they are in the first level cache.
const PIECE: usize = 192;

/// Weight and bias of `y = x W^T + b`.
#[derive(Debug)]
pub(super) struct Linear {
    inputs: usize,
    outputs: Columns,
    /// For each block of outputs panels of [`VECTORS`] vectors of columns: `[panels, inputs, VECTORS * lanes]`, the last
    /// panel of a block filled up with zeros.
    panels: Aligned<f32>,
    /// The bias in the same panels.
    bias: Aligned<f32>,
}

/// What a product begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the bias.
    Bias,
    /// With the bias and what is there: a residual connection.
    Residual,
}

/// What is done to a sum before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Store,
    Gelu,
}

impl Linear {
    /// `weight` is `[outputs, inputs]` row-major, `bias` is `[outputs]`.
    pub(super) fn pack(weight: &[f32], bias: &[f32], outputs: Columns) -> Self {
        let inputs = weight.len() / outputs.count;
        let panel = panel_width();
        let panels_in_all: usize = (0..outputs.blocks())
            .map(|block| outputs.of(block).len().div_ceil(panel))
            .sum();
        let mut packed = Self {
            inputs,
            outputs,
            panels: Aligned::zeros(panels_in_all * inputs * panel),
            bias: Aligned::zeros(panels_in_all * panel),
        };
        let columns = (0..outputs.blocks()).flat_map(|block| {
            outputs
                .of(block)
                .step_by(panel)
                .map(move |start| start..(start + panel).min(outputs.of(block).end))
        });
        let panels = packed
            .panels
            .as_mut_slice()
            .chunks_exact_mut(inputs * panel);
        let biases = packed.bias.as_mut_slice().chunks_exact_mut(panel);
        for ((columns, values), biases) in columns.zip(panels).zip(biases) {
            biases[..columns.len()].copy_from_slice(&bias[columns.clone()]);
            for (at, column) in columns.enumerate() {
                let column = &weight[column * inputs..][..inputs];
                for (row, value) in values.chunks_exact_mut(panel).zip(column) {
                    row[at] = *value;
                }
            }
        }
        packed
    }

    /// How the results are cut into blocks.
    pub(super) fn outputs(&self) -> Columns {
        self.outputs
    }

    /// One block of results for the tokens of `x` from `first`: `out` is `[tokens, width of the block]` and says how many.
    pub(super) fn block(
        &self,
        block: usize,
        x: Matrix<'_>,
        first: usize,
        out: &mut [f32],
        start: Start,
        end: End,
    ) {
        debug_assert_eq!(x.columns.count, self.inputs);
        let width = self.outputs.of(block).len();
        dispatch(Product {
            linear: self,
            block,
            x,
            first,
            tokens: out.len() / width,
            width,
            out,
            start,
            end,
        });
    }
}

/// Columns of a panel.
pub(super) fn panel_width() -> usize {
    VECTORS * lanes()
}

struct Product<'a> {
    linear: &'a Linear,
    block: usize,
    x: Matrix<'a>,
    first: usize,
    tokens: usize,
    width: usize,
    out: &'a mut [f32],
    start: Start,
    end: End,
}

/// A piece of a panel, times all tokens.
#[derive(Clone, Copy)]
struct Piece<'a> {
    x: Matrix<'a>,
    /// Blocks of the left side.
    blocks: (usize, usize),
    weights: &'a [f32],
    bias: &'a [f32],
    width: usize,
    start: Option<Start>,
    end: Option<End>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            linear,
            block,
            x,
            first,
            tokens,
            width,
            out,
            start,
            end,
        } = self;
        let panel = VECTORS * S::F32_LANES;
        let panels = linear.outputs.width.div_ceil(panel);
        let weights = &linear.panels.as_slice()[block * panels * linear.inputs * panel..];
        let biases = &linear.bias.as_slice()[block * panels * panel..];
        let blocks = x.columns.blocks();
        let most = const { tokens_max::<S>() };
        let blocks_of_piece = (PIECE / x.columns.width).max(1);
        for (number, bias) in biases
            .chunks_exact(panel)
            .enumerate()
            .take(width.div_ceil(panel))
        {
            let weights = &weights[number * linear.inputs * panel..];
            for from in (0..blocks).step_by(blocks_of_piece) {
                let to = (from + blocks_of_piece).min(blocks);
                let rows = x.columns.of(from).start..x.columns.of(to - 1).end;
                let (weights, next) = weights[rows.start * panel..].split_at(rows.len() * panel);
                let piece = Piece {
                    x,
                    blocks: (from, to),
                    weights,
                    bias,
                    width,
                    start: (from == 0).then_some(start),
                    end: (to == blocks).then_some(end),
                };
                // Each tile asks for its share of the weights that come next.
                let share = weights.len().div_ceil(tokens.div_ceil(most));
                for (tile, at) in (0..tokens).step_by(most).enumerate() {
                    let ahead =
                        Ahead::share(next.get(tile * share..).unwrap_or(&[]), share, rows.len());
                    let count = (tokens - at).min(most);
                    let out = &mut out[at * width..][..count * width];
                    with_tokens!(
                        S,
                        most,
                        count,
                        tile_of(simd, piece, first + at, number * panel, out, ahead)
                    );
                }
            }
        }
    }
}

/// The columns from `column` of the block, for the `R` tokens from `token`.
#[inline(always)]
fn tile_of<S: Simd, const R: usize>(
    simd: S,
    piece: Piece<'_>,
    token: usize,
    column: usize,
    out: &mut [f32],
    mut ahead: Ahead<'_, f32>,
) {
    let width = piece.width;
    let columns = column..(column + VECTORS * S::F32_LANES).min(width);
    let mut sums = [load::<S, VECTORS>(simd, piece.bias); R];
    if piece.start != Some(Start::Bias) {
        for (row, sums) in sums.iter_mut().enumerate() {
            let there = load::<S, VECTORS>(simd, &out[row * width..][columns.clone()]);
            for (sum, there) in sums.iter_mut().zip(there) {
                *sum = if piece.start.is_some() {
                    simd.add_f32s(*sum, there)
                } else {
                    there
                };
            }
        }
    }
    let (weights, _) = S::as_simd_f32s(piece.weights);
    let (mut weights, _) = weights.as_chunks::<VECTORS>();
    for block in piece.blocks.0..piece.blocks.1 {
        let inner = piece.x.columns.of(block).len();
        let values = piece.x.block(block);
        let left = Rows {
            values: &values[token * inner..],
            stride: inner,
        };
        let (these, rest) = weights.split_at(inner);
        accumulate(simd, &mut sums, left, these, &mut ahead);
        weights = rest;
    }
    for (row, sums) in sums.iter_mut().enumerate() {
        if piece.end == Some(End::Gelu) {
            for sum in sums.iter_mut() {
                *sum = gelu(simd, *sum);
            }
        }
        store(simd, &mut out[row * width..][columns.clone()], *sums);
    }
}
