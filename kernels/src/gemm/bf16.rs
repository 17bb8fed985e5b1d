//! Weights of 16 bits, bf16: the upper half of an f32.

use pulp::{Simd, bytemuck};

use super::half_rhs::Half;

/// Writes the bits of `values` as bf16 if 16 bits hold each of them exactly, and returns whether
/// they do: not where one takes more, or is not finite.
pub(crate) fn narrow_exact(values: &[f32], bits: &mut [u16]) -> bool {
    let exact = |value: &f32| value.is_finite() && value.to_bits() & 0xffff == 0;
    if !values.iter().all(exact) {
        return false;
    }
    for (bits, value) in bits.iter_mut().zip(values) {
        *bits = (value.to_bits() >> 16) as u16;
    }
    true
}

/// The format of 16 bits, bf16.
pub(crate) struct Bf16;

impl Half for Bf16 {
    #[inline(always)]
    fn widen<S: Simd>(simd: S, bits: &[u16]) -> S::f32s {
        // AVX-512, which is known when this is compiled.
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = (&simd as &dyn std::any::Any).downcast_ref::<pulp::x86::V4>()
            && let Some(bits) = bits.first_chunk::<16>()
        {
            let wide = level.avx512f._mm512_cvtepu16_epi32(pulp::cast(*bits));
            return pulp::cast_lossy(level.avx512f._mm512_slli_epi32::<16>(wide));
        }
        // Two instructions with AVX2, too.
        let mut vector = simd.splat_f32s(0.0);
        let lanes = bytemuck::cast_slice_mut(std::slice::from_mut(&mut vector));
        for (lane, bits) in lanes.iter_mut().zip(bits) {
            *lane = f32::from_bits(u32::from(*bits) << 16);
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Scalar128b, WithSimd};

    use super::*;
    use crate::simd::dispatch;

    #[test]
    fn values_that_16_bits_hold_are_told_from_others() {
        for held in [0.0, -0.0, 1.0, -1.5, 3e38, 2.0_f32.powi(-130), 1.0078125] {
            let mut bits = [0];
            let exact = f32::from_bits(held.to_bits() & 0xffff_0000);
            assert!(narrow_exact(&[exact], &mut bits), "{held}");
            assert_eq!(u32::from(bits[0]) << 16, exact.to_bits(), "{held}");
        }
        for more in [0.1, 1.0 + f32::EPSILON, f32::MAX, f32::INFINITY, f32::NAN] {
            let mut values = vec![0.5; 100];
            for at in [0, 50, 99] {
                values[at] = more;
                assert!(!narrow_exact(&values, &mut [0; 100]), "{more}");
                values[at] = 0.5;
            }
        }
    }

    #[test]
    fn every_value_becomes_itself() {
        struct All<'a>(&'a [u16]);
        impl WithSimd for All<'_> {
            type Output = Vec<u32>;
            fn with_simd<S: Simd>(self, simd: S) -> Vec<u32> {
                let vectors = self.0.chunks_exact(S::F32_LANES);
                let vectors: Vec<_> = vectors.map(|bits| Bf16::widen(simd, bits)).collect();
                bytemuck::cast_slice(&vectors).to_vec()
            }
        }
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        let expected: Vec<u32> = bits.iter().map(|bits| u32::from(*bits) << 16).collect();
        assert_eq!(dispatch(All(&bits)), expected);
        assert_eq!(All(&bits).with_simd(Scalar128b), expected);
    }
}
