//! Packed weights, in the fewest bits that hold them exactly: the results are the same.

use pulp::bytemuck;

use super::{bf16, f16};
use crate::aligned::Aligned;
use crate::huge_pages::{Relocatable, WeightBuffer};

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

impl PackedWeights {
    pub(crate) fn pack(values: Aligned<f32>) -> Self {
        let mut bits = Aligned::zeros(values.as_slice().len());
        if bf16::narrow_exact(values.as_slice(), bits.as_mut_slice()) {
            return Self::Bf16(bits.into());
        }
        let halves = bytemuck::cast_slice_mut(bits.as_mut_slice());
        if f16::converts_in_one_instruction() && f16::narrow_exact(values.as_slice(), halves) {
            return Self::F16(bits.into());
        }
        Self::F32(values)
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

    #[test]
    fn weights_take_16_bits_if_these_hold_all_of_them() {
        let with_last = |last: f32| {
            let mut values = Aligned::zeros(50);
            values.as_mut_slice().fill(0.25);
            values.as_mut_slice()[49] = last;
            PackedWeights::pack(values)
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
