//! Weights of 16 bits, IEEE, which become f32 when they are used.

use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::{Simd, WithSimd, bytemuck};

use super::half_rhs::Half;
use crate::simd::dispatch;

/// Writes `values` as `halves` if 16 bits hold each of them exactly, and returns whether they do:
/// not where one takes more, or is not finite.
pub(crate) fn narrow_exact(values: &[f32], halves: &mut [f16]) -> bool {
    const CHUNK: usize = 1024;
    let mut widened = [0.0; CHUNK];
    let chunks = values.chunks(CHUNK).zip(halves.chunks_mut(CHUNK));
    chunks.into_iter().all(|(values, halves)| {
        let widened = &mut widened[..values.len()];
        halves.convert_from_f32_slice(values);
        halves.convert_to_f32_slice(widened);
        let mut both = values.iter().zip(widened);
        both.all(|(value, widened)| value.is_finite() && value.to_bits() == widened.to_bits())
    })
}

/// Returns whether this processor converts a vector of them to f32 in one instruction; where that
/// takes several, more time is lost than there is to win (measured with AVX2).
pub fn converts_in_one_instruction() -> bool {
    struct Converts;
    impl WithSimd for Converts {
        type Output = bool;
        fn with_simd<S: Simd>(self, _: S) -> bool {
            cfg!(target_arch = "x86_64") && S::F32_LANES == 16
        }
    }
    dispatch(Converts)
}

/// The format of 16 bits, IEEE.
pub(crate) struct F16;

impl Half for F16 {
    #[inline(always)]
    fn widen<S: Simd>(simd: S, bits: &[u16]) -> S::f32s {
        // AVX-512, which is known when this is compiled.
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = (&simd as &dyn std::any::Any).downcast_ref::<pulp::x86::V4>()
            && let Some(bits) = bits.first_chunk::<16>()
        {
            return pulp::cast_lossy(level.avx512f._mm512_cvtph_ps(pulp::cast(*bits)));
        }
        let mut vector = simd.splat_f32s(0.0);
        let lanes = bytemuck::cast_slice_mut(std::slice::from_mut(&mut vector));
        for (lane, bits) in lanes.iter_mut().zip(bits) {
            *lane = f16::from_bits(*bits).to_f32();
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use pulp::Scalar128b;

    use super::*;

    #[test]
    fn values_that_16_bits_hold_are_told_from_others() {
        for held in [0.0, -0.0, 1.0, -1.5, 65504.0, 2.0_f32.powi(-24)] {
            let mut half = [f16::NAN];
            assert!(narrow_exact(&[held], &mut half), "{held}");
            assert_eq!(half[0].to_f32().to_bits(), held.to_bits(), "{held}");
        }
        let more = [
            0.1,
            65520.0,
            1.0 + f32::EPSILON,
            2.0_f32.powi(-25),
            f32::INFINITY,
            f32::NAN,
        ];
        for more in more {
            let mut values = vec![0.5; 3000];
            assert!(narrow_exact(&values, &mut [f16::NAN; 3000]));
            for at in [0, 1023, 1024, 2999] {
                values[at] = more;
                assert!(!narrow_exact(&values, &mut [f16::NAN; 3000]), "{more}");
                values[at] = 0.5;
            }
        }
    }

    #[test]
    fn every_finite_value_becomes_itself() {
        struct All<'a>(&'a [u16]);
        impl WithSimd for All<'_> {
            type Output = Vec<f32>;
            fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
                let vectors = self.0.chunks_exact(S::F32_LANES);
                let vectors: Vec<_> = vectors.map(|bits| F16::widen(simd, bits)).collect();
                bytemuck::cast_slice(&vectors).to_vec()
            }
        }
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        for found in [dispatch(All(&bits)), All(&bits).with_simd(Scalar128b)] {
            assert_eq!(found.len(), bits.len());
            for (bits, found) in bits.iter().zip(found) {
                let value = f16::from_bits(*bits);
                let same = value.to_f32().to_bits() == found.to_bits();
                assert!(same || !value.is_finite(), "{value} {found}");
            }
        }
    }
}
