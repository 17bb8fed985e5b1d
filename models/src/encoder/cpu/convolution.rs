//! A convolution of the vectors that enter the first layer, added to those that leave it.

use motet_kernels::elementwise;
use motet_kernels::gemm::int8::QuantizedActivations;
use motet_kernels::{
    Aligned, Arithmetic, ColumnBlocks, Epilogue, InMemory, Init, Linear, Matrix, Norm, Parallelism,
    Scratch,
};

use super::norm;
use crate::architecture::{self, ConvolutionActivation};
use crate::checkpoint::Checkpoint;
use crate::encoder::tables;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Convolution {
    /// The product with each neighbour, in the order of the row; the first has the bias.
    neighbours: Vec<Linear>,
    activation: ConvolutionActivation,
    norm: Norm,
}

impl Convolution {
    /// `columns` are those of the model's vectors.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        convolution: &architecture::Convolution,
        columns: ColumnBlocks,
    ) -> Result<Self, LoadError> {
        let bias = checkpoint.values(&convolution.bias)?;
        let weights = tables::convolution(checkpoint, convolution)?;
        let pack = |(number, values): (usize, &Vec<f32>)| {
            let weight = InMemory {
                values,
                size: columns.count,
            };
            let bias = (number == 0).then_some(&bias[..]);
            // In floats whatever the layers are in: everything follows from it.
            let Ok(linear) = Linear::pack(&weight, bias, columns, columns, Arithmetic::F32);
            linear
        };
        Ok(Self {
            neighbours: weights.iter().enumerate().map(pack).collect(),
            activation: convolution.activation,
            norm: norm::load(checkpoint, &convolution.norm)?,
        })
    }

    /// Computes `layer` in place, in the scratch memory's `x`, and adds the convolution of what
    /// entered it. `rows` are the numbers of tokens of the rows.
    pub(super) fn around(
        &self,
        scratch: &mut Scratch,
        rows: &[usize],
        parallelism: Parallelism,
        layer: impl FnOnce(&mut Scratch),
    ) {
        let x = Matrix::new(scratch.x.as_slice(), scratch.columns);
        let convolved = self.of(x, rows, &mut scratch.quantized_lhs, parallelism);
        layer(scratch);
        let (columns, x) = (scratch.columns, scratch.x.as_mut_slice());
        elementwise::add(x, convolved.as_slice(), parallelism);
        self.norm
            .run(x, columns, &mut scratch.statistics, parallelism);
    }

    fn of(
        &self,
        x: Matrix<'_>,
        rows: &[usize],
        quantized_lhs: &mut QuantizedActivations,
        parallelism: Parallelism,
    ) -> Aligned<f32> {
        let (mut sums, mut moved) = (Aligned::zeros(x.values.len()), Aligned::default());
        let (last, middle) = (self.neighbours.len() - 1, self.neighbours.len() / 2);
        for (number, linear) in self.neighbours.iter().enumerate() {
            let neighbours = match number.cmp(&middle) {
                std::cmp::Ordering::Equal => x,
                _ => {
                    moved.resize(x.values.len());
                    move_rows(x, rows, number, middle, moved.as_mut_slice());
                    Matrix::new(moved.as_slice(), x.columns)
                }
            };
            let init = match number {
                0 => Init::Bias,
                _ => Init::Residual,
            };
            let epilogue = match self.activation {
                ConvolutionActivation::Other(activation) if number == last => {
                    Epilogue::Activate(activation)
                }
                _ => Epilogue::Store,
            };
            let sums = sums.as_mut_slice();
            linear.product(neighbours, quantized_lhs, sums, init, epilogue, parallelism);
        }
        if self.activation == ConvolutionActivation::Tanh {
            sums.as_mut_slice().iter_mut().for_each(|x| *x = x.tanh());
        }
        sums
    }
}

/// Writes to `out`, for each token, the vector of the token that is `number - middle` places after
/// it in its row, or zeros where the row has none there.
fn move_rows(x: Matrix<'_>, rows: &[usize], number: usize, middle: usize, out: &mut [f32]) {
    out.fill(0.0);
    for block in 0..x.columns.blocks() {
        let width = x.columns.columns(block).len();
        let (from, to) = (
            x.block(block),
            &mut out[x.columns.elements(block, x.tokens)],
        );
        let mut first = 0;
        for tokens in rows {
            let (after, before) = (number.saturating_sub(middle), middle.saturating_sub(number));
            // The row's tokens without those that have no neighbour there.
            if let Some(count) = tokens.checked_sub(after + before) {
                let (source, target) = ((first + after) * width, (first + before) * width);
                let count = count * width;
                to[target..target + count].copy_from_slice(&from[source..source + count]);
            }
            first += tokens;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_of_the_same_row() {
        // Blocks of one column; rows of three, one and two tokens.
        let columns = ColumnBlocks { count: 2, width: 1 };
        let values = [1., 2., 3., 4., 5., 6., -1., -2., -3., -4., -5., -6.];
        for (number, expected) in [
            (0, [0., 0., 1., 0., 0., 0., 0., 0., -1., 0., 0., 0.]),
            (1, [0., 1., 2., 0., 0., 5., 0., -1., -2., 0., 0., -5.]),
            (2, values),
            (3, [2., 3., 0., 0., 6., 0., -2., -3., 0., 0., -6., 0.]),
            (4, [3., 0., 0., 0., 0., 0., -3., 0., 0., 0., 0., 0.]),
        ] {
            let mut out = [7.0; 12];
            move_rows(
                Matrix::new(&values, columns),
                &[3, 1, 2],
                number,
                2,
                &mut out,
            );
            assert_eq!(out, expected, "{number}");
        }
    }
}
