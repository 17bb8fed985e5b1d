//! Packed weights, in the fewest bits that hold them exactly: the results are the same.

use std::ops::Range;

use pulp::bytemuck;

use super::{bf16, f16};
use crate::aligned::Aligned;
use crate::huge_pages::{Relocatable, WeightBuffer};
use crate::weights::WeightRows;

/// Weights in panels.
#[derive(Debug)]
pub(crate) enum PackedWeights {
    F32(Aligned<f32>),
    /// Bits of IEEE 16-bit values. Models are often published in these; half the memory is half of
    /// what has to be read for a few tokens.
    F16(WeightBuffer<u16>),
    /// Bits of bf16 values.
    Bf16(WeightBuffer<u16>),
}

/// Consecutive packed weights.
#[derive(Clone, Copy)]
pub(crate) enum PackedSlice<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    Bf16(&'a [u16]),
}

/// The columns of a panel, which are rows of the weight, and how many it has filled up.
pub(crate) struct PanelColumns {
    pub(crate) columns: Range<usize>,
    pub(crate) width: usize,
}

impl PackedWeights {
    /// Packs a weight, `[outputs, inputs]`, into panels.
    pub(crate) fn pack<W: WeightRows>(
        weight: &W,
        inputs: usize,
        panels: &[PanelColumns],
    ) -> Result<Self, W::Error> {
        let bits = pack_halves(weight, inputs, panels, bf16::narrow_exact)?;
        if let Some(bits) = bits {
            return Ok(Self::Bf16(bits));
        }
        if f16::converts_in_one_instruction() {
            let narrow = |values: &[f32], bits: &mut [u16]| {
                f16::narrow_exact(values, bytemuck::cast_slice_mut(bits))
            };
            if let Some(bits) = pack_halves(weight, inputs, panels, narrow)? {
                return Ok(Self::F16(bits));
            }
        }
        let len = panels.iter().map(|panel| panel.width * inputs).sum();
        let mut packed = Aligned::zeros(len);
        let (mut rest, mut scratch) = (packed.as_mut_slice(), Vec::new());
        for panel in panels {
            let values;
            (values, rest) = rest.split_at_mut(panel.width * inputs);
            let rows = weight.rows(panel.columns.clone(), &mut scratch)?;
            assert_eq!(rows.len(), panel.columns.len() * inputs, "weight");
            transpose(rows, inputs, values, panel.width);
        }
        Ok(Self::F32(packed))
    }

    /// Returns the buffer to move; not one of 32 bits, whose former memory the allocator would
    /// keep.
    pub(crate) fn relocatable(&mut self) -> Option<&mut dyn Relocatable> {
        match self {
            Self::F32(_) => None,
            Self::F16(bits) | Self::Bf16(bits) => Some(bits),
        }
    }

    #[inline(always)]
    pub(crate) fn as_slice(&self) -> PackedSlice<'_> {
        match self {
            Self::F32(values) => PackedSlice::F32(values.as_slice()),
            Self::F16(bits) => PackedSlice::F16(bits.as_slice()),
            Self::Bf16(bits) => PackedSlice::Bf16(bits.as_slice()),
        }
    }
}

impl<'a> PackedSlice<'a> {
    /// Returns the first `at` weights, and the others.
    #[inline(always)]
    pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
        match self {
            Self::F32(values) => {
                let (before, after) = values.split_at(at);
                (Self::F32(before), Self::F32(after))
            }
            Self::F16(bits) => {
                let (before, after) = bits.split_at(at);
                (Self::F16(before), Self::F16(after))
            }
            Self::Bf16(bits) => {
                let (before, after) = bits.split_at(at);
                (Self::Bf16(before), Self::Bf16(after))
            }
        }
    }

    #[inline(always)]
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::F16(bits) | Self::Bf16(bits) => bytemuck::cast_slice(bits),
        }
    }
}

/// Packs a weight in 16 bits, if `narrow` says of all rows that these hold them exactly.
fn pack_halves<W: WeightRows>(
    weight: &W,
    inputs: usize,
    panels: &[PanelColumns],
    narrow: impl Fn(&[f32], &mut [u16]) -> bool,
) -> Result<Option<WeightBuffer<u16>>, W::Error> {
    let len = panels.iter().map(|panel| panel.width * inputs).sum();
    WeightBuffer::build(len, |mut rest| {
        let (mut scratch, mut narrowed) = (Vec::new(), Vec::new());
        for panel in panels {
            let bits;
            (bits, rest) = rest.split_at_mut(panel.width * inputs);
            let rows = weight.rows(panel.columns.clone(), &mut scratch)?;
            assert_eq!(rows.len(), panel.columns.len() * inputs, "weight");
            narrowed.resize(rows.len(), 0);
            if !narrow(rows, &mut narrowed) {
                return Ok(false);
            }
            transpose(&narrowed, inputs, bits, panel.width);
        }
        Ok(true)
    })
}

/// Writes rows of `inputs` values as the columns of a panel.
fn transpose<T: Copy>(rows: &[T], inputs: usize, panel: &mut [T], width: usize) {
    for (at, column) in rows.chunks_exact(inputs).enumerate() {
        for (row, value) in panel.chunks_exact_mut(width).zip(column) {
            row[at] = *value;
        }
    }
}

#[cfg(test)]
impl PackedWeights {
    /// Returns the same values in 32 bits.
    pub(crate) fn in_f32(&self) -> Self {
        let values: Vec<f32> = match self.as_slice() {
            PackedSlice::F32(values) => values.to_vec(),
            PackedSlice::F16(bits) => {
                let value = |bits: &u16| half::f16::from_bits(*bits).to_f32();
                bits.iter().map(value).collect()
            }
            PackedSlice::Bf16(bits) => {
                let value = |bits: &u16| f32::from_bits(u32::from(*bits) << 16);
                bits.iter().map(value).collect()
            }
        };
        Self::F32(Aligned::from(&*values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::InMemory;

    #[test]
    fn weights_take_16_bits_if_these_hold_all_of_them() {
        let with_last = |last: f32| {
            let mut values = [0.25; 50];
            values[49] = last;
            let weight = InMemory {
                values: &values,
                size: 10,
            };
            let panels = [(0..4, 4), (4..5, 4)];
            let panels = panels.map(|(columns, width)| PanelColumns { columns, width });
            let Ok(packed) = PackedWeights::pack(&weight, 10, &panels);
            packed
        };
        assert!(matches!(with_last(0.5), PackedWeights::Bf16(_)));
        // More bits of mantissa than bf16 has.
        assert_eq!(
            matches!(with_last(1.001_953_1), PackedWeights::F16(_)),
            f16::converts_in_one_instruction()
        );
        assert!(matches!(with_last(0.1), PackedWeights::F32(_)));
    }
}
