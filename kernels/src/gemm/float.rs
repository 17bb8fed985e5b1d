//! Products with weights in floats, which are packed once so that they are read in the order in
//! which they lie.

use std::cell::RefCell;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::bf16::Bf16;
use super::epilogue::{Epilogue, Init, OutputTile};
use super::f16::F16;
use super::half_rhs::{Half, HalfRhs};
use super::microkernel::{
    Lhs, Prefetch, Rhs, TileShape, TileSize, microkernel, panels_of, tiles, vectors_of, with_tokens,
};
use super::packed::{PackedSlice, PackedWeights, PanelColumns};
use crate::aligned::Aligned;
use crate::blocked::{ColumnBlocks, Matrix};
use crate::huge_pages::Relocatable;
use crate::simd::dispatch;
use crate::weights::WeightRows;

/// Rows of a panel that are used for one tile after another while they are in the first level
/// cache.
const K_BLOCK: usize = 192;

/// Weight and bias of `y = x W^T + b`.
#[derive(Debug)]
pub(crate) struct FloatLinear {
    inputs: usize,
    outputs: ColumnBlocks,
    /// For each block of outputs its panels, `[inputs, columns]` each; the last vector of a block
    /// is filled up with zeros.
    weights: PackedWeights,
    /// The bias in the same panels.
    bias: Aligned<f32>,
}

impl FloatLinear {
    /// Packs `weight`, `[outputs, inputs]`, and `bias`, `[outputs]`, 0 if there is none.
    pub(crate) fn pack<W: WeightRows>(
        weight: &W,
        bias: Option<&[f32]>,
        inputs: usize,
        outputs: ColumnBlocks,
    ) -> Result<Self, W::Error> {
        let TileShape { lanes, vectors } = TileShape::of_floats();
        let mut panels = Vec::new();
        for block in 0..outputs.blocks() {
            let of_block = outputs.columns(block);
            panels.extend(panels_of(of_block.len(), lanes, vectors).map(|panel| {
                let width = panel.len() * lanes;
                let start = of_block.start + panel.start * lanes;
                let columns = start..(start + width).min(of_block.end);
                PanelColumns { columns, width }
            }));
        }
        let mut packed_bias = Aligned::zeros(panels.iter().map(|panel| panel.width).sum());
        let mut rest = packed_bias.as_mut_slice();
        for PanelColumns { columns, width } in &panels {
            let of_panel;
            (of_panel, rest) = rest.split_at_mut(*width);
            if let Some(bias) = bias {
                of_panel[..columns.len()].copy_from_slice(&bias[columns.clone()]);
            }
        }
        Ok(Self {
            inputs,
            outputs,
            weights: PackedWeights::pack(weight, inputs, &panels)?,
            bias: packed_bias,
        })
    }

    /// Returns the weights as a buffer to move.
    pub(crate) fn relocatable(&mut self) -> Option<&mut dyn Relocatable> {
        self.weights.relocatable()
    }

    /// Returns how the result is cut into blocks.
    pub(crate) fn outputs(&self) -> ColumnBlocks {
        self.outputs
    }

    /// Computes one block of the result for the tokens of `x` from `first`: as many as `out`,
    /// `[tokens, width of the block]`, has.
    pub(crate) fn block(
        &self,
        block: usize,
        x: Matrix<'_>,
        first: usize,
        out: &mut [f32],
        init: Init,
        epilogue: Epilogue<'_>,
    ) {
        debug_assert_eq!(x.columns.count, self.inputs);
        thread_local!(static SCRATCH: RefCell<[Aligned<f32>; 2]> = RefCell::default());
        let width = self.outputs.columns(block).len();
        SCRATCH.with_borrow_mut(|[widened, narrow]| {
            dispatch(Product {
                linear: self,
                block,
                x,
                first,
                tokens: out.len() / width,
                width,
                out,
                init,
                epilogue,
                widened,
                narrow,
            })
        });
    }
}

struct Product<'a> {
    linear: &'a FloatLinear,
    block: usize,
    x: Matrix<'a>,
    first: usize,
    tokens: usize,
    width: usize,
    out: &'a mut [f32],
    init: Init,
    epilogue: Epilogue<'a>,
    /// Scratch for the rows of a panel, converted to f32.
    widened: &'a mut Aligned<f32>,
    /// Scratch for a tile that is wider than what is left of the block.
    narrow: &'a mut Aligned<f32>,
}

/// Some rows of a panel, times all tokens.
#[derive(Clone, Copy)]
struct KBlock<'a> {
    x: Matrix<'a>,
    /// First block of the left side, and the first after the last.
    blocks: (usize, usize),
    bias: &'a [f32],
    init: Option<Init>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for panel in panels_of(self.width, S::F32_LANES, S::NR) {
            match panel.len() {
                3 if const { S::NR >= 3 } => self.panel::<S, 3>(simd, panel.start),
                1 if const { S::NR < 3 } => self.panel::<S, 1>(simd, panel.start),
                _ => self.panel::<S, 2>(simd, panel.start),
            }
        }
    }
}

impl Product<'_> {
    /// Computes the panel of `V` vectors that begins with the block's vector number `start`.
    #[inline(always)]
    fn panel<S: Simd, const V: usize>(&mut self, simd: S, start: usize) {
        let linear = self.linear;
        let of_block = vectors_of(linear.outputs.width, S::F32_LANES, S::NR);
        let before = (of_block * self.block + start) * S::F32_LANES;
        let (_, weights) = linear.weights.as_slice().split_at(before * linear.inputs);
        let first_column = start * S::F32_LANES;
        simd.vectorize(Panel::<V> {
            x: self.x,
            first: self.first,
            tokens: self.tokens,
            width: self.width,
            columns: first_column..(first_column + V * S::F32_LANES).min(self.width),
            weights,
            bias: &linear.bias.as_slice()[before..][..V * S::F32_LANES],
            out: &mut *self.out,
            init: self.init,
            epilogue: self.epilogue,
            widened: &mut *self.widened,
            narrow: &mut *self.narrow,
        });
    }
}

/// One panel of `V` vectors, times all tokens.
///
/// A function of its own for each number of vectors: in one, registers would be short for all.
struct Panel<'a, const V: usize> {
    x: Matrix<'a>,
    first: usize,
    tokens: usize,
    /// Columns of the block.
    width: usize,
    /// Those of the panel within the block.
    columns: Range<usize>,
    /// From the panel on.
    weights: PackedSlice<'a>,
    bias: &'a [f32],
    out: &'a mut [f32],
    init: Init,
    epilogue: Epilogue<'a>,
    widened: &'a mut Aligned<f32>,
    narrow: &'a mut Aligned<f32>,
}

impl<const V: usize> WithSimd for Panel<'_, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            x,
            first,
            tokens,
            width,
            columns,
            weights,
            bias,
            out,
            init,
            epilogue,
            widened,
            narrow,
        } = self;
        let panel = V * S::F32_LANES;
        let blocks = x.columns.blocks();
        let blocks_at_once = (K_BLOCK / x.columns.width).max(1);
        for from in (0..blocks).step_by(blocks_at_once) {
            let to = (from + blocks_at_once).min(blocks);
            let rows = x.columns.columns(from).start..x.columns.columns(to - 1).end;
            let (_, weights) = weights.split_at(rows.start * panel);
            let (weights, next) = weights.split_at(rows.len() * panel);
            let k_block = KBlock {
                x,
                blocks: (from, to),
                bias,
                init: (from == 0).then_some(init),
            };
            // Each tile requests its share of the weights that come next.
            let tiles = tiles(tokens, S::MR);
            let share = weights.bytes().len().div_ceil(tiles.len().max(1));
            if !matches!(weights, PackedSlice::F32(_)) {
                widened.resize(rows.len() * panel);
            }
            for (at, tile) in tiles.enumerate() {
                let prefetch = Prefetch::share(next.bytes(), at, share, rows.len());
                let token = first + tile.start;
                let out = &mut out[tile.start * width..tile.end * width];
                let mut output = OutputTile::new(out, width, columns.clone(), panel, narrow);
                match weights {
                    // Weights are f16 for vectors of 16 lanes only.
                    PackedSlice::F16(bits) if const { S::F32_LANES == 16 } && at == 0 => {
                        with_tokens!(S::MR, tile.len(), R => {
                            let rhs = widening::<S, V, F16>(bits, widened);
                            compute_tile::<S, V, R>(
                                simd, k_block, rhs, token, &mut output, prefetch,
                            );
                        });
                    }
                    PackedSlice::Bf16(bits) if at == 0 => {
                        with_tokens!(S::MR, tile.len(), R => {
                            let rhs = widening::<S, V, Bf16>(bits, widened);
                            compute_tile::<S, V, R>(
                                simd, k_block, rhs, token, &mut output, prefetch,
                            );
                        });
                    }
                    _ => {
                        let values = match weights {
                            PackedSlice::F32(values) => values,
                            PackedSlice::F16(_) | PackedSlice::Bf16(_) => widened.as_slice(),
                        };
                        let (values, _) = S::as_simd_f32s(values);
                        let (rhs, _) = values.as_chunks::<V>();
                        with_tokens!(S::MR, tile.len(), R => {
                            compute_tile::<S, V, R>(
                                simd, k_block, rhs, token, &mut output, prefetch,
                            );
                        });
                    }
                }
                let elements = tile.start * width..tile.end * width;
                output.finish(simd, (to == blocks).then(|| epilogue.part(elements)));
            }
        }
    }
}

/// Returns weights of 16 bits as the right side of the first tile, which caches them in `widened`.
#[inline(always)]
fn widening<'a, S: Simd, const V: usize, H: Half>(
    bits: &'a [u16],
    widened: &'a mut Aligned<f32>,
) -> HalfRhs<'a, S, V, H> {
    let (scratch, _) = S::as_mut_simd_f32s(widened.as_mut_slice());
    let (scratch, _) = scratch.as_chunks_mut::<V>();
    HalfRhs::new(bits, scratch)
}

/// Adds the products of some rows of a panel to the sums of the `R` tokens from `token`.
#[inline(always)]
fn compute_tile<S: Simd, const V: usize, const R: usize>(
    simd: S,
    k_block: KBlock<'_>,
    rhs: impl Rhs<S, V>,
    token: usize,
    output: &mut OutputTile<'_>,
    mut prefetch: Prefetch<'_>,
) {
    let lhs = (k_block.blocks.0..k_block.blocks.1).map(|block| {
        let width = k_block.x.columns.columns(block).len();
        Lhs {
            values: &k_block.x.block(block)[token * width..],
            stride: width,
            len: width,
        }
    });
    let sums: [[_; V]; R] = output.load(simd, k_block.bias, k_block.init);
    output.store(simd, microkernel(simd, sums, lhs, rhs, &mut prefetch));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::{Activation, activation_in_f64};
    use crate::weights::InMemory;

    /// Added to numbers that bf16 holds: with it only f16, or only f32, holds them.
    const BF16: f32 = 0.0;
    const F16: f32 = 1.0 / 1024.0;
    const F32: f32 = 1e-6;

    /// Numbers without a pattern.
    fn numbers(count: usize, salt: usize, more: f32) -> Vec<f32> {
        let number = |at: usize| ((at * 37 + salt * 101) % 97) as f32 / 64.0 - 0.75;
        (0..count).map(|at| number(at) + more).collect()
    }

    /// One block of results.
    struct Case<'a> {
        tokens: usize,
        inputs: ColumnBlocks,
        outputs: ColumnBlocks,
        init: Init,
        epilogue: Epilogue<'a>,
    }

    impl Case<'_> {
        fn run(&self, linear: &FloatLinear, x: &[f32], mut out: Vec<f32>) -> Vec<f32> {
            let x = Matrix::new(x, self.inputs);
            linear.block(0, x, 0, &mut out, self.init, self.epilogue);
            out
        }

        /// In f64, straight from the definition.
        fn expected(&self, x: &[f32], weight: &[f32], bias: &[f32], stored: &[f32]) -> Vec<f64> {
            let (inputs, width) = (self.inputs.count, self.outputs.columns(0).len());
            let x = Matrix::new(x, self.inputs);
            let value = |token: usize, input: usize| {
                let block = input / self.inputs.width;
                let columns = self.inputs.columns(block);
                f64::from(x.block(block)[token * columns.len() + input - columns.start])
            };
            let value_of = |at: usize| {
                let (token, column) = (at / width, at % width);
                let weights = &weight[column * inputs..][..inputs];
                let products = weights.iter().enumerate();
                let mut sum: f64 = products
                    .map(|(at, w)| value(token, at) * f64::from(*w))
                    .sum();
                sum += f64::from(bias[column]);
                if self.init == Init::Residual {
                    sum += f64::from(stored[at]);
                }
                match self.epilogue {
                    Epilogue::Store => sum,
                    Epilogue::Activate(activation) => activation_in_f64(activation, sum),
                    Epilogue::Gate(activation, factors) => {
                        activation_in_f64(activation, sum) * f64::from(factors[at])
                    }
                }
            };
            (0..self.tokens * width).map(value_of).collect()
        }
    }

    #[test]
    fn products_of_all_shapes_with_weights_of_16_and_of_32_bits() {
        let columns = |count, width| ColumnBlocks { count, width };
        for (inputs, outputs) in [
            (columns(96, 96), columns(96, 96)),
            (columns(200, 64), columns(96, 40)),
            (columns(7, 7), columns(1, 1)),
            (columns(400, 192), columns(50, 50)),
            (columns(48, 48), columns(128, 128)),
            (columns(30, 30), columns(78, 78)),
        ] {
            for tokens in (1..20).chain([61]) {
                let factors = numbers(tokens * outputs.columns(0).len(), 5, F32);
                for (init, epilogue) in [
                    (Init::Bias, Epilogue::Activate(Activation::Gelu)),
                    (Init::Residual, Epilogue::Store),
                    (Init::Bias, Epilogue::Activate(Activation::Relu)),
                    (Init::Bias, Epilogue::Gate(Activation::Silu, &factors)),
                    (Init::Residual, Epilogue::Gate(Activation::Gelu, &factors)),
                ] {
                    let case = Case {
                        tokens,
                        inputs,
                        outputs,
                        init,
                        epilogue,
                    };
                    let x: Vec<f32> = numbers(tokens * inputs.count, 1, F32);
                    let x: Vec<f32> = x.iter().map(|x| x / inputs.count as f32).collect();
                    let stored = numbers(tokens * outputs.columns(0).len(), 2, F32);
                    for format in [BF16, F16, F32] {
                        let weight = numbers(inputs.count * outputs.count, 3, format);
                        let bias = numbers(outputs.count, 4, F32);
                        let (values, size) = (weight.as_slice(), inputs.count);
                        let rows = InMemory { values, size };
                        let Ok(mut linear) = FloatLinear::pack(&rows, Some(&bias), size, outputs);
                        let found = case.run(&linear, &x, stored.clone());
                        let expected = case.expected(&x, &weight, &bias, &stored);
                        for (found, expected) in found.iter().zip(expected) {
                            let near = (f64::from(*found) - expected).abs() < 1e-5;
                            assert!(near, "{tokens} {inputs:?} {outputs:?} {found} {expected}");
                        }
                        linear.weights = linear.weights.in_f32();
                        assert_eq!(case.run(&linear, &x, stored.clone()), found);
                    }
                }
            }
        }
    }
}
