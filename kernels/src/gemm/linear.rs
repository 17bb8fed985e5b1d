//! A layer's product with weights, in the arithmetic that the model computes in.

use super::epilogue::{Epilogue, Init};
use super::float::FloatLinear;
use super::int8::{Int8Linear, QuantizedActivations};
use crate::blocked::{ColumnBlocks, Matrix};
use crate::huge_pages::Relocatable;
use crate::parallel::Parallelism;
use crate::weights::WeightRows;

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
pub struct Linear {
    inputs: ColumnBlocks,
    packed: Packed,
}

#[derive(Debug)]
enum Packed {
    F32(FloatLinear),
    Int8(Int8Linear),
}

impl Linear {
    /// Packs `weight`, `[outputs, inputs]`, and `bias`, `[outputs]`, 0 if there is none. The left
    /// side of the product will be cut as `inputs`, the result as `outputs`.
    ///
    /// # Errors
    /// As reading the weight.
    ///
    /// # Panics
    /// If weight or bias is not of this size.
    pub fn pack<W: WeightRows>(
        weight: &W,
        bias: Option<&[f32]>,
        inputs: ColumnBlocks,
        outputs: ColumnBlocks,
        arithmetic: Arithmetic,
    ) -> Result<Self, W::Error> {
        assert!(bias.is_none_or(|bias| bias.len() == outputs.count), "bias");
        let packed = match arithmetic {
            Arithmetic::F32 => Packed::F32(FloatLinear::pack(weight, bias, inputs.count, outputs)?),
            Arithmetic::Int8 => Packed::Int8(Int8Linear::pack(weight, bias, inputs, outputs)?),
        };
        Ok(Self { inputs, packed })
    }

    /// Returns the weights as a buffer to move, if they are of a kind that is worth it.
    pub fn relocatable(&mut self) -> Option<&mut dyn Relocatable> {
        match &mut self.packed {
            Packed::F32(linear) => linear.relocatable(),
            Packed::Int8(linear) => Some(linear.relocatable()),
        }
    }

    /// Returns how the result is cut into blocks.
    pub fn outputs(&self) -> ColumnBlocks {
        match &self.packed {
            Packed::F32(linear) => linear.outputs(),
            Packed::Int8(linear) => linear.outputs(),
        }
    }

    /// Multiplies all tokens of `x` with the weights. `out` is `[T, outputs]` in blocks;
    /// `quantized_lhs` is scratch memory.
    ///
    /// # Panics
    /// If `x` is not cut as the weights were packed for, or `out` is not of the size of the result.
    pub fn product(
        &self,
        x: Matrix<'_>,
        quantized_lhs: &mut QuantizedActivations,
        out: &mut [f32],
        init: Init,
        epilogue: Epilogue<'_>,
        parallelism: Parallelism,
    ) {
        let outputs = self.outputs();
        assert_eq!(x.columns, self.inputs, "the left side of a product");
        assert_eq!(out.len(), x.tokens * outputs.count, "a product");
        let part = |block: usize, first: usize, len: usize| {
            let start =
                outputs.elements(block, x.tokens).start + first * outputs.columns(block).len();
            epilogue.part(start..start + len)
        };
        match &self.packed {
            Packed::F32(linear) => {
                outputs.for_each_part(out, TOKENS_MIN, parallelism, |block, first, out| {
                    let epilogue = part(block, first, out.len());
                    linear.block(block, x, first, out, init, epilogue);
                });
            }
            Packed::Int8(linear) => {
                quantized_lhs.quantize(x, parallelism);
                outputs.for_each_part(out, TOKENS_MIN, parallelism, |block, first, out| {
                    let epilogue = part(block, first, out.len());
                    linear.block(block, quantized_lhs, first, out, init, epilogue);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::{Activation, activation_in_f64};
    use crate::weights::InMemory;

    const fn columns(count: usize, width: usize) -> ColumnBlocks {
        ColumnBlocks { count, width }
    }

    fn numbers(count: usize, salt: usize) -> Vec<f32> {
        (0..count)
            .map(|at| ((at * 37 + salt * 101) % 97) as f32 / 97.0 - 0.5)
            .collect()
    }

    /// Rearranges `[tokens, columns]` in blocks.
    fn into_blocks<T: Copy>(x: &[T], columns: ColumnBlocks) -> Vec<T> {
        let blocks = (0..columns.blocks()).map(|block| columns.columns(block));
        let rows = |block: std::ops::Range<usize>| {
            x.chunks_exact(columns.count)
                .flat_map(move |row| row[block.clone()].iter().copied())
        };
        blocks.flat_map(rows).collect()
    }

    #[test]
    fn gated_products_are_close_and_have_the_same_bits_on_any_number_of_threads() {
        for (tokens, inputs, outputs) in [
            (1, columns(96, 96), columns(192, 96)),
            (50, columns(130, 70), columns(200, 64)),
            (9, columns(64, 64), columns(30, 30)),
        ] {
            let (x, weight) = (
                numbers(tokens * inputs.count, 1),
                numbers(inputs.count * outputs.count, 2),
            );
            let (bias, factors) = (
                numbers(outputs.count, 3),
                numbers(tokens * outputs.count, 4),
            );
            let exact = |at: usize| {
                let (token, column) = (at / outputs.count, at % outputs.count);
                let row = &x[token * inputs.count..][..inputs.count];
                let column_of_weight = &weight[column * inputs.count..][..inputs.count];
                let products = row.iter().zip(column_of_weight);
                let sum: f64 = products.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                let sum = sum + f64::from(bias[column]);
                activation_in_f64(Activation::GeluTanh, sum) * f64::from(factors[at])
            };
            let exact: Vec<f64> = (0..tokens * outputs.count).map(exact).collect();
            let exact = into_blocks(&exact, outputs);
            let (x, factors) = (into_blocks(&x, inputs), into_blocks(&factors, outputs));
            for (arithmetic, limit) in [(Arithmetic::F32, 1e-5), (Arithmetic::Int8, 5e-2)] {
                let rows = InMemory {
                    values: &weight,
                    size: inputs.count,
                };
                let Ok(linear) = Linear::pack(&rows, Some(&bias), inputs, outputs, arithmetic);
                let run = |parallelism: Parallelism| {
                    let mut out = vec![f32::NAN; tokens * outputs.count];
                    linear.product(
                        Matrix::new(&x, inputs),
                        &mut QuantizedActivations::default(),
                        &mut out,
                        Init::Bias,
                        Epilogue::Gate(Activation::GeluTanh, &factors),
                        parallelism,
                    );
                    out
                };
                let alone = run(Parallelism::WithinThread);
                for (found, exact) in alone.iter().zip(&exact) {
                    let far = (f64::from(*found) - exact).abs();
                    assert!(far < limit, "{arithmetic:?}: {found} {exact}");
                }
                for threads in [1, 2, 3, 16] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    let found = pool.unwrap().install(|| run(Parallelism::AcrossThreads));
                    assert_eq!(found, alone, "{arithmetic:?} on {threads} threads");
                }
            }
        }
    }

    #[test]
    fn no_bias_is_a_bias_of_zeros() {
        let (inputs, outputs) = (columns(30, 30), columns(40, 20));
        let (x, weight) = (numbers(3 * 30, 1), numbers(30 * 40, 2));
        for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
            let run = |bias: Option<&[f32]>| {
                let rows = InMemory {
                    values: &weight,
                    size: 30,
                };
                let Ok(linear) = Linear::pack(&rows, bias, inputs, outputs, arithmetic);
                let mut out = vec![f32::NAN; 3 * 40];
                linear.product(
                    Matrix::new(&x, inputs),
                    &mut QuantizedActivations::default(),
                    &mut out,
                    Init::Bias,
                    Epilogue::Store,
                    Parallelism::WithinThread,
                );
                out
            };
            assert_eq!(run(None), run(Some(&[0.0; 40])));
        }
    }
}
