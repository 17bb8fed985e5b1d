//! A convolution of the vectors that enter the first layer, added to those that leave it.

use candle_core::{Result, Tensor};

use super::feed_forward::activate;
use super::linear::Linear;
use super::norm::Norm;
use super::pack::{Pack, Row};
use super::placement::Placement;
use crate::architecture::{self, ConvolutionActivation};
use crate::encoder::tables;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Convolution {
    /// Number of neighbours that a result is made of.
    kernel: usize,
    /// Of the vectors of all neighbours, one after another.
    linear: Linear,
    activation: ConvolutionActivation,
    norm: Norm,
}

impl Convolution {
    pub(super) fn load(
        placement: &Placement<'_>,
        convolution: &architecture::Convolution,
    ) -> std::result::Result<Self, LoadError> {
        let checkpoint = placement.checkpoint;
        let neighbours = tables::convolution(checkpoint, convolution)?;
        let (kernel, hidden) = (neighbours.len(), convolution.bias.len());
        let rows = (0..hidden).flat_map(|row| {
            let of_neighbour = move |of: &Vec<f32>| of[row * hidden..][..hidden].to_vec();
            neighbours.iter().flat_map(of_neighbour)
        });
        let bias = checkpoint.values(&convolution.bias)?;
        Ok(Self {
            kernel,
            linear: Linear::new(placement, kernel * hidden, rows.collect(), Some(bias))?,
            activation: convolution.activation,
            norm: Norm::load(placement, &convolution.norm)?,
        })
    }

    /// Returns the number of neighbours that a result is made of.
    pub(super) fn kernel(&self) -> usize {
        self.kernel
    }

    /// Adds the convolution of what entered a layer, `x`, to what left it; both are `[T, H]`.
    pub(super) fn add(&self, x: &Tensor, left: &Tensor, pack: &Pack) -> Result<Tensor> {
        let Some(neighbours) = &pack.neighbours else {
            return Ok(left.clone());
        };
        let (tokens, hidden) = x.dims2()?;
        let beyond = Tensor::zeros((1, hidden), x.dtype(), x.device())?;
        let neighbours = Tensor::cat(&[x, &beyond], 0)?
            .index_select(neighbours, 0)?
            .reshape((tokens, self.kernel * hidden))?;
        let convolved = self.linear.forward(&neighbours)?;
        let convolved = match self.activation {
            ConvolutionActivation::Tanh => convolved.tanh(),
            ConvolutionActivation::Other(activation) => activate(activation, &convolved),
        };
        self.norm.forward(&(left + convolved?)?)
    }
}

/// Returns the neighbours of the tokens of all rows: `kernel` of each, itself in the middle. A
/// place beyond the ends of a row is the number of tokens in all.
pub(super) fn neighbours(rows: &[Row], kernel: usize) -> impl Iterator<Item = u32> {
    let beyond = rows.last().map_or(0, |row| row.start + row.tokens) as u32;
    let of_row = move |row: &Row| {
        let Row { start, tokens, .. } = *row;
        let of_token = move |at: usize| {
            let neighbours = (at..at + kernel).map(move |at| at.checked_sub(kernel / 2));
            neighbours.map(move |at| match at {
                Some(at) if at < tokens => (start + at) as u32,
                _ => beyond,
            })
        };
        (0..tokens).flat_map(of_token)
    };
    rows.iter().flat_map(of_row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_of_the_same_row() {
        let row = |start, tokens| Row {
            start,
            tokens,
            unpooled: 0,
            attended: tokens,
        };
        let found: Vec<u32> = neighbours(&[row(0, 3), row(3, 1)], 3).collect();
        assert_eq!(found, [4, 0, 1, 0, 1, 2, 1, 2, 4, 4, 3, 4]);
    }
}
