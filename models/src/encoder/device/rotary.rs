//! Rotary position embeddings.

use candle_core::{DType, Device, Result, Tensor};
use motet_kernels::Pairs;

use crate::architecture;
use crate::encoder::growing::Growing;

/// A rotary embedding of a model.
#[derive(Debug)]
pub(super) struct Rotary {
    description: architecture::Rotary,
    device: Device,
    dtype: DType,
    /// Cosines and sines of each position's angles, `[P, pairs]`.
    table: Growing<[Tensor; 2]>,
}

/// The rotations of the tokens of a batch.
pub(super) struct Rotations {
    pairs: Pairs,
    /// Number of pairs of a head.
    count: usize,
    /// Cosines and sines, `[T, 1, pairs]`.
    table: [Tensor; 2],
}

impl Rotary {
    /// For rows of at most `most` tokens.
    pub(super) fn new(
        description: &architecture::Rotary,
        most: usize,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let make = |positions| table(description, positions, device, dtype);
        Ok(Self {
            table: Growing::new(most, make)?,
            description: description.clone(),
            device: device.clone(),
            dtype,
        })
    }

    /// Returns the rotations of tokens whose positions in their rows are `positions`, u32 `[T]`;
    /// the longest row has `longest` tokens.
    pub(super) fn of(&self, positions: &Tensor, longest: usize) -> Result<Rotations> {
        let description = &self.description;
        let make = |positions| table(description, positions, &self.device, self.dtype);
        let table = self.table.of(longest, make)?;
        let of_tokens = |table: &Tensor| table.index_select(positions, 0)?.unsqueeze(1);
        Ok(Rotations {
            pairs: description.pairs,
            count: description.frequencies.len(),
            table: [of_tokens(&table[0])?, of_tokens(&table[1])?],
        })
    }
}

fn table(
    description: &architecture::Rotary,
    positions: usize,
    device: &Device,
    dtype: DType,
) -> Result<[Tensor; 2]> {
    let architecture::Rotary {
        pairs,
        frequencies,
        scale,
    } = description;
    let rotary = motet_kernels::Rotary::new(frequencies, positions, *scale, *pairs);
    let place = |values: &[f32]| {
        Tensor::from_slice(values, (positions, frequencies.len()), &Device::Cpu)?
            .to_dtype(dtype)?
            .to_device(device)
    };
    Ok([place(rotary.cosines())?, place(rotary.sines())?])
}

impl Rotations {
    /// Rotates vectors of heads, `[T, heads, head size]`.
    pub(super) fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, heads, size) = x.dims3()?;
        let count = self.count;
        let (a, b) = match self.pairs {
            Pairs::Halves => (x.narrow(2, 0, count)?, x.narrow(2, count, count)?),
            Pairs::Neighbours => {
                let pairs = x.narrow(2, 0, 2 * count)?.contiguous()?;
                let pairs = pairs.reshape((tokens, heads, count, 2))?;
                let of_pair = |at| pairs.narrow(3, at, 1)?.squeeze(3);
                (of_pair(0)?, of_pair(1)?)
            }
        };
        let [cosines, sines] = &self.table;
        let by = |x: &Tensor, factors: &Tensor| x.broadcast_mul(factors);
        let rotated_a = (by(&a, cosines)? - by(&b, sines)?)?;
        let rotated_b = (by(&b, cosines)? + by(&a, sines)?)?;
        let rotated = match self.pairs {
            Pairs::Halves => Tensor::cat(&[rotated_a, rotated_b], 2)?,
            Pairs::Neighbours => Tensor::stack(&[rotated_a, rotated_b], 3)?.flatten_from(2)?,
        };
        if 2 * count == size {
            return Ok(rotated);
        }
        Tensor::cat(&[rotated, x.narrow(2, 2 * count, size - 2 * count)?], 2)
    }
}
