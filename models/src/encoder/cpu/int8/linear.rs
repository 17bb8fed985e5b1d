//! Products with weights in bytes, which are packed once so that they are read in the order in
//! which they lie.

use std::cell::RefCell;

use pulp::Simd;

use super::dot::{Dot, Ints, Kernel, WithDot};
use super::groups::{Groups, STEP};
use super::left::{Group, Left};
use crate::encoder::cpu::aligned::Aligned;
use crate::encoder::cpu::blocks::Columns;
use crate::encoder::cpu::kept::{Keep, Kept};
use crate::encoder::cpu::place::{End, Place, Start};
use crate::encoder::cpu::simd::multiply_add;
use crate::encoder::cpu::tile::{Ahead, tiles, with_tokens};

/// Vectors of columns in a tile.
const VECTORS: usize = 3;

/// Tokens of the largest tile.
const fn tokens_max<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
}

/// Inputs whose weights, for one panel, are used for one tile after another while they are in the
/// first level cache.
const PIECE: usize = 384;

/// Vectors at a group's end: the columns' scales, and what a token's least value is multiplied
/// with.
const TAIL: usize = 2;

/// Weight and bias of `y = x W^T + b`.
#[derive(Debug)]
pub(in crate::encoder::cpu) struct Linear {
    kernel: Kernel,
    groups: Groups,
    outputs: Columns,
    /// For each block of outputs panels of [`VECTORS`] vectors of columns, the last of a block
    /// filled up with zeros: `[panels, groups, len / STEP + TAIL, VECTORS * lanes]`, [`STEP`] bytes
    /// to a lane.
    panels: Kept<i32>,
    /// The bias in the same panels.
    bias: Aligned<f32>,
}

impl Linear {
    /// `weight` is `[outputs, inputs]` row-major, `bias` is `[outputs]`; `inputs` are cut as the
    /// left side is.
    pub(in crate::encoder::cpu) fn pack(
        weight: &[f32],
        bias: &[f32],
        inputs: Columns,
        outputs: Columns,
    ) -> Self {
        Self::pack_for(Kernel::best(), weight, bias, inputs, outputs)
    }

    /// As [`pack`](Self::pack), for a kernel that may not be the fastest.
    pub(super) fn pack_for(
        kernel: Kernel,
        weight: &[f32],
        bias: &[f32],
        inputs: Columns,
        outputs: Columns,
    ) -> Self {
        let groups = Groups::of(inputs);
        let panel = VECTORS * kernel.lanes();
        let group = (groups.len() / STEP + TAIL) * panel;
        let columns: Vec<_> = (0..outputs.blocks())
            .flat_map(|block| {
                let of_block = outputs.of(block);
                let end = of_block.end;
                of_block
                    .step_by(panel)
                    .map(move |start| start..(start + panel).min(end))
            })
            .collect();
        let mut panels = Aligned::zeros(columns.len() * groups.count() * group);
        let mut biases = Aligned::zeros(columns.len() * panel);
        let packed = panels
            .as_mut_slice()
            .chunks_exact_mut(groups.count() * group);
        for ((columns, panels), biases) in columns
            .into_iter()
            .zip(packed)
            .zip(biases.as_mut_slice().chunks_exact_mut(panel))
        {
            biases[..columns.len()].copy_from_slice(&bias[columns.clone()]);
            for (at, column) in columns.enumerate() {
                let weight = &weight[column * inputs.count..][..inputs.count];
                for (number, packed) in panels.chunks_exact_mut(group).enumerate() {
                    pack_group(&weight[groups.columns(number)], packed, panel, at);
                }
            }
        }
        Self {
            kernel,
            groups,
            outputs,
            panels: panels.into(),
            bias: biases,
        }
    }

    /// Returns the weights, to be moved.
    pub(in crate::encoder::cpu) fn kept(&mut self) -> &mut dyn Keep {
        &mut self.panels
    }

    /// How the results are cut into blocks.
    pub(in crate::encoder::cpu) fn outputs(&self) -> Columns {
        self.outputs
    }

    /// One block of results for the tokens of `left` from `first`: `out` is `[tokens, width of the
    /// block]` and says how many.
    pub(in crate::encoder::cpu) fn block(
        &self,
        block: usize,
        left: &Left,
        first: usize,
        out: &mut [f32],
        start: Start,
        end: End,
    ) {
        thread_local!(static BESIDE: RefCell<Aligned<f32>> = RefCell::default());
        BESIDE.with_borrow_mut(|beside| {
            self.kernel.run(Product {
                linear: self,
                left,
                block,
                first,
                out,
                start,
                end,
                beside,
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
    let steps = packed.len() / panel - TAIL;
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
    linear: &'a Linear,
    left: &'a Left,
    block: usize,
    first: usize,
    out: &'a mut [f32],
    start: Start,
    end: End,
    /// Memory for a tile that is wider than what is left of the block.
    beside: &'a mut Aligned<f32>,
}

/// A piece of a panel, times all tokens.
#[derive(Clone, Copy)]
struct Piece<'a> {
    groups: Groups,
    left: &'a Left,
    /// Tokens of the left side.
    tokens: usize,
    /// Groups of the piece.
    from: usize,
    to: usize,
    weights: &'a [i32],
    bias: &'a [f32],
    start: Option<Start>,
}

impl WithDot for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_dot<D: Dot>(self, dot: D) {
        let Self {
            linear,
            left,
            block,
            first,
            out,
            start,
            end,
            beside,
        } = self;
        let groups = linear.groups;
        let width = linear.outputs.of(block).len();
        let tokens = out.len() / width;
        let panel = VECTORS * D::Simd::I32_LANES;
        let group = (groups.len() / STEP + TAIL) * panel;
        let panels = linear.outputs.width.div_ceil(panel);
        let weights = &linear.panels.as_slice()[block * panels * groups.count() * group..];
        let biases = &linear.bias.as_slice()[block * panels * panel..];
        let most = const { tokens_max::<D::Simd>() };
        let groups_of_piece = (PIECE / groups.len()).max(1);
        for (number, bias) in biases
            .chunks_exact(panel)
            .enumerate()
            .take(width.div_ceil(panel))
        {
            let weights = &weights[number * groups.count() * group..];
            let columns = number * panel..((number + 1) * panel).min(width);
            for from in (0..groups.count()).step_by(groups_of_piece) {
                let to = (from + groups_of_piece).min(groups.count());
                let (weights, next) = weights[from * group..].split_at((to - from) * group);
                let piece = Piece {
                    groups,
                    left,
                    tokens: left.tokens(groups),
                    from,
                    to,
                    weights,
                    bias,
                    start: (from == 0).then_some(start),
                };
                // Each tile asks for its share of the weights that come next.
                let tiles = tiles(tokens, most);
                let share = size_of_val(weights).div_ceil(tiles.len().max(1));
                for (number, tile) in tiles.enumerate() {
                    let steps = weights.len() / panel;
                    let ahead = Ahead::share(next, number, share, steps);
                    let token = first + tile.start;
                    let out = &mut out[tile.start * width..tile.end * width];
                    let mut place = Place::of(out, width, columns.clone(), panel, beside);
                    with_tokens!(most, tile.len(), R => {
                        tile_of::<D, R>(dot, piece, token, &mut place, ahead);
                    });
                    place.leave(dot.simd(), (to == groups.count()).then_some(end));
                }
            }
        }
    }
}

/// A panel's columns for the `R` tokens from `token`.
#[inline(always)]
fn tile_of<D: Dot, const R: usize>(
    dot: D,
    piece: Piece<'_>,
    token: usize,
    place: &mut Place<'_>,
    mut ahead: Ahead<'_>,
) {
    let simd = dot.simd();
    let mut sums: [[_; VECTORS]; R] = place.begin(simd, piece.bias, piece.start);
    let (weights, _) = D::Simd::as_simd_i32s(piece.weights);
    let (weights, _) = weights.as_chunks::<VECTORS>();
    let steps = piece.groups.len() / STEP;
    let weights = weights.chunks_exact(steps + TAIL);
    for (number, weights) in (piece.from..piece.to).zip(weights) {
        let left = piece.left.group(piece.groups, piece.tokens, number);
        let (weights, tail) = weights.split_at(steps);
        let inner = accumulate::<D, R>(dot, left, token, weights, &mut ahead);
        for row in 0..R {
            let left = left.token(token + row);
            let scale = simd.splat_f32s(left.scale);
            let least = simd.splat_f32s(left.least);
            for at in 0..VECTORS {
                let column = simd.transmute_f32s_i32s(tail[0][at]);
                let sum = simd.mul_f32s(dot.floats(inner[row][at]), column);
                let column = simd.transmute_f32s_i32s(tail[1][at]);
                let sum = multiply_add(simd, sum, scale, sums[row][at]);
                sums[row][at] = multiply_add(simd, least, column, sum);
            }
        }
    }
    place.put(simd, sums);
}

/// The sums of one group's products, in whole numbers.
#[inline(always)]
fn accumulate<D: Dot, const R: usize>(
    dot: D,
    left: Group<'_>,
    token: usize,
    right: &[[Ints<D>; VECTORS]],
    ahead: &mut Ahead<'_>,
) -> [[Ints<D>; VECTORS]; R] {
    let mut rows: [&[u32]; R] = [&[]; R];
    for (row, bytes) in rows.iter_mut().enumerate() {
        *bytes = &left.token(token + row).bytes[..right.len()];
    }
    let mut sums = [[dot.simd().splat_i32s(0); VECTORS]; R];
    for (at, vectors) in right.iter().enumerate() {
        ahead.step(at);
        let mut prepared = [dot.right(vectors[0]); VECTORS];
        for column in 1..VECTORS {
            prepared[column] = dot.right(vectors[column]);
        }
        for row in 0..R {
            let left = dot.left(rows[row][at]);
            for column in 0..VECTORS {
                sums[row][column] = dot.add(sums[row][column], left, prepared[column]);
            }
        }
    }
    sums
}
