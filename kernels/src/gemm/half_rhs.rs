//! Weights of 16 bits as the right side of a product.

use std::marker::PhantomData;

use pulp::Simd;

use super::microkernel::Rhs;

/// A format of 16 bits that becomes f32 when it is used.
pub(crate) trait Half {
    /// Returns the values of as many bit patterns as a vector has lanes.
    fn widen<S: Simd>(simd: S, bits: &[u16]) -> S::f32s;
}

/// Rows of `V` vectors. Converts them to f32 and caches the result in `scratch` for the next tiles.
pub(crate) struct HalfRhs<'a, S: Simd, const V: usize, H: Half> {
    format: PhantomData<H>,
    bits: &'a [u16],
    scratch: &'a mut [[S::f32s; V]],
}

impl<'a, S: Simd, const V: usize, H: Half> HalfRhs<'a, S, V, H> {
    #[inline(always)]
    pub(crate) fn new(bits: &'a [u16], scratch: &'a mut [[S::f32s; V]]) -> Self {
        Self {
            format: PhantomData,
            bits,
            scratch,
        }
    }
}

impl<S: Simd, const V: usize, H: Half> Rhs<S, V> for HalfRhs<'_, S, V, H> {
    #[inline(always)]
    fn split_at(self, rows: usize) -> (Self, Self) {
        let (bits, bits_after) = self.bits.split_at(rows * V * S::F32_LANES);
        let (scratch, scratch_after) = self.scratch.split_at_mut(rows);
        let after = Self::new(bits_after, scratch_after);
        (Self::new(bits, scratch), after)
    }

    #[inline(always)]
    fn row(&mut self, simd: S, at: usize) -> [S::f32s; V] {
        let bits = &self.bits[at * V * S::F32_LANES..][..V * S::F32_LANES];
        let row = &mut self.scratch[at];
        for column in 0..V {
            row[column] = H::widen(simd, &bits[column * S::F32_LANES..][..S::F32_LANES]);
        }
        *row
    }
}
