//! Weights as they are kept: in the fewest bits that hold them exactly, so that what is computed
//! with them is the same.

use pulp::bytemuck;

use super::aligned::Aligned;
use super::halves;
use super::kept::{Keep, Kept};

/// Weights in panels.
#[derive(Debug)]
pub(super) enum Panels {
    F32(Aligned<f32>),
    /// The bits of 16-bit values. Models are often published in these; half the memory is half of
    /// what has to be read for a few tokens.
    F16(Kept<u16>),
}

/// Some of them.
#[derive(Clone, Copy)]
pub(super) enum Stored<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
}

impl Panels {
    pub(super) fn keep(values: Aligned<f32>) -> Self {
        if !halves::quick() {
            return Self::F32(values);
        }
        let mut bits = Aligned::zeros(values.as_slice().len());
        let halves = bytemuck::cast_slice_mut(bits.as_mut_slice());
        if halves::exactly(values.as_slice(), halves) {
            Self::F16(bits.into())
        } else {
            Self::F32(values)
        }
    }

    /// To be moved; not those of 32 bits, whose former place the allocator would keep.
    pub(super) fn kept(&mut self) -> Option<&mut dyn Keep> {
        match self {
            Self::F32(_) => None,
            Self::F16(bits) => Some(bits),
        }
    }

    #[inline(always)]
    pub(super) fn all(&self) -> Stored<'_> {
        match self {
            Self::F32(values) => Stored::F32(values.as_slice()),
            Self::F16(bits) => Stored::F16(bits.as_slice()),
        }
    }
}

impl<'a> Stored<'a> {
    /// Those before a place, and those from it on.
    #[inline(always)]
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        match self {
            Self::F32(values) => {
                let (before, after) = values.split_at(at);
                (Self::F32(before), Self::F32(after))
            }
            Self::F16(bits) => {
                let (before, after) = bits.split_at(at);
                (Self::F16(before), Self::F16(after))
            }
        }
    }

    #[inline(always)]
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::F16(bits) => bytemuck::cast_slice(bits),
        }
    }
}

#[cfg(test)]
impl Panels {
    /// Returns the same values in 32 bits.
    pub(super) fn in_f32(&self) -> Self {
        let values: Vec<f32> = match self.all() {
            Stored::F32(values) => values.to_vec(),
            Stored::F16(bits) => {
                let value = |bits: &u16| half::f16::from_bits(*bits).to_f32();
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
    fn one_value_that_takes_more_keeps_all_in_32_bits() {
        let mut values = Aligned::zeros(50);
        values.as_mut_slice().fill(0.25);
        assert_eq!(
            matches!(Panels::keep(values), Panels::F16(_)),
            halves::quick()
        );
        let mut values = Aligned::zeros(50);
        values.as_mut_slice()[49] = 0.1;
        assert!(matches!(Panels::keep(values), Panels::F32(_)));
    }
}
