//! Products with weights, which are packed once so that they are read in the order in which they
//! lie.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};

use super::aligned::Aligned;
use super::blocks::{Columns, Matrix};
use super::halves::Widening;
use super::kept::Keep;
use super::panels::{Panels, Stored};
use super::place::{End, Place, Start};
use super::simd::dispatch;
use super::tile::{Ahead, Right, Rows, accumulate, tiles, tokens_max, vectors, with_tokens};

/// Rows of a panel that are used for one tile after another while they are in the first level
/// cache.
const PIECE: usize = 192;

/// Weight and bias of `y = x W^T + b`.
#[derive(Debug)]
pub(super) struct Linear {
    inputs: usize,
    outputs: Columns,
    /// For each block of outputs panels of a tile's columns: `[panels, inputs, columns]`, the last
    /// panel of a block filled up with zeros.
    panels: Panels,
    /// The bias in the same panels.
    bias: Aligned<f32>,
}

impl Linear {
    /// `weight` is `[outputs, inputs]` row-major, `bias` is `[outputs]`.
    pub(super) fn pack(weight: &[f32], bias: &[f32], outputs: Columns) -> Self {
        let inputs = weight.len() / outputs.count;
        let panel = panel_width();
        let panels_in_all: usize = (0..outputs.blocks())
            .map(|block| outputs.of(block).len().div_ceil(panel))
            .sum();
        let mut packed = Aligned::zeros(panels_in_all * inputs * panel);
        let mut packed_bias = Aligned::zeros(panels_in_all * panel);
        let columns = (0..outputs.blocks()).flat_map(|block| {
            outputs
                .of(block)
                .step_by(panel)
                .map(move |start| start..(start + panel).min(outputs.of(block).end))
        });
        let panels = packed.as_mut_slice().chunks_exact_mut(inputs * panel);
        let biases = packed_bias.as_mut_slice().chunks_exact_mut(panel);
        for ((columns, values), biases) in columns.zip(panels).zip(biases) {
            biases[..columns.len()].copy_from_slice(&bias[columns.clone()]);
            for (at, column) in columns.enumerate() {
                let column = &weight[column * inputs..][..inputs];
                for (row, value) in values.chunks_exact_mut(panel).zip(column) {
                    row[at] = *value;
                }
            }
        }
        Self {
            inputs,
            outputs,
            panels: Panels::keep(packed),
            bias: packed_bias,
        }
    }

    /// Returns the weights, to be moved.
    pub(super) fn kept(&mut self) -> Option<&mut dyn Keep> {
        self.panels.kept()
    }

    /// How the results are cut into blocks.
    pub(super) fn outputs(&self) -> Columns {
        self.outputs
    }

    /// One block of results for the tokens of `x` from `first`: `out` is `[tokens, width of the
    /// block]` and says how many.
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
        thread_local!(static ROOM: RefCell<[Aligned<f32>; 2]> = RefCell::default());
        let width = self.outputs.of(block).len();
        ROOM.with_borrow_mut(|[room, beside]| {
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
                room,
                beside,
            })
        });
    }
}

/// Columns of a panel.
pub(super) fn panel_width() -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            vectors::<S>() * S::F32_LANES
        }
    }
    dispatch(Width)
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
    /// Memory for a piece of a panel.
    room: &'a mut Aligned<f32>,
    /// Memory for a tile that is wider than what is left of the block.
    beside: &'a mut Aligned<f32>,
}

/// A piece of a panel, times all tokens.
#[derive(Clone, Copy)]
struct Piece<'a> {
    x: Matrix<'a>,
    /// Blocks of the left side.
    blocks: (usize, usize),
    bias: &'a [f32],
    start: Option<Start>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if const { vectors::<S>() == 3 } {
            self.run::<S, 3>(simd);
        } else {
            self.run::<S, 2>(simd);
        }
    }
}

impl Product<'_> {
    /// With tiles of `V` vectors.
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
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
            room,
            beside,
        } = self;
        let panel = V * S::F32_LANES;
        let panels = linear.outputs.width.div_ceil(panel);
        let (_, weights) = linear
            .panels
            .all()
            .split_at(block * panels * linear.inputs * panel);
        let biases = &linear.bias.as_slice()[block * panels * panel..];
        let blocks = x.columns.blocks();
        let most = const { tokens_max::<S>() };
        let blocks_of_piece = (PIECE / x.columns.width).max(1);
        for (number, bias) in biases
            .chunks_exact(panel)
            .enumerate()
            .take(width.div_ceil(panel))
        {
            let (_, weights) = weights.split_at(number * linear.inputs * panel);
            let columns = number * panel..((number + 1) * panel).min(width);
            for from in (0..blocks).step_by(blocks_of_piece) {
                let to = (from + blocks_of_piece).min(blocks);
                let rows = x.columns.of(from).start..x.columns.of(to - 1).end;
                let (_, weights) = weights.split_at(rows.start * panel);
                let (weights, next) = weights.split_at(rows.len() * panel);
                let piece = Piece {
                    x,
                    blocks: (from, to),
                    bias,
                    start: (from == 0).then_some(start),
                };
                // Each tile asks for its share of the weights that come next.
                let tiles = tiles(tokens, most);
                let share = weights.bytes().len().div_ceil(tiles.len().max(1));
                if matches!(weights, Stored::F16(_)) {
                    room.resize(rows.len() * panel);
                }
                for (at, tile) in tiles.enumerate() {
                    let ahead = Ahead::share(next.bytes(), at, share, rows.len());
                    let token = first + tile.start;
                    let out = &mut out[tile.start * width..tile.end * width];
                    let mut place = Place::of(out, width, columns.clone(), panel, beside);
                    match weights {
                        Stored::F16(bits) if at == 0 => {
                            let (room, _) = S::as_mut_simd_f32s(room.as_mut_slice());
                            let (room, _) = room.as_chunks_mut::<V>();
                            let right = Widening { bits, room };
                            with_tokens!(most, tile.len(), R => {
                                tile_of::<S, V, R>(simd, piece, right, token, &mut place, ahead);
                            });
                        }
                        Stored::F16(_) | Stored::F32(_) => {
                            let values = match weights {
                                Stored::F32(values) => values,
                                Stored::F16(_) => room.as_slice(),
                            };
                            let (values, _) = S::as_simd_f32s(values);
                            let (right, _) = values.as_chunks::<V>();
                            with_tokens!(most, tile.len(), R => {
                                tile_of::<S, V, R>(simd, piece, right, token, &mut place, ahead);
                            });
                        }
                    }
                    place.leave(simd, (to == blocks).then_some(end));
                }
            }
        }
    }
}

/// A panel's columns for the `R` tokens from `token`.
#[inline(always)]
fn tile_of<S: Simd, const V: usize, const R: usize>(
    simd: S,
    piece: Piece<'_>,
    right: impl Right<S, V>,
    token: usize,
    place: &mut Place<'_>,
    mut ahead: Ahead<'_>,
) {
    let left = (piece.blocks.0..piece.blocks.1).map(|block| {
        let inner = piece.x.columns.of(block).len();
        Rows {
            values: &piece.x.block(block)[token * inner..],
            stride: inner,
            len: inner,
        }
    });
    let sums: [[_; V]; R] = place.begin(simd, piece.bias, piece.start);
    place.put(simd, accumulate(simd, sums, left, right, &mut ahead));
}

#[cfg(test)]
mod tests {
    use super::super::activation::gelu_in_f64;
    use super::*;

    /// Numbers without a pattern; those that 16 bits hold, or not.
    fn numbers(count: usize, salt: usize, halves: bool) -> Vec<f32> {
        let number = |at: usize| ((at * 37 + salt * 101) % 97) as f32 / 64.0 - 0.75;
        let more = if halves { 0.0 } else { 1e-6 };
        (0..count).map(|at| number(at) + more).collect()
    }

    /// One block of results.
    struct Case {
        tokens: usize,
        inputs: Columns,
        outputs: Columns,
        start: Start,
        end: End,
    }

    impl Case {
        fn run(&self, linear: &Linear, x: &[f32], mut out: Vec<f32>) -> Vec<f32> {
            let x = Matrix::new(x, self.inputs);
            linear.block(0, x, 0, &mut out, self.start, self.end);
            out
        }

        /// In f64, straight from the definition.
        fn expected(&self, x: &[f32], weight: &[f32], bias: &[f32], there: &[f32]) -> Vec<f64> {
            let (inputs, width) = (self.inputs.count, self.outputs.of(0).len());
            let x = Matrix::new(x, self.inputs);
            let value = |token: usize, input: usize| {
                let block = input / self.inputs.width;
                let columns = self.inputs.of(block);
                f64::from(x.block(block)[token * columns.len() + input - columns.start])
            };
            let place = |at: usize| {
                let (token, column) = (at / width, at % width);
                let weights = &weight[column * inputs..][..inputs];
                let products = weights.iter().enumerate();
                let mut sum: f64 = products
                    .map(|(at, w)| value(token, at) * f64::from(*w))
                    .sum();
                sum += f64::from(bias[column]);
                if self.start == Start::Residual {
                    sum += f64::from(there[at]);
                }
                match self.end {
                    End::Store => sum,
                    End::Gelu => gelu_in_f64(sum),
                }
            };
            (0..self.tokens * width).map(place).collect()
        }
    }

    #[test]
    fn products_of_all_shapes_with_weights_of_16_and_of_32_bits() {
        let columns = |count, width| Columns { count, width };
        for (inputs, outputs) in [
            (columns(96, 96), columns(96, 96)),
            (columns(200, 64), columns(96, 40)),
            (columns(7, 7), columns(1, 1)),
            (columns(400, 192), columns(50, 50)),
        ] {
            for tokens in (1..20).chain([61]) {
                for (start, end) in [(Start::Bias, End::Gelu), (Start::Residual, End::Store)] {
                    let case = Case {
                        tokens,
                        inputs,
                        outputs,
                        start,
                        end,
                    };
                    let x: Vec<f32> = numbers(tokens * inputs.count, 1, false);
                    let x: Vec<f32> = x.iter().map(|x| x / inputs.count as f32).collect();
                    let there = numbers(tokens * outputs.of(0).len(), 2, false);
                    for halves in [true, false] {
                        let weight = numbers(inputs.count * outputs.count, 3, halves);
                        let bias = numbers(outputs.count, 4, false);
                        let mut linear = Linear::pack(&weight, &bias, outputs);
                        let found = case.run(&linear, &x, there.clone());
                        let expected = case.expected(&x, &weight, &bias, &there);
                        for (found, expected) in found.iter().zip(expected) {
                            let near = (f64::from(*found) - expected).abs() < 1e-5;
                            assert!(near, "{tokens} {inputs:?} {outputs:?} {found} {expected}");
                        }
                        linear.panels = linear.panels.in_f32();
                        assert_eq!(case.run(&linear, &x, there.clone()), found);
                    }
                }
            }
        }
    }
}
