//! A layer's product with weights, in the arithmetic that the model computes in.

use super::epilogue::{Epilogue, Init};
use super::float::FloatLinear;
use super::int8::{Int8Linear, QuantizedActivations};
use crate::blocked::{ColumnBlocks, Matrix};
use crate::huge_pages::Relocatable;
use crate::parallel::Parallelism;

/// Fewest tokens of a product that one thread of several computes.
const TOKENS_MIN: usize = 8;

/// Arithmetic of the products with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// 32-bit floats. Weights that 16 bits hold exactly are kept in these where that is faster.
    F32,
    /// 8-bit integers, quantized by groups of inputs.
    Int8,
}

/// Weight and bias of `y = x W^T + b`, packed.
#[derive(Debug)]
pub struct Linear(Packed);

#[derive(Debug)]
enum Packed {
    F32(FloatLinear),
    Int8(Int8Linear),
}

impl Linear {
    /// Packs `weight`, `[outputs, inputs]` row-major, and `bias`, `[outputs]`. The left side of the
    /// product will be cut as `inputs`, the result as `outputs`.
    pub fn pack(
        weight: &[f32],
        bias: &[f32],
        inputs: ColumnBlocks,
        outputs: ColumnBlocks,
        arithmetic: Arithmetic,
    ) -> Self {
        Self(match arithmetic {
            Arithmetic::F32 => Packed::F32(FloatLinear::pack(weight, bias, outputs)),
            Arithmetic::Int8 => Packed::Int8(Int8Linear::pack(weight, bias, inputs, outputs)),
        })
    }

    /// Returns the weights as a buffer to move, if they are of a kind that is worth it.
    pub fn relocatable(&mut self) -> Option<&mut dyn Relocatable> {
        match &mut self.0 {
            Packed::F32(linear) => linear.relocatable(),
            Packed::Int8(linear) => Some(linear.relocatable()),
        }
    }

    /// Returns how the result is cut into blocks.
    pub fn outputs(&self) -> ColumnBlocks {
        match &self.0 {
            Packed::F32(linear) => linear.outputs(),
            Packed::Int8(linear) => linear.outputs(),
        }
    }

    /// Multiplies all tokens of `x` with the weights. `out` is `[T, outputs]` in blocks;
    /// `quantized_lhs` is scratch memory.
    pub fn product(
        &self,
        x: Matrix<'_>,
        quantized_lhs: &mut QuantizedActivations,
        out: &mut [f32],
        init: Init,
        epilogue: Epilogue,
        parallelism: Parallelism,
    ) {
        match &self.0 {
            Packed::F32(linear) => {
                self.parallelize(x.tokens, out, parallelism, |block, first, out| {
                    linear.block(block, x, first, out, init, epilogue);
                });
            }
            Packed::Int8(linear) => {
                quantized_lhs.quantize(x, parallelism);
                self.parallelize(x.tokens, out, parallelism, |block, first, out| {
                    linear.block(block, quantized_lhs, first, out, init, epilogue);
                });
            }
        }
    }

    /// Calls `part` with a block, a first token, and the elements of `out` of some tokens from it
    /// in that block, until all elements had their turn.
    fn parallelize(
        &self,
        tokens: usize,
        out: &mut [f32],
        parallelism: Parallelism,
        part: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let outputs = self.outputs();
        // Blocks of columns first: each weight is then read by one thread only. Where they are few,
        // also by tokens.
        let parts = parallelism.count().div_ceil(outputs.blocks());
        let of_part = tokens.div_ceil(parts).next_multiple_of(TOKENS_MIN);
        parallelism.for_each_chunk(out, tokens * outputs.width, |block, out| {
            let width = outputs.columns(block).len();
            parallelism.for_each_chunk(out, of_part * width, |number, out| {
                part(block, number * of_part, out);
            });
        });
    }
}
