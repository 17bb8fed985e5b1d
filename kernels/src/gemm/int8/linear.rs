//! Products with weights in bytes, which are packed once so that they are read in the order in
//! which they lie.

use std::cell::RefCell;

use pulp::Simd;

use super::dot::{Dot, Ints, WithDot};
use super::groups::{Groups, STEP};
use super::kernel::Kernel;
use super::quantize::{Group, QuantizedActivations};
use crate::aligned::Aligned;
use crate::blocked::ColumnBlocks;
use crate::gemm::epilogue::{Epilogue, Init, OutputTile};
use crate::gemm::microkernel::{Prefetch, panels_of, tiles, vectors_of, with_tokens};
use crate::huge_pages::{Relocatable, WeightBuffer};
use crate::simd::multiply_add;
use crate::weights::WeightRows;

/// Most vectors of columns in a tile.
const NR: usize = 3;

/// Returns the number of tokens of the largest tile.
const fn mr<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
}

/// Inputs whose weights, for one panel, are used for one tile after another while they are in the
/// first level cache.
const K_BLOCK: usize = 384;

/// Vectors at a group's end: the columns' scales, and the factors of a token's zero point.
const TRAILER_VECTORS: usize = 2;

/// Weight and bias of `y = x W^T + b`.
#[derive(Debug)]
pub(crate) struct Int8Linear {
    kernel: Kernel,
    groups: Groups,
    outputs: ColumnBlocks,
    /// For each block of outputs its panels, `[groups, len / STEP + TRAILER_VECTORS, columns]`
    /// each, [`STEP`] bytes to a lane; the last vector of a block is filled up with zeros.
    panels: WeightBuffer<i32>,
    /// The bias in the same panels.
    bias: Aligned<f32>,
}

impl Int8Linear {
    /// Packs `weight`, `[outputs, inputs]`, and `bias`, `[outputs]`, 0 if there is none;
    /// `inputs` are cut as the left side is.
    pub(crate) fn pack<W: WeightRows>(
        weight: &W,
        bias: Option<&[f32]>,
        inputs: ColumnBlocks,
        outputs: ColumnBlocks,
    ) -> Result<Self, W::Error> {
        Self::pack_for(Kernel::best(), weight, bias, inputs, outputs)
    }

    /// Packs as [`pack`](Self::pack) does, for a kernel that may not be the fastest.
    pub(super) fn pack_for<W: WeightRows>(
        kernel: Kernel,
        weight: &W,
        bias: Option<&[f32]>,
        inputs: ColumnBlocks,
        outputs: ColumnBlocks,
    ) -> Result<Self, W::Error> {
        let groups = Groups::new(inputs);
        let lanes = kernel.lanes();
        let rows = groups.count() * (groups.len() / STEP + TRAILER_VECTORS);
        let padded: usize = (0..outputs.blocks())
            .map(|block| lanes * vectors_of(outputs.columns(block).len(), lanes, NR))
            .sum();
        let mut packed_bias = Aligned::zeros(padded);
        let mut biases = packed_bias.as_mut_slice();
        let panels = WeightBuffer::build(padded * rows, |mut panels: &mut [i32]| {
            let mut scratch = Vec::new();
            for block in 0..outputs.blocks() {
                let of_block = outputs.columns(block);
                for panel in panels_of(of_block.len(), lanes, NR) {
                    let width = panel.len() * lanes;
                    let start = of_block.start + panel.start * lanes;
                    let columns = start..(start + width).min(of_block.end);
                    let (values, bias_of_panel);
                    (values, panels) = panels.split_at_mut(rows * width);
                    (bias_of_panel, biases) = biases.split_at_mut(width);
                    if let Some(bias) = bias {
                        bias_of_panel[..columns.len()].copy_from_slice(&bias[columns.clone()]);
                    }
                    let weights = weight.rows(columns.clone(), &mut scratch)?;
                    assert_eq!(weights.len(), columns.len() * inputs.count, "weight");
                    for (at, weight) in weights.chunks_exact(inputs.count).enumerate() {
                        let of_groups = values.chunks_exact_mut(rows / groups.count() * width);
                        for (number, packed) in of_groups.enumerate() {
                            pack_group(&weight[groups.columns(number)], packed, width, at);
                        }
                    }
                }
            }
            Ok(true)
        })?;
        Ok(Self {
            kernel,
            groups,
            outputs,
            panels: panels.unwrap_or_default(),
            bias: packed_bias,
        })
    }

    /// Returns the weights as a buffer to move.
    pub(crate) fn relocatable(&mut self) -> &mut dyn Relocatable {
        &mut self.panels
    }

    /// Returns how the result is cut into blocks.
    pub(crate) fn outputs(&self) -> ColumnBlocks {
        self.outputs
    }

    /// Computes one block of the result for the tokens of `lhs` from `first`: as many as `out`,
    /// `[tokens, width of the block]`, has.
    pub(crate) fn block(
        &self,
        block: usize,
        lhs: &QuantizedActivations,
        first: usize,
        out: &mut [f32],
        init: Init,
        epilogue: Epilogue<'_>,
    ) {
        thread_local!(static NARROW: RefCell<Aligned<f32>> = RefCell::default());
        NARROW.with_borrow_mut(|narrow| {
            self.kernel.run(Product {
                linear: self,
                lhs,
                block,
                first,
                out,
                init,
                epilogue,
                narrow,
            });
        });
    }
}

/// Packs one column's weights of one group.
fn pack_group(weight: &[f32], packed: &mut [i32], panel: usize, at: usize) {
    let largest = weight.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let scale = largest / 127.0;
    let mut sum = 0;
    let steps = packed.len() / panel - TRAILER_VECTORS;
    for (row, four) in packed.chunks_exact_mut(panel).zip(weight.chunks(STEP)) {
        let mut bytes = [0; STEP];
        for (byte, x) in bytes.iter_mut().zip(four) {
            *byte = (x * inverse).round() as i8;
            sum += i32::from(*byte);
        }
        row[at] = i32::from_ne_bytes(bytes.map(|byte| byte as u8));
    }
    packed[steps * panel + at] = scale.to_bits() as i32;
    packed[(steps + 1) * panel + at] = (sum as f32 * scale).to_bits() as i32;
}

struct Product<'a> {
    linear: &'a Int8Linear,
    lhs: &'a QuantizedActivations,
    block: usize,
    first: usize,
    out: &'a mut [f32],
    init: Init,
    epilogue: Epilogue<'a>,
    /// Scratch for a tile that is wider than what is left of the block.
    narrow: &'a mut Aligned<f32>,
}

/// Some groups of a panel, times all tokens.
#[derive(Clone, Copy)]
struct KBlock<'a> {
    groups: Groups,
    lhs: &'a QuantizedActivations,
    /// Tokens of the left side.
    tokens: usize,
    /// First group.
    from: usize,
    /// First group after the last.
    to: usize,
    weights: &'a [i32],
    bias: &'a [f32],
    init: Option<Init>,
}

impl WithDot for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_dot<D: Dot>(mut self, dot: D) {
        let width = self.linear.outputs.columns(self.block).len();
        for panel in panels_of(width, D::Simd::I32_LANES, NR) {
            match panel.len() {
                3 => self.panel::<D, 3>(dot, panel.start),
                _ => self.panel::<D, 2>(dot, panel.start),
            }
        }
    }
}

impl Product<'_> {
    /// Computes the panel of `V` vectors that begins with the block's vector number `start`.
    #[inline(always)]
    fn panel<D: Dot, const V: usize>(&mut self, dot: D, start: usize) {
        let linear = self.linear;
        let groups = linear.groups;
        let width = linear.outputs.columns(self.block).len();
        let tokens = self.out.len() / width;
        let lanes = D::Simd::I32_LANES;
        let panel = V * lanes;
        let group = (groups.len() / STEP + TRAILER_VECTORS) * panel;
        let of_block = vectors_of(linear.outputs.width, lanes, NR);
        let before = (of_block * self.block + start) * lanes;
        let weights = &linear.panels.as_slice()[before * groups.count() * (group / panel)..];
        let bias = &linear.bias.as_slice()[before..][..panel];
        let columns = start * lanes..(start * lanes + panel).min(width);
        let most = const { mr::<D::Simd>() };
        let groups_at_once = (K_BLOCK / groups.len()).max(1);
        for from in (0..groups.count()).step_by(groups_at_once) {
            let to = (from + groups_at_once).min(groups.count());
            let (weights, next) = weights[from * group..].split_at((to - from) * group);
            let k_block = KBlock {
                groups,
                lhs: self.lhs,
                tokens: self.lhs.tokens(groups),
                from,
                to,
                weights,
                bias,
                init: (from == 0).then_some(self.init),
            };
            // Each tile requests its share of the weights that come next.
            let tiles = tiles(tokens, most);
            let share = size_of_val(weights).div_ceil(tiles.len().max(1));
            for (number, tile) in tiles.enumerate() {
                let steps = weights.len() / panel;
                let prefetch = Prefetch::share(next, number, share, steps);
                let token = self.first + tile.start;
                let out = &mut self.out[tile.start * width..tile.end * width];
                let mut output = OutputTile::new(out, width, columns.clone(), panel, self.narrow);
                with_tokens!(most, tile.len(), R => {
                    compute_tile::<D, R, V>(dot, k_block, token, &mut output, prefetch);
                });
                let epilogue = self.epilogue.part(tile.start * width..tile.end * width);
                output.finish(dot.simd(), (to == groups.count()).then_some(epilogue));
            }
        }
    }
}

/// Adds the products of some groups of a panel to the sums of the `R` tokens from `token`.
#[inline(always)]
fn compute_tile<D: Dot, const R: usize, const V: usize>(
    dot: D,
    k_block: KBlock<'_>,
    token: usize,
    output: &mut OutputTile<'_>,
    mut prefetch: Prefetch<'_>,
) {
    let simd = dot.simd();
    let mut sums: [[_; V]; R] = output.load(simd, k_block.bias, k_block.init);
    let (weights, _) = D::Simd::as_simd_i32s(k_block.weights);
    let (weights, _) = weights.as_chunks::<V>();
    let steps = k_block.groups.len() / STEP;
    let weights = weights.chunks_exact(steps + TRAILER_VECTORS);
    for (number, weights) in (k_block.from..k_block.to).zip(weights) {
        let lhs = k_block.lhs.group(k_block.groups, k_block.tokens, number);
        let (weights, trailer) = weights.split_at(steps);
        let products = microkernel::<D, R, V>(dot, lhs, token, weights, &mut prefetch);
        for row in 0..R {
            let lhs = lhs.token(token + row);
            let scale = simd.splat_f32s(lhs.scale);
            let zero_point = simd.splat_f32s(lhs.zero_point);
            for at in 0..V {
                let column = simd.transmute_f32s_i32s(trailer[0][at]);
                let sum = simd.mul_f32s(dot.floats(products[row][at]), column);
                let column = simd.transmute_f32s_i32s(trailer[1][at]);
                let sum = multiply_add(simd, sum, scale, sums[row][at]);
                sums[row][at] = multiply_add(simd, zero_point, column, sum);
            }
        }
    }
    output.store(simd, sums);
}

/// Returns the sums of one group's products, as integers.
#[inline(always)]
fn microkernel<D: Dot, const R: usize, const V: usize>(
    dot: D,
    lhs: Group<'_>,
    token: usize,
    rhs: &[[Ints<D>; V]],
    prefetch: &mut Prefetch<'_>,
) -> [[Ints<D>; V]; R] {
    let mut rows: [&[u32]; R] = [&[]; R];
    for (row, bytes) in rows.iter_mut().enumerate() {
        *bytes = &lhs.token(token + row).bytes[..rhs.len()];
    }
    let mut sums = [[dot.simd().splat_i32s(0); V]; R];
    for (at, vectors) in rhs.iter().enumerate() {
        prefetch.step(at);
        let mut prepared = [dot.rhs(vectors[0]); V];
        for column in 1..V {
            prepared[column] = dot.rhs(vectors[column]);
        }
        for row in 0..R {
            let lhs = dot.lhs(rows[row][at]);
            for column in 0..V {
                sums[row][column] = dot.add(sums[row][column], lhs, prepared[column]);
            }
        }
    }
    sums
}
