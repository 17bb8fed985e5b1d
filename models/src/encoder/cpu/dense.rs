//! A product with weights, in the type that the model computes in.

use super::blocks::{Columns, Matrix};
use super::int8;
use super::kept::Keep;
use super::linear::Linear;
use super::place::{End, Start};
use super::workers::Workers;
use crate::device::Precision;

/// Fewest tokens of a product that one thread of several computes.
const TOKENS_MIN: usize = 8;

/// Weight and bias of `y = x W^T + b`.
#[derive(Debug)]
pub(super) enum Dense {
    F32(Linear),
    Int8(int8::Linear),
}

impl Dense {
    /// `weight` is `[outputs, inputs]` row-major, `bias` is `[outputs]`.
    pub(super) fn pack(
        weight: &[f32],
        bias: &[f32],
        inputs: Columns,
        outputs: Columns,
        precision: Precision,
    ) -> Self {
        match precision {
            Precision::Int8 => Self::Int8(int8::Linear::pack(weight, bias, inputs, outputs)),
            _ => Self::F32(Linear::pack(weight, bias, outputs)),
        }
    }

    /// Returns the weights, to be moved.
    pub(super) fn kept(&mut self) -> Option<&mut dyn Keep> {
        match self {
            Self::F32(linear) => linear.kept(),
            Self::Int8(linear) => Some(linear.kept()),
        }
    }

    /// How the results are cut into blocks.
    pub(super) fn outputs(&self) -> Columns {
        match self {
            Self::F32(linear) => linear.outputs(),
            Self::Int8(linear) => linear.outputs(),
        }
    }

    /// All tokens times all of the weight; `out` is in blocks, `left` is memory to use.
    pub(super) fn product(
        &self,
        x: Matrix<'_>,
        left: &mut int8::Left,
        out: &mut [f32],
        start: Start,
        end: End,
        workers: Workers,
    ) {
        match self {
            Self::F32(linear) => self.share(x.tokens, out, workers, |block, first, out| {
                linear.block(block, x, first, out, start, end);
            }),
            Self::Int8(linear) => {
                left.fill(x, workers);
                self.share(x.tokens, out, workers, |block, first, out| {
                    linear.block(block, left, first, out, start, end);
                });
            }
        }
    }

    /// Calls `part` with a block, the first token, and the place for some tokens' results of that
    /// block; together they are all.
    fn share(
        &self,
        tokens: usize,
        out: &mut [f32],
        workers: Workers,
        part: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let outputs = self.outputs();
        // Blocks of columns first: each weight is then read by one thread only. Where they are few,
        // also by tokens.
        let parts = workers.count().div_ceil(outputs.blocks());
        let of_part = tokens.div_ceil(parts).next_multiple_of(TOKENS_MIN);
        workers.for_each_chunk(out, tokens * outputs.width, |block, out| {
            let width = outputs.of(block).len();
            workers.for_each_chunk(out, of_part * width, |number, out| {
                part(block, number * of_part, out);
            });
        });
    }
}
